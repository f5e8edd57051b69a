"""Decisions about keypairs in the Keystore."""

import pytest

from domain import key
from privity.errors import AlreadyExists, KeyNotFound
from privity.messages.base import Event
from privity.messages.keys import (
    KeypairRemoved,
    KeypairStored,
    PublicKeyPublished,
    PublishPublicKey,
    RemoveKeypair,
    StoreKeypair,
)
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, erased, example, sealed, short_id

ANNS_KEY = short_id("ann's key")
STORED, PUBLISHED, REMOVED = example(KeypairStored), example(PublicKeyPublished), example(KeypairRemoved)
MISSING = KeyNotFound(f"there is no keypair {ANNS_KEY}")


def test_a_keypair_is_stored() -> None:
    given().when(example(StoreKeypair), by=ANN).then(STORED)


def test_a_keypairs_id_is_taken_once() -> None:
    given(STORED).when(example(StoreKeypair), by=ANN).then(AlreadyExists)
    given(STORED).when(example(StoreKeypair), by=BOB).then(AlreadyExists)
    given(STORED, REMOVED).when(example(StoreKeypair), by=ANN).then(AlreadyExists)


def test_a_stored_key_is_published_once() -> None:
    after = given(STORED).when(example(PublishPublicKey), by=ANN).then(PUBLISHED)
    after.when(example(PublishPublicKey), by=ANN).then_nothing()


def test_only_the_owner_publishes_and_nobody_else_learns_that_the_key_is_there() -> None:
    unknown = given().when(example(PublishPublicKey), by=ANN)
    unknown.then(MISSING)
    for history in (given(STORED), given(STORED, PUBLISHED)):
        history.when(example(PublishPublicKey), by=EVE).then(MISSING)


@pytest.mark.parametrize("history", [(STORED,), (STORED, PUBLISHED)], ids=["stored", "published"])
def test_a_removed_keypair_is_erased_and_of_no_more_use(history: tuple[Event, ...]) -> None:
    after = given(*history).when(example(RemoveKeypair), by=ANN).then(REMOVED, erased(ANNS_KEY, sealed("private")))
    after.when(example(RemoveKeypair), by=ANN).then_nothing()
    after.when(example(PublishPublicKey), by=ANN).then(MISSING)
    assert after.load(key.State, ANNS_KEY) == key.State(
        ANN.account, STORED.suite, published=PUBLISHED in history, removed=True
    )
    assert not after.load(key.State, ANNS_KEY).usable_by(ANN.account)


def test_only_the_owner_removes_a_keypair() -> None:
    for history in (given(), given(STORED), given(STORED, PUBLISHED), given(STORED, REMOVED)):
        history.when(example(RemoveKeypair), by=EVE).then(MISSING)
