"""Load that outlives faults, and the one oracle for all of them: what was accepted is there, once, everywhere."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nats.aio.client import Client
from nats.js.errors import NotFoundError

import app
from infra.bus import connect
from infra.mapping import to_positioned
from infra.store import EventStore, Stored, open_store
from infra.views_db import open_views
from privity.agent.bus import Bus
from privity.agent.enrolment import by_device
from privity.agent.keyring import unlock
from privity.agent.profile import ProfileFolder, Waiting
from privity.agent.session import Signer
from privity.connection_string import ConnectionString, parse_connection_string
from privity.encoding import digest, new_id
from privity.errors import Unreachable
from privity.messages.envelope import Result
from privity.messages.items import AddItem, EditItem
from privity.messages.recorded import POSITION_HEADER, PREVIOUS_HEADER, Positioned
from privity.messages.shares import ShareRevised
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from projections.projector import rows

CLI = (sys.executable, "-m", "privity.cli.main")
PATIENCE = 30.0
LOOK = 0.02
BURST = 24
PAUSE = 0.08


def signer_of(person: Person) -> tuple[Signer, ConnectionString]:
    """What signs for a person with an account, and the home that it signs for."""
    profile, server = ProfileFolder(person.home).load(), parse_connection_string(person.server)
    return Signer(profile.account, profile.device, unlock(profile, person.passphrase).device, server.home), server


def add_item(signer: Signer, item: str = "") -> Waiting:
    """A signed command that adds an item of random bytes; the backend cannot tell them from ciphertext."""
    content, wrap = os.urandom(600), os.urandom(60)
    return signer.command(AddItem(item or new_id(), digest(content), digest(wrap)), (content, wrap))


def edit_item(signer: Signer, item: str, version: int) -> Waiting:
    """A signed command that gives the item this version."""
    content, wrap = os.urandom(600), os.urandom(60)
    return signer.command(EditItem(item, version, digest(content), digest(wrap)), (content, wrap))


@dataclass
class Loader:
    """Somebody who adds and edits items in bursts, each command sent again under its id until its result is there."""

    signer: Signer = field(repr=False)
    server: ConnectionString = field(repr=False)
    results: dict[str, Result] = field(default_factory=dict)

    async def run(self, until: asyncio.Event) -> None:
        """Burst after burst; every command that was begun has its result on return."""
        credential = await by_device(self.server, self.signer)
        async with Bus(self.server, self.signer.account, credential) as bus:
            while not until.is_set():
                burst = (self._item(bus, versions=random.randint(1, 3)) for _ in range(random.randint(1, BURST)))
                await asyncio.gather(*burst)
                await asyncio.sleep(random.uniform(0, PAUSE))

    async def _item(self, bus: Bus, versions: int) -> None:
        item = new_id()
        await self._until_answered(bus, add_item(self.signer, item))
        for version in range(2, versions + 1):
            await self._until_answered(bus, edit_item(self.signer, item, version))

    async def _until_answered(self, bus: Bus, waiting: Waiting) -> None:
        while waiting.id not in self.results:
            try:
                self.results[waiting.id] = await bus.send(waiting.subject, waiting.id, waiting.data)
            except Unreachable:
                continue


@dataclass
class Load:
    """Several loaders at once on one home."""

    loaders: list[Loader]

    @property
    def results(self) -> dict[str, Result]:
        """Every result that came, by command id."""
        return {id: result for loader in self.loaders for id, result in loader.results.items()}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load while the block runs; on the way out everything begun gets its result."""
        until = asyncio.Event()
        tasks = [asyncio.create_task(loader.run(until)) for loader in self.loaders]
        try:
            yield
        finally:
            until.set()
            await asyncio.wait_for(asyncio.gather(*tasks), 2 * PATIENCE)

    async def more(self, results: int) -> None:
        """Wait until so many more results have come."""
        goal = len(self.results) + results
        await eventually(lambda: len(self.results) >= goal)


async def load_on(home: RunningHome, folder: Path, people: int = 3) -> Load:
    """New people with accounts, ready to load the home."""
    made = [somebody("loader", folder, home.url) for _ in range(people)]
    for each in made:
        await each.register()
    return Load([Loader(*signer_of(each)) for each in made])


async def eventually(holds: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until something holds that another process brings about."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - another process tells no event of ours
            await asyncio.sleep(LOOK)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def helpers(home: RunningHome) -> dict[str, int]:
    """The processes that `up` has started and that live: `projections` and `nats-server`, with their ids."""
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(home.pid)], capture_output=True, text=True)
    lines = [line.split(None, 1) for line in found.stdout.splitlines()]
    named = {name: int(pid) for pid, args in lines for name in ("projections", "nats-server") if f"{name} " in args}
    return {name: pid for name, pid in named.items() if alive(pid)}


async def kill_helper(home: RunningHome, name: str) -> int:
    """`kill -9` one of them, once it is there; its id."""
    await eventually(lambda: name in helpers(home))
    pid = helpers(home)[name]
    os.kill(pid, signal.SIGKILL)
    return pid


@asynccontextmanager
async def backend_bus(home: RunningHome) -> AsyncIterator[Client]:
    """A connection with the backend's own credential."""
    bus = await connect(app.running(home.data).backend(), name="trial")
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def store_of(home: RunningHome) -> AsyncIterator[EventStore]:
    """The home's event store, to read in."""
    store = await asyncio.to_thread(open_store, f"sqlite:///{home.data / 'store.db'}")
    try:
        yield store
    finally:
        store.close()


