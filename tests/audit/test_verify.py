"""An export that is as it was written verifies; with one bit, event or signature changed it fails, and says where."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.opening import Delivery
from privity.audit.commands import ACTOR, MADE
from privity.audit.verify import Verified, verify
from privity.crypto import labels
from privity.crypto.credentials import home_id
from privity.crypto.log import cosign, entry, make_checkpoint
from privity.crypto.merkle import EMPTY_ROOT, Frontier, leaf_hash
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id
from privity.errors import (
    ForgedRecord,
    ForkedLog,
    IntegrityAlarm,
    KeyMismatch,
    RolledBack,
    Withheld,
)
from privity.messages.catalog import COMMANDS, EVENTS
from privity.messages.items import AddItem
from tests.audit.conftest import export_of
from tests.audit.forging import Lines, forged, numbered, read, recorded, rewritten, sealed, signed_anew
from tests.handlers.people import HOME, LOG, Citizen

Check = Callable[[bytes], Verified]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Verifies bytes as a file."""
    return lambda data: checked(tmp_path, data)


def checked(folder: Path, data: bytes, **more: Any) -> Verified:
    """Verifies bytes as a file."""
    path = folder / "export.jsonl"
    path.write_bytes(data)
    return verify(path, **more)


def alarm(folder: Path, data: bytes, **more: Any) -> IntegrityAlarm:
    """What a changed export raises."""
    with pytest.raises(IntegrityAlarm) as raised:
        checked(folder, data, **more)
    assert raised.value.exit_code == 3
    return raised.value


def place(line: int, count: int) -> str:
    """How an alarm about a line of a whole export begins."""
    return {0: "the header: ", count + 1: "the footer: "}.get(line, f"position {line}: ")


def values(line: bytes) -> Iterator[tuple[int, int]]:
    """Where the values of a line's fields stand in it, those of inner fields too; of a list the last."""

    def walk(value: Any) -> Iterator[Any]:
        inner = value.values() if isinstance(value, dict) else value[-1:] if isinstance(value, list) else ()
        for each in inner:
            if isinstance(each, dict | list):
                yield from walk(each)
            else:
                yield each

    for value in walk(json.loads(line)):
        text = json.dumps(value, ensure_ascii=False).encode()
        yield line.index(text), len(text)


def test_an_export_verifies_offline_and_says_what_it_holds(check: Check, whole: bytes) -> None:
    header, events = read(whole)
    found = check(whole)
    assert (found.kind, found.home, found.events, found.size) == ("whole", HOME.id, len(events), len(events))
    assert found.root == header["checkpoint"].splitlines()[2]
    assert found.unsigned == {"keyring-refused": 2}


def test_the_history_has_every_kind_of_event_and_command_that_a_log_can_hold(whole: bytes) -> None:
    """Else the tests of this file would say less than they seem to."""
    _, events = read(whole)
    names = {event["name"].rpartition(".v")[0] for event in events}
    assert names == set(EVENTS)
    assert set(MADE) == set(COMMANDS)
    assert set(ACTOR) == names - {"pair-connected", "pair-parted", "sealed-erased", "connection-established"}


@pytest.mark.trial
@pytest.mark.soak
def test_s17_a_bit_flipped_in_any_field_of_any_line_is_found_and_its_position_is_named(
    tmp_path: Path, whole: bytes
) -> None:
    lines = whole.splitlines(keepends=True)
    chance = random.Random(17)
    start = 0
    for number, line in enumerate(lines):
        for at, length in values(line):
            damaged = bytearray(whole)
            damaged[start + at + chance.randrange(length)] ^= 1 << chance.randrange(8)
            assert alarm(tmp_path, bytes(damaged)).message.startswith(place(number, len(lines) - 2)), (number, at)
        start += len(line)


@pytest.mark.trial
@pytest.mark.soak
def test_s17_a_bit_flipped_in_any_byte_of_a_small_export_is_found_and_its_position_is_named(tmp_path: Path) -> None:
    small = export_of(tmp_path, [Citizen("ann@localhost").registers()]).read_bytes()
    assert checked(tmp_path, small).events == 2
    line, count = 0, 2
    for at, byte in enumerate(small):
        damaged = small[:at] + bytes([byte ^ (1 << at % 8)]) + small[at + 1 :]
        assert alarm(tmp_path, damaged).message.startswith(place(line, count)), at
        line += byte == ord("\n")


