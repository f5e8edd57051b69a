"""The files of one item or one share."""

from dataclasses import dataclass, field

from domain import connection as connection_
from domain import item as item_
from domain import share as share_
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import AlreadyExists, NotConnected, NotFound, StaleVersion, TooManyFiles
from privity.messages.base import Command, Event
from privity.messages.files import MAX_FILES, AttachFile, DetachFile, FileAttached, FileDetached

REMEMBERED = 256
"""Files of one item or share that were taken off and must not come back; the oldest is forgotten first."""


@dataclass(slots=True)
class State:
    """Whose the files are, the sealed object of each that is attached, and which were taken off."""

    owner: str = ""
    files: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    def sealed_of(self, owner: str) -> tuple[str, ...]:
        """The sealed objects that go with what the files are attached to, if `owner` attached them.

        Nobody lets go of another's by giving something of their own the same id.
        """
        return tuple(self.files.values()) if self.owner == owner else ()


def decide(
    command: Command,
    state: State,
    by: Actor,
    *,
    item: item_.State,
    share: share_.State,
    over: connection_.State,
) -> list[Event]:
    """What follows from a command about a file of what is one's own: an item, or a share that one gives.

    A file that was taken off stays off: another device may have it waiting, to be brought for a version that is past.

    Args:
        over: the connection of the share.
    """
    gives = share.owner == by.account and not share.removed
    if not (gives or item.kept_by(by.account)) or state.owner not in ("", by.account):
        raise NotFound("there is no such item or share of yours")
    recipient, connection = (share.recipient, share.connection) if gives else (None, None)
    match command:
        case AttachFile() if gives and not over.joins(by.account):
            raise NotConnected
        case AttachFile(file=file) if file in state.files:
            raise AlreadyExists("there is a file with this id already")
        case AttachFile(file=file) if file in state.gone:
            raise StaleVersion("the file was taken off meanwhile")
        case AttachFile() if len(state.files) >= MAX_FILES:
            raise TooManyFiles
        case AttachFile(of=of, file=file, content=content):
            check_new([content], state.files.values())
            return [FileAttached(of, file, by.account, recipient, connection, content)]
        case DetachFile(file=file) if file in state.gone:
            return []
        case DetachFile(of=of, file=file):
            whose = [by.account] if recipient is None else [by.account, recipient]
            detached = FileDetached(of, file, by.account, recipient)
            return [detached, *erase(of, [state.files.get(file, "")], whose)]
    raise NotImplementedError(type(command).__name__)


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case FileAttached(file=file, owner=owner, content=content):
            state.owner = owner
            state.files[file] = content
        case FileDetached(file=file):
            state.files.pop(file, None)
            state.gone = [*state.gone, file][-REMEMBERED:]
        case _:
            raise NotImplementedError(event.name)
