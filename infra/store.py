"""The event store: streams of events, the commands that made them and the sealed objects that they name.

It is the truth of the backend (what the bus loses is published again from here), on SQLite or PostgreSQL.
Methods block; callers on an event loop run them in threads.
"""

import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from eventsourcing.domain import EventSourcingError
from eventsourcing.persistence import IntegrityError, InterfaceError, OperationalError, StoredEvent

from infra.lookup import Cell, find
from infra.recorders import COMMAND, EVENT_KEY, ISSUED, Key, PostgresRecorder, SQLiteRecorder, Together
from infra.tree import Growth, read_frontier, read_nodes
from privity.crypto.merkle import Frontier, Node
from privity.errors import Malformed, StoreConflict, StoreUnavailable

LOCK_TIMEOUT = 5  # seconds
SWEEP_EVERY = 10.0  # seconds between two appends that drop what was issued and has ended
KEY_LENGTH = 256  # characters: two such keys, of four bytes a character, fit an index of PostgreSQL
END = 2**63 - 1  # a position behind all others


@dataclass(frozen=True, slots=True)
class Event:
    """An event to store: version n is the n-th of its stream, from 1; a name is like "share-created.v1"."""

    stream: str
    version: int
    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """An event in the store; `position` counts over all streams, from 1 and without gaps."""

    position: int
    stream: str
    version: int
    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A decided command, its signed bytes and its result; `events`: (stream, version) of what it made."""

    account: str
    id: str
    digest: str
    subject: str
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    status: str
    code: str | None
    message: str | None
    events: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Issued:
    """A credential of the bus that was issued: to which nkey, for which account and device, up to when (Unix time).

    `device` is empty for one that a login proof was enough for.
    """

    nkey: str
    account: str
    device: str
    until: int
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction's worth.

    `reads` maps a stream to the version (0: no event) on which a decision rests. A stream that the batch
    itself writes need not be there; if it is, the version may be one that the batch makes.
    `named`: how many commands of the batch bring a sealed object, where it is more than one.
    `erased`: the digests of sealed objects, once for each command that lets go of one; when all who brought it have
    let go, its row is deleted.
    """

    events: list[Event] = field(default_factory=list)
    commands: list[CommandRow] = field(default_factory=list)
    sealed: dict[str, bytes] = field(default_factory=dict, repr=False)
    reads: dict[str, int] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    issued: list[Issued] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)
    erased: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Written:
    """What an append did: the events' positions, in order, and how the log's tree grew, if it did."""

    positions: list[int]
    growth: Growth | None


