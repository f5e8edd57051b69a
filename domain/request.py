"""A request: what one person asks another for by one name, one round after the other; and the rules that approve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain import connection as connection_
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import NotConnected, NotFound, RequestNotOpen, StaleVersion, TooManyReaders
from privity.messages.base import Event
from privity.messages.pieces import (
    ApproveRequest,
    DeclineRequest,
    PieceGranted,
    PieceRequested,
    RequestApproved,
    RequestClosed,
    RequestDeclined,
    RequestPiece,
    RulesSet,
    SetRules,
    WithdrawRequest,
)

if TYPE_CHECKING:
    from domain import piece as piece_


@dataclass(slots=True)
class State:
    """What the next decision about a request needs.

    `challenge` and `kept` are those of the open round. `answered` is what the asker kept of the round that was approved
    last, by which they check what it brought: it stays until that has ended, whatever becomes of later rounds.
    """

    request: str = ""
    owner: str = ""
    asker: str = ""
    name: str = ""
    connection: str = ""
    n: int = 0
    open: bool = False
    challenge: str = ""
    kept: str = ""
    answered: str = ""

    @property
    def asked(self) -> tuple[str, ...]:
        """The objects of the open round."""
        return tuple(each for each in (self.challenge, self.kept) if each)

    @property
    def sealed(self) -> tuple[str, ...]:
        """The objects that it holds."""
        return (*self.asked, self.answered) if self.answered else self.asked


@dataclass(slots=True)
class RulesState:
    """The number of an account's rules, and where they are."""

    version: int = 0
    rules: str = ""


def decide_create(
    command: RequestPiece, state: State, by: Actor, *, connection: connection_.State, piece: piece_.State
) -> list[Event]:
    """What follows from asking the other side of a connection for a piece; it takes the place of the last round."""
    if not connection.joins(by.account) or connection.peer_of(by.account) != command.owner:
        raise NotConnected
    if not piece.kept_by(command.owner):
        raise NotFound("there is no such piece")
    if command.n != state.n + 1:
        raise StaleVersion(f"the request is at number {state.n}")
    check_new((command.challenge, command.kept), state.sealed)
    requested = PieceRequested(
        command.request,
        command.owner,
        by.account,
        command.piece_name,
        command.connection,
        command.n,
        command.challenge,
        command.kept,
        command.signature,
    )
    return [requested, *erase(command.request, state.asked, (command.owner, by.account))]


def decide_approve(
    command: ApproveRequest,
    state: State,
    by: Actor,
    *,
    connection: connection_.State,
    piece: piece_.State,
    id: str,
    most: int,
) -> list[Event]:
    """What follows from granting what is asked for; `id` is the piece's, `most` how many readers it may have."""
    _check_open(command, state, by)
    if not connection.joins(by.account):
        raise NotConnected
    if not piece.kept_by(by.account):
        raise NotFound("there is no such piece")
    if (command.version, command.generation, command.content) != (piece.version, piece.generation, piece.content):
        raise StaleVersion(f"the piece is at version {piece.version}")
    if piece.due:
        raise StaleVersion(f"the piece needs a key behind generation {piece.generation}")
    if state.asker not in piece.readers and len(piece.readers) >= most:
        raise TooManyReaders
    check_new([command.wrap], piece.sealed())
    both = (state.owner, state.asker)
    approved = RequestApproved(
        command.request,
        state.owner,
        state.asker,
        state.name,
        command.n,
        command.version,
        command.generation,
        command.content,
        command.wrap,
        command.answer,
    )
    granted = PieceGranted(
        id,
        state.owner,
        state.asker,
        state.connection,
        connection.keys[state.asker],
        command.generation,
        command.wrap,
        command.grant,
    )
    before = erase(id, piece.of_readers([state.asker]), both, keeping=piece.sealed(without=[state.asker]))
    gone = erase(command.request, [state.challenge, state.answered], both, keeping=[state.kept])
    return [approved, granted, *gone, *before]


def decide_decline(command: DeclineRequest, state: State, by: Actor) -> list[Event]:
    """What follows from granting nothing more; what was granted before stays granted."""
    _check_open(command, state, by)
    declined = RequestDeclined(command.request, state.owner, state.asker, state.name)
    return [declined, *erase(command.request, state.asked, (state.owner, state.asker))]


def decide_withdraw(command: WithdrawRequest, state: State, by: Actor) -> list[Event]:
    """What follows from asking no more; what was granted stays granted."""
    if state.asker != by.account:
        raise NotFound("there is no such request")
    if not state.open:
        return []
    closed = RequestClosed(state.request, state.owner, state.asker, state.name, by.account, whole=False)
    return [closed, *erase(state.request, state.asked, (state.owner, state.asker))]


def decide_rules(command: SetRules, state: RulesState, by: Actor) -> list[Event]:
    """What follows from keeping other rules."""
    if command.version != state.version + 1:
        raise StaleVersion(f"the rules are at version {state.version}")
    if command.rules is not None:
        check_new([command.rules], [state.rules])
    return [RulesSet(by.account, command.version, command.rules), *erase(by.account, [state.rules], [by.account])]


def close(state: State, by: str) -> list[Event]:
    """The end of a request that holds something still, and of what it brought; none otherwise."""
    if not state.sealed:
        return []
    closed = RequestClosed(state.request, state.owner, state.asker, state.name, by, whole=True)
    return [closed, *erase(state.request, state.sealed, (state.owner, state.asker))]


def _check_open(command: ApproveRequest | DeclineRequest, state: State, by: Actor) -> None:
    if state.owner != by.account:
        raise NotFound("there is no such request")
    if not state.open or command.n != state.n:
        raise RequestNotOpen


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case PieceRequested(request=request, owner=owner, asker=asker, piece_name=name):
            state.request, state.owner, state.asker, state.name = request, owner, asker, name
            state.connection, state.n, state.open = event.connection, event.n, True
            state.challenge, state.kept = event.challenge, event.kept
        case RequestApproved():
            state.open, state.challenge, state.answered, state.kept = False, "", state.kept, ""
        case RequestDeclined():
            state.open, state.challenge, state.kept = False, "", ""
        case RequestClosed(whole=whole):
            state.open, state.challenge, state.kept = False, "", ""
            state.answered = "" if whole else state.answered
        case _:
            raise NotImplementedError(event.name)


def evolve_rules(state: RulesState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case RulesSet(version=version, rules=rules):
            state.version, state.rules = version, rules or ""
        case _:
            raise NotImplementedError(event.name)
