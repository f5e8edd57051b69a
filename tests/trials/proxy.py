"""A hostile home's place on the wire: a TCP proxy between agents and a real home, which reads the bus and bends it.

The agent speaks to the real nats-server and the real backend, and takes the proxy for them: whoever runs a home can
stand here. What the proxy changes, it changes on the wire, so that agents of other processes meet it too.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from privity.connection_string import parse_connection_string
from privity.crypto.command import frame, unframe
from privity.encoding import digest
from privity.messages import envelope
from privity.messages.envelope import CommandEnvelope
from privity.testing.people import Person

Row = dict[str, Any]
Blobs = dict[str, bytes]
Lie = Callable[[list[Row], Blobs], None]
"""Changes an answer's rows, and the sealed objects behind them by digest, in place."""

LINE = 64 * 1024
PARTS, BYTES = 900, 2**20


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that an agent published."""

    subject: str
    data: bytes = field(repr=False)

    @property
    def envelope(self) -> CommandEnvelope:
        """The signed envelope of a command."""
        return envelope.command_envelope.validate_json(unframe(self.data, PARTS, BYTES)[1])

    @property
    def sealed(self) -> list[bytes]:
        """The sealed objects of a command."""
        return unframe(self.data, PARTS, BYTES)[2:]


class Proxy:
    """One listening port in front of a home. `sent` has all that agents published through it."""

    def __init__(self, url: str) -> None:
        self._home = parse_connection_string(url)
        self._port = 0
        self._views: dict[str, str] = {}
        self._lies: dict[str, list[Lie]] = {}
        self._bend_answer: Callable[[str, bytes], bytes] = lambda _, data: data
        self._bend_command: Callable[[str, bytes], list[bytes]] = lambda _, data: [data]
        self._bend_result: Callable[[str, bytes], list[bytes]] = lambda _, data: [data]
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.sent: list[Sent] = []
        self.answered: list[tuple[str, bytes]] = []
        """View and answer, as the home gave it."""

    @property
    def url(self) -> str:
        """The home's connection string, but for its place."""
        return replace(self._home, host="127.0.0.1", port=self._port).text()

    @property
    def commands(self) -> list[Sent]:
        """The commands among all that was published."""
        return [each for each in self.sent if each.subject.startswith(envelope.COMMAND_SUBJECT + ".")]

    def person(self, who: Person) -> Person:
        """Somebody whose agent goes through the proxy."""
        return replace(who, server=self.url)

    @contextmanager
    def lying(self, view: str, lie: Lie) -> Iterator[None]:
        """Change the rows of one view while the block runs."""
        self._lies.setdefault(view, []).append(lie)
        try:
            yield
        finally:
            self._lies[view].remove(lie)

    @contextmanager
    def bending_commands(self, bend: Callable[[str, bytes], list[bytes]]) -> Iterator[None]:
        """Give the home, in place of a command (subject and frame), what `bend` gives: nothing, it, or more."""
        before, self._bend_command = self._bend_command, bend
        try:
            yield
        finally:
            self._bend_command = before

    @contextmanager
    def bending_answers(self, bend: Callable[[str, bytes], bytes]) -> Iterator[None]:
        """Give the agent, in place of an answer (its view and frame), what `bend` gives."""
        before, self._bend_answer = self._bend_answer, bend
        try:
            yield
        finally:
            self._bend_answer = before

    @contextmanager
    def bending_results(self, bend: Callable[[str, bytes], list[bytes]]) -> Iterator[None]:
        """Give the agent, in place of a result (subject and JSON), what `bend` gives."""
        before, self._bend_result = self._bend_result, bend
        try:
            yield
        finally:
            self._bend_result = before

    async def open(self) -> None:
        """Let agents through, at the same port as before."""
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", self._port, limit=LINE)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> list[BaseException | None]:
        """Let nobody through, and hang up on those who are there; what went wrong until now."""
        if self._server is not None:
            self._server.close()
        for pump in self._pumps:
            pump.cancel()
        return await asyncio.gather(*self._pumps, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One agent's connection, with one of its own to the home."""
        home_reader, home_writer = await asyncio.open_connection(self._home.host, self._home.port, limit=LINE)
        pumps = {
            asyncio.create_task(self._pump(reader, home_writer, self._from_agent)),
            asyncio.create_task(self._pump(home_reader, writer, self._from_home)),
        }
        self._pumps |= pumps
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, home_writer):
            end.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        bend: Callable[[list[str], bytes], list[bytes]],
    ) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                words = line.decode(errors="surrogateescape").split()
                if words and words[0] in ("PUB", "HPUB", "MSG", "HMSG"):
                    whole = (await reader.readexactly(int(words[-1]) + 2))[:-2]
                    headers = int(words[-2]) if words[0][0] == "H" else 0
                    for data in bend(words, whole[headers:]):
                        line = _line(words, headers + len(data))
                        writer.write(b"".join((line, whole[:headers], data, b"\r\n")))
                else:
                    writer.write(line)
                await writer.drain()

    def _from_agent(self, words: list[str], body: bytes) -> list[bytes]:
        subject = words[1]
        self.sent.append(Sent(subject, body))
        if subject.startswith(envelope.QUERY_SUBJECT + "."):
            self._views[words[2]] = subject.rpartition(".")[2]
        elif subject.startswith(envelope.COMMAND_SUBJECT + "."):
            return self._bend_command(subject, body)
        return [body]

    def _from_home(self, words: list[str], body: bytes) -> list[bytes]:
        subject = words[1]
        if subject in self._views:
            view = self._views.pop(subject)
            self.answered.append((view, body))
            return [self._bend_answer(view, self._told(view, body)) if body else body]
        if subject.startswith(envelope.RESULT_SUBJECT + "."):
            return self._bend_result(subject, body)
        return [body]

    def _told(self, view: str, body: bytes) -> bytes:
        lies = self._lies.get(view, [])
        if not lies or not body:  # without a body it is the bus's word that nobody heard the query
            return body
        head, *blobs = unframe(body, PARTS, BYTES)
        said, named = json.loads(head), {digest(blob): blob for blob in blobs}
        if not said["rows"]:  # a refusal, perhaps of a nonce: there is nothing to lie about
            return body
        for lie in lies:
            lie(said["rows"], named)
        return frame(json.dumps(said).encode(), *named.values())


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the home behind this connection string."""
    proxy = Proxy(url)
    await proxy.open()
    try:
        yield proxy
    finally:
        for error in await proxy.cut():
            if isinstance(error, Exception):  # a lie that could not be told must not pass for one that was refused
                raise error


def _line(words: list[str], size: int) -> bytes:
    """A message's first line, for headers and body of so many bytes."""
    return " ".join((*words[:-1], str(size))).encode(errors="surrogateescape") + b"\r\n"
