"""Crashes: `kill -9` of any process at any instant loses nothing that was acknowledged, and doubles nothing."""

import asyncio
import fcntl
import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

import app
from handlers.committer import Committer
from infra.store import open_store
from infra.views_db import open_views
from privity.agent import items
from privity.messages.catalog import EVENTS
from privity.testing.home import RunningHome
from privity.testing.people import somebody
from projections.projector import Projector
from tests.examples import NOW
from tests.handlers.people import HOME
from tests.handlers.story import tell
from tests.trials import dying
from tests.trials.load import (
    Load,
    add_item,
    alive,
    assert_nothing_lost,
    assert_versions_without_gaps,
    assert_views_equal_a_rebuild,
    backend_bus,
    eventually,
    everything,
    everything_in_views,
    helpers,
    kill_helper,
    load_on,
    signer_of,
    store_of,
    story,
)

pytestmark = pytest.mark.trial

VICTIMS = ("up", "projections", "nats-server", "all of them")
MANY = 1500
BATCH = 7
UNTOLD = {"keyring-fetched", "keyring-refused", "share-fetched"}
"""What nobody brings about by a command."""


async def kill(home: RunningHome, victim: str) -> None:
    """`kill -9`; only `up` is not started again by somebody."""
    if victim in ("up", "all of them"):
        orphans = helpers(home).values() if victim == "all of them" else ()
        await asyncio.to_thread(home.kill)
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(home.start)
    else:
        await kill_helper(home, victim)


async def kill_under(load: Load, home: RunningHome, times: int, seed: int) -> None:
    """So many times at a random instant, each victim in turn, and each time until results come again."""
    instants = random.Random(seed)
    async with load.running():
        await load.more(1)
        for number in range(times):
            await asyncio.sleep(instants.uniform(0.05, 0.6))
            await kill(home, VICTIMS[number % len(VICTIMS)])
            await load.more(30)


