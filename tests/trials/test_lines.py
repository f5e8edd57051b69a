"""S11, S12, S20 for what is shared: nothing is left out of a line, comes back, or is told in two ways, unnoticed."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import accounts, connections, feed, items, lines, sending, shares
from privity.agent.bus import Bus
from privity.agent.connections import Broken
from privity.agent.items import Item
from privity.agent.profile import ProfileFolder
from privity.agent.session import Session
from privity.agent.shares import Share
from privity.connection_string import parse_connection_string
from privity.crypto import labels
from privity.crypto.log import make_checkpoint, read_checkpoint
from privity.crypto.record import encode_record
from privity.crypto.sharing import read_manifest
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, sha256, unb64
from privity.errors import (
    ForgedRecord,
    ForkedLog,
    IntegrityAlarm,
    NotFound,
    Refusal,
    RolledBack,
    StaleSequence,
    Withheld,
)
from privity.messages.envelope import FeedEntry, Result
from privity.messages.views import AskFeed, AskLine, AskShares, LineRow, ShareRow
from privity.testing.home import RunningHome
from privity.testing.people import Outcome, Person, connect, somebody
from tests.rows.watching import lie, typed

pytestmark = pytest.mark.trial

Row = dict[str, Any]
Change = Callable[[list[Row]], None]

OTHER = "x" * 26
"""An id that nothing has."""


@dataclass(frozen=True)
class Given:
    """Ann has shared three items with Bob, in this order; Bob's device has seen none of it."""

    ann: Person
    bob: Person
    items: list[Item]
    shares: list[Share]

    @property
    def ids(self) -> list[str]:
        """The shares."""
        return [share.share for share in self.shares]


@pytest.fixture
async def given(connected: tuple[Person, Person]) -> Given:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        kept = [await items.add(session, keyring, label, {"number": label}) for label in ("One", "Two", "Three")]
        return Given(ann, bob, kept, [await shares.create(session, keyring, each.item, bob.address) for each in kept])


async def run(person: Person, *arguments: str) -> Outcome:
    """The command line, through the same lies."""
    return await asyncio.to_thread(typed, person, *arguments)


async def listed(person: Person) -> list[Share | Broken]:
    """What somebody's agent makes of what the home serves."""
    async with person.session() as (session, keyring):
        return await shares.all_of(session, keyring)


async def sound(person: Person) -> list[str]:
    """The shares that somebody sees; nothing is wrong with any."""
    found = await listed(person)
    assert not [each for each in found if isinstance(each, Broken)], found
    return [each.share for each in found if isinstance(each, Share)]


def alarms(found: list[Share | Broken]) -> dict[str, type[Exception]]:
    """What is wrong with which share."""
    return {each.id: type(each.alarm) for each in found if isinstance(each, Broken)}


async def line_of(person: Person, connection: str) -> list[LineRow]:
    """The line of a connection as the home tells it."""
    async with person.session() as (session, _):
        return list((await session.ask_all(AskLine(connection=connection), LineRow)).rows)


def without(name: str, *gone: str) -> Change:
    """Leave rows out."""

    def change(rows: list[Row]) -> None:
        rows[:] = [row for row in rows if row.get(name) not in gone]

    return change


