"""Duplicates: a command has one effect for ever, however often, whenever and by whatever way it comes again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import Header, StreamConfig

from privity.agent.enrolment import by_device
from privity.agent.profile import Waiting
from privity.agent.session import Signer
from privity.connection_string import ConnectionString
from privity.crypto.command import frame, sign_command, unframe
from privity.encoding import new_id
from privity.messages import envelope
from privity.messages.enrolment import inbox_prefix
from privity.messages.envelope import Result
from privity.messages.items import RemoveItem
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.conftest import MakePerson
from tests.trials.load import add_item, backend_bus, everything, signer_of, store_of

pytestmark = pytest.mark.trial

PATIENCE = 15.0
WINDOW = 0.2  # seconds for which the stream knows a message id in the trial; as configured, it is 2 minutes


@dataclass
class Line:
    """A person's bare connection: sends bytes as they are and collects every result, repeats included."""

    bus: Client
    results: asyncio.Queue[bytes]

    async def send(self, *commands: Waiting, headers: dict[str, str] | None = None) -> None:
        """Publish, and wait for nothing."""
        for each in commands:
            await self.bus.publish(each.subject, each.data, headers=headers)

    async def heard(self, count: int) -> list[bytes]:
        """The next results, as bytes."""
        async with asyncio.timeout(PATIENCE):
            return [await self.results.get() for _ in range(count)]

    async def results_of(self, *commands: Waiting) -> list[Result]:
        """Send these and wait for as many results."""
        await self.send(*commands)
        return [envelope.result.validate_json(each) for each in await self.heard(len(commands))]


@asynccontextmanager
async def line(server: ConnectionString, signer: Signer) -> AsyncIterator[Line]:
    """A connection as a person, hearing the results of their account."""
    credential = await by_device(server, signer)
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def heard(message: nats.aio.msg.Msg) -> None:
        queue.put_nowait(message.data)

    async def quiet(_: Exception) -> None: ...

    bus = await nats.connect(
        server.bus_url,
        user_jwt_cb=credential.shown,
        signature_cb=credential.proof,
        inbox_prefix=inbox_prefix(signer.account),
        reconnect_time_wait=0.1,
        max_reconnect_attempts=-1,
        error_cb=quiet,
    )
    try:
        await bus.subscribe(envelope.result_subject(signer.account, "*"), cb=heard)
        await bus.flush()
        yield Line(bus, queue)
    finally:
        await bus.close()


async def effects(home: RunningHome, command: Waiting) -> int:
    """How many stored events that command made."""
    async with store_of(home) as store:
        return sum(f'"{command.id}"'.encode() in event.data for event in everything(store))


async def test_f8_the_same_command_sent_five_times_has_one_effect_and_five_equal_results(
    backend: RunningHome, ann: Person
) -> None:
    signer, server = signer_of(ann)
    command = add_item(signer)
    async with line(server, signer) as mine:
        await mine.send(*[command] * 5)
        first, *others = await mine.heard(5)
    assert envelope.result.validate_json(first).status == "accepted"
    assert others == [first] * 4
    assert await effects(backend, command) == 1


async def test_f8_a_refusal_is_recorded_too_and_five_times_the_same(ann: Person) -> None:
    signer, server = signer_of(ann)
    command = signer.command(RemoveItem(new_id()), ())
    async with line(server, signer) as mine:
        await mine.send(*[command] * 5)
        first, *others = await mine.heard(5)
    assert envelope.result.validate_json(first).code == "NotFound"
    assert others == [first] * 4


async def test_f8_a_duplicate_is_known_after_stop_kill_and_behind_the_streams_memory(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    signer, server = signer_of(ann)
    command = add_item(signer)
    headers = {Header.MSG_ID.value: command.id}
    async with line(server, signer) as mine:
        await forget_message_ids_soon(own_backend)
        await mine.send(command, headers=headers)
        first = await mine.heard(1)
        await asyncio.sleep(2 * WINDOW)
        await mine.send(command, headers=headers)
        assert await mine.heard(1) == first

        assert await asyncio.to_thread(own_backend.stop) == 0
        await asyncio.to_thread(own_backend.start)
    async with line(server, signer) as mine:
        await mine.send(command)
        assert await mine.heard(1) == first
        await asyncio.to_thread(own_backend.kill)
        await asyncio.to_thread(own_backend.start)
    async with line(server, signer) as mine:
        await mine.send(command, command)
        assert await mine.heard(2) == first * 2
    assert await effects(own_backend, command) == 1


async def forget_message_ids_soon(home: RunningHome) -> None:
    """Shorten the time for which JetStream itself knows a duplicate."""
    async with backend_bus(home) as bus:
        config: StreamConfig = (await bus.jetstream().stream_info("COMMANDS")).config
        await bus.jetstream().update_stream(replace(config, duplicate_window=WINDOW))


async def test_u7_the_same_id_with_another_payload_is_refused_and_the_first_one_stands(
    backend: RunningHome, ann: Person
) -> None:
    signer, server = signer_of(ann)
    first, other = add_item(signer), add_item(signer)
    forged = with_id(signer_of(ann)[0], first.id)
    async with line(server, signer) as mine:
        (accepted,) = await mine.results_of(first)
        (refused,) = await mine.results_of(forged)
        assert (refused.status, refused.code) == ("refused", "CommandIdReused")
        assert await mine.results_of(first) == [accepted]
        assert (await mine.results_of(other))[0].status == "accepted"
    assert await effects(backend, first) == 1


async def test_u7_another_persons_command_of_the_same_id_takes_effect_as_well(
    backend: RunningHome, person: MakePerson
) -> None:
    ann, eve = await person("ann"), await person("eve")
    (hers, server), (foreign, _) = signer_of(ann), signer_of(eve)
    command = add_item(foreign)
    same = with_id(hers, command.id)
    async with line(server, foreign) as first, line(server, hers) as second:
        assert (await first.results_of(command))[0].status == "accepted"
        assert (await second.results_of(same))[0].status == "accepted"
    assert await effects(backend, command) == 2


def with_id(signer: Signer, id: str) -> Waiting:
    """A well-signed command under an id of the sender's choice."""
    fresh = add_item(signer)
    _, payload, *sealed = unframe(fresh.data, 100, len(fresh.data))
    payload = payload.replace(fresh.id.encode(), id.encode())
    signature = sign_command(signer.key, signer.home, fresh.subject, payload)
    return Waiting(id, fresh.subject, frame(signature, payload, *sealed))
