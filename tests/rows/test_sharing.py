"""Rows M18 to M22, M27, M29 and M32: what is shared, on which conditions, how it changes, and what may be kept."""

import asyncio
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from privity.agent import identity, items, reading, shares
from privity.agent.expiry import read_expiry
from privity.agent.keyring import Keyring
from privity.agent.profile import ProfileFolder
from privity.agent.session import Rows, Session
from privity.agent.shares import Share
from privity.crypto.sharing import Manifest, new_terms, open_share, read_manifest, unwrap_own
from privity.encoding import b64, unb64
from privity.errors import (
    ForgedRecord,
    KeepNotPermitted,
    Malformed,
    NotFound,
    PastDate,
    RolledBack,
    ShareExpired,
    TermsNotAccepted,
    Unverified,
    WrongTerms,
)
from privity.messages.views import AskShares, ShareRow
from privity.testing.home import RunningHome
from privity.testing.people import Outcome, Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.watching import canary, lie, typed

People = tuple[Person, Person]


@pytest.fixture(scope="module")
def connected(backend: RunningHome, tmp_path_factory: pytest.TempPathFactory) -> People:
    """Ann and Bob, one pair for all that stands here: what each test shares is its own."""

    async def make() -> People:
        folder = tmp_path_factory.mktemp("people")
        ann, bob = somebody("ann", folder, backend.url), somebody("bob", folder, backend.url)
        await ann.register()
        await bob.register()
        await connect(ann, bob)
        return ann, bob

    return asyncio.run(make())


PASSPORT = {"number": "X123", "name": "Ann", "born": "1990"}


async def run(person: Person, *arguments: str) -> Outcome:
    """The command line beside the test's own event loop."""
    return await asyncio.to_thread(typed, person, *arguments)


async def told(person: Person, *arguments: str) -> Any:
    """What the command line prints for scripts."""
    done = await run(person, "--json", *arguments)
    assert done.code == 0, done.err
    return json.loads(done.out)


async def listed(person: Person, share: str, *options: str) -> dict[str, Any]:
    """A share as the command line lists it."""
    [row] = [row for row in await told(person, "share", "list", *options) if row["share"] == share]
    return dict(row)


async def looked_at(session: Session, keyring: Keyring, share: str) -> Share:
    """A share as the agent lists it."""
    [found] = [
        each for each in await shares.all_of(session, keyring) if isinstance(each, Share) and each.share == share
    ]
    return found


async def served(session: Session, id: str) -> tuple[ShareRow, Manifest, Rows[ShareRow]]:
    """A share's row as the backend serves it for a fresh nonce."""
    found = await session.ask(AskShares(id=id), ShareRow, fresh=True)
    row = found.one("share", id)
    return row, read_manifest(unb64(row.manifest)), found


async def sealed_in(session: Session, keyring: Keyring, id: str) -> bytes:
    """The plaintext of a share of one's own, opened with its DEK and nothing else."""
    row, manifest, found = await served(session, id)
    dek = unwrap_own(keyring.kek, found.blob(row.wrap or ""), manifest, "owner")
    return open_share(manifest, dek, found.blob(row.content))


async def passport(session: Session, keyring: Keyring) -> str:
    """An item to share."""
    return (await items.add(session, keyring, "Passport", PASSPORT)).item


# ---- M18, M19: what is shared ----


async def test_m18_the_share_is_printed_linked_to_its_connection_and_all_stands_on_the_command_line(
    connected: People,
) -> None:
    ann, bob = connected
    item = (await told(ann, "item", "add", "Passport", "--set", "number=X123"))["item"]
    conditions = ("--slot", "number", "--expires", "2999-01-01", "--terms", "Be kind", "--hops", "2", "--keep")
    made = await told(ann, "share", "create", item, "--with", bob.address, *conditions)
    [connection] = await told(ann, "connection", "list")
    row = await listed(bob, made["share"], "--incoming")
    stranger = await run(ann, "share", "create", item, "--with", "nobody@localhost")

    assert made["connection"] == connection["connection"] == row["connection"]
    assert (row["share"], row["status"], row["label"]) == (made["share"], "terms", None)
    assert {name: made[name] for name in ("expires", "reshare", "keep", "whole")} == {
        "expires": "2999-01-01T23:59:59+00:00",
        "reshare": 2,
        "keep": True,
        "whole": False,
    }
    assert (stranger.code, "NotConnected" in stranger.err) == (1, True)


