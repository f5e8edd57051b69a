"""Delegations: who may read or write in somebody's name, as a role says."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, Bytes, ConnectionId, Digest, Id, Instant, Sealed, Signature, Version

Role = Literal["reader", "admin", "owner"]
"""Reader: sees the principal's items. Admin: adds, edits and removes them too. Owner: makes readers and admins too."""


@dataclass(frozen=True, slots=True)
class GrantDelegation(Command):
    """Make a connected person a delegate of `principal`; the signed record repeats the fields, and more.

    `wrap` is the vault key, sealed to the delegate's connection key. With the first grant the vault key begins, and
    `own_wrap` is that key under the principal's KEK.
    """

    subject: ClassVar[str] = "delegations.grant"
    principal: AccountId
    delegation: Id
    delegate: AccountId
    role: Role
    connection: ConnectionId
    expires: Instant | None
    n: Version
    generation: Version
    record: Bytes
    signature: Signature
    wrap: Sealed
    own_wrap: Sealed | None


@dataclass(frozen=True, slots=True)
class ClaimDelegation(Command):
    """Keep the vault key of a generation under a KEK of one's own: later reads need no private key."""

    subject: ClassVar[str] = "delegations.claim"
    principal: AccountId
    generation: Version
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class RemoveDelegation(Command):
    """End a delegation of one's own, and begin the next generation of the vault key.

    `wraps` is the new key for oneself and each delegate who is to have it; `before` is the old key under the new one.
    """

    subject: ClassVar[str] = "delegations.remove"
    principal: AccountId
    delegation: Id
    n: Version
    generation: Version
    record: Bytes
    signature: Signature
    wraps: dict[AccountId, Sealed]
    before: Sealed


@dataclass(frozen=True, slots=True)
class KeepItem(Command):
    """Keep a version of an item under the vault key, in one's own name or as a delegate; its author signs the record.

    Version 1 is a new item.
    """

    subject: ClassVar[str] = "delegations.keep-item"
    principal: AccountId
    delegation: Id | None
    item: Id
    version: Version
    generation: Version
    record: Bytes
    signature: Signature
    content: Sealed
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class DropItem(Command):
    """Give up an item of the principal's, as a delegate."""

    subject: ClassVar[str] = "delegations.drop-item"
    principal: AccountId
    delegation: Id
    item: Id


@dataclass(frozen=True, slots=True)
class DelegationGranted(Event):
    """Somebody is a delegate.

    `digest` is the record's, `vault_key` the hash of the key that it names, `accounts` the delegates there are now, who
    hear of it too.
    """

    context: ClassVar[str] = "delegations"
    name: ClassVar[str] = "delegation-granted"
    kind: ClassVar[str] = "vault"
    id_field: ClassVar[str] = "principal"
    principal: AccountId
    by: AccountId
    delegation: Id
    delegate: AccountId
    role: Role
    connection: ConnectionId
    expires: Instant | None
    n: Version
    generation: Version
    record: Bytes
    signature: Bytes
    wrap: Sealed
    own_wrap: Sealed | None
    digest: Digest
    vault_key: Digest
    accounts: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class DelegationClaimed(Event):
    """A holder has the vault key under a KEK of their own."""

    context: ClassVar[str] = "delegations"
    name: ClassVar[str] = "delegation-claimed"
    kind: ClassVar[str] = "vault"
    id_field: ClassVar[str] = "principal"
    principal: AccountId
    by: AccountId
    generation: Version
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class DelegationRemoved(Event):
    """Somebody is a delegate no more, and the vault key is a new one; `accounts` are the delegates who have it."""

    context: ClassVar[str] = "delegations"
    name: ClassVar[str] = "delegation-removed"
    kind: ClassVar[str] = "vault"
    id_field: ClassVar[str] = "principal"
    principal: AccountId
    by: AccountId
    delegation: Id
    delegate: AccountId
    n: Version
    generation: Version
    record: Bytes
    signature: Bytes
    wraps: dict[AccountId, Sealed]
    before: Sealed
    digest: Digest
    vault_key: Digest
    accounts: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class ItemKept(Event):
    """An item has a version under the vault key, signed by its author; version 1 is a new item."""

    context: ClassVar[str] = "delegations"
    name: ClassVar[str] = "item-kept"
    kind: ClassVar[str] = "item"
    id_field: ClassVar[str] = "item"
    principal: AccountId
    by: AccountId
    delegation: Id | None
    item: Id
    version: Version
    generation: Version
    record: Bytes
    signature: Bytes
    content: Sealed
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class ItemDropped(Event):
    """A delegate gave an item of the principal's up."""

    context: ClassVar[str] = "delegations"
    name: ClassVar[str] = "item-dropped"
    kind: ClassVar[str] = "item"
    id_field: ClassVar[str] = "item"
    principal: AccountId
    by: AccountId
    delegation: Id
    item: Id


COMMANDS = (GrantDelegation, ClaimDelegation, RemoveDelegation, KeepItem, DropItem)
EVENTS = (DelegationGranted, DelegationClaimed, DelegationRemoved, ItemKept, ItemDropped)
