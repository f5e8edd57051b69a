"""Writing to a location: files go to the suppliers, small ones many to an object; then a change says what is in them.

A change is sealed and signed anew, with the same entries, where somebody else was faster: nothing is put twice. What
stands so already is not put at all, so a put that was broken off goes on when it is asked for again.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Final, TypeVar

from privity.agent import supplying, uploads
from privity.agent.identity import current, newest_checkpoint
from privity.agent.keyring import Keyring
from privity.agent.kinds import LOCATION, LOCATION_AT
from privity.agent.location_ends import check_ended
from privity.agent.location_files import (
    MAX_ENTRIES,
    MAX_REPLACED,
    Body,
    Entry,
    Put,
    Removed,
    Version,
    Whole,
    check_name,
    write_body,
)
from privity.agent.location_line import Line, forget
from privity.agent.locations import ATTEMPTS, Location, find, place_of, place_under, read
from privity.agent.memory import Seen
from privity.agent.session import Session
from privity.agent.sharing_keys import check_active, show
from privity.agent.supplying import Place
from privity.agent.uploads import Progress
from privity.crypto.locations import Manifest, objects_digest, seal_body, sign_manifest
from privity.encoding import b64, digest
from privity.errors import (
    ChangedMeanwhile,
    ForgedRecord,
    ForkedLog,
    Malformed,
    NotFound,
    RoleNotEnough,
    StaleSequence,
    StaleVersion,
)
from privity.gathering import Trouble
from privity.messages.locations import (
    MAX_OBJECTS,
    MAX_RELEASED,
    ChangeLocation,
    RemoveLocation,
)
from privity.messages.suppliers import Listed

T = TypeVar("T")

SMALL: Final = 1024 * 1024
"""Bytes: files up to this share objects."""
BUNDLE: Final = 4 * 1024 * 1024
"""Bytes of files in one object, at most."""
BATCH: Final = 64 * 1024 * 1024
"""Bytes after which what was put is written to the line."""
MAX_GONE: Final = 1000
"""Objects that are deleted at a supplier with one look: one that lists many, and is slow, takes no longer."""
MAX_SAID: Final = 384 * 1024
"""Bytes that a change's entries have, about."""
SAID: Final = 400
"""Bytes of an entry beside its name, at most."""
SAME: Final = "same"
WRITTEN: Final = "written"


