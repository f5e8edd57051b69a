"""The streams are declared as often as one likes, and their end can be asked for."""

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from infra.streams import COMMANDS, DEAD, EVENTS, MAX_MESSAGE, declare_streams, stream_configs, stream_tail

EVENT = "privity.evt.shares.share-created.share-1"


async def test_they_are_as_declared(backend: Client) -> None:
    for config in stream_configs():
        made = (await backend.jetstream().stream_info(config.name or "")).config
        wanted = {name: value for name, value in config.as_dict().items() if value is not None}
        assert {name: made.as_dict()[name] for name in wanted} == wanted


async def test_to_declare_them_again_changes_nothing(backend: Client) -> None:
    await backend.jetstream().publish(EVENT, b"kept")
    await declare_streams(backend.jetstream())
    assert await stream_state(backend, EVENTS) == (1, b"kept")


async def test_one_with_another_configuration_is_put_right(backend: Client) -> None:
    js = backend.jetstream()
    await js.publish(EVENT, b"kept")
    await js.update_stream(StreamConfig(name=EVENTS, subjects=["privity.evt.>", "elsewhere"], max_bytes=1000))
    await declare_streams(js)
    config = (await js.stream_info(EVENTS)).config
    assert (config.subjects, config.max_bytes) == (["privity.evt.>"], 8 * 2**30)
    assert await stream_state(backend, EVENTS) == (1, b"kept")


async def test_a_deleted_one_is_made_again(backend: Client) -> None:
    await backend.jetstream().delete_stream(EVENTS)
    await declare_streams(backend.jetstream())
    assert await stream_state(backend, EVENTS) == (0, None)


async def test_the_tail_is_the_last_sequence_and_the_newest_message(backend: Client) -> None:
    for data in (b"first", b"second"):
        await backend.jetstream().publish(EVENT, data, headers={"Privity-Position": "7"})
    sequence, message = await stream_tail(backend.jetstream(), EVENTS)
    assert message is not None
    assert (sequence, message.seq, message.data, message.subject) == (2, 2, b"second", EVENT)
    assert message.headers == {"Privity-Position": "7"}


async def test_the_tail_of_an_empty_stream_has_no_message(backend: Client) -> None:
    assert await stream_state(backend, DEAD) == (0, None)


async def test_the_tail_of_an_emptied_stream_has_its_last_sequence(backend: Client) -> None:
    await backend.jetstream().publish(EVENT, b"")
    await backend.jetstream().purge_stream(EVENTS)
    assert await stream_state(backend, EVENTS) == (1, None)


async def test_a_missing_stream_has_no_tail(backend: Client) -> None:
    await backend.jetstream().delete_stream(EVENTS)
    with pytest.raises(NotFoundError):
        await stream_tail(backend.jetstream(), EVENTS)


async def test_a_message_may_fill_what_the_bus_lets_through(backend: Client) -> None:
    largest = b"x" * (MAX_MESSAGE - 64 * 1024)
    assert (await backend.jetstream().publish("privity.cmd.ann.items.create", largest)).stream == COMMANDS


async def stream_state(bus: Client, stream: str) -> tuple[int, bytes | None]:
    sequence, message = await stream_tail(bus.jetstream(), stream)
    return sequence, message.data if message else None
