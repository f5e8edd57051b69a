"""The audit: what was done with one's data, checkpoints that others can hold against theirs, and exports."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from infra.home import open_keys
from privity.agent import accounts, audit, items, shares
from privity.agent.profile import ProfileFolder
from privity.audit.verify import verify
from privity.connection_string import parse_connection_string
from privity.crypto.credentials import home_id
from privity.crypto.log import cosigned, make_checkpoint, read_checkpoint
from privity.crypto.signing import SigningKey
from privity.encoding import b64
from privity.errors import BadLogin, IntegrityAlarm, Withheld
from privity.messages.reads import RECORD_SUBJECT
from privity.testing.home import RunningHome
from privity.testing.people import Outcome, Person
from tests.rows.conftest import Newcomer
from tests.rows.watching import lie, typed


async def told(person: Person, *arguments: str, **environment: str) -> Outcome:
    """The command line, beside this loop."""
    return await asyncio.to_thread(typed, person, *arguments, **environment)


async def shown(person: Person, *arguments: str) -> Any:
    """What a command that must succeed prints as JSON."""
    done = await told(person, "--json", *arguments)
    assert done.code == 0, done.err
    return done.json


async def logged(person: Person, event: str) -> list[dict[str, Any]]:
    """The rows of `audit log` about one kind of event."""
    return [row for row in await shown(person, "audit", "log") if row["event"] == event]


async def share(connected: tuple[Person, Person]) -> str:
    """Ann's share for Bob."""
    ann, bob = connected
    async with ann.session() as (session, keyring):
        added = await items.add(session, keyring, "Phone", {"number": "0123"})
        made = await shares.create(session, keyring, added.item, bob.address)
    return made.share


async def fetch(person: Person, id: str) -> None:
    """Read a share."""
    async with person.session() as (session, keyring):
        await shares.show(session, keyring, id)


def files_in(folder: Path) -> list[Path]:
    """The exports, and what is left of those that were not made."""
    return sorted(folder.glob("*own*"))


# The log of what was done.