@settings(max_examples=150)
@given(st.data())
def test_s17_any_bit_flipped_anywhere_is_found(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: Any
) -> None:
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    line, count = whole[: bit // 8].count(b"\n"), whole.count(b"\n") - 2
    assert alarm(tmp_path_factory.mktemp("bit"), bytes(damaged)).message.startswith(place(line, count))


@pytest.mark.trial
@pytest.mark.soak
def test_any_event_dropped_doubled_or_swapped_with_its_neighbour_is_found_and_its_position_is_named(
    tmp_path: Path, whole: bytes
) -> None:
    lines = whole.splitlines(keepends=True)
    for number in range(1, len(lines) - 1):
        before, line, after = lines[:number], lines[number], lines[number + 1 :]
        changed = {
            number: [*before, *after],
            number + 1: [*before, line, line, *after],
        }
        if number < len(lines) - 2:
            swapped = [*before, after[0], line, *after[1:]]
            assert alarm(tmp_path, b"".join(swapped)).message.startswith(f"position {number}: ")
        for expected, found in changed.items():
            said = alarm(tmp_path, b"".join(found)).message
            at_end = expected > len(lines) - 2
            assert said.startswith("the footer: " if at_end else f"position {expected}: ")


def test_an_export_cut_short_or_added_to_is_found(tmp_path: Path, whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    for keep in (0, 1, 2, len(lines) - 2, len(lines) - 1):
        assert alarm(tmp_path, b"".join(lines[:keep])).message.startswith(place(keep, len(lines) - 2))
    assert alarm(tmp_path, whole[:-1]).message.startswith("the footer: ")
    for more in (b"\n", b" ", lines[5], b"\0"):
        assert alarm(tmp_path, whole + more).message.startswith("the footer: ")
    assert alarm(tmp_path, lines[0] + lines[0] + b"".join(lines[1:])).message.startswith("position 1: ")


def test_another_spelling_of_the_same_facts_is_no_export(tmp_path: Path, whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    facts = json.loads(lines[3])
    for text in (
        json.dumps(facts, sort_keys=True),
        json.dumps(dict(reversed(facts.items())), separators=(",", ":")),
        json.dumps(facts | {"more": 1}, sort_keys=True, separators=(",", ":")),
        lines[3].decode().strip().replace("{", '{"version":1,', 1),
        "[]",
        "NaN",
        "{" * 10_000,
    ):
        assert alarm(tmp_path, b"".join([*lines[:3], text.encode() + b"\n", *lines[4:]])).message.startswith(
            "position 3: "
        )


# What a home could do that makes everything anew with its own log key.


def find(events: Lines, name: str, number: int = 0) -> int:
    """The index of an event of this name."""
    return [index for index, event in enumerate(events) if event["name"].rpartition(".v")[0] == name][number]


def test_a_forgery_that_changes_nothing_verifies(check: Check, whole: bytes) -> None:
    """So that the tests below fail for the reason that they name."""
    assert forged(whole, lambda events: None) == whole
    assert check(forged(whole, lambda events: None)).events == len(read(whole)[1])


def test_a_command_that_its_sender_did_not_sign_is_found(tmp_path: Path, whole: bytes) -> None:
    _, events = read(whole)
    for name in ("account-registered", "identity-extended", "item-removed", "share-created", "share-fetched"):
        index = find(events, name)
        while "command" not in events[index]:
            index -= 1
        label = labels.QUERY if name == "share-fetched" else labels.COMMAND

        def by_stranger(events: Lines, index: int = index, label: bytes = label) -> None:
            command = events[index]["command"]
            stranger = SigningKey.generate()
            payload = command["payload"]
            signed_anew(events[index], stranger, label)
            assert payload == command["payload"]

        error = alarm(tmp_path, forged(whole, by_stranger))
        assert isinstance(error, ForgedRecord)
        assert error.message.startswith(f"position {index + 1}: it was not signed by a device")


def test_an_event_that_says_something_else_than_its_command_is_found(tmp_path: Path, whole: bytes) -> None:
    def other_owner_wrap(events: Lines) -> None:
        rewritten(events[find(events, "share-created")], recipient="a" * 52)

    assert "share-created says another recipient" in alarm(tmp_path, forged(whole, other_owner_wrap)).message


def test_an_event_in_the_name_of_somebody_else_or_in_another_stream_is_found(tmp_path: Path, whole: bytes) -> None:
    def another_owner(events: Lines) -> None:
        rewritten(events[find(events, "item-added")], owner="a" * 52)

    def another_item(events: Lines) -> None:
        event = events[find(events, "item-removed")]
        event["stream"] = "item-" + "a" * 26
        event["version"] = 1

    assert "names another owner" in alarm(tmp_path, forged(whole, another_owner)).message
    assert "another stream than its own" in alarm(tmp_path, forged(whole, another_item)).message


def test_an_event_that_does_not_follow_from_its_command_is_found(tmp_path: Path, whole: bytes) -> None:
    def removed(events: Lines) -> None:
        added = events[find(events, "item-added")]
        added["name"] = "item-removed.v1"

    assert "item-removed does not follow" in alarm(tmp_path, forged(whole, removed)).message


def test_a_query_stands_for_no_command_and_a_command_for_no_read(tmp_path: Path, whole: bytes) -> None:
    def query_as_command(events: Lines) -> None:
        index = find(events, "share-fetched")
        event = events[index]
        share, reader = (recorded(event)["event"][name] for name in ("share", "reader"))
        next = 1 + sum(each["stream"] == f"share-{share}" for each in events[:index])
        event |= {"name": "share-removed.v1", "stream": f"share-{share}", "version": next}
        rewritten(event, by=reader)

    def command_as_read(events: Lines) -> None:
        event = events[find(events, "item-added")]
        event |= {"name": "share-fetched.v1", "stream": "read-" + "a" * 26}
        rewritten(event, read="a" * 26, reader=recorded(event)["event"]["owner"])

    for change in (query_as_command, command_as_read):
        assert "does not follow" in alarm(tmp_path, forged(whole, change)).message


def test_a_command_that_takes_effect_twice_is_found(tmp_path: Path, whole: bytes) -> None:
    def again(events: Lines) -> None:
        index = find(events, "item-removed")
        twice = json.loads(json.dumps(events[index]))
        twice["version"] += 1
        events.append(twice)
        numbered(events)

    error = alarm(tmp_path, forged(whole, again))
    assert "took effect before" in error.message


def test_a_gap_in_a_stream_is_found_when_an_event_was_left_out_of_the_log(tmp_path: Path, whole: bytes) -> None:
    def left_out(events: Lines) -> None:
        index = find(events, "passphrase-changed")
        following = events[index + 1]
        if "command" not in following:
            following["command"] = events[index]["command"]
        del events[index]
        numbered(events)

    def versions_skip(events: Lines) -> None:
        events[find(events, "item-edited")]["version"] = 3

    assert isinstance(alarm(tmp_path, forged(whole, versions_skip)), Withheld)
    checked(tmp_path, forged(whole, left_out))  # a log that never had the event: nothing here can know


def test_a_device_that_is_gone_signs_no_more(tmp_path: Path) -> None:
    ann, item = Citizen("ann@localhost"), new_id()
    phone, phone_key = new_id(), SigningKey.generate()
    first = [ann.registers(), ann.extends({ann.device_id: ann.device.public, phone: phone_key.public})]
    by_phone = Citizen("ann@localhost", keys=ann.keys, device=phone_key, device_id=phone)
    by_phone.account, by_phone.chain = ann.account, ann.chain
    gone = ann.extends({ann.device_id: ann.device.public})
    honest = export_of(tmp_path, [*first, by_phone.adds(item), gone, ann.adds(new_id())]).read_bytes()
    assert checked(tmp_path, honest).events == 6

    def afterwards(events: Lines) -> None:
        added, removed = find(events, "item-added"), find(events, "identity-extended", 1)
        events[added], events[removed] = events[removed], events[added]
        numbered(events)

    error = alarm(tmp_path, forged(honest, afterwards))
    assert error.message == "position 5: it was not signed by a device that the account named then"


def test_an_event_that_says_another_identity_than_the_signed_record_is_found(tmp_path: Path, whole: bytes) -> None:
    def planted(events: Lines) -> None:
        event = events[find(events, "identity-extended")]
        head = recorded(event)["event"]["head"]
        head["devices"] |= {new_id(): next(iter(head["devices"].values()))}
        rewritten(event, head=head)

    assert "something else than the signed identity record" in alarm(tmp_path, forged(whole, planted)).message


def test_a_read_without_the_proof_that_it_names_is_found(tmp_path: Path, whole: bytes) -> None:
    def as_fetched(events: Lines) -> None:
        refused = events[find(events, "keyring-refused")]
        refused["name"] = "keyring-fetched.v1"

    def as_refused(events: Lines) -> None:
        fetched = events[find(events, "keyring-fetched")]
        fetched["name"] = "keyring-refused.v1"

    for change in (as_fetched, as_refused):
        assert "the proof of the login does not bear this out" in alarm(tmp_path, forged(whole, change)).message


def test_another_homes_log_key_and_another_key_than_the_homes_are_found(tmp_path: Path, whole: bytes) -> None:
    header, events = read(whole)
    other = SigningKey.generate()
    assert isinstance(alarm(tmp_path, sealed(header | {"log_key": b64(other.public)}, events)), KeyMismatch)
    assert isinstance(alarm(tmp_path, sealed(header, events, other)), ForgedRecord)


# Held against another checkpoint.


def root_at(whole: bytes, size: int) -> bytes:
    """The root of the first events."""
    frontier = Frontier()
    for event in read(whole)[1][:size]:
        place = (event["position"], event["stream"], event["version"], event["name"])
        frontier.append(leaf_hash(entry(*place, event["data"].encode())))
    return frontier.root()


def test_s12_an_older_checkpoint_must_be_of_this_history(tmp_path: Path, whole: bytes) -> None:
    count = len(read(whole)[1])
    for size in (1, 2, 7, 32, count - 1, count):
        honest = make_checkpoint(LOG, HOME.id, size, root_at(whole, size))
        assert checked(tmp_path, whole, checkpoint=honest).events == count
        forked = make_checkpoint(LOG, HOME.id, size, root_at(whole, size - 1))
        assert isinstance(alarm(tmp_path, whole, checkpoint=forked), ForkedLog)
    nothing = make_checkpoint(LOG, HOME.id, 0, EMPTY_ROOT)
    assert checked(tmp_path, whole, checkpoint=nothing).events == count


def test_s11_an_export_that_ends_before_a_checkpoint_is_found(tmp_path: Path, whole: bytes) -> None:
    later = make_checkpoint(LOG, HOME.id, len(read(whole)[1]) + 1, b"x" * 32)
    assert isinstance(alarm(tmp_path, whole, checkpoint=later), RolledBack)


def test_a_checkpoint_of_another_log_is_found(tmp_path: Path, whole: bytes) -> None:
    other = SigningKey.generate()
    for note in (
        make_checkpoint(other, HOME.id, 1, root_at(whole, 1)),
        make_checkpoint(other, home_id(other.public), 1, root_at(whole, 1)),
        make_checkpoint(LOG, HOME.id, 0, b"x" * 32),
        "no checkpoint",
    ):
        assert isinstance(alarm(tmp_path, whole, checkpoint=note), ForgedRecord)


def test_a_witness_must_have_signed_the_checkpoint(tmp_path: Path, whole: bytes) -> None:
    witness, name = SigningKey.generate(), "privity-witness/somebody"
    note = make_checkpoint(LOG, HOME.id, 5, root_at(whole, 5))
    seen = cosign(note, name, witness, datetime.now(UTC))
    assert checked(tmp_path, whole, checkpoint=seen, witness=(name, witness.public)).events
    for changed, by in (
        (note, (name, witness.public)),
        (seen, ("privity-witness/else", witness.public)),
        (seen, (name, SigningKey.generate().public)),
    ):
        assert isinstance(alarm(tmp_path, whole, checkpoint=changed, witness=by), ForgedRecord)


# ---- what senders had seen ----


def saying(citizen: Citizen, checkpoint: str | None) -> Delivery:
    """A new item, by somebody who had seen this checkpoint."""
    blobs = (b"content " + citizen.account.encode(), b"wrap " + citizen.account.encode())
    command = AddItem(new_id(), digest(blobs[0]), digest(blobs[1]))
    waiting = citizen.signer.command(command, blobs, checkpoint)
    return Delivery(waiting.subject, waiting.data)


def test_s12_a_command_whose_sender_had_seen_another_history_names_its_position(tmp_path: Path) -> None:
    frank, seen = Citizen("frank@localhost"), make_checkpoint(LOG, HOME.id, 1, EMPTY_ROOT)
    export = export_of(tmp_path, [frank.registers(), saying(frank, seen)]).read_bytes()
    found = alarm(tmp_path, export)
    assert isinstance(found, ForkedLog)
    assert found.message.startswith("position 3: who sent it had seen another history of 1 event")


def test_s12_a_command_from_after_what_it_says_that_it_has_seen_is_an_alarm(tmp_path: Path) -> None:
    frank, seen = Citizen("frank@localhost"), make_checkpoint(LOG, HOME.id, 900, EMPTY_ROOT)
    export = export_of(tmp_path, [frank.registers(), saying(frank, seen)]).read_bytes()
    assert isinstance(alarm(tmp_path, export), ForkedLog)


@pytest.mark.parametrize("junk", ["", "a\nb\nc", make_checkpoint(SigningKey.generate(), HOME.id, 1, EMPTY_ROOT)])
def test_s12_what_the_log_never_signed_accuses_nobody(tmp_path: Path, junk: str) -> None:
    frank = Citizen("frank@localhost")
    export = export_of(tmp_path, [frank.registers(), saying(frank, junk)]).read_bytes()
    assert checked(tmp_path, export).events == 3


def test_s12_the_history_that_the_sender_had_seen_verifies(tmp_path: Path) -> None:
    frank = Citizen("frank@localhost")
    (tmp_path / "first").mkdir()
    header, _ = read(export_of(tmp_path / "first", [first := frank.registers()]).read_bytes())
    export = export_of(tmp_path, [first, saying(frank, header["checkpoint"])]).read_bytes()
    assert checked(tmp_path, export).events == 3