class EventStore:
    """One event store, for any number of threads. Made by `open_store`.

    Every method raises StoreUnavailable when the database cannot be reached, read or written, and Malformed
    for text that a database cannot hold (a NUL, half a surrogate pair, ids of more than 256 characters).
    """

    def __init__(self, recorder: SQLiteRecorder | PostgresRecorder) -> None:
        self._recorder = recorder
        self._columns = f"{recorder.position} AS position, originator_id, originator_version, topic, state"
        self._next_sweep = 0.0

    def append(self, batch: Batch) -> list[int]:
        """As `write`; the events' positions, in order."""
        return self.write(batch).positions

    def write(self, batch: Batch) -> Written:
        """Write all of the batch, synced to disk, or nothing; its events are leaves of the log's tree then.

        A sealed object that is there already stays as it is, its address being its content, and counts who brings it.

        On PostgreSQL a commit whose reply was lost is tried again, and then conflicts with itself: after any
        StoreConflict look the command ids up (`commands`) before you decide again. After StoreUnavailable too
        the batch may be there whole, never in part.

        Raises:
            StoreConflict: a version or a command id is taken, a version in `reads` has moved, or a stream
                would get a gap.
        """
        if batch == Batch():
            return Written([], None)
        _check(batch)
        stored = [StoredEvent(event.stream, event.version, event.name, event.data) for event in batch.events]
        together = _together(batch, self._ended() if batch.issued else 0)
        with _our_errors():
            positions = list(self._recorder.insert_events(stored, together=together) or ())
        return Written(positions, together.grown[-1] if positions else None)

    def read(self, stream: str, after: int = 0) -> list[Stored]:
        """The stream's events behind version `after`, in order."""
        where = "originator_id = ? AND originator_version > ? ORDER BY originator_version"
        return self._events(where, [stream, after])

    def streams(self, names: Sequence[str]) -> dict[str, list[Stored]]:
        """All events of several streams, in order, by stream; one that is not there has none."""
        found: dict[str, list[Stored]] = {name: [] for name in names}
        rows = self._find(self._columns, "stored_events", ("originator_id",), [(name,) for name in names])
        for stored in sorted(map(_stored, rows), key=lambda event: event.version):
            found[stored.stream].append(stored)
        return found

    def after(self, position: int, limit: int, stop: int | None = None) -> list[Stored]:
        """At most `limit` events of all streams behind `position`, up to and with `stop`, in order."""
        column = self._recorder.position
        where = f"{column} > ? AND {column} <= ? ORDER BY {column} LIMIT ?"
        return self._events(where, [position, END if stop is None else stop, limit])

    def at(self, positions: Sequence[int]) -> list[Stored]:
        """The events at some positions, in order; what is not there is left out."""
        wants = [(position,) for position in dict.fromkeys(positions)]
        found = self._find(self._columns, "stored_events", (self._recorder.position,), wants)
        return sorted((_stored(row) for row in found), key=lambda event: event.position)

    def head(self) -> int:
        """The newest position, 0 when there is no event."""
        statement = f"SELECT MAX({self._recorder.position}) AS head FROM stored_events"  # noqa: S608
        return self._rows(statement, [])[0]["head"] or 0

    def version(self, stream: str) -> int:
        """The stream's newest version, 0 when there is no event."""
        statement = "SELECT MAX(originator_version) AS version FROM stored_events WHERE originator_id = ?"
        return self._rows(statement, [stream])[0]["version"] or 0

    def commands(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], CommandRow]:
        """The commands that were decided before, by (account, id)."""
        rows = self._find(COMMAND, "commands", ("account", "id"), keys)
        return {(row["account"], row["id"]): _command(row) for row in rows}

    def positions(self, refs: Sequence[Key]) -> list[Stored]:
        """The events behind (stream, version), in order of position; what is not there is left out."""
        found = self._find(self._columns, "stored_events", EVENT_KEY, refs)
        return sorted((_stored(row) for row in found), key=lambda event: event.position)

    def sealed(self, digests: Sequence[str]) -> dict[str, bytes]:
        """The sealed objects that are there, by digest."""
        rows = self._find("digest, data", "sealed", ("digest",), [(digest,) for digest in digests])
        return {row["digest"]: row["data"] for row in rows}

    def frontier(self) -> Frontier:
        """The right edge of the log's tree: its size and root, as they are committed."""
        with _our_errors():
            return read_frontier(self._recorder.select)

    def nodes(self, nodes: Collection[Node]) -> dict[Node, bytes]:
        """The hashes of complete nodes of the log's tree.

        Raises:
            KeyError: there is no such node, or it is not complete yet.
        """
        with _our_errors():
            return read_nodes(self._recorder.select, nodes)

    def is_done(self, key: str) -> bool:
        """Whether `mark_done` was called for this key: what a handler does outside the store, it does once."""
        return bool(self._find("key", "done", ("key",), [(key,)]))

    def mark_done(self, key: str) -> None:
        """Remember that something was done; again is no change."""
        self.append(Batch(done=[key]))

    def keep_issued(self, issued: Sequence[Issued]) -> None:
        """Keep what was issued, or a longer life of it, or that it is revoked; now and then drop what has ended."""
        self.append(Batch(issued=list(issued)))

    def issued_to(self, account: str) -> list[Issued]:
        """What an account has of credentials."""
        return [_issued(row) for row in self._find(ISSUED, "issued", ("account",), [(account,)])]

    def holder_of(self, nkey: str) -> Issued | None:
        """The credential of an nkey."""
        rows = self._find(ISSUED, "issued", ("nkey",), [(nkey,)])
        return _issued(rows[0]) if rows else None

    def revoked(self, device: str | None = None) -> dict[str, int]:
        """The nkeys of revoked credentials, each with the Unix time at which the last of them ends.

        `device`: of those alone that were issued to such a one.
        """
        rows = self._rows("SELECT nkey, until, device FROM issued WHERE revoked > 0 AND until >= ?", [int(time.time())])
        return {row["nkey"]: row["until"] for row in rows if device is None or row["device"] == device}

    def close(self) -> None:
        """Close every connection."""
        with _our_errors():
            self._recorder.datastore.close()

    def _ended(self) -> int:
        """The Unix time if it is time to drop what has ended by now, else 0."""
        now = time.monotonic()
        if now < self._next_sweep:
            return 0
        self._next_sweep = now + SWEEP_EVERY
        return int(time.time())

    def _events(self, where: str, params: Sequence[Cell]) -> list[Stored]:
        statement = f"SELECT {self._columns} FROM stored_events WHERE {where}"  # noqa: S608
        return [_stored(row) for row in self._rows(statement, params)]

    def _find(self, columns: str, table: str, key: Sequence[str], wants: Sequence[tuple[Cell, ...]]) -> list[Any]:
        return find(self._rows, columns, table, key, wants)

    def _rows(self, statement: str, params: Sequence[Cell]) -> list[Any]:
        _check_text(*(param for param in params if isinstance(param, str)))
        with _our_errors():
            rows: list[Any] = self._recorder.select(statement, params)
            return rows


