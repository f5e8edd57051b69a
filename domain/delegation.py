"""Delegation: who holds a person's vault key, as which role, and until when."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from domain import connection as connections
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import (
    AlreadyExists,
    DelegationExpired,
    Malformed,
    NotConnected,
    NotDelegated,
    NotFound,
    PastDate,
    RoleNotEnough,
    StaleSequence,
    StaleVersion,
    TooManyDelegates,
)
from privity.messages.base import Command, Event
from privity.messages.delegations import (
    ClaimDelegation,
    DelegationClaimed,
    DelegationGranted,
    DelegationRemoved,
    GrantDelegation,
    RemoveDelegation,
    Role,
)

MAX_DELEGATES = 32
"""Delegates that a person may have at once."""
MAX_STEPS = 1000
"""Grants and removals of one person up to which somebody is granted more: all are kept, and walked by who checks one.

A removal always fits: there are no more of them than grants.
"""
MAX_OWNERS_STEPS = 900
"""Up to which an owner grants: the principal always can."""

WRITERS: tuple[Role, ...] = ("admin", "owner")
OWNERS: tuple[Role, ...] = ("owner",)
NOBODY: tuple[Role, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A signed step's place: its number, the digest of the step before, its own, and the vault key's hash."""

    n: int
    prev: str | None
    digest: str
    vault_key: str


@dataclass(frozen=True, slots=True)
class Member:
    """A delegate, as granted."""

    delegate: str
    role: Role
    connection: str
    expires: datetime | None


@dataclass(slots=True)
class State:
    """What the next decision needs; `wraps` are the holders' wrapped vault keys, `befores` the older keys' wraps."""

    n: int = 0
    head: str | None = None
    generation: int = 0
    vault_key: str = ""
    members: dict[str, Member] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    wraps: dict[str, str] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    befores: list[str] = field(default_factory=list)

    @property
    def sealed(self) -> tuple[str, ...]:
        """The sealed objects that are kept here."""
        return (*self.wraps.values(), *self.befores)

    @property
    def delegates(self) -> tuple[str, ...]:
        """The accounts that are delegates now."""
        return tuple(member.delegate for member in self.members.values())

    def connection_of(self, account: str) -> str:
        """The connection over which somebody was made a delegate; none for others."""
        return next((member.connection for member in self.members.values() if member.delegate == account), "")


def standing(state: State, by: Actor, over: connections.State) -> Member:
    """What somebody may do as a delegate now; `over` is the connection over which they were made one.

    Raises:
        NotDelegated: nothing.
        DelegationExpired: nothing any more.
    """
    found = [member for member in state.members.values() if member.delegate == by.account]
    if not found or not over.joins(by.account):
        raise NotDelegated
    [member] = found
    if member.expires is not None and member.expires <= by.at:
        raise DelegationExpired
    return member


def check_role(state: State, by: Actor, principal: str, roles: Collection[Role], over: connections.State) -> None:
    """Returns if somebody is the principal, or a delegate with one of these roles.

    Raises:
        RoleNotEnough: the role is another one.
        NotDelegated, DelegationExpired: as `standing`.
    """
    if by.account != principal and standing(state, by, over).role not in roles:
        raise RoleNotEnough


def check_named(state: State, by: Actor, principal: str, delegation: str | None) -> None:
    """Returns if a command names the delegation of who asks, and the principal's own names none.

    Raises:
        NotDelegated: it is another one's.
    """
    member = state.members.get(delegation or "")
    if (member.delegate if member else None) != (None if by.account == principal else by.account):
        raise NotDelegated


def decide(
    command: Command,
    state: State,
    by: Actor,
    *,
    over: connections.State,
    connection: connections.State,
    place: Place | None = None,
) -> list[Event]:
    """What follows from a command about a person's delegates.

    Args:
        over: the connection over which whoever asks was made a delegate.
        connection: for a grant the one that the command names.
        place: of the signed step.
    """
    match command:
        case ClaimDelegation():
            return _claim(command, state, by, over)
        case RemoveDelegation(delegation=delegation):
            check_role(state, by, command.principal, NOBODY, over)
            return [] if delegation in state.ended else _remove(command, state, by, _next(state, place))
        case GrantDelegation():
            check_role(state, by, command.principal, OWNERS, over)
            return _grant(command, state, by, connection, _next(state, place))
    raise NotImplementedError(type(command).__name__)


def _next(state: State, place: Place | None) -> Place:
    if place is None or (place.n, place.prev) != (state.n + 1, state.head):
        raise StaleSequence
    return place


