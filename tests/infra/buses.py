"""What the tests of the bus share: keys, a free port, and clients of each kind that collect what they hear."""

import asyncio
import json
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from nats.aio.client import Client
from nats.aio.msg import Msg

from infra.bus import Way
from infra.credentials import BusKeys, backend_credential, device_jwt, system_credential
from infra.nats_config import ServerTls
from infra.nats_server import NatsServer
from privity.credential import USER, Credential, Nkey
from privity.encoding import b32, sha256
from privity.messages.enrolment import ENROL_INBOX, inbox_prefix

KEYS, OTHER_KEYS = BusKeys.complete({}), BusKeys.complete({})
ANN, BOB = (b32(sha256(name)) for name in (b"ann", b"bob"))
PATIENCE = 5.0  # seconds for what should come
SILENCE = 0.1  # seconds for what should not


def free_port() -> int:
    """A port of the loopback interface on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Authority:
    """A certificate authority of one's own, and a certificate for these names, as PEM files."""

    def __init__(self, folder: Path, *names: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.cert, self.key = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
        authority = trustme.CA()
        issued = authority.issue_cert(*(names or ("127.0.0.1", "localhost")))
        authority.cert_pem.write_to_path(str(self.ca))
        self.cert.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(self.key))

    @property
    def tls(self) -> ServerTls:
        """What the server needs of it."""
        return ServerTls(self.cert, self.key)


def way(server: NatsServer, keys: BusKeys = KEYS) -> Way:
    """How a role of the backend reaches it."""
    return Way(server.url, backend_credential(keys))


def system_way(server: NatsServer) -> Way:
    """How the server is told of changes."""
    return Way(server.url, system_credential(KEYS))


def credential_of(account: str, seconds: int = 3600) -> Credential:
    """A device's credential."""
    nkey = Nkey.generate(USER)
    return Credential(device_jwt(KEYS, account, nkey.public, int(time.time()) + seconds), nkey)


def hello(credential: Credential, info: bytes) -> bytes:
    """The CONNECT line that answers the server's INFO line."""
    nonce = json.loads(info.removeprefix(b"INFO "))["nonce"]
    shown = {"jwt": credential.jwt, "sig": credential.proof(nonce).decode()}
    return b"CONNECT " + json.dumps({"verbose": False, "pedantic": False, "headers": True, **shown}).encode() + b"\r\n"


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
    """A bare connection with a person's credential, and what the server complained of."""

    bus: Client
    complaints: asyncio.Queue[str]
    ended: asyncio.Event

    @classmethod
    async def of(cls, url: str, credential: Credential, inbox: str) -> "Person":
        complaints: asyncio.Queue[str] = asyncio.Queue()
        ended = asyncio.Event()

        async def complain(error: Exception) -> None:
            complaints.put_nowait(str(error))

        async def end() -> None:
            ended.set()

        bus = Client()
        opening = bus.connect(
            url,
            user_jwt_cb=credential.shown,
            signature_cb=credential.proof,
            inbox_prefix=inbox,
            error_cb=complain,
            closed_cb=end,
            allow_reconnect=False,
        )
        try:
            await opening
        except BaseException:
            await bus.close()
            raise
        return cls(bus, complaints, ended)

    @classmethod
    async def device(cls, url: str, account: str = ANN) -> "Person":
        """Somebody's device."""
        return await cls.of(url, credential_of(account), inbox_prefix(account))

    @classmethod
    async def at_the_door(cls, url: str, keys: BusKeys = KEYS) -> "Person":
        """Somebody who is only about to enrol."""
        return await cls.of(url, Credential(keys.door), ENROL_INBOX)

    async def complaint(self) -> str:
        return await asyncio.wait_for(self.complaints.get(), PATIENCE)


async def listen(bus: Client, subject: str) -> Heard:
    """Hear a subject; the server knows of it on return."""
    heard = Heard()
    await bus.subscribe(subject, cb=heard.take)
    await bus.flush()
    return heard


async def answer(bus: Client, subject: str, *answers: bytes, after: float = 0) -> Heard:
    """Hear requests on a subject, and give each these answers.

    The server may take some milliseconds to see it from another account: `request` of the agent's bus asks again.
    """
    heard = Heard()

    async def serve(message: Msg) -> None:
        await heard.take(message)
        await asyncio.sleep(after)
        for data in answers:
            await message.respond(data)

    await bus.subscribe(subject, cb=serve)
    await bus.flush()
    return heard
