"""A record: signed or hashed facts as canonical JSON, so that equal facts are equal bytes and nothing hides.

Canonical: one object, keys sorted, no spaces, UTF-8, no escapes but the needed ones. Values are texts, whole
numbers, null and flat objects of texts. A reader refuses unknown, missing and doubled keys and any other
spelling.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from privity.crypto.kem import Suite
from privity.encoding import unb64
from privity.errors import Malformed

MAX_BYTES: Final = 16 * 1024
MAX_TEXT: Final = 512
MAX_NUMBER: Final = 2**53 - 1
HASH_BYTES: Final = 32


def encode_record(facts: Mapping[str, object]) -> bytes:
    """The canonical bytes.

    Raises:
        Malformed: larger than 16 KiB, or a text that is no Unicode.
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("a record holds Unicode text") from error
    if len(data) > MAX_BYTES:
        raise Malformed("the record is larger than 16 KiB")
    return data


@dataclass(frozen=True, slots=True)
class Facts:
    """The values of a parsed record, each read by its type. Every method raises Malformed."""

    values: Mapping[str, object]

    def text(self, name: str, most: int = MAX_TEXT) -> str:
        """A text of 1 to `most` characters."""
        value = self.values[name]
        if not isinstance(value, str) or not 0 < len(value) <= most:
            raise Malformed(f"{name} is not a text")
        return value

    def number(self, name: str, least: int = 0) -> int:
        """A whole number from `least` up."""
        value = self.values[name]
        if type(value) is not int or not least <= value <= MAX_NUMBER:
            raise Malformed(f"{name} is not a whole number")
        return value

    def raw(self, name: str, length: int | None = None) -> bytes:
        """The bytes behind a base64url text, of one length if that is given."""
        value = self.values[name]
        data = unb64(value) if isinstance(value, str) else b""
        if not data or (length is not None and len(data) != length):
            raise Malformed(f"{name} is not base64url of the right length")
        return data

    def digest(self, name: str) -> str:
        """The base64url text of 32 bytes, as text."""
        self.raw(name, HASH_BYTES)
        return self.text(name)

    def instant(self, name: str) -> datetime:
        """A time in its one spelling: UTC, as ISO 8601."""
        text = self.text(name)
        try:
            at = datetime.fromisoformat(text)
            same = at.tzinfo is not None and at.astimezone(UTC).isoformat() == text
        except (ValueError, OverflowError):
            same = False
        if not same:
            raise Malformed(f"{name} is not a time")
        return at

    def suite(self, name: str) -> Suite:
        """The name of a known suite."""
        try:
            return Suite(self.text(name))
        except ValueError as error:
            raise Malformed(f"{name} is not a known suite") from error

    def raw_map(self, name: str, length: int, most: int) -> dict[str, bytes]:
        """An object of at most `most` entries whose values are bytes of one length."""
        value = self.values[name]
        if not isinstance(value, dict) or len(value) > most:
            raise Malformed(f"{name} is not an object of the right size")
        inner = Facts(value)
        return {key: inner.raw(key, length) for key in value}


def decode_record(data: bytes, keys: frozenset[str], optional: frozenset[str] = frozenset()) -> Facts:
    """The facts of a record with exactly these keys, "v" being 1.

    Raises:
        Malformed: too large, not canonical, unknown or missing keys, or another version.
    """
    if len(data) > MAX_BYTES:
        raise Malformed("the record is larger than 16 KiB")
    try:
        values = json.loads(data)
        canonical = encode_record(values)
    except (ValueError, TypeError, RecursionError) as error:
        raise Malformed("the record is not JSON") from error
    if canonical != data or not isinstance(values, dict):
        raise Malformed("the record is not canonical")
    if not keys <= values.keys() <= keys | optional:
        raise Malformed("the record has other fields")
    if type(values["v"]) is not int or values["v"] != 1:
        raise Malformed("the record has another version")
    return Facts(values)