def each(**values: Any) -> Callable[[str], Change]:
    """Change fields of the row of one share."""

    def of(share: str) -> Change:
        def change(rows: list[Row]) -> None:
            for row in rows:
                if row["share"] == share:
                    row.update(values)

        return change

    return of


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leave shares out of some views."""

    def hidden(*ids: str, views: tuple[str, ...] = ("shares", "line")) -> None:
        for view in views:
            lie(monkeypatch, view, without("share", *ids))

    return hidden


async def resigned(person: Person, row: LineRow, **changes: Any) -> Row:
    """Another manifest for a line's row, signed by its sender's key: what another device of theirs might have made."""
    record = json.loads(unb64(row.manifest)) | changes
    data = encode_record(record)
    async with person.session() as (_, keyring):
        signature = keyring.identity.sign.sign(labels.SHARE_MANIFEST, data)
    return {"manifest": b64(data), "signature": b64(signature)}


# ---- The line as it should be ----


async def test_s12_what_each_side_sends_is_numbered_and_linked_and_has_a_checkpoint(given: Given) -> None:
    async with given.bob.session() as (session, keyring):
        own = await items.add(session, keyring, "His", {"number": "4"})
        await shares.create(session, keyring, own.item, given.ann.address)
        log = session.server
    rows = await line_of(given.bob, given.shares[0].connection)
    manifests = [read_manifest(unb64(row.manifest)) for row in rows]

    assert [(row.n, row.share) for row in rows[:3]] == list(zip((1, 2, 3), given.ids, strict=True))
    assert [each.prev for each in manifests] == [None, *(digest(unb64(row.manifest)) for row in rows[:2]), None]
    assert (rows[3].n, rows[3].sender) == (1, manifests[0].recipient)
    sizes = [read_checkpoint(each.checkpoint, log.log_public, log.home).size for each in manifests]
    assert sizes == sorted(sizes)
    assert sizes[0] > 0
    assert len(await sound(given.ann)) == len(await sound(given.bob)) == 4


async def test_a_second_device_of_ones_own_goes_on_with_the_line(
    bob: Person, backend: RunningHome, tmp_path: Path
) -> None:
    dora = somebody("dora", tmp_path, backend.url)
    written = await dora.register()
    await connect(dora, bob)
    second = replace(dora, home=tmp_path / "second")
    string = parse_connection_string(second.server)
    await accounts.login(ProfileFolder(second.home), string, dora.address, written.secret, dora.passphrase)
    for device in (dora, second, dora):
        async with device.session() as (session, keyring):
            kept = await items.add(session, keyring, "Phone", {"number": "555"})
            await shares.create(session, keyring, kept.item, bob.address)

    assert len(await sound(bob)) == len(await sound(dora)) == len(await sound(second)) == 3


async def test_a_share_is_sealed_again_when_another_device_was_faster(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, faster = sending.newest_checkpoint, []

    async def meanwhile(session: Session) -> str:
        if not faster:
            faster.append(None)
            async with given.ann.session() as (other, keyring):
                faster.append((await shares.create(other, keyring, given.items[0].item, given.bob.address)).share)
        return await checkpoint(session)

    monkeypatch.setattr(sending, "newest_checkpoint", meanwhile)
    async with given.ann.session() as (session, keyring):
        made = await shares.create(session, keyring, given.items[1].item, given.bob.address)

    rows = await line_of(given.ann, made.connection)
    assert [(row.n, row.share) for row in rows[3:]] == [(4, faster[1]), (5, made.share)]
    assert len(await sound(given.bob)) == 5


async def test_who_is_told_an_old_line_again_and_again_gives_up(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    async def stale(session: Session, connection: Any) -> tuple[int, str | None]:
        asked.append(1)
        return 1, None

    async with given.ann.session() as (session, keyring):
        with monkeypatch.context() as patch:
            patch.setattr(lines, "next_place", stale)
            with pytest.raises(StaleSequence):
                await shares.create(session, keyring, given.items[0].item, given.bob.address)
        assert len(asked) == sending.ATTEMPTS
        assert await shares.create(session, keyring, given.items[0].item, given.bob.address)


# ---- Generations: each has its number in the line ----


async def revised(person: Person, share: str, *, keep: bool = True) -> None:
    """The share's next generation, on another condition."""
    async with person.session() as (session, keyring):
        await shares.update(session, keyring, share, lambda before: replace(before, keep=keep))


