"""The feed: what happened, by cursor and live, without a gap between the two, and each line hashed onto the last."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC

from privity.agent import erasing
from privity.agent.bus import Bus
from privity.agent.kinds import (
    GRANTED,
    GROUP,
    INSTRUCTION,
    ITEM,
    KEY_GIVEN_UP,
    KEY_GRANTED,
    LOCATION,
    LOCATION_TOLD,
    PIECE,
    RELEASED,
    RULES,
    SHARING_KEY,
)
from privity.agent.memory import FeedMark, Memory
from privity.agent.session import Session
from privity.crypto.feed import feed_link
from privity.errors import Busy, ForgedRecord, RateLimited, Unreachable, Withheld
from privity.messages.envelope import FeedEntry, feed_subject
from privity.messages.views import MAX_PAGE, AskFeed

LOOK = 15.0
"""Seconds without a live line after which the view is asked."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds at most before the first try to reach a home again, and before any later one."""


async def past(session: Session, after: int = 0) -> list[FeedEntry]:
    """What happened behind the cursor, in order; all that is new to this device is checked and remembered.

    Raises:
        Withheld: a line that was there, or that must be there, is left out.
        ForgedRecord: a line is not what it was.
    """
    await learn(session)
    known, mark = session.memory.feed, session.memory.feed_until(after)
    lines = (await session.ask_all(AskFeed(after=mark.position), FeedEntry)).rows
    for line in lines:
        mark = follow_on(mark, line, session.account)
        if mark.seq == known.seq and mark != known:
            raise ForgedRecord(f"Line {line.seq} of the feed was another one before.")
    if mark.seq < known.seq:
        raise Withheld(f"The feed ends before line {known.seq}, which was seen before.")
    return [line for line in lines if line.position > after]


async def learn(session: Session) -> None:
    """Read on where this device last stopped: every line must follow the one before, and tells what must be there.

    Raises:
        Withheld, ForgedRecord: as `past`.
    """
    marks = [session.memory.feed]
    lines = (await session.ask_all(AskFeed(after=marks[0].position, limit=MAX_PAGE), FeedEntry)).rows
    for line in lines:
        marks.append(follow_on(marks[-1], line, session.account))
    _remember(session.memory, lines, session.account)
    session.erased([each for line in lines for each in erasing.digests(line)])
    if any(_is_parting(line, session.account) for line in lines):
        session.parted()
    session.memory.keep_feed(marks[1:])


async def follow(session: Session, after: int = 0) -> AsyncIterator[FeedEntry]:
    """What happened behind the cursor and all that happens from now on; the live line only wakes, the view tells.

    Once it has begun, it goes on when the home is there again after it was away.
    """
    wakes, begun, pauses = Wakes(session), False, backoff()
    while True:
        try:
            await wakes.listen()
            await session.send_kept()
            found = await past(session, after)
        except (Busy, RateLimited, Unreachable):
            if not begun:
                raise
            await asyncio.sleep(next(pauses))
            continue
        begun, pauses = True, backoff()
        for entry in found:
            after = entry.position
            yield entry
        await wakes.wait(LOOK)  # a live line can be lost: the view is asked anyway


