"""What the tests of the bus share: a free port, and clients of both kinds that collect what they hear."""

import asyncio
import socket
from dataclasses import dataclass, field

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from infra.nats_server import PERSON_INBOX, BusSecrets, NatsServer

SECRETS = BusSecrets("the-backend-has-this", "and-each-person-this")
PATIENCE = 5.0  # seconds for what should come
SILENCE = 0.1  # seconds for what should not


def free_port() -> int:
    """A port of the loopback interface on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Heard:
    """Messages in the order in which they came."""

    queue: asyncio.Queue[Msg] = field(default_factory=asyncio.Queue)

    async def take(self, message: Msg) -> None:
        self.queue.put_nowait(message)

    async def next(self) -> Msg:
        return await asyncio.wait_for(self.queue.get(), PATIENCE)

    async def silence(self) -> bool:
        try:
            await asyncio.wait_for(self.queue.get(), SILENCE)
        except TimeoutError:
            return True
        return False


@dataclass
class Person:
    """A connection with the people's credential, and what the server complained of."""

    bus: Client
    complaints: asyncio.Queue[str]

    @classmethod
    async def of(cls, server: NatsServer) -> "Person":
        complaints: asyncio.Queue[str] = asyncio.Queue()

        async def complain(error: Exception) -> None:
            complaints.put_nowait(str(error))

        bus = await nats.connect(server.person_url, inbox_prefix=PERSON_INBOX, error_cb=complain, allow_reconnect=False)
        return cls(bus, complaints)

    async def complaint(self) -> str:
        return await asyncio.wait_for(self.complaints.get(), PATIENCE)


async def listen(bus: Client, subject: str) -> Heard:
    """Hear a subject; the server knows of it on return."""
    heard = Heard()
    await bus.subscribe(subject, cb=heard.take)
    await bus.flush()
    return heard


async def answer(bus: Client, subject: str, *answers: bytes, after: float = 0) -> Heard:
    """Hear requests on a subject, and give each these answers."""
    heard = Heard()

    async def serve(message: Msg) -> None:
        await heard.take(message)
        await asyncio.sleep(after)
        for data in answers:
            await message.respond(data)

    await bus.subscribe(subject, cb=serve)
    await bus.flush()
    return heard
