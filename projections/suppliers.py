"""The directory of suppliers."""

from collections.abc import Iterator

import sqlalchemy as sa

from privity.messages.recorded import Positioned
from privity.messages.suppliers import SupplierAnnounced, SupplierReplaced
from privity.messages.views import AskSuppliers, SupplierRow
from projections.changes import Change, folds
from projections.desk import Desk, Page, page, view
from projections.tables import suppliers

_supplier = suppliers.c.supplier == sa.bindparam("of")
DELETE = suppliers.delete().where(_supplier)
INSERT = suppliers.insert()
REPLACE = suppliers.update().where(_supplier).values(replaced_by=sa.bindparam("new"), order=sa.bindparam("by_order"))
SHOWN = ("supplier", "called", "public", "quota", "replaced_by", "order")


@folds(SupplierAnnounced, SupplierReplaced)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here; what a supplier says anew stands for what it said before."""
    match happened.event:
        case SupplierAnnounced(supplier=supplier, called=called, public=public, quota=quota):
            row = {"supplier": supplier, "called": called, "public": public, "quota": quota}
            yield Change(suppliers, DELETE, {"of": supplier})
            yield Change(suppliers, INSERT, row | {"replaced_by": None, "order": None, "position": happened.position})
        case SupplierReplaced(supplier=supplier, lost=lost, order=order):
            yield Change(suppliers, REPLACE, {"of": lost, "new": supplier, "by_order": order})


@view(AskSuppliers)
def directory(ask: AskSuppliers, desk: Desk) -> Page[SupplierRow]:
    """All suppliers of the home, for everybody: whoever is granted a key finds those of its creator here."""
    rows, more = page(ask, desk, sa.select(suppliers), suppliers.c.position)
    found = tuple(SupplierRow(**{name: row[name] for name in SHOWN}) for row in rows)
    return Page(found, ((),) * len(found), tuple(row["position"] for row in rows), more)
