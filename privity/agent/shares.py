"""Shares: sealed for exactly the pinned key, opened only when the sender's signature and the pinned place hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from privity.agent import connections, feed, items, lines
from privity.agent.chains import index_of, signed_manifest
from privity.agent.connections import Broken, Connection
from privity.agent.identity import OWN, current, newest_checkpoint, own_line
from privity.agent.items import Content, Item, read_content
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_key
from privity.agent.memory import Seen
from privity.agent.session import Rows, Session
from privity.crypto.identity import Identity
from privity.crypto.keyring import new_dek
from privity.crypto.sharing import (
    Manifest,
    SealedShare,
    open_share,
    read_manifest,
    rewrap_dek,
    seal_share,
    unseal_dek,
    unwrap_own,
)
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    ForgedRecord,
    IntegrityAlarm,
    KeyMismatch,
    Malformed,
    NotFound,
    StaleSequence,
    Unverified,
    Withheld,
)
from privity.messages.shares import ClaimShare, CreateShare, RemoveShare
from privity.messages.views import AskShares, ShareRow

Direction = Literal["incoming", "outgoing", "all"]

ATTEMPTS = 5
"""Times that a share is sealed when other devices of one's own send over the same connection meanwhile."""


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
        raise Unverified(_why_unverified(connection))
    item = await items.show(session, keyring, item_id)
    keyring, _ = await current(session, keyring)
    for left in reversed(range(ATTEMPTS)):
        sealed = await _seal(session, keyring, connection, item)
        try:
            await session.send(_to_command(sealed), sealed.content, sealed.owner_wrap, sealed.recipient_wrap)
            break
        except StaleSequence:
            if not left:
                raise
    lines.sent(session, sealed.manifest)
    return await show(session, keyring, read_manifest(sealed.manifest).share)


async def all_of(session: Session, keyring: Keyring, direction: Direction = "all") -> list[Share | Broken]:
    """Shares to me, from me, or both, each opened; a new one is claimed on the way. One that lies hides no other.

    What was sent and is neither served nor ended is broken: `Withheld`.
    """
    good, broken = await _learned(session, keyring)
    before = lines.known(session, good)
    ask = AskShares(direction=direction)
    found = await session.ask_all(ask, ShareRow, fresh=direction != "outgoing")
    shares = await _opened(session, keyring, found, before, broken)
    missing = before.missing(row.share for row in found.rows)
    own = {"incoming": (False,), "outgoing": (True,), "all": (False, True)}[direction]
    expected = [seen for seen in missing if lines.is_own(session, seen) in own]
    return [*shares, *await lines.left_out(session, before, expected)]


async def show(session: Session, keyring: Keyring, id: str) -> Share:
    """A share by id or unique prefix.

    Raises:
        Withheld: it was sent and did not end, but is not served; or it is served, and stands in no line.
        RolledBack: it had ended.
    """
    ask = AskShares(id=id, limit=2)
    await feed.learn(session)
    before = lines.known(session, prefix=id)
    found = await session.ask(ask, ShareRow, fresh=True)
    if id and len(found.rows) < 2:  # with two, the id is ambiguous anyway
        await _check_left_out(session, keyring, before, before.missing(row.share for row in found.rows))
    row = found.one("share", id)
    if row.share not in before.seen:  # what its line says must be known before it is asked for
        connection = await connections.show(session, keyring, row.connection)
        await lines.learn(session, connection)
        before = lines.known(session, [connection], id)
        found = await session.ask(ask, ShareRow, fresh=True)
    return await _open_one(session, keyring, found.one("share", id), found, before)


async def incoming_of_item(session: Session, keyring: Keyring, item_id: str) -> Share:
    """The newest share to me of an item, by the item's id or unique prefix.

    Raises:
        Withheld, RolledBack: as `show`.
    """
    good, _ = await _learned(session, keyring)
    before, of_item = lines.known(session, good), lines.shares_of_item(session, item_id)
    found = await session.ask_all(AskShares(item=item_id, direction="incoming"), ShareRow, fresh=True)
    missing = before.missing((row.share for row in found.rows), of_item)
    await _check_left_out(session, keyring, before, [seen for seen in missing if not lines.is_own(session, seen)])
    newest = {row.item: row for row in found.rows}
    row = Rows(tuple(newest.values()), found.sealed).one("item", item_id)
    return await _open_one(session, keyring, row, found, before)


