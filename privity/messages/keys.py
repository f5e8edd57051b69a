"""Keys: the Keystore's connection keypairs, of which the backend sees the public parts alone."""

from dataclasses import dataclass
from typing import ClassVar

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, Bytes, Id, Sealed, SuiteName


@dataclass(frozen=True, slots=True)
class StoreKeypair(Command):
    """Keep a keypair: the private part wrapped by the KEK."""

    subject: ClassVar[str] = "keys.store"
    key: Id
    suite: SuiteName
    public: Bytes
    private: Sealed


@dataclass(frozen=True, slots=True)
class PublishPublicKey(Command):
    """Let others see the public part of a stored keypair."""

    subject: ClassVar[str] = "keys.publish"
    key: Id


@dataclass(frozen=True, slots=True)
class RemoveKeypair(Command):
    """Give a keypair up: what was sealed to it and not claimed will not open any more."""

    subject: ClassVar[str] = "keys.remove"
    key: Id


@dataclass(frozen=True, slots=True)
class KeypairStored(Event):
    """A keypair stands in the Keystore."""

    context: ClassVar[str] = "keys"
    name: ClassVar[str] = "keypair-stored"
    kind: ClassVar[str] = "key"
    id_field: ClassVar[str] = "key"
    key: Id
    account: AccountId
    suite: SuiteName
    public: Bytes
    private: Sealed


@dataclass(frozen=True, slots=True)
class PublicKeyPublished(Event):
    """A public key can be used for invitations."""

    context: ClassVar[str] = "keys"
    name: ClassVar[str] = "public-key-published"
    kind: ClassVar[str] = "key"
    id_field: ClassVar[str] = "key"
    key: Id
    account: AccountId


@dataclass(frozen=True, slots=True)
class KeypairRemoved(Event):
    """A keypair is gone from the Keystore."""

    context: ClassVar[str] = "keys"
    name: ClassVar[str] = "keypair-removed"
    kind: ClassVar[str] = "key"
    id_field: ClassVar[str] = "key"
    key: Id
    account: AccountId


COMMANDS = (StoreKeypair, PublishPublicKey, RemoveKeypair)
EVENTS = (KeypairStored, PublicKeyPublished, KeypairRemoved)
