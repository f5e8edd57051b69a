"""The views of pieces: one's own, those of connected people, who reads them, requests both ways, and the rules."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from privity.messages.connections import ConnectionRemoved
from privity.messages.pieces import (
    PieceGranted,
    PieceReleased,
    PieceRemoved,
    PieceRequested,
    PieceSet,
    PieceStored,
    RequestApproved,
    RequestClosed,
    RequestDeclined,
    RulesSet,
)
from privity.messages.recorded import Positioned
from privity.messages.views import (
    AskPieces,
    AskReaders,
    AskRequests,
    AskRules,
    PieceRow,
    ReaderRow,
    RequestRow,
    RulesRow,
)
from projections.changes import Change, folds
from projections.desk import Desk, Page, page, view
from projections.tables import accounts, connections, piece_readers, piece_requests, piece_rules, pieces

INSERT = pieces.insert()
INSERT_READER = piece_readers.insert()
INSERT_REQUEST = piece_requests.insert()
INSERT_RULES = piece_rules.insert()
VALUES = ("version", "generation", "record", "signature", "content", "owner_wrap")
_piece = pieces.c.piece == sa.bindparam("of")
SET = pieces.update().where(_piece).values({name: sa.bindparam(f"new_{name}") for name in VALUES})
CLEAR = pieces.update().where(_piece).values(version=sa.bindparam("new_version"), content=None, owner_wrap=None)
_reader = sa.and_(piece_readers.c.piece == sa.bindparam("of"), piece_readers.c.reader == sa.bindparam("by"))
DELETE_READER = piece_readers.delete().where(_reader)
STORE = piece_readers.update().where(_reader).values(stored=sa.bindparam("wrapped"))
RELEASE = piece_readers.update().where(_reader).values(ended=True, released=True)
END_READERS = piece_readers.update().where(piece_readers.c.connection == sa.bindparam("of")).values(ended=True)
FORGET_RELEASED = piece_readers.delete().where(
    piece_readers.c.piece == sa.bindparam("of"),
    piece_readers.c.released,
    piece_readers.c.generation < sa.bindparam("newest"),
)
DELETE_READERS = piece_readers.delete().where(piece_readers.c.piece == sa.bindparam("of"))
_request = piece_requests.c.request == sa.bindparam("of")
ASKED = ("connection", "n", "challenge", "kept", "signature")
ANSWERED = ("version", "generation", "content", "wrap", "answer")
ASK_AGAIN = (
    piece_requests.update()
    .where(_request)
    .values({name: sa.bindparam(f"new_{name}") for name in ASKED} | {"status": "open"})
)
APPROVE = (
    piece_requests.update()
    .where(_request)
    .values({name: sa.bindparam(f"new_{name}") for name in ANSWERED})
    .values(status="approved", approved=piece_requests.c.n, answered=piece_requests.c.kept, challenge=None, kept=None)
)
_NOT_OPEN: dict[str, Any] = {"challenge": None, "kept": None}
_OVER = _NOT_OPEN | dict.fromkeys(("approved", "answered", *ANSWERED))
DECLINE = piece_requests.update().where(_request).values({"status": "declined", **_NOT_OPEN})
WITHDRAW = piece_requests.update().where(_request).values({"status": "closed", **_NOT_OPEN})
CLOSE = piece_requests.update().where(_request).values({"status": "closed", **_OVER})
CLOSE_OVER = (
    piece_requests.update()
    .where(piece_requests.c.connection == sa.bindparam("of"))
    .values({"status": "closed", **_OVER})
)
SET_RULES = (
    piece_rules.update()
    .where(piece_rules.c.account == sa.bindparam("of"))
    .values(version=sa.bindparam("new_version"), rules=sa.bindparam("new_rules"))
)


@folds(PieceSet, PieceGranted, PieceStored, PieceReleased, PieceRemoved, ConnectionRemoved, RulesSet)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case PieceSet() as event:
            yield from _set(happened.position, event)
        case PieceGranted(piece=piece, reader=reader) as event:
            names = ("piece", "owner", "reader", "connection", "key", "generation", "wrap", "grant")
            row = {name: getattr(event, name) for name in names}
            yield Change(piece_readers, DELETE_READER, {"of": piece, "by": reader})
            rest = {"stored": None, "ended": False, "released": False, "position": happened.position}
            yield Change(piece_readers, INSERT_READER, row | rest)
        case PieceStored(piece=piece, reader=reader, wrap=wrap):
            yield Change(piece_readers, STORE, {"of": piece, "by": reader, "wrapped": wrap})
        case PieceReleased(piece=piece, reader=reader):
            yield Change(piece_readers, RELEASE, {"of": piece, "by": reader})
        case PieceRemoved(piece=piece, version=version):
            yield Change(pieces, CLEAR, {"of": piece, "new_version": version})
            yield Change(piece_readers, DELETE_READERS, {"of": piece})
        case ConnectionRemoved(connection=connection):
            yield Change(piece_readers, END_READERS, {"of": connection})
            yield Change(piece_requests, CLOSE_OVER, {"of": connection})
        case RulesSet(account=account, version=1, rules=rules):
            row = {"account": account, "version": 1, "rules": rules, "position": happened.position}
            yield Change(piece_rules, INSERT_RULES, row)
        case RulesSet(account=account, version=version, rules=rules):
            yield Change(piece_rules, SET_RULES, {"of": account, "new_version": version, "new_rules": rules})


def _set(position: int, event: PieceSet) -> Iterator[Change]:
    values = {name: getattr(event, name) for name in VALUES}
    if event.version == 1:
        row = {"piece": event.piece, "owner": event.owner, "piece_name": event.piece_name, **values}
        yield Change(pieces, INSERT, row | {"position": position})
        return
    yield Change(pieces, SET, {"of": event.piece} | {f"new_{name}": value for name, value in values.items()})
    yield Change(piece_readers, FORGET_RELEASED, {"of": event.piece, "newest": event.generation})


@folds(PieceRequested, RequestApproved, RequestDeclined, RequestClosed)
def apply_request(happened: Positioned) -> Iterator[Change]:
    """What an event changes among the requests."""
    match happened.event:
        case PieceRequested(n=1) as event:
            names = ("request", "owner", "asker", "piece_name", *ASKED)
            row = {name: getattr(event, name) for name in names}
            row |= dict.fromkeys(("approved", "answered", *ANSWERED))
            yield Change(piece_requests, INSERT_REQUEST, row | {"status": "open", "position": happened.position})
        case PieceRequested(request=request) as event:
            yield Change(
                piece_requests, ASK_AGAIN, {"of": request} | {f"new_{name}": getattr(event, name) for name in ASKED}
            )
        case RequestApproved(request=request) as event:
            answer = {f"new_{name}": getattr(event, name) for name in ANSWERED}
            yield Change(piece_requests, APPROVE, {"of": request} | answer)
        case RequestDeclined(request=request):
            yield Change(piece_requests, DECLINE, {"of": request})
        case RequestClosed(request=request, whole=whole):
            yield Change(piece_requests, CLOSE if whole else WITHDRAW, {"of": request})


@view(AskPieces)
def pieces_of(ask: AskPieces, desk: Desk) -> Page[PieceRow]:
    """One's own pieces; or a connected person's: all names, and what is granted."""
    if ask.owner is None or ask.owner == desk.account:
        return _own(ask, desk)
    joined = sa.select(connections.c.connection).where(
        connections.c.account == desk.account, connections.c.peer == ask.owner
    )
    grant = piece_readers.alias()
    mine = sa.and_(grant.c.piece == pieces.c.piece, grant.c.reader == desk.account, ~grant.c.ended)
    columns = ("reader", "connection", "key", "wrap", "stored", "grant")
    select = (
        sa.select(pieces, *(grant.c[name] for name in columns), grant.c.generation.label("granted"))
        .join(grant, mine, isouter=True)
        .where(pieces.c.owner == ask.owner, pieces.c.content.is_not(None), sa.exists(joined))
    )
    rows, more = page(ask, desk, _named(ask, select), pieces.c.position)
    found = tuple(_theirs(row, desk) for row in rows)
    return Page(found, tuple(map(_sealed, found)), tuple(row["position"] for row in rows), more)


def _own(ask: AskPieces, desk: Desk) -> Page[PieceRow]:
    over = sa.select(piece_readers.c.reader).where(
        piece_readers.c.piece == pieces.c.piece,
        piece_readers.c.ended,
        piece_readers.c.generation == pieces.c.generation,
    )
    select = sa.select(pieces, sa.exists(over).label("due")).where(pieces.c.owner == desk.account)
    rows, more = page(ask, desk, _named(ask, select), pieces.c.position)
    found = tuple(
        PieceRow(
            **{name: row[name] for name in ("piece", "owner", "piece_name", *VALUES[:-1])},
            wrap=row["owner_wrap"],
            stored=False,
            connection=None,
            key=None,
            grant=None,
            due=bool(row["due"]),
        )
        for row in rows
    )
    return Page(found, tuple(map(_sealed, found)), tuple(row["position"] for row in rows), more)


def _named(ask: AskPieces, select: sa.Select[Any]) -> sa.Select[Any]:
    return select if ask.piece_name is None else select.where(pieces.c.piece_name == ask.piece_name)


def _theirs(row: Mapping[Any, Any], desk: Desk) -> PieceRow:
    """Nothing but the name where there is no grant of the newest key; the sealed key itself only for a fresh nonce."""
    said = {name: row[name] for name in ("piece", "owner", "piece_name")}
    if row["granted"] != row["generation"]:
        none: dict[str, Any] = dict.fromkeys((*VALUES[:-1], "wrap", "connection", "key", "grant"))
        return PieceRow(**said, **none, stored=False, due=row["granted"] is not None)
    wrap = row["stored"] or (row["wrap"] if desk.fresh else None)
    names = (*VALUES[:-1], "connection", "key", "grant")
    return PieceRow(
        **said, **{name: row[name] for name in names}, wrap=wrap, stored=row["stored"] is not None, due=False
    )


def _sealed(row: PieceRow) -> tuple[str, ...]:
    return tuple(each for each in (row.content, row.wrap) if each is not None)


@view(AskReaders)
def readers_of_own(ask: AskReaders, desk: Desk) -> Page[ReaderRow]:
    """Who has a grant of one's own pieces, of whichever key, even if the connection ended; or which grants one has."""
    if ask.held:
        mine = sa.and_(piece_readers.c.reader == desk.account, ~piece_readers.c.ended)
    else:
        mine = sa.and_(piece_readers.c.owner == desk.account, ~piece_readers.c.released)
    select = (
        sa.select(piece_readers, accounts.c.address)
        .join(accounts, accounts.c.account == piece_readers.c.reader)
        .where(mine, piece_readers.c.piece.startswith(ask.piece))
    )
    if ask.connection is not None:
        select = select.where(piece_readers.c.connection == ask.connection)
    rows, more = page(ask, desk, select, piece_readers.c.position)
    names = ("piece", "reader", "connection", "key", "generation", "wrap", "grant")
    found = tuple(ReaderRow(**{name: row[name] for name in names}, reader_address=row["address"]) for row in rows)
    return Page(found, ((),) * len(found), tuple(row["position"] for row in rows), more)


