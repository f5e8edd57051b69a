"""The protocol page names all that there is on the wire, and its worked examples hold."""

import dataclasses
import json
import re

import pytest

from domain.delegation import MAX_DELEGATES, MAX_OWNERS_STEPS, MAX_STEPS
from privity.crypto import aead, labels
from privity.crypto.command import frame, verify_command
from privity.crypto.connection import safety_number
from privity.crypto.credentials import decode_secret, home_id
from privity.crypto.feed import feed_link
from privity.crypto.instructions import MAX_CONTENT
from privity.crypto.log import MAX_BARE, MAX_NOTE, cosigned, entry, make_checkpoint, read_checkpoint
from privity.crypto.merkle import Frontier, leaf_hash, verify_consistency, verify_inclusion
from privity.crypto.sharing import line_id
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, lp, unb64
from privity.messages import past, views
from privity.messages.catalog import COMMANDS, EVENTS, sealed_fields
from privity.messages.envelope import MAX_MESSAGE, MAX_PAYLOAD, MAX_SEALED
from privity.messages.instructions import MAX_DAYS, MAX_OPEN
from projections.instructions import KEPT
from projections.nonces import LIFETIME
from projections.queries import AT_LEAST_TIMEOUT, MAX_QUERY
from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "protocol.md").read_text()
EXAMPLE = json.loads(TEXT.partition("<!-- example -->\n```json\n")[2].partition("```")[0])
LABELS = sorted(value.decode() for value in vars(labels).values() if isinstance(value, bytes))
OTHERWISE = {"keyring", "feed", "result", "grants"}
"""Views whose rows the page says in another way."""
ROWS = {view: row for view, row in views.ROWS.items() if view not in OTHERWISE}
PAGING = {"after", "limit"}


def row(name: str, behind: str = "") -> list[str]:
    """The cells of the only row behind a text that begins with this name in backquotes."""
    (line,) = [line for line in TEXT.partition(behind or "#")[2].splitlines() if line.startswith(f"| `{name}` |")]
    return line.split(" | ")


def quoted(text: str) -> set[str]:
    """What stands in backquotes."""
    return set(re.findall(r"`([^`]+)`", text))


def italic(text: str) -> set[str]:
    """What stands in backquotes and italics: the names of sealed objects."""
    return set(re.findall(r"\*`([^`]+)`\*", text))


def names(type_: type) -> set[str]:
    """The fields of a message."""
    return {field.name for field in dataclasses.fields(type_)}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_every_command_with_its_fields_and_sealed_objects(name: str) -> None:
    fields = row(name)[1]
    assert (quoted(fields), italic(fields)) == (names(COMMANDS[name]), set(sealed_fields(COMMANDS[name])))


@pytest.mark.parametrize("name", EVENTS)
def test_the_page_has_every_event_with_its_stream_and_fields(name: str) -> None:
    _, stream, fields = row(name)
    assert quoted(stream) == {f"{EVENTS[name].kind}-<{EVENTS[name].id_field}>"}
    assert quoted(fields) - {"Side"} == names(EVENTS[name])


@pytest.mark.parametrize("name", views.ASKS)
def test_the_page_has_every_view_with_its_parameters_and_the_fields_of_its_rows(name: str) -> None:
    _, parameters, fields = row(name, behind="| view |")
    assert names(views.ASKS[name]) - PAGING <= quoted(parameters)
    if name in ROWS:
        assert (quoted(fields), italic(fields)) == (names(ROWS[name]), set(sealed_fields(ROWS[name])))


@pytest.mark.parametrize("label", LABELS)
def test_the_page_has_every_label(label: str) -> None:
    assert label in TEXT


def test_the_page_states_the_bounds_of_the_code() -> None:
    assert f"envelope {MAX_PAYLOAD // 1024} KiB, {MAX_SEALED} sealed objects" in TEXT
    assert f"whole message {MAX_MESSAGE // 1024:,} KiB" in TEXT
    assert f"at most {MAX_QUERY // 1024} KiB" in TEXT
    assert f"for {LIFETIME} seconds" in TEXT
    assert f"waits {AT_LEAST_TIMEOUT:.0f} seconds" in TEXT


def test_m34_the_page_states_the_bounds_of_delegates() -> None:
    assert f"At most {MAX_DELEGATES} delegates at once;" in TEXT
    bounds = f"once there are {MAX_STEPS:,} grants and removals, by an owner once there are {MAX_OWNERS_STEPS}"
    assert bounds in TEXT
    assert f"(at most {MAX_DAYS} days from now)" in TEXT
    assert f"At most {MAX_OPEN} of a delegation wait at once" in TEXT
    assert f"at most {MAX_CONTENT // 1024} KiB, with the label `privity/v1/instruction/content`" in TEXT
    assert f"the newest {KEPT} of a delegation" in TEXT


