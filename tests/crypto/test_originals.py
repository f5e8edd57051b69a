"""A value is its owner's only as they signed it, and a permission grants no more than the one that it rests on."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto import labels
from privity.crypto.originals import (
    MAX_HOPS,
    MAX_SLOTS,
    Origin,
    Permission,
    beyond,
    check_original,
    check_permission,
    permit,
    permits,
    read_permission,
    sign_original,
)
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import digest
from privity.errors import ForgedRecord, Malformed
from tests.crypto.examples import flip

ANN, BOB, EVE = (SigningKey.from_seed(name * 32) for name in (b"A", b"B", b"E"))
ANNS, BOBS, CAROLS = ("a" * 52, "b" * 52, "c" * 52)
ITEM_1, ITEM_2, SHARE_1, SHARE_2 = ("i" * 26, "j" * 26, "s" * 26, "t" * 26)
ORIGIN = Origin(ANNS, ITEM_1, 3)
END = datetime(2030, 1, 1, tzinfo=UTC)
TERMS = digest(b"terms")
FIRST = Permission(
    origin=ORIGIN,
    share=SHARE_1,
    giver=ANNS,
    taker=BOBS,
    hops=2,
    keep=False,
    slots=("name", "number"),
    expires=END,
    terms_hash=TERMS,
    prev=None,
)
SECOND = replace(FIRST, share=SHARE_2, giver=BOBS, taker=CAROLS, hops=1, prev=digest(FIRST.to_bytes()))


@given(st.text(st.characters(exclude_categories=("Cs",))), st.binary(max_size=200))
def test_the_owners_signature_holds_for_their_value(slot, value):
    check_original([BOB.public, ANN.public], sign_original(ANN, ORIGIN, slot, value), ORIGIN, slot, value)


@pytest.mark.parametrize(
    ("origin", "slot", "value"),
    [
        (replace(ORIGIN, owner=BOBS), "number", b"X123"),
        (replace(ORIGIN, item=ITEM_2), "number", b"X123"),
        (replace(ORIGIN, version=4), "number", b"X123"),
        (ORIGIN, "name", b"X123"),
        (ORIGIN, "", b"X123"),
        (ORIGIN, None, b"X123"),
        (ORIGIN, "number", b"X124"),
        (ORIGIN, "number", b""),
    ],
    ids=str,
)
def test_an_original_holds_for_nothing_else(origin, slot, value):
    original = sign_original(ANN, ORIGIN, "number", b"X123")
    check_original([ANN.public], original, ORIGIN, "number", b"X123")
    with pytest.raises(ForgedRecord):
        check_original([ANN.public], original, origin, slot, value)


def test_an_original_is_by_the_owners_keys_alone():
    original = sign_original(EVE, ORIGIN, "number", b"X123")
    for keys in ([], [ANN.public], [ANN.public, BOB.public]):
        with pytest.raises(ForgedRecord):
            check_original(keys, original, ORIGIN, "number", b"X123")


def test_the_label_is_no_slot_and_no_slot_the_label():
    label, unnamed = sign_original(ANN, ORIGIN, None, b"X"), sign_original(ANN, ORIGIN, "", b"X")
    check_original([ANN.public], label, ORIGIN, None, b"X")
    check_original([ANN.public], unnamed, ORIGIN, "", b"X")
    for original, slot in ((label, ""), (unnamed, None)):
        with pytest.raises(ForgedRecord):
            check_original([ANN.public], original, ORIGIN, slot, b"X")


def test_no_bit_of_an_original_can_be_turned():
    original = sign_original(ANN, ORIGIN, "number", b"X123")
    for bit in range(0, 512, 7):
        bent = replace(original, signature=flip(original.signature, bit))
        with pytest.raises(ForgedRecord):
            check_original([ANN.public], bent, ORIGIN, "number", b"X123")
    for salt in (flip(original.salt, 0), b"", original.salt + b"\0"):
        with pytest.raises(ForgedRecord):
            check_original([ANN.public], replace(original, salt=salt), ORIGIN, "number", b"X123")


def test_u8_the_same_value_signed_twice_looks_different_so_that_nobody_guesses_it():
    one, other = (sign_original(ANN, ORIGIN, "number", b"X123") for _ in range(2))
    assert one.salt != other.salt
    assert one.signature != other.signature
    assert repr(one.salt) not in repr(one)


# permissions


@pytest.mark.parametrize("permission", [FIRST, SECOND, replace(FIRST, slots=None, expires=None, terms_hash=None)])
def test_a_permission_is_read_as_it_was_signed(permission):
    record, signature = permit(ANN, permission)
    check_permission([BOB.public, ANN.public], record, signature)
    assert read_permission(record) == permission
    with pytest.raises(ForgedRecord):
        check_permission([BOB.public], record, signature)


def test_no_bit_of_a_permission_can_be_turned():
    record, signature = permit(ANN, FIRST)
    for bit in range(0, len(record) * 8, 11):
        with pytest.raises(ForgedRecord):
            check_permission([ANN.public], flip(record, bit), signature)


def test_a_signature_for_another_use_is_no_permission_and_no_original():
    record = FIRST.to_bytes()
    for label in (labels.ORIGINAL, labels.SHARE_MANIFEST, labels.TERMS_ACCEPTED):
        with pytest.raises(ForgedRecord):
            check_permission([ANN.public], record, ANN.sign(label, record))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"version": 0},
        {"hops": MAX_HOPS + 1},
        {"hops": -1},
        {"hops": None},
        {"keep": 2},
        {"slots": ["number", "name"]},
        {"slots": ["name", "name"]},
        {"slots": "name"},
        {"slots": [1]},
        {"slots": [f"{n:03}" for n in range(MAX_SLOTS + 1)]},
        {"expires": "soon"},
        {"expires": "2030-01-01"},
        {"expires": "2030-01-01T00:00:00"},
        {"expires": "2030-01-01T01:00:00+01:00"},
        {"terms_hash": "short"},
        {"prev": ""},
        {"from": ""},
        *[{name: "a" * 51 + "\x1b"} for name in ("owner", "from", "to")],
        *[{name: "a" * 25 + "\u202e"} for name in ("item", "share")],
        {"share": "a" * 52},
        {"more": 1},
    ],
    ids=str,
)
def test_a_permission_of_another_shape_is_malformed(change):
    with pytest.raises(Malformed):
        read_permission(encode_record(json.loads(FIRST.to_bytes()) | change))


@given(st.binary(max_size=100))
def test_foreign_bytes_are_no_permission(data):
    with pytest.raises(Malformed):
        read_permission(data)


def test_a_permission_that_no_reader_would_take_is_not_signed():
    with pytest.raises(Malformed):
        permit(ANN, replace(FIRST, hops=MAX_HOPS + 1))
    with pytest.raises(Malformed):
        permit(ANN, replace(FIRST, slots=("number", "name")))


# no more than was given


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"hops": 0},
        {"slots": ("number",)},
        {"slots": ()},
        {"expires": END - timedelta(days=1)},
    ],
    ids=str,
)
def test_less_may_be_given_on(change):
    assert beyond(FIRST, None) is None
    assert beyond(replace(SECOND, **change), FIRST) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prev": digest(b"another")}, "another permission"),
        ({"prev": None}, "another permission"),
        ({"giver": "eve"}, "somebody else"),
        ({"giver": ANNS}, "somebody else"),
        ({"origin": replace(ORIGIN, item=ITEM_2)}, "another item"),
        ({"origin": replace(ORIGIN, version=4)}, "version"),
        ({"origin": replace(ORIGIN, owner=BOBS)}, "another item"),
        ({"hops": 2}, "more hands"),
        ({"hops": 3}, "more hands"),
        ({"slots": ("address",)}, "other slots"),
        ({"slots": ("address", "name", "number")}, "other slots"),
        ({"slots": None}, "other slots"),
        ({"expires": END + timedelta(seconds=1)}, "later"),
        ({"expires": None}, "later"),
        ({"terms_hash": None}, "other terms"),
        ({"terms_hash": digest(b"others")}, "other terms"),
        ({"keep": True}, "copies"),
    ],
    ids=str,
)
def test_u3_no_more_may_be_given_on_than_one_has(change, says):
    assert says in (beyond(replace(SECOND, **change), FIRST) or "")


def test_u3_nobody_passes_on_what_ends_with_them():
    last = replace(FIRST, hops=0)
    for hops in (0, 1):
        on = replace(SECOND, hops=hops, prev=digest(last.to_bytes()))
        assert beyond(on, last) == "it is over more hands"


def test_u3_only_the_owner_begins_a_chain():
    assert beyond(replace(FIRST, giver="eve"), None)
    assert beyond(SECOND, None)


def test_where_little_was_asked_for_all_may_be_given_on():
    free = replace(FIRST, slots=None, expires=None, terms_hash=None, keep=True)
    rests = replace(SECOND, prev=digest(free.to_bytes()))
    for change in ({"slots": None}, {"expires": None}, {"terms_hash": None}, {"keep": True}, {"terms_hash": TERMS}):
        assert beyond(replace(rests, **change), free) is None


def test_the_slots_of_a_share_are_within_its_permission():
    assert permits(FIRST, ["name"])
    assert permits(FIRST, [])
    assert not permits(FIRST, ["name", "address"])
    assert permits(replace(FIRST, slots=None), ["name", "address"])
