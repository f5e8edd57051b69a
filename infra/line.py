"""A role's line to the bus: its own connection, its FastStream broker, and the news when one of them ends for good."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from faststream.nats import NatsBroker
from nats.aio.client import Client

from infra.bus import LOST_PINGS, PING_INTERVAL, Hook, Way, connect, keep_trying, next_server
from infra.processes import cancel, closed
from infra.watch import Subscriber, keep_hearing


@dataclass(frozen=True, slots=True)
class Line:
    """`lost` ends when a connection has ended for good: a role without one is to be started again."""

    bus: Client
    broker: NatsBroker
    lost: asyncio.Task[None]

    def watch(self, heard: Mapping[str, tuple[str, Subscriber]]) -> list[asyncio.Task[None]]:
        """Tasks that make durable consumers anew which were deleted: by durable, its stream and who listens."""
        jetstream = self.bus.jetstream()
        return [
            asyncio.create_task(keep_hearing(jetstream, subscriber, stream, durable), name=f"watch of {durable}")
            for durable, (stream, subscriber) in heard.items()
        ]


@asynccontextmanager
async def open_line(way: Way, role: str) -> AsyncIterator[Line]:
    """Connect; on leaving, both connections are closed, though not waited for for ever.

    Raises:
        Unreachable: no connection in time, or the credential was refused.
    """
    ended = asyncio.Event()

    async def end() -> None:
        ended.set()

    async def wait() -> None:
        await ended.wait()

    bus = await connect(way, name=f"privity-{role}", on_closed=end)
    broker = _broker(way, f"privity-{role}-subscribers", end)
    lost = asyncio.create_task(wait(), name="bus connection")
    try:
        yield Line(bus, broker, lost)
    finally:
        await cancel(lost)
        await closed(broker.stop())
        await closed(bus.close())


def _broker(way: Way, name: str, on_closed: Hook) -> NatsBroker:
    return NatsBroker(
        way.url,
        security=way.security(),
        name=name,
        apply_types=False,
        logger=logging.getLogger("privity.faststream"),
        log_level=logging.DEBUG,
        max_reconnect_attempts=-1,
        reconnect_to_server_handler=next_server,
        ping_interval=PING_INTERVAL,
        max_outstanding_pings=LOST_PINGS,
        connect_timeout=2,
        drain_timeout=5,
        graceful_timeout=5.0,
        error_cb=keep_trying,
        closed_cb=on_closed,
    )
