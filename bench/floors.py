"""The floors: what this machine does at most, without any of our code in the way."""

import asyncio
import os
import sqlite3
import time
from collections import deque
from contextlib import closing
from pathlib import Path

from nats.aio.client import Client
from nats.js.api import PubAck, StorageType, StreamConfig

from bench.plan import MESSAGE, Plan, rate
from privity.crypto.command import sign_command, verify_command
from privity.crypto.signing import SigningKey

BULK = 100  # events a commit
PAYLOAD = 600  # bytes of a signed envelope
STREAM = "BENCH"
PENDING = 256


class SyncedFile:
    """A SQLite file in which each commit is synced to disk (WAL, synchronous=FULL), as the event store's are."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("page_size=8192", "journal_mode=WAL", "synchronous=FULL"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE IF NOT EXISTS events (position INTEGER PRIMARY KEY, data BLOB)")
        self._data = os.urandom(MESSAGE)

    def commit(self, events: int) -> None:
        """One transaction of so many events."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO events (data) VALUES (?)", [(self._data,)] * events)
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def commits(plan: Plan, folder: Path) -> dict[str, float]:
    """Synced commits a second, and events a second when a hundred share one."""
    with closing(SyncedFile(folder / "floor.db")) as file:
        file.commit(1)
        one = rate(plan, plan.single, lambda _: file.commit(1))
        many = rate(plan, plan.bulk // BULK + 1, lambda _: file.commit(BULK))
    return {"commits_per_s": one, "events_per_s_100_a_commit": many * BULK}


def signatures(plan: Plan) -> dict[str, float]:
    """Ed25519 over a command's envelope, on one thread."""
    key, payload = SigningKey.generate(), os.urandom(PAYLOAD)
    made = sign_command(key, "home", "subject", payload)
    return {
        "signs_per_s": rate(plan, plan.bulk, lambda _: sign_command(key, "home", "subject", payload)),
        "verifies_per_s": rate(plan, plan.bulk, lambda _: verify_command(key.public, made, "home", "subject", payload)),
    }


async def publishes(plan: Plan, bus: Client) -> dict[str, float]:
    """JetStream publishes a second with 256 unacknowledged at a time, each acknowledged in the end."""
    jetstream, data = bus.jetstream(), os.urandom(MESSAGE)
    await jetstream.add_stream(StreamConfig(name=STREAM, subjects=["bench.stream"], storage=StorageType.FILE))
    try:
        start, done = time.perf_counter(), 0
        waiting: deque[asyncio.Future[PubAck]] = deque()
        for _ in plan.turns(plan.bulk):
            waiting.append(await jetstream.publish_async("bench.stream", data))
            done += 1
            if len(waiting) == PENDING:
                await waiting.popleft()
        await asyncio.gather(*waiting)
        return {"jetstream_publishes_per_s": done / (time.perf_counter() - start)}
    finally:
        await jetstream.delete_stream(STREAM)
