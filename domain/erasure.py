"""An erasure: the sealed objects that an aggregate lets go of."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from privity.errors import AlreadyExists
from privity.messages.base import Event
from privity.messages.erasing import MAX_ERASED, SealedErased


@dataclass(slots=True)
class State:
    """Nothing rests on what was erased; the stream numbers its events."""


def erase(id: str, digests: Iterable[str], accounts: Iterable[str], *, keeping: Collection[str] = ()) -> list[Event]:
    """The events that let go of sealed objects of `id`, each once, but not of those still in use; none if none is."""
    gone = tuple(dict.fromkeys(digest for digest in digests if digest and digest not in keeping))
    whose = tuple(dict.fromkeys(accounts))
    parts = [gone[start : start + MAX_ERASED] for start in range(0, len(gone), MAX_ERASED)]
    return [SealedErased(id, part, whose) for part in parts]


def check_new(brought: Iterable[str], kept: Iterable[str]) -> None:
    """Returns if none of the objects that a command brings is kept there already.

    The store counts who brought an object, so that it knows when the last one lets go of it: whoever keeps one
    must not bring it twice. An agent seals anew each time, and never does.

    Raises:
        AlreadyExists: one is.
    """
    if not set(kept).isdisjoint(brought):
        raise AlreadyExists("this sealed object is kept there already: seal anew")


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case SealedErased():
            return
        case _:
            raise NotImplementedError(event.name)
