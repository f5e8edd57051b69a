"""Laws of all aggregates: what was decided can be folded, and folding it again gives the same."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.account import State as Account
from domain.aggregates import EVOLVE, KINDS, STATES
from domain.connection import PairState
from domain.connection import State as Connection
from domain.delegation import State as Vault
from domain.facts import Actor
from domain.file import State as Files
from domain.group import PostState as GroupPostState
from domain.group import State as Group
from domain.instruction import State as Instructions
from domain.invitation import State as Invitation
from domain.item import State as Item
from domain.key import State as Key
from domain.key_audit import State as Audits
from domain.location import State as Location
from domain.piece import State as Piece
from domain.request import RulesState as Rules
from domain.request import State as Request
from domain.share import State as Share
from domain.sharing_key import State as SharingKey
from privity.errors import Refusal
from privity.messages.accounts import RegisterAccount
from privity.messages.base import Command, Event, stream_of
from privity.messages.catalog import COMMANDS, EVENTS, sealed_fields, sealed_of
from privity.messages.connections import ConnectionEstablished, Side
from privity.messages.erasing import SealedErased
from privity.messages.reads import INTERNAL
from privity.messages.recorded import read_recorded, write_recorded
from privity.messages.shares import LineExtended
from tests.domain.deciding import decide
from tests.examples import (
    ANN,
    BOB,
    EVE,
    NOW,
    SHARED_KEY,
    STORED,
    example,
    identity,
    long_id,
    member,
    meta,
    sealed,
    short_id,
)

S = TypeVar("S")

OBJECTS = [sealed(name) for name in ("content", "wrap", "kek", "ann's note", "private", "one", "other")]
"""Few, and some that the examples bring: so one object is brought by several people, and twice by one."""
PEOPLE = {"ann": ANN, "bob": BOB, "eve": EVE}


class Backend:
    """States in memory, with all that happened."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.events: list[Event] = []
        self.sealed: Counter[str] = Counter()
        """Uses of each sealed object, as the store counts them."""

    def load(self, state: type[S], id: str) -> S:
        loaded: S = self.states.setdefault(stream_of(KINDS[state], id), state())
        return loaded

    def do(self, command: Command, by: Actor, **facts: Any) -> None:
        """Decide, and fold in what was decided; a refusal changes nothing."""
        try:
            decided = decide(command, self.load, by, **facts)
        except Refusal:
            return
        if decided:
            self.sealed.update(set(sealed_of(command)))
        for event in decided:
            if isinstance(event, SealedErased):
                self.sealed.subtract(event.digests)
            state = self.load(STATES[event.kind], getattr(event, event.id_field))
            EVOLVE[type(state)](state, event)
            self.events.append(event)


THEMES = {
    "people": ("accounts", "keys", "invitations", "connections"),
    "sharing": ("items", "shares", "shares", "shares", "files", "connections.note", "connections.confirm"),
    "generations": ("shares.revise", "shares.revise", "shares.accept-terms", "shares.accept-terms", "shares.claim"),
    "terms": ("shares.revise", "shares.accept-terms"),
    "asking": ("pieces", "requests", "rules", "connections.note"),
    "answering": ("requests.create", "requests.decline", "pieces.remove"),
    "attaching": ("files",),
    "groups": ("groups",),
    "sharing-keys": ("sharing-keys", *["sharing-keys.rotate"] * 3),
    "delegating": ("delegations", "items"),
    "granting": ("grants",),
    "auditing": ("audits",),
    "supplying": ("suppliers",),
    "locating": ("locations",),
    "instructing": ("instructions", "instructions", "delegations.remove"),
}
"""What a story is mostly about: among all commands at once too few would ever fit the one before."""


