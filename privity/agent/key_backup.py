"""Backups of sharing keys at the home's suppliers, sealed by a key that follows from the KEK: who has that, has them.

Where a backup stands follows from the KEK too: a sharing key of its own, of which no home knows, is registered at the
suppliers, and each of them keeps a whole copy. So a bare machine that was given the recovery text finds them again, and
what a home has lost of a key is brought back. There is one backup, the newest: `n` counts them. A supplier that lies,
or never ends, is passed over: one honest one is enough.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

from privity.agent import identity, sharing_keys, supplying
from privity.agent.chains import notices
from privity.agent.connections import Broken
from privity.agent.feed import learn
from privity.agent.key_records import NOTE, PUBLIC, Before, checked_record
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.sharing_keys import Note, SharingKey
from privity.agent.supplying import Place
from privity.crypto.coding import FRAGMENT_BYTES, fragment_leaf, slot_root
from privity.crypto.sharing_keys import (
    Alias,
    KeyRecord,
    PrivatePart,
    backup_place,
    check_committed,
    check_part,
    first_record,
    open_backup,
    seal_backup,
    sign_record,
    wrap_part,
)
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    Busy,
    DoesNotOpen,
    IntegrityAlarm,
    Malformed,
    NotEnoughSuppliers,
    NotFound,
    PrivityError,
    RolledBack,
    SupplierAway,
    SupplierSlow,
    TooLarge,
    Unreachable,
)
from privity.gathering import Trouble, trouble_of
from privity.messages.sharing_keys import RestoreSharingKey
from privity.messages.suppliers import Register
from privity.messages.views import MAX_PAGE, AskSharingKeys, SharingKeyRow
from privity.supplying import Supplier

log = logging.getLogger(__name__)

BACKUP = "sharing-key-backup"
"""What is remembered: the number of the newest backup that this device made or saw."""
ALIAS = "backup"
CHECKPOINT = "none"
"""A backup's record stands in no log."""
MAX_SUPPLIERS = 16
STEP = 16 * 1024
"""Bytes to whose multiples a backup is padded."""
MAX_BYTES = 8 * 1024 * 1024
MAX_OBJECTS = 8
"""Whole objects that are read at one supplier: an honest one has a backup, or a few that were made at once."""
MAX_DELETED = 64
"""Objects of one supplier's list that are deleted when backups are given up."""
PATIENCE = 60.0
"""Seconds for all that is read at one supplier."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A key as a backup has it: its private parts by generation (none of a public one), and its note."""

    key: str
    kind: str
    name: str
    parts: Mapping[int, bytes] = field(repr=False)
    note: Note = field(repr=False)


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup, open."""

    n: int
    keys: Mapping[str, Kept]


@dataclass(frozen=True, slots=True)
class Served:
    """What the suppliers serve: the newest backup, and by supplier the number of each object that opened.

    `wrong` is why one of the others did not open.
    """

    newest: Backup | None
    opened: Mapping[str, Mapping[str, int]]
    wrong: PrivityError | None

    @property
    def n(self) -> int:
        """Of the newest, 0 if there is none."""
        return self.newest.n if self.newest else 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went with one key: `reason` is a code or a few words where something is to be said."""

    id: str
    name: str
    passed: bool
    reason: str = ""


async def backup(session: Session, keyring: Keyring) -> list[Outcome]:
    """Put all keys that one made or holds, and one's notes of all, at every supplier; older backups go then.

    Of a key that does not hold now, what the backup before had of it stays. Where the backup before is not served any
    more, another one is made all the same, and a notice says so.

    Raises:
        NotEnoughSuppliers: no supplier took it.
        RolledBack: the suppliers serve an older backup than this device saw, and a key does not hold that was in it.
    """
    keyring, _ = await identity.current(session, keyring)
    place = await _place(session, keyring)
    served = await _serve(session, keyring, place)
    before = served.newest
    if served.n < _seen(session):
        notices.warning("notice: the suppliers do not serve the backup of your keys that this device saw before")
    known = await sharing_keys.all_known(session, keyring)
    kept, outcomes = dict[str, Kept](), []
    for each in known:
        if isinstance(each, Broken):
            if before is not None and each.id in before.keys:
                kept[each.id] = before.keys[each.id]
            elif served.n < _seen(session):  # what it had of this key is in no backup that would be made now
                raise _rolled_back()
            outcomes.append(Outcome(each.id, "", each.id in kept, each.alarm.code))
        else:
            kept[each.id] = await _kept(session, keyring, each)
            outcomes.append(Outcome(each.id, each.name, True))
    n = max(served.n, _seen(session)) + 1
    object = new_id()
    blob = seal_backup(keyring.kek, _encode(Backup(n, kept)), session.account, object)
    troubles = await _put(place, object, blob)
    await _delete_older(place, served, n)
    session.memory.saw(BACKUP, session.account, n)
    supplying.tell("notice: these suppliers have no backup of your keys", troubles)
    return outcomes


