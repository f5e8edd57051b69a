"""Rebuilding: views folded anew beside the live ones and swapped in, compared with them, or folded up to a day past."""

import logging
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, islice, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa
from sqlalchemy.schema import DropTable

from privity.disk import sync
from privity.errors import Busy, NotFound
from projections.changes import write_apart
from projections.folding import FEEDS, TABLES, WORKERS, WORTH, After, Folding, Progress, beside, pages, pool
from projections.projector import ANEW, GONE, NAME, leftovers, reached, snapshot, table_rows
from projections.tables import metadata, progress
from projections.turns import apart_of, file_of, identity_of, only_rebuild, turn

log = logging.getLogger(__name__)

SHOWN = 3
"""Differences that are told of each table."""
NEAR = 200
"""Events behind the live views that are folded in the transaction of the swap."""
SLICE = 2000
"""Rows that are copied, or of a replaced table dropped, in one turn."""
CHECKPOINT_EVERY = 4
"""Pages after which what was written is brought from SQLite's log into its file."""
LOCK_TIMEOUT = "100ms"
"""For how long a swap waits on PostgreSQL, while others wait behind it; it is tried again then."""
ATTEMPTS = 300
RETRY = 0.02
BREATH = 0.001
REMADE = "the views are being made anew by the backend itself"
CACHE = "cache_size=-131072"
"""Of SQLite, in KiB: random keys meet many pages."""


def _untold(done: int, of: int) -> None:
    """Nobody wants to know how far it is."""


def rebuild(
    engine: sa.Engine,
    after: After,
    tables: frozenset[str] = TABLES,
    *,
    until: int | None = None,
    workers: int = WORKERS,
    told: Progress = _untold,
) -> int:
    """Fold views anew beside those that stand, and swap them in where these have got to; the position.

    The live projector and queries go on: each table is replaced by a transaction of its own, where they stand.
    With `until` nobody else reads or writes: all tables are replaced at once, and stand at that position then.

    Raises:
        NotFound: no such tables, or the views were made by another version of this code, or not at all.
        AlreadyRunning: another rebuild works on these views.
        Busy: others read or write without a pause.
    """
    if unknown := tables - TABLES:
        raise NotFound(f"there is no view {', '.join(sorted(unknown))}; there are {', '.join(sorted(TABLES))}")
    with only_rebuild(engine):
        if until is not None and tables == TABLES and engine.dialect.name == "sqlite":
            return _replaced(engine, after, until, workers, told)
        with engine.connect() as db:
            work = _Rebuild(engine, db, after, tables | FEEDS if tables & FEEDS else tables, until)
            work.clear()
            try:
                work.create()
                work.fold(workers, told)
                work.swap()
            finally:
                db.rollback()
                work.clear()
            return work.position


def _replaced(engine: sa.Engine, after: After, until: int, workers: int, told: Progress) -> int:
    """Fold all views into a file of their own, which takes the place of the one that nobody has open."""
    apart, there = apart_of(engine), file_of(engine)
    if apart is None or there is None:
        raise NotFound("the views are in memory alone")
    apart.unlink(missing_ok=True)
    try:
        with _folded_into(apart, after, TABLES, until, workers, told):
            pass
        engine.dispose()
        with engine.connect() as db:
            if db.exec_driver_sql("PRAGMA journal_mode=DELETE").scalar() != "delete":  # what is in its log goes into it
                raise Busy("somebody has the views open; try again")
        engine.dispose()
        shutil.copymode(there, apart)
        sync(apart)
        apart.replace(there)
        sync(apart.parent)
    finally:
        apart.unlink(missing_ok=True)
    return until


