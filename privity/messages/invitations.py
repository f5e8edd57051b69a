"""Invitations: how two people come to a connection that the backend cannot turn."""

from dataclasses import dataclass, field
from typing import ClassVar

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, Address, Bytes, ConnectionId, Digest, Id, Instant, Key32, Sealed


@dataclass(frozen=True, slots=True)
class InviteConnection(Command):
    """Invite somebody by e-mail address: the first of the invitation's three messages."""

    subject: ClassVar[str] = "invitations.invite"
    invitation: Id
    email: Address
    key: Id
    expires: Instant
    record: Bytes
    mac: Key32 = field(repr=False)
    token_hash: Digest
    note: Sealed


@dataclass(frozen=True, slots=True)
class CancelInvitation(Command):
    """Take an invitation back."""

    subject: ClassVar[str] = "invitations.cancel"
    invitation: Id


@dataclass(frozen=True, slots=True)
class AcceptInvitation(Command):
    """Accept: the second message. Without a MAC the connection is unverified."""

    subject: ClassVar[str] = "invitations.accept"
    invitation: Id
    token: Key32 = field(repr=False)
    key: Id
    record: Bytes
    mac: Key32 | None = field(repr=False)
    note: Sealed


@dataclass(frozen=True, slots=True)
class DeclineInvitation(Command):
    """Say no."""

    subject: ClassVar[str] = "invitations.decline"
    invitation: Id
    token: Key32 = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConnectionInvited(Event):
    """Somebody was invited; the mail handler sends the e-mail."""

    context: ClassVar[str] = "invitations"
    name: ClassVar[str] = "connection-invited"
    kind: ClassVar[str] = "invitation"
    id_field: ClassVar[str] = "invitation"
    invitation: Id
    inviter: AccountId
    address: Address
    email: Address
    key: Id
    public: Bytes
    expires: Instant
    record: Bytes
    mac: Bytes
    token_hash: Digest
    note: Sealed


@dataclass(frozen=True, slots=True)
class InvitationCancelled(Event):
    """The inviter took the invitation back."""

    context: ClassVar[str] = "invitations"
    name: ClassVar[str] = "invitation-cancelled"
    kind: ClassVar[str] = "invitation"
    id_field: ClassVar[str] = "invitation"
    invitation: Id
    inviter: AccountId


@dataclass(frozen=True, slots=True)
class InvitationDeclined(Event):
    """The invited said no."""

    context: ClassVar[str] = "invitations"
    name: ClassVar[str] = "invitation-declined"
    kind: ClassVar[str] = "invitation"
    id_field: ClassVar[str] = "invitation"
    invitation: Id
    inviter: AccountId
    by: AccountId


@dataclass(frozen=True, slots=True)
class InvitationAccepted(Event):
    """The invited said yes; the invitation is used up."""

    context: ClassVar[str] = "invitations"
    name: ClassVar[str] = "invitation-accepted"
    kind: ClassVar[str] = "invitation"
    id_field: ClassVar[str] = "invitation"
    invitation: Id
    inviter: AccountId
    by: AccountId
    connection: ConnectionId


COMMANDS = (InviteConnection, CancelInvitation, AcceptInvitation, DeclineInvitation)
EVENTS = (ConnectionInvited, InvitationCancelled, InvitationDeclined, InvitationAccepted)
