"""A sharing key: its creator, the newest record of its line, who holds the private part and who knows the public one.

Only the creator grants, rotates and ends it. A rotation seals the new private part to everybody who remains, and what
they had before is erased: older generations are reached through the links.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from domain import connection as connection_
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import AlreadyExists, Malformed, NotConnected, NotFound, StaleVersion, TooLarge, TooManyKeys
from privity.messages.base import Event
from privity.messages.sharing_keys import (
    MAX_GIVEN,
    MAX_GRANTED,
    MAX_HOLDERS,
    MAX_KNOWING,
    MAX_RECORDS,
    ClaimSharingKey,
    CreateSharingKey,
    EraseSharingKey,
    GrantSharingKey,
    NoteSharingKey,
    PublicPartSent,
    RestoreSharingKey,
    RotateSharingKey,
    SendPublicPart,
    SharingKeyClaimed,
    SharingKeyCreated,
    SharingKeyErased,
    SharingKeyGiven,
    SharingKeyGranted,
    SharingKeyNoted,
    SharingKeyRotated,
)

ERASED_AT_ONCE = 16
"""Sealed objects, each perhaps somebody else's, that one event of erasing names."""
NO_KEY = "there is no such sharing key"


@dataclass(slots=True)
class Held:
    """The private part as somebody has it: sealed over a connection, or claimed under their KEK; the creator's is."""

    wrap: str
    connection: str = ""
    generation: int = 1
    claimed: bool = True


@dataclass(slots=True)
class Known:
    """The public part of a generation as somebody was given it; `sealed` is the alias."""

    sealed: str
    generation: int
    connection: str


@dataclass(slots=True)
class State:
    """What the next decision about a key needs; `head` is the digest of the newest record."""

    creator: str = ""
    n: int = 0
    generation: int = 0
    head: str = ""
    record: str = ""
    signature: str = ""
    held: dict[str, Held] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def holders(self) -> tuple[str, ...]:
        """Who has the private part beside the creator, in order."""
        return tuple(sorted(each for each in self.held if each != self.creator))

    def holds(self, account: str) -> bool:
        """Whether this account has the private part: the creator, or a holder who has not given it up."""
        return account in self.held

    def knows(self, account: str) -> bool:
        """Whether this account has the key at all, be it the public part."""
        return account in self.held or account in self.known

    def made_by(self, account: str) -> None:
        """Returns if the key stands, and this account made it.

        Raises:
            NotFound: no: also to a holder it says no more.
        """
        if self.ended or self.creator != account:
            raise NotFound(NO_KEY)

    def sealed(self) -> set[str]:
        """Every sealed object that the key holds."""
        of_people = {each.wrap for each in self.held.values()} | {each.sealed for each in self.known.values()}
        return of_people | set(self.notes.values()) | set(self.links)


@dataclass(slots=True)
class LineState:
    """How many keys one person has given another over a connection, all that there ever were."""

    given: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """From one person to another over a connection: its id, which the handler derives, and its state."""

    id: str
    state: LineState


@dataclass(frozen=True, slots=True)
class Said:
    """What a record says, and its own digest. The handler has verified signature, id and key.

    `follows`: whether it can stand behind the newest one.
    """

    digest: str
    n: int
    generation: int
    holders: tuple[str, ...]
    follows: bool


def decide_create(command: CreateSharingKey, state: State, by: Actor, *, said: Said) -> list[Event]:
    """What follows from making a key."""
    if state.creator:
        raise AlreadyExists("there is a sharing key with this id already")
    if (said.n, said.generation, said.holders) != (1, 1, ()) or command.wrap == command.note:
        raise Malformed("a new key is of generation 1, and nobody else's")
    return [
        SharingKeyCreated(
            command.key, by.account, command.record, command.signature, said.digest, command.wrap, command.note
        )
    ]


def decide_grant(
    command: GrantSharingKey, state: State, by: Actor, *, said: Said, connection: connection_.State, line: Line
) -> list[Event]:
    """What follows from making somebody a holder."""
    state.made_by(by.account)
    _check_joined(connection, by, command.to)
    _check_next(command.n, state, said)
    if said.n > MAX_GRANTED:
        raise TooLarge(f"a key has at most {MAX_GRANTED} records that are grants; make another one")
    before = state.held.get(command.to)
    if before is not None and before.connection == command.connection and before.generation == state.generation:
        raise AlreadyExists("this person holds the key already")
    holders = tuple(sorted({*state.holders, command.to}))
    if len(holders) > MAX_HOLDERS:
        raise TooLarge(f"a key has at most {MAX_HOLDERS} holders")
    if (said.generation, said.holders) != (state.generation, holders):
        raise StaleVersion("others hold the key than the record says; read it again")
    check_new([command.wrap], state.sealed())
    granted = SharingKeyGranted(
        key=command.key,
        by=by.account,
        grant=command.grant,
        to=command.to,
        connection=command.connection,
        n=said.n,
        generation=said.generation,
        record=command.record,
        signature=command.signature,
        digest=said.digest,
        wrap=command.wrap,
        holders=holders,
    )
    given = _given(command, state, by, line)
    return [granted, *given, *_erase(command.key, _of(command.to, state, notes=False))]