@st.composite
def attempts(draw: st.DrawFn, theme: str) -> tuple[Command, Actor, dict[str, Any]]:
    """Somebody tries something that may fit: few people, few ids, low versions."""
    themed = [type_ for begins in THEMES[theme] for subject, type_ in COMMANDS.items() if subject.startswith(begins)]
    any_type = [*COMMANDS.values(), *INTERNAL]
    type_ = draw(st.sampled_from(themed) if draw(st.integers(0, 3)) else st.sampled_from(any_type))
    name = draw(st.sampled_from(list(PEOPLE)))
    other = draw(st.sampled_from([each for each in PEOPLE if each != name]))
    pools = {
        "address": [f"{name}@localhost", "ann@localhost", f"{name}-2@localhost"],
        "connection": [long_id("connection"), long_id(f"connection of {short_id('second')}")],
        "invitation": [short_id("invitation"), short_id("second")],
        "key": [short_id(f"{name}'s key")],
        "recipient": [PEOPLE[other].account],
        "recipient_key": [short_id(f"{other}'s key")],
        "version": [1, 1, 2, 3],
        "generation": [1, 2, 2, 3],
        "of": [short_id(each) for each in ("item", f"{name}'s item", "share", f"{name}'s share")],
        "file": [short_id("file"), short_id("second file")],
        **{kind: [short_id(kind), short_id(f"{name}'s {kind}")] for kind in ("item", "share", "space")},
    }
    pools |= {field: OBJECTS for field in sealed_fields(type_)}
    pools |= _of_pieces(type_, draw)
    pools |= _of_delegations(type_, name)
    pools |= _of_instructions(type_)
    pools |= _of_groups(type_, draw)
    pools |= _of_sharing_keys(type_, draw)
    pools |= _of_audits(type_, draw)
    pools |= _of_locations(type_)
    if type_.subject.startswith("suppliers"):
        names = ["supplier-1", "supplier-2"]
        pools |= {"supplier": [PEOPLE[name].account], "lost": [PEOPLE[other].account], "name": names}
    pools |= {"terms_hash": [sealed("terms' text"), sealed("terms' text"), None], "reshare": [0, 1]}
    fields = {
        field: draw(st.sampled_from(pool)) for field, pool in pools.items() if field in type_.__dataclass_fields__
    }
    facts: dict[str, Any] = {}
    if type_.subject.startswith("accounts"):
        facts["head"] = identity(name, 1 if type_ is RegisterAccount else draw(st.sampled_from([1, 2, 3])))
    if type_.subject in ("invitations.accept", "invitations.decline"):
        facts["token_ok"] = draw(st.sampled_from([True, True, True, False]))
    return example(type_, **fields), PEOPLE[name], facts


def _of_delegations(type_: type[Any], name: str) -> dict[str, list[Any]]:
    """All delegates are Ann's: Bob is one, and whoever comes after him."""
    if not type_.subject.startswith("delegations"):
        return {}
    own = name == "ann" and type_.subject == "delegations.keep-item"
    return {
        "connection": [long_id("connection")],
        "delegation": [None] if own else [short_id("delegation")],
        "generation": [2] if type_.subject == "delegations.remove" else [1, 1, 2],
        "item": [short_id("ann's item"), short_id("kept")],
        "own_wrap": [sealed("one"), None],
        "wraps": [{ANN.account: sealed("private")}, {ANN.account: sealed("one")}, {}],
    }


def _of_instructions(type_: type[Any]) -> dict[str, list[Any]]:
    """What Bob wants done in Ann's name."""
    if not type_.subject.startswith("instructions"):
        return {}
    return {"n": [1, 2, 3, 4], "generation": [1], "expires": [NOW + timedelta(days=7)]}


def _of_pieces(type_: type[Any], draw: st.DrawFn) -> dict[str, list[Any]]:
    """Ann's phone, which Bob asks for; its key is renewed for him, or for nobody."""
    if not type_.subject.startswith(("pieces", "requests", "rules")):
        return {}
    wraps: list[Any] = [{}]
    if type_.subject in ("pieces.set", "pieces.regrant"):
        wraps = draw(st.sampled_from([[{}], [{BOB.account: draw(st.sampled_from(OBJECTS))}]]))
    found: dict[str, list[Any]] = {
        "wraps": wraps,
        "grants": [dict.fromkeys(wraps[0], example(COMMANDS["requests.approve"]).grant)],  # type: ignore[attr-defined]
        "generation": [1, 1, 2],
        "owner": [ANN.account],
        "n": [1, 2, 2],
    }
    if type_.subject == "requests.approve":
        found["content"] = [sealed("piece content"), OBJECTS[0]]
    return found


def _of_groups(type_: type[Any], draw: st.DrawFn) -> dict[str, list[Any]]:
    """Ann's group, into which she takes Bob, with the key that there is or a new one."""
    if not type_.subject.startswith("groups"):
        return {}
    roles = draw(st.sampled_from([{"ann": "admin"}, {"ann": "admin", "bob": "writer"}, {"bob": "reader"}]))
    one, other = draw(st.permutations(OBJECTS))[:2]
    wraps = dict(zip((PEOPLE[name].account for name in roles), (one, other), strict=False))
    return {
        "group": [long_id("group")] if type_.subject != "groups.leave" else [long_id("group"), *[long_id("none")] * 2],
        "epoch": [2, 2, 3] if type_.subject != "groups.leave" else [1, 2],
        "closing": [False, True],
        "key": [1, 1, 2],
        "version": [2, 2, 3],
        "members": [{PEOPLE[name].account: member(name, role) for name, role in roles.items()}],
        "wraps": [wraps],
        "wrap": OBJECTS,
        "connections": [{BOB.account: long_id("connection")}],
        "dropped": [(), (), (BOB.account,)],
        "about": [None, None, one],
        "link": [None, other],
    }


