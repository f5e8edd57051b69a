"""The shares view, the encryption spaces behind it, and the lines, which keep what has ended too."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from privity.crypto.sharing import line_number
from privity.encoding import unb64
from privity.messages.connections import ConnectionRemoved
from privity.messages.recorded import Positioned
from privity.messages.shares import (
    EncryptionSpaceOpened,
    ShareClaimed,
    ShareCreated,
    ShareRemoved,
    ShareRevised,
    TermsAccepted,
)
from privity.messages.views import AskLine, AskShares, AskSpaces, LineRow, ShareRow, SpaceRow
from projections.changes import Change, folds, instant
from projections.delegations import check_delegate
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
ACCEPT = (
    shares.update()
    .where(shares.c.share == sa.bindparam("of"))
    .values(accepted=sa.bindparam("signed"), accepted_hash=sa.bindparam("hash"))
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
ABOUT = ("share", "space", "connection", "owner", "recipient", "item", "source")
BROUGHT = (
    "version",
    "manifest",
    "signature",
    "content",
    "owner_wrap",
    "recipient_wrap",
    "terms",
    "terms_hash",
    "reshare",
    "keep",
)
REVISE = (
    shares.update()
    .where(shares.c.share == sa.bindparam("of"))
    .values({name: sa.bindparam(name) for name in (*BROUGHT, "generation", "expires", "claim", "revised")})
)


@folds(EncryptionSpaceOpened, ShareCreated, ShareRevised, TermsAccepted, ShareClaimed, ShareRemoved, ConnectionRemoved)
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
            row = {name: getattr(event, name) for name in ABOUT} | _brought(happened.position, event, 1)
            rest = {"created": instant(happened.meta.at), "accepted": None, "accepted_hash": None}
            yield Change(shares, INSERT, row | rest | {"position": happened.position})
            yield from _line(happened.position, event)
        case ShareRevised(share=share, space=space) as event:
            yield Change(shares, REVISE, _brought(happened.position, event, event.generation) | {"of": share})
            for member, wrap in ((event.owner, event.owner_wrap), (event.recipient, event.recipient_wrap)):
                yield Change(space_members, REWRAP, {"of": space, "member": member, "claim": wrap})
            yield from _line(happened.position, event)
        case TermsAccepted(share=share, terms_hash=accepted, signature=signature):
            yield Change(shares, ACCEPT, {"of": share, "signed": signature, "hash": accepted})
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


def _brought(position: int, event: ShareCreated | ShareRevised, generation: int) -> dict[str, object]:
    """What a generation brings; it is to be claimed anew."""
    row = {name: getattr(event, name) for name in BROUGHT}
    expires = instant(event.expires) if event.expires is not None else None
    return row | {"generation": generation, "expires": expires, "claim": None, "revised": position}


def _line(position: int, event: ShareCreated | ShareRevised) -> Iterator[Change]:
    """The share in its sender's line; one of Privity 0.1 stands in none."""
    n = line_number(unb64(event.manifest))
    if n:
        names = ("connection", "share", "recipient", "manifest", "signature")
        row = {name: getattr(event, name) for name in names}
        yield Change(lines, INSERT_LINE, row | {"sender": event.owner, "n": n, "ended": None, "position": position})


@view(AskShares)
def both_ways(ask: AskShares, desk: Desk) -> Page[ShareRow]:
    """Shares to me and from me; an unclaimed wrapped DEK goes out only when the request is fresh.

    From one whose delegate I am, bare.
    """
    incoming, outgoing = shares.c.recipient == desk.account, shares.c.owner == desk.account
    mine = {"incoming": incoming, "outgoing": outgoing, "all": sa.or_(incoming, outgoing)}[ask.direction]
    bare = ask.bare
    if ask.principal is not None and ask.principal != desk.account:
        check_delegate(desk, ask.principal)
        mine, bare = shares.c.owner == ask.principal, True
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
    return Page(
        tuple(_row(row, desk) for row in rows),
        tuple(() if bare else _sealed(row, desk) for row in rows),
        tuple(row["position"] for row in rows),
        more,
    )


def _row(row: Mapping[Any, Any], desk: Desk) -> ShareRow:
    names = (*ABOUT, *BROUGHT, "owner_address", "recipient_address", "generation")
    return ShareRow(
        **{name: row[name] for name in names if name in ShareRow.__dataclass_fields__},
        created=datetime.fromisoformat(row["created"]),
        wrap=_wrap(row, desk),
        claimed=row["claim"] is not None,
        position=row["revised"],
        expires=_expires(row),
        accepted=row["accepted"] if row["accepted_hash"] == row["terms_hash"] else None,
    )


def _wrap(row: Mapping[Any, Any], desk: Desk) -> str | None:
    """One's own wrap; one that is sealed to a key goes out only when the request is fresh."""
    wrap: str | None
    if row["owner"] == desk.account:
        wrap = row["owner_wrap"]
    elif row["recipient"] != desk.account or not _readable(row, desk):
        wrap = None
    elif row["claim"] is not None:
        wrap = row["claim"]
    else:
        wrap = row["recipient_wrap"] if desk.fresh else None
    return wrap


def _sealed(row: Mapping[Any, Any], desk: Desk) -> tuple[str, ...]:
    """The objects that go along: nothing that may not be read, and the terms, which may be read before."""
    content = row["content"] if _readable(row, desk) else None
    terms = row["terms"] if row["recipient"] == desk.account else None
    return tuple(each for each in (content, _wrap(row, desk), terms) if each is not None)


def _readable(row: Mapping[Any, Any], desk: Desk) -> bool:
    """Whether the asker may have the content now."""
    if row["owner"] == desk.account:
        return True
    expires = _expires(row)
    accepted = row["terms_hash"] is None or row["accepted_hash"] == row["terms_hash"]
    return accepted and (expires is None or desk.at < expires)


def _expires(row: Mapping[Any, Any]) -> datetime | None:
    return datetime.fromisoformat(row["expires"]) if row["expires"] is not None else None


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
    return SpaceRow(
        space=row["space"],
        connection=row["connection"],
        owner=row["owner"],
        members=tuple(wraps),
        wrap=wraps[desk.account] if _given(row, desk) else None,
    )


def _given(row: Mapping[Any, Any], desk: Desk) -> bool:
    """Whether the asker is given the wrap, by the same rule as with the share."""
    behind = desk.db.execute(sa.select(shares).where(shares.c.space == row["space"])).mappings().first()
    if behind is None or row["owner"] == desk.account:
        return True
    return _readable(behind, desk) and (desk.fresh or behind["claim"] is not None)
