"""A thin client of a home: commands that were signed before the clock runs, and as little work as can be after."""

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.plan import MESSAGE
from privity.agent.bus import dial
from privity.agent.enrolment import by_device
from privity.agent.keyring import unlock
from privity.agent.profile import ProfileFolder, Waiting
from privity.agent.session import Signer, read_answer
from privity.connection_string import ConnectionString, parse_connection_string
from privity.encoding import digest, new_id
from privity.messages import envelope
from privity.messages.enrolment import inbox_prefix
from privity.messages.items import AddItem
from privity.messages.views import AskItems
from privity.testing.people import somebody

WRAP = 120  # bytes of a wrapped DEK
AROUND = 450  # bytes of a command's signature, envelope and frame
RESULT_TIMEOUT = 30.0  # seconds
ACCEPTED = b'"status":"accepted"'


async def register(folder: Path, server: str) -> Signer:
    """Make a real account with the agent; the device that signs for it."""
    person = somebody("bench", folder, server)
    await person.register()
    profile = ProfileFolder(person.home).load()
    keyring = unlock(profile, person.passphrase)
    return Signer(profile.account, profile.device, keyring.device, parse_connection_string(server).home)


def add_item(signer: Signer) -> tuple[str, Waiting]:
    """A new item's id, and the signed command that adds it; the backend could not tell these bytes from sealed ones."""
    item, content, wrap = new_id(), os.urandom(MESSAGE - AROUND - WRAP), os.urandom(WRAP)
    return item, signer.command(AddItem(item, digest(content), digest(wrap)), (content, wrap))


class Sender:
    """Sends commands and hears results, over a connection for each account. Made by `open_sender`."""

    def __init__(self) -> None:
        self._buses: dict[str, Client] = {}
        self._results: dict[str, asyncio.Future[bytes]] = {}

    async def send(self, waiting: Waiting) -> bytes:
        """Send one command and wait for its result.

        Raises:
            RuntimeError: it was not accepted.
        """
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._results[waiting.id] = future
        await self._buses[waiting.subject.split(".")[2]].publish(waiting.subject, waiting.data)
        result = await future
        if ACCEPTED not in result:
            raise RuntimeError(f"the bench's command was not accepted: {result[:300]!r}")
        return result

    async def load(self, commands: Iterable[Waiting], in_flight: int, seconds: float) -> float:
        """Send with so many on their way at any time, until all are sent or the time is over; results a second."""
        start, done = time.perf_counter(), 0
        rest: Iterator[Waiting] = iter(commands)

        async def one_after_another() -> None:
            nonlocal done
            for waiting in rest:
                await self.send(waiting)
                done += 1
                if time.perf_counter() - start > seconds:
                    return

        async with asyncio.timeout(seconds + RESULT_TIMEOUT):
            await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
        return done / (time.perf_counter() - start)

    async def see(self, signer: Signer, item: str, at_least: int) -> float:
        """Seconds from now until a query has answered with the item's row."""
        subject, data = signer.query(AskItems(id=item, limit=1), None, at_least)
        start = time.perf_counter()
        answered = await self._buses[signer.account].request(subject, data, timeout=RESULT_TIMEOUT)
        took = time.perf_counter() - start
        answer, _ = read_answer(answered.data)
        if answer.status != "ok" or not answer.rows:
            raise RuntimeError(f"the row is not there: {answer.code}")
        return took

    async def caught_up(self, signer: Signer, position: int) -> None:
        """Wait until the views are at least at `position`."""
        async with asyncio.timeout(4 * RESULT_TIMEOUT):
            while True:
                subject, data = signer.query(AskItems(limit=1), None, position)
                answered = await self._buses[signer.account].request(subject, data, timeout=RESULT_TIMEOUT)
                answer, _ = read_answer(answered.data)
                if answer.status == "ok":
                    return

    async def close(self) -> None:
        """Leave."""
        for bus in self._buses.values():
            await bus.close()

    async def join(self, server: ConnectionString, signer: Signer) -> None:
        """Connect as that account's agent does."""
        bus = await dial(server, await by_device(server, signer), inbox_prefix(signer.account))
        await bus.subscribe(envelope.result_subject(signer.account, "*"), cb=self.heard)
        await bus.flush()
        self._buses[signer.account] = bus

    async def heard(self, message: Msg) -> None:
        """One result."""
        future = self._results.pop(message.subject.rpartition(".")[2], None)
        if future is not None:
            future.set_result(message.data)


async def open_sender(server: str, signers: Sequence[Signer]) -> Sender:
    """Connect as each account's agent does."""
    sender = Sender()
    for signer in signers:
        await sender.join(parse_connection_string(server), signer)
    return sender


def position_of(result: bytes) -> int:
    """The position that a result names."""
    return envelope.result.validate_json(result).position
