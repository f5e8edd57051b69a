"""Suppliers: who keep sealed fragments of files, how they announce themselves, and what is asked of them on the bus.

A request is a frame of JSON and, for `put`, the fragment's bytes; an answer likewise. A supplier signs its own commands
towards the home: its id is the hash of its key, and stands where a person's account would.
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter

from privity.messages.base import Command, Event
from privity.messages.fields import STRICT, AccountId, Bytes, Digest, Id, Key32, Signature, SignedRecord

SUPPLIER_SUBJECT = "privity.supplier"
FRAGMENT_BYTES = 512 * 1024
"""The most that one fragment has."""
MAX_SUPPLIER_MESSAGE = FRAGMENT_BYTES + 64 * 1024
"""Bytes of a whole request or answer."""
MAX_LEAVES = 8000
"""Hashes of fragments in one answer."""
MAX_SEGMENTS = 2**16
"""Fragments of one object at one supplier: 32 GiB; a larger file is several objects."""
MAX_CHAIN = 512
"""Records of an identity chain."""
MAX_LISTED = 1000
"""Objects in one answer."""

SupplierId = AccountId
"""Base32 of the hash of the supplier's public key."""
SupplierName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Lease = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
Operation = Literal["put", "get", "delete", "list"]
Segment = Annotated[int, Field(ge=0, le=MAX_SEGMENTS - 1)]


@dataclass(frozen=True, slots=True)
class AnnounceSupplier(Command):
    """Say that one is there, under which name, and how many bytes one takes. Signed by the supplier's own key."""

    subject: ClassVar[str] = "suppliers.announce"
    supplier: SupplierId
    name: SupplierName
    public: Key32
    quota: Annotated[int, Field(ge=0, le=2**62)]


@dataclass(frozen=True, slots=True)
class ReplaceSupplier(Command):
    """Take a lost supplier's place wherever it has one; the order is signed by the home's log key."""

    subject: ClassVar[str] = "suppliers.replace"
    supplier: SupplierId
    lost: SupplierId
    order: Signature


@dataclass(frozen=True, slots=True)
class SupplierAnnounced(Event):
    """A supplier is there, or says something else of itself than before."""

    context: ClassVar[str] = "suppliers"
    name: ClassVar[str] = "supplier-announced"
    kind: ClassVar[str] = "supplier"
    id_field: ClassVar[str] = "supplier"
    supplier: SupplierId
    called: SupplierName
    public: Key32
    quota: int


@dataclass(frozen=True, slots=True)
class SupplierNamed(Event):
    """A supplier has taken a name, which nobody had, or who had it was replaced or is called otherwise now."""

    context: ClassVar[str] = "suppliers"
    name: ClassVar[str] = "supplier-named"
    kind: ClassVar[str] = "suppliername"
    id_field: ClassVar[str] = "called"
    called: SupplierName
    supplier: SupplierId


@dataclass(frozen=True, slots=True)
class SupplierReplaced(Event):
    """A supplier stands where a lost one did, in whose stream this is."""

    context: ClassVar[str] = "suppliers"
    name: ClassVar[str] = "supplier-replaced"
    kind: ClassVar[str] = "supplier"
    id_field: ClassVar[str] = "lost"
    supplier: SupplierId
    lost: SupplierId
    order: Signature


