"""Reading shares: each is opened only where the sender's signature, the pinned place, the line and the terms hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from privity.agent import connections, lines
from privity.agent.chains import index_of, signed_by, signed_manifest
from privity.agent.connections import Broken, Connection
from privity.agent.contents import SharedContent, read_shared
from privity.agent.identity import OWN, own_line
from privity.agent.items import Content
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_key
from privity.agent.provenance import Way, check
from privity.agent.session import Rows, Session
from privity.crypto.identity import Identity
from privity.crypto.sharing import (
    Conditions,
    Manifest,
    check_accepted,
    open_share,
    rewrap_dek,
    unseal_dek,
    unwrap_own,
)
from privity.encoding import digest, unb64
from privity.errors import (
    ForgedRecord,
    KeyMismatch,
    NotFound,
    PrivityError,
    Refusal,
    ShareExpired,
    StaleVersion,
    TermsNotAccepted,
    Unreachable,
    Withheld,
)
from privity.messages.shares import ClaimShare
from privity.messages.views import ShareRow

SKEW = timedelta(minutes=5)
"""By which a home's clock may be ahead of this device's, when it serves no content any more of what expires."""

BOUND = ("share", "space", "connection", "item", "version", "generation", "owner", "recipient", "content")
CONDITIONS = ("expires", "terms", "terms_hash", "reshare", "keep", "source")


@dataclass(frozen=True, slots=True)
class Share:
    """A share as one of its two ends sees it.

    `accepted`: its terms are, or it has none. `bar` says why the recipient cannot read it now, and `shared` is what it
    holds: None for a recipient who cannot. `way` is how it came, if that goes with it.
    """

    share: str
    connection: str
    space: str
    item: str
    version: int
    generation: int
    incoming: bool
    sender: str
    recipient: str
    owner: str
    claimed: bool
    accepted: bool
    verified: bool
    created: datetime
    manifest: Manifest = field(repr=False)
    bar: Refusal | None
    shared: SharedContent | None = field(repr=False)
    way: Way | None = None

    @property
    def status(self) -> str:
        """`expired`; `terms` until they are accepted; `new` until the recipient has claimed it."""
        match self.bar:
            case ShareExpired():
                return "expired"
            case TermsNotAccepted():
                return "terms"
        return "claimed" if self.claimed else "new"

    @property
    def first_owner(self) -> str | None:
        """The account of who owned the item first; None of what came over others and cannot be read."""
        if self.way is not None:
            return self.way.owner
        return self.owner if self.manifest.source is None else None

    @property
    def opened(self) -> SharedContent:
        """What it holds.

        Raises:
            ShareExpired, TermsNotAccepted: it cannot be read.
        """
        if self.shared is None:
            raise self.bar or TermsNotAccepted
        return self.shared

    @property
    def content(self) -> Content:
        """The slots that are shared.

        Raises:
            ShareExpired, TermsNotAccepted: they cannot be read.
        """
        return self.opened.content

    @property
    def label(self) -> str | None:
        """None where it cannot be read."""
        return self.shared.content.label if self.shared is not None else None

    @property
    def expires(self) -> datetime | None:
        """When reading ends."""
        return self.manifest.expires

    @property
    def conditions(self) -> Conditions:
        """On which it may be read, as its sender sealed them.

        Raises:
            ShareExpired, TermsNotAccepted: as `content`.
        """
        said = self.manifest
        return Conditions(
            expires=said.expires,
            terms=self.opened.terms,
            reshare=said.reshare,
            keep=said.keep,
            source=said.source,
        )

    @property
    def read_version(self) -> int | None:
        """The newest version that the recipient could have read by now, if any."""
        return self.version if self.generation > 1 or self.accepted or self.claimed else None


async def opened(
    session: Session, keyring: Keyring, found: Rows[ShareRow], before: lines.Known, broken: dict[str, Broken]
) -> list[Share | Broken]:
    """Each share, or what is wrong with it; and each connection that does not hold, if no share shows that."""
    mine = await _mine(session, keyring, found.rows)
    shares: list[Share | Broken] = []
    for row in found.rows:
        peer = row.owner_address if row.owner != keyring.account else row.recipient_address
        if row.connection in broken:
            shares.append(Broken(row.share, peer, broken[row.connection].alarm))
            continue
        try:
            await _connect(session, keyring, row, before)
            shares.append(await _open(session, keyring, row, found, before, mine, before.connections.values()))
        except Unreachable:
            raise
        except PrivityError as alarm:
            shares.append(Broken(row.share, peer, session.meant(alarm)))
    shown = {row.connection for row in found.rows}
    return shares + [each for connection, each in broken.items() if connection not in shown]


async def open_one(
    session: Session, keyring: Keyring, row: ShareRow, found: Rows[ShareRow], before: lines.Known
) -> Share:
    """One share.

    Raises:
        IntegrityAlarm, Malformed: what is served does not hold.
    """
    await _connect(session, keyring, row, before)
    return await _open(session, keyring, row, found, before, await _mine(session, keyring, (row,)))


async def _connect(session: Session, keyring: Keyring, row: ShareRow, before: lines.Known) -> None:
    """See that the share's connection is at hand: it may be newer than what was asked for before."""
    if row.connection in before.connections:
        return
    try:
        before.connections[row.connection] = await connections.show(session, keyring, row.connection)
    except NotFound:
        raise Withheld(f"The backend leaves out the connection that share {row.share} goes over.") from None


