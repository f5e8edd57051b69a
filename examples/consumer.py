"""Follows a home's events into a view of its own, each exactly once: who gave whom how many shares on which day.

    privity consumer credential --name shares --data HOME --out shares.creds \\
        --context accounts --context connections --context shares
    CONSUMER_SERVER=nats://... CONSUMER_CREDENTIAL=shares.creds CONSUMER_ASKS=privity.past.shares.accounts+... \\
        python examples/consumer.py shares.db [--rebuild] [--once]

It needs nats-py, SQLite and nothing of Privity's code: docs/consuming-events.md. Kill it whenever you like.
"""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as BusError

SETTINGS = ("CONSUMER_SERVER", "CONSUMER_CREDENTIAL", "CONSUMER_ASKS")
if not os.environ.keys() >= set(SETTINGS):
    sys.exit(f"set {', '.join(SETTINGS)}: `privity consumer credential` says to what")
SERVER, CREDENTIAL, ASKS = map(os.environ.__getitem__, SETTINGS)
NAME, CONTEXTS = ASKS.split(".")[2:]
SUBJECTS = ["privity.evt.>"] if CONTEXTS == "all" else [f"privity.evt.{each}.>" for each in CONTEXTS.split("+")]
SILENCE = 5.0  # seconds without anything new after which it asks by itself
AGAIN = 0.5  # seconds until it asks again, when the home is away
REFUSED = "the bus refuses the credential: was it taken back, or has it ended?"
TABLES = """
CREATE TABLE IF NOT EXISTS progress (position INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS people (account TEXT PRIMARY KEY, address TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shares (share TEXT PRIMARY KEY, connection TEXT, owner TEXT, recipient TEXT);
CREATE TABLE IF NOT EXISTS days (
    day TEXT, owner TEXT, recipient TEXT, given INTEGER, ended INTEGER, PRIMARY KEY (day, owner, recipient));
INSERT INTO progress SELECT 0 WHERE NOT EXISTS (SELECT * FROM progress);
"""
DROPPED = "".join(f"DROP TABLE IF EXISTS {each};" for each in ("progress", "people", "shares", "days"))
COUNT = """
INSERT INTO days VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET given = given + excluded.given, ended = ended + excluded.ended
"""
SHOWN = """
SELECT day, coalesce(one.address, owner), coalesce(other.address, recipient), given, ended FROM days
LEFT JOIN people AS one ON one.account = owner LEFT JOIN people AS other ON other.account = recipient ORDER BY 1, 2, 3
"""


class View:
    """The rows and, in the same transactions, the position up to which they are folded."""

    def __init__(self, path: str, *, rebuild: bool) -> None:
        self.db = sqlite3.connect(path, isolation_level="IMMEDIATE", timeout=30)
        self.db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        self.db.executescript(f"BEGIN IMMEDIATE; {DROPPED if rebuild else ''} {TABLES} COMMIT;")

    @property
    def position(self) -> int:
        return int(self.db.execute("SELECT position FROM progress").fetchone()[0])

    def apply(self, after: int, events: Sequence[tuple[str, bytes | str]], reached: int) -> None:
        """Fold what came behind `after`; nothing, if the view does not stand there (any more)."""
        with self.db:  # rows and position together, or neither
            if self.db.execute("UPDATE progress SET position = ? WHERE position = ?", (reached, after)).rowcount == 0:
                return
            for subject, data in events:
                recorded = json.loads(data)
                self._fold(subject.split(".")[3], recorded["event"], recorded["meta"]["at"][:10])

    def _fold(self, name: str, event: dict[str, Any], day: str) -> None:
        """What one event changes; names that it does not know are passed over, fields that it does not know too."""
        match name:
            case "account-registered" | "account-renamed":
                self.db.execute("INSERT OR REPLACE INTO people VALUES (:account, :address)", event)
            case "share-created":
                self.db.execute("INSERT INTO shares VALUES (:share, :connection, :owner, :recipient)", event)
                self.db.execute(COUNT, (day, event["owner"], event["recipient"], 1, 0))
            case "share-removed":
                self._end("DELETE FROM shares WHERE share = :share RETURNING owner, recipient", event, day)
            case "connection-removed":
                self._end("DELETE FROM shares WHERE connection = :connection RETURNING owner, recipient", event, day)

    def _end(self, statement: str, event: dict[str, Any], day: str) -> None:
        for owner, recipient in self.db.execute(statement, event).fetchall():
            self.db.execute(COUNT, (day, owner, recipient, 0, 1))


async def catch_up(view: View, bus: Client) -> None:
    """The sure path: page by page out of the store, whatever the bus has lost."""
    reached, head = -1, 0
    while reached < head:
        after = view.position
        answer = await bus.request(ASKS, json.dumps({"v": 1, "after": after}).encode(), timeout=10)
        page = json.loads(answer.data)
        if page["status"] != "ok":
            raise BusError(f"{page['code']}: {page['message']}")
        reached, head = page["reached"], page["head"]
        if head < after:
            sys.exit("the home has less than this view has seen: it was restored from a copy. Run with --rebuild")
        if reached > after:
            view.apply(after, [(each["subject"], each["data"]) for each in page["events"]], reached)


async def listen(view: View, live: asyncio.Queue[Msg], bus: Client, reconnects: int) -> None:
    """The quick path: each event as it comes, until one does not follow the view's position, or nothing new comes.

    Repeats are nothing new: a home that was restored from a copy tells other events at the positions that the view has.
    """
    loop = asyncio.get_running_loop()
    new = loop.time()
    while True:
        try:
            message = await asyncio.wait_for(live.get(), new + SILENCE - loop.time())
            position, previous = (int((message.headers or {})[f"Privity-{name}"]) for name in ("Position", "Previous"))
        except (TimeoutError, KeyError):  # nothing new; or what is no event, since it says no position
            return
        if bus.stats["reconnects"] != reconnects:  # to a home that may be another since
            return
        if previous == view.position:
            view.apply(previous, [(message.subject, message.data)], position)
            new = loop.time()
        elif position > view.position:
            return


async def met(error: Exception) -> None:
    """What goes wrong on the bus is tried again for ever, but for what no patience mends."""
    print(f"bus: {error or type(error).__name__}", file=sys.stderr)
    if "authorization" in str(error).lower():
        sys.exit(REFUSED)


async def main(path: str, *options: str) -> None:
    view, live = View(path, rebuild="--rebuild" in options), asyncio.Queue[Msg](1000)
    how: dict[str, Any] = {"inbox_prefix": f"_INBOX_{NAME}", "max_reconnect_attempts": -1, "error_cb": met}
    bus = await nats.connect(SERVER, user_credentials=CREDENTIAL, **how)
    for subject in SUBJECTS:  # first, so that nothing falls between
        await bus.subscribe(subject, cb=live.put)
    while not bus.is_closed:
        reconnects = bus.stats["reconnects"]
        try:
            await catch_up(view, bus)
            if "--once" in options:
                break
            print(f"at {view.position}", flush=True)
            await listen(view, live, bus, reconnects)
        except (BusError, TimeoutError) as error:  # the home is away, or busy
            print(f"waiting: {error or 'no answer'}", file=sys.stderr)
            await asyncio.sleep(AGAIN)
    if bus.is_closed:
        sys.exit(REFUSED)
    for row in view.db.execute(SHOWN):
        print(*row, sep="\t")
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
