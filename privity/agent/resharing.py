"""Sharing on what one is given: as far as its sender permitted, and no longer than it stands."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Unpack

from privity.agent import connections, finding, items, provenance, sending, shares
from privity.agent.chains import linked_manifest
from privity.agent.connections import Broken, Connection
from privity.agent.contents import SharedContent, Wish, chosen, conditions_of
from privity.agent.identity import current, own_line
from privity.agent.items import Content
from privity.agent.keyring import Keyring
from privity.agent.kinds import SHARE
from privity.agent.reading import Share
from privity.agent.sending import Generation, check_consent
from privity.agent.session import Session
from privity.agent.shares import Change, check_base
from privity.agent.tasks import Task
from privity.crypto.identity import Identity
from privity.crypto.sharing import FIRST_GENERATION, Conditions
from privity.encoding import new_id
from privity.errors import ForgedRecord, NotFound, ReshareNotPermitted, ShareExpired, StaleVersion
from privity.messages.views import AskShares, ShareRow


async def create(
    session: Session,
    keyring: Keyring,
    item_id: str,
    address: str,
    *,
    unverified: bool = False,
    **wish: Unpack[Wish],
) -> Share:
    """Share an item with a connected person: one's own, or else one that one is given.

    Arguments are those of `shares.create`. What is shared on has no files, keeps the terms that it came with, and ends
    when it ends for oneself, unless sooner.

    Raises:
        ReshareNotPermitted: its sender has not permitted that, or not so far.
        NotFound, NotConnected, Unverified, PastDate: as `shares.create`.
    """
    try:
        own = await items.show(session, keyring, item_id)
    except NotFound as error:
        source = await _permitting(session, keyring, item_id, error)
    else:
        return await shares.create(session, keyring, own.item, address, unverified=unverified, **wish)
    if wish.get("files"):
        raise ReshareNotPermitted("files are given by their owner alone")
    wanted, slots = conditions_of(wish), wish.get("slots")
    if wanted.expires is None:
        wanted = replace(wanted, expires=source.expires)
    connection = await connections.with_person(session, keyring, address)
    check_consent(connection, consent=unverified)
    first = Generation(
        share=new_id(),
        space=new_id(),
        item=source.item,
        version=source.version,
        generation=FIRST_GENERATION,
        shared=SharedContent(_without_files(chosen(source.content, slots)), slots is None and source.opened.whole),
        conditions=_conditions(wanted, source),
    )
    await _send(session, keyring, connection, source, first)
    return await shares.show(session, keyring, first.share)


async def update(
    session: Session,
    keyring: Keyring,
    id: str,
    change: Change | None = None,
    *,
    unverified: bool = False,
    anew: bool = False,
    by_itself: bool = False,
    base: int | None = None,
) -> Share:
    """Give the recipient of a share the item as it is now, and other conditions; also of what one has shared on.

    Raises:
        ReshareNotPermitted: the conditions are easier than one has oneself, or one's own share may not go on any more.
        NotFound: there is no such share of one's own; or what it came by has ended.
        PastDate, Unverified, StaleVersion: as `shares.update`.
    """
    for left in reversed(range(sending.ATTEMPTS)):
        share = await shares.own(session, keyring, id)
        if share.manifest.source is None:
            return await shares.update(
                session, keyring, id, change, unverified=unverified, anew=anew, by_itself=by_itself, base=base
            )
        check_base(share, base)
        source = await shares.show(session, keyring, share.manifest.source)
        wanted = change(share.conditions) if change is not None else _narrowed(share.conditions, source)
        conditions = _conditions(wanted, source)
        if not anew and conditions == share.conditions and provenance.rests_on(share.opened, source.opened):
            return share
        connection = await connections.show(session, keyring, share.connection)
        check_consent(connection, consent=unverified, first=by_itself)
        slots = None if share.opened.whole else share.content.slots.keys() & source.content.slots.keys()
        next = Generation(
            share=share.share,
            space=share.space,
            item=share.item,
            version=source.version,
            generation=share.generation + 1,
            shared=SharedContent(_without_files(chosen(source.content, slots)), share.opened.whole),
            conditions=conditions,
        )
        try:
            await _send(session, keyring, connection, source, next)
            break
        except StaleVersion:
            if not left:
                raise
    return await shares.show(session, keyring, share.share)


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """What one shared on follows the share that it came by, to its end; and good keys sign what may go on.

    Over a connection that is not verified nothing goes by itself.
    """
    found = await session.ask_all(AskShares(bare=True), ShareRow)
    now = datetime.now(UTC)
    given = {row.share: row for row in found.rows if row.owner != keyring.account and not _is_over(row, now)}
    own = [row for row in found.rows if row.owner == keyring.account and not _is_over(row, now)]
    line = (await own_line(session))[1] if any(row.reshare for row in own) else ()
    ending: list[Task] = []
    sending_anew: list[tuple[str, Task]] = []
    for row in own:
        source = given.get(row.source or "")
        if row.source is not None and (source is None or not source.reshare):
            ending.append(_end(session, keyring, row))
        elif source is not None and source.position > row.position:
            if source.terms is None or source.accepted is not None:
                sending_anew.append((row.connection, _pass_on(session, keyring, row, source)))
        elif row.reshare and _is_given_up(line, row):
            sending_anew.append((row.connection, _renew(session, keyring, row)))
    unverified = await connections.unverified(session, keyring) if sending_anew else ()
    return ending + [task for connection, task in sending_anew if connection not in unverified]


def _end(session: Session, keyring: Keyring, row: ShareRow) -> Task:
    async def run() -> None:
        if not await _stands(session, keyring, row.source or ""):
            await shares.remove(session, row.share)

    return Task("end", row.share, f"end what you shared on with {row.recipient_address}: it has ended for you", run)


def _pass_on(session: Session, keyring: Keyring, row: ShareRow, source: ShareRow) -> Task:
    async def run() -> None:
        await update(session, keyring, row.share, by_itself=True)

    about = f"pass on to {row.recipient_address} what {source.owner_address} changed"
    return Task("pass-on", f"{row.share}/{source.generation}", about, run)


def _renew(session: Session, keyring: Keyring, row: ShareRow) -> Task:
    async def run() -> None:
        await update(session, keyring, row.share, anew=True, by_itself=True)

    about = f"sign anew what {row.recipient_address} may share on: you gave up the keys as stolen"
    return Task("renew", f"{row.share}/{row.generation}", about, run)


def _is_given_up(line: Sequence[Identity], row: ShareRow) -> bool:
    """Whether a key signed it that one has given up as stolen: whom it is shared on with does not take that."""
    try:
        return bool(linked_manifest(line, row.manifest, row.signature)[1])
    except ForgedRecord:  # who opens it says so
        return False


async def _stands(session: Session, keyring: Keyring, source: str) -> bool:
    """Whether a share to oneself may still go on; that it ended is believed with proof alone.

    Raises:
        NotFound: it is not there, and nothing that this device can see proves that it ended.
    """
    for may_be_unread in (True, False):
        try:
            return bool((await shares.show(session, keyring, source)).manifest.reshare)
        except ShareExpired:
            return False
        except NotFound:
            seen = session.memory.seen(SHARE, source)
            if seen is not None and seen.proven:
                return False
            if may_be_unread:  # a new device knows no line yet
                await finding.learned(session, keyring)
    raise NotFound(f"share {source}, by which it came, is not there, and nothing proves that it ended")


def _is_over(row: ShareRow, now: datetime) -> bool:
    return row.expires is not None and row.expires <= now


async def _permitting(session: Session, keyring: Keyring, item_id: str, otherwise: NotFound) -> Share:
    """The newest share to oneself of an item that may go on.

    Raises:
        NotFound: there is no share of such an item; as the caller has it.
        ReshareNotPermitted: none of them may go on.
        ShareExpired, TermsNotAccepted: nor can any be read.
    """
    try:
        ways = await shares.ways_to(session, keyring, item_id)
    except NotFound:
        raise otherwise from None
    permitting = [each for each in ways if isinstance(each, Share) and each.manifest.reshare]
    if not permitting:
        for each in ways:
            if isinstance(each, Broken):
                raise each.alarm
        raise ReshareNotPermitted
    _ = permitting[0].opened
    return permitting[0]


def _conditions(wanted: Conditions, source: Share) -> Conditions:
    """Those that one wants, with the terms that the thing came with.

    Raises:
        ReshareNotPermitted: it came with terms, and others are wanted.
    """
    terms = source.opened.terms
    if terms is not None and wanted.terms is not None and wanted.terms.text != terms.text:
        raise ReshareNotPermitted("what you share on keeps the terms that it came with")
    return replace(wanted, terms=wanted.terms if terms is None else terms, source=source.share)


def _narrowed(conditions: Conditions, source: Share) -> Conditions:
    """As before, but no easier than one has oneself now."""
    ends = [at for at in (conditions.expires, source.expires) if at is not None]
    return Conditions(
        expires=min(ends, default=None),
        terms=conditions.terms if source.opened.terms is None else None,
        reshare=min(conditions.reshare, max(source.manifest.reshare - 1, 0)),
        keep=conditions.keep and source.manifest.keep,
    )


def _without_files(content: Content) -> Content:
    """What goes on: files are given by their owner alone."""
    return Content(content.label, content.slots)


async def _send(session: Session, keyring: Keyring, connection: Connection, source: Share, next: Generation) -> None:
    """Seal and send it with the permission that rests on the source's."""
    if source.opened.provenance is None:
        raise ReshareNotPermitted
    keyring, _ = await current(session, keyring)
    sender = await connections.show(session, keyring, source.connection)
    came = provenance.Source(source.opened.provenance, source.owner, sender.row.peer_chain)
    goes = provenance.passed_on(
        keyring.identity.sign,
        next.place(keyring, connection),
        next.shared.content,
        came,
        whole=next.shared.whole,
        conditions=next.conditions,
    )
    shared = replace(next.shared, terms=next.conditions.terms, provenance=goes)
    await sending.send(session, keyring, connection, replace(next, shared=shared))
