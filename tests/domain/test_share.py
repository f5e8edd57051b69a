"""Decisions about shares and their encryption spaces."""

from datetime import timedelta
from typing import Any

import pytest

from domain.facts import Actor
from privity.errors import (
    AlreadyExists,
    NotConnected,
    NotFound,
    PastDate,
    ReshareNotPermitted,
    ShareExpired,
    StaleSequence,
    StaleVersion,
    TermsNotAccepted,
    WrongKey,
    WrongTerms,
)
from privity.messages.connections import ConnectionEstablished, ConnectionRemoved
from privity.messages.items import ItemAdded, ItemEdited, ItemRemoved
from privity.messages.shares import (
    AcceptTerms,
    ClaimShare,
    CreateShare,
    EncryptionSpaceOpened,
    LineExtended,
    RemoveShare,
    ReviseShare,
    ShareClaimed,
    ShareCreated,
    ShareRemoved,
    ShareRevised,
    TermsAccepted,
)
from privity.testing.given import Decision
from tests.domain.deciding import given
from tests.examples import (
    ANN,
    BOB,
    CONDITIONS,
    EVE,
    LATER,
    NOW,
    actor,
    erased,
    example,
    line_of,
    long_id,
    raw,
    sealed,
    short_id,
    side,
)

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


# The next generation.

REVISE = example(ReviseShare)
REVISED = (
    example(LineExtended, n=2, digest=sealed("next manifest")),
    example(ShareRevised),
)


def test_m29_a_revision_takes_the_place_of_the_generation_before_claim_and_all() -> None:
    given(*SHARED).when(REVISE, by=ANN).then(*REVISED, erased(short_id("share"), *SEALED, of=(ANN, BOB)))
    gone = erased(short_id("share"), *SEALED, sealed("claim"), of=(ANN, BOB))
    after = given(*SHARED, CLAIMED).when(REVISE, by=ANN).then(*REVISED, gone)
    after.when(example(ClaimShare, wrap=sealed("another claim")), by=BOB).then(StaleVersion)
    after.when(example(ClaimShare, wrap=sealed("another claim"), generation=2), by=BOB).then(
        example(ShareClaimed, wrap=sealed("another claim"))
    )


@pytest.mark.parametrize("who", [BOB, EVE], ids=["recipient", "stranger"])
def test_m29_only_the_owner_revises_and_only_what_stands(who: Actor) -> None:
    given(*SHARED).when(REVISE, by=who).then(NO_SHARE)
    given(*SHARED, REMOVED).when(REVISE, by=ANN).then(NO_SHARE)
    given(*SHARED, example(ConnectionRemoved)).when(REVISE, by=ANN).then(NotConnected)
    given(*SHARED).when(REVISE, by=ANN, link=(3, FIRST)).then(StaleSequence)


@pytest.mark.parametrize("generation", [1, 3])
def test_generations_have_no_gap(generation: int) -> None:
    late = example(ReviseShare, generation=generation)
    given(*SHARED).when(late, by=ANN).then(StaleVersion("the share is at generation 1"))


def test_a_revision_brings_the_item_as_it_is_now() -> None:
    edited = example(ItemEdited)
    given(*SHARED, edited).when(REVISE, by=ANN).then(StaleVersion("the item is at version 2"))
    gone = erased(short_id("share"), *SEALED, of=(ANN, BOB))
    newest = example(ReviseShare, version=2)
    given(*SHARED, edited).when(newest, by=ANN).then(REVISED[0], example(ShareRevised, version=2), gone)


def test_of_an_item_that_was_given_up_the_conditions_can_change_still() -> None:
    gone = erased(short_id("share"), *SEALED, of=(ANN, BOB))
    given(*SHARED, example(ItemRemoved)).when(REVISE, by=ANN).then(*REVISED, gone)
    given(*SHARED, example(ItemRemoved)).when(example(ReviseShare, version=2), by=ANN).then(StaleVersion)


def test_a_revision_is_sealed_anew() -> None:
    given(*SHARED).when(example(ReviseShare, content=sealed("content")), by=ANN).then(AlreadyExists)


# Conditions.

