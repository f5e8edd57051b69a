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

CommandId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
"""A UUID, version 7 (RFC 9562)."""

Address = Annotated[str, StringConstraints(pattern=r"^[^@\sA-Z\x00-\x1f<>,]{1,64}@[^@\sA-Z\x00-\x1f<>,]{1,190}$")]
"""An e-mail address in lower case."""

Digest = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""Base64url of a SHA-256, 43 characters."""

Sealed = Annotated[Digest, SealedMark()]
"""The digest of a sealed object that rides behind the command."""

Bytes = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$", max_length=32_768)]
"""Base64url without padding."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.+-]+$")]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
SuiteName = Literal["MLKEM768_X25519", "X25519", "RSA-4096-OAEP"]
Instant = AwareDatetime


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A record's exact bytes and the signatures over them."""

    record: Bytes
    signatures: tuple[Bytes, ...]
