"""The three JetStream streams: COMMANDS on their way in, EVENTS on their way out, DEAD for what was parked.

Nothing rests on them: what a deleted one held is sent again by the agents, or published again from the store.
"""

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RawStreamMsg, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

COMMANDS = "COMMANDS"
EVENTS = "EVENTS"
DEAD = "DEAD"

MAX_MESSAGE = 1024 * 1024  # bytes of a message, headers included
DUPLICATE_WINDOW = 120.0  # seconds for which JetStream knows a Nats-Msg-Id
MIB, GIB = 2**20, 2**30

NAME_IN_USE = 10058  # JetStream's error code: there is one of this name, otherwise configured


def stream_configs(replicas: int = 1) -> list[StreamConfig]:
    """The three streams as they should be.

    A full COMMANDS refuses the newest, so that its sender knows; EVENTS and DEAD drop their oldest.
    """
    return [
        StreamConfig(
            name=COMMANDS,
            subjects=["privity.cmd.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
            max_bytes=1 * GIB,
            max_msgs=1_000_000,
            max_msg_size=MAX_MESSAGE,
            duplicate_window=DUPLICATE_WINDOW,
            allow_rollup_hdrs=False,  # else one person's header would purge everybody's commands
            storage=StorageType.FILE,
            num_replicas=replicas,
        ),
        StreamConfig(
            name=EVENTS,
            subjects=["privity.evt.>"],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_bytes=8 * GIB,
            duplicate_window=DUPLICATE_WINDOW,
            storage=StorageType.FILE,
            num_replicas=replicas,
        ),
        StreamConfig(
            name=DEAD,
            subjects=["privity.dead.>"],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_bytes=256 * MIB,
            duplicate_window=DUPLICATE_WINDOW,
            storage=StorageType.FILE,
            num_replicas=replicas,
        ),
    ]


async def declare_streams(js: JetStreamContext, replicas: int = 1) -> None:
    """Make the streams that are missing and change those that differ; what they hold stays.

    Raises:
        nats.js.errors.APIError: JetStream refused, for instance for want of space.
    """
    for config in stream_configs(replicas):
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            if error.err_code != NAME_IN_USE:
                raise
            await js.update_stream(config)


async def stream_tail(js: JetStreamContext, stream: str) -> tuple[int, RawStreamMsg | None]:
    """The last sequence number that the stream gave (0: none yet), and the newest message that it holds.

    Raises:
        nats.js.errors.NotFoundError: there is no such stream.
    """
    last = (await js.stream_info(stream)).state.last_seq
    try:
        return last, await js.get_last_msg(stream, ">")
    except NotFoundError:
        return last, None
