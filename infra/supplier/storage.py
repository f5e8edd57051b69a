"""What a supplier keeps, over any store that obstore knows: a folder, S3, or memory.

`<key>/<object>/<segment>` is a fragment, `<key>/<object>/whole` the list of the hashes of all of them, which is written
last: nothing without it can be read. `<key>/record` and `people/<account>` are what access rests on. These three end
with their own SHA-256: one that is damaged counts as not there. The empty `brought/<account>/<key>` says whose share of
the room a key takes. There is no index beside these; what is used is counted at the start, and again each hour.
"""

import asyncio
import logging
import os
import re
import shutil
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from privity.crypto.coding import fragment_leaf
from privity.crypto.merkle import Frontier
from privity.disk import sync
from privity.encoding import sha256
from privity.errors import (
    AlreadyExists,
    Busy,
    Malformed,
    NotComplete,
    NotFound,
    QuotaExceeded,
    RootDiffers,
    TooLarge,
)
from privity.messages.suppliers import FRAGMENT_BYTES, MAX_LISTED, MAX_SEGMENTS, Listed

log = logging.getLogger("privity.supplier")

T = TypeVar("T")
Store: TypeAlias = LocalStore | MemoryStore | S3Store

HASH_BYTES: Final = 32
HALF_LIFE: Final = timedelta(days=7)
"""How long half an upload waits for the rest of it."""
MAX_KEYS: Final = 100_000
MAX_OWN_KEYS: Final = 1000
"""That one person brought."""
PERSON_SHARE: Final = 0.75
"""Of the quota: the most that the keys take that one person brought."""
SMALL_SHARE: Final = 1 / 16
"""Of the quota: what is beyond `PERSON_SHARE` is for those whose keys take no more, so that two cannot fill it."""
DISK_SHARE: Final = 8
"""A supplier that is told no quota takes at most the eighth part of what is free on its disk."""
RESERVE: Final = 2**30
"""Bytes that stay free on a disk, or the twentieth part of a small one."""
SYNC_EACH: Final = 64
"""Fragments that were written and not yet brought to the disk, while an upload goes on."""
MAX_OBJECTS: Final = 50_000
"""Of one key."""
MAX_HALVES: Final = 256
"""Half uploads that are kept in mind; the others are read again when they go on."""
MAX_MINDED: Final = 2**17
"""Hashes of fragments of half uploads that are kept in mind, all together: 16 MiB or so."""
MAX_WHOLES: Final = 4096
MAX_WHOLE_BYTES: Final = 4 * 2**20
"""Whole objects that are kept in mind, and bytes of their hashes."""
RETRIES: Final = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
PAGE: Final = 1000

WHOLE: Final = "whole"
RECORD: Final = "record"
PEOPLE: Final = "people"
BROUGHT: Final = "brought"
_OBJECT: Final = re.compile(r"([a-z2-7]{52})/([a-z2-7]{26})/([0-9a-f]{8}|whole)")
_STAGED: Final = re.compile(r".*#[0-9]+")
"""What a killed process was writing into a folder."""


@dataclass(frozen=True, slots=True)
class Place:
    """An object of a key: each is the name of a folder."""

    key: str
    object: str

    @property
    def folder(self) -> str:
        """Where everything of it lies."""
        return f"{self.key}/{self.object}"

    def fragment(self, segment: int) -> str:
        """The path of one fragment."""
        return f"{self.folder}/{segment:08x}"

    @property
    def whole(self) -> str:
        """The path of what makes it whole."""
        return f"{self.folder}/{WHOLE}"


@dataclass(slots=True)
class Half:
    """An upload that goes on: the sizes of the fragments that are there, and the hashes of some of them."""

    sizes: dict[int, int] = field(default_factory=dict)
    leaves: dict[int, bytes] = field(default_factory=dict)
    writing: set[int] = field(default_factory=set)
    closing: bool = False
    unsynced: set[int] = field(default_factory=set)
    syncing: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Lying:
    """Something that lies in the store."""

    path: str
    size: int
    at: datetime


