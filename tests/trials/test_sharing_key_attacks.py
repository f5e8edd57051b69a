"""A backend, a creator or a stranger that lies about sharing keys: each lie has its alarm, and the truth still works.

Trials S2, S3, S8, S11-S13, U2 and row B27 on sharing keys.
"""

import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from privity.agent import connections, key_backup, key_files, sharing_keys
from privity.agent.connections import Broken
from privity.agent.identity import current, newest_checkpoint
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.sharing_keys import SharingKey
from privity.agent.supplying import Place, list_objects
from privity.crypto.coding import FRAGMENT_BYTES
from privity.crypto.sharing_keys import PrivatePart, sign_record
from privity.encoding import b64, digest, new_id
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    KeyMismatch,
    KeyNotFound,
    LeaseEnded,
    Malformed,
    NotFound,
    PrivityError,
    RolledBack,
    SupplierAway,
    Withheld,
)
from privity.messages.sharing_keys import (
    ClaimSharingKey,
    EraseSharingKey,
    GrantSharingKey,
    NoteSharingKey,
    SendPublicPart,
    SharingKeyId,
)
from privity.messages.suppliers import Listed
from privity.messages.views import (
    AskKeyHolders,
    AskKeyRecords,
    AskSharingKeys,
    KeyHolderRow,
    KeyRecordRow,
    SharingKeyRow,
)
from privity.supplying import Known, Supplier
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.keyholding import hold, turn
from tests.rows.test_erasing import assert_erased, assert_there
from tests.rows.watching import lie, ran
from tests.trials.flipping import Look, cells, noticed_and_believed, seen, sound

pytestmark = pytest.mark.trial

Copies = AsyncIterator[tuple[str, bytes]]
Change = Callable[[list[dict[str, Any]]], None]


async def made(person: Person, *names: str) -> list[SharingKey]:
    async with person.session() as (session, keyring):
        return [await sharing_keys.create(session, keyring, name) for name in names]


async def found_by(person: Person) -> dict[str, SharingKey | Broken]:
    """What somebody has, by id."""
    async with person.session() as (session, keyring):
        return {each.id: each for each in await sharing_keys.all_known(session, keyring)}


async def alarm_under(patch: pytest.MonkeyPatch, person: Person, key: str, change: Change) -> type[PrivityError] | None:
    """What somebody is told of a key while the backend changes its rows; that afterwards all is well is checked too."""
    with patch.context() as lying:
        lie(lying, "sharing-keys", change)
        told = (await found_by(person)).get(key)
    after = (await found_by(person))[key]
    assert isinstance(after, SharingKey), after
    return type(told.alarm) if isinstance(told, Broken) else None


def updated(key: str, **values: Any) -> Change:
    """Rows of one key with other values."""

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["key"] == key:
                row.update(values)

    return change


