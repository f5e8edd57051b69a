"""Any `needed` fragments give an object back, sizes say little, and every segment is bound to its place."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.coding import (
    FRAGMENT_BYTES,
    LEAST,
    MAX_SLOTS,
    Coding,
    ObjectPlace,
    fragment_leaf,
    open_segment,
    padded_bytes,
    seal_segment,
    sealed_bytes,
    slot_root,
)
from privity.crypto.files import encrypt_segment
from privity.crypto.merkle import EMPTY_ROOT, leaf_hash
from privity.errors import DoesNotOpen, Malformed
from privity.messages import suppliers
from tests.crypto.examples import flip

KEY = b"K" * 32
PLACE = ObjectPlace("k" * 52, "o" * 26, 3)
codings = st.integers(1, MAX_SLOTS).flatmap(
    lambda slots: st.integers(1, slots).map(lambda needed: Coding(needed, slots))
)
sizes = st.integers(0, 2**33)


@given(codings, st.integers(0, 10), st.data())
def test_any_fragments_that_are_enough_give_a_segment_and_every_other_fragment_back(coding, size, data):
    sealed = random.Random(size).randbytes(coding.needed * (1 + size))
    fragments = coding.encode(sealed)
    assert len(fragments) == coding.slots
    slots = data.draw(st.permutations(range(coding.slots)))[: coding.needed]
    chosen = {slot: fragments[slot] for slot in slots}
    assert coding.decode(chosen) == sealed
    for slot in range(coding.slots):
        assert bytes(coding.rebuild(chosen, slot)) == bytes(fragments[slot])


def test_three_of_five_in_all_ways():
    coding, sealed = Coding(3, 5), random.Random(1).randbytes(3000)
    fragments = coding.encode(sealed)
    for slots in itertools.combinations(range(5), 3):
        assert coding.decode({slot: fragments[slot] for slot in slots}) == sealed


@given(codings)
def test_too_few_or_uneven_fragments_are_refused(coding):
    fragments = dict(enumerate(coding.encode(b"s" * coding.needed * 4)))
    few = {slot: fragments[slot] for slot in range(coding.needed - 1)}
    with pytest.raises(Malformed):
        coding.decode(few)
    with pytest.raises(Malformed):
        coding.decode({**few, coding.slots: b"ssss"} if few else {})
    if coding.needed > 1:
        with pytest.raises(Malformed):
            coding.decode({**few, coding.needed - 1: b"sss"})
        with pytest.raises(Malformed):
            coding.encode(b"s" * (coding.needed * 4 + 1))


@pytest.mark.parametrize(("needed", "slots"), [(0, 1), (2, 1), (1, MAX_SLOTS + 1)])
def test_a_coding_that_cannot_be_is_refused(needed, slots):
    with pytest.raises(Malformed):
        Coding(needed, slots)


@pytest.mark.parametrize("needed", range(1, MAX_SLOTS + 1))
def test_a_full_segment_fills_its_fragments(needed):
    coding = Coding(needed, MAX_SLOTS)
    assert sealed_bytes(coding.capacity) == needed * FRAGMENT_BYTES
    assert FRAGMENT_BYTES == suppliers.FRAGMENT_BYTES


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 32768, 100_000])
def test_the_length_of_a_sealed_segment_is_known_before_it_is_sealed(size):
    assert len(encrypt_segment(KEY, bytes(size), b"context")) == sealed_bytes(size)


@given(codings, sizes)
def test_segments_hold_the_object_and_come_out_even(coding, size):
    count = coding.segments(size)
    plain = [coding.plain_bytes(size, index) for index in (0, count - 1)]
    assert all(0 < each <= coding.capacity and sealed_bytes(each) % coding.needed == 0 for each in plain)
    assert plain[0] == coding.capacity or count == 1
    held = (count - 1) * coding.capacity + plain[-1]
    assert size <= padded_bytes(size) <= held < padded_bytes(size) + 64


@given(sizes)
def test_p6_a_size_says_only_its_class(size):
    """At most 12 % more, never less, and few classes: all sizes of one class are stored in the same bytes."""
    padded = padded_bytes(size)
    assert max(size, LEAST) <= padded <= max(size, LEAST) * 1.12
    assert padded_bytes(padded) == padded


def test_p6_there_are_few_classes_of_size():
    classes = {padded_bytes(size) for size in range(0, 2**20, 7)}
    assert len(classes) < 200


def test_an_object_is_not_larger_than_suppliers_take():
    with pytest.raises(Malformed):
        Coding(1, 1).segments(2**40)


def test_a_segment_opens_at_its_place_only():
    sealed = seal_segment(KEY, b"plain", PLACE, 1)
    assert open_segment(KEY, sealed, PLACE, 1) == b"plain"
    elsewhere = [
        (b"L" * 32, sealed, PLACE, 1),
        (KEY, flip(sealed, 900), PLACE, 1),
        (KEY, sealed, PLACE, 2),
        (KEY, sealed, ObjectPlace("l" * 52, PLACE.object, 3), 1),
        (KEY, sealed, ObjectPlace(PLACE.key, "p" * 26, 3), 1),
        (KEY, sealed, ObjectPlace(PLACE.key, PLACE.object, 4), 1),
        (KEY, encrypt_segment(KEY, b"plain", *PLACE.context(1)[1:]), PLACE, 1),
    ]
    for each in elsewhere:
        with pytest.raises(DoesNotOpen):
            open_segment(*each)


def test_p6_the_same_plaintext_is_never_sealed_to_the_same_bytes():
    assert seal_segment(KEY, b"plain", PLACE, 0) != seal_segment(KEY, b"plain", PLACE, 0)


def test_a_slot_has_the_root_of_its_fragments_in_their_order():
    fragments = [memoryview(b"one"), b"two", b"three"]
    leaves = [fragment_leaf(each) for each in fragments]
    assert leaves == [leaf_hash(bytes(each)) for each in fragments]
    assert slot_root([]) == EMPTY_ROOT
    assert len({slot_root(order) for order in itertools.permutations(leaves)}) == 6
