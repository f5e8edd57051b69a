"""Registrations: the newest record of a sharing key at the suppliers of its location, which so know who may read.

A supplier that is away is told later: what each has been told is remembered, and the rest named as a step to do. It is
harmless to tell one twice, as another device may.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from privity.agent import identity, locations, sharing_keys, supplying
from privity.agent.chains import notices
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.sharing_keys import SharingKey
from privity.agent.tasks import Task
from privity.crypto.sharing_keys import read_record
from privity.encoding import b64, digest, unb64
from privity.errors import NotFound, StaleVersion, SupplierAway
from privity.gathering import Trouble
from privity.messages.suppliers import Register
from privity.messages.views import MAX_PAGE, AskLocations, AskSharingKeys, LocationRow, SharingKeyRow

KIND = "key-registered"
"""What is remembered: a key and a supplier, with number and digest of the newest record that it was told."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A record of a key with its number, as its creator signed it."""

    n: int
    record: bytes
    signature: bytes


async def register_newest(session: Session, keyring: Keyring, key: SharingKey) -> list[Trouble] | None:
    """Tell the suppliers of a key's location its newest record, which the home has; those who could not be told.

    None where there is no location. A supplier that has a newer record is told the one that the home has by now.

    Raises:
        Unreachable: the home is away.
    """
    troubles = await _register(session, keyring, key)
    if stale := [each for each in troubles or () if is_stale(each)]:
        newer = await sharing_keys.show(session, keyring, key.id)
        if newer.record.n > key.record.n:
            return await register_newest(session, keyring, newer)
        notices.warning(
            "notice: %s: another record of %s than the home has is known there, of the same number or a later one",
            named(stale),
            key.name,
        )
    return troubles


def is_stale(trouble: Trouble) -> bool:
    """Whether the supplier was there, but has a record that is newer, or another of the same number."""
    return trouble.kind == "refused" and trouble.reason == StaleVersion.__name__


async def _register(session: Session, keyring: Keyring, key: SharingKey) -> list[Trouble] | None:
    try:
        location = await locations.find(session, keyring, key.id)
    except NotFound:
        return None
    own, _ = await identity.own(session)
    said = Register(key.id, b64(key.record_bytes), b64(key.signature), own.chain)
    troubles = await supplying.register(await locations.place_of(session, keyring, location), said)
    bad = {each.slot for each in troubles}
    told = [id for slot, id in enumerate(location.row.suppliers) if slot not in bad]
    as_told = key.record.n, digest(key.record_bytes)
    session.memory.saw_all(KIND, [(f"{key.id} {id}", *as_told) for id in told], place=key.id)
    return troubles


def named(troubles: Sequence[Trouble]) -> str:
    """Who could not be told, in a few words."""
    return ", ".join(sorted({each.supplier for each in troubles}))


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """The keys of one's own whose newest record some supplier was not told by this device."""
    rows = (await session.ask_all(AskLocations(limit=MAX_PAGE), LocationRow)).rows
    own = {row.location: row for row in rows if row.by == session.account}
    if not own:
        return []
    keys = (await session.ask_all(AskSharingKeys(limit=MAX_PAGE), SharingKeyRow)).rows
    newest = {row.key: unb64(row.record) for row in keys if row.key in own}  # checked where it is told
    behind = {key: record for key, record in newest.items() if _is_behind(session, record, own[key])}
    return [_step(session, keyring, key, read_record(record).n) for key, record in behind.items()]


def _is_behind(session: Session, record: bytes, row: LocationRow) -> bool:
    told = {each.id: (each.version, each.digest) for each in session.memory.all_in(KIND, row.location)}
    newest = read_record(record).n, digest(record)
    return any(told.get(f"{row.location} {id}") != newest for id in row.suppliers)


def _step(session: Session, keyring: Keyring, key: str, n: int) -> Task:
    async def run() -> None:
        troubles = await register_newest(session, keyring, await sharing_keys.show(session, keyring, key))
        if stale := [each for each in troubles or () if is_stale(each)]:
            raise StaleVersion(f"another record of the key is known there: {named(stale)}")
        if troubles:
            raise SupplierAway(f"not told who may read: {named(troubles)}")

    return Task("register", f"{key}/{n}", "tell suppliers who may read a location", run)