@dataclass(frozen=True, slots=True)
class Source:
    """A file of this machine, and what it is to be called in the location."""

    name: str = field(repr=False)
    path: Path = field(repr=False)
    size: int


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a file that was put: `version` is the one that stands now, `outcome` written or same."""

    name: str = field(repr=False)
    version: str
    size: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Wrote:
    """What a put brought about; `missing` are suppliers without their part, which a repair fills."""

    files: tuple[Done, ...]
    missing: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class Gone:
    """What a removal brought about; `away` are suppliers that keep their fragments until they are asked again."""

    location: str
    names: tuple[str, ...]
    away: tuple[Trouble, ...] = ()


@dataclass(slots=True)
class _Batch:
    """What was put to suppliers and is not written to the line yet."""

    entries: list[Put] = field(default_factory=list)
    stored: list[uploads.Stored] = field(default_factory=list)
    said: int = 0
    size: int = 0

    def take(self, stored: uploads.Stored, entries: Sequence[Put]) -> None:
        """One object more, with the files in it."""
        self.entries += entries
        self.stored.append(stored)
        self.said += _said(entries)
        self.size += stored.size

    def has_room(self, entries: Sequence[Put] | Sequence[Source]) -> bool:
        """Whether one object more with such files can go with the same change."""
        return (
            len(self.stored) < MAX_OBJECTS
            and len(self.entries) + len(entries) <= MAX_ENTRIES
            and self.said + _said(entries) <= MAX_SAID
            and self.size < BATCH
        )


async def put(
    session: Session, keyring: Keyring, name: str, sources: Sequence[Source], progress: Progress | None = None
) -> Wrote:
    """Write files: small ones many to an object, all of an object with one change. What stands so already is left.

    Raises:
        NotEnoughSuppliers: too few take their part.
        LocationFull: it has as many files, or changes, as it may have.
    """
    location, line = await read(session, keyring, name)
    seen = {each.name: _versions(line, each.name)[:MAX_REPLACED] for each in sources}
    same = await asyncio.to_thread(_unchanged, line, sources)
    done = [Done(each.name, version, each.size, SAME) for each, version in same.items()]
    todo = [each for each in sources if each not in same]
    place, used = await place_of(session, keyring, location), frozenset(line.objects)
    batch, missing, base = _Batch(), dict[str, Trouble](), sum(each.size for each in same)
    if progress is not None and base:
        progress(base)
    for group in _groups(todo):
        if not batch.has_room(group):
            done += await _write(session, keyring, location.id, batch)
            batch = _Batch()
        stored, entries = await _upload(session, keyring, place, group, seen, used, _behind(progress, base))
        base += stored.size
        missing |= {each.supplier: each for each in stored.missing}
        batch.take(stored, entries)
    if batch.entries:
        done += await _write(session, keyring, location.id, batch)
    return Wrote(tuple(done), tuple(missing.values()))


async def remove_file(session: Session, keyring: Keyring, name: str, file: str) -> Gone:
    """Take a file away, with all its versions that stand; where one made the location, its fragments go at once.

    Raises:
        NotFound: there is no such file.
    """
    location, line = await read(session, keyring, name)
    if not line.folder.standing(file):
        raise NotFound(f"there is no file {file} in the location")
    now = datetime.now(UTC)
    removed = [Removed(file, tuple(part), now) for part in _parts(_versions(line, file), MAX_REPLACED)]
    await _change(session, keyring, location.id, removed, [])
    away: list[Trouble] = []
    if location.mine:
        _, away = await collect(session, keyring, location.id)
    return Gone(location.id, (file,), tuple(away))


async def remove(session: Session, keyring: Keyring, name: str) -> Gone:
    """End a location of one's own: its fragments go, then its line. The key stays.

    Raises:
        RoleNotEnough: somebody else made it.
    """
    location = await find(session, keyring, name)
    if not location.mine:
        raise RoleNotEnough("only who made a location ends it: privity key rm gives up your own access")
    place = await place_of(session, keyring, location)
    there, away = await supplying.list_objects(place)
    away += [each for each in await supplying.delete_objects(place, supplying.ids(there)) if each not in away]
    while events := (await session.send(RemoveLocation(location.id))).events:
        session.memory.ended(LOCATION, location.id, events[0].position)
    forget(session, location.id)
    return Gone(location.id, (), tuple({each.supplier: each for each in away}.values()))


async def collect(
    session: Session, keyring: Keyring, name: str, older: float | None = None
) -> tuple[int, list[Trouble]]:
    """Delete objects of a location of one's own that no file stands in; how many, and which suppliers were away.

    What the line never named goes where `older` is given, and nothing of it was put since that Unix time: at each
    supplier by its own word alone, so that one that lies loses nobody else's part.
    """
    location, line = await read(session, keyring, name)
    for unused in _parts(sorted(line.unused), MAX_RELEASED):
        line, _ = await _change(session, keyring, location.id, [], [], release=unused)
    place = await place_of(session, keyring, location)
    there, away = await supplying.list_objects(place)
    _, line = await read(session, keyring, location.id)  # what was put for a change that came meanwhile stays
    gone = {id: _gone(line, listed, older)[:MAX_GONE] for id, listed in there.items()}
    away += [each for each in await supplying.delete_objects(place, gone) if each not in away]
    return len({object for objects in gone.values() for object in objects}), away


def _gone(line: Line, listed: Sequence[Listed], older: float | None) -> list[str]:
    """Which of what one supplier has is to go there."""
    used = line.folder.objects
    return sorted(
        {
            each.object
            for each in listed
            if (each.object in line.released and each.object not in used)
            or (each.object not in line.objects and older is not None and each.since < older)
        }
    )


async def clear(session: Session, keyring: Keyring, id: str) -> list[Trouble]:
    """Delete what is left of a location of one's own that has ended, until each supplier has said that it has nothing.

    Which were away; without the key, which may have ended too, nobody can ask them any more.

    Raises:
        Withheld, NotInLog: nobody said that it has ended.
    """
    seen, left = session.memory.seen(LOCATION, id), _left(session, id)
    if seen is None or not left:
        return []
    if not seen.proven:
        await check_ended(session, seen, session.account, session.address)
    try:
        key = check_active(await show(session, keyring, id))
    except NotFound:
        for each in left:
            session.memory.ended(LOCATION_AT, each.id, seen.ended)
        return []
    place = await place_under(session, keyring, key, [each.id.removeprefix(f"{id} ") for each in left])
    there, away = await supplying.list_objects(place)
    for each, supplier in zip(left, place.suppliers, strict=True):
        if supplier is not None and there.get(supplier.id) == []:
            session.memory.ended(LOCATION_AT, each.id, seen.ended)
    gone = {supplier: objects[:MAX_GONE] for supplier, objects in supplying.ids(there).items()}
    return away + [each for each in await supplying.delete_objects(place, gone) if each not in away]


def _left(session: Session, id: str) -> list[Seen]:
    """The suppliers that may still have something of a location that has ended."""
    return [each for each in session.memory.all_in(LOCATION_AT, id) if not each.proven]


def sources_of(paths: Sequence[Path], under: str = "") -> list[Source]:
    """The files that these paths name, and those in them where they are folders; links are not followed.

    Raises:
        NotFound: there is no such file.
        Malformed: a name that no file of a location can have, or two files with one name.
    """
    found: dict[str, Source] = {}
    for path in paths:
        if path.is_symlink() or not path.exists():
            raise NotFound(f"there is no file {path}")
        each = [path] if path.is_file() else sorted(one for one in path.rglob("*") if _is_plain(one))
        for one in each:
            name = one.name if one == path else str(Path(path.resolve().name) / one.relative_to(path))
            name = check_name(f"{under.strip('/')}/{name}" if under.strip("/") else name)
            if name in found:
                raise Malformed(f"two of these files would be called {name}")
            found[name] = Source(name, one, one.stat().st_size)
    return list(found.values())


def _groups(sources: Sequence[Source]) -> list[list[Source]]:
    """Which files go into one object: small ones many, each other one alone."""
    groups: list[list[Source]] = [[each] for each in sources if each.size > SMALL]
    bundle: list[Source] = []
    for each in sources:
        if each.size > SMALL:
            continue
        size = sum(one.size for one in bundle) + each.size
        if bundle and (size > BUNDLE or len(bundle) >= MAX_ENTRIES or _said([*bundle, each]) > MAX_SAID):
            groups.append(bundle)
            bundle = []
        bundle.append(each)
    return [*groups, bundle] if bundle else groups


async def _upload(
    session: Session,
    keyring: Keyring,
    place: Place,
    group: Sequence[Source],
    seen: Mapping[str, tuple[tuple[int, int], ...]],
    used: Collection[str],
    progress: Progress | None,
) -> tuple[uploads.Stored, list[Put]]:
    now = datetime.now(UTC)
    if len(group) == 1 and group[0].size > SMALL:
        (one,) = group
        stored = await uploads.put_object(session, keyring, place, one.path, progress, used=used)
        return stored, [Put(one.name, seen[one.name], stored.size, stored.sha256, stored.stored.object, 0, now)]
    read = [(each, await asyncio.to_thread(_read_small, each)) for each in group]
    stored = await uploads.put_object(session, keyring, place, b"".join(data for _, data in read), progress)
    entries, offset = [], 0
    for each, data in read:
        hashed = b64(sha256(data).digest())
        entries.append(Put(each.name, seen[each.name], len(data), hashed, stored.stored.object, offset, now))
        offset += len(data)
    return stored, entries


async def _write(session: Session, keyring: Keyring, id: str, batch: _Batch) -> list[Done]:
    """Write to the line what was put; the suppliers' side is settled then."""
    _, n = await _change(session, keyring, id, batch.entries, batch.stored)
    for stored in batch.stored:
        uploads.settle(session, stored)
    return [Done(each.name, f"{n}.{index}", each.size, WRITTEN) for index, each in enumerate(batch.entries)]