def open_store(url: str, *, lock_timeout: int = LOCK_TIMEOUT) -> EventStore:
    """Open an event store and make its tables where they are missing.

    `url`: `sqlite:///relative/path`, `sqlite:////absolute/path`, or `postgresql://user:password@host:port/name`,
    perhaps with libpq's parameters (`?host=/socket/folder&sslmode=verify-full`).
    `lock_timeout`: for how many seconds an append waits for another one.

    Raises:
        StoreUnavailable: no such URL, cannot be opened, or its settings could lose a commit in a power cut.
    """
    with _our_errors():
        recorder = _recorder(url, lock_timeout)
        try:
            weakness = recorder.weakness()
            if weakness is not None:
                raise StoreUnavailable(f"this database could lose what it has committed: {weakness}")
            recorder.create_table()
            recorder.grow_tree()
        except BaseException:
            recorder.datastore.close()
            raise
    return EventStore(recorder)


def _recorder(url: str, lock_timeout: int) -> SQLiteRecorder | PostgresRecorder:
    if url.startswith(("postgresql://", "postgres://")):
        try:
            return PostgresRecorder(url, lock_timeout=lock_timeout)
        except psycopg.ProgrammingError:
            raise StoreUnavailable("the event store's URL cannot be read") from None
    path = url.removeprefix("sqlite:///")
    if path == url:
        raise StoreUnavailable("the event store's URL begins with neither sqlite:/// nor postgresql://")
    if path in ("", ":memory:"):
        raise StoreUnavailable("the event store needs a file")
    # Connections are opened later too, when the process may work in another folder.
    return SQLiteRecorder(os.path.abspath(path), lock_timeout=lock_timeout)


def _together(batch: Batch, ended: int) -> Together:
    bases = dict(batch.reads)
    written: dict[str, list[int]] = {}
    for event in batch.events:
        written.setdefault(event.stream, []).append(event.version)
    for stream, versions in written.items():
        base = versions[0] - 1
        if versions != list(range(base + 1, base + 1 + len(versions))):
            raise StoreConflict("a stream's versions in the batch do not follow one another")
        if not base <= bases.get(stream, base) <= versions[-1]:
            raise StoreConflict("a stream is written at another version than it was read")
        bases[stream] = base
    return Together(
        commands=[_cells(row) for row in batch.commands],
        sealed=[(digest, data, batch.named.get(digest, 1)) for digest, data in batch.sealed.items()],
        erased=list(Counter(batch.erased).items()),
        done=[(key,) for key in batch.done],
        issued=[(each.nkey, each.account, each.device, each.until, int(each.revoked)) for each in batch.issued],
        ended=ended,
        present=frozenset((stream, version) for stream, version in bases.items() if version),
        absent=frozenset((stream, version + 1) for stream, version in bases.items() if stream not in written),
    )


def _cells(row: CommandRow) -> tuple[Cell, ...]:
    head = (row.account, row.id, row.digest, row.subject, row.payload, row.signature)
    return (*head, row.status, row.code, row.message, json.dumps(row.events))


def _command(row: Any) -> CommandRow:
    cells = {name: row[name] for name in COMMAND.split(", ")}
    events = tuple((stream, version) for stream, version in json.loads(cells.pop("events")))
    return CommandRow(**cells, events=events)


def _issued(row: Any) -> Issued:
    return Issued(row["nkey"], row["account"], row["device"], row["until"], row["revoked"] > 0)


def _stored(row: Any) -> Stored:
    return Stored(row["position"], row["originator_id"], row["originator_version"], row["topic"], row["state"])


def _check(batch: Batch) -> None:
    keys = [event.stream for event in batch.events] + [*batch.sealed, *batch.reads]
    texts = [event.name for event in batch.events]
    for row in batch.commands:
        keys += (row.account, row.id)
        texts += (row.digest, row.subject, row.status, row.code or "", row.message or "")
    _check_text(*keys, *texts)
    if any(len(key) > KEY_LENGTH for key in keys):
        raise Malformed(f"an id is longer than {KEY_LENGTH} characters")


def _check_text(*texts: str) -> None:
    try:
        if b"\0" in "".join(texts).encode():
            raise Malformed("a text holds a NUL")
    except UnicodeEncodeError:
        raise Malformed("a text is not Unicode") from None


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise StoreConflict from error
    except (EventSourcingError, sqlite3.Error, psycopg.Error, OSError) as error:
        # Only these texts are sure to be the database's own, and not a piece of somebody's data.
        plain = isinstance(error, (OperationalError, InterfaceError, sqlite3.OperationalError))
        reason = str(error).partition("\n")[0] if plain else type(error).__name__
        raise StoreUnavailable(f"the event store cannot be used now: {reason}") from error