async def test_a_changed_row_of_a_key_is_noticed_whatever_was_changed(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    photos, films = await made(ann, "photos", "films")
    [foreign] = await made(bob, "foreign")
    async with ann.session() as (session, _):
        rows = {row.key: row for row in (await session.ask_all(AskSharingKeys(), SharingKeyRow)).rows}
    mine, other = rows[photos.id], rows[films.id]
    lies: list[tuple[Change, type[PrivityError]]] = [
        (updated(photos.id, wrap=other.wrap), DoesNotOpen),  # S3: spliced
        (updated(photos.id, note=other.note), DoesNotOpen),
        (updated(photos.id, note=None), Withheld),
        (updated(photos.id, claimed=False), KeyMismatch),
        (updated(photos.id, record=other.record, signature=other.signature), ForgedRecord),  # S4
        (updated(photos.id, signature=other.signature), ForgedRecord),  # B27
        (updated(photos.id, record=b64(foreign.record_bytes), signature=b64(foreign.signature)), ForgedRecord),
        (updated(photos.id, creator=foreign.creator), ForgedRecord),
        (updated(photos.id, kind="received"), ForgedRecord),
        (updated(photos.id, kind="public"), ForgedRecord),
    ]
    for change, alarm in lies:
        assert await alarm_under(monkeypatch, ann, photos.id, change) is alarm
    assert await alarm_under(monkeypatch, ann, photos.id, updated(photos.id, wrap=mine.wrap)) is None
    assert await alarm_under(monkeypatch, ann, photos.id, list.clear) is Withheld  # S12


async def test_s2_a_creator_who_gives_another_private_part_than_the_public_one_gives_nothing(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    ann, bob = connected
    (tmp_path / "plain").write_bytes(b"plain")
    await made(ann, "photos", "films")
    photos = await hold(ann, "photos", bob, PrivatePart.generate())
    films = await hold(ann, "films", bob)

    known = await found_by(bob)

    broken = known[photos.id]
    assert isinstance(broken, Broken)
    assert isinstance(broken.alarm, KeyMismatch)
    async with bob.session() as (session, keyring):
        with pytest.raises(KeyMismatch):
            await key_files.encrypt(session, keyring, photos.id, tmp_path / "plain", tmp_path / "out")
        await key_files.encrypt(session, keyring, films.id, tmp_path / "plain", tmp_path / "out")
    gone = await ran(bob, "key", "rm", photos.id, "--json")  # unopened: nobody's nuisance stays for ever
    assert (gone.code, gone.json["id"], gone.json["status"]) == (0, photos.id, "removed"), gone.err
    assert set(await found_by(bob)) == {films.id}


async def test_s11_who_is_granted_a_key_again_is_told_of_no_rollback_and_it_is_not_hidden_again(
    connected: tuple[Person, Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    await made(ann, "photos")
    photos = await hold(ann, "photos", bob)
    await found_by(bob)
    other = replace(bob, home=tmp_path / "other device")
    shutil.copytree(bob.home, other.home)
    async with other.session() as (session, keyring):
        key = await sharing_keys.show(session, keyring, photos.id)
        for active in (False, True, False):
            async with bob.session() as (first, same):
                await sharing_keys.switch(first, same, photos.id, active=active)
        kept = await sharing_keys._keep(session, keyring, key, label="hers")  # on what the first device kept since
        assert (kept.active, kept.label) == (False, "hers")
    async with bob.session() as (first, same):
        for active in (True, False, True):
            assert (await sharing_keys.switch(first, same, photos.id, active=active)).label == "hers"
    await turn(ann, "photos")
    assert await found_by(bob) == {}
    await hold(ann, "photos", bob)

    with monkeypatch.context() as lying:
        lie(lying, "sharing-keys", list.clear)
        told = (await found_by(bob)).get(photos.id)
        assert isinstance(told, Broken)
        assert isinstance(told.alarm, Withheld)
    for device in (other, bob):
        now = (await found_by(device))[photos.id]
        assert isinstance(now, SharingKey), now
        assert (now.generation, now.label) == (2, "")


async def test_s13_an_older_generation_is_not_taken_again_and_what_is_newer_stays_closed_to_the_dropped(
    connected: tuple[Person, Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    await made(ann, "photos")
    held = await hold(ann, "photos", bob)
    his = (await found_by(bob))[held.id]
    assert isinstance(his, SharingKey)
    async with ann.session() as (session, _):
        old = (await session.ask(AskSharingKeys(id=held.id), SharingKeyRow)).one("key", held.id)
    turned = await turn(ann, "photos")  # without Bob

    async with ann.session() as (session, keyring):
        (tmp_path / "plain").write_bytes(b"newer")
        await key_files.encrypt(session, keyring, "photos", tmp_path / "plain", tmp_path / "sealed")
    before = updated(turned.id, record=old.record, signature=old.signature)
    assert await alarm_under(monkeypatch, ann, turned.id, before) is RolledBack

    assert held.id not in await found_by(bob)
    async with bob.session() as (session, keyring):
        for ask, row in ((AskKeyRecords(key=held.id), KeyRecordRow), (AskKeyHolders(key=held.id), KeyHolderRow)):
            with pytest.raises(NotFound):
                await session.ask(ask, row)
        with pytest.raises(KeyNotFound):
            await key_files.decrypt(session, keyring, tmp_path / "sealed", tmp_path / "out")
    source, header = key_files._begin(tmp_path / "sealed")
    with source, pytest.raises(DoesNotOpen):  # the part that he kept opens nothing that is newer
        key_files._open(header, his.private(), source, BytesIO())


async def test_s11_an_older_note_and_a_line_that_was_bent_are_noticed(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    await made(ann, "photos")
    first = await hold(ann, "photos", bob)
    await found_by(bob)
    async with ann.session() as (session, keyring):
        found = await session.ask(AskSharingKeys(id=first.id), SharingKeyRow)
        await sharing_keys.switch(session, keyring, "photos", active=False)
        await sharing_keys.switch(session, keyring, "photos", active=True)
    older = found.one("key", first.id)
    turned = await turn(ann, "photos", bob)
    assert await alarm_under(monkeypatch, ann, first.id, updated(first.id, note=older.note)) is DoesNotOpen  # erased

    with monkeypatch.context() as lying:
        lie(lying, "key-records", lambda rows: rows.remove(rows[1]))
        told = (await found_by(bob))[turned.id]
        assert isinstance(told, Broken)
        assert isinstance(told.alarm, Withheld)
    with monkeypatch.context() as lying:
        lie(lying, "key-records", lambda rows: rows[1].update(record=rows[0]["record"]))
        told = (await found_by(bob))[turned.id]
        assert isinstance(told, Broken)
    now = (await found_by(bob))[turned.id]
    assert isinstance(now, SharingKey)
    assert now.generation == 2


async def test_u2_somebody_elses_key_is_like_none(connected: tuple[Person, Person], person: MakePerson) -> None:
    ann, _ = connected
    eve = await person("eve")
    [key] = await made(ann, "photos")
    blob = b"sealed for nothing"
    said = []
    async with eve.session() as (session, _):
        for id in (key.id, "a" * 52):
            for command in (
                ClaimSharingKey(id, 1, None, digest(blob), digest(blob + b"2")),
                NoteSharingKey(id, None, digest(blob)),
                SendPublicPart(id, session.account, "b" * 52, 1, digest(blob)),
                EraseSharingKey(id),
            ):
                sealed = [blob, blob + b"2"][
                    : {"ClaimSharingKey": 2, "EraseSharingKey": 0}.get(type(command).__name__, 1)
                ]
                with pytest.raises(NotFound) as refused:
                    await session.send(command, *sealed)
                said.append(refused.value.message)
            for ask, row in ((AskKeyRecords(key=id), KeyRecordRow), (AskKeyHolders(key=id), KeyHolderRow)):
                with pytest.raises(NotFound) as hidden:
                    await session.ask(ask, row)
                said.append(hidden.value.message)
            assert (await session.ask(AskSharingKeys(id=id), SharingKeyRow)).rows == ()
    assert set(said) == {"there is no such sharing key"}


async def test_s8_the_home_takes_no_record_that_its_creator_did_not_sign_or_that_does_not_go_on(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    [key] = await made(ann, "photos")
    async with bob.session() as (theirs, his):
        forger = his.identity.sign
        assert theirs.account != key.creator
    async with ann.session() as (session, keyring):
        keyring, _ = await current(session, keyring)
        over = await connections.with_person(session, keyring, bob.address)
        good = replace(
            key.record,
            n=2,
            prev=digest(key.record_bytes),
            holders=(over.peer,),
            checkpoint=await newest_checkpoint(session),
        )
        other = PrivatePart.generate()
        bad = [
            (forger, good, ForgedRecord),
            (keyring.identity.sign, replace(good, prev=digest(b"another")), Malformed),
            (keyring.identity.sign, replace(good, seal=other.pair.public), Malformed),
            (keyring.identity.sign, replace(good, checkpoint="none of the log's"), Malformed),
        ]
        for signer, record, refusal in bad:
            with pytest.raises(PrivityError) as refused:
                await session.send(_grant(key.id, over, *sign_record(signer, record)), b"sealed")
            assert refused.value.code == refusal.__name__
    assert (await hold(ann, "photos", bob)).record.n == 2


def _grant(key: SharingKeyId, over: connections.Connection, data: bytes, signature: bytes) -> GrantSharingKey:
    return GrantSharingKey(key, new_id(), over.peer, over.connection, 2, b64(data), b64(signature), digest(b"sealed"))


async def test_s12_a_key_that_is_hidden_is_noticed_whatever_the_feed_says_of_its_end(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    await made(ann, "photos", "films")
    photos, films = await hold(ann, "photos", bob), await hold(ann, "films", bob)
    turned = await turn(ann, "photos", bob)  # which says nothing of an end: he is in
    assert set(await found_by(bob)) == {photos.id, films.id}

    with monkeypatch.context() as lying:
        lie(lying, "sharing-keys", list.clear)
        told = await found_by(bob)
        assert {id: type(each.alarm) for id, each in told.items() if isinstance(each, Broken)} == dict.fromkeys(
            (photos.id, films.id), Withheld
        )
    async with ann.session() as (session, keyring):
        await sharing_keys.remove(session, keyring, "films")
    left = await found_by(bob)
    assert set(left) == {photos.id}
    assert isinstance(left[photos.id], SharingKey)
    assert turned.generation == 2


async def test_s11_suppliers_cannot_give_an_older_or_another_backup(
    customer: MakePerson, suppliers: RunningHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await customer("ann")
    [photos] = await made(ann, "photos")
    copies = key_backup._copies
    async with ann.session() as (session, keyring):
        await key_backup.backup(session, keyring)
        place = await key_backup._place(session, keyring)
        older = [[each async for each in copies(one, place)] for one in place.slots if one]
        await key_backup.backup(session, keyring)

        async def stale(supplier: Supplier, place: Place) -> Copies:
            for each in older[0]:
                yield each

        async def bent(supplier: Supplier, place: Place) -> Copies:
            async for id, blob in copies(supplier, place):
                yield id, blob[:-1] + bytes([blob[-1] ^ 1])

        async def moved(supplier: Supplier, place: Place) -> Copies:
            async for _, blob in copies(supplier, place):
                yield new_id(), blob

        async def refused(supplier: Supplier, place: Place) -> Copies:
            raise Malformed("the supplier's answer cannot be read")
            yield "", b""

        def once(lying: Any) -> Any:
            def chosen(supplier: Supplier, place: Place) -> Copies:
                last = place.slots[-1]
                honest = last is not None and supplier.known.id == last.known.id
                return copies(supplier, place) if honest else lying(supplier, place)

            return chosen

        for lying, alarm in ((stale, RolledBack), (bent, DoesNotOpen), (moved, DoesNotOpen), (refused, SupplierAway)):
            monkeypatch.setattr(key_backup, "_copies", lying)
            with pytest.raises(alarm):
                await key_backup.restore(session, keyring)
            monkeypatch.setattr(key_backup, "_copies", once(lying))  # one honest supplier is enough
            for done in (await key_backup.restore(session, keyring), await key_backup.backup(session, keyring)):
                assert [(each.id, each.passed) for each in done] == [(photos.id, True)]
        monkeypatch.setattr(key_backup, "_copies", bent)  # whatever they serve of older ones, a new one is made
        assert [(each.id, each.passed) for each in await key_backup.backup(session, keyring)] == [(photos.id, True)]


async def test_u9_suppliers_that_list_without_end_are_read_within_bounds() -> None:
    asked, given = Counter[str](), b"x" * FRAGMENT_BYTES

    class Endless(Supplier):
        """Lists as many of the largest objects as one likes."""

        async def open(self, *wish: Any, **more: Any) -> Any:
            return self

        async def objects(self, pages: int | None = None) -> list[Listed]:
            assert pages == 1
            return [Listed(f"{number:026}", True, 17, 0) for number in range(1000)]

        async def get(self, segment: int) -> bytes:
            asked["get"] += 1
            if asked["get"] == 1:
                raise LeaseEnded
            return given

    place: Any = SimpleNamespace(holder=None, key="")
    blobs = [len(blob) async for _, blob in key_backup._copies(Endless(Known("", "", b""), None), place)]  # type: ignore[arg-type]
    assert blobs == [17 * FRAGMENT_BYTES] * (key_backup.MAX_OBJECTS - 1)  # all but the one that was refused


async def test_devices_that_back_up_at_once_do_not_delete_each_others(
    customer: MakePerson, suppliers: RunningHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await customer("ann")
    await made(ann, "photos")
    put = key_backup._put
    async with ann.session() as (session, keyring):
        await key_backup.backup(session, keyring)
        place = await key_backup._place(session, keyring)

        async def objects() -> set[str]:
            listed, _ = await list_objects(place)
            return {each.object for listed in listed.values() for each in listed}

        async def meanwhile(place: Place, object: str, blob: bytes) -> Any:
            monkeypatch.setattr(key_backup, "_put", put)
            await key_backup.backup(session, keyring)
            return await put(place, object, blob)

        [first] = await objects()
        monkeypatch.setattr(key_backup, "_put", meanwhile)
        await key_backup.backup(session, keyring)
        both = await objects()
        assert len(both) == 2
        assert first not in both
        assert [each.passed for each in await key_backup.restore(session, keyring)] == [True]
        await key_backup.backup(session, keyring)
        assert len(await objects()) == 1
    bob = await customer("bob")
    async with bob.session() as (session, keyring):
        with pytest.raises(NotFound):
            await key_backup.restore(session, keyring)


SPOKEN = {
    (
        "sharing_key_people",
        "given_by",
    ): "of a part that was taken; else it must be the other end of the connection",
    ("sharing_key_people", "connection"): "likewise",
    ("sharing_key_people", "generation"): "the home's own; the record's counts",
    ("sharing_key_people", "account"): "hides the key, which is S12",
    ("sharing_key_people", "position"): "the order of pages",
    ("sharing_keys", "position"): "asked of the log where a key was given up as stolen",
    ("sharing_key_records", "position"): "likewise",
    ("sharing_key_records", "signature"): "the newest one's signature binds all before it by their digests",
}
"""What only the home says of a key, and what it is worth."""


@pytest.mark.soak
async def test_s17_rows_of_keys_with_a_flipped_bit_are_refused_or_change_nothing(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann, bob = somebody("ann", tmp_path, own_backend.url), somebody("bob", tmp_path, own_backend.url)
    await ann.register()
    await bob.register()
    await connect(ann, bob)
    [photos, drop] = await made(ann, "photos", "drop")
    await hold(ann, "photos", bob)
    await found_by(bob)
    await turn(ann, "photos", bob)
    async with ann.session() as (session, keyring):
        await sharing_keys.send_public(session, keyring, drop.id, bob.address)
    await found_by(bob)
    async with ann.session() as hers, bob.session() as his:

        async def keys_and_parts(session: Session, keyring: Keyring) -> Any:
            known = await sound(sharing_keys.all_known(session, keyring))
            whole = next(each for each in known if each.id == photos.id)
            parts = await sharing_keys.all_parts(session, keyring, whole)
            return known, {one: part.to_bytes() for one, part in parts.items()}

        looks: dict[str, Look] = {"ann": partial(keys_and_parts, *hers), "bob": partial(keys_and_parts, *his)}
        before = await seen(looks)
        assert not [each for each in before.values() if isinstance(each, PrivityError)], before
        views = own_backend.data / "views.db"
        turned = [each for each in cells(views) if each[0].startswith("sharing_key")]
        noticed, believed = await noticed_and_believed(views, turned, looks, before, SPOKEN)
        assert believed == {}
        checked = {"sharing_keys": {"key", "creator", "record", "signature"}}
        checked |= {"sharing_key_people": {"kind", "wrap", "claimed"}}  # its record is that of a part not yet taken
        checked |= {"sharing_key_notes": {"note"}, "sharing_key_records": {"n", "record", "link"}}
        assert {(table, each) for table, names in checked.items() for each in names} - noticed == set()
        assert await seen(looks) == before


async def test_s20_closing_an_account_ends_its_keys_and_erases_what_was_sealed(
    connected: tuple[Person, Person], backend: RunningHome
) -> None:
    ann, bob = connected
    [photos] = await made(ann, "photos")
    await hold(ann, "photos", bob)
    await made(bob, "own")
    assert photos.id in await found_by(bob)
    async with ann.session() as (session, _):
        stored = dict((await session.ask(AskSharingKeys(id=photos.id), SharingKeyRow)).sealed)
    assert_there(backend.data / "store.db", stored)

    closed = await ran(ann, "account", "close", "--yes")

    assert closed.code == 0, closed.err
    assert_erased(backend.data / "store.db", stored)
    left = await found_by(bob)
    assert [each.alias for each in left.values() if isinstance(each, SharingKey)] == ["own"]
    assert len(left) == 1
