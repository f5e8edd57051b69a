"""A real nats-server, with its streams, for each test that asks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from infra.bus import connect
from infra.nats_server import NatsServer
from infra.streams import declare_streams
from tests.infra.buses import KEYS, Person, free_port, way


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path, free_port(), KEYS)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def backend(server: NatsServer) -> AsyncIterator[Client]:
    bus = await connect(way(server), name="backend")
    await declare_streams(bus.jetstream())
    yield bus
    await bus.close()


@pytest.fixture
async def person(server: NatsServer, backend: Client) -> AsyncIterator[Person]:
    someone = await Person.device(server.url)
    yield someone
    await someone.bus.close()
