"""Rows by their keys, in SQL that both databases read and answer from an index."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

Cell: TypeAlias = str | int | bytes | None
Select: TypeAlias = Callable[[str, Sequence[Cell]], list[Any]]
"""A statement with `?` and its parameters, to rows that are readable by column name."""

CHUNK: Final = 400
"""Keys a statement: old builds of SQLite take 999 parameters."""


def wanted(columns: str, table: str, key: Sequence[str], rows: int) -> str:
    """A SELECT of what has one of so many keys.

    A join, because SQLite answers `(a, b) IN (VALUES ...)` with a scan of the whole table.
    """
    row = f"({','.join('?' * len(key))})"
    names = ", ".join(f"wanted_{column}" for column in key)
    same = " AND ".join(f"{column} = wanted_{column}" for column in key)
    values = f"WITH wanted ({names}) AS (VALUES {','.join([row] * rows)})"
    return f"{values} SELECT {columns} FROM wanted JOIN {table} ON {same}"  # noqa: S608


def find(select: Select, columns: str, table: str, key: Sequence[str], wants: Sequence[tuple[Cell, ...]]) -> list[Any]:
    """The rows of `table` whose `key` is among `wants`, in no order."""
    found: list[Any] = []
    for start in range(0, len(wants), CHUNK):
        some = wants[start : start + CHUNK]
        found += select(wanted(columns, table, key, len(some)), list(chain.from_iterable(some)))
    return found
