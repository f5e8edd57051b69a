"""A payload sealed under a 32-byte key: AES-256-GCM, bound to label and context, committed to its key.

Layout: b"PVS1" ‖ u8 length ‖ suite name ‖ commitment (32) ‖ nonce (12) ‖ ciphertext with its tag (16).
The encryption key and the commitment are both HKDF-SHA256 of the key, salted with the nonce: AES-GCM alone
does not commit to its key, so one blob could be made to open to two texts under two keys.
"""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq

from privity.crypto import labels
from privity.crypto.kdf import hkdf
from privity.encoding import lp
from privity.errors import DoesNotOpen, Malformed, TooLarge

SUITE: Final = b"HKDF-SHA256+AES-256-GCM"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
COMMITMENT_BYTES: Final = 32
TAG_BYTES: Final = 16
MAX_PLAINTEXT: Final = 16 * 1024 * 1024

_HEADER: Final = b"PVS1" + bytes([len(SUITE)]) + SUITE
_NONCE: Final = len(_HEADER) + COMMITMENT_BYTES
_BODY: Final = _NONCE + NONCE_BYTES
OVERHEAD: Final = _BODY + TAG_BYTES


def seal(key: bytes, plaintext: bytes, label: bytes, *context: bytes) -> bytes:
    """`plaintext` (up to 16 MiB) sealed under `key` (32 bytes); it opens with this label and context only.

    Raises:
        Malformed: the key has another length.
        TooLarge: the plaintext is larger than 16 MiB.
    """
    if len(key) != KEY_BYTES:
        raise Malformed("a sealing key has 32 bytes")
    if len(plaintext) > MAX_PLAINTEXT:
        raise TooLarge
    nonce = secrets.token_bytes(NONCE_BYTES)
    box, commitment = _derive(key, nonce)
    return b"".join((_HEADER, commitment, nonce, box.encrypt(nonce, plaintext, lp(label, SUITE, *context))))


def open_sealed(key: bytes, blob: bytes, label: bytes, *context: bytes) -> bytes:
    """The plaintext of what `seal` made.

    Raises:
        DoesNotOpen: another key, label, context or suite, or changed bytes; the same error for every cause.
    """
    if not (blob.startswith(_HEADER) and OVERHEAD <= len(blob) <= OVERHEAD + MAX_PLAINTEXT) or len(key) != KEY_BYTES:
        raise DoesNotOpen
    commitment, nonce = blob[len(_HEADER) : _NONCE], blob[_NONCE:_BODY]
    box, expected = _derive(key, nonce)
    if not bytes_eq(commitment, expected):
        raise DoesNotOpen
    try:
        return box.decrypt(nonce, blob[_BODY:], lp(label, SUITE, *context))
    except InvalidTag:
        raise DoesNotOpen from None


def _derive(key: bytes, nonce: bytes) -> tuple[AESGCM, bytes]:
    box = AESGCM(hkdf(key, KEY_BYTES, labels.AEAD_KEY, nonce))
    return box, hkdf(key, COMMITMENT_BYTES, labels.AEAD_COMMITMENT, nonce)
