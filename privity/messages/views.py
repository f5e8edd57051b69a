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
    """One's own account, with the identity chain."""

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
    """An invitation as one of its two ends sees it; only the inviter has the note."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRow:
    """An encryption space: who has a wrap of its DEK; one's own wrap is named."""

    space: Id
    connection: ConnectionId
    owner: AccountId
    members: tuple[AccountId, ...]
    wrap: Digest | None
