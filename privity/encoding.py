"""The byte conventions that every message, record and sealed object of Privity shares."""

import base64
import binascii
import hashlib
import secrets

from privity.errors import Malformed

ID_BYTES = 16


def b64(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes behind `b64`; only the canonical form is taken, so that one value has one text.

    Raises:
        Malformed: not base64url, padded, or with stray trailing bits.
    """
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error) as error:
        raise Malformed("not base64url") from error
    if b64(data) != text:
        raise Malformed("not canonical base64url")
    return data


def b32(data: bytes) -> str:
    """Lower-case base32 without padding: safe as one token of a NATS subject."""
    return base64.b32encode(data).rstrip(b"=").decode().lower()


def unb32(text: str) -> bytes:
    """The bytes behind `b32`.

    Raises:
        Malformed: not base32.
    """
    try:
        return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except (ValueError, binascii.Error) as error:
        raise Malformed("not base32") from error


def printable(text: str) -> str:
    """The text without what steers a terminal, turns the writing round or cannot be written: U+FFFD stands there."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def lp(*parts: bytes) -> bytes:
    """Each part behind its length in four bytes, big-endian: no two lists of parts give the same bytes."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def sha256(data: bytes) -> bytes:
    """SHA-256 (FIPS 180-4), 32 bytes."""
    return hashlib.sha256(data).digest()


def digest(data: bytes) -> str:
    """The address of a sealed object or record: base64url of its SHA-256, 43 characters."""
    return b64(sha256(data))


def new_id() -> str:
    """A random 128-bit id as 26 characters of base32."""
    return b32(secrets.token_bytes(ID_BYTES))
