"""Files of items and shares: each sealed under a key of its own, which stands in the sealed content it belongs to."""

import mimetypes
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from privity.agent.kinds import FILE
from privity.agent.session import Session
from privity.agent.thumbnails import MAX_THUMBNAIL, TYPES, thumbnail
from privity.crypto.attachments import MAX_FILE, open_item_file, open_share_file, seal_item_file, seal_share_file
from privity.crypto.keyring import new_dek
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    AlreadyExists,
    FileMissing,
    ForgedRecord,
    Malformed,
    NotFound,
    TooLarge,
    TooManyFiles,
    Withheld,
)
from privity.messages.base import Command
from privity.messages.files import MAX_FILES, AttachFile, DetachFile
from privity.messages.views import AskFiles, FileRow

KIND: Final = FILE
UNKNOWN_TYPE: Final = "application/octet-stream"
MAX_NAME: Final = 255
MAX_TYPE: Final = 127

Bringing = tuple[Command, Sequence[bytes]]
"""A command, and the sealed objects that go with it."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A file, open."""

    name: str = field(repr=False)
    type: str
    data: bytes = field(repr=False)
    thumbnail: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Attachment:
    """What the content of an item or a share says of a file: all that it takes to ask for it, open it and check it."""

    file: str
    name: str = field(repr=False)
    type: str
    size: int
    sha256: str = field(repr=False)
    key: bytes = field(repr=False)
    thumbnail: bytes | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the plaintext; the name is the key that it stands under."""
        found = {"file": self.file, "type": self.type, "size": self.size, "sha256": self.sha256, "key": b64(self.key)}
        return found if self.thumbnail is None else {**found, "thumbnail": b64(self.thumbnail)}


Attachments = Mapping[str, Attachment]
"""By name."""
Reread = Callable[[], Awaitable[Attachments]]
"""The files that the content lists now: of what is signed or sealed, and never older than what was seen."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What files hang on: an item, or a share that `owner` gives."""

    of: str
    owner: str
    is_share: bool

    def seal(self, key: bytes, data: bytes, file: str) -> bytes:
        """The file's sealed object."""
        if self.is_share:
            return seal_share_file(key, data, owner=self.owner, share=self.of, file=file)
        return seal_item_file(key, data, owner=self.owner, item=self.of, file=file)

    def open(self, key: bytes, sealed: bytes, file: str) -> bytes:
        """The inverse of `seal`.

        Raises:
            DoesNotOpen: it is another file's, or of something else.
        """
        if self.is_share:
            return open_share_file(key, sealed, owner=self.owner, share=self.of, file=file)
        return open_item_file(key, sealed, owner=self.owner, item=self.of, file=file)


def read_attachments(found: object) -> dict[str, Attachment]:
    """What `Attachment.to_json` wrote, by name.

    Raises:
        Malformed: whoever sealed it sealed something else.
    """
    if not isinstance(found, dict) or len(found) > MAX_FILES:
        raise Malformed("the sealed content lists no files")
    return {check_name(name): _read(name, said) for name, said in found.items()}


def _read(name: str, said: object) -> Attachment:
    match said:
        case {"file": str(file), "type": str(type_), "size": int(size), "sha256": str(sha256), "key": str(key), **more}:
            small = more.get("thumbnail")
            if len(type_) <= MAX_TYPE and 0 <= size <= MAX_FILE and isinstance(small, str | None):
                shown = None if small is None else unb64(small)
                if shown is None or len(shown) <= MAX_THUMBNAIL:
                    return Attachment(file, name, type_, size, sha256, unb64(key), shown)
    raise Malformed("the sealed content lists a file that cannot be one")


def check_name(name: str) -> str:
    """The file's name, if it can be one on any disk.

    Raises:
        Malformed: it is empty, too long, or more than a name.
    """
    if (
        not name.isprintable()  # nor has it lone surrogates, which cannot be encoded
        or not 0 < len(name.encode()) <= MAX_NAME
        or set(name) & {"/", "\\"}
        or name in (".", "..")
    ):
        raise Malformed("a file's name has 1 to 255 bytes, and no slash in it")
    return name


