"""Decisions about delegates, and about items in somebody's name."""

from datetime import timedelta
from typing import Any

import pytest

from domain.delegation import MAX_DELEGATES, MAX_OWNERS_STEPS, MAX_STEPS
from privity.encoding import digest
from privity.errors import (
    AlreadyExists,
    DelegationExpired,
    Malformed,
    NotConnected,
    NotDelegated,
    NotFound,
    PastDate,
    RoleNotEnough,
    StaleSequence,
    StaleVersion,
    TooManyDelegates,
)
from privity.messages.connections import ConnectionEstablished, ConnectionRemoved
from privity.messages.delegations import (
    ClaimDelegation,
    DelegationClaimed,
    DelegationGranted,
    DelegationRemoved,
    DropItem,
    GrantDelegation,
    ItemDropped,
    ItemKept,
    KeepItem,
    RemoveDelegation,
)
from privity.messages.items import EditItem, ItemAdded, ItemEdited, RemoveItem
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, LATER, NOW, actor, erased, example, long_id, sealed, short_id, side

CAROL = actor("carol")
DELEGATION, ITEM = short_id("delegation"), short_id("item")
HEAD, NEXT_HEAD = digest(b"grant"), digest(b"removal")
CONNECTED = example(ConnectionEstablished)
WITH_CAROL = {"connection": long_id("with carol"), "delegate": CAROL.account, "delegation": short_id("carol's")}
CAROL_CONNECTED = example(
    ConnectionEstablished, connection=WITH_CAROL["connection"], inviter=side("bob"), acceptor=side("carol")
)
KEPT = example(ItemKept)
PARTS = (sealed("kept"), sealed("kept wrap"))


def granted(**changes: Any) -> DelegationGranted:
    """Bob became a delegate of Ann's."""
    return example(DelegationGranted, **{"digest": HEAD} | changes)


def made(role: str = "admin", **changes: Any) -> tuple[Any, ...]:
    """Ann and Bob are connected, and Bob is a delegate who has claimed the key."""
    return CONNECTED, granted(role=role, **changes), example(DelegationClaimed)


def by_bob(**changes: Any) -> KeepItem:
    """Bob keeps an item in Ann's name."""
    return example(KeepItem, **{"delegation": DELEGATION} | changes)


# Granting.


def test_m34_a_connected_person_becomes_a_delegate_and_the_vault_key_begins() -> None:
    decided = given(CONNECTED).when(example(GrantDelegation), by=ANN)
    decided.then(granted())


def test_m34_only_the_other_end_of_ones_connection_becomes_a_delegate() -> None:
    given(CONNECTED).when(example(GrantDelegation, delegate=EVE.account), by=ANN).then(NotConnected)
    given().when(example(GrantDelegation), by=ANN).then(NotConnected)
    given(CONNECTED, example(ConnectionRemoved)).when(example(GrantDelegation), by=ANN).then(NotConnected)
    given(CONNECTED).when(example(GrantDelegation, delegate=ANN.account), by=ANN).then(Malformed)


@pytest.mark.parametrize("place", [(2, HEAD), (1, HEAD), (2, None)], ids=str)
def test_m34_a_step_is_the_next_one(place: tuple[int, str | None]) -> None:
    given(CONNECTED).when(example(GrantDelegation, n=place[0]), by=ANN, place=place).then(StaleSequence)


def test_m34_a_delegation_has_its_own_id_its_own_person_and_wraps_of_its_own() -> None:
    second: dict[str, Any] = {"n": 2, "own_wrap": None, "wrap": sealed("other"), "delegation": short_id("second")}
    given(*made()).when(example(GrantDelegation, **second), by=ANN).then(AlreadyExists)
    again = example(GrantDelegation, **second | WITH_CAROL | {"delegation": DELEGATION})
    with_ann = example(
        ConnectionEstablished, connection=WITH_CAROL["connection"], inviter=side("ann"), acceptor=side("carol")
    )
    given(*made(), with_ann).when(again, by=ANN).then(AlreadyExists)
    given(CONNECTED).when(example(GrantDelegation, own_wrap=sealed("wrap")), by=ANN).then(Malformed)
    given(CONNECTED).when(example(GrantDelegation, own_wrap=None), by=ANN).then(Malformed)
    given(CONNECTED).when(example(GrantDelegation, generation=2), by=ANN).then(StaleVersion)


