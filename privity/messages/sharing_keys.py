"""Sharing keys: named keys made to be granted to others, each with generations, by which files are sealed and read.

A key is a line of records, each signed by its creator's identity, each with the digest of the one before: a record
says the public parts of the generation in use and who holds the private ones. A grant adds a holder, a rotation
begins a generation.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, Bytes, ConnectionId, Digest, Id, Sealed, Signature, Version

MAX_HOLDERS = 60
"""Of a key, beside its creator: what one rotation can bring a new private part to."""
MAX_KNOWING = 200
"""People who were given the public part of a key alone."""
MAX_GIVEN = 1000
"""Keys that one person gives another over a connection, all that there ever were: agents read all that they have."""
MAX_RECORDS = 500
"""Of one key: agents read all of them."""
MAX_GRANTED = MAX_RECORDS - 100
"""The last record that can be a grant: rotations can go on, so that somebody can be dropped still."""

SharingKeyId = AccountId
"""The hash of the creator's account and a nonce: whoever knows the id knows who made the key."""
Holders = Annotated[tuple[AccountId, ...], Field(max_length=MAX_HOLDERS)]


@dataclass(frozen=True, slots=True)
class CreateSharingKey(Command):
    """Make a key. `wrap` is its private part under one's KEK, `note` one's own sealed note of it: alias and label."""

    subject: ClassVar[str] = "sharing-keys.create"
    key: SharingKeyId
    record: Bytes
    signature: Signature
    wrap: Sealed
    note: Sealed


@dataclass(frozen=True, slots=True)
class GrantSharingKey(Command):
    """Make a connected person a holder: `wrap` is alias and private part, sealed to their connection key.

    The record, the next in the key's line, has them among its holders.
    """

    subject: ClassVar[str] = "sharing-keys.grant"
    key: SharingKeyId
    grant: Id
    to: AccountId
    connection: ConnectionId
    n: Version
    record: Bytes
    signature: Signature
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class RotateSharingKey(Command):
    """Begin the next generation, without the `dropped` ones.

    `wraps` is the new private part, for oneself under the KEK and for each who remains sealed to their connection key;
    `link` is the private part of the generation before, under the new one.
    """

    subject: ClassVar[str] = "sharing-keys.rotate"
    key: SharingKeyId
    n: Version
    generation: Version
    dropped: Holders
    record: Bytes
    signature: Signature
    wraps: Annotated[dict[AccountId, Sealed], Field(min_length=1, max_length=MAX_HOLDERS + 1)]
    link: Sealed


@dataclass(frozen=True, slots=True)
class ClaimSharingKey(Command):
    """Keep the private part of a generation under a KEK of one's own: later reads need no connection key.

    `replaces` is the digest of one's note as it was read, if there was one: another one is not taken over unread.
    """

    subject: ClassVar[str] = "sharing-keys.claim"
    key: SharingKeyId
    generation: Version
    replaces: Digest | None
    wrap: Sealed
    note: Sealed


@dataclass(frozen=True, slots=True)
class RestoreSharingKey(Command):
    """Keep the private part of the newest generation anew, from a backup: what the home had of it was lost.

    `replaces` as in a claim.
    """

    subject: ClassVar[str] = "sharing-keys.restore"
    key: SharingKeyId
    generation: Version
    replaces: Digest | None
    wrap: Sealed
    note: Sealed


@dataclass(frozen=True, slots=True)
class NoteSharingKey(Command):
    """Keep one's own note of a key that one made, holds or knows: what it is called, and whether it is off.

    `replaces` as in a claim.
    """

    subject: ClassVar[str] = "sharing-keys.note"
    key: SharingKeyId
    replaces: Digest | None
    note: Sealed


@dataclass(frozen=True, slots=True)
class SendPublicPart(Command):
    """Give a connected person the public part of a key that one made or holds; `sealed` is its alias, for them."""

    subject: ClassVar[str] = "sharing-keys.send-public"
    key: SharingKeyId
    to: AccountId
    connection: ConnectionId
    generation: Version
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class EraseSharingKey(Command):
    """Give a key up: its creator ends it for everybody, anybody else for themselves."""

    subject: ClassVar[str] = "sharing-keys.erase"
    key: SharingKeyId