async def _change(
    session: Session,
    keyring: Keyring,
    id: str,
    entries: Sequence[Entry],
    stored: Sequence[uploads.Stored],
    release: Sequence[str] = (),
) -> tuple[Line, int]:
    """Seal, sign and send one change; again, with the same entries, where somebody else was faster.

    The line as it is then, and the change's number.

    Raises:
        StaleSequence: others were faster each time.
    """
    for left in reversed(range(ATTEMPTS)):
        location, line = await read(session, keyring, id)
        try:
            n, own = await _send(session, keyring, location, line, entries, stored, release)
            break
        except (StaleSequence, StaleVersion):
            if not left:
                raise
    _, line = await read(session, keyring, id)
    check_stands(line, n, own, entries)
    return line, n


def check_stands(line: Line, n: int, own: str, entries: Sequence[Entry]) -> None:
    """Returns if a change of one's own is in the line, and all that it brought counts; `own` is its manifest's digest.

    Raises:
        ForgedRecord: the backend took it, and leaves it out.
        ForkedLog: it took it, and shows another in its place; or an object of it was there before.
    """
    if line.n < n:
        raise ForgedRecord(f"The backend leaves out change {n} of the location, which it took.")
    if line.changes[n - 1].digest != own:
        raise ForkedLog(f"The backend shows another change {n} of the location than the one that it took.")
    for index, entry in enumerate(entries):
        if isinstance(entry, Put) and not line.folder.counted(entry.name, (n, index)):
            raise ForkedLog(f"Change {n} of the location brings an object that was there before.")


