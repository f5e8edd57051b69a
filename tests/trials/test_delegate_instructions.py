"""M34, attacked: what delegates want done with shares, planted, replayed or bent by a home that lies; the truth stays.

Each is tried against the agent of the principal; and where a delegate is told what became of it, against theirs.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from privity.agent import delegated_shares, delegations, instructions, shares
from privity.agent.connections import Broken
from privity.agent.delegated_shares import Given
from privity.agent.identity import newest_checkpoint
from privity.agent.reading import Share
from privity.agent.wanted import NewShare, to_bytes
from privity.crypto.instructions import Instruction, seal_instruction, sign_instruction
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    IntegrityAlarm,
    NotDelegated,
    NotInLog,
    RoleNotEnough,
    RolledBack,
)
from privity.messages.views import AskInstructions, InstructionRow
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.test_delegations import invite, opened
from tests.rows.test_items import add
from tests.trials.test_delegate_attacks import Lie, serving

pytestmark = pytest.mark.trial

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Three:
    """Ann, whose item it is; Bob, her delegate; Carol, with whom she is connected."""

    ann: Person
    bob: Person
    carol: Person
    item: str

    async def wants(self) -> Given:
        """Bob has the item shared with Carol."""
        async with self.bob.session() as (session, keyring):
            vault = await opened(session, keyring, self.ann)
            return await delegated_shares.create(session, keyring, vault, self.item, self.carol.address)

    async def signed(self, key: SigningKey | None = None, content: bytes | None = None, **changes: Any) -> Row:
        """A row that Bob's device could make, whom nobody stops; or with another key."""
        async with self.bob.session() as (session, keyring):
            vault = await opened(session, keyring, self.ann)
            assert vault.mine is not None
            wanted = NewShare(share=new_id(), item=self.item, address=self.carol.address)
            said: Row = {"principal": vault.principal, "by": session.account, "delegation": vault.mine.delegation}
            said |= {"n": 1, "generation": vault.walk.generation} | changes
            rest = {name: said.pop(name) for name in ("expires",) if name in said}
            sealed = seal_instruction(vault.key, content or to_bytes(wanted), **said)
            made = Instruction(
                **said,
                expires=rest.get("expires", datetime.now(UTC) + timedelta(days=1)),
                content=digest(sealed),
                checkpoint=await newest_checkpoint(session),
            )
            record, signature = sign_instruction(made, key or keyring.identity.sign)
        row = {name: getattr(made, name) for name in ("principal", "delegation", "n", "content")}
        row |= {"record": b64(record), "signature": b64(signature), "position": 1}
        return row | {"answered": None, "code": None, "share": None, "sealed": sealed}

    async def carry_out(self) -> list[str | None]:
        """What Ann's agent does: the code of each answer."""
        async with self.ann.session() as (session, keyring):
            return [each.code for each in await instructions.carry_out(session, keyring)]

    async def shared(self) -> list[Share | Broken]:
        """What Ann gives."""
        async with self.ann.session() as (session, keyring):
            return await shares.all_of(session, keyring, "outgoing")

    async def refuses(self, change: Lie, alarm: type[IntegrityAlarm], match: str | None = None) -> None:
        """What is served so is an alarm for Ann, and nothing is done."""
        before = [each.share for each in await self.shared() if isinstance(each, Share)]
        with serving("instructions", change), pytest.raises(alarm, match=match):
            await self.carry_out()
        assert [each.share for each in await self.shared() if isinstance(each, Share)] == before


def planted(row: Row) -> Lie:
    """Serves this row as well."""

    def change(rows: list[Row], blobs: dict[str, bytes]) -> None:
        rows.append({name: value for name, value in row.items() if name != "sealed"})
        blobs[row["content"]] = row["sealed"]

    return change