def _of_sharing_keys(type_: type[Any], draw: st.DrawFn) -> dict[str, list[Any]]:
    """Ann's key, which Bob comes to hold or to know."""
    if type_.subject.startswith("grants"):
        return {"key": [long_id("sharing key")]}
    if not type_.subject.startswith("sharing-keys"):
        return {}
    one, other = draw(st.permutations(OBJECTS))[:2]
    own, erases = {ANN.account: one}, type_.subject == "sharing-keys.erase"
    return {
        "key": [long_id("other"), long_id("none")] if erases else [long_id("sharing key")],
        "n": [2, 3, 3, 4],
        "to": [BOB.account],
        "generation": [2] if type_.subject == "sharing-keys.rotate" else [1, 1, 2],
        "dropped": [(), (BOB.account,)],
        "wraps": [own, own, {**own, BOB.account: other}],
        "replaces": [None, sealed("note")],
        "note": OBJECTS,
        "wrap": OBJECTS,
    }


def _of_locations(type_: type[Any]) -> dict[str, list[Any]]:
    """What is written under Ann's key, and let go of."""
    if not type_.subject.startswith("locations"):
        return {}
    second = replace(STORED, object=short_id("second object"))
    return {
        "location": [SHARED_KEY] if type_.subject != "locations.remove" else [SHARED_KEY, *[long_id("none")] * 4],
        "n": [1, 1, 2, 3],
        "generation": [1, 1, 2],
        "objects": [(), (STORED,), (second,)],
        "released": [(), (), (STORED.object,)],
    }


def _of_audits(type_: type[Any], draw: st.DrawFn) -> dict[str, list[Any]]:
    """What Ann asks Bob to prove, and he answers."""
    if not type_.subject.startswith("audits"):
        return {}
    private = draw(st.booleans())
    object = draw(st.sampled_from(OBJECTS))
    audits = [short_id("audit of the private part"), short_id("another")] if private else [short_id("audit")]
    return {
        "audit": audits,
        "of": [BOB.account],
        "key": [long_id("sharing key")],
        "connection": [long_id("connection")],
        "generation": [1],
        "kind": ["private" if private else "public"],
        "challenge": [object if private else None],
        "held": [None if private else sealed("held")],
        "answer": [object if private else None],
    }


def _prepared() -> Iterator[tuple[Command, Actor, dict[str, Any]]]:
    for name, by in PEOPLE.items():
        key = short_id(f"{name}'s key")
        wraps = {"kek_recovery": sealed("kek")} if name == "eve" else {}  # one object for two uses
        registers = example(COMMANDS["accounts.register"], address=f"{name}@localhost", **wraps)
        yield registers, by, {"head": identity(name)}
        yield example(COMMANDS["keys.store"], key=key), by, {}
        yield example(COMMANDS["keys.publish"], key=key), by, {}
        yield example(COMMANDS["items.add"], item=short_id(f"{name}'s item")), by, {}
    yield example(COMMANDS["invitations.invite"]), ANN, {}
    yield example(COMMANDS["invitations.accept"]), BOB, {}
    yield example(COMMANDS["shares.create"], item=short_id("ann's item")), ANN, {}
    yield example(COMMANDS["invitations.invite"], invitation=short_id("second")), ANN, {}
    yield example(COMMANDS["groups.stage"]), ANN, {}
    yield example(COMMANDS["groups.advance"]), ANN, {}
    yield example(COMMANDS["groups.post"]), ANN, {}
    yield example(COMMANDS["sharing-keys.create"]), ANN, {}
    yield example(COMMANDS["sharing-keys.create"], key=long_id("other")), ANN, {}
    yield example(COMMANDS["sharing-keys.send-public"], key=long_id("other")), ANN, {}
    yield example(COMMANDS["pieces.set"]), ANN, {}
    yield example(COMMANDS["requests.create"]), BOB, {}
    yield example(COMMANDS["requests.approve"]), ANN, {}
    yield example(COMMANDS["delegations.grant"]), ANN, {}
    yield example(COMMANDS["delegations.claim"]), BOB, {}
    yield example(COMMANDS["delegations.keep-item"], item=short_id("kept")), ANN, {}
    yield example(COMMANDS["instructions.give"]), BOB, {}


PREPARED = list(_prepared())
SHARED: list[tuple[Command, Actor, dict[str, Any]]] = [
    (example(COMMANDS["items.add"]), ANN, {}),
    (example(COMMANDS["shares.create"]), ANN, {}),
    (example(COMMANDS["invitations.invite"], invitation=short_id("second")), ANN, {}),
]


