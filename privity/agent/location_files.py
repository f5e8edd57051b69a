"""What the changes of a location say of files, and the fold that says which versions stand.

A version is called by its place, "N.I": the number of the change that brought it and its index there, so nobody can
call another's version their own. A version stands until a later change, of somebody who had seen it, names it as
replaced. Who had not seen it replaces nothing: then both stand, and people choose.

Nothing here looks at who came first, but for the order in which versions are shown: any order of the same changes
leaves the same versions.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from privity.crypto.aead import KEY_BYTES
from privity.encoding import b64, unb64
from privity.errors import Malformed

MAX_ENTRIES: Final = 500
"""Of one change."""
MAX_NAME: Final = 1024
"""Bytes of a whole name."""
MAX_PART: Final = 255
"""Bytes between two slashes."""
MAX_REPLACED: Final = 64
"""Versions that one entry replaces."""
MAX_SIZE: Final = 2**50
MAX_TIME: Final = 2**46
"""Milliseconds: some time in the year 4199."""
HASH_BYTES: Final = 32
UNREADABLE: Final = "the change of the location cannot be read"

Version = tuple[int, int]
"""Number of the change, index of the entry in it."""


@dataclass(frozen=True, slots=True)
class Put:
    """A file was written: where its bytes stand, from which offset on in an object that may hold many, and which
    versions the writer had seen and replaces.
    """

    name: str = field(repr=False)
    replaces: tuple[Version, ...]
    size: int
    sha256: str = field(repr=False)
    object: str
    offset: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Whole:
    """What it takes to read an object that files are in: its key, and size and hash (base64url) of its plaintext."""

    key: bytes = field(repr=False)
    size: int
    sha256: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Removed:
    """A file was removed: the versions that the writer had seen go."""

    name: str = field(repr=False)
    replaces: tuple[Version, ...]
    at: datetime


Entry = Put | Removed


@dataclass(frozen=True, slots=True)
class Body:
    """What a change says, sealed: its entries, and how the objects are read that they are in."""

    entries: tuple[Entry, ...] = field(repr=False)
    objects: Mapping[str, Whole] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the line, opened: who wrote which entries, under which generation, bringing which objects.

    `digest` is the manifest's.
    """

    n: int
    by: str
    generation: int
    entries: tuple[Entry, ...] = field(repr=False)
    objects: Mapping[str, Whole] = field(repr=False)
    position: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """A version of a file, and who wrote it."""

    name: str = field(repr=False)
    version: Version
    by: str
    put: Put = field(repr=False)
    whole: Whole = field(repr=False)

    @property
    def id(self) -> str:
        """How it is called: "N.I"."""
        return f"{self.version[0]}.{self.version[1]}"


@dataclass(slots=True)
class Folder:
    """The versions that stand, by name; several of one name where people wrote at once."""

    files: dict[str, dict[Version, FileVersion]] = field(default_factory=dict, repr=False)
    replaced: dict[str, set[Version]] = field(default_factory=dict, repr=False)

    def fold(self, change: Change) -> None:
        """Take one more change in."""
        for index, entry in enumerate(change.entries):
            self._fold((change.n, index), entry, change)

    def standing(self, name: str) -> tuple[FileVersion, ...]:
        """The versions of a name that nobody replaced, the newest of the line last."""
        found = self.files.get(name, {})
        return tuple(found.values()) if len(found) < 2 else tuple(found[version] for version in sorted(found))

    def __iter__(self) -> Iterator[FileVersion]:
        """All versions that stand, by name, then in the order of the line."""
        for name in sorted(self.files):
            yield from self.standing(name)

    def counted(self, name: str, version: Version) -> bool:
        """Whether a version stands, or is replaced; else whatever its writer meant to bring is not there."""
        return version in self.files.get(name, {}) or version in self.replaced.get(name, set())

    @property
    def objects(self) -> set[str]:
        """The objects that some version that stands is in."""
        return {each.put.object for versions in self.files.values() for each in versions.values()}

    def _fold(self, version: Version, entry: Entry, change: Change) -> None:
        gone = self.replaced.setdefault(entry.name, set())
        gone.update(entry.replaces)
        found = self.files.setdefault(entry.name, {})
        for each in entry.replaces:
            found.pop(each, None)
        whole = change.objects.get(entry.object) if isinstance(entry, Put) else None
        if isinstance(entry, Put) and whole is not None and version not in gone:
            found[version] = FileVersion(entry.name, version, change.by, entry, whole)
        if not found:
            del self.files[entry.name]


