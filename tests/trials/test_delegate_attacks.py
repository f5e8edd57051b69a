"""M34, attacked: delegates who help a lying home, and a home that lies about delegates; the truth goes through."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from privity.agent import delegations, items, vaults
from privity.agent.bus import Bus
from privity.agent.identity import newest_checkpoint, own
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.crypto.command import frame, unframe
from privity.crypto.delegations import (
    Grant,
    SealedVersion,
    new_vault_key,
    read_step,
    seal_vault_key,
    seal_version,
    sign_step,
)
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    ForkedLog,
    IntegrityAlarm,
    KeyMismatch,
    NotDelegated,
    RolledBack,
    Withheld,
)
from privity.messages.views import AskItems, ItemRow
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.test_delegations import invite, opened, slots_of
from tests.rows.test_items import add
from tests.rows.watching import BLOBS, MIB

pytestmark = pytest.mark.trial

Row = dict[str, Any]
Lie = Callable[[list[Row], dict[str, bytes]], None]


@contextmanager
def serving(view: str, change: Lie) -> Iterator[None]:
    """A home that changes the rows of a view, and the sealed objects behind them by digest."""
    honest = Bus.ask

    async def lying(bus: Bus, subject: str, data: bytes) -> bytes:
        answer = await honest(bus, subject, data)
        if not subject.endswith(f".{view}"):
            return answer
        head, *blobs = unframe(answer, BLOBS, MIB)
        said, named = json.loads(head), {digest(blob): blob for blob in blobs}
        change(said["rows"], named)
        return frame(json.dumps(said).encode(), *named.values())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bus, "ask", lying)
        yield


def forged(item: str, sealed: SealedVersion, version: int) -> Lie:
    """Serves this version of an item."""

    def change(rows: list[Row], blobs: dict[str, bytes]) -> None:
        for row in rows:
            if row["item"] == item:
                parts = {"content": digest(sealed.content), "wrap": digest(sealed.wrap)}
                signed = {"record": b64(sealed.record), "signature": b64(sealed.signature)}
                row.update(version=version, kept=row["kept"], **parts, **signed)
                blobs.update({digest(blob): blob for blob in (sealed.content, sealed.wrap)})

    return change


async def sealed_by(
    session: Session, keyring: Keyring, vault: vaults.Vault, item: str, version: int, **changes: Any
) -> SealedVersion:
    """A version as a delegate could make it whom nobody stops."""
    place: Row = {
        "principal": vault.principal,
        "item": item,
        "version": version,
        "generation": vault.walk.generation,
        "by": session.account,
        "delegation": vault.mine.delegation if vault.mine else None,
        "checkpoint": await newest_checkpoint(session),
        "identity": keyring.identity.sign,
    }
    content = items.Content("Passport", {"number": "forged"}).to_bytes()
    return seal_version(vault.key, content, **place | changes)


@dataclass(frozen=True, slots=True)
class Three:
    """Ann, whose item it is, and two delegates."""

    ann: Person
    bob: Person
    carol: Person
    item: str

    async def refused_by(self, readers: tuple[Person, ...], alarm: type[IntegrityAlarm], change: Lie) -> None:
        """What is served so is an alarm for each, and the truth is not."""
        for each in readers:
            with serving("items", change), pytest.raises(alarm):
                await self.look(each)
        for each in readers:
            assert await self.look(each) == {"number": "X123"}

    async def look(self, who: Person) -> dict[str, str]:
        """What somebody reads of the item."""
        if who is not self.ann:
            return await slots_of(who, self.ann, self.item)
        async with who.session() as (session, keyring):
            return (await items.show(session, keyring, self.item)).content.slots


async def three(ann: Person, bob: Person, person: MakePerson, role: Any) -> Three:
    """Ann's item, whose delegates Bob, with that role, and Carol, a reader, have both read it."""
    carol = await person("carol")
    await connect(ann, bob)
    await connect(ann, carol)
    made = Three(ann, bob, carol, await add(ann, "Passport", number="X123"))
    await invite(ann, bob, role)
    await invite(ann, carol, "reader")
    for each in (ann, bob, carol):
        assert await made.look(each) == {"number": "X123"}
    return made