async def restore(session: Session, keyring: Keyring) -> list[Outcome]:
    """Bring back what the home has lost of one's keys, from the newest backup at the suppliers.

    Raises:
        NotFound: there is no backup.
        RolledBack: the suppliers serve an older one than this device saw.
        DoesNotOpen: there is one, and it is not one's own or was changed.
    """
    keyring, _ = await identity.current(session, keyring)
    backups = await _serve(session, keyring, await _place(session, keyring))
    found = backups.newest
    if found is None and backups.wrong is not None:
        raise backups.wrong
    if backups.n < _seen(session):
        raise _rolled_back()
    if found is None:
        raise NotFound("there is no backup of your keys at the suppliers")
    session.memory.saw(BACKUP, session.account, found.n)
    await learn(session)
    known = {each.id: each for each in await sharing_keys.all_known(session, keyring)}
    rows = (await session.ask_all(AskSharingKeys(limit=MAX_PAGE), SharingKeyRow)).rows
    served = {row.key: row for row in rows}
    outcomes = []
    for id, kept in sorted(found.keys.items()):
        now = known.get(id)
        if isinstance(now, SharingKey):
            outcomes.append(Outcome(id, now.name, True, "it is there"))
        elif id not in served:
            outcomes.append(Outcome(id, kept.name, False, "the home does not have this key any more"))
        else:
            outcomes.append(await _restored(session, keyring, served[id], kept))
    return outcomes


async def forget(session: Session, keyring: Keyring) -> None:
    """Delete the backup that this device knows of; suppliers that are away keep theirs, which the KEK alone opens."""
    if not _seen(session):
        return
    keyring, _ = await identity.current(session, keyring)
    place = await _place(session, keyring)
    there, away = await supplying.list_objects(place, pages=1)
    objects = supplying.ids({id: listed[:MAX_DELETED] for id, listed in there.items()})
    away += [each for each in await supplying.delete_objects(place, objects) if each not in away]
    supplying.tell("notice: these suppliers still have a backup of your keys", away)


async def _restored(session: Session, keyring: Keyring, row: SharingKeyRow, kept: Kept) -> Outcome:
    try:
        record = await checked_record(session, Before(session.memory), row, kept.name)
        await _bring(session, keyring, row, record, kept)
    except (Unreachable, Busy):
        raise
    except PrivityError as error:
        return Outcome(row.key, kept.name, False, error.code)
    return Outcome(row.key, kept.name, True, "brought back")


async def _bring(session: Session, keyring: Keyring, row: SharingKeyRow, record: KeyRecord, kept: Kept) -> None:
    if row.kind == PUBLIC or record.generation not in kept.parts:
        raise NotFound("the backup is older than the key's newest generation")
    part = check_part(PrivatePart.from_bytes(kept.parts[record.generation]), record)
    check_committed(record, Alias(kept.note.alias, unb64(kept.note.salt)))
    await learn(session)
    seen = session.memory.seen(NOTE, row.key)
    newest = max(kept.note.n, seen.version if seen else 0, session.memory.feed.position)  # no note has a higher number
    note = replace(kept.note, n=newest + 1)
    wrap = wrap_part(keyring.kek, part, row.key, record.generation, session.account)
    sealed = sharing_keys.seal(keyring, note, row.key)
    command = RestoreSharingKey(row.key, record.generation, row.note, digest(wrap), digest(sealed))
    await session.send(command, wrap, sealed)
    session.memory.saw(NOTE, row.key, note.n)


async def _kept(session: Session, keyring: Keyring, key: SharingKey) -> Kept:
    if key.kind == PUBLIC:
        return Kept(key.id, key.kind, key.name, {}, key.note)
    try:
        parts = await sharing_keys.all_parts(session, keyring, key)
    except IntegrityAlarm as alarm:  # a link was lost: the newest part is worth keeping all the same
        log.warning("older generations of a sharing key are not in the backup: %s", alarm.code)
        parts = {key.generation: key.private()}
    return Kept(key.id, key.kind, key.name, {one: part.to_bytes() for one, part in parts.items()}, key.note)


async def _place(session: Session, keyring: Keyring) -> Place:
    """Where backups of this account stand: at every supplier there is, under a key that follows from the KEK."""
    part, nonce = backup_place(keyring.kek, session.account)
    record = first_record(session.account, nonce, part, Alias(ALIAS, nonce), CHECKPOINT)
    key = record.key
    data, signature = sign_record(keyring.identity.sign, record)
    row, _ = await identity.own(session)
    register = Register(key, b64(data), b64(signature), row.chain)
    known = await supplying.directory(session)
    suppliers = sorted(id for id, each in known.items() if each.id == id)[:MAX_SUPPLIERS]
    if not suppliers:
        raise NotEnoughSuppliers("this home has no suppliers")
    return await supplying.place(
        session, keyring, key=key, part=part.sign, suppliers=suppliers, needed=1, register=register
    )


