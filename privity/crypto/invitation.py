"""The three messages by which two people connect so that a hostile server cannot put itself between them.

A sends I with a MAC under a key that only the link's secret S gives; B answers R with his MAC; A confirms.
Who holds S (and no backend ever sees it) knows that keys and accounts are the other's: *verified*. Without S
(the mail path) only the signatures count, and the two compare the safety number. Each key is
k_x = HKDF(S, salt = inv, info = label x); a record is hashed by SHA-256 of its exact bytes.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from privity.crypto import labels
from privity.crypto.connection import connection_id, safety_number
from privity.crypto.identity import Identity, Signed, walk
from privity.crypto.invitation_records import (
    Acceptance,
    Invitation,
    moment,
    read_acceptance,
    read_invitation,
)
from privity.crypto.kdf import hkdf
from privity.crypto.kem import Suite
from privity.crypto.links import Link, invitation_link, mail_link, parse_link
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b64, sha256
from privity.errors import ForgedRecord, InvitationExpired, KeyMismatch, Malformed, OwnInvitation

__all__ = [
    "Acceptance",
    "AcceptanceMessage",
    "CheckedAcceptance",
    "CheckedInvitation",
    "Invitation",
    "InvitationMessage",
    "InviteKeys",
    "Link",
    "check_acceptance",
    "check_confirmation",
    "check_invitation",
    "confirmation",
    "connection_id",
    "hash_token",
    "invitation_link",
    "invite_keys",
    "mail_link",
    "make_acceptance",
    "make_invitation",
    "parse_link",
    "read_acceptance",
    "read_invitation",
    "safety_number",
    "verify_acceptance",
    "verify_invitation",
]

SECRET_BYTES: Final = 32
INVITER: Final = "inviter"
ACCEPTOR: Final = "acceptor"


@dataclass(frozen=True, slots=True)
class InviteKeys:
    """The four keys that S gives, 32 bytes each: the backend's token, and a MAC key for each message."""

    token: bytes = field(repr=False)
    inviter: bytes = field(repr=False)
    acceptor: bytes = field(repr=False)
    confirm: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class InvitationMessage:
    """What A sends: the exact record I, its certificate, and what follows from S."""

    record: bytes
    cert: bytes
    token_hash: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class AcceptanceMessage:
    """What B sends: the exact record R and, if he holds S, the token and his MAC."""

    record: bytes
    token: bytes | None = field(repr=False)
    mac: bytes | None


@dataclass(frozen=True, slots=True)
class CheckedInvitation:
    """An invitation that holds, with the inviter's newest identity; verified if S vouches for it."""

    invitation: Invitation
    identity: Identity
    verified: bool


@dataclass(frozen=True, slots=True)
class CheckedAcceptance:
    """An acceptance that holds, with the acceptor's newest identity; verified if S vouches for it."""

    acceptance: Acceptance
    identity: Identity
    verified: bool


def invite_keys(S: bytes, inv: str) -> InviteKeys:
    """The keys of S (32 bytes) for one invitation id.

    Raises:
        Malformed: S has another length.
    """
    if len(S) != SECRET_BYTES:
        raise Malformed("an invitation secret has 32 bytes")

    def key(label: bytes) -> bytes:
        return hkdf(S, 32, label, salt=inv.encode())

    return InviteKeys(
        token=key(labels.INVITE_TOKEN),
        inviter=key(labels.INVITE_INVITER),
        acceptor=key(labels.INVITE_ACCEPTOR),
        confirm=key(labels.INVITE_CONFIRM),
    )


def hash_token(token: bytes) -> bytes:
    """What the backend keeps in place of a token: its SHA-256."""
    return sha256(token)


def make_invitation(
    S: bytes,
    *,
    inv: str,
    expires: str,
    home: str,
    log_key: bytes,
    account: str,
    address: str,
    head: bytes,
    public: bytes,
    suite: Suite,
    gen: int,
    identity: SigningKey,
) -> InvitationMessage:
    """Message 1, by the inviter.

    Args:
        S: S, 32 random bytes that only the link carries.
        expires: ISO 8601 with an offset.
        log_key: the home's log key as the inviter knows it.
        head: SHA-256 of the inviter's newest identity record.
        public: the inviter's connection key, of `suite` and generation `gen`.
        identity: the inviter's identity signing key.

    Raises:
        Malformed: a value that no reader would take.
    """
    keys = invite_keys(S, inv)
    cert = identity.sign(labels.CONNECTION_KEY, *_certified(inv, INVITER, public, suite, gen))
    record = encode_record(
        {
            "v": 1,
            "inv": inv,
            "expires": expires,
            "home": home,
            "log_key": b64(log_key),
            "account": account,
            "address": address,
            "head": b64(head),
            "public": b64(public),
            "suite": str(suite),
            "gen": gen,
            "cert": b64(cert),
        }
    )
    read_invitation(record)
    return InvitationMessage(record, cert, hash_token(keys.token), _mac(keys.inviter, record))


def check_invitation(
    record: bytes,
    mac: bytes | None,
    chain: Sequence[Signed],
    *,
    S: bytes | None,
    now: datetime,
    log_key: bytes,
) -> CheckedInvitation:
    """Message 1 as the acceptor checks it, with the inviter's chain and the log key that he knows himself.

    Raises:
        ForgedRecord: S is there and the MAC is not S's, or chain, head or certificate do not hold.
        KeyMismatch: the inviter sees another log key: one of the two is being lied to.
        InvitationExpired: `now` is past it.
        Malformed: without S, a record that cannot be read.
    """
    invitation = read_invitation(record)
    if S is not None:
        _check_mac(mac, invite_keys(S, invitation.inv).inviter, record)
    if invitation.log_key != log_key:
        raise KeyMismatch("The inviter knows this backend by another log key.")
    then, newest = _pinned(chain, invitation.account, invitation.head)
    verify_invitation(invitation, then)
    if now >= moment(invitation.expires):
        raise InvitationExpired
    return CheckedInvitation(invitation, newest, verified=S is not None)


