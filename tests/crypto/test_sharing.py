"""A share opens for its owner and its recipient, in its place, as its owner signed it."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.kem import KeyPair, Suite, generate_keypair
from privity.crypto.keyring import new_dek
from privity.crypto.record import encode_record
from privity.crypto.sharing import (
    Conditions,
    Manifest,
    SealedShare,
    accept_terms,
    check_accepted,
    line_id,
    new_terms,
    open_share,
    open_terms,
    read_manifest,
    rewrap_dek,
    unseal_dek,
    unwrap_own,
    verify_share,
)
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest
from privity.errors import DoesNotOpen, ForgedRecord, Malformed
from tests.crypto.examples import DEK, KEK, OWNER, flip, sealed_share

BOB_KEK = b"B" * 32
BOB = generate_keypair(Suite.X25519)
SHARE = sealed_share(BOB)
MANIFEST = read_manifest(SHARE.manifest)
PLACES: dict[str, str | int] = {
    "owner": "eve",
    "share": "share-2",
    "space": "space-2",
    "connection": "connection-2",
    "item": "item-2",
    "recipient": "eve",
    "version": 2,
    "generation": 2,
}
each_place = pytest.mark.parametrize("name", PLACES)


def moved(name: str) -> Manifest:
    """The manifest that a liar would show, to open Ann's parts in another place."""
    return replace(MANIFEST, **{name: PLACES[name]})  # type: ignore[arg-type]


def read_by(pair: KeyPair, share: SealedShare) -> bytes:
    manifest = verify_share(share.manifest, share.signature, OWNER.public)
    return open_share(manifest, unseal_dek(manifest, share.recipient_wrap, pair.private), share.content)


@pytest.mark.parametrize("suite", Suite)
def test_the_recipient_reads_what_was_shared_in_every_suite(keypairs, suite):
    assert read_by(keypairs[suite], sealed_share(keypairs[suite])) == b"the plan"


@given(st.binary(max_size=200))
def test_any_bytes_can_be_shared(plaintext):
    assert read_by(BOB, sealed_share(BOB, plaintext)) == plaintext


def test_the_owner_reads_it_by_their_own_wrap():
    dek = unwrap_own(KEK, SHARE.owner_wrap, MANIFEST, "owner")
    assert open_share(MANIFEST, dek, SHARE.content) == b"the plan"


def test_the_recipient_reads_it_later_without_the_private_key():
    wrap = rewrap_dek(BOB_KEK, unseal_dek(MANIFEST, SHARE.recipient_wrap, BOB.private), MANIFEST)
    assert unwrap_own(BOB_KEK, wrap, MANIFEST, "recipient") == DEK


def test_the_manifest_names_every_part_by_its_digest():
    assert (MANIFEST.content, MANIFEST.owner_wrap, MANIFEST.recipient_wrap) == (
        digest(SHARE.content),
        digest(SHARE.owner_wrap),
        digest(SHARE.recipient_wrap),
    )
    assert (MANIFEST.generation, MANIFEST.suite, MANIFEST.recipient_key) == (1, Suite.X25519, "key-1")
    assert set(json.loads(SHARE.manifest)) == {"v", *(each.name for each in fields(Manifest))}


def test_a_manifest_shows_no_key_and_no_text():
    for secret in (DEK, KEK, b"the plan"):
        assert secret not in SHARE.manifest
        assert b64(secret).encode() not in SHARE.manifest


# bound to its place


@each_place
def test_the_dek_does_not_unseal_in_another_place(name):
    with pytest.raises(DoesNotOpen):
        unseal_dek(moved(name), SHARE.recipient_wrap, BOB.private)


@each_place
def test_the_content_does_not_open_in_another_place(name):
    with pytest.raises(DoesNotOpen):
        open_share(moved(name), DEK, SHARE.content)


@each_place
def test_the_owners_wrap_does_not_open_in_another_place(name):
    with pytest.raises(DoesNotOpen):
        unwrap_own(KEK, SHARE.owner_wrap, moved(name), "owner")


