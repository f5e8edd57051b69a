"""What anybody may write on the bus that the bus client by itself does not survive."""

import asyncio
from pathlib import Path

import nats
import pytest

from privity.agent import items
from privity.agent.enrolment import by_device
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.infra.buses import hello
from tests.trials.load import signer_of

pytestmark = pytest.mark.trial

MESSAGES = {
    "a command's subject that is not UTF-8": b"PUB privity.cmd.WHO.\xff\xfe.add 2\r\nhi\r\n",
    "a query's subject that is not UTF-8": b"PUB privity.qry.WHO.\xff\xfe _INBOX_WHO.x 2\r\nhi\r\n",
    "headers that are not UTF-8": b"HPUB privity.cmd.WHO.items.add 20 22\r\nNATS/1.0\r\nA: \xff\xfe\xfd\r\n\r\nhi\r\n",
    "a status line of the server's own": b"HPUB privity.cmd.WHO.items.add 16 18\r\nNATS/1.0 100\r\n\r\nhi\r\n",
    "headers without an end": b"HPUB privity.cmd.WHO.items.add 8 10\r\nNATS/1.0hi\r\n",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
async def test_the_backend_goes_on_answering(ann: Person, message: bytes) -> None:
    await as_person(ann, message)

    await keeps_and_reads(ann)


@pytest.mark.soak
async def test_it_goes_on_after_a_restart_too(own_backend: RunningHome, tmp_path: Path) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    for message in MESSAGES.values():
        await as_person(ann, message)
    own_backend.stop()
    own_backend.start()

    await keeps_and_reads(ann)


async def as_person(person: Person, message: bytes) -> None:
    """Send bytes of the bus's protocol with a person's own credential, as no client library would."""
    signer, server = signer_of(person)
    credential = await by_device(server, signer)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(hello(credential, await reader.readline()) + b"PING\r\n")
    assert (await reader.readline()).startswith(b"PONG")
    writer.write(message.replace(b"WHO", signer.account.encode()) + b"PING\r\n")
    await writer.drain()
    assert (await reader.readline()).startswith(b"PONG"), "it was not let through"
    writer.close()
    await writer.wait_closed()


async def keeps_and_reads(person: Person) -> None:
    async with person.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X1"})
        assert (await items.show(session, keyring, kept.item)).content == kept.content


def test_the_client_is_the_one_that_the_guard_was_written_for() -> None:
    assert nats.aio.client.__version__.startswith("2.16.")
