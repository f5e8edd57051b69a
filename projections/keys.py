"""The keys view: stored keypairs."""

from collections.abc import Iterator

import sqlalchemy as sa

from privity.messages.keys import KeypairRemoved, KeypairStored, PublicKeyPublished
from privity.messages.recorded import Positioned
from privity.messages.views import AskKeys, KeyRow
from projections.changes import Change, folds
from projections.desk import Desk, Page, page, view
from projections.tables import keys

INSERT = keys.insert()
PUBLISH = keys.update().where(keys.c.key == sa.bindparam("of")).values(published=True)
DELETE = keys.delete().where(keys.c.key == sa.bindparam("of"))


@folds(KeypairStored, PublicKeyPublished, KeypairRemoved)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case KeypairStored() as event:
            row = {name: getattr(event, name) for name in ("key", "account", "suite", "public", "private")}
            yield Change(keys, INSERT, row | {"published": False, "position": happened.position})
        case PublicKeyPublished(key=key):
            yield Change(keys, PUBLISH, {"of": key})
        case KeypairRemoved(key=key):
            yield Change(keys, DELETE, {"of": key})


@view(AskKeys)
def own_keys(ask: AskKeys, desk: Desk) -> Page[KeyRow]:
    """One's own keypairs; the private parts, sealed, only when the request is fresh."""
    select = sa.select(keys).where(keys.c.account == desk.account, keys.c.key.startswith(ask.id))
    rows, more = page(ask, desk, select, keys.c.position)
    found = tuple(
        KeyRow(
            key=row["key"],
            suite=row["suite"],
            public=row["public"],
            private=row["private"],
            published=row["published"],
        )
        for row in rows
    )
    sealed = tuple((row.private,) if desk.fresh else () for row in found)
    return Page(found, sealed, tuple(row["position"] for row in rows), more)
