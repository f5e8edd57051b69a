"""The examples for app developers, run as they would be: a consumer with a view of its own, and a producer."""

import ast
import asyncio
import json
import os
import runpy
import sqlite3
import stat
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from infra.mapping import to_positioned
from infra.processes import cancel
from infra.store import open_store
from privity.agent import items, shares
from privity.messages.accounts import AccountRegistered, AccountRenamed
from privity.messages.connections import ConnectionRemoved
from privity.messages.shares import ShareCreated, ShareRemoved
from privity.testing.consuming import Consumers
from privity.testing.home import RunningHome
from privity.testing.people import Person
from privity.testing.plugin import finished
from tests.docs.pages import ROOT
from tests.trials.load import eventually, everything

CONSUMER, PRODUCER = ROOT / "examples" / "consumer.py", ROOT / "examples" / "producer.py"
FOLLOWED = ("accounts", "connections", "shares")
MAX_LINES = 165

Rows = list[tuple[str, str, str, int, int]]


@dataclass(frozen=True)
class Following:
    """A consumer's credential and its view's file; `start` runs the example as a process."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def on(cls, home: RunningHome, folder: Path, name: str, *contexts: str) -> "Following":
        """With a credential that the operator makes by the command line."""
        made = Consumers(home.data, folder, finished)(name, *contexts)
        assert stat.S_IMODE(made.credential.stat().st_mode) == 0o600
        environment = {"SERVER": made.server, "CREDENTIAL": str(made.credential), "ASKS": made.asks}
        return cls(folder, {f"CONSUMER_{key}": value for key, value in environment.items()})

    @property
    def file(self) -> Path:
        return self.folder / f"{self.environment['CONSUMER_ASKS'].split('.')[2]}.db"

    async def start(self, *options: str) -> asyncio.subprocess.Process:
        """Run it in a folder where nothing of the checkout can be imported by accident."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, str(CONSUMER), str(self.file), *options),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def once(self, *options: str) -> Rows:
        """Have it catch up; what it printed."""
        process = await self.start("--once", *options)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        found = [line.split("\t") for line in out.decode().splitlines()]
        return [(day, one, other, int(given), int(ended)) for day, one, other, given, ended in found]

    @property
    def position(self) -> int:
        """Where its view stands."""
        try:
            with sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=5) as db:
                return int(db.execute("SELECT position FROM progress").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def folded(home: RunningHome) -> Rows:
    """What the consumer's view is to hold, by the store alone."""
    store = open_store(f"sqlite:///{home.data / 'store.db'}")
    addresses: dict[str, str] = {}
    given, ended = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    standing: dict[str, ShareCreated] = {}
    for happened in map(to_positioned, everything(store)):
        gone, day = [], happened.meta.at.date().isoformat()
        match happened.event:
            case AccountRegistered(account=account, address=address) | AccountRenamed(account=account, address=address):
                addresses[account] = address
            case ShareCreated() as event:
                given[day, event.owner, event.recipient] += 1
                standing[event.share] = event
            case ShareRemoved(share=share):
                gone = [share]
            case ConnectionRemoved(connection=connection):
                gone = [share for share, each in standing.items() if each.connection == connection]
        for each in (standing.pop(share) for share in gone if share in standing):
            ended[day, each.owner, each.recipient] += 1
    store.close()
    days = sorted(given.keys() | ended.keys())
    return [(day, addresses[one], addresses[to], given[day, one, to], ended[day, one, to]) for day, one, to in days]


def head(home: RunningHome) -> int:
    """The store's newest position."""
    store = open_store(f"sqlite:///{home.data / 'store.db'}")
    try:
        return store.head()
    finally:
        store.close()


async def share_and_end(ann: Person, bob: Person, *, ending: bool) -> None:
    """Ann shares two items with Bob, and ends the first one's share if so."""
    async with ann.session() as (session, keyring):
        for ended in (ending, False):
            item = await items.add(session, keyring, "Passport", {"number": "X123"})
            share = await shares.create(session, keyring, item.item, bob.address)
            if ended:
                await shares.remove(session, share.share)


def imported(script: Path) -> set[str]:
    """The modules that a script needs which Python does not bring."""
    nodes = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {(node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def test_the_examples_need_what_they_say() -> None:
    assert imported(CONSUMER) == {"nats"}
    assert imported(PRODUCER) == {"privity"}
    assert max(len(each.read_text().splitlines()) for each in (CONSUMER, PRODUCER)) <= MAX_LINES


async def test_consumers_have_what_the_store_says_live_and_again_from_the_beginning(
    backend: RunningHome, connected: tuple[Person, Person], tmp_path: Path
) -> None:
    """One of all contexts, which applies what it hears, and one of three, which asks each time that it hears it."""
    ann, bob = connected
    await share_and_end(ann, bob, ending=True)
    consumers = [Following.on(backend, tmp_path, "all"), Following.on(backend, tmp_path, "some", *FOLLOWED)]
    running = [await each.start() for each in consumers]
    for each in running:
        assert each.stdout is not None
        assert (await asyncio.wait_for(each.stdout.readline(), 30)).startswith(b"at "), "it has caught up"
    await share_and_end(ann, bob, ending=False)
    newest = head(backend)  # of the shares: so both hear it
    await eventually(lambda: min(each.position for each in consumers) >= newest, within=4.5)  # sooner than unasked
    for each in running:
        each.kill()
        await each.wait()
    rows = await consumers[0].once()
    assert [row[3:] for row in rows if row[1:3] == (ann.address, bob.address)] == [(4, 1)]
    assert sorted(rows) == sorted(folded(backend))
    assert await consumers[1].once("--rebuild") == rows


@pytest.mark.parametrize(("reconnects", "silence"), [(0, 0.2), (1, 5.0)])
async def test_a_consumer_asks_again_though_it_never_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reconnects: int, silence: float
) -> None:
    """A home that was restored from a copy tells other events at the positions that the view has, without a pause.

    At once where the connection was gone meanwhile; else when there was nothing new for a while.
    """
    for name in ("SERVER", "CREDENTIAL", "ASKS"):
        monkeypatch.setenv(f"CONSUMER_{name}", "privity.past.x.all")
    consumer = runpy.run_path(str(CONSUMER))
    consumer["listen"].__globals__["SILENCE"] = silence
    view, live = consumer["View"](str(tmp_path / "view.db"), rebuild=False), asyncio.Queue[Msg]()
    view.apply(0, [], 1000)
    bus = Client()
    bus.stats["reconnects"] = reconnects

    async def traffic() -> None:
        for position in range(901, 1002):
            headers = {"Privity-Position": str(position), "Privity-Previous": str(position - 1)}
            share = {"share": f"new-{position}", "connection": "c", "owner": "o", "recipient": "r"}
            data = json.dumps({"event": share, "meta": {"at": "2026-01-01T00:00:00Z"}}).encode()
            await live.put(Msg(bus, "privity.evt.shares.share-created.share-x", data=data, headers=headers))
            await asyncio.sleep(0.01)

    telling = asyncio.create_task(traffic())
    await asyncio.wait_for(consumer["listen"](view, live, bus, 0), 3)
    assert not telling.done(), "before it hears what seems to follow"
    await cancel(telling)
    assert (view.position, view.db.execute("SELECT * FROM shares").fetchall()) == (1000, [])


async def test_a_producer_gives_each_reading_and_goes_on_where_it_was(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    ann, bob = connected

    async def produce(readings: int) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PRODUCER), str(ann.home), bob.address, "0", str(readings)),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PRIVITY_PASSPHRASE": ann.passphrase},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0
        return out.decode()

    assert "version 3: " in await produce(2)
    assert "version 4: " in await produce(1)
    async with bob.session() as (session, keyring):
        (share,) = await shares.all_of(session, keyring, "incoming")
        assert isinstance(share, shares.Share)
        assert share.shared is not None
        assert (share.version, share.shared.content.label) == (4, "Load of a machine")
