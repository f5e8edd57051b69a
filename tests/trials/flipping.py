"""Flipping bits of what a home keeps, and seeing what its people are shown then."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from privity.agent.connections import Broken
from privity.crypto.signing import SigningKey
from privity.errors import PrivityError, RateLimited

Cell = tuple[str, str, int]
"""Table, column, row."""
Look = Callable[[], Awaitable[Any]]
"""What somebody can look at."""

SKIPPED = {"progress"}
"""The projector's own bookmark."""


async def sound(found: Awaitable[list[Any]]) -> list[Any]:
    """The list, if nothing in it is broken."""
    rows = await found
    for each in rows:
        if isinstance(each, Broken):
            raise each.alarm
    return rows


async def seen(looks: Mapping[str, Look]) -> dict[str, Any]:
    """What everybody sees now; an error as itself."""
    found: dict[str, Any] = {}
    for name, look in looks.items():
        try:
            found[name] = shown(await look())
        except RateLimited:
            raise
        except PrivityError as error:
            found[name] = error
    return found


async def noticed_and_believed(
    views: Path,
    turned: Sequence[Cell],
    looks: Mapping[str, Look],
    before: Mapping[str, Any],
    spoken: Mapping[tuple[str, str], str],
) -> tuple[set[tuple[str, str]], dict[tuple[str, str], str]]:
    """Flip a bit of each cell in turn: the columns of which somebody is told, and those that are believed, with how."""
    noticed: set[tuple[str, str]] = set()
    believed: dict[tuple[str, str], str] = {}
    for table, column, row in turned:
        with with_a_flip(views, table, column, row) as is_turned:
            after = await seen(looks) if is_turned else before
        for look, now in after.items():
            if isinstance(now, PrivityError):
                noticed.add((table, column))
            elif now != before[look] and not {(table, column), (table, "*")} & spoken.keys():
                believed[table, column] = f"{look}: {_differing(now, before[look])}"
    return noticed, believed


def _differing(now: str, before: str) -> str:
    """Two texts from shortly before the place where they differ."""
    at = max(0, next((n for n, (a, b) in enumerate(zip(now, before, strict=False)) if a != b), 0) - 30)
    return f"…{now[at : at + 90]} for …{before[at : at + 90]}"


def shown(value: Any) -> str:
    """A value with all of its fields, also those that a repr hides, but for the row as it was served."""
    if hasattr(value, "__dataclass_fields__"):
        return str({name: shown(getattr(value, name)) for name in value.__dataclass_fields__ if name != "row"})
    if isinstance(value, list | tuple):
        return str([shown(each) for each in value])
    if isinstance(value, Mapping):
        return str({str(name): shown(each) for name, each in value.items()})
    if isinstance(value, SigningKey):
        return str(value.seed)
    return str(value)


def flipped(value: Any) -> Any:
    """The same with one bit turned, in the middle; a text stays a text."""
    match value:
        case bool() | int():
            return int(value) ^ 1
        case bytes() if value:
            at = len(value) // 2
            return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        case str() if value:
            at = len(value) // 2
            return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
    return value


@contextmanager
def with_a_flip(path: Path, table: str, column: str, row: int) -> Iterator[bool]:
    """One cell of a database in use with one bit turned while the block runs; whether anything could be turned."""
    before = _cell(path, table, column, row)
    after = flipped(before)
    if after == before or not _write(path, table, column, row, after):
        yield False
        return
    try:
        yield True
    finally:
        assert _write(path, table, column, row, before)


def _cell(path: Path, table: str, column: str, row: int) -> Any:
    with sqlite3.connect(path, timeout=10) as db:
        ((value,),) = db.execute(f'SELECT "{column}" FROM "{table}" WHERE rowid = ?', [row]).fetchall()
    db.close()
    return value


def _write(path: Path, table: str, column: str, row: int, value: Any) -> bool:
    db = sqlite3.connect(path, timeout=10)
    try:
        db.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', [value, row])
        db.commit()
    except sqlite3.IntegrityError:  # what must be unique would be there twice
        return False
    finally:
        db.close()
    return True


def cells(path: Path) -> list[Cell]:
    """Every cell of every table."""
    db = sqlite3.connect(path, timeout=10)
    found = []
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = [row[1] for row in db.execute(f'PRAGMA table_info("{table}")')]
        for (row,) in db.execute(f'SELECT rowid FROM "{table}"').fetchall():
            found += [(table, column, row) for column in columns]
    db.close()
    return [cell for cell in found if cell[0] not in SKIPPED]
