"""A file sealed with a sharing key, to be opened by whoever holds the key's private part.

Layout: b"PVF1" ‖ u32 length of the header ‖ header ‖ segments. The header is a canonical record: key id, generation,
suite, and `dek`, a fresh file key sealed to the generation's public part (HPKE, bound to key and generation). Each
segment is u32 length ‖ a C2SP message of its own (at most 1 MiB of plaintext), bound to the header's digest, to its
index, and to whether it is the last one: so none can be left out, moved, or cut off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from privity.crypto import kem, labels
from privity.crypto.files import decrypt_segment, encrypt_segment
from privity.crypto.kem import Suite
from privity.crypto.keyring import new_dek
from privity.crypto.record import decode_record, encode_record
from privity.crypto.sharing_keys import KeyRecord, PrivatePart
from privity.encoding import b64, sha256
from privity.errors import DoesNotOpen, Malformed

MAGIC: Final = b"PVF1"
SEGMENT_BYTES: Final = 1024 * 1024
MAX_SEALED: Final = SEGMENT_BYTES + 64 * 1024
"""Bytes of one sealed segment."""
MAX_HEADER: Final = 8192
LENGTH_BYTES: Final = 4

_FIELDS: Final = frozenset({"v", "key", "generation", "suite", "dek"})
_LAST, _MORE = b"last", b"more"


@dataclass(frozen=True, slots=True)
class Header:
    """With which generation of which key a file is sealed, and its own key, sealed."""

    key: str
    generation: int
    suite: Suite
    dek: bytes
    data: bytes
    """The exact bytes."""


def seal_file(record: KeyRecord, source: BinaryIO, sink: BinaryIO) -> None:
    """Seals all of `source` into `sink`, a segment at a time.

    Raises:
        OSError: it cannot be read or written.
    """
    dek, place = new_dek(), _place(record.key, record.generation)
    sealed = kem.seal_to(record.suite, record.seal, dek, labels.KEY_FILE_DEK, *place)
    facts = {"v": 1, "key": record.key, "generation": record.generation, "suite": str(record.suite)}
    header = encode_record({**facts, "dek": b64(sealed)})
    sink.write(MAGIC + len(header).to_bytes(LENGTH_BYTES, "big") + header)
    index, data = 0, source.read(SEGMENT_BYTES)
    while True:
        ahead = source.read(SEGMENT_BYTES)
        segment = encrypt_segment(dek, data, *_segment(header, index, last=not ahead))
        sink.write(len(segment).to_bytes(LENGTH_BYTES, "big") + segment)
        if not ahead:
            return
        index, data = index + 1, ahead


def read_header(source: BinaryIO) -> Header:
    """With what a file is sealed; the source stands behind it then. Nothing of it is verified yet.

    Raises:
        Malformed: it is no such file.
    """
    if source.read(len(MAGIC)) != MAGIC:
        raise Malformed("this is no file that was sealed with a sharing key")
    length = int.from_bytes(source.read(LENGTH_BYTES), "big")
    data = source.read(length) if length <= MAX_HEADER else b""
    if len(data) != length or not data:
        raise Malformed("the file's header is cut")
    facts = decode_record(data, _FIELDS)
    return Header(facts.text("key"), facts.number("generation", 1), facts.suite("suite"), facts.raw("dek"), data)


def open_file(header: Header, part: PrivatePart, source: BinaryIO) -> Iterator[bytes]:
    """The plaintext, a segment at a time: each is verified, but that all of it is there is only known at the end.

    Args:
        part: the private part of the header's generation.
        source: stands behind the header.

    Raises:
        DoesNotOpen: another key, or changed, cut, reordered or appended bytes; the same for every cause.
    """
    if header.suite is not part.pair.suite:
        raise DoesNotOpen
    place = _place(header.key, header.generation)
    dek = kem.open_with(header.suite, part.pair.private, header.dek, labels.KEY_FILE_DEK, *place)
    index, segment = 0, _read_segment(source)
    while True:
        ahead = _read_segment(source)
        if segment is None:
            raise DoesNotOpen
        yield decrypt_segment(dek, segment, *_segment(header.data, index, last=ahead is None))
        if ahead is None:
            return
        index, segment = index + 1, ahead


def _read_segment(source: BinaryIO) -> bytes | None:
    """The next sealed segment; None at the end of the file."""
    head = source.read(LENGTH_BYTES)
    if not head:
        return None
    length = int.from_bytes(head, "big")
    data = source.read(length) if length <= MAX_SEALED else b""
    if len(head) != LENGTH_BYTES or len(data) != length:
        raise DoesNotOpen
    return data


def _segment(header: bytes, index: int, *, last: bool) -> tuple[bytes, ...]:
    return labels.KEY_FILE, sha256(header), str(index).encode(), _LAST if last else _MORE


def _place(key: str, generation: int) -> tuple[bytes, bytes]:
    return key.encode(), str(generation).encode()
