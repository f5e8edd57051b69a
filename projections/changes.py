"""A change to a view: one statement with its parameters, so that many can be executed at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

Value = Any
"""What a column takes: text, number, truth, or JSON."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row inserted, or some rows updated or deleted, of one table."""

    table: sa.Table
    statement: sa.Executable
    values: Mapping[str, Value]


def execute(changes: Iterable[Change], db: sa.Connection) -> None:
    """Apply changes in order for each table; neighbours with the same statement go in one call."""
    by_table: dict[str, list[tuple[sa.Executable, list[Mapping[str, Value]]]]] = {}
    for change in changes:
        runs = by_table.setdefault(change.table.name, [])
        if not runs or runs[-1][0] is not change.statement:
            runs.append((change.statement, []))
        runs[-1][1].append(change.values)
    for runs in by_table.values():
        for statement, values in runs:
            db.execute(statement, values)


def instant(at: datetime) -> str:
    """A time as text that sorts as time does: UTC, microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
