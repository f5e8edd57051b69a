"""The live feed of the projector: follows EVENTS, falls back on the store at any gap, announces how far it is."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage
from faststream.nats.subscriber.usecases import PushStreamSubscriber
from nats.aio.msg import Msg
from nats.js.api import AckPolicy as JetStreamAck
from nats.js.api import ConsumerConfig, DeliverPolicy

from privity.messages.envelope import EVENT_SUBJECT, feed_entry, feed_subject
from privity.messages.recorded import (
    POSITION_HEADER,
    PREVIOUS_HEADER,
    VERSION_HEADER,
    Positioned,
    read_recorded,
)
from projections import feed
from projections.projector import Projector

log = logging.getLogger(__name__)

STREAM = "EVENTS"
DURABLE = "views"
BATCH = 500
WAITING = 4096
WATCHDOG = 1.0
"""Seconds after which the projector looks into the store by itself."""
MAX_LIVE_LINES = 1000
"""Feed lines that are announced live after a catch-up; older ones are asked for by cursor."""

T = TypeVar("T")
R = TypeVar("R")

After = Callable[[int, int], Sequence[Positioned]]
Publish = Callable[[str, bytes], Awaitable[None]]


class Announced:
    """How far the views are, for whoever waits for a position.

    Nothing is answered from views that have not reached `least`: those before them had been shown at that position.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        self.least = 0
        self._moved = asyncio.Condition()

    async def to(self, position: int) -> None:
        """Announce a committed position."""
        async with self._moved:
            self.position = position
            self._moved.notify_all()

    async def lost(self) -> None:
        """Announce that the views are gone, and are folded anew."""
        async with self._moved:
            self.least, self.position = max(self.least, self.position), 0

    async def reached(self, position: int, within: float) -> bool:
        """Wait for a position, `within` seconds at the most."""
        try:
            async with self._moved, asyncio.timeout(within):
                await self._moved.wait_for(lambda: self.position >= position)
        except TimeoutError:
            return False
        return True


class Live:
    """Applies events as they come, in batches; every gap, restart or lost stream is filled from the store."""

    def __init__(self, projector: Projector, after: After, publish: Publish) -> None:
        self._projector = projector
        self._after = after
        self._publish = publish
        self._waiting: asyncio.Queue[Msg] = asyncio.Queue(WAITING)
        self._thread = ThreadPoolExecutor(1, "projector")
        self.announced = Announced(projector.position)

    def subscribe(self, broker: NatsBroker) -> PushStreamSubscriber:
        """Follow EVENTS from now on; what came before is in the store."""
        subscriber = broker.subscriber(
            f"{EVENT_SUBJECT}.>",
            durable=DURABLE,
            stream=JStream(STREAM, declare=False),
            config=ConsumerConfig(
                ack_policy=JetStreamAck.ALL,
                ack_wait=30,
                max_ack_pending=WAITING,
                deliver_policy=DeliverPolicy.NEW,
            ),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            decoder=_raw,
            include_in_schema=False,
        )
        subscriber(self.take)
        return subscriber

    async def take(self, message: Msg) -> None:
        """Queue one event."""
        await self._waiting.put(message)

    async def run(self) -> None:
        """Apply until cancelled; views that somebody deleted meanwhile are made again."""
        await self._catch_up()
        looked = time.monotonic()
        while True:
            messages = await self._next()
            if time.monotonic() - looked >= WATCHDOG:
                if not await self._stands():
                    await self._make_again()
                looked = time.monotonic()
            try:
                await self._follow(messages)
            except sa.exc.DatabaseError:
                if await self._stands():
                    raise
                await self._make_again()
            if messages:
                await messages[-1].ack()

    async def _follow(self, messages: list[Msg]) -> None:
        fresh = [m for m in messages if _number(m, POSITION_HEADER) > self._projector.position]
        if not messages or self._gap(fresh):
            await self._catch_up()
        elif fresh:
            await self._announce(await self._run(self._apply, fresh))

    async def _stands(self) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._projector.stands)

    async def _make_again(self) -> None:
        log.warning("the views are gone; they are folded anew from event 1")
        await self.announced.lost()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._projector.make_again)
        await self._catch_up()

    async def _run(self, work: Callable[[T], R], argument: T) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, argument)

    async def _next(self) -> list[Msg]:
        try:
            messages = [await asyncio.wait_for(self._waiting.get(), WATCHDOG)]
        except TimeoutError:
            return []
        while len(messages) < BATCH and not self._waiting.empty():
            messages.append(self._waiting.get_nowait())
        return messages

    def _apply(self, messages: list[Msg]) -> list[Positioned]:
        happened = [_positioned(message) for message in messages]
        self._projector.apply(happened)
        return happened

    def _gap(self, fresh: list[Msg]) -> bool:
        reached = self._projector.position
        for message in fresh:
            if _number(message, PREVIOUS_HEADER) != reached:
                log.info("a gap after position %d; reading the store", reached)
                return True
            reached = _number(message, POSITION_HEADER)
        return False

    async def _catch_up(self) -> None:
        before = self._projector.position
        last = await self._run(self._projector.catch_up, self._after)
        if self._projector.position > before:
            await self._announce([each for each in last if each.position > before])

    async def _announce(self, happened: Sequence[Positioned]) -> None:
        await self.announced.to(self._projector.position)
        for each in happened[-MAX_LIVE_LINES:]:
            for account in feed.audience(each.event):
                await self._publish(feed_subject(account), feed_entry.dump_json(feed.entry(each)))


async def _raw(message: NatsMessage) -> Msg:
    return message.raw_message


def _number(message: Msg, header: str) -> int:
    return int((message.headers or {})[header])


def _positioned(message: Msg) -> Positioned:
    name, stream = message.subject.split(".")[3:5]
    recorded = read_recorded(name, message.data)
    position, version = _number(message, POSITION_HEADER), _number(message, VERSION_HEADER)
    return Positioned(position, stream, version, recorded.event, recorded.meta)
