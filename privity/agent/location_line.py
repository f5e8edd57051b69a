"""A location's line as far as signatures, the key's records and this device's memory bear it out.

Each change is signed by who made the key or held it in the change's generation, names the one before by digest, and
was in the home's log before the key went on to the next generation. What was checked before is known again by its
digest; what is new is checked in full. A change whose body does not open is its writer's doing, and hides nothing else.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from weakref import WeakKeyDictionary

from privity.agent.chains import Bounds, logged_before, signed_by, signed_chain
from privity.agent.key_records import Line as KeyLine
from privity.agent.key_records import whole_line
from privity.agent.keyring import Keyring
from privity.agent.kinds import LOCATION, LOCATION_AT, LOCATION_TOLD
from privity.agent.location_files import Body, Change, Folder, read_body
from privity.agent.log import check_signer, evidence
from privity.agent.memory import Seen, check_not_older
from privity.agent.people import People
from privity.agent.session import Rows, Session
from privity.agent.sharing_keys import SharingKey, all_parts
from privity.crypto.locations import Manifest, objects_digest, open_body, read_manifest, verify_manifest
from privity.crypto.sharing_keys import KeyRecord, PrivatePart
from privity.encoding import digest, lp, unb64
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    ForkedLog,
    IntegrityAlarm,
    LocationMoved,
    Malformed,
    NotFound,
    NotInLog,
    RolledBack,
    Withheld,
)
from privity.messages.locations import MAX_LINE, StoredObject
from privity.messages.views import (
    MAX_PAGE,
    AskLocationLine,
    AskLocationPeople,
    LocationLineRow,
    LocationPersonRow,
    LocationRow,
)

LINE = "location-line"
"""The newest number of a location's line, and that manifest's digest."""

ABSENT = "The backend has no evidence of what was written to the location where it says that it is."
AGAIN = "The change brings an object that was there before; files in it do not count."
UNSIGNED = "What stands in the location is not signed by the one whom it is said to come from."


@dataclass(slots=True)
class Line:
    """A location's line as far as it was read: what stands, and who brought which object.

    `released` are the objects that were let go of, with the number of the change. `broken` are the numbers of changes
    whose body does not open or cannot be read, that bring an object again, or let go of what they may not, with why.
    """

    location: str
    n: int = 0
    head: str | None = None
    generation: int = 1
    changes: list[Change] = field(default_factory=list, repr=False)
    folder: Folder = field(default_factory=Folder, repr=False)
    objects: dict[str, StoredObject] = field(default_factory=dict, repr=False)
    released: dict[str, int] = field(default_factory=dict, repr=False)
    broken: dict[int, IntegrityAlarm | Malformed] = field(default_factory=dict)

    @property
    def standing(self) -> set[str]:
        """The objects that nobody let go of."""
        return self.objects.keys() - self.released.keys()

    @property
    def unused(self) -> set[str]:
        """The objects that stand though no version is in them any more."""
        return self.standing - self.folder.objects


class Writers(People):
    """The identities of those who wrote to a location."""

    def __init__(self, session: Session, location: str) -> None:
        super().__init__(session)
        self._location = location

    async def _row(self, account: str) -> LocationPersonRow:
        ask = AskLocationPeople(location=self._location, account=account)
        rows = (await self._session.ask(ask, LocationPersonRow)).rows
        if not rows or rows[0].account != account:
            raise Withheld("The backend leaves out the identity of somebody who wrote to the location.")
        return rows[0]


_read_before: WeakKeyDictionary[Session, dict[str, Line]] = WeakKeyDictionary()
"""What a session has read: the next look asks only for what is new."""


async def read_line(session: Session, keyring: Keyring, key: SharingKey) -> Line:
    """All that was written to a location, checked, folded and remembered.

    Raises:
        RolledBack: it is shorter than what this device saw.
        Withheld: a number is left out.
        ForkedLog: a number is another one than before, or does not follow.
        ForgedRecord: its writer did not sign it, might not write, or wrote under a generation that had ended.
        LocationMoved: it is under a newer generation than the key's that was read; read both again.
    """
    lines = _read_before.setdefault(session, {})
    line = lines.pop(key.id, None) or Line(key.id)
    seen, told = session.memory.seen(LINE, key.id), session.memory.seen(LOCATION_TOLD, key.id)
    await _Reader(session, keyring, key, line, seen).read()
    known = seen.version if seen else 0
    if told is not None and told.version > line.n:
        raise Withheld(f"The line of location {key.id} ends before change {told.version}, of which the feed told.")
    if known > line.n:
        raise RolledBack(f"The line of location {key.id} ends before change {known}, which was seen before.")
    for object in line.released.keys() & line.folder.objects:
        n = line.released[object]
        line.broken.setdefault(n, ForgedRecord(f"Change {n} lets go of an object in which a file stands."))
    if line.head is not None:
        session.memory.saw(LINE, key.id, line.n, line.head)
    lines[key.id] = line  # only what held as a whole
    return line


def forget(session: Session, location: str) -> None:
    """Read a location's line from its beginning the next time."""
    _read_before.get(session, {}).pop(location, None)


