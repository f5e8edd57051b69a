"""The instructions view: what delegates want done, and what became of it; of each delegation the newest are kept."""

from collections.abc import Iterator

import sqlalchemy as sa

from privity.messages.instructions import InstructionAnswered, InstructionGiven
from privity.messages.recorded import Positioned
from privity.messages.views import AskInstructions, InstructionRow
from projections.changes import Change, folds
from projections.delegations import check_delegate
from projections.desk import Desk, Page, page, view
from projections.tables import instructions

KEPT = 64
"""Answered ones of a delegation that are shown still: more than may wait at once."""

INSERT = instructions.insert()
_of = (instructions.c.principal == sa.bindparam("of"), instructions.c.delegation == sa.bindparam("under"))
LAPSE = instructions.delete().where(*_of, instructions.c.n == sa.bindparam("gone"))
FORGET = instructions.delete().where(
    *_of, instructions.c.n <= sa.bindparam("until"), instructions.c.answered.is_not(None)
)
ANSWER = (
    instructions.update()
    .where(*_of, instructions.c.n == sa.bindparam("number"))
    .values(content=None, **{name: sa.bindparam(f"its_{name}") for name in ("answered", "code", "share")})
)
SIGNED = ("principal", "delegation", "n", "by", "record", "signature", "content")
UNANSWERED: dict[str, object] = dict.fromkeys(("answered", "code", "share"))


@folds(InstructionGiven, InstructionAnswered)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case InstructionGiven(principal=principal, delegation=delegation) as event:
            place = {"of": principal, "under": delegation}
            for each in event.lapsed:
                yield Change(instructions, LAPSE, place | {"gone": each})
            yield Change(instructions, FORGET, place | {"until": event.n - KEPT})
            row = {name: getattr(event, name) for name in SIGNED} | UNANSWERED
            yield Change(instructions, INSERT, row | {"position": happened.position})
        case InstructionAnswered(principal=principal, delegation=delegation, n=n) as event:
            became = {"its_answered": happened.position, "its_code": event.code, "its_share": event.share}
            yield Change(instructions, ANSWER, {"of": principal, "under": delegation, "number": n, **became})


@view(AskInstructions)
def both_ways(ask: AskInstructions, desk: Desk) -> Page[InstructionRow]:
    """To the principal all of them; to a delegate, while they are one, their own."""
    principal = ask.principal or desk.account
    select = sa.select(instructions).where(instructions.c.principal == principal)
    if principal != desk.account:
        check_delegate(desk, principal)
        select = select.where(instructions.c.by == desk.account)
    if ask.open:
        select = select.where(instructions.c.answered.is_(None))
    rows, more = page(ask, desk, select, instructions.c.position)
    found = tuple(InstructionRow(**{name: row[name] for name in InstructionRow.__dataclass_fields__}) for row in rows)
    sealed = tuple((row.content,) if row.content is not None else () for row in found)
    return Page(found, sealed, tuple(row["position"] for row in rows), more)
