"""How fast views are folded from a long history, beside the floors of the same machine: `python -m bench.replay`.

100,000 events by default; `python -m bench.replay 1000000` takes as many as are named.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console

from bench import floors
from bench.history import fill
from bench.plan import Plan
from infra.mapping import to_positioned
from infra.reader import StoreReader
from infra.store import EventStore, open_store
from infra.views_db import open_views
from projections.projector import Projector
from projections.rebuild import differences, rebuild

Figures = dict[str, dict[str, float]]

EVENTS = 100_000
LIVE = 50_000
"""Events at most that go through the live path, one page after another."""
READ = 1000
LEAST_REBUILT, LEAST_LIVE = 25_000, 10_000
"""Events a second, on two processors that nobody else uses."""
FLOORS = Plan(seconds=2, load=0, single=100, bulk=10_000)
console = Console(stderr=True)


def main(events: int = EVENTS, workers: int = 1) -> Figures:
    """Measure; the figures by group: `floors`, `views`, and the `ratios` to their bars. Leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="privity-bench-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'store.db'}"
        _say(f"a history of {events:,} events")
        with closing(open_store(url)) as store:
            head = fill(store, events)
            _say("floors")
            found = {"floors": _floors(store, folder), "views": {}}
        reader = StoreReader(url)
        with _views(folder / "live.db") as engine:
            _say("the live path")
            found["views"]["live_events_per_s"] = _live(engine, reader, min(head, LIVE))
        with _views(folder / "views.db") as engine:
            Projector(engine)
            _say("rebuild")
            before = _peak()
            found["views"]["rebuilt_events_per_s"] = _rate(
                head, lambda: rebuild(engine, reader, until=head, workers=workers)
            )
            found["views"]["memory_grew_by_mib"] = _peak() - before
            _say("verify")
            found["views"]["verified_events_per_s"] = _rate(head, lambda: _verified(engine, reader, workers))
    views = found["views"]
    found["ratios"] = {
        "rebuilt_to_bar": views["rebuilt_events_per_s"] / LEAST_REBUILT,
        "live_to_bar": views["live_events_per_s"] / LEAST_LIVE,
        "rebuilt_to_read_and_decode": views["rebuilt_events_per_s"] / found["floors"]["read_and_decode_per_s"],
    }
    return {group: {figure: round(value, 2) for figure, value in each.items()} for group, each in found.items()}


def _floors(store: EventStore, folder: Path) -> dict[str, float]:
    """What reading costs alone, reading and decoding, and bare commits of a hundred events."""
    count, start = 0, time.perf_counter()
    while page := store.after(count, READ):
        count = page[-1].position
    reading = count / (time.perf_counter() - start)
    count, start = 0, time.perf_counter()
    while page := [to_positioned(each) for each in store.after(count, READ)]:
        count = page[-1].position
    decoding = count / (time.perf_counter() - start)
    return {"read_per_s": reading, "read_and_decode_per_s": decoding} | floors.commits(FLOORS, folder)


def _live(engine: sa.Engine, reader: StoreReader, count: int) -> float:
    """As the projector does it while the backend runs: decode a page, fold it, commit it."""
    projector = Projector(engine)

    def fold() -> None:
        while projector.position < count:
            projector.apply(reader(projector.position, 500))

    return _rate(count, fold)


def _verified(engine: sa.Engine, reader: StoreReader, workers: int) -> None:
    _, differing = differences(engine, reader, workers=workers)
    if differing:
        raise AssertionError(f"the rebuilt views differ: {differing[0]}")


def _rate(events: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return events / (time.perf_counter() - start)


def _peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _views(path: Path) -> Iterator[sa.Engine]:
    engine = open_views(f"sqlite:///{path}")
    try:
        yield engine
    finally:
        engine.dispose()


def _say(what: str) -> None:
    console.print(f"[dim]bench:[/] {what}")


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:])), indent=2))
