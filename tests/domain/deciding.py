"""The kit bound to our aggregates: each command with the states that its handler loads and the facts that it finds."""

from typing import Any

from domain import account, connection, invitation, item, key, read, share
from domain.aggregates import EVOLVE, KINDS
from domain.facts import Actor
from domain.invitation import Acceptance
from privity.encoding import digest, unb64
from privity.messages.accounts import (
    ChangePassphrase,
    CloseAccount,
    ExtendIdentity,
    IdentityHead,
    RegisterAccount,
    RenameAccount,
    RotateIdentity,
)
from privity.messages.base import Command, Event
from privity.messages.connections import ConfirmConnection, NoteConnection, RemoveConnection
from privity.messages.invitations import (
    AcceptInvitation,
    CancelInvitation,
    DeclineInvitation,
    InviteConnection,
)
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.keys import PublishPublicKey, RemoveKeypair, StoreKeypair
from privity.messages.reads import RecordKeyringFetched, RecordKeyringRefused, RecordShareFetched
from privity.messages.shares import ClaimShare, CreateShare, RemoveShare
from privity.testing.given import Deciders, Load
from tests.examples import ANN, BOB, line_of, long_id, sealed, short_id


def pair_of(one: str, other: str) -> str:
    """The id of two people's pair, whichever comes first."""
    both = {one, other}
    return sealed("pair") if both == {ANN.account, BOB.account} else sealed("-".join(sorted(both)))


def read_of(what: str, by: Actor, object: str) -> str:
    """The id of what somebody read in this hour."""
    return short_id("read" if object == short_id("share") else f"{what} {by.account} {object} {by.at:%Y%m%d%H}")


def decide(command: Command, load: Load, by: Actor, **facts: Any) -> list[Event]:
    """What follows from a command; `facts` are what a handler would find out with keys and tokens."""
    match command:
        case RegisterAccount() | ExtendIdentity() | RotateIdentity() | ChangePassphrase() | CloseAccount():
            return _account(command, load, by, **facts)
        case RenameAccount():
            return _account(command, load, by, **facts)
        case StoreKeypair(key=id) | PublishPublicKey(key=id) | RemoveKeypair(key=id):
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
            return _share(command, load, by, **facts)
        case RecordShareFetched(share=id):
            shared, read_id = load(share.State, id), read_of("share", by, id)
            state = load(read.State, read_id)
            return read.decide(command, state, by, read=read_id, owner=shared.owner, recipient=shared.recipient)
        case RecordKeyringFetched() | RecordKeyringRefused():
            read_id = read_of(type(command).__name__, by, "keyring")
            return read.decide(command, load(read.State, read_id), by, read=read_id)
    raise NotImplementedError(type(command).__name__)


def _account(
    command: Command, load: Load, by: Actor, head: IdentityHead | None = None, *, recovered: bool = False
) -> list[Event]:
    if not isinstance(command, RegisterAccount | RenameAccount):
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
            state = load(invitation.State, id)
            return invitation.decide_decline(command, state, by, Acceptance(token_ok, gone=_gone(state, load)))
        case AcceptInvitation(invitation=id, key=used):
            state = load(invitation.State, id)
            pair = pair_of(by.account, state.inviter.account if state.inviter else "")
            made = long_id("connection" if id == short_id("invitation") else f"connection of {id}")
            return invitation.decide_accept(
                command,
                state,
                by,
                Acceptance(token_ok, made, pair, _gone(state, load)),
                key=load(key.State, used),
                pair=load(connection.PairState, pair),
                address="bob@localhost",
            )
    raise NotImplementedError(type(command).__name__)


def _gone(state: invitation.State, load: Load) -> bool:
    return state.inviter is not None and load(account.State, state.inviter.account).closed


def _share(command: Command, load: Load, by: Actor, link: tuple[int, str | None] | None = None) -> list[Event]:
    match command:
        case CreateShare():
            line = line_of(command.connection, by.account)
            state = load(share.LineState, line)
            n, prev = link or (state.n + 1, state.head)
            return share.decide_create(
                command,
                load(share.State, command.share),
                by,
                space=load(share.SpaceState, command.space),
                connection=load(connection.State, command.connection),
                item=load(item.State, command.item),
                line=state,
                link=share.Link(line, n, prev, digest(unb64(command.manifest))),
            )
        case ClaimShare(share=id):
            state = load(share.State, id)
            return share.decide_claim(command, state, by, connection=load(connection.State, state.connection))
        case RemoveShare(share=id):
            return share.decide_remove(command, load(share.State, id), by)
    raise NotImplementedError(type(command).__name__)


given = Deciders(KINDS, EVOLVE, decide)
