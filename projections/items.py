"""The items view: one's own items, sealed."""

from collections.abc import Iterator

import sqlalchemy as sa

from privity.messages.delegations import ItemDropped, ItemKept
from privity.messages.items import ItemAdded, ItemEdited, ItemRemoved
from privity.messages.recorded import Positioned
from privity.messages.views import AskItems, ItemRow
from projections.changes import Change, folds
from projections.delegations import check_delegate
from projections.desk import Desk, Page, page, view
from projections.tables import items, shares

INSERT = items.insert()
INSERT_KEPT = items.insert()
_one = items.c.item == sa.bindparam("of")
SIGNED = ("record", "signature", "kept")
SET = items.update().where(_one).values({name: sa.bindparam(name) for name in ("version", "content", "wrap", *SIGNED)})
UNSIGNED = dict.fromkeys(SIGNED)
DELETE = items.delete().where(_one)


@folds(ItemAdded, ItemEdited, ItemKept, ItemRemoved, ItemDropped)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case ItemAdded(item=item, owner=owner, content=content, wrap=wrap):
            row = {"item": item, "owner": owner, "version": 1, "content": content, "wrap": wrap}
            yield Change(items, INSERT, row | {"position": happened.position})
        case ItemEdited(item=item, version=version, content=content, wrap=wrap):
            yield Change(items, SET, {"of": item, "version": version, "content": content, "wrap": wrap, **UNSIGNED})
        case ItemKept(item=item, principal=owner, version=version) as event:
            row = {name: getattr(event, name) for name in ("version", "content", "wrap", "record", "signature")}
            row |= {"kept": happened.position}
            if version == 1:
                yield Change(items, INSERT_KEPT, row | {"item": item, "owner": owner, "position": happened.position})
            else:
                yield Change(items, SET, {"of": item, **row})
        case ItemRemoved(item=item) | ItemDropped(item=item):
            yield Change(items, DELETE, {"of": item})


@view(AskItems)
def own_items(ask: AskItems, desk: Desk) -> Page[ItemRow]:
    """One's own items; or somebody's whose delegate one is, as far as they are under the vault key."""
    owner = ask.principal or desk.account
    select = sa.select(items).where(items.c.owner == owner, items.c.item.startswith(ask.id))
    if owner != desk.account:
        check_delegate(desk, owner)
        select = select.where(items.c.record.is_not(None))
    if ask.shared_with is not None:
        over = sa.and_(shares.c.owner == desk.account, shares.c.connection == ask.shared_with)
        select = select.where(items.c.item.in_(sa.select(shares.c.item).where(over)))
    rows, more = page(ask, desk, select, items.c.position)
    found = tuple(ItemRow(**{name: row[name] for name in ItemRow.__dataclass_fields__}) for row in rows)
    return Page(found, tuple((row.content, row.wrap) for row in found), tuple(row["position"] for row in rows), more)