class _Rebuild:
    """One rebuild on one connection; `position` is how far the tables beside are."""

    def __init__(
        self, engine: sa.Engine, db: sa.Connection, after: After, tables: frozenset[str], until: int | None
    ) -> None:
        self._engine, self._db, self._until = engine, db, until
        self._sqlite = engine.dialect.name == "sqlite"
        token = secrets.token_hex(4)
        self._anew, self._gone = f"{ANEW}{token}_", f"{GONE}{token}_"
        self._folding = Folding(after, engine.url.drivername, self._anew, tables)
        self._pages = 0
        self.position = 0
        self._file = apart_of(engine)
        self._identity = identity_of(engine)
        if self._sqlite:
            for pragma in (CACHE, "wal_autocheckpoint=0"):
                db.exec_driver_sql(f"PRAGMA {pragma}")
            db.commit()

    def create(self) -> None:
        """The tables, empty."""
        found = sa.inspect(self._db).has_table(progress.name)
        names = set(self._db.execute(sa.select(progress.c.name)).scalars()) if found else set()
        self._db.commit()
        if names != {NAME}:
            raise NotFound("the views are not made yet, or by another version of the code; see that the backend runs")
        made = beside(self._anew)
        with self._writing():
            for name in self._folding.tables:
                made[name].create(self._db)

    def fold(self, workers: int, told: Progress) -> None:
        """Fold until the live views are near, or up to the end that was given."""
        total = self._goal()
        if self._file is not None and total >= WORTH:
            self._fold_apart(self._file, total, workers, told)
        with pool(total - self.position, workers) as processes:
            while (goal := self._goal()) - self.position > (NEAR if self._until is None else 0):
                for page in pages(self._folding, self.position, goal, processes):
                    with self._writing():
                        self._folding.write(page, self._db)
                    self.position = page.position
                    told(page.position, goal)
                    self._rest()

    def _fold_apart(self, file: Path, goal: int, workers: int, told: Progress) -> None:
        """Fold what there is into a file of its own, and copy that: a few rows in each turn."""
        with _folded_into(file, self._folding.after, self._folding.tables, goal, workers, told):
            pass
        self._db.exec_driver_sql("ATTACH DATABASE ? AS apart", (str(file),))
        try:
            for name in sorted(self._folding.tables):
                last = self._db.exec_driver_sql(f'SELECT max(rowid) FROM apart."{name}"').scalar()  # noqa: S608 - ours
                self._db.commit()
                for start in range(0, last or 0, SLICE):
                    with self._writing():
                        self._db.exec_driver_sql(
                            f'INSERT INTO main."{self._anew}{name}" SELECT * FROM apart."{name}"'  # noqa: S608 - ours
                            " WHERE rowid > ? AND rowid <= ?",
                            (start, start + SLICE),
                        )
                    self._rest()
        finally:
            self._db.rollback()
            self._db.exec_driver_sql("DETACH DATABASE apart")
            self._db.commit()
        self.position = goal

    def swap(self) -> None:
        """Replace the tables, each where the live views stand; or all at once."""
        left = self._folding.tables
        groups = (
            [left]
            if self._until is not None
            else [*([FEEDS] if left & FEEDS else []), *({each} for each in left - FEEDS)]
        )
        for group in groups:
            self._swap(frozenset(group))
            self._folding = Folding(self._folding.after, self._folding.driver, self._anew, self._folding.tables - group)

    def clear(self) -> None:
        """Drop what this or an earlier rebuild has left; of large tables on SQLite a few rows in each turn."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
        names = leftovers(self._db)
        self._db.commit()
        for name in names:
            while self._sqlite and self._until is None and self._dropped_some(name):
                self._rest()
            with self._writing():
                self._db.execute(DropTable(sa.Table(name, sa.MetaData())))

    def _dropped_some(self, name: str) -> bool:
        some = f'DELETE FROM "{name}" WHERE rowid IN (SELECT rowid FROM "{name}" LIMIT {SLICE})'  # noqa: S608 - ours
        with self._writing():
            return self._db.exec_driver_sql(some).rowcount > 0

    def _goal(self) -> int:
        if self._until is not None:
            return self._until
        live = reached(self._db)
        self._db.commit()
        if live < self.position or identity_of(self._engine) != self._identity:
            raise NotFound(REMADE)
        return live

    def _swap(self, group: frozenset[str]) -> None:
        for _ in range(ATTEMPTS):
            self._come_near()
            try:
                with self._writing():
                    goal = self._held()
                    self._folding.write(self._folding.page(self.position, goal), self._db)
                    for name in sorted(group):
                        for old, new in ((name, self._gone + name), (self._anew + name, name)):
                            self._db.exec_driver_sql(f'ALTER TABLE "{old}" RENAME TO "{new}"')
                    if self._until is not None:
                        self._db.execute(progress.update().where(progress.c.name == NAME).values(position=goal))
                self.position = goal
                return
            except sa.exc.OperationalError as error:  # PostgreSQL: somebody reads for long; SQLite: somebody writes
                log.info("a swap waits: %s", type(error.orig).__name__)
                time.sleep(RETRY)
        raise Busy("the views are read or written without a pause; try again")

    def _come_near(self) -> None:
        while (goal := self._goal()) - self.position > NEAR:
            for page in pages(self._folding, self.position, goal, None):
                with self._writing():
                    self._folding.write(page, self._db)
                self.position = page.position

    def _held(self) -> int:
        """Where the live views stand, until this transaction ends."""
        if not self._sqlite:
            self._db.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        held = sa.select(progress.c.position).where(progress.c.name == NAME).with_for_update()
        live = self._db.execute(held).scalar()
        remade = identity_of(self._engine) != self._identity
        if live is None or remade or (live < self.position and self._until is None):
            raise NotFound(REMADE)
        return live if self._until is None else self._until

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with turn(self._engine), self._db.begin():
            if self._sqlite:  # Python's driver begins by itself before rows are changed, but not before tables are
                self._db.exec_driver_sql("BEGIN IMMEDIATE")
            yield

    def _rest(self) -> None:
        """Let the live projector have its turn; and keep SQLite's log short, which is for nobody to wait for."""
        self._pages += 1
        if self._sqlite and self._pages % CHECKPOINT_EVERY == 0:
            self._db.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
            self._db.commit()
        if self._until is None:
            time.sleep(BREATH)


