"""The locations views: who reads which location, its line of changes, and where its objects stand."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from privity.errors import NotFound
from privity.messages.locations import LocationChanged, LocationCreated, LocationRemoved, StoredObject
from privity.messages.recorded import Positioned
from privity.messages.sharing_keys import SharingKeyErased, SharingKeyGranted, SharingKeyRotated
from privity.messages.views import (
    AskLocationLine,
    AskLocationPeople,
    AskLocations,
    LocationLineRow,
    LocationPersonRow,
    LocationRow,
)
from projections.accounts import chain_of
from projections.changes import Change, folds
from projections.desk import Desk, Page, page, view
from projections.tables import accounts, location_lines, location_readers, locations

INSERT = locations.insert()
_location = locations.c.location == sa.bindparam("of")
MOVE = locations.update().where(_location).values(n=sa.bindparam("now"))
DELETE = locations.delete().where(_location)
INSERT_LINE = location_lines.insert()
DELETE_LINE = location_lines.delete().where(location_lines.c.location == sa.bindparam("of"))
INSERT_READER = location_readers.insert()
_reader = sa.and_(location_readers.c.location == sa.bindparam("of"), location_readers.c.account == sa.bindparam("whom"))
DELETE_READER = location_readers.delete().where(_reader)
DELETE_READERS = location_readers.delete().where(location_readers.c.location == sa.bindparam("of"))
MAX_CHAINS = 512 * 1024
"""Characters of identity chains that one page carries; a first row goes out with its own."""


@folds(LocationCreated, LocationChanged, LocationRemoved, SharingKeyGranted, SharingKeyRotated, SharingKeyErased)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here. Who holds the key reads, also before there is a location."""
    match happened.event:
        case LocationCreated() as event:
            made = {name: getattr(event, name) for name in ("location", "by", "needed")}
            row = made | {"suppliers": list(event.suppliers), "n": 0}
            yield Change(locations, INSERT, row | {"position": happened.position})
            for account in event.accounts:
                yield from _reads(event.location, account, happened.position)
        case LocationChanged() as event:
            names = ("location", "n", "by", "generation", "manifest", "signature", "body")
            row = {name: getattr(event, name) for name in names} | {"released": list(event.released)}
            places = [
                {"object": o.object, "segments": o.segments, "needed": o.needed, "roots": list(o.roots)}
                for o in event.objects
            ]
            yield Change(location_lines, INSERT_LINE, row | {"objects": places, "position": happened.position})
            yield Change(locations, MOVE, {"of": event.location, "now": event.n})
        case LocationRemoved(location=location):
            yield Change(locations, DELETE, {"of": location})
            yield Change(location_lines, DELETE_LINE, {"of": location})
            yield Change(location_readers, DELETE_READERS, {"of": location})
        case SharingKeyGranted(key=key, to=account):
            yield from _reads(key, account, happened.position)
        case SharingKeyRotated(key=key, dropped=dropped):
            for account in dropped:
                yield Change(location_readers, DELETE_READER, {"of": key, "whom": account})
        case SharingKeyErased(key=key, by=by, whole=whole, accounts=told):
            for account in told if whole else (by,):
                yield Change(location_readers, DELETE_READER, {"of": key, "whom": account})


def _reads(location: str, account: str, position: int) -> Iterator[Change]:
    yield Change(location_readers, DELETE_READER, {"of": location, "whom": account})
    yield Change(location_readers, INSERT_READER, {"location": location, "account": account, "position": position})


@view(AskLocations)
def own_locations(ask: AskLocations, desk: Desk) -> Page[LocationRow]:
    """The locations whose key I made or hold."""
    select = (
        sa.select(locations)
        .join(location_readers, location_readers.c.location == locations.c.location)
        .where(location_readers.c.account == desk.account, locations.c.location.startswith(ask.id))
    )
    rows, more = page(ask, desk, select, locations.c.position)
    names = ("location", "by", "needed", "n", "position")
    found = tuple(LocationRow(**{name: row[name] for name in names}, suppliers=tuple(row["suppliers"])) for row in rows)
    return Page(found, ((),) * len(found), tuple(row["position"] for row in rows), more)


@view(AskLocationLine)
def line(ask: AskLocationLine, desk: Desk) -> Page[LocationLineRow]:
    """All that was written to a location whose key I made or hold, with the bodies unless it is asked bare."""
    _check_reads(ask.location, desk)
    select = sa.select(location_lines).where(location_lines.c.location == ask.location)
    rows, more = page(ask, desk, select, location_lines.c.n)
    names = ("location", "n", "by", "generation", "manifest", "signature", "body", "position")
    found = tuple(
        LocationLineRow(
            **{name: row[name] for name in names}, objects=_objects(row["objects"]), released=tuple(row["released"])
        )
        for row in rows
    )
    sealed = tuple(() if ask.bare else (row.body,) for row in found)
    return Page(found, sealed, tuple(row["n"] for row in rows), more)


@view(AskLocationPeople)
def people(ask: AskLocationPeople, desk: Desk) -> Page[LocationPersonRow]:
    """Who reads a location, or wrote to it, in the order of the accounts: with their identities, to check by."""
    _check_reads(ask.location, desk)
    reads = sa.select(location_readers.c.account).where(location_readers.c.location == ask.location)
    wrote = sa.select(location_lines.c.by).where(location_lines.c.location == ask.location)
    one_of = sa.or_(accounts.c.account.in_(reads), accounts.c.account.in_(wrote))
    select = sa.select(accounts.c.account, accounts.c.address).where(one_of).order_by(accounts.c.account)
    if ask.account is not None:
        select = select.where(accounts.c.account == ask.account)
    rows = list(desk.db.execute(select.offset(ask.after).limit(ask.limit + 1)).mappings())
    found: list[LocationPersonRow] = []
    size = 0
    for row in rows[: ask.limit]:
        chain = chain_of(row["account"], desk.db)
        size += sum(len(record.record) for record in chain)
        if found and size > MAX_CHAINS:
            break
        found.append(
            LocationPersonRow(location=ask.location, account=row["account"], address=row["address"], chain=chain)
        )
    cursors = tuple(ask.after + place for place in range(1, len(found) + 1))
    return Page(tuple(found), ((),) * len(found), cursors, len(found) < len(rows))


def shown(position: int, desk: Desk) -> str | None:
    """Who made the event at a position, if by it a location was made or changed that I read."""
    mine = sa.select(location_readers.c.location).where(location_readers.c.account == desk.account)
    for table in (location_lines, locations):
        select = sa.select(table.c.by).where(table.c.position == position, table.c.location.in_(mine))
        found = desk.db.execute(select).scalar()
        if found is not None:
            return str(found)
    return None


def _objects(said: list[dict[str, Any]]) -> tuple[StoredObject, ...]:
    return tuple(StoredObject(**each | {"roots": tuple(each["roots"])}) for each in said)


def _check_reads(location: str, desk: Desk) -> None:
    """To others this says no more than of a location that is not there.

    Raises:
        NotFound: one does not hold its key, or there is no such location.
    """
    reads = (
        sa.select(locations.c.location)
        .join(location_readers, location_readers.c.location == locations.c.location)
        .where(locations.c.location == location, location_readers.c.account == desk.account)
    )
    if desk.db.execute(reads).first() is None:
        raise NotFound("there is no such location")
