"""Results as they come over the bus, each to the command that waits for it."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from nats.aio.msg import Msg
from pydantic import ValidationError

from privity.messages import envelope
from privity.messages.envelope import Result

log = logging.getLogger(__name__)


class Results:
    """What is heard on a result subject; the last part of its name is the command's id."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Result]] = {}

    @contextmanager
    def of(self, command: str) -> Iterator[asyncio.Future[Result]]:
        """The result of a command, once it comes; nobody waits for it behind the block."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[command] = future
        try:
            yield future
        finally:
            self._waiting.pop(command, None)

    async def heard(self, message: Msg) -> None:
        """Take one message."""
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        try:
            future.set_result(envelope.result.validate_json(message.data))
        except ValidationError:  # another person's reply can be pointed here; only a result is one
            log.debug("a message on the result subject is no result")
