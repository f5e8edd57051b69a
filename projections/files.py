"""The files view: what is attached to one's own items, and to shares for as long as they may be read."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from privity.messages.connections import ConnectionRemoved
from privity.messages.delegations import ItemDropped
from privity.messages.files import FileAttached, FileDetached
from privity.messages.items import ItemRemoved
from privity.messages.recorded import Positioned
from privity.messages.shares import ShareRemoved
from privity.messages.views import AskFiles, FileRow
from projections.changes import Change, folds, instant
from projections.delegations import delegated
from projections.desk import Desk, Page, page, view
from projections.tables import files, shares

INSERT = files.insert()
DELETE = files.delete().where(files.c.of == sa.bindparam("id"), files.c.file == sa.bindparam("one"))
_of_owner = sa.and_(files.c.of == sa.bindparam("id"), files.c.owner == sa.bindparam("by"))
DELETE_ITEMS = files.delete().where(_of_owner, files.c.connection.is_(None))
DELETE_SHARES = files.delete().where(_of_owner, files.c.connection.is_not(None))
DELETE_OVER = files.delete().where(files.c.connection == sa.bindparam("over"))
COPIED = ("of", "file", "owner", "connection", "content")


@folds(FileAttached, FileDetached, ItemRemoved, ItemDropped, ShareRemoved, ConnectionRemoved)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case FileAttached() as event:
            row = {name: getattr(event, name) for name in COPIED}
            yield Change(files, INSERT, row | {"position": happened.position})
        case FileDetached(of=of, file=file):
            yield Change(files, DELETE, {"id": of, "one": file})
        case ItemRemoved(item=of, owner=owner) | ItemDropped(item=of, principal=owner):
            yield Change(files, DELETE_ITEMS, {"id": of, "by": owner})
        case ShareRemoved(share=of, owner=owner):
            yield Change(files, DELETE_SHARES, {"id": of, "by": owner})
        case ConnectionRemoved(connection=connection):
            yield Change(files, DELETE_OVER, {"over": connection})


@view(AskFiles)
def attached(ask: AskFiles, desk: Desk) -> Page[FileRow]:
    """Files of one's own items and shares, of those shares to me that I may read now, and of whose delegate I am."""
    readable = sa.select(shares.c.share).where(
        shares.c.share == ask.of,
        shares.c.recipient == desk.account,
        sa.or_(shares.c.expires.is_(None), shares.c.expires > instant(desk.at)),
        sa.or_(shares.c.terms_hash.is_(None), shares.c.terms_hash == shares.c.accepted_hash),
    )
    to_me = sa.and_(files.c.connection.is_not(None), files.c.of.in_(readable))
    under = sa.and_(files.c.connection.is_(None), files.c.of.in_(delegated(desk, ask.of)))
    mine = sa.or_(files.c.owner == desk.account, to_me, under)
    select = sa.select(files).where(files.c.of == ask.of, files.c.file.startswith(ask.id), mine)
    rows, more = page(ask, desk, select, files.c.position)
    found = tuple(FileRow(of=row["of"], file=row["file"], content=row["content"]) for row in rows)
    sealed = tuple(() if ask.bare else (row.content,) for row in found)
    given = tuple(_given(row, ask, desk) for row in rows)
    return Page(found, sealed, tuple(row["position"] for row in rows), more, given)


def _given(row: Mapping[Any, Any], ask: AskFiles, desk: Desk) -> str:
    """The share that a file goes to its recipient by: of the very row that goes out, as the share may end meanwhile."""
    by_share = row["connection"] is not None and row["owner"] != desk.account and not ask.bare
    return str(row["of"]) if by_share else ""
