"""Tasks: the crypto steps that wait for a person's agent, and how far each one is on this device.

A source looks at what the backend serves and names what there is to do; the views are the truth, so a step that
another device did is simply not named any more. The book only remembers what this device tried, and how it ended.
"""

import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from privity.agent.database import Database
from privity.agent.keyring import Keyring
from privity.agent.profile import TASKS
from privity.agent.session import Session
from privity.encoding import printable
from privity.errors import IntegrityAlarm, PrivityError

LOOK = "look"
"""The kind of a step that only finds others; it is there while it fails."""
MAX_OPEN = 10_000
"""Steps of one source that are still tried; what is found beyond is found again when there is room."""
MAX_FAILED = 10_000
"""Steps of one source that failed and wait for the person; the oldest goes, and is found again."""
MAX_DONE = 1_000
"""Steps that are done and still listed."""
MAX_TRIES = 10
"""Times that a step is tried by itself; after these it waits for the person."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
"""Seconds between the first two tries, which double from try to try, and at most."""
ABOUT = 200
"""Letters."""

Status = Literal["todo", "doing", "done", "failed"]
Named = tuple[str, str]
"""Kind and id of a step."""

TABLE = """
CREATE TABLE IF NOT EXISTS tasks (
    position INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL, about TEXT NOT NULL,
    status TEXT NOT NULL, code TEXT, tries INTEGER NOT NULL, due REAL, change INTEGER NOT NULL, at TEXT NOT NULL,
    UNIQUE (kind, id));
CREATE INDEX IF NOT EXISTS tasks_by_status ON tasks (status, change);
"""
GIVEN_UP = "status = 'failed' AND due IS NULL"
"""What is not tried again by itself."""
COLUMNS = "position, kind, id, about, status, tries, code, at"


@dataclass(frozen=True, slots=True)
class Task:
    """One step. `kind` and `id` name it for good (`revise`, `<share>/<version>`); `about` tells no secret."""

    kind: str
    id: str
    about: str
    run: Callable[[], Awaitable[None]] = field(repr=False, compare=False)


Source = Callable[[Session, Keyring], Awaitable[list[Task]]]
"""Names the steps that are to be done now. Doing one twice, here or on another device, has one effect."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A step as the book has it. `code` is the last error's; `at` is when its status was set last."""

    position: int
    kind: str
    id: str
    about: str
    status: Status
    tries: int
    code: str | None
    at: str