async def test_the_audit_log_says_who_fetched_what_once_in_an_hour(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    id = await share(connected)
    assert await logged(ann, "share-fetched") == []
    for _ in range(3):
        await fetch(bob, id)
        await fetch(ann, id)
    for person in (ann, bob):
        found = await logged(person, "share-fetched")
        assert 1 <= len(found) <= 2, "two, where an hour began in between"
        for row in found:
            assert row.keys() >= {"position", "event", "actor", "at"}
            assert (row["actor"], row["refs"]["share"]) == (bob.address, id)
    positions = [row["position"] for row in await shown(ann, "audit", "log")]
    assert positions == sorted(positions)
    later = await shown(ann, "audit", "log", "--after", str(positions[-2]))
    assert [row["position"] for row in later] == positions[-1:]


async def test_a_login_is_in_the_audit_log_and_a_refused_one_too(newcomer: Newcomer, tmp_path: Path) -> None:
    ann, written = await newcomer("ann")
    server = parse_connection_string(ann.server)
    await accounts.login(ProfileFolder(tmp_path / "tablet"), server, ann.address, written.secret, ann.passphrase)
    (fetched,) = await logged(ann, "keyring-fetched")
    assert (fetched["actor"], fetched["refs"]) == (ann.address, {"purpose": "login"})
    for number in range(3):
        folder = ProfileFolder(tmp_path / f"thief-{number}")
        with pytest.raises(BadLogin):
            await accounts.login(folder, server, ann.address, written.secret, f"guess {number}")
    refused = await logged(ann, "keyring-refused")
    assert 1 <= len(refused) <= 2, "two, where an hour began in between"
    assert refused[0]["actor"] == "unknown"


async def test_u1_no_person_reaches_what_records_reads(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    id = await share(connected)
    async with bob.session() as (session, _):
        bus = await session.connected()
        with pytest.raises((NoRespondersError, NatsTimeout)):
            await bus._client.request(RECORD_SUBJECT, b"anything", timeout=1)
    assert await logged(ann, "share-fetched") == []
    await fetch(bob, id)
    assert len(await logged(ann, "share-fetched")) == 1


# Checkpoints and witnesses.


async def test_a_checkpoint_is_the_logs_own_and_grows(ann: Person) -> None:
    server = parse_connection_string(ann.server)
    first = await shown(ann, "audit", "checkpoint")
    read = read_checkpoint(first["checkpoint"], server.log_public, server.home)
    assert (first["size"], first["origin"]) == (read.size, f"privity/{server.home}")
    assert first["root"] == first["checkpoint"].splitlines()[2]
    plain = await told(ann, "audit", "checkpoint")
    assert read_checkpoint(plain.out, server.log_public, server.home).size >= first["size"]
    async with ann.session() as (session, keyring):
        await items.add(session, keyring, "Phone", {"number": "0123"})
    assert (await shown(ann, "audit", "checkpoint"))["size"] > first["size"]


async def test_s12_anothers_checkpoint_must_be_of_the_same_history(
    connected: tuple[Person, Person], backend: RunningHome, tmp_path: Path
) -> None:
    ann, bob = connected
    server = parse_connection_string(ann.server)
    note = tmp_path / "checkpoint"
    note.write_text((await told(bob, "audit", "checkpoint", "--cosign")).out)
    newer = await shown(ann, "audit", "checkpoint", "--against", str(note))
    assert newer["size"] >= read_checkpoint(note.read_text(), server.log_public, server.home).size
    key = open_keys(backend.data).log
    for size, code in ((newer["size"] - 1, "ForkedLog"), (newer["size"] + 1000, "RolledBack")):
        note.write_text(make_checkpoint(key, server.home, size, b"another root, also 32 bytes long"))
        done = await told(ann, "audit", "checkpoint", "--against", str(note))
        assert done.code == 3
        assert code in done.err
    stranger = SigningKey.generate()
    note.write_text(make_checkpoint(stranger, home_id(stranger.public), 1, b"x" * 32))
    done = await told(ann, "audit", "checkpoint", "--against", str(note))
    assert (done.code, "ForgedRecord" in done.err) == (3, True)
    assert (await told(ann, "audit", "checkpoint", "--against", str(tmp_path / "nowhere"))).code == 2


async def test_a_person_is_a_witness_under_one_key_on_all_devices(newcomer: Newcomer, tmp_path: Path) -> None:
    ann, written = await newcomer("ann")
    signed = await shown(ann, "audit", "checkpoint", "--cosign")
    name, public = audit.read_witness(signed["witness"])
    assert name == f"privity-witness/{written.account}"
    assert abs(cosigned(signed["checkpoint"], name, public) - datetime.now(UTC)) < timedelta(minutes=5)
    server = parse_connection_string(ann.server)
    tablet = Person(ann.address, tmp_path / "tablet", ann.server)
    await accounts.login(ProfileFolder(tablet.home), server, ann.address, written.secret, ann.passphrase)
    assert (await shown(tablet, "audit", "checkpoint", "--cosign"))["witness"] == signed["witness"]
    assert "witness" not in await shown(ann, "audit", "checkpoint")


# Exports.


async def test_ones_own_export_holds_the_whole_feed_and_verifies_with_nothing_else_at_hand(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    ann, bob = connected
    id = await share(connected)
    await fetch(bob, id)
    path, older = tmp_path / "own.jsonl", await shown(ann, "audit", "checkpoint")
    await share(connected)
    made = await shown(bob, "audit", "export", str(path))
    feed = await shown(bob, "audit", "log")
    assert made["events"] == len(feed)
    assert files_in(tmp_path) == [path]
    away = Person("nobody@localhost", tmp_path / "nothing", "")
    found = await shown(away, "audit", "verify", str(path))
    assert found.keys() >= {"events", "ok", "root"}
    assert (found["events"], found["ok"], found["root"]) == (made["events"], True, made["root"])
    assert (found["kind"], found["account"]) == ("own", ProfileFolder(bob.home).load().account)
    events = [line for line in map(json.loads, path.read_text().splitlines()) if "stream" in line]
    assert [line["seq"] for line in events] == list(range(1, len(feed) + 1))
    read, *_ = [line for line in events if line["name"] == "share-fetched.v1"]  # a second one, if the hour ended
    assert read["command"]["subject"].endswith(".shares")
    note = tmp_path / "checkpoint"
    for held, code in ((older, "Malformed"), (await shown(ann, "audit", "checkpoint"), None)):
        note.write_text(held["checkpoint"])
        done = await told(away, "audit", "verify", str(path), "--checkpoint", str(note))
        assert (done.code, f"error: {code}" in done.err) == ((1, True) if code else (0, False))
    await share(connected)
    note.write_text((await shown(ann, "audit", "checkpoint"))["checkpoint"])
    done = await told(away, "audit", "verify", str(path), "--checkpoint", str(note))
    assert (done.code, "RolledBack" in done.err) == (3, True)


async def test_s17_a_bit_flipped_in_ones_own_export_is_found_and_its_position_is_named(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    _, bob = connected
    await fetch(bob, await share(connected))
    path = tmp_path / "own.jsonl"
    await shown(bob, "audit", "export", str(path))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    start = 0
    for number, line in enumerate(lines, 1):
        for at in range(3, len(line), max(1, len(line) // 12)):
            damaged = bytearray(whole)
            damaged[start + at] ^= 1 << at % 8
            path.write_bytes(damaged)
            with pytest.raises(IntegrityAlarm) as alarm:
                verify(path)
            named = f"(line {number}): " in alarm.value.message
            at_an_end = number in (1, len(lines)) and alarm.value.message.startswith(("the header: ", "the footer: "))
            assert named or at_an_end, (number, at)
        start += len(line)
    path.write_bytes(whole)
    assert verify(path).events > 0
    path.write_bytes(b"".join(lines[:4] + lines[5:]))
    done = await told(bob, "audit", "verify", str(path))
    assert done.code == 3
    assert "position " in done.err


async def test_s12_an_own_export_from_which_the_backend_leaves_something_out_is_not_made(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    ann, _ = connected
    await share(connected)
    path = tmp_path / "own.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        lie(patch, "evidence", lambda rows: rows.pop(3) if len(rows) > 3 else None)
        async with ann.session() as (session, keyring):
            with pytest.raises(Withheld, match="position"):
                await audit.export_own(session, keyring, ProfileFolder(ann.home).load().device, path)
    assert files_in(tmp_path) == []
    assert (await shown(ann, "audit", "export", str(path)))["events"] > 0


async def test_an_operator_exports_the_whole_log_of_a_running_home(
    connected: tuple[Person, Person], backend: RunningHome, tmp_path: Path
) -> None:
    _, bob = connected
    await fetch(bob, await share(connected))
    older = await shown(bob, "audit", "checkpoint", "--cosign")
    note, path = tmp_path / "checkpoint", tmp_path / "whole.jsonl"
    note.write_text(older["checkpoint"])
    away = Person("nobody@localhost", tmp_path / "nothing", "")
    made = await shown(away, "audit", "export", str(path), "--data", str(backend.data))
    found = await shown(away, "audit", "verify", str(path))
    assert (found["events"], found["root"], found["kind"]) == (made["events"], made["root"], "whole")
    assert found["events"] >= older["size"]
    held = ("audit", "verify", str(path), "--checkpoint", str(note))
    assert (await shown(away, *held))["ok"]
    assert (await shown(away, *held, "--witness", older["witness"]))["ok"]
    assert (await told(away, *held, "--witness", f"somebody+{b64(b'k' * 32)}")).code == 3
    assert (await told(away, "audit", "verify", str(path), "--witness", older["witness"])).code == 2
    forked = make_checkpoint(open_keys(backend.data).log, found["home"], older["size"] - 1, b"x" * 32)
    note.write_text(forked)
    done = await told(away, *held)
    assert done.code == 3
    assert f"position {older['size'] - 1}: " in done.err
    assert (await told(away, "audit", "verify", str(tmp_path / "nowhere"))).code == 2
