"""The shares view, the encryption spaces behind it, and the lines, which keep what has ended too."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from privity.crypto.sharing import read_manifest
from privity.encoding import unb64
from privity.messages.connections import ConnectionRemoved
from privity.messages.recorded import Positioned
from privity.messages.shares import EncryptionSpaceOpened, ShareClaimed, ShareCreated, ShareRemoved
from privity.messages.views import AskLine, AskShares, AskSpaces, LineRow, ShareRow, SpaceRow
from projections.changes import Change, instant
from projections.desk import Desk, Page, page, view
from projections.tables import accounts, lines, shares, space_members, spaces

INSERT = shares.insert()
INSERT_SPACE = spaces.insert()
INSERT_MEMBER = space_members.insert()
CLAIM = shares.update().where(shares.c.share == sa.bindparam("of")).values(claim=sa.bindparam("claim"))
REWRAP = (
    space_members.update()
    .where(space_members.c.space == sa.bindparam("of"), space_members.c.account == sa.bindparam("member"))
    .values(wrap=sa.bindparam("claim"))
)
DELETE = shares.delete().where(shares.c.share == sa.bindparam("of"))
DELETE_SPACE = spaces.delete().where(spaces.c.space == sa.bindparam("of"))
DELETE_MEMBERS = space_members.delete().where(space_members.c.space == sa.bindparam("of"))
INSERT_LINE = lines.insert()
_standing = lines.c.ended.is_(None)
END_LINE = lines.update().where(lines.c.share == sa.bindparam("of"), _standing).values(ended=sa.bindparam("at"))
END_LINES = lines.update().where(lines.c.connection == sa.bindparam("of"), _standing).values(ended=sa.bindparam("at"))
END_ALL = {
    table: table.delete().where(table.c.connection == sa.bindparam("of")) for table in (shares, spaces, space_members)
}
COPIED = (
    "share",
    "space",
    "connection",
    "owner",
    "recipient",
    "item",
    "version",
    "manifest",
    "signature",
    "content",
    "owner_wrap",
    "recipient_wrap",
)


def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case EncryptionSpaceOpened(space=space, connection=connection, owner=owner, wraps=wraps):
            row = {"space": space, "connection": connection, "owner": owner, "position": happened.position}
            yield Change(spaces, INSERT_SPACE, row)
            for member, wrap in wraps.items():
                values = {"space": space, "account": member, "connection": connection, "wrap": wrap}
                yield Change(space_members, INSERT_MEMBER, values)
        case ShareCreated() as event:
            row = {name: getattr(event, name) for name in COPIED}
            rest = {"created": instant(happened.meta.at), "claim": None, "position": happened.position}
            yield Change(shares, INSERT, row | rest)
            yield from _line(happened.position, event)
        case ShareClaimed(share=share, space=space, recipient=recipient, wrap=wrap):
            yield Change(shares, CLAIM, {"of": share, "claim": wrap})
            yield Change(space_members, REWRAP, {"of": space, "member": recipient, "claim": wrap})
        case ShareRemoved(share=share, space=space):
            yield Change(shares, DELETE, {"of": share})
            yield Change(lines, END_LINE, {"of": share, "at": happened.position})
            yield Change(spaces, DELETE_SPACE, {"of": space})
            yield Change(space_members, DELETE_MEMBERS, {"of": space})
        case ConnectionRemoved(connection=connection):
            yield Change(lines, END_LINES, {"of": connection, "at": happened.position})
            for table, statement in END_ALL.items():
                yield Change(table, statement, {"of": connection})


def _line(position: int, event: ShareCreated) -> Iterator[Change]:
    """The share in its sender's line; one of Privity 0.1 stands in none."""
    n = read_manifest(unb64(event.manifest)).n
    if n:
        names = ("connection", "share", "recipient", "manifest", "signature")
        row = {name: getattr(event, name) for name in names}
        yield Change(lines, INSERT_LINE, row | {"sender": event.owner, "n": n, "ended": None, "position": position})


