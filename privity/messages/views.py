"""The views: what can be asked, with which parameters, and what a row says."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from privity.messages.accounts import Kdf
from privity.messages.fields import (
    STRICT,
    AccountId,
    Address,
    Bytes,
    CommandId,
    ConnectionId,
    Digest,
    Id,
    Key32,
    Position,
    Signature,
    SignedRecord,
    SuiteName,
    Version,
)

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
    """One's own items; `shared_with` leaves those that are shared over that connection."""

    view: ClassVar[str] = "items"
    id: Prefix = ""
    shared_with: ConnectionId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskShares(Ask):
    """Shares to me and from me; an unclaimed wrapped DEK is released only for a fresh nonce."""

    view: ClassVar[str] = "shares"
    id: Prefix = ""
    item: Prefix = ""
    direction: Literal["incoming", "outgoing", "all"] = "all"
    connection: ConnectionId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSpaces(Ask):
    """Encryption spaces that one is a member of."""

    view: ClassVar[str] = "spaces"
    id: Prefix = ""


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
        AskShares,
        AskSpaces,
        AskFeed,
        AskResult,
        AskCheckpoint,
        AskEvidence,
        AskLine,
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
    identity: Digest
    renamed: Annotated[int, Field(ge=0)] = 0
    """The position of the event that gave it this address; 0 while it has its first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A stored keypair, the private part sealed."""

    key: Id
    suite: SuiteName
    public: Bytes
    private: Digest
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
    expires: datetime
    connection: ConnectionId | None
    record: Bytes | None
    note: Digest | None


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
    note: Digest
    offer: Bytes
    offer_mac: Bytes
    acceptance: Bytes
    acceptance_mac: Bytes | None
    confirmation_mac: Bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """One's own item, sealed."""

    item: Id
    version: Version
    content: Digest
    wrap: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRow:
    """A share, sealed. `wrap` is one's own: the owner's, the claimed one, or the one sealed to the connection key."""

    share: Id
    space: Id
    connection: ConnectionId
    owner: AccountId
    owner_address: Address
    recipient: AccountId
    recipient_address: Address
    item: Id
    version: Version
    created: datetime
    manifest: Bytes
    signature: Bytes
    content: Digest
    wrap: Digest | None
    claimed: bool
    position: Position
    """Of the event that made it: where the log has the sender's signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRow:
    """An encryption space: who has a wrap of its DEK; one's own wrap is named."""

    space: Id
    connection: ConnectionId
    owner: AccountId
    members: tuple[AccountId, ...]
    wrap: Digest | None


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
