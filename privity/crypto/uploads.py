"""What a device writes down of an upload, so that it goes on after a crash: sealed under the KEK, each line with a MAC.

It never leaves the device. The object's key, and whether a segment's plaintext is the one that was sent, are in it;
names and contents are not.
"""

import hmac
from typing import Final

from privity.crypto import labels
from privity.crypto.kdf import hkdf
from privity.crypto.keyring import unwrap_key, wrap_key
from privity.encoding import b32, lp

MAC_BYTES: Final = 32
_NAME_BYTES: Final = 16


def journal_key(kek: bytes) -> bytes:
    """The key, 32 bytes, of all MACs of this device's journals."""
    return hkdf(kek, MAC_BYTES, labels.UPLOAD_JOURNAL)


def journal_name(key: bytes, *source: bytes) -> str:
    """What the journal of a source is called: 26 letters that tell nothing of it without the journal key."""
    return b32(hmac.digest(key, lp(b"name", *source), "sha256")[:_NAME_BYTES])


def plain_mac(key: bytes, object: str, index: int, digest: bytes) -> bytes:
    """32 bytes by which a segment is known again: `digest` is the SHA-256 of the plaintext up to its end."""
    return hmac.digest(key, lp(b"plain", object.encode(), str(index).encode(), digest), "sha256")


def line_mac(key: bytes, object: str, line: bytes) -> bytes:
    """32 bytes that show that a line was written whole."""
    return hmac.digest(key, lp(b"line", object.encode(), line), "sha256")


def wrap_head(kek: bytes, head: bytes, name: str) -> bytes:
    """What the journal begins with: the object's id and key."""
    return wrap_key(kek, head, labels.PURPOSE_UPLOAD, name.encode())


def unwrap_head(kek: bytes, blob: bytes, name: str) -> bytes:
    """The inverse of `wrap_head`.

    Raises:
        DoesNotOpen: another KEK or name, or changed bytes.
    """
    return unwrap_key(kek, blob, labels.PURPOSE_UPLOAD, name.encode())
