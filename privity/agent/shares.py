"""Shares: sealed for exactly the pinned key, opened only when the sender's signature and the pinned place hold."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from privity.agent import connections, items
from privity.agent.connections import Broken, Connection
from privity.agent.items import Content, read_content
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_key
from privity.agent.session import Rows, Session
from privity.crypto.keyring import new_dek
from privity.crypto.sharing import (
    Manifest,
    open_share,
    rewrap_dek,
    seal_share,
    unseal_dek,
    unwrap_own,
    verify_share,
)
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import ForgedRecord, IntegrityAlarm, KeyMismatch, Malformed, Unverified
from privity.messages.shares import ClaimShare, CreateShare, RemoveShare
from privity.messages.views import AskShares, ShareRow

Direction = Literal["incoming", "outgoing", "all"]


@dataclass(frozen=True, slots=True)
class Share:
    """A share, open, as one of its two ends sees it."""

    share: str
    connection: str
    space: str
    item: str
    version: int
    incoming: bool
    sender: str
    recipient: str
    owner: str
    claimed: bool
    verified: bool
    created: datetime
    content: Content = field(repr=False)

    @property
    def status(self) -> str:
        """`new` until the recipient has claimed it."""
        return "claimed" if self.claimed else "new"


async def create(session: Session, keyring: Keyring, item_id: str, address: str, *, unverified: bool = False) -> Share:
    """Share one's own item with a connected person, under a fresh DEK.

    Raises:
        NotConnected: there is no connection with that person.
        Unverified: the connection is not verified, and the person did not consent (`unverified`).
    """
    connection = await connections.with_person(session, keyring, address)
    if not connection.verified and not unverified:
        raise Unverified(
            f"the connection with {address} is not verified: compare the safety number, or share with consent"
        )
    item = await items.show(session, keyring, item_id)
    share, space = new_id(), new_id()
    sealed = seal_share(
        new_dek(),
        keyring.kek,
        item.content.to_bytes(),
        share=share,
        space=space,
        connection=connection.connection,
        item=item.item,
        version=item.version,
        owner=keyring.account,
        recipient=connection.peer,
        suite=connection.suite,
        recipient_public=connection.public,
        recipient_key=connection.peer_key,
        identity=keyring.identity.sign,
    )
    command = CreateShare(
        share=share,
        space=space,
        connection=connection.connection,
        item=item.item,
        version=item.version,
        recipient=connection.peer,
        recipient_key=connection.peer_key,
        suite=connection.suite.value,
        manifest=b64(sealed.manifest),
        signature=b64(sealed.signature),
        content=digest(sealed.content),
        owner_wrap=digest(sealed.owner_wrap),
        recipient_wrap=digest(sealed.recipient_wrap),
    )
    await session.send(command, sealed.content, sealed.owner_wrap, sealed.recipient_wrap)
    return await show(session, keyring, share)


async def all_of(session: Session, keyring: Keyring, direction: Direction = "all") -> list[Share | Broken]:
    """Shares to me, from me, or both, each opened; a new one is claimed on the way. One that lies hides no other."""
    ask = AskShares(direction=direction)
    return await _opened(session, keyring, await session.ask_all(ask, ShareRow, fresh=direction != "outgoing"))


async def show(session: Session, keyring: Keyring, id: str) -> Share:
    """A share by id or unique prefix."""
    found = await session.ask(AskShares(id=id, limit=2), ShareRow, fresh=True)
    row = found.one("share", id)
    connection = await connections.show(session, keyring, row.connection)
    return await _open(session, keyring, row, found, connection)


async def incoming_of_item(session: Session, keyring: Keyring, item_id: str) -> Share:
    """The newest share to me of an item, by the item's id or unique prefix."""
    ask = AskShares(item=item_id, direction="incoming")
    found = await session.ask_all(ask, ShareRow, fresh=True)
    newest = {row.item: row for row in found.rows}
    row = Rows(tuple(newest.values()), found.sealed).one("item", item_id)
    connection = await connections.show(session, keyring, row.connection)
    return await _open(session, keyring, row, found, connection)


async def remove(session: Session, id: str) -> str:
    """End a share, from either side; its full id."""
    row = (await session.ask(AskShares(id=id, limit=2), ShareRow)).one("share", id)
    await session.send(RemoveShare(row.share))
    return row.share


async def _opened(session: Session, keyring: Keyring, found: Rows[ShareRow]) -> list[Share | Broken]:
    known: dict[str, Connection] = {}
    shares: list[Share | Broken] = []
    for row in found.rows:
        try:
            if row.connection not in known:
                known[row.connection] = await connections.show(session, keyring, row.connection)
            shares.append(await _open(session, keyring, row, found, known[row.connection]))
        except (IntegrityAlarm, Malformed) as alarm:
            peer = row.owner_address if row.owner != keyring.account else row.recipient_address
            shares.append(Broken(row.share, peer, alarm))
    return shares


async def _open(
    session: Session, keyring: Keyring, row: ShareRow, found: Rows[ShareRow], connection: Connection
) -> Share:
    incoming = row.owner != keyring.account
    signer = connection.identity.sign if incoming else keyring.identity.sign.public
    manifest = verify_share(unb64(row.manifest), unb64(row.signature), signer)
    _check_place(row, manifest, connection, incoming)
    if not incoming:
        dek = unwrap_own(keyring.kek, found.blob(row.wrap or ""), manifest, "owner")
    elif row.claimed:
        dek = unwrap_own(keyring.kek, found.blob(row.wrap or ""), manifest, "recipient")
    else:
        dek = await _claim(session, keyring, manifest, found.blob(row.wrap or ""))
    content = read_content(open_share(manifest, dek, found.blob(row.content)))
    return Share(
        share=row.share,
        connection=row.connection,
        space=row.space,
        item=row.item,
        version=row.version,
        incoming=incoming,
        sender=connection.address if incoming else row.owner_address,
        recipient=row.recipient_address if incoming else connection.address,
        owner=row.owner,
        claimed=row.claimed or incoming,
        verified=connection.verified,
        created=row.created,
        content=content,
    )


async def _claim(session: Session, keyring: Keyring, manifest: Manifest, wrap: bytes) -> bytes:
    """Unseal the DEK with the connection's private key, and keep it under the KEK from now on."""
    key = await stored_connection_key(session, keyring, manifest.recipient_key)
    dek = unseal_dek(manifest, wrap, key.pair.private)
    rewrapped = rewrap_dek(keyring.kek, dek, manifest)
    await session.send(ClaimShare(manifest.share, digest(rewrapped)), rewrapped)
    return dek


def _check_place(row: ShareRow, manifest: Manifest, connection: Connection, incoming: bool) -> None:
    """What the row says must be what the sender signed, between the two ends of the pinned connection."""
    said = (
        row.share,
        row.space,
        row.connection,
        row.item,
        row.version,
        row.owner,
        row.recipient,
        row.content,
    )
    signed = (
        manifest.share,
        manifest.space,
        manifest.connection,
        manifest.item,
        manifest.version,
        manifest.owner,
        manifest.recipient,
        manifest.content,
    )
    if said != signed:
        raise ForgedRecord(f"What the backend says of share {row.share} is not what its sender signed.")
    own_key = connection.key if incoming else connection.peer_key
    if connection.peer not in (manifest.owner, manifest.recipient) or manifest.recipient_key != own_key:
        raise KeyMismatch(f"Share {row.share} is not between the two ends of its connection.")
