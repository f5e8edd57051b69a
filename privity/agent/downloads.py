"""Getting an object back from the suppliers: every fragment checked before it is decoded, the file there when all is.

A file is written beside its name and takes it when its whole content has the hash that its writer signed. What was
written of it stays where the reading stops, and is not fetched again.
"""

import asyncio
import fcntl
import logging
import os
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from privity.agent.session import Session
from privity.agent.supplying import Place, tell
from privity.agent.uploads import MAX_BYTES, Progress
from privity.crypto.coding import FRAGMENT_BYTES, Coding, ObjectPlace, open_segment
from privity.disk import to_disk
from privity.encoding import b64
from privity.errors import AlreadyExists, DoesNotOpen, ForgedRecord, Malformed, TooLarge
from privity.gathering import Gatherer, Trouble
from privity.messages.locations import StoredObject

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 6 * 1024 * 1024
"""Bytes of fragments on their way at once, about."""
FLUSH_EACH: Final = 8 * 1024 * 1024
"""Bytes that are written before they are brought to the disk, while the reading goes on."""
PART: Final = ".part"
DRAFT_NAME: Final = 100
"""Bytes of a file's name in its draft's."""
_BLOCK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Got:
    """What was read, and the suppliers that were wrong, slow or away meanwhile."""

    size: int
    troubles: tuple[Trouble, ...] = ()


async def get_object(
    session: Session,
    place: Place,
    stored: StoredObject,
    key: bytes,
    sink: Path,
    *,
    size: int,
    sha256: str,
    progress: Progress | None = None,
) -> Got:
    """Write an object's plaintext to a new file, which is there when all of it has verified.

    Args:
        session: of a holder of the place's key.
        place: with the suppliers in the order of the object's slots.
        stored: as the signed line names it.
        key: the object's, 32 bytes.
        sink: where; beside it, `.<name>.<object>.part` is what a reading that stopped had got.
        size: of the plaintext, in bytes.
        sha256: of the plaintext, base64url.
        progress: told how many bytes are there.

    Raises:
        AlreadyExists: there is a file of that name.
        NotEnoughFragments: too few suppliers have their parts.
        WrongFragments: too many serve something else.
        ForgedRecord, DoesNotOpen: whoever wrote the line wrote what is not so.
    """
    if await asyncio.to_thread(sink.exists):
        raise AlreadyExists(f"{sink} is there already")
    _check_segments(stored, size)
    draft = draft_of(sink, stored.object)
    for _ in range(2):
        with _kept(draft) as file:
            reading = _Reading(place, stored, key, file, size, progress)
            resumed = await asyncio.to_thread(reading.resume)
            try:
                troubles = await reading.run()
            except DoesNotOpen:
                draft.unlink()
                raise
            except _NotKept as error:
                draft.unlink()
                raise Malformed(f"{sink} cannot be written: {error}") from None
            if reading.digest == sha256:
                await asyncio.to_thread(_named, file, draft, sink)
                break
            draft.unlink()
        if not resumed:
            raise ForgedRecord("A file is another one than its writer says.")
    tell("the file was read, but not from", troubles)
    return Got(size, troubles)


async def get_bytes(
    session: Session, place: Place, stored: StoredObject, key: bytes, *, size: int, sha256: str
) -> bytes:
    """As `get_object`, up to 16 MiB into memory."""
    if size > MAX_BYTES:
        raise TooLarge(f"{size} bytes are more than the {MAX_BYTES} that are read into memory")
    _check_segments(stored, size)
    file = BytesIO()
    reading = _Reading(place, stored, key, file, size, None)
    troubles = await reading.run()
    if reading.digest != sha256:
        raise ForgedRecord("A file is another one than its writer says.")
    tell("the file was read, but not from", troubles)
    return file.getvalue()


def draft_of(sink: Path, of: str) -> Path:
    """Where what becomes a file is written; `of` tells it from other drafts."""
    shown = os.fsencode(sink.name)[:DRAFT_NAME].decode(errors="ignore")  # a name may have 255 bytes, not letters
    return sink.with_name(f".{shown}.{of}{PART}")


def _check_segments(stored: StoredObject, size: int) -> None:
    if Coding(stored.needed, len(stored.roots)).segments(size) != stored.segments:
        raise ForgedRecord("A file's object has another number of segments than its size needs.")


