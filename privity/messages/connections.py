"""Connections: two people who know each other's keys."""

from dataclasses import dataclass
from typing import ClassVar

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, Address, Bytes, ConnectionId, Digest, Id, Key32, Sealed


@dataclass(frozen=True, slots=True)
class ConfirmConnection(Command):
    """The inviter checked the acceptance and pins it: the third message."""

    subject: ClassVar[str] = "connections.confirm"
    connection: ConnectionId
    acceptance: Digest
    mac: Key32 | None
    note: Sealed


@dataclass(frozen=True, slots=True)
class NoteConnection(Command):
    """Keep one's own sealed note on a connection anew: the name for the other, the pinned key, verified or not.

    `replaces` is the digest of the note before: of two devices that do so at once, one has to read again.
    """

    subject: ClassVar[str] = "connections.note"
    connection: ConnectionId
    replaces: Digest
    note: Sealed


@dataclass(frozen=True, slots=True)
class RemoveConnection(Command):
    """End a connection and all its shares, for both."""

    subject: ClassVar[str] = "connections.remove"
    connection: ConnectionId


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a connection: who, by which address, with which keypair."""

    account: AccountId
    address: Address
    key: Id
    public: Bytes
    note: Sealed


@dataclass(frozen=True, slots=True)
class ConnectionEstablished(Event):
    """The two are connected: each sees the other's public key."""

    context: ClassVar[str] = "connections"
    name: ClassVar[str] = "connection-established"
    kind: ClassVar[str] = "connection"
    id_field: ClassVar[str] = "connection"
    connection: ConnectionId
    invitation: Id
    inviter: Side
    acceptor: Side
    offer: Bytes
    offer_mac: Bytes
    acceptance: Bytes
    acceptance_mac: Bytes | None


@dataclass(frozen=True, slots=True)
class ConnectionConfirmed(Event):
    """The inviter pinned the acceptance."""

    context: ClassVar[str] = "connections"
    name: ClassVar[str] = "connection-confirmed"
    kind: ClassVar[str] = "connection"
    id_field: ClassVar[str] = "connection"
    connection: ConnectionId
    inviter: AccountId
    acceptor: AccountId
    mac: Bytes | None
    note: Sealed


@dataclass(frozen=True, slots=True)
class ConnectionNoted(Event):
    """One side keeps a new note of its own."""

    context: ClassVar[str] = "connections"
    name: ClassVar[str] = "connection-noted"
    kind: ClassVar[str] = "connection"
    id_field: ClassVar[str] = "connection"
    connection: ConnectionId
    by: AccountId
    note: Sealed


@dataclass(frozen=True, slots=True)
class ConnectionRemoved(Event):
    """The connection has ended, and its shares with it."""

    context: ClassVar[str] = "connections"
    name: ClassVar[str] = "connection-removed"
    kind: ClassVar[str] = "connection"
    id_field: ClassVar[str] = "connection"
    connection: ConnectionId
    by: AccountId
    inviter: AccountId
    acceptor: AccountId


@dataclass(frozen=True, slots=True)
class PairConnected(Event):
    """These two have a connection: a second one is refused."""

    context: ClassVar[str] = "connections"
    name: ClassVar[str] = "pair-connected"
    kind: ClassVar[str] = "pair"
    id_field: ClassVar[str] = "pair"
    pair: Digest
    connection: ConnectionId


@dataclass(frozen=True, slots=True)
class PairParted(Event):
    """These two have no connection any more."""

    context: ClassVar[str] = "connections"
    name: ClassVar[str] = "pair-parted"
    kind: ClassVar[str] = "pair"
    id_field: ClassVar[str] = "pair"
    pair: Digest
    connection: ConnectionId


COMMANDS = (ConfirmConnection, NoteConnection, RemoveConnection)
EVENTS = (
    ConnectionEstablished,
    ConnectionConfirmed,
    ConnectionNoted,
    ConnectionRemoved,
    PairConnected,
    PairParted,
)
