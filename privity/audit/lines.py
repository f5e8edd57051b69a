"""The export as a file: lines of canonical JSON, a header, events and a footer; one spelling of each.

Canonical: keys sorted, no spaces, UTF-8, no escapes but the needed ones, and a line feed behind each line. So any
other byte in the file is another fact, or no fact at all.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal, Self

from privity.encoding import b64, digest, lp, unb64
from privity.errors import ForgedRecord, Malformed

FORMAT: Final = "privity-export"
VERSION: Final = 1
MAX_LINE: Final = 2 * 1024 * 1024
"""Bytes of a line: an event, the command behind it and a proof are far less."""
MAX_PROOF: Final = 64
MAX_CHAIN: Final = 1000

Kind = Literal["whole", "own"]
Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Header:
    """What the file holds: all events of a log, or all of one person's feed, as of one checkpoint."""

    kind: Kind
    home: str
    log_key: bytes
    checkpoint: str
    count: int
    account: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A signed command or query: its subject, the exact bytes, and the device's signature, if there is one."""

    subject: str
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """How events name it."""
        return digest(lp(self.subject.encode(), self.payload))


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event at its place in the log, the proof that it is there, and what it names."""

    position: int
    stream: str
    version: int
    name: str
    data: bytes = field(repr=False)
    proof: tuple[bytes, ...] = field(repr=False)
    command: Message | None
    """The signed command; it stands with the first of its events alone."""
    seq: int = 0
    """The number of the line in the person's feed, in their own export."""


@dataclass(frozen=True, slots=True)
class PersonLine:
    """Somebody else than whose export it is: the signed records of their identity chain, before their first event."""

    account: str
    chain: tuple[Json, ...]


def encode(facts: Json) -> bytes:
    """One line.

    Raises:
        ValueError: a text that is no Unicode, or a number that is none.
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


class Draft:
    """An export in the making, under a temporary name; with the footer it takes its own. A context manager."""

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._header = header
        self._hash = hashlib.sha256()
        self._named = ""
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Begin with the header."""
        self._file = os.fdopen(os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._write(_header_facts(self._header))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        with suppress(FileNotFoundError):
            self._draft.unlink()

    def person(self, line: PersonLine) -> None:
        """Add somebody, whose first event follows."""
        self._write({"account": line.account, "chain": list(line.chain)})

    def event(self, line: EventLine) -> None:
        """Add an event; the command that it came with is written with the first of its events."""
        facts: dict[str, object] = {
            "position": line.position,
            "stream": line.stream,
            "version": line.version,
            "name": line.name,
            "data": line.data.decode(),
            "proof": [b64(each) for each in line.proof],
        }
        if self._header.kind == "own":
            facts["seq"] = line.seq
        command = line.command
        if command is not None and command.digest != self._named:
            self._named = command.digest
            facts["command"] = {
                "subject": command.subject,
                "payload": b64(command.payload),
                "signature": b64(command.signature),
            }
        self._write(facts)

    def finish(self, sign: Callable[[bytes], bytes] | None = None) -> None:
        """Add the footer, sync, and give the file its name; `sign` signs the hash of all lines, for an own export."""
        assert self._file is not None  # noqa: S101 - it was entered
        hashed = self._hash.digest()
        facts: dict[str, object] = {"end": self._header.count, "digest": b64(hashed)}
        if sign is not None:
            facts["signature"] = b64(sign(hashed))
        self._file.write(encode(facts))
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self._draft, self._path)

    def _write(self, facts: Json) -> None:
        assert self._file is not None  # noqa: S101 - it was entered
        line = encode(facts)
        self._hash.update(line)
        self._file.write(line)


