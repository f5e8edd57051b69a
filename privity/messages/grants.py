"""Grants: the five steps by which a sharing key reaches somebody; and audits: does somebody hold what they should?"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, ConnectionId, Digest, Id, Instant, Sealed, Signature, Version
from privity.messages.sharing_keys import SharingKeyId

Step = Literal["reach", "audit", "suppliers", "private", "files"]
"""Is the receiver there; do they hold the identity key that is known; do the suppliers know who may read; has the
private part gone out, sealed; have they heard of the files."""
Outcome = Literal["done", "waiting", "failed"]
Reason = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9 _.,:'-]{0,199}$")]
"""A code of an error, or a few plain words."""
AuditKind = Literal["public", "private"]
Verdict = Literal["holds", "not-registered"]


@dataclass(frozen=True, slots=True)
class BeginGrant(Command):
    """Begin to grant a sharing key of one's own.

    The id is the hash of key, receiver and connection: so there is one at a time, which two devices carry on, and
    which begins anew after the receiver was dropped. `n` is the key's newest record that the person saw: whoever is
    dropped by a later one gets nothing by this grant.
    """

    subject: ClassVar[str] = "grants.begin"
    grant: Id
    key: SharingKeyId
    to: AccountId
    connection: ConnectionId
    n: Version


@dataclass(frozen=True, slots=True)
class TakeGrantStep(Command):
    """Say how a step went; a step that waits or failed can be taken again."""

    subject: ClassVar[str] = "grants.step"
    grant: Id
    step: Step
    outcome: Outcome
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class AskAudit(Command):
    """Ask a connected person for a proof: of a key's public part, or of its private part.

    Without `key` it is about the public part of their identity, and the generation is 1. `nonce` is fresh. An audit of
    a private part has a `challenge`, sealed to that key. The signature is the asker's identity's, over all of it.
    """

    subject: ClassVar[str] = "audits.ask"
    audit: Id
    key: SharingKeyId | None
    of: AccountId
    connection: ConnectionId
    kind: AuditKind
    generation: Version
    nonce: Digest
    challenge: Sealed | None
    signature: Signature


@dataclass(frozen=True, slots=True)
class AnswerAudit(Command):
    """Answer an audit, signed by one's identity.

    `held` is, for a public part, the digest of the one that one holds; `answer`, for a private one, a MAC under the
    challenge, sealed to the asker. All is bound to who asks, the key and the nonce.
    """

    subject: ClassVar[str] = "audits.answer"
    audit: Id
    asker: AccountId
    verdict: Verdict
    held: Digest | None
    answer: Sealed | None
    signature: Signature


@dataclass(frozen=True, slots=True)
class GrantBegun(Event):
    """A key is being granted, anew if it was granted before; `n` is the record that was its newest then."""

    context: ClassVar[str] = "grants"
    name: ClassVar[str] = "grant-begun"
    kind: ClassVar[str] = "grant"
    id_field: ClassVar[str] = "grant"
    grant: Id
    by: AccountId
    key: SharingKeyId
    to: AccountId
    connection: ConnectionId
    n: Version


@dataclass(frozen=True, slots=True)
class GrantStepTaken(Event):
    """A step of a grant is done, waits, or failed for a reason."""

    context: ClassVar[str] = "grants"
    name: ClassVar[str] = "grant-step-taken"
    kind: ClassVar[str] = "grant"
    id_field: ClassVar[str] = "grant"
    grant: Id
    by: AccountId
    key: SharingKeyId
    to: AccountId
    step: Step
    outcome: Outcome
    reason: str | None


@dataclass(frozen=True, slots=True)
class AuditAsked(Event):
    """Somebody wants a proof that another holds a key.

    `at` is when the home heard of it: by it so many are asked an hour. `forgotten` are older audits of the same asker
    that are kept no longer.
    """

    context: ClassVar[str] = "grants"
    name: ClassVar[str] = "audit-asked"
    kind: ClassVar[str] = "audits"
    id_field: ClassVar[str] = "by"
    audit: Id
    by: AccountId
    key: SharingKeyId | None
    of: AccountId
    connection: ConnectionId
    audited: AuditKind
    generation: Version
    nonce: Digest
    challenge: Sealed | None
    signature: Signature
    at: Instant
    forgotten: tuple[Id, ...]


@dataclass(frozen=True, slots=True)
class AuditAnswered(Event):
    """An audit has its answer; whether it holds, the asker checks."""

    context: ClassVar[str] = "grants"
    name: ClassVar[str] = "audit-answered"
    kind: ClassVar[str] = "audits"
    id_field: ClassVar[str] = "asker"
    audit: Id
    by: AccountId
    asker: AccountId
    key: SharingKeyId | None
    verdict: Verdict
    held: Digest | None
    answer: Sealed | None
    signature: Signature


COMMANDS = (BeginGrant, TakeGrantStep, AskAudit, AnswerAudit)
EVENTS = (GrantBegun, GrantStepTaken, AuditAsked, AuditAnswered)
