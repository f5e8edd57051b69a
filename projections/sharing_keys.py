"""The views of sharing keys: those that one has, the line of each one's records, and who holds one's own."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from privity.errors import NotFound
from privity.messages.recorded import Positioned
from privity.messages.sharing_keys import (
    PublicPartSent,
    SharingKeyClaimed,
    SharingKeyCreated,
    SharingKeyErased,
    SharingKeyGranted,
    SharingKeyNoted,
    SharingKeyRotated,
)
from privity.messages.views import (
    AskKeyHolders,
    AskKeyRecords,
    AskSharingKeys,
    KeyHolderRow,
    KeyRecordRow,
    SharingKeyRow,
)
from projections.accounts import chain_of
from projections.changes import Change, folds
from projections.desk import Desk, Page, page, view
from projections.tables import (
    accounts,
    sharing_key_notes,
    sharing_key_people,
    sharing_key_records,
    sharing_keys,
)

OWN, RECEIVED, PUBLIC = "own", "received", "public"
MAX_CHAINS = 512 * 1024
"""Characters of identity chains and records that one page carries; a first row goes out with its own."""

INSERT = sharing_keys.insert()
INSERT_PERSON = sharing_key_people.insert()
INSERT_RECORD = sharing_key_records.insert()
INSERT_NOTE = sharing_key_notes.insert()
_of: sa.BindParameter[str] = sa.bindparam("of")
STAND = (
    sharing_keys.update()
    .where(sharing_keys.c.key == _of)
    .values({name: sa.bindparam(f"new_{name}") for name in ("record", "signature", "position")})
)
_person = sa.and_(sharing_key_people.c.key == _of, sharing_key_people.c.account == sa.bindparam("whom"))
DELETE_PERSON = sharing_key_people.delete().where(_person)
KEEP = (
    sharing_key_people.update()
    .where(_person)
    .values({name: sa.bindparam(f"new_{name}") for name in ("wrap", "generation", "claimed")})
)
_note = sa.and_(sharing_key_notes.c.key == _of, sharing_key_notes.c.account == sa.bindparam("whom"))
DELETE_NOTE = sharing_key_notes.delete().where(_note)
END = tuple(
    table.delete().where(table.c.key == _of)
    for table in (sharing_keys, sharing_key_people, sharing_key_records, sharing_key_notes)
)


@folds(
    SharingKeyCreated,
    SharingKeyGranted,
    SharingKeyRotated,
    SharingKeyClaimed,
    SharingKeyNoted,
    PublicPartSent,
    SharingKeyErased,
)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case SharingKeyCreated(key=key, by=by) as event:
            row = {"key": key, "creator": by, "record": event.record, "signature": event.signature}
            yield Change(sharing_keys, INSERT, row | {"position": happened.position})
            yield _record(happened, event, n=1, link=None)
            yield _came(happened, by, OWN, wrap=event.wrap, generation=1, claimed=True)
            yield from _noted(key, by, event.note)
        case SharingKeyGranted(key=key, to=to) as event:
            yield _stands(happened, event)
            yield _record(happened, event, n=event.n, link=None)
            yield Change(sharing_key_people, DELETE_PERSON, {"of": key, "whom": to})
            yield _came(happened, to, RECEIVED, wrap=event.wrap, generation=event.generation, over=event.connection)
        case SharingKeyRotated(key=key) as event:
            yield _stands(happened, event)
            yield _record(happened, event, n=event.n, link=event.link)
            for account, wrap in event.wraps.items():
                yield _kept(key, account, wrap, event.generation, claimed=account == event.by)
            for account in event.dropped:
                yield from _gone(key, account)
        case SharingKeyClaimed(key=key, by=by) as event:
            yield _kept(key, by, event.wrap, event.generation, claimed=True)
            yield from _noted(key, by, event.note)
        case SharingKeyNoted(key=key, by=by, note=note):
            yield from _noted(key, by, note)
        case PublicPartSent(key=key, to=to) as event:
            yield Change(sharing_key_people, DELETE_PERSON, {"of": key, "whom": to})
            yield _came(
                happened,
                to,
                PUBLIC,
                wrap=event.sealed,
                generation=event.generation,
                over=event.connection,
                record=event.record,
                signature=event.signature,
            )
        case SharingKeyErased(key=key, whole=True):
            for table, delete in zip(
                (sharing_keys, sharing_key_people, sharing_key_records, sharing_key_notes), END, strict=True
            ):
                yield Change(table, delete, {"of": key})
        case SharingKeyErased(key=key, by=by):
            yield from _gone(key, by)


def _stands(happened: Positioned, event: SharingKeyGranted | SharingKeyRotated) -> Change:
    new = {"new_record": event.record, "new_signature": event.signature, "new_position": happened.position}
    return Change(sharing_keys, STAND, {"of": event.key} | new)


def _record(
    happened: Positioned,
    event: SharingKeyCreated | SharingKeyGranted | SharingKeyRotated,
    *,
    n: int,
    link: str | None,
) -> Change:
    row = {"key": event.key, "n": n, "record": event.record, "signature": event.signature, "link": link}
    return Change(sharing_key_records, INSERT_RECORD, row | {"position": happened.position})


def _came(
    happened: Positioned,
    account: str,
    kind: str,
    *,
    wrap: str,
    generation: int,
    over: str | None = None,
    claimed: bool = False,
    record: str | None = None,
    signature: str | None = None,
) -> Change:
    event = happened.event
    assert isinstance(event, SharingKeyCreated | SharingKeyGranted | PublicPartSent)  # noqa: S101
    row = {"key": event.key, "account": account, "kind": kind, "given_by": event.by, "connection": over}
    rest = {"generation": generation, "claimed": claimed, "wrap": wrap, "record": record, "signature": signature}
    return Change(sharing_key_people, INSERT_PERSON, {**row, **rest, "position": happened.position})


def _kept(key: str, account: str, wrap: str, generation: int, *, claimed: bool) -> Change:
    of = {"of": key, "whom": account}
    return Change(
        sharing_key_people, KEEP, {**of, "new_wrap": wrap, "new_generation": generation, "new_claimed": claimed}
    )


def _noted(key: str, account: str, note: str) -> Iterator[Change]:
    yield Change(sharing_key_notes, DELETE_NOTE, {"of": key, "whom": account})
    yield Change(sharing_key_notes, INSERT_NOTE, {"key": key, "account": account, "note": note})


def _gone(key: str, account: str) -> Iterator[Change]:
    yield Change(sharing_key_people, DELETE_PERSON, {"of": key, "whom": account})
    yield Change(sharing_key_notes, DELETE_NOTE, {"of": key, "whom": account})


@view(AskSharingKeys)
def own_keys(ask: AskSharingKeys, desk: Desk) -> Page[SharingKeyRow]:
    """The keys that I made, hold or know; what is sealed to a connection goes out only when the request is fresh."""
    mine, note = sharing_key_people, sharing_key_notes
    same = sa.and_(note.c.key == mine.c.key, note.c.account == mine.c.account)
    newest = sharing_keys.c
    select = (
        sa.select(
            mine,
            newest.creator,
            newest.record.label("newest"),
            newest.signature.label("newest_signature"),
            newest.position.label("at"),
            accounts.c.address,
            note.c.note,
        )
        .join(sharing_keys, newest.key == mine.c.key)
        .join(accounts, accounts.c.account == newest.creator)
        .join(note, same, isouter=True)
        .where(mine.c.account == desk.account, mine.c.key.startswith(ask.id))
    )
    rows, more = page(ask, desk, select, mine.c.position)
    found: list[SharingKeyRow] = []
    size = 0
    for row in rows:
        shown = _row(row, desk)
        size += len(shown.record) + sum(len(each.record) for each in shown.chain)
        if found and size > MAX_CHAINS:
            more = True
            break
        found.append(shown)
    sealed = tuple(tuple(each for each in (row.wrap, row.note) if each) for row in found)
    return Page(tuple(found), sealed, tuple(row["position"] for row in rows[: len(found)]), more)


def _row(row: Mapping[Any, Any], desk: Desk) -> SharingKeyRow:
    given = row["kind"] == PUBLIC and row["note"] is None  # whose name is sealed for the generation that was given
    names = ("key", "creator", "kind", "given_by", "connection", "claimed", "note")
    return SharingKeyRow(
        **{name: row[name] for name in names},
        creator_address=row["address"],
        chain=chain_of(row["creator"], desk.db),
        record=row["record"] if given else row["newest"],
        signature=row["signature"] if given else row["newest_signature"],
        wrap=row["wrap"] if row["claimed"] or desk.fresh else None,
        position=row["position"] if given else row["at"],
    )


@view(AskKeyRecords)
def records(ask: AskKeyRecords, desk: Desk) -> Page[KeyRecordRow]:
    """The line of a key that I made or hold; of any other it says no more than of one that is not there."""
    _check_held(ask.key, desk)
    select = sa.select(sharing_key_records).where(sharing_key_records.c.key == ask.key)
    rows, more = page(ask, desk, select, sharing_key_records.c.n)
    names = ("key", "n", "record", "signature", "link", "position")
    found: list[KeyRecordRow] = []
    size = 0
    for row in rows:
        size += len(row["record"])
        if found and size > MAX_CHAINS:
            more = True
            break
        found.append(KeyRecordRow(**{name: row[name] for name in names}))
    sealed = tuple((row.link,) if row.link else () for row in found)
    return Page(tuple(found), sealed, tuple(row.n for row in found), more)


@view(AskKeyHolders)
def holders(ask: AskKeyHolders, desk: Desk) -> Page[KeyHolderRow]:
    """Who holds a key that I made."""
    own = sa.select(sharing_keys.c.key).where(sharing_keys.c.key == ask.key, sharing_keys.c.creator == desk.account)
    if desk.db.execute(own).first() is None:
        raise NotFound("there is no such sharing key")
    people = sharing_key_people.c
    select = (
        sa.select(sharing_key_people, accounts.c.address)
        .join(accounts, accounts.c.account == people.account)
        .where(people.key == ask.key, people.kind == RECEIVED)
    )
    rows, more = page(ask, desk, select, people.position)
    names = ("key", "account", "address", "connection", "generation", "claimed")
    found = tuple(KeyHolderRow(**{name: row[name] for name in names}) for row in rows)
    return Page(found, ((),) * len(found), tuple(row["position"] for row in rows), more)


def shown(position: int, desk: Desk) -> str | None:
    """Who made the event at a position, if it is a record of a key that I made or hold, or the newest of one I know."""
    people, records = sharing_key_people.c, sharing_key_records.c
    found = (
        sa.select(sharing_keys.c.creator)
        .join(sharing_key_records, records.key == sharing_keys.c.key)
        .join(sharing_key_people, people.key == sharing_keys.c.key)
        .where(
            records.position == position,
            people.account == desk.account,
            sa.or_(people.kind != PUBLIC, records.position == sharing_keys.c.position),
        )
    )
    return desk.db.execute(found).scalar()


def _check_held(key: str, desk: Desk) -> None:
    people = sharing_key_people.c
    held = sa.select(people.key).where(people.key == key, people.account == desk.account, people.kind != PUBLIC)
    if desk.db.execute(held).first() is None:
        raise NotFound("there is no such sharing key")
