"""Shares: an item, re-encrypted for one reader under a DEK of the share's own."""

from dataclasses import dataclass
from typing import ClassVar

from privity.messages.base import Command, Event
from privity.messages.fields import (
    AccountId,
    Bytes,
    ConnectionId,
    Digest,
    Hops,
    Id,
    Instant,
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

    Nobody reads after `expires`, nor before accepting `terms`, which are sealed to the recipient; `terms_hash` is the
    salted hash of their text. `reshare` is over how many hands it may go on from the recipient, 0 for none; `keep`
    whether the recipient may have a copy of their own after the end. `source` is the share that is shared on here.
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
    expires: Instant | None = None
    terms: Sealed | None = None
    terms_hash: Digest | None = None
    reshare: Hops = 0
    keep: bool = False
    source: Id | None = None


@dataclass(frozen=True, slots=True)
class ReviseShare(Command):
    """Give the recipient the next generation of a share: the item as it is now, under a fresh DEK, and new conditions.

    Fields are as in `CreateShare`; what a share is about, and between whom, never changes.
    """

    subject: ClassVar[str] = "shares.revise"
    share: Id
    version: Version
    generation: Version
    manifest: Bytes
    signature: Signature
    content: Sealed
    owner_wrap: Sealed
    recipient_wrap: Sealed
    expires: Instant | None
    terms: Sealed | None
    terms_hash: Digest | None
    reshare: Hops
    keep: bool


@dataclass(frozen=True, slots=True)
class AcceptTerms(Command):
    """The recipient accepts a share's terms, signing the salted hash of their text with the identity."""

    subject: ClassVar[str] = "shares.accept-terms"
    share: Id
    terms_hash: Digest
    signature: Signature


@dataclass(frozen=True, slots=True)
class ClaimShare(Command):
    """The recipient keeps the DEK of a generation under a KEK of their own: later reads need no private key."""

    subject: ClassVar[str] = "shares.claim"
    share: Id
    wrap: Sealed
    generation: Version = 1


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
    expires: Instant | None
    terms: Sealed | None
    terms_hash: Digest | None
    reshare: Hops
    keep: bool
    source: Id | None


@dataclass(frozen=True, slots=True)
class ShareRevised(Event):
    """A share has its next generation: the one before is not served any more, and must be claimed anew."""

    context: ClassVar[str] = "shares"
    name: ClassVar[str] = "share-revised"
    kind: ClassVar[str] = "share"
    id_field: ClassVar[str] = "share"
    share: Id
    space: Id
    connection: ConnectionId
    owner: AccountId
    recipient: AccountId
    item: Id
    version: Version
    generation: Version
    manifest: Bytes
    signature: Bytes
    content: Sealed
    owner_wrap: Sealed
    recipient_wrap: Sealed
    expires: Instant | None
    terms: Sealed | None
    terms_hash: Digest | None
    reshare: Hops
    keep: bool


@dataclass(frozen=True, slots=True)
class TermsAccepted(Event):
    """The recipient accepted the terms with this hash; `signature` is by the recipient's identity."""

    context: ClassVar[str] = "shares"
    name: ClassVar[str] = "terms-accepted"
    kind: ClassVar[str] = "share"
    id_field: ClassVar[str] = "share"
    share: Id
    owner: AccountId
    recipient: AccountId
    terms_hash: Digest
    signature: Bytes


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


COMMANDS = (CreateShare, ReviseShare, AcceptTerms, ClaimShare, RemoveShare)
EVENTS = (
    EncryptionSpaceOpened,
    LineExtended,
    ShareCreated,
    ShareRevised,
    TermsAccepted,
    ShareClaimed,
    ShareRemoved,
)
