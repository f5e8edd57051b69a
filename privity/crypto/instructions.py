"""An instruction: what a delegate wants done, sealed under the vault key and signed by the delegate's identity.

All who hold the vault key could seal one: so each is signed by who gives it. What is sealed is bound to its place, and
the record names it by digest.
"""

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final

from privity.crypto import aead, labels
from privity.crypto.delegations import FIRST_GENERATION, MAX_CHECKPOINT
from privity.crypto.record import decode_record, encode_record
from privity.crypto.signing import SigningKey, verify
from privity.encoding import digest
from privity.errors import DoesNotOpen, TooLarge

MAX_CONTENT: Final = 64 * 1024
"""Bytes of what is sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What the delegate signs: in whose name, as which delegation, its number there from 1, and until when it stands.

    `generation` is that of the vault key under which `content` (a digest) is sealed; `checkpoint` is the newest of the
    home's log that the delegate had seen.
    """

    principal: str
    by: str
    delegation: str
    n: int
    generation: int
    expires: datetime
    content: str
    checkpoint: str

    @property
    def place(self) -> tuple[bytes, ...]:
        """What the sealed content is bound to; numbers as decimal text."""
        return _place(self.principal, self.by, self.delegation, self.n, self.generation)


_FIELDS: Final = frozenset({"v", *(each.name for each in fields(Instruction))})


def _place(principal: str, by: str, delegation: str, n: int, generation: int) -> tuple[bytes, ...]:
    return tuple(each.encode() for each in (principal, by, delegation, str(n), str(generation)))


def seal_instruction(
    key: bytes, plaintext: bytes, *, principal: str, by: str, delegation: str, n: int, generation: int
) -> bytes:
    """What a delegate wants, under the vault key of that generation.

    Raises:
        TooLarge: more than 64 KiB.
    """
    if len(plaintext) > MAX_CONTENT:
        raise TooLarge(f"an instruction has at most {MAX_CONTENT} bytes")
    return aead.seal(key, plaintext, labels.INSTRUCTION_CONTENT, *_place(principal, by, delegation, n, generation))


def open_instruction(key: bytes, said: Instruction, content: bytes) -> bytes:
    """The inverse of `seal_instruction`, for what the record names.

    Raises:
        DoesNotOpen: another key or place, not what the record names, or changed bytes.
    """
    if digest(content) != said.content:
        raise DoesNotOpen
    return aead.open_sealed(key, content, labels.INSTRUCTION_CONTENT, *said.place)


def sign_instruction(said: Instruction, identity: SigningKey) -> tuple[bytes, bytes]:
    """The record, and the signature of the delegate's identity.

    Raises:
        Malformed: a value is one that no reader would take.
    """
    record = encode_record({"v": 1, **asdict(said), "expires": said.expires.isoformat()})
    read_instruction(record)
    return record, identity.sign(labels.INSTRUCTION, record)


def read_instruction(record: bytes) -> Instruction:
    """The parsed record, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields.
    """
    facts = decode_record(record, _FIELDS)
    return Instruction(
        principal=facts.text("principal"),
        by=facts.text("by"),
        delegation=facts.text("delegation"),
        n=facts.number("n", least=1),
        generation=facts.number("generation", least=FIRST_GENERATION),
        expires=facts.instant("expires"),
        content=facts.digest("content"),
        checkpoint=facts.text("checkpoint", MAX_CHECKPOINT),
    )


def verify_instruction(record: bytes, signature: bytes, public: bytes) -> Instruction:
    """The instruction, signed by this key. Whether who gave it may, the caller checks.

    Raises:
        ForgedRecord: the signature is not of this key.
        Malformed: it is no instruction.
    """
    verify(public, signature, labels.INSTRUCTION, record)
    return read_instruction(record)