@dataclass(slots=True)
class Count:
    """What is there."""

    used: int = 0
    fragments: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    brought: dict[str, str] = field(default_factory=dict)
    """Who brought a key."""
    people: Counter[str] = field(default_factory=Counter)
    """The bytes under the keys that each brought."""

    def copy(self) -> "Count":
        """As it is now."""
        return Count(self.used, self.fragments, self.objects.copy(), self.brought.copy(), self.people.copy())

    def since(self, before: "Count", found: "Count") -> "Count":
        """What was found, with all that this count has moved since it was `before`."""
        return Count(
            max(0, found.used + self.used - before.used),
            max(0, found.fragments + self.fragments - before.fragments),
            _moved(found.objects, before.objects, self.objects),
            self.brought | found.brought,
            _moved(found.people, before.people, self.people),
        )


def open_store(url: str, environment: dict[str, str] | None = None) -> Store:
    """The store of a URL: a folder's path or `file://…`, `memory://`, or `s3://bucket[/prefix]`.

    For S3, keys, region and endpoint come from the `AWS_…` variables (`AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`).

    Raises:
        Malformed: no such URL.
    """
    environment = dict(os.environ) if environment is None else environment
    scheme, separator, rest = url.partition("://")
    try:
        if not separator or scheme == "file":
            folder = Path(rest if separator else url).absolute()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return LocalStore(folder, automatic_cleanup=True)
        if scheme == "memory":
            return MemoryStore()
        if scheme == "s3" and rest:
            return S3Store.from_url(url, **_s3(environment))  # type: ignore[arg-type]
    except (BaseError, OSError, ValueError) as error:
        raise Malformed(f"the store cannot be opened: {type(error).__name__}") from None
    raise Malformed("a store is a folder, memory://, or s3://bucket/prefix")


def _s3(environment: dict[str, str]) -> dict[str, object]:
    """What S3 is reached with; its library reads the rest of the environment by itself."""
    plain = environment.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    found: dict[str, object] = {"client_options": {"allow_http": plain, "timeout": "30s"}, "retry_config": RETRIES}
    if endpoint := environment.get("AWS_ENDPOINT_URL"):
        found["endpoint"] = endpoint
    return found


