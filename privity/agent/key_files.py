"""Files that a person seals with a sharing key, and opens again: nothing half is ever seen under the wanted name."""

import asyncio
import errno
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

from privity.agent import sharing_keys
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.sharing_keys import SharingKey
from privity.crypto.keyfiles import Header, open_file, read_header, seal_file
from privity.crypto.sharing_keys import PrivatePart
from privity.disk import sync
from privity.errors import AlreadyExists, DoesNotOpen, KeyNotFound, Malformed, NotFound, Unverified

Write = Callable[[BinaryIO], None]
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What file systems say that have no hard links."""


async def encrypt(
    session: Session, keyring: Keyring, name: str, file: Path, out: Path, *, unverified: bool = False
) -> SharingKey:
    """Seal a file with the newest generation of a key; its public part is enough.

    Args:
        unverified: the consent to seal for who made the key, over whatever connection one knows them.

    Raises:
        KeyInactive: the key is switched off.
        Unverified: somebody else made it, whose connection is not verified, and the person did not consent.
        AlreadyExists: `out` is there.
        Malformed: a file cannot be read or written.
    """
    key = sharing_keys.check_active(await sharing_keys.show(session, keyring, name))
    if not key.verified and not unverified:
        raise Unverified(f"the connection with {key.creator_address}, who made this key, is not verified")

    def write(sink: BinaryIO) -> None:
        with file.open("rb") as source:
            seal_file(key.record, source, sink)

    await asyncio.to_thread(_make, out, write)
    return key


async def decrypt(session: Session, keyring: Keyring, file: Path, out: Path) -> SharingKey:
    """Open a file by the key that it names; `out` is there only once all has verified.

    Raises:
        KeyNotFound: one does not hold that key.
        KeyInactive: it is switched off.
        DoesNotOpen: the file was changed, cut, reordered or appended to.
        AlreadyExists: `out` is there.
        Malformed: it is no such file, or one cannot be read or written.
    """
    source, header = await asyncio.to_thread(_begin, file)
    with source:  # the same file to its end, whatever takes its name meanwhile
        try:
            key = await sharing_keys.show(session, keyring, header.key)
            sharing_keys.check_active(key).private()
        except NotFound:
            raise KeyNotFound("you do not hold the sharing key that this file is sealed with") from None
        parts = await sharing_keys.all_parts(session, keyring, key)
        if header.generation not in parts:
            raise DoesNotOpen
        await asyncio.to_thread(_make, out, lambda sink: _open(header, parts[header.generation], source, sink))
    return key


def _begin(file: Path) -> tuple[BinaryIO, Header]:
    """The file, open behind its header."""
    with ExitStack() as stack:
        try:
            source = stack.enter_context(file.open("rb"))
            header = read_header(source)
        except OSError as error:
            raise Malformed(f"the file cannot be read: {error.strerror}") from None
        stack.pop_all()
    return source, header


def _open(header: Header, part: PrivatePart, source: BinaryIO, sink: BinaryIO) -> None:
    for data in open_file(header, part, source):
        sink.write(data)


def _make(out: Path, write: Write) -> None:
    """A new file with what `write` writes, or none: it comes into its place whole, and takes nobody's."""
    try:
        with NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}.", suffix=".part", delete=False) as sink:
            part = Path(sink.name)
            try:
                write(sink)  # type: ignore[arg-type]
                sink.flush()
                os.fsync(sink.fileno())
                _put_in_place(part, out)
            finally:
                with suppress(FileNotFoundError):
                    part.unlink()
    except FileExistsError:
        raise AlreadyExists(f"there is a file {out.name} already") from None
    except OSError as error:
        raise Malformed(f"the file cannot be read or written: {error.strerror}") from None


def _put_in_place(part: Path, out: Path) -> None:
    """Give the whole file its name, which nobody has; and have the folder on disk too.

    Raises:
        FileExistsError: there is a file of this name.
    """
    try:
        os.link(part, out)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with out.open("xb"):  # the name is taken, and what has it now is one's own
            pass
        part.replace(out)
    sync(out.parent)
