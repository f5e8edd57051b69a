"""Invitations: the two ends' certified keys are checked before anything is recorded."""

import hmac

from domain import account, invitation, key
from domain.connection import PairState
from domain.invitation import Acceptance
from handlers.accounts import identity_of
from handlers.connections import pair_id
from handlers.registry import Desk, Home, handles
from privity.crypto.invitation import (
    connection_id,
    hash_token,
    read_acceptance,
    read_invitation,
    verify_acceptance,
    verify_invitation,
)
from privity.crypto.invitation_records import moment
from privity.encoding import b64, lp, sha256, unb64
from privity.errors import Malformed
from privity.messages.base import Event
from privity.messages.invitations import (
    AcceptInvitation,
    CancelInvitation,
    DeclineInvitation,
    InviteConnection,
)


@handles(InviteConnection)
def invite(command: InviteConnection, desk: Desk) -> list[Event]:
    """The record must say what the command says, for this home, with the inviter's certified key."""
    record = read_invitation(unb64(command.record))
    verify_invitation(record, identity_of(desk.by.account, desk.load))
    state = desk.load(key.State, command.key)
    address = desk.load(account.State, desk.by.account).address
    said = (record.inv, moment(record.expires), record.home, record.log_key, record.address)
    if said != (command.invitation, command.expires, desk.home.id, desk.home.log_public, address):
        raise Malformed("the invitation's record says something else than the command")
    if state.account == desk.by.account and b64(record.public) != state.public:
        raise Malformed("the invitation's record names another key than the stored one")
    return invitation.decide_invite(
        command, desk.load(invitation.State, command.invitation), desk.by, key=state, address=address
    )


@handles(CancelInvitation)
def cancel(command: CancelInvitation, desk: Desk) -> list[Event]:
    """The inviter's own, while it is open."""
    return invitation.decide_cancel(command, desk.load(invitation.State, command.invitation), desk.by)


@handles(DeclineInvitation)
def decline(command: DeclineInvitation, desk: Desk) -> list[Event]:
    """Whoever has the token."""
    state = desk.load(invitation.State, command.invitation)
    token_ok = _token_ok(desk.home, state, command.invitation, command.token)
    found = Acceptance(token_ok, gone=_inviter_gone(state, desk))
    return invitation.decide_decline(command, state, desk.by, found)


@handles(AcceptInvitation)
def accept(command: AcceptInvitation, desk: Desk) -> list[Event]:
    """Whoever has the token, with a key certified for just this invitation."""
    state = desk.load(invitation.State, command.invitation)
    own_key = desk.load(key.State, command.key)
    address = desk.load(account.State, desk.by.account).address
    token_ok = _token_ok(desk.home, state, command.invitation, command.token)
    found = Acceptance(token_ok, gone=_inviter_gone(state, desk))
    if found.token_ok and not state.closed and not found.gone:
        record = unb64(command.record)
        _check_acceptance(record, state, desk, address, own_key)
        assert state.inviter is not None  # noqa: S101 - the token of an unknown invitation is never right
        pair = pair_id(desk.by.account, state.inviter.account)
        found = Acceptance(True, connection_id(unb64(state.record), record), pair)
    return invitation.decide_accept(
        command, state, desk.by, found, key=own_key, pair=desk.load(PairState, found.pair), address=address
    )


def _check_acceptance(record: bytes, state: invitation.State, desk: Desk, address: str, own_key: key.State) -> None:
    acceptance = read_acceptance(record)
    verify_acceptance(acceptance, identity_of(desk.by.account, desk.load))
    offered = unb64(state.record)
    inv = read_invitation(offered).inv
    if (acceptance.inv, acceptance.invitation, acceptance.address) != (inv, sha256(offered), address):
        raise Malformed("the acceptance answers another invitation")
    if own_key.account == desk.by.account and b64(acceptance.public) != own_key.public:
        raise Malformed("the acceptance names another key than the stored one")


def _inviter_gone(state: invitation.State, desk: Desk) -> bool:
    return state.inviter is not None and desk.load(account.State, state.inviter.account).closed


def mail_token(home: Home, invitation_id: str) -> str:
    """The token that the e-mail carries: it opens the invitation, and proves nothing to the two ends."""
    return b64(hmac.digest(home.mail_key, lp(b"privity/v1/mail-token", invitation_id.encode()), "sha256"))


def _token_ok(home: Home, state: invitation.State, invitation_id: str, token: str) -> bool:
    by_link = hmac.compare_digest(b64(hash_token(unb64(token))), state.token_hash)
    by_mail = hmac.compare_digest(token, mail_token(home, invitation_id))
    return state.inviter is not None and (by_link or by_mail)
