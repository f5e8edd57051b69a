"""The invitations view: both ways, with the status of now."""

import hmac
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from privity.encoding import digest, unb64
from privity.errors import BadToken, InvitationClosed, InvitationExpired
from privity.messages.accounts import AccountClosed
from privity.messages.invitations import (
    ConnectionInvited,
    InvitationAccepted,
    InvitationCancelled,
    InvitationDeclined,
)
from privity.messages.recorded import Positioned
from privity.messages.views import AskInvitations, AskOffer, InvitationRow, OfferRow
from projections.accounts import chain_of
from projections.changes import Change, folds, instant
from projections.desk import Desk, Page, page, view
from projections.tables import addresses, invitations

INSERT = invitations.insert()
CLOSE = (
    invitations.update()
    .where(invitations.c.invitation == sa.bindparam("of"))
    .values({name: sa.bindparam(name) for name in ("status", "connection", "acceptor")})
)
CLOSE_ALL = (
    invitations.update()
    .where(invitations.c.inviter == sa.bindparam("of"), invitations.c.status == "new")
    .values(status="cancelled")
)
COPIED = ("invitation", "inviter", "email", "record", "mac", "token_hash", "note")


@folds(ConnectionInvited, InvitationCancelled, InvitationDeclined, InvitationAccepted, AccountClosed)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case ConnectionInvited() as event:
            row = {name: getattr(event, name) for name in COPIED}
            yield Change(
                invitations,
                INSERT,
                row
                | {
                    "inviter_address": event.address,
                    "status": "new",
                    "expires": instant(event.expires),
                    "connection": None,
                    "acceptor": None,
                    "position": happened.position,
                },
            )
        case InvitationCancelled(invitation=invitation):
            yield _close(invitation, "cancelled")
        case InvitationDeclined(invitation=invitation):
            yield _close(invitation, "declined")
        case InvitationAccepted(invitation=invitation, connection=connection, by=acceptor):
            yield _close(invitation, "accepted", connection, acceptor)
        case AccountClosed(account=account):
            yield Change(invitations, CLOSE_ALL, {"of": account})


def _close(invitation: str, status: str, connection: str | None = None, acceptor: str | None = None) -> Change:
    values = {"of": invitation, "status": status, "connection": connection, "acceptor": acceptor}
    return Change(invitations, CLOSE, values)


@view(AskInvitations)
def both_ways(ask: AskInvitations, desk: Desk) -> Page[InvitationRow]:
    """Invitations from me, and those to my address or one that I had before."""
    to_me = sa.select(addresses.c.address).where(addresses.c.account == desk.account)
    mine = sa.or_(invitations.c.inviter == desk.account, invitations.c.email.in_(to_me))
    select = sa.select(invitations).where(mine, invitations.c.invitation.startswith(ask.id))
    rows, more = page(ask, desk, select, invitations.c.position)
    found = tuple(_row(row, desk) for row in rows)
    sealed = tuple((row.note,) if row.note else () for row in found)
    return Page(found, sealed, tuple(row["position"] for row in rows), more)


def _row(row: Mapping[Any, Any], desk: Desk) -> InvitationRow:
    own = row["inviter"] == desk.account
    return InvitationRow(
        invitation=row["invitation"],
        incoming=not own,
        inviter=row["inviter"],
        inviter_address=row["inviter_address"],
        email=row["email"],
        status=_status(row, desk.at),
        expires=datetime.fromisoformat(row["expires"]),
        connection=row["connection"] if own or row["acceptor"] == desk.account else None,
        record=row["record"] if own else None,
        note=row["note"] if own and row["status"] == "new" else None,
    )


def _status(row: Mapping[Any, Any], at: datetime) -> Any:
    return "expired" if row["status"] == "new" and row["expires"] <= instant(at) else row["status"]


@view(AskOffer)
def offer(ask: AskOffer, desk: Desk) -> Page[OfferRow]:
    """An open invitation for who has its token: the one in the link, or the one in the e-mail."""
    row = desk.db.execute(sa.select(invitations).where(invitations.c.invitation == ask.id)).mappings().first()
    token_hash = row["token_hash"] if row else ""
    by_link = hmac.compare_digest(digest(unb64(ask.token)), token_hash)
    by_mail = hmac.compare_digest(ask.token, desk.mail_token(ask.id))
    if row is None or not (by_link or by_mail):
        raise BadToken
    status = _status(row, desk.at)
    if status == "expired":
        raise InvitationExpired
    if status != "new":
        raise InvitationClosed
    found = OfferRow(
        invitation=row["invitation"],
        inviter_address=row["inviter_address"],
        record=row["record"],
        mac=row["mac"],
        chain=chain_of(row["inviter"], desk.db),
    )
    return Page((found,), ((),))
