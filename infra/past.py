"""The desk at which consumers ask for the past: pages of events straight from the store, however little EVENTS holds.

Who asks, and what they may see, stands in the subject, to which the bus holds them. Each is served one page at a time,
and at most a hundred pages a second, so that none keeps the others, or the views, from their work.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from infra.processes import cancel
from infra.relay import as_published
from infra.store import Stored
from privity.errors import Busy, Malformed, PrivityError
from privity.messages.catalog import explain
from privity.messages.past import (
    MAX_PAGE_BYTES,
    MAX_REQUEST,
    PAST_SUBJECT,
    AskPast,
    PastEvent,
    PastPage,
    ask_past,
    contexts_of,
    past_page,
)

log = logging.getLogger(__name__)

THREADS: Final = 2
PAUSE: Final = 0.01
"""Seconds between two pages for one consumer."""
SLICE: Final = 8
"""Events that are read at first; then each time twice as many, so that little more is read than a page takes."""
MAX_LOOKED_AT: Final = 4 * MAX_PAGE_BYTES
"""Bytes of events, also of other contexts, after which a page ends."""
CONSUMERS: Final = 1000
"""Consumers whose last page is remembered: more than a home can have."""
AROUND: Final = 200
"""Bytes of a page around an event's own."""


class Past:
    """Opened by `open`. `after` gives at most so many stored events behind a position, `head` the newest position."""

    def __init__(self, after: Callable[[int, int], Sequence[Stored]], head: Callable[[], int]) -> None:
        self._after = after
        self._head = head
        self._served: dict[str, asyncio.Task[None]] = {}
        self._told_to_wait = set[str]()
        self._next: dict[str, float] = {}
        self._threads = ThreadPoolExecutor(THREADS, "past")

    async def open(self, bus: Client) -> None:
        """Hear requests, from now on."""
        await bus.subscribe(f"{PAST_SUBJECT}.*.*", queue="past", cb=self._hear)

    async def close(self) -> None:
        """Leave the requests that are being answered; their consumers ask again."""
        await cancel(*self._served.values())
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _hear(self, request: Msg) -> None:
        """One page at a time for each: of further requests one is refused at once, and the others get no answer.

        A request without an asker is nothing.
        """
        name = request.subject.split(".")[2]
        if not request.reply:
            return
        if name in self._served:
            if name in self._told_to_wait:
                return
            self._told_to_wait.add(name)
            await _respond(request, _refused(Busy("your page before this one is not out yet")))
            return
        task = asyncio.create_task(self._serve(name, request), name=f"past of {name}")
        self._served[name] = task
        task.add_done_callback(lambda _: self._done(name))

    def _done(self, name: str) -> None:
        self._served.pop(name, None)
        self._told_to_wait.discard(name)

    async def _serve(self, name: str, request: Msg) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._next.get(name, 0.0) - loop.time())
        try:
            asked = _read(request.data)
            page = await loop.run_in_executor(self._threads, self.page, asked, contexts_of(request.subject))
        except PrivityError as error:
            page = _refused(error)
        if len(self._next) >= CONSUMERS:
            self._next.clear()
        self._next[name] = loop.time() + PAUSE
        await _respond(request, page)

    def page(self, asked: AskPast, contexts: frozenset[str] | None) -> PastPage:
        """The events behind a position, as they are published today; those of other contexts are passed over.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        head = self._head()
        found: list[PastEvent] = []
        reached, size, looked_at = asked.after, 0, 0
        for stored in self._behind(asked.after, asked.limit):
            event = as_published(stored)
            if contexts is None or event.context in contexts:
                size += len(event.data) + event.data.count(b'"') + event.data.count(b"\\") + AROUND
                if found and size > MAX_PAGE_BYTES:
                    break
                found.append(PastEvent(stored.position, stored.version, event.subject, event.data.decode()))
            reached, looked_at = stored.position, looked_at + len(stored.data)
            if looked_at > MAX_LOOKED_AT:
                break
        if reached == asked.after:
            return PastPage("ok", min(reached, head), head)
        return PastPage("ok", reached, max(reached, head), tuple(found))

    def _behind(self, position: int, limit: int) -> Iterator[Stored]:
        """At most `limit` events behind a position, read as they are taken."""
        count = SLICE
        while limit > 0:
            read = self._after(position, min(count, limit))
            yield from read
            if not read:
                return
            position, limit, count = read[-1].position, limit - len(read), 2 * count


def _read(data: bytes) -> AskPast:
    if len(data) > MAX_REQUEST:
        raise Malformed("the request is too long")
    try:
        return ask_past.validate_json(data)
    except ValidationError as error:
        raise Malformed(explain(error)) from None


def _refused(error: PrivityError) -> PastPage:
    return PastPage("refused", code=error.code, message=error.message)


async def _respond(request: Msg, page: PastPage) -> None:
    try:
        await request.respond(past_page.dump_json(page))
    except (NatsError, OSError) as error:  # the consumer asks again
        log.warning("a page of the past could not be sent: %s", type(error).__name__)