class Wakes:
    """Wakes whoever waits when something may have happened: live lines of the feed, which are not believed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._bus: Bus | None = None
        self._live: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(self) -> None:
        """Listen on the line that the session has now.

        Raises:
            Unreachable: it has none.
        """
        bus = await self._session.connected()
        if bus is not self._bus:
            self._live = await bus.listen(feed_subject(self._session.account))
            self._bus = bus

    async def wait(self, seconds: float) -> bool:
        """Wait until something may have happened, so long at most; whether it has. A burst wakes once."""
        try:
            await asyncio.wait_for(self._live.get(), seconds)
        except TimeoutError:
            return False
        while not self._live.empty():
            self._live.get_nowait()
        return True


def backoff() -> Iterator[float]:
    """Seconds to wait before each next try to reach a home: longer and longer, and never the same for two agents."""
    longest = FIRST_PAUSE
    while True:
        yield random.uniform(longest / 2, longest)  # noqa: S311 - nothing depends on it
        longest = min(longest * 2, LONGEST_PAUSE)


def follow_on(mark: FeedMark, line: FeedEntry, account: str) -> FeedMark:
    """The mark behind one more line.

    Raises:
        Withheld: its number is not the next.
        ForgedRecord: its link does not hash it onto the line before.
    """
    if line.seq != mark.seq + 1:
        raise Withheld(f"The feed goes from line {mark.seq} to line {line.seq}: something is left out or was changed.")
    try:
        at = line.at.astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError:  # a time before the year 1, or after 9999
        raise ForgedRecord(f"Line {line.seq} of the feed has no time.") from None
    link = feed_link(account, line.seq, mark.link, line.position, line.event, at, line.actor, line.refs)
    if line.link != link or line.position <= mark.position:
        raise ForgedRecord(f"Line {line.seq} of the feed does not follow from the one before.")
    return FeedMark(line.position, line.seq, link)


def _remember(memory: Memory, lines: Iterable[FeedEntry], account: str) -> None:
    """What the lines say about one's own items: that they must be there, at which version, and how they ended."""
    for line in lines:
        erasing.remember(memory, line)
        item = line.refs.get("item", "")
        match line.event:
            case "item-added" | "item-edited":
                memory.saw(ITEM, item, _version(line))
            case "item-kept" if line.refs.get("principal") == account:
                memory.saw(ITEM, item, _version(line))
            case "item-dropped" if line.refs.get("principal") == account:
                memory.said_to_end(ITEM, item, line.position)
            case "item-removed":
                memory.said_to_end(ITEM, item, line.position)
            case "instruction-answered" if line.refs.get("principal") == account:
                memory.saw(INSTRUCTION, line.refs.get("delegation", ""), _version(line, "n"), place=account)
            case "group-left" if line.actor == account:
                memory.said_to_end(GROUP, line.refs.get("group", ""), line.position)
            case "sharing-key-created" if line.actor == account:
                memory.saw(SHARING_KEY, line.refs.get("key", ""), 1, place="own")
            case "sharing-key-granted" | "public-part-sent" if line.refs.get("to") == account:
                memory.said_to_end(SHARING_KEY, line.refs.get("key", ""), 0)  # whatever was before, it is there now
            case "sharing-key-granted" if line.actor == account:
                memory.saw(KEY_GRANTED, f"{line.refs.get('key', '')} {line.refs.get('to', '')}", line.position)
            case "sharing-key-erased" if line.actor != account and _is_own_key(memory, line):
                memory.saw(KEY_GIVEN_UP, f"{line.refs.get('key', '')} {line.actor}", line.position)
            case "sharing-key-erased":
                memory.said_to_end(SHARING_KEY, line.refs.get("key", ""), line.position)
            case "sharing-key-rotated" if line.actor != account:
                memory.said_to_end(SHARING_KEY, line.refs.get("key", ""), line.position)
            case "piece-set" | "piece-removed":
                memory.saw(PIECE, line.refs.get("piece", ""), _version(line), place=account)
            case "location-changed":
                memory.saw(LOCATION_TOLD, line.refs.get("location", ""), _version(line, "n"))
            case "location-removed":
                memory.said_to_end(LOCATION, line.refs.get("location", ""), line.position)
            case "rules-set":
                memory.saw(RULES, account, _version(line))
            case "piece-granted" if line.refs.get("reader") != account:
                place = [line.refs.get(name, "") for name in ("connection", "piece", "reader")]
                memory.saw(GRANTED, " ".join(place), _version(line, "generation"), place=place[1])
            case "connection-removed":
                for grant in memory.begins(GRANTED, f"{line.refs.get('connection', '')} "):
                    memory.saw(RELEASED, grant.id.partition(" ")[2], grant.version)
            case "piece-released":
                named = f"{line.refs.get('piece', '')} {line.refs.get('reader', '')}"
                memory.saw(RELEASED, named, _version(line, "generation"))


def _is_own_key(memory: Memory, line: FeedEntry) -> bool:
    seen = memory.seen(SHARING_KEY, line.refs.get("key", ""))
    return seen is not None and seen.place == "own"


def _is_parting(line: FeedEntry, account: str) -> bool:
    """Whether somebody's delegate was removed, not one's own: it may have been oneself."""
    return line.event == "delegation-removed" and line.refs.get("principal") != account


def _version(line: FeedEntry, name: str = "version") -> int:
    text = line.refs.get(name, "1")
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ForgedRecord(f"Line {line.seq} of the feed names no version.")
    return int(text)
