"""A connection: its two sides, until one of them ends it."""

from dataclasses import dataclass, field

from domain.facts import Actor
from privity.errors import NotConnected, NotFound
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
    """What the next decision about a connection needs."""

    inviter: str = ""
    acceptor: str = ""
    keys: dict[str, str] = field(default_factory=dict)
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
            return [ConnectionConfirmed(connection, state.inviter, state.acceptor, mac, note)]
        case NoteConnection(connection=connection, note=note):
            return [ConnectionNoted(connection, by.account, note)]
        case RemoveConnection(connection=connection):
            removed = ConnectionRemoved(connection, by.account, state.inviter, state.acceptor)
            return [removed, PairParted(pair, connection)]
    raise NotImplementedError(type(command).__name__)


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case ConnectionEstablished(inviter=inviter, acceptor=acceptor, acceptance=acceptance):
            state.inviter, state.acceptor = inviter.account, acceptor.account
            state.keys = {inviter.account: inviter.key, acceptor.account: acceptor.key}
            state.acceptance = acceptance
        case ConnectionConfirmed():
            state.confirmed = True
        case ConnectionNoted():
            return
        case ConnectionRemoved():
            state.removed = True
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
