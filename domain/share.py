"""A share: an item for one reader over one connection, generation after generation, and its encryption space."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain import connection as connection_
from domain import item as item_
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import (
    AlreadyExists,
    NotConnected,
    NotFound,
    PastDate,
    ReshareNotPermitted,
    ShareExpired,
    StaleSequence,
    StaleVersion,
    TermsNotAccepted,
    WrongKey,
    WrongTerms,
)
from privity.messages.base import Event
from privity.messages.shares import (
    AcceptTerms,
    ClaimShare,
    CreateShare,
    EncryptionSpaceOpened,
    LineExtended,
    RemoveShare,
    ReviseShare,
    ShareClaimed,
    ShareCreated,
    ShareRemoved,
    ShareRevised,
    TermsAccepted,
)

NO_SHARE = "there is no such share"


@dataclass(slots=True)
class State:
    """What the next decision about a share needs; `sealed` are its objects, `accepted` the hash of accepted terms."""

    owner: str = ""
    recipient: str = ""
    space: str = ""
    connection: str = ""
    item: str = ""
    version: int = 0
    generation: int = 0
    expires: datetime | None = None
    terms_hash: str | None = None
    reshare: int = 0
    keep: bool = False
    source: str | None = None
    accepted: str | None = None
    claimed: bool = False
    removed: bool = False
    sealed: tuple[str, ...] = ()

    def given_to(self, account: str) -> bool:
        """Whether `account` is its recipient, and it stands."""
        return self.recipient == account and not self.removed

    def check_readable(self, at: datetime) -> None:
        """Returns if the recipient may read it at that time.

        Raises:
            ShareExpired, TermsNotAccepted: they may not, or not yet.
        """
        if self.expires is not None and at >= self.expires:
            raise ShareExpired
        if self.terms_hash is not None and self.accepted != self.terms_hash:
            raise TermsNotAccepted


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
    source: State | None = None,
    source_over: connection_.State | None = None,
    line: LineState,
    link: Link,
    taken: bool = False,
) -> list[Event]:
    """What follows from sharing an item with the other side of a connection.

    Args:
        source: the share through which the item came, where it is shared on.
        source_over: the connection over which that share came.
        taken: whether an item has the share's id: items and shares have one space of ids, as files hang on either.
    """
    if state.owner or space.owner or taken:
        raise AlreadyExists("there is a share, a space or an item with this id already")
    if source is not None:
        _check_shared_on(command, source, source_over, by)
    elif not item.kept_by(by.account):
        raise NotFound("there is no such item")
    if not connection.joins(by.account):
        raise NotConnected
    recipient = connection.peer_of(by.account)
    if (command.recipient, command.recipient_key) != (recipient, connection.keys[recipient]):
        raise WrongKey
    _check_version(command.version, item.version if source is None else source.version)
    _check_future(command, by)
    _check_next(link, line)
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
            expires=command.expires,
            terms=command.terms,
            terms_hash=command.terms_hash,
            reshare=command.reshare,
            keep=command.keep,
            source=command.source,
        ),
    ]


def decide_revise(
    command: ReviseShare,
    state: State,
    by: Actor,
    *,
    connection: connection_.State,
    item: item_.State,
    source: State | None = None,
    source_over: connection_.State | None = None,
    line: LineState,
    link: Link,
) -> list[Event]:
    """What follows from the owner's next generation of a share: the one before is let go of, claim and all.

    Of an item that its owner has given up the version stays, and conditions can change.
    """
    if state.owner != by.account or state.removed:
        raise NotFound(NO_SHARE)
    if not connection.joins(by.account):
        raise NotConnected
    if command.generation != state.generation + 1:
        raise StaleVersion(f"the share is at generation {state.generation}")
    if source is not None:
        _check_conditions(command, source, source_over, by)
        _check_version(command.version, source.version)
    else:
        _check_version(command.version, item.version if item.kept_by(by.account) else state.version)
    if command.expires != state.expires:
        _check_future(command, by)
    _check_next(link, line)
    check_new(_objects(command), state.sealed)
    return [
        LineExtended(link.line, state.connection, by.account, link.n, command.share, link.digest),
        ShareRevised(
            share=command.share,
            space=state.space,
            connection=state.connection,
            owner=by.account,
            recipient=state.recipient,
            item=state.item,
            version=command.version,
            generation=command.generation,
            manifest=command.manifest,
            signature=command.signature,
            content=command.content,
            owner_wrap=command.owner_wrap,
            recipient_wrap=command.recipient_wrap,
            expires=command.expires,
            terms=command.terms,
            terms_hash=command.terms_hash,
            reshare=command.reshare,
            keep=command.keep,
        ),
        *erase(command.share, state.sealed, (state.owner, state.recipient)),
    ]


def decide_accept(command: AcceptTerms, state: State, by: Actor, *, connection: connection_.State) -> list[Event]:
    """What follows from the recipient's accepting the terms; once more changes nothing."""
    if not state.given_to(by.account) or not connection.joins(by.account):
        raise NotFound(NO_SHARE)
    if state.terms_hash is None or command.terms_hash != state.terms_hash:
        raise WrongTerms
    if state.accepted == state.terms_hash:
        return []
    if state.expires is not None and by.at >= state.expires:
        raise ShareExpired
    return [TermsAccepted(command.share, state.owner, state.recipient, command.terms_hash, command.signature)]


