"""Verifying an export: offline, in one pass, with the memory of a few lines; any failure names its position."""

import base64
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from privity.audit.commands import Group, Origin, check
from privity.audit.lines import EventLine, Header, Json, Lines, PersonLine
from privity.audit.people import People
from privity.crypto import labels
from privity.crypto.credentials import home_id
from privity.crypto.log import MAX_SIZE, Checkpoint, bare, cosigned, entry, read_checkpoint
from privity.crypto.merkle import Frontier, leaf_hash, verify_inclusion
from privity.crypto.signing import verify as verify_signature
from privity.crypto.supplying import verify_replacement
from privity.encoding import sha256, unb64
from privity.errors import (
    ForgedRecord,
    ForkedLog,
    IntegrityAlarm,
    KeyMismatch,
    Malformed,
    Refusal,
    RolledBack,
    Withheld,
)
from privity.messages.base import stream_of
from privity.messages.catalog import EVENTS

CACHE_KIB: Final = 16 * 1024
"""Of the temporary database; what is more lies on disk."""
MAX_GROUP: Final = 1000
"""Events that one command or query can make, and more."""
SAY_EVERY: Final = 500
"""Events between two words to `progress`."""

Progress = Callable[[int, int], None]
"""Hears how many events of how many are done."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What an export proves: so many events of this home's log, under this checkpoint."""

    kind: str
    home: str
    events: int
    size: int
    root: str
    """As the checkpoint spells it."""
    account: str
    unsigned: dict[str, int]
    """How many events of which name nobody signed for: the backend says them by itself."""


def verify(
    path: Path,
    *,
    checkpoint: str | None = None,
    witness: tuple[str, bytes] | None = None,
    progress: Progress = lambda done, of: None,
) -> Verified:
    """Verify a file that `audit export` wrote.

    Args:
        path: the file.
        checkpoint: another checkpoint of the same log, of the same or an older size, that must be of this history.
        witness: the name and public key that must have co-signed that checkpoint.
        progress: hears how far it is.

    Raises:
        IntegrityAlarm: a subclass; the message begins with the place, for an event its `position N`.
        Malformed: this cannot be said of such an export.
    """
    with path.open("rb") as file, closing(sqlite3.connect("")) as db:  # no name: a temporary file
        db.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-{CACHE_KIB}")
        lines = Lines(file)
        with _at("the header"):
            header = lines.header()
            mark = _checkpoint(header)
        with _at("the checkpoint"):
            held = _held(checkpoint, witness, header, mark)
        history = _History(header, mark, held, db)
        for number in range(1, header.count + 1):
            history.take(number, lines)
            if number % SAY_EVERY == 0:
                progress(number, header.count)
        history.close_group()
        with _at("the footer"):
            hashed = lines.hashed
            signature = lines.footer(header.count, own=header.kind == "own")
            history.finish(hashed, signature)
        progress(header.count, header.count)
    root = base64.b64encode(mark.root).decode()
    return Verified(header.kind, header.home, header.count, mark.size, root, header.account, dict(history.unsigned))


