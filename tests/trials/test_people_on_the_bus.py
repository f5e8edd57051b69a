"""A person on the bus, with nothing but what the home gave them: N1 to N10, and so U1.

The attacker is a bare NATS client with the credential of a real account, on a running home. Each row has its other
half: the same client does with its own what it may not do with another's.
"""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nats.errors
import nats.js
import pytest

from infra.bus import connect
from infra.credentials import DEVICE_SUBSCRIPTIONS
from infra.crowd import EACH
from infra.nats_server import NatsServer
from privity.agent import accounts, items
from privity.agent.bus import Bus, request
from privity.agent.enrolment import by_device
from privity.agent.profile import ProfileFolder
from privity.agent.session import Signer, read_answer
from privity.connection_string import ConnectionString, parse_connection_string
from privity.credential import Credential
from privity.errors import NotAdmitted, UnknownDevice, Unreachable
from privity.messages import envelope
from privity.messages.enrolment import inbox_prefix
from privity.messages.views import AskItems
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.conftest import MakePerson
from tests.infra import buses
from tests.infra.buses import Heard, hello, listen
from tests.trials.load import add_item, backend_bus, eventually, kill_helper, signer_of

pytestmark = pytest.mark.trial

PATIENCE = 10.0
SILENCE = 0.3


class Attacker:
    """Somebody with an account here, at a bare connection to the bus."""

    def __init__(self, signer: Signer, server: ConnectionString, credential: Credential, line: buses.Person) -> None:
        self.signer, self.server, self.credential, self.line = signer, server, credential, line
        self.bus = line.bus

    @property
    def account(self) -> str:
        return self.signer.account

    async def may_not_hear(self, subject: str) -> None:
        """Subscribing is refused, with a word that says so."""
        await self.bus.subscribe(subject)
        complaint = await self.line.complaint()
        assert "permissions violation for subscription" in complaint, complaint
        assert subject.lower() in complaint

    async def may_not_say(self, subject: str, reply: str = "") -> None:
        """Publishing is refused, with a word that says so."""
        await self.bus.publish(subject, b"{}", reply=reply)
        complaint = await self.line.complaint()
        assert "permissions violation for publish" in complaint, complaint

    async def own_command_is_accepted(self, headers: dict[str, str] | None = None) -> None:
        """What is theirs goes through: a command, to its result."""
        waiting = add_item(self.signer)
        heard = await listen(self.bus, envelope.result_subject(self.account, waiting.id))
        await self.bus.publish(waiting.subject, waiting.data, headers=headers)
        assert envelope.result.validate_json((await heard.next()).data).status == "accepted"

    async def own_query_is_answered(self) -> None:
        """And a query, to its answer."""
        answered = await self.bus.request(*self.signer.query(AskItems(), None, 0), timeout=PATIENCE)
        assert read_answer(answered.data)[0].status == "ok"


@asynccontextmanager
async def on_the_bus(person: Person) -> AsyncIterator[Attacker]:
    """That person's own credential, at a bare connection."""
    signer, server = signer_of(person)
    credential = await by_device(server, signer)
    line = await buses.Person.of(server.bus_url, credential, inbox_prefix(signer.account))
    try:
        yield Attacker(signer, server, credential, line)
    finally:
        await line.bus.close()


@pytest.fixture
async def eve(person: MakePerson) -> AsyncIterator[Attacker]:
    """Who attacks."""
    async with on_the_bus(await person("eve")) as attacker:
        yield attacker


@pytest.fixture
async def victim(person: MakePerson) -> AsyncIterator[Attacker]:
    """Whom they attack, at a bare connection too."""
    async with on_the_bus(await person("ann")) as attacked:
        yield attacked


# ---- N1: hearing what is somebody else's ----


