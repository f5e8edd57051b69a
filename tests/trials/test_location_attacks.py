"""What a hostile home, a stranger, or somebody who was dropped could try with a location."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import grants, location_line, location_writing, locations, rotation
from privity.agent import session as session_module
from privity.agent.bus import Bus
from privity.agent.chains import notices
from privity.agent.connections import Broken
from privity.agent.identity import current, newest_checkpoint
from privity.agent.keyring import Keyring
from privity.agent.location_files import Body, write_body
from privity.agent.location_writing import sources_of
from privity.agent.locations import Location
from privity.agent.session import Session
from privity.crypto.command import frame, unframe
from privity.crypto.locations import Manifest, objects_digest, seal_body, sign_manifest
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id
from privity.errors import (
    AlreadyExists,
    DoesNotOpen,
    ForgedRecord,
    ForkedLog,
    NotFound,
    NotInLog,
    PrivityError,
    RoleNotEnough,
    RolledBack,
    StaleSequence,
    StaleVersion,
    Withheld,
)
from privity.messages.locations import ChangeLocation, RemoveLocation, StoredObject
from privity.messages.views import AskLocationLine, AskLocationPeople, LocationLineRow, LocationPersonRow, LocationRow
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.watching import BLOBS, MIB, lie

pytestmark = pytest.mark.trial

Rows = list[dict[str, Any]]
ALARMS = (RolledBack, Withheld, ForkedLog, ForgedRecord, NotInLog, DoesNotOpen)


@dataclass(frozen=True, slots=True)
class Shared:
    """Ann's location, which Bob holds too, with three changes."""

    ann: Person
    bob: Person
    id: str

    async def names(self, person: Person) -> list[str]:
        """What somebody finds, in a session of their own."""
        async with person.session() as (session, keyring):
            return await names(session, keyring, self.id)


async def names(session: Session, keyring: Keyring, id: str) -> list[str]:
    return [each.name for each in (await locations.opened(session, keyring, id)).line.folder]


def file(folder: Path, name: str, data: bytes = b"data") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.fixture
async def shared(customer: MakePerson, tmp_path: Path) -> Shared:
    """Both have read two of the three changes; Bob has not heard of the third."""
    ann, bob = await customer("ann"), await customer("bob")
    await connect(ann, bob)
    async with ann.session() as (session, keyring):
        made = await locations.create(session, keyring, "photos", slots=1)
        await grants.create(session, keyring, "photos", bob.address, unverified=True, wait=0)
        await location_writing.put(session, keyring, made.id, sources_of([file(tmp_path, "one")]))
    held = Shared(ann, bob, made.id)
    async with bob.session() as (session, keyring):
        await location_writing.put(session, keyring, made.id, sources_of([file(tmp_path, "two")]))
        assert await names(session, keyring, made.id) == ["one", "two"]
    async with ann.session() as (session, keyring):
        await location_writing.put(session, keyring, made.id, sources_of([file(tmp_path, "three")]))
    return held


def without(n: int) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[:] = [row for row in rows if row["n"] != n]

    return change


def cut(most: int) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[:] = [row for row in rows if row["n"] <= most]

    return change


def turned(rows: Rows) -> None:
    rows.reverse()


def twice(rows: Rows) -> None:
    rows.insert(1, rows[0])


def with_(n: int, **said: Any) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        for row in rows:
            if row["n"] == n:
                row |= said

    return change


