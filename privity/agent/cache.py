"""The cache: the newest that the home served, for when it cannot be reached; sealed as it came, and checked anew.

A SQLite file in the profile's folder. Nothing in it opens anything: rows and sealed objects are kept as they were
served, and what only a fresh question releases is not kept. Rows of the views in `SHELVES` are kept one by one, so that
an answer to one question serves others too; answers of other views are kept whole, for the same question alone.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from privity.agent.database import Database
from privity.agent.shelves import (
    ALL,
    ANSWERS,
    EVERY,
    ONE,
    SHELVES,
    Done,
    Row,
    Shelf,
    asked_by,
    changes,
    covering,
    is_kept,
    key_of,
    matches,
    name_of,
    shelf_of,
)
from privity.encoding import digest
from privity.errors import Malformed
from privity.messages.views import (
    Ask,
    AskAccount,
    AskDelegations,
    AskFeed,
    AskFiles,
    AskItems,
    AskShares,
    AskVaults,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

CACHE = "cache.db"
MAX_SEALED_BYTES = 256 * 1024 * 1024
MAX_ROWS = 50_000
MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of sealed objects behind one answer; a larger one is not kept."""
AT_ONCE = 256
"""Rows that are looked at together where the oldest go."""
REMEMBERED = frozenset({AskItems.view, AskShares.view})
"""Views of which the device's memory says what is known and not kept."""

TABLES = """
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS rows (
    view TEXT NOT NULL, id TEXT NOT NULL, place INTEGER NOT NULL, at REAL NOT NULL, ends REAL, data TEXT NOT NULL,
    PRIMARY KEY (view, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_by_age ON rows (at, place);
CREATE INDEX IF NOT EXISTS rows_by_place ON rows (view, place);
CREATE TABLE IF NOT EXISTS answers (
    view TEXT NOT NULL, ask TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (view, ask)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (
    digest TEXT NOT NULL, view TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (digest, view, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS names_by_row ON names (view, id);
CREATE TABLE IF NOT EXISTS sealed (
    digest TEXT PRIMARY KEY NOT NULL, at REAL NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS sealed_by_age ON sealed (at, size);
"""


@dataclass(frozen=True, slots=True)
class Served:
    """An answer that held; `whole`: there were no further pages."""

    ask: Ask
    rows: Sequence[Row]
    sealed: Mapping[str, bytes] = field(repr=False)
    whole: bool
    fresh: bool
    at: float

    @property
    def size(self) -> int:
        """Bytes of its sealed objects."""
        return sum(map(len, self.sealed.values()))


@dataclass(frozen=True, slots=True)
class Erased:
    """Digests of sealed objects that are no more."""

    digests: Sequence[str]
    size: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Parted:
    """One is no delegate of somebody any more: whose vault key, items and files are kept no longer."""

    size: ClassVar[int] = 0