class _Reading:
    """One object on its way back, into a file of which some may be there."""

    def __init__(
        self, place: Place, stored: StoredObject, key: bytes, file: BinaryIO, size: int, progress: Progress | None
    ) -> None:
        self._gatherer = Gatherer(place.slots, place.holder, place.key, stored)
        self._coding = self._gatherer.coding
        self._object = ObjectPlace(place.key, stored.object, stored.segments)
        self._key = key
        self._file = file
        self._size = size
        self._progress = progress
        self._hash = sha256()
        self._first = 0
        self._unflushed = 0
        self._on_disk = not isinstance(file, BytesIO)

    @property
    def digest(self) -> str:
        """SHA-256 of what was written, base64url."""
        return b64(self._hash.digest())

    def resume(self) -> int:
        """Go on behind the whole segments in the file; how many that are. The hash tells in the end if they were so."""
        there = self._file.seek(0, os.SEEK_END)
        self._first = min(there, self._size) // self._coding.capacity
        keep = self._first * self._coding.capacity
        self._file.truncate(keep)
        self._file.seek(0)
        while self._file.tell() < keep:
            self._hash.update(self._file.read(min(_BLOCK, keep - self._file.tell())))
        return self._first

    async def run(self) -> tuple[Trouble, ...]:
        """Fetch, check, open and write the rest; what was wrong with suppliers meanwhile."""
        gatherer = self._gatherer
        count = max(1, -(-self._size // self._coding.capacity))  # behind these there is padding alone
        window = max(2, IN_FLIGHT // (self._coding.needed * FRAGMENT_BYTES))
        running: deque[asyncio.Task[dict[int, bytes]]] = deque()
        loop, worker = asyncio.get_running_loop(), ThreadPoolExecutor(1)  # each thread would hold memory of its own
        flusher, flushing = ThreadPoolExecutor(1), Future[None]()
        flushing.set_result(None)
        try:
            for index in range(self._first, count):
                while len(running) < window and index + len(running) < count:
                    running.append(asyncio.create_task(gatherer.segment(index + len(running))))
                await loop.run_in_executor(worker, self._write, index, await running.popleft())
                if self._on_disk and self._unflushed >= FLUSH_EACH and flushing.done():
                    _check_flushed(flushing)
                    self._unflushed, flushing = 0, flusher.submit(to_disk, self._file.fileno())
                if self._progress is not None:
                    self._progress(min(self._size, (index + 1) * self._coding.capacity))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            worker.shutdown(wait=False)
            await asyncio.to_thread(flusher.shutdown)
        _check_flushed(flushing)
        return tuple(gatherer.troubles[slot] for slot in sorted(gatherer.troubles))

    def _write(self, index: int, fragments: dict[int, bytes]) -> None:
        plain = open_segment(self._key, self._coding.decode(fragments), self._object, index)
        left = max(0, self._size - index * self._coding.capacity)
        plain = plain if len(plain) <= left else plain[:left]
        self._hash.update(plain)
        self._file.write(plain)
        self._unflushed += len(plain)


class _NotKept(Exception):
    """The disk did not keep what was written: the kernel says so once, and what it shows from then on may be wrong."""


def _check_flushed(flushing: "Future[None]") -> None:
    if error := flushing.exception():
        raise _NotKept(str(error)) from error


@contextmanager
def _kept(path: Path) -> Iterator[BinaryIO]:
    """A file for its owner alone, as it was left or new; as long as it is held, nobody else writes or names it.

    Raises:
        AlreadyExists: another process writes it now.
        Malformed: it cannot be written there, or others can read or write it.
    """
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
    except OSError as error:
        raise Malformed(f"{path} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyExists(f"{path} is being written by another process") from None
        _check_own(file, path)
        yield file


def _check_own(file: BinaryIO, path: Path) -> None:
    at = os.fstat(file.fileno())
    try:
        there = os.path.samestat(at, path.lstat())
    except OSError:
        there = False
    if not there:  # whoever held it has named it meanwhile, or taken it away
        raise AlreadyExists(f"{path} was being written by another process")
    alone = stat.S_ISREG(at.st_mode) and at.st_nlink == 1 and not at.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    if not alone or at.st_uid != os.geteuid():
        raise Malformed(f"{path} is not a file of your own that nobody else reads or writes; take it away")


def _named(file: BinaryIO, draft: Path, sink: Path) -> None:
    """The file takes its name, but nobody's place."""
    file.flush()
    os.fsync(file.fileno())
    try:
        os.link(draft, sink)
    except FileExistsError:
        raise AlreadyExists(f"{sink} is there already") from None
    except OSError as error:
        raise Malformed(f"{sink} cannot be written: {error.strerror}") from None
    draft.unlink()