async def assert_nothing_lost(home: RunningHome, results: dict[str, Result]) -> None:
    """The oracle of TRIALS, Faults: store, command rows, views and stream all say what was acknowledged, once."""
    async with store_of(home) as store:
        stored = everything(store)
        assert_versions_without_gaps(stored)
        assert_accepted_once(store, stored, results)
        await assert_views_equal_a_rebuild(home, stored)
        async with backend_bus(home) as bus:
            await assert_stream_equals_store(bus, stored)


def everything(store: EventStore) -> list[Stored]:
    """All events, in order."""
    found: list[Stored] = []
    while page := store.after(found[-1].position if found else 0, 5000):
        found += page
    return found


async def revised(home: RunningHome, wanted: Collection[str]) -> dict[tuple[str, int], int]:
    """How many revisions the home has of these shares, by share and version of the item."""
    async with store_of(home) as store:
        events = [to_positioned(each).event for each in everything(store) if each.name.startswith(ShareRevised.name)]
    found = [(each.share, each.version) for each in events if isinstance(each, ShareRevised)]
    return dict(Counter(each for each in found if each[0] in wanted))


def assert_versions_without_gaps(stored: Iterable[Stored]) -> None:
    """Each stream counts 1, 2, 3 …"""
    versions: dict[str, int] = {}
    for event in stored:
        assert event.version == versions.get(event.stream, 0) + 1, f"{event.stream} has a gap or a repeat"
        versions[event.stream] = event.version


def assert_accepted_once(store: EventStore, stored: Iterable[Stored], results: dict[str, Result]) -> None:
    """Every accepted command is recorded with one effect, at the place that its result named."""
    effects: dict[str, list[Stored]] = {}
    accounts: dict[str, str] = {}
    for event in stored:
        meta = to_positioned(event).meta
        effects.setdefault(meta.command, []).append(event)
        accounts[meta.command] = meta.actor
    assert results, "no command was answered: the trial shows nothing"
    for id, result in results.items():
        assert result.status == "accepted", f"{id} was {result.status}: {result.code}"
        happened = [(event.position, event.stream, event.version, event.data) for event in effects.get(id, [])]
        told = [(event.position, event.stream, event.version, event.data.encode()) for event in result.events]
        assert happened == told, f"{id} has {len(happened)} events, and its result names {len(told)}"
        names = [event.name.partition(".")[0] for event in effects[id]]  # an edit erases what it replaces
        assert names in (["item-added"], ["item-edited", "sealed-erased"]), f"{id} took effect as {names}"
    keys = [(accounts[id], id) for id in results]
    rows = store.commands(keys)
    assert {key for key, row in rows.items() if row.status == "accepted"} == set(keys)


async def assert_views_equal_a_rebuild(home: RunningHome, stored: list[Stored]) -> None:
    """The live views come to the newest event by themselves, and `replay --verify` finds no other row."""
    head = stored[-1].position
    await eventually(lambda: views_position(home) == head)
    done = await asyncio.to_thread(privity, "replay", "--verify", "--json", "--data", str(home.data))
    assert done.returncode == 0, done.stderr
    assert f'"position": {head}' in done.stdout


def views_position(home: RunningHome) -> int:
    """How far the live views are."""
    with sqlite3.connect(home.data / "views.db", timeout=5) as db:
        found = db.execute("SELECT position FROM progress").fetchone()
        position: int = 0 if found is None else found[0]  # they are just being made
    db.close()
    return position


async def assert_stream_equals_store(bus: Client, stored: list[Stored]) -> None:
    """EVENTS comes to hold what the store holds: the same events, in the same order, byte for byte."""
    told: list[tuple[int, int, bytes]] = []

    async def complete() -> bool:
        with suppress(NotFoundError):  # it was deleted, and is not made again yet
            told[:] = await stream_events(bus)
        return [position for position, _, _ in told[-1:]] == [stored[-1].position]

    async with asyncio.timeout(PATIENCE):
        while not await complete():  # noqa: ASYNC110 - as above
            await asyncio.sleep(LOOK)
    before = [0, *(event.position for event in stored)]
    assert [data for _, _, data in told] == [event.data for event in stored]
    assert [(position, previous) for position, previous, _ in told] == list(zip(before[1:], before, strict=False))


async def stream_events(bus: Client) -> list[tuple[int, int, bytes]]:
    """What EVENTS holds now: position, position before, bytes."""
    jetstream = bus.jetstream()
    count = (await jetstream.stream_info("EVENTS")).state.messages
    subscription = await jetstream.subscribe("privity.evt.>", stream="EVENTS", ordered_consumer=True)
    try:
        messages = [await subscription.next_msg(timeout=PATIENCE) for _ in range(count)]
    finally:
        await subscription.unsubscribe()
    headers = [message.headers or {} for message in messages]
    return [
        (int(each[POSITION_HEADER]), int(each[PREVIOUS_HEADER]), message.data)
        for each, message in zip(headers, messages, strict=True)
    ]


def story(store: EventStore) -> list[Positioned]:
    """All events as projections read them."""
    return [to_positioned(event) for event in everything(store)]


def privity(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `privity …` as an operator."""
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def everything_in_views(url: str) -> list[tuple[str, tuple[object, ...]]]:
    """Every row of every view, the position's too."""
    engine = open_views(url)
    try:
        with engine.connect() as db:
            return list(rows(db))
    finally:
        engine.dispose()
