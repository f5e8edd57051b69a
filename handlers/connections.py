"""Connections: confirming, noting and ending them."""

from domain import connection
from handlers.registry import Desk, handles
from privity.encoding import digest, lp, unb64
from privity.messages.base import Event
from privity.messages.connections import ConfirmConnection, NoteConnection, RemoveConnection


@handles(ConfirmConnection)
def confirm_connection(command: ConfirmConnection, desk: Desk) -> list[Event]:
    """The inviter names the digest of the acceptance that was checked; it must be the one that stands."""
    state = desk.load(connection.State, command.connection)
    return connection.decide(command, state, desk.by, acceptance=digest(unb64(state.acceptance)))


@handles(NoteConnection)
def note_connection(command: NoteConnection, desk: Desk) -> list[Event]:
    """Each side's note is its own."""
    return connection.decide(command, desk.load(connection.State, command.connection), desk.by)


@handles(RemoveConnection)
def remove_connection(command: RemoveConnection, desk: Desk) -> list[Event]:
    """Either side; the pair may connect again later."""
    state = desk.load(connection.State, command.connection)
    return connection.decide(command, state, desk.by, pair=pair_id(state.inviter, state.acceptor))


def pair_id(one: str, other: str) -> str:
    """The id of two people's pair, whichever comes first."""
    return digest(lp(*sorted((one.encode(), other.encode()))))