class TaskBook(Database):
    """What this device tried, in a file of the profile; several processes may hold it at once, and one does the steps.

    Kinds, ids, addresses, names of pieces and error codes stand in it, nothing that opens anything.
    """

    what = "tasks"
    tables = TABLE

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        """`now`: seconds since 1970."""
        super().__init__(folder / TASKS)
        self._now = now

    @property
    def change(self) -> int:
        """Grows with whatever is written here, by any process."""
        with self._open("BEGIN") as db:
            return _change(db)

    def found(self, source: str, tasks: Sequence[Task], as_of: int) -> None:
        """What a source named, asked when `change` was `as_of`; what has been set since then stays as it was set.

        What is named for the first time is to be done. What was done and is named again is to be done again, after a
        pause. What waits and is not named any more was done elsewhere, or is not wanted any more.
        """
        with self._open() as db:
            known = {
                (kind, id): (status, tries, change)
                for kind, id, status, tries, change in db.execute(
                    "SELECT kind, id, status, tries, change FROM tasks WHERE source = ? ORDER BY position", (source,)
                )
            }
            still = {(task.kind, task.id) for task in tasks}
            for named, (status, _, change) in known.items():
                if named not in still and status in ("todo", "failed") and change <= as_of:
                    self._set(db, named, "done")
            tried = f"source = ? AND status != 'done' AND NOT ({GIVEN_UP})"
            room = MAX_OPEN - db.execute(f"SELECT count(*) FROM tasks WHERE {tried}", (source,)).fetchone()[0]  # noqa: S608
            for task in tasks:
                status, tries, change = known.get((task.kind, task.id), ("", 0, 0))
                if status == "done" and change <= as_of:
                    self._set(db, (task.kind, task.id), "todo", due=self._now() + pause(tries))
                elif not status and room > 0:
                    self._add(db, source, task)
                    room -= 1
            self._prune(db, source)

    def looked(self, source: str, error: PrivityError | None) -> None:
        """A source was asked, in vain where there is an error: that stands as a failed step until it goes well."""
        named = (LOOK, source)
        with self._open() as db:
            if error is None:
                db.execute("DELETE FROM tasks WHERE kind = ? AND id = ?", named)
                return
            self._add(db, LOOK, Task(LOOK, source, f"see what there is to do: {source}", _nothing))
            self._set(db, named, "failed", code=error.code, tried=1)

    def begin(self, named: Named) -> None:
        """It is being done."""
        with self._open() as db:
            self._set(db, named, "doing", tried=1)

    def done(self, named: Named) -> None:
        """It is done, here or by another device."""
        with self._open() as db:
            self._set(db, named, "done")

    def failed(self, named: Named, error: BaseException) -> None:
        """It did not work; it is tried again by itself after a pause, unless somebody tampered with something."""
        with self._open() as db:
            tries = db.execute("SELECT tries FROM tasks WHERE kind = ? AND id = ?", named).fetchone() or (0,)
            ends = isinstance(error, IntegrityAlarm) or tries[0] >= MAX_TRIES
            due = None if ends else self._now() + pause(tries[0])
            self._set(db, named, "failed", code=getattr(error, "code", type(error).__name__), due=due)

    def put_off(self, named: Named, error: PrivityError) -> None:
        """Another device seems to have done it: if it is named after a pause all the same, it is tried again."""
        with self._open() as db:
            tries = db.execute("SELECT tries FROM tasks WHERE kind = ? AND id = ?", named).fetchone() or (0,)
            if tries[0] >= MAX_TRIES:
                self._set(db, named, "failed", code=error.code)
            else:
                self._set(db, named, "todo", due=self._now() + pause(tries[0]))

    def put_back(self, named: Named) -> None:
        """It was not done, through no fault of its own: nobody could be reached, or the agent was ended."""
        with self._open() as db:
            self._set(db, named, "todo", tried=-1, due=0)

    def recover(self) -> None:
        """What an agent was doing when it was killed is to be done again."""
        with self._open() as db:
            for named in _named(db, "status = 'doing'"):
                self._set(db, named, "todo", due=0)

    def retry(self) -> int:
        """Have all that failed tried again, now; how many."""
        with self._open() as db:
            found = _named(db, "status = 'failed' AND kind != ?", LOOK)
            for named in found:
                self._set(db, named, "todo", due=0)
                db.execute("UPDATE tasks SET tries = 0 WHERE kind = ? AND id = ?", named)
        return len(found)

    def due(self) -> set[Named]:
        """What is to be tried now."""
        with self._open("BEGIN") as db:
            return set(_named(db, "status IN ('todo', 'failed') AND due <= ?", self._now()))

    def next_due(self) -> float | None:
        """Seconds until something is to be tried again; None where nothing waits."""
        with self._open("BEGIN") as db:
            (due,) = db.execute("SELECT min(due) FROM tasks WHERE status IN ('todo', 'failed')").fetchone()
        return None if due is None else max(0.0, due - self._now())

    def all(self) -> list[Entry]:
        """Every step that is remembered, in the order in which they were found."""
        with self._open("BEGIN") as db:
            return [Entry(*row) for row in db.execute(f"SELECT {COLUMNS} FROM tasks ORDER BY position")]  # noqa: S608

    def entry(self, named: Named) -> Entry | None:
        """One step."""
        with self._open("BEGIN") as db:
            row = db.execute(f"SELECT {COLUMNS} FROM tasks WHERE kind = ? AND id = ?", named).fetchone()  # noqa: S608
        return Entry(*row) if row else None

    def _add(self, db: sqlite3.Connection, source: str, task: Task) -> None:
        db.execute(
            "INSERT INTO tasks (kind, id, source, about, status, tries, due, change, at) "
            "VALUES (?, ?, ?, ?, 'todo', 0, 0, ?, ?) ON CONFLICT DO NOTHING",
            (task.kind, task.id, source, _plain(task.about), _next_change(db), self._at()),
        )

    def _set(
        self,
        db: sqlite3.Connection,
        named: Named,
        status: Status,
        *,
        code: str | None = None,
        due: float | None = None,
        tried: int = 0,
    ) -> None:
        db.execute(
            "UPDATE tasks SET status = ?, code = ?, due = ?, tries = max(tries + ?, 0), change = ?, at = ? "
            "WHERE kind = ? AND id = ?",
            (status, code, due, tried, _next_change(db), self._at(), *named),
        )

    def _prune(self, db: sqlite3.Connection, source: str) -> None:
        newest = "SELECT change FROM tasks WHERE status = 'done' ORDER BY change DESC LIMIT 1 OFFSET ?"
        db.execute(f"DELETE FROM tasks WHERE status = 'done' AND change <= ({newest})", (MAX_DONE,))  # noqa: S608
        given_up = f"source = ? AND {GIVEN_UP}"
        newest = f"SELECT change FROM tasks WHERE {given_up} ORDER BY change DESC LIMIT 1 OFFSET ?"  # noqa: S608
        db.execute(f"DELETE FROM tasks WHERE {given_up} AND change <= ({newest})", (source, source, MAX_FAILED))  # noqa: S608

    def _at(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")


def pause(tries: int) -> float:
    """Seconds after so many tries until the next one."""
    return min(FIRST_PAUSE * 2.0 ** min(max(tries - 1, 0), 20), LONGEST_PAUSE)


def _plain(text: str) -> str:
    """One short line: what somebody else wrote brings no codes for the terminal."""
    return printable(text[:ABOUT])


async def _nothing() -> None:
    """A look is made by whoever keeps the book."""


def _change(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _next_change(db: sqlite3.Connection) -> int:
    change = _change(db) + 1
    db.execute(f"PRAGMA user_version = {change}")
    return change


def _named(db: sqlite3.Connection, where: str, *params: float | str) -> list[Named]:
    return db.execute(f"SELECT kind, id FROM tasks WHERE {where} ORDER BY position", params).fetchall()  # noqa: S608