@each_place
def test_the_recipients_own_wrap_does_not_open_in_another_place(name):
    with pytest.raises(DoesNotOpen):
        unwrap_own(BOB_KEK, rewrap_dek(BOB_KEK, DEK, MANIFEST), moved(name), "recipient")


def test_the_wraps_of_the_two_roles_are_not_exchanged():
    own = rewrap_dek(KEK, DEK, MANIFEST)
    as_owners = replace(MANIFEST, owner_wrap=digest(own))
    with pytest.raises(DoesNotOpen):
        unwrap_own(KEK, own, as_owners, "owner")
    with pytest.raises(DoesNotOpen):
        unwrap_own(KEK, SHARE.owner_wrap, MANIFEST, "recipient")


def test_another_suite_named_does_not_open():
    with pytest.raises(DoesNotOpen):
        unseal_dek(replace(MANIFEST, suite=Suite.X_WING), SHARE.recipient_wrap, BOB.private)


def test_another_key_does_not_open():
    with pytest.raises(DoesNotOpen):
        unseal_dek(MANIFEST, SHARE.recipient_wrap, generate_keypair(Suite.X25519).private)
    with pytest.raises(DoesNotOpen):
        open_share(MANIFEST, new_dek(), SHARE.content)
    with pytest.raises(DoesNotOpen):
        unwrap_own(BOB_KEK, SHARE.owner_wrap, MANIFEST, "owner")


# as its owner signed it


def test_sound_parts_of_another_sealing_are_not_the_manifests():
    """The same place, key and text sealed again: each part would open, but the manifest names others."""
    other = sealed_share(BOB)
    with pytest.raises(DoesNotOpen):
        unseal_dek(MANIFEST, other.recipient_wrap, BOB.private)
    with pytest.raises(DoesNotOpen):
        open_share(MANIFEST, DEK, other.content)
    with pytest.raises(DoesNotOpen):
        unwrap_own(KEK, other.owner_wrap, MANIFEST, "owner")


OPENERS: dict[str, Callable[[Manifest, bytes], bytes]] = {
    "content": lambda manifest, blob: open_share(manifest, DEK, blob),
    "owner_wrap": lambda manifest, blob: unwrap_own(KEK, blob, manifest, "owner"),
    "recipient_wrap": lambda manifest, blob: unseal_dek(manifest, blob, BOB.private),
}


@pytest.mark.parametrize("part", OPENERS)
def test_no_bit_of_a_part_can_be_turned_even_if_the_digest_follows(part):
    blob: bytes = getattr(SHARE, part)
    for bit in range(0, len(blob) * 8, 5):
        bent = flip(blob, bit)
        for manifest in (MANIFEST, replace(MANIFEST, **{part: digest(bent)})):  # type: ignore[arg-type]
            with pytest.raises(DoesNotOpen):
                OPENERS[part](manifest, bent)


def test_the_error_does_not_tell_why():
    causes = (
        lambda: open_share(MANIFEST, DEK, b""),
        lambda: open_share(MANIFEST, new_dek(), SHARE.content),
        lambda: unseal_dek(MANIFEST, SHARE.recipient_wrap, b"no key"),
        lambda: unwrap_own(b"no key", SHARE.owner_wrap, MANIFEST, "owner"),
    )
    for cause in causes:
        with pytest.raises(DoesNotOpen) as caught:
            cause()
        assert caught.value.args == DoesNotOpen().args


def test_only_the_senders_signature_counts():
    with pytest.raises(ForgedRecord):
        verify_share(SHARE.manifest, SHARE.signature, SigningKey.generate().public)
    with pytest.raises(ForgedRecord):
        verify_share(SHARE.manifest, OWNER.sign(b"another label", SHARE.manifest), OWNER.public)


def test_no_bit_of_the_manifest_can_be_turned():
    for bit in range(0, len(SHARE.manifest) * 8, 5):
        with pytest.raises(ForgedRecord):
            verify_share(flip(SHARE.manifest, bit), SHARE.signature, OWNER.public)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"version": 0},
        {"generation": 0},
        {"version": "1"},
        {"content": "abc"},
        {"content": None},
        {"suite": "ROT13"},
        {"owner": ""},
        {"more": 1},
        {"n": 0},
        {"n": 2},
        {"n": "1"},
        {"prev": digest(b"one before the first")},
        {"n": 2, "prev": ""},
        {"n": 2, "prev": "short"},
        {"checkpoint": ""},
        {"checkpoint": None},
        {"checkpoint": "x" * 513},
    ],
    ids=str,
)
def test_a_manifest_of_another_shape_is_malformed(change):
    with pytest.raises(Malformed):
        read_manifest(encode_record(json.loads(SHARE.manifest) | change))


