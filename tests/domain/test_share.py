"""Decisions about shares and their encryption spaces."""

import pytest

from domain.facts import Actor
from privity.errors import AlreadyExists, NotConnected, NotFound, StaleSequence, StaleVersion, WrongKey
from privity.messages.connections import ConnectionEstablished, ConnectionRemoved
from privity.messages.items import ItemAdded, ItemEdited, ItemRemoved
from privity.messages.shares import (
    ClaimShare,
    CreateShare,
    EncryptionSpaceOpened,
    LineExtended,
    RemoveShare,
    ShareClaimed,
    ShareCreated,
    ShareRemoved,
)
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, erased, example, line_of, long_id, raw, sealed, short_id

CONNECTED, ADDED = example(ConnectionEstablished), example(ItemAdded)
CREATED = (example(EncryptionSpaceOpened), example(LineExtended), example(ShareCreated))
SHARED = (CONNECTED, ADDED, *CREATED)
SEALED = sealed("content"), sealed("owner's wrap"), sealed("recipient's wrap")
CLAIMED, REMOVED = example(ShareClaimed), example(ShareRemoved)
NO_ITEM, NO_SHARE = NotFound("there is no such item"), NotFound("there is no such share")


def test_sharing_opens_a_space_with_a_wrap_for_each_side() -> None:
    given(CONNECTED, ADDED).when(example(CreateShare), by=ANN).then(*CREATED)


def test_the_acceptor_shares_an_item_of_his_with_the_inviter() -> None:
    wraps = {BOB.account: sealed("owner's wrap"), ANN.account: sealed("recipient's wrap")}
    to_ann = {"recipient": ANN.account, "recipient_key": short_id("ann's key")}
    decided = given(CONNECTED, example(ItemAdded, owner=BOB.account)).when(example(CreateShare, **to_ann), by=BOB)
    decided.then(
        example(EncryptionSpaceOpened, owner=BOB.account, wraps=wraps),
        example(LineExtended, line=line_of(long_id("connection"), BOB.account), sender=BOB.account),
        example(ShareCreated, owner=BOB.account, **to_ann),
    )


@pytest.mark.parametrize("changes", [{"space": short_id("new")}, {"share": short_id("new")}], ids=["share", "space"])
def test_the_ids_of_share_and_space_are_taken_once(changes: dict[str, str]) -> None:
    given(*SHARED).when(example(CreateShare, **changes), by=ANN).then(AlreadyExists)


def test_one_item_is_shared_twice_under_other_ids() -> None:
    other = {"share": short_id("other share"), "space": short_id("other space")}
    decided = given(*SHARED).when(example(CreateShare, **other), by=ANN)
    decided.then(
        example(EncryptionSpaceOpened, space=other["space"]),
        example(LineExtended, n=2, share=other["share"]),
        example(ShareCreated, **other),
    )


def test_only_the_owner_may_share() -> None:
    given(CONNECTED, ADDED).when(example(CreateShare), by=BOB).then(NO_ITEM)
    given(CONNECTED, ADDED).when(example(CreateShare), by=EVE).then(NO_ITEM)


def test_an_item_that_is_not_there_is_not_shared() -> None:
    given(CONNECTED).when(example(CreateShare), by=ANN).then(NO_ITEM)
    given(CONNECTED, ADDED, example(ItemRemoved)).when(example(CreateShare), by=ANN).then(NO_ITEM)


def test_without_a_connection_of_ones_own_nothing_is_shared() -> None:
    given(ADDED).when(example(CreateShare), by=ANN).then(NotConnected)
    given(CONNECTED, example(ConnectionRemoved), ADDED).when(example(CreateShare), by=ANN).then(NotConnected)
    eves = example(ItemAdded, owner=EVE.account)
    given(CONNECTED, eves).when(example(CreateShare), by=EVE).then(NotConnected)


@pytest.mark.parametrize(
    "changes",
    [
        {"recipient": EVE.account},
        {"recipient": ANN.account},
        {"recipient_key": short_id("ann's key")},
        {"recipient_key": short_id("eve's key")},
    ],
    ids=["a third", "oneself", "one's own key", "a third's key"],
)
def test_a_share_is_sealed_to_the_other_sides_key(changes: dict[str, str]) -> None:
    given(CONNECTED, ADDED).when(example(CreateShare, **changes), by=ANN).then(WrongKey)


@pytest.mark.parametrize("version", [0, 1, 3])
def test_only_the_newest_version_is_shared(version: int) -> None:
    decided = given(CONNECTED, ADDED, example(ItemEdited)).when(example(CreateShare, version=version), by=ANN)
    decided.then(StaleVersion("the item is at version 2"))


def test_the_recipient_claims_once() -> None:
    after = given(*SHARED).when(example(ClaimShare), by=BOB).then(CLAIMED)
    after.when(example(ClaimShare, wrap=sealed("another wrap")), by=BOB).then_nothing()


@pytest.mark.parametrize("who", [ANN, EVE], ids=["owner", "stranger"])
def test_nobody_else_claims(who: Actor) -> None:
    given(*SHARED).when(example(ClaimShare), by=who).then(NO_SHARE)
    given().when(example(ClaimShare), by=who).then(NO_SHARE)


