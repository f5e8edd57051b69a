"""Poison: what cannot be processed is answered, parked with its reason, can be sent again, and blocks nobody."""

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from handlers.committer import ATTEMPTS_ON_POISON
from handlers.intake import MAX_REASON, Intake
from privity.agent import accounts
from privity.agent.enrolment import by_device
from privity.agent.profile import Waiting
from privity.connection_string import ConnectionString
from privity.credential import Credential
from privity.crypto.command import frame, unframe
from privity.encoding import new_id
from privity.messages import envelope
from privity.messages.items import RemoveItem
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.conftest import MakePerson
from tests.infra.buses import hello
from tests.trials import poisoned
from tests.trials.load import add_item, everything, privity, signer_of, store_of
from tests.trials.test_duplicates import effects, line

pytestmark = pytest.mark.trial

BUS_BOUND = 1024 * 1024  # bytes of a message that nats-server takes
Parked = dict[str, str]


def parked(home: RunningHome, subject: str) -> list[Parked]:
    """What `dead list` shows of messages that went to a subject."""
    shown = privity("dead", "list", "--json", "--data", str(home.data))
    assert shown.returncode == 0, shown.stderr
    return [row for row in json.loads(shown.stdout) if row["subject"] == subject]


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """The file of the items that the handler trips over."""
    path = tmp_path / "fault"
    path.write_text("")
    return path


@pytest.fixture
def faulty(tmp_path: Path, fault: Path) -> Iterator[RunningHome]:
    """A home in which the handler of AddItem trips over some items."""
    program = (sys.executable, "-m", poisoned.__name__)
    with RunningHome(tmp_path / "faulty-home", program, **{poisoned.FAULT: str(fault)}) as home:
        yield home


@pytest.mark.soak
async def test_f10_a_poison_command_is_parked_after_n_tries_while_others_flow_and_can_be_sent_again(
    faulty: RunningHome, fault: Path, tmp_path: Path
) -> None:
    ann, bob = (somebody(name, tmp_path, faulty.url) for name in ("ann", "bob"))
    await ann.register()
    await bob.register()
    (hers, server), (his, _) = signer_of(ann), signer_of(bob)
    item = new_id()
    fault.write_text(item)  # noqa: ASYNC240
    poison, behind, beside = add_item(hers, item), add_item(hers), add_item(his)
    async with line(server, hers) as ann_line, line(server, his) as bob_line:
        await ann_line.send(poison)
        assert (await ann_line.results_of(behind))[0].status == "accepted", "the next one of hers waits for the poison"
        assert (await bob_line.results_of(beside))[0].status == "accepted", "somebody else waits for the poison"
        (gave_up,) = [envelope.result.validate_json(each) for each in await ann_line.heard(1)]
        assert (gave_up.id, gave_up.status, gave_up.code) == (poison.id, "refused", "Internal")

        (dead,) = parked(faulty, poison.subject)
        assert dead["reason"] == f"Internal: ZeroDivisionError after {ATTEMPTS_ON_POISON} attempts"
        assert await effects(faulty, poison) == 0

        fault.write_text("")  # noqa: ASYNC240
        retried = privity("dead", "retry", str(dead["id"]), "--data", str(faulty.data))
        assert retried.returncode == 0, retried.stderr
        (result,) = [envelope.result.validate_json(each) for each in await ann_line.heard(1)]
        assert (result.id, result.status) == (poison.id, "accepted")
    assert parked(faulty, poison.subject) == []
    assert await effects(faulty, poison) == 1
    assert "canary of the fault" not in json.dumps(dead) + gave_up.message + str(gave_up.code)


async def test_f10_a_parked_message_can_be_dropped_and_one_that_is_not_there_is_not_found(
    backend: RunningHome, ann: Person
) -> None:
    signer, server = signer_of(ann)
    wrong = Waiting("unreadable", add_item(signer).subject, b"7")
    async with line(server, signer) as mine:
        await mine.results_of(wrong)
    (dead,) = parked(backend, wrong.subject)
    assert privity("dead", "drop", str(dead["id"]), "--data", str(backend.data)).returncode == 0
    assert parked(backend, wrong.subject) == []
    again = privity("dead", "drop", str(dead["id"]), "--data", str(backend.data))
    assert (again.returncode, again.stderr.split(":")[1].strip()) == (1, "NotFound")


def bent(command: Waiting, old: bytes, new: bytes, subject: str = "") -> Waiting:
    """The command with other words in its envelope (the signature no longer fits), or on another subject."""
    signature, payload, *sealed = unframe(command.data, 100, len(command.data))
    assert old in payload
    data = frame(signature, payload.replace(old, new), *sealed)
    return Waiting(command.id, subject or command.subject, data)


