"""The feed: for each person, what happened that concerns them, in order, each line numbered and linked to the last."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import sqlalchemy as sa

from privity.crypto.feed import canonical_refs, feed_tail, link_to
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
    Side,
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
from privity.messages.grants import AuditAnswered, AuditAsked, GrantBegun, GrantStepTaken
from privity.messages.groups import (
    GroupAdvanced,
    GroupClaimed,
    GroupKeyed,
    GroupLeft,
    GroupPosted,
    GroupStaged,
    GroupWithdrawn,
)
from privity.messages.instructions import InstructionAnswered, InstructionGiven
from privity.messages.invitations import (
    ConnectionInvited,
    InvitationAccepted,
    InvitationCancelled,
    InvitationDeclined,
)
from privity.messages.items import ItemAdded, ItemEdited, ItemRemoved
from privity.messages.keys import KeypairRemoved, KeypairStored, PublicKeyPublished
from privity.messages.locations import LocationChanged, LocationCreated, LocationRemoved
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
from privity.messages.sharing_keys import (
    PublicPartSent,
    SharingKeyClaimed,
    SharingKeyCreated,
    SharingKeyErased,
    SharingKeyGranted,
    SharingKeyNoted,
    SharingKeyRotated,
)
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
    "location",
)
NUMBERED: dict[type[Event], tuple[str, ...]] = {
    ItemEdited: ("version",),
    ItemKept: ("version",),
    PieceSet: ("version",),
    PieceRemoved: ("version",),
    RulesSet: ("version",),
    InstructionGiven: ("n",),
    InstructionAnswered: ("n",),
    PieceGranted: ("reader", "generation"),
    PieceReleased: ("reader", "generation"),
    SharingKeyGranted: ("n", "generation", "to"),
    SharingKeyRotated: ("n", "generation"),
    PublicPartSent: ("to",),
    GrantBegun: ("grant", "to"),
    GrantStepTaken: ("grant", "to", "step", "outcome"),
    AuditAsked: ("audit",),
    AuditAnswered: ("audit",),
    LocationChanged: ("n",),
}
"""What else is said of an event, as text."""
NAMED = {type_: tuple(name for name in REFS if name in type_.__dataclass_fields__) for type_ in EVENTS.values()}
"""Which of the names an event has."""


CONCERNED: dict[type[Event], tuple[str, ...]] = {
    **dict.fromkeys((AccountRegistered, IdentityExtended, PassphraseChanged), ("account",)),
    **dict.fromkeys((IdentityRotated, AccountRenamed, AccountClosed), ("account",)),
    **dict.fromkeys((KeypairStored, PublicKeyPublished, KeypairRemoved), ("account",)),
    **dict.fromkeys((KeyringFetched, KeyringRefused), ("account",)),
    **dict.fromkeys((ItemAdded, ItemEdited, ItemRemoved), ("owner",)),
    **dict.fromkeys((ItemKept, ItemDropped, DelegationClaimed, InstructionGiven), ("principal", "by")),
    InstructionAnswered: ("principal", "delegate"),
    **dict.fromkeys((DelegationGranted, DelegationRemoved), ("principal", "delegate", "accounts")),
    **dict.fromkeys((FileAttached, FileDetached), ("owner", "recipient")),
    **dict.fromkeys((ConnectionInvited, InvitationCancelled), ("inviter",)),
    **dict.fromkeys((InvitationAccepted, InvitationDeclined), ("inviter", "by")),
    **dict.fromkeys((ConnectionEstablished, ConnectionConfirmed, ConnectionRemoved), ("inviter", "acceptor")),
    ConnectionNoted: ("by",),
    **dict.fromkeys((ShareCreated, ShareRemoved, ShareRevised, TermsAccepted, ShareClaimed), ("owner", "recipient")),
    ShareFetched: ("owner", "reader"),
    **dict.fromkeys((GroupStaged, GroupWithdrawn), ("by",)),
    GroupPosted: ("author",),
    GroupClaimed: ("account",),
    GroupAdvanced: ("by", "dropped"),
    GroupKeyed: ("members",),
    GroupLeft: ("account", "told"),
    **dict.fromkeys((PieceSet, PieceRemoved), ("owner",)),
    RulesSet: ("account",),
    **dict.fromkeys((PieceGranted, PieceStored, PieceReleased), ("owner", "reader")),
    **dict.fromkeys((PieceRequested, RequestApproved, RequestDeclined, RequestClosed), ("owner", "asker")),
    **dict.fromkeys((SharingKeyCreated, SharingKeyClaimed, SharingKeyNoted), ("by",)),
    SharingKeyGranted: ("by", "holders"),
    SharingKeyRotated: ("by", "holders", "dropped"),
    PublicPartSent: ("by", "to"),
    **dict.fromkeys((GrantBegun, GrantStepTaken), ("by",)),
    AuditAsked: ("by", "of"),
    AuditAnswered: ("by", "asker"),
    **dict.fromkeys((LocationCreated, LocationChanged, LocationRemoved), ("accounts",)),
    **dict.fromkeys((SharingKeyErased, SealedErased), ("accounts",)),
}
"""Where an event says whom it concerns: an account, a side with one, several of them, or nobody."""


def audience(event: Event) -> tuple[str, ...]:
    """The accounts whom an event concerns, each once."""
    found: list[str] = []
    for name in CONCERNED.get(type(event), ()):
        match getattr(event, name):
            case str(account) | Side(account=account):
                found.append(account)
            case None:
                pass
            case several:
                found += several
    return tuple(dict.fromkeys(found)) if len(found) > 1 else tuple(found)


def entry(happened: Positioned) -> FeedEntry:
    """The line that the feed shows."""
    event = happened.event
    return FeedEntry(happened.position, event.name, happened.meta.at, happened.meta.actor, refs(event))


def refs(event: Event) -> dict[str, str]:
    """What an event is about."""
    if isinstance(event, SealedErased):
        return {"id": event.id, "digests": " ".join(event.digests)}
    found = {name: value for name in NAMED[type(event)] if isinstance(value := getattr(event, name), str)}
    for name in NUMBERED.get(type(event), ()):
        found[name] = str(getattr(event, name))
    return found | {"version": "1"} if isinstance(event, ItemAdded) else found


Line = tuple[tuple[str, ...], dict[str, Value], bytes]
"""In whose feeds a line stands, its row but for account, number and link, and the end of what is hashed."""


def lines(happened: Iterable[Positioned]) -> Iterator[Line]:
    """What events say in the feeds of whom they concern."""
    for each in happened:
        if accounts := audience(each.event):
            position, event, at, actor = each.position, each.event.name, instant(each.meta.at), each.meta.actor
            said = canonical_refs(refs(each.event))
            row = {"position": position, "event": event, "at": at, "actor": actor, "refs": said}
            yield accounts, row, feed_tail(position, event, at, actor, said)


def changes(lines: Sequence[Line], db: sa.Connection, heads: sa.Table = feed_heads) -> Iterator[Change]:
    """What lines change here; unlike other views, a line depends on the one before it, which is read once for all."""
    known = _heads({account for accounts, _, _ in lines for account in accounts}, db, heads)
    newest = dict(known)
    for accounts, row, tail in lines:
        for account in accounts:
            before, previous = newest.get(account, NO_LINE)
            link = link_to(account, seq := before + 1, previous, tail)
            newest[account] = seq, link
            yield Change(feed, INSERT, {"account": account, **row, "seq": seq, "link": link})
    for account, (seq, link) in newest.items():
        if account not in known:
            yield Change(feed_heads, INSERT_HEAD, {"account": account, "seq": seq, "link": link})
    for account in known:
        seq, link = newest[account]
        yield Change(feed_heads, MOVE_HEAD, {"of": account, "seq": seq, "link": link})


def _heads(accounts: set[str], db: sa.Connection, heads: sa.Table) -> dict[str, tuple[int, str]]:
    found = db.execute(sa.select(heads).where(heads.c.account.in_(accounts)))
    return {account: (seq, link) for account, seq, link in found}


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