class Lines:
    """An export being read, line by line: each is checked for its spelling, and nothing is kept."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.number = 0
        """Of the last line, from 1."""

    @property
    def hashed(self) -> bytes:
        """The hash of all lines read until now."""
        return self._hash.digest()

    def header(self) -> Header:
        """The first line.

        Raises:
            ForgedRecord: no such line.
        """
        facts = self._next()
        own = {"account", "device"} if facts.get("kind") == "own" else set()
        _exactly(facts, {"format", "v", "kind", "home", "log_key", "checkpoint", "count"} | own)
        if facts["format"] != FORMAT or facts["v"] != VERSION or facts["kind"] not in ("whole", "own"):
            raise ForgedRecord("this is no export of a kind that is known here")
        return Header(
            kind="own" if facts["kind"] == "own" else "whole",
            home=_text(facts, "home"),
            log_key=_raw(facts, "log_key"),
            checkpoint=_text(facts, "checkpoint"),
            count=_number(facts, "count"),
            account=_text(facts, "account") if own else "",
            device=_text(facts, "device") if own else "",
        )

    def next(self, *, own: bool) -> EventLine | PersonLine:
        """The next line: an event, or in an own export somebody's chain.

        Raises:
            ForgedRecord: no such line.
        """
        facts = self._next()
        if own and "chain" in facts:
            return _person(facts)
        keys = {"position", "stream", "version", "name", "data", "proof"} | ({"seq"} if own else set())
        _exactly(facts, keys | ({"command"} if "command" in facts else set()))
        return EventLine(
            position=_number(facts, "position"),
            stream=_text(facts, "stream"),
            version=_number(facts, "version"),
            name=_text(facts, "name"),
            data=_text(facts, "data").encode(),
            proof=tuple(_proof(facts["proof"])),
            command=_message(facts["command"]) if "command" in facts else None,
            seq=_number(facts, "seq") if own else 0,
        )

    def footer(self, count: int, *, own: bool) -> bytes:
        """The last line must have the hash of all before it, and nothing may follow; the signature that it has.

        Raises:
            ForgedRecord: something else is there.
        """
        hashed = self.hashed
        facts = self._next()
        _exactly(facts, {"end", "digest"} | ({"signature"} if own else set()))
        if _number(facts, "end") != count or _raw(facts, "digest") != hashed:
            raise ForgedRecord("the file's lines are not those that it was made with")
        if self._file.read(1):
            raise ForgedRecord("something stands behind the end")
        return _raw(facts, "signature") if own else b""

    def _next(self) -> Json:
        line = self._file.readline(MAX_LINE + 1)
        self.number += 1
        if not line:
            raise ForgedRecord("the file ends too early")
        if len(line) > MAX_LINE:
            raise ForgedRecord("the line is too long")
        try:
            facts = json.loads(line)
            canonical = encode(facts)
        except (ValueError, TypeError, RecursionError):
            raise ForgedRecord("the line cannot be read") from None
        if canonical != line:
            raise ForgedRecord("the line is not spelled as it was written")
        self._hash.update(line)
        return _object(facts)


def _header_facts(header: Header) -> Json:
    facts: dict[str, object] = {
        "format": FORMAT,
        "v": VERSION,
        "kind": header.kind,
        "home": header.home,
        "log_key": b64(header.log_key),
        "checkpoint": header.checkpoint,
        "count": header.count,
    }
    if header.kind == "own":
        facts |= {"account": header.account, "device": header.device}
    return facts


def _person(facts: Json) -> PersonLine:
    _exactly(facts, {"account", "chain"})
    chain = facts["chain"]
    if not isinstance(chain, list) or not 0 < len(chain) <= MAX_CHAIN:
        raise ForgedRecord("this is no identity chain")
    return PersonLine(_text(facts, "account"), tuple(_object(each) for each in chain))


def _message(value: object) -> Message:
    facts = _object(value)
    _exactly(facts, {"subject", "payload", "signature"})
    return Message(_text(facts, "subject"), _raw(facts, "payload"), _raw(facts, "signature"))


def _proof(value: object) -> Iterator[bytes]:
    if not isinstance(value, list) or len(value) > MAX_PROOF:
        raise ForgedRecord("this is no proof")
    for each in value:
        if not isinstance(each, str):
            raise ForgedRecord("this is no proof")
        yield _bytes(each)


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise ForgedRecord("this is no object")
    return value


def _exactly(facts: Json, keys: set[str]) -> None:
    if facts.keys() != keys:
        raise ForgedRecord("the line has other fields")


def _text(facts: Json, name: str) -> str:
    value = facts[name]
    if not isinstance(value, str):
        raise ForgedRecord(f"{name} is not a text")
    return value


def _number(facts: Json, name: str) -> int:
    value = facts[name]
    if type(value) is not int or not 0 <= value < 2**62:
        raise ForgedRecord(f"{name} is not a number")
    return value


def _raw(facts: Json, name: str) -> bytes:
    return _bytes(_text(facts, name))


def _bytes(text: str) -> bytes:
    try:
        return unb64(text)
    except Malformed:
        raise ForgedRecord("this is not base64url") from None


def hashes(texts: Sequence[str]) -> tuple[bytes, ...]:
    """A proof as answers carry it, as bytes.

    Raises:
        ForgedRecord: it is none.
    """
    return tuple(_proof(list(texts)))
