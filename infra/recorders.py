"""The two recorders of `eventsourcing`, each with what must share the append's transaction: command rows,
sealed objects and the check of the versions that the decisions rest on.

This is the one place that overrides protected methods of that library (its version is pinned, and
`tests/infra/test_store.py` holds the contract). The dialects differ in how a parameter is written, in how
many rows go in at once, in the name of the position's column and in how the write lock is taken.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from eventsourcing.persistence import IntegrityError, InterfaceError, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore
from eventsourcing.utils import retry
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg.rows import DictRow

Cell: TypeAlias = str | int | bytes | None
Key: TypeAlias = tuple[str, int]  # stream, version
Select: TypeAlias = Callable[[str, Sequence[Cell]], list[Any]]  # a statement with `?`, its parameters → rows

# The id comes first in the key: command ids grow with time (UUIDv7), so that inserts stay at the index's end.
CREATE_COMMANDS: Final = (
    "CREATE TABLE IF NOT EXISTS commands (account text NOT NULL, id text NOT NULL, digest text NOT NULL, "
    "subject text NOT NULL, payload {bytes} NOT NULL, signature {bytes} NOT NULL, status text NOT NULL, "
    "code text, message text, events text NOT NULL, PRIMARY KEY (id, account)){inline}"
)
CREATE_SEALED: Final = (
    "CREATE TABLE IF NOT EXISTS sealed (digest text PRIMARY KEY NOT NULL, data {bytes} NOT NULL){inline}"
)
CREATE_DONE: Final = "CREATE TABLE IF NOT EXISTS done (key text PRIMARY KEY NOT NULL){inline}"
COMMAND: Final = "account, id, digest, subject, payload, signature, status, code, message, events"
INSERT_EVENTS: Final = "INSERT INTO stored_events (originator_id, originator_version, topic, state) "
INSERT_COMMANDS: Final = f"INSERT INTO commands ({COMMAND}) "
INSERT_SEALED: Final = "INSERT INTO sealed (digest, data) "
INSERT_DONE: Final = "INSERT INTO done (key) "
NOT_TWICE: Final = " ON CONFLICT DO NOTHING"
EVENT_KEY: Final = ("originator_id", "originator_version")

CHUNK = 400  # keys a statement: old builds of SQLite take 999 parameters
PAGE = 8192  # bytes: rows of 2 or 3 KB fill SQLite's default of 4096 badly and cost half as much again
INLINE: Final = " WITH (toast_tuple_target = 8160)"  # PostgreSQL moves rows of 2 KB elsewhere
POOL = 5  # connections
CONNECT_TIMEOUT = 5  # seconds
STALL_TIMEOUT = 10  # seconds after which PostgreSQL ends a session that stalls inside a transaction
START_LOCK = int.from_bytes(b"privity", "big")  # the advisory lock under which tables are made

again = retry((InterfaceError, OperationalError), max_attempts=3, wait=0.2)


@dataclass(frozen=True, slots=True)
class Together:
    """What is written, and what must hold, in the transaction of the events."""

    commands: Sequence[tuple[Cell, ...]]  # cells in the order of COMMAND
    sealed: Sequence[tuple[Cell, ...]]  # digest, data
    done: Sequence[tuple[Cell, ...]]  # key
    present: frozenset[Key]  # events that must be there
    absent: frozenset[Key]  # events that must not


def wanted(columns: str, table: str, key: Sequence[str], rows: int) -> str:
    """A SELECT of what has one of so many keys.

    A join, because SQLite answers `(a, b) IN (VALUES ...)` with a scan of the whole table.
    """
    row = f"({','.join('?' * len(key))})"
    names = ", ".join(f"wanted_{column}" for column in key)
    same = " AND ".join(f"{column} = wanted_{column}" for column in key)
    values = f"WITH wanted ({names}) AS (VALUES {','.join([row] * rows)})"
    return f"{values} SELECT {columns} FROM wanted JOIN {table} ON {same}"  # noqa: S608


def find(select: Select, columns: str, table: str, key: Sequence[str], wants: Sequence[tuple[Cell, ...]]) -> list[Any]:
    """The rows of `table` whose `key` is among `wants`, in no order."""
    found: list[Any] = []
    for start in range(0, len(wants), CHUNK):
        some = wants[start : start + CHUNK]
        found += select(wanted(columns, table, key, len(some)), list(chain.from_iterable(some)))
    return found


def check(select: Select, together: Together) -> None:
    """Hold the append to the versions that it rests on; the write lock is taken already.

    Raises:
        IntegrityError: a stream has moved, or is not as long as the caller believed.
    """
    wants = list(together.present | together.absent)
    rows = find(select, ", ".join(EVENT_KEY), "stored_events", EVENT_KEY, wants)
    if {(row["originator_id"], row["originator_version"]) for row in rows} != together.present:
        raise IntegrityError("a stream is not at the version that a decision rests on")


class SQLiteRecorder(SQLiteApplicationRecorder):
    """Events, command rows and sealed objects in one SQLite file."""

    position = "rowid"  # in order and without gaps, as no event is ever deleted

    def __init__(self, path: str, *, lock_timeout: int) -> None:
        """Open the file (made if missing); an append waits `lock_timeout` seconds for another one."""
        with closing(sqlite3.connect(path, timeout=lock_timeout)) as connection:
            connection.execute(f"PRAGMA page_size={PAGE}")  # of a new file; later it cannot be changed
            connection.execute("PRAGMA journal_mode=WAL")
        super().__init__(SQLiteDatastore(path, lock_timeout=lock_timeout, pool_size=POOL, originator_id_type="text"))

    def construct_create_table_statements(self) -> list[str]:
        ours = [
            statement.format(bytes="blob", inline="") for statement in (CREATE_COMMANDS, CREATE_SEALED, CREATE_DONE)
        ]
        return [*super().construct_create_table_statements(), *ours]

    def _insert_events(
        self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        together: Together = kwargs["together"]
        # A statement that may write takes the write lock, rows or none. Were the first one a read, then
        # another process's commit in between would make the write fail (SQLITE_BUSY_SNAPSHOT).
        c.execute("DELETE FROM commands WHERE false")
        check(lambda statement, params: _rows(c, statement, params), together)
        c.executemany(f"{INSERT_COMMANDS} VALUES (?,?,?,?,?,?,?,?,?,?)", together.commands)
        if together.sealed:
            c.executemany(f"{INSERT_SEALED} VALUES (?,?) {NOT_TWICE}", together.sealed)
        if together.done:
            c.executemany(f"{INSERT_DONE} VALUES (?) {NOT_TWICE}", together.done)
        return super()._insert_events(c, stored_events, **kwargs)

    def select(self, statement: str, params: Sequence[Cell] = ()) -> list[Any]:
        """Rows, each readable by column name."""
        with self.datastore.get_connection(commit=False) as connection:
            return _rows(connection.cursor(), statement, params)

    def weakness(self) -> str | None:
        """Why a commit here could be lost in a power cut, or None.

        The settings of https://sqlite.org/pragma.html: journal_mode `wal`, synchronous 2 (FULL) or 3 (EXTRA).
        """
        (mode,), (level,) = self.select("PRAGMA journal_mode")[0], self.select("PRAGMA synchronous")[0]
        return None if mode == "wal" and level >= 2 else f"journal_mode={mode}, synchronous={level}"


class PostgresRecorder(PostgresApplicationRecorder):
    """Events, command rows and sealed objects in one PostgreSQL schema."""

    position = "notification_id"  # in order of commit by the table lock; an append that fails leaves a gap

    def __init__(self, url: str, *, lock_timeout: int) -> None:
        """Connect to `url` (a libpq URI); an append waits `lock_timeout` seconds for another one.

        Raises:
            psycopg.ProgrammingError: not such a URI (its text may hold a part of the password).
        """
        datastore = _connections(url, lock_timeout)
        try:
            super().__init__(datastore)
        except BaseException:
            datastore.close()
            raise
        for statement in (CREATE_COMMANDS, CREATE_SEALED, CREATE_DONE):
            self.sql_create_statements.append(SQL(statement).format(bytes=SQL("bytea"), inline=SQL(INLINE)))

    def create_table(self) -> None:
        # CREATE IF NOT EXISTS races with itself: workers that start together take turns.
        with self.datastore.transaction(commit=True) as curs:
            curs.execute("SELECT pg_advisory_xact_lock(%s)", (START_LOCK,))
            super().create_table()

    @again
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        # The library's own road is a psycopg pipeline, whose sync() waits for a reply without having sent all
        # of the question: batches larger than the socket's buffer hang for ever (psycopg 3.3.9).
        with self.datastore.transaction(commit=True) as curs:
            self._insert_events(curs, stored_events, **kwargs)
            if not stored_events:
                return []
            self._insert_stored_events(curs, stored_events)
            return self._fetch_ids_after_insert_events(curs, stored_events)

    def _insert_events(self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        together: Together = kwargs["together"]
        self._lock_table(curs)
        check(lambda statement, params: _pg_rows(curs, statement, params), together)
        if together.commands:
            _put(curs, INSERT_COMMANDS, "tttt bb tttt", together.commands)
        if together.sealed:
            _put(curs, INSERT_SEALED, "t b", together.sealed, NOT_TWICE)
        if together.done:
            _put(curs, INSERT_DONE, "t", together.done, NOT_TWICE)
        super()._insert_events(curs, stored_events, **kwargs)

    def _insert_stored_events(self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        # Binary arrays cost a quarter of the library's array of composites. The table is locked already.
        self._notify_channel(curs)
        rows = [(str(e.originator_id), e.originator_version, e.topic, e.state) for e in stored_events]
        _put(curs, INSERT_EVENTS, "t i t b", rows, " RETURNING notification_id")

    @again
    def select(self, statement: str, params: Sequence[Cell] = ()) -> list[Any]:
        """Rows, each readable by column name."""
        with self.datastore.get_connection() as conn, conn.cursor() as curs:
            return _pg_rows(curs, statement, params)

    def weakness(self) -> str | None:
        """Why a commit here could be lost in a power cut, or None."""
        statement = "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS level"
        row = self.select(statement)[0]
        sound = row["fsync"] == "on" and row["level"] != "off"
        return None if sound else f"fsync={row['fsync']}, synchronous_commit={row['level']}"


def _connections(url: str, lock_timeout: int) -> PostgresDatastore:
    """The library's pool of connections, with every parameter that libpq knows."""
    params = conninfo_to_dict(url)
    named = [str(params.pop(name, None) or "") for name in ("dbname", "host", "port", "user", "password")]
    datastore = PostgresDatastore(
        *named,
        connect_timeout=CONNECT_TIMEOUT,
        idle_in_transaction_session_timeout=STALL_TIMEOUT,
        max_overflow=POOL,
        lock_timeout=lock_timeout,
        originator_id_type="text",
        enable_db_functions=False,  # with them a reader has seen event 2 before event 1
    )
    assert isinstance(datastore.pool.kwargs, dict)  # noqa: S101
    datastore.pool.kwargs.update({"connect_timeout": CONNECT_TIMEOUT, **params})
    return datastore


def _rows(cursor: SQLiteCursor, statement: str, params: Sequence[Cell]) -> list[Any]:
    cursor.execute(statement, params)
    rows: list[Any] = cursor.fetchall()
    return rows


def _pg_rows(curs: Cursor[DictRow], statement: str, params: Sequence[Cell]) -> list[Any]:
    curs.execute(statement.replace("?", "%s").encode(), params, binary=True)
    return curs.fetchall()


def _put(curs: Cursor[DictRow], into: str, types: str, rows: Sequence[tuple[Cell, ...]], behind: str = "") -> None:
    """All rows in one statement, an array a column; `types`, a letter each: t(ext), i (bigint), b(ytea)."""
    names = {"t": "text", "i": "bigint", "b": "bytea"}
    arrays = ", ".join(f"%b::{names[letter]}[]" for letter in types.replace(" ", ""))
    statement = f"{into} SELECT * FROM unnest({arrays}) {behind}"  # noqa: S608
    curs.execute(statement.encode(), [list(column) for column in zip(*rows, strict=True)])