async def _put(place: Place, object: str, blob: bytes) -> list[Trouble]:
    """A whole copy at every supplier."""
    pieces = [blob[start : start + FRAGMENT_BYTES] for start in range(0, len(blob), FRAGMENT_BYTES)]
    root = slot_root(map(fragment_leaf, pieces))
    troubles = []
    for slot, supplier in enumerate(place.slots):
        if supplier is None:
            continue
        try:
            lease = await supplier.open(place.holder, "put", place.key, object, len(pieces))
            for number, piece in enumerate(pieces):
                await lease.put(number, piece)
            await lease.complete(root)
        except PrivityError as error:
            troubles.append(trouble_of(slot, place.names[slot], error))
    if len(troubles) == len(place.suppliers):
        raise NotEnoughSuppliers(f"no supplier took the backup: {', '.join(map(str, troubles))}")
    return troubles


async def _delete_older(place: Place, served: Served, n: int) -> None:
    """What was read and is older than the new backup goes: not what another device made meanwhile."""
    for supplier in place.slots:
        if supplier is None:
            continue
        for object, number in served.opened.get(supplier.known.id, {}).items():
            try:
                if number < n:
                    await (await supplier.open(place.holder, "delete", place.key, object)).delete()
            except PrivityError as error:
                _check_reached(error)
                log.info("an older backup stays at %s: %s", supplier.known.name, error.code)


async def _serve(session: Session, keyring: Keyring, place: Place) -> Served:
    """What there is at the suppliers; one that is wrong or away hides no other.

    Raises:
        SupplierAway: nobody can be asked.
    """
    newest: Backup | None = None
    opened: dict[str, dict[str, int]] = {}
    wrong: PrivityError | None = None
    asked = 0
    for supplier in place.slots:
        if supplier is None:
            continue
        numbers = opened[supplier.known.id] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                async for object, blob in _copies(supplier, place):
                    try:
                        found = _decode(open_backup(keyring.kek, blob, session.account, object))
                    except PrivityError as error:
                        wrong = error
                        notices.warning("notice: %s serves a backup that does not open", supplier.known.name)
                        continue
                    numbers[object] = found.n
                    if newest is None or found.n > newest.n:
                        newest = found
            asked += 1
        except TimeoutError:
            log.info("a supplier was too slow with a backup: %s", supplier.known.name)
        except PrivityError as error:
            _check_reached(error)
            log.info("a supplier was not asked for a backup: %s", error.code)
    if not asked and newest is None:
        raise SupplierAway("no supplier can be asked for a backup")
    return Served(newest, opened, wrong)


async def _copies(supplier: Supplier, place: Place) -> AsyncIterator[tuple[str, bytes]]:
    """Each of the first few whole objects that a supplier has, within bounds; one that it does not give is left out."""
    listed = await (await supplier.open(place.holder, "list", place.key)).objects(pages=1)
    most = MAX_BYTES // FRAGMENT_BYTES + 1
    for each in [one for one in listed if one.whole and 0 < one.fragments <= most][:MAX_OBJECTS]:
        try:
            lease = await supplier.open(place.holder, "get", place.key, each.object)
            pieces = [await lease.get(number) for number in range(each.fragments)]
        except PrivityError as error:
            _check_reached(error)
            log.info("a backup was not read: %s", error.code)
            continue
        yield each.object, b"".join(pieces)


def _check_reached(error: PrivityError) -> None:
    """Raises what is not one supplier's affair: that the home's bus is lost."""
    if isinstance(error, Unreachable) and not isinstance(error, SupplierAway | SupplierSlow):
        raise error


def _rolled_back() -> RolledBack:
    return RolledBack("The suppliers serve an older backup of your keys than was seen before.")


def _seen(session: Session) -> int:
    seen = session.memory.seen(BACKUP, session.account)
    return seen.version if seen else 0


def _encode(made: Backup) -> bytes:
    """Padded with blanks, so that its size says little.

    Raises:
        TooLarge: more than 8 MiB.
    """
    keys = [
        {
            "key": each.key,
            "kind": each.kind,
            "name": each.name,
            "parts": {str(one): b64(part) for one, part in each.parts.items()},
            "note": [each.note.alias, each.note.salt, each.note.label, each.note.active, each.note.n],
        }
        for each in made.keys.values()
    ]
    data = json.dumps({"v": 1, "n": made.n, "keys": keys}).encode()
    if len(data) > MAX_BYTES - STEP:
        raise TooLarge(f"a backup has at most {MAX_BYTES - STEP} bytes")
    return data.ljust(-(-len(data) // STEP) * STEP)


def _decode(data: bytes) -> Backup:
    try:
        facts = json.loads(data)
        keys = {
            each["key"]: Kept(
                each["key"],
                each["kind"],
                each["name"],
                {int(one): unb64(part) for one, part in each["parts"].items()},
                Note(*each["note"]),
            )
            for each in facts["keys"]
        }
        return Backup(int(facts["n"]), keys)
    except (ValueError, KeyError, TypeError, AttributeError, Malformed):
        raise DoesNotOpen from None
