"""Views rebuilt, and deleted, while everybody goes on: nobody is refused, nothing is missing, nothing restarts."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import app
from bench.history import fill
from infra.store import open_store
from privity.agent import items
from privity.errors import Busy
from privity.messages.views import AskItems, ItemRow
from privity.testing.home import RunningHome
from privity.testing.people import somebody
from tests.trials.load import (
    alive,
    assert_nothing_lost,
    backend_bus,
    eventually,
    everything,
    helpers,
    load_on,
    privity,
    store_of,
    views_position,
)

pytestmark = pytest.mark.soak

HISTORY = 15_000
"""Events that the home has before the load begins, so that a rebuild takes its time."""
STALE = 0.1
"""Seconds by which a rebuild may make views later than they are without it."""
FILES = ("views.db", "views.db-wal", "views.db-shm")


@dataclass
class Asker:
    """Somebody who adds an item and looks for it at once, again and again: seconds from the result to the row."""

    took: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def run(self, home: RunningHome, folder: Path, until: asyncio.Event) -> None:
        person = somebody("asker", folder, home.url)
        await person.register()
        async with person.session() as (session, keyring):
            while not until.is_set():
                item = await items.add(session, keyring, "Seen", {})
                start = time.monotonic()
                try:
                    found = await session.ask_all(AskItems(id=item.item), ItemRow)
                    assert len(found.rows) == 1, "an item that was accepted is not there"
                    self.took.append(time.monotonic() - start)
                except Busy as error:
                    self.refused.append(error.message)


@asynccontextmanager
async def asking(home: RunningHome, folder: Path) -> AsyncIterator[Asker]:
    """Somebody who asks while the block runs."""
    asker, until = Asker(), asyncio.Event()
    task = asyncio.create_task(asker.run(home, folder, until))
    try:
        yield asker
    finally:
        until.set()
        await asyncio.wait_for(task, 60)


@pytest.fixture
def old_home(tmp_path: Path) -> RunningHome:
    """A stopped home with a long history."""
    home = RunningHome(tmp_path / "home")
    with home:
        pass
    with closing(open_store(app.running(home.data).store_url)) as store:
        fill(store, HISTORY)
    return home


async def replay(home: RunningHome, *more: str) -> None:
    done = await asyncio.to_thread(privity, "--json", "replay", "--data", str(home.data), *more)
    assert done.returncode == 0, done.stderr


async def test_f15_views_rebuilt_under_load_refuse_nobody_and_stay_fresh(old_home: RunningHome, tmp_path: Path) -> None:
    """All views, then one: rows come as soon as without it, and equal a rebuild in the end."""
    with old_home as home:
        load = await load_on(home, tmp_path, people=1)
        async with asking(home, tmp_path) as asker:
            await eventually(lambda: len(asker.took) >= 5)
            pids = helpers(home)
            async with load.running():
                asker.took.clear()
                await eventually(lambda: len(asker.took) >= 60)
                without = sorted(asker.took)
                asker.took.clear()
                await replay(home)
                await replay(home, "--view", "shares")
                during = sorted(asker.took)
        print(f"seconds to a row: without {without[-1]:.3f}, during {during[-1]:.3f} of {len(during)}")
        assert asker.refused == []
        assert len(during) > 20, "hardly anybody asked meanwhile: the trial shows nothing"
        assert during[int(len(during) * 0.9)] < without[int(len(without) * 0.9)] + STALE
        assert helpers(home) == pids, "a process was started again"
        await assert_nothing_lost(home, load.results)


async def delete_views(home: RunningHome) -> None:
    """The database of the views, under the process that writes it."""
    for name in FILES:
        (home.data / name).unlink(missing_ok=True)


async def delete_events(home: RunningHome) -> None:
    """The stream that the projector follows."""
    async with backend_bus(home) as bus:
        await bus.jetstream().delete_stream("EVENTS")


async def delete_both(home: RunningHome) -> None:
    """All that is not the store."""
    await asyncio.gather(delete_views(home), delete_events(home))


@pytest.mark.parametrize("delete", [delete_views, delete_events, delete_both])
async def test_f4_what_is_deleted_under_load_is_back_and_equal_without_a_restart(
    own_backend: RunningHome, tmp_path: Path, delete: Callable[[RunningHome], Awaitable[None]]
) -> None:
    load = await load_on(own_backend, tmp_path, people=2)
    pids = {**helpers(own_backend), "up": own_backend.pid}
    with (own_backend.data / FILES[0]).open("rb") as before:
        async with load.running():
            await load.more(50)
            await delete(own_backend)
            await load.more(50)
        gone = os.fstat(before.fileno()).st_nlink == 0
    async with store_of(own_backend) as store:
        head = everything(store)[-1].position
        await eventually(lambda: _position(own_backend) == head)
        await assert_nothing_lost(own_backend, load.results)
    assert gone is (delete is not delete_events), "it was not deleted: the trial shows nothing"
    assert {**helpers(own_backend), "up": own_backend.pid} == pids
    assert all(alive(pid) for pid in pids.values())
    person = somebody("after", tmp_path, own_backend.url)
    await person.register()
    async with person.session() as (session, keyring):
        await items.add(session, keyring, "After", {})
        assert len(await items.all_own(session, keyring)) == 1


def _position(home: RunningHome) -> int:
    """How far the views are; -1 while they are not there, or have no tables yet."""
    try:
        return views_position(home) if (home.data / FILES[0]).exists() else -1
    except sqlite3.OperationalError:
        return -1
