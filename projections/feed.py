"""The feed: for each person, what happened that concerns them, in order, each line numbered and linked to the last."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import sqlalchemy as sa

from privity.crypto.feed import feed_link
from privity.messages.accounts import (
    AccountClosed,
    AccountRegistered,
    AccountRenamed,
    IdentityExtended,
    IdentityRotated,
    PassphraseChanged,
)
from privity.messages.base import Event
from privity.messages.catalog import EVENTS
from privity.messages.connections import (
    ConnectionConfirmed,
    ConnectionEstablished,
    ConnectionNoted,
    ConnectionRemoved,
)
from privity.messages.delegations import (
    DelegationClaimed,
    DelegationGranted,
    DelegationRemoved,
    ItemDropped,
    ItemKept,
)
from privity.messages.envelope import FeedEntry
from privity.messages.erasing import SealedErased
from privity.messages.files import FileAttached, FileDetached
from privity.messages.groups import (
    GroupAdvanced,
    GroupClaimed,
    GroupKeyed,
    GroupLeft,
    GroupPosted,
    GroupStaged,
    GroupWithdrawn,
)
from privity.messages.invitations import (
    ConnectionInvited,
    InvitationAccepted,
    InvitationCancelled,
    InvitationDeclined,
)
from privity.messages.items import ItemAdded, ItemEdited, ItemRemoved
from privity.messages.keys import KeypairRemoved, KeypairStored, PublicKeyPublished
from privity.messages.pieces import (
    PieceGranted,
    PieceReleased,
    PieceRemoved,
    PieceRequested,
    PieceSet,
    PieceStored,
    RequestApproved,
    RequestClosed,
    RequestDeclined,
    RulesSet,
)
from privity.messages.reads import KeyringFetched, KeyringRefused, ShareFetched
from privity.messages.recorded import Positioned
from privity.messages.shares import ShareClaimed, ShareCreated, ShareRemoved, ShareRevised, TermsAccepted
from privity.messages.views import AskFeed
from projections.changes import Change, Value, instant
from projections.desk import Desk, Page, page, view
from projections.tables import feed, feed_heads

INSERT = feed.insert()
INSERT_HEAD = feed_heads.insert()
_of = feed_heads.c.account == sa.bindparam("of")
MOVE_HEAD = feed_heads.update().where(_of).values({name: sa.bindparam(name) for name in ("seq", "link")})
NO_LINE = (0, "")
"""Number and link of the line before the first."""
REFS = (
    "invitation",
    "connection",
    "item",
    "of",
    "file",
    "share",
    "space",
    "key",
    "purpose",
    "principal",
    "delegation",
    "piece",
    "piece_name",
    "request",
    "group",
    "post",
)
NAMED = {type_: tuple(name for name in REFS if name in type_.__dataclass_fields__) for type_ in EVENTS.values()}
"""Which of these an event has."""


def audience(event: Event) -> tuple[str, ...]:
    """The accounts whom an event concerns."""
    match event:
        case AccountRegistered(account=one) | IdentityExtended(account=one) | PassphraseChanged(account=one):
            return (one,)
        case IdentityRotated(account=one) | AccountRenamed(account=one) | AccountClosed(account=one):
            return (one,)
        case KeypairStored(account=one) | PublicKeyPublished(account=one) | KeypairRemoved(account=one):
            return (one,)
        case ItemAdded(owner=one) | ItemEdited(owner=one) | ItemRemoved(owner=one):
            return (one,)
        case ItemKept(principal=one, by=other) | ItemDropped(principal=one, by=other):
            return (one, other)
        case DelegationClaimed(principal=one, by=other):
            return (one, other)
        case DelegationGranted() | DelegationRemoved():
            return (event.principal, event.delegate, *event.accounts)
        case FileAttached(owner=one, recipient=whom) | FileDetached(owner=one, recipient=whom):
            return (one,) if whom is None else (one, whom)
        case ConnectionInvited(inviter=one) | InvitationCancelled(inviter=one) | ConnectionNoted(by=one):
            return (one,)
        case InvitationAccepted(inviter=one, by=other) | InvitationDeclined(inviter=one, by=other):
            return (one, other)
        case ConnectionEstablished(inviter=one_side, acceptor=other_side):
            return (one_side.account, other_side.account)
        case ConnectionConfirmed(inviter=one, acceptor=other) | ConnectionRemoved(inviter=one, acceptor=other):
            return (one, other)
        case ShareCreated(owner=one, recipient=other) | ShareRemoved(owner=one, recipient=other):
            return (one, other)
        case ShareRevised(owner=one, recipient=other) | TermsAccepted(owner=one, recipient=other):
            return (one, other)
        case ShareClaimed(owner=one, recipient=other):
            return (one, other)
        case GroupStaged(by=one) | GroupWithdrawn(by=one) | GroupPosted(author=one) | GroupClaimed(account=one):
            return (one,)
        case GroupAdvanced(by=one, dropped=dropped):
            return (one, *dropped)
        case GroupKeyed(members=members):
            return tuple(members)
        case GroupLeft(account=one, told=told):
            return (one, *told)
        case SealedErased(accounts=accounts):
            return accounts
        case ShareFetched(owner=one, reader=other):
            return (one, other)
        case PieceSet(owner=one) | PieceRemoved(owner=one) | RulesSet(account=one):
            return (one,)
        case PieceGranted(owner=one, reader=other) | PieceStored(owner=one, reader=other):
            return (one, other)
        case PieceReleased(owner=one, reader=other) | PieceRequested(owner=one, asker=other):
            return (one, other)
        case RequestApproved(owner=one, asker=other) | RequestDeclined(owner=one, asker=other):
            return (one, other)
        case RequestClosed(owner=one, asker=other):
            return (one, other)
        case KeyringFetched(account=one) | KeyringRefused(account=one):
            return (one,)
    return ()


def entry(happened: Positioned) -> FeedEntry:
    """The line that the feed shows."""
    event = happened.event
    refs = {name: value for name in NAMED[type(event)] if isinstance(value := getattr(event, name), str)}
    if isinstance(event, SealedErased):
        refs = {"id": event.id, "digests": " ".join(event.digests)}
    if isinstance(event, ItemAdded | ItemEdited | ItemKept):
        refs["version"] = str(getattr(event, "version", 1))
    if isinstance(event, PieceSet | PieceRemoved | RulesSet):
        refs["version"] = str(event.version)
    if isinstance(event, PieceGranted | PieceReleased):
        refs |= {"reader": event.reader, "generation": str(event.generation)}
    return FeedEntry(happened.position, event.name, happened.meta.at, happened.meta.actor, refs)


def changes(happened: Sequence[Positioned], db: sa.Connection) -> Iterator[Change]:
    """What events change here; unlike other views, a line depends on the one before it, which is read once for all."""
    concerned = [(each, accounts) for each in happened if (accounts := dict.fromkeys(audience(each.event)))]
    known = _heads({account for _, accounts in concerned for account in accounts}, db)
    heads = dict(known)
    for each, accounts in concerned:
        line = entry(each)
        for account in accounts:
            values = _row(account, line, *heads.get(account, NO_LINE))
            heads[account] = values["seq"], values["link"]
            yield Change(feed, INSERT, values)
    for account, (seq, link) in heads.items():
        if account not in known:
            yield Change(feed_heads, INSERT_HEAD, {"account": account, "seq": seq, "link": link})
    for account in known:
        seq, link = heads[account]
        yield Change(feed_heads, MOVE_HEAD, {"of": account, "seq": seq, "link": link})


def _heads(accounts: set[str], db: sa.Connection) -> dict[str, tuple[int, str]]:
    found = db.execute(sa.select(feed_heads).where(feed_heads.c.account.in_(accounts)))
    return {account: (seq, link) for account, seq, link in found}


def _row(account: str, line: FeedEntry, seq: int, previous: str) -> dict[str, Value]:
    at = instant(line.at)
    link = feed_link(account, seq + 1, previous, line.position, line.event, at, line.actor, line.refs)
    return {
        "account": account,
        "position": line.position,
        "event": line.event,
        "at": at,
        "actor": line.actor,
        "refs": line.refs,
        "seq": seq + 1,
        "link": link,
    }


@view(AskFeed)
def own_feed(ask: AskFeed, desk: Desk) -> Page[FeedEntry]:
    """What happened to me behind the cursor."""
    select = sa.select(feed).where(feed.c.account == desk.account)
    rows, more = page(ask, desk, select, feed.c.position)
    found = tuple(
        FeedEntry(
            row["position"],
            row["event"],
            datetime.fromisoformat(row["at"]),
            row["actor"],
            row["refs"],
            row["seq"],
            row["link"],
        )
        for row in rows
    )
    return Page(found, ((),) * len(found), tuple(row["position"] for row in rows), more)
