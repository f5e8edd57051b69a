"""The commands that a supplier sends to its home, signed by its own key."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from uuid6 import uuid7

from infra.supplier.credential import SupplierCredential
from privity.crypto.command import frame, sign_command
from privity.crypto.supplying import supplier_device
from privity.errors import Internal, SupplierNameTaken
from privity.messages import envelope
from privity.messages.base import Command
from privity.messages.catalog import command_codec
from privity.messages.envelope import CommandEnvelope, Result
from privity.results import Results

log = logging.getLogger("privity.supplier")

RESEND: Final = (0.5, 1.0, 2.0, 5.0)
"""Seconds without a result after which the same command is sent again; the last one repeats."""


class Commands:
    """`listen` first."""

    def __init__(self, bus: Client, credential: SupplierCredential) -> None:
        self._bus = bus
        self._credential = credential
        self._results = Results()

    async def listen(self) -> None:
        """Hear results from now on."""
        await self._bus.subscribe(envelope.result_subject(self._credential.id, "*"), cb=self._results.heard)
        await self._bus.flush()

    async def send(self, command: Command) -> None:
        """Send a command until its result comes, however long the home is away.

        Raises:
            SupplierNameTaken: another supplier has the name.
            Internal: the home refused for another reason, which is logged.
        """
        id, subject, data = self._signed(command)
        with self._results.of(id) as future:
            result = await self._until_heard(subject, data, future)
        if result.status == "refused":
            log.error("the home refused %s: %s", command.subject, result.code)
            raise SupplierNameTaken if result.code == SupplierNameTaken.__name__ else Internal(result.message or "")

    async def _until_heard(self, subject: str, data: bytes, future: asyncio.Future[Result]) -> Result:
        attempt = 0
        while True:
            try:
                await self._bus.publish(subject, data)
                return await asyncio.wait_for(asyncio.shield(future), RESEND[min(attempt, len(RESEND) - 1)])
            except TimeoutError:
                attempt += 1
            except (NatsError, OSError) as error:
                log.debug("a command could not be sent: %s", error)
                await asyncio.sleep(RESEND[0])

    def _signed(self, command: Command) -> tuple[str, str, bytes]:
        own = self._credential
        id, subject = str(uuid7()), envelope.command_subject(own.id, command.subject)
        body = command_codec(type(command)).dump_python(command, mode="json")
        said = CommandEnvelope(1, id, own.id, supplier_device(own.id), datetime.now(UTC), body)
        payload = envelope.command_envelope.dump_json(said)
        return id, subject, frame(sign_command(own.sign, own.home, subject, payload), payload)
