"""Accounts: who somebody is, on which devices, and how their keys are opened."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, Address, Bytes, Digest, Id, Key32, Sealed, SignedRecord, SuiteName


@dataclass(frozen=True, slots=True)
class Kdf:
    """The Argon2id cost of the passphrase (RFC 9106): memory in KiB, passes, lanes."""

    memory_kib: int
    iterations: int
    lanes: int


@dataclass(frozen=True, slots=True)
class IdentityHead:
    """What the newest record of an identity chain says, as verified by the handler."""

    n: int
    head: Digest
    sign: Bytes
    seal: Bytes
    seal_suite: SuiteName
    recovery: Bytes
    devices: dict[Id, Bytes]


@dataclass(frozen=True, slots=True)
class RegisterAccount(Command):
    """Make an account: the chain's genesis and its first device, and the keyring, wrapped."""

    subject: ClassVar[str] = "accounts.register"
    address: Address
    chain: Annotated[tuple[SignedRecord, ...], Field(min_length=1, max_length=4)]
    login: Key32
    recovery_login: Key32
    kdf: Kdf
    kek: Sealed
    kek_recovery: Sealed
    identity: Sealed


@dataclass(frozen=True, slots=True)
class ExtendIdentity(Command):
    """Append a record to the identity chain: a device comes or goes, a key rotates."""

    subject: ClassVar[str] = "accounts.extend-identity"
    record: SignedRecord


@dataclass(frozen=True, slots=True)
class ChangePassphrase(Command):
    """Wrap the KEK anew: nothing else changes."""

    subject: ClassVar[str] = "accounts.change-passphrase"
    login: Key32
    kdf: Kdf
    kek: Sealed


@dataclass(frozen=True, slots=True)
class AddressClaimed(Event):
    """An address belongs to an account from now on."""

    context: ClassVar[str] = "accounts"
    name: ClassVar[str] = "address-claimed"
    kind: ClassVar[str] = "address"
    id_field: ClassVar[str] = "token"
    token: Digest
    address: Address
    account: AccountId


@dataclass(frozen=True, slots=True)
class AccountRegistered(Event):
    """An account exists."""

    context: ClassVar[str] = "accounts"
    name: ClassVar[str] = "account-registered"
    kind: ClassVar[str] = "account"
    id_field: ClassVar[str] = "account"
    account: AccountId
    address: Address
    chain: tuple[SignedRecord, ...]
    head: IdentityHead
    login: Bytes
    recovery_login: Bytes
    kdf: Kdf
    kek: Sealed
    kek_recovery: Sealed
    identity: Sealed


@dataclass(frozen=True, slots=True)
class IdentityExtended(Event):
    """The identity chain has a new record."""

    context: ClassVar[str] = "accounts"
    name: ClassVar[str] = "identity-extended"
    kind: ClassVar[str] = "account"
    id_field: ClassVar[str] = "account"
    account: AccountId
    record: SignedRecord
    head: IdentityHead


@dataclass(frozen=True, slots=True)
class PassphraseChanged(Event):
    """The KEK is wrapped by a new unlock key."""

    context: ClassVar[str] = "accounts"
    name: ClassVar[str] = "passphrase-changed"
    kind: ClassVar[str] = "account"
    id_field: ClassVar[str] = "account"
    account: AccountId
    login: Bytes
    kdf: Kdf
    kek: Sealed


COMMANDS = (RegisterAccount, ExtendIdentity, ChangePassphrase)
EVENTS = (AddressClaimed, AccountRegistered, IdentityExtended, PassphraseChanged)
