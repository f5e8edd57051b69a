"""What is sealed to a public key opens with its private key, label and context alone, in every suite."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from privity.crypto import kem
from privity.crypto.kem import (
    KeyPair,
    Suite,
    check_public,
    generate_keypair,
    hpke_open,
    hpke_seal,
    open_with,
    public_of,
    seal_to,
)
from privity.errors import DoesNotOpen, Malformed, TooLarge
from tests.crypto.examples import flip

HPKE_SUITES = [Suite.X_WING, Suite.X25519]
X25519_PAIR, X_WING_PAIR = generate_keypair(Suite.X25519), generate_keypair()
each_suite = pytest.mark.parametrize("suite", Suite)
each_hpke_suite = pytest.mark.parametrize("suite", HPKE_SUITES)


def blob_for(pair: KeyPair) -> bytes:
    return seal_to(pair.suite, pair.public, b"a DEK of thirty-two bytes length", b"label", b"id", b"1")


def test_post_quantum_is_the_default():
    assert X_WING_PAIR.suite is Suite.X_WING
    assert (len(X_WING_PAIR.private), len(X_WING_PAIR.public)) == (32, 1216)


@given(st.binary(max_size=300), st.lists(st.binary(max_size=9), max_size=4), st.sampled_from(HPKE_SUITES))
def test_what_was_sealed_opens(plaintext, context, suite):
    pair = X_WING_PAIR if suite is Suite.X_WING else X25519_PAIR
    blob = seal_to(suite, pair.public, plaintext, b"label", *context)
    assert open_with(suite, pair.private, blob, b"label", *context) == plaintext


@pytest.mark.parametrize("size", [0, 32, 446])
def test_what_was_sealed_by_rsa_opens(rsa_keypair, size):
    blob = seal_to(Suite.RSA, rsa_keypair.public, b"x" * size, b"label", b"id")
    assert open_with(Suite.RSA, rsa_keypair.private, blob, b"label", b"id") == b"x" * size


def test_rsa_wraps_a_key_and_nothing_longer(rsa_keypair):
    with pytest.raises(TooLarge):
        seal_to(Suite.RSA, rsa_keypair.public, bytes(447), b"label")


@each_hpke_suite
def test_more_than_16_mib_is_refused(keypairs, suite):
    with pytest.raises(TooLarge):
        seal_to(suite, keypairs[suite].public, bytes(kem.MAX_PLAINTEXT + 1), b"label")


@each_suite
def test_the_blob_names_its_whole_suite(keypairs, suite):
    names = {
        Suite.X_WING: b"HPKE-MLKEM768_X25519-HKDF-SHA256-AES-256-GCM",
        Suite.X25519: b"HPKE-X25519-HKDF-SHA256-AES-256-GCM",
        Suite.RSA: b"RSA-4096-OAEP-SHA256",
    }
    assert blob_for(keypairs[suite]).startswith(b"PVH1" + bytes([len(names[suite])]) + names[suite])


@each_suite
@pytest.mark.parametrize(
    ("label", "context"),
    [
        (b"lavel", (b"id", b"1")),
        (b"label", (b"id", b"2")),
        (b"label", (b"ie", b"1")),
        (b"label", (b"id",)),
        (b"label", (b"id1",)),
        (b"label", (b"i", b"d1")),
        (b"label", ()),
    ],
)
def test_in_another_place_it_does_not_open(keypairs, suite, label, context):
    pair = keypairs[suite]
    with pytest.raises(DoesNotOpen) as caught:
        open_with(suite, pair.private, blob_for(pair), label, *context)
    assert caught.value.args == DoesNotOpen().args
    assert caught.value.__suppress_context__


@each_suite
@pytest.mark.parametrize(
    "bend",
    [
        lambda blob: b"",
        lambda blob: blob[:4],
        lambda blob: blob[:-1],
        lambda blob: blob + b"\0",
        lambda blob: b"PVH2" + blob[4:],
        lambda blob: blob.replace(b"AES-256", b"AES-128").replace(b"OAEP-SHA256", b"OAEP-SHA512"),
        lambda blob: blob[: 5 + blob[4]],
        lambda blob: b"PVH1\x00" + blob[5 + blob[4] :],
    ],
    ids=["nothing", "magic", "cut", "longer", "another magic", "an unknown suite", "header", "no name"],
)
def test_a_bent_blob_does_not_open_in_one_and_the_same_way(keypairs, suite, bend):
    pair = keypairs[suite]
    with pytest.raises(DoesNotOpen) as caught:
        open_with(suite, pair.private, bend(blob_for(pair)), b"label", b"id", b"1")
    assert caught.value.args == DoesNotOpen().args


@each_hpke_suite
def test_no_bit_can_be_turned(keypairs, suite):
    pair = keypairs[suite]
    blob = blob_for(pair)
    for bit in range(0, len(blob) * 8, 1 if suite is Suite.X25519 else 3):
        with pytest.raises(DoesNotOpen):
            open_with(suite, pair.private, flip(blob, bit), b"label", b"id", b"1")


def test_no_byte_of_an_rsa_blob_can_be_bent(rsa_keypair):
    blob = blob_for(rsa_keypair)
    for byte in (*range(0, len(blob), 131), len(blob) - 1):
        with pytest.raises(DoesNotOpen):
            open_with(Suite.RSA, rsa_keypair.private, flip(blob, byte * 8), b"label", b"id", b"1")


@each_hpke_suite
def test_another_private_key_does_not_open_it(keypairs, suite):
    with pytest.raises(DoesNotOpen):
        open_with(suite, generate_keypair(suite).private, blob_for(keypairs[suite]), b"label", b"id", b"1")


@pytest.mark.parametrize("sealed", Suite)
@pytest.mark.parametrize("opened", Suite)
def test_a_blob_of_one_suite_is_not_opened_as_another(keypairs, sealed, opened):
    if sealed is not opened:
        with pytest.raises(DoesNotOpen):
            open_with(opened, keypairs[opened].private, blob_for(keypairs[sealed]), b"label", b"id", b"1")


@each_suite
@settings(max_examples=30, deadline=None)
@given(key=st.binary(max_size=40))
def test_bytes_that_are_no_key_give_our_errors_only(keypairs, suite, key):
    blob = blob_for(keypairs[suite])
    with pytest.raises(DoesNotOpen):
        open_with(suite, key, blob, b"label")
    if suite is Suite.RSA or len(key) != 32:
        with pytest.raises(Malformed):
            public_of(suite, key)
        with pytest.raises(Malformed):
            check_public(suite, key)
        with pytest.raises(Malformed):
            seal_to(suite, key, b"x", b"label")


@each_suite
def test_the_key_of_another_suite_is_malformed(keypairs, suite):
    for other in Suite:
        if other is not suite:
            with pytest.raises(Malformed):
                seal_to(suite, keypairs[other].public, b"x", b"label")


def test_an_x25519_key_of_small_order_is_malformed():
    with pytest.raises(Malformed):
        seal_to(Suite.X25519, bytes(32), b"x", b"label")


def test_an_ml_kem_key_out_of_range_is_malformed():
    with pytest.raises(Malformed):
        check_public(Suite.X_WING, b"\xff" * 1184 + X25519_PAIR.public)


def test_an_encapsulation_of_small_order_does_not_open():
    message = hpke_seal(Suite.X25519, X25519_PAIR.public, b"x", b"info")
    with pytest.raises(DoesNotOpen):
        hpke_open(Suite.X25519, X25519_PAIR.private, bytes(32) + message[32:], b"info")


@each_suite
def test_the_public_key_follows_from_the_private_one(keypairs, suite):
    assert public_of(suite, keypairs[suite].private) == keypairs[suite].public


@each_suite
def test_a_keypair_shows_no_secret(keypairs, suite):
    assert repr(keypairs[suite].private)[2:-1] not in repr(keypairs[suite])


def pkcs8(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def spki(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: rsa.generate_private_key(3, 2048),
        lambda: ec.generate_private_key(ec.SECP256R1()),
    ],
    ids=["2048 bits", "e = 3", "no RSA"],
)
def test_only_rsa_4096_with_the_usual_exponent_is_taken(make):
    key = make()
    with pytest.raises(Malformed):
        public_of(Suite.RSA, pkcs8(key))
    with pytest.raises(Malformed):
        check_public(Suite.RSA, spki(key))


def test_an_rsa_key_with_bytes_left_over_is_malformed(rsa_keypair):
    with pytest.raises(Malformed):
        check_public(Suite.RSA, rsa_keypair.public + b"\0")


@settings(max_examples=50, deadline=None)
@given(bit=st.integers(0, 550 * 8))
def test_a_bent_rsa_key_gives_our_errors_only(rsa_keypair, bit):
    try:
        seal_to(Suite.RSA, flip(rsa_keypair.public, bit), b"x", b"label")
    except Malformed:
        return
