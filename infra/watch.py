"""The watch over a durable consumer: a worker whose consumer was deleted is alive and deaf, and nothing else tells."""

import asyncio
import logging
from typing import Protocol

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from infra.streams import declare_streams

log = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two looks."""


class Subscriber(Protocol):
    """What FastStream's subscribers can do: `start` makes the consumer where it is missing."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def keep_hearing(jetstream: JetStreamContext, subscriber: Subscriber, stream: str, durable: str) -> None:
    """Look for the consumer until cancelled; where it or its stream is gone, make both again and subscribe anew."""
    while True:
        await asyncio.sleep(INTERVAL)
        try:
            await jetstream.consumer_info(stream, durable)
        except NotFoundError:
            log.error("the consumer %s of %s is gone; making it again", durable, stream)
            try:
                await declare_streams(jetstream)
                await subscriber.stop()
                await subscriber.start()
            except (NatsError, OSError, TimeoutError) as error:
                log.error("could not make the consumer %s again: %s", durable, error)
        except (NatsError, OSError, TimeoutError) as error:
            log.debug("could not look for the consumer %s: %s", durable, error)