def decide_rotate(
    command: RotateSharingKey, state: State, by: Actor, *, said: Said, connections: Mapping[str, connection_.State]
) -> list[Event]:
    """What follows from beginning the next generation; `connections` are those over which each holder has the key."""
    state.made_by(by.account)
    _check_next(command.n, state, said)
    dropped = set(command.dropped)
    if len(dropped) < len(command.dropped):
        raise Malformed("somebody is dropped twice")
    if not dropped <= set(state.holders):
        raise StaleVersion("somebody is dropped who does not hold the key")
    holders = tuple(each for each in state.holders if each not in dropped)
    if (command.generation, said.generation) != (state.generation + 1,) * 2 or said.holders != holders:
        raise StaleVersion("others hold the key than the record says; read it again")
    if command.wraps.keys() != {by.account, *holders}:
        raise Malformed("a new private part is for everybody who remains")
    for holder in holders:
        _check_joined(connections.get(holder), by, holder)
    _check_apart((*command.wraps.values(), command.link))
    check_new((*command.wraps.values(), command.link), state.sealed())
    rotated = SharingKeyRotated(
        key=command.key,
        by=by.account,
        n=said.n,
        generation=said.generation,
        dropped=command.dropped,
        record=command.record,
        signature=command.signature,
        digest=said.digest,
        wraps=dict(command.wraps),
        link=command.link,
        holders=holders,
    )
    gone = [(one, held.wrap) for one, held in state.held.items()]
    gone += [(one, state.notes[one]) for one in command.dropped if one in state.notes]
    return [rotated, *_erase(command.key, gone)]


def decide_claim(command: ClaimSharingKey | RestoreSharingKey, state: State, by: Actor) -> list[Event]:
    """What follows from a holder's keeping the private part; the same claim again changes nothing."""
    held = state.held.get(by.account)
    if held is None:
        raise NotFound(NO_KEY)
    if command.generation != held.generation:
        raise StaleVersion(f"the key is at generation {held.generation}")
    if held.wrap == command.wrap and state.notes.get(by.account) == command.note:
        return []
    if held.claimed and isinstance(command, ClaimSharingKey):
        raise StaleVersion("the key is claimed already")
    _check_note(command.replaces, state, by)
    _check_apart((command.wrap, command.note))
    check_new((command.wrap, command.note), state.sealed())
    claimed = SharingKeyClaimed(command.key, by.account, command.generation, command.wrap, command.note)
    gone = [(by.account, held.wrap), (by.account, state.notes.get(by.account, ""))]
    return [claimed, *_erase(command.key, gone)]


def decide_note(command: NoteSharingKey, state: State, by: Actor) -> list[Event]:
    """What follows from keeping another note of a key; the same as before changes nothing."""
    if not state.knows(by.account):
        raise NotFound(NO_KEY)
    before = state.notes.get(by.account, "")
    if command.note == before:
        return []
    _check_note(command.replaces, state, by)
    check_new([command.note], state.sealed())
    return [SharingKeyNoted(command.key, by.account, command.note), *_erase(command.key, [(by.account, before)])]


def decide_send_public(
    command: SendPublicPart, state: State, by: Actor, *, connection: connection_.State, line: Line
) -> list[Event]:
    """What follows from giving somebody the public part; who has that of this generation already keeps it."""
    if not state.holds(by.account):
        raise NotFound(NO_KEY)
    _check_joined(connection, by, command.to)
    if command.generation != state.generation:
        raise StaleVersion(f"the key is at generation {state.generation}")
    before = state.known.get(command.to)
    if state.holds(command.to) or (before is not None and before.generation == state.generation):
        return []
    if before is None and len(state.known) >= MAX_KNOWING:
        raise TooLarge(f"at most {MAX_KNOWING} people can be given the public part")
    check_new([command.sealed], state.sealed())
    sent = PublicPartSent(
        key=command.key,
        by=by.account,
        to=command.to,
        connection=command.connection,
        creator=state.creator,
        generation=state.generation,
        record=state.record,
        signature=state.signature,
        sealed=command.sealed,
    )
    given = _given(command, state, by, line)
    return [sent, *given, *_erase(command.key, [(command.to, before.sealed)] if before else [])]


