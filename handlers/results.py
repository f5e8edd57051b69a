"""A command's recorded outcome as the result that its sender gets: the same for the first time and every repeat.

Only the receipt may be another one: a repeat's is under a newer checkpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, cast

from infra.store import CommandRow, Stored
from privity.messages.envelope import Receipt, Result, ResultEvent

Status = Literal["accepted", "ignored", "refused"]
ReceiptOf: TypeAlias = Callable[[Sequence[int]], Receipt]
"""The receipt for the events at some positions."""


def to_result(row: CommandRow, placed: Mapping[tuple[str, int], Stored], receipt_of: ReceiptOf | None = None) -> Result:
    """The result of a recorded command; `placed` has its events by (stream, version)."""
    events = tuple(_result_event(placed[key]) for key in row.events)
    position = events[-1].position if events else 0
    receipt = receipt_of([event.position for event in events]) if events and receipt_of else None
    return Result(row.id, cast(Status, row.status), row.code, row.message, position, events, receipt)


def _result_event(stored: Stored) -> ResultEvent:
    return ResultEvent(stored.position, stored.stream, stored.version, stored.name, stored.data.decode())
