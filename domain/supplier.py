"""A supplier of fragments: what it says of itself, and who took its place."""

from dataclasses import dataclass, field

from domain.facts import Actor
from privity.errors import AlreadyExists, BadSignature, NotFound, SupplierNameTaken, TooManyNames
from privity.messages.base import Command, Event
from privity.messages.suppliers import (
    AnnounceSupplier,
    ReplaceSupplier,
    SupplierAnnounced,
    SupplierNamed,
    SupplierReplaced,
)

MAX_NAMES = 8
"""Of a supplier, all that it ever had: none can take all that there are."""


@dataclass(slots=True)
class State:
    """What a supplier said of itself last, and who took its place, if somebody did."""

    called: str = ""
    public: str = ""
    quota: int = 0
    names: frozenset[str] = frozenset()
    replaced_by: str | None = None

    @property
    def stands(self) -> bool:
        """Whether there is one, and it was not replaced."""
        return bool(self.public) and self.replaced_by is None


@dataclass(slots=True)
class NameState:
    """Who was the last to take a name."""

    supplier: str = field(default="")


def decide(command: Command, state: State, by: Actor, *, other: State, holder: str = "") -> list[Event]:
    """What follows from a command of a supplier's own.

    Args:
        command: the supplier's, or, to replace, with the operator's order that the handler has verified.
        state: of the supplier that sends it.
        by: the supplier.
        other: the one who has the name; to replace, the lost one.
        holder: the id of who has the name.
    """
    match command:
        case AnnounceSupplier() | ReplaceSupplier() if command.supplier != by.account:
            raise BadSignature("a supplier speaks for itself alone")
        case AnnounceSupplier() if state.replaced_by is not None:
            return []
        case AnnounceSupplier():
            return _announce(command, state, by, other, holder)
        case ReplaceSupplier(supplier=supplier, lost=lost, order=order):
            if other.replaced_by == supplier:
                return []
            if not state.stands or not other.public or lost == supplier:
                raise NotFound("there is no such supplier")
            if other.replaced_by is not None:
                raise AlreadyExists("another supplier took its place already")
            return [SupplierReplaced(supplier, lost, order)]
    raise NotImplementedError(type(command).__name__)


def _announce(command: AnnounceSupplier, state: State, by: Actor, other: State, holder: str) -> list[Event]:
    if holder not in ("", by.account) and other.stands and other.called == command.name:
        raise SupplierNameTaken
    if (state.called, state.quota) == (command.name, command.quota) and state.public:
        return []
    if command.name not in state.names and len(state.names) >= MAX_NAMES:
        raise TooManyNames
    announced = SupplierAnnounced(by.account, command.name, command.public, command.quota)
    named = [] if holder == by.account else [SupplierNamed(command.name, by.account)]
    return [*named, announced]


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case SupplierAnnounced(called=called, public=public, quota=quota):
            state.called, state.public, state.quota = called, public, quota
            state.names |= {called}
        case SupplierReplaced(supplier=supplier):
            state.replaced_by = supplier
        case _:
            raise NotImplementedError(event.name)


def evolve_name(state: NameState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case SupplierNamed(supplier=supplier):
            state.supplier = supplier
        case _:
            raise NotImplementedError(event.name)