def decide_claim(command: ClaimShare, state: State, by: Actor, *, connection: connection_.State) -> list[Event]:
    """What follows from the recipient's keeping the DEK; a second claim changes nothing."""
    if not state.given_to(by.account) or not connection.joins(by.account):
        raise NotFound(NO_SHARE)
    state.check_readable(by.at)
    if command.generation != state.generation:
        raise StaleVersion(f"the share is at generation {state.generation}")
    if state.claimed:
        return []
    check_new([command.wrap], state.sealed)
    return [ShareClaimed(command.share, state.space, state.owner, state.recipient, command.wrap)]


def decide_remove(command: RemoveShare, state: State, by: Actor, *, files: Sequence[str] = ()) -> list[Event]:
    """What follows from ending a share, by either side; `files` are the sealed objects of what is attached to it."""
    if by.account not in (state.owner, state.recipient):
        raise NotFound(NO_SHARE)
    if state.removed:
        return []
    removed = ShareRemoved(command.share, state.space, state.owner, state.recipient, by.account)
    both = (state.owner, state.recipient)
    return [removed, *erase(command.share, state.sealed, both), *erase(command.share, files, both)]


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case ShareCreated():
            state.owner, state.recipient = event.owner, event.recipient
            state.space, state.connection = event.space, event.connection
            state.item, state.source = event.item, event.source
            _take(state, event, 1)
        case ShareRevised(generation=generation):
            _take(state, event, generation)
        case TermsAccepted(terms_hash=accepted):
            state.accepted = accepted
        case ShareClaimed(wrap=wrap):
            state.claimed = True
            state.sealed += (wrap,)
        case ShareRemoved():
            state.removed = True
            state.sealed = ()
        case _:
            raise NotImplementedError(event.name)


def _take(state: State, event: ShareCreated | ShareRevised, generation: int) -> None:
    state.version, state.generation, state.claimed = event.version, generation, False
    state.expires, state.terms_hash = event.expires, event.terms_hash
    state.reshare, state.keep = event.reshare, event.keep
    state.sealed = _objects(event)


def _objects(brought: CreateShare | ReviseShare | ShareCreated | ShareRevised) -> tuple[str, ...]:
    objects = (brought.content, brought.owner_wrap, brought.recipient_wrap)
    return objects if brought.terms is None else (*objects, brought.terms)


def _check_shared_on(command: CreateShare, source: State, over: connection_.State | None, by: Actor) -> None:
    """Only what one was given can be shared on, and as far as its sender permitted."""
    if not source.given_to(by.account) or command.item != source.item:
        raise NotFound(NO_SHARE)
    source.check_readable(by.at)
    _check_conditions(command, source, over, by)


def _check_conditions(
    command: CreateShare | ReviseShare, source: State, over: connection_.State | None, by: Actor
) -> None:
    """What is shared on has no easier conditions than it came with, and came over a connection that stands."""
    if not source.given_to(by.account) or source.reshare <= command.reshare:
        raise ReshareNotPermitted
    if over is None or not over.joins(by.account):
        raise ReshareNotPermitted("the connection has ended over which this came")
    if source.expires is not None and (command.expires is None or command.expires > source.expires):
        raise ReshareNotPermitted("what is shared on ends no later than it did before")
    if source.terms_hash is not None and command.terms_hash != source.terms_hash:
        raise ReshareNotPermitted("what is shared on has the terms that it had before")
    if command.keep and not source.keep:
        raise ReshareNotPermitted("of what is shared on no copy may be kept, as before")


def _check_version(version: int, current: int) -> None:
    if version != current:
        raise StaleVersion(f"the item is at version {current}")


def _check_future(command: CreateShare | ReviseShare, by: Actor) -> None:
    if command.expires is not None and command.expires <= by.at:
        raise PastDate("a share ends in the future")


def _check_next(link: Link, line: LineState) -> None:
    if (link.n, link.prev) != (line.n + 1, line.head):
        raise StaleSequence(f"the line is at number {line.n}")


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
