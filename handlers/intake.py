"""The intake: the subscribers on COMMANDS and on reads, the one writer thread, and the answers after each commit."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage
from faststream.nats.subscriber.usecases import CoreSubscriber, PushStreamSubscriber
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy as JetStreamAck
from nats.js.api import ConsumerConfig

from handlers.committer import Committer, Outcome
from handlers.opening import Delivery
from infra.streams import COMMANDS
from privity.errors import Internal, StoreUnavailable
from privity.messages import envelope
from privity.messages.reads import RECORD_SUBJECT, ReadReply, read_reply

log = logging.getLogger(__name__)

DURABLE = "intake"
QUEUE = "reads"
BATCH = 512
IN_FLIGHT = 1024
WAITING = 4 * IN_FLIGHT
ACK_WAIT = 30.0
RETRY_DELAYS = (0.1, 0.5, 2.0, 5.0)
"""Seconds between tries of a store that cannot be written; the last one repeats."""
REDELIVERY_DELAY = 1.0
MAX_REASON = 300
"""Characters of a reason beside a parked message: it may quote its sender."""


async def raw(message: NatsMessage) -> Msg:
    """The bus's own message: FastStream guesses no types of its bytes, and runs what is not async in a thread."""
    return message.raw_message


class Intake:
    """Hands deliveries to the committer in batches, and sends results and acks once a batch is on disk.

    `committed` is called on the event loop after each batch, e.g. to wake the relay.
    """

    def __init__(self, committer: Committer, bus: Client, committed: Callable[[], None]) -> None:
        self._committer = committer
        self._bus = bus
        self._jetstream = bus.jetstream()
        self._committed = committed
        self._waiting: queue.Queue[Msg | None] = queue.Queue(WAITING)
        self._answers: set[asyncio.Task[None]] = set()
        self._stopping = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def subscribe(self, broker: NatsBroker) -> PushStreamSubscriber:
        """Hear every command: one durable push consumer, so that an account's order holds."""
        subscriber = broker.subscriber(
            f"{envelope.COMMAND_SUBJECT}.>",
            durable=DURABLE,
            stream=JStream(COMMANDS, declare=False),
            config=ConsumerConfig(ack_policy=JetStreamAck.EXPLICIT, ack_wait=ACK_WAIT, max_ack_pending=IN_FLIGHT),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            decoder=raw,
            include_in_schema=False,
        )
        subscriber(self.take)
        return subscriber

    def subscribe_reads(self, broker: NatsBroker) -> CoreSubscriber:
        """Hear what the queries have to record; one of several workers takes each request and answers it."""
        subscriber = broker.subscriber(
            RECORD_SUBJECT,
            queue=QUEUE,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            decoder=raw,
            include_in_schema=False,
        )
        subscriber(self.take)
        return subscriber

    def start(self) -> None:
        """Start the writer thread; call on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def take(self, message: Msg) -> None:
        """Queue one message. What does not fit stays unacknowledged and is delivered again."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            log.warning("%d messages wait; one more is left to be delivered again", WAITING)

    async def stop(self) -> None:
        """Finish the batch in work, answer it, and end; what waits is delivered to the next one."""
        self._stopping.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            log.debug("the writer is busy and sees by itself that it has to stop")
        await asyncio.to_thread(self._thread.join)
        if self._answers:
            await asyncio.wait(self._answers)

    async def ended(self) -> None:
        """Wait until the writer thread has ended: by `stop`, or because it tripped and its role is to end too."""
        await self._ended.wait()

    def _run(self) -> None:
        assert self._loop is not None  # noqa: S101 - `start` has set it
        try:
            self._write(self._loop)
        except Exception:
            log.exception("the writer tripped")
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            messages = self._drain()
            if not messages:
                return
            outcomes = self._process([_delivery(message) for message in messages])
            if outcomes is None:
                return
            loop.call_soon_threadsafe(self._answer_soon, messages, outcomes)

    def _drain(self) -> list[Msg]:
        batch: list[Msg] = []
        message = self._waiting.get()
        while message is not None:
            batch.append(message)
            if len(batch) == BATCH:
                break
            try:
                message = self._waiting.get_nowait()
            except queue.Empty:
                break
        return batch

    def _process(self, deliveries: list[Delivery]) -> list[Outcome] | None:
        attempt = 0
        while not self._stopping.is_set():
            try:
                return self._committer.process(deliveries)
            except StoreUnavailable as error:
                delay = RETRY_DELAYS[min(attempt, len(RETRY_DELAYS) - 1)]
                log.error("%s; %d commands wait, next try in %s s", error.message, len(deliveries), delay)
                attempt += 1
                self._stopping.wait(delay)
        return None

    def _answer_soon(self, messages: list[Msg], outcomes: list[Outcome]) -> None:
        self._committed()
        task = asyncio.get_running_loop().create_task(self._answer_all(messages, outcomes))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer_all(self, messages: list[Msg], outcomes: list[Outcome]) -> None:
        for message, outcome in zip(messages, outcomes, strict=True):
            try:
                await self._answer(message, outcome)
            except Exception as error:  # unacknowledged, so it comes again and the recorded result is sent then
                log.warning("could not answer %s: %s", message.subject, error)

    async def _answer(self, message: Msg, outcome: Outcome) -> None:
        if message.subject == RECORD_SUBJECT:
            if message.reply:  # else nobody waits for it
                await message.respond(reply_of(outcome))
            return
        if outcome.dead is not None:
            await self._park(message, outcome.dead)
        if outcome.result is not None and outcome.account:
            subject = envelope.result_subject(outcome.account, outcome.result.id)
            await self._bus.publish(subject, envelope.result.dump_json(outcome.result))
        if outcome.result is None and outcome.dead is None:
            await message.nak(delay=REDELIVERY_DELAY)
        else:
            await message.ack()

    async def _park(self, message: Msg, reason: str) -> None:
        """Put a message aside. With its headers it must fit through the bus, which hangs up on what is larger:
        behind MAX_MESSAGE it is cut, since what is longer is no command anyway."""
        reason = " ".join(reason.encode("ascii", "replace").decode().split())[:MAX_REASON]
        tokens = message.subject.split(".")
        context = tokens[3] if len(tokens) > 3 else "unknown"
        headers = {
            "Privity-Reason": reason,
            "Privity-Subject": message.subject,
            "Privity-At": datetime.now(UTC).isoformat(),
        }
        data = message.data[: envelope.MAX_MESSAGE]
        await self._jetstream.publish(f"{envelope.DEAD_SUBJECT}.{context}", data, headers=headers)
        log.error("parked a message of %s: %s", message.subject, reason)


def _delivery(message: Msg) -> Delivery:
    once = message.subject == RECORD_SUBJECT
    return Delivery(message.subject, message.data, 1 if once else message.metadata.num_delivered or 1)


def reply_of(outcome: Outcome) -> bytes:
    """The answer to a read's request, which nobody delivers again."""
    if outcome.at_hour is not None:
        return read_reply.dump_json(ReadReply(outcome.at_hour))
    said = outcome.result
    failed = Internal()
    return read_reply.dump_json(
        ReadReply(None, said.code, said.message) if said else ReadReply(None, failed.code, failed.message)
    )
