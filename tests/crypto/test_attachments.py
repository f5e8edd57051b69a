"""Files of items and shares: opened by their key, in their own place, and nowhere else."""

from collections.abc import Callable

import pytest

from privity.crypto.attachments import open_item_file, open_share_file, seal_item_file, seal_share_file
from privity.crypto.intents import intended_share
from privity.errors import DoesNotOpen, Malformed

KEY, OTHER = b"k" * 32, b"o" * 32
ITEM = {"owner": "ann", "item": "item", "file": "file"}
SHARE = {"owner": "ann", "share": "item", "file": "file"}


def test_a_file_opens_in_its_place() -> None:
    assert open_item_file(KEY, seal_item_file(KEY, b"data", **ITEM), **ITEM) == b"data"
    assert open_share_file(KEY, seal_share_file(KEY, b"data", **SHARE), **SHARE) == b"data"


@pytest.mark.parametrize("name", ["owner", "item", "file"])
def test_a_file_opens_in_no_other_place_of_an_item(name: str) -> None:
    sealed = seal_item_file(KEY, b"data", **ITEM)
    with pytest.raises(DoesNotOpen):
        open_item_file(KEY, sealed, **ITEM | {name: "other"})


@pytest.mark.parametrize("name", ["owner", "share", "file"])
def test_a_file_opens_in_no_other_place_of_a_share(name: str) -> None:
    sealed = seal_share_file(KEY, b"data", **SHARE)
    with pytest.raises(DoesNotOpen):
        open_share_file(KEY, sealed, **SHARE | {name: "other"})


def test_an_items_file_is_no_shares_file() -> None:
    """Even if item and share have one id."""
    with pytest.raises(DoesNotOpen):
        open_share_file(KEY, seal_item_file(KEY, b"data", **ITEM), **SHARE)
    with pytest.raises(DoesNotOpen):
        open_item_file(KEY, seal_share_file(KEY, b"data", **SHARE), **ITEM)


@pytest.mark.parametrize("change", [lambda blob: blob[:-1], lambda blob: blob + b"x", lambda blob: b""])
def test_what_was_changed_does_not_open(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DoesNotOpen):
        open_item_file(KEY, change(seal_item_file(KEY, b"data", **ITEM)), **ITEM)
    with pytest.raises(DoesNotOpen):
        open_item_file(OTHER, seal_item_file(KEY, b"data", **ITEM), **ITEM)


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(Malformed):
        seal_item_file(b"short", b"data", **ITEM)


def test_the_share_of_an_intent_is_one_for_each_invitation_and_item_of_one_person() -> None:
    one = intended_share(KEY, "invitation", "item")
    assert one == intended_share(KEY, "invitation", "item")
    others = [intended_share(OTHER, "invitation", "item"), intended_share(KEY, "invitation", "other")]
    others.append(intended_share(KEY, "other", "item"))
    assert len({one, *others, intended_share(KEY, "invitationi", "tem")}) == 5
    assert len(one) == 26
