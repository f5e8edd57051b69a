"""A change to a view: one statement with its parameters, so that many can be executed at once."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from privity.messages.base import Event
from privity.messages.recorded import Positioned

Value = Any
"""What a column takes: text, number, truth, or JSON."""
Row = Sequence[Value] | Mapping[str, Value]
"""The parameters of a statement as the database's driver takes them."""
Run = tuple[str, list[Row]]
"""A statement as the driver takes it, with the parameters of each time that it is executed, in order."""

_MARK = "privity_mark"
_MARKED = re.compile(rf'{_MARK}\.("?)')
"""What SQLAlchemy writes before the name of a table, when it is told that the table is elsewhere."""
MAX_WRITERS = 1000
"""Ways to write a statement that are remembered: more than all views have of statements, on two databases."""


class Change(NamedTuple):
    """One row inserted, or some rows updated or deleted, of one table."""

    table: sa.Table
    statement: sa.Executable
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class _Writer:
    """How a statement and its parameters are written for a driver, found once for all times."""

    sql: str
    row: Callable[[Mapping[str, Value]], Row]


class Runs:
    """Changes as the driver of one database takes them; `prefix` stands before the name of each table.

    What SQLAlchemy would find out at each execution, for each row, is found out here once for each statement.
    """

    def __init__(self, dialect: sa.Dialect, prefix: str = "") -> None:
        self._dialect = dialect
        self._prefix = prefix
        self._writers: dict[tuple[sa.Executable, tuple[str, ...]], _Writer] = {}

    def of(self, changes: Iterable[Change]) -> list[Run]:
        """In order for each table; neighbours with the same statement are one run."""
        by_table: dict[str, list[tuple[_Writer, Run]]] = {}
        for change in changes:
            writer = self._writer(change.statement, tuple(change.values))
            runs = by_table.setdefault(change.table.name, [])
            if not runs or runs[-1][0] is not writer:
                runs.append((writer, (writer.sql, [])))
            runs[-1][1][1].append(writer.row(change.values))
        return [run for runs in by_table.values() for _, run in runs]

    def _writer(self, statement: sa.Executable, names: tuple[str, ...]) -> _Writer:
        found = self._writers.get((statement, names))
        if found is None:
            if len(self._writers) >= MAX_WRITERS:
                self._writers.clear()
            found = self._writers[statement, names] = self._found(statement, names)
        return found

    def _found(self, statement: Any, names: tuple[str, ...]) -> _Writer:
        compiled = statement.compile(
            dialect=self._dialect,
            column_keys=list(names),
            schema_translate_map={None: _MARK} if self._prefix else None,
            render_schema_translate=bool(self._prefix),
        )
        binds = compiled.binds
        order = compiled.positiontup if compiled.positiontup is not None else list(binds)
        same = {name: bind.effective_value for name, bind in binds.items() if name not in names}
        written = {
            name: bind.type.dialect_impl(self._dialect).bind_processor(self._dialect) for name, bind in binds.items()
        }
        processors = [(name, process) for name, process in written.items() if process is not None]

        def named(values: Mapping[str, Value]) -> Mapping[str, Value]:
            row = {**same, **values}
            for name, process in processors:
                row[name] = process(row[name])
            return row

        pick = itemgetter(*order) if len(order) > 1 else lambda row: (row[order[0]],)

        def placed(values: Mapping[str, Value]) -> Sequence[Value]:
            picked: Sequence[Value] = pick(named(values) if same or processors else values)
            return picked

        sql = _MARKED.sub(rf"\1{self._prefix}", str(compiled)) if self._prefix else str(compiled)
        return _Writer(sql, placed if compiled.positiontup is not None else named)


Apply = Callable[[Positioned], Iterator[Change]]
FOLDS: dict[type[Event], list[Apply]] = {}
"""What folds an event into the views."""


def folds(*events: type[Event]) -> Callable[[Apply], Apply]:
    """Register the decorated function for these events; it is asked about no others."""

    def register(apply: Apply) -> Apply:
        for event in events:
            FOLDS.setdefault(event, []).append(apply)
        return apply

    return register


_of: dict[str, Runs] = {}


def execute(changes: Iterable[Change], db: sa.Connection) -> None:
    """Apply changes in order for each table; neighbours with the same statement go in one call."""
    kind = f"{db.dialect.name}+{db.dialect.driver}"
    if kind not in _of:
        _of[kind] = Runs(db.dialect)
    write(_of[kind].of(changes), db)


Write = Callable[[Iterable[Run], sa.Connection], None]


def write(runs: Iterable[Run], db: sa.Connection) -> None:
    """Execute what changes have become."""
    for sql, rows in runs:
        db.exec_driver_sql(sql, rows)


def write_apart(runs: Iterable[Run], db: sa.Connection) -> None:
    """As `write`, in less than half of the time, past SQLAlchemy: for views that nobody else sees yet."""
    with closing(db.connection.cursor()) as cursor:
        for sql, rows in runs:
            cursor.executemany(sql, cast(Any, rows))


@lru_cache(256)
def instant(at: datetime) -> str:
    """A time as text that sorts as time does: UTC, microseconds. All events of a command have one."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
