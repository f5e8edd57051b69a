"""Histories: recorded streams in a folder that only grows, with the states and rows that they must fold to.

A history is two compressed files. `NAME.events.jsonl.xz` has one event a line, byte for byte as it was stored.
`NAME.1.folds.jsonl.xz` has what they fold to: a digest of each stream's state and of each view's rows, by the fields
and columns that there were when it was recorded, so that a field or column more changes nothing. `SHA256SUMS` names
both with their hashes: no file is edited or removed. Where a fold changes on purpose, `NAME.2.folds.jsonl.xz` is added
with the reason, and counts from then on.
"""

import dataclasses
import hashlib
import json
import lzma
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO

from pydantic import JsonValue

from privity.encoding import b64, sha256

SUMS: Final = "SHA256SUMS"
DIGEST: Final = 12
"""Characters of a digest in a fold: 72 bits tell of a mistake, and against forgers there are the sums."""
LONGEST: Final = 60
"""Characters of a value in a readable row; of what is longer stands the beginning, and a digest."""
TOLD: Final = 10
"""Differences that are told."""
MISSING: Final = "(no such field any more)"

Shapes = Mapping[str, Sequence[str]]
"""The fields of each class, or the columns of each view."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event as it is stored; `position` counts over all streams, `version` in its own, both from 1."""

    position: int
    stream: str
    version: int
    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fold:
    """What events fold to: dataclasses by stream, and the rows of each view, each by the names of its columns."""

    states: Mapping[str, Any]
    views: Mapping[str, Iterable[Mapping[str, Any]]]


FoldAll = Callable[[Iterable[Happened]], Fold]
"""How an app folds; the events come in order, once."""


@dataclass(frozen=True, slots=True)
class Folds:
    """What a history must fold to, as it was recorded; `states` and `rows` are readable, where it is small."""

    why: str
    fields: Shapes
    columns: Shapes
    streams: Mapping[str, str]
    views: Mapping[str, str]
    states: Mapping[str, JsonValue] = field(default_factory=dict)
    rows: Mapping[str, Sequence[JsonValue]] = field(default_factory=dict)


def write_history(path: Path, happened: Iterable[Happened]) -> int:
    """Write events to a new file; how many.

    Raises:
        ValueError: a position or a stream's version is left out: such a history could not have happened.
        FileExistsError: there is such a file.
    """
    with lzma.open(path, "xt", encoding="utf-8", newline="\n") as file:
        try:
            return _write_events(file, happened)
        except BaseException:
            path.unlink()
            raise


def _write_events(file: TextIO, happened: Iterable[Happened]) -> int:
    versions: dict[str, int] = defaultdict(int)
    position = 0
    for each in happened:
        position += 1
        versions[each.stream] += 1
        if (each.position, each.version) != (position, versions[each.stream]):
            raise ValueError(f"event {each.position}, version {each.version} of {each.stream}, is out of line")
        facts = (each.position, each.name, each.stream, each.version, each.data.decode())
        file.write(_line(dict(zip(("position", "name", "stream", "version", "data"), facts, strict=True))))
    return position


def read_history(path: Path) -> Iterator[Happened]:
    """The events of a file, in order."""
    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            facts = json.loads(line)
            facts["data"] = facts["data"].encode()
            yield Happened(**facts)


def renumbered(happened: Iterable[Happened]) -> Iterator[Happened]:
    """The same events at positions from 1 without gaps, for a part of a longer log."""
    return (dataclasses.replace(each, position=position) for position, each in enumerate(happened, 1))


def folds_of(fold: Fold, why: str, *, readable: bool) -> Folds:
    """What is recorded of a fold, for all fields and columns that there are now."""
    shapes = _Shapes({})
    states = {stream: shapes.plain(state) for stream, state in fold.states.items()}
    columns: dict[str, Sequence[str]] = {}
    tables: dict[str, list[str]] = {}
    for view, rows in fold.views.items():
        found = list(rows)
        columns[view] = sorted(found[0]) if found else []
        tables[view] = _lines(found, columns[view])
    return Folds(
        why,
        shapes.seen,
        columns,
        {stream: _digest(state) for stream, state in states.items()},
        {view: _digest(lines) for view, lines in tables.items()},
        {stream: shortened(state) for stream, state in states.items()} if readable else {},
        {view: _readable(lines) for view, lines in tables.items()} if readable else {},
    )


