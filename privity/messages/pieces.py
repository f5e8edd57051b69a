"""Pieces: private values under well-known names, who asks for them, who may read them, and rules that approve."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from privity.messages.base import Command, Event
from privity.messages.fields import (
    AccountId,
    Bytes,
    ConnectionId,
    Digest,
    Id,
    Key32,
    PieceName,
    Sealed,
    Signature,
    Version,
)

MAX_WRAPS = 60
"""Readers that one command gives a new key to; more of them follow in further commands."""

Wraps = Annotated[dict[AccountId, Sealed], Field(min_length=0, max_length=MAX_WRAPS)]
"""For each reader the piece's key, sealed to their side of the connection."""
Grants = Annotated[dict[AccountId, Signature], Field(min_length=0, max_length=MAX_WRAPS)]
"""For each reader the owner's signature over the grant."""


@dataclass(frozen=True, slots=True)
class SetPiece(Command):
    """Keep a value under a name, or its next version; the signed record repeats what it is.

    The key stays while its readers stay (then there are no wraps). A higher generation is a new key, with wraps for
    readers that there are; those left out read nothing until they get theirs. After a reader has gone it must be new.
    """

    subject: ClassVar[str] = "pieces.set"
    piece: Id
    piece_name: PieceName
    version: Version
    generation: Version
    record: Bytes
    signature: Signature
    content: Sealed
    owner_wrap: Sealed
    wraps: Wraps
    grants: Grants


@dataclass(frozen=True, slots=True)
class RegrantPiece(Command):
    """Give the key of this generation to more of those who had the one before."""

    subject: ClassVar[str] = "pieces.regrant"
    piece: Id
    generation: Version
    wraps: Wraps
    grants: Grants


@dataclass(frozen=True, slots=True)
class StorePiece(Command):
    """A reader keeps a piece's key under a KEK of their own: later reads need no private key."""

    subject: ClassVar[str] = "pieces.store"
    piece: Id
    generation: Version
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class ReleaseReader(Command):
    """End one reader's grant: by the owner, or by the reader."""

    subject: ClassVar[str] = "pieces.release"
    piece: Id
    reader: AccountId


@dataclass(frozen=True, slots=True)
class RemovePiece(Command):
    """Keep nothing under a name any more, for anybody; it takes the next version's number."""

    subject: ClassVar[str] = "pieces.remove"
    piece: Id
    version: Version


@dataclass(frozen=True, slots=True)
class RequestPiece(Command):
    """Ask a connected person for a piece; `n` counts what one has asked this person for by this name.

    `challenge` is sealed to the owner, `kept` is the same for oneself; a repeat takes the place of the one before.
    """

    subject: ClassVar[str] = "requests.create"
    request: Id
    owner: AccountId
    piece_name: PieceName
    connection: ConnectionId
    n: Version
    challenge: Sealed
    kept: Sealed
    signature: Signature


@dataclass(frozen=True, slots=True)
class ApproveRequest(Command):
    """The owner grants what is asked for; `answer` proves it by the challenge, over version, key, content and wrap."""

    subject: ClassVar[str] = "requests.approve"
    request: Id
    n: Version
    version: Version
    generation: Version
    content: Digest
    wrap: Sealed
    grant: Signature
    answer: Key32


@dataclass(frozen=True, slots=True)
class DeclineRequest(Command):
    """The owner grants nothing."""

    subject: ClassVar[str] = "requests.decline"
    request: Id
    n: Version


@dataclass(frozen=True, slots=True)
class WithdrawRequest(Command):
    """The asker asks no more."""

    subject: ClassVar[str] = "requests.withdraw"
    request: Id


@dataclass(frozen=True, slots=True)
class SetRules(Command):
    """Keep the rules by which one's own agents approve requests, sealed, all under the next number; or none."""

    subject: ClassVar[str] = "rules.set"
    version: Version
    rules: Sealed | None


@dataclass(frozen=True, slots=True)
class PieceSet(Event):
    """A piece has a value, or a new one."""

    context: ClassVar[str] = "pieces"
    name: ClassVar[str] = "piece-set"
    kind: ClassVar[str] = "piece"
    id_field: ClassVar[str] = "piece"
    piece: Id
    owner: AccountId
    piece_name: PieceName
    version: Version
    generation: Version
    record: Bytes
    signature: Bytes
    content: Sealed
    owner_wrap: Sealed


