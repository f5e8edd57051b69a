"""Putting an object to the suppliers: read, sealed, coded and sent a few segments at a time; whole at the end or not.

Nothing can be read of it before every fragment is there and has its hash. A file's upload goes on after a crash.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from privity.agent import upload_journal
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.supplying import Place, tell
from privity.agent.upload_journal import Head, Journal, Sent
from privity.crypto.coding import (
    FRAGMENT_BYTES,
    Coding,
    Fragment,
    ObjectPlace,
    fragment_leaf,
    seal_segment,
    slot_root,
)
from privity.crypto.keyring import new_dek
from privity.encoding import b64, new_id
from privity.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    NotEnoughSuppliers,
    NotFound,
    SupplierAway,
    SupplierSlow,
    TooLarge,
)
from privity.gathering import Trouble, most_of, trouble_of
from privity.messages.locations import StoredObject
from privity.supplying import Lease

log = logging.getLogger(__name__)

Progress = Callable[[int], None]
"""Told how many bytes of the plaintext are done."""

IN_FLIGHT: Final = 8 * 1024 * 1024
"""Bytes of fragments on their way at once, about."""
MAX_BYTES: Final = 16 * 1024 * 1024
"""Of a source that is in memory."""
AGAIN: Final = 1.0
"""Seconds after which a fragment is put again that a supplier did not take."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that stands: what the suppliers' side is told of it, its key, and what its plaintext was.

    `missing` are slots without their part; a repair fills them. `journal` is for `settle`.
    """

    stored: StoredObject
    key: bytes = field(repr=False)
    size: int
    sha256: str = field(repr=False)
    missing: tuple[Trouble, ...] = ()
    journal: str | None = None


async def put_object(
    session: Session,
    keyring: Keyring,
    place: Place,
    source: Path | bytes,
    progress: Progress | None = None,
    *,
    used: Collection[str] = (),
) -> Stored:
    """Put a file, or up to 16 MiB, as one object under a fresh key.

    The same file, unchanged, gives the same object until `settle`: what was put of it before is not put again. None of
    the `used` ids is given again: a put whose change was taken may not have heard of it, and the object be gone by now.

    Raises:
        NotEnoughSuppliers: too few take their part; what was put stays for the next time.
        ChangedMeanwhile: the file was written while it was read.
        NotFound: there is no such file, or it cannot be read.
        TooLarge: it is more than one object can have.
    """
    with _opened(source) as file:
        size = file.size
        if isinstance(source, bytes) and size > MAX_BYTES:
            raise TooLarge(f"{size} bytes are more than the {MAX_BYTES} that are put from memory")
        fresh = Head(
            new_id(), new_dek(), size, place.needed, tuple(each.id if each else "" for each in place.suppliers)
        )
        journal = file.named and Journal.open(
            session.folder.path, keyring.kek, [place.key.encode(), *file.named], fresh
        )
        try:
            if journal and journal.head.object in used:
                journal.restart(keyring.kek, fresh)
            return await _put(keyring, place, file, journal or None, fresh, progress or _untold)
        finally:
            if journal:
                journal.close()


def settle(session: Session, stored: Stored) -> None:
    """The object is in use: the next put of the same file is another one."""
    if stored.journal is not None:
        upload_journal.forget(session.folder.path, stored.journal)


async def _put(
    keyring: Keyring, place: Place, file: "_Source", journal: Journal | None, fresh: Head, progress: Progress
) -> Stored:
    upload = _Upload(place, file, journal, journal.head if journal else fresh, progress)
    try:
        return await upload.run()
    except _OtherContent:  # the file was changed since; what is there of it is collected as an orphan
        if journal is not None:
            journal.restart(keyring.kek, fresh)
        return await _Upload(place, file, journal, fresh, progress).run()


class _OtherContent(Exception):
    """The journal is of another content than the file has now, or cannot be gone on with."""


@dataclass(frozen=True, slots=True)
class _Coded:
    fragments: tuple[Fragment, ...] = field(repr=False)
    leaves: tuple[bytes, ...]


class _Upload:
    """One object on its way."""

    def __init__(self, place: Place, file: "_Source", journal: Journal | None, head: Head, progress: Progress) -> None:
        self._place = place
        self._file = file
        self._journal = journal
        self._head = head
        self._progress = progress
        self._coding = place.coding
        self._segments = self._coding.segments(head.size)
        self._object = ObjectPlace(place.key, head.object, self._segments)
        self._leases: dict[int, Lease] = {}
        self._there: dict[int, dict[int, bytes]] = {}
        self._troubles: dict[int, Trouble] = {}
        self._leaves: list[tuple[bytes, ...]] = [()] * self._segments
        self._hash = sha256()
        self._done = 0

    async def run(self) -> Stored:
        """All of it."""
        self._file.rewind()
        await self._open()
        await self._send()
        await asyncio.to_thread(self._file.check_unchanged)
        roots = [slot_root(each[slot] for each in self._leaves) for slot in range(self._coding.slots)]
        await self._complete(roots)
        missing = tuple(self._troubles[slot] for slot in sorted(self._troubles))
        tell("not everywhere; `privity supplier repair` fills what is missing", missing)
        stored = StoredObject(self._head.object, self._segments, self._coding.needed, tuple(map(b64, roots)))
        journal = self._journal.path.name if self._journal else None
        return Stored(stored, self._head.key, self._head.size, b64(self._hash.digest()), missing, journal)

    async def _open(self) -> None:
        await self._at_each(range(self._coding.slots), self._open_slot)
        self._check_enough()

    async def _open_slot(self, slot: int) -> None:
        supplier = self._place.slots[slot]
        if supplier is None:
            raise SupplierAway
        holder, key, object = self._place.holder, self._place.key, self._head.object
        try:
            lease = await supplier.open(holder, "put", key, object, self._segments)
        except AlreadyExists:  # whole since the last time
            lease = await supplier.open(holder, "get", key, object)
        self._there[slot] = await _leaves(lease, self._segments) if self._journal and self._journal.sent else {}
        self._leases[slot] = lease

    async def _send(self) -> None:
        """A few segments at a time, read and sealed one after another."""
        window = max(1, IN_FLIGHT // (self._coding.slots * FRAGMENT_BYTES))
        running: deque[asyncio.Task[None]] = deque()
        loop, worker = asyncio.get_running_loop(), ThreadPoolExecutor(1)  # each thread would hold memory of its own
        try:
            for index in range(self._segments):
                plain, mac = await loop.run_in_executor(worker, self._read, index)
                sent = self._was_sent(index, mac)
                coded = None if sent else await loop.run_in_executor(worker, self._coded, index, plain)
                del plain
                if len(running) >= window:
                    await running.popleft()
                running.append(asyncio.create_task(self._segment(index, mac, coded)))
                del coded
            while running:
                await running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            worker.shutdown(wait=False)

    def _read(self, index: int) -> tuple[bytes, bytes]:
        """The segment's plaintext, padded, and its MAC in the journal, where it is hashed once for both."""
        left = self._head.size - index * self._coding.capacity
        plain = self._file.read(max(0, min(self._coding.capacity, left)))
        self._hash.update(plain)
        size = self._coding.plain_bytes(self._head.size, index)
        plain = plain if len(plain) == size else plain.ljust(size, b"\0")
        return plain, self._journal.mac(index, self._hash.copy().digest()) if self._journal else b""

    def _was_sent(self, index: int, mac: bytes) -> bool:
        """Whether the journal has it, and enough slots do.

        Raises:
            _OtherContent: it had another content then, or would have to go where the object is whole already.
        """
        sent = self._journal.sent.get(index) if self._journal else None
        if sent is not None and sent.mac != mac:
            raise _OtherContent
        if sent is not None and self._is_there(index, sent):
            self._leaves[index] = sent.leaves
            return True
        if any(each.whole for each in self._leases.values()):
            raise _OtherContent
        return False

    async def _segment(self, index: int, mac: bytes, coded: _Coded | None) -> None:
        if coded is not None:
            await self._put_segment(index, mac, coded)
        self._done += min(self._coding.capacity, max(0, self._head.size - index * self._coding.capacity))
        self._progress(self._done)

    def _is_there(self, index: int, sent: Sent) -> bool:
        """Whether enough slots have their fragment; one that was away then, and lacks it, is left to a repair."""
        lacking = [slot for slot in self._leases if self._there[slot].get(index) != sent.leaves[slot]]
        if len(self._leases) - len(lacking) < enough(self._coding):
            return False
        for slot in lacking:
            self._lose(slot, Trouble(slot, self._place.names[slot], "refused", "it lacks a part"))
        return True

    async def _put_segment(self, index: int, mac: bytes, coded: _Coded) -> None:
        leases = dict(self._leases)

        async def put(slot: int) -> None:
            lease = leases[slot]
            try:
                await lease.put(index, coded.fragments[slot])
            except (SupplierAway, SupplierSlow):
                await asyncio.sleep(AGAIN)
                await lease.put(index, coded.fragments[slot])

        await self._at_each(list(leases), put)
        self._check_enough()
        self._leaves[index] = coded.leaves
        if self._journal is not None:
            self._journal.took(index, Sent(mac, coded.leaves))

    def _coded(self, index: int, plain: bytes) -> _Coded:
        fragments = self._coding.encode(seal_segment(self._head.key, plain, self._object, index))
        return _Coded(fragments, tuple(fragment_leaf(each) for each in fragments))

    async def _complete(self, roots: Sequence[bytes]) -> None:
        leases = dict(self._leases)

        async def complete(slot: int) -> None:
            await leases[slot].complete(roots[slot])

        await self._at_each([slot for slot, lease in leases.items() if not lease.whole], complete)
        self._check_enough()

    async def _at_each(self, slots: Sequence[int], work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """Do it at all these slots at once; one where it fails, or that keeps enough others waiting, is given up."""
        others = len(self._leases.keys() - set(slots))
        errors = await most_of([work(slot) for slot in slots], enough(self._coding) - others)
        for slot, error in zip(slots, errors, strict=True):
            if error is not None:
                self._lose(slot, trouble_of(slot, self._place.names[slot], error))

    def _lose(self, slot: int, trouble: Trouble) -> None:
        self._leases.pop(slot, None)
        self._troubles.setdefault(slot, trouble)

    def _check_enough(self) -> None:
        least = enough(self._coding)
        if len(self._leases) < least:
            gone = ", ".join(str(self._troubles[slot]) for slot in sorted(self._troubles))
            raise NotEnoughSuppliers(f"{least} suppliers are needed to write, {len(self._leases)} take it; not: {gone}")


async def _leaves(lease: Lease, segments: int) -> dict[int, bytes]:
    try:
        return await lease.leaves(segments)
    except NotFound:
        return {}


def enough(coding: Coding) -> int:
    """How many slots must be whole for an upload to stand: half of those that may be lost are kept in reserve."""
    return coding.needed + (coding.slots - coding.needed) // 2


class _Source:
    """What is uploaded; `named` tells a file from others and from itself after a change, and is empty for bytes."""

    def __init__(self, file: BinaryIO, size: int, named: Sequence[bytes] = ()) -> None:
        self.size = size
        self.named = named
        self._file = file
        self._before = self._now()

    def read(self, size: int) -> bytes:
        """The next so many bytes.

        Raises:
            ChangedMeanwhile: there are fewer.
        """
        data = self._file.read(size)
        if len(data) != size:
            raise ChangedMeanwhile
        return data

    def rewind(self) -> None:
        """Begin anew."""
        self._file.seek(0)

    def check_unchanged(self) -> None:
        """Returns if nobody wrote to the file since it was opened.

        Raises:
            ChangedMeanwhile: somebody did.
        """
        if self._now() != self._before:
            raise ChangedMeanwhile

    def _now(self) -> tuple[int, ...]:
        if not self.named:
            return ()
        now = os.fstat(self._file.fileno())
        return now.st_size, now.st_mtime_ns


@contextmanager
def _opened(source: Path | bytes) -> Iterator[_Source]:
    if isinstance(source, bytes):
        yield _Source(BytesIO(source), len(source))
        return
    try:
        file = source.open("rb", buffering=0)
    except OSError as error:
        raise NotFound(f"{source} cannot be read: {error.strerror}") from None
    with file:
        at = os.fstat(file.fileno())
        named = (str(source.absolute()), str(at.st_dev), str(at.st_ino), str(at.st_size), str(at.st_mtime_ns))
        yield _Source(file, at.st_size, [each.encode() for each in named])


def _untold(done: int) -> None:
    """Nobody wants to know."""
