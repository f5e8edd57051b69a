"""Decisions about suppliers: names, what they say of themselves, and who takes a lost one's place."""

from dataclasses import replace

from privity.errors import AlreadyExists, BadSignature, NotFound, SupplierNameTaken, TooManyNames
from privity.messages.suppliers import (
    AnnounceSupplier,
    ReplaceSupplier,
    SupplierAnnounced,
    SupplierNamed,
    SupplierReplaced,
)
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, example

# Three suppliers go by the ids of three people.
ANNOUNCE = example(AnnounceSupplier)
NAMED, ANNOUNCED = example(SupplierNamed), example(SupplierAnnounced)
BOBS = (
    example(SupplierNamed, supplier=BOB.account, called="supplier-2"),
    example(SupplierAnnounced, supplier=BOB.account, called="supplier-2"),
)
REPLACE, REPLACED = example(ReplaceSupplier), example(SupplierReplaced)


def test_a_supplier_that_says_that_it_is_there_has_its_name_and_says_it_once() -> None:
    there = given().when(ANNOUNCE, by=ANN).then(NAMED, ANNOUNCED)
    there.when(ANNOUNCE, by=ANN).then_nothing()
    there.when(replace(ANNOUNCE, quota=7), by=ANN).then(replace(ANNOUNCED, quota=7))


def test_a_supplier_speaks_for_itself_alone() -> None:
    given().when(ANNOUNCE, by=BOB).then(BadSignature)
    given(ANNOUNCED, *BOBS).when(REPLACE, by=BOB).then(BadSignature)


def test_a_name_is_one_suppliers_until_it_is_called_otherwise_or_was_replaced() -> None:
    wish = replace(ANNOUNCE, supplier=EVE.account)
    taken = (replace(NAMED, supplier=EVE.account), replace(ANNOUNCED, supplier=EVE.account))
    there = given(NAMED, ANNOUNCED, *BOBS)
    there.when(wish, by=EVE).then(SupplierNameTaken)
    renamed = (replace(NAMED, called="other"), replace(ANNOUNCED, called="other"))
    given(NAMED, ANNOUNCED, *renamed).when(wish, by=EVE).then(*taken).when(ANNOUNCE, by=ANN).then(SupplierNameTaken)
    lost = replace(REPLACED, supplier=BOB.account, lost=ANN.account)
    given(NAMED, ANNOUNCED, *BOBS, lost).when(wish, by=EVE).then(*taken)


def test_a_supplier_has_eight_names_at_most_and_goes_back_to_each() -> None:
    events = [each for n in range(8) for each in (replace(NAMED, called=f"n-{n}"), replace(ANNOUNCED, called=f"n-{n}"))]
    there = given(*events)
    there.when(ANNOUNCE, by=ANN).then(TooManyNames)
    there.when(replace(ANNOUNCE, name="n-0"), by=ANN).then(replace(ANNOUNCED, called="n-0"))


def test_b25_a_lost_supplier_is_replaced_once_and_says_nothing_any_more() -> None:
    replaced = given(NAMED, ANNOUNCED, *BOBS).when(REPLACE, by=ANN).then(REPLACED)
    replaced.when(REPLACE, by=ANN).then_nothing()
    replaced.when(example(AnnounceSupplier, supplier=BOB.account, quota=1), by=BOB).then_nothing()
    other = example(SupplierAnnounced, supplier=EVE.account, called="supplier-3")
    once = given(NAMED, ANNOUNCED, *BOBS, other, REPLACED)
    once.when(replace(REPLACE, supplier=EVE.account), by=EVE).then(AlreadyExists)


def test_b25_only_suppliers_that_there_are_take_a_place_and_none_its_own_or_that_of_its_heir() -> None:
    given(NAMED, ANNOUNCED).when(REPLACE, by=ANN).then(NotFound)
    given(*BOBS).when(REPLACE, by=ANN).then(NotFound)
    given(NAMED, ANNOUNCED).when(replace(REPLACE, lost=ANN.account), by=ANN).then(NotFound)
    back = replace(REPLACE, supplier=BOB.account, lost=ANN.account)
    given(NAMED, ANNOUNCED, *BOBS, REPLACED).when(back, by=BOB).then(NotFound)
