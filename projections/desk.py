"""What a query works with, and the table of views: one registered function a view."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from privity.messages.views import Ask

A = TypeVar("A", bound=Ask)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Desk:
    """Who asks, when, and with which connection to the views; `fresh` when the nonce is good for a release."""

    account: str
    at: datetime
    db: sa.Connection
    fresh: bool
    mail_token: Callable[[str], str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Rows, the digests of the sealed objects that each row needs, and each row's cursor (0 where there is no more)."""

    rows: tuple[R, ...]
    sealed: tuple[tuple[str, ...], ...]
    cursors: tuple[int, ...] = ()
    more: bool = False


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
