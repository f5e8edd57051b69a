"""The feed: for each person, what happened that concerns them, in order."""

from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa

from privity.messages.accounts import AccountRegistered, IdentityExtended, PassphraseChanged
from privity.messages.base import Event
from privity.messages.connections import (
    ConnectionConfirmed,
    ConnectionEstablished,
    ConnectionNoted,
    ConnectionRemoved,
)
from privity.messages.envelope import FeedEntry
from privity.messages.invitations import (
    ConnectionInvited,
    InvitationAccepted,
    InvitationCancelled,
    InvitationDeclined,
)
from privity.messages.items import ItemAdded, ItemEdited, ItemRemoved
from privity.messages.keys import KeypairStored, PublicKeyPublished
from privity.messages.recorded import Positioned
from privity.messages.shares import ShareClaimed, ShareCreated, ShareRemoved
from privity.messages.views import AskFeed
from projections.changes import Change, instant
from projections.desk import Desk, Page, page, view
from projections.tables import feed

INSERT = feed.insert()
REFS = ("invitation", "connection", "item", "share", "space", "key")


def audience(event: Event) -> tuple[str, ...]:
    """The accounts whom an event concerns."""
    match event:
        case AccountRegistered(account=one) | IdentityExtended(account=one) | PassphraseChanged(account=one):
            return (one,)
        case KeypairStored(account=one) | PublicKeyPublished(account=one):
            return (one,)
        case ItemAdded(owner=one) | ItemEdited(owner=one) | ItemRemoved(owner=one):
            return (one,)
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
        case ShareClaimed(owner=one, recipient=other):
            return (one, other)
    return ()


def entry(happened: Positioned) -> FeedEntry:
    """The line that the feed shows."""
    event = happened.event
    refs = {name: value for name in REFS if isinstance(value := getattr(event, name, None), str)}
    return FeedEntry(happened.position, event.name, happened.meta.at, happened.meta.actor, refs)


def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    concerned = audience(happened.event)
    if not concerned:
        return
    line = entry(happened)
    for account in dict.fromkeys(concerned):
        values = {
            "account": account,
            "position": line.position,
            "event": line.event,
            "at": instant(line.at),
            "actor": line.actor,
            "refs": line.refs,
        }
        yield Change(feed, INSERT, values)


@view(AskFeed)
def own_feed(ask: AskFeed, desk: Desk) -> Page[FeedEntry]:
    """What happened to me behind the cursor."""
    select = sa.select(feed).where(feed.c.account == desk.account)
    rows, more = page(ask, desk, select, feed.c.position)
    found = tuple(
        FeedEntry(row["position"], row["event"], datetime.fromisoformat(row["at"]), row["actor"], row["refs"])
        for row in rows
    )
    return Page(found, ((),) * len(found), tuple(row["position"] for row in rows), more)
