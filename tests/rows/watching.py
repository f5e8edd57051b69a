"""How the rows' tests look on: all that agents put on the bus, secrets in any form, and a backend that lies."""

import asyncio
import base64
import io
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import nats.aio.client
import pytest

from privity.agent.bus import Bus
from privity.agent.keyring import Keyring
from privity.agent.profile import ProfileFolder
from privity.agent.session import Session, Signer, read_answer
from privity.cli import main
from privity.crypto.command import frame, unframe
from privity.messages.envelope import Answer
from privity.messages.views import Ask
from privity.testing.people import Outcome, Person

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds."""
BLOBS = 900
MIB = 2**20


class Wire:
    """All that agents have published since `record`, and every answer that they got."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.answers: list[tuple[str, bytes]] = []

    def record(self, patch: pytest.MonkeyPatch) -> None:
        """Listen from now on; a request of nats-py is published as everything else."""
        publish, ask = nats.aio.client.Client.publish, Bus.ask

        async def published(client: Any, subject: str, payload: bytes = b"", *more: Any, **named: Any) -> None:
            self.published.append((subject, payload))
            await publish(client, subject, payload, *more, **named)

        async def asked(bus: Bus, subject: str, data: bytes) -> bytes:
            answer = await ask(bus, subject, data)
            self.answers.append((subject, answer))
            return answer

        patch.setattr(nats.aio.client.Client, "publish", published)
        patch.setattr(Bus, "ask", asked)

    def queries(self, view: str) -> list[bytes]:
        """The answers to the queries of one view."""
        return [answer for subject, answer in self.answers if subject.endswith(f".{view}")]

    def holding(self, wanted: Mapping[str, bytes]) -> list[str]:
        """Which of these secrets crossed the bus, in any form, and where."""
        return found_in(((subject, data) for subject, data in self.published + self.answers), wanted)


def typed(person: Person, *arguments: str, **environment: str) -> Outcome:
    """The command line without a process of its own, which costs most of the time."""
    out, err = io.StringIO(), io.StringIO()
    own = {"SERVER": person.server, "HOME": str(person.home), "PASSPHRASE": person.passphrase}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in {**{f"PRIVITY_{name}": value for name, value in own.items()}, **environment}.items():
            patch.setenv(name, value)
        code = main.run(arguments)
    return Outcome(code, out.getvalue(), err.getvalue())


async def ran(person: Person, *arguments: str, **environment: str) -> Outcome:
    """The same beside a test that runs an event loop itself."""
    return await asyncio.to_thread(typed, person, *arguments, **environment)


def canary() -> str:
    """A text that stands nowhere else."""
    return f"canary-{secrets.token_hex(8)}-feathers"


def forms(secret: bytes) -> list[bytes]:
    """How a secret may stand in a file: as it is, in hex, and inside longer base64 or base32 at any alignment."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    found.update(_inside(secret, base64.b64encode, 6, 3))
    found.update(_inside(secret, base64.urlsafe_b64encode, 6, 3))
    for text in _inside(secret, base64.b32encode, 5, 5):
        found.update((text, text.lower()))
    return sorted(found)


def found_in(places: Iterable[tuple[str, bytes]], wanted: Mapping[str, bytes]) -> list[str]:
    """Which of the secrets stand where, as `name in place`."""
    every = {name: forms(secret) for name, secret in wanted.items()}
    return [
        f"{name} in {place}"
        for place, data in places
        for name, looks in every.items()
        if any(look in data for look in looks)
    ]


def files_of(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file under the folders: stores and their logs, the bus's streams, mails, logs."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield str(path.relative_to(folder)), path.read_bytes()


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    """What `look` finds, as soon as it finds something."""
    async with asyncio.timeout(PATIENCE):
        while (found := await look()) is None:  # noqa: ASYNC110 - a file or another process, which sets no event
            await asyncio.sleep(0.05)
    return found


async def mail_about(data: Path, invitation: str) -> str:
    """The e-mail that the backend wrote about an invitation, as it stands in its folder."""

    async def look() -> str | None:
        return next((path.read_text() for path in (data / "mail").glob(f"{invitation}@*.eml")), None)

    return await eventually(look)


def signer(person: Person, session: Session, keyring: Keyring) -> Signer:
    """What signs for a person on their device."""
    device = ProfileFolder(person.home).load().device
    return Signer(session.account, device, keyring.device, session.server.home)


async def asked(
    person: Person, session: Session, keyring: Keyring, ask: Ask, nonce: str | None
) -> tuple[Answer, dict[str, bytes]]:
    """One question with just this nonce, past the agent that would take care of it."""
    subject, data = signer(person, session, keyring).query(ask, nonce, ProfileFolder(person.home).position)
    return read_answer(await (await session.connected()).ask(subject, data))


def lie(patch: pytest.MonkeyPatch, view: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Make the backend change the rows of one view on their way to the agents."""
    honest = Bus.ask

    async def lying(bus: Bus, subject: str, data: bytes) -> bytes:
        answer = await honest(bus, subject, data)
        if not subject.endswith(f".{view}"):
            return answer
        head, *blobs = unframe(answer, BLOBS, MIB)
        said = json.loads(head)
        change(said["rows"])
        return frame(json.dumps(said).encode(), *blobs)

    patch.setattr(Bus, "ask", lying)


def _inside(secret: bytes, encode: Callable[[bytes], bytes], bits: int, block: int) -> Iterator[bytes]:
    for shift in range(block):
        text = encode(bytes(shift) + secret)
        yield text[-(-shift * 8 // bits) : (shift + len(secret)) * 8 // bits]
