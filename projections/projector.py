"""The projector: folds events into all views, rows and position in one transaction."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import sqlalchemy as sa

from privity.encoding import digest
from privity.messages.recorded import Positioned
from projections import (
    accounts,
    connections,
    delegations,
    feed,
    files,
    groups,
    invitations,
    items,
    keys,
    pieces,
    shares,
)
from projections.changes import Change, execute
from projections.tables import metadata, progress

log = logging.getLogger(__name__)

Apply = Callable[[Positioned], Iterator[Change]]

VIEWS: tuple[Apply, ...] = tuple(
    view.apply
    for view in (
        accounts,
        keys,
        invitations,
        connections,
        delegations,
        items,
        files,
        shares,
        pieces,
        groups,
    )
)
FOLD = 2
"""To be raised when the same events fold to other rows; that the tables are others is noticed without it."""
PAGE = 500


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
        with engine.begin() as db:
            progress.create(db, checkfirst=True)
            shapes = set(db.execute(sa.select(progress.c.name)).scalars())
            if shapes - {NAME}:
                log.warning("the views have another shape; they are folded anew from event 1")
            if shapes != {NAME}:
                metadata.drop_all(db)
                metadata.create_all(db)
                db.execute(progress.insert().values(name=NAME, position=0))
            self.position = reached(db)

    def apply(self, happened: Sequence[Positioned]) -> None:
        """Fold events in, all or none; those at or before `position` are passed over."""
        new = [each for each in happened if each.position > self.position]
        if not new:
            return
        position = new[-1].position
        with self._engine.begin() as db:
            execute(chain.from_iterable(view(each) for each in new for view in VIEWS), db)
            execute(feed.changes(new, db), db)
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
    """Every row of every view as (table, values), in the order of the tables' keys."""
    for table in metadata.sorted_tables:
        for row in db.execute(sa.select(table).order_by(*table.primary_key.columns)):
            yield table.name, tuple(row)