async def _mine(session: Session, keyring: Keyring, rows: Sequence[ShareRow]) -> tuple[Identity, ...]:
    """One's own identities, where a row has one's own signature."""
    if any(row.owner == keyring.account or row.accepted is not None for row in rows):
        return (await own_line(session))[1]
    return ()


async def _open(
    session: Session,
    keyring: Keyring,
    row: ShareRow,
    found: Rows[ShareRow],
    before: lines.Known,
    mine: tuple[Identity, ...],
    everyone: Iterable[Connection] | None = None,
) -> Share:
    """Args: everyone: all connections, where they were asked for."""
    incoming = row.owner != keyring.account
    connection = before.connections[row.connection]
    line = connection.line if incoming else _since(mine, connection)
    manifest = await signed_manifest(session, line, row.manifest, row.signature, row.position)
    _check_place(row, manifest, connection, incoming)
    await lines.check_served(session, before, manifest, unb64(row.manifest))
    accepted = _is_accepted(row, manifest, mine if incoming else connection.line, incoming)
    bar = _bar(row, manifest, accepted)
    shared, way, claimed = None, None, row.claimed
    if bar is None or not incoming:
        dek, claimed = await _dek(session, keyring, row, manifest, found.blob(row.wrap or ""))
        shared = _shared(manifest, dek, found.blob(row.content))
        way = await check(session, keyring, manifest, shared, connection, line, everyone)
    return Share(
        share=row.share,
        connection=row.connection,
        space=row.space,
        item=row.item,
        version=row.version,
        generation=row.generation,
        incoming=incoming,
        sender=connection.address if incoming else row.owner_address,
        recipient=row.recipient_address if incoming else connection.address,
        owner=row.owner,
        claimed=claimed,
        accepted=accepted,
        verified=connection.verified,
        created=row.created,
        manifest=manifest,
        bar=bar,
        shared=shared,
        way=way,
    )


def _since(mine: tuple[Identity, ...], connection: Connection) -> tuple[Identity, ...]:
    """One's own identities from the one that the connection names."""
    return mine[index_of(mine, connection.own_head, OWN) :]


def _is_accepted(row: ShareRow, manifest: Manifest, line: Sequence[Identity], own: bool) -> bool:
    """Whether the recipient signed the terms, if there are any.

    Args:
        line: the recipient's identities.
        own: one's own signature counts whatever became of its key; of another, none by a key that was given up as
            stolen.

    Raises:
        ForgedRecord: there is a signature, and it is not the recipient's.
    """
    if manifest.terms_hash is None:
        return True
    if row.accepted is None:
        return False
    signature = unb64(row.accepted)
    unsigned = f"The terms of share {row.share} are not accepted by the one who is said to have done so."
    _, bounds = signed_by(line, lambda key: check_accepted(key, signature, manifest), unsigned)
    return own or not bounds


def _bar(row: ShareRow, manifest: Manifest, accepted: bool) -> Refusal | None:
    """Why the recipient cannot read it now, whatever the backend serves."""
    if manifest.expires is not None:
        grace = SKEW if row.wrap is None else timedelta()  # it is not served: the home's clock may be ahead
        if _now() + grace >= manifest.expires:
            return ShareExpired()
    return None if accepted else TermsNotAccepted()


async def _dek(
    session: Session, keyring: Keyring, row: ShareRow, manifest: Manifest, wrap: bytes
) -> tuple[bytes, bool]:
    """The DEK, and whether the recipient has claimed it."""
    if row.owner == keyring.account:
        return unwrap_own(keyring.kek, wrap, manifest, "owner"), row.claimed
    if row.claimed:
        return unwrap_own(keyring.kek, wrap, manifest, "recipient"), True
    return await _claim(session, keyring, manifest, wrap)


async def _claim(session: Session, keyring: Keyring, manifest: Manifest, wrap: bytes) -> tuple[bytes, bool]:
    """Unseal the DEK with the connection's private key, and keep it under the KEK from now on."""
    key = await stored_connection_key(session, keyring, manifest.recipient_key)
    dek = unseal_dek(manifest, wrap, key.pair.private)
    rewrapped = rewrap_dek(keyring.kek, dek, manifest)
    try:
        await session.send(ClaimShare(manifest.share, digest(rewrapped), manifest.generation), rewrapped)
    except (StaleVersion, ShareExpired, TermsNotAccepted, NotFound):  # that came meanwhile: what stands is claimed next
        return dek, False
    return dek, True


def _shared(manifest: Manifest, dek: bytes, content: bytes) -> SharedContent:
    """What is sealed; the terms in it must be those that the manifest names, which are those that are accepted."""
    shared = read_shared(open_share(manifest, dek, content))
    if (shared.terms.hash if shared.terms is not None else None) != manifest.terms_hash:
        raise ForgedRecord(f"Share {manifest.share} holds other terms than those that its sender signed.")
    return shared


def _check_place(row: ShareRow, manifest: Manifest, connection: Connection, incoming: bool) -> None:
    """What the row says must be what the sender signed, between the two ends of the pinned connection."""
    if any(getattr(row, name) != getattr(manifest, name) for name in (*BOUND, *CONDITIONS)):
        raise ForgedRecord(f"What the backend says of share {row.share} is not what its sender signed.")
    own_key = connection.key if incoming else connection.peer_key
    if connection.peer not in (manifest.owner, manifest.recipient) or manifest.recipient_key != own_key:
        raise KeyMismatch(f"Share {row.share} is not between the two ends of its connection.")


def _now() -> datetime:
    return datetime.now(UTC)
