"""How a file's bytes become fragments at suppliers: padded, cut, sealed, erasure-coded, and hashed to one root a slot.

An object is a stream of plaintext under a key of its own. It is padded to a size class, cut into segments, and each
segment sealed and coded into as many fragments as there are slots (zfec, systematic), of which any `needed` give it
back. Fragment j of every segment goes to slot j, and the slot's root is the RFC 9162 tree over their hashes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import zfec

from privity.crypto import labels
from privity.crypto.files import decrypt_segment, encrypt_segment
from privity.crypto.merkle import LEAF_PREFIX, Frontier
from privity.errors import Malformed

FRAGMENT_BYTES: Final = 512 * 1024
"""The most that one fragment has."""
MAX_SLOTS: Final = 16
MAX_SEGMENTS: Final = 2**16
LEAST: Final = 4096
"""Bytes that the smallest object is padded to."""

_HEADER: Final = 56
_CHUNK: Final = 16 * 1024
_TAG: Final = 16
_STEP: Final = _CHUNK + _TAG

Fragment = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Coding:
    """Any `needed` of `slots` fragments give a segment back."""

    needed: int
    slots: int

    def __post_init__(self) -> None:
        if not 1 <= self.needed <= self.slots <= MAX_SLOTS:
            raise Malformed(f"there are 1 to {MAX_SLOTS} slots, and no more are needed than there are")

    @property
    def capacity(self) -> int:
        """Bytes of plaintext in a full segment: its fragments have 512 KiB, or a few bytes less."""
        most = self.needed * FRAGMENT_BYTES
        size = most - _HEADER - _TAG * (most // _STEP + 1)
        while sealed_bytes(size + 1) <= most:
            size += 1
        while sealed_bytes(size) % self.needed:
            size -= 1
        return size

    def segments(self, size: int) -> int:
        """How many segments an object of `size` bytes has, padded.

        Raises:
            Malformed: more than 2**16: then it is to be several objects.
        """
        count = -(-padded_bytes(size) // self.capacity)
        if count > MAX_SEGMENTS:
            raise Malformed(f"an object has at most {MAX_SEGMENTS} segments")
        return count

    def plain_bytes(self, size: int, index: int) -> int:
        """Bytes of the segment's plaintext, padding included: so many that the fragments come out even."""
        rest = padded_bytes(size) - index * self.capacity
        if rest >= self.capacity:
            return self.capacity
        while sealed_bytes(rest) % self.needed:
            rest += 1
        return rest

    def encode(self, sealed: bytes) -> tuple[Fragment, ...]:
        """The fragments of a sealed segment, by slot; the first `needed` are parts of it and copy nothing.

        Raises:
            Malformed: its length is no multiple of `needed`.
        """
        size, left = divmod(len(sealed), self.needed)
        if left or not size:
            raise Malformed("a sealed segment is cut into equal fragments")
        whole = memoryview(sealed)
        blocks = tuple(whole[start : start + size] for start in range(0, len(sealed), size))
        return tuple(zfec.Encoder(self.needed, self.slots).encode(blocks))

    def decode(self, fragments: Mapping[int, Fragment]) -> bytes:
        """The sealed segment of any `needed` fragments by slot; whether they are the right ones, the caller has seen.

        Raises:
            Malformed: too few, of another slot than there is, or of different lengths.
        """
        return b"".join(self._blocks(fragments))

    def rebuild(self, fragments: Mapping[int, Fragment], slot: int) -> Fragment:
        """One slot's fragment, of any `needed` others: no key is needed for it.

        Raises:
            Malformed: as `decode`.
        """
        blocks = self._blocks(fragments)
        (made,) = zfec.Encoder(self.needed, self.slots).encode(blocks, (slot,))
        return made  # type: ignore[no-any-return]

    def _blocks(self, fragments: Mapping[int, Fragment]) -> tuple[Fragment, ...]:
        chosen = sorted(fragments)[: self.needed]
        blocks = tuple(fragments[slot] for slot in chosen)
        even = len({len(each) for each in blocks}) == 1 and len(blocks[0]) > 0
        if len(chosen) < self.needed or not even or not 0 <= chosen[0] <= chosen[-1] < self.slots:
            raise Malformed("these are not fragments of one segment")
        if chosen == list(range(self.needed)):
            return blocks
        # zfec has each block of the segment that is there at its own place
        places, spare = list(range(self.needed)), [slot for slot in chosen if slot >= self.needed]
        order = tuple(slot if slot in fragments else spare.pop() for slot in places)
        return tuple(zfec.Decoder(self.needed, self.slots).decode(tuple(fragments[slot] for slot in order), order))


def sealed_bytes(size: int) -> int:
    """Bytes of a sealed segment of `size` bytes (C2SP chunked encryption: a header, a tag for each 16 KiB begun)."""
    return size + _HEADER + _TAG * (size // _CHUNK + 1)


def padded_bytes(size: int) -> int:
    """The size class: PADME (Nikitin et al., PETS 2019), from 4 KiB on; at most 12 % more, less for large ones.

    Of a length of n bytes it lets out O(log log n) bits instead of O(log n).
    """
    size = max(size, LEAST)
    exponent = size.bit_length() - 1
    free = exponent - exponent.bit_length()
    mask = (1 << free) - 1
    return (size + mask) & ~mask


def seal_segment(key: bytes, plain: bytes, place: "ObjectPlace", index: int) -> bytes:
    """One segment's plaintext, padding included, sealed under the object's key (32 bytes) for its place.

    Raises:
        Malformed: the key has another length.
    """
    return encrypt_segment(key, plain, *place.context(index))


def open_segment(key: bytes, sealed: bytes, place: "ObjectPlace", index: int) -> bytes:
    """The inverse of `seal_segment`.

    Raises:
        DoesNotOpen: another key, object, index or number of segments, or changed bytes.
    """
    return decrypt_segment(key, sealed, *place.context(index))


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """What a segment is bound to: the sharing key and the object that it is of, and how many segments that has."""

    key: str
    object: str
    segments: int

    def context(self, index: int) -> tuple[bytes, ...]:
        """Label, key id, object id, index and number of segments, the numbers as decimal text."""
        named = (self.key, self.object, str(index), str(self.segments))
        return (labels.OBJECT_SEGMENT, *(part.encode() for part in named))


def fragment_leaf(fragment: Fragment) -> bytes:
    """The leaf hash of a fragment (RFC 9162), 32 bytes, without a copy of it."""
    hashed = sha256(LEAF_PREFIX)
    hashed.update(fragment)
    return hashed.digest()


def slot_root(leaves: Iterable[bytes]) -> bytes:
    """The root over a slot's fragments, by their leaf hashes in the order of the segments."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()
