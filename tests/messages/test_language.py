"""The published language: every command and event comes back from its bytes, and nothing else is taken."""

import json
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from privity.errors import Malformed, UnknownCommand
from privity.messages import views
from privity.messages.base import Command, Event
from privity.messages.catalog import (
    COMMANDS,
    EVENTS,
    check_address,
    command_codec,
    read_command,
    sealed_fields,
    sealed_of,
)
from privity.messages.envelope import CommandEnvelope, command_envelope
from privity.messages.recorded import Meta, Recorded, read_recorded, write_recorded
from tests.examples import example, meta, sealed
from tests.strategies import messages

EVERY_COMMAND = pytest.mark.parametrize("type_", COMMANDS.values(), ids=lambda type_: type_.__name__)
EVERY_EVENT = pytest.mark.parametrize("type_", EVENTS.values(), ids=lambda type_: type_.__name__)
SOME = settings(
    max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # shrinking is slow


def body(command: Command) -> dict[str, Any]:
    """A command as it lies in an envelope."""
    return command_codec(type(command)).dump_python(command, mode="json")


@EVERY_COMMAND
def test_a_command_comes_back_from_its_envelope(type_: type[Command]) -> None:
    @SOME
    @given(messages(type_), messages(CommandEnvelope))
    def law(command: Command, around: CommandEnvelope) -> None:
        text = json.dumps(json.loads(command_envelope.dump_json(around)) | {"body": body(command)})
        read = command_envelope.validate_json(text)
        assert read_command(type_.subject, read.body) == command

    law()


@EVERY_EVENT
def test_an_event_comes_back_from_its_bytes_and_they_stay_the_same(type_: type[Event]) -> None:
    @SOME
    @given(messages(type_), messages(Meta))
    def law(event: Event, origin: Meta) -> None:
        data = write_recorded(event, origin)
        read = read_recorded(type_.name, data)
        assert read == Recorded(event, origin)
        assert write_recorded(read.event, read.meta) == data

    law()


@EVERY_COMMAND
def test_a_command_has_every_field_and_no_other(type_: type[Command]) -> None:
    whole = body(example(type_))
    needed = [each.name for each in fields(type_) if each.default is MISSING]  # the others came after Privity 0.1
    for name in needed:
        with pytest.raises(Malformed, match=name):
            read_command(type_.subject, {key: value for key, value in whole.items() if key != name})
    with pytest.raises(Malformed, match="more"):
        read_command(type_.subject, whole | {"more": 1})


@EVERY_EVENT
def test_a_recorded_event_has_every_field_and_no_other(type_: type[Event]) -> None:
    whole = json.loads(write_recorded(example(type_), meta()))
    for name in whole["event"]:
        less = {key: value for key, value in whole["event"].items() if key != name}
        with pytest.raises(Malformed, match=name):
            read_recorded(type_.name, json.dumps(whole | {"event": less}).encode())
    with pytest.raises(Malformed, match="more"):
        read_recorded(type_.name, json.dumps(whole | {"event": whole["event"] | {"more": 1}}).encode())


def test_an_unknown_event_raises_and_does_not_vanish() -> None:
    data = write_recorded(example(EVENTS["item-added"]), meta())
    for name in ("item-lost", "", "item-added.v1"):
        with pytest.raises(Malformed, match="there is no event"):
            read_recorded(name, data)


def test_an_unknown_command_is_named() -> None:
    with pytest.raises(UnknownCommand, match=r"there is no command items\.lose"):
        read_command("items.lose", {})


@given(st.binary(max_size=60))
def test_foreign_bytes_are_no_event(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_recorded("item-added", data)


def test_a_mistake_is_told_in_one_line_without_the_value() -> None:
    with pytest.raises(Malformed) as caught:
        read_command("items.remove", {"item": "CANARY in the wrong place"})
    assert caught.value.message.startswith("item: ")
    assert "CANARY" not in caught.value.message


@pytest.mark.parametrize("name", ["a\r\nNats-Rollup: all", "\x1b[31m", "x" * 5000, "é\u202e\ud800"], ids=ascii)
def test_a_field_that_somebody_made_up_is_told_as_plain_short_text(name: str) -> None:
    """It goes into logs and into the headers of parked messages."""
    with pytest.raises(Malformed) as caught:
        read_command("items.remove", {"item": example(COMMANDS["items.remove"]).item, name: 1})  # type: ignore[attr-defined]
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 250


def test_the_sealed_objects_of_a_message_are_the_fields_that_say_so() -> None:
    share, opened = example(COMMANDS["shares.create"]), example(EVENTS["encryption-space-opened"])
    assert sealed_fields(type(share)) == ("content", "owner_wrap", "recipient_wrap", "terms")
    assert list(sealed_of(share)) == [sealed("content"), sealed("owner's wrap"), sealed("recipient's wrap")]
    assert dict.fromkeys(sealed_of(opened)) == dict.fromkeys([sealed("owner's wrap"), sealed("recipient's wrap")])
    assert not list(sealed_of(example(COMMANDS["items.remove"])))


def test_names_and_subjects_are_the_languages_own() -> None:
    for subject, command in COMMANDS.items():
        assert subject.count(".") == 1
        assert command.__doc__
    for name, event in EVENTS.items():
        assert event.name == name
        assert example(event).stream == f"{event.kind}-{getattr(example(event), event.id_field)}"
    assert len({command.__name__ for command in COMMANDS.values()} | {event.__name__ for event in EVENTS.values()}) == (
        len(COMMANDS) + len(EVENTS)
    )


def test_what_is_frozen_stays() -> None:
    for type_ in (*COMMANDS.values(), *EVENTS.values()):
        message = example(type_)
        for field in fields(message):
            with pytest.raises(AttributeError):
                setattr(message, field.name, None)


BENT = [
    "=?utf-8?q?x?=@example.org", "a@b\n", "a\r\nbcc:eve@example.org", "a b@example.org", '"a"@example.org',
    "a@b@c", ".a@example.org", "a..b@example.org", "a.@example.org", "a@.org", "a@example.", "a@exa_mple.org",
    "@example.org", "a@", "", "é@example.org", "a@exämple.org", "a,b@example.org", "<a@example.org>",
    "a(x)@example.org", "a:b@example.org", "a;b@example.org", "a%b@example.org", "a@[127.0.0.1]", "A@example.org",
]  # fmt: skip


@pytest.mark.parametrize("address", [*BENT, "a" * 65 + "@b", "a@" + "b" * 260, "a." * 200 + "a@b"], ids=ascii)
def test_what_mail_software_could_read_more_into_is_no_address(address: str) -> None:
    whole = body(example(COMMANDS["invitations.invite"]))
    with pytest.raises(Malformed, match="email"):
        read_command("invitations.invite", whole | {"email": address})


@pytest.mark.parametrize("address", ["a@b", "a.b+c_d-e@mail.example.org", "0@localhost", "a" * 64 + "@example.org"])
def test_a_plain_address_is_one(address: str) -> None:
    assert check_address(address.upper()) == address


@pytest.mark.parametrize(
    ("type_", "field", "value"),
    [
        ("accounts.register", "login", "A" * 42),
        ("accounts.register", "recovery_login", "A" * 44),
        ("accounts.register", "chain", []),
        ("accounts.register", "chain", 5),
        ("accounts.change-passphrase", "login", "A" * 30_000),
        ("invitations.invite", "mac", "A" * 86),
        ("invitations.accept", "token", ""),
        ("invitations.decline", "token", "A" * 30_000),
        ("connections.confirm", "mac", "A" * 30_000),
        ("shares.create", "signature", "A" * 85),
    ],
)
def test_keys_macs_tokens_and_chains_have_their_sizes(type_: str, field: str, value: object) -> None:
    """Before anything is computed with them."""
    whole = body(example(COMMANDS[type_]))
    sent = [whole[field][0]] * value if isinstance(value, int) else value
    with pytest.raises(Malformed, match=field):
        read_command(type_, whole | {field: sent})


@pytest.mark.parametrize("signatures", [0, 3])
def test_a_record_has_one_signature_or_two(signatures: int) -> None:
    whole = body(example(COMMANDS["accounts.extend-identity"]))
    record = whole["record"] | {"signatures": [whole["record"]["signatures"][0]] * signatures}
    with pytest.raises(Malformed, match="signatures"):
        read_command("accounts.extend-identity", {"record": record})


ROWS = [each for name, each in vars(views).items() if name.endswith("Row")]
TIMES = [(row, name) for row in ROWS for name in ("created", "expires") if name in get_type_hints(row)]


@pytest.mark.parametrize(("row", "name"), TIMES)
def test_every_time_in_a_row_has_its_zone(row: type, name: str) -> None:
    """One without can be compared with no other."""
    read = TypeAdapter(get_type_hints(row, include_extras=True)[name])
    assert read.validate_python("2026-01-01T00:00:00Z").tzinfo is not None
    with pytest.raises(ValidationError):
        read.validate_python("2026-01-01T00:00:00")