Step = Served | Done | Erased | Parted


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of an answer. `at` is the time, in seconds, as of which it holds."""

    rows: Sequence[Row]
    sealed: Mapping[str, bytes] = field(repr=False)
    at: float


class Cache(Database):
    """One profile's cache. What is damaged is left out: everything here is also at the home."""

    what: ClassVar[str] = "cache"
    tables: ClassVar[str] = TABLES

    def keep(self, steps: Iterable[Step], account: str) -> None:
        """Take in what was served and done, in this order; the oldest goes when there is too much."""

        def work(db: sqlite3.Connection) -> bool:
            for step in steps:
                match step:
                    case Served():
                        _take(db, step, account)
                    case Done():
                        _do(db, step, account)
                    case Erased(digests):
                        _erase(db, digests)
                    case Parted():
                        _part(db)
            _expire(db, time.time())
            _trim(db)
            return _drop_unnamed(db)

        if self._carefully(work):
            self._clear_log()

    def erase(self, digests: Sequence[str]) -> None:
        """Let go of sealed objects for good, and of the rows that name them."""

        def work(db: sqlite3.Connection) -> bool:
            _erase(db, digests)
            return _drop_unnamed(db)

        if digests and self._path.exists() and self._carefully(work):
            self._clear_log()

    def part(self) -> None:
        """Let go of what one had as somebody's delegate."""

        def work(db: sqlite3.Connection) -> bool:
            _part(db)
            return _drop_unnamed(db)

        if self._path.exists() and self._carefully(work):
            self._clear_log()

    def answer(self, ask: Ask, account: str, *, fresh: bool = False, waiting: Iterable[Done] = ()) -> Kept | None:
        """What is kept for a question, as it will be when the commands `waiting` have taken effect."""
        shelf = shelf_of(ask)
        if not is_kept(ask) or (fresh and not (shelf and shelf.fresh)):
            return None

        def work(db: sqlite3.Connection) -> Kept | None:
            return _whole_answer(db, ask) if shelf is None else _from_shelf(db, shelf, ask, account, waiting)

        if self._carefully(_expired):
            self._clear_log()
        return self._carefully(work)

    def feed(self, after: int, until: int) -> Sequence[Row] | None:
        """The feed's lines behind one position up to another, if all of them are kept."""

        def work(db: sqlite3.Connection) -> Sequence[Row] | None:
            rows = db.execute("SELECT place, data FROM rows WHERE view = ? ORDER BY place", (AskFeed.view,))
            lines = [json.loads(data) for place, data in rows if place <= until]
            behind = [line for line in lines if line["position"] > after]
            before = lines[-len(behind) - 1]["seq"] if len(lines) > len(behind) else 0
            whole = [line["seq"] for line in behind] == list(range(before + 1, before + 1 + len(behind)))
            return behind if whole and behind and behind[-1]["position"] == until else None

        return self._carefully(work)

    def _carefully(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do it in one transaction; a file that is damaged is begun anew."""
        try:
            with self._open() as db:
                return work(db)
        except (Malformed, ValueError, KeyError, TypeError) as error:
            log.warning("the cache is not used: %s", error)
            if not isinstance(error.__cause__, sqlite3.OperationalError):  # locked, or the disk is full
                self.forget()
            return None

    def _clear_log(self) -> None:
        """What was erased stands in the file's own log until that is written over."""
        try:
            if self._db is not None:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            log.info("the cache's log was not cleared: %s", error)


def _take(db: sqlite3.Connection, served: Served, account: str) -> None:
    ask, shelf = served.ask, shelf_of(served.ask)
    if not is_kept(ask) or served.size > MAX_ANSWER:
        return
    if ask.view == AskFeed.view:
        for row in served.rows:
            _put(db, Place(AskFeed.view, str(row["position"]), row["position"]), row, {}, served.at)
    elif shelf is not None:
        _shelve(db, shelf, served, account)
    elif served.whole and not served.fresh and not ask.after:
        view = name_of(ask)
        _drop(db, view, [id for (id,) in db.execute("SELECT id FROM rows WHERE view = ?", (view,))])
        for number, row in enumerate(served.rows):
            _put(db, Place(view, str(number), number), row, served.sealed, served.at)
        _answered(db, view, ALL, served.at)


def _shelve(db: sqlite3.Connection, shelf: Shelf, served: Served, account: str) -> None:
    view, asked = served.ask.view, asked_by(served.ask)
    before = _rows(db, view)
    last = _last_place(db, view)
    ids = [str(row[shelf.id]) for row in served.rows]
    for number, (id, row) in enumerate(zip(ids, served.rows, strict=True), start=1):
        place = number if served.whole and not asked else before[id][0] if id in before else last + number
        if shelf.keeps(row, account):
            sealed = served.sealed if shelf.sealed else {}
            _put(db, Place(view, id, place, shelf.ends(row, account)), row, sealed, served.at)
        else:
            _drop(db, view, [id])
    if served.whole and not served.ask.after:
        matching = (id for id, (_, _, row) in before.items() if matches(shelf, served.ask, row, account))
        _drop(db, view, set(matching) - set(ids))
        if not asked.keys() & ONE:
            _answered(db, view, key_of(served.ask), served.at)


def _do(db: sqlite3.Connection, done: Done, account: str) -> None:
    sealed = {digest(each): each for each in done.sealed}
    for change in changes(done, account):
        if change.id in (EVERY, ANSWERS):
            _forget(db, change.view, rows=change.id == EVERY)
            continue
        rows = _rows(db, change.view, [change.id])
        before = rows.get(change.id)
        if change.fields is None or change.half:
            _drop(db, change.view, [change.id])
        elif before is not None or change.whole:
            row = {**(before[2] if before else {}), **change.fields}
            held = {each: data for each, data in _sealed(db, change.view, [change.id]).items()}
            place = before[0] if before else _last_place(db, change.view) + 1
            ends = SHELVES[change.view].ends(row, account)
            _put(db, Place(change.view, change.id, place, ends), row, held | sealed, time.time())


def _from_shelf(db: sqlite3.Connection, shelf: Shelf, ask: Ask, account: str, waiting: Iterable[Done]) -> Kept | None:
    asked, kept = asked_by(ask), _rows(db, ask.view)
    rows, brought = {id: row for id, (_, _, row) in kept.items()}, dict[str, bytes]()
    for done in waiting:
        brought.update((digest(each), each) for each in done.sealed)
        for change in (each for each in changes(done, account) if each.view == ask.view):
            if change.fields is None:
                rows.pop(change.id, None)
            elif change.id in rows or change.whole:
                rows[change.id] = {**rows.get(change.id, {}), **change.fields}
    found = {id: row for id, row in rows.items() if matches(shelf, ask, row, account)}
    told = "SELECT max(at) FROM answers WHERE view = ? AND ask IN (SELECT value FROM json_each(?))"
    (as_of,) = db.execute(told, (ask.view, json.dumps(covering(shelf, ask)))).fetchone()
    if as_of is None and not (found and (asked.keys() & ONE or ask.view == AskAccount.view)):
        return None
    if as_of is None:
        as_of = min((kept[id][1] for id in found if id in kept), default=time.time())
    named = {text for row in found.values() for text in _texts(row)}
    sealed = _sealed(db, ask.view, list(found)) | {each: data for each, data in brought.items() if each in named}
    return Kept(list(found.values()), sealed, as_of)


def _whole_answer(db: sqlite3.Connection, ask: Ask) -> Kept | None:
    view = name_of(ask)
    at = db.execute("SELECT at FROM answers WHERE view = ?", (view,)).fetchone()
    if at is None:
        return None
    rows = _rows(db, view)
    return Kept([row for _, _, row in rows.values()], _sealed(db, view, list(rows)), at[0])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is kept: its number among the view's, and when its sealed objects may be read no more."""

    view: str
    id: str
    number: int
    ends: float | None = None


def _rows(db: sqlite3.Connection, view: str, ids: Collection[str] | None = None) -> dict[str, tuple[int, float, Row]]:
    """A view's rows by id, in order: number, time and row."""
    among = json.dumps(list(ids)) if ids is not None else None
    text = (
        "SELECT id, place, at, data FROM rows WHERE view = ? "
        "AND (? IS NULL OR id IN (SELECT value FROM json_each(?))) ORDER BY place, id"
    )
    found = db.execute(text, (view, among, among))
    return {id: (place, at, json.loads(data)) for id, place, at, data in found}


def _last_place(db: sqlite3.Connection, view: str) -> int:
    (place,) = db.execute("SELECT coalesce(max(place), 0) FROM rows WHERE view = ?", (view,)).fetchone()
    return int(place)


def _sealed(db: sqlite3.Connection, view: str, ids: Collection[str]) -> dict[str, bytes]:
    """The sealed objects that these rows came with, by digest."""
    text = (
        "SELECT DISTINCT sealed.digest, data FROM names JOIN sealed ON sealed.digest = names.digest "
        "WHERE view = ? AND id IN (SELECT value FROM json_each(?))"
    )
    return dict(db.execute(text, (view, json.dumps(list(ids)))))


def _put(db: sqlite3.Connection, place: Place, row: Row, sealed: Mapping[str, bytes], at: float) -> None:
    held = (place.view, place.id, place.number, at, place.ends, json.dumps(row))
    db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", held)
    named = {text for text in _texts(row) if text in sealed}
    db.execute("DELETE FROM names WHERE view = ? AND id = ?", (place.view, place.id))
    db.executemany("INSERT INTO names VALUES (?, ?, ?)", [(each, place.view, place.id) for each in named])
    db.executemany(
        "INSERT INTO sealed VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
        [(each, at, len(sealed[each]), sealed[each]) for each in named],
    )


def _drop(db: sqlite3.Connection, view: str, ids: Iterable[str]) -> None:
    gone = [(view, id) for id in ids]
    db.executemany("DELETE FROM rows WHERE view = ? AND id = ?", gone)
    db.executemany("DELETE FROM names WHERE view = ? AND id = ?", gone)


def _forget(db: sqlite3.Connection, view: str, *, rows: bool) -> None:
    """Let go of a view's answers that are kept whole, and of its `rows` that are kept one by one."""
    for table in ("rows", "names", "answers"):
        where = "view LIKE ? OR (? AND view = ?)"
        db.execute(f"DELETE FROM {table} WHERE {where}", (f"{view} %", rows, view))  # noqa: S608


def _answered(db: sqlite3.Connection, view: str, key: str, at: float) -> None:
    db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (view, key, at))


