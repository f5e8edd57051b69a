"""Where every object of every location stands, for the operator who rebuilds what a supplier lost; names no file."""

from dataclasses import dataclass

import sqlalchemy as sa

from privity.messages.locations import StoredObject
from privity.messages.suppliers import Register
from projections.accounts import chain_of
from projections.tables import location_lines, locations, sharing_keys, suppliers

NAMES = ("creator", "record", "signature")


@dataclass(frozen=True, slots=True)
class Placement:
    """A location's objects and its suppliers, by slot; `register` makes its key known to a new one."""

    key: str
    suppliers: tuple[str, ...]
    objects: tuple[StoredObject, ...]
    register: Register


@dataclass(frozen=True, slots=True)
class Entry:
    """A supplier of the directory."""

    supplier: str
    called: str
    public: str
    replaced_by: str | None


def directory(db: sa.Connection) -> dict[str, Entry]:
    """All suppliers by id."""
    columns = suppliers.c
    rows = db.execute(sa.select(columns.supplier, columns.called, columns.public, columns.replaced_by))
    return {row.supplier: Entry(*row) for row in rows}


def locations_by_suppliers(db: sa.Connection) -> dict[str, tuple[str, ...]]:
    """The suppliers of each location, by slot."""
    rows = db.execute(sa.select(locations.c.location, locations.c.suppliers).order_by(locations.c.location))
    return {row.location: tuple(row.suppliers) for row in rows}


def placement(location: str, db: sa.Connection) -> Placement | None:
    """A location with the objects that were brought and not released; None where it has ended."""
    columns = (locations.c.suppliers, *(sharing_keys.c[name] for name in NAMES))
    joined = locations.join(sharing_keys, sharing_keys.c.key == locations.c.location)
    row = db.execute(sa.select(*columns).select_from(joined).where(locations.c.location == location)).first()
    if row is None:
        return None
    register = Register(location, row.record, row.signature, chain_of(row.creator, db))
    return Placement(location, tuple(row.suppliers), _objects(location, db), register)


def _objects(location: str, db: sa.Connection) -> tuple[StoredObject, ...]:
    lines = sa.select(location_lines.c.objects, location_lines.c.released).where(location_lines.c.location == location)
    brought: dict[str, StoredObject] = {}
    released: set[str] = set()
    for row in db.execute(lines.order_by(location_lines.c.n)):
        brought |= {each["object"]: StoredObject(**each | {"roots": tuple(each["roots"])}) for each in row.objects}
        released |= set(row.released)
    return tuple(stored for object, stored in brought.items() if object not in released)
