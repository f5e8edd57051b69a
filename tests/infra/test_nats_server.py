"""The embedded nats-server: it starts, stops and starts again; and what a person can and cannot do on it."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from infra import nats_server
from infra.bus import connect
from infra.nats_server import NatsServer
from infra.streams import COMMANDS, stream_tail
from privity.agent.bus import request
from privity.credential import USER, Credential, Nkey
from privity.errors import ServerNotInstalled, Unreachable
from tests.infra.buses import (
    ANN,
    BOB,
    KEYS,
    OTHER_KEYS,
    PATIENCE,
    Person,
    answer,
    credential_of,
    free_port,
    listen,
    way,
)

COMMAND = f"privity.cmd.{ANN}.shares.create"
QUERY = f"privity.qry.{ANN}.shares"
ROOT = Path(__file__).parents[2]


# ---- starting and stopping ----


async def test_it_takes_connections_once_started(server: NatsServer) -> None:
    bus = await connect(way(server), name="test")
    assert server.running
    assert server.pid is not None
    await bus.close()


async def test_only_this_user_reads_its_configuration(server: NatsServer) -> None:
    assert stat.S_IMODE(server.config_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700


async def test_the_keys_stand_nowhere(server: NatsServer, person: Person) -> None:
    assert server.pid is not None
    shown = repr(KEYS) + repr(server) + server.config_path.read_text() + server.log_path.read_text()
    shown += " ".join(nats_server._arguments(server.pid))
    for secret in KEYS.texts.values():
        assert secret not in shown


async def test_it_listens_on_the_loopback_interface_alone(server: NatsServer) -> None:
    elsewhere = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in elsewhere - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(OSError, match=r"refused|unreachable"):
            socket.create_connection((str(address), server.port), timeout=PATIENCE)


async def test_it_stops(server: NatsServer) -> None:
    await server.stop()
    assert not server.running
    assert server.pid is None
    assert await server.wait() == 0


async def test_stopping_it_twice_or_before_it_starts_is_no_error(tmp_path: Path, server: NatsServer) -> None:
    await server.stop()
    await server.stop()
    await NatsServer(tmp_path / "other", free_port(), KEYS).stop()


async def test_its_end_is_noticed(server: NatsServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert await asyncio.wait_for(server.wait(), PATIENCE) == -signal.SIGKILL
    assert not server.running


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_started_again_it_has_its_messages(server: NatsServer, backend: Client, end: signal.Signals) -> None:
    await backend.jetstream().publish(COMMAND, b"kept")
    assert server.pid is not None
    os.kill(server.pid, end)
    await server.wait()
    await server.start()
    bus = await connect(way(server), name="test")
    sequence, message = await stream_tail(bus.jetstream(), COMMANDS)
    assert (sequence, message and message.data) == (1, b"kept")
    await bus.close()


async def test_a_port_in_use_is_an_error_with_the_servers_own_words(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        late = NatsServer(tmp_path, other.getsockname()[1], KEYS)
        with pytest.raises(Unreachable, match="address already in use"):
            await late.start()
    assert not late.running


async def test_another_server_on_the_port_is_not_taken_for_this_one(tmp_path: Path, server: NatsServer) -> None:
    with pytest.raises(Unreachable, match="address already in use"):
        await NatsServer(tmp_path / "second", server.port, KEYS).start()
    assert server.running


async def test_a_server_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    late = NatsServer(tmp_path, free_port(), KEYS)
    with pytest.raises(Unreachable, match="takes no connections"):
        await late.start(within=0)
    assert not late.running


async def test_the_orphan_of_a_killed_parent_is_replaced(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["-c", PARENT, str(tmp_path), str(port), json.dumps(KEYS.texts)]
    parent = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    orphan = int(await parent.stdout.readline())
    parent.kill()
    await parent.communicate()
    os.kill(orphan, 0)  # it lives on

    server = NatsServer(tmp_path, port, KEYS)
    await server.start()
    assert server.pid != orphan
    assert not _lives(orphan)
    await server.stop()


async def test_a_process_that_got_an_old_servers_id_is_left_alone(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, free_port(), KEYS)
    server.write_config()
    bystander = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    server.pid_path.write_text(str(bystander.pid))
    await server.start()
    await server.stop()
    assert bystander.returncode is None
    await bystander.communicate(b"\n")
    assert bystander.returncode == 0


async def test_ps_knows_a_server_where_there_is_no_proc(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_server, "PROC", Path("/nowhere"))
    assert server.pid is not None
    assert nats_server._arguments(server.pid) == [str(server.config_path)]


async def test_a_missing_binary_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_arguments, **_options: None)
    with pytest.raises(ServerNotInstalled, match="no nats-server"):
        await NatsServer(tmp_path, free_port(), KEYS).start()


# ---- what a person can do ----


async def test_a_command_is_stored_and_its_acknowledgement_reaches_the_person(person: Person) -> None:
    acknowledged = await person.bus.request(COMMAND, b"signed", timeout=PATIENCE)
    assert json.loads(acknowledged.data) == {"stream": COMMANDS, "seq": 1}


async def test_a_request_gets_the_backends_answer(person: Person, backend: Client) -> None:
    await answer(backend, QUERY, b"rows")
    assert await request(person.bus, QUERY, b"") == b"rows"


@pytest.mark.trial
async def test_an_answer_may_take_more_than_five_seconds(person: Person, backend: Client) -> None:
    await answer(backend, QUERY, b"rows", after=5.5)
    assert (await person.bus.request(QUERY, b"", timeout=10)).data == b"rows"


async def test_a_request_has_one_answer(person: Person, backend: Client) -> None:
    await answer(backend, QUERY, b"first", b"second")
    inbox = person.bus.new_inbox()
    heard = await listen(person.bus, inbox)
    await person.bus.publish(QUERY, b"", reply=inbox)
    assert (await heard.next()).data == b"first"
    assert await heard.silence()


async def test_without_a_backend_the_person_knows_at_once(person: Person) -> None:
    with pytest.raises(nats.errors.NoRespondersError):
        await person.bus.request(QUERY, b"", timeout=PATIENCE)


@pytest.mark.parametrize("subject", [f"privity.result.{ANN}.command", f"privity.feed.{ANN}"])
async def test_results_and_feeds_reach_the_person(person: Person, backend: Client, subject: str) -> None:
    heard = await listen(person.bus, subject)
    await backend.publish(subject, b"news")
    assert (await heard.next()).data == b"news"


async def test_when_people_take_all_their_connections_the_backend_has_its_own(
    tmp_path: Path,
) -> None:
    server = NatsServer(tmp_path, free_port(), KEYS, people=2)
    await server.start()
    people = [await Person.device(server.url), await Person.device(server.url)]
    with pytest.raises(nats.errors.Error, match="maximum account active connections"):
        await Person.device(server.url)
    people.append(await Person.at_the_door(server.url))  # who is about to enrol has room apart
    bus = await connect(way(server), name="test")
    for client in (bus, *(person.bus for person in people)):
        await client.close()
    await server.stop()


# ---- what a person cannot do ----


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.INFO.COMMANDS",
        "$JS.API.STREAM.DELETE.COMMANDS",
        "$JS.API.CONSUMER.CREATE.COMMANDS",
        "$JS.ACK.COMMANDS.intake.1.1.1.1.1",
        "$SYS.REQ.SERVER.PING",
        f"privity.result.{ANN}.command",
        f"privity.feed.{ANN}",
        f"privity.cmd.{BOB}.shares.create",
        f"privity.qry.{BOB}.shares",
        "privity.enrol.device",
        "privity.read.record",
        "privity.evt.shares.share-created.share-1",
        "privity.dead.shares",
        "_INBOX.guessed",
        f"_INBOX_{ANN}.guessed",
        f"_INBOX_{BOB}.guessed",
    ],
)
async def test_a_person_may_not_publish(person: Person, backend: Client, subject: str) -> None:
    heard = await listen(backend, ">")
    await person.bus.publish(subject, b"")
    assert "permissions violation for publish" in await person.complaint()
    assert await heard.silence()


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "*",
        "_INBOX.>",
        f"_INBOX_{BOB}.>",
        "_INBOX_ENROL.>",
        "$JS.>",
        "$JS.API.>",
        "$SYS.>",
        "privity.>",
        f"privity.cmd.{ANN}.>",
        f"privity.qry.{ANN}.*",
        "privity.result.>",
        "privity.result.*.command",
        f"privity.result.{BOB}.>",
        "privity.feed.*",
        f"privity.feed.{BOB}",
    ],
)
async def test_a_person_may_not_listen(person: Person, backend: Client, subject: str) -> None:
    heard = await listen(person.bus, subject)
    assert "permissions violation for subscription" in await person.complaint()
    for told in (COMMAND, f"privity.result.{BOB}.command", f"privity.feed.{BOB}"):
        await backend.publish(told, b"")
    assert await heard.silence()


@pytest.mark.parametrize("sent_to", [COMMAND, QUERY])
@pytest.mark.parametrize(
    "reply",
    [
        "privity.evt.shares.share-created.share-1",
        "privity.dead.shares",
        "privity.enrol.nonce",
        "privity.read.record",
        f"privity.qry.{BOB}.shares",
        f"privity.cmd.{BOB}.shares.create",
    ],
)
async def test_an_answer_cannot_be_sent_to_the_backend_itself(
    person: Person, backend: Client, sent_to: str, reply: str
) -> None:
    await answer(backend, QUERY, b"rows")
    target = await listen(backend, reply)
    await person.bus.publish(sent_to, b"", reply=reply)
    await person.bus.flush()
    assert await target.silence()


@pytest.mark.parametrize("reply", ["$JS.ACK.COMMANDS.intake.1.1.1.1.1", "_R_.guessed"])
async def test_a_reserved_reply_is_refused(person: Person, backend: Client, reply: str) -> None:
    heard = await answer(backend, QUERY, b"rows")
    await person.bus.publish(QUERY, b"", reply=reply)
    assert "permissions violation for publish with reply" in await person.complaint()
    assert await heard.silence()


async def test_a_person_cannot_purge_the_commands_of_others(person: Person, backend: Client) -> None:
    await person.bus.request(COMMAND, b"of somebody", timeout=PATIENCE)
    purge = await person.bus.request(COMMAND, b"", headers={"Nats-Rollup": "all"}, timeout=PATIENCE)
    assert json.loads(purge.data)["error"]["description"] == "rollup not permitted"
    assert (await backend.jetstream().stream_info(COMMANDS)).state.messages == 1


async def test_without_a_credential_nobody_gets_in(server: NatsServer) -> None:
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await nats.connect(f"nats://127.0.0.1:{server.port}", allow_reconnect=False, error_cb=_ignore)


async def test_a_credential_of_another_home_opens_nothing(server: NatsServer) -> None:
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Person.at_the_door(server.url, OTHER_KEYS)
    door = await Person.at_the_door(server.url)
    await door.bus.close()


async def test_a_credential_is_good_for_its_own_nkey_alone(server: NatsServer) -> None:
    stolen = Credential(credential_of(ANN).jwt, Nkey.generate(USER))
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Person.of(server.url, stolen, f"_INBOX_{ANN}")


async def test_a_credential_ends_with_its_time(server: NatsServer) -> None:
    short = await Person.of(server.url, credential_of(ANN, seconds=2), f"_INBOX_{ANN}")
    await asyncio.wait_for(short.ended.wait(), PATIENCE)
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Person.of(server.url, credential_of(ANN, seconds=-1), f"_INBOX_{ANN}")


# ---- who is only about to enrol ----


async def test_at_the_door_one_can_enrol_and_nothing_else(server: NatsServer, backend: Client) -> None:
    door = await Person.at_the_door(server.url)
    await answer(backend, "privity.enrol.device", b"welcome")
    assert await request(door.bus, "privity.enrol.device", b"") == b"welcome"
    for subject in (COMMAND, QUERY, "_INBOX_ENROL.guessed", "$JS.API.INFO", "privity.read.record"):
        await door.bus.publish(subject, b"")
        assert "permissions violation for publish" in await door.complaint()
    for subject in (f"privity.result.{ANN}.>", f"privity.feed.{ANN}", f"_INBOX_{ANN}.>", "privity.enrol.>"):
        await door.bus.subscribe(subject)
        assert "permissions violation for subscription" in await door.complaint()
    await door.bus.close()


PARENT = """
import asyncio, json, pathlib, sys
from infra.credentials import BusKeys
from infra.nats_server import NatsServer

async def main():
    server = NatsServer(pathlib.Path(sys.argv[1]), int(sys.argv[2]), BusKeys.complete(json.loads(sys.argv[3])))
    await server.start()
    print(server.pid, flush=True)
    await server.wait()

asyncio.run(main())
"""


def _lives(pid: int) -> bool:
    return bool(nats_server._arguments(pid)[0])


async def _ignore(_error: Exception) -> None:
    """The error is raised too."""