async def test_n1_nobody_hears_what_is_anothers_and_everybody_hears_their_own(eve: Attacker, victim: Attacker) -> None:
    everything = [">", "*", "_INBOX.>", "_INBOX_ENROL.>", "_R_.>", "$SYS.>", "$JS.>", "privity.>", "privity.*.*.>"]
    anothers = [
        inbox_prefix(victim.account) + ".>",
        envelope.result_subject(victim.account, ">"),
        envelope.result_subject("*", "*"),
        envelope.feed_subject(victim.account),
        envelope.feed_subject("*"),
        envelope.command_subject(victim.account, ">"),
        envelope.query_subject(victim.account, ">"),
        "privity.evt.>",
        "privity.dead.>",
        "privity.enrol.>",
    ]
    for subject in everything + anothers:
        await eve.may_not_hear(subject)
    await eve.own_command_is_accepted()
    await eve.own_query_is_answered()


# ---- N2, N3: JetStream ----


async def test_n2_nobody_reads_a_stream_or_makes_a_consumer_and_the_backend_does(
    backend: RunningHome, eve: Attacker
) -> None:
    for subject in (
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.INFO.COMMANDS",
        "$JS.API.STREAM.MSG.GET.COMMANDS",
        "$JS.API.STREAM.PURGE.COMMANDS",
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.DIRECT.GET.EVENTS",
        "$JS.API.DIRECT.GET.EVENTS.privity.evt.shares.share-created.x",
        "$JS.API.CONSUMER.CREATE.EVENTS",
        "$JS.API.CONSUMER.CREATE.EVENTS.spy.privity.evt.>",
        "$JS.API.CONSUMER.DURABLE.CREATE.COMMANDS.spy",
        "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.intake",
        f"$JS.API.CONSUMER.CREATE.COMMANDS.x.{envelope.feed_subject(eve.account)}",
    ):
        await eve.may_not_say(subject, reply=eve.bus.new_inbox())
    async with backend_bus(backend) as bus:
        assert (await bus.jetstream().stream_info("EVENTS")).state.messages > 0


async def test_n3_nobody_acknowledges_a_delivery_and_what_was_delivered_is_done(
    backend: RunningHome, eve: Attacker
) -> None:
    for subject in ("$JS.ACK.COMMANDS.intake.1.1.1.1.1", "$JS.ACK.EVENTS.views.1.1.1.1.0"):
        await eve.may_not_say(subject)
        await eve.may_not_say(f"privity.qry.{eve.account}.items", reply=subject)  # the backend would do it for her
    await eve.own_command_is_accepted()
    async with backend_bus(backend) as bus:
        assert await until_empty(lambda: pending(bus.jetstream()))


async def pending(jetstream: nats.js.JetStreamContext) -> int:
    found = await jetstream.consumer_info("COMMANDS", "intake")
    return (found.num_pending or 0) + (found.num_ack_pending or 0)


async def until_empty(count: Callable[[], Awaitable[int]]) -> bool:
    async with asyncio.timeout(PATIENCE):
        while await count():  # noqa: ASYNC110 - another process tells no event of ours
            await asyncio.sleep(0.05)
    return True


# ---- N4: a reply subject that points elsewhere ----


async def test_n4_no_answer_is_delivered_into_the_backend(backend: RunningHome, eve: Attacker) -> None:
    targets = [
        "privity.evt.shares.share-created.x",
        "privity.dead.shares",
        "privity.read.record",
        "privity.enrol.device",
        "$SYS.REQ.CLAIMS.UPDATE",
    ]
    async with backend_bus(backend) as bus:
        heard = {subject: await listen(bus, subject) for subject in targets}
        for subject in targets:
            await eve.bus.publish(*eve.signer.query(AskItems(), None, 0), reply=subject)
            await eve.bus.publish(add_item(eve.signer).subject, b"no command", reply=subject)
        await eve.bus.flush()
        await eve.own_query_is_answered()  # so the others were answered before
        for subject, each in heard.items():
            assert await silent(each), subject


async def test_n4_an_answer_that_is_pointed_at_another_person_is_not_believed(eve: Attacker, ann: Person) -> None:
    """The bus delivers in the account of all people; what comes is no result, and Ann's agent waits for her own."""
    signer, server = signer_of(ann)
    async with Bus(server, signer.account, await by_device(server, signer)) as bus:
        waiting = add_item(signer)
        sending = asyncio.create_task(bus.send(waiting.subject, waiting.id, waiting.data))
        for _ in range(20):
            target = envelope.result_subject(signer.account, waiting.id)
            await eve.bus.publish(*eve.signer.query(AskItems(), None, 0), reply=target)
            await eve.bus.publish(add_item(eve.signer).subject, b"", reply=target)
        assert (await sending).status == "accepted"


