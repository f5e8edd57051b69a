"""How the backend folds a history: each stream to its state, and all of it to the rows of every view."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from domain.aggregates import EVOLVE, STATES
from infra.mapping import to_positioned
from infra.store import Stored
from privity.messages.recorded import Positioned
from privity.testing.histories import Fold, Happened
from projections.projector import Projector
from projections.tables import metadata, progress

PAGE = 2000


def fold(happened: Iterable[Happened]) -> Fold:
    """What these events fold to with the code of today, in memory.

    Raises:
        Malformed: one cannot be read any more.
    """
    views = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    projector, states = Projector(views), dict[str, Any]()
    events = map(_read, happened)
    while page := list(islice(events, PAGE)):
        for each in page:
            state = states.get(each.stream)
            if state is None:
                state = states[each.stream] = STATES[each.event.kind]()
            EVOLVE[type(state)](state, each.event)
        projector.apply(page)
    return Fold(states, _rows(views))


def _read(each: Happened) -> Positioned:
    return to_positioned(Stored(each.position, each.stream, each.version, each.name, each.data))


def _rows(views: sa.Engine) -> dict[str, Iterator[Mapping[str, Any]]]:
    """Every view but the one that says how far they have got."""
    return {table.name: _rows_of(table, views) for table in metadata.sorted_tables if table is not progress}


def _rows_of(table: sa.Table, views: sa.Engine) -> Iterator[Any]:
    with views.connect() as db:
        yield from db.execute(sa.select(table)).mappings()
