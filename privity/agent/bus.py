"""The agent's line to a home: commands go out and results come back, queries are asked; nothing here is trusted."""

import asyncio
import logging
from types import TracebackType
from typing import Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import ValidationError

from privity.connection_string import ConnectionString
from privity.errors import Unreachable
from privity.messages import envelope
from privity.messages.envelope import Result

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 3.0
RESULT_TIMEOUT = 15.0
RESEND = 2.0
"""Seconds without a result after which the same command is sent again, under the same id."""
QUERY_TIMEOUT = 10.0
ASK_AGAIN = 0.2
"""Seconds before a query that nobody was there to hear is asked again."""
INBOX_PREFIX = b"_INBOX_PERSON"


class Bus:
    """One connection as a person. Use as an async context manager."""

    def __init__(self, server: ConnectionString, account: str) -> None:
        self._server = server
        self._account = account
        self._client = Client()
        self._results: dict[str, asyncio.Future[Result]] = {}

    async def __aenter__(self) -> Self:
        """Connect, and listen for results.

        Raises:
            Unreachable: nobody is there, or the credential is not taken.
        """
        try:
            self._client = await asyncio.wait_for(
                nats.connect(
                    self._server.bus_url,
                    user=self._server.user,
                    password=self._server.credential,
                    name="privity-agent",
                    connect_timeout=CONNECT_TIMEOUT,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.2,
                    inbox_prefix=INBOX_PREFIX,
                    error_cb=_log_error,
                ),
                CONNECT_TIMEOUT,
            )
            subject = envelope.result_subject(self._account, "*")
            await self._client.subscribe(subject, cb=self._heard)
            await self._client.flush(timeout=CONNECT_TIMEOUT)  # type: ignore[arg-type]
        except (NatsError, OSError, TimeoutError) as error:
            raise Unreachable(f"the backend at {self._server.bus_url} cannot be reached") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._client.close()
        except OSError as error:  # the backend has gone away just now: all there is to say was said
            log.debug("bus: %s", error)

    async def send(self, subject: str, command_id: str, data: bytes) -> Result:
        """Send a command until its result comes: the same bytes again and again have one effect.

        Raises:
            Unreachable: no result in time; the command may have taken effect, and is to be sent again.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._results[command_id] = future
        try:
            async with asyncio.timeout(RESULT_TIMEOUT):
                while True:
                    await self._client.publish(subject, data)
                    try:
                        return await asyncio.wait_for(asyncio.shield(future), RESEND)
                    except TimeoutError:
                        continue
        except (NatsError, OSError, TimeoutError) as error:
            raise Unreachable("the backend did not answer in time") from error
        finally:
            self._results.pop(command_id, None)

    async def ask(self, subject: str, data: bytes) -> bytes:
        """Send a query; the answer's frame.

        Raises:
            Unreachable: no answer in time.
        """
        try:
            async with asyncio.timeout(QUERY_TIMEOUT):
                while True:
                    try:
                        return (await self._client.request(subject, data, timeout=QUERY_TIMEOUT)).data
                    except NoRespondersError:  # the process that answers is being started again
                        await asyncio.sleep(ASK_AGAIN)
        except (NatsError, OSError, TimeoutError) as error:
            raise Unreachable("the backend did not answer in time") from error

    async def listen(self, subject: str) -> asyncio.Queue[bytes]:
        """Messages on a subject from now on; a slow listener loses the oldest beyond 1,000."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(1000)

        async def heard(message: Msg) -> None:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message.data)

        await self._client.subscribe(subject, cb=heard)
        await self._client.flush()
        return queue

    async def _heard(self, message: Msg) -> None:
        future = self._results.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        try:
            future.set_result(envelope.result.validate_json(message.data))
        except ValidationError:  # another person's reply can be pointed here; only a result is one
            log.debug("a message on the result subject is no result")


async def _log_error(error: Exception) -> None:
    log.debug("bus: %s", error)
