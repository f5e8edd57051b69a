"""Instructions: a delegate gives one, the principal's agent answers it."""

from domain import connection, delegation, instruction
from handlers.accounts import identity_of
from handlers.registry import Desk, handles
from privity.crypto.instructions import verify_instruction
from privity.encoding import digest, unb64
from privity.errors import Malformed
from privity.messages.base import Event
from privity.messages.instructions import AnswerInstruction, GiveInstruction

SAID = ("principal", "delegation", "n", "generation", "expires", "content")


@handles(GiveInstruction)
def give(command: GiveInstruction, desk: Desk) -> list[Event]:
    """The record must be signed by who asks, and say just what the command says; the principal must be there still."""
    identity_of(command.principal, desk.load)
    signed = unb64(command.record)
    said = verify_instruction(signed, unb64(command.signature), identity_of(desk.by.account, desk.load).sign)
    desk.home.check_checkpoint(said.checkpoint)
    if said.by != desk.by.account or any(getattr(said, name) != getattr(command, name) for name in SAID):
        raise Malformed("the record says something else than the command")
    vault = desk.load(delegation.State, command.principal)
    over = vault.connection_of(desk.by.account)
    return instruction.decide_give(
        command,
        desk.load(instruction.State, command.principal),
        desk.by,
        vault=vault,
        over=desk.load(connection.State, over) if over else connection.State(),
        digest=digest(signed),
    )


@handles(AnswerInstruction)
def answer(command: AnswerInstruction, desk: Desk) -> list[Event]:
    """The principal says what became of it."""
    return instruction.decide_answer(command, desk.load(instruction.State, desk.by.account), desk.by)
