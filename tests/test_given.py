"""The kit's own sentences: a test that says something wrong fails, and says what was instead."""

from dataclasses import replace

import pytest

from domain import item
from domain.aggregates import EVOLVE, KINDS
from domain.facts import Actor
from privity.errors import KeyNotFound, NotFound
from privity.messages.base import Command, Event
from privity.messages.items import AddItem, EditItem, ItemAdded, ItemEdited, ItemRemoved, RemoveItem
from privity.messages.keys import PublishPublicKey
from privity.testing.given import Deciders, Load
from tests.domain.deciding import given
from tests.examples import ANN, EVE, example, sealed, short_id

ADDED = given(example(ItemAdded))


def test_another_event_or_more_or_none_is_told() -> None:
    edited = ADDED.when(example(EditItem), by=ANN)
    for wrong in ([], [example(ItemRemoved)], [example(ItemEdited)] * 2, [example(ItemEdited, wrap=sealed("x"))]):
        with pytest.raises(AssertionError, match=r"there followed \[ItemEdited"):
            edited.then(*wrong)
    with pytest.raises(AssertionError, match="nothing followed"):
        given(example(ItemAdded), example(ItemRemoved)).when(example(RemoveItem), by=ANN).then(example(ItemRemoved))


def test_a_refusal_is_told_where_none_was_expected() -> None:
    refused = ADDED.when(example(EditItem), by=EVE)
    with pytest.raises(AssertionError, match="there is no such item"):
        refused.then(example(ItemEdited))
    with pytest.raises(AssertionError, match="it was refused"):
        refused.then_nothing()
    with pytest.raises(AssertionError, match="expected NotFound, but there followed"):
        ADDED.when(example(EditItem), by=ANN).then(NotFound)


def test_a_refusal_is_exactly_its_class_and_perhaps_its_message() -> None:
    publish = given().when(example(PublishPublicKey), by=ANN)
    publish.then(KeyNotFound)
    with pytest.raises(AssertionError, match="expected NotFound"):
        publish.then(NotFound)
    with pytest.raises(AssertionError, match="another message"):
        publish.then(KeyNotFound("another message"))


def test_a_sentence_goes_on_with_what_was_decided() -> None:
    after = given().when(example(AddItem), by=ANN).then(example(ItemAdded))
    assert after.events == (example(ItemAdded),)
    assert after.load(item.State, short_id("item")).owner == ANN.account
    assert after.when(example(EditItem), by=EVE).then(NotFound) == after


def test_a_decision_may_only_read() -> None:
    def decide(command: Command, load: Load, by: Actor) -> list[Event]:
        load(item.State, short_id("item")).version += 1
        return []

    with pytest.raises(AssertionError, match="EditItem changed what it read"):
        replace(given, decide=decide)(example(ItemAdded)).when(example(EditItem), by=ANN)


def test_an_event_that_no_state_takes_is_a_mistake_of_the_decision() -> None:
    def decide(command: Command, load: Load) -> list[Event]:
        return [example(ItemAdded)]

    forgetful = {**EVOLVE, item.State: EVOLVE[next(iter(EVOLVE))]}
    with pytest.raises(NotImplementedError, match="item-added"):
        Deciders(KINDS, forgetful, decide)().when(example(AddItem)).then(example(ItemAdded))
