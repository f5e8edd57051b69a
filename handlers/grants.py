"""Grants of sharing keys, step by step; and audits of keys: asked and answered, both signed."""

from domain import account, connection, grant, key_audit, sharing_key
from handlers.accounts import identity_of
from handlers.registry import Desk, handles
from privity.crypto.audits import AuditPlace, Said, grant_id, verify_answer, verify_audit
from privity.encoding import unb64
from privity.errors import Malformed
from privity.messages.base import Event
from privity.messages.grants import AnswerAudit, AskAudit, BeginGrant, TakeGrantStep


@handles(BeginGrant)
def begin_grant(command: BeginGrant, desk: Desk) -> list[Event]:
    """There is one grant of a key to a person over a connection: its id is made of the three."""
    if command.grant != grant_id(command.key, command.to, command.connection):
        raise Malformed("the grant's id is not that of key, receiver and connection")
    key = desk.load(sharing_key.State, command.key)
    return grant.decide_begin(
        command,
        desk.load(grant.State, command.grant),
        desk.by,
        connection=desk.load(connection.State, command.connection),
        creator=key.creator if not key.ended else "",
        n=key.n,
        holds=command.to in key.holders,
    )


@handles(TakeGrantStep)
def take_step(command: TakeGrantStep, desk: Desk) -> list[Event]:
    """What the creator says of it; whether somebody holds the key, the key knows."""
    state = desk.load(grant.State, command.grant)
    holders = desk.load(sharing_key.State, state.key).holders if state.key else ()
    return grant.decide_step(command, state, desk.by, holds=state.to in holders)


@handles(AskAudit)
def ask_audit(command: AskAudit, desk: Desk) -> list[Event]:
    """The asker signs the question; of a key only who made or holds it asks."""
    place = AuditPlace(
        audit=command.audit,
        asker=desk.by.account,
        of=command.of,
        connection=command.connection,
        key=command.key or "",
        kind=command.kind,
        generation=command.generation,
        nonce=command.nonce,
    )
    public = identity_of(desk.by.account, desk.load).sign
    verify_audit(place, command.challenge, unb64(command.signature), public)
    return key_audit.decide_ask(
        command,
        desk.load(key_audit.State, desk.by.account),
        desk.by,
        connection=desk.load(connection.State, command.connection),
        newest=_newest(command.key, desk),
    )


@handles(AnswerAudit)
def answer_audit(command: AnswerAudit, desk: Desk) -> list[Event]:
    """The one who was asked signs the answer; whether it is right, the asker alone can tell."""
    state = desk.load(key_audit.State, command.asker)
    asked = key_audit.asked_of(state, command, desk.by)
    place = AuditPlace(
        audit=command.audit,
        asker=command.asker,
        of=desk.by.account,
        connection=asked.connection,
        key=asked.key or "",
        kind="private" if asked.private else "public",
        generation=asked.generation,
        nonce=asked.nonce,
    )
    said = Said(verdict=command.verdict, held=command.held, answer=command.answer)
    verify_answer(place, said, unb64(command.signature), identity_of(desk.by.account, desk.load).sign)
    joined = desk.load(connection.State, asked.connection)
    closed = desk.load(account.State, command.asker).closed
    return key_audit.decide_answer(command, state, desk.by, connection=joined, closed=closed)


def _newest(key: str | None, desk: Desk) -> int:
    """The newest generation of a key that one made or holds; 0 otherwise."""
    if key is None:
        return 0
    state = desk.load(sharing_key.State, key)
    return state.generation if state.holds(desk.by.account) and not state.ended else 0