UNDER_TERMS = (CONNECTED, ADDED, *CREATED[:2], example(ShareCreated, **CONDITIONS))
ACCEPTED = example(TermsAccepted)
AFTERWARDS = actor("bob", LATER)


def test_m20_a_share_ends_in_the_future() -> None:
    given(CONNECTED, ADDED).when(example(CreateShare, expires=LATER), by=ANN).then(
        *CREATED[:2], example(ShareCreated, expires=LATER)
    )
    for past in (NOW, NOW - timedelta(days=1)):
        given(CONNECTED, ADDED).when(example(CreateShare, expires=past), by=ANN).then(PastDate)
        given(*SHARED).when(example(ReviseShare, expires=past), by=ANN).then(PastDate)


def test_m20_the_end_can_be_changed_and_after_it_nothing_is_claimed() -> None:
    ends = (*CREATED[:2], example(ShareCreated, expires=LATER))
    given(CONNECTED, ADDED, *ends).when(example(ClaimShare), by=BOB).then(CLAIMED)
    given(CONNECTED, ADDED, *ends).when(example(ClaimShare), by=AFTERWARDS).then(ShareExpired)
    longer = example(ShareRevised, expires=LATER + timedelta(days=1))
    given(CONNECTED, ADDED, *ends, longer).when(example(ClaimShare, generation=2), by=AFTERWARDS).then(CLAIMED)


def test_m21_nothing_is_claimed_before_the_terms_are_accepted() -> None:
    given(*UNDER_TERMS).when(example(ClaimShare), by=BOB).then(TermsNotAccepted)
    given(*UNDER_TERMS, ACCEPTED).when(example(ClaimShare), by=BOB).then(CLAIMED)


def test_m22_the_recipient_accepts_just_these_terms_once() -> None:
    after = given(*UNDER_TERMS).when(example(AcceptTerms), by=BOB).then(ACCEPTED)
    after.when(example(AcceptTerms), by=BOB).then_nothing()
    given(*UNDER_TERMS).when(example(AcceptTerms, terms_hash=sealed("other terms")), by=BOB).then(WrongTerms)
    given(*SHARED).when(example(AcceptTerms), by=BOB).then(WrongTerms)
    given(*UNDER_TERMS).when(example(AcceptTerms), by=AFTERWARDS).then(ShareExpired)
    for who in (ANN, EVE):
        given(*UNDER_TERMS).when(example(AcceptTerms), by=who).then(NO_SHARE)


def test_m22_other_terms_are_to_be_accepted_anew_and_the_same_ones_are_not() -> None:
    same = example(ShareRevised, **CONDITIONS)
    other = example(ShareRevised, **CONDITIONS | {"terms_hash": sealed("other terms")})
    again = example(ClaimShare, generation=2)
    given(*UNDER_TERMS, ACCEPTED, same).when(again, by=BOB).then(CLAIMED)
    given(*UNDER_TERMS, ACCEPTED, other).when(again, by=BOB).then(TermsNotAccepted)


# Sharing on.

CAROL = actor("carol")
TO_CAROL: dict[str, Any] = {
    "share": short_id("share to carol"),
    "space": short_id("space with carol"),
    "connection": long_id("connection with carol"),
    "recipient": CAROL.account,
    "recipient_key": short_id("carol's key"),
    "manifest": raw("manifest for carol"),
    "source": short_id("share"),
}
WITH_CAROL = example(
    ConnectionEstablished,
    connection=long_id("connection with carol"),
    inviter=side("bob"),
    acceptor=side("carol"),
)


def names(decision: Decision) -> list[str]:
    """What was decided, in short."""
    assert not isinstance(decision.outcome, Exception)
    return [event.name for event in decision.outcome]


def sharing_on(**permitted: Any) -> tuple[Any, ...]:
    """Ann shared with Bob on these conditions, who is connected with Carol."""
    return (CONNECTED, WITH_CAROL, ADDED, *CREATED[:2], example(ShareCreated, **permitted))


