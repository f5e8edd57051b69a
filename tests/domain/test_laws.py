"""Laws of all aggregates: what was decided can be folded, and folding it again gives the same."""

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.aggregates import EVOLVE, KINDS, STATES
from domain.connection import PairState
from domain.connection import State as Connection
from domain.facts import Actor
from domain.item import State as Item
from privity.errors import Refusal
from privity.messages.accounts import RegisterAccount
from privity.messages.base import Command, Event, stream_of
from privity.messages.catalog import COMMANDS, EVENTS
from privity.messages.connections import ConnectionEstablished
from privity.messages.recorded import read_recorded, write_recorded
from tests.domain.deciding import decide
from tests.examples import ANN, BOB, EVE, example, identity, long_id, meta, short_id

S = TypeVar("S")

PEOPLE = {"ann": ANN, "bob": BOB, "eve": EVE}


class Backend:
    """States in memory, with all that happened."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.events: list[Event] = []

    def load(self, state: type[S], id: str) -> S:
        loaded: S = self.states.setdefault(stream_of(KINDS[state], id), state())
        return loaded

    def do(self, command: Command, by: Actor, **facts: Any) -> None:
        """Decide, and fold in what was decided; a refusal changes nothing."""
        try:
            decided = decide(command, self.load, by, **facts)
        except Refusal:
            return
        for event in decided:
            state = self.load(STATES[event.kind], getattr(event, event.id_field))
            EVOLVE[type(state)](state, event)
            self.events.append(event)


@st.composite
def attempts(draw: st.DrawFn) -> tuple[Command, Actor, dict[str, Any]]:
    """Somebody tries something that may fit: few people, few ids, low versions."""
    sharing = [type_ for subject, type_ in COMMANDS.items() if subject.startswith(("items", "shares"))]
    type_ = draw(st.sampled_from([*COMMANDS.values(), *sharing * 2]))
    name = draw(st.sampled_from(list(PEOPLE)))
    other = draw(st.sampled_from([each for each in PEOPLE if each != name]))
    pools = {
        "address": [f"{name}@localhost", "ann@localhost"],
        "connection": [long_id("connection"), long_id(f"connection of {short_id('second')}")],
        "invitation": [short_id("invitation"), short_id("second")],
        "key": [short_id(f"{name}'s key")],
        "recipient": [PEOPLE[other].account],
        "recipient_key": [short_id(f"{other}'s key")],
        "version": [1, 2, 3],
        **{kind: [short_id(kind), short_id(f"{name}'s {kind}")] for kind in ("item", "share", "space")},
    }
    fields = {
        field: draw(st.sampled_from(pool)) for field, pool in pools.items() if field in type_.__dataclass_fields__
    }
    facts: dict[str, Any] = {}
    if type_.subject.startswith("accounts"):
        facts["head"] = identity(name, 1 if type_ is RegisterAccount else draw(st.sampled_from([1, 2, 3])))
    if type_.subject in ("invitations.accept", "invitations.decline"):
        facts["token_ok"] = draw(st.sampled_from([True, True, True, False]))
    return example(type_, **fields), PEOPLE[name], facts


STORIES = st.lists(attempts(), max_size=60)
WALK = settings(max_examples=120, deadline=None)


def played(story: Sequence[tuple[Command, Actor, dict[str, Any]]], prepared: bool = True) -> Backend:
    """What a backend is after all these attempts; `prepared` starts from a connected pair with keys."""
    backend = Backend()
    if prepared:
        for name, by in PEOPLE.items():
            key = short_id(f"{name}'s key")
            backend.do(example(COMMANDS["accounts.register"], address=f"{name}@localhost"), by, head=identity(name))
            backend.do(example(COMMANDS["keys.store"], key=key), by)
            backend.do(example(COMMANDS["keys.publish"], key=key), by)
            backend.do(example(COMMANDS["items.add"], item=short_id(f"{name}'s item")), by)
        backend.do(example(COMMANDS["invitations.invite"]), ANN)
        backend.do(example(COMMANDS["invitations.accept"]), BOB)
        assert len(backend.events) == 3 * 5 + 1 + 3
    for command, by, facts in story:
        backend.do(command, by, **facts)
    return backend


def replayed(events: Sequence[Event], states: dict[str, Any] | None = None) -> dict[str, Any]:
    """Fold events, as read back from their stored bytes, onto what was folded before."""
    folded = {} if states is None else states
    for event in events:
        read = read_recorded(event.name, write_recorded(event, meta())).event
        state = folded.setdefault(read.stream, STATES[read.kind]())
        EVOLVE[type(state)](state, read)
    return folded


@WALK
@given(STORIES, st.booleans(), st.data())
def test_replay_gives_what_was_live_from_wherever_it_goes_on(story: Any, prepared: bool, data: st.DataObject) -> None:
    backend = played(story, prepared)
    live = {event.stream: backend.states[event.stream] for event in backend.events}
    cut = data.draw(st.integers(0, len(backend.events)))
    assert replayed(backend.events) == live
    assert replayed(backend.events[cut:], replayed(backend.events[:cut])) == live


@WALK
@given(STORIES)
def test_what_must_hold_for_everybody_holds_after_any_story(story: Any) -> None:
    backend = played(story)
    connections = [state for state in backend.states.values() if isinstance(state, Connection) and state.inviter]
    standing = [frozenset((each.inviter, each.acceptor)) for each in connections if not each.removed]
    assert len(standing) == len(set(standing)), "two people have one connection"
    pairs = [state for state in backend.states.values() if isinstance(state, PairState) and state.connection]
    assert len(pairs) == len(standing), "a pair is connected exactly while its connection stands"
    names = [event.stream for event in backend.events if isinstance(event, ConnectionEstablished)]
    assert len(names) == len(set(names)), "a connection is established once"
    for item in (state for state in backend.states.values() if isinstance(state, Item) and state.owner):
        assert 1 <= item.version <= 3, "versions have no gap"


def test_the_stories_reach_every_event() -> None:
    """Else the laws above would say less than they seem to."""
    reached: set[str] = set()

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(st.lists(attempts(), min_size=40, max_size=60))
    def tell(story: Any) -> None:
        reached.update(event.name for event in played(story).events)

    tell()
    assert reached == set(EVENTS)


@pytest.mark.parametrize("state", EVOLVE, ids=lambda state: f"{KINDS[state]}")
def test_a_state_takes_no_event_of_another_aggregate(state: type[Any]) -> None:
    """An unknown event raises; it does not vanish."""
    for event in EVENTS.values():
        if event.kind != KINDS[state]:
            with pytest.raises(NotImplementedError, match=event.name):
                EVOLVE[state](state(), example(event))
