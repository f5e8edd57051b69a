"""The views of grants, step by step, and of audits of keys, from both ends."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from privity.messages.accounts import AccountClosed
from privity.messages.connections import ConnectionRemoved
from privity.messages.grants import AuditAnswered, AuditAsked, GrantBegun, GrantStepTaken
from privity.messages.recorded import Positioned
from privity.messages.sharing_keys import SharingKeyErased, SharingKeyRotated
from privity.messages.views import AskGrants, AskKeyAudits, GrantRow, GrantStepRow, KeyAuditRow
from projections.changes import Change, folds, instant
from projections.desk import Desk, Page, page, view
from projections.tables import accounts, grant_steps, grants, key_audits

STEPS = ("reach", "audit", "suppliers", "private", "files")
"""In their order."""

INSERT = grants.insert()
DELETE = grants.delete().where(grants.c.grant == sa.bindparam("of"))
INSERT_STEP = grant_steps.insert()
_step = sa.and_(grant_steps.c.grant == sa.bindparam("of"), grant_steps.c.step == sa.bindparam("which"))
DELETE_STEP = grant_steps.delete().where(_step)
# Steps are shown with their grant alone, and go when it begins anew: a change may look at its own table only.
DELETE_STEPS = grant_steps.delete().where(grant_steps.c.grant == sa.bindparam("of"))
DELETE_OF_KEY = grants.delete().where(grants.c.key == sa.bindparam("of"))
DELETE_OVER = grants.delete().where(grants.c.connection == sa.bindparam("of"))
_to = sa.and_(grants.c.key == sa.bindparam("of"), grants.c.to == sa.bindparam("whom"))
DELETE_TO = grants.delete().where(_to)
INSERT_AUDIT = key_audits.insert()
_audit = sa.and_(key_audits.c.audit == sa.bindparam("which"), key_audits.c.asker == sa.bindparam("by"))
ANSWER = (
    key_audits.update()
    .where(_audit)
    .values({name: sa.bindparam(f"new_{name}") for name in ("verdict", "held", "answer", "answered")})
    .values(challenge=None)
)
FORGET_OVER = key_audits.delete().where(key_audits.c.connection == sa.bindparam("of"))
FORGET = key_audits.delete().where(_audit)
FORGET_OF = key_audits.delete().where(key_audits.c.asker == sa.bindparam("by"))


@folds(
    GrantBegun,
    GrantStepTaken,
    AuditAsked,
    AuditAnswered,
    SharingKeyRotated,
    SharingKeyErased,
    AccountClosed,
    ConnectionRemoved,
)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case GrantBegun(grant=grant) as event:
            yield Change(grant_steps, DELETE_STEPS, {"of": grant})
            yield Change(grants, DELETE, {"of": grant})
            row = {name: getattr(event, name) for name in ("grant", "by", "key", "to", "connection")}
            yield Change(grants, INSERT, row | {"position": happened.position})
        case GrantStepTaken(grant=grant, step=step) as event:
            yield Change(grant_steps, DELETE_STEP, {"of": grant, "which": step})
            row = {name: getattr(event, name) for name in ("grant", "step", "outcome", "reason")}
            yield Change(grant_steps, INSERT_STEP, row | {"position": happened.position})
        case AuditAsked() as event:
            for forgotten in event.forgotten:
                yield Change(key_audits, FORGET, {"which": forgotten, "by": event.by})
            names = ("audit", "of", "key", "connection", "audited", "generation", "nonce", "challenge", "signature")
            row = {name: getattr(event, name) for name in names}
            none = dict.fromkeys(("verdict", "held", "answer", "answered"))
            at = instant(event.at)
            yield Change(key_audits, INSERT_AUDIT, row | none | {"asker": event.by, "at": at} | _place(happened))
        case AuditAnswered(audit=audit, asker=asker) as event:
            said = {"verdict": event.verdict, "held": event.held, "answer": event.answer, "answered": event.signature}
            which = {"which": audit, "by": asker}
            yield Change(key_audits, ANSWER, which | {f"new_{name}": value for name, value in said.items()})
        case SharingKeyRotated(key=key, dropped=dropped):
            for one in dropped:
                yield from _over(key, one)
        case SharingKeyErased(key=key, by=by, whole=False, accounts=(_, _)):  # by a holder: its creator hears of it
            yield from _over(key, by)
        case SharingKeyErased(key=key, whole=True):
            yield Change(grants, DELETE_OF_KEY, {"of": key})
        case AccountClosed(account=account):
            yield Change(key_audits, FORGET_OF, {"by": account})
        case ConnectionRemoved(connection=connection):
            yield Change(grants, DELETE_OVER, {"of": connection})
            yield Change(key_audits, FORGET_OVER, {"of": connection})


def _over(key: str, to: str) -> Iterator[Change]:
    """Who was dropped, or gave the key up, is granted it anew or not at all."""
    yield Change(grants, DELETE_TO, {"of": key, "whom": to})


def _place(happened: Positioned) -> dict[str, int]:
    return {"position": happened.position}


@view(AskGrants)
def grants_of_own(ask: AskGrants, desk: Desk) -> Page[GrantRow]:
    """The grants that one began, with their steps."""
    done = (
        sa.select(sa.func.count())
        .select_from(grant_steps)
        .where(grant_steps.c.grant == grants.c.grant, grant_steps.c.outcome == "done")
        .scalar_subquery()
    )
    select = (
        sa.select(grants, accounts.c.address)
        .join(accounts, accounts.c.account == grants.c.to)
        .where(grants.c.by == desk.account, grants.c.grant.startswith(ask.id))
    )
    if ask.key is not None:
        select = select.where(grants.c.key == ask.key)
    if ask.open:
        select = select.where(done < len(STEPS))
    rows, more = page(ask, desk, select, grants.c.position)
    steps = _steps([row["grant"] for row in rows], desk)
    names = ("grant", "key", "to", "connection", "position")
    found = tuple(
        GrantRow(**{name: row[name] for name in names}, to_address=row["address"], steps=steps[row["grant"]])
        for row in rows
    )
    return Page(found, ((),) * len(found), tuple(row["position"] for row in rows), more)


def _steps(ids: list[str], desk: Desk) -> dict[str, tuple[GrantStepRow, ...]]:
    taken = desk.db.execute(sa.select(grant_steps).where(grant_steps.c.grant.in_(ids))).mappings()
    found: dict[str, list[GrantStepRow]] = {id: [] for id in ids}
    for row in sorted(taken, key=lambda row: STEPS.index(row["step"])):
        found[row["grant"]].append(GrantStepRow(row["step"], row["outcome"], row["reason"]))
    return {id: tuple(steps) for id, steps in found.items()}


@view(AskKeyAudits)
def both_ways(ask: AskKeyAudits, desk: Desk) -> Page[KeyAuditRow]:
    """Audits that others ask of me, and those that I ask."""
    incoming, outgoing = key_audits.c.of == desk.account, key_audits.c.asker == desk.account
    mine = {"incoming": incoming, "outgoing": outgoing, "all": sa.or_(incoming, outgoing)}[ask.direction]
    select = sa.select(key_audits).where(mine, key_audits.c.audit.startswith(ask.id))
    if ask.open:
        select = select.where(key_audits.c.verdict.is_(None))
    rows, more = page(ask, desk, select, key_audits.c.position)
    found = tuple(_audit_row(row, desk) for row in rows)
    sealed = tuple(tuple(each for each in (row.challenge, row.answer) if each) for row in found)
    return Page(found, sealed, tuple(row["position"] for row in rows), more)


def _audit_row(row: Mapping[Any, Any], desk: Desk) -> KeyAuditRow:
    """The challenge goes to who is asked, the answer to who asked."""
    names = ("audit", "asker", "of", "key", "connection", "audited", "generation", "nonce", "signature")
    said = {name: row[name] for name in (*names, "verdict", "held", "answered")}
    return KeyAuditRow(
        **said,
        challenge=row["challenge"] if row["of"] == desk.account else None,
        at=datetime.fromisoformat(row["at"]),
        answer=row["answer"] if row["asker"] == desk.account else None,
    )
