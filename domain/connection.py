"""A connection: its two sides, until one of them ends it."""

from dataclasses import dataclass, field

from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import NotConnected, NotFound, StaleVersion
from privity.messages.base import Command, Event
from privity.messages.connections import (
    ConfirmConnection,
    ConnectionConfirmed,
    ConnectionEstablished,
    ConnectionNoted,
    ConnectionRemoved,
    NoteConnection,
    PairConnected,
    PairParted,
    RemoveConnection,
)


@dataclass(slots=True)
class State:
    """What the next decision about a connection needs; `notes` are the digests of both sides' own, by account."""

    inviter: str = ""
    acceptor: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    acceptance: str = ""
    confirmed: bool = False
    removed: bool = False

    def joins(self, account: str) -> bool:
        """Whether `account` is one of the two, and the connection stands."""
        return not self.removed and account in (self.inviter, self.acceptor)

    def peer_of(self, account: str) -> str:
        """The other one."""
        return self.acceptor if account == self.inviter else self.inviter


@dataclass(slots=True)
class PairState:
    """Whether two people have a connection now."""

    connection: str = ""


def decide(command: Command, state: State, by: Actor, *, acceptance: str = "", pair: str = "") -> list[Event]:
    """What follows from a command about a connection; `acceptance` is the digest of the record R that stands."""
    match command:
        case RemoveConnection() if state.removed and by.account in (state.inviter, state.acceptor):
            return []
        case _ if not state.joins(by.account):
            raise NotFound("there is no such connection")
        case ConfirmConnection() if by.account != state.inviter:
            raise NotFound("there is no such connection")
        case ConfirmConnection() if command.acceptance != acceptance:
            raise NotConnected("the confirmation is for another acceptance")
        case ConfirmConnection() if state.confirmed:
            return []
        case ConfirmConnection(connection=connection, mac=mac, note=note):
            check_new([note], state.notes.values())
            confirmed = ConnectionConfirmed(connection, state.inviter, state.acceptor, mac, note)
            return [confirmed, *erase(connection, [state.notes[by.account]], [by.account])]
        case NoteConnection(note=note) if note == state.notes[by.account]:
            return []
        case NoteConnection(replaces=replaces) if replaces != state.notes[by.account]:
            raise StaleVersion("another note is kept by now; read it first")
        case NoteConnection(connection=connection, note=note):
            check_new([note], state.notes.values())
            before = state.notes[by.account]
            return [ConnectionNoted(connection, by.account, note), *erase(connection, [before], [by.account])]
        case RemoveConnection(connection=connection):
            removed = ConnectionRemoved(connection, by.account, state.inviter, state.acceptor)
            return [removed, PairParted(pair, connection), *erase(connection, state.notes.values(), state.notes)]
    raise NotImplementedError(type(command).__name__)


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case ConnectionEstablished(inviter=inviter, acceptor=acceptor, acceptance=acceptance):
            state.inviter, state.acceptor = inviter.account, acceptor.account
            state.keys = {inviter.account: inviter.key, acceptor.account: acceptor.key}
            state.notes = {inviter.account: inviter.note, acceptor.account: acceptor.note}
            state.acceptance = acceptance
        case ConnectionConfirmed(inviter=account, note=note):
            state.confirmed = True
            state.notes[account] = note
        case ConnectionNoted(by=account, note=note):
            state.notes[account] = note
        case ConnectionRemoved():
            state.removed = True
            state.notes = {}
        case _:
            raise NotImplementedError(event.name)


def evolve_pair(state: PairState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case PairConnected(connection=connection):
            state.connection = connection
        case PairParted():
            state.connection = ""
        case _:
            raise NotImplementedError(event.name)
