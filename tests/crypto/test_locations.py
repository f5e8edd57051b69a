"""Changes of a location: each verifies in its place alone, and its body opens with its generation alone."""

from dataclasses import replace
from typing import Any

import pytest

from privity.crypto import labels, locations
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.locations import Manifest
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import digest
from privity.errors import DoesNotOpen, ForgedRecord, Malformed
from tests.examples import long_id, sealed, short_id

SIGN, PAIR = SigningKey.from_seed(b"s" * 32), generate_keypair(Suite.X_WING)
PLACE: dict[str, Any] = {"location": long_id("key"), "n": 2, "generation": 1, "by": long_id("ann")}
MANIFEST = Manifest(
    **PLACE, prev=sealed("first"), body=sealed("body"), objects=sealed("objects"), checkpoint="a checkpoint"
)
OBJECT = {"object": short_id("object"), "segments": 1, "needed": 1, "roots": [sealed("root")]}


def test_a_manifest_reads_back_and_verifies_under_its_writers_key_alone() -> None:
    data, signature = locations.sign_manifest(SIGN, MANIFEST)
    assert locations.verify_manifest(data, signature, SIGN.public) == MANIFEST
    for bytes_, key in ((data[:-2] + b" }", SIGN.public), (data, SigningKey.generate().public)):
        with pytest.raises(ForgedRecord):
            locations.verify_manifest(bytes_, signature, key)
    other = SIGN.sign(labels.GROUP_POST, data)
    with pytest.raises(ForgedRecord):
        locations.verify_manifest(data, other, SIGN.public)


@pytest.mark.parametrize(
    "bent",
    [{"prev": None}, {"n": 1}, {"n": 0}, {"generation": 0}, {"body": "short"}, {"checkpoint": ""}, {"by": ""}],
    ids=lambda bent: " ".join(bent),
)
def test_what_no_reader_would_take_is_not_signed(bent: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        locations.sign_manifest(SIGN, replace(MANIFEST, **bent))


def test_a_manifest_has_exactly_its_fields() -> None:
    data, _ = locations.sign_manifest(SIGN, MANIFEST)
    assert locations.read_manifest(data) == MANIFEST
    with pytest.raises(Malformed):
        locations.read_manifest(encode_record({"v": 1, "n": 1}))
    with pytest.raises(Malformed):
        locations.read_manifest(data.replace(b'"v":1', b'"v":1,"x":1'))


def test_a_body_opens_in_its_place_with_its_key_alone_and_says_little_by_its_size() -> None:
    blob = locations.seal_body(PAIR.suite, PAIR.public, b"names", **PLACE)
    named = replace(MANIFEST, body=digest(blob))
    assert locations.open_body(PAIR.suite, PAIR.private, blob, named) == b"names"
    longer = locations.seal_body(PAIR.suite, PAIR.public, b"names" * 200, **PLACE)
    assert len(longer) == len(blob)
    with pytest.raises(DoesNotOpen):  # another object than the manifest names
        locations.open_body(PAIR.suite, PAIR.private, longer, named)
    with pytest.raises(DoesNotOpen):
        locations.open_body(PAIR.suite, generate_keypair(Suite.X_WING).private, blob, named)
    for other in ({"location": long_id("other")}, {"n": 3}, {"generation": 2}, {"by": long_id("bob")}):
        with pytest.raises(DoesNotOpen):
            locations.open_body(PAIR.suite, PAIR.private, blob, replace(named, **other))


def test_a_body_has_a_bound() -> None:
    locations.seal_body(PAIR.suite, PAIR.public, bytes(locations.MAX_BODY), **PLACE)
    with pytest.raises(Malformed):
        locations.seal_body(PAIR.suite, PAIR.public, bytes(locations.MAX_BODY + 1), **PLACE)


def test_the_digest_of_objects_says_each_of_their_fields_in_order() -> None:
    second = OBJECT | {"object": short_id("second")}
    said = [
        locations.objects_digest(*each)
        for each in (
            ([], []),
            ([OBJECT], []),
            ([OBJECT, second], []),
            ([second, OBJECT], []),
            ([OBJECT | {"segments": 2}], []),
            ([OBJECT | {"roots": [sealed("other")]}], []),
            ([OBJECT], [short_id("x")]),
        )
    ]
    assert len(set(said)) == len(said)
    assert locations.objects_digest([OBJECT], []) == locations.objects_digest([dict(reversed(OBJECT.items()))], [])
