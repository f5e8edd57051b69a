"""Folding many events: pages of them become statements in processes of their own, and one writer executes them."""

import gc
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa

from privity.errors import IntegrityAlarm
from privity.messages.recorded import Positioned
from projections import feed
from projections.changes import Run, Runs, Write, write
from projections.tables import feed as feed_table
from projections.tables import feed_heads, metadata, progress
from projections.views import folded

After = Callable[[int, int], Sequence[Positioned]]
"""Reads at most so many events behind a position; with processes it has to be picklable."""
Progress = Callable[[int, int], None]
"""Told how many events are folded, and of how many."""

PAGE = 1000
AHEAD = 4
"""Pages that are made before they are needed: what is held in memory."""
GARBAGE = 100_000
"""Objects after which a process that folds looks for cycles: pages are many objects, and none of them in a cycle."""
WORTH = 20_000
"""Events from which on it pays to start processes."""
WORKERS = 1
"""Processes that make statements, beside the one that executes them: two in all, as two are about equally busy."""

TABLES = frozenset(table.name for table in metadata.sorted_tables if table is not progress)
"""Every view's table."""
FEEDS = frozenset({feed_table.name, feed_heads.name})
"""What is folded together, as each line rests on the one before."""


class Page(NamedTuple):
    """What some events have become, up to and with `position`."""

    position: int
    events: int
    runs: list[Run]
    lines: list[feed.Line]


@dataclass(frozen=True, slots=True)
class Folding:
    """How events become statements: for tables of these names, with `prefix` before each, on a kind of database."""

    after: After
    driver: str
    prefix: str = ""
    tables: frozenset[str] = TABLES

    def page(self, position: int, stop: int) -> Page:
        """The events behind `position`, up to and with `stop`.

        Raises:
            IntegrityAlarm: the store does not have them all.
        """
        happened = [each for each in self.after(position, stop - position) if each.position <= stop]
        if len(happened) != stop - position:
            raise IntegrityAlarm(f"The store does not have all events from {position + 1} to {stop}.")
        changes = folded(happened)
        if self.tables != TABLES:
            changes = (change for change in changes if change.table.name in self.tables)
        lines = list(feed.lines(happened)) if self.tables & FEEDS else []
        return Page(stop, len(happened), _runs(self.driver, self.prefix).of(changes), lines)

    def write(self, page: Page, db: sa.Connection, write: Write = write) -> None:
        """Execute a page, in whatever transaction the connection is."""
        write(page.runs, db)
        if page.lines:
            lines = feed.changes(page.lines, db, beside(self.prefix)[feed_heads.name])
            write(_runs(self.driver, self.prefix).of(lines), db)


@lru_cache(8)
def beside(prefix: str) -> dict[str, sa.Table]:
    """All tables once more, with `prefix` before their names and those of their indexes; by the names of today."""
    other, made = sa.MetaData(), {}
    for table in metadata.sorted_tables:
        made[table.name] = table.to_metadata(other, name=prefix + table.name)
        for index in made[table.name].indexes:
            index.name = sa.sql.quoted_name(f"{prefix}{index.name}", None)
    return made


@lru_cache(8)
def _runs(driver: str, prefix: str) -> Runs:
    return Runs(sa.make_url(f"{driver}://").get_dialect()(), prefix)


@contextmanager
def pool(events: int, workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes that make statements, or none where so few events are not worth it."""
    if workers < 1 or events < WORTH:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    made = ProcessPoolExecutor(workers, mp_context=context, initializer=gc.set_threshold, initargs=(GARBAGE,))
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE, *before[1:])
    try:
        yield made
    finally:
        gc.set_threshold(*before)
        made.shutdown(cancel_futures=True)


def pages(
    folding: Folding, position: int, stop: int, processes: ProcessPoolExecutor | None, size: int = PAGE
) -> Iterator[Page]:
    """Pages behind `position`, up to `stop`, in order; a few of them are made ahead."""
    waiting: deque[Future[bytes]] = deque()
    for start in range(position, stop, size):
        if processes is None:
            yield folding.page(start, min(start + size, stop))
            continue
        waiting.append(processes.submit(_packed, folding, start, min(start + size, stop)))
        if len(waiting) > AHEAD:
            yield pickle.loads(waiting.popleft().result())  # noqa: S301 - from a process of our own
    while waiting:
        yield pickle.loads(waiting.popleft().result())  # noqa: S301


def _packed(folding: Folding, position: int, stop: int) -> bytes:
    """A page as bytes: the pool's own thread would take it apart while the writer needs the interpreter."""
    return pickle.dumps(folding.page(position, stop), pickle.HIGHEST_PROTOCOL)
