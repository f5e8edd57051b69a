"""An upload's journal: a file of the profile by which a `put` that was killed uploads only what is missing.

It has the object's id and key, sealed, and a line for each segment that the suppliers took: what its plaintext was, and
the hashes of its fragments. A line that was not written whole is none. Only one process has a journal open.
"""

import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from privity.crypto.uploads import MAC_BYTES, journal_key, journal_name, line_mac, plain_mac, unwrap_head, wrap_head
from privity.encoding import b64, unb64
from privity.errors import DoesNotOpen, Malformed

UPLOADS: Final = "uploads"
MAX_JOURNALS: Final = 100
MAX_AGE: Final = 7 * 24 * 3600
"""Seconds: suppliers collect half uploads then."""
MAX_HEAD: Final = 16 * 1024
ATTEMPTS: Final = 10
_LENGTH: Final = 4


@dataclass(frozen=True, slots=True)
class Sent:
    """A segment that the suppliers took: the MAC of the plaintext up to its end, and its fragments' hashes by slot."""

    mac: bytes
    leaves: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """What is uploaded, under which key, to which suppliers (by id, in the order of the slots)."""

    object: str
    key: bytes = field(repr=False)
    size: int
    needed: int
    suppliers: tuple[str, ...]


class Journal:
    """The journal of one upload, held by this process."""

    def __init__(self, path: Path, file: int, kek: bytes, head: Head, sent: Mapping[int, Sent]) -> None:
        self.path = path
        self.head = head
        self.sent = dict(sent)
        self._file = file
        self._key = journal_key(kek)

    @classmethod
    def open(cls, folder: Path, kek: bytes, source: Sequence[bytes], fresh: Head) -> Self | None:
        """The journal of a source: as it was left, or begun with `fresh`. None where another process has it.

        Args:
            folder: the profile's.
            kek: seals it.
            source: what tells the source from others, and from itself after a change.
            fresh: of a new object; an old journal with other size, coding or suppliers than this gives way to it.
        """
        name = journal_name(journal_key(kek), *source)
        path = folder / UPLOADS / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(path.parent, path)
        file = _held(path)
        if file is None:
            return None
        kept = _read(file, kek, name, fresh)
        if kept is None:
            journal = cls(path, file, kek, fresh, {})
            journal.restart(kek, fresh)
            return journal
        head, sent, end = kept
        if end < os.fstat(file).st_size:  # else it would look as if something had just been put
            os.ftruncate(file, end)
        os.lseek(file, end, os.SEEK_SET)
        return cls(path, file, kek, head, sent)

    def restart(self, kek: bytes, fresh: Head) -> None:
        """Begin anew with another object."""
        self.head, self.sent = fresh, {}
        said = {"object": fresh.object, "key": b64(fresh.key), "size": fresh.size, "needed": fresh.needed}
        sealed = wrap_head(kek, json.dumps({**said, "suppliers": fresh.suppliers}).encode(), self.path.name)
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, len(sealed).to_bytes(_LENGTH, "big") + sealed)

    def mac(self, index: int, digest: bytes) -> bytes:
        """By which a segment is known again, and all before it: of the SHA-256 of the plaintext up to its end."""
        return plain_mac(self._key, self.head.object, index, digest)

    def took(self, index: int, sent: Sent) -> None:
        """The suppliers have this segment now."""
        self.sent[index] = sent
        line = index.to_bytes(_LENGTH, "big") + sent.mac + b"".join(sent.leaves)
        os.write(self._file, line + line_mac(self._key, self.head.object, line))

    def close(self) -> None:
        """Let go of it; it stays."""
        os.close(self._file)

    def forget(self) -> None:
        """It is not needed any more."""
        self.path.unlink(missing_ok=True)


def forget(folder: Path, name: str) -> None:
    """Take a journal away, if it is there."""
    (folder / UPLOADS / name).unlink(missing_ok=True)


def _held(path: Path) -> int | None:
    """The file, made if there is none, for this process alone; None where another one has it."""
    for _ in range(ATTEMPTS):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock(file):
            os.close(file)
            return None
        if os.fstat(file).st_nlink:
            return file
        os.close(file)  # whoever had it took it away meanwhile
    return None


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int, kek: bytes, name: str, fresh: Head) -> tuple[Head, dict[int, Sent], int] | None:
    """Head, lines, and where the last whole line ends; None where it is of something else, damaged, or too old."""
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(file, "rb", closefd=False) as whole:
        data = whole.read()
    if os.fstat(file).st_mtime < time.time() - MAX_AGE:
        return None
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    if not _LENGTH < end <= min(len(data), MAX_HEAD):
        return None
    try:
        said = json.loads(unwrap_head(kek, data[_LENGTH:end], name))
        head = Head(said["object"], unb64(said["key"]), said["size"], said["needed"], tuple(said["suppliers"]))
    except (DoesNotOpen, Malformed, ValueError, KeyError, TypeError):
        return None
    if (head.size, head.needed, head.suppliers) != (fresh.size, fresh.needed, fresh.suppliers):
        return None
    key, sent = journal_key(kek), {}
    body = _LENGTH + MAC_BYTES * (1 + len(head.suppliers))
    for start in range(end, len(data) - body - MAC_BYTES + 1, body + MAC_BYTES):
        line, mac = data[start : start + body], data[start + body : start + body + MAC_BYTES]
        if line_mac(key, head.object, line) != mac:
            break
        index, hashes = int.from_bytes(line[:_LENGTH], "big"), line[_LENGTH:]
        parts = tuple(hashes[at : at + MAC_BYTES] for at in range(0, len(hashes), MAC_BYTES))
        sent[index], end = Sent(parts[0], parts[1:]), start + body + MAC_BYTES
    return head, sent, end


def _sweep(folder: Path, but: Path) -> None:
    """Journals of uploads that nobody went on with: the suppliers have collected what there was of them."""
    others: list[tuple[float, Path]] = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process settles it just now
            others.append((path.stat().st_mtime, path))
    others = sorted((each for each in others if each[1] != but), reverse=True)
    for number, (written, path) in enumerate(others):
        if number >= MAX_JOURNALS - 1 or written < time.time() - MAX_AGE:
            _drop(path)


def _drop(path: Path) -> None:
    """It goes, if nobody goes on with it."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        if _lock(file) and os.fstat(file).st_nlink:
            path.unlink(missing_ok=True)
    finally:
        os.close(file)