async def test_s12_the_generations_of_shares_stand_in_the_line_between_all_else(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await sound(given.bob) == given.ids
    await revised(given.ann, given.ids[1])
    await revised(given.ann, given.ids[0])
    await revised(given.ann, given.ids[1], keep=False)
    rows = await line_of(given.bob, given.shares[0].connection)
    told = [given.ids[place] for place in (0, 1, 2, 1, 0, 1)]
    assert [(row.n, row.share) for row in rows] == list(zip(range(1, 7), told, strict=True))

    with monkeypatch.context() as patch:  # before this device has read on
        lie(patch, "line", without("n", 4))
        assert set(alarms(await listed(given.bob)).values()) == {Withheld}
    with monkeypatch.context() as patch:  # the newest generation is served, and stands in no line
        lie(patch, "line", without("n", 6))
        assert alarms(await listed(given.bob)) == {given.ids[1]: Withheld}
    assert await sound(given.bob) == await sound(given.ann) == given.ids
    async with given.bob.session() as (session, keyring):  # and after that
        connection = await connections.show(session, keyring, given.shares[0].connection)
        told = await lines._learn_all(session, connection)
        assert list(told.values()) == [digest(unb64(row.manifest)) for row in rows]
        with monkeypatch.context() as patch:
            lie(patch, "line", without("n", 4))
            with pytest.raises(Withheld):
                await lines._learn_all(session, connection)
    other = await resigned(given.ann, rows[3], content=digest(b"another"))

    def changed(told: list[Row]) -> None:
        told[3].update(other)

    async with given.bob.session() as (session, _):
        with monkeypatch.context() as patch:
            lie(patch, "line", changed)
            with pytest.raises(ForkedLog):
                await lines._learn_all(session, connection)
        await lines._learn_all(session, connection)


@pytest.mark.parametrize("first_seen", [True, False], ids=["known", "new"])
@pytest.mark.parametrize("behind", [True, False], ids=["served older", "served newest"])
async def test_a_share_that_is_revised_while_it_is_read_is_no_alarm(
    given: Given, monkeypatch: pytest.MonkeyPatch, first_seen: bool, behind: bool
) -> None:
    """A revision comes behind the line that was read; and, `behind`, another one while the answer is on its way."""
    if first_seen:
        assert await sound(given.bob) == given.ids
    honest, turns = Bus.ask, iter([True])

    async def meanwhile(bus: Bus, subject: str, data: bytes) -> bytes:
        now = subject.endswith(".shares") and given.shares[0].owner not in subject and next(turns, False)
        if now:
            await revised(given.ann, given.ids[0])
        answer = await honest(bus, subject, data)
        if now and behind:
            await revised(given.ann, given.ids[0], keep=False)
        return answer

    async with given.bob.session() as (session, keyring):
        await feed.learn(session)
        with monkeypatch.context() as patch:
            patch.setattr(Bus, "ask", meanwhile)
            found = await shares.all_of(session, keyring)
        assert not alarms(found)
        read = next(each for each in found if isinstance(each, Share) and each.share == given.ids[0])
        assert read.content.label == "One"
        if first_seen:
            assert (read.generation, read.status) == (2, "new" if behind else "claimed")
        newest = await shares.show(session, keyring, given.ids[0])
        assert (newest.generation, newest.status) == (3 if behind else 2, "claimed")
    assert await sound(given.bob) == given.ids


# ---- S12: left out ----


async def test_s12_a_share_hidden_between_two_others_is_noticed_by_its_number(
    given: Given, hide: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(given.ids[1])
    shown = await run(given.bob, "--json", "share", "list")
    assert shown.code == 3
    assert "Withheld" in shown.err
    assert f"number 2 of what {given.ann.address} sent" in shown.err

    monkeypatch.undo()
    assert await sound(given.bob) == given.ids


async def test_s12_a_share_that_the_line_has_must_be_served(
    given: Given, hide: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(given.ids[2], views=("shares",))
    found = await listed(given.bob)
    assert [each.share for each in found if isinstance(each, Share)] == given.ids[:2]
    assert alarms(found) == {given.ids[2]: Withheld}
    async with given.bob.session() as (session, keyring):
        with pytest.raises(Withheld, match=f"number 3 of what {given.ann.address} sent"):
            await shares.show(session, keyring, given.ids[2])
        with pytest.raises(Withheld):
            await shares.incoming_of_item(session, keyring, given.items[2].item)
        assert (await shares.incoming_of_item(session, keyring, given.items[1].item)).share == given.ids[1]

    monkeypatch.undo()
    assert await sound(given.bob) == given.ids


async def test_s12_what_was_shown_once_cannot_be_hidden_with_the_end_of_its_line(
    given: Given, hide: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await sound(given.bob) == given.ids
    hide(given.ids[2])
    shown = await run(given.bob, "--json", "share", "list")
    assert (shown.code, len(json.loads(shown.out))) == (3, 3)
    assert f"Share {given.ids[2]} is left out, number 3 of what {given.ann.address} sent" in shown.err
    assert (await run(given.bob, "share", "show", given.ids[2])).code == 3
    assert (await run(given.bob, "share", "show", given.ids[1])).code == 0

    monkeypatch.undo()
    assert await sound(given.bob) == given.ids
    assert (await run(given.bob, "share", "list")).code == 0


async def test_s12_what_one_sent_oneself_cannot_be_hidden_either(
    given: Given, hide: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(given.ids[0])
    assert alarms(await listed(given.ann)) == {given.ids[0]: Withheld}
    monkeypatch.undo()
    assert await sound(given.ann) == given.ids


async def test_s12_a_whole_connection_cannot_be_hidden_with_what_was_shown_of_it(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await sound(given.bob) == given.ids
    for view in ("connections", "shares", "line"):
        lie(monkeypatch, view, without("connection", given.shares[0].connection))
    assert alarms(await listed(given.bob)) == dict.fromkeys(given.ids, Withheld)
    monkeypatch.undo()
    assert await sound(given.bob) == given.ids


async def test_s12_a_share_that_is_in_no_line_is_not_opened(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    lie(monkeypatch, "line", without("share", given.ids[2]))
    found = await listed(given.bob)
    assert alarms(found) == {given.ids[2]: Withheld}
    monkeypatch.undo()

    async with given.bob.session() as (session, _):
        rows = await session.ask_all(AskShares(), ShareRow)
        assert [row.claimed for row in rows.rows] == [True, True, False]
    assert await sound(given.bob) == given.ids


# ---- Ended: only by who could end it ----


@pytest.mark.parametrize("ender", ["ann", "bob"])
async def test_s12_what_one_of_the_two_ended_is_believed_to_be_gone(given: Given, ender: str) -> None:
    assert await sound(given.bob) == given.ids
    by: Person = getattr(given, ender)
    async with by.session() as (session, _):
        await shares.remove(session, given.ids[1])
    left = [given.ids[0], given.ids[2]]
    assert await sound(given.bob) == await sound(given.ann) == left
    async with given.bob.session() as (session, keyring):
        with pytest.raises(NotFound):
            await shares.show(session, keyring, given.ids[1])


async def test_s12_an_end_that_the_home_says_had_come_before_is_believed_with_proof_alone(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be taken back is not taken back by a home that swallows it."""
    assert await sound(given.ann) == given.ids
    send = Bus.send

    async def swallowing(bus: Bus, subject: str, id: str, data: bytes) -> Result:
        if not subject.endswith("shares.remove"):
            return await send(bus, subject, id, data)
        return Result(id, "ignored", position=1)

    with monkeypatch.context() as patch:
        patch.setattr(Bus, "send", swallowing)
        async with given.ann.session() as (session, _):
            with pytest.raises(Withheld, match="nobody has signed"):
                await shares.remove(session, given.ids[0])
    assert await sound(given.ann) == given.ids

    faster = [given.bob]

    async def late(bus: Bus, subject: str, id: str, data: bytes) -> Result:
        while faster:
            async with faster.pop().session() as (session, _):
                await shares.remove(session, given.ids[0])
        return await send(bus, subject, id, data)

    with monkeypatch.context() as patch:
        patch.setattr(Bus, "send", late)
        async with given.ann.session() as (session, _):
            assert await shares.remove(session, given.ids[0]) == given.ids[0]
    assert await sound(given.ann) == given.ids[1:]


@pytest.mark.parametrize("ender", ["ann", "bob"])
async def test_s12_the_end_of_a_connection_ends_what_went_over_it(given: Given, ender: str) -> None:
    assert await sound(given.bob) == given.ids
    by: Person = getattr(given, ender)
    async with by.session() as (session, keyring):
        await connections.remove(session, keyring, given.shares[0].connection)
    assert await sound(given.bob) == await sound(given.ann) == []


async def test_s12_an_end_that_nobody_signed_is_not_believed(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says ended, and points at something else that happened: a share made, or another share's end."""
    async with given.ann.session() as (session, _):
        await shares.remove(session, given.ids[0])
    assert await sound(given.bob) == given.ids[1:]
    async with given.bob.session() as (session, _):
        rows = await session.ask_all(AskFeed(), FeedEntry)
    positions = {line.event: line.position for line in rows.rows}
    for event in ("share-created", "share-removed", "connection-established"):
        with monkeypatch.context() as patch:
            lie(patch, "shares", without("share", given.ids[1]))
            lie(patch, "line", each(ended=positions[event])(given.ids[1]))
            assert alarms(await listed(given.bob)) == {given.ids[1]: Withheld}, event
    with monkeypatch.context() as patch:
        lie(patch, "shares", without("share", given.ids[1]))
        lie(patch, "line", each(ended=1)(given.ids[1]))
        assert alarms(await listed(given.bob)) == {given.ids[1]: Withheld}

    assert await sound(given.bob) == given.ids[1:]


async def test_s12_an_end_is_believed_for_the_signature_of_a_device_of_the_two_alone(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await sound(given.bob) == given.ids
    async with given.ann.session() as (session, _):
        await shares.remove(session, given.ids[1])
    lies: list[Row] = [
        {"signature": b64(bytes(64))},
        {"chain": []},
        {"subject": "privity.cmd.somebody.shares.remove"},
        {"proof": []},
    ]
    for changed in lies:
        with monkeypatch.context() as patch:
            lie(patch, "evidence", lambda rows, changed=changed: rows[0].update(changed))  # type: ignore[misc]
            found = alarms(await listed(given.bob))
            assert list(found) == [given.ids[1]], changed
            assert issubclass(found[given.ids[1]], IntegrityAlarm)

    assert await sound(given.bob) == [given.ids[0], given.ids[2]]


# ---- S11, S13, S20: served again ----


async def test_s20_a_share_that_ended_and_is_served_again_is_noticed(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await sound(given.bob) == given.ids
    served: list[Row] = []
    with monkeypatch.context() as patch:
        lie(patch, "shares", lambda rows: served.extend(json.loads(json.dumps(rows))))
        await sound(given.bob)
    old = next(row for row in served if row["share"] == given.ids[1])
    async with given.ann.session() as (session, _):
        await shares.remove(session, given.ids[1])

    def again(rows: list[Row]) -> None:
        rows[:] = [row for row in rows if row["share"] != old["share"]]
        rows.append(old)

    for view, change in (("shares", again), ("line", each(ended=None)(given.ids[1]))):
        lie(monkeypatch, view, change)
    found = await listed(given.bob)
    assert issubclass(alarms(found)[given.ids[1]], IntegrityAlarm)
    monkeypatch.undo()
    assert await sound(given.bob) == [given.ids[0], given.ids[2]]  # from now on this device knows how it ended

    lie(monkeypatch, "shares", again)
    lie(monkeypatch, "line", each(ended=None)(given.ids[1]))
    assert alarms(await listed(given.bob)) == {given.ids[1]: RolledBack}
    async with given.bob.session() as (session, keyring):
        with pytest.raises(RolledBack):
            await shares.show(session, keyring, given.ids[1])
    monkeypatch.undo()
    assert await sound(given.bob) == [given.ids[0], given.ids[2]]


async def test_s11_a_share_rolled_back_to_another_manifest_is_noticed(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await sound(given.bob) == given.ids
    rows = await line_of(given.bob, given.shares[0].connection)
    for changes, alarm in (({"n": 1, "prev": None}, RolledBack), ({"checkpoint": "another"}, ForgedRecord)):
        older = await resigned(given.ann, rows[1], **changes)
        with monkeypatch.context() as patch:
            lie(patch, "shares", each(**older)(given.ids[1]))
            assert alarms(await listed(given.bob)) == {given.ids[1]: alarm}

    first = {"manifest": rows[0].manifest, "signature": rows[0].signature}
    with monkeypatch.context() as patch:
        lie(patch, "shares", each(**first)(given.ids[1]))
        assert alarms(await listed(given.bob)) == {given.ids[1]: ForgedRecord}
    assert await sound(given.bob) == given.ids


# ---- S12: two histories ----


async def test_s12_two_manifests_of_one_number_are_noticed(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = await line_of(given.bob, given.shares[0].connection)
    other = await resigned(given.ann, rows[1], content=digest(b"another"))
    with monkeypatch.context() as patch:  # before this device has seen either: the third does not follow it
        lie(patch, "line", each(**other)(given.ids[1]))
        assert alarms(await listed(given.bob)) == dict.fromkeys(given.ids, ForkedLog)

    assert await sound(given.bob) == given.ids
    async with given.bob.session() as (session, keyring):  # after it has: it is another one than before
        [connection] = await connections.all_own(session, keyring)
        assert isinstance(connection, connections.Connection)
        with monkeypatch.context() as patch:
            lie(patch, "line", each(**other)(given.ids[1]))
            with pytest.raises(ForkedLog):
                await lines._learn_all(session, connection)
        await lines._learn_all(session, connection)


@pytest.mark.parametrize(("number", "share"), [(2, None), (3, OTHER)], ids=["instead of the third", "after the third"])
async def test_s12_a_number_that_is_told_twice_is_noticed(
    given: Given, monkeypatch: pytest.MonkeyPatch, number: int, share: str | None
) -> None:
    rows = await line_of(given.bob, given.shares[0].connection)
    place = {"n": number, "prev": digest(unb64(rows[number - 1].manifest)), "share": share or given.ids[2]}
    again = {**asdict(rows[2]), **await resigned(given.ann, rows[2], **place), "n": number, "share": place["share"]}

    def twice(told: list[Row]) -> None:
        told[:] = [row for row in told if row["share"] != again["share"]]
        told.append(again)

    lie(monkeypatch, "line", twice)
    assert set(alarms(await listed(given.bob)).values()) == {ForkedLog}
    monkeypatch.undo()
    assert await sound(given.bob) == given.ids


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 3),
        ("n", 2**70),
        ("position", 2**70),
        ("share", OTHER),
        ("sender", "x" * 52),
        ("connection", "x" * 52),
        ("signature", b64(bytes(64))),
    ],
)
async def test_s12_a_line_that_is_not_what_its_sender_signed_is_not_believed(
    given: Given, monkeypatch: pytest.MonkeyPatch, field: str, value: Any
) -> None:
    lie(monkeypatch, "line", each(**{field: value})(given.ids[1]))
    found = await listed(given.bob)
    assert set(alarms(found)) == set(given.ids)
    assert not [each for each in found if isinstance(each, Share)]
    monkeypatch.undo()
    assert await sound(given.bob) == given.ids


@pytest.fixture
def log_key(backend: RunningHome) -> SigningKey:
    """The home's own log key: whoever runs the home can sign what they like."""
    return SigningKey.from_seed(unb64(json.loads((backend.data / "keys.json").read_text())["log"]))


async def test_s12_two_checkpoints_of_one_size_meet_in_what_is_shared(
    connected: tuple[Person, Person], log_key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home shows Ann a history of its own; with what she shares, her checkpoint comes to Bob."""
    ann, bob = connected
    honest = sending.newest_checkpoint
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X1"})
        fine = await shares.create(session, keyring, kept.item, bob.address)
        assert await sound(bob) == [fine.share]

        async def forked(session: Session) -> str:
            note = await honest(session)
            size = read_checkpoint(note, session.server.log_public, session.server.home).size
            return make_checkpoint(log_key, session.server.home, size, sha256(b"another history"))

        with monkeypatch.context() as patch:
            patch.setattr(sending, "newest_checkpoint", forked)
            await shares.create(session, keyring, kept.item, bob.address)

    found = await listed(bob)
    assert set(alarms(found).values()) == {ForkedLog}
    shown = await run(bob, "share", "list")
    assert (shown.code, "ForkedLog" in shown.err) == (3, True)


async def test_s12_a_checkpoint_of_another_log_is_none(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected

    async def foreign(session: Session) -> str:
        return make_checkpoint(SigningKey.generate(), session.server.home, 1, sha256(b"root"))

    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X1"})
        with monkeypatch.context() as lying:
            lying.setattr(sending, "newest_checkpoint", foreign)
            with pytest.raises(Refusal, match="another key"):  # both ends would have an alarm for ever
                await shares.create(session, keyring, kept.item, bob.address)
        made = await shares.create(session, keyring, kept.item, bob.address)
    assert [each.share for each in await listed(bob)] == [made.share]