def swollen(command: Waiting, size: int) -> Waiting:
    """The command with bytes behind it, so that the whole message has `size`."""
    return Waiting("unreadable", command.subject, command.data + bytes(size - len(command.data)))


def unparkable() -> dict[str, tuple[str, str]]:
    """For each way to be no command: the code, and a piece of the reason."""
    return {
        "no frame": ("Malformed", "not a frame"),
        "cut frame": ("Malformed", "the frame is cut"),
        "no envelope": ("Malformed", "Invalid JSON"),
        "unknown field": ("Malformed", "extra: Unexpected keyword argument"),
        "unknown command": ("UnknownCommand", "there is no command items.explode"),
        "foreign account": ("Malformed", "another account than the envelope"),
        "long envelope": ("TooLarge", "an envelope may have"),
        "long message": ("TooLarge", "a message may have"),
        "as long as the bus takes": ("TooLarge", "a message may have"),
        "too many sealed objects": ("TooLarge", "too many parts"),
        "headers in a field's name": ("Malformed", ""),
    }


def made_wrong(kind: str, sound: Waiting, foreign: str, account: str) -> Waiting:
    """The sound command, made wrong in one way."""
    signature, payload, *sealed = unframe(sound.data, 100, len(sound.data))
    match kind:
        case "no frame":
            return Waiting("unreadable", sound.subject, b"7")
        case "cut frame":
            return Waiting("unreadable", sound.subject, sound.data[:-1])
        case "no envelope":
            return Waiting("unreadable", sound.subject, frame(signature, b"{", *sealed))
        case "unknown field":
            return bent(sound, b'"body":{', b'"body":{"extra":1,')
        case "unknown command":
            return Waiting(sound.id, sound.subject.replace("items.add", "items.explode"), sound.data)
        case "foreign account":
            return bent(sound, account.encode(), foreign.encode())
        case "long envelope":
            return Waiting("unreadable", sound.subject, frame(signature, bytes(envelope.MAX_PAYLOAD + 1)))
        case "long message":
            return swollen(sound, envelope.MAX_MESSAGE + 1)
        case "as long as the bus takes":
            return swollen(sound, BUS_BOUND)
        case "too many sealed objects":
            return Waiting("unreadable", sound.subject, frame(signature, payload, *[b"x"] * (envelope.MAX_SEALED + 1)))
        case "headers in a field's name":
            name = rb"\r\nNats-Rollup: all\r\nPrivity-Subject: elsewhere\r\n" + b"x" * 100_000
            return bent(sound, b'"body":{', b'"body":{"' + name + b'":1,')
    raise NotImplementedError(kind)


async def test_f10_what_is_no_command_is_answered_with_its_code_and_parked_with_its_reason(
    backend: RunningHome, person: MakePerson
) -> None:
    ann, eve = await person("ann"), await person("eve")
    (signer, server), (foreign, _) = signer_of(ann), signer_of(eve)
    wrong = {kind: made_wrong(kind, add_item(signer), foreign.account, signer.account) for kind in unparkable()}
    async with line(server, signer) as mine:
        for kind, command in wrong.items():
            (result,) = await mine.results_of(command)
            code, reason = unparkable()[kind]
            assert (result.id, result.status, result.code) == (command.id, "refused", code), kind
            assert reason in (result.message or ""), kind
        assert (await mine.results_of(add_item(signer)))[0].status == "accepted"
        assert mine.results.empty(), "something was answered twice"
    dead = [each for each in all_parked(backend) if f".{signer.account}." in each["subject"]]
    reasons = [each["reason"] for each in dead]
    assert len(reasons) == len(wrong)
    for (code, reason), found in zip(unparkable().values(), reasons, strict=True):
        assert found.startswith(f"{code}: ")
        assert reason in found
        assert len(found) <= MAX_REASON


def all_parked(home: RunningHome) -> list[Parked]:
    """All that `dead list` shows."""
    rows: list[Parked] = json.loads(privity("dead", "list", "--json", "--data", str(home.data)).stdout)
    return rows


async def test_f10_a_refusal_is_not_parked(backend: RunningHome, ann: Person) -> None:
    signer, server = signer_of(ann)
    refused, forged = signer.command(RemoveItem(new_id()), ()), bent(add_item(signer), b'"v":1', b'"v": 1')
    async with line(server, signer) as mine:
        codes = [result.code for result in [*await mine.results_of(refused), *await mine.results_of(forged)]]
    assert codes == ["NotFound", "BadSignature"]
    assert [each for each in all_parked(backend) if f".{signer.account}." in each["subject"]] == []


