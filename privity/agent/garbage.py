"""Garbage: what an agent deletes at suppliers of its person's own locations, as no file stands in it any more."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from privity.agent import location_writing, locations
from privity.agent.keyring import Keyring
from privity.agent.kinds import LOCATION, LOCATION_AT
from privity.agent.session import Session
from privity.agent.tasks import Task
from privity.errors import SupplierAway
from privity.gathering import Trouble
from privity.messages.views import MAX_PAGE, AskLocations, LocationRow

ORPHANED: Final = 8 * 24 * 3600.0
"""Seconds after which an object that no change names is nobody's: no broken off upload is gone on with then."""


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """For each location of one's own, one look after each change of it, and one a day; also for what has ended."""
    day = f"{datetime.now(UTC):%Y%m%d}"
    rows = (await session.ask_all(AskLocations(limit=MAX_PAGE), LocationRow)).rows
    ended = {each.id for each in session.memory.all_in(LOCATION, "") if each.ended}
    left = {each.place for each in session.memory.begins(LOCATION_AT, "") if not each.proven} & ended
    cleared = [
        Task(
            "garbage",
            f"{location}/left/{day}",
            "delete what is left of a location that has ended",
            partial(_clear, session, keyring, location),
        )
        for location in sorted(left)
    ]
    return cleared + [
        Task(
            "garbage",
            f"{row.location}/{row.n}/{day}",
            "delete what no file of a location stands in",
            partial(_collect, session, keyring, row.location),
        )
        for row in rows
        if row.by == session.account and row.n
    ]


async def _clear(session: Session, keyring: Keyring, location: str) -> None:
    _check_none(await location_writing.clear(session, keyring, location))


async def _collect(session: Session, keyring: Keyring, location: str) -> None:
    found = await locations.find(session, keyring, location)
    if found.key.active:
        _, away = await location_writing.collect(session, keyring, location, time.time() - ORPHANED)
        _check_none(away)


def _check_none(away: Sequence[Trouble]) -> None:
    if away:
        raise SupplierAway(", ".join(map(str, away)))