def test_m34_delegates_and_their_changes_are_bounded() -> None:
    many = [
        granted(n=n, delegation=short_id(f"d{n}"), delegate=long_id(f"d{n}"), wrap=sealed(f"w{n}"), own_wrap=None)
        for n in range(1, MAX_DELEGATES + 1)
    ]
    more = example(GrantDelegation, n=MAX_DELEGATES + 1, own_wrap=None)
    given(CONNECTED, *many).when(more, by=ANN).then(TooManyDelegates)
    late = granted(n=MAX_STEPS, delegate=CAROL.account)
    given(CONNECTED, late).when(example(GrantDelegation, n=MAX_STEPS + 1), by=ANN).then(TooManyDelegates)


def test_m34_no_owner_keeps_the_principal_from_granting_and_nobody_her_from_removing() -> None:
    """Each step is there for good: their number is bounded, and hers always fits."""
    owners = (CONNECTED, granted(n=MAX_OWNERS_STEPS, role="owner"), CAROL_CONNECTED)
    given(*owners).when(owner_grants(n=MAX_OWNERS_STEPS + 1), by=BOB).then(TooManyDelegates)
    last = example(RemoveDelegation, n=MAX_STEPS + 1)
    removed = given(CONNECTED, granted(n=MAX_STEPS)).when(last, by=ANN)
    removed.then(
        example(DelegationRemoved, n=MAX_STEPS + 1, digest=NEXT_HEAD),
        erased(ANN.account, sealed("own vault key"), sealed("wrap"), of=[ANN, BOB]),
    )


def test_m34_an_end_lies_ahead_and_then_ends_everything() -> None:
    given(CONNECTED).when(example(GrantDelegation, expires=NOW), by=ANN).then(PastDate)
    given(CONNECTED).when(example(GrantDelegation, expires=LATER), by=ANN).then(granted(expires=LATER))
    history, late = made(expires=LATER), actor("bob", LATER)
    before = actor("bob", LATER - timedelta(seconds=1))
    given(*history).when(by_bob(), by=before).then(example(ItemKept, by=BOB.account, delegation=DELEGATION))
    given(*history).when(by_bob(), by=late).then(DelegationExpired)
    given(CONNECTED, granted(expires=LATER)).when(example(ClaimDelegation), by=late).then(DelegationExpired)


# Claiming.


def test_m34_a_holder_claims_once_and_the_sealed_key_is_erased() -> None:
    after = given(CONNECTED, granted()).when(example(ClaimDelegation), by=BOB)
    claimed = after.then(example(DelegationClaimed), erased(ANN.account, sealed("wrap"), of=[BOB]))
    claimed.when(example(ClaimDelegation), by=BOB).then_nothing()
    given(CONNECTED, granted()).when(example(ClaimDelegation), by=EVE).then(NotDelegated)
    given(CONNECTED, granted()).when(example(ClaimDelegation, generation=2), by=BOB).then(StaleVersion)
    given(CONNECTED, granted()).when(example(ClaimDelegation), by=ANN).then_nothing()
    given().when(example(ClaimDelegation), by=ANN).then(NotFound)


# Owners.


def owner_grants(**changes: Any) -> GrantDelegation:
    """Bob makes Carol a delegate of Ann's."""
    more: dict[str, Any] = {"n": 2, "own_wrap": None, "wrap": sealed("carol's"), "role": "reader", **WITH_CAROL}
    return example(GrantDelegation, **more | changes)


def test_m34_an_owner_makes_delegates_whom_he_is_connected_with_and_nobody_else_does() -> None:
    decided = given(*made("owner"), CAROL_CONNECTED).when(owner_grants(), by=BOB)
    changes = {"n": 2, "own_wrap": None, "wrap": sealed("carol's"), "role": "reader", **WITH_CAROL}
    decided.then(granted(**changes, by=BOB.account, accounts=(BOB.account, CAROL.account)))
    for role in ("reader", "admin"):
        given(*made(role), CAROL_CONNECTED).when(owner_grants(), by=BOB).then(RoleNotEnough)
    given(*made("owner"), CAROL_CONNECTED).when(owner_grants(), by=EVE).then(NotDelegated)
    given(*made("owner")).when(owner_grants(), by=BOB).then(NotConnected)
    given(*made("owner"), CAROL_CONNECTED).when(owner_grants(role="owner"), by=BOB).then(RoleNotEnough)