def test_what_has_ended_is_not_claimed() -> None:
    given(*SHARED, REMOVED).when(example(ClaimShare), by=BOB).then(NO_SHARE)
    given(*SHARED, example(ConnectionRemoved)).when(example(ClaimShare), by=BOB).then(NO_SHARE)
    given(*SHARED, CLAIMED, example(ConnectionRemoved)).when(example(ClaimShare), by=BOB).then(NO_SHARE)


@pytest.mark.parametrize("who", [ANN, BOB], ids=["owner", "recipient"])
def test_m28_either_side_ends_a_share_for_both_and_again_changes_nothing(who: Actor) -> None:
    removed = example(ShareRemoved, by=who.account), erased(short_id("share"), *SEALED, sealed("claim"), of=(ANN, BOB))
    after = given(*SHARED, CLAIMED).when(example(RemoveShare), by=who).then(*removed)
    after.when(example(RemoveShare), by=ANN).then_nothing()
    after.when(example(RemoveShare), by=BOB).then_nothing()


def test_a_share_that_nobody_claimed_is_erased_too_and_so_is_one_whose_connection_has_ended() -> None:
    gone = erased(short_id("share"), *SEALED, of=(ANN, BOB))
    given(*SHARED).when(example(RemoveShare), by=ANN).then(REMOVED, gone)
    given(*SHARED, example(ConnectionRemoved)).when(example(RemoveShare), by=ANN).then(REMOVED, gone)


@pytest.mark.parametrize("kept", ["content", "owner's wrap", "recipient's wrap"])
def test_a_claim_is_wrapped_anew(kept: str) -> None:
    given(*SHARED).when(example(ClaimShare, wrap=sealed(kept)), by=BOB).then(AlreadyExists)


def test_a_stranger_ends_nothing() -> None:
    for history in (given(), given(*SHARED), given(*SHARED, REMOVED)):
        history.when(example(RemoveShare), by=EVE).then(NO_SHARE)


def test_a_share_goes_over_the_connection_that_it_names() -> None:
    elsewhere = example(CreateShare, connection=long_id("another connection"))
    given(CONNECTED, ADDED).when(elsewhere, by=ANN).then(NotConnected)


# The line.

SECOND = example(
    CreateShare, share=short_id("other share"), space=short_id("other space"), manifest=raw("second manifest")
)
SENT_SECOND = (
    example(EncryptionSpaceOpened, space=SECOND.space),
    example(LineExtended, n=2, share=SECOND.share, digest=sealed("second manifest")),
    example(ShareCreated, share=SECOND.share, space=SECOND.space, manifest=SECOND.manifest),
)
FIRST = sealed("manifest")


def test_what_one_side_sends_is_numbered_and_linked_to_what_it_sent_before() -> None:
    given(*SHARED).when(SECOND, by=ANN, link=(2, FIRST)).then(*SENT_SECOND)


@pytest.mark.parametrize(
    "link",
    [(1, None), (3, FIRST), (2, sealed("another manifest")), (2, None), (0, None)],
    ids=["the number again", "a number left out", "after another manifest", "after none", "without a number"],
)
def test_s12_only_the_next_in_the_line_is_taken(link: tuple[int, str | None]) -> None:
    given(*SHARED).when(SECOND, by=ANN, link=link).then(StaleSequence("the line is at number 1"))
    given(*SHARED).when(SECOND, by=ANN, link=(2, FIRST)).then(*SENT_SECOND)


@pytest.mark.parametrize("link", [(2, FIRST), (0, None)], ids=["with one before", "without a number"])
def test_a_line_begins_with_the_first(link: tuple[int, str | None]) -> None:
    given(CONNECTED, ADDED).when(example(CreateShare), by=ANN, link=link).then(StaleSequence)


def test_a_line_goes_on_after_what_it_carried_has_ended() -> None:
    given(*SHARED, REMOVED).when(SECOND, by=ANN, link=(1, None)).then(StaleSequence)
    given(*SHARED, REMOVED).when(SECOND, by=ANN, link=(2, FIRST)).then(*SENT_SECOND)


def test_each_side_has_a_line_of_its_own() -> None:
    """What Ann sent is no number of Bob's."""
    ids = {name: short_id(f"bob's {name}") for name in ("share", "space", "item")}
    his = example(ItemAdded, item=ids["item"], owner=BOB.account)
    to_ann = {"recipient": ANN.account, "recipient_key": short_id("ann's key")}
    sends = example(CreateShare, **ids, **to_ann)
    given(*SHARED, his).when(sends, by=BOB, link=(2, FIRST)).then(StaleSequence)
    wraps = {BOB.account: sealed("owner's wrap"), ANN.account: sealed("recipient's wrap")}
    given(*SHARED, his).when(sends, by=BOB, link=(1, None)).then(
        example(EncryptionSpaceOpened, space=ids["space"], owner=BOB.account, wraps=wraps),
        example(LineExtended, line=line_of(long_id("connection"), BOB.account), sender=BOB.account, share=ids["share"]),
        example(ShareCreated, owner=BOB.account, **ids, **to_ann),
    )
