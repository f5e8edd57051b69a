"""A signature fits one key, one label and one list of parts."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.signing import _SMALL_ORDER, SigningKey, check_public, verify
from privity.encoding import lp
from privity.errors import ForgedRecord, Malformed
from tests.crypto.examples import flip

KEY = SigningKey.from_seed(b"k" * 32)
PRIME = 2**255 - 19


@given(st.binary(max_size=20), st.lists(st.binary(max_size=20), max_size=4))
def test_what_was_signed_verifies(label, parts):
    verify(KEY.public, KEY.sign(label, *parts), label, *parts)


def test_parts_cannot_be_shifted_against_each_other():
    with pytest.raises(ForgedRecord):
        verify(KEY.public, KEY.sign(b"label", b"ab", b"c"), b"label", b"a", b"bc")


def test_a_signature_for_one_use_is_none_for_another():
    with pytest.raises(ForgedRecord):
        verify(KEY.public, KEY.sign(b"one", b"x"), b"two", b"x")


def test_another_key_did_not_sign():
    with pytest.raises(ForgedRecord):
        verify(SigningKey.generate().public, KEY.sign(b"label"), b"label")


def test_no_bit_of_a_signature_can_be_turned():
    signature = KEY.sign(b"label", b"x")
    for bit in range(512):
        with pytest.raises(ForgedRecord):
            verify(KEY.public, flip(signature, bit), b"label", b"x")


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_bytes_that_are_no_key_or_no_signature_are_forged_and_nothing_else(public, signature):
    with pytest.raises(ForgedRecord):
        verify(public, signature, b"label")


def test_the_seed_gives_the_key_back():
    assert SigningKey.from_seed(KEY.seed).public == KEY.public


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_of_another_length_is_malformed(length):
    with pytest.raises(Malformed):
        SigningKey.from_seed(bytes(length))


def test_the_key_shows_no_secret():
    assert KEY.seed.hex() not in repr(KEY)
    assert str(KEY.seed) not in repr(KEY)


def test_a_key_of_small_order_signs_nothing():
    """The neutral point as key, point and zero as signature: valid for every message by the bare rule."""
    neutral = b"\x01" + bytes(31)
    signature = neutral + bytes(32)
    Ed25519PublicKey.from_public_bytes(neutral).verify(signature, lp(b"label", b"anything"))
    with pytest.raises(ForgedRecord):
        verify(neutral, signature, b"label", b"anything")


@pytest.mark.parametrize("sign_bit", [0, 0x80])
@pytest.mark.parametrize("point", sorted(_SMALL_ORDER))
def test_each_point_of_small_order_is_refused(point, sign_bit):
    with pytest.raises(Malformed):
        check_public(point[:-1] + bytes([point[-1] | sign_bit]))


@pytest.mark.parametrize("point", sorted(_SMALL_ORDER))
def test_the_listed_points_are_of_small_order(point):
    """Eight times each is the neutral point, by the curve's equation and addition law (RFC 8032, 5.1)."""
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    y = int.from_bytes(point, "little") % PRIME
    x_squared = (y * y - 1) * pow(d * y * y + 1, -1, PRIME) % PRIME
    x = pow(x_squared, (PRIME + 3) // 8, PRIME)
    x = x if (x * x - x_squared) % PRIME == 0 else x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    assert (x * x - x_squared) % PRIME == 0
    for _ in range(3):
        t = d * x * x * y * y % PRIME
        x, y = (
            2 * x * y * pow(1 + t, -1, PRIME) % PRIME,
            (y * y + x * x) * pow(1 - t, -1, PRIME) % PRIME,
        )
    assert (x, y) == (0, 1)
