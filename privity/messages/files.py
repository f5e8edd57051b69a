"""Files: what is attached to an item or a share, as ciphertext under a key of its own."""

from dataclasses import dataclass
from typing import ClassVar, Final

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, ConnectionId, Id, Sealed

MAX_FILES: Final = 16
"""Files of one item or one share."""


@dataclass(frozen=True, slots=True)
class AttachFile(Command):
    """Keep a file with an own item, or with a share that one gives.

    `of` is the item's or the share's id. The file's key, name and hash stand in the sealed content of that.
    """

    subject: ClassVar[str] = "files.attach"
    of: Id
    file: Id
    content: Sealed


@dataclass(frozen=True, slots=True)
class DetachFile(Command):
    """Let go of one file; one that has not come yet is not taken any more."""

    subject: ClassVar[str] = "files.detach"
    of: Id
    file: Id


@dataclass(frozen=True, slots=True)
class FileAttached(Event):
    """There is a file with an item, or with a share: then `recipient` and `connection` are the share's."""

    context: ClassVar[str] = "files"
    name: ClassVar[str] = "file-attached"
    kind: ClassVar[str] = "files"
    id_field: ClassVar[str] = "of"
    of: Id
    file: Id
    owner: AccountId
    recipient: AccountId | None
    connection: ConnectionId | None
    content: Sealed


@dataclass(frozen=True, slots=True)
class FileDetached(Event):
    """A file is gone from an item or a share that goes on, and does not come back: nor one that has not come yet."""

    context: ClassVar[str] = "files"
    name: ClassVar[str] = "file-detached"
    kind: ClassVar[str] = "files"
    id_field: ClassVar[str] = "of"
    of: Id
    file: Id
    owner: AccountId
    recipient: AccountId | None


COMMANDS = (AttachFile, DetachFile)
EVENTS = (FileAttached, FileDetached)
