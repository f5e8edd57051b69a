"""What a command and an event are: a frozen dataclass with a subject or a name."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from privity.messages.fields import STRICT


@dataclass(frozen=True, slots=True)
class Command:
    """Something that a person wants: sent on `privity.cmd.<account>.<subject>`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    subject: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: recorded in the stream `<kind>-<id>`, the id being the field `id_field`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    context: ClassVar[str]
    name: ClassVar[str]
    kind: ClassVar[str]
    id_field: ClassVar[str]

    @property
    def stream(self) -> str:
        """The stream that this event belongs to."""
        return stream_of(self.kind, getattr(self, self.id_field))


def stream_of(kind: str, id: str) -> str:
    """The name of an aggregate's stream: `<kind>-<id>`."""
    return f"{kind}-{id}"