async def _send(
    session: Session,
    keyring: Keyring,
    location: Location,
    line: Line,
    entries: Sequence[Entry],
    stored: Sequence[uploads.Stored],
    release: Sequence[str],
) -> tuple[int, str]:
    """The change's number, and its manifest's digest."""
    keyring, _ = await current(session, keyring)
    record = location.key.record
    wholes = {each.stored.object: Whole(each.key, each.size, each.sha256) for each in stored}
    n, generation = line.n + 1, record.generation
    body = seal_body(
        record.suite,
        record.seal,
        write_body(Body(tuple(entries), wholes)),
        location=location.id,
        n=n,
        generation=generation,
        by=session.account,
    )
    objects = tuple(each.stored for each in stored)
    unused = {*release, *_released(line, entries)} & line.standing if location.mine else ()
    released = tuple(sorted(unused)[:MAX_RELEASED])  # of what others replace and remove, the creator's agent sees to it
    manifest = Manifest(
        location=location.id,
        n=n,
        prev=line.head,
        generation=generation,
        by=session.account,
        body=digest(body),
        objects=objects_digest([asdict(each) for each in objects], released),
        checkpoint=await newest_checkpoint(session),
    )
    data, signature = sign_manifest(keyring.identity.sign, manifest)
    change = ChangeLocation(location.id, n, generation, b64(data), b64(signature), manifest.body, objects, released)
    await session.send(change, body)
    return n, digest(data)


def _versions(line: Line, name: str) -> tuple[Version, ...]:
    """The versions of a file that stand, the oldest first."""
    return tuple(each.version for each in line.folder.standing(name))


def _released(line: Line, entries: Sequence[Entry]) -> set[str]:
    """The objects that no version stands in any more once these entries are written."""
    gone = {(each.name, version) for each in entries for version in each.replaces}
    left = {each.put.object for each in line.folder if (each.name, each.version) not in gone}
    return {each.put.object for each in line.folder if (each.name, each.version) in gone} - left


def _unchanged(line: Line, sources: Sequence[Source]) -> dict[Source, str]:
    """Which of these files stand in the location just so, alone under their name, and as which version."""
    found = {}
    for source in sources:
        standing = line.folder.standing(source.name)
        alone = len(standing) == 1 and standing[0].put.size == source.size
        if alone and b64(_hashed(source.path)) == standing[0].put.sha256:
            found[source] = standing[0].id
    return found


def _hashed(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()


def _read_small(source: Source) -> bytes:
    """The file's bytes.

    Raises:
        NotFound: it is not there any more.
        ChangedMeanwhile: it has another size by now.
    """
    try:
        with source.path.open("rb") as file:
            data = file.read(source.size + 1)
    except OSError as error:
        raise NotFound(f"{source.path} cannot be read: {error.strerror}") from None
    if len(data) != source.size:
        raise ChangedMeanwhile
    return data


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _said(files: Sequence[Put] | Sequence[Source]) -> int:
    """Bytes that such entries have in a change, at most: a letter may take two."""
    return sum(2 * len(each.name.encode()) + SAID for each in files)


def _behind(progress: Progress | None, base: int) -> Progress | None:
    """Progress of what comes behind so many bytes."""
    return None if progress is None else lambda done: progress(base + done)


def _parts(things: Sequence[T], most: int) -> list[Sequence[T]]:
    return [things[start : start + most] for start in range(0, len(things), most)]
