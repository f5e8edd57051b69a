"""Suppliers that are gone or damaged, clients and repairs that are killed: what was put is read, or said to be missing.

What is damaged here is of one's own location: repair goes through all of the home's, and mends them.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import app
from infra.repair import Seen
from privity.agent import location_writing, locations, supplying, uploads
from privity.agent import suppliers as supplier_views
from privity.agent.keyring import Keyring
from privity.agent.location_writing import sources_of
from privity.agent.session import Session
from privity.agent.upload_journal import UPLOADS
from privity.agent.uploads import put_object
from privity.crypto.coding import Coding
from privity.encoding import digest
from privity.errors import NotEnoughFragments, NotEnoughSuppliers
from privity.testing.home import RunningHome
from privity.testing.people import PRIVITY, Outcome, Person, somebody
from tests.conftest import MakePerson
from tests.storing import SLOTS, pause, resume, storing, supplier_folder, supplier_pid

pytestmark = pytest.mark.trial

NEEDED = 3
DATA = random.Random(18).randbytes(3_500_000)  # three segments
CAPACITY = Coding(NEEDED, SLOTS).capacity


@dataclass(frozen=True, slots=True)
class Put:
    """One file in a location, and what suppliers have of it."""

    home: RunningHome
    person: Person
    session: Session
    keyring: Keyring
    location: str
    object: str

    async def read(self, folder: Path) -> bytes:
        """The file, read again."""
        out = folder / f"read-{time.monotonic_ns()}"
        await locations.get(self.session, self.keyring, self.location, "file", out)
        return out.read_bytes()

    def at(self, slot: int) -> Path:
        """The object's folder at a slot's supplier."""
        return supplier_folder(self.home, slot) / "fragments" / self.location / self.object

    def held(self) -> list[dict[str, bytes]]:
        """All that lies at the suppliers, by slot."""
        return [{path.name: path.read_bytes() for path in sorted(self.at(slot).glob("*"))} for slot in range(SLOTS)]

    def damage(self, slot: int, how: str) -> None:
        """A supplier loses its part, or some of it rots."""
        match how:
            case "gone":
                shutil.rmtree(self.at(slot))
            case "rotten":
                for path in self.at(slot).glob("0*"):
                    data = bytearray(path.read_bytes())
                    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
                    path.write_bytes(data)
            case "holes":
                (self.at(slot) / f"{random.randrange(3):08x}").unlink()


@asynccontextmanager
async def file_put(
    home: RunningHome, person: Person, folder: Path, needed: int = NEEDED, slots: int = SLOTS
) -> AsyncIterator[Put]:
    """A location with one file of three segments."""
    source = folder / "file"
    source.write_bytes(DATA)
    async with person.session() as (session, keyring):
        made = await locations.create(session, keyring, f"lost-{time.monotonic_ns()}", slots=slots, needed=needed)
        await location_writing.put(session, keyring, made.id, sources_of([source]))
        (object,) = (await locations.opened(session, keyring, made.id)).line.objects
        yield Put(home, person, session, keyring, made.id, object)


async def repair(home: RunningHome, *, deep: bool = False, replaced: tuple[str, str] | None = None) -> list[Seen]:
    """As the operator does."""
    return await app.repair(app.running(home.data), lambda done: None, deep=deep, replaced=replaced)


def repaired(home: RunningHome, *options: str) -> Outcome:
    """The same by the command line."""
    run = subprocess.run(
        [*PRIVITY, "--json", "supplier", "repair", "--data", str(home.data), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PRIVITY_")},
    )
    assert run.returncode == 0, run.stderr
    return Outcome(run.returncode, run.stdout, run.stderr)


def forget(home: RunningHome, slot: int) -> None:
    """A supplier that is killed has nothing in mind: `up` starts it again."""
    before = supplier_pid(home, slot)
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while supplier_pid(home, slot) == before and time.monotonic() < deadline:
        time.sleep(0.1)


async def test_f18_any_suppliers_up_to_those_to_spare_may_be_damaged_and_repair_restores_all(
    customer: MakePerson, suppliers: RunningHome, tmp_path: Path
) -> None:
    ann, rng = await customer("ann"), random.SystemRandom()
    async with file_put(suppliers, ann, tmp_path) as put:
        whole = put.held()
        assert [len(each) for each in whole] == [4] * SLOTS
        for lost in (1, 2):
            slots = rng.sample(range(SLOTS), lost)
            hows = [rng.choice(["gone", "rotten", "holes"]) for _ in slots]
            for slot, how in zip(slots, hows, strict=True):
                put.damage(slot, how)
            assert await put.read(tmp_path) == DATA, (slots, hows)
            rows = await repair(suppliers, deep=True)
            assert put.held() == whole, (slots, hows, rows)
            assert sum(row.fragments for row in rows) >= lost
        rows = await repair(suppliers, deep=True)
        assert {(row.status, row.fragments) for row in rows} == {("whole", 0)}

        slots = sorted(rng.sample(range(SLOTS), 3))
        kept = {slot: put.held()[slot] for slot in slots}
        for slot in slots:
            put.damage(slot, "gone")
        with pytest.raises(NotEnoughFragments) as caught:
            await put.read(tmp_path)
        assert all(f"supplier-{slot + 1} (" in caught.value.message for slot in slots)
        rows = await repair(suppliers)
        assert {row.name for row in rows if row.status == "lacking"} >= {f"supplier-{s + 1}" for s in slots}
        for slot, files in kept.items():  # one part is found again: all is
            put.at(slot).mkdir(exist_ok=True)
            for name, data in files.items():
                (put.at(slot) / name).write_bytes(data)
            break
        assert await put.read(tmp_path) == DATA
        await repair(suppliers)
        assert put.held() == whole

        for slot in range(SLOTS):  # as if somebody had named what they never put: told apart, and no failure
            put.damage(slot, "gone")
        rows = await repair(suppliers)
        assert [row.name for row in rows if not row.nowhere or put.object in row.failed] == []


async def test_f18_suppliers_that_are_killed_or_silent_are_read_around(
    customer: MakePerson, suppliers: RunningHome, tmp_path: Path
) -> None:
    ann = await customer("ann")
    async with file_put(suppliers, ann, tmp_path) as put:
        for slot in (0, 2):
            pause(suppliers, slot)
        try:
            assert await put.read(tmp_path) == DATA
        finally:
            for slot in (0, 2):
                resume(suppliers, slot)
        for slot in (1, 2):
            forget(suppliers, slot)
        assert await put.read(tmp_path) == DATA


UPLOADER = """
import asyncio, sys
from pathlib import Path
from privity.testing.people import Person
from tests.storing import place_of
from privity.agent.uploads import put_object