async def test_f10_nothing_that_was_parked_is_in_the_store(backend: RunningHome, ann: Person) -> None:
    signer, server = signer_of(ann)
    sound = add_item(signer)
    wrong = made_wrong("unknown field", sound, "", signer.account)
    async with line(server, signer) as mine:
        assert (await mine.results_of(wrong))[0].code == "Malformed"
        async with store_of(backend) as store:
            assert not any(sound.id.encode() in event.data for event in everything(store))
            assert store.commands([(signer.account, sound.id)]) == {}
        assert (await mine.results_of(sound))[0].status == "accepted", "the id was used up by a message nobody signed"


def shout(server: ConnectionString, credential: Credential, *lines: bytes) -> None:
    """Write protocol lines that no client library would, with a person's credential."""
    with socket.create_connection((server.host, server.port), timeout=5) as wire:
        with wire.makefile("rb") as told:
            info = told.readline()
        wire.sendall(hello(credential, info) + b"".join(lines) + b"PING\r\n")
        heard = b""
        while b"PONG\r\n" not in heard:
            heard += wire.recv(4096)
    assert b"-ERR" not in heard


def with_headers(subject: bytes, headers: bytes, data: bytes = b"") -> bytes:
    """A published message with these header bytes."""
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(headers), len(headers) + len(data), headers, data)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(b"PUB privity.cmd.WHO.\xff\xfe.add 1\r\nx\r\n", id="a command's subject that is no text"),
        pytest.param(b"PUB privity.qry.WHO.\xff\xfe 1\r\nx\r\n", id="a query's subject that is no text"),
        pytest.param(with_headers(b"privity.cmd.WHO.items.add", b"NATS/1.0 \xff\r\n\r\n"), id="a status of no text"),
        pytest.param(with_headers(b"privity.qry.WHO.items", b"NATS/1.0 \xff\r\n\r\n"), id="a query's, too"),
        pytest.param(with_headers(b"privity.cmd.WHO.items.add", b"NATS/1.0\r\n\xff: \xff\r\n\r\n"), id="a header"),
        pytest.param(b"PUB privity.cmd.WHO.items 1\r\nx\r\n", id="a subject that is too short"),
        pytest.param(b"PUB privity.cmd.WHO.*.> 1\r\nx\r\n", id="a subject of wildcards"),
    ],
)
async def test_u6_bytes_that_no_client_would_send_leave_the_backend_hearing(ann: Person, lines: bytes) -> None:
    signer, server = signer_of(ann)
    credential = await by_device(server, signer)
    await asyncio.to_thread(shout, server, credential, lines.replace(b"WHO", signer.account.encode()))
    async with line(server, signer) as mine:
        assert (await mine.results_of(add_item(signer)))[0].status == "accepted", "the commands are deaf"
    async with ann.session() as (session, _):
        assert (await accounts.show(session)).account == signer.account, "the queries are deaf"


async def test_u6_a_message_that_looks_like_the_buss_own_signal_is_parked_and_fills_no_room(
    backend: RunningHome, ann: Person
) -> None:
    signer, server = signer_of(ann)
    subject = f"privity.cmd.{signer.account}.items.add"
    signal = with_headers(subject.encode(), b"NATS/1.0 100 Idle Heartbeat\r\n\r\n")
    await asyncio.to_thread(shout, server, await by_device(server, signer), signal * 3)
    async with line(server, signer) as mine:
        command = add_item(signer)
        await mine.send(command)
        results = [envelope.result.validate_json(each) for each in await mine.heard(1)]
        while results[-1].id != command.id:  # those of the signals may come before
            results += [envelope.result.validate_json(each) for each in await mine.heard(1)]
        assert results[-1].status == "accepted"
    assert [each["size"] for each in parked(backend, subject)] == [0, 0, 0]


async def test_f10_a_writer_that_trips_ends_its_role_and_is_not_waited_for_in_vain() -> None:
    def trip(_: object) -> None:
        raise ZeroDivisionError

    bus = SimpleNamespace(jetstream=lambda: None)
    message = SimpleNamespace(subject="privity.cmd.a.b.c", data=b"", metadata=SimpleNamespace(num_delivered=1))
    intake = Intake(SimpleNamespace(process=trip), bus, lambda: None)  # type: ignore[arg-type]
    intake.start()
    await intake.take(message)  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        assert await intake.ended() is None
    await intake.stop()  # does not hang either
