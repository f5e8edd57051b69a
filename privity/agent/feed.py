"""The feed: what happened, by cursor and live, without a gap between the two, and each line hashed onto the last."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from datetime import UTC

from privity.agent import erasing
from privity.agent.memory import FeedMark, Memory
from privity.agent.session import Session
from privity.crypto.feed import feed_link
from privity.errors import ForgedRecord, Withheld
from privity.messages.envelope import FeedEntry, feed_subject
from privity.messages.views import MAX_PAGE, AskFeed

LOOK = 15.0
"""Seconds without a live line after which the view is asked."""


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
    _remember(session.memory, lines)
    session.memory.keep_feed(marks[1:])


async def follow(session: Session, after: int = 0) -> AsyncIterator[FeedEntry]:
    """What happened behind the cursor and all that happens from now on; the live line only wakes, the view tells."""
    bus = await session.connected()
    live = await bus.listen(feed_subject(session.account))
    while True:
        for entry in await past(session, after):
            after = entry.position
            yield entry
        with contextlib.suppress(TimeoutError):  # a live line can be lost: the view is asked anyway
            await asyncio.wait_for(live.get(), LOOK)


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


def _remember(memory: Memory, lines: Iterable[FeedEntry]) -> None:
    """What the lines say about one's own items: that they must be there, at which version, and how they ended."""
    for line in lines:
        erasing.remember(memory, line)
        item = line.refs.get("item", "")
        match line.event:
            case "item-added" | "item-edited":
                memory.saw("item", item, _version(line))
            case "item-removed":
                memory.said_to_end("item", item, line.position)


def _version(line: FeedEntry) -> int:
    text = line.refs.get("version", "1")
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ForgedRecord(f"Line {line.seq} of the feed names no version.")
    return int(text)
