"""A grant: one key for one person over one connection, brought step by step, so that what waits can be carried on."""

from dataclasses import dataclass, field

from domain import connection as connection_
from domain.facts import Actor
from privity.errors import AlreadyExists, NotConnected, NotFound, NotGranted, StaleVersion
from privity.messages.base import Event
from privity.messages.grants import BeginGrant, GrantBegun, GrantStepTaken, Outcome, Step, TakeGrantStep

HELD = "you made this key: it needs no grant"


@dataclass(slots=True)
class State:
    """What the next decision about a grant needs: how each step went, with the reason."""

    by: str = ""
    key: str = ""
    to: str = ""
    connection: str = ""
    n: int = 0
    steps: dict[Step, tuple[Outcome, str | None]] = field(default_factory=dict)


def decide_begin(
    command: BeginGrant, state: State, by: Actor, *, connection: connection_.State, creator: str, n: int, holds: bool
) -> list[Event]:
    """What follows from beginning to grant a key; nothing, if the receiver holds it, or no record came since.

    Args:
        creator: who made the key; empty where there is none, or it has ended.
        n: its newest record.
        holds: whether the receiver holds it now.
    """
    if creator != by.account:
        raise NotFound("there is no such key of yours")
    if command.to == by.account:
        raise AlreadyExists(HELD)
    if not connection.joins(by.account) or connection.peer_of(by.account) != command.to:
        raise NotConnected
    if command.n != n:
        raise StaleVersion(f"the key is at record {n}")
    if state.by and (holds or state.n == n):
        return []
    return [GrantBegun(command.grant, by.account, command.key, command.to, command.connection, n)]


def decide_step(command: TakeGrantStep, state: State, by: Actor, *, holds: bool) -> list[Event]:
    """What follows from a step; nothing, if it is known, or done before.

    `holds` is whether the receiver holds the key now: none says so of the private part before.
    """
    if not state.by or state.by != by.account:
        raise NotFound("there is no such grant")
    if command.step == "private" and command.outcome == "done" and not holds:
        raise NotGranted
    before = state.steps.get(command.step)
    if before is not None and (before[0] == "done" or before == (command.outcome, command.reason)):
        return []
    return [GrantStepTaken(command.grant, state.by, state.key, state.to, command.step, command.outcome, command.reason)]


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case GrantBegun():
            state.by, state.key, state.to, state.connection = event.by, event.key, event.to, event.connection
            state.n = event.n
            state.steps = {}
        case GrantStepTaken(step=step, outcome=outcome, reason=reason):
            state.steps[step] = (outcome, reason)
        case _:
            raise NotImplementedError(event.name)