async def check_made(session: Session, row: LocationRow, record: KeyRecord) -> None:
    """Returns if the location's creator signed for its suppliers; what was checked once is remembered.

    Raises:
        ForgedRecord: they signed for others, or it is somebody else's.
        NotInLog: the backend shows no evidence.
    """
    if (row.location, row.by) != (record.key, record.by):
        raise ForgedRecord(f"Location {row.location} is said to be another's than its key.")
    said = digest(lp(str(row.needed).encode(), *(each.encode() for each in row.suppliers)))
    before = session.memory.seen(LOCATION, row.location)
    if before is not None and before.digest:
        check_not_older(before, 1, said)
        return
    try:
        shown = await evidence(session, row.position)
    except NotFound:
        raise NotInLog(ABSENT) from None
    named = {"location": row.location, "needed": row.needed, "suppliers": list(row.suppliers)}
    if not shown.says("location-created", **named) or any(shown.command.body.get(k) != v for k, v in named.items()):
        raise ForgedRecord(f"The log has other suppliers of location {row.location} than the backend says.")
    people = Writers(session, row.location)
    check_signer(shown, {row.by: signed_chain(await people.chain(row.by))}, session.server)
    if row.by == session.account:  # what is still there when the location has ended is deleted by garbage
        places = [(f"{row.location} {each}", slot, "") for slot, each in enumerate(row.suppliers)]
        session.memory.saw_all(LOCATION_AT, places, row.location)
    session.memory.saw(LOCATION, row.location, 1, said)