def fold(changes: Iterable[Change]) -> Folder:
    """What stands after these changes."""
    folder = Folder()
    for change in changes:
        folder.fold(change)
    return folder


def shown_name(version: FileVersion, standing: Sequence[FileVersion], author: str) -> str:
    """The name, or where several versions stand, for all but the newest, the name with who wrote it and when."""
    if len(standing) < 2 or version == standing[-1]:
        return version.name
    at = version.put.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{version.name} (conflict, {author}, {at}, {version.id})"


def check_name(name: str) -> str:
    """The name, if a file can be called so on any machine, below a folder and nowhere else.

    Raises:
        Malformed: empty, absolute, or too long; with "..", a backslash, or what cannot be printed.
    """
    parts = name.split("/")
    if (
        not name.isprintable()  # nor has it lone surrogates, which cannot be encoded
        or "\\" in name
        or len(name.encode()) > MAX_NAME
        or any(part in ("", ".", "..") or len(part.encode()) > MAX_PART for part in parts)
    ):
        raise Malformed("a file's name has parts of 1 to 255 bytes between slashes, none of them '.' or '..'")
    return name


def write_body(body: Body) -> bytes:
    """The body of a change, before it is sealed.

    Raises:
        Malformed: more than 500 entries.
    """
    if len(body.entries) > MAX_ENTRIES:
        raise Malformed(f"a change has at most {MAX_ENTRIES} entries")
    objects = {
        object: {"key": b64(whole.key), "size": whole.size, "sha256": whole.sha256}
        for object, whole in body.objects.items()
    }
    said = {"v": 1, "objects": objects, "entries": [_said(each) for each in body.entries]}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def read_body(data: bytes, n: int) -> Body:
    """The inverse of `write_body`, for the change of that number.

    Raises:
        Malformed: whoever sealed it sealed something else, or says that it replaces what came later.
    """
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed(UNREADABLE) from None
    match said:
        case {"v": 1, "objects": dict(objects), "entries": list(entries)} if len(entries) <= MAX_ENTRIES:
            wholes = {str(object): _whole(each) for object, each in objects.items()}
            return Body(tuple(_read(each, n, wholes) for each in entries), wholes)
    raise Malformed(UNREADABLE)


def read_version(text: str) -> Version:
    """The version that "N.I" names.

    Raises:
        Malformed: it names none.
    """
    n, dot, index = text.partition(".")
    if not (dot and n.isascii() and index.isascii() and n.isdigit() and index.isdigit() and len(text) <= 20):
        raise Malformed("a version is called like 12.0")
    return int(n), int(index)


def _said(entry: Entry) -> Mapping[str, object]:
    both = {"name": entry.name, "replaces": [f"{n}.{index}" for n, index in entry.replaces]}
    rest = {"at": int(entry.at.timestamp() * 1000)}
    if isinstance(entry, Removed):
        return {"op": "remove", **both, **rest}
    where = {"size": entry.size, "sha256": entry.sha256, "object": entry.object, "offset": entry.offset}
    return {"op": "put", **both, **where, **rest}


def _read(said: Any, n: int, objects: Mapping[str, Whole]) -> Entry:
    match said:
        case {"op": str(op), "name": str(name), "replaces": list(replaces), "at": int(at)} if (
            len(replaces) <= MAX_REPLACED and 0 <= at < MAX_TIME
        ):
            before = tuple(read_version(str(each)) for each in replaces)
            if any(each[0] >= n for each in before):
                raise Malformed("the change of the location replaces what came later")
            when = datetime.fromtimestamp(at / 1000, UTC)
            if op == "remove":
                return Removed(check_name(name), before, when)
            if op == "put":
                return _put(said, check_name(name), before, when, objects)
    raise Malformed(UNREADABLE)


def _put(said: Any, name: str, before: tuple[Version, ...], at: datetime, objects: Mapping[str, Whole]) -> Put:
    match said:
        case {"size": int(size), "sha256": str(sha256), "object": str(object), "offset": int(offset)}:
            whole = objects.get(object)
            fits = whole is not None and size >= 0 and offset >= 0 and offset + size <= whole.size
            if fits and len(unb64(sha256)) == HASH_BYTES:
                return Put(name, before, size, sha256, object, offset, at)
    raise Malformed(UNREADABLE)


def _whole(said: Any) -> Whole:
    match said:
        case {"key": str(key), "size": int(size), "sha256": str(sha256)}:
            opened = unb64(key)
            if len(opened) == KEY_BYTES and len(unb64(sha256)) == HASH_BYTES and 0 <= size <= MAX_SIZE:
                return Whole(opened, size, sha256)
    raise Malformed(UNREADABLE)