async def test_f1_f2_whatever_is_killed_under_load_all_that_was_accepted_is_there_once(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    load = await load_on(own_backend, tmp_path)
    await kill_under(load, own_backend, times=4, seed=1)
    await assert_nothing_lost(own_backend, load.results)


@pytest.mark.trial
@pytest.mark.parametrize("seed", [11, 12])
@pytest.mark.soak
async def test_f1_f2_twenty_kills_at_random_instants_lose_and_double_nothing(
    own_backend: RunningHome, tmp_path: Path, seed: int
) -> None:
    load = await load_on(own_backend, tmp_path)
    await kill_under(load, own_backend, times=20, seed=seed)
    await assert_nothing_lost(own_backend, load.results)


@pytest.mark.soak
async def test_f1_a_worker_killed_in_mid_batch_gets_it_again_and_each_command_has_one_effect(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    signer, _ = signer_of(ann)
    commands = [add_item(signer) for _ in range(MANY)]
    async with backend_bus(own_backend) as bus, store_of(own_backend) as store:
        start, jetstream = store.head(), bus.jetstream(publish_async_max_pending=MANY)
        os.kill(own_backend.pid, signal.SIGSTOP)  # so that all of them wait for it
        sent = [await jetstream.publish_async(each.subject, each.data) for each in commands]
        await asyncio.gather(*sent)  # from here on the stream alone has to bring them
        os.kill(own_backend.pid, signal.SIGCONT)
        await eventually(lambda: store.head() > start)
        await asyncio.to_thread(own_backend.kill)
        killed_at = store.head() - start
        assert killed_at < MANY, "all was done before the kill: the trial shows nothing"
        await asyncio.to_thread(own_backend.start)
        await eventually(lambda: store.head() >= start + MANY)
        stored = everything(store)
        effects = [event for event in stored if event.name == "item-added.v1"]
        assert len(effects) == MANY
        assert [f'"{command.id}"' in event.data.decode() for command, event in zip(commands, effects, strict=True)] == [
            True
        ] * MANY, "the account's order was lost"
        assert_versions_without_gaps(stored)
        await assert_views_equal_a_rebuild(own_backend, stored)


@pytest.mark.soak
def test_f15_a_projection_that_dies_at_any_statement_leaves_rows_and_position_together_or_neither(
    tmp_path: Path,
) -> None:
    stored, url, whole = (f"sqlite:///{tmp_path / name}.db" for name in ("store", "dying", "whole"))
    with closing(open_store(stored)) as store:
        Committer(store, HOME, lambda: NOW).process(tell().deliveries)
        happened = story(store)
    assert set(EVENTS) - {each.event.name for each in happened} == UNTOLD, "the story leaves a kind of event out"
    command = [sys.executable, "-m", dying.__name__, stored, url, str(BATCH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > len(happened)
    engine = open_views(whole)
    Projector(engine).apply(happened)
    engine.dispose()
    assert everything_in_views(url) == everything_in_views(whole)


async def test_f15_a_projection_whose_statement_fails_keeps_neither_rows_nor_position_and_goes_on(
    backend: RunningHome, ann: object, tmp_path: Path
) -> None:
    async with store_of(backend) as store:
        happened = story(store)[:BATCH]
    url = f"sqlite:///{tmp_path / 'failing.db'}"
    engine = open_views(url)
    projector = Projector(engine)
    before, failures = everything_in_views(url), 0
    for number in range(1, 1000):
        left = [number]

        def fail(*_: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise ZeroDivisionError

        sa.event.listen(engine, "before_cursor_execute", fail)
        try:
            projector.apply(happened)
            break
        except ZeroDivisionError:
            failures += 1
        finally:
            sa.event.remove(engine, "before_cursor_execute", fail)
        assert everything_in_views(url) == before
        assert projector.position == 0
    assert failures > 1
    assert projector.position == happened[-1].position
    engine.dispose()


async def test_f15_projections_killed_under_load_come_back_by_themselves_and_their_views_equal_a_rebuild(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    load = await load_on(own_backend, tmp_path)
    async with load.running():
        for _ in range(2):
            await load.more(50)
            await kill_helper(own_backend, "projections")
    await assert_nothing_lost(own_backend, load.results)


async def test_a_clean_stop_leaves_with_0_and_no_process_behind(own_backend: RunningHome) -> None:
    pids = [own_backend.pid, *helpers(own_backend).values()]
    assert len([pid for pid in pids if alive(pid)]) == 3
    assert await asyncio.to_thread(own_backend.stop) == 0
    assert [pid for pid in pids if alive(pid)] == []
    assert "Traceback" not in (own_backend.data / "up.stderr").read_text()


@pytest.mark.soak
async def test_a_clean_stop_under_load_leaves_with_0_and_loses_nothing(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    load = await load_on(own_backend, tmp_path)
    async with load.running():
        for _ in range(2):
            await load.more(100)
            pids = [own_backend.pid, *helpers(own_backend).values()]
            async with asyncio.timeout(20):
                assert await asyncio.to_thread(own_backend.stop) == 0
            assert [pid for pid in pids if alive(pid)] == []
            await asyncio.to_thread(own_backend.start)
    await assert_nothing_lost(own_backend, load.results)


@pytest.mark.parametrize("victim", ["projections", "nats-server"])
async def test_what_is_killed_beside_up_is_started_again_by_it(
    own_backend: RunningHome, tmp_path: Path, victim: str
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    async with ann.session() as (session, keyring):
        await items.add(session, keyring, "Before", {})
        killed = await kill_helper(own_backend, victim)
        assert (await items.add(session, keyring, "After", {})).version == 1
        assert len(await items.all_own(session, keyring)) == 2
    await eventually(lambda: helpers(own_backend).get(victim, killed) != killed)
    assert await asyncio.to_thread(own_backend.stop) == 0


@pytest.mark.soak
async def test_after_kill_9_of_up_its_orphans_end_and_it_starts_again_by_itself(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    orphans = helpers(own_backend)
    await asyncio.to_thread(own_backend.kill)
    await eventually(lambda: not alive(orphans["projections"]), within=10)
    assert alive(orphans["nats-server"])
    await asyncio.to_thread(own_backend.start)
    assert not alive(orphans["nats-server"]), "two servers would write into one store"
    async with ann.session() as (session, keyring):
        assert (await items.add(session, keyring, "After", {})).version == 1
    assert await asyncio.to_thread(own_backend.stop) == 0


async def test_up_waits_for_the_projections_of_a_killed_predecessor_to_end(tmp_path: Path) -> None:
    home = RunningHome(tmp_path / "home")
    with home:
        await asyncio.to_thread(home.stop)
        with (home.data / app.PROJECTIONS_LOCK).open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            starting = asyncio.create_task(asyncio.to_thread(home.start))
            await asyncio.sleep(2)
            assert not starting.done(), "two processes fold the same views"
        await starting
        assert "projections" in helpers(home)
