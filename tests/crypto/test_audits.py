"""Audits of keys: a proof serves one question of one asker, and no other use of the key can be made to answer it."""

import hmac
from dataclasses import replace
from typing import Any

import pytest

from privity.crypto import kem, labels
from privity.crypto.audits import (
    CHALLENGE_BYTES,
    KEY_SUITE,
    AuditPlace,
    Said,
    challenge_of,
    check_answer,
    grant_id,
    identity_held,
    open_challenge,
    seal_answer,
    seal_challenge,
    sign_answer,
    sign_audit,
    verify_answer,
    verify_audit,
)
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.signing import SigningKey
from privity.encoding import b32, digest, lp, sha256
from privity.errors import DoesNotOpen, ForgedRecord, WrongAnswer


def long_id(name: str) -> str:
    """An account's, connection's or key's id."""
    return b32(sha256(name.encode()))


PLACE = AuditPlace(
    audit=long_id("audit")[:26],
    asker=long_id("ann"),
    of=long_id("bob"),
    connection=long_id("connection"),
    key=long_id("key"),
    kind="private",
    generation=2,
    nonce=digest(b"nonce"),
)
OTHERS: dict[str, Any] = {
    "audit": long_id("another")[:26],
    "asker": long_id("eve"),
    "of": long_id("eve"),
    "connection": long_id("another connection"),
    "key": long_id("another key"),
    "kind": "public",
    "generation": 3,
    "nonce": digest(b"another nonce"),
}
KEY, ASKER, IDENTITY = generate_keypair(), generate_keypair(Suite.X25519), SigningKey.generate()
KEK = bytes(32)
ELSEWHERE = pytest.mark.parametrize("field", OTHERS)


def test_b10_who_has_the_private_part_answers_and_the_asker_alone_can_tell() -> None:
    sealed = seal_challenge(PLACE, challenge_of(KEK, PLACE), KEY.public)
    challenge = open_challenge(PLACE, sealed, KEY.private)
    assert challenge == challenge_of(KEK, PLACE)
    assert len(challenge) == CHALLENGE_BYTES
    answer = seal_answer(PLACE, challenge, ASKER.suite, ASKER.public)
    check_answer(PLACE, challenge_of(KEK, PLACE), ASKER.suite, answer, ASKER.private)
    mac = kem.open_with(ASKER.suite, ASKER.private, answer, labels.KEY_AUDIT_TO_ASKER, *PLACE.context)
    assert mac == hmac.digest(challenge, lp(labels.KEY_AUDIT_ANSWER, *PLACE.context), "sha256")
    with pytest.raises(WrongAnswer):
        check_answer(PLACE, bytes(32), ASKER.suite, answer, ASKER.private)
    with pytest.raises(DoesNotOpen):
        check_answer(PLACE, challenge, ASKER.suite, answer, generate_keypair(Suite.X25519).private)


@ELSEWHERE
def test_u8_a_challenge_and_its_answer_are_good_for_one_place(field: str) -> None:
    """Under another asker, key, generation or nonce neither opens, and the challenge itself is another one."""
    other = replace(PLACE, **{field: OTHERS[field]})
    challenge = challenge_of(KEK, PLACE)
    answer = seal_answer(PLACE, challenge, ASKER.suite, ASKER.public)
    with pytest.raises(DoesNotOpen):
        open_challenge(other, seal_challenge(PLACE, challenge, KEY.public), KEY.private)
    with pytest.raises(DoesNotOpen):
        check_answer(other, challenge, ASKER.suite, answer, ASKER.private)
    assert challenge_of(KEK, other) != challenge
    mac = hmac.digest(challenge, lp(labels.KEY_AUDIT_ANSWER, *other.context), "sha256")
    forged = kem.seal_to(ASKER.suite, ASKER.public, mac, labels.KEY_AUDIT_TO_ASKER, *PLACE.context)
    with pytest.raises(WrongAnswer):  # sealed for this place, but made for another one
        check_answer(PLACE, challenge, ASKER.suite, forged, ASKER.private)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_u8_nothing_but_a_challenge_is_answered(length: int) -> None:
    """What has another length is none, and what is sealed for another use does not open."""
    sealed = kem.seal_to(KEY_SUITE, KEY.public, bytes(length), labels.KEY_AUDIT_CHALLENGE, *PLACE.context)
    with pytest.raises(DoesNotOpen):
        open_challenge(PLACE, sealed, KEY.private)


@pytest.mark.parametrize("name", ["LOCATION_BODY", "KEY_FILE_DEK", "SHARING_KEY_TO_HOLDER", "KEY_AUDIT_TO_ASKER"])
def test_u8_what_is_sealed_to_the_key_for_another_use_is_no_challenge(name: str) -> None:
    sealed = kem.seal_to(KEY_SUITE, KEY.public, bytes(32), getattr(labels, name), *PLACE.context)
    with pytest.raises(DoesNotOpen):
        open_challenge(PLACE, sealed, KEY.private)
    kem.open_with(KEY_SUITE, KEY.private, sealed, getattr(labels, name), *PLACE.context)


def test_b10_who_has_another_key_cannot_open_the_challenge() -> None:
    sealed = seal_challenge(PLACE, challenge_of(KEK, PLACE), KEY.public)
    with pytest.raises(DoesNotOpen):
        open_challenge(PLACE, sealed, generate_keypair().private)


@ELSEWHERE
def test_b27_question_and_answer_are_signed_with_all_that_they_are_bound_to(field: str) -> None:
    other = replace(PLACE, **{field: OTHERS[field]})
    said = Said(verdict="holds", answer=digest(b"answer"))
    question, answer = sign_audit(IDENTITY, PLACE, digest(b"sealed")), sign_answer(IDENTITY, PLACE, said)
    verify_audit(PLACE, digest(b"sealed"), question, IDENTITY.public)
    verify_answer(PLACE, said, answer, IDENTITY.public)
    with pytest.raises(ForgedRecord):
        verify_audit(other, digest(b"sealed"), question, IDENTITY.public)
    with pytest.raises(ForgedRecord):
        verify_answer(other, said, answer, IDENTITY.public)
    with pytest.raises(ForgedRecord):
        verify_audit(PLACE, digest(b"sealed"), answer, IDENTITY.public)


@pytest.mark.parametrize(
    "said", [Said(verdict="not-registered"), Said(verdict="holds", held="x"), Said(verdict="holds", answer="x")]
)
def test_b27_another_answer_needs_another_signature(said: Said) -> None:
    signature = sign_answer(IDENTITY, PLACE, Said(verdict="holds"))
    with pytest.raises(ForgedRecord):
        verify_answer(PLACE, said, signature, IDENTITY.public)
    with pytest.raises(ForgedRecord):
        verify_audit(PLACE, digest(b"another"), sign_audit(IDENTITY, PLACE, digest(b"sealed")), IDENTITY.public)


def test_ids_and_digests_name_all_that_they_are_of() -> None:
    assert len(grant_id("key", "to", "connection")) == 26
    assert len({grant_id("key", "to", "over"), grant_id("key", "t", "oover"), grant_id("ke", "yto", "over")}) == 3
    assert len({identity_held("ann", b"sign", b"seal"), identity_held("ann", b"sig", b"nseal")}) == 2
