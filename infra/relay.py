"""The relay: publishes every stored event on EVENTS, in order, once, from wherever the stream stands.

It is the stream's only publisher and states, with each message, the sequence that must stand before it: the bus itself
refuses a gap, a repeat or a second relay. The stream's n-th message is the store's n-th event.
"""

import asyncio
import logging
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import Header
from nats.js.errors import NotFoundError

from infra.mapping import as_of_today
from infra.store import EventStore, Stored
from infra.streams import EVENTS, declare_streams, stream_tail
from privity.errors import StoreUnavailable
from privity.messages.catalog import EVENTS as EVENT_TYPES
from privity.messages.envelope import EVENT_SUBJECT
from privity.messages.recorded import POSITION_HEADER, PREVIOUS_HEADER, VERSION_HEADER

log = logging.getLogger(__name__)

PAGE = 500
POLL = 1.0
"""Seconds after which the relay looks by itself whether the store or the stream has changed."""
RETRY = 0.5
PUBLISH_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Published:
    """An event as the bus carries it."""

    subject: str
    context: str
    data: bytes


def as_published(stored: Stored) -> Published:
    """The stored event as it is published today.

    Raises:
        Malformed: a name or version that this code does not know.
    """
    base, data = as_of_today(stored.name, stored.data)
    context = EVENT_TYPES[base].context
    return Published(f"{EVENT_SUBJECT}.{context}.{base}.{stored.stream}", context, data)


class Relay:
    """One relay task. `wake` after each commit; `position` is how far the stream is known to have got."""

    def __init__(self, store: EventStore, bus: Client) -> None:
        self._store = store
        self._jetstream = bus.jetstream(timeout=PUBLISH_TIMEOUT, publish_async_max_pending=PAGE)
        self._woken = asyncio.Event()
        self.position = 0
        self._sequence = 0

    def wake(self) -> None:
        """There may be something new."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled; whatever fails is looked at anew from the stream's end."""
        known = False
        while True:
            try:
                if not known:
                    await self._find_end()
                    known = True
                await self._publish_all()
                known = await self._rest()
            except (NatsError, StoreUnavailable, TimeoutError, OSError) as error:
                log.warning("relay interrupted at position %d: %s", self.position, error)
                known = False
                await asyncio.sleep(RETRY)

    async def _rest(self) -> bool:
        """Wait for news; false when the stream is no longer where this relay left it."""
        try:
            await asyncio.wait_for(self._woken.wait(), POLL)
        except TimeoutError:
            sequence, _ = await stream_tail(self._jetstream, EVENTS)
            return sequence == self._sequence
        return True

    async def _find_end(self) -> None:
        try:
            self._sequence, last = await stream_tail(self._jetstream, EVENTS)
        except NotFoundError:
            log.warning("the stream %s is gone; making it again from the store", EVENTS)
            await declare_streams(self._jetstream)
            self._sequence, last = await stream_tail(self._jetstream, EVENTS)
        self.position = int((last.headers or {})[POSITION_HEADER]) if last is not None else 0

    async def _publish_all(self) -> None:
        full = True
        while full:
            self._woken.clear()  # before the store is read: what is committed from now on wakes again
            page = await asyncio.to_thread(self._store.after, self.position, PAGE)
            if page:
                await self._publish(page)
            full = len(page) == PAGE

    async def _publish(self, page: list[Stored]) -> None:
        waiting = []
        previous, sequence = self.position, self._sequence
        for stored in page:
            event = as_published(stored)
            headers = {
                POSITION_HEADER: str(stored.position),
                PREVIOUS_HEADER: str(previous),
                VERSION_HEADER: str(stored.version),
                Header.MSG_ID: f"event-{stored.position}",
                Header.EXPECTED_STREAM: EVENTS,
                Header.EXPECTED_LAST_SEQUENCE: str(sequence),
            }
            waiting.append(await self._jetstream.publish_async(event.subject, event.data, headers=headers))
            previous, sequence = stored.position, sequence + 1
        await asyncio.wait_for(asyncio.gather(*waiting), PUBLISH_TIMEOUT)
        self.position, self._sequence = previous, sequence
