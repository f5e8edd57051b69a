"""Shares: an item, re-encrypted for one reader under a DEK of the share's own."""

from dataclasses import dataclass
from typing import ClassVar

from privity.messages.base import Command, Event
from privity.messages.fields import (
    AccountId,
    Bytes,
    ConnectionId,
    Digest,
    Id,
    LineId,
    Sealed,
    Signature,
    SuiteName,
    Version,
)


@dataclass(frozen=True, slots=True)
class CreateShare(Command):
    """Share an item over a connection; the signed manifest repeats every field and names every sealed object.

    The manifest also has its number in the sender's line, and the digest of the one before: it must be the next.
    """

    subject: ClassVar[str] = "shares.create"
    share: Id
    space: Id
    connection: ConnectionId
    item: Id
    version: Version
    recipient: AccountId
    recipient_key: Id
    suite: SuiteName
    manifest: Bytes
    signature: Signature
    content: Sealed
    owner_wrap: Sealed
    recipient_wrap: Sealed


@dataclass(frozen=True, slots=True)
class ClaimShare(Command):
    """The recipient keeps the DEK under a KEK of their own: later reads need no private key."""

    subject: ClassVar[str] = "shares.claim"
    share: Id
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class RemoveShare(Command):
    """End a share, from either side."""

    subject: ClassVar[str] = "shares.remove"
    share: Id


@dataclass(frozen=True, slots=True)
class EncryptionSpaceOpened(Event):
    """One DEK, wrapped once for each member: one id in Keystore and Vault, linked to the connection."""

    context: ClassVar[str] = "shares"
    name: ClassVar[str] = "encryption-space-opened"
    kind: ClassVar[str] = "space"
    id_field: ClassVar[str] = "space"
    space: Id
    connection: ConnectionId
    owner: AccountId
    wraps: dict[AccountId, Sealed]


@dataclass(frozen=True, slots=True)
class LineExtended(Event):
    """What one side sends over a connection got its next number; `digest` is the manifest's."""

    context: ClassVar[str] = "shares"
    name: ClassVar[str] = "line-extended"
    kind: ClassVar[str] = "line"
    id_field: ClassVar[str] = "line"
    line: LineId
    connection: ConnectionId
    sender: AccountId
    n: Version
    share: Id
    digest: Digest


@dataclass(frozen=True, slots=True)
class ShareCreated(Event):
    """An item is shared."""

    context: ClassVar[str] = "shares"
    name: ClassVar[str] = "share-created"
    kind: ClassVar[str] = "share"
    id_field: ClassVar[str] = "share"
    share: Id
    space: Id
    connection: ConnectionId
    owner: AccountId
    recipient: AccountId
    item: Id
    version: Version
    recipient_key: Id
    suite: SuiteName
    manifest: Bytes
    signature: Bytes
    content: Sealed
    owner_wrap: Sealed
    recipient_wrap: Sealed


@dataclass(frozen=True, slots=True)
class ShareClaimed(Event):
    """The recipient holds the DEK under a KEK of their own."""

    context: ClassVar[str] = "shares"
    name: ClassVar[str] = "share-claimed"
    kind: ClassVar[str] = "share"
    id_field: ClassVar[str] = "share"
    share: Id
    space: Id
    owner: AccountId
    recipient: AccountId
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class ShareRemoved(Event):
    """The share has ended for both."""

    context: ClassVar[str] = "shares"
    name: ClassVar[str] = "share-removed"
    kind: ClassVar[str] = "share"
    id_field: ClassVar[str] = "share"
    share: Id
    space: Id
    owner: AccountId
    recipient: AccountId
    by: AccountId


COMMANDS = (CreateShare, ClaimShare, RemoveShare)
EVENTS = (EncryptionSpaceOpened, LineExtended, ShareCreated, ShareClaimed, ShareRemoved)