class _History:
    """The events of an export, taken one after another."""

    def __init__(self, header: Header, mark: Checkpoint, held: Checkpoint | None, db: sqlite3.Connection) -> None:
        self.unsigned: Counter[str] = Counter()
        self._header = header
        self._mark = mark
        self._held = held
        self._whole = header.kind == "whole"
        self._frontier = Frontier()
        self._people = People(db)
        self._db = db
        self._group: Group | None = None
        self._position = 0
        db.execute("CREATE TABLE streams (stream TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID")
        db.execute("CREATE TABLE roots (size INTEGER PRIMARY KEY, root BLOB NOT NULL)")
        db.execute("CREATE TABLE commands (command BLOB PRIMARY KEY) WITHOUT ROWID")

    def take(self, number: int, lines: Lines) -> None:
        """The next event, the `number`th."""
        line, met = self._next(lines), ""
        if isinstance(line, PersonLine):
            met = self._meet(line, lines)
            line = self._next(lines)
        place = self._place(lines, line)
        with _at(place):
            if isinstance(line, PersonLine):
                raise ForgedRecord("two people, and no event of the first")
            self._check_place(number, line)
            leaf = leaf_hash(entry(line.position, line.stream, line.version, line.name, line.data))
            verify_inclusion(leaf, line.position - 1, self._mark.size, line.proof, self._mark.root)
            if self._whole:
                self._grow(leaf, line)
            event, origin = _read(line.data)
            if met not in ("", origin.actor):
                raise ForgedRecord("the chain before it is another one's than who acted")
        if self._group is None or self._group.origin != origin:
            self.close_group()
            with _at(place):
                self._open_group(place, line, origin)
        elif line.command is not None:
            with _at(place):
                raise ForgedRecord("the command stands here a second time")
        with _at(place):
            self._fold(line, event)

    def close_group(self) -> None:
        """All events of a command were taken: who it names must have signed it."""
        group, self._group = self._group, None
        if group is None:
            return
        with _at(group.place):
            if not check(group, self._people.of(group.origin.actor), self._header.home):
                self.unsigned.update(name for name, _ in group.events)
            self._check_sender(group)

    def finish(self, hashed: bytes, signature: bytes) -> None:
        """Nothing more comes: the tree must be the checkpoint's; an own export is signed by who made it."""
        header = self._header
        if self._whole:
            if self._frontier.root() != self._mark.root:
                raise ForkedLog("the events are not those of the checkpoint")
            return
        devices = self._people.of(header.account).devices
        for public in devices.get(header.device, ()):
            verify_signature(public, signature, labels.EXPORT, header.home.encode(), header.account.encode(), hashed)
            return
        raise ForgedRecord("the export is not signed by a device of its account")

    def _next(self, lines: Lines) -> EventLine | PersonLine:
        with _at(self._place(lines)):
            return lines.next(own=not self._whole)

    def _place(self, lines: Lines, line: EventLine | PersonLine | None = None) -> str:
        """Of a whole log the position follows from the line; of an own export it is read, if it can be."""
        if self._whole:
            return f"position {self._position + 1}"
        if isinstance(line, EventLine):
            return f"position {line.position} (line {lines.number})"
        return f"position {self._position + 1} or later (line {lines.number + (line is None)})"

    def _meet(self, person: PersonLine, lines: Lines) -> str:
        with _at(self._place(lines, person)):
            if person.account == self._header.account or self._people.of(person.account).named:
                raise ForgedRecord("this person is known already")
            self._people.meet(person.account, person.chain)
        return person.account

    def _check_place(self, number: int, line: EventLine) -> None:
        found, what = (line.position, "position") if self._whole else (line.seq, "feed number")
        if found != number or line.position <= self._position:
            raise Withheld(f"{what} {found} stands where {number} is expected")
        self._position = line.position

    def _grow(self, leaf: bytes, line: EventLine) -> None:
        self._frontier.append(leaf)
        held = self._held
        if held is not None and held.size == self._frontier.size and held.root != self._frontier.root():
            raise ForkedLog("the checkpoint that is held has another history up to here")
        self._db.execute("INSERT INTO roots VALUES (?, ?)", (self._frontier.size, self._frontier.root()))
        row = self._db.execute("SELECT version FROM streams WHERE stream = ?", (line.stream,)).fetchone()
        before: int = row[0] if row else 0
        if line.version != before + 1:
            raise Withheld(f"version {line.version} of {line.stream} follows version {before}")
        self._db.execute("INSERT OR REPLACE INTO streams VALUES (?, ?)", (line.stream, line.version))

    def _open_group(self, place: str, line: EventLine, origin: Origin) -> None:
        if line.command is None or line.command.digest != origin.digest:
            raise ForgedRecord("the command behind the event is missing, or is another one")
        once = sha256(f"{origin.actor} {origin.command}".encode())[:16]
        if self._db.execute("INSERT OR IGNORE INTO commands VALUES (?)", (once,)).rowcount != 1:
            raise ForgedRecord("the command took effect before")
        actor = self._people.of(origin.actor)
        self._group = Group(place, origin, line.command, actor.devices, dict(actor.logins))

    def _check_sender(self, group: Group) -> None:
        """The checkpoint that the sender had seen must be of this history; what the log never signed says nothing."""
        seen = json.loads(group.message.payload).get("checkpoint")
        if not self._whole or not isinstance(seen, str):
            return
        try:
            size, root = int(seen.split("\n")[1]), base64.b64decode(seen.split("\n")[2])
        except (ValueError, IndexError):
            return
        row = self._db.execute("SELECT root FROM roots WHERE size = ?", (min(size, MAX_SIZE),)).fetchone()
        if row is not None and row[0] == root:
            return
        try:
            read_checkpoint(seen, self._header.log_key, self._header.home)
        except ForgedRecord:
            return
        raise ForkedLog(f"who sent it had seen another history of {size} events")

    def _fold(self, line: EventLine, event: Json) -> None:
        assert self._group is not None  # noqa: S101 - it was opened for this event
        name = line.name.rpartition(".v")[0]
        if len(self._group.events) == MAX_GROUP:
            raise ForgedRecord("no command makes so many events")
        self._group.events.append((name, event))
        known = EVENTS.get(name)
        if known is not None and line.stream != stream_of(known.kind, str(event.get(known.id_field))):
            raise ForgedRecord("the event stands in another stream than its own")
        try:
            if name == "supplier-replaced":
                order = unb64(str(event["order"]))
                verify_replacement(self._header.log_key, str(event["lost"]), str(event["supplier"]), order)
            changed = self._people.fold(name, event)
        except (KeyError, TypeError):
            raise ForgedRecord("a field is missing") from None
        if changed is not None and changed != self._group.origin.actor:
            raise ForgedRecord("somebody changed another one's account")


