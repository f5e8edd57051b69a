"""What an operator can see and do on the bus: streams, lag, and the messages that were parked."""

from dataclasses import dataclass

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from infra.streams import COMMANDS, DEAD, EVENTS
from privity.errors import NotFound

MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Dead:
    """A parked message: where it was going, why it did not get there, and when."""

    id: int
    subject: str
    reason: str
    at: str
    size: int


async def dead_list(jetstream: JetStreamContext) -> list[Dead]:
    """The parked messages, oldest first, the first thousand of them."""
    state = (await jetstream.stream_info(DEAD)).state
    found: list[Dead] = []
    for sequence in range(max(state.first_seq, 1), state.last_seq + 1):
        if len(found) == MAX_LISTED:
            break
        try:
            message = await _dead(jetstream, sequence)
        except NotFound:
            continue
        headers = message.headers or {}
        reason, at = headers.get("Privity-Reason", ""), headers.get("Privity-At", "")
        found.append(Dead(sequence, headers.get("Privity-Subject", ""), reason, at, len(message.data or b"")))
    return found


async def dead_retry(jetstream: JetStreamContext, id: int) -> str:
    """Send a parked message again to where it was going, and take it off the list; the subject.

    Raises:
        NotFound: there is no such message.
    """
    message = await _dead(jetstream, id)
    subject = str((message.headers or {}).get("Privity-Subject", ""))
    await jetstream.publish(subject, message.data or b"", stream=COMMANDS)
    await jetstream.delete_msg(DEAD, id)
    return subject


async def dead_drop(jetstream: JetStreamContext, id: int) -> None:
    """Take a parked message off the list for good.

    Raises:
        NotFound: there is no such message.
    """
    await _dead(jetstream, id)
    await jetstream.delete_msg(DEAD, id)


async def stream_counts(jetstream: JetStreamContext) -> dict[str, int]:
    """How many messages each stream holds; -1 for one that is not there."""
    counts: dict[str, int] = {}
    for name in (COMMANDS, EVENTS, DEAD):
        try:
            counts[name] = (await jetstream.stream_info(name)).state.messages
        except NatsError:
            counts[name] = -1
    return counts


async def _dead(jetstream: JetStreamContext, sequence: int) -> RawStreamMsg:
    try:
        return await jetstream.get_msg(DEAD, sequence)
    except NotFoundError:
        raise NotFound(f"there is no parked message {sequence}") from None
