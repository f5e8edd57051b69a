"""Audits of keys: does somebody hold the public part that is known, or the private part behind it?

Whoever asks signs the question, whoever answers the answer. For a public part that names the digest of what they hold.
For a private part the question has a challenge of 32 bytes, sealed by HPKE to the audited key, and the answer is
HMAC-SHA256 under the challenge over all that the audit is bound to, sealed to the asker: so nothing that is sealed
for another use opens here, and nothing that is answered serves another use.
"""

import hmac
from dataclasses import dataclass
from typing import Final, Literal

from privity.crypto import kem, labels
from privity.crypto.kdf import hkdf
from privity.crypto.kem import Suite
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b32, digest, lp, sha256
from privity.errors import DoesNotOpen, WrongAnswer

CHALLENGE_BYTES: Final = 32
ID_BYTES: Final = 16
KEY_SUITE: Final = Suite.X_WING
"""What is sealed to a sharing key is sealed by this suite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlace:
    """What an audit is bound to: who asks whom over which connection, about which key, by which fresh nonce.

    `key` is empty where it is about the identity's public part; `kind` is `public` or `private`.
    """

    audit: str
    asker: str
    of: str
    connection: str
    key: str
    kind: Literal["public", "private"]
    generation: int
    nonce: str

    @property
    def context(self) -> tuple[bytes, ...]:
        """The parts in order, the generation as decimal text."""
        parts = (self.audit, self.asker, self.of, self.connection, self.key, self.kind, str(self.generation))
        return tuple(part.encode() for part in (*parts, self.nonce))


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an answer says: `held` is the digest of a public part, `answer` that of the sealed MAC; else none."""

    verdict: str
    held: str | None = None
    answer: str | None = None

    @property
    def parts(self) -> tuple[bytes, ...]:
        """What is signed of it behind the place."""
        return self.verdict.encode(), (self.held or "").encode(), (self.answer or "").encode()


def grant_id(key: str, to: str, connection: str) -> str:
    """The id, 26 letters of base32, of the grant of a key to somebody over a connection: always the same one."""
    return b32(sha256(lp(labels.GRANT_ID, *(part.encode() for part in (key, to, connection))))[:ID_BYTES])


def identity_held(account: str, sign: bytes, seal: bytes) -> str:
    """The digest of the public parts of an account's newest identity."""
    return digest(lp(labels.KEY_AUDIT_HELD, account.encode(), sign, seal))


def challenge_of(kek: bytes, place: AuditPlace) -> bytes:
    """The challenge of an audit, 32 bytes: from the asker's KEK, so that each of their devices knows it again."""
    return hkdf(kek, CHALLENGE_BYTES, lp(labels.KEY_AUDIT_SECRET, *place.context))


def seal_challenge(place: AuditPlace, challenge: bytes, public: bytes) -> bytes:
    """The challenge, sealed to the key that is audited.

    Raises:
        Malformed: not a public key.
    """
    return kem.seal_to(KEY_SUITE, public, challenge, labels.KEY_AUDIT_CHALLENGE, *place.context)


def open_challenge(place: AuditPlace, sealed: bytes, private: bytes) -> bytes:
    """The challenge, by the private part of the key.

    Raises:
        DoesNotOpen: it is for another key or place, or for another use; or what was sealed is no challenge.
    """
    challenge = kem.open_with(KEY_SUITE, private, sealed, labels.KEY_AUDIT_CHALLENGE, *place.context)
    if len(challenge) != CHALLENGE_BYTES:
        raise DoesNotOpen
    return challenge


def sign_audit(identity: SigningKey, place: AuditPlace, challenge: str | None) -> bytes:
    """The asker's signature; `challenge` is the digest of the sealed one."""
    return identity.sign(labels.KEY_AUDIT, *place.context, (challenge or "").encode())


def verify_audit(place: AuditPlace, challenge: str | None, signature: bytes, sign_public: bytes) -> None:
    """Returns if the asker asked just this.

    Raises:
        ForgedRecord: the signature is not theirs.
    """
    verify(sign_public, signature, labels.KEY_AUDIT, *place.context, (challenge or "").encode())


def seal_answer(place: AuditPlace, challenge: bytes, suite: Suite, public: bytes) -> bytes:
    """The proof that whoever answers could open the challenge, sealed to the asker.

    Args:
        public: the pinned, certified public key of the asker's side of the connection.

    Raises:
        Malformed: not a public key of this suite.
    """
    return kem.seal_to(suite, public, _mac(place, challenge), labels.KEY_AUDIT_TO_ASKER, *place.context)


def check_answer(place: AuditPlace, challenge: bytes, suite: Suite, sealed: bytes, private: bytes) -> None:
    """Returns if the sealed answer was made with this challenge, for this audit.

    Args:
        private: that of the asker's side of the connection.

    Raises:
        WrongAnswer: it was not.
        DoesNotOpen: it is not for this asker and audit.
    """
    answer = kem.open_with(suite, private, sealed, labels.KEY_AUDIT_TO_ASKER, *place.context)
    if not hmac.compare_digest(answer, _mac(place, challenge)):
        raise WrongAnswer


def sign_answer(identity: SigningKey, place: AuditPlace, said: Said) -> bytes:
    """The signature of who is asked over what they say."""
    return identity.sign(labels.KEY_AUDIT_ANSWERED, *place.context, *said.parts)


def verify_answer(place: AuditPlace, said: Said, signature: bytes, sign_public: bytes) -> None:
    """Returns if the one who was asked says just this.

    Raises:
        ForgedRecord: the signature is not theirs.
    """
    verify(sign_public, signature, labels.KEY_AUDIT_ANSWERED, *place.context, *said.parts)


def _mac(place: AuditPlace, challenge: bytes) -> bytes:
    return hmac.digest(challenge, lp(labels.KEY_AUDIT_ANSWER, *place.context), "sha256")
