"""A share: an item's version for one reader over one connection, and its encryption space."""

from dataclasses import dataclass

from domain import connection as connection_
from domain import item as item_
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import AlreadyExists, NotConnected, NotFound, StaleSequence, StaleVersion, WrongKey
from privity.messages.base import Event
from privity.messages.shares import (
    ClaimShare,
    CreateShare,
    EncryptionSpaceOpened,
    LineExtended,
    RemoveShare,
    ShareClaimed,
    ShareCreated,
    ShareRemoved,
)


@dataclass(slots=True)
class State:
    """What the next decision about a share needs; `sealed` are its objects."""

    owner: str = ""
    recipient: str = ""
    space: str = ""
    connection: str = ""
    claimed: bool = False
    removed: bool = False
    sealed: tuple[str, ...] = ()


@dataclass(slots=True)
class SpaceState:
    """Whether an encryption space's id is taken."""

    owner: str = ""


@dataclass(slots=True)
class LineState:
    """How far one side's line over a connection goes: the newest number, and that manifest's digest."""

    n: int = 0
    head: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Where a manifest says that it stands in its sender's line, and its own digest."""

    line: str
    n: int
    prev: str | None
    digest: str


def decide_create(
    command: CreateShare,
    state: State,
    by: Actor,
    *,
    space: SpaceState,
    connection: connection_.State,
    item: item_.State,
    line: LineState,
    link: Link,
) -> list[Event]:
    """What follows from sharing an item with the other side of a connection."""
    if state.owner or space.owner:
        raise AlreadyExists("there is a share or a space with this id already")
    if not item.kept_by(by.account):
        raise NotFound("there is no such item")
    if not connection.joins(by.account):
        raise NotConnected
    recipient = connection.peer_of(by.account)
    if (command.recipient, command.recipient_key) != (recipient, connection.keys[recipient]):
        raise WrongKey
    if command.version != item.version:
        raise StaleVersion(f"the item is at version {item.version}")
    if (link.n, link.prev) != (line.n + 1, line.head):
        raise StaleSequence(f"the line is at number {line.n}")
    wraps = {by.account: command.owner_wrap, recipient: command.recipient_wrap}
    return [
        EncryptionSpaceOpened(command.space, command.connection, by.account, wraps),
        LineExtended(link.line, command.connection, by.account, link.n, command.share, link.digest),
        ShareCreated(
            share=command.share,
            space=command.space,
            connection=command.connection,
            owner=by.account,
            recipient=recipient,
            item=command.item,
            version=command.version,
            recipient_key=command.recipient_key,
            suite=command.suite,
            manifest=command.manifest,
            signature=command.signature,
            content=command.content,
            owner_wrap=command.owner_wrap,
            recipient_wrap=command.recipient_wrap,
        ),
    ]


def decide_claim(command: ClaimShare, state: State, by: Actor, *, connection: connection_.State) -> list[Event]:
    """What follows from the recipient's keeping the DEK; a second claim changes nothing."""
    if state.recipient != by.account or state.removed or not connection.joins(by.account):
        raise NotFound("there is no such share")
    if state.claimed:
        return []
    check_new([command.wrap], state.sealed)
    return [ShareClaimed(command.share, state.space, state.owner, state.recipient, command.wrap)]


def decide_remove(command: RemoveShare, state: State, by: Actor) -> list[Event]:
    """What follows from ending a share, by either side."""
    if by.account not in (state.owner, state.recipient):
        raise NotFound("there is no such share")
    if state.removed:
        return []
    removed = ShareRemoved(command.share, state.space, state.owner, state.recipient, by.account)
    return [removed, *erase(command.share, state.sealed, (state.owner, state.recipient))]


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case ShareCreated():
            state.owner, state.recipient = event.owner, event.recipient
            state.space, state.connection = event.space, event.connection
            state.sealed = (event.content, event.owner_wrap, event.recipient_wrap)
        case ShareClaimed(wrap=wrap):
            state.claimed = True
            state.sealed += (wrap,)
        case ShareRemoved():
            state.removed = True
            state.sealed = ()
        case _:
            raise NotImplementedError(event.name)


def evolve_space(state: SpaceState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case EncryptionSpaceOpened(owner=owner):
            state.owner = owner
        case _:
            raise NotImplementedError(event.name)


def evolve_line(state: LineState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case LineExtended(n=n, digest=digest):
            state.n, state.head = n, digest
        case _:
            raise NotImplementedError(event.name)