def test_m23_what_one_was_given_goes_on_where_its_sender_permitted_it() -> None:
    decided = given(*sharing_on(reshare=1)).when(example(CreateShare, **TO_CAROL), by=BOB)
    decided.then(
        example(
            EncryptionSpaceOpened,
            space=TO_CAROL["space"],
            connection=TO_CAROL["connection"],
            owner=BOB.account,
            wraps={BOB.account: sealed("owner's wrap"), CAROL.account: sealed("recipient's wrap")},
        ),
        example(
            LineExtended,
            line=line_of(TO_CAROL["connection"], BOB.account),
            connection=TO_CAROL["connection"],
            sender=BOB.account,
            share=TO_CAROL["share"],
            digest=sealed("manifest for carol"),
        ),
        example(ShareCreated, **TO_CAROL, owner=BOB.account),
    )


@pytest.mark.parametrize(
    ("permitted", "asked"),
    [
        ({"reshare": 0}, {}),
        ({"reshare": 1}, {"reshare": 1}),
        ({"reshare": 1, "expires": LATER}, {}),
        ({"reshare": 1, "expires": LATER}, {"expires": LATER + timedelta(seconds=1)}),
        ({"reshare": 1}, {"keep": True}),
    ],
    ids=["not at all", "not so far", "not for ever", "not for so long", "not to be kept"],
)
def test_u3_nothing_goes_on_beyond_what_was_permitted(permitted: dict[str, Any], asked: dict[str, Any]) -> None:
    refused = given(*sharing_on(**permitted)).when(example(CreateShare, **TO_CAROL | asked), by=BOB)
    refused.then(ReshareNotPermitted)


def test_u3_terms_go_on_with_what_they_are_about() -> None:
    under = {"reshare": 1, "terms": sealed("terms"), "terms_hash": sealed("terms' text")}
    same = {"terms": sealed("terms for carol"), "terms_hash": sealed("terms' text")}
    history = sharing_on(**under)
    given(*history).when(example(CreateShare, **TO_CAROL, **same), by=BOB).then(TermsNotAccepted)
    given(*history, ACCEPTED).when(example(CreateShare, **TO_CAROL), by=BOB).then(ReshareNotPermitted)
    assert (
        names(given(*history, ACCEPTED).when(example(CreateShare, **TO_CAROL, **same), by=BOB))[-1] == "share-created"
    )


def test_u3_only_what_one_was_given_and_what_stands_goes_on() -> None:
    history = sharing_on(reshare=1)
    given(*history, REMOVED).when(example(CreateShare, **TO_CAROL), by=BOB).then(NO_SHARE)
    given(*history).when(example(CreateShare, **TO_CAROL | {"item": short_id("another")}), by=BOB).then(NO_SHARE)
    given(*history).when(example(CreateShare, **TO_CAROL), by=EVE).then(NO_SHARE)
    given(*history).when(example(CreateShare, **TO_CAROL | {"version": 2}), by=BOB).then(StaleVersion)


def test_u3_a_revision_of_what_went_on_stays_within_what_is_permitted_now() -> None:
    went_on = example(ShareCreated, **TO_CAROL, owner=BOB.account)
    history = (*sharing_on(reshare=1), went_on)
    revise = example(ReviseShare, share=TO_CAROL["share"])
    assert names(given(*history).when(revise, by=BOB, link=(1, None)))[:2] == ["line-extended", "share-revised"]
    given(*history, example(ShareRevised)).when(revise, by=BOB, link=(1, None)).then(ReshareNotPermitted)
    given(*history, REMOVED).when(revise, by=BOB, link=(1, None)).then(ReshareNotPermitted)


def test_u3_nothing_goes_on_once_the_connection_has_ended_over_which_it_came() -> None:
    apart = ReshareNotPermitted("the connection has ended over which this came")
    history = (*sharing_on(reshare=1), example(ConnectionRemoved))
    given(*history).when(example(CreateShare, **TO_CAROL), by=BOB).then(apart)
    went_on = example(ShareCreated, **TO_CAROL, owner=BOB.account)
    revise = example(ReviseShare, share=TO_CAROL["share"])
    given(*history, went_on).when(revise, by=BOB, link=(1, None)).then(apart)
    ends = given(*history, went_on).when(example(RemoveShare, share=TO_CAROL["share"]), by=BOB)
    assert names(ends)[0] == "share-removed"