def test_m34_a_grant_keeps_the_vault_key_that_there_is_and_a_removal_begins_another() -> None:
    """Else nobody could open the vault any more: all agents hold the key against every step."""
    history = (*made("owner"), CAROL_CONNECTED)
    given(*history).when(owner_grants(), by=BOB, vault_key=digest(b"another key")).then(Malformed)
    given(*made()).when(example(RemoveDelegation), by=ANN, vault_key=digest(b"vault key")).then(Malformed)
    gone = erased(ANN.account, sealed("own vault key"), sealed("claim"), of=[ANN, BOB])
    after = given(*made()).when(example(RemoveDelegation), by=ANN)
    removed = after.then(example(DelegationRemoved, digest=NEXT_HEAD), gone)
    again = {"n": 3, "generation": 2, "own_wrap": None, "delegation": short_id("again"), "wrap": sealed("new")}
    removed.when(example(GrantDelegation, **again), by=ANN, vault_key=digest(b"vault key")).then(Malformed)


def test_m34_only_the_principal_removes() -> None:
    carols = granted(n=2, own_wrap=None, wrap=sealed("carol's"), role="reader", **WITH_CAROL, digest=HEAD)
    with_carol = (*made("owner"), CAROL_CONNECTED, carols)
    wraps = {ANN.account: sealed("hers"), BOB.account: sealed("his")}
    remove = example(RemoveDelegation, n=3, delegation=WITH_CAROL["delegation"], wraps=wraps)
    for who in (BOB, CAROL):
        given(*with_carol).when(remove, by=who).then(RoleNotEnough)
    given(*with_carol).when(remove, by=EVE).then(NotDelegated)
    removed = example(
        DelegationRemoved,
        n=3,
        delegation=WITH_CAROL["delegation"],
        delegate=CAROL.account,
        wraps=wraps,
        digest=NEXT_HEAD,
        accounts=(BOB.account,),
    )
    gone = erased(ANN.account, sealed("own vault key"), sealed("claim"), sealed("carol's"), of=[ANN, BOB, CAROL])
    given(*with_carol).when(remove, by=ANN).then(removed, gone)


# Removing.


def test_m34_a_removal_begins_a_key_for_who_is_left_and_erases_the_old_wraps() -> None:
    removed = example(DelegationRemoved, digest=NEXT_HEAD)
    gone = erased(ANN.account, sealed("own vault key"), sealed("claim"), of=[ANN, BOB])
    after = given(*made()).when(example(RemoveDelegation), by=ANN).then(removed, gone)
    after.when(example(RemoveDelegation), by=ANN).then_nothing()
    after.when(by_bob(), by=BOB).then(NotDelegated)
    after.when(example(ClaimDelegation, generation=2), by=BOB).then(NotDelegated)
    after.when(example(KeepItem), by=ANN).then(StaleVersion)
    after.when(example(KeepItem, generation=2), by=ANN).then(example(ItemKept, generation=2))


@pytest.mark.parametrize(
    "wraps",
    [
        {},
        {BOB.account: sealed("his")},
        {ANN.account: sealed("hers"), BOB.account: sealed("his")},
        {ANN.account: sealed("hers"), EVE.account: sealed("eve's")},
    ],
    ids=["nobody", "not the principal", "the one who goes", "a stranger"],
)
def test_m34_the_new_key_is_for_just_those_who_are_left(wraps: dict[str, str]) -> None:
    given(*made()).when(example(RemoveDelegation, wraps=wraps), by=ANN).then(Malformed)


def test_m34_who_is_left_out_of_a_new_key_has_none_to_claim() -> None:
    carols = granted(n=2, own_wrap=None, wrap=sealed("carol's"), role="reader", **WITH_CAROL, digest=HEAD)
    removed = example(DelegationRemoved, n=3, digest=NEXT_HEAD)
    gone = erased(ANN.account, sealed("own vault key"), sealed("claim"), sealed("carol's"), of=[ANN, BOB, CAROL])
    after = given(*made(), CAROL_CONNECTED, carols).when(example(RemoveDelegation, n=3), by=ANN).then(removed, gone)
    after.when(example(ClaimDelegation, generation=2), by=CAROL).then(NotDelegated)


