"""A SQLite file in the profile's folder, for the owner's eyes alone; several processes of the profile may hold it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from privity.errors import Malformed

BUSY = 10.0
"""Seconds to wait for another process of this profile."""


class Database:
    """One such file: it opens when it is first needed, and again after it was closed."""

    what: ClassVar[str]
    """What it is to the person, for the error."""
    tables: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file; it opens again by itself."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def forget(self) -> None:
        """Remove the file: another account begins here, or this one leaves."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def _open(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """The file, in one transaction; a look does not wait for those that write."""
        try:
            if self._db is None:
                self._db = self._connect()
            if self._db.in_transaction:
                yield self._db
                return
            with self._db:
                self._db.execute(begin)
                yield self._db
        except (sqlite3.Error, OverflowError) as error:
            raise Malformed(f"the profile's {self.what} in {self._path} cannot be used: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(self._path, timeout=BUSY, isolation_level=None)
        try:
            db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + self.tables)
        except BaseException:
            db.close()
            raise
        return db
