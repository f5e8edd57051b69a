"""An invitation: from whom, until when, and whether it was used."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from domain import key as key_
from domain.connection import PairState
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import (
    AlreadyConnected,
    AlreadyExists,
    BadToken,
    InvitationClosed,
    InvitationExpired,
    KeyNotFound,
    LifetimeTooLong,
    NotFound,
    OwnInvitation,
)
from privity.messages.base import Event
from privity.messages.connections import ConnectionEstablished, PairConnected, Side
from privity.messages.invitations import (
    AcceptInvitation,
    CancelInvitation,
    ConnectionInvited,
    DeclineInvitation,
    InvitationAccepted,
    InvitationCancelled,
    InvitationDeclined,
    InviteConnection,
)

LONGEST = timedelta(days=366)


@dataclass(slots=True)
class State:
    """What the next decision about an invitation needs."""

    inviter: Side | None = None
    expires: datetime = field(default=datetime.min.replace(tzinfo=UTC))
    token_hash: str = ""
    record: str = ""
    mac: str = ""
    closed: bool = False
    declined_by: str = ""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the handler found out about an acceptance: its connection, and whether the token is the right one.

    `gone`: the inviter has closed the account.
    """

    token_ok: bool
    connection: str = ""
    pair: str = ""
    gone: bool = False


def decide_invite(command: InviteConnection, state: State, by: Actor, *, key: key_.State, address: str) -> list[Event]:
    """What follows from inviting with one's own published key."""
    if state.inviter is not None:
        raise AlreadyExists("there is an invitation with this id already")
    if not key.usable_by(by.account):
        raise KeyNotFound(f"there is no keypair {command.key}")
    if command.expires <= by.at:
        raise InvitationExpired("the invitation would be past its time already")
    if command.expires > by.at + LONGEST:
        raise LifetimeTooLong
    return [
        ConnectionInvited(
            invitation=command.invitation,
            inviter=by.account,
            address=address,
            email=command.email,
            key=command.key,
            public=key.public,
            expires=command.expires,
            record=command.record,
            mac=command.mac,
            token_hash=command.token_hash,
            note=command.note,
        )
    ]


def decide_cancel(command: CancelInvitation, state: State, by: Actor) -> list[Event]:
    """What follows from taking an invitation back."""
    if state.inviter is None or state.inviter.account != by.account:
        raise NotFound("there is no such invitation")
    if state.closed:
        raise InvitationClosed
    return [InvitationCancelled(command.invitation, by.account), *_note_erased(command.invitation, state.inviter)]


def decide_decline(command: DeclineInvitation, state: State, by: Actor, found: Acceptance) -> list[Event]:
    """What follows from saying no; saying it again changes nothing."""
    if state.declined_by == by.account:
        return []
    inviter = _open(state, by, found)
    declined = InvitationDeclined(command.invitation, inviter.account, by.account)
    return [declined, *_note_erased(command.invitation, inviter)]


def decide_accept(
    command: AcceptInvitation,
    state: State,
    by: Actor,
    found: Acceptance,
    *,
    key: key_.State,
    pair: PairState,
    address: str,
) -> list[Event]:
    """What follows from saying yes: the invitation is used up and the connection exists."""
    inviter = _open(state, by, found)
    if pair.connection:
        raise AlreadyConnected("the two are connected already")
    if not key.usable_by(by.account):
        raise KeyNotFound(f"there is no keypair {command.key}")
    check_new([command.note], [inviter.note])
    acceptor = Side(by.account, address, command.key, key.public, command.note)
    return [
        InvitationAccepted(command.invitation, inviter.account, by.account, found.connection),
        ConnectionEstablished(
            connection=found.connection,
            invitation=command.invitation,
            inviter=inviter,
            acceptor=acceptor,
            offer=state.record,
            offer_mac=state.mac,
            acceptance=command.record,
            acceptance_mac=command.mac,
        ),
        PairConnected(found.pair, found.connection),
    ]


def _open(state: State, by: Actor, found: Acceptance) -> Side:
    if state.inviter is None or not found.token_ok:
        raise BadToken
    if state.inviter.account == by.account:
        raise OwnInvitation
    if state.closed or found.gone:
        raise InvitationClosed
    if by.at >= state.expires:
        raise InvitationExpired
    return state.inviter


def _note_erased(invitation: str, inviter: Side) -> list[Event]:
    return erase(invitation, [inviter.note], [inviter.account])


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case ConnectionInvited():
            state.inviter = Side(event.inviter, event.address, event.key, event.public, event.note)
            state.expires = event.expires
            state.token_hash = event.token_hash
            state.record = event.record
            state.mac = event.mac
        case InvitationDeclined(by=by):
            _close(state)
            state.declined_by = by
        case InvitationCancelled() | InvitationAccepted():
            _close(state)
        case _:
            raise NotImplementedError(event.name)


def _close(state: State) -> None:
    """What only an open invitation needs is large, and many states are kept at hand."""
    state.closed = True
    state.record = state.mac = ""
    if state.inviter is not None:
        state.inviter = replace(state.inviter, public="", note="")
