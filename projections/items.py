"""The items view: one's own items, sealed."""

from collections.abc import Iterator

import sqlalchemy as sa

from privity.messages.items import ItemAdded, ItemEdited, ItemRemoved
from privity.messages.recorded import Positioned
from privity.messages.views import AskItems, ItemRow
from projections.changes import Change
from projections.desk import Desk, Page, page, view
from projections.tables import items, shares

INSERT = items.insert()
_one = items.c.item == sa.bindparam("of")
SET = items.update().where(_one).values({name: sa.bindparam(name) for name in ("version", "content", "wrap")})
DELETE = items.delete().where(_one)


def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case ItemAdded(item=item, owner=owner, content=content, wrap=wrap):
            row = {"item": item, "owner": owner, "version": 1, "content": content, "wrap": wrap}
            yield Change(items, INSERT, row | {"position": happened.position})
        case ItemEdited(item=item, version=version, content=content, wrap=wrap):
            yield Change(items, SET, {"of": item, "version": version, "content": content, "wrap": wrap})
        case ItemRemoved(item=item):
            yield Change(items, DELETE, {"of": item})


@view(AskItems)
def own_items(ask: AskItems, desk: Desk) -> Page[ItemRow]:
    """One's own items."""
    select = sa.select(items).where(items.c.owner == desk.account, items.c.item.startswith(ask.id))
    if ask.shared_with is not None:
        over = sa.and_(shares.c.owner == desk.account, shares.c.connection == ask.shared_with)
        select = select.where(items.c.item.in_(sa.select(shares.c.item).where(over)))
    rows, more = page(ask, desk, select, items.c.position)
    found = tuple(
        ItemRow(item=row["item"], version=row["version"], content=row["content"], wrap=row["wrap"]) for row in rows
    )
    return Page(found, tuple((row.content, row.wrap) for row in found), tuple(row["position"] for row in rows), more)