async def remove(session: Session, id: str) -> str:
    """End a share, from either side; its full id."""
    row = (await session.ask(AskShares(id=id, limit=2), ShareRow)).one("share", id)
    result = await session.send(RemoveShare(row.share))
    if result.position:
        session.memory.ended(lines.SHARE, row.share, result.position)
    return row.share


async def _seal(session: Session, keyring: Keyring, connection: Connection, item: Item) -> SealedShare:
    """The item for the other side, as the next in one's own line."""
    n, prev = await lines.next_place(session, connection)
    return seal_share(
        new_dek(),
        keyring.kek,
        item.content.to_bytes(),
        share=new_id(),
        space=new_id(),
        connection=connection.connection,
        item=item.item,
        version=item.version,
        owner=keyring.account,
        recipient=connection.peer,
        suite=connection.suite,
        recipient_public=connection.public,
        recipient_key=connection.peer_key,
        identity=keyring.identity.sign,
        n=n,
        prev=prev,
        checkpoint=await newest_checkpoint(session),
    )


def _to_command(sealed: SealedShare) -> CreateShare:
    manifest = read_manifest(sealed.manifest)
    return CreateShare(
        share=manifest.share,
        space=manifest.space,
        connection=manifest.connection,
        item=manifest.item,
        version=manifest.version,
        recipient=manifest.recipient,
        recipient_key=manifest.recipient_key,
        suite=manifest.suite.value,
        manifest=b64(sealed.manifest),
        signature=b64(sealed.signature),
        content=manifest.content,
        owner_wrap=manifest.owner_wrap,
        recipient_wrap=manifest.recipient_wrap,
    )


async def _learned(session: Session, keyring: Keyring) -> tuple[list[Connection], dict[str, Broken]]:
    """The connections whose lines were read and hold; and by their ids those that do not."""
    await feed.learn(session)
    good: list[Connection] = []
    broken: dict[str, Broken] = {}
    for each in await connections.all_own(session, keyring):
        if isinstance(each, Broken):
            broken[each.id] = each
            continue
        try:
            await lines.learn(session, each)
            good.append(each)
        except (IntegrityAlarm, Malformed) as alarm:
            broken[each.connection] = Broken(each.connection, each.address, alarm)
    return good, broken


async def _check_left_out(session: Session, keyring: Keyring, before: lines.Known, missing: list[Seen]) -> None:
    if missing and not before.connections:  # for the names
        good = [each for each in await connections.all_own(session, keyring) if isinstance(each, Connection)]
        before.connections.update({each.connection: each for each in good})
    for left_out in await lines.left_out(session, before, missing):
        raise left_out.alarm


async def _opened(
    session: Session, keyring: Keyring, found: Rows[ShareRow], before: lines.Known, broken: dict[str, Broken]
) -> list[Share | Broken]:
    """Each share, or what is wrong with it; and each connection that does not hold, if no share shows that."""
    mine = await _mine(session, keyring, found.rows)
    shares: list[Share | Broken] = []
    for row in found.rows:
        try:
            if row.connection in broken:
                raise broken[row.connection].alarm
            await _connect(session, keyring, row, before)
            shares.append(await _open(session, keyring, row, found, before, mine))
        except (IntegrityAlarm, Malformed) as alarm:
            peer = row.owner_address if row.owner != keyring.account else row.recipient_address
            shares.append(Broken(row.share, peer, alarm))
    shown = {row.connection for row in found.rows}
    return shares + [each for connection, each in broken.items() if connection not in shown]


async def _open_one(
    session: Session, keyring: Keyring, row: ShareRow, found: Rows[ShareRow], before: lines.Known
) -> Share:
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
    """One's own identities, where a row is one's own."""
    if any(row.owner == keyring.account for row in rows):
        return (await own_line(session))[1]
    return ()


async def _open(
    session: Session,
    keyring: Keyring,
    row: ShareRow,
    found: Rows[ShareRow],
    before: lines.Known,
    mine: tuple[Identity, ...],
) -> Share:
    incoming = row.owner != keyring.account
    connection = before.connections[row.connection]
    line = connection.line if incoming else mine[index_of(mine, connection.own_head, OWN) :]
    manifest = await signed_manifest(session, line, row.manifest, row.signature, row.position)
    _check_place(row, manifest, connection, incoming)
    await lines.check_served(session, before, manifest, unb64(row.manifest))
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


def _why_unverified(connection: Connection) -> str:
    if connection.compromised:
        return (
            f"{connection.address} gave up keys as stolen: ask them whether it was they who did so, compare the safety "
            f"number, and verify the connection again; or share with consent"
        )
    return f"the connection with {connection.address} is not verified: compare the safety number, or share with consent"


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
