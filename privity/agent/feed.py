"""The feed: what happened, by cursor and live, without a gap between the two."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from privity.agent.session import Session
from privity.messages.envelope import FeedEntry, feed_subject
from privity.messages.views import AskFeed

LOOK = 15.0
"""Seconds without a live line after which the view is asked."""


async def past(session: Session, after: int = 0) -> list[FeedEntry]:
    """What happened behind the cursor, in order."""
    return list((await session.ask_all(AskFeed(after=after), FeedEntry)).rows)


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