@given(st.binary(max_size=100))
def test_foreign_bytes_are_no_manifest(data):
    with pytest.raises(Malformed):
        read_manifest(data)


def test_a_share_is_sealed_to_a_sound_key_only():
    with pytest.raises(Malformed):
        sealed_share(BOB, recipient_public=b"short")
    with pytest.raises(Malformed):
        sealed_share(BOB, version=0)


# its place in the line


def test_a_manifest_has_its_number_and_the_digest_of_the_one_before():
    assert (MANIFEST.n, MANIFEST.prev, MANIFEST.checkpoint) == (1, None, "a checkpoint")
    second = read_manifest(sealed_share(BOB, n=2, prev=digest(SHARE.manifest)).manifest)
    assert (second.n, second.prev) == (2, digest(SHARE.manifest))


@pytest.mark.parametrize(("n", "prev"), [(0, None), (1, digest(b"x")), (2, None), (-1, None)])
def test_a_share_is_not_sealed_for_a_place_that_no_line_has(n, prev):
    with pytest.raises(Malformed):
        sealed_share(BOB, n=n, prev=prev)


def test_a_manifest_of_privity_0_1_is_read_and_stands_in_no_line():
    facts = json.loads(SHARE.manifest)
    old = {name: value for name, value in facts.items() if name not in ("n", "prev", "checkpoint")}
    read = read_manifest(encode_record(old))
    assert (read.n, read.prev, read.checkpoint) == (0, None, "")
    assert replace(read, n=1, checkpoint="a checkpoint") == MANIFEST
    for name in ("n", "prev", "checkpoint"):
        with pytest.raises(Malformed):
            read_manifest(encode_record(old | {name: facts[name]}))


def test_a_line_has_an_id_of_its_own_for_each_sender_and_connection():
    ids = {line_id(connection, sender) for connection in ("c", "d") for sender in ("ann", "bob")}
    assert len(ids) == 4
    assert line_id("ca", "nn") != line_id("c", "ann")
    assert {len(each) for each in ids} == {52}


# Conditions.

TERMS = new_terms("for your eyes only")
LATER = datetime(2026, 3, 15, 12, tzinfo=UTC)
ALL = Conditions(expires=LATER, terms=TERMS, reshare=2, keep=True, source="share-0")


def test_conditions_stand_in_the_manifest_as_the_owner_gave_them() -> None:
    sealed = sealed_share(BOB, conditions=ALL, generation=3)
    manifest = read_manifest(sealed.manifest)
    said = (manifest.expires, manifest.terms_hash, manifest.reshare, manifest.keep, manifest.source)
    assert said == (LATER, TERMS.hash, 2, True, "share-0")
    assert manifest.generation == 3
    assert sealed.terms is not None
    assert sealed.parts[3] == sealed.terms
    assert digest(sealed.terms) == manifest.terms
    plain = read_manifest(sealed_share(BOB).manifest)
    assert (plain.expires, plain.terms, plain.terms_hash, plain.reshare, plain.keep, plain.source) == (
        None,
        None,
        None,
        0,
        False,
        None,
    )


def test_a_manifest_of_before_there_were_conditions_is_read_and_has_none() -> None:
    facts = json.loads(sealed_share(BOB).manifest)
    for name in ("expires", "terms", "terms_hash", "reshare", "keep", "source"):
        del facts[name]
    manifest = read_manifest(encode_record(facts))
    assert (manifest.expires, manifest.terms_hash, manifest.reshare, manifest.source) == (None, None, 0, None)