@dataclass(frozen=True, slots=True)
class AskNonce:
    """`nonce`: one that a proof must be made over; good once, for a minute."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "nonce"


@dataclass(frozen=True, slots=True)
class Register:
    """`register`: who may read and write under a key, as its creator signed it: a record of the key's line.

    `chain` is the creator's identity chain. A record below the newest that the supplier has is refused. Who brings it
    is in the record, and shows by the `nonce` of the supplier that they hear its answers; else the operator's `order`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "register"
    key: AccountId
    record: Bytes
    signature: Signature
    chain: Annotated[tuple[SignedRecord, ...], Field(min_length=1, max_length=MAX_CHAIN)]
    nonce: Digest | None = None
    order: Signature | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """`open`: begin one operation on one object, or on all under a key, by a proof over the supplier's nonce.

    `by_key` and `by_identity` are the two signatures of `privity.crypto.supplying.sign_proof`; `chain` is the identity
    chain of who asks. `segments` is, for `put`, how many there will be. In an `order` of the operator (rebuilding a
    lost part) the one signature is that of the home's log key, and `account` and `chain` are empty; to put, it has the
    `root` of what is to be there.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "open"
    operation: Operation
    key: AccountId
    object: Id | None
    nonce: Digest
    account: AccountId | None
    by_key: Signature | None
    by_identity: Signature | None
    order: Signature | None = None
    chain: Annotated[tuple[SignedRecord, ...], Field(max_length=MAX_CHAIN)] = ()
    segments: Annotated[int, Field(ge=0, le=MAX_SEGMENTS)] = 0
    root: Digest | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """`put`: one fragment of the object that the lease is for; its bytes ride behind. Twice is no change."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "put"
    lease: Lease = field(repr=False)
    segment: Segment


@dataclass(frozen=True, slots=True)
class Complete:
    """`complete`: all fragments are there, and hash to this root: from now on they can be read."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "complete"
    lease: Lease = field(repr=False)
    root: Digest


@dataclass(frozen=True, slots=True)
class Leaves:
    """`leaves`: the hashes of the fragments that are there, from a segment on: of a whole object, or half an upload."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "leaves"
    lease: Lease = field(repr=False)
    start: Segment


@dataclass(frozen=True, slots=True)
class Get:
    """`get`: one fragment; its bytes ride behind the answer."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "get"
    lease: Lease = field(repr=False)
    segment: Segment


@dataclass(frozen=True, slots=True)
class Prove:
    """`prove`: HMAC-SHA256 of a fragment under a fresh nonce: it takes the fragment itself to answer."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "prove"
    lease: Lease = field(repr=False)
    segment: Segment
    nonce: Digest


@dataclass(frozen=True, slots=True)
class Delete:
    """`delete`: the object goes, whole or half; again is no change. Only its key's creator gets such a lease."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "delete"
    lease: Lease = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListObjects:
    """`list`: the objects under the key that the lease is for, behind `after`; half uploads too."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "list"
    lease: Lease = field(repr=False)
    after: Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{0,26}$")] = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """`replace`: take a lost supplier's place. The order is the operator's; the supplier sends the command."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "replace"
    lost: SupplierId
    order: Signature


@dataclass(frozen=True, slots=True)
class AskStatus:
    """`status`: how full it is; says nothing of whose."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    verb: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True)
class Listed:
    """An object that a supplier has: whether it is whole, how many fragments, and when one was put last (Unix time)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    object: Id
    whole: bool
    fragments: int
    since: int


@dataclass(frozen=True, slots=True)
class Supplied:
    """What a supplier answers; which fields are set, the verb says. Refused: with a code and a sentence."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    status: Literal["ok", "refused"]
    code: str | None = None
    message: str | None = None
    nonce: Digest | None = None
    lease: Lease | None = field(default=None, repr=False)
    root: Digest | None = None
    segments: int | None = None
    leaves: Annotated[tuple[tuple[int, Digest], ...], Field(max_length=MAX_LEAVES)] | None = None
    proof: Digest | None = None
    objects: Annotated[tuple[Listed, ...], Field(max_length=MAX_LISTED)] | None = None
    more: bool = False
    called: str | None = None
    fragments: int | None = None
    used: int | None = None
    quota: int | None = None


Request = (
    AskNonce | Register | Open | Put | Complete | Leaves | Get | Prove | Delete | ListObjects | Replace | AskStatus
)
REQUESTS: dict[str, type[Request]] = {
    each.verb: each
    for each in (AskNonce, Register, Open, Put, Complete, Leaves, Get, Prove, Delete, ListObjects, Replace, AskStatus)
}
"""By verb."""

supplied = TypeAdapter(Supplied)


def supplier_subject(supplier: str, verb: str) -> str:
    """Where a supplier is asked."""
    return f"{SUPPLIER_SUBJECT}.{supplier}.{verb}"


COMMANDS = (AnnounceSupplier, ReplaceSupplier)
EVENTS = (SupplierNamed, SupplierAnnounced, SupplierReplaced)