def test_the_page_states_the_bounds_of_consumers() -> None:
    assert f"1 to {past.MAX_PAGE}, which is also what it is when not said" in TEXT
    assert f"some {past.MAX_PAGE_BYTES // 1024} KiB at most, though always one" in TEXT
    section = TEXT.partition("### Consumers\n")[2]
    for type_, title in ((past.AskPast, "request"), (past.PastPage, "answer")):
        rows = section.partition(f"\n| {title} | |\n")[2].partition("\n\n")[0].splitlines()
        assert quoted(" ".join(row.split(" | ")[0] for row in rows)) == names(type_)
    assert names(past.PastEvent) <= quoted(section.partition("| `events` |")[2].partition("\n")[0])


def test_the_example_command_is_signed_named_and_framed_as_it_says() -> None:
    payload, signature = EXAMPLE["payload"].encode(), unb64(EXAMPLE["signature"])
    device = SigningKey.from_seed(unb64(EXAMPLE["device_seed"]))
    assert b64(device.public) == EXAMPLE["device_public"]
    assert home_id(unb64(EXAMPLE["log_public"])) == EXAMPLE["home"]
    verify_command(device.public, signature, EXAMPLE["home"], EXAMPLE["subject"], payload)
    assert digest(lp(EXAMPLE["subject"].encode(), payload)) == EXAMPLE["command_digest"]
    assert digest(frame(signature, payload)) == EXAMPLE["frame_digest"]


def test_the_example_of_length_prefixes_is_right() -> None:
    assert lp(*(part.encode() for part in EXAMPLE["lp"]["parts"])).hex() == EXAMPLE["lp"]["hex"]


def test_the_example_blob_opens_to_its_plaintext() -> None:
    case = EXAMPLE["sealed"]
    context = [part.encode() for part in case["context"]]
    opened = aead.open_sealed(unb64(case["key"]), unb64(case["blob"]), case["label"].encode(), *context)
    assert opened.decode() == case["plaintext"]


def test_the_example_safety_number_is_right_from_both_ends() -> None:
    case = EXAMPLE["safety_number"]
    one, other = (case["account_a"], unb64(case["head_a"])), (case["account_b"], unb64(case["head_b"]))
    assert safety_number(*one, *other) == safety_number(*other, *one) == case["number"]


def test_the_example_secret_reads_as_its_parts() -> None:
    case = EXAMPLE["secret"]
    account, log, secret = decode_secret(case["text"])
    assert (account, b64(log), b64(secret)) == (case["account"], case["log_hash"], case["secret"])


def test_the_example_log_is_signed_and_proven_as_it_says() -> None:
    case, log = EXAMPLE["log"], Frontier()
    leaves = [
        leaf_hash(entry(position, stream, version, name, data.encode()))
        for position, (stream, version, name, data) in enumerate(case["events"], 1)
    ]
    for leaf in leaves:
        log.append(leaf)
    assert [b64(leaf) for leaf in leaves] == case["leaves"]
    key = SigningKey.from_seed(unb64(case["seed"]))
    assert make_checkpoint(key, EXAMPLE["home"], log.size, log.root()) == case["checkpoint"]
    assert case["checkpoint"] in TEXT
    note = read_checkpoint(case["checkpoint"], unb64(EXAMPLE["log_public"]), EXAMPLE["home"])
    path = [unb64(each) for each in case["inclusion"]["proof"]]
    position = case["inclusion"]["position"]
    verify_inclusion(leaves[position - 1], position - 1, note.size, path, note.root)
    old = case["consistency"]
    grown = [unb64(each) for each in old["proof"]]
    verify_consistency(old["size"], unb64(old["root"]), note.size, note.root, grown)


def test_the_example_co_signature_is_of_the_example_checkpoint() -> None:
    case = EXAMPLE["log"]["witness"]
    assert case["note"].startswith(EXAMPLE["log"]["checkpoint"])
    at = cosigned(case["note"], case["name"], unb64(case["public"]))
    assert at.isoformat().replace("+00:00", "Z") == case["at"]


def test_the_page_states_the_bounds_of_a_checkpoint() -> None:
    assert f"at most {MAX_BARE} characters without those, and {MAX_NOTE:,} with them" in TEXT


def test_the_example_link_of_a_feed_is_right() -> None:
    case = EXAMPLE["feed"]
    before = (case["account"], case["seq"], case["previous"], case["position"], case["event"], case["at"])
    assert feed_link(*before, case["actor"], case["refs"]) == case["link"]


def test_the_example_id_of_a_line_is_right() -> None:
    case = EXAMPLE["line"]
    assert line_id(case["connection"], case["sender"]) == case["line"]
