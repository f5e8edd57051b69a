"""Shares: what one gives to a connected person and renews, and what one is given, reads, and perhaps keeps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, Unpack

from privity.agent import connections, finding, items, lines, provenance, sending
from privity.agent.connections import Broken, Connection
from privity.agent.contents import SharedContent, Wish, chosen, conditions_of
from privity.agent.files import Attachments, Holder, Plain, fetch, lost, one, renew
from privity.agent.identity import current
from privity.agent.items import Item
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_key
from privity.agent.kinds import SHARE
from privity.agent.reading import Share
from privity.agent.sending import Generation, check_consent
from privity.agent.session import Rows, Session
from privity.crypto.sharing import FIRST_GENERATION, Conditions, Terms, accept_terms, open_terms
from privity.encoding import b64, new_id
from privity.errors import (
    Ambiguous,
    KeepNotPermitted,
    NotFound,
    PastDate,
    PrivityError,
    ShareExpired,
    StaleVersion,
    Unreachable,
    WrongTerms,
)
from privity.messages.shares import AcceptTerms, RemoveShare
from privity.messages.views import AskShares, ShareRow

Direction = Literal["incoming", "outgoing", "all"]
Change = Callable[[Conditions], Conditions]


async def create(
    session: Session,
    keyring: Keyring,
    item_id: str,
    address: str,
    *,
    unverified: bool = False,
    share: str | None = None,
    **wish: Unpack[Wish],
) -> Share:
    """Share one's own item with a connected person, under a fresh DEK.

    Args:
        unverified: the consent to share over a connection that is not verified.
        share: the id, if it is not to be a new one.
        wish: what of the item, and on which conditions.

    Raises:
        NotConnected: there is no connection with that person.
        Unverified: the connection is not verified, and the person did not consent (`unverified`).
        NotFound: there is no such item, or it has no such slot or file.
        PastDate: `expires` is past already.
    """
    conditions, slots, files = conditions_of(wish), wish.get("slots"), wish.get("files")
    _check_future(conditions)
    connection = await connections.with_person(session, keyring, address)
    check_consent(connection, consent=unverified)
    item = await items.show(session, keyring, item_id)
    content = chosen(item.content, slots, files)
    keyring, _ = await current(session, keyring)
    first = Generation(
        share=share or new_id(),
        space=new_id(),
        item=item.item,
        version=item.version,
        generation=FIRST_GENERATION,
        shared=SharedContent(content, slots is None and files is None, conditions.terms),
        conditions=conditions,
    )
    first = await _with_files(session, keyring, first, {})
    await sending.send(session, keyring, connection, _with_originals(keyring, connection, first))
    return await show(session, keyring, first.share)


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
    """Give the recipient of one's own share the item as it is now, and other conditions; nothing, if they have that.

    Another device of one's own may do the same meanwhile: then this one does what is left to do.

    Args:
        change: the new conditions from those before.
        unverified: the consent to go on although the other gave up keys as stolen.
        anew: sign and seal it again, even if nothing changed.
        by_itself: nobody asked for it just now.
        base: the generation that this is to follow, where it must be a certain one.

    Raises:
        NotFound: there is no such share of one's own.
        PastDate: it would expire in the past.
        Unverified: the other gave up keys as stolen; or the connection is not verified, and it is done by itself.
        StaleVersion: the share is at another generation than `base`, or others are faster again and again.
    """
    for left in reversed(range(sending.ATTEMPTS)):
        share = await own(session, keyring, id)
        if share.manifest.source is not None:
            raise NotFound(f"share {share.share} is not of an item of yours: it follows the share that it came by")
        check_base(share, base)
        conditions = change(share.conditions) if change is not None else share.conditions
        if conditions.expires != share.expires:
            _check_future(conditions)
        version, content = await _renewed(session, keyring, share)
        if not anew and (conditions, version) == (share.conditions, share.version):
            holder = Holder(share.share, keyring.account, is_share=True)
            if not await lost(session, holder, content.files, share.content.files):
                return share
        connection = await connections.show(session, keyring, share.connection)
        check_consent(connection, consent=unverified, first=by_itself)
        keyring, _ = await current(session, keyring)
        next = Generation(
            share=share.share,
            space=share.space,
            item=share.item,
            version=version,
            generation=share.generation + 1,
            shared=SharedContent(content, share.opened.whole, conditions.terms),
            conditions=conditions,
        )
        next = await _with_files(session, keyring, next, share.content.files)
        try:
            await sending.send(session, keyring, connection, _with_originals(keyring, connection, next))
            break
        except StaleVersion:
            if not left:
                raise
    return await show(session, keyring, share.share)


def check_base(share: Share, base: int | None) -> None:
    """Returns if the share is at that generation, where one is named.

    Raises:
        StaleVersion: it is at another.
    """
    if base is not None and share.generation != base:
        raise StaleVersion(f"share {share.share} is at generation {share.generation}")


async def outdated(session: Session, keyring: Keyring, item_id: str | None = None) -> list[Share | Broken]:
    """One's own shares, of all items or of one, whose recipients read an older version than the item has now.

    What is broken is there as well: nobody knows what its recipient reads.
    """
    kept = await items.all_of(session, keyring) if item_id is None else [await items.show(session, keyring, item_id)]
    newest = {item.item: item.version for item in kept if isinstance(item, items.Item)}
    ask = AskShares(direction="outgoing", item=item_id or "")
    found = await finding.found_by(
        session, keyring, ask, None if item_id is None else lines.shares_of_item(session, item_id)
    )
    return [each for each in found if isinstance(each, Broken) or _is_behind(each, newest)]


def _is_behind(share: Share, newest: Mapping[str, int]) -> bool:
    if share.manifest.source is not None or isinstance(share.bar, ShareExpired):
        return False
    return share.version < newest.get(share.item, 0)


async def update_all(session: Session, keyring: Keyring, outdated: Sequence[Share | Broken]) -> dict[str, str]:
    """Update these shares; those that could not be updated, with the error's code. One that cannot holds up no other.

    Raises:
        Unreachable: nobody is there, and nothing more can be done now.
    """
    failed: dict[str, str] = {}
    for share in outdated:
        if isinstance(share, Broken):
            failed[share.id] = share.alarm.code
            continue
        try:
            await update(session, keyring, share.share)
        except Unreachable:
            raise
        except PrivityError as error:
            failed[share.share] = error.code
    return failed


async def all_of(session: Session, keyring: Keyring, direction: Direction = "all") -> list[Share | Broken]:
    """Shares to me, from me, or both, each opened; a new one is claimed on the way. One that lies hides no other.

    What was sent and is neither served nor ended is broken: `Withheld`.
    """
    return await finding.found_by(session, keyring, AskShares(direction=direction))


async def show(session: Session, keyring: Keyring, id: str) -> Share:
    """A share, open, by id or unique prefix.

    Raises:
        ShareExpired, TermsNotAccepted: it cannot be read.
        Withheld: it was sent and did not end, but is not served; or it is served, and stands in no line.
        RolledBack: it had ended, or this is an older generation of it.
    """
    share, _ = await finding.served(session, keyring, id)
    _ = share.opened
    return share


async def own(session: Session, keyring: Keyring, id: str) -> Share:
    """A share that one gives, by id or unique prefix.

    Raises:
        NotFound: there is none; what one is given, only its sender changes.
    """
    share = await show(session, keyring, id)
    if share.incoming:
        raise NotFound(f"share {share.share} is not yours: only {share.sender} can change it")
    return share


async def ways_to(session: Session, keyring: Keyring, item_id: str) -> list[Share | Broken]:
    """All shares to me of an item, by the item's id or unique prefix: what can be read and is newest comes first.

    Raises:
        NotFound: no item that one is given begins like this.
        Ambiguous: more than one does, or items of more than one owner have this id.
        Withheld, RolledBack: as `show`.
    """
    ask = AskShares(item=item_id, direction="incoming")
    found = await finding.found_by(session, keyring, ask, lines.shares_of_item(session, item_id))
    shares = [each for each in found if isinstance(each, Share)]
    broken = [each for each in found if isinstance(each, Broken)]
    if not shares and broken:
        raise broken[0].alarm
    Rows(tuple({share.item: share for share in shares}.values()), {}).one("item", item_id)
    first, *others = by_item(shares)
    if others:
        raise Ambiguous(f"items of different owners have the id {first[0].item}; read each by its share")
    return [*first, *broken]


async def incoming_of_item(session: Session, keyring: Keyring, item_id: str) -> Share:
    """The newest share to me of an item that can be read.

    Raises:
        ShareExpired, TermsNotAccepted: none can be read.
        NotFound, Ambiguous, Withheld, RolledBack: as `ways_to`.
    """
    ways = await ways_to(session, keyring, item_id)
    for each in ways:
        if isinstance(each, Broken):
            raise each.alarm
    return best_of(ways)


def best_of(ways: Sequence[Share | Broken]) -> Share:
    """The first of the ways to an item, open.

    Raises:
        ShareExpired, TermsNotAccepted: it cannot be read, and so none of them can.
    """
    best = next(each for each in ways if isinstance(each, Share))
    _ = best.opened
    return best


def by_item(found: Iterable[Share | Broken]) -> list[list[Share]]:
    """The ways to each item: what can be read and is newest comes first.

    The same id of another first owner is another item. Of what cannot be read and came over others the first owner is
    not known: that goes with each of its id.
    """
    ways: dict[str, dict[str | None, list[Share]]] = {}
    for share in found:
        if isinstance(share, Share):
            ways.setdefault(share.item, {}).setdefault(share.first_owner, []).append(share)
    grouped: list[list[Share]] = []
    for owners in ways.values():
        unknown = owners.pop(None, [])
        grouped += [sorted([*known, *unknown], key=_newest_first) for known in owners.values() or [[]]]
    return grouped


def _newest_first(share: Share) -> tuple[bool, int, datetime]:
    return share.shared is None, -share.version, share.created


async def offered_terms(session: Session, keyring: Keyring, id: str) -> tuple[Share, Terms]:
    """The terms of a share that one is given, to be read before they are accepted.

    Raises:
        NotFound: it is one's own, or has none.
        ShareExpired: it cannot be read any more.
    """
    share, found = await finding.served(session, keyring, id)
    manifest = share.manifest
    if not share.incoming or manifest.terms is None:
        raise NotFound(f"share {share.share} has no terms to accept")
    if isinstance(share.bar, ShareExpired):
        raise share.bar
    key = await stored_connection_key(session, keyring, manifest.recipient_key)
    return share, open_terms(manifest, found.blob(manifest.terms), key.pair.private)


async def accept(session: Session, keyring: Keyring, id: str, terms_hash: str | None = None) -> Share:
    """Accept the terms of a share, signed with one's identity; the share, open.

    Args:
        terms_hash: of those that the person has read, if they have.

    Raises:
        WrongTerms: the share has others.
        NotFound, ShareExpired: as `offered_terms`.
    """
    share, terms = await offered_terms(session, keyring, id)
    if terms_hash not in (None, terms.hash):
        raise WrongTerms("the sender has changed the terms since you read them")
    if not share.accepted:
        keyring, _ = await current(session, keyring)
        signature = accept_terms(keyring.identity.sign, share.manifest)
        await session.send(AcceptTerms(share.share, terms.hash, b64(signature)))
    return await show(session, keyring, share.share)


async def keep(session: Session, keyring: Keyring, id: str) -> Item:
    """Keep a copy of what one is given, as an item of one's own under a DEK of its own.

    Raises:
        KeepNotPermitted: its sender has not permitted it.
        NotFound: there is no such share, or it is one's own.
        ShareExpired, TermsNotAccepted: it cannot be read.
    """
    share = await show(session, keyring, id)
    if not share.incoming:
        raise NotFound(f"share {share.share} is of an item of your own")
    if not share.manifest.keep:
        raise KeepNotPermitted
    files = [await read_file(session, keyring, share, name) for name in share.content.files]
    return await items.add(session, keyring, share.content.label, share.content.slots, files)


async def read_file(session: Session, keyring: Keyring, share: Share, name: str) -> Plain:
    """A file of a share that one gives or is given.

    Raises:
        NotFound: it has no such file.
        FileMissing, Withheld: the home does not have it.
        ShareExpired, TermsNotAccepted: it cannot be read.
    """

    async def reread() -> Attachments:
        return (await show(session, keyring, share.share)).content.files

    return await fetch(session, Holder(share.share, share.owner, is_share=True), one(share.content.files, name), reread)


async def remove(session: Session, id: str) -> str:
    """End a share, from either side; its full id.

    Raises:
        Withheld: the backend says that it had ended before, and nobody has signed that.
    """
    row = (await session.ask(AskShares(id=id, limit=2), ShareRow)).one("share", id)
    result = await session.queue(RemoveShare(row.share))
    if result is None:
        return row.share
    if result.status == "accepted":
        session.memory.ended(SHARE, row.share, result.position)
    else:  # somebody was faster, says the backend
        await lines.check_ended(session, row)
    return row.share


def _with_originals(keyring: Keyring, connection: Connection, next: Generation) -> Generation:
    """With the owner's signature over each value, where it may be shared on."""
    originals = provenance.of_own(
        keyring.identity.sign,
        next.place(keyring, connection),
        next.shared.content,
        whole=next.shared.whole,
        conditions=next.conditions,
    )
    return replace(next, shared=replace(next.shared, provenance=originals))


