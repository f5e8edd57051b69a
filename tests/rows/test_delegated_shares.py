"""Row M34, for shares: what a delegate wants done with the principal's shares is done by the principal's agent."""

import asyncio
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from privity.agent import connections, daemon, delegated_shares, delegations, instructions, resharing, shares
from privity.agent.closing import close_account
from privity.agent.connections import Broken
from privity.agent.instructions import Done
from privity.agent.profile import ProfileFolder
from privity.agent.reading import Share
from privity.agent.wanted import NewGeneration
from privity.errors import NotDelegated, NotFound, PastDate, RoleNotEnough, StaleVersion, Unreachable, Withheld
from privity.messages.base import Command
from privity.messages.envelope import Result
from privity.messages.instructions import AnswerInstruction
from privity.messages.views import AskInstructions, InstructionRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.test_delegations import invite, opened
from tests.rows.test_invitations import LINK, accepted, invited
from tests.rows.test_items import add
from tests.rows.watching import canary, files_of, found_in, mail_about, ran

SOON = "2099-01-01T00:00:00+00:00"


def kept_in(data: Path, digest: str) -> bool:
    """Whether the home's store has a sealed object."""
    with closing(sqlite3.connect(data / "store.db", timeout=10)) as db:
        return bool(db.execute("SELECT 1 FROM sealed WHERE digest = ?", (digest,)).fetchone())


async def carried_out(principal: Person) -> list[Done]:
    """What the principal's agent does now."""
    async with principal.session() as (session, keyring):
        return await instructions.carry_out(session, keyring)


async def as_bob(bob: Person, ann: Person, *words: str, json: bool = True) -> Any:
    """What Bob's command line says in Ann's name; a refusal's code where it does not work."""
    done = await ran(bob, *words, "--as", ann.address, *(["--json"] if json else []))
    return done.json if done.code == 0 else done.err.split(": ")[1].strip()