def decide_erase(command: EraseSharingKey, state: State, by: Actor, *, used: bool) -> list[Event]:
    """What follows from giving a key up; `used` is whether there is a location under it."""
    if state.ended and state.creator == by.account:
        return []
    if not state.knows(by.account):
        raise NotFound(NO_KEY)
    if state.creator != by.account:
        told = (by.account, state.creator) if state.holds(by.account) else (by.account,)
        gone = SharingKeyErased(command.key, by.account, False, told)
        return [gone, *_erase(command.key, _of(by.account, state))]
    if used:
        raise AlreadyExists("there is a location under this key: end it first")
    everybody = tuple(dict.fromkeys((by.account, *state.holders, *state.known)))
    owned = [each for one in everybody for each in _of(one, state)]
    owned += [(by.account, link) for link in state.links]
    return [SharingKeyErased(command.key, by.account, True, everybody), *_erase(command.key, owned)]


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case SharingKeyCreated(by=by, wrap=wrap, note=note):
            state.creator, state.n, state.generation = by, 1, 1
            state.held, state.notes = {by: Held(wrap)}, {by: note}
            _stand(state, event)
        case SharingKeyGranted(to=to, n=n, wrap=wrap, connection=connection, generation=generation):
            state.n = n
            state.known.pop(to, None)
            state.held[to] = Held(wrap, connection, generation, claimed=False)
            _stand(state, event)
        case SharingKeyRotated(n=n, generation=generation, wraps=wraps, link=link, dropped=dropped):
            state.n, state.generation = n, generation
            for account in dropped:
                _forget(state, account)
            for account, wrap in wraps.items():
                over = state.held[account].connection
                state.held[account] = Held(wrap, over, generation, claimed=account == state.creator)
            state.links.append(link)
            _stand(state, event)
        case SharingKeyClaimed(by=by, wrap=wrap, note=note):
            held = state.held[by]
            state.held[by] = Held(wrap, held.connection, held.generation)
            state.notes[by] = note
        case SharingKeyNoted(by=by, note=note):
            state.notes[by] = note
        case PublicPartSent(to=to, sealed=sealed, generation=generation, connection=connection):
            state.known[to] = Known(sealed, generation, connection)
        case SharingKeyErased(whole=True):
            state.ended = True
            state.held, state.known, state.notes = {}, {}, {}
            state.links = []
        case SharingKeyErased(by=by):
            _forget(state, by)
        case _:
            raise NotImplementedError(event.name)


def evolve_line(state: LineState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case SharingKeyGiven(count=count):
            state.given = count
        case _:
            raise NotImplementedError(event.name)


def _given(command: GrantSharingKey | SendPublicPart, state: State, by: Actor, line: Line) -> list[Event]:
    """One more for who had nothing of the key: whoever gives keys without end makes no work without end."""
    if state.knows(command.to):
        return []
    if line.state.given >= MAX_GIVEN:
        raise TooManyKeys
    return [SharingKeyGiven(line.id, by.account, command.to, command.key, line.state.given + 1)]


def _stand(state: State, event: SharingKeyCreated | SharingKeyGranted | SharingKeyRotated) -> None:
    state.head, state.record, state.signature = event.digest, event.record, event.signature


def _forget(state: State, account: str) -> None:
    state.held.pop(account, None)
    state.known.pop(account, None)
    state.notes.pop(account, None)


def _check_next(n: int, state: State, said: Said) -> None:
    if (n, said.n) != (state.n + 1,) * 2:
        raise StaleVersion(f"the key is at record {state.n}")
    if n > MAX_RECORDS:
        raise TooLarge(f"a key has at most {MAX_RECORDS} records; make another one")
    if not said.follows:
        raise Malformed("the record does not follow the newest one")


def _check_note(replaces: str | None, state: State, by: Actor) -> None:
    """Returns if the note that is to be replaced is the one there is: another device may have kept one meanwhile."""
    if state.notes.get(by.account) != replaces:
        raise StaleVersion("there is another note of this key by now; read it again")


def _check_joined(connection: connection_.State | None, by: Actor, to: str) -> None:
    if connection is None or not connection.joins(by.account) or connection.peer_of(by.account) != to:
        raise NotConnected


def _check_apart(brought: Collection[str]) -> None:
    if len(set(brought)) < len(brought):
        raise Malformed("each sealed part is an object of its own")


def _of(account: str, state: State, *, notes: bool = True) -> list[tuple[str, str]]:
    """The sealed objects that stand for one account, each with whose it is."""
    held, known = state.held.get(account), state.known.get(account)
    found = [held.wrap if held else "", known.sealed if known else "", state.notes.get(account, "") if notes else ""]
    return [(account, each) for each in found if each]


def _erase(key: str, gone: Iterable[tuple[str, str]]) -> list[Event]:
    """Events that let go of sealed objects, each with whose it was; some at a time."""
    owned = [(account, each) for account, each in gone if each]
    parts = [owned[start : start + ERASED_AT_ONCE] for start in range(0, len(owned), ERASED_AT_ONCE)]
    return [
        event for part in parts for event in erase(key, (each for _, each in part), (account for account, _ in part))
    ]