def _grant(
    command: GrantDelegation, state: State, by: Actor, connection: connections.State, place: Place
) -> list[Event]:
    if by.account != command.principal and command.role == "owner":
        raise RoleNotEnough("only the principal makes somebody an owner")
    if command.delegate in (command.principal, by.account):
        raise Malformed("nobody is a delegate of their own")
    if not connection.joins(by.account) or connection.peer_of(by.account) != command.delegate:
        raise NotConnected
    most = MAX_STEPS if by.account == command.principal else MAX_OWNERS_STEPS
    if len(state.members) >= MAX_DELEGATES or place.n > most:
        raise TooManyDelegates
    if command.delegation in state.members or command.delegation in state.ended:
        raise AlreadyExists("there is a delegation with this id already")
    if command.delegate in state.delegates:
        raise AlreadyExists("this person is a delegate already; remove that first")
    if command.generation != max(1, state.generation):
        raise StaleVersion(f"the vault key is of generation {state.generation}")
    if (command.own_wrap is None) is (state.generation == 0):
        raise Malformed("the vault key begins with the first grant, and never again")
    if state.vault_key not in ("", place.vault_key):
        raise Malformed("the record names another vault key than the one that there is")
    if command.expires is not None and command.expires <= by.at:
        raise PastDate
    if command.wrap == command.own_wrap:
        raise Malformed("each wrap is an object of its own")
    check_new([command.wrap, command.own_wrap or ""], state.sealed)
    names = ("principal", "delegation", "delegate", "role", "connection", "expires", "n", "generation", "record")
    said = {name: getattr(command, name) for name in (*names, "signature", "wrap", "own_wrap")}
    accounts = (*state.delegates, command.delegate)
    said |= {"digest": place.digest, "vault_key": place.vault_key}
    return [DelegationGranted(**said, by=by.account, accounts=accounts)]


def _remove(command: RemoveDelegation, state: State, by: Actor, place: Place) -> list[Event]:
    member = state.members.get(command.delegation)
    if member is None:
        raise NotFound("there is no such delegation")
    left = tuple(account for account in state.delegates if account in command.wraps and account != member.delegate)
    if command.generation != state.generation + 1:
        raise StaleVersion(f"the vault key is of generation {state.generation}")
    if place.vault_key == state.vault_key:
        raise Malformed("a removal begins a new vault key")
    if command.wraps.keys() != {command.principal, *left}:
        raise Malformed("the new vault key is for the principal, and for delegates who are left")
    brought = [*command.wraps.values(), command.before]
    if len(set(brought)) < len(brought):
        raise Malformed("each wrap is an object of its own")
    check_new(brought, state.sealed)
    names = ("principal", "delegation", "n", "generation", "record", "signature", "wraps", "before")
    said = {name: getattr(command, name) for name in names}
    said |= {"digest": place.digest, "vault_key": place.vault_key}
    removed = DelegationRemoved(**said, by=by.account, delegate=member.delegate, accounts=left)
    return [removed, *erase(command.principal, state.wraps.values(), (command.principal, *state.delegates))]


def _claim(command: ClaimDelegation, state: State, by: Actor, over: connections.State) -> list[Event]:
    if by.account != command.principal:
        standing(state, by, over)
    if not state.generation:
        raise NotFound("there is no vault key")
    if command.generation != state.generation:
        raise StaleVersion(f"the vault key is of generation {state.generation}")
    if by.account in state.claimed:
        return []
    if by.account not in state.wraps:
        raise NotDelegated("you have no key any more")
    check_new([command.wrap], state.sealed)
    claimed = DelegationClaimed(command.principal, by.account, command.generation, command.wrap)
    return [claimed, *erase(command.principal, [state.wraps[by.account]], [by.account])]


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case DelegationGranted(delegation=delegation, delegate=delegate, principal=principal) as granted:
            state.n, state.head, state.generation = granted.n, granted.digest, granted.generation
            state.vault_key = granted.vault_key
            state.members[delegation] = Member(delegate, granted.role, granted.connection, granted.expires)
            if granted.own_wrap is not None:
                state.wraps[principal] = granted.own_wrap
                state.claimed.add(principal)
            state.wraps[delegate] = granted.wrap
        case DelegationClaimed(by=account, wrap=wrap):
            state.wraps[account] = wrap
            state.claimed.add(account)
        case DelegationRemoved(delegation=delegation, wraps=wraps, before=before) as removed:
            state.n, state.head, state.generation = removed.n, removed.digest, removed.generation
            state.vault_key = removed.vault_key
            del state.members[delegation]
            state.ended.add(delegation)
            state.wraps = dict(wraps)
            state.claimed = {removed.by}
            state.befores.append(before)
        case _:
            raise NotImplementedError(event.name)
