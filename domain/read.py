"""A read that matters: recorded once for a reader, an object and an hour."""

from dataclasses import dataclass
from datetime import UTC, datetime

from domain.facts import Actor
from privity.errors import NotFound
from privity.messages.base import Command, Event
from privity.messages.reads import (
    KeyringFetched,
    KeyringRefused,
    RecordKeyringFetched,
    RecordKeyringRefused,
    RecordShareFetched,
    ShareFetched,
)


@dataclass(slots=True)
class State:
    """Whether this reader's reading of this object is recorded for this hour."""

    recorded: bool = False


def hour_of(at: datetime) -> datetime:
    """The beginning of the hour, in UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def decide(
    command: Command, state: State, by: Actor, *, read: str, owner: str = "", recipient: str = ""
) -> list[Event]:
    """What follows from a read; `read` is the id of (reader, object, hour), `owner` and `recipient` the share's."""
    match command:
        case RecordShareFetched() if recipient != by.account:
            raise NotFound("there is no such share")
        case _ if state.recorded:
            return []
        case RecordShareFetched(share=share):
            return [ShareFetched(read, share, owner, by.account, hour_of(by.at))]
        case RecordKeyringFetched(purpose=purpose):
            return [KeyringFetched(read, by.account, purpose, hour_of(by.at))]
        case RecordKeyringRefused(purpose=purpose):
            return [KeyringRefused(read, by.account, purpose, hour_of(by.at))]
    raise NotImplementedError(type(command).__name__)


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case ShareFetched() | KeyringFetched() | KeyringRefused():
            state.recorded = True
        case _:
            raise NotImplementedError(event.name)
