"""What a query works with, and the table of views: one registered function a view."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa

from privity.messages.views import Ask, CheckpointRow, EvidenceRow

A = TypeVar("A", bound=Ask)
R = TypeVar("R")


class Log(Protocol):
    """What the views of the log ask; both raise NotFound for what is beyond its end."""

    def since(self, sizes: Sequence[int]) -> CheckpointRow:
        """The newest checkpoint, with a consistency proof from each of these sizes."""
        ...

    def evidence(self, position: int) -> EvidenceRow:
        """The event at a position, with its command and its proof."""
        ...

    def evidences(self, positions: Sequence[int], size: int | None = None) -> list[EvidenceRow]:
        """As `evidence`, for many; with proofs for that size of the log."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Who asks, when, and with which connection to the views; `fresh` when the nonce is good for a release.

    `log` is None where only rows are asked for.
    """

    account: str
    at: datetime
    db: sa.Connection
    fresh: bool
    mail_token: Callable[[str], str] = field(repr=False)
    log: Log | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Rows, the digests of the sealed objects that each row needs, and each row's cursor (0 where there is no more).

    `given`: for each row the share by which the asker is given the objects, where a row does not say it; else empty.
    """

    rows: tuple[R, ...]
    sealed: tuple[tuple[str, ...], ...]
    cursors: tuple[int, ...] = ()
    more: bool = False
    given: tuple[str, ...] = ()


View = Callable[[Any, Desk], Page[Any]]
VIEWS: dict[type[Ask], View] = {}


def view(ask: type[A]) -> Callable[[Callable[[A, Desk], Page[R]]], Callable[[A, Desk], Page[R]]]:
    """Register the decorated function for the view that `ask` asks."""

    def register(function: Callable[[A, Desk], Page[R]]) -> Callable[[A, Desk], Page[R]]:
        VIEWS[ask] = function
        return function

    return register


def page(ask: Ask, desk: Desk, select: sa.Select[Any], position: sa.Column[int]) -> tuple[list[Any], bool]:
    """At most `ask.limit` rows behind `ask.after`, oldest first, and whether there are more."""
    behind = select.where(position > ask.after).order_by(position).limit(ask.limit + 1)
    rows = list(desk.db.execute(behind).mappings())
    return rows[: ask.limit], len(rows) > ask.limit