async def silent(heard: Heard) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(heard.queue.get(), SILENCE)
        return False
    return True


# ---- N5: another's name ----


async def test_n5_nobody_speaks_in_anothers_name(eve: Attacker, victim: Attacker) -> None:
    stolen = add_item(victim.signer)  # rightly signed, even
    for subject in (
        stolen.subject,
        envelope.query_subject(victim.account, "items"),
        envelope.result_subject(victim.account, stolen.id),
        envelope.result_subject(eve.account, stolen.id),
        envelope.feed_subject(victim.account),
        "privity.evt.items.item-added.x",
        "privity.read.record",
        "privity.enrol.device",
        f"privity.cmd.{eve.account}",
        "privity.cmd",
        f"{inbox_prefix(victim.account)}.x",
    ):
        await eve.may_not_say(subject)
    await victim.own_command_is_accepted()
    await eve.own_command_is_accepted()


# ---- N6, N7: headers that the streams would obey ----


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Rollup": "all"},
        {"Nats-Rollup": "sub"},
        {"Nats-TTL": "1s"},
        {"Nats-Expected-Last-Sequence": "0"},
        {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "privity.cmd.x.items.add"},
        {"Nats-Batch-Id": "x", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
        {"Nats-Incr": "5"},
    ],
    ids=lambda headers: next(iter(headers)),
)
async def test_n6_no_header_of_a_persons_has_an_effect_on_a_stream(
    backend: RunningHome, eve: Attacker, victim: Attacker, headers: dict[str, str]
) -> None:
    async with backend_bus(backend) as bus:
        before = (await bus.jetstream().stream_info("EVENTS")).state.messages
        asked = add_item(eve.signer)
        told = await listen(eve.bus, inbox := eve.bus.new_inbox())
        await eve.bus.publish(asked.subject, asked.data, headers=headers, reply=inbox)
        stored = json.loads((await told.next()).data)  # the stream's own answer: it refused, or took no notice
        assert "error" in stored or stored["stream"] == "COMMANDS"
        await victim.own_command_is_accepted()

        async def missing() -> int:
            return max(0, before + 1 - (await bus.jetstream().stream_info("EVENTS")).state.messages)

        assert await until_empty(missing), "events were purged, or are not published any more"
        config = (await bus.jetstream().stream_info("COMMANDS")).config
        assert not any((config.allow_rollup_hdrs, config.allow_msg_ttl, config.allow_msg_schedules))


async def test_n7_anothers_message_id_suppresses_nothing_of_theirs(eve: Attacker, victim: Attacker) -> None:
    waiting = add_item(victim.signer)
    guessed = {"Nats-Msg-Id": waiting.id}
    await eve.own_command_is_accepted(headers=guessed)
    heard = await listen(victim.bus, envelope.result_subject(victim.account, waiting.id))
    await victim.bus.publish(waiting.subject, waiting.data)  # an agent sets none: so none can be taken
    assert envelope.result.validate_json((await heard.next()).data).status == "accepted"


# ---- N8: revocation ----


async def test_n8_a_device_that_left_is_cut_off_at_once_and_for_good(own_backend: RunningHome, tmp_path: Path) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    written = await ann.register()
    phone = Person(ann.address, tmp_path / "phone", ann.server)
    server = parse_connection_string(ann.server)
    await accounts.login(ProfileFolder(phone.home), server, ann.address, written.secret, ann.passphrase)
    async with on_the_bus(phone) as lost, on_the_bus(ann) as kept:
        await lost.own_command_is_accepted()
        async with phone.session() as (session, keyring):
            await accounts.logout(session, keyring, ProfileFolder(phone.home).load())
        await asyncio.wait_for(lost.line.ended.wait(), PATIENCE)
        await refused(lost)
        await kept.own_command_is_accepted()
    with pytest.raises(UnknownDevice):
        await by_device(server, lost.signer)

    await kill_helper(own_backend, "nats-server")  # it is started again, and knows
    await eventually(lambda: port_open(server))
    async with on_the_bus(ann) as kept:
        await kept.own_command_is_accepted()
        await refused(lost)

    own_backend.stop()
    own_backend.start()
    async with on_the_bus(ann) as kept:
        await kept.own_command_is_accepted()
    await refused(lost)


