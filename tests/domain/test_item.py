"""Decisions about items."""

import pytest

from privity.errors import AlreadyExists, NotFound, StaleVersion
from privity.messages.base import Command
from privity.messages.items import AddItem, EditItem, ItemAdded, ItemEdited, ItemRemoved, RemoveItem
from tests.domain.deciding import given
from tests.examples import ANN, EVE, erased, example, sealed, short_id

ADDED, EDITED, REMOVED = example(ItemAdded), example(ItemEdited), example(ItemRemoved)
ITEM = short_id("item")
FIRST_ERASED = erased(ITEM, sealed("content"), sealed("wrap"))
SECOND_ERASED = erased(ITEM, sealed("newer content"), sealed("newer wrap"))
MISSING = NotFound("there is no such item")
CHANGES = pytest.mark.parametrize("command", [example(EditItem), example(RemoveItem)], ids=lambda c: c.subject)


def test_an_item_is_added() -> None:
    given().when(example(AddItem), by=ANN).then(ADDED)


def test_an_items_id_is_taken_once_and_for_all_people() -> None:
    given(ADDED).when(example(AddItem), by=ANN).then(AlreadyExists)
    given(ADDED).when(example(AddItem), by=EVE).then(AlreadyExists)
    given(ADDED, REMOVED).when(example(AddItem), by=ANN).then(AlreadyExists)


def test_an_item_is_edited_version_by_version() -> None:
    third = {"version": 3, "content": sealed("newest"), "wrap": sealed("newest wrap")}
    after = given(ADDED).when(example(EditItem, version=2), by=ANN).then(EDITED, FIRST_ERASED)
    after.when(example(EditItem, **third), by=ANN).then(example(ItemEdited, **third), SECOND_ERASED)


@pytest.mark.parametrize("version", [-1, 0, 1, 2, 4])
def test_only_the_next_version_is_taken(version: int) -> None:
    stale = StaleVersion("the item is at version 2")
    given(ADDED, EDITED).when(example(EditItem, version=version), by=ANN).then(stale)


def test_an_item_is_removed_once() -> None:
    after = given(ADDED).when(example(RemoveItem), by=ANN).then(REMOVED, FIRST_ERASED)
    after.when(example(RemoveItem), by=ANN).then_nothing()


def test_only_the_version_that_stands_is_erased_with_the_item() -> None:
    given(ADDED, EDITED).when(example(RemoveItem), by=ANN).then(REMOVED, SECOND_ERASED)


def test_content_and_wrap_that_are_one_object_are_erased_once() -> None:
    alike = example(ItemAdded, wrap=sealed("content"))
    given(alike).when(example(RemoveItem), by=ANN).then(REMOVED, erased(ITEM, sealed("content")))


@pytest.mark.parametrize(
    "kept", [{"content": sealed("content")}, {"wrap": sealed("wrap")}, {"content": sealed("wrap")}]
)
def test_an_edit_is_sealed_anew(kept: dict[str, str]) -> None:
    """What the item has already would else be counted twice, and stay for ever."""
    given(ADDED).when(example(EditItem, **kept), by=ANN).then(AlreadyExists)


def test_a_removed_item_is_not_edited() -> None:
    given(ADDED, REMOVED).when(example(EditItem), by=ANN).then(MISSING)


@CHANGES
def test_anothers_item_is_refused_just_as_one_that_does_not_exist(command: Command) -> None:
    given().when(command, by=EVE).then(MISSING)
    given(ADDED).when(command, by=EVE).then(MISSING)
    given(ADDED, REMOVED).when(command, by=EVE).then(MISSING)
