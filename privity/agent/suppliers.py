"""The suppliers of a home as a person sees them: who there is, who answers now, and how full each is."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from privity.agent.session import Session
from privity.agent.supplying import asker, check_row
from privity.encoding import unb64
from privity.errors import Malformed, Refusal, SupplierAway, SupplierSlow
from privity.messages.views import AskSuppliers, SupplierRow
from privity.supplying import Asker, Known, Supplier

Status = Literal["here", "slow", "away", "refused", "replaced"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A supplier: what it is called, how it answered, and what it says of itself; None where it said nothing.

    `used` and `quota` are bytes, a quota of 0 is none. `replaced_by` is the name of who took its place.
    """

    supplier: str
    name: str
    status: Status
    fragments: int | None = None
    used: int | None = None
    quota: int | None = None
    replaced_by: str | None = None


async def seen(session: Session) -> list[Seen]:
    """All suppliers of the home, in the order in which they said anything new.

    Raises:
        ForgedRecord: a row's key is not the one of its id, or nobody ordered a replacement.
    """
    rows = (await session.ask_all(AskSuppliers(), SupplierRow)).rows
    for row in rows:
        check_row(session, row)
    names = {row.supplier: row.called for row in rows}
    ask = asker(session)
    return list(await asyncio.gather(*(_look(row, names, ask) for row in rows)))


async def _look(row: SupplierRow, names: dict[str, str], ask: Asker) -> Seen:
    if row.replaced_by is not None:
        by = names.get(row.replaced_by, row.replaced_by)
        return Seen(row.supplier, row.called, "replaced", replaced_by=by)
    try:
        said = await Supplier(Known(row.supplier, row.called, unb64(row.public)), ask).status()
    except SupplierAway:
        return Seen(row.supplier, row.called, "away")
    except SupplierSlow:
        return Seen(row.supplier, row.called, "slow")
    except (Malformed, Refusal):
        return Seen(row.supplier, row.called, "refused")
    return Seen(row.supplier, row.called, "here", said.fragments, said.used, said.quota)
