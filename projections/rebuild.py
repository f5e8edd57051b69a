"""Rebuilding: the views folded anew from event 1, and compared row by row with those that were built live."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, zip_longest

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from privity.messages.recorded import Positioned
from projections.projector import Projector, reached, rows, snapshot
from projections.tables import metadata

After = Callable[[int, int], Sequence[Positioned]]
Rows = Iterator[tuple[str, tuple[object, ...]]]
SHOWN = 10


def differences(live: sa.Engine, after: After) -> tuple[int, list[str]]:
    """The position of the live views, and the first rows that differ from views folded anew up to there, if any do."""
    rebuilt = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with snapshot(live) as mine:
        position = reached(mine)
        Projector(rebuilt).catch_up(_until(after, position))
        with rebuilt.connect() as anew:
            return position, list(islice(_differing(rows(mine), rows(anew)), SHOWN))


def _differing(live: Rows, rebuilt: Rows) -> Iterator[str]:
    for mine, anew in zip_longest(live, rebuilt):
        if mine != anew:
            table = (mine or anew or ("",))[0]
            yield f"{table}: live {_shown(mine)}, rebuilt {_shown(anew)}"


def counts(engine: sa.Engine) -> dict[str, int]:
    """How many rows each view has."""
    with engine.connect() as db:
        return {
            table.name: db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def _until(after: After, stop: int) -> After:
    def bounded(position: int, limit: int) -> list[Positioned]:
        return [each for each in after(position, limit) if each.position <= stop]

    return bounded


def _shown(row: tuple[str, tuple[object, ...]] | None) -> str:
    return "nothing" if row is None else str(row[1][:2])
