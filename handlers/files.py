"""Files: attaching them to items and shares, and taking them off."""

from domain import connection, file, item, share
from handlers.registry import Desk, handles
from privity.messages.base import Event
from privity.messages.files import AttachFile, DetachFile


@handles(AttachFile)
def attach_file(command: AttachFile, desk: Desk) -> list[Event]:
    """Only to what is one's own, and not once it was taken off."""
    return _decide(command, desk)


@handles(DetachFile)
def detach_file(command: DetachFile, desk: Desk) -> list[Event]:
    """Gone; again is no change."""
    return _decide(command, desk)


def _decide(command: AttachFile | DetachFile, desk: Desk) -> list[Event]:
    given = desk.load(share.State, command.of)
    return file.decide(
        command,
        desk.load(file.State, command.of),
        desk.by,
        item=desk.load(item.State, command.of),
        share=given,
        over=desk.load(connection.State, given.connection) if given.connection else connection.State(),
    )