def differences(recorded: Folds, fold: Fold) -> list[str]:
    """The first differences between what a history must fold to and what it folds to now; none is as it must be."""
    return list(islice(_differing(recorded, fold), TOLD))


def shortened(value: JsonValue) -> JsonValue:
    """A value as people read it: of a long text the beginning, and a digest of the whole."""
    match value:
        case str() if len(value) > LONGEST:
            return f"{value[:DIGEST]}…{_digest(value)}"
        case list():
            return [shortened(each) for each in value]
        case dict():
            return {name: shortened(each) for name, each in value.items()}
    return value


class Histories:
    """A folder of histories."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """All of them."""
        return sorted(path.name.partition(".")[0] for path in self.folder.glob("*.events.jsonl.xz"))

    def events(self, name: str) -> Iterator[Happened]:
        """What happened, in order."""
        return read_history(self._events(name))

    def folds(self, name: str) -> Folds:
        """What it must fold to today.

        Raises:
            FileNotFoundError: there is no such history.
        """
        return _read_folds(self._folds(name, max(1, self._rounds(name))))

    def differences(self, name: str, fold: FoldAll) -> list[str]:
        """Where it folds to something else than it must."""
        return differences(self.folds(name), fold(self.events(name)))

    def damage(self) -> list[str]:
        """What is wrong with the files: missing, changed, or not listed."""
        listed = self._listed()
        found = {path.name for path in self.folder.glob("*.xz")}
        gone = [f"{name} is not there any more" for name in listed.keys() - found]
        changed = [f"{name} was changed" for name in listed.keys() & found if self._sum(name) != listed[name]]
        return sorted([*gone, *changed, *(f"{name} is not in {SUMS}" for name in found - listed.keys())])

    def add(self, name: str, happened: Iterable[Happened], fold: FoldAll, *, readable: bool = False) -> int:
        """Add a history, with what it folds to now; the number of its events.

        Raises:
            FileExistsError: there is one of that name, and it stays as it is.
            ValueError: see `write_history`; or the name is not of letters, digits and hyphens.
        """
        if not name.replace("-", "").isalnum():
            raise ValueError("the name of a history is of letters, digits and hyphens")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._events(name)
        count = write_history(path, happened)
        try:
            self._add_folds(name, fold, "as recorded", readable=readable)
        except BaseException:
            path.unlink()
            raise
        self._list(path)
        self._list(self._folds(name, 1))
        return count

    def fold_anew(self, name: str, fold: FoldAll, why: str, *, readable: bool = False) -> None:
        """Add what a history folds to from now on, because of a change that was meant; the older folds stay listed.

        Raises:
            FileNotFoundError: there is no such history.
        """
        self.folds(name)
        self._list(self._add_folds(name, fold, why, readable=readable))

    def _add_folds(self, name: str, fold: FoldAll, why: str, *, readable: bool) -> Path:
        path = self._folds(name, self._rounds(name) + 1)
        _write_folds(path, folds_of(fold(self.events(name)), why, readable=readable))
        return path

    def _events(self, name: str) -> Path:
        return self.folder / f"{name}.events.jsonl.xz"

    def _folds(self, name: str, round: int) -> Path:
        return self.folder / f"{name}.{round}.folds.jsonl.xz"

    def _rounds(self, name: str) -> int:
        return len(list(self.folder.glob(f"{name}.*.folds.jsonl.xz")))

    def _sum(self, name: str) -> str:
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

    def _listed(self) -> dict[str, str]:
        sums = self.folder / SUMS
        lines = sums.read_text().splitlines() if sums.exists() else []
        return {name: value for value, _, name in (line.partition("  ") for line in lines)}

    def _list(self, path: Path) -> None:
        with (self.folder / SUMS).open("a") as sums:
            sums.write(f"{self._sum(path.name)}  {path.name}\n")


class _Shapes:
    """Values as JSON, by the fields that each class had when it was first seen: here, or in a recording."""

    def __init__(self, known: Shapes) -> None:
        self.seen: dict[str, Sequence[str]] = dict(known)

    def plain(self, value: Any) -> JsonValue:
        """The value as JSON; what has no order is sorted."""
        if value is None or (isinstance(value, str | int | float) and not isinstance(value, Enum)):
            return value
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {name: self._field(value, name) for name in self._names(value)}
        match value:
            case Mapping():
                return {str(name): self.plain(each) for name, each in value.items()}
            case list() | tuple():
                return [self.plain(each) for each in value]
            case set() | frozenset():
                return sorted((self.plain(each) for each in value), key=_line)
            case bytes():
                return b64(value)
            case datetime():
                return value.isoformat()
            case Enum():
                return self.plain(value.value)
        raise TypeError(f"a {type(value).__name__} cannot be written as JSON")

    def _names(self, value: Any) -> Sequence[str]:
        kind = f"{type(value).__module__.rpartition('.')[2]}.{type(value).__qualname__}"
        if kind not in self.seen:
            self.seen[kind] = [each.name for each in dataclasses.fields(value)]
        return self.seen[kind]

    def _field(self, value: Any, name: str) -> JsonValue:
        return self.plain(getattr(value, name, MISSING))


def _differing(recorded: Folds, fold: Fold) -> Iterator[str]:
    shapes = _Shapes(recorded.fields)
    states = {stream: shapes.plain(state) for stream, state in fold.states.items()}
    for stream in dict.fromkeys([*recorded.streams, *states]):
        if stream not in states or stream not in recorded.streams:
            yield f"{stream}: {'it has no state now' if stream not in states else 'it had no state'}"
        elif _digest(states[stream]) != recorded.streams[stream]:
            now = shortened(states[stream])
            yield f"{stream}: {_told(recorded.states.get(stream), now)}"
    for view, before in recorded.views.items():
        lines = _lines(fold.views.get(view, ()), recorded.columns[view])
        if _digest(lines) != before:
            yield from _differing_rows(view, recorded.rows.get(view), _readable(lines))


def _differing_rows(view: str, before: Sequence[JsonValue] | None, now: Sequence[JsonValue]) -> Iterator[str]:
    if before is None:
        yield f"{view}: its {len(now)} rows are others"
        return
    had, has = {_line(row) for row in before}, {_line(row) for row in now}
    yield from (f"{view}: there is no row any more like {line.strip()}" for line in sorted(had - has))
    yield from (f"{view}: there was no row like {line.strip()}" for line in sorted(has - had))


def _told(before: JsonValue, now: JsonValue) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        other = [name for name in before if before[name] != now.get(name)]
        return "; ".join(f"{name} is {now.get(name)!r}, and was {before[name]!r}" for name in other)
    return f"it is {now!r}"


def _lines(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """The rows, by these columns alone, in an order that is of no database."""
    return sorted(_line({name: row.get(name, MISSING) for name in columns}) for row in rows)


def _readable(lines: Iterable[str]) -> list[JsonValue]:
    return [shortened(json.loads(line)) for line in lines]


def _digest(value: Any) -> str:
    return b64(sha256(_line(value).encode()))[:DIGEST]


def _line(value: Any) -> str:
    return _to_json(value) + "\n"


_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_Shapes({}).plain).encode


def _write_folds(path: Path, folds: Folds) -> None:
    with lzma.open(path, "xt", encoding="utf-8", newline="\n") as file:
        file.write(_line({"why": folds.why, "fields": folds.fields, "columns": folds.columns}))
        for stream, state in folds.streams.items():
            shown = {"state": folds.states[stream]} if stream in folds.states else {}
            file.write(_line({"stream": stream, "digest": state, **shown}))
        for view, rows in folds.views.items():
            shown = {"rows": list(folds.rows[view])} if view in folds.rows else {}
            file.write(_line({"view": view, "digest": rows, **shown}))


def _read_folds(path: Path) -> Folds:
    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as file:
        head, *lines = (json.loads(line) for line in file)
    streams = [line for line in lines if "stream" in line]
    views = [line for line in lines if "view" in line]
    return Folds(
        **head,
        streams={line["stream"]: line["digest"] for line in streams},
        views={line["view"]: line["digest"] for line in views},
        states={line["stream"]: line["state"] for line in streams if "state" in line},
        rows={line["view"]: line["rows"] for line in views if "rows" in line},
    )
