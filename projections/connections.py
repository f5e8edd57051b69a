"""The connections view: one row for each side."""

from collections.abc import Iterator

import sqlalchemy as sa

from privity.messages.connections import (
    ConnectionConfirmed,
    ConnectionEstablished,
    ConnectionNoted,
    ConnectionRemoved,
    Side,
)
from privity.messages.recorded import Positioned
from privity.messages.views import AskConnections, ConnectionRow
from projections.accounts import chain_of
from projections.changes import Change, folds
from projections.desk import Desk, Page, page, view
from projections.tables import connections, partings

INSERT = connections.insert()
_both = connections.c.connection == sa.bindparam("of")
_side = sa.and_(_both, connections.c.account == sa.bindparam("side"))
CONFIRM = connections.update().where(_both).values(confirmed=True, confirmation_mac=sa.bindparam("mac"))
NOTE = connections.update().where(_side).values(note=sa.bindparam("note"))
INSERT_PARTING = partings.insert()
DELETE = connections.delete().where(_both)
MAX_CHAINS = 512 * 1024
"""Characters of identity chains that one page carries; a first row goes out with its own."""
SHARED = ("connection", "invitation", "offer", "offer_mac", "acceptance", "acceptance_mac")


@folds(ConnectionEstablished, ConnectionConfirmed, ConnectionNoted, ConnectionRemoved)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case ConnectionEstablished(inviter=inviter, acceptor=acceptor) as event:
            yield _side_row(happened.position, event, inviter, acceptor, inviter=True)
            yield _side_row(happened.position, event, acceptor, inviter, inviter=False)
        case ConnectionConfirmed(connection=connection, inviter=account, mac=mac, note=note):
            yield Change(connections, CONFIRM, {"of": connection, "mac": mac})
            yield Change(connections, NOTE, {"of": connection, "side": account, "note": note})
        case ConnectionNoted(connection=connection, by=account, note=note):
            yield Change(connections, NOTE, {"of": connection, "side": account, "note": note})
        case ConnectionRemoved(connection=connection, inviter=one, acceptor=other):
            yield Change(connections, DELETE, {"of": connection})
            for account, peer in ((one, other), (other, one)):
                values = {"account": account, "peer": peer, "position": happened.position}
                yield Change(partings, INSERT_PARTING, {"connection": connection, **values})


def _side_row(position: int, event: ConnectionEstablished, own: Side, peer: Side, *, inviter: bool) -> Change:
    row = {name: getattr(event, name) for name in SHARED}
    own_part = {"account": own.account, "key": own.key, "public": own.public, "note": own.note}
    peer_part = {
        "peer": peer.account,
        "peer_address": peer.address,
        "peer_key": peer.key,
        "peer_public": peer.public,
    }
    rest = {"inviter": inviter, "confirmed": False, "confirmation_mac": None, "position": position}
    return Change(connections, INSERT, row | own_part | peer_part | rest)


@view(AskConnections)
def own_connections(ask: AskConnections, desk: Desk) -> Page[ConnectionRow]:
    """One's own side of each connection, with the other's identity chain."""
    select = sa.select(connections).where(
        connections.c.account == desk.account, connections.c.connection.startswith(ask.id)
    )
    if ask.peer is not None:
        select = select.where(connections.c.peer_address == ask.peer)
    rows, more = page(ask, desk, select, connections.c.position)
    names = [name for name in ConnectionRow.__dataclass_fields__ if name != "peer_chain"]
    found: list[ConnectionRow] = []
    size = 0
    for row in rows:
        chain = chain_of(row["peer"], desk.db)
        size += sum(len(record.record) for record in chain)
        if found and size > MAX_CHAINS:
            more = True
            break
        found.append(ConnectionRow(**{name: row[name] for name in names}, peer_chain=chain))
    cursors = tuple(row["position"] for row in rows[: len(found)])
    return Page(tuple(found), tuple((row.note,) for row in found), cursors, more)
