"""What anybody may write on the bus that the bus client by itself does not survive."""

import asyncio
from pathlib import Path

import nats
import pytest

from privity.agent import items
from privity.connection_string import parse_connection_string
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody

MESSAGES = {
    "a command's subject that is not UTF-8": b"PUB privity.cmd.\xff\xfe.items.add 2\r\nhi\r\n",
    "a query's subject that is not UTF-8": b"PUB privity.qry.\xff\xfe.items _INBOX_PERSON.x 2\r\nhi\r\n",
    "headers that are not UTF-8": b"HPUB privity.cmd.x.items.add 21 23\r\nNATS/1.0\r\nA: \xff\xfe\xfd\r\n\r\nhi\r\n",
    "a status line of the server's own": b"HPUB privity.cmd.x.items.add 16 18\r\nNATS/1.0 100\r\n\r\nhi\r\n",
    "headers without an end": b"HPUB privity.cmd.x.items.add 8 10\r\nNATS/1.0hi\r\n",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
async def test_the_backend_goes_on_answering(backend: RunningHome, ann: Person, message: bytes) -> None:
    await as_person(backend.url, message)

    await keeps_and_reads(ann)


async def test_it_goes_on_after_a_restart_too(own_backend: RunningHome, tmp_path: Path) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    for message in MESSAGES.values():
        await as_person(own_backend.url, message)
    own_backend.stop()
    own_backend.start()

    await keeps_and_reads(ann)


async def as_person(url: str, message: bytes) -> None:
    """Send bytes of the bus's protocol with a person's own credential, as no client library would."""
    server = parse_connection_string(url)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    await reader.readline()
    login = f'{{"verbose":false,"headers":true,"user":"{server.user}","pass":"{server.credential}"}}'
    writer.write(f"CONNECT {login}\r\nPING\r\n".encode())
    assert (await reader.readline()).startswith(b"PONG")
    writer.write(message + b"PING\r\n")
    await writer.drain()
    await reader.readline()
    writer.close()
    await writer.wait_closed()


async def keeps_and_reads(person: Person) -> None:
    async with person.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X1"})
        assert (await items.show(session, keyring, kept.item)).content == kept.content


def test_the_client_is_the_one_that_the_guard_was_written_for() -> None:
    assert nats.aio.client.__version__.startswith("2.16.")
