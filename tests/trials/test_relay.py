"""The relay: whatever it, the stream or its neighbours suffer, EVENTS comes to be the store, in order and once."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nats.aio.client import Client

import infra.relay
from infra.bus import connect
from infra.mapping import to_row
from infra.nats_server import NatsServer
from infra.operators import stream_counts
from infra.processes import cancel
from infra.relay import Relay
from infra.store import Batch, EventStore, open_store
from infra.streams import declare_streams
from privity.agent import feed, invitations, items
from privity.encoding import b32, digest, new_id, sha256
from privity.messages.items import ItemAdded
from privity.messages.recorded import Meta
from privity.testing.home import RunningHome
from privity.testing.people import somebody
from tests.infra.buses import KEYS, free_port, way
from tests.trials.load import (
    add_item,
    assert_nothing_lost,
    assert_stream_equals_store,
    backend_bus,
    eventually,
    everything,
    load_on,
    signer_of,
    store_of,
)
from tests.trials.test_duplicates import line

pytestmark = pytest.mark.trial

EVENTS = 3000
RESTARTS = 25
MENDED = 20.0  # seconds in which the backend notices by itself what was deleted


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Client]:
    """A real nats-server with the streams, and the backend's connection to it."""
    server = NatsServer(tmp_path / "bus", free_port(), KEYS)
    await server.start()
    client = await connect(way(server), name="relay")
    await declare_streams(client.jetstream())
    yield client
    await client.close()
    await server.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    """A store with some thousand events."""
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    fill(opened, EVENTS)
    yield opened
    opened.close()


def fill(store: EventStore, count: int) -> None:
    """Append so many events."""
    account = b32(sha256(b"somebody"))
    meta = Meta("01890000-0000-7000-8000-000000000000", digest(b""), account, new_id(), datetime.now(UTC))
    events = [ItemAdded(new_id(), account, digest(os.urandom(8)), digest(b"")) for _ in range(count)]
    store.append(Batch(events=[to_row(event, 1, meta) for event in events]))


async def test_a_relay_that_is_ended_at_any_point_goes_on_where_the_stream_stands(
    bus: Client, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra.relay, "PAGE", 50)
    instants, interrupted = random.Random(5), 0
    for stop_at in sorted(instants.randrange(EVENTS - 100) for _ in range(RESTARTS)):
        relay = Relay(store, bus)
        relaying = asyncio.create_task(relay.run())
        while relay.position <= stop_at:  # noqa: ASYNC110 - it is to be ended anywhere in its work
            await asyncio.sleep(0)
        await asyncio.sleep(instants.uniform(0, 0.002))
        await cancel(relaying)
        interrupted += await held(bus) < EVENTS
    assert interrupted, "it was never ended in its midst: the trial shows nothing"
    relaying = asyncio.create_task(Relay(store, bus).run())
    await assert_stream_equals_store(bus, everything(store))
    await cancel(relaying)


async def test_a_task_whose_cancelling_is_swallowed_once_is_ended_all_the_same() -> None:
    swallowed = asyncio.Event()

    async def stubborn() -> None:  # as a relay is inside nats-py's publish_async
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if swallowed.is_set():
                    raise
                swallowed.set()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(cancel(task), 5)
    assert swallowed.is_set()
    assert task.cancelled()


async def test_two_relays_at_once_publish_everything_once_and_in_order(bus: Client, store: EventStore) -> None:
    relays = [Relay(store, bus) for _ in range(2)]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    await asyncio.sleep(0.1)
    fill(store, 100)
    for relay in relays:
        relay.wake()
    await assert_stream_equals_store(bus, everything(store))
    await cancel(*tasks)


async def test_f4_a_stream_deleted_under_a_running_relay_is_made_again_from_the_store(
    bus: Client, store: EventStore
) -> None:
    relay = Relay(store, bus)
    relaying = asyncio.create_task(relay.run())
    for _ in range(2):
        while not await held(bus):  # noqa: ASYNC110 - nothing tells when the stream is made
            await asyncio.sleep(0.01)
        await bus.jetstream().delete_stream("EVENTS")
        fill(store, 50)
        relay.wake()
    await assert_stream_equals_store(bus, everything(store))
    await cancel(relaying)


async def held(bus: Client) -> int:
    """How many messages EVENTS holds; 0 too where it is not there."""
    return max(0, (await stream_counts(bus.jetstream()))["EVENTS"])


@pytest.mark.soak
async def test_events_deleted_under_load_come_again_complete_and_views_feed_and_mail_go_on(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    load = await load_on(own_backend, tmp_path, people=2)
    async with load.running(), backend_bus(own_backend) as bus:
        await load.more(100)
        await bus.jetstream().delete_stream("EVENTS")
        await load.more(100)
    await assert_nothing_lost(own_backend, load.results)
    async with ann.session() as (session, keyring):
        lines = feed.follow(session, session.folder.position)
        first = asyncio.create_task(anext(lines))
        await items.add(session, keyring, "After", {})
        assert (await asyncio.wait_for(first, MENDED)).event == "item-added"
        invited = await invitations.invite(session, keyring, "carol@localhost")
        await eventually(lambda: list((own_backend.data / "mail").glob(f"{invited.invitation}*")), within=MENDED)
        await lines.aclose()


@pytest.mark.parametrize("lost", ["the consumer", "the stream"])
@pytest.mark.soak
async def test_commands_are_heard_again_by_themselves_after_what_brings_them_was_deleted(
    own_backend: RunningHome, tmp_path: Path, lost: str
) -> None:
    load = await load_on(own_backend, tmp_path, people=2)
    async with load.running(), backend_bus(own_backend) as bus:
        await load.more(50)
        if lost == "the stream":
            await bus.jetstream().delete_stream("COMMANDS")
        else:
            await bus.jetstream().delete_consumer("COMMANDS", "intake")
        await load.more(200)
    await assert_nothing_lost(own_backend, load.results)
    person = somebody("late", tmp_path, own_backend.url)
    await person.register()
    signer, server = signer_of(person)
    async with line(server, signer) as mine:
        assert (await mine.results_of(add_item(signer)))[0].status == "accepted"
    async with store_of(own_backend) as store:
        assert any(event.stream == f"account-{signer.account}" for event in everything(store))
