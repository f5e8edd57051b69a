"""The catalogue of the published language: every command by its subject, every event by its name."""

from collections.abc import Iterator
from typing import Any, cast, get_args, get_type_hints

from pydantic import JsonValue, TypeAdapter, ValidationError

from privity.errors import Malformed, UnknownCommand
from privity.messages import (
    accounts,
    connections,
    delegations,
    erasing,
    files,
    grants,
    groups,
    instructions,
    invitations,
    items,
    keys,
    locations,
    pieces,
    reads,
    shares,
    sharing_keys,
    suppliers,
)
from privity.messages.base import Command, Event
from privity.messages.fields import Address, SealedMark

MAX_PLACE = 100
"""Characters of a name that somebody sent, in a sentence."""

CONTEXTS = (
    accounts,
    keys,
    invitations,
    connections,
    items,
    shares,
    groups,
    pieces,
    files,
    delegations,
    instructions,
    sharing_keys,
    grants,
    erasing,
    reads,
    locations,
    suppliers,
)

COMMANDS: dict[str, type[Command]] = {
    command.subject: command for context in CONTEXTS for command in cast(tuple[type[Command], ...], context.COMMANDS)
}
EVENTS: dict[str, type[Event]] = {
    event.name: event for context in CONTEXTS for event in cast(tuple[type[Event], ...], context.EVENTS)
}


_address: TypeAdapter[str] = TypeAdapter(Address)
_command_codecs: dict[type[Command], TypeAdapter[Command]] = {}
_sealed_fields: dict[type[Any], tuple[str, ...]] = {}


def command_codec(type_: type[Command]) -> TypeAdapter[Command]:
    """The codec of a command, made when it is first needed."""
    if type_ not in _command_codecs:
        _command_codecs[type_] = TypeAdapter(type_)
    return _command_codecs[type_]


def read_command(subject: str, body: dict[str, JsonValue]) -> Command:
    """The command that `body` says, under e.g. `shares.create`.

    Raises:
        UnknownCommand: nothing is heard under that subject.
        Malformed: a field is missing, unknown or of the wrong kind; names the first one.
    """
    type_ = COMMANDS.get(subject)
    if type_ is None:
        raise UnknownCommand(f"there is no command {named(subject)}")
    try:
        return command_codec(type_).validate_python(body)
    except ValidationError as error:
        raise Malformed(explain(error)) from None


def named(text: str) -> str:
    """What somebody sent as a name, so that it can stand in a sentence: ASCII, and not too long."""
    return ascii(text)[1:-1][:MAX_PLACE]


def explain(error: ValidationError) -> str:
    """The first mistake in one line, without the value: it may be a secret. The place may be of the sender's making."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = named(".".join(str(part) for part in first["loc"]) or "message")
    says = "not of the form that it must have" if first["type"] == "string_pattern_mismatch" else first["msg"]
    return f"{place}: {says}"


def check_address(text: str) -> str:
    """The e-mail address in lower case.

    Raises:
        Malformed: it is none.
    """
    try:
        return _address.validate_python(text.strip().lower())
    except ValidationError:
        raise Malformed("not an e-mail address; one looks like alice@example.org") from None


def sealed_fields(type_: type[Any]) -> tuple[str, ...]:
    """The names of the fields of a command, an event or a view's row that hold digests of sealed objects."""
    if type_ not in _sealed_fields:
        hints = get_type_hints(type_, include_extras=True)
        _sealed_fields[type_] = tuple(name for name, hint in hints.items() if _is_sealed(hint))
    return _sealed_fields[type_]


def _is_sealed(hint: Any) -> bool:
    if any(isinstance(mark, SealedMark) for mark in getattr(hint, "__metadata__", ())):
        return True
    return any(_is_sealed(inner) for inner in get_args(hint))


def sealed_of(message: Command | Event) -> Iterator[str]:
    """The digests that the message names."""
    for name in sealed_fields(type(message)):
        value = getattr(message, name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value.values()
