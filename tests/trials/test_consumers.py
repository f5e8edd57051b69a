"""A consumer outside the backend: whatever it, the stream or the home suffers, its view is what the store says.

The consumer is examples/consumer.py as it stands. Its counts are not idempotent: what is applied twice shows.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.streams import EVENTS
from privity.agent import items, shares
from privity.messages.past import past_subject
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.docs.test_examples import CONSUMER, FOLLOWED, Following, folded, head, share_and_end
from tests.infra import buses
from tests.trials.load import backend_bus, eventually, load_on, privity

pytestmark = pytest.mark.trial

KILLS = 12
ENDS = 6
DYING = """
import json, os, runpy, signal, sys
left, loads = int(sys.argv.pop(1)), json.loads

def counted(text):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return loads(text)

json.loads = counted
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""

LOSING = """
import asyncio, random, runpy, sys
from nats.aio.msg import Msg

put, chance = asyncio.Queue.put, random.Random(3)

async def losing(queue, item):
    if not isinstance(item, Msg) or chance.random() < 0.5:
        await put(queue, item)

asyncio.Queue.put = losing
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@asynccontextmanager
async def sharing(ann: Person, bob: Person) -> AsyncIterator[list[str]]:
    """Meanwhile Ann gives Bob shares, and ends half of them: those that were ended."""
    done, found = asyncio.Event(), list[str]()

    async def go_on() -> None:
        async with ann.session() as (session, keyring):
            item = await items.add(session, keyring, "Passport", {"number": "X123"})
            while not done.is_set():
                _kept, ended = [await shares.create(session, keyring, item.item, bob.address) for _ in range(2)]
                await shares.remove(session, ended.share)
                found.append(ended.share)

    task = asyncio.create_task(go_on())
    try:
        yield found
    finally:
        done.set()
        await asyncio.wait_for(task, 60)


async def pair(home: RunningHome, folder: Path) -> tuple[Person, Person]:
    """Two who are connected."""
    ann, bob = somebody("ann", folder, home.url), somebody("bob", folder, home.url)
    await ann.register()
    await bob.register()
    await connect(ann, bob)
    return ann, bob


async def as_the_store_says(home: RunningHome, consumer: Following) -> bool:
    """The view comes to what a fold of the store is, and so does one that begins anew."""
    rows = await consumer.once()
    assert consumer.position == head(home)
    assert sorted(rows) == sorted(folded(home))
    return await consumer.once("--rebuild") == rows


@pytest.mark.soak
async def test_a_consumer_that_is_killed_in_any_transaction_applies_each_event_once(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    """SIGKILL between any two events of a page: the whole page is gone then, and comes again."""
    ann, bob = await pair(own_backend, tmp_path)
    for ending in (True, False, True):
        await share_and_end(ann, bob, ending=ending)
    consumer, chance, died = Following.on(own_backend, tmp_path, "dying"), random.Random(7), 0
    for events in [0, 1, 2, *(chance.randrange(3, head(own_backend)) for _ in range(KILLS))]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", DYING, str(events), str(CONSUMER), str(consumer.file), "--once"),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **consumer.environment},
        )
        died += await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
        assert consumer.position == 0, "a page is applied whole or not at all"
        await share_and_end(ann, bob, ending=False)
    assert died == KILLS + 3
    assert await as_the_store_says(own_backend, consumer)


@pytest.mark.soak
async def test_a_consumer_that_misses_half_of_what_it_is_told_notices_each_gap_at_once(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    """While there is never silence: so it is the gap that tells."""
    ann, bob = await pair(own_backend, tmp_path)
    consumer = Following.on(own_backend, tmp_path, "losing")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOSING, str(CONSUMER), str(consumer.file)),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **consumer.environment},
    )
    await eventually(lambda: consumer.position == head(own_backend))
    async with sharing(ann, bob) as ended:
        while len(ended) < KILLS:
            newest = head(own_backend) + 1
            await eventually(lambda newest=newest: consumer.position >= newest, within=4.5)  # type: ignore[misc]
    await eventually(lambda: consumer.position == head(own_backend))
    assert process.returncode is None
    process.kill()
    await process.wait()
    assert sorted(await consumer.once()) == sorted(folded(own_backend))


async def test_a_consumer_is_right_though_it_is_killed_and_the_stream_is_purged_and_deleted_under_load(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann, bob = await pair(own_backend, tmp_path)
    chance = random.Random(11)
    whole, some = Following.on(own_backend, tmp_path, "whole"), Following.on(own_backend, tmp_path, "some", *FOLLOWED)
    async with sharing(ann, bob), backend_bus(own_backend) as bus:
        await bus.jetstream().purge_stream(EVENTS)  # before it begins: the past is in the store alone
        steady = await some.start()
        for number in range(KILLS):
            process = await whole.start()
            await asyncio.sleep(chance.uniform(0.3, 2.0))
            if number % 4 == 1:
                await bus.jetstream().delete_stream(EVENTS)  # then all of it is published again: repeats for everybody
            if number % 4 == 3:
                await bus.jetstream().purge_stream(EVENTS)
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            process.kill()
            await process.wait()
    await eventually(lambda: some.position == head(own_backend))
    assert steady.returncode is None
    steady.kill()
    await steady.wait()
    for each in (whole, some):
        assert await as_the_store_says(own_backend, each)


@pytest.mark.soak
async def test_a_consumer_goes_on_when_the_home_was_away(own_backend: RunningHome, tmp_path: Path) -> None:
    """Stopped, and killed: it waits, and has what came since."""
    ann, bob = await pair(own_backend, tmp_path)
    consumer = Following.on(own_backend, tmp_path, "waiting")
    process = await consumer.start()
    await eventually(lambda: consumer.position == head(own_backend))
    for end in (own_backend.stop, own_backend.kill):
        await share_and_end(ann, bob, ending=True)
        end()
        own_backend.start()
        await share_and_end(ann, bob, ending=False)
        await eventually(lambda: consumer.position == head(own_backend))
    assert process.returncode is None
    process.kill()
    await process.wait()
    assert await as_the_store_says(own_backend, consumer)


@pytest.mark.soak
async def test_a_view_that_has_seen_more_than_the_home_says_so(own_backend: RunningHome, tmp_path: Path) -> None:
    """The home was restored from a copy: where the view stands, another history begins."""
    await pair(own_backend, tmp_path)
    own_backend.stop()
    copy = (own_backend.data / "store.db").read_bytes()
    own_backend.start()
    await pair(own_backend, tmp_path)
    consumer = Following.on(own_backend, tmp_path, "ahead")
    await consumer.once()
    own_backend.stop()
    for file in (*own_backend.data.glob("store.db*"), *own_backend.data.glob("views.db*")):
        file.unlink()
    (own_backend.data / "store.db").write_bytes(copy)
    own_backend.start()
    process = await consumer.start("--once")
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, b"restored from a copy" in err) == (1, True), err
    assert await consumer.once("--rebuild") == folded(own_backend)


@pytest.mark.soak
async def test_a_hostile_consumer_tells_another_nothing_false(own_backend: RunningHome, tmp_path: Path) -> None:
    """It has its answers delivered where the other hears events; those say no position, and are no events."""
    ann, bob = await pair(own_backend, tmp_path)
    consumer, hostile = (Following.on(own_backend, tmp_path, name) for name in ("victim", "hostile"))
    process = await consumer.start()
    await eventually(lambda: consumer.position == head(own_backend))
    credential = _credential(Path(hostile.environment["CONSUMER_CREDENTIAL"]))
    line = await buses.Person.of(hostile.environment["CONSUMER_SERVER"], credential, "_INBOX_hostile")
    for _ in range(300):
        for subject in ("privity.evt.shares.share-created.share-x", "privity.evt.shares.share-removed.share-x"):
            await line.bus.publish(past_subject("hostile"), b'{"v":1,"after":0}', reply=subject)
    await line.bus.flush()
    await share_and_end(ann, bob, ending=True)
    await eventually(lambda: consumer.position == head(own_backend))
    assert process.returncode is None
    process.kill()
    await process.wait()
    assert await as_the_store_says(own_backend, consumer)
    await line.bus.close()


@pytest.mark.soak
async def test_a_consumer_whose_credential_is_taken_back_ends_and_another_goes_on(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann, bob = await pair(own_backend, tmp_path)
    at, file = ("--data", str(own_backend.data)), tmp_path / "none.creds"
    unknown = privity("consumer", "credential", "--name", "a", "--context", "nothing", "--out", str(file), *at)
    nobody = privity("consumer", "revoke", "lost", *at)
    assert (unknown.returncode, "error: Malformed" in unknown.stderr, file.exists()) == (1, True, False)
    assert (nobody.returncode, "error: NotFound" in nobody.stderr) == (1, True)
    lost, kept = (Following.on(own_backend, tmp_path, name) for name in ("lost", "kept"))
    losing, keeping = await lost.start(), await kept.start()
    await eventually(lambda: min(lost.position, kept.position) == head(own_backend))
    done = privity("consumer", "revoke", "lost", *at, "--json")
    assert (done.returncode, '"cut_off": true' in done.stdout) == (0, True), done
    assert await asyncio.wait_for(losing.wait(), 20) == 1
    stood = lost.position

    own_backend.stop()
    own_backend.start()  # it stays so
    await share_and_end(ann, bob, ending=False)
    await eventually(lambda: kept.position == head(own_backend))
    assert await asyncio.wait_for((await lost.start()).wait(), 20) == 1, "it ends by itself"
    assert lost.position == stood

    listed = privity("consumer", "list", *at, "--json")
    assert '"name": "lost"' in listed.stdout
    assert '"revoked": true' in listed.stdout
    keeping.kill()
    await keeping.wait()
    assert await as_the_store_says(own_backend, kept)
    assert await as_the_store_says(own_backend, Following.on(own_backend, tmp_path, "lost")), "with another credential"


@pytest.mark.soak
async def test_pages_do_not_keep_the_home_from_its_work(own_backend: RunningHome, tmp_path: Path) -> None:
    """Some consumers begin at 0 again and again while people work: every command is answered."""
    load = await load_on(own_backend, tmp_path)
    consumers = [Following.on(own_backend, tmp_path, f"greedy-{number}") for number in range(3)]
    async with load.running():
        await load.more(200)
        for _ in range(ENDS):
            await asyncio.gather(*(each.once("--rebuild") for each in consumers))
        await load.more(200)
    assert {result.status for result in load.results.values()} == {"accepted"}


def _credential(file: Path) -> "buses.Credential":
    """What a `.creds` file holds."""
    lines = file.read_text().splitlines()
    return buses.Credential(lines[1], buses.Nkey(lines[5]))
