"""Keys under keys: fresh KEKs and DEKs, and any key wrapped under a KEK for one named purpose and place."""

import secrets

from privity.crypto import aead, labels


def new_kek() -> bytes:
    """A fresh key-encryption key, 32 random bytes."""
    return secrets.token_bytes(aead.KEY_BYTES)


def new_dek() -> bytes:
    """A fresh data-encryption key, 32 random bytes: one for each version of a share, each item, each file."""
    return secrets.token_bytes(aead.KEY_BYTES)


def wrap_key(kek: bytes, key: bytes, purpose: bytes, *ids: bytes) -> bytes:
    """`key` (secret bytes of any length) sealed under `kek`; opens only for the same purpose and ids."""
    return aead.seal(kek, key, labels.KEY_WRAP, purpose, *ids)


def unwrap_key(kek: bytes, blob: bytes, purpose: bytes, *ids: bytes) -> bytes:
    """The key that `wrap_key` sealed.

    Raises:
        DoesNotOpen: another KEK, purpose or id, or changed bytes.
    """
    return aead.open_sealed(kek, blob, labels.KEY_WRAP, purpose, *ids)
