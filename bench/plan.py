"""A plan of measurements, and how figures are made of them."""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

T = TypeVar("T")

MESSAGE = 2300
"""Bytes of a command, as on the wire: signature, envelope and sealed objects."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Bounds of each measurement: it ends after `seconds`, or sooner when its count is reached."""

    seconds: float
    load: int
    """Commands that are sent with `in_flight` of them on their way at any time."""
    single: int
    """Commands that are sent one after another, and round trips of a floor."""
    bulk: int
    """Commits, signatures and messages of a floor."""
    warm_up: int = 500
    in_flight: int = 256
    accounts: int = 4

    def turns(self, count: int) -> Iterator[int]:
        """Numbers from 0 until the count or the time is over."""
        end = time.perf_counter() + self.seconds
        for number in range(count):
            yield number
            if time.perf_counter() > end:
                return


def plan_for(seconds: int) -> Plan:
    """A plan whose measurements take up to `seconds` each; all of it some four times as long."""
    return Plan(seconds, load=min(4000 * seconds, 40_000), single=200 * seconds, bulk=2000 * seconds)


def rate(plan: Plan, count: int, work: Callable[[int], object]) -> float:
    """How often a second `work` is done."""
    start, done = time.perf_counter(), 0
    for number in plan.turns(count):
        work(number)
        done += 1
    return done / (time.perf_counter() - start)


def p50(seconds: Sequence[float]) -> float:
    """The median in milliseconds."""
    return median(seconds) * 1000


def p99(seconds: Sequence[float]) -> float:
    """What 99 of 100 stay below, in milliseconds."""
    return quantiles(seconds, n=100, method="inclusive")[98] * 1000


async def timed(found: dict[str, float], act: str, work: Awaitable[T]) -> T:
    """Do the work, and note in `found` how many seconds it took."""
    start = time.perf_counter()
    result = await work
    found[act] = time.perf_counter() - start
    return result