class Shelf:
    """The fragments, the bounds on them, and what is known of them without looking."""

    def __init__(self, store: Store, quota: int, now: Callable[[], datetime]) -> None:
        """`quota`: the bytes that may be used; 0 for as many as there is room for, and no share of it for anybody."""
        self._store = store
        self._quota = quota
        self._now = now
        self._count = Count()
        self._halves: OrderedDict[Place, Half] = OrderedDict()
        self._wholes: OrderedDict[Place, bytes] = OrderedDict()
        self._whole_bytes = 0
        self._opening: dict[Place, asyncio.Lock] = {}
        self._syncs: set[asyncio.Task[None]] = set()
        self._folder = Path(store.prefix) if isinstance(store, LocalStore) and store.prefix is not None else None

    @property
    def used(self) -> int:
        """Bytes that are used."""
        return self._count.used

    @property
    def quota(self) -> int:
        """Bytes that may be used; 0 for no bound."""
        return self._quota

    @property
    def fragments(self) -> int:
        """How many there are."""
        return self._count.fragments

    def bound_by_disk(self) -> None:
        """Where no quota was said, take the power of two within an eighth of what is free on the disk, or one's own."""
        if not self._quota and self._folder is not None:
            share = (shutil.disk_usage(self._folder).free + self._count.used) // DISK_SHARE
            self._quota = max(1, 1 << share.bit_length() >> 1)

    # ---- what stands ----

    async def look(self) -> None:
        """Count what is there, and let go of half uploads that nobody went on with.

        Raises:
            Busy: the store cannot be read.
        """
        before = self._count.copy()
        found, old = await self._stored(asyncio.to_thread(self._look))
        self._count = self._count.since(before, found)
        for place in old:
            log.info("half an upload is given up after %d days: %s", HALF_LIFE.days, place.object)
            await self.delete(place)

    def _look(self) -> tuple[Count, list[Place]]:
        if self._folder is not None:
            _sweep(self._folder, self._now())
        count, newest, whole, below = Count(), dict[Place, datetime](), set[Place](), Counter[str]()
        for each in self._below(None):
            count.used += each.size
            first, _, rest = each.path.partition("/")
            below[first] += each.size
            found = _OBJECT.fullmatch(each.path)
            if found is None:
                if first == BROUGHT:
                    by, _, key = rest.partition("/")
                    count.brought[key] = by
                continue
            place = Place(found[1], found[2])
            if found[3] == WHOLE:
                whole.add(place)
            else:
                count.fragments += 1
                newest[place] = max(newest.get(place, each.at), each.at)
        count.objects.update(place.key for place in whole | newest.keys())
        for key, by in count.brought.items():
            count.people[by] += below[key]
        return count, [place for place, at in newest.items() if place not in whole and at < self._now() - HALF_LIFE]

    # ---- uploads ----

    async def put(self, place: Place, segment: int, fragment: bytes) -> None:
        """Keep one fragment of an object that is not whole yet; twice is no change.

        Of a whole one only the very fragment that belongs there is taken: so a damaged one is healed.

        Raises:
            TooLarge: a fragment has 1 to 512 KiB.
            AlreadyExists: the object is whole, with another fragment there.
            QuotaExceeded: there is no room.
            Busy: the store cannot be written, or the object is just being completed, or this fragment written.
        """
        if not 0 < len(fragment) <= FRAGMENT_BYTES:
            raise TooLarge("a fragment has 1 to 524288 bytes")
        leaf = fragment_leaf(fragment)
        whole = await self._whole(place)
        if whole is not None:
            await self._heal(place, whole, segment, fragment, leaf)
            return
        half = await self._half(place)
        if half.closing:
            raise Busy("the object is just being completed")
        if segment in half.writing:
            raise Busy("this fragment is just being written")
        if half.leaves.get(segment) == leaf:
            return
        if not half.sizes and self._count.objects[place.key] >= MAX_OBJECTS:
            raise QuotaExceeded(f"the key has {MAX_OBJECTS} objects here, as many as it may have")
        before = half.sizes.get(segment)
        half.writing.add(segment)
        try:
            async with self._room(place.key, len(fragment) - (before or 0)):
                await self._write(place.fragment(segment), fragment)
        finally:
            half.writing.discard(segment)
        self._count.objects[place.key] += not half.sizes
        self._count.fragments += segment not in half.sizes
        half.sizes[segment], half.leaves[segment] = len(fragment), leaf
        half.unsynced.add(segment)
        self._sync_soon(place, half)
        self._forget()

    async def complete(self, place: Place, segments: int, root: bytes) -> None:
        """Make an object whole: all its fragments are there and hash to this root (RFC 9162); twice is no change.

        Raises:
            NotComplete: some are missing.
            RootDiffers: they hash to something else.
            AlreadyExists: it is whole already, with another root.
            Busy: the store cannot be written, or fragments are just being written.
        """
        whole = await self._whole(place)
        if whole is not None:
            if root_of(whole) != root:
                raise AlreadyExists("the object is whole already, with another root")
            if await self._kept(place.whole) != whole:  # lost or damaged since it was read
                await self._keep(place.whole, whole)
            return
        half = await self._half(place)
        if half.writing or half.closing:
            raise Busy("fragments of the object are just being written")
        half.closing = True
        try:
            leaves = await self._all_leaves(place, half, segments)
            if root_of(leaves) != root:
                raise RootDiffers
            await self._sync(place, half)
            async with self._room(place.key, len(leaves) + HASH_BYTES):
                await self._keep(place.whole, leaves)
        finally:
            half.closing = False
        self._halves.pop(place, None)
        self._mind(place, leaves)

    async def leaves(self, place: Place, start: int, most: int) -> tuple[int | None, list[tuple[int, bytes]], bool]:
        """The hashes of at most so many fragments from `start` on, and whether there are more.

        Before them, how many segments a whole object has; None for half an upload.

        Raises:
            NotFound: there is nothing of the object.
            Busy: the store cannot be read.
        """
        whole = await self._whole(place)
        if whole is not None:
            total = len(whole) // HASH_BYTES
            upto = min(total, start + most)
            return total, [(each, _leaf(whole, each)) for each in range(start, upto)], upto < total
        half = await self._half(place)
        if not half.sizes:
            raise NotFound("there is no such object here")
        asked = sorted(each for each in half.sizes if each >= start)
        found = [(each, await self._leaf_of(place, half, each)) for each in asked[:most]]
        return None, found, len(asked) > most

    # ---- reading ----

    async def get(self, place: Place, segment: int) -> bytes:
        """One fragment of a whole object.

        Raises:
            NotFound: there is no such object, or not whole, or the fragment is gone.
            Busy: the store cannot be read.
        """
        if await self._whole(place) is None:
            raise NotFound("there is no such object here")
        return await self._fragment(place.fragment(segment))

    async def is_whole(self, place: Place) -> bool:
        """Whether the object is here and can be read.

        Raises:
            Busy: the store cannot be read.
        """
        return await self._whole(place) is not None

    async def root(self, place: Place) -> tuple[bytes, int]:
        """The root of a whole object, and how many fragments it has.

        Raises:
            NotFound: it is not here, or not whole.
            Busy: the store cannot be read.
        """
        whole = await self._whole(place)
        if whole is None:
            raise NotFound("there is no such object here")
        return root_of(whole), len(whole) // HASH_BYTES

    async def objects(self, key: str, after: str) -> tuple[tuple[Listed, ...], bool]:
        """The objects of a key, behind `after`, and whether there are more.

        Raises:
            Busy: the store cannot be read.
        """
        listed = await self._stored(obstore.list_with_delimiter_async(self._store, prefix=key))
        names = sorted(path.rstrip("/").rpartition("/")[2] for path in listed["common_prefixes"])
        behind = [name for name in names if name > after]
        found = [await self._listed(Place(key, name)) for name in behind[:MAX_LISTED]]
        return tuple(each for each in found if each is not None), len(behind) > MAX_LISTED

    async def delete(self, place: Place) -> None:
        """Let go of an object, whole or half; again is no change. What cannot be read any more goes first.

        Raises:
            Busy: the store cannot be written.
        """
        self._halves.pop(place, None)
        self._drop(place)
        found = await self._lying(place.folder)
        if not found:
            return
        for each in sorted(found, key=lambda each: each.path != place.whole):
            try:
                await self._stored(obstore.delete_async(self._store, each.path))
            except NotFound:
                continue
            self._count.used -= each.size
            self._count.people[self._count.brought.get(place.key, "")] -= each.size
            self._count.fragments -= each.path != place.whole
        self._count.objects[place.key] = max(0, self._count.objects[place.key] - 1)

    async def clear(self, place: Place, segments: int, root: bytes) -> None:
        """Let go of what cannot become the object of so many fragments with this root; what may be it stays.

        Raises:
            Busy: the store cannot be used.
        """
        whole = await self._whole(place)
        if whole is None:
            wrong = any(each >= segments for each in (await self._half(place)).sizes)
        else:
            wrong = root_of(whole) != root
        if wrong:
            log.warning("by order another object takes this one's place: %s", place.object)
            await self.delete(place)

    # ---- what access rests on ----

    async def record(self, key: str) -> bytes | None:
        """What is kept of a sharing key; None for one that is not known, or whose record is damaged.

        Raises:
            Busy: the store cannot be read.
        """
        return await self._kept(f"{key}/{RECORD}")

    async def keep_record(self, key: str, data: bytes, by: str, *, ordered: bool = False) -> None:
        """Keep what access to a key rests on; who brings it first, by whose room it is, has a bound unless `ordered`.

        Raises:
            QuotaExceeded: there is no room, or there are too many keys.
            Busy: the store cannot be written.
        """
        brought = self._count.brought
        if key not in brought:
            if len(brought) >= MAX_KEYS or not (ordered or Counter(brought.values())[by] < MAX_OWN_KEYS):
                raise QuotaExceeded("the supplier knows as many keys as it may, or as one person may bring")
            await self._write(f"{BROUGHT}/{by}/{key}", b"")
            brought[key] = by
        before = await self.record(key)
        async with self._room(key, _grows(before, data)):
            await self._keep(f"{key}/{RECORD}", data)

    async def person(self, account: str) -> bytes | None:
        """What is kept of a person's identity.

        Raises:
            Busy: the store cannot be read.
        """
        return await self._kept(f"{PEOPLE}/{account}")

    async def keep_person(self, account: str, data: bytes) -> None:
        """Keep up to where a person's identity is known.

        Raises:
            QuotaExceeded: there is no room.
            Busy: the store cannot be written.
        """
        before = await self.person(account)
        async with self._room(None, _grows(before, data)):
            await self._keep(f"{PEOPLE}/{account}", data)

    # ---- inside ----

    async def _listed(self, place: Place) -> Listed | None:
        found = await self._lying(place.folder)
        if not found or _OBJECT.fullmatch(found[0].path) is None:
            return None
        whole = any(each.path == place.whole for each in found)
        return Listed(place.object, whole, len(found) - whole, int(max(each.at for each in found).timestamp()))

    async def _lying(self, folder: str) -> list[Lying]:
        """All that lies in a folder."""
        return await self._stored(asyncio.to_thread(lambda: list(self._below(folder))))

    def _below(self, folder: str | None) -> Iterator[Lying]:
        for page in obstore.list(self._store, prefix=folder, chunk_size=PAGE):
            for meta in page:
                yield Lying(meta["path"], meta["size"], meta["last_modified"])

    async def _heal(self, place: Place, whole: bytes, segment: int, fragment: bytes, leaf: bytes) -> None:
        if segment >= len(whole) // HASH_BYTES or _leaf(whole, segment) != leaf:
            raise AlreadyExists("the object is whole already, with another fragment there")
        path = place.fragment(segment)
        stored = await self._maybe(path)
        if stored is None or fragment_leaf(stored) != leaf:
            async with self._room(place.key, len(fragment) - len(stored or b"")):
                await self._write(path, fragment)
                await self._sync_paths([path])
            self._count.fragments += stored is None

    async def _all_leaves(self, place: Place, half: Half, segments: int) -> bytes:
        missing = [each for each in range(segments) if each not in half.sizes]
        if missing or len(half.sizes) != segments or not segments:
            raise NotComplete(f"{len(missing)} of {segments} fragments are missing, and {len(half.sizes)} are there")
        return b"".join([await self._leaf_of(place, half, each) for each in range(segments)])

    async def _leaf_of(self, place: Place, half: Half, segment: int) -> bytes:
        leaf = half.leaves.get(segment)
        if leaf is None:  # from before this process, or from so long ago that it was forgotten
            stored = await self._read(place.fragment(segment))
            leaf = half.leaves[segment] = await asyncio.to_thread(fragment_leaf, stored)
        return leaf

    async def _whole(self, place: Place) -> bytes | None:
        """The hashes of all fragments of a whole object."""
        leaves = self._wholes.get(place)
        if leaves is not None:
            self._wholes.move_to_end(place)
            return leaves
        if place in self._halves:
            return None
        stored = await self._kept(place.whole)
        if not stored or len(stored) % HASH_BYTES or len(stored) > MAX_SEGMENTS * HASH_BYTES:
            return None
        self._mind(place, stored)
        return stored

    def _mind(self, place: Place, leaves: bytes) -> None:
        self._drop(place)
        self._wholes[place] = leaves
        self._whole_bytes += len(leaves)
        while len(self._wholes) > MAX_WHOLES or (len(self._wholes) > 1 and self._whole_bytes > MAX_WHOLE_BYTES):
            self._drop(next(iter(self._wholes)))

    def _drop(self, place: Place) -> None:
        self._whole_bytes -= len(self._wholes.pop(place, b""))

    async def _half(self, place: Place) -> Half:
        """What is there of an upload; read once, though several ask at the same time."""
        if place not in self._halves:
            lock = self._opening.setdefault(place, asyncio.Lock())
            try:
                async with lock:
                    if place not in self._halves:
                        self._halves[place] = await self._read_half(place)
            finally:
                self._opening.pop(place, None)
        self._halves.move_to_end(place)
        return self._halves[place]

    async def _read_half(self, place: Place) -> Half:
        half = Half()
        for each in await self._lying(place.folder):
            found = _OBJECT.fullmatch(each.path)
            if found is not None and found[3] != WHOLE:
                half.sizes[int(found[3], 16)] = each.size
        half.unsynced.update(half.sizes)
        return half

    def _forget(self) -> None:
        """Stay within the bounds of what is kept in mind; nobody may be writing what is forgotten."""
        minded = sum(len(half.sizes) for half in self._halves.values())
        for place, half in list(self._halves.items())[:-1]:
            if minded <= MAX_MINDED and len(self._halves) <= MAX_HALVES:
                return
            if not half.writing and not half.closing:
                minded -= len(half.sizes)
                del self._halves[place]

    @asynccontextmanager
    async def _room(self, key: str | None, size: int) -> AsyncIterator[None]:
        """Room for so many more bytes under a key: taken before they are written, and given back if that fails."""
        by = self._count.brought.get(key or "", "")
        if size > 0:
            self._check_room(by, size)
        self._count.used += size
        self._count.people[by] += size
        try:
            yield
        except BaseException:
            self._count.used -= size
            self._count.people[by] -= size
            raise

    def _check_room(self, by: str, size: int) -> None:
        used, share = self._count.people[by], int(self._quota * PERSON_SHARE)
        if self._quota and self._count.used + size > self._quota:
            raise QuotaExceeded(f"{self._count.used} of {self._quota} bytes are used; {size} more have no room")
        if self._quota and by and used + size > share:
            raise QuotaExceeded(f"{used} of one person's {share} bytes are used; {size} more have no room")
        small = int(self._quota * SMALL_SHARE)
        if self._quota and by and self._count.used + size > share and used + size > small:
            raise QuotaExceeded(f"what is left here is for those who use at most {small} bytes")
        if self._folder is not None:
            disk = shutil.disk_usage(self._folder)
            if disk.free - size < min(RESERVE, disk.total // 20):
                raise QuotaExceeded("the supplier's disk is full")

    async def _keep(self, path: str, data: bytes) -> None:
        """Write it for good: with its SHA-256 behind, by which damage shows."""
        await self._write(path, data + sha256(data))
        await self._sync_paths([path])

    async def _kept(self, path: str) -> bytes | None:
        """What `_keep` wrote; None where nothing is, or something else."""
        stored = await self._maybe(path)
        if stored is None or sha256(stored[:-HASH_BYTES]) != stored[-HASH_BYTES:]:
            return None
        return stored[:-HASH_BYTES]

    def _sync_soon(self, place: Place, half: Half) -> None:
        """Bring a long upload to the disk while it goes on, so that little is left to do at its end."""
        if len(half.unsynced) >= SYNC_EACH and half.syncing is None:
            half.syncing = asyncio.create_task(self._sync(place, half))
            self._syncs.add(half.syncing)
            half.syncing.add_done_callback(lambda task: self._synced(half, task))

    def _synced(self, half: Half, task: asyncio.Task[None]) -> None:
        half.syncing = None
        self._syncs.discard(task)
        if not task.cancelled():
            task.exception()  # it was logged, and what was not brought to the disk is named in the half

    async def _sync(self, place: Place, half: Half) -> None:
        segments, half.unsynced = half.unsynced, set()
        try:
            if half.syncing is not None and half.syncing is not asyncio.current_task():
                await asyncio.wait([half.syncing])
            await self._sync_paths([place.fragment(each) for each in sorted(segments | half.unsynced)])
        except BaseException:
            half.unsynced |= segments
            raise

    async def _sync_paths(self, paths: Iterable[str]) -> None:
        if self._folder is not None:
            await self._stored(asyncio.to_thread(_sync, self._folder, [self._folder / each for each in paths]))

    async def _write(self, path: str, data: bytes) -> None:
        await self._stored(obstore.put_async(self._store, path, data, use_multipart=False))

    async def _read(self, path: str) -> bytes:
        found = await self._stored(obstore.get_async(self._store, path))
        return bytes(await self._stored(found.bytes_async()))

    async def _fragment(self, path: str) -> bytes:
        """As `_read`, and as much as a fragment may have: one call of the store instead of two."""
        try:
            work = obstore.get_range_async(self._store, path, start=0, length=FRAGMENT_BYTES)
            return bytes(await self._stored(work))
        except Busy:
            if isinstance(self._store, S3Store):  # it has tried for long enough
                raise
            return await self._read(path)  # of an empty file there is no range

    async def _maybe(self, path: str) -> bytes | None:
        try:
            return await self._read(path)
        except NotFound:
            return None

    async def _stored(self, work: Awaitable[T]) -> T:
        """What the store says; what it cannot do now is to be tried again.

        Raises:
            NotFound: there is nothing under that path.
            Busy: the store failed.
        """
        try:
            return await work
        except FileNotFoundError:
            raise NotFound("there is no such fragment here") from None
        except (BaseError, OSError) as error:
            log.error("the store failed: %s", " ".join(str(error).split())[:300])
            raise Busy("the supplier's storage cannot be used now; try again") from None


def root_of(leaves: bytes) -> bytes:
    """The root (RFC 9162) over the hashes of fragments, one behind the other."""
    frontier = Frontier()
    for start in range(0, len(leaves), HASH_BYTES):
        frontier.append(leaves[start : start + HASH_BYTES])
    return frontier.root()


def _leaf(leaves: bytes, segment: int) -> bytes:
    return leaves[segment * HASH_BYTES : (segment + 1) * HASH_BYTES]


def _grows(before: bytes | None, now: bytes) -> int:
    return len(now) + HASH_BYTES - (0 if before is None else len(before) + HASH_BYTES)


def _moved(found: Counter[str], before: Counter[str], now: Counter[str]) -> Counter[str]:
    moved = {each: n - before[each] for each, n in now.items() if n != before[each]}
    return Counter({each: max(0, found[each] + moved.get(each, 0)) for each in found.keys() | moved.keys()})


def _sync(folder: Path, files: list[Path]) -> None:
    """Bring files to the disk, and that they are in their folders; these lie two deep at most."""
    folders = {path.parent for path in files} | {path.parent.parent for path in files}
    for path in [*files, *(each for each in folders if each.is_relative_to(folder)), folder]:
        sync(path, release=True)


def _sweep(folder: Path, now: datetime) -> None:
    """Take away what killed processes were writing, an hour ago or longer."""
    for path in folder.rglob("*#*"):
        if _STAGED.fullmatch(path.name) and path.stat().st_mtime < now.timestamp() - 3600:
            path.unlink(missing_ok=True)
