"""What this device has seen: the log's newest checkpoint, versions, lines and heads, so that no answer can go back.

A SQLite file in the profile's folder. It holds ids, numbers and digests, nothing that opens anything. Each look and
note is well under a millisecond, so they run where they stand, on the event loop too.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from privity.agent.database import Database
from privity.errors import ForgedRecord, RolledBack

MEMORY = "memory.db"
KNOWN_CHECKPOINTS = 10_000
"""Checkpoints whose root is remembered; older ones are proven again when they come up."""
MARK_EVERY = 64
"""Lines of the feed between two that are remembered, so that one can be checked without reading all before it."""
NEWEST = 2**62

TABLES = """
CREATE TABLE IF NOT EXISTS checkpoints (size INTEGER PRIMARY KEY, root BLOB NOT NULL, note TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pending (note TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feed (position INTEGER PRIMARY KEY, seq INTEGER NOT NULL, link TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seen (
    kind TEXT NOT NULL, id TEXT NOT NULL, place TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL,
    ended INTEGER NOT NULL, proven INTEGER NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_in_place ON seen (kind, place, version);
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """A checkpoint that was checked: every later one must be consistent with it."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class FeedMark:
    """How far the feed was read: the position and number of its last line, and the link that the next one hashes on."""

    position: int = 0
    seq: int = 0
    link: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest that was seen of a thing: an item, a share in its line, an identity, a note.

    `digest` is empty while only the number is known. `ended` is the position of the event that is said to have ended
    the thing (0: it stands), `proven` whether the signed command behind that event was checked.
    """

    kind: str
    id: str
    place: str
    version: int
    digest: str
    ended: int = 0
    proven: bool = False


class Memory(Database):
    """One profile's memory; several processes may hold it at once."""

    what: ClassVar[str] = "memory"
    tables: ClassVar[str] = TABLES

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """All that is looked at and remembered meanwhile is of one moment, and is kept as a whole or not at all."""
        with self._open():
            yield

    @property
    def checkpoint(self) -> Mark | None:
        """The newest checkpoint that was checked."""
        with self._open("BEGIN") as db:
            row = db.execute("SELECT size, root, note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
        return Mark(*row) if row else None

    def root(self, size: int) -> bytes | None:
        """The root that a checked checkpoint of this size had, if it is remembered."""
        with self._open("BEGIN") as db:
            row = db.execute("SELECT root FROM checkpoints WHERE size = ?", (size,)).fetchone()
        return row[0] if row else None

    def keep_checkpoints(self, *marks: Mark) -> None:
        """Remember checkpoints that were checked."""
        rows = [(mark.size, mark.root, mark.note) for mark in marks]
        with self._open() as db:
            db.executemany("INSERT INTO checkpoints VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)
            newest = "SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1 OFFSET ?"
            db.execute(f"DELETE FROM checkpoints WHERE size < ({newest})", (KNOWN_CHECKPOINTS - 1,))  # noqa: S608

    def pend(self, note: str) -> None:
        """Remember a checkpoint that is yet to be held against the others."""
        with self._open() as db:
            db.execute("INSERT INTO pending VALUES (?) ON CONFLICT DO NOTHING", (note,))

    def pending(self) -> list[str]:
        """The checkpoints that are yet to be held against the others."""
        with self._open("BEGIN") as db:
            return [note for (note,) in db.execute("SELECT note FROM pending")]

    def settle(self, notes: Iterable[str]) -> None:
        """These were checked."""
        with self._open() as db:
            db.executemany("DELETE FROM pending WHERE note = ?", [(note,) for note in notes])

    @property
    def feed(self) -> FeedMark:
        """How far the feed was read."""
        return self.feed_until(NEWEST)

    def feed_until(self, position: int) -> FeedMark:
        """A place in the feed, at that position or before, from which on it can be read and checked."""
        with self._open("BEGIN") as db:
            where = "position <= ? ORDER BY position DESC LIMIT 1"
            row = db.execute(f"SELECT position, seq, link FROM feed WHERE {where}", (position,)).fetchone()  # noqa: S608
        return FeedMark(*row) if row else FeedMark()

    def keep_feed(self, marks: Sequence[FeedMark]) -> None:
        """Remember that the feed was read and checked: some of the marks, the last one among them."""
        kept = [mark for mark in marks[:-1] if mark.seq % MARK_EVERY == 0] + list(marks[-1:])
        rows = [(mark.position, mark.seq, mark.link) for mark in kept]
        with self._open() as db:
            db.executemany("INSERT INTO feed VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)

    def seen(self, kind: str, id: str) -> Seen | None:
        """What is remembered of one thing."""
        found = self._seen("kind = ? AND id = ?", kind, id)
        return found[0] if found else None

    def begins(self, kind: str, prefix: str) -> list[Seen]:
        """The things of a kind whose ids begin like this."""
        return self._seen("kind = ? AND id >= ? AND id < ?", kind, prefix, prefix + "~")

    def among(self, kind: str, ids: Iterable[str]) -> list[Seen]:
        """What is remembered of these things of a kind."""
        wanted = json.dumps(list(ids))
        return self._seen("kind = ? AND id IN (SELECT value FROM json_each(?))", kind, wanted)

    def under(self, kind: str, place: str) -> list[Seen]:
        """The things of a kind in all places that begin with this one and a space."""
        return self._seen("kind = ? AND place >= ? AND place < ?", kind, f"{place} ", f"{place}!")

    def all_in(self, kind: str, place: str) -> list[Seen]:
        """The things of a kind in one place (a line, the own items), by version."""
        return self._seen("kind = ? AND place = ?", kind, place)

    def saw(self, kind: str, id: str, version: int, digest: str = "", place: str = "") -> None:
        """Remember what was served and checked (`check_not_older`): a newer version takes the older one's place."""
        self.saw_all(kind, [(id, version, digest)], place)

    def saw_all(self, kind: str, things: Iterable[tuple[str, int, str]], place: str = "") -> None:
        """As `saw`, for many things (id, version, digest) at once."""
        rows = [(kind, id, place, version, digest) for id, version, digest in things]
        with self._open() as db:
            db.executemany(
                "INSERT INTO seen VALUES (?, ?, ?, ?, ?, 0, 0) ON CONFLICT (kind, id) DO UPDATE SET "
                "version = excluded.version, digest = excluded.digest WHERE excluded.version > seen.version "
                "OR (excluded.version = seen.version AND seen.digest = '')",
                rows,
            )

    def said_to_end(self, kind: str, id: str, position: int) -> None:
        """Remember which event is said to have ended a thing; it is believed when it is proven."""
        with self._open() as db:
            db.execute("UPDATE seen SET ended = ? WHERE kind = ? AND id = ? AND proven = 0", (position, kind, id))

    def ended(self, kind: str, id: str, position: int) -> None:
        """Remember that a thing has ended for good, as was proven."""
        with self._open() as db:
            db.execute("UPDATE seen SET ended = ?, proven = 1 WHERE kind = ? AND id = ?", (position, kind, id))

    def _seen(self, where: str, *params: str) -> list[Seen]:
        columns = "kind, id, place, version, digest, ended, proven"
        with self._open("BEGIN") as db:
            rows = db.execute(f"SELECT {columns} FROM seen WHERE {where} ORDER BY version, id", params).fetchall()  # noqa: S608
        return [
            Seen(kind, id, place, version, digest, ended, bool(proven))
            for kind, id, place, version, digest, ended, proven in rows
        ]


def check_not_older(before: Seen | None, version: int, digest: str = "") -> None:
    """Returns if what is served now may follow what was seen before.

    `before` is what memory held when the question was asked: another process of this profile may have seen more since.

    Raises:
        RolledBack: it is older, or the thing has ended.
        ForgedRecord: it is another content under the same version.
    """
    if before is None:
        return
    if before.proven:
        raise RolledBack(f"The backend serves {before.kind} {before.id}, which had ended.")
    if version < before.version:
        what = f"{before.kind} {before.id}"
        raise RolledBack(f"The backend serves version {version} of {what}; version {before.version} was seen before.")
    if version == before.version and digest and before.digest and digest != before.digest:
        raise ForgedRecord(f"Version {version} of {before.kind} {before.id} was seen with another content before.")