@pytest.mark.parametrize(
    "change",
    [
        {"expires": "2026-03-15T12:00:00"},
        {"expires": "2026-03-15T13:00:00+01:00"},
        {"expires": "tomorrow"},
        {"expires": 7},
        {"terms": None},
        {"terms_hash": None},
        {"terms_hash": "short"},
        {"reshare": 9},
        {"reshare": -1},
        {"reshare": True},
        {"keep": 2},
        {"keep": None},
        {"source": ""},
        {"source": 1},
    ],
    ids=str,
)
def test_conditions_of_another_shape_are_malformed(change: dict[str, object]) -> None:
    facts = json.loads(sealed_share(BOB, conditions=ALL).manifest)
    with pytest.raises(Malformed):
        read_manifest(encode_record(facts | change))


@pytest.mark.parametrize("name", ["expires", "terms", "terms_hash", "reshare", "keep", "source"])
def test_a_part_of_the_conditions_is_malformed(name: str) -> None:
    facts = json.loads(sealed_share(BOB, conditions=ALL).manifest)
    del facts[name]
    with pytest.raises(Malformed):
        read_manifest(encode_record(facts))


@pytest.mark.parametrize("suite", Suite)
def test_terms_of_any_allowed_length_are_sealed_in_every_suite(keypairs: dict[Suite, KeyPair], suite: Suite) -> None:
    pair, long = keypairs[suite], new_terms("\x01" * 16_384)
    sealed = sealed_share(pair, conditions=Conditions(terms=long))
    assert open_terms(read_manifest(sealed.manifest), sealed.terms or b"", pair.private) == long


def test_the_recipient_reads_the_terms_and_nobody_guesses_them_by_their_hash() -> None:
    sealed = sealed_share(BOB, conditions=ALL)
    manifest = read_manifest(sealed.manifest)
    assert open_terms(manifest, sealed.terms or b"", BOB.private) == TERMS
    assert new_terms(TERMS.text).hash != TERMS.hash
    assert TERMS.text not in repr(TERMS)
    with pytest.raises(DoesNotOpen):
        open_terms(manifest, sealed.terms or b"", generate_keypair(BOB.suite).private)
    other = sealed_share(BOB, conditions=ALL)
    with pytest.raises(DoesNotOpen):
        open_terms(manifest, other.terms or b"", BOB.private)


def test_terms_of_another_share_or_generation_do_not_open() -> None:
    sealed = sealed_share(BOB, conditions=ALL)
    for place in ({"share": "share-2"}, {"generation": 2}, {"recipient": "eve"}):
        elsewhere = replace(read_manifest(sealed.manifest), **place)
        with pytest.raises(DoesNotOpen):
            open_terms(elsewhere, sealed.terms or b"", BOB.private)


def test_terms_whose_text_is_not_the_one_that_the_manifest_hashes_do_not_open() -> None:
    sealed = sealed_share(BOB, conditions=ALL)
    manifest = replace(read_manifest(sealed.manifest), terms_hash=new_terms("something else").hash)
    with pytest.raises(DoesNotOpen):
        open_terms(manifest, sealed.terms or b"", BOB.private)


@pytest.mark.parametrize("text", ["", "x" * 16_385])
def test_terms_have_a_text_and_a_bound(text: str) -> None:
    with pytest.raises(Malformed):
        new_terms(text)


def test_m22_an_acceptance_counts_for_these_terms_of_this_share_in_every_generation() -> None:
    signer = SigningKey.generate()
    manifest = read_manifest(sealed_share(BOB, conditions=ALL).manifest)
    signature = accept_terms(signer, manifest)
    check_accepted(signer.public, signature, manifest)
    check_accepted(signer.public, signature, read_manifest(sealed_share(BOB, conditions=ALL, generation=2).manifest))
    others = [
        replace(manifest, terms_hash=new_terms(TERMS.text).hash),
        replace(manifest, share="share-2"),
        replace(manifest, owner="eve"),
        replace(manifest, recipient="eve"),
        replace(manifest, connection="connection-2"),
    ]
    for other in others:
        with pytest.raises(ForgedRecord):
            check_accepted(signer.public, signature, other)
    with pytest.raises(ForgedRecord):
        check_accepted(SigningKey.generate().public, signature, manifest)