def test_m34_only_what_there_is_is_removed() -> None:
    given(*made()).when(example(RemoveDelegation, delegation=short_id("none")), by=ANN).then(NotFound)
    given(*made()).when(example(RemoveDelegation, generation=3), by=ANN).then(StaleVersion)
    given(*made()).when(example(RemoveDelegation), by=EVE).then(NotDelegated)
    alike = example(RemoveDelegation, before=sealed("ann's vault key"))
    given(*made()).when(alike, by=ANN).then(Malformed)
    kept = example(RemoveDelegation, before=sealed("claim"))
    given(*made()).when(kept, by=ANN).then(AlreadyExists)


# Items.


def test_m34_an_admin_adds_edits_and_removes_in_the_principals_name() -> None:
    mine = {"by": BOB.account, "delegation": DELEGATION}
    added = given(*made()).when(by_bob(), by=BOB).then(example(ItemKept, **mine))
    second: dict[str, Any] = {"version": 2, "content": sealed("c2"), "wrap": sealed("w2")}
    edited = added.when(by_bob(**second), by=BOB).then(example(ItemKept, **mine, **second), erased(ITEM, *PARTS))
    dropped = edited.when(example(DropItem), by=BOB).then(
        example(ItemDropped), erased(ITEM, sealed("c2"), sealed("w2"))
    )
    dropped.when(example(DropItem), by=BOB).then_nothing()
    dropped.when(by_bob(version=3), by=BOB).then(NotFound)


def test_m34_a_reader_writes_nothing() -> None:
    for command in (by_bob(), by_bob(version=2), example(DropItem)):
        given(*made("reader"), KEPT).when(command, by=BOB).then(RoleNotEnough)
        given(*made("reader"), KEPT).when(command, by=EVE).then(NotDelegated)


def test_m34_a_delegate_names_just_his_own_delegation() -> None:
    given(*made(), KEPT).when(by_bob(delegation=None, version=2), by=BOB).then(NotDelegated)
    given(*made(), KEPT).when(by_bob(delegation=short_id("none"), version=2), by=BOB).then(NotDelegated)
    given(*made(), KEPT).when(by_bob(version=2), by=ANN).then(NotDelegated)


def test_m34_without_the_connection_a_delegate_may_nothing() -> None:
    given(*made(), KEPT, example(ConnectionRemoved)).when(by_bob(version=2), by=BOB).then(NotDelegated)


def test_m34_what_is_not_the_principals_is_no_delegates_either() -> None:
    evens = example(ItemAdded, owner=EVE.account)
    given(*made(), evens).when(example(DropItem), by=BOB).then(NotFound)
    given(*made(), evens).when(by_bob(version=2), by=BOB).then(NotFound)
    given(*made(), evens).when(by_bob(), by=BOB).then(AlreadyExists)


def test_m34_the_principal_brings_an_item_under_the_vault_key_and_edits_it_without() -> None:
    adopt = example(KeepItem, version=2)
    gone = erased(ITEM, sealed("content"), sealed("wrap"))
    after = given(*made(), example(ItemAdded)).when(adopt, by=ANN).then(example(ItemKept, version=2), gone)
    after.when(example(EditItem, version=3), by=ANN).then(example(ItemEdited, version=3), erased(ITEM, *PARTS))
    given(*made(), KEPT).when(example(KeepItem, version=3), by=ANN).then(StaleVersion)
    given(*made(), KEPT).when(example(KeepItem, version=2), by=ANN).then(AlreadyExists)
    removed = given(*made(), KEPT).when(example(RemoveItem), by=ANN)
    assert not isinstance(removed.outcome, Exception)


def test_m34_without_a_vault_key_nothing_is_kept_under_one() -> None:
    given(CONNECTED).when(example(KeepItem), by=ANN).then(StaleVersion)
    given(CONNECTED).when(by_bob(), by=BOB).then(NotDelegated)
