"""Locations: folders of files under a sharing key, on the suppliers of who made them; every holder reads and writes.

Reading looks at the line of changes as signed; writing puts objects to the suppliers first, and then the change that
says what is in them. Nobody overwrites anybody: who wrote the same name without having seen the other's version leaves
both standing.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from privity.agent import connections, downloads, feed, registrations, sharing_keys, suppliers, supplying
from privity.agent.chains import notices
from privity.agent.connections import Broken, Connection
from privity.agent.key_records import OWN
from privity.agent.keyring import Keyring
from privity.agent.kinds import LOCATION
from privity.agent.location_ends import check_ended
from privity.agent.location_files import (
    FileVersion,
    shown_name,
)
from privity.agent.location_line import Line, Writers, check_made, read_line
from privity.agent.session import Session
from privity.agent.sharing_keys import SharingKey
from privity.agent.supplying import Place
from privity.agent.uploads import Progress
from privity.encoding import b64, new_id
from privity.errors import (
    AlreadyExists,
    ForgedRecord,
    IntegrityAlarm,
    LocationMoved,
    Malformed,
    NotEnoughSuppliers,
    NotFound,
    SupplierAway,
)
from privity.gathering import Trouble, all_of, trouble_of
from privity.messages.locations import (
    CreateLocation,
)
from privity.messages.suppliers import Register
from privity.messages.views import AskLocations, LocationRow
from privity.supplying import Known, Supplier

SLOTS: Final = 5
"""Suppliers of a new location, where nothing else is said and there are so many."""
ATTEMPTS: Final = 8
"""Times that a location is read, or a change is sealed, while others write to it or renew its key."""


@dataclass(frozen=True, slots=True)
class Location:
    """A location as its creator signed it, and its key as one has it."""

    row: LocationRow
    key: SharingKey

    @property
    def id(self) -> str:
        """The location's id, which is its key's."""
        return self.row.location

    @property
    def mine(self) -> bool:
        """Whether one made it."""
        return self.key.kind == OWN


@dataclass(frozen=True, slots=True)
class Opened:
    """A location and what stands in it."""

    location: Location
    line: Line = field(repr=False)
    authors: Mapping[str, str] = field(repr=False)
    """Pinned addresses by account; who is not connected with oneself has none."""

    def author(self, account: str) -> str:
        """How somebody is called: a pinned address, or the account's id."""
        return self.authors.get(account, account)


async def create(
    session: Session, keyring: Keyring, name: str | None = None, *, slots: int | None = None, needed: int | None = None
) -> Location:
    """Make an empty location, and a sharing key for it; a key of one's own with this name is taken if it has none.

    Args:
        session: whose.
        keyring: of the same person.
        name: the key's alias; a random one without.
        slots: on how many suppliers each object stands; 5, or as many as there are. Those that answer now come first.
        needed: how many of them are enough to read; 3 of 5, more than half.

    Raises:
        NotEnoughSuppliers: there are fewer.
        AlreadyExists: there is a location under this key.
    """
    found = {each.id: each for each in (await supplying.directory(session)).values()}
    here = {each.supplier for each in await suppliers.seen(session) if each.status == "here"}
    order = sorted(found.values(), key=lambda each: (each.id not in here, each.name))
    chosen, needed = _chosen(order, slots, needed)
    key = await _key_for(session, keyring, name)
    await session.send(CreateLocation(key.id, needed, tuple(each.id for each in chosen)))
    made = await find(session, keyring, key.id)
    away = await registrations.register_newest(session, keyring, key)
    supplying.tell("notice: the location's key is not known yet to", away or ())
    return made


async def all_known(session: Session, keyring: Keyring) -> list[Location | Broken]:
    """The locations that one made or was granted; one that lies hides no other, one that is left out is `Withheld`."""
    await feed.learn(session)
    before = {each.id: each for each in session.memory.all_in(LOCATION, "")}
    keys = {each.id: each for each in await sharing_keys.all_known(session, keyring) if isinstance(each, SharingKey)}
    rows = (await session.ask_all(AskLocations(), LocationRow)).rows
    found: list[Location | Broken] = []
    for row in rows:
        try:
            found.append(await _checked(session, keyring, row, keys.get(row.location)))
        except (IntegrityAlarm, Malformed) as alarm:
            found.append(Broken(row.location, row.location, session.meant(alarm)))
    served = {row.location for row in rows}
    for id, seen in before.items():
        key = keys.get(id)
        if id not in served and key is not None and key.part is not None and not seen.proven:
            try:
                await check_ended(session, seen, key.creator, key.creator_address)
            except (IntegrityAlarm, Malformed) as alarm:
                found.append(Broken(id, id, session.meant(alarm)))
    return found


