"""Instructions: what a delegate wants done with the principal's shares, which the principal's agent alone can do."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, Bytes, Digest, Id, Instant, Sealed, Signature, Version

MAX_OPEN = 16
"""Instructions of one delegation that may wait at once."""
MAX_DAYS = 7
"""Days at most for which one stands."""

Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]{1,63}$")]
"""An error's name."""
Lapsed = Annotated[tuple[Version, ...], Field(max_length=MAX_OPEN)]


@dataclass(frozen=True, slots=True)
class GiveInstruction(Command):
    """Have the principal's agent do something with the principal's shares, as a delegate who may write.

    `content` says what, sealed under the vault key of `generation`; the record, signed by the delegate's identity,
    repeats the fields. `n` is the next number of the delegation. It stands until `expires`, for 7 days at most.
    """

    subject: ClassVar[str] = "instructions.give"
    principal: AccountId
    delegation: Id
    n: Version
    generation: Version
    expires: Instant
    record: Bytes
    signature: Signature
    content: Sealed


@dataclass(frozen=True, slots=True)
class AnswerInstruction(Command):
    """Say, as the principal, what became of one: it is done, or refused, with the error's `code`.

    `share` is the one that it is about; none where that could not be read.
    """

    subject: ClassVar[str] = "instructions.answer"
    delegation: Id
    n: Version
    code: Code | None
    share: Id | None


@dataclass(frozen=True, slots=True)
class InstructionGiven(Event):
    """A delegate wants something done; `digest` is the record's. `lapsed` are those before that are past their time."""

    context: ClassVar[str] = "instructions"
    name: ClassVar[str] = "instruction-given"
    kind: ClassVar[str] = "instructions"
    id_field: ClassVar[str] = "principal"
    principal: AccountId
    by: AccountId
    delegation: Id
    n: Version
    generation: Version
    expires: Instant
    record: Bytes
    signature: Bytes
    content: Sealed
    digest: Digest
    lapsed: Lapsed


@dataclass(frozen=True, slots=True)
class InstructionAnswered(Event):
    """The principal's agent did what a delegate wanted, or did not; `digest` is the record's that it answers."""

    context: ClassVar[str] = "instructions"
    name: ClassVar[str] = "instruction-answered"
    kind: ClassVar[str] = "instructions"
    id_field: ClassVar[str] = "principal"
    principal: AccountId
    delegate: AccountId
    delegation: Id
    n: Version
    digest: Digest
    code: Code | None
    share: Id | None


COMMANDS = (GiveInstruction, AnswerInstruction)
EVENTS = (InstructionGiven, InstructionAnswered)
