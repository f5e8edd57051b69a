"""A command's recorded outcome as the result that its sender gets: the same for the first time and every repeat."""

from collections.abc import Mapping
from typing import Literal, cast

from infra.store import CommandRow, Stored
from privity.messages.envelope import Result, ResultEvent

Status = Literal["accepted", "ignored", "refused"]


def to_result(row: CommandRow, placed: Mapping[tuple[str, int], Stored]) -> Result:
    """The result of a recorded command; `placed` has its events by (stream, version)."""
    events = tuple(_result_event(placed[key]) for key in row.events)
    position = events[-1].position if events else 0
    return Result(row.id, cast(Status, row.status), row.code, row.message, position, events)


def _result_event(stored: Stored) -> ResultEvent:
    return ResultEvent(stored.position, stored.stream, stored.version, stored.name, stored.data.decode())
