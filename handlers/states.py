"""The aggregates that decisions read: folded from the store, cached within bounds, a batch's own events on top."""

from collections import OrderedDict
from typing import Any, TypeVar, cast

from domain.aggregates import EVOLVE, KINDS, STATES
from infra.mapping import to_positioned
from infra.store import EventStore
from privity.messages.base import Event, stream_of

S = TypeVar("S")

CACHED_STREAMS = 20_000


class States:
    """Current states by stream, for one thread; `forget` after a failed append goes back to the store's truth."""

    def __init__(self, store: EventStore, capacity: int = CACHED_STREAMS) -> None:
        self._store = store
        self._capacity = capacity
        self._cache: OrderedDict[str, tuple[int, object]] = OrderedDict()
        self._base: dict[str, int] = {}

    def begin(self) -> None:
        """Start a batch: what is read from now on is its read set."""
        self._base.clear()
        while len(self._cache) > self._capacity:
            self._cache.popitem(last=False)

    @property
    def read_set(self) -> dict[str, int]:
        """Each stream that the batch read, with its version in the store before the batch."""
        return dict(self._base)

    def load(self, state: type[S], id: str) -> S:
        """The aggregate's state, the batch's earlier events included."""
        stream = stream_of(KINDS[state], id)
        return cast(S, self._entry(stream, state)[1])

    def apply(self, event: Event) -> int:
        """Fold a decided event in; its version in its stream, from 1."""
        stream = event.stream
        version, state = self._entry(stream, STATES[event.kind])
        EVOLVE[type(state)](state, event)
        self._cache[stream] = (version + 1, state)
        return version + 1

    def forget(self) -> None:
        """Drop every stream that the batch touched."""
        for stream in self._base:
            self._cache.pop(stream, None)

    def _entry(self, stream: str, type_: type[Any]) -> tuple[int, object]:
        entry = self._cache.get(stream)
        if entry is None:
            entry = self._fold(stream, type_)
            self._cache[stream] = entry
        else:
            self._cache.move_to_end(stream)
        self._base.setdefault(stream, entry[0])
        return entry

    def _fold(self, stream: str, type_: type[Any]) -> tuple[int, object]:
        state, version = type_(), 0
        for stored in self._store.read(stream):
            EVOLVE[type_](state, to_positioned(stored).event)
            version = stored.version
        return version, state