async def three(ann: Person, bob: Person, person: MakePerson, role: Any) -> Three:
    """Bob is Ann's delegate in that role."""
    carol = await person("carol")
    await connect(ann, bob)
    await connect(ann, carol)
    made = Three(ann, bob, carol, await add(ann, "Passport", number="X123"))
    await invite(ann, bob, role)
    return made


async def test_m34_what_a_reader_wants_is_refused_by_the_home_and_with_its_help_by_the_agent(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    made = await three(ann, bob, person, "reader")
    with pytest.raises(RoleNotEnough):
        await made.wants()
    await made.refuses(planted(await made.signed()), ForgedRecord)


async def test_m34_what_a_home_plants_or_bends_is_not_done(ann: Person, bob: Person, person: MakePerson) -> None:
    made = await three(ann, bob, person, "admin")
    homes_own = await made.signed(key=SigningKey.generate())
    await made.refuses(planted(homes_own), ForgedRecord)
    async with ann.session() as (session, _):
        anns = session.account
    await made.refuses(planted(await made.signed(by=anns)), ForgedRecord)
    await made.refuses(planted(await made.signed(delegation=new_id())), ForgedRecord)
    await made.refuses(planted(await made.signed(principal=new_id() * 2)), ForgedRecord)

    given = await made.wants()
    other = await made.signed()

    def another_content(rows: list[Row], blobs: dict[str, bytes]) -> None:
        rows[0]["content"] = other["content"]
        blobs[other["content"]] = other["sealed"]

    def changed_bytes(rows: list[Row], blobs: dict[str, bytes]) -> None:
        name = rows[0]["content"]
        blobs[name] = blobs[name][:-1] + bytes([blobs[name][-1] ^ 1])

    lies: list[tuple[Lie, type[IntegrityAlarm]]] = [
        (lambda rows, _: rows[0].update(n=2), ForgedRecord),
        (lambda rows, _: rows[0].update(delegation=other["principal"][:26]), ForgedRecord),
        (lambda rows, _: rows[0].update(signature=other["signature"]), ForgedRecord),
        (another_content, ForgedRecord),
        (changed_bytes, DoesNotOpen),
        (lambda _, blobs: blobs.clear(), DoesNotOpen),
    ]
    for change, alarm in lies:
        await made.refuses(change, alarm)
    assert await made.carry_out() == [None]
    [share] = await made.shared()
    assert isinstance(share, Share)
    assert (share.share, share.recipient) == (given.share, made.carol.address)


async def test_m34_what_was_done_is_not_done_again(ann: Person, bob: Person, person: MakePerson) -> None:
    """By the device that did it, or by another one, which heard of the answer by the feed."""
    made = await three(ann, bob, person, "admin")
    given = await made.wants()
    assert await made.carry_out() == [None]
    later = datetime(2099, 1, 1, tzinfo=UTC)
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        await delegated_shares.update(session, keyring, vault, given.share or "", {"expires": later})
        found = await session.ask_all(AskInstructions(principal=vault.principal, open=True), InstructionRow)
    [row] = found.rows
    kept = {name: getattr(row, name) for name in InstructionRow.__dataclass_fields__}
    kept["sealed"] = found.blob(row.content or "")
    assert await made.carry_out() == [None]
    async with ann.session() as (session, keyring):
        await shares.update(session, keyring, given.share or "", lambda before: replace(before, expires=None))
    await made.refuses(planted(kept), RolledBack, "it was answered")
    async with ann.session() as (session, _):
        forgotten = session.memory
        with forgotten._open() as db:  # as on a device that has done nothing of it, and reads the feed from the start
            db.execute("DELETE FROM seen WHERE kind IN ('instruction', 'tried-instruction')")
            db.execute("DELETE FROM feed")
    await made.refuses(planted(kept), RolledBack, "it was answered")
    [share] = await made.shared()
    assert isinstance(share, Share)
    assert share.expires is None

    other = await made.wants()
    assert await made.carry_out() == [None]
    assert {each.share for each in await made.shared() if isinstance(each, Share)} == {given.share, other.share}


async def test_m34_what_a_removed_delegate_wants_is_refused_by_home_and_agent(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    """Also where the home serves it as if it had come before; and what is under an older vault key, or too late."""
    made = await three(ann, bob, person, "admin")
    await invite(ann, made.carol, "reader")
    late = await made.signed(expires=datetime.now(UTC) + timedelta(days=8))
    past = await made.signed(expires=datetime.now(UTC) - timedelta(seconds=1), n=2)
    rubbish = await made.signed(content=b"rubbish", n=3)

    async def answers(row: Row) -> str | None:
        """The code that Ann's agent would answer: the home has no such instruction, which is no matter to it."""
        async with ann.session() as (session, keyring):
            with serving("instructions", planted(row)):
                [done] = await instructions.carry_out(session, keyring)
            with session.memory._open() as db:
                db.execute("DELETE FROM seen WHERE kind IN ('instruction', 'tried-instruction')")
            return done.code

    assert await answers(late) == "Malformed"
    assert await answers(past) == "InstructionExpired"
    assert await answers(rubbish) == "Malformed"
    older = await made.signed(n=4)
    async with ann.session() as (session, keyring):
        await delegations.remove(session, keyring, made.carol.address)
    assert await answers(older) == "StaleVersion"

    before = await made.signed(n=5)
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        async with ann.session() as (hers, her_keyring):
            await delegations.remove(hers, her_keyring, bob.address)
        with pytest.raises(NotDelegated):
            await delegated_shares._give(
                session, keyring, vault, NewShare(share=new_id(), item=made.item, address="a@b")
            )
    assert await answers(before) == "NotDelegated"
    assert await made.shared() == []


async def test_m34_no_home_says_what_became_of_it_or_what_is_shared(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    made = await three(ann, bob, person, "admin")
    given = await made.wants()
    assert await made.carry_out() == [None]
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        asked = await session.ask_all(AskInstructions(principal=vault.principal), InstructionRow)

    async def seen() -> list[Any]:
        async with bob.session() as (session, keyring):
            vault = await opened(session, keyring, ann)
            return [
                each.alarm if isinstance(each, Broken) else (each.share, each.status, each.expires)
                for each in await delegated_shares.all_of(session, keyring, vault)
            ]

    answered = asked.rows[0].answered or 0
    lies: list[tuple[Lie, type[IntegrityAlarm]]] = [
        (lambda rows, _: rows[0].update(code="NotConnected"), ForgedRecord),
        (lambda rows, _: rows[0].update(share=new_id()), ForgedRecord),
        (lambda rows, _: rows[0].update(answered=answered - 1), ForgedRecord),
        (lambda rows, _: rows[0].update(answered=answered + 1000), NotInLog),
    ]
    honest = [(given.share, "new", None)]
    for change, alarm in lies:
        with serving("instructions", change):
            shown, *broken = await seen()
        assert [shown] == honest, "what is shared stands all the same"
        assert [type(each) for each in broken] == [alarm]
    assert await seen() == honest
    assert await seen() == honest

    async with ann.session() as (session, keyring):
        [old] = await shares.all_of(session, keyring, "outgoing")
        assert isinstance(old, Share)
    before: list[Row] = []
    with serving("shares", lambda rows, _: before.extend(dict(row) for row in rows)):
        assert await seen() == honest
    for name, value in (("expires", "2099-01-01T00:00:00Z"), ("item", new_id()), ("version", 9), ("reshare", 1)):
        with serving("shares", lambda rows, _, name=name, value=value: rows[0].update({name: value})):  # type: ignore[misc]
            assert [type(each) for each in await seen()] == [ForgedRecord], name
    async with ann.session() as (session, keyring):
        await shares.update(session, keyring, old.share, lambda was: replace(was, keep=True))
    assert [each[1] for each in await seen()] == ["new"]
    with serving("shares", lambda rows, _: rows[0].update(before[0])):
        assert [type(each) for each in await seen()] == [RolledBack]