async def test_m19_a_share_of_one_slot_holds_that_slot_alone_also_after_three_updates(connected: People) -> None:
    ann, bob = connected
    hidden = canary()
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {**PASSPORT, "pin": hidden})).item
        share = await shares.create(session, keyring, item, bob.address, slots=["number"])
        plain = [await sealed_in(session, keyring, share.share)]
        for turn in range(3):
            await items.edit(
                session, keyring, item, {"number": f"Y{turn}", "pin": f"{hidden}-{turn}", f"new{turn}": "n"}
            )
            await shares.update(session, keyring, share.share)
            plain.append(await sealed_in(session, keyring, share.share))

    numbers = ["X123", "Y0", "Y1", "Y2"]
    assert [json.loads(each) for each in plain] == [
        {"label": "Passport", "slots": {"number": number}, "whole": False} for number in numbers
    ]
    async with bob.session() as (session, keyring):
        read = await shares.show(session, keyring, share.share)
    assert (read.content.slots, read.version, read.generation) == ({"number": "Y2"}, 4, 4)


async def test_m19_an_unknown_slot_is_refused_and_some_known_ones_are_shared(connected: People) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        with pytest.raises(NotFound, match=r"no value 'pin'; it has: number, name, born"):
            await shares.create(session, keyring, item, bob.address, slots=["number", "pin"])
        some = await shares.create(session, keyring, item, bob.address, slots=["born", "number"])
        rows = (await session.ask(AskShares(item=item, direction="outgoing"), ShareRow)).rows
    assert [row.share for row in rows] == [some.share]
    assert some.content.slots == {"number": "X123", "born": "1990"}


# ---- M20: expiry ----


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2030-05-01", datetime(2030, 5, 1, 23, 59, 59, tzinfo=UTC)),
        ("2030-05-01T12:00:00", datetime(2030, 5, 1, 12, tzinfo=UTC)),
        ("2030-05-01T12:00:00+02:00", datetime(2030, 5, 1, 10, tzinfo=UTC)),
        ("2030-05-01T12:00:00Z", datetime(2030, 5, 1, 12, tzinfo=UTC)),
        ("never", None),
    ],
)
def test_m20_a_day_or_a_time_is_understood(text: str, at: datetime | None) -> None:
    assert read_expiry(text) == at


@pytest.mark.parametrize("text", ["", "tomorrow", "01.05.2030", "2030-13-01", "2030-02-30", "0001-01-01T00:00+23:00"])
def test_m20_nothing_else_is(text: str) -> None:
    with pytest.raises(Malformed):
        read_expiry(text)


async def test_m20_nobody_reads_after_the_time_and_the_time_can_be_changed(connected: People) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        with pytest.raises(PastDate, match="passed already"):  # the agent says so itself
            await shares.create(session, keyring, item, bob.address, expires=datetime.now(UTC) - timedelta(seconds=1))
        soon = datetime.now(UTC) + timedelta(seconds=2)
        share = (await shares.create(session, keyring, item, bob.address, expires=soon)).share
    async with bob.session() as (session, keyring):
        assert (await shares.show(session, keyring, share)).content.slots == PASSPORT
        await asyncio.sleep((soon - datetime.now(UTC)).total_seconds())
        with pytest.raises(ShareExpired):
            await shares.show(session, keyring, share)
        seen = await looked_at(session, keyring, share)
        row, _, found = await served(session, share)
    assert (seen.status, seen.label, row.wrap, dict(found.sealed)) == ("expired", None, None, {})

    past = await run(ann, "share", "expire", share, "2001-01-01")
    assert (past.code, "PastDate" in past.err) == (1, True)
    assert (await listed(ann, share))["status"] == "expired"
    assert (await told(ann, "share", "expire", share, "never"))["expires"] is None
    assert (await told(bob, "share", "show", share))["slots"] == PASSPORT