@dataclass(frozen=True, slots=True)
class SharingKeyCreated(Event):
    """There is a key; `digest` is the record's."""

    context: ClassVar[str] = "sharing-keys"
    name: ClassVar[str] = "sharing-key-created"
    kind: ClassVar[str] = "sharingkey"
    id_field: ClassVar[str] = "key"
    key: SharingKeyId
    by: AccountId
    record: Bytes
    signature: Bytes
    digest: Digest
    wrap: Sealed
    note: Sealed


@dataclass(frozen=True, slots=True)
class SharingKeyGranted(Event):
    """Somebody holds a key's private part; `holders` are all who do now, beside the creator."""

    context: ClassVar[str] = "sharing-keys"
    name: ClassVar[str] = "sharing-key-granted"
    kind: ClassVar[str] = "sharingkey"
    id_field: ClassVar[str] = "key"
    key: SharingKeyId
    by: AccountId
    grant: Id
    to: AccountId
    connection: ConnectionId
    n: Version
    generation: Version
    record: Bytes
    signature: Bytes
    digest: Digest
    wrap: Sealed
    holders: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class SharingKeyRotated(Event):
    """A key has a new generation, which `dropped` never get; `holders` are all who do, beside the creator."""

    context: ClassVar[str] = "sharing-keys"
    name: ClassVar[str] = "sharing-key-rotated"
    kind: ClassVar[str] = "sharingkey"
    id_field: ClassVar[str] = "key"
    key: SharingKeyId
    by: AccountId
    n: Version
    generation: Version
    dropped: tuple[AccountId, ...]
    record: Bytes
    signature: Bytes
    digest: Digest
    wraps: dict[AccountId, Sealed]
    link: Sealed
    holders: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class SharingKeyClaimed(Event):
    """Somebody has a generation under the KEK of their own: a holder for the first time, or anybody anew."""

    context: ClassVar[str] = "sharing-keys"
    name: ClassVar[str] = "sharing-key-claimed"
    kind: ClassVar[str] = "sharingkey"
    id_field: ClassVar[str] = "key"
    key: SharingKeyId
    by: AccountId
    generation: Version
    wrap: Sealed
    note: Sealed


@dataclass(frozen=True, slots=True)
class SharingKeyNoted(Event):
    """Somebody keeps another note of a key."""

    context: ClassVar[str] = "sharing-keys"
    name: ClassVar[str] = "sharing-key-noted"
    kind: ClassVar[str] = "sharingkey"
    id_field: ClassVar[str] = "key"
    key: SharingKeyId
    by: AccountId
    note: Sealed


@dataclass(frozen=True, slots=True)
class PublicPartSent(Event):
    """Somebody has a key's public part: the record as it was then."""

    context: ClassVar[str] = "sharing-keys"
    name: ClassVar[str] = "public-part-sent"
    kind: ClassVar[str] = "sharingkey"
    id_field: ClassVar[str] = "key"
    key: SharingKeyId
    by: AccountId
    to: AccountId
    connection: ConnectionId
    creator: AccountId
    generation: Version
    record: Bytes
    signature: Bytes
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class SharingKeyGiven(Event):
    """One person has given another a key over a connection that they did not have; `count` are so many by now."""

    context: ClassVar[str] = "sharing-keys"
    name: ClassVar[str] = "sharing-key-given"
    kind: ClassVar[str] = "keyline"
    id_field: ClassVar[str] = "line"
    line: AccountId
    by: AccountId
    to: AccountId
    key: SharingKeyId
    count: Version


@dataclass(frozen=True, slots=True)
class SharingKeyErased(Event):
    """A key is gone: for all where its creator ended it (`whole`), else for who gave it up.

    `accounts` hear of it: of a holder who gave it up, its creator too.
    """

    context: ClassVar[str] = "sharing-keys"
    name: ClassVar[str] = "sharing-key-erased"
    kind: ClassVar[str] = "sharingkey"
    id_field: ClassVar[str] = "key"
    key: SharingKeyId
    by: AccountId
    whole: bool
    accounts: tuple[AccountId, ...]


COMMANDS = (
    CreateSharingKey,
    GrantSharingKey,
    RotateSharingKey,
    ClaimSharingKey,
    RestoreSharingKey,
    NoteSharingKey,
    SendPublicPart,
    EraseSharingKey,
)
EVENTS = (
    SharingKeyCreated,
    SharingKeyGranted,
    SharingKeyRotated,
    SharingKeyClaimed,
    SharingKeyNoted,
    PublicPartSent,
    SharingKeyGiven,
    SharingKeyErased,
)
