"""One segment of a file: a message of its own in C2SP chunked encryption (AES-256-GCM, key-committing)."""

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from privity.crypto import aead, labels
from privity.encoding import lp
from privity.errors import DoesNotOpen, Malformed


def encrypt_segment(key: bytes, data: bytes, *context: bytes) -> bytes:
    """`data` sealed under `key` (32 bytes), bound to its context: file, version, index.

    A segment that was not finished is sealed anew, never continued.

    Raises:
        Malformed: the key has another length.
    """
    if len(key) != aead.KEY_BYTES:
        raise Malformed("a file key has 32 bytes")
    sealer = Cobblestone256Encryptor(key, lp(labels.FILE_SEGMENT, *context))
    return sealer.update(data) + sealer.finalize()


def decrypt_segment(key: bytes, sealed: bytes, *context: bytes) -> bytes:
    """The data of `encrypt_segment`, only after the whole segment has verified.

    Raises:
        DoesNotOpen: another key or context, or changed, cut or appended bytes; the same for every cause.
    """
    return open_chunked(key, sealed, lp(labels.FILE_SEGMENT, *context))


def open_chunked(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """A whole C2SP message under its bare context.

    Raises:
        DoesNotOpen: it does not verify to its end.
    """
    try:
        opener = Cobblestone256Decryptor(key, context)
        data = opener.update(sealed)
        return data + opener.finalize()
    except (InvalidTag, ValueError):
        raise DoesNotOpen from None