@view(AskRequests)
def both_ways(ask: AskRequests, desk: Desk) -> Page[RequestRow]:
    """Requests to me and from me; the sealed challenge goes to its owner, what was kept to the asker."""
    incoming, outgoing = piece_requests.c.owner == desk.account, piece_requests.c.asker == desk.account
    mine = {"incoming": incoming, "outgoing": outgoing, "all": sa.or_(incoming, outgoing)}[ask.direction]
    owner, asker = accounts.alias(), accounts.alias()
    select = (
        sa.select(piece_requests, owner.c.address.label("owner_address"), asker.c.address.label("asker_address"))
        .join(owner, owner.c.account == piece_requests.c.owner)
        .join(asker, asker.c.account == piece_requests.c.asker)
        .where(mine, piece_requests.c.request.startswith(ask.id))
    )
    if ask.connection is not None:
        select = select.where(piece_requests.c.connection == ask.connection)
    if ask.open:
        select = select.where(piece_requests.c.status == "open")
    rows, more = page(ask, desk, select, piece_requests.c.position)
    found = tuple(_request_row(row, desk) for row in rows)
    sealed = tuple(tuple(each for each in (row.challenge, row.kept) if each) for row in found)
    return Page(found, sealed, tuple(row["position"] for row in rows), more)


def _request_row(row: Mapping[Any, Any], desk: Desk) -> RequestRow:
    names = ("request", "owner", "owner_address", "asker", "asker_address", "piece_name", "connection", "n", "status")
    return RequestRow(
        **{name: row[name] for name in (*names, "signature", "approved", *ANSWERED)},
        challenge=row["challenge"] if row["owner"] == desk.account else None,
        kept=row["answered"] if row["asker"] == desk.account else None,
    )


@view(AskRules)
def own_rules(ask: AskRules, desk: Desk) -> Page[RulesRow]:
    """One's own rules, all in one row."""
    select = sa.select(piece_rules).where(piece_rules.c.account == desk.account)
    rows, more = page(ask, desk, select, piece_rules.c.position)
    found = tuple(RulesRow(account=row["account"], version=row["version"], rules=row["rules"]) for row in rows)
    sealed = tuple((row.rules,) if row.rules else () for row in found)
    return Page(found, sealed, tuple(row["position"] for row in rows), more)
