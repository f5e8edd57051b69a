"""Given, when, then: a decision as a sentence, for any aggregates that are folded from events.

    given(item_added()).when(edit_item(version=2), by=ann).then(item_edited(version=2))
    given(item_added()).when(edit_item(version=2), by=eve).then(NotFound)

`given` is a `Deciders` that an app makes once from its own aggregates. What `then` returns is the history with
what was decided, so that a sentence may go on: `.then(item_removed()).when(remove_item(), by=ann).then_nothing()`.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from privity.errors import IntegrityAlarm, Refusal
from privity.messages.base import Command, Event, stream_of

S = TypeVar("S")

Evolve = Callable[[Any, Event], None]
Decide = Callable[..., Sequence[Event]]


class Load(Protocol):
    """Reads an aggregate as the history left it."""

    def __call__(self, state: type[S], id: str) -> S:
        """The state of `<kind>-<id>`; an unwritten stream gives the initial state."""
        ...


@dataclass(frozen=True, slots=True)
class Deciders:
    """How an app decides.

    `kinds` names the streams' prefix of each class of states, `evolve` folds an event into such a state, and
    `decide(command, load, **facts)` gives the events that follow, or raises a refusal.
    """

    kinds: Mapping[type[Any], str]
    evolve: Mapping[type[Any], Evolve]
    decide: Decide

    def __call__(self, *events: Event) -> "History":
        """Given that these events happened, of however many streams, in this order."""
        return History(self, events)


@dataclass(frozen=True, slots=True)
class History:
    """What happened until now."""

    deciders: Deciders
    events: tuple[Event, ...]

    def load(self, state: type[S], id: str) -> S:
        """The aggregate as its events leave it."""
        folded, stream = state(), stream_of(self.deciders.kinds[state], id)
        for event in self.events:
            if event.stream == stream:
                self.deciders.evolve[state](folded, event)
        return folded

    def when(self, command: Command, **facts: Any) -> "Decision":
        """Decide; `facts` go to the deciders as they are.

        Raises:
            AssertionError: the decision changed a state; it may only read.
        """
        read: list[tuple[Any, Any]] = []

        def load(state: type[S], id: str) -> S:
            loaded = self.load(state, id)
            read.append((loaded, deepcopy(loaded)))
            return loaded

        try:
            outcome: Sequence[Event] | Refusal | IntegrityAlarm = self.deciders.decide(command, load, **facts)
        except (Refusal, IntegrityAlarm) as refusal:
            outcome = refusal
        for after, before in read:
            if after != before:
                raise AssertionError(f"{type(command).__name__} changed what it read: {before} became {after}")
        return Decision(self, outcome)


@dataclass(frozen=True, slots=True)
class Decision:
    """What followed from a command: events, nothing, or a refusal."""

    history: History
    outcome: Sequence[Event] | Refusal | IntegrityAlarm

    def then(self, *expected: Event | Refusal | IntegrityAlarm | type[Refusal | IntegrityAlarm]) -> History:
        """Exactly these events follow, in this order; or exactly this refusal: a class, or one with its message.

        Raises:
            AssertionError: something else followed.
        """
        match expected:
            case (type() as kind,):
                if type(self.outcome) is not kind:
                    raise AssertionError(f"expected {kind.__name__}, but {self._told()}")
                return self.history
            case (Refusal() | IntegrityAlarm() as refusal,):
                if type(self.outcome) is not type(refusal) or self.outcome.message != refusal.message:
                    raise AssertionError(f"expected {refusal!r}, but {self._told()}")
                return self.history
        if isinstance(self.outcome, Exception) or tuple(self.outcome) != expected:
            raise AssertionError(f"expected {expected}, but {self._told()}") from self._refusal()
        return self._goes_on()

    def then_nothing(self) -> History:
        """The command is granted and changes nothing: it was done before.

        Raises:
            AssertionError: something followed.
        """
        return self.then()

    def _goes_on(self) -> History:
        """The history with what was decided, folded once: an event that no state takes is a mistake too."""
        events = tuple(self.outcome) if not isinstance(self.outcome, Exception) else ()
        after = History(self.history.deciders, (*self.history.events, *events))
        states = {kind: state for state, kind in after.deciders.kinds.items()}
        for event in events:
            after.load(states[event.kind], getattr(event, event.id_field))
        return after

    def _told(self) -> str:
        if isinstance(self.outcome, Exception):
            return f"it was refused: {self.outcome!r}"
        return f"there followed {list(self.outcome)}" if self.outcome else "nothing followed"

    def _refusal(self) -> BaseException | None:
        return self.outcome if isinstance(self.outcome, Exception) else None