async def test_n8_a_session_that_is_cut_off_says_why(backend: RunningHome, person: MakePerson, tmp_path: Path) -> None:
    """A device that another one took out: exit code 1, and no waiting."""
    ann = await person("ann")
    folder = ProfileFolder(ann.home)
    async with ann.session() as (running, ring), ann.session() as (leaving, keyring):
        profile = folder.load()
        kept = await items.add(running, ring, "Passport", {"number": "X1"})
        line = await running.connected()
        await accounts.logout(leaving, keyring, profile)
        folder.save(profile)  # the thief's copy
        await eventually(lambda: line.ended)
        began = time.monotonic()
        with pytest.raises(UnknownDevice):
            await items.show(running, ring, kept.item)
        assert time.monotonic() - began < 5
    outcome = ann.run("item", "list")
    assert (outcome.code, "error: UnknownDevice" in outcome.err) == (1, True), outcome


async def refused(attacker: Attacker) -> None:
    """The credential that was good opens nothing any more."""
    prefix = inbox_prefix(attacker.account)
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await buses.Person.of(attacker.server.bus_url, attacker.credential, prefix)
    with pytest.raises(NotAdmitted):
        async with Bus(attacker.server, attacker.account, attacker.credential):
            pass


def port_open(server: ConnectionString) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((server.host, server.port)) == 0


# ---- N9: TLS ----


@pytest.fixture
def authority(tmp_path: Path) -> buses.Authority:
    return buses.Authority(tmp_path / "authority")


@pytest.fixture
def home_with_tls(tmp_path: Path, authority: buses.Authority) -> Iterator[RunningHome]:
    """An embedded home whose bus has TLS; its two processes connect by it too."""
    tls = {"CERT": authority.cert, "KEY": authority.key, "CA": authority.ca}
    with RunningHome(tmp_path / "home", **{f"PRIVITY_TLS_{name}": str(path) for name, path in tls.items()}) as home:
        yield home