async def _with_files(session: Session, keyring: Keyring, next: Generation, before: Attachments) -> Generation:
    """With the files under keys that are the share's own: the item's stay with the item.

    Args:
        before: the files of the share's generation before.
    """
    item, share = Holder(next.item, keyring.account, is_share=False), Holder(next.share, keyring.account, is_share=True)
    content = next.shared.content

    async def reread() -> Attachments:
        return (await items.show(session, keyring, next.item)).content.files

    listed, following = await renew(session, item, content.files, share, before, reread)
    shared = replace(next.shared, content=replace(content, files=listed))
    return replace(next, shared=shared, following=tuple(following))


async def _renewed(session: Session, keyring: Keyring, share: Share) -> tuple[int, items.Content]:
    """The version and content that a share of one's own should have now; one that was given up stays as it was."""
    try:
        item = await items.show(session, keyring, share.item)
    except NotFound:
        return share.version, share.content
    if share.opened.whole:
        return item.version, item.content
    shared, now = share.content, item.content
    return item.version, chosen(now, shared.slots.keys() & now.slots.keys(), shared.files.keys() & now.files.keys())


def _check_future(conditions: Conditions) -> None:
    if conditions.expires is not None and conditions.expires <= datetime.now(UTC):
        raise PastDate("that time has passed already: a share ends in the future")