async def test_s10_s11_s12_a_line_that_is_cut_reordered_or_says_something_else_is_an_alarm(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, planted = SigningKey.generate(), digest(b"another object")
    lies: list[tuple[str, Callable[[Rows], None], type[PrivityError]]] = [
        ("rolled back", cut(1), RolledBack),
        ("emptied", cut(0), RolledBack),
        ("hidden between", without(2), Withheld),
        ("hidden at the beginning", without(1), Withheld),
        ("reordered", turned, Withheld),
        ("repeated", twice, Withheld),
        ("another writer", with_(2, by=shared.id), ForgedRecord),
        ("another generation", with_(2, generation=2), ForgedRecord),
        ("another body", with_(2, body=planted), ForgedRecord),
        ("released by nobody", with_(3, released=[new_id()]), ForgedRecord),
        ("objects left out", with_(3, objects=[]), ForgedRecord),
        ("another signature", with_(3, signature=b64(key.sign(b"x", b"y"))), ForgedRecord),
    ]
    for what, change, alarm in lies:
        with monkeypatch.context() as patch:
            lie(patch, "location-line", change)
            with pytest.raises(alarm):
                raise AssertionError(f"{what}: {await shared.names(shared.bob)}")
    monkeypatch.setattr(location_line, "MAX_PAGE", 1)  # a long line is read page by page, however many there are
    monkeypatch.setattr(session_module, "MAX_PAGES", 2)
    assert await shared.names(shared.bob) == ["one", "three", "two"]


async def test_s12_a_tail_or_a_location_that_is_hidden_is_named(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # the feed told Bob of the third change: then it must be there
        lie(patch, "location-line", cut(2))
        async with shared.bob.session() as (session, keyring):
            await locations.all_known(session, keyring)
            with pytest.raises(Withheld, match="the feed told"):
                await locations.opened(session, keyring, shared.id)
    with monkeypatch.context() as patch:
        lie(patch, "locations", cut(0))
        async with shared.bob.session() as (session, keyring):
            (broken,) = await locations.all_known(session, keyring)
            assert isinstance(broken, Broken)
            assert (broken.id, type(broken.alarm)) == (shared.id, Withheld)
        async with shared.bob.session() as (session, keyring):
            with pytest.raises(Withheld):
                await locations.find(session, keyring, shared.id)
    async with shared.bob.session() as (session, keyring):
        assert all(isinstance(each, Location) for each in await locations.all_known(session, keyring))
    async with shared.ann.session() as (session, keyring):
        await location_writing.remove(session, keyring, shared.id)
    async with shared.bob.session() as (session, keyring):  # what its creator ended is no alarm, by the log
        assert await locations.all_known(session, keyring) == []
        with pytest.raises(NotFound):
            await locations.find(session, keyring, shared.id)


async def test_other_suppliers_than_the_creator_signed_for_are_refused(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change in (
        _all(suppliers=[shared.id]),
        _all(needed=2),
        _all(by=shared.id),
    ):
        with monkeypatch.context() as patch:
            lie(patch, "locations", change)
            with pytest.raises(ForgedRecord):
                await shared.names(shared.bob)
    assert await shared.names(shared.bob) == ["one", "three", "two"]


def _all(**said: Any) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        for row in rows:
            row |= said

    return change


async def test_s11_a_forged_manifest_or_planted_file_is_refused_by_home_and_agents(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shared.ann.session() as (session, keyring):
        location, line = await locations.read(session, keyring, shared.id)
        keyring, _ = await current(session, keyring)
        checkpoint = await newest_checkpoint(session)
    eve = SigningKey.generate()
    planted = _change(location, 4, line.head, session.account, eve, checkpoint)
    row = asdict(planted[0]) | {"by": session.account, "position": 1}
    nobody = row["location"][::-1]

    def plant(rows: Rows) -> None:
        rows.append(row)

    with monkeypatch.context() as patch:
        lie(patch, "location-line", plant)
        with pytest.raises(ForgedRecord, match="not signed by"):
            await shared.names(shared.bob)
    strange, blob = _change(location, 4, line.head, nobody, eve, checkpoint)
    with monkeypatch.context() as patch:  # signed by somebody whom Ann never granted the key
        serve(
            patch,
            row | {"by": nobody} | {name: getattr(strange, name) for name in ("manifest", "signature", "body")},
            blob,
        )
        with pytest.raises(ForgedRecord, match="did not hold its key"):
            await shared.names(shared.bob)
    async with shared.bob.session() as (session, _):
        for key, refusal in ((eve, PrivityError), (keyring.identity.sign, PrivityError)):
            command, body = _change(location, 4, line.head, location.key.creator, key, checkpoint)
            with pytest.raises(refusal):  # signed by nobody, or in Ann's name by Bob's device
                await session.send(command, body)
    assert await shared.names(shared.bob) == ["one", "three", "two"]


def _change(
    location: Location,
    n: int,
    prev: str | None,
    by: str,
    sign: SigningKey,
    checkpoint: str,
    *,
    generation: int = 1,
    plain: bytes = b'{"v":1,"objects":{},"entries":[]}',
    released: tuple[str, ...] = (),
    objects: tuple[StoredObject, ...] = (),
) -> tuple[ChangeLocation, bytes]:
    """A change that somebody could make who has a sign key."""
    record = location.key.record
    body = seal_body(record.suite, record.seal, plain, location=location.id, n=n, generation=generation, by=by)
    manifest = Manifest(
        location=location.id,
        n=n,
        prev=prev,
        generation=generation,
        by=by,
        body=digest(body),
        objects=objects_digest([asdict(each) for each in objects], released),
        checkpoint=checkpoint,
    )
    data, signature = sign_manifest(sign, manifest)
    command = ChangeLocation(location.id, n, generation, b64(data), b64(signature), digest(body), objects, released)
    return command, body


async def test_u2_a_stranger_learns_no_more_of_a_location_than_of_one_that_is_not_there(
    shared: Shared, customer: MakePerson
) -> None:
    eve = await customer("eve")
    async with shared.ann.session() as (session, keyring):
        location, line = await locations.read(session, keyring, shared.id)
        checkpoint = await newest_checkpoint(session)
    nothing = shared.id[:-1] + ("a" if shared.id[-1] != "a" else "e")
    async with eve.session() as (session, keyring):
        keyring, _ = await current(session, keyring)
        said = []
        for id in (shared.id, nothing):
            command, body = _change(location, 4, line.head, session.account, keyring.identity.sign, checkpoint)
            attempts = (
                session.ask(AskLocationLine(location=id), LocationLineRow),
                session.ask(AskLocationPeople(location=id), LocationPersonRow),
                session.send(replace(command, location=id), body),
                session.send(RemoveLocation(id)),
            )
            answers = []
            for attempt in attempts:
                with pytest.raises(NotFound) as refused:
                    await attempt
                answers.append((refused.value.code, refused.value.message))
            said.append(answers)
        assert said[0] == said[1]
        assert await locations.all_known(session, keyring) == []
    assert await shared.names(shared.bob) == ["one", "three", "two"]


async def test_u9_a_change_under_an_old_generation_is_refused_by_the_home_and_by_agents(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert await shared.names(shared.bob) == ["one", "three", "two"]
    async with shared.bob.session() as (session, keyring):
        location, line = await locations.read(session, keyring, shared.id)
        keyring, _ = await current(session, keyring)
        late, body = _change(
            location, 4, line.head, session.account, keyring.identity.sign, await newest_checkpoint(session)
        )
        bobs = session.account
    async with shared.ann.session() as (session, keyring):
        await rotation.rotate(session, keyring, "photos", [shared.bob.address], unverified=True)
    async with shared.bob.session() as (session, keyring):
        with pytest.raises(NotFound):
            await session.send(late, body)
    async with shared.ann.session() as (session, keyring):
        own, _ = await current(session, keyring)
        older, sealed = _change(
            location, 4, line.head, session.account, own.identity.sign, await newest_checkpoint(session)
        )
        with pytest.raises(StaleVersion):
            await session.send(older, sealed)
    row = {"location": shared.id, "n": 4, "by": bobs, "generation": 1, "position": line.changes[-1].position}
    row |= {name: getattr(late, name) for name in ("manifest", "signature", "body")} | {"objects": [], "released": []}

    with monkeypatch.context() as patch:  # with a home that helps him: the log does not have it before the rotation
        serve(patch, row, body)
        with pytest.raises(ForgedRecord, match="a generation that had ended"):
            await shared.names(shared.ann)
    async with shared.ann.session() as (session, keyring):
        await location_writing.put(session, keyring, shared.id, sources_of([file(tmp_path, "four")]))
        assert await names(session, keyring, shared.id) == ["four", "one", "three", "two"]


async def test_a_holder_who_writes_what_cannot_be_read_spoils_nothing_else(
    shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    async with shared.bob.session() as (session, keyring):
        location, line = await locations.read(session, keyring, shared.id)
        keyring, _ = await current(session, keyring)
        command, body = _change(
            location,
            4,
            line.head,
            session.account,
            keyring.identity.sign,
            await newest_checkpoint(session),
            plain=b"garbage",
        )
        await session.send(command, body)
        again, sealed = _change(
            location, 4, line.head, session.account, keyring.identity.sign, await newest_checkpoint(session)
        )
        with pytest.raises(StaleSequence):
            await session.send(again, sealed)
        by = session.account
    with caplog.at_level("WARNING", notices.name):
        assert await shared.names(shared.ann) == ["one", "three", "two"]
    assert f"change 4 of the location, by {by}, does not count" in caplog.text


async def test_objects_that_files_stand_in_are_let_go_of_by_nobody_unnoticed(
    shared: Shared, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def release(person: Person) -> tuple[ChangeLocation, bytes, str]:
        async with person.session() as (session, keyring):
            location, line = await locations.read(session, keyring, shared.id)
            keyring, _ = await current(session, keyring)
            (object,) = {each.put.object for each in line.folder.standing("one")}
            note = await newest_checkpoint(session)
            sign = keyring.identity.sign
            return *_change(location, 4, line.head, session.account, sign, note, released=(object,)), session.account

    command, body, bobs = await release(shared.bob)
    async with shared.bob.session() as (session, _):
        with pytest.raises(RoleNotEnough):
            await session.send(command, body)
    row = asdict(command) | {"by": bobs, "position": 1}
    with monkeypatch.context() as patch, caplog.at_level("WARNING", notices.name):  # a home that took it all the same
        serve(patch, row, body)
        assert await shared.names(shared.bob) == ["one", "three", "two"]
    assert f"change 4 of the location, by {bobs}, does not count as it stands: ForgedRecord" in caplog.text


async def test_what_its_creator_lets_go_of_by_mistake_is_told_and_stays_at_the_suppliers(
    shared: Shared, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async with shared.ann.session() as (session, keyring):
        location, line = await locations.read(session, keyring, shared.id)
        own, _ = await current(session, keyring)
        (object,) = {each.put.object for each in line.folder.standing("one")}
        note, by = await newest_checkpoint(session), session.account
        command, body = _change(location, 4, line.head, by, own.identity.sign, note, released=(object,))
        await session.send(command, body)
        assert await location_writing.collect(session, keyring, shared.id) == (0, [])
    with caplog.at_level("WARNING", notices.name):
        async with shared.bob.session() as (session, keyring):
            await locations.get(session, keyring, shared.id, "one", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"data"
    assert f"change 4 of the location, by {by}, does not count as it stands: ForgedRecord" in caplog.text


async def test_an_object_that_was_there_before_is_refused_by_the_home_and_counts_for_nothing(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its fragments may be gone, or go: a file in it would be lost. Bob signs it, and writes of a file in it."""
    async with shared.bob.session() as (session, keyring):
        location, line = await locations.read(session, keyring, shared.id)
        before = next(each for each in line.folder if each.name == "two")
        body = Body((replace(before.put, name="again", replaces=()),), {before.put.object: before.whole})
        keyring, _ = await current(session, keyring)
        command, sealed = _change(
            location,
            4,
            line.head,
            session.account,
            keyring.identity.sign,
            await newest_checkpoint(session),
            plain=write_body(body),
            objects=(line.objects[before.put.object],),
        )
        with pytest.raises(AlreadyExists):
            await session.send(command, sealed)
        row = asdict(command) | {"by": session.account, "position": line.changes[-1].position + 1}
    with monkeypatch.context() as patch, caplog.at_level("WARNING", notices.name):
        serve(patch, row, sealed)
        async with shared.ann.session() as (session, keyring):
            assert await names(session, keyring, shared.id) == ["one", "three", "two"]
    assert f"change 4 of the location, by {row['by']}, does not count as it stands: Malformed" in caplog.text


async def test_s17_no_changed_letter_of_a_row_is_believed(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter of a field is another one: it is noticed, or changes nothing, as with what was checked before."""
    fields = {
        "location-line": [each.name for each in dataclasses.fields(LocationLineRow)],
        "locations": [each.name for each in dataclasses.fields(LocationRow)],
        "location-people": ["account", "chain"],
    }
    noticed = set()
    for view, names_ in fields.items():
        for name in names_:
            with monkeypatch.context() as patch:
                lie(patch, view, _flipped(name))
                try:
                    assert await shared.names(shared.bob) == ["one", "three", "two"], (view, name)
                except PrivityError:
                    noticed.add((view, name))
    unnoticed = {(view, name) for view, names_ in fields.items() for name in names_} - noticed
    # what nobody signs: the order of pages, a number that is not used; and what is known again by its digest
    assert unnoticed <= {
        ("location-line", "position"),
        ("location-line", "signature"),
        ("locations", "n"),
        ("locations", "position"),
        ("location-people", "account"),
        ("location-people", "chain"),
    }


def serve(patch: pytest.MonkeyPatch, row: dict[str, Any], blob: bytes) -> None:
    """Make the backend add a row to a location's line, with its sealed object."""
    honest = Bus.ask

    async def lying(bus: Bus, subject: str, data: bytes) -> bytes:
        answer = await honest(bus, subject, data)
        if not subject.endswith(".location-line"):
            return answer
        head, *blobs = unframe(answer, BLOBS, MIB)
        said = json.loads(head)
        if not said["rows"]:  # the end of it
            return answer
        said["rows"].append(row)
        return frame(json.dumps(said).encode(), *blobs, blob)

    patch.setattr(Bus, "ask", lying)


def _flipped(name: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        if rows:
            rows[-1][name] = _other(rows[-1][name])

    return change


def _other(value: Any) -> Any:
    match value:
        case bool() | None:
            return not value
        case int():
            return value + 1
        case str():
            return value[:-2] + ("a" if value[-2] != "a" else "b") + value[-1]
        case list() if value and isinstance(value[0], str):
            return [_other(value[0]), *value[1:]]
        case list() if value and "object" in value[0]:
            return [value[0] | {"object": _other(value[0]["object"])}, *value[1:]]
        case list() if value and isinstance(value[0], dict) and "record" in value[0]:
            return [value[0] | {"record": _other(value[0]["record"])}, *value[1:]]
        case list():
            return [new_id()]
    raise AssertionError(value)