async def find(session: Session, keyring: Keyring, name: str) -> Location:
    """A location by its key's name, id, or unique beginning of the id.

    Raises:
        NotFound: there is none that one made or was granted.
    """
    key = await sharing_keys.show(session, keyring, name)
    found = await session.ask(AskLocations(id=key.id, limit=2), LocationRow)
    if not found.rows:
        seen = session.memory.seen(LOCATION, key.id)
        if seen is not None and not seen.proven and key.part is not None:
            await feed.learn(session)
            seen = session.memory.seen(LOCATION, key.id) or seen
            await check_ended(session, seen, key.creator, key.creator_address)
        raise NotFound(f"there is no location {name}")
    return await _checked(session, keyring, found.one("location", key.id), key)


async def opened(session: Session, keyring: Keyring, name: str) -> Opened:
    """A location with all that stands in it, for who uses it.

    Raises:
        KeyInactive: one has closed it.
        NotFound: there is none that one made or was granted.
        RolledBack, Withheld, ForkedLog, ForgedRecord: as `read_line`.
    """
    location, line = await read(session, keyring, name)
    tell_broken(line)
    return Opened(location, line, await _names(session, keyring))


async def get(
    session: Session,
    keyring: Keyring,
    name: str,
    file: str,
    out: Path,
    *,
    version: str | None = None,
    progress: Progress | None = None,
    expect: Progress | None = None,
) -> FileVersion:
    """Write a file to a new file here; it is there when all of it has verified.

    Where several versions stand, it is the newest of the line, as a notice says, or the one that is named. `progress`
    is told how many bytes are done, `expect` before how many there are.

    Raises:
        NotFound: there is no such file, or version of it.
        AlreadyExists: `out` is there already.
        NotEnoughFragments, WrongFragments: too many suppliers are away, or serve something else.
    """
    held = await opened(session, keyring, name)
    wanted = one_of(held, file, version)
    if expect is not None:
        expect(wanted.put.size)
    if await asyncio.to_thread(out.exists):
        raise AlreadyExists(f"{out} is there already")
    place = await place_of(session, keyring, held.location)
    stored, whole, put_ = held.line.objects[wanted.put.object], wanted.whole, wanted.put
    if (put_.offset, put_.size) == (0, whole.size):
        await downloads.get_object(
            session, place, stored, whole.key, out, size=whole.size, sha256=whole.sha256, progress=progress
        )
    else:
        data = await downloads.get_bytes(session, place, stored, whole.key, size=whole.size, sha256=whole.sha256)
        await asyncio.to_thread(_write_file, out, data[put_.offset : put_.offset + put_.size], put_.sha256)
        if progress is not None:
            progress(put_.size)
    return wanted


async def reachable(session: Session, keyring: Keyring, location: Location) -> tuple[list[str], list[Trouble]]:
    """What the location's suppliers are called, and which of them do not answer."""
    place = await place_of(session, keyring, location)

    async def ask(supplier: Supplier | None) -> None:
        if supplier is None:
            raise SupplierAway
        await supplier.status()

    errors = enumerate(await all_of([ask(each) for each in place.slots]))
    return place.names, [trouble_of(slot, place.names[slot], error) for slot, error in errors if error is not None]


def one_of(held: Opened, file: str, version: str | None = None) -> FileVersion:
    """The version of a file that is meant: by its name, by the name that is shown for it, or named by itself.

    Raises:
        NotFound: there is none.
    """
    standing = held.line.folder.standing(file)
    if not standing:
        shown = dict(listing(held))
        if file in shown and version in (None, shown[file].id):
            return shown[file]
        raise NotFound(f"there is no file {file} in the location")
    if version is not None:
        for each in standing:
            if each.id == version:
                return each
        raise NotFound(f"there is no version {version} of {file} that stands")
    if len(standing) > 1:
        others = ", ".join(f"{each.id} by {held.author(each.by)}" for each in standing[:-1])
        notices.warning("notice: several wrote %s at once; this is the newest, beside it stand %s", file, others)
    return standing[-1]


