"""A recorded event as consumers read it: what happened, and by which signed command."""

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from privity.errors import Malformed
from privity.messages.base import Event
from privity.messages.catalog import EVENTS, explain, named
from privity.messages.fields import STRICT, AccountId, CommandId, Digest, Id, Instant

POSITION_HEADER = "Privity-Position"
"""On EVENTS: the event's place in the one order of all events."""
PREVIOUS_HEADER = "Privity-Previous"
"""On EVENTS: the position of the event before, so that a gap shows."""
VERSION_HEADER = "Privity-Version"
"""On EVENTS: the event's version in its own stream, from 1."""

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Meta:
    """Where an event comes from.

    `digest` is the signed command's, whose bytes the store keeps; `at` is the backend's clock.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    command: CommandId
    digest: Digest
    actor: AccountId
    device: Id
    at: Instant


@dataclass(frozen=True, slots=True)
class Recorded(Generic[E]):
    """An event with its origin: the recorded bytes are this as JSON."""

    event: E
    meta: Meta


@dataclass(frozen=True, slots=True)
class Positioned:
    """A recorded event at its place in the one order of all events."""

    position: int
    stream: str
    version: int
    event: Event
    meta: Meta


_codecs: dict[type[Event], TypeAdapter[Recorded[Event]]] = {}


def _codec(type_: type[Event]) -> TypeAdapter[Recorded[Event]]:
    if type_ not in _codecs:
        codec: Any = TypeAdapter(Recorded[type_])  # type: ignore[valid-type]
        _codecs[type_] = codec
    return _codecs[type_]


def write_recorded(event: Event, meta: Meta) -> bytes:
    """The bytes that are stored, hashed and published."""
    return _codec(type(event)).dump_json(Recorded(event, meta))


def read_recorded(name: str, data: bytes) -> Recorded[Event]:
    """The event called `name` (without a version) as it is today.

    Raises:
        Malformed: unknown name, or bytes that do not fit; an unknown event never vanishes.
    """
    type_ = EVENTS.get(name)
    if type_ is None:
        raise Malformed(f"there is no event {named(name)}")
    try:
        return _codec(type_).validate_json(data)
    except ValidationError as error:
        raise Malformed(f"{name}: {explain(error)}") from None