@contextmanager
def folded_apart(after: After, stop: int, workers: int = WORKERS, told: Progress = _untold) -> Iterator[sa.Engine]:
    """Views folded up to a position into a file of their own, which is gone afterwards."""
    with (
        TemporaryDirectory(prefix="privity-replay-") as folder,
        _folded_into(Path(folder) / "views.db", after, TABLES, stop, workers, told) as engine,
    ):
        yield engine


@contextmanager
def _folded_into(
    path: Path, after: After, tables: frozenset[str], stop: int, workers: int, told: Progress
) -> Iterator[sa.Engine]:
    """Views folded up to a position into a new file, in one transaction: nobody else waits for it."""
    engine = sa.create_engine(f"sqlite:///{path}")
    sa.event.listen(engine, "connect", _careless)
    try:
        with engine.begin() as db:
            metadata.create_all(db)
            db.execute(progress.insert().values(name=NAME, position=stop))
        folding = Folding(after, engine.url.drivername, tables=tables)
        with pool(stop, workers) as processes, engine.begin() as db:
            for page in pages(folding, 0, stop, processes):
                folding.write(page, db, write_apart)
                told(page.position, stop)
        yield engine
    finally:
        engine.dispose()


def _careless(connection: sa.pool.ConnectionPoolEntry, _: object) -> None:
    """What is thrown away in any case need not stand a crash."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=OFF", "synchronous=OFF", CACHE):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def differences(
    live: sa.Engine, after: After, *, workers: int = WORKERS, told: Progress = _untold
) -> tuple[int, list[str]]:
    """The position of the live views, and of each the first rows that differ from views folded anew up to there."""
    with snapshot(live) as mine:
        position = reached(mine)
        with folded_apart(after, position, workers, told) as rebuilt, rebuilt.connect() as anew:
            found = (islice(_differing(table, mine, anew), SHOWN) for table in metadata.sorted_tables)
            return position, list(chain.from_iterable(found))


def _differing(table: sa.Table, live: sa.Connection, rebuilt: sa.Connection) -> Iterator[str]:
    for mine, anew in zip_longest(table_rows(table, live), table_rows(table, rebuilt)):
        if mine != anew:
            yield f"{table.name}: live {_shown(mine)}, rebuilt {_shown(anew)}"


def position_at(after: After, head: int, at: datetime) -> int:
    """The newest position whose event was recorded at that time or before it, by a clock that went forward."""
    low, high = 0, head
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if after(middle - 1, 1)[0].meta.at <= at else (low, middle - 1)
    return low


def counts(engine: sa.Engine) -> dict[str, int]:
    """How many rows each view has."""
    with engine.connect() as db:
        return {
            table.name: db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def rows_of(engine: sa.Engine, name: str) -> Iterator[dict[str, object]]:
    """Every row of a view, in the order of its key."""
    if name not in TABLES:
        raise NotFound(f"there is no view {name}; there are {', '.join(sorted(TABLES))}")
    table = metadata.tables[name]
    with engine.connect() as db:
        for row in db.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings():
            yield dict(row)


def _shown(row: tuple[object, ...] | None) -> str:
    return "nothing" if row is None else str(row[:2])
