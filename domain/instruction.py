"""Instructions: what the delegates of a person want done with that person's shares, and what waits to be answered."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from domain import connection as connections
from domain import delegation as delegations
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import (
    InstructionNotOpen,
    Malformed,
    PastDate,
    StaleSequence,
    StaleVersion,
    TooManyInstructions,
)
from privity.messages.base import Event
from privity.messages.instructions import (
    MAX_DAYS,
    MAX_OPEN,
    AnswerInstruction,
    GiveInstruction,
    InstructionAnswered,
    InstructionGiven,
)

LONGEST = timedelta(days=MAX_DAYS)


@dataclass(frozen=True, slots=True)
class Open:
    """One that waits: who gave it, what is sealed in it, until when it stands, and its record's digest."""

    by: str
    content: str
    expires: datetime
    digest: str


@dataclass(slots=True)
class State:
    """What the next decision needs, by delegation: the newest number, and what waits, by number."""

    n: dict[str, int] = field(default_factory=dict)
    open: dict[str, dict[int, Open]] = field(default_factory=dict)

    @property
    def sealed(self) -> Iterator[str]:
        """The sealed objects that are kept here."""
        return (each.content for waiting in self.open.values() for each in waiting.values())


_GIVEN = tuple(each.name for each in fields(GiveInstruction))


def decide_give(
    command: GiveInstruction,
    state: State,
    by: Actor,
    *,
    vault: delegations.State,
    over: connections.State,
    digest: str,
) -> list[Event]:
    """What follows from a delegate's instruction; those of theirs that are past their time go.

    Args:
        over: the connection over which the delegate was made one.
        digest: of the signed record.
    """
    delegations.check_named(vault, by, command.principal, command.delegation)
    delegations.check_role(vault, by, command.principal, delegations.WRITERS, over)
    if command.n != state.n.get(command.delegation, 0) + 1:
        raise StaleSequence
    if command.generation != vault.generation:
        raise StaleVersion(f"the vault key is of generation {vault.generation}")
    if command.expires <= by.at:
        raise PastDate
    if command.expires > by.at + LONGEST:
        raise Malformed(f"an instruction stands for {MAX_DAYS} days at most")
    waiting = state.open.get(command.delegation, {})
    lapsed = {n: each for n, each in waiting.items() if each.expires <= by.at}
    if len(waiting) - len(lapsed) >= MAX_OPEN:
        raise TooManyInstructions
    check_new([command.content], state.sealed)
    said = {name: getattr(command, name) for name in _GIVEN}
    given = InstructionGiven(**said, by=by.account, digest=digest, lapsed=tuple(lapsed))
    gone = [each.content for each in lapsed.values()]
    return [given, *erase(command.principal, gone, (command.principal, by.account))]


def decide_answer(command: AnswerInstruction, state: State, by: Actor) -> list[Event]:
    """What follows from the principal's answer: what was sealed goes.

    Raises:
        InstructionNotOpen: there is no such one, or no more.
    """
    waits = state.open.get(command.delegation, {}).get(command.n)
    if waits is None:
        raise InstructionNotOpen
    answered = InstructionAnswered(
        principal=by.account,
        delegate=waits.by,
        delegation=command.delegation,
        n=command.n,
        digest=waits.digest,
        code=command.code,
        share=command.share,
    )
    return [answered, *erase(by.account, [waits.content], (by.account, waits.by))]


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case InstructionGiven(delegation=delegation, n=n, lapsed=lapsed) as given:
            state.n[delegation] = n
            waiting = state.open.setdefault(delegation, {})
            for each in lapsed:
                del waiting[each]
            waiting[n] = Open(given.by, given.content, given.expires, given.digest)
        case InstructionAnswered(delegation=delegation, n=n):
            del state.open[delegation][n]
        case _:
            raise NotImplementedError(event.name)
