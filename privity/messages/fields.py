"""The field types of all messages: each is bounded, so that a message is refused before it costs anything."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class SealedMark:
    """Marks a field that names a sealed object by its digest."""


Id = Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{26}$")]
"""26 characters of base32, chosen at random by the agent."""

AccountId = Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{52}$")]
"""Base32 of a SHA-256: the hash of an identity's genesis, or of a connection's two records."""

ConnectionId = AccountId
LineId = AccountId

CommandId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
"""A UUID, version 7 (RFC 9562)."""

Address = Annotated[
    str,
    StringConstraints(
        max_length=254,
        pattern=r"^[a-z0-9_+-]{1,64}(\.[a-z0-9_+-]{1,64}){0,8}@[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,8}$",
    ),
]
"""An e-mail address in lower case: a dot-atom of RFC 5322 without what mail software reads more into."""

Digest = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""Base64url of a SHA-256, 43 characters."""

Sealed = Annotated[Digest, SealedMark()]
"""The digest of a sealed object that rides behind the command."""

Bytes = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$", max_length=32_768)]
"""Base64url without padding."""

Key32 = Digest
"""32 bytes: a public key of Ed25519, or a MAC; 43 characters of base64url."""

Signature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{86}$")]
"""64 bytes of Ed25519: 86 characters of base64url."""

Nonce = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$", max_length=128)]
"""Base64url; what it says is the backend's own affair."""

CheckpointNote = Annotated[str, StringConstraints(max_length=512)]
"""A checkpoint as its log signed it: a C2SP signed note without co-signatures."""

Position = Annotated[int, Field(ge=1, le=2**62)]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
PieceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
"""What a piece is called: phone, mail, currentcity, or any other word."""

Hops = Annotated[int, Field(ge=0, le=8)]
"""Over how many hands something may go on."""
SuiteName = Literal["MLKEM768_X25519", "X25519", "RSA-4096-OAEP"]
Instant = AwareDatetime


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A record's exact bytes and the signatures over them."""

    record: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$", max_length=8192)]
    signatures: Annotated[tuple[Signature, ...], Field(min_length=1, max_length=2)]