class _Reader:
    """Reads rows onto a line; what is behind `seen` is new to this device."""

    def __init__(self, session: Session, keyring: Keyring, key: SharingKey, line: Line, seen: Seen | None) -> None:
        self._session, self._keyring, self._key, self._line = session, keyring, key, line
        self._known, self._head = (seen.version, seen.digest) if seen else (0, "")
        self._people = Writers(session, key.id)
        self._parts: Mapping[int, PrivatePart] = {key.generation: key.private()}
        self._records: KeyLine | None = None

    async def read(self) -> None:
        """All that is new, page by page: of a long line no more than one page is held as it was served."""
        last: dict[int, LocationLineRow] = {}
        while True:
            ask = AskLocationLine(location=self._line.location, after=self._line.n, limit=MAX_PAGE)
            found = await self._session.ask(ask, LocationLineRow)
            if not found.rows:
                break
            last |= await self._page(found)
        await self._check_in_time(last)

    async def _page(self, found: Rows[LocationLineRow]) -> dict[int, LocationLineRow]:
        """Take a page in; the last change of each generation that is new."""
        fresh: list[tuple[LocationLineRow, Manifest]] = []
        for row in found.rows:
            manifest = self._placed(row)
            if row.n > self._known:
                await self._check_written(row, manifest)
                fresh.append((row, manifest))
            await self._take(row, manifest, found)
        await self._session.consistent(*dict.fromkeys(manifest.checkpoint for _, manifest in fresh))
        return {manifest.generation: row for row, manifest in fresh}

    def _placed(self, row: LocationLineRow) -> Manifest:
        """The row's manifest, if it is the next of the line, and says just what the row says."""
        line = self._line
        if row.n > MAX_LINE:
            raise ForgedRecord(f"The backend says that location {line.location} has more changes than one may have.")
        if row.location != line.location or row.n != line.n + 1:
            raise Withheld(f"The backend leaves out change {line.n + 1} of location {line.location}.")
        data = unb64(row.manifest)
        manifest = read_manifest(data)
        objects = objects_digest([asdict(each) for each in row.objects], row.released)
        said = (row.location, row.n, row.by, row.generation, row.body, objects)
        signed = (manifest.location, manifest.n, manifest.by, manifest.generation, manifest.body, manifest.objects)
        if said != signed:
            raise ForgedRecord(f"What the backend says of change {row.n} is not what its writer signed.")
        if manifest.prev != line.head:
            raise ForkedLog(f"Change {row.n} of location {line.location} does not follow change {line.n}.")
        if row.n == self._known and digest(data) != self._head:
            raise ForkedLog(f"Change {row.n} of location {line.location} was another one before.")
        if manifest.generation > self._key.record.generation:
            raise LocationMoved
        if manifest.generation < line.generation:
            raise ForgedRecord(f"Change {row.n} of location {line.location} is under a generation that had ended.")
        return manifest

    async def _check_written(self, row: LocationLineRow, manifest: Manifest) -> None:
        """Signed by somebody who held the key in that generation."""
        if not await self._held(manifest.by, manifest.generation):
            raise ForgedRecord(f"Change {row.n} of location {row.location} is by somebody who did not hold its key.")
        data, signature = unb64(row.manifest), unb64(row.signature)
        line = await self._people.line(manifest.by)
        _, bounds = signed_by(line, lambda public: verify_manifest(data, signature, public), UNSIGNED)
        await self._check_bounds(row, bounds)

    async def _held(self, account: str, generation: int) -> bool:
        """Whether somebody had the private part of a generation, by any record of it; most times the newest says so."""
        newest = self._key.record
        if newest.generation == generation and newest.holds(account):
            return True
        records = (await self._key_line()).records
        return any(each.generation == generation and each.holds(account) for each in records)

    async def _key_line(self) -> KeyLine:
        if self._records is None:
            self._records = await whole_line(self._session, self._key.record, digest(self._key.record_bytes))
        return self._records

    async def _part(self, generation: int) -> PrivatePart:
        if generation not in self._parts:
            self._parts = await all_parts(self._session, self._keyring, self._key)
        return self._parts[generation]

    async def _check_bounds(self, row: LocationLineRow, bounds: Bounds) -> None:
        """The log must have had the change when its writer said that the key was stolen."""
        for bound in bounds:
            shown = await logged_before(self._session, bound, row.position, ABSENT)
            if shown is None or not shown.says("location-changed", **_said(row)):
                raise ForgedRecord(f"Change {row.n} is signed by a key that had been given up as stolen before.")

    async def _check_in_time(self, fresh: Mapping[int, LocationLineRow]) -> None:
        """What is under an older generation was in the log before the next one began: who was dropped adds nothing.

        The last of each generation speaks for those before it, which it names by digest.
        """
        for generation, row in fresh.items():
            if generation >= self._key.generation:
                continue
            records = await self._key_line()
            place = next(n for n, each in enumerate(records.records) if each.generation == generation + 1)
            began, said = records.positions[place], {"key": self._key.id, "digest": records.digests[place]}
            written = await self._shown(row.position, "location-changed", _said(row))
            if not (row.position < began and written and await self._shown(began, "sharing-key-rotated", said)):
                raise ForgedRecord(f"Change {row.n} of location {row.location} is under a generation that had ended.")

    async def _shown(self, position: int, name: str, said: Mapping[str, object]) -> bool:
        """Whether the log has such an event there."""
        try:
            return (await evidence(self._session, position)).says(name, **said)
        except NotFound:
            raise NotInLog(ABSENT) from None

    async def _take(self, row: LocationLineRow, manifest: Manifest, found: Rows[LocationLineRow]) -> None:
        line = self._line
        brought = [each for each in row.objects if each.object not in line.objects]
        line.objects.update((each.object, each) for each in brought)
        if len(brought) != len(row.objects):
            line.broken[row.n] = Malformed(AGAIN)
        body = await self._opened(row, manifest, found)
        places = {each.object for each in brought}
        objects = {object: whole for object, whole in body.objects.items() if object in places}
        head = digest(unb64(row.manifest))
        change = Change(row.n, row.by, row.generation, body.entries, objects, row.position, head)
        line.changes.append(change)
        line.folder.fold(change)
        if row.released and row.by != self._key.creator:
            line.broken[row.n] = ForgedRecord(f"Change {row.n} lets go of objects, as only its creator may.")
        line.released |= {each: row.n for each in row.released}
        line.n, line.head, line.generation = row.n, head, row.generation

    async def _opened(self, row: LocationLineRow, manifest: Manifest, found: Rows[LocationLineRow]) -> Body:
        blob = found.blob(row.body)
        part = await self._part(manifest.generation)
        try:
            return read_body(open_body(part.pair.suite, part.pair.private, blob, manifest), row.n)
        except (DoesNotOpen, Malformed) as error:
            self._line.broken[row.n] = error
            return Body(())


def _said(row: LocationLineRow) -> dict[str, str]:
    """What the log's event must say for a row."""
    return {"manifest": row.manifest, "signature": row.signature}