def listing(held: Opened) -> Iterator[tuple[str, FileVersion]]:
    """All versions that stand, each with the name under which it is listed, in the order of the names."""
    for name in sorted(held.line.folder.files):
        standing = held.line.folder.standing(name)
        for each in standing:
            yield shown_name(each, standing, held.author(each.by)), each


def tell_broken(line: Line) -> None:
    """A notice of changes that are not as they should be: that is their writer's doing."""
    for n, alarm in line.broken.items():
        by = next(change.by for change in line.changes if change.n == n)
        notices.warning("notice: change %d of the location, by %s, does not count as it stands: %s", n, by, alarm.code)


async def _key_for(session: Session, keyring: Keyring, name: str | None) -> SharingKey:
    """A key of one's own for a new location: the one of this name, where it has no location, or a new one."""
    if name is not None:
        try:
            key = await sharing_keys.show(session, keyring, name if "$" in name else f"{name}${session.address}")
        except NotFound:
            key = None
        if key is not None and key.kind == OWN:
            if (await session.ask(AskLocations(id=key.id, limit=1), LocationRow)).rows:
                raise AlreadyExists(f"there is a location {key.alias}")
            return key
    return await sharing_keys.create(session, keyring, name)


def _chosen(known: Sequence[Known], slots: int | None, needed: int | None) -> tuple[Sequence[Known], int]:
    count = min(SLOTS, len(known)) if slots is None else slots
    least = (count + 1) // 2 if needed is None else needed
    if not 1 <= least <= count <= len(known):
        raise NotEnoughSuppliers(f"{count} suppliers, of which {least} are enough, cannot be had of {len(known)}")
    return known[:count], least


async def _checked(session: Session, keyring: Keyring, row: LocationRow, key: SharingKey | None) -> Location:
    if key is None or key.part is None:
        raise ForgedRecord(f"Location {row.location} is shown to somebody who does not hold its key.")
    await check_made(session, row, key.record)
    return Location(row, key)


async def read(session: Session, keyring: Keyring, name: str) -> tuple[Location, Line]:
    """The location and its line; again where somebody renewed the key meanwhile."""
    for left in reversed(range(ATTEMPTS)):
        location = await find(session, keyring, name)
        sharing_keys.check_active(location.key)
        try:
            return location, await read_line(session, keyring, location.key)
        except LocationMoved:
            if not left:
                raise
    raise AssertionError


async def place_of(session: Session, keyring: Keyring, location: Location) -> Place:
    """Where the location's objects stand, for who holds its key."""
    return await place_under(session, keyring, location.key, location.row.suppliers, location.row.needed)


async def place_under(
    session: Session, keyring: Keyring, key: SharingKey, suppliers: Sequence[str], needed: int = 1
) -> Place:
    """Where objects stand under a key that one holds, also when the location has ended."""
    return await supplying.place(
        session,
        keyring,
        key=key.id,
        part=key.private().sign,
        suppliers=suppliers,
        needed=needed,
        register=await _register(session, key),
    )


async def _register(session: Session, key: SharingKey) -> Register:
    """What makes the newest record known to a supplier that was away when it was made."""
    chain = await Writers(session, key.id).chain(key.creator)
    return Register(key.id, b64(key.record_bytes), b64(key.signature), tuple(chain))


async def _names(session: Session, keyring: Keyring) -> dict[str, str]:
    """The pinned address of everybody whom one is connected with, and one's own, by account."""
    known = [each for each in await connections.all_own(session, keyring) if isinstance(each, Connection)]
    return {each.peer: each.address for each in known} | {session.account: session.address}


def _write_file(out: Path, data: bytes, hashed: str) -> None:
    """A new file, there as a whole or not at all.

    Raises:
        ForgedRecord: it is not what its writer says.
        AlreadyExists: there is one already.
    """
    if b64(sha256(data).digest()) != hashed:
        raise ForgedRecord("A file is another one than its writer says.")
    draft = downloads.draft_of(out, new_id())
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, out)
        finally:
            draft.unlink()
    except FileExistsError:
        raise AlreadyExists(f"{out} is there already") from None
    except OSError as error:
        raise Malformed(f"{out} cannot be written: {error.strerror}") from None
