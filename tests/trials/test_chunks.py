"""S10: the chunks of a file's segments, and the segments themselves, reordered, dropped, repeated and cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privity.crypto.files import decrypt_segment, encrypt_segment
from privity.errors import DoesNotOpen

KEY = b"f" * 32
HEADER, CHUNK = 56, 16 * 1024 + 16
"""Bytes of a segment's head, and of one sealed chunk (C2SP chunked encryption)."""
DATA = bytes(range(256)) * 160  # two whole chunks and a half
SEGMENT = encrypt_segment(KEY, DATA, b"file", b"1", b"0")
CHUNKS = [SEGMENT[at : at + CHUNK] for at in range(HEADER, len(SEGMENT), CHUNK)]
FILE = [f"segment {index} ".encode() * 50 for index in range(4)]
SEALED = [encrypt_segment(KEY, data, b"file", b"1", str(index).encode()) for index, data in enumerate(FILE)]


def read(segments: list[bytes]) -> list[bytes]:
    """A file as it is read: each segment in its place."""
    return [decrypt_segment(KEY, each, b"file", b"1", str(index).encode()) for index, each in enumerate(segments)]


def test_s10_the_chunks_in_their_order_open() -> None:
    assert len(CHUNKS) == 3
    assert decrypt_segment(KEY, SEGMENT[:HEADER] + b"".join(CHUNKS), b"file", b"1", b"0") == DATA
    assert read(SEALED) == FILE


@given(st.lists(st.integers(0, len(CHUNKS) - 1), max_size=5))
def test_s10_chunks_in_any_other_order_or_number_do_not_open(order: list[int]) -> None:
    served = SEGMENT[:HEADER] + b"".join(CHUNKS[at] for at in order)
    if order == list(range(len(CHUNKS))):
        assert decrypt_segment(KEY, served, b"file", b"1", b"0") == DATA
    else:
        with pytest.raises(DoesNotOpen):
            decrypt_segment(KEY, served, b"file", b"1", b"0")


@settings(max_examples=200)
@given(st.integers(0, len(SEGMENT) - 1), st.integers(0, len(SEGMENT)))
def test_s10_a_segment_cut_anywhere_or_with_a_piece_left_out_does_not_open(start: int, end: int) -> None:
    for served in (SEGMENT[:start], SEGMENT[:start] + SEGMENT[max(start + 1, end) :]):
        with pytest.raises(DoesNotOpen):
            decrypt_segment(KEY, served, b"file", b"1", b"0")


@given(st.integers(0, len(SEGMENT)), st.binary(min_size=1, max_size=40))
def test_s10_a_segment_with_anything_put_in_does_not_open(at: int, more: bytes) -> None:
    with pytest.raises(DoesNotOpen):
        decrypt_segment(KEY, SEGMENT[:at] + more + SEGMENT[at:], b"file", b"1", b"0")


@given(st.permutations(range(len(SEALED))))
def test_s10_segments_in_another_order_do_not_open(order: list[int]) -> None:
    served = [SEALED[at] for at in order]
    if order == list(range(len(SEALED))):
        assert read(served) == FILE
    else:
        with pytest.raises(DoesNotOpen):
            read(served)


@given(st.integers(0, len(SEALED) - 1), st.integers(0, len(SEALED) - 1))
def test_s10_a_segment_that_is_repeated_or_dropped_does_not_open(one: int, other: int) -> None:
    """A last segment that is dropped is for what names the number of segments, which no file has yet."""
    if one != other:
        with pytest.raises(DoesNotOpen):
            read([SEALED[one] if at == other else each for at, each in enumerate(SEALED)])
    if one != len(SEALED) - 1:
        with pytest.raises(DoesNotOpen):
            read(SEALED[:one] + SEALED[one + 1 :])


@pytest.mark.parametrize("place", [(b"other", b"1", b"0"), (b"file", b"2", b"0"), (b"file", b"1", b"1")])
def test_s10_a_segment_of_another_file_or_version_does_not_open(place: tuple[bytes, bytes, bytes]) -> None:
    with pytest.raises(DoesNotOpen):
        read([encrypt_segment(KEY, FILE[0], *place), *SEALED[1:]])
    assert read(SEALED) == FILE
