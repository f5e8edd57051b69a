"""The projector: folds events into all views, rows and position in one transaction."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import DropTable

from privity.encoding import digest
from privity.messages.recorded import Positioned
from projections import feed
from projections.changes import execute
from projections.tables import metadata, progress
from projections.turns import drop_apart, drop_rest, identity_of, turn
from projections.views import folded

log = logging.getLogger(__name__)

FOLD = 3
"""To be raised when the same events fold to other rows; that the tables are others is noticed without it."""
ANEW, GONE = "anew_", "gone_"
"""What the tables of a rebuild begin with, and those that it has replaced and not dropped yet."""
PAGE = 500
FETCHED = 1000
"""Rows that are read at a time."""


def _shape() -> str:
    """What the views are folded by: the fold's number, and a hash of all tables and columns."""
    tables = [
        (table.name, [(c.name, str(c.type), c.nullable, c.primary_key) for c in table.columns])
        for table in metadata.sorted_tables
    ]
    return f"views-{FOLD}-{digest(repr(tables).encode())[:12]}"


NAME = _shape()


class Projector:
    """The views' one writer. `position` is the newest event whose rows are committed.

    Views that older or newer code has folded to other tables or rows are dropped, to be folded anew from event 1.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.position = 0
        self._file: object = None
        self.open()

    def open(self) -> None:
        """Begin where the views stand; they are made where they are missing."""
        with turn(self._engine), self._engine.begin() as db:
            progress.create(db, checkfirst=True)
            shapes = set(db.execute(sa.select(progress.c.name)).scalars())
            if shapes - {NAME}:
                log.warning("the views have another shape; they are folded anew from event 1")
            if shapes != {NAME}:
                metadata.drop_all(db)
                for name in leftovers(db):
                    db.execute(DropTable(sa.Table(name, sa.MetaData())))
                metadata.create_all(db)
                db.execute(progress.insert().values(name=NAME, position=0))
            self.position = reached(db)
        self._file = identity_of(self._engine)
        drop_apart(self._engine)

    def stands(self) -> bool:
        """Whether the views are still there: somebody may delete their file or tables at any time."""
        try:
            with self._engine.connect() as db:
                found = db.execute(sa.select(progress.c.name)).scalars().all()
        except sa.exc.DatabaseError:
            return False
        return NAME in found and identity_of(self._engine) == self._file

    def make_again(self) -> None:
        """Begin anew after the views were deleted."""
        self._engine.dispose()
        drop_rest(self._engine)
        self.open()

    def apply(self, happened: Sequence[Positioned]) -> None:
        """Fold events in, all or none; those at or before `position` are passed over."""
        new = [each for each in happened if each.position > self.position]
        if not new:
            return
        position = new[-1].position
        with turn(self._engine), self._engine.begin() as db:
            execute(folded(new), db)
            execute(feed.changes(list(feed.lines(new)), db), db)
            self._advance(position, db)
        self.position = position

    def _advance(self, position: int, db: sa.Connection) -> None:
        moved = db.execute(
            progress.update()
            .where(progress.c.name == NAME, progress.c.position == self.position)
            .values(position=position)
        )
        if moved.rowcount != 1:
            raise RuntimeError("another projector writes these views")

    def catch_up(self, after: Callable[[int, int], Sequence[Positioned]]) -> list[Positioned]:
        """Fold in what the store has behind `position`, page by page; the last page that was folded."""
        last: list[Positioned] = []
        while page := list(after(self.position, PAGE)):
            self.apply(page)
            last = page
        return last


def leftovers(db: sa.Connection) -> list[str]:
    """The tables of rebuilds, by what their names begin with."""
    return [each for each in sa.inspect(db).get_table_names() if each.startswith((ANEW, GONE))]


def reached(db: sa.Connection) -> int:
    """The position that the views have reached; 0 when they were never built, or by other code."""
    return db.execute(sa.select(progress.c.position).where(progress.c.name == NAME)).scalar() or 0


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that sees one moment of the views, whatever is written meanwhile."""
    with engine.connect() as db:
        if engine.dialect.name == "sqlite":
            db.exec_driver_sql("BEGIN")
        else:
            db.execution_options(isolation_level="REPEATABLE READ")
        yield db
        db.rollback()


def rows(db: sa.Connection) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Every row of every view as (table, values), in the order of the tables' keys; few of them are in memory."""
    for table in metadata.sorted_tables:
        for row in table_rows(table, db):
            yield table.name, row


def table_rows(table: sa.Table, db: sa.Connection) -> Iterator[tuple[object, ...]]:
    """Every row of one table, in the order of its key; few of them are in memory."""
    select = sa.select(table).order_by(*map(_by_bytes(db), table.primary_key.columns))
    with db.execute(select, execution_options={"yield_per": FETCHED}) as found:
        for row in found:
            yield tuple(row)


def _by_bytes(db: sa.Connection) -> Callable[[sa.Column[Any]], sa.ColumnElement[Any]]:
    """What sorts as SQLite does: PostgreSQL would sort text by the rules of a language."""
    if db.dialect.name != "postgresql":
        return lambda column: column
    return lambda column: sa.collate(column, "C") if isinstance(column.type, sa.Text) else column
