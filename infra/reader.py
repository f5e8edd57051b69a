"""Events of a store as any process reads them: by its address alone, so that it can be sent to another process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from infra.mapping import to_positioned
from infra.store import EventStore, open_store
from privity.messages.recorded import Positioned


@dataclass(frozen=True, slots=True)
class StoreReader:
    """Reads at most `limit` events behind a position. The URL may hold a password and is not shown."""

    url: str = field(repr=False)

    def __call__(self, position: int, limit: int) -> Sequence[Positioned]:
        """The events, as of today.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        return [to_positioned(stored) for stored in _store(self.url).after(position, limit)]


@cache
def _store(url: str) -> EventStore:
    """One for each process; it is closed with it."""
    return open_store(url)
