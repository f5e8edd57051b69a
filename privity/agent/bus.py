"""The agent's line to a home: commands go out and results come back, queries are asked; nothing here is trusted."""

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from privity.connection_string import ConnectionString
from privity.credential import CA_VARIABLE, Credential, client_tls
from privity.errors import NotAdmitted, Unreachable
from privity.errors import error_for as error_for
from privity.messages import envelope
from privity.messages.enrolment import inbox_prefix
from privity.messages.envelope import Result
from privity.results import Results
from privity.supplying import ask_supplier

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_TIMEOUT = 3.0
CLOSE_TIMEOUT = 1.0
RESULT_TIMEOUT = 15.0
RESEND = 2.0
"""Seconds without a result after which the same command is sent again, under the same id."""
QUERY_TIMEOUT = 10.0
ASK_AGAIN = 0.2
"""Seconds before a query that nobody was there to hear is asked again."""
REFUSALS = ("authorization", "authentication")
"""Words of the server's errors by which a credential is not, or no longer, good."""


class Bus:
    """One connection as a person. Use as an async context manager."""

    def __init__(self, server: ConnectionString, account: str, credential: Credential) -> None:
        self._server = server
        self._account = account
        self._credential = credential
        self._client = Client()
        self._results = Results()
        self._live: list[asyncio.Queue[bytes]] = []
        self._ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect, and listen for results.

        Raises:
            NotAdmitted: the credential is not taken.
            Unreachable: nobody is there, or somebody without the right certificate.
        """
        prefix = inbox_prefix(self._account)
        self._client = await dial(self._server, self._credential, prefix, self._has_ended, self._is_back)
        try:
            subject = envelope.result_subject(self._account, "*")
            await self._client.subscribe(subject, cb=self._results.heard)
            await self._client.flush(timeout=CONNECT_TIMEOUT)  # type: ignore[arg-type]
        except (NatsError, OSError, TimeoutError) as error:
            raise Unreachable(f"the backend at {self._server.bus_url} cannot be reached") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await leave(self._client)

    @property
    def ended(self) -> bool:
        """Whether the connection has ended for good: the home has taken the credential back, or it is too old."""
        return self._ended.is_set()

    @property
    def lost(self) -> bool:
        """Whether the connection is lost now, and tried again: what is asked meanwhile has no answer."""
        return not self.ended and not self._client.is_connected

    async def send(self, subject: str, command_id: str, data: bytes) -> Result:
        """Send a command until its result comes: the same bytes again and again have one effect.

        Raises:
            Unreachable: no result in time, or none any more; the command may have taken effect: send it again.
        """
        with self._results.of(command_id) as future:
            return await self._while_admitted(self._send(subject, data, future))

    async def _send(self, subject: str, data: bytes, future: asyncio.Future[Result]) -> Result:
        async with asyncio.timeout(RESULT_TIMEOUT):
            while True:
                await self._client.publish(subject, data)
                try:
                    return await asyncio.wait_for(asyncio.shield(future), RESEND)
                except TimeoutError:
                    continue

    async def ask(self, subject: str, data: bytes) -> bytes:
        """Send a query; the answer's frame.

        Raises:
            Unreachable: no answer in time, or none any more.
        """
        return await self._while_admitted(request(self._client, subject, data))

    async def ask_supplier(self, subject: str, data: bytes, patience: float) -> bytes:
        """Ask a supplier of fragments, once, and wait for `patience` seconds; the answer's frame.

        Raises:
            SupplierAway: nobody hears on that subject.
            SupplierSlow: no answer in time.
            Unreachable: the home has ended the connection, or it is lost.
        """
        if self.ended:
            raise Unreachable("the home has ended the connection")
        return await ask_supplier(self._client, subject, data, patience)

    async def _while_admitted(self, work: Coroutine[Any, Any, T]) -> T:
        doing, ending = asyncio.ensure_future(work), asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({doing, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise Unreachable("the home has ended the connection")
            return doing.result()
        except (NatsError, OSError, TimeoutError) as error:
            raise Unreachable("the backend did not answer in time") from error
        finally:
            doing.cancel()
            ending.cancel()

    async def listen(self, subject: str) -> asyncio.Queue[bytes]:
        """Messages on a subject from now on; a slow listener loses the oldest beyond 1,000.

        An empty one says that the connection was lost and is there again: others may have been missed meanwhile.

        Raises:
            Unreachable: the connection is lost now.
        """
        queue: asyncio.Queue[bytes] = asyncio.Queue(1000)

        async def heard(message: Msg) -> None:
            _put(queue, message.data)

        try:
            await self._client.subscribe(subject, cb=heard)
            await self._client.flush()
        except (NatsError, OSError, TimeoutError) as error:
            raise Unreachable("the backend did not answer in time") from error
        self._live.append(queue)
        return queue

    async def _is_back(self) -> None:
        for queue in self._live:
            _put(queue, b"")

    async def _has_ended(self) -> None:
        self._ended.set()


async def dial(
    server: ConnectionString,
    credential: Credential,
    inbox: str,
    on_ended: Callable[[], Awaitable[None]] | None = None,
    on_back: Callable[[], Awaitable[None]] | None = None,
) -> Client:
    """A connection that comes back by itself, until the server says that the credential is no longer good.

    With TLS the handshake comes first: whoever stands in between cannot claim that the server has none.

    Raises:
        NotAdmitted: the credential is not taken.
        Unreachable: nobody is there, or somebody without the right certificate.
    """
    client = Client()
    watch = _Watch(client)
    unreachable = f"the backend at {server.bus_url} cannot be reached"
    opening = client.connect(
        server.bus_url,
        user_jwt_cb=credential.shown,
        signature_cb=credential.proof,
        tls=client_tls(os.environ.get(CA_VARIABLE)) if server.tls else None,
        tls_handshake_first=server.tls,
        name="privity-agent",
        connect_timeout=CONNECT_TIMEOUT,  # type: ignore[arg-type]
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,  # type: ignore[arg-type]
        inbox_prefix=inbox,
        error_cb=watch.failed,
        closed_cb=on_ended,
        reconnected_cb=on_back,
    )
    try:
        await asyncio.wait_for(opening, CONNECT_TIMEOUT)
    except ssl.SSLError as error:
        await leave(client)
        raise Unreachable(f"{unreachable}: its certificate is not good: {error.reason}") from error
    except (NatsError, OSError, TimeoutError) as error:
        await leave(client)
        raise Unreachable(unreachable) from error
    except NotAdmitted:
        await leave(client)
        raise
    watch.opened = True
    return client


async def leave(client: Client) -> None:
    """Close a connection, of which all has been said; one that cannot be closed in good order ends with the process."""
    try:
        await asyncio.wait_for(client.close(), CLOSE_TIMEOUT)
    except (OSError, TimeoutError) as error:  # after a handshake that failed, asyncio waits for ever
        log.debug("bus: %s", error)


async def request(client: Client, subject: str, data: bytes) -> bytes:
    """A request's answer; asked again while nobody is there to hear it.

    Raises:
        NatsError, OSError, TimeoutError: no answer in time.
    """
    async with asyncio.timeout(QUERY_TIMEOUT):
        while True:
            try:
                return (await client.request(subject, data, timeout=QUERY_TIMEOUT)).data
            except NoRespondersError:  # the process that answers is being started again
                await asyncio.sleep(ASK_AGAIN)


def _put(queue: asyncio.Queue[bytes], data: bytes) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(data)


class _Watch:
    """What the client library tells of one connection: what will not get better by trying again ends it."""

    def __init__(self, client: Client) -> None:
        self.opened = False
        self._client = client
        self._closing: asyncio.Task[None] | None = None

    async def failed(self, error: Exception) -> None:
        """An `error_cb`: what it raises while the connection is opened comes out of `connect`."""
        log.debug("bus: %s", error)
        refused = isinstance(error, NatsError) and any(word in str(error).lower() for word in REFUSALS)
        if not self.opened and isinstance(error, ssl.SSLError):
            raise error
        if not self.opened and refused:
            raise NotAdmitted
        if refused and self._closing is None:
            self._closing = asyncio.create_task(self._client.close())