@dataclass(frozen=True, slots=True)
class PieceGranted(Event):
    """One reader has the key of this generation, sealed to their side of the connection; `grant` is signed."""

    context: ClassVar[str] = "pieces"
    name: ClassVar[str] = "piece-granted"
    kind: ClassVar[str] = "piece"
    id_field: ClassVar[str] = "piece"
    piece: Id
    owner: AccountId
    reader: AccountId
    connection: ConnectionId
    key: Id
    generation: Version
    wrap: Sealed
    grant: Bytes


@dataclass(frozen=True, slots=True)
class PieceStored(Event):
    """A reader holds the key of this generation under a KEK of their own."""

    context: ClassVar[str] = "pieces"
    name: ClassVar[str] = "piece-stored"
    kind: ClassVar[str] = "piece"
    id_field: ClassVar[str] = "piece"
    piece: Id
    owner: AccountId
    reader: AccountId
    generation: Version
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class PieceReleased(Event):
    """Somebody is no reader any more; `generation` is the last key that they may have."""

    context: ClassVar[str] = "pieces"
    name: ClassVar[str] = "piece-released"
    kind: ClassVar[str] = "piece"
    id_field: ClassVar[str] = "piece"
    piece: Id
    owner: AccountId
    reader: AccountId
    generation: Version
    by: AccountId


@dataclass(frozen=True, slots=True)
class PieceRemoved(Event):
    """Nothing is kept under that name; a later value goes on behind this version."""

    context: ClassVar[str] = "pieces"
    name: ClassVar[str] = "piece-removed"
    kind: ClassVar[str] = "piece"
    id_field: ClassVar[str] = "piece"
    piece: Id
    owner: AccountId
    version: Version


@dataclass(frozen=True, slots=True)
class PieceRequested(Event):
    """Somebody asks for a piece."""

    context: ClassVar[str] = "requests"
    name: ClassVar[str] = "piece-requested"
    kind: ClassVar[str] = "request"
    id_field: ClassVar[str] = "request"
    request: Id
    owner: AccountId
    asker: AccountId
    piece_name: PieceName
    connection: ConnectionId
    n: Version
    challenge: Sealed
    kept: Sealed
    signature: Bytes


@dataclass(frozen=True, slots=True)
class RequestApproved(Event):
    """The owner approved; the grant is the piece's event, the answer is over what it names."""

    context: ClassVar[str] = "requests"
    name: ClassVar[str] = "request-approved"
    kind: ClassVar[str] = "request"
    id_field: ClassVar[str] = "request"
    request: Id
    owner: AccountId
    asker: AccountId
    piece_name: PieceName
    n: Version
    version: Version
    generation: Version
    content: Digest
    wrap: Digest
    answer: Key32


@dataclass(frozen=True, slots=True)
class RequestDeclined(Event):
    """The owner declined."""

    context: ClassVar[str] = "requests"
    name: ClassVar[str] = "request-declined"
    kind: ClassVar[str] = "request"
    id_field: ClassVar[str] = "request"
    request: Id
    owner: AccountId
    asker: AccountId
    piece_name: PieceName


@dataclass(frozen=True, slots=True)
class RequestClosed(Event):
    """A request is over: the asker withdrew it; or (`whole`) what it had brought has ended too."""

    context: ClassVar[str] = "requests"
    name: ClassVar[str] = "request-closed"
    kind: ClassVar[str] = "request"
    id_field: ClassVar[str] = "request"
    request: Id
    owner: AccountId
    asker: AccountId
    piece_name: PieceName
    by: AccountId
    whole: bool


@dataclass(frozen=True, slots=True)
class RulesSet(Event):
    """An account keeps other rules."""

    context: ClassVar[str] = "rules"
    name: ClassVar[str] = "rules-set"
    kind: ClassVar[str] = "rules"
    id_field: ClassVar[str] = "account"
    account: AccountId
    version: Version
    rules: Sealed | None


COMMANDS = (
    SetPiece,
    RegrantPiece,
    StorePiece,
    ReleaseReader,
    RemovePiece,
    RequestPiece,
    ApproveRequest,
    DeclineRequest,
    WithdrawRequest,
    SetRules,
)
EVENTS = (
    PieceSet,
    PieceGranted,
    PieceStored,
    PieceReleased,
    PieceRemoved,
    PieceRequested,
    RequestApproved,
    RequestDeclined,
    RequestClosed,
    RulesSet,
)
