"""Locations: folders of files under a sharing key, on the home's suppliers, read and written by all holders."""

import asyncio
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from privity.agent import (
    accounts,
    feed,
    garbage,
    grants,
    identity,
    location_writing,
    locations,
    rotation,
    supplying,
)
from privity.agent.chains import notices
from privity.agent.keyring import Keyring
from privity.agent.location_writing import sources_of
from privity.agent.locations import Opened
from privity.agent.profile import ProfileFolder
from privity.agent.session import Session
from privity.connection_string import parse_connection_string
from privity.encoding import new_id
from privity.errors import (
    AlreadyExists,
    BadProof,
    KeyInactive,
    Malformed,
    NotEnoughSuppliers,
    NotFound,
    RoleNotEnough,
    UnknownKey,
)
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.watching import ran

PEOPLE = tuple[Person, Person]


@pytest.fixture
async def pair(customer: MakePerson) -> PEOPLE:
    """Ann and Bob, connected, in the home with suppliers; Ann verified him."""
    ann, bob = await customer("ann"), await customer("bob")
    await connect(ann, bob)
    return ann, bob


def written(folder: Path, **files: bytes) -> list[Path]:
    """Files of these names (`_` stands for the dot) in a folder."""
    folder.mkdir(exist_ok=True)
    paths = [folder / name.replace("_", ".") for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    return paths


async def names(session: Session, keyring: Keyring, location: str) -> list[str]:
    held = await locations.opened(session, keyring, location)
    return [name for name, _ in locations.listing(held)]


async def fetched(session: Session, keyring: Keyring, location: str, file: str, folder: Path) -> bytes:
    out = folder / f"got-{time.monotonic_ns()}"
    await locations.get(session, keyring, location, file, out)
    return out.read_bytes()


async def share(ann: Person, bob: Person, name: str = "photos") -> str:
    """Ann's new location, granted to Bob; its id."""
    async with ann.session() as (session, keyring):
        made = await locations.create(session, keyring, name)
        await grants.create(session, keyring, name, bob.address, unverified=True, wait=0)
        return made.id


async def test_b13_b20_b21_a_location_is_made_listed_closed_opened_and_removed(
    customer: MakePerson, suppliers: RunningHome, tmp_path: Path
) -> None:
    ann, folder = await customer("ann"), suppliers.data / "suppliers"
    paths = written(tmp_path / "in", a_txt=b"a small file", b_bin=os.urandom(1_500_000))
    made = json.loads((await ran(ann, "--json", "location", "create", "photos")).out)
    assert (made["key"], made["files"], made["status"]) == (f"photos${ann.address}", 0, "open")
    id = made["location"]
    assert (await ran(ann, "location", "create", "photos")).code == AlreadyExists.exit_code
    put = await ran(ann, "--json", "location", "put", "photos", *map(str, paths))
    said = json.loads(put.out)
    assert (said["written"], said["same"], said["missing"], put.err) == (2, 0, [], "")
    assert {each["outcome"] for each in said["files"]} == {"written"}
    assert json.loads((await ran(ann, "--json", "location", "put", "photos", str(paths[0]))).out)["same"] == 1

    listed = json.loads((await ran(ann, "--json", "location", "ls", "photos")).out)
    assert [(each["name"], each["size"], each["by"]) for each in listed] == [
        ("a.txt", 12, ann.address),
        ("b.bin", 1_500_000, ann.address),
    ]
    for path in paths:
        out = tmp_path / f"out-{path.name}"
        assert (await ran(ann, "location", "get", "photos", path.name, "-o", str(out))).code == 0
        assert out.read_bytes() == path.read_bytes()
        assert (await ran(ann, "location", "get", "photos", path.name, "-o", str(out))).code == AlreadyExists.exit_code
    assert (await ran(ann, "location", "get", "photos", "c", "-o", str(tmp_path / "c"))).code == NotFound.exit_code

    info = json.loads((await ran(ann, "--json", "location", "show", "photos")).out)
    assert (info["files"], info["bytes"], info["connected"], info["away"]) == (2, 1_500_012, "5 of 5", [])
    assert [await _list(ann, *options) for options in ((), ("--active",), ("--mine",))] == [[id]] * 3
    assert await _list(ann, "--granted") == []
    closed = json.loads((await ran(ann, "--json", "location", "close", "photos")).out)
    assert (closed["status"], closed["connected"]) == ("closed", None)
    refused = await ran(ann, "location", "ls", "photos")
    assert (refused.code, KeyInactive.__name__ in refused.err) == (1, True)
    assert (await _list(ann), await _list(ann, "--active")) == ([id], [])
    opened = json.loads((await ran(ann, "--json", "location", "open", "photos")).out)
    assert (opened["status"], opened["connected"]) == ("open", "5 of 5")

    assert len(_objects(folder, id)) == 2 * 5
    gone = json.loads((await ran(ann, "--json", "location", "rm", "photos", "a.txt")).out)
    assert (gone["status"], gone["away"]) == ("removed", [])
    assert len(_objects(folder, id)) == 5
    assert [each["name"] for each in json.loads((await ran(ann, "--json", "location", "ls", "photos")).out)] == [
        "b.bin"
    ]
    assert (await ran(ann, "key", "rm", "photos")).code == AlreadyExists.exit_code  # its location stands
    assert (await ran(ann, "location", "rm", "photos")).code == 0
    assert (_objects(folder, id), await _list(ann)) == ([], [])
    assert (await ran(ann, "location", "ls", "photos")).code == NotFound.exit_code
    assert (await ran(ann, "key", "rm", "photos")).code == 0


async def _list(person: Person, *options: str) -> list[str]:
    return [each["location"] for each in json.loads((await ran(person, "--json", "location", "list", *options)).out)]


def _objects(folder: Path, location: str) -> list[Path]:
    """The folders of objects that suppliers have under a location."""
    return [each for each in folder.glob(f"*/fragments/{location}/*") if each.is_dir() and any(each.iterdir())]


async def test_b22_b23_b24_b29_both_write_and_read_hear_at_once_and_the_history_says_who(
    pair: PEOPLE, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = pair
    id = await share(ann, bob)
    paths = written(tmp_path / "in", plan_txt=b"by ann")
    theirs = written(tmp_path / "bob", plan_txt=b"by bob", extra_txt=b"more by bob")
    async with ann.session() as (hers, key), bob.session() as (his, keyring):
        told = [asyncio.create_task(_next(each, id)) for each in (hers, his)]
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await location_writing.put(hers, key, "photos", sources_of(paths))
        lines = await asyncio.wait_for(asyncio.gather(*told), 10)
        assert [line.refs["n"] for line in lines] == ["1", "1"]
        assert time.monotonic() - began < 5  # B24: at once, not when somebody looks
        assert await names(his, keyring, id) == ["plan.txt"]  # B23: by itself, as soon as it is there
        assert await fetched(his, keyring, id, "plan.txt", tmp_path) == b"by ann"

        await location_writing.put(his, keyring, id, sources_of(theirs))
        assert await fetched(hers, key, id, "plan.txt", tmp_path) == b"by bob"
        assert await names(hers, key, id) == ["extra.txt", "plan.txt"]
        with pytest.raises(RoleNotEnough):
            await location_writing.remove(his, keyring, id)
        gone = await location_writing.remove_file(his, keyring, id, "extra.txt")
        assert gone.names == ("extra.txt",)

        stored = next(iter((await locations.opened(his, keyring, id)).line.objects))
        place = await locations.place_of(hers, key, await locations.find(hers, key, id))
        there, away = await supplying.list_objects(place)
        assert away == []
        assert len(there) == 5  # B22: on the creator's suppliers, also what Bob wrote
        assert stored in {each.object for listed in there.values() for each in listed}
    told_of = json.loads((await ran(bob, "--json", "location", "history", id)).out)
    assert [(each["change"], each["by"], each["what"], each["name"]) for each in told_of] == [
        (1, ann.address, "written", "plan.txt"),
        (2, bob.address, "written", "plan.txt"),
        (2, bob.address, "written", "extra.txt"),
        (3, bob.address, "removed", "extra.txt"),
    ]
    assert told_of[1]["replaces"] == ["1.0"]


async def _next(session: Session, location: str) -> feed.FeedEntry:
    async for line in feed.follow(session, session.memory.feed.position):
        if line.event == "location-changed" and line.refs["location"] == location:
            return line
    raise AssertionError


async def test_b22_who_writes_at_once_overwrites_nobody(
    pair: PEOPLE, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = pair
    id = await share(ann, bob)
    files = {who: written(tmp_path / who, plan_txt=f"by {who}".encode()) for who in ("ann", "bob")}
    async with ann.session() as (hers, key), bob.session() as (his, keyring):
        await locations.opened(his, keyring, id)
        both = asyncio.Barrier(2)
        honest = location_writing._write

        async def together(*arguments: object) -> object:
            await both.wait()  # both have read the line, and neither has written to it
            return await honest(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(location_writing, "_write", together)
        await asyncio.gather(
            location_writing.put(hers, key, id, sources_of(files["ann"])),
            location_writing.put(his, keyring, id, sources_of(files["bob"])),
        )
        monkeypatch.setattr(location_writing, "_write", honest)
        shown = await names(hers, key, id)
        assert shown == await names(his, keyring, id)
        assert [each.partition(" ")[0] for each in shown] == ["plan.txt"] * 2
        held = await locations.opened(hers, key, id)
        older, newest = held.line.folder.standing("plan.txt")
        with caplog.at_level("WARNING", notices.name):
            data = await fetched(hers, key, id, "plan.txt", tmp_path)
        assert data == f"by {'ann' if newest.by == hers.account else 'bob'}".encode()
        assert "several wrote plan.txt at once" in caplog.text
        assert shown[0] == f"plan.txt (conflict, {held.author(older.by)}, {_at(held, older.version)}, {older.id})"
        for each in (older.id, newest.id):
            out = tmp_path / f"version-{each}"
            await locations.get(hers, key, id, "plan.txt", out, version=each)
            assert out.read_bytes() in (b"by ann", b"by bob")
        assert await fetched(his, keyring, id, shown[0], tmp_path) != data  # by the name that is shown, too
        await location_writing.put(his, keyring, id, sources_of(files["bob"]))  # who saw both settles it
        assert await names(hers, key, id) == ["plan.txt"]
        assert await fetched(hers, key, id, "plan.txt", tmp_path) == b"by bob"


def _at(held: Opened, version: tuple[int, int]) -> str:
    put = next(each.put for each in held.line.folder if each.version == version)
    return put.at.strftime("%Y-%m-%d %H:%M:%S")


async def test_b16_keys_rotate_and_the_dropped_one_reads_and_writes_nothing_more(
    suppliers: RunningHome, customer: MakePerson, tmp_path: Path
) -> None:
    ann, bob = somebody("ann", tmp_path, suppliers.url), await customer("bob")
    noted = await ann.register()
    await connect(ann, bob)
    id = await share(ann, bob)
    first, second, third = (written(tmp_path / n, **{f"{n}_txt": n.encode()}) for n in ("one", "two", "three"))
    async with bob.session() as (his, keyring):
        await location_writing.put(his, keyring, id, sources_of(first))
        held = await locations.find(his, keyring, id)
        kept = await locations.place_of(his, keyring, held)  # what he still has when he is dropped
    async with ann.session() as (session, keyring):
        await location_writing.put(session, keyring, id, sources_of(second))
        for slot in kept.slots:  # until then he is let in
            assert slot is not None
            await slot.open(kept.holder, "get", id, await _first_object(session, keyring, id))
        await rotation.rotate(session, keyring, "photos", [bob.address], unverified=True)
        await location_writing.put(session, keyring, id, sources_of(third))
        assert await names(session, keyring, id) == ["one.txt", "three.txt", "two.txt"]
        assert await fetched(session, keyring, id, "one.txt", tmp_path) == b"one"  # what he wrote stays readable
        line = (await locations.opened(session, keyring, id)).line
        assert [change.generation for change in line.changes] == [1, 1, 2]
    async with bob.session() as (his, keyring):
        found = await locations.all_known(his, keyring)
        assert [each for each in found if isinstance(each, locations.Location)] == []
        with pytest.raises(NotFound):
            await locations.opened(his, keyring, id)
        with pytest.raises(NotFound):
            await location_writing.put(his, keyring, id, sources_of(first))
        for slot in kept.slots:
            assert slot is not None
            with pytest.raises((BadProof, UnknownKey)):
                await slot.open(kept.holder, "get", id, next(iter(line.objects)))
            with pytest.raises((BadProof, UnknownKey)):
                await slot.open(kept.holder, "put", id, new_id(), 1)
    other = Person(ann.address, tmp_path / "other", ann.server, ann.passphrase)
    server = parse_connection_string(ann.server)
    await accounts.login(ProfileFolder(other.home), server, ann.address, noted.secret, ann.passphrase)
    async with other.session() as (session, keyring):  # saw nothing yet: the log says that the old changes were in time
        assert await names(session, keyring, id) == ["one.txt", "three.txt", "two.txt"]
        assert await fetched(session, keyring, id, "one.txt", tmp_path) == b"one"


async def _first_object(session: Session, keyring: Keyring, id: str) -> str:
    return next(iter((await locations.opened(session, keyring, id)).line.objects))


@pytest.mark.trial
async def test_b28_locations_go_on_working_when_the_identity_rotates_and_the_address_changes(
    pair: PEOPLE, tmp_path: Path
) -> None:
    ann, bob = pair
    id = await share(ann, bob)
    files = [written(tmp_path / name, **{f"{name}_txt": name.encode()}) for name in ("one", "two", "three")]
    for person, one in ((ann, files[0]), (bob, files[1])):
        async with person.session() as (session, keyring):
            await location_writing.put(session, keyring, id, sources_of(one))
            await identity.rotate(session, keyring, ProfileFolder(person.home).load().device)
    async with ann.session() as (session, keyring):
        renamed = await identity.rename(session, f"new-{ann.address}")
        await location_writing.put(session, keyring, id, sources_of(files[2]))
        assert (await locations.find(session, keyring, "photos")).key.name == f"photos${renamed.address}"
    for person in pair:
        async with person.session() as (session, keyring):
            assert await names(session, keyring, id) == ["one.txt", "three.txt", "two.txt"]
            for name in ("one", "two", "three"):
                assert await fetched(session, keyring, id, f"{name}.txt", tmp_path) == name.encode()


async def test_a_put_goes_on_where_it_was_broken_off_and_orphans_are_collected(
    customer: MakePerson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await customer("ann")
    paths = [*written(tmp_path / "in", a_txt=b""), *written(tmp_path / "in", b_bin=os.urandom(2_000_000))]
    async with ann.session() as (session, keyring):
        made = await locations.create(session, keyring, "photos")
        with monkeypatch.context() as patch:

            async def dies(*_: object) -> None:
                raise asyncio.CancelledError

            patch.setattr(location_writing, "_write", dies)
            with pytest.raises(asyncio.CancelledError):
                await location_writing.put(session, keyring, "photos", sources_of(paths))
        assert await names(session, keyring, "photos") == []  # nothing half is seen
        place = await locations.place_of(session, keyring, made)
        before = await _there(place)
        assert len(before) == 2
        assert await location_writing.collect(session, keyring, "photos") == (0, [])  # too young, by itself
        honest, liar = supplying.list_objects, made.row.suppliers[0]

        async def aged(of: supplying.Place) -> object:
            found, away = await honest(of)
            return found | {liar: [replace(each, since=0) for each in found[liar]]}, away

        with monkeypatch.context() as patch:  # who says that all is old loses its own parts, and nobody else's
            patch.setattr(supplying, "list_objects", aged)
            assert await location_writing.collect(session, keyring, "photos", time.time() - garbage.ORPHANED) == (2, [])
        there, _ = await honest(place)
        assert {id: len(listed) for id, listed in there.items()} == {
            id: 0 if id == liar else 2 for id in made.row.suppliers
        }

        wrote: list[location_writing.Done] = []

        async def meanwhile(of: supplying.Place) -> object:
            found = await honest(of)
            wrote.extend((await location_writing.put(session, keyring, "photos", sources_of(paths))).files)
            return found

        with monkeypatch.context() as patch:  # what a change names that came while it was looked stays
            patch.setattr(supplying, "list_objects", meanwhile)
            assert await location_writing.collect(session, keyring, "photos", time.time() + 60) == (1, [])
        assert sorted(each.name for each in wrote) == ["a.txt", "b.bin"]
        held = await locations.opened(session, keyring, "photos")
        assert await _there(place) == held.line.folder.objects
        assert len(before & held.line.folder.objects) == 1  # the large one is the same object; the bundle was put anew
        assert await fetched(session, keyring, "photos", "a.txt", tmp_path) == b""
        assert await fetched(session, keyring, "photos", "b.bin", tmp_path) == paths[1].read_bytes()

        async def none(*_: object) -> object:
            return {}, []

        with monkeypatch.context() as patch:  # as if all were away when it ends: the agent asks until nothing is left
            patch.setattr(supplying, "list_objects", none)
            await location_writing.remove(session, keyring, "photos")
        assert len(await _there(place)) == 2
        for left in (0, 0):
            (task,) = [each for each in await garbage.work(session, keyring) if made.id in each.id]
            await task.run()
            assert len(await _there(place)) == left
        assert [each for each in await garbage.work(session, keyring) if made.id in each.id] == []


async def _there(place: supplying.Place) -> set[str]:
    listed, away = await supplying.list_objects(place)
    assert away == []
    return {each.object for found in listed.values() for each in found}


@pytest.mark.trial
async def test_what_is_overwritten_is_let_go_of_and_the_agent_collects_it(customer: MakePerson, tmp_path: Path) -> None:
    ann = await customer("ann")
    async with ann.session() as (session, keyring):
        made = await locations.create(session, keyring, "photos", slots=3, needed=2)
        for text in (b"first", b"second"):
            await location_writing.put(session, keyring, "photos", sources_of(written(tmp_path / "in", a_txt=text)))
        held = await locations.opened(session, keyring, "photos")
        assert len(held.line.released) == 1
        place = await locations.place_of(session, keyring, made)
        assert len(await _there(place)) == 2
        (task,) = [each for each in await garbage.work(session, keyring) if made.id in each.id]
        await task.run()
        assert await _there(place) == held.line.folder.objects
        assert await fetched(session, keyring, "photos", "a.txt", tmp_path) == b"second"


async def test_a_location_needs_suppliers_that_there_are_and_files_need_names(
    customer: MakePerson, ann: Person, tmp_path: Path
) -> None:
    async with ann.session() as (session, keyring):  # of the home without suppliers
        with pytest.raises(NotEnoughSuppliers):
            await locations.create(session, keyring, "photos")
    carol = await customer("carol")
    async with carol.session() as (session, keyring):
        for slots, needed in ((16, None), (3, 4)):
            with pytest.raises(NotEnoughSuppliers):
                await locations.create(session, keyring, "photos", slots=slots, needed=needed)
        assert (await locations.create(session, keyring, "photos", slots=1)).row.needed == 1
    (path,) = written(tmp_path / "in", a_txt=b"a")
    (path.parent / "link").symlink_to(path)
    assert [each.name for each in sources_of([path.parent], "2026/")] == ["2026/in/a.txt"]
    for bad in ("..", "a\\b"):
        with pytest.raises(Malformed):
            sources_of([path], bad)
    with pytest.raises(Malformed):
        sources_of([path, path])
    with pytest.raises(NotFound):
        sources_of([path.parent / "link"])
