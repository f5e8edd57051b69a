"""Accounts: who somebody is, on which devices, and how their keys are opened."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from privity.messages.base import Command, Event
from privity.messages.fields import (
    AccountId,
    Address,
    Bytes,
    Digest,
    Id,
    Key32,
    Sealed,
    Signature,
    SignedRecord,
    SuiteName,
)


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
    """Append a record to the identity chain: a device comes or goes, and the keys stay."""

    subject: ClassVar[str] = "accounts.extend-identity"
    record: SignedRecord


@dataclass(frozen=True, slots=True)
class RotateIdentity(Command):
    """Append a record with new identity keys; `identity` is their private parts, wrapped by the KEK."""

    subject: ClassVar[str] = "accounts.rotate"
    record: SignedRecord
    identity: Sealed


@dataclass(frozen=True, slots=True)
class RenameAccount(Command):
    """Go by another address; the one before stays reserved for the account."""

    subject: ClassVar[str] = "accounts.rename"
    address: Address


@dataclass(frozen=True, slots=True)
class ChangePassphrase(Command):
    """Wrap the KEK anew: nothing else changes."""

    subject: ClassVar[str] = "accounts.change-passphrase"
    login: Key32
    kdf: Kdf
    kek: Sealed


@dataclass(frozen=True, slots=True)
class CloseAccount(Command):
    """End the account for ever: no device of it is known any more, and its wrapped keys are erased.

    `signature` is by the sign key of the identity's newest record, whose hash is `head`: a device alone is not enough.
    """

    subject: ClassVar[str] = "accounts.close"
    head: Digest
    signature: Signature


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
class IdentityRotated(Event):
    """The identity chain has a new record with new keys, whose private parts are kept anew."""

    context: ClassVar[str] = "accounts"
    name: ClassVar[str] = "identity-rotated"
    kind: ClassVar[str] = "account"
    id_field: ClassVar[str] = "account"
    account: AccountId
    record: SignedRecord
    head: IdentityHead
    identity: Sealed


@dataclass(frozen=True, slots=True)
class AccountRenamed(Event):
    """The account goes by another address."""

    context: ClassVar[str] = "accounts"
    name: ClassVar[str] = "account-renamed"
    kind: ClassVar[str] = "account"
    id_field: ClassVar[str] = "account"
    account: AccountId
    address: Address


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


@dataclass(frozen=True, slots=True)
class AccountClosed(Event):
    """The account has ended; its address stays taken."""

    context: ClassVar[str] = "accounts"
    name: ClassVar[str] = "account-closed"
    kind: ClassVar[str] = "account"
    id_field: ClassVar[str] = "account"
    account: AccountId


COMMANDS = (RegisterAccount, ExtendIdentity, RotateIdentity, ChangePassphrase, RenameAccount, CloseAccount)
EVENTS = (
    AddressClaimed,
    AccountRegistered,
    IdentityExtended,
    IdentityRotated,
    AccountRenamed,
    PassphraseChanged,
    AccountClosed,
)