async def test_m20_an_agent_goes_by_its_own_clock_too(connected: People, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = connected
    end = datetime.now(UTC) + timedelta(days=1)
    async with ann.session() as (session, keyring):
        share = await shares.create(session, keyring, await passport(session, keyring), bob.address, expires=end)
    async with bob.session() as (session, keyring):
        with monkeypatch.context() as patch:
            patch.setattr(reading, "_now", lambda: end)
            with pytest.raises(ShareExpired):
                await shares.show(session, keyring, share.share)
            row, _, found = await served(session, share.share)
            assert (row.claimed, row.wrap in found.sealed) == (False, True)
        assert (await shares.show(session, keyring, share.share)).status == "claimed"


# ---- M21, M22: terms ----


async def test_m21_nothing_is_read_before_the_terms_are_accepted(connected: People) -> None:
    ann, bob = connected
    text = canary()
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        share = (await shares.create(session, keyring, item, bob.address, terms=text)).share
    async with bob.session() as (session, keyring):
        with pytest.raises(TermsNotAccepted):
            await shares.show(session, keyring, share)
        seen = await looked_at(session, keyring, share)
        assert (seen.status, seen.label) == ("terms", None)
        row, manifest, found = await served(session, share)
        assert (row.wrap, set(found.sealed)) == (None, {manifest.terms})

        with pytest.raises(WrongTerms):
            await shares.accept(session, keyring, share, new_terms(text).hash)
        _, terms = await shares.offered_terms(session, keyring, share)
        read = await shares.accept(session, keyring, share, terms.hash)
        assert (terms.text, read.content.slots, read.status) == (text, PASSPORT, "claimed")
        assert (await shares.show(session, keyring, share)).content.slots == PASSPORT

    async with ann.session() as (session, keyring):
        revised = await shares.update(session, keyring, share, lambda now: replace(now, keep=True))
        assert (revised.accepted, revised.status) == (True, "new")  # by the same terms: they stay accepted
    async with bob.session() as (session, keyring):
        assert (await shares.show(session, keyring, share)).opened.terms == terms
    async with ann.session() as (session, keyring):
        other = new_terms("Other terms")
        assert (await shares.update(session, keyring, share, lambda now: replace(now, terms=other))).status == "terms"
    async with bob.session() as (session, keyring):
        with pytest.raises(TermsNotAccepted):
            await shares.show(session, keyring, share)


async def test_m21_an_acceptance_that_the_recipient_did_not_sign_is_noticed(
    connected: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        share = await shares.create(session, keyring, item, bob.address, terms="Be kind")
        stolen = b64(keyring.identity.sign.sign(b"anything", b"else"))

    def accepted(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["accepted"] = stolen

    lie(monkeypatch, "shares", accepted)
    for person in connected:
        async with person.session() as (session, keyring):
            with pytest.raises(ForgedRecord, match="accepted"):
                await shares.show(session, keyring, share.share)
    monkeypatch.undo()
    async with bob.session() as (session, keyring):
        assert (await shares.accept(session, keyring, share.share)).accepted
    async with ann.session() as (session, keyring):
        assert (await shares.show(session, keyring, share.share)).accepted


async def test_m21_the_terms_in_the_content_are_those_that_were_accepted(
    connected: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    other = new_terms("Those that nobody was shown")
    honest = shares.SharedContent.to_bytes
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        with monkeypatch.context() as patch:
            patch.setattr(shares.SharedContent, "to_bytes", lambda shared: honest(replace(shared, terms=other)))
            with pytest.raises(ForgedRecord, match="other terms"):
                await shares.create(session, keyring, item, bob.address, terms="Be kind")
        [bad] = (await session.ask(AskShares(item=item, direction="outgoing"), ShareRow)).rows
        good = await shares.create(session, keyring, item, bob.address, terms="Be kind")
    async with bob.session() as (session, keyring):
        with pytest.raises(ForgedRecord, match="other terms"):
            await shares.accept(session, keyring, bad.share)
        assert (await shares.accept(session, keyring, good.share)).content.slots == PASSPORT
        await shares.remove(session, bad.share)


async def test_m22_the_terms_are_shown_and_asked_for_and_refusing_leaves_the_share(
    connected: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        share = (await shares.create(session, keyring, item, bob.address, terms="Tell\x1b[2J nobody")).share

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = await run(bob, "share", "accept", share)
    assert (refused.code, "TermsNotAccepted" in refused.err) == (1, True)
    assert "Tell\ufffd[2J nobody" in refused.err
    assert (await listed(bob, share))["status"] == "terms"

    accepted = await told(bob, "share", "accept", share, "-y")
    assert (accepted["share"], accepted["status"], accepted["label"]) == (share, "claimed", "Passport")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert (await run(bob, "share", "accept", share)).code == 0  # it is accepted: nothing is asked
    plain = (await told(ann, "share", "create", item, "--with", bob.address))["share"]
    none = await run(bob, "share", "accept", plain)
    assert (none.code, "NotFound" in none.err) == (1, True)


# ---- M27: two ways ----


async def test_m27_an_item_that_comes_by_two_ways_is_listed_once_and_both_are_named(connected: People) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        part = await shares.create(session, keyring, item, bob.address, slots=["number"])
        await items.edit(session, keyring, item, {"name": "Anna"})
        whole = await shares.create(session, keyring, item, bob.address)
        barred = await shares.create(session, keyring, item, bob.address, terms="Be kind")
    newest_first = [{"share": each.share, "from": ann.address} for each in (whole, part, barred)]
    [row] = [row for row in await told(bob, "item", "list", "--received") if row["item"] == item]
    shown = await told(bob, "item", "show", item)

    assert (row["item"], row["label"], row["version"], row["ways"]) == (item, "Passport", 2, newest_first)
    assert (shown["slots"], shown["ways"]) == ({**PASSPORT, "name": "Anna"}, newest_first)
    for id in (whole.share, part.share):
        await told(bob, "share", "rm", id)
    last = await run(bob, "item", "show", item)
    assert (last.code, "TermsNotAccepted" in last.err) == (1, True)
    await told(bob, "share", "rm", barred.share)
    assert item not in [row["item"] for row in await told(bob, "item", "list", "--received")]


# ---- what comes meanwhile ----


async def test_m18_what_ends_or_changes_while_it_is_listed_takes_no_other_with_it(
    connected: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        good, ends, changes = [(await shares.create(session, keyring, item, bob.address)).share for _ in range(3)]
    async with bob.session() as (session, keyring):
        await shares.show(session, keyring, good)
    stored = reading.stored_connection_key
    waiting = [ends, changes]

    async def meanwhile(session: Session, keyring: Keyring, key: str) -> Any:
        while waiting:
            async with ann.session() as (other, others):
                await shares.remove(other, waiting.pop(0))
                await shares.update(other, others, waiting.pop(0), lambda now: replace(now, terms=new_terms("Be kind")))
        return await stored(session, keyring, key)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "stored_connection_key", meanwhile)
        assert (await listed(bob, good))["status"] == "claimed"
    assert waiting == []
    assert (await listed(bob, changes))["status"] == "terms"

    async with ann.session() as (session, keyring):
        late = (await shares.create(session, keyring, item, bob.address)).share
    with monkeypatch.context() as patch:
        lie(patch, "keys", list.clear)
        shown = await run(bob, "--json", "share", "list")
        statuses = {row["share"]: row["status"] for row in json.loads(shown.out)}
    assert (shown.code, statuses[late], statuses[good]) == (1, "broken: KeyNotFound", "claimed")
    assert (await listed(bob, late))["status"] == "claimed"


async def test_m29_a_share_that_does_not_hold_is_told_when_its_item_is_edited(
    connected: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    item = (await told(ann, "item", "add", "Passport", "--set", "number=X1"))["item"]
    share = (await told(ann, "share", "create", item, "--with", bob.address))["share"]
    edit = ("item", "edit", item, "--set")

    def bent(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row.update(keep=True)

    with monkeypatch.context() as patch:
        lie(patch, "shares", bent)
        for more in ((), ("--no-update",)):
            kept = await told(ann, *edit, "number=X2", *more)
            assert (kept["updated"], kept["waiting"]) == (0, [{"share": share, "code": "ForgedRecord"}])
    assert (await told(ann, *edit, "number=X3"))["updated"] == 1


# ---- M29: updates, and the end ----


async def test_m29_an_edit_reaches_all_recipients_and_only_the_owner_can_change_a_share(
    connected: People, person: MakePerson
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    item = (await told(ann, "item", "add", "Passport", "--set", "number=X1", "--set", "name=Ann"))["item"]
    whole = (await told(ann, "share", "create", item, "--with", bob.address))["share"]
    part = (await told(ann, "share", "create", item, "--with", carol.address, "--slot", "number"))["share"]
    await told(bob, "share", "show", whole)

    kept = await told(ann, "item", "edit", item, "--set", "number=X2", "--set", "eyes=green", "--no-update")
    assert {each["share"] for each in kept["waiting"]} == {whole, part}
    assert (await told(bob, "share", "show", whole))["slots"] == {"number": "X1", "name": "Ann"}
    assert (await told(ann, "share", "update", whole))["version"] == 2
    assert (await told(bob, "share", "show", whole))["slots"] == {"number": "X2", "name": "Ann", "eyes": "green"}
    again = await told(ann, "share", "update", whole)
    assert (again["generation"], again["status"]) == (2, "claimed")  # there was nothing to do

    kept = await told(ann, "item", "edit", item, "--set", "number=X3")
    assert (kept["updated"], kept["waiting"]) == (2, [])
    assert (await told(bob, "item", "show", item))["slots"]["number"] == "X3"
    shown = await told(carol, "share", "show", part)
    assert (shown["slots"], shown["version"], shown["status"]) == ({"number": "X3"}, 3, "claimed")
    for command in (("update", "--keep"), ("expire", "never")):
        refused = await run(bob, "share", command[0], whole, *command[1:])
        assert (refused.code, f"only {ann.address} can change it" in refused.err) == (1, True)

    await told(ann, "share", "rm", whole)
    rows = await told(ann, "share", "list", "--outgoing", "--ended")
    assert {row["share"]: (row["status"], row["read_version"], row["to"]) for row in rows if row["item"] == item} == {
        whole: ("removed", 3, bob.address),
        part: ("claimed", 3, carol.address),
    }
    assert (await told(ann, "item", "edit", item, "--set", "number=X4"))["updated"] == 1
    assert (await run(bob, "share", "show", whole)).code == 1


async def test_m29_of_an_item_that_was_given_up_the_share_stays_and_can_still_be_bounded(connected: People) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        share = (await shares.create(session, keyring, item, bob.address)).share
        await items.remove(session, item)
        end = datetime.now(UTC) + timedelta(days=1)
        assert (await shares.update(session, keyring, share)).generation == 1
        revised = await shares.update(session, keyring, share, lambda now: replace(now, expires=end))
    assert (revised.generation, revised.version, revised.expires) == (2, 1, end)
    async with bob.session() as (session, keyring):
        assert (await shares.show(session, keyring, share)).content.slots == PASSPORT


@pytest.mark.trial
async def test_nothing_more_goes_to_keys_that_were_stolen_without_consent_nor_counts_what_they_accepted(
    ann: Person, bob: Person
) -> None:
    await connect(ann, bob)
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        plain = (await shares.create(session, keyring, item, bob.address)).share
        bound = (await shares.create(session, keyring, item, bob.address, terms="Be kind")).share
    async with bob.session() as (session, keyring):
        await shares.accept(session, keyring, bound)
        await identity.rotate(session, keyring, ProfileFolder(bob.home).load().device)
    async with ann.session() as (session, keyring):  # new keys alone are no reason to stop
        await items.edit(session, keyring, item, {"number": "X2"})
        assert (await shares.update(session, keyring, plain)).version == 2
        assert (await shares.show(session, keyring, bound)).accepted
    async with bob.session() as (session, keyring):
        await identity.rotate(session, keyring, ProfileFolder(bob.home).load().device, compromised=True)
    async with ann.session() as (session, keyring):
        await items.edit(session, keyring, item, {"number": "X3"})
        with pytest.raises(Unverified, match="stolen"):
            await shares.update(session, keyring, plain)
        behind = await shares.outdated(session, keyring, item)
        assert await shares.update_all(session, keyring, behind) == {plain: "Unverified", bound: "Unverified"}
        assert (await shares.update(session, keyring, plain, unverified=True)).version == 3
        seen = await shares.show(session, keyring, bound)
        assert (seen.accepted, seen.read_version) == (False, 1)
    async with bob.session() as (session, keyring):  # one's own acceptance stays
        assert (await shares.show(session, keyring, bound)).content.slots == PASSPORT


# ---- M32: a copy ----


async def test_m32_a_copy_outlives_the_share_where_the_sender_permits_it_and_only_there(connected: People) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        strict = (await shares.create(session, keyring, item, bob.address)).share
        free = (await shares.create(session, keyring, item, bob.address, keep=True)).share
    async with bob.session() as (session, keyring):
        with pytest.raises(KeepNotPermitted):
            await shares.keep(session, keyring, strict)
        before = [each.item for each in await items.all_own(session, keyring)]
    copy = await told(bob, "share", "keep", free)
    for share in (strict, free):
        await told(ann, "share", "rm", share)

    async with bob.session() as (session, keyring):
        assert [each.item for each in await items.all_own(session, keyring)] == [*before, copy["item"]]
        assert (await items.show(session, keyring, copy["item"])).content.slots == PASSPORT
        for share in (strict, free):
            with pytest.raises(NotFound):
                await shares.show(session, keyring, share)


# ---- S13: what was withdrawn and is served again ----


@pytest.mark.parametrize("withdrawn", ["slots", "terms", "permission"])
async def test_s13_an_older_generation_that_is_served_again_is_not_opened(
    connected: People, monkeypatch: pytest.MonkeyPatch, withdrawn: str
) -> None:
    """What the sender took back: values that were changed, other terms, a permission to keep."""
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        share = (await shares.create(session, keyring, item, bob.address, terms="Be kind", keep=True)).share
    async with bob.session() as (session, keyring):
        await shares.accept(session, keyring, share)
        old: list[dict[str, Any]] = []
        with monkeypatch.context() as patch:
            lie(patch, "shares", lambda rows: old.extend(json.loads(json.dumps(rows))))
            await shares.show(session, keyring, share)
    async with ann.session() as (session, keyring):
        if withdrawn == "slots":
            await items.edit(session, keyring, item, {"number": "Y1"})
        other = {"terms": new_terms("Other terms")} if withdrawn == "terms" else {"keep": withdrawn != "permission"}
        await shares.update(session, keyring, share, lambda now: replace(now, **other))  # type: ignore[arg-type]

    async with bob.session() as (session, keyring):
        with monkeypatch.context() as patch:
            lie(patch, "shares", lambda rows: rows.__setitem__(slice(None), old[-1:]))
            with pytest.raises(RolledBack):
                await shares.show(session, keyring, share)
            with pytest.raises(RolledBack):
                await shares.keep(session, keyring, share)
        if withdrawn == "terms":
            with pytest.raises(TermsNotAccepted):
                await shares.show(session, keyring, share)
            await shares.accept(session, keyring, share)
        read = await shares.show(session, keyring, share)
    assert (read.generation, read.content.slots["number"]) == (2, "Y1" if withdrawn == "slots" else "X123")


async def test_s13_a_share_that_was_revoked_and_is_served_again_is_not_opened(
    connected: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await passport(session, keyring)
        gone = (await shares.create(session, keyring, item, bob.address)).share
        stays = (await shares.create(session, keyring, item, bob.address)).share
    async with bob.session() as (session, keyring):
        old: list[dict[str, Any]] = []
        with monkeypatch.context() as patch:
            lie(patch, "shares", lambda rows: old.extend(json.loads(json.dumps(rows))))
            await shares.show(session, keyring, gone)
        async with ann.session() as (hers, _):
            await shares.remove(hers, gone)
        with pytest.raises(NotFound):
            await shares.show(session, keyring, gone)
        with monkeypatch.context() as patch:
            lie(patch, "shares", lambda rows: rows.__setitem__(slice(None), old[-1:]))
            with pytest.raises(RolledBack):
                await shares.show(session, keyring, gone)
        assert (await shares.show(session, keyring, stays)).content.slots == PASSPORT
