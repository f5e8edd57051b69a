"""The groups views: epochs, members and the line of each group, for those who are in it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from privity.crypto.groups import Member, Roster
from privity.encoding import unb64
from privity.errors import NotFound
from privity.messages.groups import (
    GroupAdvanced,
    GroupClaimed,
    GroupKeyed,
    GroupLeft,
    GroupPosted,
    GroupWithdrawn,
)
from privity.messages.recorded import Positioned
from privity.messages.views import (
    AskGroupEpochs,
    AskGroupLine,
    AskGroupMembers,
    AskGroups,
    GroupEpochRow,
    GroupLineRow,
    GroupMemberRow,
    GroupRow,
)
from projections.accounts import chain_of
from projections.changes import Change, folds
from projections.desk import Desk, Page, page, view
from projections.tables import accounts, group_epochs, group_lines, group_members, groups, identity_records

INSERT_GROUP = groups.insert()
_group = groups.c.group == sa.bindparam("of")
ADVANCE = groups.update().where(_group).values(epoch=sa.bindparam("now"))
RENAME = groups.update().where(_group).values(about=sa.bindparam("new_about"))
INSERT_EPOCH = group_epochs.insert()
_member = sa.and_(group_members.c.group == sa.bindparam("of"), group_members.c.account == sa.bindparam("whom"))
INSERT_MEMBER = group_members.insert()
DELETE_MEMBER = group_members.delete().where(_member)
_until = sa.func.coalesce(group_members.c.until, sa.bindparam("now"))
DROP = group_members.update().where(_member).values(gone=True, wrap="", until=_until)
CLAIM = group_members.update().where(_member).values(claimed=True, wrap=sa.bindparam("claim"))
LEAVE = group_members.update().where(_member).values(left=sa.bindparam("at"), wrap="", until=sa.bindparam("now"))
INSERT_LINE = group_lines.insert()
EMPTY = (
    group_lines.update()
    .where(group_lines.c.post == sa.bindparam("of"), group_lines.c.content.is_not(None))
    .values(content=None, wrap=None)
)
MEMBER = ("role", "n", "head", "seal")
PLACE = ("role", "head", "seal")
MAX_CHAINS = 512 * 1024
"""Characters of identity chains that one page carries; a first row goes out with its own."""


@folds(GroupAdvanced, GroupKeyed, GroupClaimed, GroupLeft, GroupPosted, GroupWithdrawn)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case GroupAdvanced() as event:
            yield from _advanced(happened.position, event)
        case GroupKeyed(group=group, members=members, wraps=wraps):
            for account in members:
                yield Change(group_members, DELETE_MEMBER, {"of": group, "whom": account})
            for account, member in members.items():
                row = {name: getattr(member, name) for name in MEMBER} | {"group": group, "account": account}
                rest = {"wrap": wraps[account], "claimed": False, "left": None, "gone": False, "until": None}
                yield Change(group_members, INSERT_MEMBER, row | rest | {"position": happened.position})
        case GroupClaimed(group=group, account=account, wrap=wrap):
            yield Change(group_members, CLAIM, {"of": group, "whom": account, "claim": wrap})
        case GroupLeft(group=group, account=account, epoch=epoch):
            yield Change(group_members, LEAVE, {"of": group, "whom": account, "now": epoch, "at": happened.position})
        case GroupPosted(post=post) as event:
            yield Change(group_lines, EMPTY, {"of": post})
            parts: dict[str, str | None] = {"author": event.author, "content": event.content, "wrap": event.wrap}
            yield _line(happened.position, event, parts)
        case GroupWithdrawn(post=post, by=by) as event:
            yield Change(group_lines, EMPTY, {"of": post})
            yield _line(happened.position, event, {"author": by, "content": None, "wrap": None})


def _advanced(position: int, event: GroupAdvanced) -> Iterator[Change]:
    if event.epoch == 1:
        row = {"group": event.group, "epoch": 1, "about": event.about, "position": position}
        yield Change(groups, INSERT_GROUP, row)
    else:
        yield Change(groups, ADVANCE, {"of": event.group, "now": event.epoch})
        if event.about is not None:
            yield Change(groups, RENAME, {"of": event.group, "new_about": event.about})
    for account in event.dropped:
        yield Change(group_members, DROP, {"of": event.group, "whom": account, "now": event.epoch})
    names = ("group", "epoch", "record", "signature", "by", "link")
    row = {name: getattr(event, name) for name in names} | {name: getattr(event.member, name) for name in PLACE}
    place = {"place": event.index, "proof": list(event.proof), "position": position}
    yield Change(group_epochs, INSERT_EPOCH, row | place)


def _line(position: int, event: GroupPosted | GroupWithdrawn, parts: dict[str, str | None]) -> Change:
    names = ("group", "n", "post", "manifest", "signature")
    row = {name: getattr(event, name) for name in names} | {name: getattr(event.member, name) for name in PLACE}
    place = {"place": event.index, "proof": list(event.proof), "position": position}
    return Change(group_lines, INSERT_LINE, row | parts | place)


@view(AskGroups)
def own_groups(ask: AskGroups, desk: Desk) -> Page[GroupRow]:
    """The groups that I am in; a space key that I have not claimed goes out only when the request is fresh."""
    own = group_members
    select = (
        sa.select(own, groups.c.epoch, groups.c.about)
        .join(groups, groups.c.group == own.c.group)
        .where(own.c.account == desk.account, _active(), own.c.group.startswith(ask.id))
    )
    rows, more = page(ask, desk, select, own.c.position)
    found = tuple(_own(row, desk) for row in rows)
    sealed = tuple((row.about, row.wrap) if row.wrap else (row.about,) for row in found)
    return Page(found, sealed, tuple(row["position"] for row in rows), more)


def _own(row: Mapping[Any, Any], desk: Desk) -> GroupRow:
    everybody = sa.select(group_members).where(
        group_members.c.group == row["group"], group_members.c.gone == sa.false()
    )
    members = list(desk.db.execute(everybody).mappings())
    roster = Roster(Member(each["account"], each["role"], each["head"], each["seal"]) for each in members)
    index, proof = roster.proof(desk.account)
    return GroupRow(
        **{name: row[name] for name in ("group", "epoch", "role", "head", "seal", "claimed", "about")},
        index=index,
        proof=proof,
        wrap=row["wrap"] if row["claimed"] or desk.fresh else None,
        went=sum(each["left"] is not None for each in members),
    )


@view(AskGroupEpochs)
def epochs(ask: AskGroupEpochs, desk: Desk) -> Page[GroupEpochRow]:
    """The epochs of a group that I am in; those up to my end, if I was."""
    own = _place(ask.group, desk, was=True)
    select = sa.select(group_epochs).where(group_epochs.c.group == ask.group)
    if own["until"] is not None:
        select = select.where(group_epochs.c.epoch <= own["until"])
    rows, more = page(ask, desk, select, group_epochs.c.epoch)
    found = tuple(GroupEpochRow(**_fields(GroupEpochRow, row)) for row in rows)
    reads = own["until"] is None
    sealed = tuple((row.link,) if reads and row.link else () for row in found)
    return Page(found, sealed, tuple(row["epoch"] for row in rows), more)


@view(AskGroupMembers)
def members(ask: AskGroupMembers, desk: Desk) -> Page[GroupMemberRow]:
    """Who is in a group that I am in, in the order of the accounts; or one account which was.

    Where my own place is over, that is only who signed an epoch up to then, and myself.
    """
    own = _place(ask.group, desk, was=ask.account is not None)
    select = (
        sa.select(group_members, accounts.c.address, identity_records.c.record, _newest().label("newest"))
        .join(accounts, accounts.c.account == group_members.c.account)
        .join(
            identity_records,
            sa.and_(
                identity_records.c.account == group_members.c.account,
                identity_records.c.n == group_members.c.n,
            ),
        )
        .where(group_members.c.group == ask.group)
    )
    if ask.account is None:
        select = select.where(group_members.c.gone == sa.false())
    else:
        select = select.where(group_members.c.account == ask.account)
    if own["until"] is not None:
        signed = sa.select(group_epochs.c.by).where(
            group_epochs.c.group == ask.group, group_epochs.c.epoch <= own["until"]
        )
        mine = group_members.c.account == desk.account
        select = select.where(sa.or_(group_members.c.account.in_(signed), mine))
    behind = select.order_by(group_members.c.account).offset(ask.after).limit(ask.limit + 1)
    rows = list(desk.db.execute(behind).mappings())
    found: list[GroupMemberRow] = []
    size = 0
    for row in rows[: ask.limit]:
        shown = _member_row(row, desk, whole=ask.account is not None)
        size += sum(len(record.record) for record in shown.chain)
        if found and size > MAX_CHAINS:
            break
        found.append(shown)
    cursors = tuple(ask.after + place for place in range(1, len(found) + 1))
    return Page(tuple(found), ((),) * len(found), cursors, len(found) < len(rows))


@view(AskGroupLine)
def line(ask: AskGroupLine, desk: Desk) -> Page[GroupLineRow]:
    """All that was written to a group that I am in."""
    _place(ask.group, desk)
    select = sa.select(group_lines).where(group_lines.c.group == ask.group)
    rows, more = page(ask, desk, select, group_lines.c.n)
    found = tuple(GroupLineRow(**_fields(GroupLineRow, row)) for row in rows)
    sealed = tuple((row.content, row.wrap) if row.content and row.wrap and not ask.bare else () for row in found)
    return Page(found, sealed, tuple(row["n"] for row in rows), more)


def shown(position: int, desk: Desk) -> str | None:
    """Who made the event at a position, if it is one of a group that I am in: an epoch, a number, or that they went."""
    for table, column, actor in (
        (group_epochs, group_epochs.c.position, group_epochs.c.by),
        (group_lines, group_lines.c.position, group_lines.c.author),
        (group_members, group_members.c.left, group_members.c.account),
    ):
        mine = sa.select(group_members.c.group).where(group_members.c.account == desk.account, _active())
        found = desk.db.execute(sa.select(actor).where(column == position, table.c.group.in_(mine))).scalar()
        if found is not None:
            return str(found)
    return None


def _fields(row_type: type[Any], row: Mapping[Any, Any]) -> dict[str, Any]:
    values = {name: row[name] for name in row_type.__dataclass_fields__ if name != "index"}
    return values | {"index": row["place"], "proof": tuple(row["proof"])}


def _member_row(row: Mapping[Any, Any], desk: Desk, *, whole: bool) -> GroupMemberRow:
    names = ("group", "account", "address", "role", "n", "head", "seal", "left", "gone")
    identity = json.loads(unb64(row["record"]))
    return GroupMemberRow(
        **{name: row[name] for name in names},
        suite=identity["seal_suite"],
        public=identity["seal"],
        chain=chain_of(row["account"], desk.db) if whole or row["newest"] != row["n"] else (),
    )


def _newest() -> sa.ScalarSelect[Any]:
    records = identity_records.alias()
    newest = sa.select(sa.func.max(records.c.n)).where(records.c.account == group_members.c.account)
    return newest.correlate(group_members).scalar_subquery()


def _active() -> sa.ColumnElement[bool]:
    return sa.and_(group_members.c.left.is_(None), group_members.c.gone == sa.false())


def _place(group: str, desk: Desk, *, was: bool = False) -> Mapping[Any, Any]:
    """One's own row in a group; to others this says no more than of a group that is not there.

    Raises:
        NotFound: one is not in it, or, with `was`, never was.
    """
    own = sa.select(group_members).where(group_members.c.group == group, group_members.c.account == desk.account)
    row = desk.db.execute(own if was else own.where(_active())).mappings().first()
    if row is None:
        raise NotFound("there is no such group")
    return row
