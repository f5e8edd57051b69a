"""The delegations views: a person's signed steps, and the vault keys that one holds."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from privity.crypto.delegations import read_step, read_version
from privity.encoding import unb64
from privity.errors import NotDelegated
from privity.messages.connections import ConnectionRemoved
from privity.messages.delegations import DelegationClaimed, DelegationGranted, DelegationRemoved
from privity.messages.recorded import Positioned
from privity.messages.views import AskDelegations, AskVaults, DelegationRow, VaultRow
from projections.accounts import chain_of
from projections.changes import Change, folds, instant
from projections.desk import Desk, Page, page, view
from projections.tables import delegates, delegation_steps, items, shares, vault_befores, vault_wraps

INSERT_STEP = delegation_steps.insert()
INSERT_DELEGATE = delegates.insert()
INSERT_WRAP = vault_wraps.insert()
INSERT_BEFORE = vault_befores.insert()
_delegation = sa.and_(delegates.c.principal == sa.bindparam("of"), delegates.c.delegation == sa.bindparam("gone"))
DELETE_DELEGATE = delegates.delete().where(_delegation)
DELETE_OVER = delegates.delete().where(delegates.c.connection == sa.bindparam("of"))
_wraps = vault_wraps.c.principal == sa.bindparam("of")
DELETE_WRAPS = vault_wraps.delete().where(_wraps)
CLAIM = (
    vault_wraps.update()
    .where(_wraps, vault_wraps.c.holder == sa.bindparam("by"))
    .values(wrap=sa.bindparam("claim"), claimed=True)
)
MAX_CHAINS = 512 * 1024
"""Characters of identity chains that one page carries; a first row goes out with its own."""
MAX_OBJECTS = 400
"""Sealed vault keys that one page carries; a first row goes out with its own, of which there are at most 533."""


@folds(DelegationGranted, DelegationClaimed, DelegationRemoved, ConnectionRemoved)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case DelegationGranted(principal=principal, delegate=delegate) as event:
            yield _step(happened, event)
            names = ("delegation", "principal", "delegate", "connection")
            row = {name: getattr(event, name) for name in names}
            expires = None if event.expires is None else instant(event.expires)
            yield Change(delegates, INSERT_DELEGATE, row | {"expires": expires})
            if event.own_wrap is not None:
                yield _wrap(happened, event, principal, event.own_wrap, claimed=True)
            yield _wrap(happened, event, delegate, event.wrap)
        case DelegationClaimed(principal=principal, by=by, wrap=wrap):
            yield Change(vault_wraps, CLAIM, {"of": principal, "by": by, "claim": wrap})
        case DelegationRemoved(principal=principal, delegation=delegation) as event:
            yield _step(happened, event)
            yield Change(delegates, DELETE_DELEGATE, {"of": principal, "gone": delegation})
            yield Change(vault_wraps, DELETE_WRAPS, {"of": principal})
            for holder, wrap in event.wraps.items():
                yield _wrap(happened, event, holder, wrap, claimed=holder == principal)
            before = {"principal": principal, "generation": event.generation, "wrap": event.before}
            yield Change(vault_befores, INSERT_BEFORE, before)
        case ConnectionRemoved(connection=connection):
            yield Change(delegates, DELETE_OVER, {"of": connection})


def _step(happened: Positioned, event: DelegationGranted | DelegationRemoved) -> Change:
    names = ("principal", "n", "delegate", "record", "signature")
    row = {name: getattr(event, name) for name in names}
    return Change(delegation_steps, INSERT_STEP, row | {"position": happened.position})


def _wrap(
    happened: Positioned,
    event: DelegationGranted | DelegationRemoved,
    holder: str,
    wrap: str,
    *,
    claimed: bool = False,
) -> Change:
    row = {"principal": event.principal, "holder": holder, "generation": event.generation, "wrap": wrap}
    return Change(vault_wraps, INSERT_WRAP, row | {"claimed": claimed, "position": happened.position})


def check_delegate(desk: Desk, principal: str) -> None:
    """Returns if who asks is the principal, or a delegate now.

    Raises:
        NotDelegated: neither.
    """
    standing = sa.select(delegates.c.delegation).where(_standing(desk), delegates.c.principal == principal)
    if principal != desk.account and desk.db.execute(standing).first() is None:
        raise NotDelegated


def delegated(desk: Desk, item: str) -> sa.Select[tuple[str]]:
    """An item, if it is under the vault key of somebody whose delegate one is now."""
    given = sa.select(delegates.c.principal).where(_standing(desk))
    under = sa.and_(items.c.item == item, items.c.record.is_not(None), items.c.owner.in_(given))
    return sa.select(items.c.item).where(under)


def _standing(desk: Desk) -> sa.ColumnElement[bool]:
    lasting = sa.or_(delegates.c.expires.is_(None), delegates.c.expires > instant(desk.at))
    return sa.and_(delegates.c.delegate == desk.account, lasting)


@view(AskVaults)
def vaults(ask: AskVaults, desk: Desk) -> Page[VaultRow]:
    """The vault keys that one holds now; what is not claimed goes out only when the request is fresh."""
    given = sa.select(delegates.c.principal).where(_standing(desk))
    mine = sa.or_(vault_wraps.c.principal == desk.account, vault_wraps.c.principal.in_(given))
    select = sa.select(vault_wraps).where(vault_wraps.c.holder == desk.account, mine)
    if ask.principal is not None:
        select = select.where(vault_wraps.c.principal == ask.principal)
    rows, more = page(ask, desk, select, vault_wraps.c.position)
    found: list[VaultRow] = []
    objects = 0
    for row in rows:
        shown = _vault(row, desk)
        objects += 1 + len(shown.befores)
        if found and objects > MAX_OBJECTS:
            more = True
            break
        found.append(shown)
    sealed = tuple((row.wrap, *row.befores) if row.claimed or desk.fresh else row.befores for row in found)
    return Page(tuple(found), sealed, tuple(row["position"] for row in rows[: len(found)]), more)


def shown(position: int, desk: Desk) -> str | None:
    """Who made the event at a position, if it is a step of somebody whose delegate I am, or my own, or a version of an
    item under their vault key, or a share of theirs, as it stands: the proof that it was signed while its author's
    signatures counted.
    """
    given = sa.select(delegates.c.principal).where(_standing(desk))
    mine = sa.or_(delegation_steps.c.principal == desk.account, delegation_steps.c.principal.in_(given))
    step = sa.select(delegation_steps.c.record).where(delegation_steps.c.position == position, mine)
    record = desk.db.execute(step).scalar()
    if record is not None:
        return read_step(unb64(record)).by
    kept = sa.select(items.c.record).where(items.c.kept == position, items.c.owner.in_(given))
    record = desk.db.execute(kept).scalar()
    if record is not None:
        return read_version(unb64(record)).by
    given_away = sa.select(shares.c.owner).where(shares.c.revised == position, shares.c.owner.in_(given))
    return desk.db.execute(given_away).scalar()


def _vault(row: Mapping[Any, Any], desk: Desk) -> VaultRow:
    older = sa.select(vault_befores.c.wrap).where(vault_befores.c.principal == row["principal"])
    befores = desk.db.execute(older.order_by(vault_befores.c.generation)).scalars()
    return VaultRow(
        principal=row["principal"],
        chain=chain_of(row["principal"], desk.db),
        generation=row["generation"],
        wrap=row["wrap"],
        claimed=row["claimed"],
        befores=tuple(befores),
    )


@view(AskDelegations)
def steps(ask: AskDelegations, desk: Desk) -> Page[DelegationRow]:
    """All that made and ended delegates of a person, for themselves and their delegates."""
    check_delegate(desk, ask.principal)
    select = sa.select(delegation_steps).where(delegation_steps.c.principal == ask.principal)
    rows, more = page(ask, desk, select, delegation_steps.c.n)
    names = ("principal", "n", "record", "signature", "position")
    found: list[DelegationRow] = []
    size = 0
    for row in rows:
        chain = chain_of(row["delegate"], desk.db)
        size += sum(len(record.record) for record in chain)
        if found and size > MAX_CHAINS:
            more = True
            break
        found.append(DelegationRow(**{name: row[name] for name in names}, chain=chain))
    return Page(tuple(found), ((),) * len(found), tuple(row.n for row in found), more)