def _erase(db: sqlite3.Connection, digests: Sequence[str]) -> None:
    """Let go of the rows that name them: of a list that loses one it must be known, or it is whole no more."""
    for each in digests:
        for view, id in db.execute("SELECT view, id FROM names WHERE digest = ?", (each,)).fetchall():
            _drop(db, view, [id])
            if view not in REMEMBERED:
                db.execute("DELETE FROM answers WHERE view = ?", (view,))


def _part(db: sqlite3.Connection) -> None:
    for view in (AskVaults.view, AskDelegations.view):
        _forget(db, view, rows=True)
    for view in (AskItems.view, AskFiles.view):
        _forget(db, view, rows=False)


def _expire(db: sqlite3.Connection, now: float) -> bool:
    """Let go of the sealed objects of what has come to its end; the row tells of it still. Whether there was any."""
    ended = db.execute("SELECT view, id FROM rows WHERE ends <= ?", (now,)).fetchall()
    db.executemany("DELETE FROM names WHERE view = ? AND id = ?", ended)
    db.executemany("UPDATE rows SET ends = NULL WHERE view = ? AND id = ?", ended)
    return bool(ended)


def _trim(db: sqlite3.Connection) -> None:
    """Keep to the bounds; a list that loses a row is whole no more, until it is asked for again."""
    (size,) = db.execute("SELECT total(size) FROM sealed").fetchone()
    (count,) = db.execute("SELECT count(*) FROM rows").fetchone()
    if size <= MAX_SEALED_BYTES and count <= MAX_ROWS:
        return
    told = (
        "SELECT view, id, (SELECT total(size) FROM names JOIN sealed USING (digest) WHERE view = r.view AND id = r.id)"
    )
    while rows := db.execute(f"{told} FROM rows r ORDER BY at, place LIMIT ?", (AT_ONCE,)).fetchall():
        for view, id, bytes_ in rows:
            if size <= MAX_SEALED_BYTES and count <= MAX_ROWS:
                return
            _drop(db, view, [id])
            db.execute("DELETE FROM answers WHERE view = ?", (view,))
            size, count = size - bytes_, count - 1


def _expired(db: sqlite3.Connection) -> bool:
    return _expire(db, time.time()) and _drop_unnamed(db)


def _drop_unnamed(db: sqlite3.Connection) -> bool:
    """Let go of the sealed objects of rows that are gone; whether there were any."""
    return db.execute("DELETE FROM sealed WHERE digest NOT IN (SELECT digest FROM names)").rowcount > 0


def _texts(value: Any) -> Iterator[str]:
    """Every text in a row."""
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from _texts(each)
        case list() | tuple():
            for each in value:
                yield from _texts(each)
