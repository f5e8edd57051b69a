"""The feed: for each person, what happened that concerns them, in order, each line numbered and linked to the last."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

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
        case InstructionGiven(principal=one, by=other) | InstructionAnswered(principal=one, delegate=other):
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
        case SharingKeyCreated(by=one) | SharingKeyClaimed(by=one) | SharingKeyNoted(by=one):
            return (one,)
        case SharingKeyGranted(by=one, holders=holders):
            return (one, *holders)
        case SharingKeyRotated(by=one, holders=holders, dropped=dropped):
            return (one, *holders, *dropped)
        case PublicPartSent(by=one, to=other):
            return (one, other)
        case GrantBegun(by=one) | GrantStepTaken(by=one):
            return (one,)
        case AuditAsked(by=one, of=other) | AuditAnswered(by=one, asker=other):
            return (one, other)
        case LocationCreated(accounts=accounts) | LocationChanged(accounts=accounts):
            return accounts
        case LocationRemoved(accounts=accounts):
            return accounts
        case SharingKeyErased(accounts=accounts):
            return accounts
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
    if isinstance(event, InstructionGiven | InstructionAnswered):
        refs["n"] = str(event.n)
    if isinstance(event, PieceGranted | PieceReleased):
        refs |= {"reader": event.reader, "generation": str(event.generation)}
    if isinstance(event, SharingKeyGranted | SharingKeyRotated):
        refs |= {"n": str(event.n), "generation": str(event.generation)}
    if isinstance(event, GrantBegun | GrantStepTaken):
        refs |= {"grant": event.grant, "to": event.to}
    if isinstance(event, GrantStepTaken):
        refs |= {"step": event.step, "outcome": event.outcome}
    if isinstance(event, AuditAsked | AuditAnswered):
        refs["audit"] = event.audit
    if isinstance(event, LocationChanged):
        refs["n"] = str(event.n)
    if isinstance(event, SharingKeyGranted | PublicPartSent):
        refs["to"] = event.to
    return FeedEntry(happened.position, event.name, happened.meta.at, happened.meta.actor, refs)


class Line(NamedTuple):
    """A line as it stands in the feed of each of these accounts, but for its number and link."""

    accounts: tuple[str, ...]
    position: int
    event: str
    at: str
    actor: str
    refs: dict[str, str]


def lines(happened: Iterable[Positioned]) -> Iterator[Line]:
    """What events say in the feeds of whom they concern."""
    for each in happened:
        if accounts := tuple(dict.fromkeys(audience(each.event))):
            said = entry(each)
            yield Line(accounts, said.position, said.event, instant(said.at), said.actor, said.refs)


def changes(lines: Sequence[Line], db: sa.Connection, heads: sa.Table = feed_heads) -> Iterator[Change]:
    """What lines change here; unlike other views, a line depends on the one before it, which is read once for all."""
    known = _heads({account for line in lines for account in line.accounts}, db, heads)
    newest = dict(known)
    for line in lines:
        for account in line.accounts:
            values = _row(account, line, *newest.get(account, NO_LINE))
            newest[account] = values["seq"], values["link"]
            yield Change(feed, INSERT, values)
    for account, (seq, link) in newest.items():
        if account not in known:
            yield Change(feed_heads, INSERT_HEAD, {"account": account, "seq": seq, "link": link})
    for account in known:
        seq, link = newest[account]
        yield Change(feed_heads, MOVE_HEAD, {"of": account, "seq": seq, "link": link})


def _heads(accounts: set[str], db: sa.Connection, heads: sa.Table) -> dict[str, tuple[int, str]]:
    found = db.execute(sa.select(heads).where(heads.c.account.in_(accounts)))
    return {account: (seq, link) for account, seq, link in found}


def _row(account: str, line: Line, seq: int, previous: str) -> dict[str, Value]:
    link = feed_link(account, seq + 1, previous, line.position, line.event, line.at, line.actor, line.refs)
    return {
        "account": account,
        "position": line.position,
        "event": line.event,
        "at": line.at,
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