async def test_n9_with_the_right_authority_all_goes_as_without_tls(
    home_with_tls: RunningHome, authority: buses.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVITY_CA", str(authority.ca))
    ann = somebody("ann", tmp_path, home_with_tls.url)
    await ann.register()
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X1"})
        assert (await items.show(session, keyring, kept.item)).content == kept.content
    operator = ann.run("--json", "status", "--data", str(home_with_tls.data))
    assert (operator.code, operator.json["healthy"]) == (0, True)


async def test_n9_plaintext_and_other_authorities_are_refused(
    home_with_tls: RunningHome, authority: buses.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = parse_connection_string(home_with_tls.url)
    door = Credential(server.credential)

    def in_plaintext() -> bytes:
        with (
            socket.create_connection((server.host, server.port), timeout=PATIENCE) as wire,
            wire.makefile("rb") as told,
        ):
            wire.sendall(hello(door, told.readline()) + b"PING\r\n")
            with suppress(ConnectionError):
                return told.read(4096)
            return b""

    assert b"PONG" not in await asyncio.to_thread(in_plaintext)
    ann = somebody("ann", tmp_path, home_with_tls.url)
    for wrong in (buses.Authority(tmp_path / "another").ca, None):
        monkeypatch.setenv("PRIVITY_CA", str(wrong) if wrong else "")
        with pytest.raises(Unreachable, match="certificate"):
            await ann.register()
    monkeypatch.setenv("PRIVITY_CA", str(authority.ca))
    await ann.register()


@pytest.mark.soak
async def test_n9_nobody_in_between_talks_an_agent_out_of_tls(
    home_with_tls: RunningHome, authority: buses.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He answers as a server without TLS would, and waits for the credential."""
    monkeypatch.setenv("PRIVITY_CA", str(authority.ca))
    heard: list[bytes] = []

    async def in_between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","nonce":"abc","headers":true}\r\n')
        heard.append(await reader.read(64))
        writer.close()

    listener = await asyncio.start_server(in_between, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    turned = home_with_tls.url.replace(f":{parse_connection_string(home_with_tls.url).port}?", f":{port}?")
    with pytest.raises(Unreachable):
        await somebody("ann", tmp_path, turned).register()
    listener.close()
    assert heard
    assert all(each.startswith(b"\x16\x03") for each in heard), "it said something before the handshake"


@pytest.mark.parametrize(("name", "opens"), [("127.0.0.1", True), ("bus.example.org", False)])
async def test_n9_a_certificate_must_name_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, opens: bool
) -> None:
    other = buses.Authority(tmp_path / "authority", name)
    monkeypatch.setenv("PRIVITY_CA", str(other.ca))
    server = NatsServer(tmp_path, buses.free_port(), buses.KEYS, tls=other.tls)
    await server.start()
    string = ConnectionString("127.0.0.1", server.port, "person", buses.KEYS.door, bytes(32), tls=True)
    connecting = Bus(string, buses.ANN, buses.credential_of(buses.ANN))
    if opens:
        async with connecting:
            pass
    else:
        with pytest.raises(Unreachable, match="certificate"):
            await connecting.__aenter__()
    await server.stop()


# ---- N10: without end ----


async def test_n10_subscriptions_have_an_end_and_the_first_ones_work_on(eve: Attacker) -> None:
    """By hand, since the client library leaves at the first complaint."""
    waiting, more = add_item(eve.signer), 8
    reader, writer = await asyncio.open_connection(eve.server.host, eve.server.port)
    writer.write(hello(eve.credential, await reader.readline()))
    first = envelope.result_subject(eve.account, waiting.id)
    for number, subject in enumerate([first, *(f"{first}{each}" for each in range(DEVICE_SUBSCRIPTIONS - 1 + more))]):
        writer.write(f"SUB {subject} {number + 1}\r\n".encode())
    writer.write(b"PUB %b %d\r\n%b\r\n" % (waiting.subject.encode(), len(waiting.data), waiting.data))
    heard = b""
    async with asyncio.timeout(PATIENCE):
        while b'"status":"accepted"' not in heard:
            heard += await reader.read(65536)
    assert heard.count(b"maximum subscriptions exceeded") == more
    writer.close()
    await eve.own_query_is_answered()


async def test_n10_connections_have_an_end_and_the_backend_serves_on(tmp_path: Path) -> None:
    """On a server that lets 20 people in, since 1,000 take a while: the rest is the same."""
    server = NatsServer(tmp_path, buses.free_port(), buses.KEYS, people=20)
    await server.start()
    lines = [await buses.Person.device(server.url) for _ in range(20)]
    for _ in range(5):
        with pytest.raises(nats.errors.Error, match="maximum account active connections"):
            await buses.Person.device(server.url)
    bus = await connect(buses.way(server), name="backend")
    await buses.answer(bus, f"privity.qry.{buses.ANN}.items", b"rows")
    assert await request(lines[0].bus, f"privity.qry.{buses.ANN}.items", b"") == b"rows"
    for each in (bus, *(line.bus for line in lines)):
        await each.close()
    await server.stop()


async def test_n10_one_persons_connections_have_an_end_and_others_find_room(eve: Attacker, victim: Attacker) -> None:
    """The backend has those cut that are too many: so nobody can take up all that people have."""
    prefix = inbox_prefix(eve.account)
    lines = [await buses.Person.of(eve.server.bus_url, eve.credential, prefix) for _ in range(EACH + 8)]
    await eventually(lambda: sum(line.ended.is_set() for line in lines) >= 9)  # eve's first one counts
    assert not lines[0].ended.is_set()
    await eve.own_query_is_answered()
    await victim.own_command_is_accepted()
    for line in lines:
        await line.bus.close()
    again = await buses.Person.of(eve.server.bus_url, eve.credential, prefix)
    await again.bus.flush()
    await eve.own_command_is_accepted()
    assert not again.ended.is_set()
    await again.bus.close()
