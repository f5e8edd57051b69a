"""M36, the event feed: what happened, in order, by cursor and live, the same lines either way."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import feed, items
from privity.agent.bus import Bus
from privity.connection_string import parse_connection_string
from privity.errors import Withheld
from privity.messages.envelope import FeedEntry
from privity.testing.home import RunningHome
from privity.testing.people import PRIVITY, Person, somebody
from tests.rows.watching import eventually, lie


async def add(person: Person, *labels: str) -> None:
    """Items, each of which is a line of the feed."""
    async with person.session() as (session, keyring):
        for label in labels:
            await items.add(session, keyring, label, {})


async def past(person: Person, after: int = 0) -> list[FeedEntry]:
    """The lines by cursor."""
    async with person.session() as (session, _):
        return await feed.past(session, after)


async def followed(person: Person, after: int, until: int, into: list[FeedEntry]) -> None:
    """The lines as they happen, as long as there are fewer than that."""
    async with person.session() as (session, _):
        async for line in feed.follow(session, after):
            into.append(line)
            if len(into) == until:
                return


async def test_m36_live_and_by_cursor_the_feed_tells_the_same_lines_in_the_same_order(ann: Person) -> None:
    await add(ann, "before")
    known = await past(ann)
    cursor = known[0].position
    whole: list[FeedEntry] = []
    rest: list[FeedEntry] = []
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(followed(ann, 0, len(known) + 6, whole))
        group.create_task(followed(ann, cursor, len(known) + 5, rest))
        for start in ("a", "b"):  # bursts from two devices' sessions at once
            group.create_task(add(ann, *(f"{start}{number}" for number in range(3))))

    told = await past(ann)

    assert whole == told
    assert rest == told[1:]
    assert [line.seq for line in told] == list(range(1, len(known) + 7))
    for place, line in enumerate(told):  # by cursor, from anywhere
        if place % 3 == 0:
            assert await past(ann, line.position) == told[place + 1 :]


async def test_m36_a_live_line_that_is_lost_is_told_all_the_same(ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(bus: Bus, subject: str) -> asyncio.Queue[bytes]:
        return asyncio.Queue()

    monkeypatch.setattr(feed, "LOOK", 0.3)
    monkeypatch.setattr(Bus, "listen", deaf)
    lines: list[FeedEntry] = []
    count = len(await past(ann))

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(followed(ann, 0, count + 1, lines))
        group.create_task(add(ann, "unheard"))

    assert lines == await past(ann)


async def test_m36_a_line_that_the_backend_leaves_out_is_an_alarm_live_and_by_cursor(
    ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(ann, "one", "two", "three")
    told = await past(ann)
    hidden = told[-2].position

    def leave_out(rows: list[dict[str, Any]]) -> None:
        rows[:] = [row for row in rows if row["position"] != hidden]

    with monkeypatch.context() as patch:
        lie(patch, "feed", leave_out)
        with pytest.raises(Withheld):
            await past(ann)
        with pytest.raises(Withheld):
            await followed(ann, 0, len(told), [])

    again: list[FeedEntry] = []
    await followed(ann, 0, len(told), again)
    assert again == told == await past(ann)


class Cable:
    """A line to a home that can be pulled out: whoever is connected then has to connect again."""

    def __init__(self, url: str) -> None:
        self._home = parse_connection_string(url)
        self._writers: list[asyncio.StreamWriter] = []
        self._pumps: set[asyncio.Task[None]] = set()
        self.count = 0

    def url(self, server: asyncio.Server) -> str:
        """The home's connection string, but for its place."""
        return replace(self._home, host="127.0.0.1", port=server.sockets[0].getsockname()[1]).text()

    async def plug(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more connection, forwarded as it is."""
        self.count += 1
        inner = await asyncio.open_connection(self._home.host, self._home.port)
        self._writers += [writer, inner[1]]
        for source, sink in ((reader, inner[1]), (inner[0], writer)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    def pull(self) -> None:
        """Cut all that is connected now."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()


async def test_m36_over_a_line_that_breaks_there_is_no_gap_and_nothing_twice(
    ann: Person, backend: RunningHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LOOK", 30.0)  # longer than the test: what was missed comes with the new line
    cable = Cable(backend.url)
    server = await asyncio.start_server(cable.plug, "127.0.0.1")
    count, lines = len(await past(ann)), list[FeedEntry]()

    async def told(number: int) -> None:
        async def there() -> bool | None:
            return len(lines) >= number or None

        await eventually(there)

    async with server, asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(followed(replace(ann, server=cable.url(server)), 0, count + 3, lines))
        for number in range(3):
            await told(count + number)
            cable.pull()
            await add(ann, f"while it is away {number}")
    cable.pull()

    assert cable.count > 3
    assert lines == await past(ann)
    assert len(lines) == count + 3


class Following:
    """`privity feed --follow --json` in a process of its own."""

    def __init__(self, person: Person, written: Path) -> None:
        own = {"SERVER": person.server, "HOME": str(person.home), "PASSPHRASE": person.passphrase}
        self._written = written
        with written.open("w") as out:
            self.process = subprocess.Popen(
                [*PRIVITY, "feed", "--follow", "--json"],
                stdout=out,
                stderr=subprocess.PIPE,
                env={**os.environ, **{f"PRIVITY_{name}": value for name, value in own.items()}},
            )

    @property
    def rows(self) -> list[Any]:
        """What it has printed so far."""
        return [json.loads(line) for line in self._written.read_text().splitlines() if line.endswith("}")]

    async def until(self, count: int) -> None:
        """Wait until it has printed so many lines."""

        async def there() -> bool | None:
            return len(self.rows) >= count or None

        await eventually(there)


@pytest.mark.trial
async def test_m36_who_follows_sees_each_line_once_over_restarts_of_the_home(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    await add(ann, "before")
    count = len(await past(ann))
    following = Following(ann, tmp_path / "followed")
    try:
        await following.until(count)
        ends: list[Callable[[], object]] = [own_backend.stop, own_backend.kill]
        for end in ends:
            await asyncio.to_thread(end)
            await asyncio.to_thread(own_backend.start)
            await add(ann, "after", "and another")
            count += 2
            await following.until(count)
        assert following.process.poll() is None
    finally:
        following.process.terminate()
        following.process.wait()
        assert following.process.stderr is not None
        following.process.stderr.close()

    told = ann.json("feed")
    assert following.rows == told
    assert len(told) == count
