"""Rebuilding: the views folded anew from event 1, and compared row by row with those that were built live."""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from privity.messages.recorded import Positioned
from projections.projector import Projector, rows
from projections.tables import metadata

After = Callable[[int, int], Sequence[Positioned]]


def differences(live: sa.Engine, after: After) -> Iterator[str]:
    """What differs between the live views and views folded anew up to the same position; equal views give nothing."""
    rebuilt = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    position = Projector(live).position
    Projector(rebuilt).catch_up(_until(after, position))
    for mine, anew in zip_longest(rows(live), rows(rebuilt)):
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
