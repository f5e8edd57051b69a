"""A wrapped key opens under its KEK, for its purpose and its ids; items and notes likewise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto import labels
from privity.crypto.items import open_item, open_note, seal_item, seal_note
from privity.crypto.keyring import new_dek, new_kek, unwrap_key, wrap_key
from privity.errors import DoesNotOpen
from tests.crypto.examples import DEK, KEK, flip

WRAP = wrap_key(KEK, DEK, labels.PURPOSE_DEVICE, b"account", b"id")


def test_fresh_keys_are_32_bytes_and_never_the_same():
    keys = {make() for make in (new_kek, new_dek) for _ in range(8)}
    assert len(keys) == 16
    assert {len(key) for key in keys} == {32}


@given(st.binary(max_size=100), st.binary(max_size=20), st.lists(st.binary(max_size=20), max_size=3))
def test_a_wrapped_key_comes_back(key, purpose, ids):
    assert unwrap_key(KEK, wrap_key(KEK, key, purpose, *ids), purpose, *ids) == key


@pytest.mark.parametrize(
    ("kek", "purpose", "ids"),
    [
        (DEK, labels.PURPOSE_DEVICE, (b"account", b"id")),
        (KEK, labels.PURPOSE_KEK, (b"account", b"id")),
        (KEK, labels.PURPOSE_DEVICE, (b"account", b"ie")),
        (KEK, labels.PURPOSE_DEVICE, (b"account",)),
    ],
    ids=["KEK", "purpose", "id", "fewer ids"],
)
def test_under_another_key_or_for_another_use_it_does_not_open(kek, purpose, ids):
    with pytest.raises(DoesNotOpen):
        unwrap_key(kek, WRAP, purpose, *ids)


ITEM = {"account": "ann", "item": "item-1", "version": 1}


@given(st.binary(max_size=200))
def test_an_item_opens_for_its_owner(plaintext):
    content, wrap = seal_item(KEK, DEK, plaintext, account="ann", item="item-1", version=1)
    assert open_item(KEK, content, wrap, account="ann", item="item-1", version=1) == plaintext


@pytest.mark.parametrize("change", [{"account": "bob"}, {"item": "item-2"}, {"version": 2}], ids=str)
def test_an_item_does_not_open_in_another_place(change):
    content, wrap = seal_item(KEK, DEK, b"x", account="ann", item="item-1", version=1)
    with pytest.raises(DoesNotOpen):
        open_item(KEK, content, wrap, **(ITEM | change))


def test_no_bit_of_an_items_parts_can_be_turned():
    content, wrap = seal_item(KEK, DEK, b"x", account="ann", item="item-1", version=1)
    for bit in range(0, 8 * min(len(content), len(wrap))):
        with pytest.raises(DoesNotOpen):
            open_item(KEK, flip(content, bit), wrap, **ITEM)
        with pytest.raises(DoesNotOpen):
            open_item(KEK, content, flip(wrap, bit), **ITEM)


def test_the_wrap_of_one_item_does_not_serve_another():
    content, _ = seal_item(KEK, DEK, b"x", account="ann", item="item-1", version=1)
    _, wrap = seal_item(KEK, DEK, b"x", account="ann", item="item-2", version=1)
    with pytest.raises(DoesNotOpen):
        open_item(KEK, content, wrap, account="ann", item="item-1", version=1)


def test_a_note_opens_for_its_ids_as_text_or_bytes():
    assert open_note(KEK, seal_note(KEK, b"my brother", "ann", "bob"), "ann", b"bob") == b"my brother"


@pytest.mark.parametrize(("kek", "ids"), [(DEK, ("ann", "bob")), (KEK, ("ann", "eve")), (KEK, ("annbob",))])
def test_a_note_does_not_open_elsewhere(kek, ids):
    with pytest.raises(DoesNotOpen):
        open_note(kek, seal_note(KEK, b"my brother", "ann", "bob"), *ids)
