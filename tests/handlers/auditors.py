"""Audits of keys in signed commands: who asks for a proof, and who gives one."""

from dataclasses import dataclass
from functools import cached_property

from handlers.opening import Delivery
from privity.crypto.audits import (
    AuditPlace,
    Said,
    challenge_of,
    open_challenge,
    seal_answer,
    seal_challenge,
    sign_answer,
    sign_audit,
)
from privity.crypto.kem import KeyPair
from privity.encoding import b64, digest, new_id
from privity.messages.grants import AnswerAudit, AskAudit, AuditKind
from tests.examples import key32
from tests.handlers.people import Citizen


@dataclass
class Audit:
    """Whether somebody has their part of a key: for `private`, the pair of its newest generation proves it.

    Without a pair it is about the public part of their identity.
    """

    asker: Citizen
    of: Citizen
    over: str
    kind: AuditKind
    key: str = ""
    generation: int = 1
    pair: KeyPair | None = None

    @cached_property
    def place(self) -> AuditPlace:
        """What question and answer are bound to."""
        id = new_id()
        return AuditPlace(
            audit=id,
            asker=self.asker.account,
            of=self.of.account,
            connection=self.over,
            key=self.key,
            kind=self.kind,
            generation=self.generation,
            nonce=key32(f"nonce of {id}"),
        )

    @cached_property
    def _challenge(self) -> bytes | None:
        if self.kind == "public" or self.pair is None:
            return None
        return seal_challenge(self.place, challenge_of(self.asker.kek, self.place), self.pair.public)

    def asked(self) -> Delivery:
        """The question, with what only the holder of the private part can open."""
        place, sealed = self.place, self._challenge
        named = None if sealed is None else digest(sealed)
        signature = b64(sign_audit(self.asker.keys.sign, place, named))
        command = AskAudit(
            place.audit,
            place.key or None,
            place.of,
            place.connection,
            place.kind,
            place.generation,
            place.nonce,
            named,
            signature,
        )
        return self.asker.says(command, *([] if sealed is None else [sealed]))

    def answered(self, *, holds: bool = True) -> Delivery:
        """The answer: the proof, what they hold of a public part, or that they hold nothing."""
        proof = self._proof() if holds else None
        said = Said(
            verdict="holds" if holds else "not-registered",
            held=key32(f"part of {self.key}") if holds and proof is None else None,
            answer=None if proof is None else digest(proof),
        )
        signature = b64(sign_answer(self.of.keys.sign, self.place, said))
        place = (self.place.audit, self.asker.account)
        command = AnswerAudit(*place, said.verdict, said.held, said.answer, signature)  # type: ignore[arg-type]
        return self.of.says(command, *([] if proof is None else [proof]))

    def _proof(self) -> bytes | None:
        if self._challenge is None or self.pair is None:
            return None
        opened = open_challenge(self.place, self._challenge, self.pair.private)
        return seal_answer(self.place, opened, self.asker.pair.suite, self.asker.pair.public)
