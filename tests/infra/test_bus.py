"""The backend's connection outlives its server."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlparse

import nats.errors
import pytest
from faststream.nats import NatsBroker
from nats.aio.client import Server

from infra.bus import LONGEST_WAIT, SHORTEST_WAIT, Way, connect, keep_trying, next_server
from infra.credentials import backend_credential
from infra.nats_server import NatsServer
from privity.errors import Unreachable
from tests.infra.buses import KEYS, OTHER_KEYS, PATIENCE, free_port, listen, way


async def test_it_hears_again_when_the_server_is_back(server: NatsServer) -> None:
    bus = await connect(way(server), name="test")
    heard = await listen(bus, "news")
    await crash(server)
    await server.start()
    other = await connect(way(server), name="other")
    await until(lambda: asyncio.sleep(0, bus.is_connected))
    await bus.flush()
    await other.publish("news", b"again")
    assert (await heard.next()).data == b"again"
    await bus.close()
    await other.close()


async def test_its_inboxes_have_the_prefix_asked_for(server: NatsServer) -> None:
    bus = await connect(way(server), name="test", inbox_prefix="_INBOX_TEST")
    assert bus.new_inbox().startswith("_INBOX_TEST.")
    await bus.close()


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="no connection to NATS"):
        await connect(Way(f"nats://127.0.0.1:{free_port()}", backend_credential(KEYS)), name="test", within=0.2)


async def test_another_homes_credential_is_unreachable_and_not_shown(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = way(server, OTHER_KEYS)
    with pytest.raises(Unreachable, match="Authorization Violation") as refusal:
        await connect(wrong, name="test", within=0.5)
    assert wrong.credential.nkey is not None
    for secret in (wrong.credential.jwt, wrong.credential.nkey.seed):
        assert secret not in str(refusal.value) + caplog.text + repr(wrong)


async def test_its_end_is_told_once(server: NatsServer) -> None:
    ends: list[str] = []

    async def ended() -> None:
        ends.append("closed")

    bus = await connect(way(server), name="test", on_closed=ended)
    await crash(server)
    await server.start()
    await until(lambda: asyncio.sleep(0, bus.is_connected))
    assert ends == []
    await bus.close()
    assert ends == ["closed"]


async def test_a_broker_outlives_a_server_that_refuses_it(tmp_path: Path, server: NatsServer) -> None:
    broker = NatsBroker(
        server.url,
        security=way(server).security(),
        logger=None,
        error_cb=keep_trying,
        max_reconnect_attempts=-1,
        reconnect_to_server_handler=next_server,
    )
    await broker.start()
    await crash(server)
    stranger = NatsServer(tmp_path / "stranger", server.port, OTHER_KEYS)
    await stranger.start()
    try:
        await until(lambda: asyncio.sleep(0, "authentication error" in stranger.log_path.read_text()))
    finally:
        await stranger.stop()
    await server.start()
    await until(lambda: broker.ping(timeout=1))
    await broker.stop()


def test_the_next_server_is_the_one_that_failed_least() -> None:
    better, worse = server_that_failed(1), server_that_failed(2)
    assert next_server([worse, better], {})[0] is better


@pytest.mark.parametrize("failures", [0, 1, 5, 100, 100_000])
def test_the_wait_for_it_is_bounded_and_random(failures: int) -> None:
    waits = {next_server([server_that_failed(failures)], {})[1] for _ in range(50)}
    assert all(SHORTEST_WAIT <= wait <= LONGEST_WAIT for wait in waits)
    assert len(waits) > 1


async def test_only_the_refusals_that_end_a_broker_are_rewritten() -> None:
    refusal, absence = nats.errors.Error("nats: 'Authorization Violation'"), ConnectionRefusedError("refused")
    for error in (refusal, absence):
        await keep_trying(error)
    assert str(refusal) == "nats: 'Authorization Violation' (trying again)"
    assert str(absence) == "refused"


async def crash(server: NatsServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(4 * PATIENCE):
        while not await holds():  # noqa: ASYNC110 - another process; nothing tells
            await asyncio.sleep(0.02)


def server_that_failed(times: int) -> Server:
    return Server(urlparse("nats://127.0.0.1:4222"), times)
