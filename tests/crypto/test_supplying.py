"""Proofs, orders and ids of suppliers: each is for one thing, by one key, and serves for nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.signing import SigningKey
from privity.crypto.supplying import (
    Wish,
    sign_order,
    sign_proof,
    sign_replacement,
    storage_proof,
    supplier_device,
    supplier_id,
    verify_order,
    verify_proof,
    verify_replacement,
)
from privity.errors import BadProof, ForgedRecord

PART, IDENTITY, LOG, SUPPLIER = (SigningKey.from_seed(bytes([n]) * 32) for n in range(1, 5))
WISH = Wish(SUPPLIER.public, "get", "k" * 52, "o" * 26, b"n" * 32, "a" * 52)
CHANGES = {
    "supplier": IDENTITY.public,
    "operation": "delete",
    "key": "j" * 52,
    "object": None,
    "nonce": b"m" * 32,
    "account": "b" * 52,
    "segments": 1,
    "root": b"r" * 32,
}


def test_a_proof_takes_both_keys() -> None:
    by_key, by_identity = sign_proof(PART, IDENTITY, WISH)
    verify_proof(PART.public, IDENTITY.public, WISH, by_key, by_identity)
    same_key = sign_proof(PART, PART, WISH)
    assert same_key[0] != same_key[1]  # the labels differ: one signature does not stand for both
    for first, second in ((by_identity, by_key), (by_key, by_key), (by_key, same_key[1]), (b"", by_identity)):
        with pytest.raises(BadProof):
            verify_proof(PART.public, IDENTITY.public, WISH, first, second)


@pytest.mark.parametrize("name", CHANGES)
def test_a_proof_and_an_order_are_for_all_that_they_say(name: str) -> None:
    other = replace(WISH, **{name: CHANGES[name]})
    with pytest.raises(BadProof):
        verify_proof(PART.public, IDENTITY.public, other, *sign_proof(PART, IDENTITY, WISH))
    with pytest.raises(BadProof):
        verify_order(LOG.public, other, sign_order(LOG, WISH))


def test_an_order_is_the_log_keys_and_no_proof_and_no_replacement_is_one() -> None:
    verify_order(LOG.public, WISH, sign_order(LOG, WISH))
    for forged in (sign_order(PART, WISH), sign_proof(LOG, LOG, WISH)[0], sign_proof(LOG, LOG, WISH)[1]):
        with pytest.raises(BadProof):
            verify_order(LOG.public, WISH, forged)
    order = sign_replacement(LOG, "lost", "heir")
    verify_replacement(LOG.public, "lost", "heir", order)
    for lost, heir in (("heir", "lost"), ("los", "their"), ("losth", "eir")):
        with pytest.raises(ForgedRecord):
            verify_replacement(LOG.public, lost, heir, order)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.binary(max_size=100))
def test_a_proof_of_storage_is_of_this_fragment_under_this_nonce(nonce: bytes, one: bytes, other: bytes) -> None:
    proof = storage_proof(nonce, one)
    assert len(proof) == 32
    assert (proof == storage_proof(nonce, other)) == (one == other)
    assert proof != storage_proof(nonce[1:] + bytes([nonce[0] ^ 1]), one)


def test_an_id_and_a_device_are_fixed_by_the_key() -> None:
    id = supplier_id(SUPPLIER.public)
    assert (len(id), len(supplier_device(id))) == (52, 26)
    assert supplier_id(PART.public) != id
    assert supplier_device(id) not in id
