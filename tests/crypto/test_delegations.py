"""A vault key opens for its holder, in its place; steps and versions are what their signer signed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from privity.crypto.delegations import (
    Grant,
    Removal,
    check_key,
    key_hash,
    new_vault_key,
    open_vault_key,
    open_version,
    read_step,
    read_version,
    seal_vault_key,
    seal_version,
    sign_step,
    unwrap_before,
    unwrap_vault_key,
    verify_step,
    verify_version,
    wrap_before,
    wrap_vault_key,
)
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest
from privity.errors import DoesNotOpen, ForgedRecord, Malformed
from tests.crypto.examples import KEK, flip

ANN, EVE = SigningKey.from_seed(b"a" * 32), SigningKey.from_seed(b"e" * 32)
BOB = generate_keypair(Suite.X25519)
KEY, BEFORE = b"k" * 32, b"b" * 32
HOLDER: dict[str, Any] = {
    "principal": "ann",
    "delegation": "delegation",
    "holder": "bob",
    "role": "reader",
    "generation": 2,
}
GRANT = Grant(
    principal="ann",
    n=1,
    prev=None,
    by="ann",
    delegation="delegation",
    generation=1,
    key=key_hash(KEY, "ann", 1),
    checkpoint="checkpoint",
    delegate="bob",
    role="reader",
    connection="connection",
    delegate_key="key",
    suite=Suite.X25519,
    public=BOB.public,
    principal_address="ann@localhost",
    delegate_address="bob@localhost",
    expires=None,
)
REMOVAL = Removal(
    principal="ann",
    n=2,
    prev=digest(b"grant"),
    by="ann",
    delegation="delegation",
    generation=2,
    key=key_hash(KEY, "ann", 2),
    checkpoint="checkpoint",
)
VERSION: dict[str, Any] = {
    "principal": "ann",
    "item": "item",
    "version": 3,
    "generation": 2,
    "by": "bob",
    "delegation": "delegation",
    "checkpoint": "checkpoint",
}
SEALED = seal_version(KEY, b"the plan", **VERSION, identity=ANN)
each_step = pytest.mark.parametrize("step", [GRANT, REMOVAL], ids=["grant", "removal"])


def test_a_vault_key_is_random_and_named_by_a_hash_of_its_place():
    assert len({new_vault_key() for _ in range(3)}) == 3
    names = {key_hash(KEY, "ann", 1), key_hash(KEY, "ann", 2), key_hash(KEY, "eve", 1), key_hash(BEFORE, "ann", 1)}
    assert len(names) == 4
    assert check_key(KEY, GRANT.key, "ann", 1) == KEY
    with pytest.raises(DoesNotOpen):
        check_key(BEFORE, GRANT.key, "ann", 1)


@pytest.mark.parametrize("suite", Suite)
def test_a_sealed_vault_key_opens_for_its_holder(keypairs, suite):
    blob = seal_vault_key(KEY, suite, keypairs[suite].public, **HOLDER)
    assert open_vault_key(blob, suite, keypairs[suite].private, **HOLDER) == KEY


@pytest.mark.parametrize(
    "other",
    [{"principal": "eve"}, {"delegation": "second"}, {"holder": "eve"}, {"role": "owner"}, {"generation": 3}],
    ids=lambda other: next(iter(other)),
)
def test_a_sealed_vault_key_opens_in_its_place_alone(other):
    blob = seal_vault_key(KEY, BOB.suite, BOB.public, **HOLDER)
    for bent, place in ((blob, HOLDER | other), (flip(blob, -1), HOLDER)):
        with pytest.raises(DoesNotOpen):
            open_vault_key(bent, BOB.suite, BOB.private, **place)


def test_a_wrapped_vault_key_opens_for_its_kek_and_place_alone():
    place: dict[str, Any] = {"principal": "ann", "holder": "bob", "generation": 2}
    blob = wrap_vault_key(KEK, KEY, **place)
    assert unwrap_vault_key(KEK, blob, **place) == KEY
    for other in ({"principal": "eve"}, {"holder": "ann"}, {"generation": 1}):
        with pytest.raises(DoesNotOpen):
            unwrap_vault_key(KEK, blob, **place | other)
    with pytest.raises(DoesNotOpen):
        unwrap_vault_key(KEY, blob, **place)


def test_the_key_of_before_opens_under_the_one_that_followed_it_alone():
    blob = wrap_before(KEY, BEFORE, principal="ann", generation=2)
    assert unwrap_before(KEY, blob, principal="ann", generation=2) == BEFORE
    for key, principal, generation in ((BEFORE, "ann", 2), (KEY, "eve", 2), (KEY, "ann", 3)):
        with pytest.raises(DoesNotOpen):
            unwrap_before(key, blob, principal=principal, generation=generation)


@each_step
def test_a_step_is_what_its_signer_signed(step):
    record, signature = sign_step(step, ANN)
    assert read_step(record) == verify_step(record, signature, ANN.public) == step
    for bent, by in ((flip(signature, 0), ANN), (signature, EVE)):
        with pytest.raises(ForgedRecord):
            verify_step(record, bent, by.public)


def test_the_signature_of_one_kind_of_step_is_none_of_another():
    _, signature = sign_step(REMOVAL, ANN)
    record, _ = sign_step(GRANT, ANN)
    with pytest.raises(ForgedRecord):
        verify_step(record, signature, ANN.public)


@pytest.mark.parametrize(
    "bent",
    [
        {"role": "king"},
        {"n": 0},
        {"n": 2},
        {"prev": digest(b"grant")},
        {"generation": 0},
        {"key": "short"},
        {"suite": "ROT13"},
        {"public": ""},
        {"expires": 5},
        {"delegate": ""},
        {"v": 2},
        {"more": 1},
    ],
    ids=str,
)
def test_a_step_that_says_something_else_is_none(bent):
    facts = json.loads(sign_step(GRANT, ANN)[0]) | bent
    with pytest.raises(Malformed):
        read_step(encode_record(facts))
    if bent.keys() & {"role", "n", "generation"}:
        with pytest.raises(Malformed):
            sign_step(replace(GRANT, **bent), ANN)


def test_a_version_opens_as_its_author_signed_it():
    version = verify_version(SEALED.record, SEALED.signature, ANN.public)
    assert (version.content, version.wrap) == (digest(SEALED.content), digest(SEALED.wrap))
    assert {name: getattr(version, name) for name in VERSION} == VERSION
    assert open_version(KEY, version, SEALED.content, SEALED.wrap) == b"the plan"
    own = seal_version(KEY, b"mine", **VERSION | {"delegation": None, "by": "ann"}, identity=ANN)
    assert open_version(KEY, read_version(own.record), own.content, own.wrap) == b"mine"


def test_a_version_by_another_key_or_bent_is_forged():
    for record, signature, public in (
        (SEALED.record, SEALED.signature, EVE.public),
        (SEALED.record, flip(SEALED.signature, 3), ANN.public),
        (SEALED.record.replace(b'"version":3', b'"version":4'), SEALED.signature, ANN.public),
    ):
        with pytest.raises(ForgedRecord):
            verify_version(record, signature, public)


@pytest.mark.parametrize(
    "other",
    [{"principal": "eve"}, {"item": "other"}, {"version": 4}, {"generation": 1}, {"by": "eve"}, {"delegation": None}],
    ids=lambda other: next(iter(other)),
)
def test_a_versions_parts_open_in_no_other_place(other):
    version = read_version(SEALED.record)
    with pytest.raises(DoesNotOpen):
        open_version(KEY, replace(version, **other), SEALED.content, SEALED.wrap)


def test_a_versions_parts_are_those_that_its_record_names():
    version = read_version(SEALED.record)
    again = seal_version(KEY, b"the plan", **VERSION, identity=ANN)
    for key, content, wrap in (
        (BEFORE, SEALED.content, SEALED.wrap),
        (KEY, again.content, SEALED.wrap),
        (KEY, SEALED.content, again.wrap),
        (KEY, flip(SEALED.content, -1), SEALED.wrap),
    ):
        with pytest.raises(DoesNotOpen):
            open_version(key, version, content, wrap)


@pytest.mark.parametrize(
    "bent", [{"version": 0}, {"generation": 0}, {"content": "x"}, {"by": ""}, {"more": 1}], ids=str
)
def test_a_version_that_says_something_else_is_none(bent):
    with pytest.raises(Malformed):
        read_version(encode_record(json.loads(SEALED.record) | bent))


def test_nothing_shows_a_secret():
    record, _ = sign_step(GRANT, ANN)
    for secret in (KEY, ANN.seed):
        assert b64(secret).encode() not in record + SEALED.record
        assert repr(secret) not in repr(GRANT) + repr(SEALED)


@pytest.mark.parametrize("expires", ["tomorrow", "2027-01-31", "2027-01-31T00:00:00", "2027-01-31T00:00:00+01:00"])
def test_a_grants_end_is_an_instant_in_its_one_spelling(expires: str) -> None:
    """Else each agent would read another end in it, or none at all."""
    with pytest.raises(Malformed):
        sign_step(replace(GRANT, expires=expires), ANN)
    record, signature = sign_step(replace(GRANT, expires="2027-01-31T00:00:00+00:00"), ANN)
    assert read_step(record).expires == "2027-01-31T00:00:00+00:00"  # type: ignore[union-attr]
    assert verify_step(record, signature, ANN.public) == read_step(record)
