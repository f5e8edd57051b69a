"""The byte conventions: one value has one text, and no two lists of parts give the same bytes."""

import hashlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from privity.encoding import b32, b64, digest, lp, new_id, unb32, unb64
from privity.errors import Malformed

TEXT = st.text(max_size=12) | st.text("AQgw-_=+/ \n", max_size=9)


@given(st.binary(max_size=100))
def test_bytes_come_back_from_their_texts(data: bytes) -> None:
    assert unb64(b64(data)) == data
    assert unb32(b32(data)) == data
    assert re.fullmatch("[A-Za-z0-9_-]*", b64(data))
    assert re.fullmatch("[a-z2-7]*", b32(data))


@given(TEXT)
@example("AB")  # stray trailing bits
@example("AA==")
@example("A+/A")
@example("A")
@example("AAA\n")
@example("é")
def test_a_text_is_canonical_or_malformed(text: str) -> None:
    try:
        data = unb64(text)
    except Malformed:
        assert text
    else:
        assert b64(data) == text


@pytest.mark.parametrize("text", ["AB", "AA==", "A+/A", "A", "AAA\n", "é", " ", "AA AA"])
def test_no_other_spelling_is_taken(text: str) -> None:
    with pytest.raises(Malformed):
        unb64(text)


@pytest.mark.parametrize("text", ["a1", "aa=a", "é", "a", "ab cd"])
def test_other_base32_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        unb32(text)


@given(st.lists(st.binary(max_size=8), max_size=5), st.lists(st.binary(max_size=8), max_size=5))
def test_parts_cannot_be_shifted_against_each_other(some: list[bytes], others: list[bytes]) -> None:
    assert (lp(*some) == lp(*others)) == (some == others)
    assert lp(*some) + lp(*others) == lp(*some, *others)
    assert len(lp(*some)) == 4 * len(some) + sum(map(len, some))


def test_a_digest_is_the_hash_as_43_characters() -> None:
    assert unb64(digest(b"abc")) == hashlib.sha256(b"abc").digest()
    assert len(digest(b"")) == 43


def test_ids_are_26_characters_and_never_the_same() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[a-z2-7]{26}", each) for each in ids)
