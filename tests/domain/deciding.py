"""The kit bound to our aggregates: each command with the states that its handler loads and the facts that it finds."""

from typing import Any

from domain import account, connection, invitation, item, key, share
from domain.aggregates import EVOLVE, KINDS
from domain.facts import Actor
from domain.invitation import Acceptance
from privity.encoding import digest, unb64
from privity.messages.accounts import ChangePassphrase, ExtendIdentity, IdentityHead, RegisterAccount
from privity.messages.base import Command, Event
from privity.messages.connections import ConfirmConnection, NoteConnection, RemoveConnection
from privity.messages.invitations import (
    AcceptInvitation,
    CancelInvitation,
    DeclineInvitation,
    InviteConnection,
)
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.keys import PublishPublicKey, StoreKeypair
from privity.messages.shares import ClaimShare, CreateShare, RemoveShare
from privity.testing.given import Deciders, Load
from tests.examples import ANN, BOB, long_id, sealed, short_id


def pair_of(one: str, other: str) -> str:
    """The id of two people's pair, whichever comes first."""
    both = {one, other}
    return sealed("pair") if both == {ANN.account, BOB.account} else sealed("-".join(sorted(both)))


def decide(command: Command, load: Load, by: Actor, **facts: Any) -> list[Event]:
    """What follows from a command; `facts` are what a handler would find out with keys and tokens."""
    match command:
        case RegisterAccount() | ExtendIdentity() | ChangePassphrase():
            return _account(command, load, by, **facts)
        case StoreKeypair(key=id) | PublishPublicKey(key=id):
            return key.decide(command, load(key.State, id), by)
        case AddItem(item=id) | EditItem(item=id) | RemoveItem(item=id):
            return item.decide(command, load(item.State, id), by)
        case InviteConnection() | CancelInvitation() | DeclineInvitation() | AcceptInvitation():
            return _invitation(command, load, by, **facts)
        case ConfirmConnection(connection=id) | NoteConnection(connection=id) | RemoveConnection(connection=id):
            state = load(connection.State, id)
            pair = pair_of(state.inviter, state.acceptor)
            return connection.decide(command, state, by, acceptance=digest(unb64(state.acceptance)), pair=pair)
        case CreateShare() | ClaimShare() | RemoveShare():
            return _share(command, load, by)
    raise NotImplementedError(type(command).__name__)


def _account(
    command: Command, load: Load, by: Actor, head: IdentityHead | None = None, *, recovered: bool = False
) -> list[Event]:
    if not isinstance(command, RegisterAccount):
        return account.decide(command, load(account.State, by.account), by, head=head, recovered=recovered)
    token = digest(command.address.encode())
    holder = load(account.AddressState, token)
    return account.decide(command, load(account.State, by.account), by, head=head, holder=holder, token=token)


def _invitation(command: Command, load: Load, by: Actor, *, token_ok: bool = True) -> list[Event]:
    state: invitation.State
    match command:
        case InviteConnection(invitation=id, key=used):
            state = load(invitation.State, id)
            return invitation.decide_invite(command, state, by, key=load(key.State, used), address="ann@localhost")
        case CancelInvitation(invitation=id):
            return invitation.decide_cancel(command, load(invitation.State, id), by)
        case DeclineInvitation(invitation=id):
            return invitation.decide_decline(command, load(invitation.State, id), by, Acceptance(token_ok))
        case AcceptInvitation(invitation=id, key=used):
            state = load(invitation.State, id)
            pair = pair_of(by.account, state.inviter.account if state.inviter else "")
            made = long_id("connection" if id == short_id("invitation") else f"connection of {id}")
            return invitation.decide_accept(
                command,
                state,
                by,
                Acceptance(token_ok, made, pair),
                key=load(key.State, used),
                pair=load(connection.PairState, pair),
                address="bob@localhost",
            )
    raise NotImplementedError(type(command).__name__)


def _share(command: Command, load: Load, by: Actor) -> list[Event]:
    match command:
        case CreateShare():
            return share.decide_create(
                command,
                load(share.State, command.share),
                by,
                space=load(share.SpaceState, command.space),
                connection=load(connection.State, command.connection),
                item=load(item.State, command.item),
            )
        case ClaimShare(share=id):
            state = load(share.State, id)
            return share.decide_claim(command, state, by, connection=load(connection.State, state.connection))
        case RemoveShare(share=id):
            return share.decide_remove(command, load(share.State, id), by)
    raise NotImplementedError(type(command).__name__)


given = Deciders(KINDS, EVOLVE, decide)
