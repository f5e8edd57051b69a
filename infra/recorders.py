"""The two recorders of `eventsourcing`, each with what must share the append's transaction: command rows,
sealed objects, the log's tree and the check of the versions that the decisions rest on.

This is the one place that overrides protected methods of that library (its version is pinned, and
`tests/infra/test_store.py` holds the contract). The dialects differ in how a parameter is written, in how
many rows go in at once, in the name of the position's column and in how the write lock is taken.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from eventsourcing.persistence import IntegrityError, InterfaceError, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL

from infra.lookup import Cell, Select, find
from infra.naming import names
from infra.tree import (
    CREATE_EDGE,
    CREATE_TILES,
    INSERT_EDGE,
    INSERT_TILES,
    NEW_EDGE,
    NEW_HASHES,
    Growth,
    grow,
    read_frontier,
)

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg.rows import DictRow

Key: TypeAlias = tuple[str, int]  # stream, version

# The id comes first in the key: command ids grow with time (UUIDv7), so that inserts stay at the index's end.
CREATE_COMMANDS: Final = (
    "CREATE TABLE IF NOT EXISTS commands (account text NOT NULL, id text NOT NULL, digest text NOT NULL, "
    "subject text NOT NULL, payload {bytes} NOT NULL, signature {bytes} NOT NULL, status text NOT NULL, "
    "code text, message text, events text NOT NULL, PRIMARY KEY (id, account)){inline}"
)
CREATE_SEALED: Final = (
    "CREATE TABLE IF NOT EXISTS sealed (digest text PRIMARY KEY NOT NULL, data {bytes} NOT NULL, "
    "refs bigint NOT NULL DEFAULT 1){inline}"
)
CREATE_DONE: Final = "CREATE TABLE IF NOT EXISTS done (key text PRIMARY KEY NOT NULL){inline}"
CREATE_ISSUED: Final = (
    "CREATE TABLE IF NOT EXISTS issued (nkey text PRIMARY KEY NOT NULL, account text NOT NULL, device text NOT NULL, "
    "until bigint NOT NULL, revoked bigint NOT NULL){inline}"
)
CREATE_ISSUED_INDEX: Final = "CREATE INDEX IF NOT EXISTS issued_account ON issued (account)"
CREATE_ENDS_INDEX: Final = "CREATE INDEX IF NOT EXISTS issued_until ON issued (until)"
CREATE_REVOKED_INDEX: Final = "CREATE INDEX IF NOT EXISTS issued_revoked ON issued (until, nkey) WHERE revoked > 0"
OURS: Final = (
    CREATE_COMMANDS,
    CREATE_SEALED,
    CREATE_DONE,
    CREATE_ISSUED,
    CREATE_ISSUED_INDEX,
    CREATE_ENDS_INDEX,
    CREATE_REVOKED_INDEX,
    CREATE_TILES,
    CREATE_EDGE,
)
NAMED: Final = re.compile(r"IF NOT EXISTS (\w+)")
ADD_REFS: Final = "ALTER TABLE sealed ADD COLUMN refs bigint NOT NULL DEFAULT 1"
COMMAND: Final = "account, id, digest, subject, payload, signature, status, code, message, events"
INSERT_EVENTS: Final = "INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id) "
INSERT_COMMANDS: Final = f"INSERT INTO commands ({COMMAND}) "
INSERT_SEALED: Final = "INSERT INTO sealed (digest, data, refs) "
MORE_REFS: Final = " ON CONFLICT (digest) DO UPDATE SET refs = sealed.refs + excluded.refs"
INSERT_DONE: Final = "INSERT INTO done (key) "
ISSUED: Final = "nkey, account, device, until, revoked"
INSERT_ISSUED: Final = f"INSERT INTO issued ({ISSUED}) "
LATER: Final = "CASE WHEN issued.{0} > excluded.{0} THEN issued.{0} ELSE excluded.{0} END"
AND_LATER: Final = (  # neither a revocation nor a longer life is ever taken back
    f" ON CONFLICT (nkey) DO UPDATE SET until = {LATER.format('until')}, revoked = {LATER.format('revoked')}"
)
DELETE_ISSUED: Final = "DELETE FROM issued WHERE nkey "
ENDED: Final = "(SELECT nkey FROM issued WHERE until < ? ORDER BY until LIMIT ?)"
NOT_TWICE: Final = " ON CONFLICT DO NOTHING"
ADDED_REFS: Final = ") UPDATE sealed SET refs = refs + times FROM named WHERE sealed.digest = named.digest"
LESS_THE_FIRST: Final = "UPDATE sealed SET refs = refs - 1 WHERE refs > 1"  # the one that the new column begins with
LESS_REFS: Final = ") UPDATE sealed SET refs = refs - times FROM gone WHERE sealed.digest = gone.digest"
DELETE_UNNAMED: Final = ") DELETE FROM sealed USING gone WHERE sealed.digest = gone.digest AND refs <= 0"
OLD_COLUMN: Final = "SELECT attname FROM pg_attribute WHERE attrelid = ?::regclass AND attname = ?"
EVENT_KEY: Final = ("originator_id", "originator_version")

LEAVES = 1000  # events a transaction, when an older store gets its tree
SWEPT = 1000  # rows of what was issued and has ended, at most, that an append drops
PAGE = 8192  # bytes: rows of 2 or 3 KB fill SQLite's default of 4096 badly and cost half as much again
INLINE: Final = " WITH (toast_tuple_target = 8160)"  # PostgreSQL moves rows of 2 KB elsewhere
POOL = 5  # connections
CONNECT_TIMEOUT = 5  # seconds
STALL_TIMEOUT = 10  # seconds after which PostgreSQL ends a session that stalls inside a transaction
START_LOCK = int.from_bytes(b"privity", "big")  # the advisory lock under which tables are made

ATTEMPTS = 3
RETRY_DELAY = 0.2  # seconds

M = TypeVar("M", bound=Callable[..., Any])


def again(method: M) -> M:
    """Try a few times while the database is away; what the pool kept of lost connections is dropped in between."""

    @wraps(method)
    def tried(recorder: PostgresRecorder, *args: Any, **kwargs: Any) -> Any:
        for _ in range(ATTEMPTS - 1):
            try:
                return method(recorder, *args, **kwargs)
            except (InterfaceError, OperationalError):
                time.sleep(RETRY_DELAY)
                recorder.datastore.pool.check()
        return method(recorder, *args, **kwargs)

    return cast(M, tried)


@dataclass(frozen=True, slots=True)
class Together:
    """What is written, and what must hold, in the transaction of the events."""

    commands: Sequence[tuple[Cell, ...]]  # cells in the order of COMMAND
    sealed: Sequence[tuple[Cell, ...]]  # digest, data, how many commands bring it
    erased: Sequence[tuple[Cell, ...]]  # digest, how many let go of it
    done: Sequence[tuple[Cell, ...]]  # key
    issued: Sequence[tuple[Cell, ...]]  # cells in the order of ISSUED
    ended: int  # Unix time: some of what was issued to an earlier end is dropped; 0: nothing is
    present: frozenset[Key]  # events that must be there
    absent: frozenset[Key]  # events that must not
    grown: list[Growth] = field(default_factory=list)  # what came of it: how the last attempt grew the log's tree


def check(select: Select, together: Together) -> None:
    """Hold the append to the versions that it rests on; the write lock is taken already.

    Raises:
        IntegrityError: a stream has moved, or is not as long as the caller believed.
    """
    wants = list(together.present | together.absent)
    rows = find(select, ", ".join(EVENT_KEY), "stored_events", EVENT_KEY, wants)
    if {(row["originator_id"], row["originator_version"]) for row in rows} != together.present:
        raise IntegrityError("a stream is not at the version that a decision rests on")


def unlogged(select: Select, position: str) -> list[StoredEvent]:
    """The next events that are not in the log's tree yet, in order; an older store has some.

    Outside a transaction others may append between the reads: then there may seem to be some where there are none.

    Raises:
        OperationalError: the log and the events do not fit together.
    """
    size = read_frontier(select).size
    columns = f"{position} AS position, originator_id, originator_version, topic, state"
    behind = f"SELECT {columns} FROM stored_events WHERE {position} > ? ORDER BY {position} LIMIT ?"  # noqa: S608
    rows = select(behind, [size, LEAVES])
    if [row["position"] for row in rows] != list(range(size + 1, size + 1 + len(rows))):
        raise OperationalError("the positions of the events have gaps, and the log cannot be made from them")
    if not rows and size > (select(f"SELECT MAX({position}) AS head FROM stored_events", ())[0]["head"] or 0):  # noqa: S608
        raise OperationalError("the log holds other events than the store")
    return [StoredEvent(row["originator_id"], row["originator_version"], row["topic"], row["state"]) for row in rows]


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
        ours = [statement.format(bytes="blob", inline="") for statement in OURS]
        return [*super().construct_create_table_statements(), *ours]

    def create_table(self) -> None:
        if self._is_made(self.select):
            return
        with self.datastore.get_connection(commit=True) as connection:
            c = connection.cursor()
            c.execute("BEGIN IMMEDIATE")  # processes that start together take turns
            try:
                self._create_table(c)
                if not self._is_made(_selecting(c)):
                    _count_refs(c)
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def _is_made(self, select: Select) -> bool:
        made = {row["name"] for row in select("SELECT name FROM sqlite_master", ())}
        columns = {row["name"] for row in select("PRAGMA table_info(sealed)", ())}
        return made.issuperset(NAMED.findall(" ".join(self.create_table_statements))) and "refs" in columns

    def grow_tree(self) -> None:
        """Put the events of an older store into the log's tree; where all are there, this is one look.

        Raises:
            OperationalError: the log and the events do not fit together.
        """
        while unlogged(self.select, self.position):
            with self.datastore.transaction(commit=True) as c:
                _take_write_lock(c)
                events = unlogged(_selecting(c), self.position)
                if not events:
                    return
                _write_tree(c, grow(_selecting(c), events))

    def _insert_events(
        self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        together: Together = kwargs["together"]
        _take_write_lock(c)
        check(_selecting(c), together)
        c.executemany(f"{INSERT_COMMANDS} VALUES (?,?,?,?,?,?,?,?,?,?)", together.commands)
        if together.sealed:
            c.executemany(f"{INSERT_SEALED} VALUES (?,?,?) {MORE_REFS}", together.sealed)
        if together.erased:
            _release(c, together.erased)
        if together.done:
            c.executemany(f"{INSERT_DONE} VALUES (?) {NOT_TWICE}", together.done)
        if together.ended:
            c.execute(f"{DELETE_ISSUED} IN {ENDED}", (together.ended, SWEPT))
        if together.issued:
            c.executemany(f"{INSERT_ISSUED} VALUES (?,?,?,?,?) {AND_LATER}", together.issued)
        if stored_events:
            together.grown.append(grow(_selecting(c), stored_events))
            _write_tree(c, together.grown[-1])
        positions = super()._insert_events(c, stored_events, **kwargs)
        if positions and positions[-1] != together.grown[-1].after.size:
            raise OperationalError("the log holds other events than the store")
        return positions

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

    position = "notification_id"  # in order of commit by the table lock, and without gaps: the log's tree counts

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
        for statement in OURS:
            self.sql_create_statements.append(SQL(statement).format(bytes=SQL("bytea"), inline=SQL(INLINE)))

    def create_table(self) -> None:
        # CREATE IF NOT EXISTS races with itself: workers that start together take turns.
        with self.datastore.transaction(commit=True) as curs:
            curs.execute("SELECT pg_advisory_xact_lock(%s)", (START_LOCK,))
            super().create_table()
            if not _pg_rows(curs, OLD_COLUMN, ("sealed", "refs")):
                self._lock_table(curs)  # first, as an append does
                _pg_count_refs(curs)
            # Who knows nothing of the tree must not append: such a position would have no leaf.
            if _pg_rows(curs, f"{OLD_COLUMN} AND atthasdef", ("stored_events", self.position)):
                curs.execute("ALTER TABLE stored_events ALTER COLUMN notification_id DROP DEFAULT")

    @again
    def grow_tree(self) -> None:
        """Put the events of an older store into the log's tree; where all are there, this is one look.

        Raises:
            OperationalError: the log and the events do not fit together.
        """
        while unlogged(self.select, self.position):
            with self.datastore.transaction(commit=True) as curs:
                self._lock_table(curs)
                events = unlogged(_pg_selecting(curs), self.position)
                if not events:
                    return
                _pg_write_tree(curs, grow(_pg_selecting(curs), events))

    @again
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        # The library's own road is a psycopg pipeline, whose sync() waits for a reply without having sent all
        # of the question: batches larger than the socket's buffer hang for ever (psycopg 3.3.9).
        with self.datastore.transaction(commit=True) as curs:
            self._insert_events(curs, stored_events, **kwargs)
            if not stored_events:
                return []
            growth = grow(_pg_selecting(curs), stored_events)
            _pg_write_tree(curs, growth)
            positions = range(growth.before.size + 1, growth.after.size + 1)
            self._insert_stored_events(curs, stored_events, positions=positions)
            kwargs["together"].grown.append(growth)
            return list(positions)

    def _insert_events(self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        together: Together = kwargs["together"]
        self._lock_table(curs)
        check(_pg_selecting(curs), together)
        if together.commands:
            _put(curs, INSERT_COMMANDS, "tttt bb tttt", together.commands)
        if together.sealed:
            _put(curs, INSERT_SEALED, "t b i", together.sealed, MORE_REFS)
        if together.erased:
            _put(curs, "WITH gone (digest, times) AS (", "t i", together.erased, LESS_REFS)
            _put(curs, "WITH gone (digest, times) AS (", "t i", together.erased, DELETE_UNNAMED)
        if together.done:
            _put(curs, INSERT_DONE, "t", together.done, NOT_TWICE)
        if together.ended:
            some = f"{DELETE_ISSUED} = ANY(ARRAY{ENDED})"  # with IN it may read all of the table
            curs.execute(some.replace("?", "%s").encode(), (together.ended, SWEPT))
        if together.issued:
            _put(curs, INSERT_ISSUED, "ttt ii", together.issued, AND_LATER)
        super()._insert_events(curs, stored_events, **kwargs)

    def _insert_stored_events(self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        # Binary arrays cost a quarter of the library's array of composites. The table is locked already.
        self._notify_channel(curs)
        rows = [
            (str(e.originator_id), e.originator_version, e.topic, e.state, position)
            for e, position in zip(stored_events, kwargs["positions"], strict=True)
        ]
        _put(curs, INSERT_EVENTS, "t i t b i", rows)

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


def _take_write_lock(c: SQLiteCursor) -> None:
    # A statement that may write takes the write lock, rows or none. Were the first one a read, then another
    # process's commit in between would make the write fail (SQLITE_BUSY_SNAPSHOT).
    c.execute("DELETE FROM commands WHERE false")


def _release(c: SQLiteCursor, erased: Sequence[tuple[Cell, ...]]) -> None:
    """Take the names away, and delete what has none left so that its bytes are overwritten in the file."""
    c.execute("PRAGMA secure_delete=ON")
    c.executemany("UPDATE sealed SET refs = refs - ?2 WHERE digest = ?1", erased)
    c.executemany("DELETE FROM sealed WHERE digest = ? AND refs <= 0", [row[:1] for row in erased])


def _count_refs(c: SQLiteCursor) -> None:
    """Give an older table of sealed objects its counts, as if each accepted command had been counted at once."""
    c.execute(ADD_REFS)
    for times in names(_selecting(c)):
        c.executemany("UPDATE sealed SET refs = refs + ?2 WHERE digest = ?1", times)
    c.execute(LESS_THE_FIRST)


def _pg_count_refs(curs: Cursor[DictRow]) -> None:
    """As `_count_refs`."""
    curs.execute(ADD_REFS)
    for times in names(_pg_selecting(curs)):
        _put(curs, "WITH named (digest, times) AS (", "t i", times, ADDED_REFS)
    curs.execute(LESS_THE_FIRST)


def _write_tree(c: SQLiteCursor, growth: Growth) -> None:
    c.executemany(f"{INSERT_TILES} VALUES (?,?,?) {NEW_HASHES}", growth.tile_rows())
    c.executemany(f"{INSERT_EDGE} VALUES (?,?,?) {NEW_EDGE}", growth.edge_rows())


def _pg_write_tree(curs: Cursor[DictRow], growth: Growth) -> None:
    if growth.nodes:
        _put(curs, INSERT_TILES, "ii b", growth.tile_rows(), NEW_HASHES)
        _put(curs, INSERT_EDGE, "ii b", growth.edge_rows(), NEW_EDGE)


def _selecting(c: SQLiteCursor) -> Select:
    return lambda statement, params: _rows(c, statement, params)


def _pg_selecting(curs: Cursor[DictRow]) -> Select:
    return lambda statement, params: _pg_rows(curs, statement, params)


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
