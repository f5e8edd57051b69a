"""Enrolment: how a device gets its credential for the bus; plain requests and answers, nothing recorded."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter

from privity.messages.fields import STRICT, AccountId, Bytes, Id, Key32, Nonce, Signature, SignedRecord

ENROL_SUBJECT: Final = "privity.enrol"
ENROL_INBOX: Final = "_INBOX_ENROL"
"""Where answers to enrolments arrive."""
INBOX: Final = "_INBOX_"
MAX_REQUEST: Final = 60 * 1024
"""Bytes of a request."""

UserNkey = Annotated[str, StringConstraints(pattern=r"^U[A-Z2-7]{55}$")]
"""The public part of a user's nkey."""

MAX_CHAIN: Final = 4
"""Records of the chain with which an account begins."""


@dataclass(frozen=True, slots=True)
class EnrolDevice:
    """A device asks for a credential in the name of its account: the account's chain names it, and it signs.

    `chain` is that of an account which is only about to be registered. `answer` is the X25519 key to which the
    credential is sealed: whoever else is enrolling could hear the answer. The `nonce` is the one of a first answer.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    subject: ClassVar[str] = f"{ENROL_SUBJECT}.device"
    v: Literal[1]
    account: AccountId
    device: Id
    nkey: UserNkey
    answer: Key32
    nonce: Nonce | None = None
    signature: Signature | None = None
    chain: Annotated[tuple[SignedRecord, ...], Field(max_length=MAX_CHAIN)] = ()


@dataclass(frozen=True, slots=True)
class EnrolLogin:
    """Who has an account's passphrase and secret, or its recovery text, asks for a credential of a few minutes."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    subject: ClassVar[str] = f"{ENROL_SUBJECT}.login"
    v: Literal[1]
    account: AccountId
    purpose: Literal["login", "recover"]
    nkey: UserNkey
    answer: Key32
    nonce: Nonce | None = None
    proof: Signature | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What came of it: the user JWT, sealed; or why not. The nonce is for the next request of the same account."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    status: Literal["ok", "refused"]
    nonce: Nonce
    sealed: Bytes | None = None
    code: str | None = None
    message: str | None = None
    v: Literal[1] = 1


Enrolment = EnrolDevice | EnrolLogin

enrol_device = TypeAdapter(EnrolDevice)
enrol_login = TypeAdapter(EnrolLogin)
enrolled = TypeAdapter(Enrolled)


def inbox_prefix(account: str) -> str:
    """Where answers to that account's requests arrive: an inbox of its own, which nobody else hears."""
    return f"{INBOX}{account}"