async def test_m34_an_admin_shares_changes_and_ends_in_the_principals_name(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    secret, terms = canary(), canary()
    item = await add(ann, "Passport", number=secret, other="1")
    await invite(ann, bob, "admin")

    words = ("create", item[:8], "--with", carol.address, "--slot", "number", "--terms", terms, "--expires", SOON)
    made = await as_bob(bob, ann, "share", *words)
    about = {"label": "Passport", "from": ann.address, "to": carol.address, "item": item, "expires": SOON}
    assert about.items() <= made.items()
    assert (made["status"], made["connection"]) == ("waiting", None)
    assert [(each["share"], each["status"]) for each in await as_bob(bob, ann, "share", "list")] == [
        (made["share"], "waiting")
    ]
    assert (await ran(ann, "share", "list", "--outgoing", "--json")).json[0]["share"] == made["share"], (
        "done on the way"
    )

    async with carol.session() as (session, keyring):
        assert (await shares.accept(session, keyring, made["share"])).content.slots == {"number": secret}
    [shown] = await as_bob(bob, ann, "share", "list", "--outgoing")
    assert about.items() <= shown.items()
    assert (shown["status"], shown["waits"], shown["generation"]) == ("claimed", False, 1)
    assert shown["connection"]

    later = "2098-01-01T00:00:00+00:00"
    assert (await as_bob(bob, ann, "share", "expire", made["share"], later))["status"] == "waiting"
    assert (await as_bob(bob, ann, "share", "update", made["share"], "--keep", "--terms", "new"))["waits"]
    assert [each.code for each in await carried_out(ann)] == [None, None]
    shown = await as_bob(bob, ann, "share", "show", made["share"][:8])
    assert (shown["expires"], shown["keep"], shown["status"], shown["generation"]) == (later, True, "terms", 3)
    assert (shown["slots"], shown["verified"]) == (None, None)
    async with carol.session() as (session, keyring):
        share, offered = await shares.offered_terms(session, keyring, made["share"])
        assert (offered.text, share.expires) == ("new", datetime(2098, 1, 1, tzinfo=UTC))

    assert (await as_bob(bob, ann, "share", "rm", made["share"]))["status"] == "waiting"
    assert [each.share for each in await carried_out(ann)] == [made["share"]]
    assert await as_bob(bob, ann, "share", "list") == []
    assert await as_bob(bob, ann, "share", "show", made["share"]) == "NotFound"
    assert await carried_out(ann) == []


async def test_m34_what_cannot_be_done_in_the_principals_name_is_refused_and_said_why(
    connected: tuple[Person, Person], person: MakePerson, backend: RunningHome
) -> None:
    """The agent does nothing over a connection that is not verified; and a reader wishes for nothing."""
    ann, bob = connected
    carol = await person("carol")
    made = await invited(ann, carol.address)
    unverified = await accepted(carol, LINK.findall(await mail_about(backend.data, made.invitation))[0])
    item = await add(ann, "Passport", number="X123")
    await invite(ann, bob, "reader")
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        with pytest.raises(RoleNotEnough):
            await delegated_shares.create(session, keyring, vault, item, carol.address)
        assert await delegated_shares.all_of(session, keyring, vault) == []
    async with ann.session() as (session, keyring):
        await delegations.remove(session, keyring, bob.address)
    await invite(ann, bob, "admin")

    async with bob.session() as (his, bobs), ann.session() as (hers, anns):
        vault = await opened(his, bobs, ann)
        for wrong, error in (
            ({"slots": ["none"]}, NotFound),
            ({"expires": datetime.now(UTC) - timedelta(days=1)}, PastDate),
        ):
            with pytest.raises(error):
                await delegated_shares.create(his, bobs, vault, item, carol.address, **wrong)  # type: ignore[arg-type]
        for address, code in ((carol.address, "Unverified"), ("nobody@localhost", "NotConnected")):
            given = await delegated_shares.create(his, bobs, vault, item, address)
            assert [each.code for each in await instructions.carry_out(hers, anns)] == [code]
            assert (await delegated_shares.answer_to(his, vault, given, 0)).code == code
        found = await delegated_shares.all_of(his, bobs, vault)
        assert [getattr(each, "status", "") for each in found] == ["refused: Unverified", "refused: NotConnected"]
        assert await shares.all_of(hers, anns) == []

        await connections.verify(hers, anns, unverified.connection)
        given = await delegated_shares.create(his, bobs, vault, item, carol.address)
        await delegations.remove(hers, anns, bob.address)
        assert [each.code for each in await instructions.carry_out(hers, anns)] == ["NotDelegated"]
        with pytest.raises(NotDelegated):
            await delegated_shares.create(his, bobs, vault, item, carol.address)
        assert await shares.all_of(hers, anns) == []


@pytest.mark.trial
async def test_m34_what_a_delegate_wants_is_done_once_and_in_the_order_in_which_it_was_wanted(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    """Also where the agent was ended after it did a thing, and before it said so; and with two devices."""
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    item = await add(ann, "Passport", number="X123")
    await invite(ann, bob, "owner")
    ends = [datetime(year, 1, 1, tzinfo=UTC) for year in (2091, 2092, 2093)]
    async with bob.session() as (his, bobs), ann.session() as (hers, anns):
        vault = await opened(his, bobs, ann)
        given = await delegated_shares.create(his, bobs, vault, item, carol.address)
        for end in ends:
            await delegated_shares.update(his, bobs, vault, given.share or "", {"expires": end})
        assert [each.n for each in await instructions.carry_out(hers, anns)] == [1, 2, 3, 4]
        [made] = await shares.all_of(hers, anns, "outgoing")
        assert isinstance(made, Share)
        assert (made.share, made.expires, made.generation) == (given.share, ends[-1], 4)

        await delegated_shares.update(his, bobs, vault, made.share, {"expires": ends[0]})
        honest = hers.send

        async def cut(command: Command, *sealed: bytes) -> Result:
            if isinstance(command, AnswerInstruction):
                raise Unreachable
            return await honest(command, *sealed)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hers, "send", cut)
            with pytest.raises(Unreachable):
                await instructions.carry_out(hers, anns)
        own = datetime(2095, 1, 1, tzinfo=UTC)
        done = await shares.update(hers, anns, made.share, lambda before: replace(before, expires=own))
        assert (done.expires, done.generation) == (own, 6)
        both = await asyncio.gather(*(instructions.carry_out(hers, anns) for _ in range(2)), return_exceptions=True)
        assert next([each.code for each in one] for one in both if isinstance(one, list) and one) == [None]
        [made] = await shares.all_of(hers, anns, "outgoing")
        assert isinstance(made, Share)
        assert (made.expires, made.generation) == (own, 6), "what she changed since stays"
        assert await instructions.carry_out(hers, anns) == []
        assert not any(getattr(each, "waits", True) for each in await delegated_shares.all_of(his, bobs, vault))
    assert (await ran(ann, "share", "list", "--outgoing")).code == 0
    kept = await ran(ann, "--offline", "--json", "share", "list", "--outgoing")
    assert [row["share"] for row in kept.json] == [given.share], "nothing is looked for without the home"


@pytest.mark.trial
async def test_m34_what_is_wanted_late_undoes_nothing_and_an_end_waits_behind_nothing_stuck(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the principal changed since stands; and an alarm about one share holds up no other's end for ever."""
    ann, bob = connected
    items = [await add(ann, name, number="X123") for name in ("Passport", "Visa")]
    await invite(ann, bob, "admin")
    async with bob.session() as (his, bobs), ann.session() as (hers, anns):
        first, second = [(await shares.create(hers, anns, item, bob.address)).share for item in items]
        vault = await opened(his, bobs, ann)
        await delegated_shares.update(his, bobs, vault, first, {"keep": True})
        await delegated_shares.update(his, bobs, vault, first, {"reshare": 1})
        assert [each.code for each in await instructions.carry_out(hers, anns)] == [None, None]
        late = NewGeneration(share=first, generation=2, changed=("reshare",), reshare=1)
        await instructions._update(hers, anns, late)  # on another device, which does not know that it is done
        assert (await shares.own(hers, anns, first)).generation == 3

        await delegated_shares.update(his, bobs, vault, first, {"keep": True})
        await shares.update(hers, anns, first, lambda before: replace(before, keep=False))
        assert [each.code for each in await instructions.carry_out(hers, anns)] == ["StaleVersion"]
        with pytest.raises(StaleVersion):
            await instructions._update(hers, anns, late)
        assert (await shares.own(hers, anns, first)).conditions.keep is False

        async def stuck(*args: Any, **options: Any) -> None:
            raise Withheld

        monkeypatch.setattr(resharing, "update", stuck)
        await delegated_shares.update(his, bobs, vault, first, {"keep": True})
        for share in (first, second):
            await delegated_shares.remove(his, bobs, vault, share)
        with pytest.raises(Withheld):
            await instructions.carry_out(hers, anns)
        assert [each.id if isinstance(each, Broken) else each.share for each in await shares.all_of(hers, anns)] == [
            first
        ]
        with pytest.raises(Withheld):
            await instructions.carry_out(hers, anns)
        assert [each.code for each in await instructions.carry_out(hers, anns)] == ["Withheld", None, None]
        assert await shares.all_of(hers, anns) == []


@pytest.mark.trial
async def test_m34_an_agent_that_stays_does_it_and_the_delegate_waits_for_it(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    item = await add(ann, "Passport", number="X123")
    await invite(ann, bob, "admin")
    async with ann.session() as (session, keyring):
        staying = asyncio.create_task(daemon.run(session, keyring, lambda entry: None))
        try:
            made = await as_bob(bob, ann, "share", "create", item, "--with", carol.address, "--wait", "60")
            assert (made["status"], made["to"]) == ("new", carol.address)
            refused = await as_bob(bob, ann, "share", "create", item, "--with", "no@localhost", "--wait", "60")
            assert refused == "NotConnected"
            gone = await as_bob(bob, ann, "share", "rm", made["share"], "--wait", "60")
            assert gone == {"share": made["share"], "status": "removed"}
        finally:
            staying.cancel()
            with suppress(asyncio.CancelledError):
                await staying


@pytest.mark.trial
async def test_m34_what_a_delegate_wants_is_nothing_to_the_home(own_backend: RunningHome, tmp_path: Path) -> None:
    ann, bob, carol = (somebody(name, tmp_path, own_backend.url) for name in ("ann", "bob", "carol"))
    for each in (ann, bob, carol):
        await each.register()
    await connect(ann, bob)
    await connect(ann, carol)
    slot, terms = canary(), canary()
    item = await add(ann, "Passport", **{slot: "1"})
    await invite(ann, bob, "admin")
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        await delegated_shares.create(session, keyring, vault, item, carol.address, slots=[slot], terms=terms)
    assert [each.code for each in await carried_out(ann)] == [None]
    assert found_in(files_of(own_backend.data), {"slot": slot.encode(), "terms": terms.encode()}) == []
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        await delegated_shares.create(session, keyring, vault, item, carol.address)
        asked = AskInstructions(principal=vault.principal, open=True)
        [row] = (await session.ask_all(asked, InstructionRow)).rows
    assert kept_in(own_backend.data, row.content or "")
    async with ann.session() as (session, keyring):
        await close_account(session, keyring, ProfileFolder(ann.home).load())
    assert not kept_in(own_backend.data, row.content or "")
    assert found_in([("here", slot.encode())], {"slot": slot.encode()}) == ["slot in here"]
