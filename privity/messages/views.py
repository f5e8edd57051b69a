"""The views: what can be asked, with which parameters, and what a row says."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from privity.messages.accounts import Kdf
from privity.messages.envelope import FeedEntry, Result
from privity.messages.fields import (
    STRICT,
    AccountId,
    Address,
    Bytes,
    CommandId,
    ConnectionId,
    Digest,
    Hops,
    Id,
    Instant,
    Key32,
    PieceName,
    Position,
    Sealed,
    Signature,
    SignedRecord,
    SuiteName,
    Version,
)
from privity.messages.grants import AuditKind, Outcome, Step, Verdict
from privity.messages.groups import GroupId, GroupRole, Index, Proof
from privity.messages.locations import MAX_SUPPLIERS, LocationId, StoredObject
from privity.messages.suppliers import SupplierId, SupplierName

PAGE = 100
MAX_PAGE = 200

Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
Cursor = Annotated[int, Field(ge=0, le=2**62)]
Prefix = Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{0,52}$")]
"""The beginning of an id, or all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What every view's parameters are: a page of at most `limit` rows behind the cursor `after`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    view: ClassVar[str]
    after: Cursor = 0
    limit: Limit = PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAccount(Ask):
    """One's own account, with the identity chain; the identity's wrapped keys are released only for a fresh nonce."""

    view: ClassVar[str] = "account"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskKeyring(Ask):
    """The wrapped keys of an account, for whoever proves the passphrase or the recovery key; not signed by a device.

    `proof` is the login key's signature over nonce, home and purpose.
    """

    view: ClassVar[str] = "keyring"
    purpose: Literal["login", "recover"]
    proof: Signature = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskKeys(Ask):
    """One's own stored keypairs."""

    view: ClassVar[str] = "keys"
    id: Prefix = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskInvitations(Ask):
    """Invitations from me and to my address."""

    view: ClassVar[str] = "invitations"
    id: Prefix = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOffer(Ask):
    """An open invitation, for who has its token."""

    view: ClassVar[str] = "offer"
    id: Id
    token: Key32 = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskConnections(Ask):
    """One's own connections."""

    view: ClassVar[str] = "connections"
    id: Prefix = ""
    peer: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskItems(Ask):
    """One's own items, or those of `principal`, whose delegate one is.

    `shared_with` leaves those that are shared over that connection.
    """

    view: ClassVar[str] = "items"
    id: Prefix = ""
    shared_with: ConnectionId | None = None
    principal: AccountId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskVaults(Ask):
    """The vault keys that one holds, of all or of one person; what is unclaimed is released only for a fresh nonce."""

    view: ClassVar[str] = "vaults"
    principal: AccountId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskDelegations(Ask):
    """The signed steps that made and ended the delegates of a person: oneself, or one whose delegate one is."""

    view: ClassVar[str] = "delegations"
    principal: AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskInstructions(Ask):
    """What one's delegates want done with one's shares; with `principal` what one wants done as that one's delegate.

    With `open` those alone that wait. Of those that are answered the newest are there, by delegation.
    """

    view: ClassVar[str] = "instructions"
    principal: AccountId | None = None
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskShares(Ask):
    """Shares to me and from me; an unclaimed wrapped DEK is released only for a fresh nonce.

    With `bare` no sealed object goes along: nothing is released, and nothing recorded as read. With `principal` those
    from one whose delegate one is, which are always bare.
    """

    view: ClassVar[str] = "shares"
    id: Prefix = ""
    item: Prefix = ""
    direction: Literal["incoming", "outgoing", "all"] = "all"
    connection: ConnectionId | None = None
    bare: bool = False
    principal: AccountId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskFiles(Ask):
    """What is attached to an item of one's own, or to a share from me or to me; one at a time fits into an answer.

    With `bare` only what there is: no sealed object goes along, and nothing is recorded as read.
    """

    view: ClassVar[str] = "files"
    of: Id
    id: Prefix = ""
    bare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSpaces(Ask):
    """Encryption spaces that one is a member of."""

    view: ClassVar[str] = "spaces"
    id: Prefix = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSharingKeys(Ask):
    """The sharing keys that one made, holds or knows; an unclaimed private part is released only for a fresh nonce."""

    view: ClassVar[str] = "sharing-keys"
    id: Prefix = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskKeyRecords(Ask):
    """The line of records of a sharing key that one made or holds, from the first on."""

    view: ClassVar[str] = "key-records"
    key: AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskKeyHolders(Ask):
    """Who holds a sharing key of one's own, over which connection."""

    view: ClassVar[str] = "key-holders"
    key: AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskFeed(Ask):
    """What happened, in order."""

    view: ClassVar[str] = "feed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskResult(Ask):
    """The recorded result of one of one's own commands."""

    view: ClassVar[str] = "result"
    command: CommandId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskCheckpoint(Ask):
    """The newest checkpoint of the log, with a consistency proof from each of the sizes `since`."""

    view: ClassVar[str] = "checkpoint"
    since: Annotated[tuple[Position, ...], Field(max_length=16)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AskEvidence(Ask):
    """The event at a position of one's own feed: its bytes, the signed command behind it, its place in the log.

    Without a position: those of all one's feed, page by page, each actor's chain with their first event of a page.
    With `size` each path leads to the root of that size, and the rows name no checkpoint; later events are left out.
    """

    view: ClassVar[str] = "evidence"
    position: Position | None = None
    size: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLine(Ask):
    """What each side of a connection sent over it, numbered and hash-linked by its sender; what has ended is there too.

    It is told to both of them also after the connection has ended.
    """

    view: ClassVar[str] = "line"
    connection: ConnectionId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPieces(Ask):
    """One's own pieces; or those of a connected person: each name, and what is granted, its key for a fresh nonce."""

    view: ClassVar[str] = "pieces"
    owner: AccountId | None = None
    piece_name: PieceName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskReaders(Ask):
    """Who may read one's own pieces; with `held`, what others granted to oneself."""

    view: ClassVar[str] = "readers"
    piece: Prefix = ""
    connection: ConnectionId | None = None
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequests(Ask):
    """Requests for pieces, to me and from me; with `open` those alone that wait for an answer."""

    view: ClassVar[str] = "requests"
    id: Prefix = ""
    direction: Literal["incoming", "outgoing", "all"] = "all"
    connection: ConnectionId | None = None
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRules(Ask):
    """One's own rules by which requests are approved."""

    view: ClassVar[str] = "rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskGroups(Ask):
    """The groups that one is in; a space key that one has not claimed is released only for a fresh nonce."""

    view: ClassVar[str] = "groups"
    id: Prefix = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskGroupEpochs(Ask):
    """The signed epochs of a group from the first on; who was dropped, or went, sees none behind that."""

    view: ClassVar[str] = "group-epochs"
    group: GroupId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskGroupMembers(Ask):
    """The members of a group that one is in; or one account, with its identity chain, which ever was in it.

    The cursor counts members.
    """

    view: ClassVar[str] = "group-members"
    group: GroupId
    account: AccountId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskGroupLine(Ask):
    """All that was written to a group that one is in, by number; with `bare` without what it holds.

    The cursor is a number.
    """

    view: ClassVar[str] = "group-line"
    group: GroupId
    bare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLocations(Ask):
    """The locations whose key one made or holds."""

    view: ClassVar[str] = "locations"
    id: Prefix = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLocationLine(Ask):
    """All that was written to a location that one reads, by number; with `bare` without what it says.

    The cursor is a number.
    """

    view: ClassVar[str] = "location-line"
    location: LocationId
    bare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLocationPeople(Ask):
    """Who reads a location that one reads too, or wrote to it, or one of them; with identity chains.

    The cursor counts people.
    """

    view: ClassVar[str] = "location-people"
    location: LocationId
    account: AccountId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskGrants(Ask):
    """The grants of one's own sharing keys, with how each step went; with `open` those that are not done."""

    view: ClassVar[str] = "grants"
    id: Prefix = ""
    key: AccountId | None = None
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskKeyAudits(Ask):
    """Audits of keys, that others ask of me or I ask of others; with `open` those that wait for an answer.

    A challenge goes to who is asked, an answer to who asked.
    """

    view: ClassVar[str] = "key-audits"
    id: Prefix = ""
    direction: Literal["incoming", "outgoing", "all"] = "all"
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSuppliers(Ask):
    """The suppliers of the home: everybody may know them."""

    view: ClassVar[str] = "suppliers"


ASKS: dict[str, type[Ask]] = {
    ask.view: ask
    for ask in (
        AskAccount,
        AskKeyring,
        AskKeys,
        AskInvitations,
        AskOffer,
        AskConnections,
        AskItems,
        AskVaults,
        AskDelegations,
        AskInstructions,
        AskShares,
        AskFiles,
        AskSpaces,
        AskFeed,
        AskResult,
        AskCheckpoint,
        AskEvidence,
        AskLine,
        AskGroups,
        AskGroupEpochs,
        AskGroupMembers,
        AskGroupLine,
        AskPieces,
        AskReaders,
        AskRequests,
        AskRules,
        AskSharingKeys,
        AskKeyRecords,
        AskKeyHolders,
        AskGrants,
        AskKeyAudits,
        AskLocations,
        AskLocationLine,
        AskLocationPeople,
        AskSuppliers,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """An account as its owner sees it."""

    account: AccountId
    address: Address
    chain: tuple[SignedRecord, ...]
    devices: dict[str, str]
    kdf: Kdf
    kek: Digest
    kek_recovery: Digest
    identity: Sealed
    renamed: Annotated[int, Field(ge=0)] = 0
    """The position of the event that gave it this address; 0 while it has its first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A stored keypair, the private part sealed."""

    key: Id
    suite: SuiteName
    public: Bytes
    private: Sealed
    published: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationRow:
    """An invitation as one of its two ends sees it; only the inviter has the note, and only while it is open."""

    invitation: Id
    incoming: bool
    inviter: AccountId
    inviter_address: Address
    email: Address
    status: Literal["new", "accepted", "declined", "cancelled", "expired"]
    expires: Instant
    connection: ConnectionId | None
    record: Bytes | None
    note: Sealed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRow:
    """What an invited person gets for the token: the first message, and the inviter's chain to check it by."""

    invitation: Id
    inviter_address: Address
    record: Bytes
    mac: Bytes
    chain: tuple[SignedRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRow:
    """A connection as one side sees it, with all that this side needs to check the other."""

    connection: ConnectionId
    invitation: Id
    inviter: bool
    peer: AccountId
    peer_address: Address
    key: Id
    public: Bytes
    peer_key: Id
    peer_public: Bytes
    peer_chain: tuple[SignedRecord, ...]
    confirmed: bool
    note: Sealed
    offer: Bytes
    offer_mac: Bytes
    acceptance: Bytes
    acceptance_mac: Bytes | None
    confirmation_mac: Bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """An item, sealed. One under a vault key has the record that its author signed, and the position it came at."""

    item: Id
    version: Version
    content: Sealed
    wrap: Sealed
    record: Bytes | None = None
    signature: Bytes | None = None
    kept: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRow:
    """A vault key, wrapped for who asks, and the key of each generation before, under the one that followed it.

    `chain` is the principal's. Unclaimed, the wrap is sealed to a connection key; claimed, it is under one's own KEK.
    """

    principal: AccountId
    chain: tuple[SignedRecord, ...]
    generation: Version
    wrap: Sealed
    claimed: bool
    befores: tuple[Sealed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationRow:
    """A signed step, and the identity chain of the delegate whom it is about."""

    principal: AccountId
    n: Version
    record: Bytes
    signature: Bytes
    position: Position
    chain: tuple[SignedRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionRow:
    """What a delegate wants done, as signed, and where it came; `content` is there until it is answered.

    `answered` is the position of the answer: `code` is the error's where it was refused, `share` what it is about.
    """

    principal: AccountId
    delegation: Id
    n: Version
    record: Bytes
    signature: Bytes
    content: Sealed | None
    position: Position
    answered: Position | None
    code: str | None
    share: Id | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRow:
    """A share, sealed. `wrap` is one's own: the owner's, the claimed one, or the one sealed to the connection key.

    A delegate of the owner's has none.

    The recipient gets neither content nor wrap before the terms are accepted, or after the share has expired; the
    sealed terms are there for the recipient alone.
    """

    share: Id
    space: Id
    connection: ConnectionId
    owner: AccountId
    owner_address: Address
    recipient: AccountId
    recipient_address: Address
    item: Id
    version: Version
    created: Instant
    manifest: Bytes
    signature: Bytes
    content: Sealed
    wrap: Sealed | None
    claimed: bool
    position: Position
    """Of the event that made or last revised it: where the log has the sender's signature."""
    generation: Version
    expires: Instant | None
    terms: Sealed | None
    terms_hash: Digest | None
    accepted: Bytes | None
    """The recipient's signature over the terms, once they are accepted."""
    reshare: Hops
    keep: bool
    source: Id | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """A file, sealed; its key, name and hash stand in the content of what it is attached to.

    The recipient of a share gets it neither before the terms are accepted, nor after the share has expired.
    """

    of: Id
    file: Id
    content: Sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRow:
    """An encryption space: who has a wrap of its DEK; one's own wrap is named."""

    space: Id
    connection: ConnectionId
    owner: AccountId
    members: tuple[AccountId, ...]
    wrap: Sealed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """A checkpoint, and for each size that was asked for the proof that the log only grew since."""

    checkpoint: str
    proofs: tuple[tuple[Digest, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """An event, the signed command that made it, and the proof that it is in the log.

    `data` is the stored bytes as text; `payload` and `signature` are those of the command on `subject`, `chain` is the
    identity chain of whose command it is: somebody who is not connected any more, perhaps.
    """

    position: int
    stream: str
    version: int
    name: str
    data: str
    subject: str
    payload: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$", max_length=200_000)]
    signature: Bytes
    checkpoint: str
    proof: tuple[Digest, ...]
    chain: tuple[SignedRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow:
    """One object of a line: its signed manifest, its position, and that of the event that ended it, if one did."""

    connection: ConnectionId
    sender: AccountId
    n: Version
    share: Id
    manifest: Bytes
    signature: Bytes
    position: Position
    ended: Position | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceRow:
    """A piece, sealed: one's own, with one's own wrap; or somebody's, with what the reader has of the newest key.

    Somebody's piece without a grant has its name alone. `due`: one's own needs a new key for its next version, as a
    reader has gone; somebody's was granted under an older key, and the new one is still to come. One's own that was
    removed has no content.
    """

    piece: Id
    owner: AccountId
    piece_name: PieceName
    version: Version | None
    generation: Version | None
    record: Bytes | None
    signature: Bytes | None
    content: Sealed | None
    wrap: Sealed | None
    stored: bool
    connection: ConnectionId | None
    key: Id | None
    grant: Bytes | None
    due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderRow:
    """One grant of a piece: the key of which generation, sealed to which key, as the owner signed it."""

    piece: Id
    reader: AccountId
    reader_address: Address
    connection: ConnectionId
    key: Id
    generation: Version
    wrap: Digest
    grant: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request for a piece; the owner has the challenge of the round that is open.

    `approved` is the round that was granted last, until what it brought has ended: the asker has what was kept of it
    (`kept`), and what the answer is over. `n` and `status` are those of the newest round.
    """

    request: Id
    owner: AccountId
    owner_address: Address
    asker: AccountId
    asker_address: Address
    piece_name: PieceName
    connection: ConnectionId
    n: Version
    status: Literal["open", "approved", "declined", "closed"]
    signature: Bytes
    challenge: Sealed | None
    approved: Version | None
    kept: Sealed | None
    version: Version | None
    generation: Version | None
    content: Digest | None
    wrap: Digest | None
    answer: Key32 | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesRow:
    """One's own rules, sealed; none once they were cleared."""

    account: AccountId
    version: Version
    rules: Sealed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """A group that one is in: one's own place in the newest epoch, and the space key as one has it.

    `wrap` is sealed to one's identity, or, once claimed, under one's own KEK; `about` holds the name.
    """

    group: GroupId
    epoch: Version
    role: GroupRole
    head: Digest
    seal: Digest
    index: Index
    proof: Proof
    wrap: Sealed | None
    claimed: bool
    about: Sealed
    went: Annotated[int, Field(ge=0)]
    """How many members went, whom the next epoch is to drop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEpochRow:
    """An epoch as its admin signed it, with the admin's place in the epoch before (of the first: in itself)."""

    group: GroupId
    epoch: Version
    record: Bytes
    signature: Bytes
    by: AccountId
    role: GroupRole
    head: Digest
    seal: Digest
    index: Index
    proof: Proof
    link: Sealed | None
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMemberRow:
    """A member: role and identity as the newest epoch has them, and the public seal key of that identity.

    `chain` is there where the identity went on since, or for one account alone. `left` is the position at which they
    went: they are in no next epoch. `gone`: they are in none any more.
    """

    group: GroupId
    account: AccountId
    address: Address
    role: GroupRole
    n: Annotated[int, Field(ge=0)]
    head: Digest
    seal: Digest
    suite: SuiteName
    public: Bytes
    chain: tuple[SignedRecord, ...]
    left: Position | None
    gone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLineRow:
    """One number of a group's line: its signed manifest, and the author's place in the epoch that it names.

    `content` and `wrap` are there while it is the newest version of a post that stands.
    """

    group: GroupId
    n: Version
    post: Id
    author: AccountId
    manifest: Bytes
    signature: Bytes
    role: GroupRole
    head: Digest
    seal: Digest
    index: Index
    proof: Proof
    content: Sealed | None
    wrap: Sealed | None
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationRow:
    """A location as those who read it see it: its suppliers in the order of the slots, how many parts are enough.

    `by` made it, `n` is the number of its newest change, 0 while there is none, `position` of the event that made it.
    """

    location: LocationId
    by: AccountId
    needed: Annotated[int, Field(ge=1, le=MAX_SUPPLIERS)]
    suppliers: Annotated[tuple[AccountId, ...], Field(min_length=1, max_length=MAX_SUPPLIERS)]
    n: Annotated[int, Field(ge=0)]
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationLineRow:
    """One change of a location as its writer signed it: its body sealed to the key, its objects in the open."""

    location: LocationId
    n: Version
    by: AccountId
    generation: Version
    manifest: Bytes
    signature: Bytes
    body: Sealed
    objects: tuple[StoredObject, ...]
    released: tuple[Id, ...]
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationPersonRow:
    """Somebody who reads a location, or wrote to it, and their identity chain."""

    location: LocationId
    account: AccountId
    address: Address
    chain: tuple[SignedRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplierRow:
    """A supplier: `quota` is the bytes that it takes, 0 for no bound. One that was lost names who took its place.

    `order` is the signature of the home's log key that says so.
    """

    supplier: SupplierId
    called: SupplierName
    public: Key32
    quota: Annotated[int, Field(ge=0, le=2**62)]
    replaced_by: SupplierId | None
    order: Signature | None


@dataclass(frozen=True, slots=True)
class GrantStepRow:
    """How a step of a grant went, as the one who grants said."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    step: Step
    outcome: Outcome
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRow:
    """A grant of one's own key, begun by the event at `position`; `steps` are those that were taken, in their order."""

    grant: Id
    key: AccountId
    to: AccountId
    to_address: Address
    connection: ConnectionId
    position: Position
    steps: Annotated[tuple[GrantStepRow, ...], Field(max_length=5)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAuditRow:
    """An audit as its asker signed it; once answered with the answer as its other end signed it (`answered`)."""

    audit: Id
    asker: AccountId
    of: AccountId
    key: AccountId | None
    connection: ConnectionId
    audited: AuditKind
    generation: Version
    nonce: Digest
    challenge: Sealed | None
    signature: Signature
    at: Instant
    verdict: Verdict | None
    held: Digest | None
    answer: Sealed | None
    answered: Signature | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingKeyRow:
    """A sharing key as one has it: `kind` says whether one made it, holds it, or knows its public part alone.

    `record` is the newest of its line; of a public part of which one has no note yet, the one that it was given with.
    `chain` is its creator's.
    `wrap` is the private part, under one's own KEK once `claimed`, else sealed to one's side of `connection`; of a
    public part it is the alias, sealed likewise by `given_by`. `note` is one's own.
    """

    key: AccountId
    creator: AccountId
    creator_address: Address
    chain: tuple[SignedRecord, ...]
    kind: Literal["own", "received", "public"]
    record: Bytes
    signature: Bytes
    given_by: AccountId
    connection: ConnectionId | None
    claimed: bool
    wrap: Sealed | None
    note: Sealed | None
    position: Position
    """Of the event that brought the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecordRow:
    """A record of a sharing key as its creator signed it; one that begins a generation has the link to that before."""

    key: AccountId
    n: Version
    record: Bytes
    signature: Bytes
    link: Sealed | None
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolderRow:
    """Somebody who holds a sharing key: over which connection, of which generation, and whether it was claimed."""

    key: AccountId
    account: AccountId
    address: Address
    connection: ConnectionId
    generation: Version
    claimed: bool


ROWS: dict[str, Any] = {
    "account": AccountRow,
    "keyring": AccountRow,
    "keys": KeyRow,
    "invitations": InvitationRow,
    "offer": OfferRow,
    "connections": ConnectionRow,
    "items": ItemRow,
    "vaults": VaultRow,
    "delegations": DelegationRow,
    "instructions": InstructionRow,
    "shares": ShareRow,
    "files": FileRow,
    "spaces": SpaceRow,
    "feed": FeedEntry,
    "result": Result,
    "checkpoint": CheckpointRow,
    "evidence": EvidenceRow,
    "line": LineRow,
    "groups": GroupRow,
    "group-epochs": GroupEpochRow,
    "group-members": GroupMemberRow,
    "group-line": GroupLineRow,
    "pieces": PieceRow,
    "readers": ReaderRow,
    "requests": RequestRow,
    "rules": RulesRow,
    "sharing-keys": SharingKeyRow,
    "key-records": KeyRecordRow,
    "key-holders": KeyHolderRow,
    "grants": GrantRow,
    "key-audits": KeyAuditRow,
    "locations": LocationRow,
    "location-line": LocationLineRow,
    "location-people": LocationPersonRow,
    "suppliers": SupplierRow,
}
"""What a row of each view is, by the view's name."""