def _read(data: bytes) -> tuple[Json, Origin]:
    try:
        recorded = json.loads(data)
        event, meta = recorded["event"], recorded["meta"]
        said = [meta[name] for name in ("command", "digest", "actor", "device")]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ForgedRecord("the event cannot be read") from None
    if not isinstance(event, dict) or not all(isinstance(each, str) and each.isascii() for each in said):
        raise ForgedRecord("the event cannot be read")
    return event, Origin(*said)


def _checkpoint(header: Header) -> Checkpoint:
    if home_id(header.log_key) != header.home:
        raise KeyMismatch("the log key is another home's")
    mark = read_checkpoint(header.checkpoint, header.log_key, header.home)
    if bare(header.checkpoint) != header.checkpoint:
        raise ForgedRecord("the checkpoint has more than the log's own signature")
    if header.count > mark.size or (header.kind == "whole" and header.count != mark.size):
        raise Withheld(f"{header.count} events stand under a checkpoint of {mark.size}")
    return mark


def _held(note: str | None, witness: tuple[str, bytes] | None, header: Header, mark: Checkpoint) -> Checkpoint | None:
    """The other checkpoint, as far as it can be judged before the events are read."""
    if note is None:
        return None
    held = read_checkpoint(note, header.log_key, header.home)
    if witness is not None:
        cosigned(note, *witness)
    if held.size > mark.size:
        raise RolledBack(f"it is of {held.size} events, and the export ends at {mark.size}")
    if held.size == mark.size and held.root != mark.root:
        raise ForkedLog(f"it has another history of {mark.size} events")
    if header.kind == "own" and held.size != mark.size:
        raise Malformed("a person's own export can be held against a checkpoint of the same size alone")
    return held


@contextmanager
def _at(place: str) -> Iterator[None]:
    """What fails here fails under the name of the place, as an alarm."""
    try:
        yield
    except IntegrityAlarm as alarm:
        raise type(alarm)(f"{place}: {alarm.message}") from alarm
    except (UnicodeError, OverflowError):
        raise ForgedRecord(f"{place}: a value that cannot be") from None
    except Refusal as refusal:
        if place == "the checkpoint":  # the question cannot be answered: nothing was tampered with
            raise
        raise ForgedRecord(f"{place}: {refusal.message}") from refusal
