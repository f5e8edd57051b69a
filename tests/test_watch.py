"""A backend that lost its consumers, or the streams under them, mends itself while it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.js.errors
import pytest
from nats.js import JetStreamContext

from infra.bus import connect
from privity.agent import items
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody


@asynccontextmanager
async def operator(home: RunningHome) -> AsyncIterator[JetStreamContext]:
    import app

    bus = await connect(app.running(home.data).backend(), name="operator")
    try:
        yield bus.jetstream()
    finally:
        await bus.close()


@pytest.mark.parametrize(("stream", "durable"), [("COMMANDS", "intake"), ("EVENTS", "views")])
async def test_a_deleted_consumer_is_made_again(own_backend: RunningHome, tmp_path, stream: str, durable: str) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    async with operator(own_backend) as jetstream:
        await jetstream.delete_consumer(stream, durable)
        await keeps_an_item(ann)
        await eventually_there(jetstream, stream, durable)


async def test_deleted_streams_are_made_again(own_backend: RunningHome, tmp_path) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    async with operator(own_backend) as jetstream:
        for stream in ("COMMANDS", "EVENTS"):
            await jetstream.delete_stream(stream)
        await keeps_an_item(ann)
        for stream, durable in (("COMMANDS", "intake"), ("EVENTS", "views"), ("EVENTS", "mail")):
            await eventually_there(jetstream, stream, durable)
        counted = (await jetstream.stream_info("EVENTS")).state.messages
    assert counted == 3  # the address, the account and the item, all from the store


async def keeps_an_item(person: Person) -> None:
    async with person.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X1"})
        assert (await items.show(session, keyring, kept.item)).content == kept.content


async def eventually_there(jetstream: JetStreamContext, stream: str, durable: str) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                assert (await jetstream.consumer_info(stream, durable)).push_bound
                return
            except (nats.js.errors.NotFoundError, AssertionError):
                await asyncio.sleep(0.1)
