"""Turns: SQLite has one writer, so whoever writes views waits for the others in the kernel's queue, not by polling."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from privity.errors import AlreadyRunning

TURN, REPLAY = "turn", "replay"
APART = "apart"
"""What the name of the file ends with, into which SQLite's views are folded before they are copied beside."""
ADVISORY = int.from_bytes(b"replay", "big")
"""The advisory lock of PostgreSQL under which views are rebuilt."""


@contextmanager
def turn(engine: sa.Engine) -> Iterator[None]:
    """Hold the one writer's place of a SQLite file, until the block ends; other databases need none."""
    path = file_of(engine)
    if path is None:
        yield
        return
    descriptor = os.open(f"{path}-{TURN}", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def only_rebuild(engine: sa.Engine) -> Iterator[None]:
    """Let one rebuild at a time work on these views; freed however the process ends.

    Raises:
        AlreadyRunning: another one does.
    """
    path = file_of(engine)
    refusal = AlreadyRunning("another replay works on these views")
    if path is not None:
        descriptor = os.open(f"{path}-{REPLAY}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise refusal from None
            yield
        finally:
            os.close(descriptor)
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        if (
            engine.dialect.name == "postgresql"
            and not db.execute(sa.select(sa.func.pg_try_advisory_lock(ADVISORY))).scalar()
        ):
            raise refusal
        try:
            yield
        finally:
            if engine.dialect.name == "postgresql":
                db.execute(sa.select(sa.func.pg_advisory_unlock(ADVISORY)))


def file_of(engine: sa.Engine) -> str | None:
    """The file of a SQLite database that has one."""
    if engine.dialect.name != "sqlite" or engine.url.database in (None, "", ":memory:"):
        return None
    return engine.url.database


def apart_of(engine: sa.Engine) -> Path | None:
    """Where a rebuild of SQLite's views folds them first."""
    path = file_of(engine)
    return None if path is None else Path(f"{path}-{APART}")


def drop_apart(engine: sa.Engine) -> None:
    """Delete what a rebuild that was killed has left there, unless another one works now."""
    left = apart_of(engine)
    if left is None or not left.exists():
        return
    with contextlib.suppress(AlreadyRunning), only_rebuild(engine):
        left.unlink(missing_ok=True)


def identity_of(engine: sa.Engine) -> object:
    """What tells a SQLite file from another one of the same name; None where there is none."""
    path = file_of(engine)
    if path is None or not os.path.exists(path):
        return None
    found = os.stat(path)
    return found.st_dev, found.st_ino


def drop_rest(engine: sa.Engine) -> None:
    """Delete what SQLite keeps beside a file that is gone: it belongs to that one, and to none that is made now."""
    path = file_of(engine)
    if path is None or os.path.exists(path):
        return
    for name in (f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
