"""What a person keeps to themselves: items, each under a DEK of its own, and notes right under the KEK."""

from privity.crypto import aead, labels
from privity.crypto.keyring import unwrap_key, wrap_key


def seal_item(
    kek: bytes, dek: bytes, plaintext: bytes, *, account: str, item: str, version: int
) -> tuple[bytes, bytes]:
    """The content sealed under `dek`, and `dek` wrapped under `kek`; both bound to account, item and version.

    Raises:
        TooLarge: more than 16 MiB.
    """
    context = _context(account, item, version)
    content = aead.seal(dek, plaintext, labels.ITEM_CONTENT, *context)
    return content, wrap_key(kek, dek, labels.PURPOSE_ITEM, *context)


def open_item(kek: bytes, content: bytes, wrap: bytes, *, account: str, item: str, version: int) -> bytes:
    """The plaintext of what `seal_item` made.

    Raises:
        DoesNotOpen: another KEK, account, item or version, or changed bytes.
    """
    context = _context(account, item, version)
    dek = unwrap_key(kek, wrap, labels.PURPOSE_ITEM, *context)
    return aead.open_sealed(dek, content, labels.ITEM_CONTENT, *context)


def seal_note(kek: bytes, plaintext: bytes, *ids: str | bytes) -> bytes:
    """A short private text (a label, a pin) sealed under the KEK, bound to the ids of what it is about."""
    return aead.seal(kek, plaintext, labels.NOTE, *_ids(ids))


def open_note(kek: bytes, blob: bytes, *ids: str | bytes) -> bytes:
    """The plaintext of what `seal_note` made.

    Raises:
        DoesNotOpen: another KEK or id, or changed bytes.
    """
    return aead.open_sealed(kek, blob, labels.NOTE, *_ids(ids))


def _context(account: str, item: str, version: int) -> tuple[bytes, ...]:
    return account.encode(), item.encode(), str(version).encode()


def _ids(ids: tuple[str | bytes, ...]) -> tuple[bytes, ...]:
    return tuple(each.encode() if isinstance(each, str) else each for each in ids)
