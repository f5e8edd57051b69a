"""A sealed payload opens with its key, label and context, and fails in one way for every cause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.aead import MAX_PLAINTEXT, OVERHEAD, SUITE, open_sealed, seal
from privity.errors import DoesNotOpen, Malformed, TooLarge
from tests.crypto.examples import flip

KEY = b"k" * 32
BLOB = seal(KEY, b"secret", b"label", b"id", b"1")


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.lists(st.binary(max_size=9), max_size=4))
def test_what_was_sealed_opens(key, plaintext, context):
    blob = seal(key, plaintext, b"label", *context)
    assert open_sealed(key, blob, b"label", *context) == plaintext
    assert len(blob) == len(plaintext) + OVERHEAD


def test_the_blob_names_its_suite():
    assert BLOB.startswith(b"PVS1" + bytes([len(SUITE)]) + b"HKDF-SHA256+AES-256-GCM")


def test_the_same_text_sealed_twice_gives_two_blobs():
    assert seal(KEY, b"x", b"label") != seal(KEY, b"x", b"label")


CAUSES = {
    "another key": (b"j" * 32, BLOB, b"label", (b"id", b"1")),
    "a key of another length": (b"k" * 31, BLOB, b"label", (b"id", b"1")),
    "another label": (KEY, BLOB, b"lavel", (b"id", b"1")),
    "another context": (KEY, BLOB, b"label", (b"id", b"2")),
    "a shorter context": (KEY, BLOB, b"label", (b"id",)),
    "a shifted context": (KEY, BLOB, b"label", (b"i", b"d1")),
    "context in the label": (KEY, BLOB, b"labelid", (b"1",)),
    "another magic": (KEY, b"PVS2" + BLOB[4:], b"label", (b"id", b"1")),
    "an unknown suite": (KEY, BLOB.replace(b"AES-256-GCM", b"AES-128-GCM"), b"label", (b"id", b"1")),
    "a suite of another length": (KEY, b"PVS1\x04NULL" + BLOB[5 + len(SUITE) :], b"label", (b"id", b"1")),
    "cut": (KEY, BLOB[:-1], b"label", (b"id", b"1")),
    "cut to the header": (KEY, BLOB[:OVERHEAD], b"label", (b"id", b"1")),
    "longer": (KEY, BLOB + b"\0", b"label", (b"id", b"1")),
    "nothing": (KEY, b"", b"label", (b"id", b"1")),
    "too large": (KEY, BLOB + bytes(MAX_PLAINTEXT), b"label", (b"id", b"1")),
}


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_it_does_not_open_and_the_error_does_not_tell_why(cause):
    key, blob, label, context = cause
    with pytest.raises(DoesNotOpen) as caught:
        open_sealed(key, blob, label, *context)
    assert caught.value.args == DoesNotOpen().args
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_no_bit_can_be_turned():
    for bit in range(len(BLOB) * 8):
        with pytest.raises(DoesNotOpen):
            open_sealed(KEY, flip(BLOB, bit), b"label", b"id", b"1")


@given(st.binary(max_size=200))
def test_foreign_bytes_do_not_open(blob):
    with pytest.raises(DoesNotOpen):
        open_sealed(KEY, blob, b"label")


def test_the_key_is_committed_to():
    """A right ciphertext behind another key's commitment: refused before AES-GCM is asked."""
    other = seal(b"j" * 32, b"secret", b"label", b"id", b"1")
    at = 5 + len(SUITE)
    with pytest.raises(DoesNotOpen):
        open_sealed(KEY, BLOB[:at] + other[at : at + 32] + BLOB[at + 32 :], b"label", b"id", b"1")


def test_more_than_16_mib_is_refused_at_sealing():
    with pytest.raises(TooLarge):
        seal(KEY, bytes(MAX_PLAINTEXT + 1), b"label")


def test_a_key_of_another_length_seals_nothing():
    with pytest.raises(Malformed):
        seal(b"short", b"", b"label")