async def load(path: Path) -> Plain:
    """A file of this machine, with a thumbnail where it is an image.

    Raises:
        NotFound: there is none.
        TooLarge: more than 900 KiB.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise TooLarge(f"{path.name} is larger than the {MAX_FILE // 1024} KiB that can be attached")
    type_ = mimetypes.guess_type(path.name)[0] or UNKNOWN_TYPE
    small = await thumbnail(data) if type_ in TYPES else None
    return Plain(check_name(path.name), type_, data, small)


def attach(holder: Holder, files: Iterable[Plain], beside: Attachments) -> tuple[dict[str, Attachment], list[Bringing]]:
    """Seal files for an item or a share that has those `beside` already; what its content is to list, and the commands.

    Raises:
        AlreadyExists: two of the same name.
        TooManyFiles: more than 16.
    """
    listed, bringing = dict(beside), []
    for plain in files:
        if plain.name in listed:
            raise AlreadyExists(f"there is a file {plain.name} already; detach it first, or at the same time")
        listed[plain.name], brought = _sealed(holder, plain)
        bringing.append(brought)
    if len(listed) > MAX_FILES:
        raise TooManyFiles
    return listed, bringing


def detach(holder: Holder, names: Iterable[str], attached: Attachments) -> tuple[dict[str, Attachment], list[Bringing]]:
    """The files that stay, and the commands that let go of the others.

    Raises:
        NotFound: there is no file of such a name.
    """
    going = [one(attached, name) for name in dict.fromkeys(names)]
    staying = {name: each for name, each in attached.items() if each not in going}
    return staying, [(DetachFile(holder.of, each.file), ()) for each in going]


def one(attached: Attachments, name: str) -> Attachment:
    """The file of that name.

    Raises:
        NotFound: there is none; says which there are.
    """
    if name not in attached:
        raise NotFound(f"there is no file {name}; there are: {', '.join(attached) or 'none'}")
    return attached[name]


async def fetch(session: Session, holder: Holder, wanted: Attachment, reread: Reread) -> Plain:
    """A file, fetched, opened and held against what the sealed content says of it.

    Raises:
        FileMissing: the backend has none, and this device never saw it, or its content does not list it any more.
        Withheld: the backend had it before, and it is listed still, whatever the feed says was erased.
        DoesNotOpen, ForgedRecord: it serves something else.
    """
    seen = session.memory.seen(KIND, wanted.file)
    found = await session.ask(AskFiles(of=holder.of, id=wanted.file, limit=1), FileRow)
    if not found.rows:
        if seen is None:
            raise FileMissing
        if wanted.file not in {each.file for each in (await reread()).values()}:
            raise FileMissing("the file was taken off")
        raise Withheld(f"The backend leaves out a file of {holder.of} that it had before.")
    row = found.one("file", wanted.file)
    data = holder.open(wanted.key, found.blob(row.content), wanted.file)
    if (len(data), digest(data)) != (wanted.size, wanted.sha256):
        raise ForgedRecord("A file is another one than the content that it belongs to says.")
    session.memory.saw(KIND, wanted.file, 1, row.content, holder.of)
    return Plain(wanted.name, wanted.type, data, wanted.thumbnail)


async def renew(
    session: Session, source: Holder, wanted: Attachments, share: Holder, before: Attachments, reread: Reread
) -> tuple[dict[str, Attachment], list[Bringing]]:
    """Files of an item, or of a share that is shared on, for the next generation of a share.

    What the share has already stays under its key, which is the share's own; the rest is sealed under fresh keys, and
    so is what the share lists and the home never got.

    Args:
        wanted: those of the source's files that are to be in the share.
        before: what the share's content listed so far; nothing for a new share.
        reread: what the source lists now.

    Returns:
        What its content is to list, and the commands that are to follow the share's own.
    """
    missing = await lost(session, share, wanted, before)
    stays = [name for name, each in wanted.items() if name in before and _same(before[name], each)]
    kept = {name: before[name] for name in stays if name not in missing}
    new = [await fetch(session, source, each, reread) for name, each in wanted.items() if name not in kept]
    listed, bringing = attach(share, new, kept)
    _, letting_go = detach(share, [name for name in before if name not in kept], before)
    return listed, [*letting_go, *bringing]


async def lost(session: Session, share: Holder, wanted: Attachments, before: Attachments) -> set[str]:
    """The files that a share lists `before`, that the home does not have, and that can be brought anew.

    One was refused, or is on its way from another device: then that one is not taken any more.
    """
    anew = {name for name, each in wanted.items() if name in before and each.file != before[name].file}
    if not anew:
        return set()
    found = await session.ask(AskFiles(of=share.of, bare=True), FileRow)
    there = {row.file for row in found.rows}
    return {name for name in anew if before[name].file not in there}


def _same(one: Attachment, other: Attachment) -> bool:
    return (one.name, one.type, one.size, one.sha256) == (other.name, other.type, other.size, other.sha256)


def _sealed(holder: Holder, plain: Plain) -> tuple[Attachment, Bringing]:
    key, file = new_dek(), new_id()
    content = holder.seal(key, plain.data, file)
    said = Attachment(file, plain.name, plain.type, len(plain.data), digest(plain.data), key, plain.thumbnail)
    return said, (AttachFile(holder.of, file, digest(content)), (content,))


def write(path: Path, data: bytes) -> None:
    """A new file that only its owner may read, whole or not at all.

    Raises:
        AlreadyExists: there is something of that name.
        Malformed: it cannot be written there.
    """
    draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, it takes nobody's place
    except FileExistsError:
        raise AlreadyExists(f"{path} is there already") from None
    except OSError as error:
        raise Malformed(f"{path} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