def make_acceptance(
    S: bytes | None,
    *,
    invitation_record: bytes,
    inv: str,
    account: str,
    address: str,
    head: bytes,
    public: bytes,
    suite: Suite,
    gen: int,
    identity: SigningKey,
) -> AcceptanceMessage:
    """Message 2, by the acceptor; arguments as in `make_invitation`. Without S it has neither token nor MAC.

    Raises:
        Malformed: a value that no reader would take, or the invitation is another one.
    """
    if read_invitation(invitation_record).inv != inv:
        raise Malformed("the acceptance names another invitation")
    answered = sha256(invitation_record)
    cert = identity.sign(labels.CONNECTION_KEY, *_certified(inv, ACCEPTOR, public, suite, gen), answered)
    record = encode_record(
        {
            "v": 1,
            "inv": inv,
            "invitation": b64(answered),
            "account": account,
            "address": address,
            "head": b64(head),
            "public": b64(public),
            "suite": str(suite),
            "gen": gen,
            "cert": b64(cert),
        }
    )
    read_acceptance(record)
    if S is None:
        return AcceptanceMessage(record, None, None)
    keys = invite_keys(S, inv)
    return AcceptanceMessage(record, keys.token, _mac(keys.acceptor, invitation_record, record))


def check_acceptance(
    S: bytes | None,
    invitation_record: bytes,
    record: bytes,
    mac: bytes | None,
    chain: Sequence[Signed],
) -> CheckedAcceptance:
    """Message 2 as the inviter (with S), or as the backend and auditors (without), check it.

    Verified only if S is there and the MAC is S's. No MAC at all is the mail path: not verified.

    Raises:
        ForgedRecord: a MAC that is not S's, another invitation, or chain, head or certificate do not hold.
        OwnInvitation: both sides are one account.
        Malformed: a record that cannot be read.
    """
    invitation, acceptance = read_invitation(invitation_record), read_acceptance(record)
    verified = S is not None and mac is not None
    if S is not None and mac is not None:
        _check_mac(mac, invite_keys(S, invitation.inv).acceptor, invitation_record, record)
    if acceptance.inv != invitation.inv or acceptance.invitation != sha256(invitation_record):
        raise ForgedRecord("The acceptance answers another invitation.")
    if acceptance.account == invitation.account:
        raise OwnInvitation
    then, newest = _pinned(chain, acceptance.account, acceptance.head)
    verify_acceptance(acceptance, then)
    return CheckedAcceptance(acceptance, newest, verified)


def verify_invitation(invitation: Invitation, inviter: Identity) -> None:
    """Returns if `inviter`, at the head that the invitation names, certified its connection key.

    Raises:
        ForgedRecord: another account or head, or not that one's signature.
    """
    _check_head(invitation, inviter)
    certified = _certified(invitation.inv, INVITER, invitation.public, invitation.suite, invitation.gen)
    verify(inviter.sign, invitation.cert, labels.CONNECTION_KEY, *certified)


def verify_acceptance(acceptance: Acceptance, acceptor: Identity) -> None:
    """As `verify_invitation`, for the acceptor; the certificate covers the invitation too."""
    _check_head(acceptance, acceptor)
    certified = _certified(acceptance.inv, ACCEPTOR, acceptance.public, acceptance.suite, acceptance.gen)
    verify(acceptor.sign, acceptance.cert, labels.CONNECTION_KEY, *certified, acceptance.invitation)


def _check_head(record: Invitation | Acceptance, identity: Identity) -> None:
    if (record.account, record.head) != (identity.account, identity.head):
        raise ForgedRecord("The record names another identity.")


def confirmation(S: bytes, invitation_record: bytes, acceptance_record: bytes) -> bytes:
    """Message 3's MAC, by the inviter: S's holder saw exactly this acceptance."""
    keys = invite_keys(S, read_invitation(invitation_record).inv)
    return _mac(keys.confirm, invitation_record, acceptance_record)


def check_confirmation(S: bytes, invitation_record: bytes, acceptance_record: bytes, mac: bytes) -> None:
    """Returns if `confirmation` made the MAC.

    Raises:
        ForgedRecord: it did not.
    """
    keys = invite_keys(S, read_invitation(invitation_record).inv)
    _check_mac(mac, keys.confirm, invitation_record, acceptance_record)


def _certified(inv: str, role: str, public: bytes, suite: Suite, gen: int) -> tuple[bytes, ...]:
    return inv.encode(), role.encode(), public, suite.encode(), str(gen).encode()


def _pinned(chain: Sequence[Signed], account: str, head: bytes) -> tuple[Identity, Identity]:
    """The identity at `head`, and the newest one: the chain may have grown since, in a line."""
    line = list(walk(chain))
    at_head = [identity for identity in line if identity.head == head]
    if line[0].account != account or not at_head:
        raise ForgedRecord("The identity chain is not the one that the record names.")
    return at_head[0], line[-1]


def _mac(key: bytes, *records: bytes) -> bytes:
    return hmac.digest(key, b"".join(sha256(each) for each in records), "sha256")


def _check_mac(mac: bytes | None, key: bytes, *records: bytes) -> None:
    if mac is None or not hmac.compare_digest(mac, _mac(key, *records)):
        raise ForgedRecord("The message was not made by who holds the invitation's secret.")
