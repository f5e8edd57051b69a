"""Audits of keys: what one person asked others to prove, so many at a time and an hour, until it is answered."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from domain import connection as connection_
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import AlreadyExists, AuditClosed, Malformed, NotConnected, NotFound, TooManyAudits
from privity.messages.base import Event
from privity.messages.grants import AnswerAudit, AskAudit, AuditAnswered, AuditAsked

AN_HOUR = timedelta(hours=1)
MAX_AN_HOUR = 60
"""Audits that one person asks for in an hour."""
OPEN_FOR = timedelta(days=7)
"""How long an audit can be answered."""
MAX_OPEN = 10
"""Audits of one person that wait for an answer: of more, the oldest is forgotten, as nobody must answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An audit that is kept; `sealed` is its challenge while it waits, and its answer afterwards."""

    of: str
    connection: str
    key: str | None
    private: bool
    generation: int
    nonce: str
    at: datetime
    open: bool = True
    sealed: str | None = None


@dataclass(slots=True)
class State:
    """What one person asked, by audit."""

    audits: dict[str, Asked] = field(default_factory=dict)
    recent: tuple[datetime, ...] = ()
    """When the newest were asked, `MAX_AN_HOUR` at most: also those that are forgotten."""

    @property
    def sealed(self) -> tuple[str, ...]:
        """The objects that are kept here."""
        return tuple(each.sealed for each in self.audits.values() if each.sealed is not None)


def decide_ask(
    command: AskAudit, state: State, by: Actor, *, connection: connection_.State, newest: int
) -> list[Event]:
    """What follows from asking the other side of a connection for a proof.

    `newest` is the key's newest generation; 0 where there is no such key, or the asker neither made nor holds it.
    """
    if command.audit in state.audits:
        raise AlreadyExists("there is an audit with this id already")
    if not connection.joins(by.account) or connection.peer_of(by.account) != command.of:
        raise NotConnected
    if (command.kind == "private") is not (command.challenge is not None):
        raise Malformed("an audit of a private part has a challenge, and no other has one")
    if command.key is None and (command.kind != "public" or command.generation != 1):
        raise Malformed("of an identity the public part is audited")
    if command.key is not None and not 1 <= command.generation <= newest:
        raise NotFound("there is no such key, or not of this generation")
    if sum(by.at - at < AN_HOUR for at in state.recent) >= MAX_AN_HOUR:
        raise TooManyAudits(f"{MAX_AN_HOUR} audits are asked an hour")
    forgotten = _forgotten(command, state, by.at)
    check_new([command.challenge] if command.challenge else [], state.sealed)
    asked = AuditAsked(
        audit=command.audit,
        by=by.account,
        key=command.key,
        of=command.of,
        connection=command.connection,
        audited=command.kind,
        generation=command.generation,
        nonce=command.nonce,
        challenge=command.challenge,
        signature=command.signature,
        at=by.at,
        forgotten=forgotten,
    )
    gone = [(id, state.audits[id]) for id in forgotten]
    return [asked, *(each for id, old in gone for each in erase(id, [old.sealed or ""], (by.account, old.of)))]


def decide_answer(
    command: AnswerAudit, state: State, by: Actor, *, connection: connection_.State, closed: bool = False
) -> list[Event]:
    """What follows from an answer; the challenge goes. `closed`: the asker has no account any more."""
    asked = asked_of(state, command, by)
    if not connection.joins(by.account):
        raise NotConnected
    if closed or not asked.open or by.at - asked.at >= OPEN_FOR:
        raise AuditClosed
    holds = command.verdict == "holds"
    if (command.held is not None, command.answer is not None) != (holds and not asked.private, holds and asked.private):
        raise Malformed("the answer says too much, or too little")
    check_new([command.answer] if command.answer else [], state.sealed)
    answered = AuditAnswered(
        audit=command.audit,
        by=by.account,
        asker=command.asker,
        key=asked.key,
        verdict=command.verdict,
        held=command.held,
        answer=command.answer,
        signature=command.signature,
    )
    return [answered, *erase(command.audit, [asked.sealed or ""], (command.asker, by.account))]


def asked_of(state: State, command: AnswerAudit, by: Actor) -> Asked:
    """The audit that somebody answers.

    Raises:
        NotFound: nobody asked them.
    """
    asked = state.audits.get(command.audit)
    if asked is None or asked.of != by.account:
        raise NotFound("there is no such audit")
    return asked


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case AuditAsked():
            for id in event.forgotten:
                state.audits.pop(id, None)
            state.recent = (*state.recent, event.at)[-MAX_AN_HOUR:]
            state.audits[event.audit] = Asked(
                event.of,
                event.connection,
                event.key,
                event.audited == "private",
                event.generation,
                event.nonce,
                event.at,
                sealed=event.challenge,
            )
        case AuditAnswered(audit=audit, answer=answer):
            state.audits[audit] = replace(state.audits[audit], open=False, sealed=answer)
        case _:
            raise NotImplementedError(event.name)


def _forgotten(command: AskAudit, state: State, now: datetime) -> tuple[str, ...]:
    """What makes room: what is over, what the new one asks again, and the oldest that waits where too many do."""
    wanted = (command.of, command.key, command.kind == "private")
    over = {
        id
        for id, asked in state.audits.items()
        if _is_over(asked, now) or (asked.open and (asked.of, asked.key, asked.private) == wanted)
    }
    waiting = [id for id, asked in state.audits.items() if asked.open and id not in over]
    over.update(waiting[: max(0, len(waiting) + 1 - MAX_OPEN)])
    return tuple(id for id in state.audits if id in over)


def _is_over(asked: Asked, now: datetime) -> bool:
    return now - asked.at >= (OPEN_FOR if asked.open else AN_HOUR)