@view(AskShares)
def both_ways(ask: AskShares, desk: Desk) -> Page[ShareRow]:
    """Shares to me and from me; an unclaimed wrapped DEK goes out only when the request is fresh."""
    incoming, outgoing = shares.c.recipient == desk.account, shares.c.owner == desk.account
    mine = {"incoming": incoming, "outgoing": outgoing, "all": sa.or_(incoming, outgoing)}[ask.direction]
    owner, recipient = accounts.alias(), accounts.alias()
    select = (
        sa.select(
            shares,
            owner.c.address.label("owner_address"),
            recipient.c.address.label("recipient_address"),
        )
        .join(owner, owner.c.account == shares.c.owner)
        .join(recipient, recipient.c.account == shares.c.recipient)
        .where(mine, shares.c.share.startswith(ask.id), shares.c.item.startswith(ask.item))
    )
    if ask.connection is not None:
        select = select.where(shares.c.connection == ask.connection)
    rows, more = page(ask, desk, select, shares.c.position)
    found = tuple(_row(row, desk) for row in rows)
    sealed = tuple((row.content, row.wrap) if row.wrap else (row.content,) for row in found)
    return Page(found, sealed, tuple(row["position"] for row in rows), more)


def _row(row: Mapping[Any, Any], desk: Desk) -> ShareRow:
    claimed = row["claim"] is not None
    if row["owner"] == desk.account:
        wrap = row["owner_wrap"]
    elif claimed:
        wrap = row["claim"]
    else:
        wrap = row["recipient_wrap"] if desk.fresh else None
    names = ("share", "space", "connection", "owner", "owner_address", "recipient", "recipient_address")
    return ShareRow(
        **{name: row[name] for name in (*names, "item", "version", "manifest", "signature", "content")},
        created=datetime.fromisoformat(row["created"]),
        wrap=wrap,
        claimed=claimed,
        position=row["position"],
    )


@view(AskLine)
def own_lines(ask: AskLine, desk: Desk) -> Page[LineRow]:
    """What was sent over a connection, to me and from me, ended or not."""
    mine = sa.or_(lines.c.sender == desk.account, lines.c.recipient == desk.account)
    select = sa.select(lines).where(lines.c.connection == ask.connection, mine)
    rows, more = page(ask, desk, select, lines.c.position)
    found = tuple(LineRow(**{name: row[name] for name in LineRow.__dataclass_fields__}) for row in rows)
    return Page(found, ((),) * len(found), tuple(row["position"] for row in rows), more)


@view(AskSpaces)
def own_spaces(ask: AskSpaces, desk: Desk) -> Page[SpaceRow]:
    """Encryption spaces that one is a member of; one's own wrap, by the same rule as the share's."""
    mine = sa.select(space_members.c.space).where(space_members.c.account == desk.account)
    select = sa.select(spaces).where(spaces.c.space.in_(mine), spaces.c.space.startswith(ask.id))
    rows, more = page(ask, desk, select, spaces.c.position)
    found = tuple(_space(row, desk) for row in rows)
    sealed = tuple((row.wrap,) if row.wrap else () for row in found)
    return Page(found, sealed, tuple(row["position"] for row in rows), more)


def _space(row: Mapping[Any, Any], desk: Desk) -> SpaceRow:
    members = desk.db.execute(
        sa.select(space_members).where(space_members.c.space == row["space"]).order_by(space_members.c.account)
    ).mappings()
    wraps = {member["account"]: member["wrap"] for member in members}
    unclaimed = sa.select(shares.c.share).where(shares.c.space == row["space"], shares.c.claim.is_(None))
    sealed_to_key = row["owner"] != desk.account and desk.db.execute(unclaimed).first() is not None
    return SpaceRow(
        space=row["space"],
        connection=row["connection"],
        owner=row["owner"],
        members=tuple(wraps),
        wrap=wraps[desk.account] if desk.fresh or not sealed_to_key else None,
    )