async def test_m34_an_item_that_a_reader_forges_with_the_homes_help_is_an_alarm_for_all(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    made = await three(ann, bob, person, "reader")
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        carols = next(grant for grant in vault.walk.grants.values() if grant.delegate_address == made.carol.address)
        as_himself = await sealed_by(session, keyring, vault, made.item, 3)
        as_ann = await sealed_by(session, keyring, vault, made.item, 3, by=vault.principal, delegation=None)
        as_carol = await sealed_by(
            session, keyring, vault, made.item, 3, by=carols.delegate, delegation=carols.delegation
        )
        nobodys = await sealed_by(session, keyring, vault, made.item, 3, delegation=new_id())
    for sealed in (as_himself, as_ann, as_carol, nobodys):
        await made.refused_by((ann, made.carol), ForgedRecord, forged(made.item, sealed, 3))


async def test_m34_what_an_admin_signs_after_the_removal_counts_for_nobody(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    made = await three(ann, bob, person, "admin")
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        async with ann.session() as (hers, her_keyring):
            await delegations.remove(hers, her_keyring, bob.address)
        late = await sealed_by(session, keyring, vault, made.item, 3)
    assert await made.look(made.carol) == {"number": "X123"}
    await made.refused_by((ann, made.carol), ForgedRecord, forged(made.item, late, 3))


async def test_m34_a_version_is_bound_to_its_item_and_no_older_one_is_taken(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    made = await three(ann, bob, person, "admin")
    other = await add(ann, "Phone", number="1")
    async with ann.session() as (session, keyring):
        for number in ("2", "3", "4"):  # so that it is newer than what is known of the first
            await items.edit(session, keyring, other, {"number": number})
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        found = await session.ask_all(AskItems(principal=vault.principal), ItemRow)
        before = {row.item: row for row in found.rows}
    served = {field: getattr(before[other], field) for field in ("version", "content", "wrap", "record", "signature")}

    def moved(rows: list[Row], _: dict[str, bytes]) -> None:
        for row in rows:
            if row["item"] == made.item:
                row.update(served)

    def older(rows: list[Row], blobs: dict[str, bytes]) -> None:
        for row in rows:
            if row["item"] == made.item:
                old = before[made.item]
                row.update(version=old.version, content=old.content, wrap=old.wrap)
                row.update(record=old.record, signature=old.signature)
                blobs.update(found.sealed)

    for each in (ann, made.carol):
        with serving("items", moved), pytest.raises(ForgedRecord, match="not what its author signed"):
            await made.look(each)
    async with ann.session() as (session, keyring):
        await items.edit(session, keyring, made.item, {"number": "new"})
    for each in (ann, bob, made.carol):
        assert await made.look(each) == {"number": "new"}
        with serving("items", older), pytest.raises((RolledBack, DoesNotOpen)):
            await made.look(each)


async def test_m34_an_item_under_the_vault_key_is_not_left_out_unnoticed_nor_shown_without_its_record(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    made = await three(ann, bob, person, "admin")

    def unsigned(rows: list[Row], _: dict[str, bytes]) -> None:
        for row in rows:
            row.update(record=None, signature=None)

    await made.refused_by((ann,), DoesNotOpen, unsigned)
    await made.refused_by((made.carol,), ForgedRecord, unsigned)
    await made.refused_by((ann,), Withheld, lambda rows, _: rows.clear())


async def test_m34_a_vault_key_of_the_homes_own_making_is_not_taken(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    """Else an admin would seal new items for the home to read."""
    await connect(ann, bob)
    item = await add(ann, "Passport", number="X123")
    delegation = await invite(ann, bob, "admin")
    async with ann.session() as (session, keyring):
        vault = await vaults.find(session, keyring, session.account)
    grant = vault.walk.grants[delegation]
    place = {"principal": grant.principal, "delegation": delegation, "holder": grant.delegate, "role": grant.role}
    sealed = seal_vault_key(new_vault_key(), grant.suite, grant.public, **place, generation=1)  # type: ignore[arg-type]

    def own_key(rows: list[Row], blobs: dict[str, bytes]) -> None:
        for row in rows:
            row["wrap"] = digest(sealed)
            blobs[digest(sealed)] = sealed

    with serving("vaults", own_key), pytest.raises(DoesNotOpen):
        await slots_of(bob, ann, item)
    assert await slots_of(bob, ann, item) == {"number": "X123"}
    with serving("vaults", own_key), pytest.raises(DoesNotOpen):
        await slots_of(bob, ann, item)


async def test_m34_steps_are_neither_left_out_nor_bent_nor_made_by_who_may_not(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    made = await three(ann, bob, person, "admin")
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        mine = vault.mine
        assert mine is not None
        bobs = keyring.identity.sign
    dave = {"delegation": new_id(), "n": 3, "prev": vault.walk.head, "delegate": session.account}

    def resigned(**changes: Any) -> Lie:
        """Bob's own grant with other words, signed by him."""
        record, signature = sign_step(Grant(**{**_fields(mine), **changes}), bobs)

        def change(rows: list[Row], _: dict[str, bytes]) -> None:
            for row in rows:
                if read_step(unb64(row["record"])).delegation == mine.delegation:
                    row.update(record=b64(record), signature=b64(signature))

        return change

    def one_more(rows: list[Row], _: dict[str, bytes]) -> None:
        record, signature = sign_step(Grant(**{**_fields(mine), **dave, "by": mine.delegate}), bobs)
        rows.append({**rows[0], "n": 3, "record": b64(record), "signature": b64(signature)})

    lies: list[tuple[Lie, type[IntegrityAlarm]]] = [
        (resigned(role="owner"), ForgedRecord),
        (resigned(role="owner", by=mine.delegate), ForgedRecord),
        (one_more, ForgedRecord),
        (lambda rows, _: rows.pop(), RolledBack),
        (lambda rows, _: rows.reverse(), ForgedRecord),
        (lambda rows, _: rows[1].update(chain=rows[0]["chain"]), KeyMismatch),
    ]
    for who in (ann, made.carol):
        for change, alarm in lies:
            with serving("delegations", change), pytest.raises((alarm, ForkedLog)):
                await made.look(who)
        assert await made.look(who) == {"number": "X123"}

    async with ann.session() as (session, keyring):
        await delegations.remove(session, keyring, bob.address)
    for who in (ann, made.carol):
        assert await made.look(who) == {"number": "X123"}
        with serving("delegations", lambda rows, _: rows.pop()), pytest.raises(RolledBack):
            await made.look(who)


async def test_m34_another_person_is_not_taken_for_the_principal(ann: Person, bob: Person, person: MakePerson) -> None:
    """By the address as pinned, whatever a home says."""
    carol = await person("carol")
    await connect(ann, bob)
    await connect(carol, bob)
    hers, carols = await add(ann, "Passport", number="X123"), await add(carol, "Passport", number="Y456")
    await invite(ann, bob, "admin")
    await invite(carol, bob, "admin")
    assert await slots_of(bob, ann, hers) == {"number": "X123"}

    async with bob.session() as (session, keyring):
        his = {each.address: (await opened(session, keyring, each)).principal for each in (ann, carol)}

    def swapped(rows: list[Row], _: dict[str, bytes]) -> None:
        for row in rows:
            row["principal"] = his[carol.address if row["principal"] == his[ann.address] else ann.address]

    with serving("vaults", swapped), pytest.raises((IntegrityAlarm, NotDelegated)):
        await slots_of(bob, ann, hers)

    def one_chain(rows: list[Row], _: dict[str, bytes]) -> None:
        for row in rows:
            row["chain"] = chain

    async with carol.session() as (session, _):
        chain = [asdict(each) for each in (await own(session))[0].chain]
    with serving("vaults", one_chain), pytest.raises(KeyMismatch):
        await slots_of(bob, ann, hers)
    assert await slots_of(bob, carol, carols) == {"number": "Y456"}


def _fields(grant: Grant | None) -> Row:
    assert grant is not None
    return {name: getattr(grant, name) for name in Grant.__dataclass_fields__}