def stories(least: int, *themes: str) -> st.SearchStrategy[list[tuple[Command, Actor, dict[str, Any]]]]:
    """At most 60 attempts, mostly about one theme."""
    about = st.sampled_from(themes or tuple(THEMES))
    return about.flatmap(lambda theme: st.lists(attempts(theme), min_size=least, max_size=60))


STORIES = stories(0)
WALK = settings(max_examples=120, deadline=None)


def played(story: Sequence[tuple[Command, Actor, dict[str, Any]]], prepared: bool = True) -> Backend:
    """What a backend is after all these attempts; `prepared` starts from a connected pair with keys and a share."""
    backend = Backend()
    for command, by, facts in PREPARED if prepared else ():
        backend.do(command, by, **facts)
    assert len(backend.events) == (3 * 5 + 1 + 3 + 3 + 1 + (2 + 3) + 3 + 4 + 7 if prepared else 0)
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
    sent: dict[str, list[LineExtended]] = {}
    for event in backend.events:
        if isinstance(event, LineExtended):
            sent.setdefault(event.line, []).append(event)
    for line in sent.values():
        assert [event.n for event in line] == list(range(1, len(line) + 1)), "numbers of a line have no gap"
        assert len({(event.connection, event.sender) for event in line}) == 1, "a line is one sender's"
    for group in (state for state in backend.states.values() if isinstance(state, Group) and state.epoch):
        staying = [each for each in group.members.values() if not each.left]
        assert all(each.wrap for each in staying), "who is in a group has its key"
        assert not staying or any(each.member.role == "admin" for each in staying), "a group has an admin"
    for item in (state for state in backend.states.values() if isinstance(state, Item) and state.owner):
        assert 1 <= item.version <= 3, "versions have no gap"


def _stands(state: Item | Share | None) -> bool:
    return state is not None and state.owner != "" and not state.removed


def holders(states: Mapping[str, Any]) -> Counter[str]:
    """In how many places each sealed object stands; files stand as long as what they are attached to."""
    found: Counter[str] = Counter()
    for stream, state in states.items():
        of = stream.partition("-")[2]
        match state:
            case Files(files=files) if any(_stands(states.get(f"{kind}-{of}")) for kind in ("item", "share")):
                found.update(files.values())
            case Item(sealed=sealed) | Share(sealed=sealed):
                found.update(set(sealed))
            case Piece():
                found.update(state.sealed())
            case Request():
                found.update(set(state.sealed))
            case Group() | SharingKey():
                found.update(state.sealed())
            case Audits() if not states.get(f"account-{of}", Account()).closed:
                found.update(state.sealed)
            case GroupPostState(sealed=sealed):
                found.update(set(sealed))
            case Rules(rules=rules):
                found.update({rules} - {""})
            case Account(sealed=sealed):
                found.update(set(sealed.values()))
            case Connection(notes=notes):
                found.update(notes.values())
            case Instructions():
                found.update(state.sealed)
            case Location(bodies=bodies):
                found.update(list(bodies))
            case Vault(wraps=wraps, befores=befores):
                found.update({*wraps.values(), *befores})
            case Key(private=private):
                found.update({private} - {""})
            case Invitation(inviter=Side(note=note)):
                found.update({note} - {""})
    return found


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a story that failed: it is what is to be seen
@settings(max_examples=60, deadline=None)
@given(stories(40))
def test_a_sealed_object_is_erased_when_nothing_names_it_any_more_and_never_before(story: Any) -> None:
    """Whoever brought it and lets go of it: the count of its uses is that of the places where it stands."""
    backend = Backend()
    for command, by, facts in [*PREPARED, *SHARED, *story]:
        backend.do(command, by, **facts)
        assert +backend.sealed == holders(backend.states)
        assert min(backend.sealed.values(), default=0) >= 0


@pytest.mark.trial
@pytest.mark.soak
def test_the_stories_reach_every_event() -> None:
    """Else the laws above would say less than they seem to."""
    reached: set[str] = set()

    for theme in THEMES:

        @settings(max_examples=50, deadline=None, database=None, derandomize=True)
        @given(stories(40, theme))
        def tell(story: Any) -> None:
            reached.update(event.name for event in played(story).events)

        tell()
    assert sorted(set(EVENTS) - reached) == []


@pytest.mark.parametrize("state", EVOLVE, ids=lambda state: f"{KINDS[state]}")
def test_a_state_takes_no_event_of_another_aggregate(state: type[Any]) -> None:
    """An unknown event raises; it does not vanish."""
    for event in EVENTS.values():
        if event.kind != KINDS[state]:
            with pytest.raises(NotImplementedError, match=event.name):
                EVOLVE[state](state(), example(event))
