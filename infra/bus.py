"""The backend's connection to NATS: it comes back for ever, with jitter, and logs what happens to it."""

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import nats.errors
from faststream.nats import NatsJWT
from nats.aio.client import Client, Server

from privity.credential import Credential
from privity.errors import Unreachable

log = logging.getLogger("privity.bus")

FIRST_CONNECTION = 10.0  # seconds
SHORTEST_WAIT, LONGEST_WAIT = 0.05, 4.0  # seconds between two tries of a reconnection
PING_INTERVAL, LOST_PINGS = 10, 3  # a server that is silent for 40 seconds is left


Hook = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Way:
    """How a role reaches the bus: where, as whom, and with which TLS (none for a plaintext bus).

    `name` is the one that the server's certificate must have, where it is not the URL's host.
    """

    url: str
    credential: Credential
    tls: ssl.SSLContext | None = None
    name: str | None = None

    def security(self) -> NatsJWT:
        """The same for FastStream's broker."""
        return NatsJWT(
            self.credential.shown,
            self.credential.proof,
            ssl_context=self.tls,
            tls_hostname=self.name,
            tls_handshake_first=self.tls is not None,
        )


async def connect(
    way: Way,
    *,
    name: str,
    inbox_prefix: str = "_INBOX",
    on_closed: Hook | None = None,
    on_back: Hook | None = None,
    within: float = FIRST_CONNECTION,
) -> Client:
    """A connection under this name; when lost, it is looked for until `close()` or `drain()`.

    `on_closed` is awaited when it has ended for good: by those two, or because the client library gives up on
    what the server answered. A worker that did not close it hears nothing any more, and has to end.
    `on_back` is awaited each time that a lost one is there again. With TLS the handshake comes first: whoever stands in
    between cannot claim that the server has none.

    Raises:
        Unreachable: no connection within that many seconds, or the credential or the certificate was refused.
    """
    client = Client()
    watch = _Watch(name, client, on_back=on_back)
    opening = client.connect(
        way.url,
        user_jwt_cb=way.credential.shown,
        signature_cb=way.credential.proof,
        tls=way.tls,
        tls_hostname=way.name,
        tls_handshake_first=way.tls is not None,
        name=name,
        inbox_prefix=inbox_prefix,
        error_cb=watch.failed,
        disconnected_cb=watch.lost,
        reconnected_cb=watch.back,
        closed_cb=watch.closed,
        connect_timeout=2,
        reconnect_time_wait=1,  # at the first connection; later ones ask next_server
        max_reconnect_attempts=-1,
        reconnect_to_server_handler=next_server,
        ping_interval=PING_INTERVAL,
        max_outstanding_pings=LOST_PINGS,
        drain_timeout=5,
    )
    try:
        await asyncio.wait_for(opening, within)
    except TimeoutError as error:
        await client.close()
        raise Unreachable(f"no connection to NATS: {watch.why}") from error
    watch.on_closed = on_closed
    return client


def next_server(servers: list[Server], _info: dict[str, object]) -> tuple[Server, float]:
    """The server that failed least and the seconds to wait for it: growing, random, lest all come at once."""
    server = min(servers, key=lambda each: each.reconnects)
    longest = min(LONGEST_WAIT, SHORTEST_WAIT * 2 ** min(server.reconnects + 2, 10))
    return server, random.uniform(SHORTEST_WAIT, longest)  # noqa: S311 - it spreads load and guards nothing


async def keep_trying(error: Exception) -> None:
    """An `error_cb` for FastStream's broker, which some refusals leave deaf for ever without it.

    FastStream raises on "authorization violation", "maximum connections exceeded", "stale connection" and the
    like inside the client's reconnecting, and that task ends unseen. It goes by the error's text, so another
    text lets the next try happen.
    """
    _report("broker", error)
    if type(error) is nats.errors.Error:
        error.args = (f"{error} (trying again)",)


@dataclass
class _Watch:
    """What happens to one connection, told to the log."""

    name: str
    client: Client
    why: str = "no answer"
    on_closed: Hook | None = None
    on_back: Hook | None = None

    async def failed(self, error: Exception) -> None:
        if not _away(error):  # a server that refuses may hang up on the next try: the refusal is the reason
            self.why = str(error)
        _report(self.name, error)

    async def lost(self) -> None:
        log.log(logging.INFO if self.client.is_closed else logging.WARNING, "%s: disconnected", self.name)

    async def back(self) -> None:
        log.info("%s: connected again", self.name)
        if self.on_back is not None:
            await self.on_back()

    async def closed(self) -> None:
        log.info("%s: closed", self.name)
        if self.on_closed is not None:
            await self.on_closed()


def _report(name: str, error: Exception) -> None:
    level = logging.DEBUG if _away(error) else logging.ERROR
    log.log(level, "%s: %s", name, str(error) or type(error).__name__)


def _away(error: Exception) -> bool:
    """The server is not there, and that it still is not is no news; a time-out is an OSError."""
    return isinstance(error, OSError | nats.errors.UnexpectedEOF)