async def main(home, address, server, key, source):
    async with Person(address, Path(home), server).session() as (session, keyring):
        place = await place_of(session, keyring, key)
        print("putting", flush=True)
        await put_object(session, keyring, place, Path(source), lambda done: print(done, flush=True))
        print("done", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_f19_a_killed_upload_is_not_visible_and_goes_on_where_it_was(
    suppliers: RunningHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is killed with SIGKILL, at a random place of an upload of 24 segments."""
    source, size = tmp_path / "source", 24 * CAPACITY
    source.write_bytes(random.Random(19).randbytes(size))
    async with storing(suppliers, tmp_path) as sam:
        arguments = [str(sam.person.home), sam.person.address, sam.person.server, sam.place.key, str(source)]
        uploading = await asyncio.create_subprocess_exec(
            sys.executable, "-c", UPLOADER, *arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert uploading.stdout is not None
        stop = random.SystemRandom().randrange(4, 18) * CAPACITY
        async for line in uploading.stdout:
            if line.strip().isdigit() and int(line) >= stop:
                break
        uploading.kill()
        await uploading.wait()
        assert len(os.listdir(sam.person.home / UPLOADS)) == 1

        found, _ = await supplying.list_objects(sam.place)
        (object,) = {each.object for listed in found.values() for each in listed}
        assert all(not each.whole for listed in found.values() for each in listed)
        assert not any((path / "whole").exists() for path in _folders(sam.folder, sam.place.key, object))

        sent: list[int] = []
        coded = uploads._Upload._coded

        def listening(self: Any, index: int, plain: bytes) -> Any:
            sent.append(index)
            return coded(self, index, plain)

        monkeypatch.setattr(uploads._Upload, "_coded", listening)
        stored = await put_object(sam.session, sam.keyring, sam.place, source)
        assert (stored.stored.object, stored.sha256, stored.missing) == (object, digest(source.read_bytes()), ())
        assert len(sent) <= stored.stored.segments - stop // CAPACITY + 4  # those that were on their way, too
        assert all((path / "whole").exists() for path in _folders(sam.folder, sam.place.key, object))
        sent.clear()
        again = await put_object(sam.session, sam.keyring, sam.place, source)
        assert (again.stored, sent) == (stored.stored, [])
        uploads.settle(sam.session, again)
        assert os.listdir(sam.person.home / UPLOADS) == []


def _folders(folder: Callable[[int], Path], key: str, object: str) -> list[Path]:
    return [folder(slot) / "fragments" / key / object for slot in range(SLOTS)]


def _until_there(path: Path, process: int) -> None:
    """Until the path is there, or the process is at its end."""
    while not path.exists() and " Z " not in (Path("/proc") / str(process) / "stat").read_text():
        time.sleep(0.001)


async def test_f19_a_repair_that_is_killed_leaves_nothing_half_visible_and_the_next_one_ends_it(
    customer: MakePerson, suppliers: RunningHome, tmp_path: Path
) -> None:
    ann = await customer("ann")
    async with file_put(suppliers, ann, tmp_path) as put:
        whole = put.held()
        for slot in (1, 3):
            put.damage(slot, "gone")
        killed = False
        for _ in range(20):  # it may be too fast
            repairing = await asyncio.create_subprocess_exec(
                *PRIVITY, "--json", "supplier", "repair", "--data", str(suppliers.data), stdout=subprocess.DEVNULL
            )
            await asyncio.to_thread(_until_there, put.at(1), repairing.pid)
            if repairing.returncode is None:
                repairing.kill()
            await repairing.wait()
            if not (put.at(3) / "whole").exists():
                killed = True
                break
            for slot in (1, 3):
                put.damage(slot, "gone")
        assert killed
        assert (put.at(1) / "whole").exists() == (len(list(put.at(1).glob("*"))) == 4)
        assert await put.read(tmp_path) == DATA
        await repair(suppliers)
        assert put.held() == whole


async def test_b25_a_supplier_is_replaced_and_the_new_one_has_key_and_fragments(tmp_path: Path) -> None:
    """By the operator's command, which has no key: what is rebuilt is what was there, and is read when others fail."""
    with RunningHome(tmp_path / "home", suppliers=4) as home:
        ann = somebody("ann", tmp_path, home.url)
        await ann.register()
        async with file_put(home, ann, tmp_path, needed=2, slots=3) as put:
            lost = {path.name: path.read_bytes() for path in put.at(0).glob("*")}
            assert len(lost) > 2
            pause(home, 0)
            rows = repaired(home, "--replace", "supplier-1", "supplier-4").json
            assert [(row["name"], row["status"], row["fragments"]) for row in rows] == [
                ("supplier-2", "whole", 0),
                ("supplier-3", "whole", 0),
                ("supplier-4", "repaired", len(lost) - 1),
            ]
            assert {path.name: path.read_bytes() for path in put.at(3).glob("*")} == lost
            put.damage(1, "gone")
            assert await put.read(tmp_path) == DATA
            shown = (await asyncio.to_thread(ann.run, "--json", "supplier", "list", "--prove", put.location)).json
            assert {row["name"]: row["proved"] for row in shown} == {
                "supplier-1": None,
                "supplier-2": "0 of 1: refused: NotFound",
                "supplier-3": "1 of 1",
                "supplier-4": "1 of 1",
            }
            listed = {each.name: each.status for each in await supplier_views.seen(put.session)}
            assert listed["supplier-1"] == "replaced"
            rows = repaired(home).json
            assert {row["name"]: row["status"] for row in rows}["supplier-2"] == "repaired"
            other = tmp_path / "other"
            other.write_bytes(b"written later")
            wrote = await location_writing.put(put.session, put.keyring, put.location, sources_of([other]))
            assert wrote.missing == ()
            resume(home, 0)
            before = put.held()
            rows = repaired(home, "--replace", "supplier-2", "supplier-3").json  # nobody's own slot forbids it
            assert {row["name"]: (row["status"], row["objects"]) for row in rows} == {
                "supplier-2": ("vacant", 2),
                "supplier-3": ("whole", 2),
                "supplier-4": ("whole", 2),
            }
            assert put.held() == before
            assert await put.read(tmp_path) == DATA
            other.write_bytes(b"written without the second")
            wrote = await location_writing.put(put.session, put.keyring, put.location, sources_of([other]))
            assert [(each.slot, each.kind) for each in wrote.missing] == [(1, "away")]


async def test_an_upload_stands_without_one_supplier_and_not_without_two(
    customer: MakePerson, suppliers: RunningHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privity.supplying.SHORT", 0.5)
    async with storing(suppliers, tmp_path) as sam:
        pause(suppliers, 4)
        try:
            stored = await put_object(sam.session, sam.keyring, sam.place, b"some")
            assert [(each.supplier, each.kind) for each in stored.missing] == [("supplier-5", "slow")]
            pause(suppliers, 3)
            try:
                with pytest.raises(NotEnoughSuppliers, match=r"supplier-4 \(slow\), supplier-5 \(slow\)"):
                    await put_object(sam.session, sam.keyring, sam.place, b"some")
            finally:
                resume(suppliers, 3)
        finally:
            resume(suppliers, 4)
        assert (await put_object(sam.session, sam.keyring, sam.place, b"some")).missing == ()
