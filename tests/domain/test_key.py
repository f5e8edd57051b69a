"""Decisions about keypairs in the Keystore."""

from privity.errors import AlreadyExists, KeyNotFound
from privity.messages.keys import KeypairStored, PublicKeyPublished, PublishPublicKey, StoreKeypair
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, example, short_id

ANNS_KEY = short_id("ann's key")
STORED, PUBLISHED = example(KeypairStored), example(PublicKeyPublished)


def test_a_keypair_is_stored() -> None:
    given().when(example(StoreKeypair), by=ANN).then(STORED)


def test_a_keypairs_id_is_taken_once() -> None:
    given(STORED).when(example(StoreKeypair), by=ANN).then(AlreadyExists)
    given(STORED).when(example(StoreKeypair), by=BOB).then(AlreadyExists)


def test_a_stored_key_is_published_once() -> None:
    after = given(STORED).when(example(PublishPublicKey), by=ANN).then(PUBLISHED)
    after.when(example(PublishPublicKey), by=ANN).then_nothing()


def test_only_the_owner_publishes_and_nobody_else_learns_that_the_key_is_there() -> None:
    unknown = given().when(example(PublishPublicKey), by=ANN)
    unknown.then(KeyNotFound(f"there is no keypair {ANNS_KEY}"))
    for history in (given(STORED), given(STORED, PUBLISHED)):
        history.when(example(PublishPublicKey), by=EVE).then(KeyNotFound(f"there is no keypair {ANNS_KEY}"))
