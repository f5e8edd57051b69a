"""A file of an item or a share: the whole of it sealed under a fresh key, bound to whose it is and what it hangs on."""

from typing import Final

from privity.crypto import aead, labels

MAX_FILE: Final = 900 * 1024
"""Bytes of a file's plaintext: it goes over the bus, and back, as a whole."""


def seal_item_file(key: bytes, data: bytes, *, owner: str, item: str, file: str) -> bytes:
    """`data` under `key` (32 bytes, fresh), as a file of an own item.

    Raises:
        Malformed: the key has another length.
    """
    return aead.seal(key, data, labels.ITEM_FILE, owner.encode(), item.encode(), file.encode())


def open_item_file(key: bytes, sealed: bytes, *, owner: str, item: str, file: str) -> bytes:
    """The inverse of `seal_item_file`.

    Raises:
        DoesNotOpen: another key, owner, item or file, or changed bytes.
    """
    return aead.open_sealed(key, sealed, labels.ITEM_FILE, owner.encode(), item.encode(), file.encode())


def seal_share_file(key: bytes, data: bytes, *, owner: str, share: str, file: str) -> bytes:
    """`data` under `key` (32 bytes, fresh), as a file of a share that `owner` gives.

    Raises:
        Malformed: the key has another length.
    """
    return aead.seal(key, data, labels.SHARE_FILE, owner.encode(), share.encode(), file.encode())


def open_share_file(key: bytes, sealed: bytes, *, owner: str, share: str, file: str) -> bytes:
    """The inverse of `seal_share_file`.

    Raises:
        DoesNotOpen: another key, owner, share or file, or changed bytes.
    """
    return aead.open_sealed(key, sealed, labels.SHARE_FILE, owner.encode(), share.encode(), file.encode())
