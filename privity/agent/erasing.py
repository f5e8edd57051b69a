"""What the feed told is erased must not be served again: the log has it, and so has this device."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

from privity.agent.memory import Memory
from privity.messages.envelope import FeedEntry
from privity.messages.erasing import SealedErased

KIND = "erased"
IDS = (
    *("group", "post", "item", "share", "of", "key", "connection"),
    *("account", "invitation", "piece", "request", "principal"),
)
"""The fields of rows that name what sealed objects belong to."""


def remember(memory: Memory, line: FeedEntry) -> None:
    """Note what one line of the feed tells, if it tells of erasing; its number and link were checked."""
    if line.event == SealedErased.name:
        of = line.refs.get("id", "")
        memory.saw_all(KIND, [(_name(of, digest), line.position, digest) for digest in digests(line)])


def digests(line: FeedEntry) -> list[str]:
    """The sealed objects that a line of the feed says are erased."""
    return line.refs.get("digests", "").split() if line.event == SealedErased.name else []


def erased_among(memory: Memory, rows: Sequence[object], sealed: Mapping[str, bytes], known: int) -> frozenset[str]:
    """The objects that rows name although the feed up to the position `known` said that just they had erased them.

    Another thing may hold an equal object that stands: somebody could else bring a copy and erase it to accuse it.
    """
    named = {_name(of, digest): digest for row in rows for of, digest in _pairs(row, sealed)} if sealed else {}
    return frozenset(named[seen.id] for seen in memory.among(KIND, named) if seen.version <= known)


def _pairs(row: object, sealed: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    if not is_dataclass(row):
        return
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    named = [value for value in values.values() if isinstance(value, str) and value in sealed]
    for name in IDS:
        for digest in named if name in values else ():
            yield values[name], digest


def _name(of: str, digest: str) -> str:
    return f"{of} {digest}"
