"""Decisions about locations: who may make, write and end them, and what follows."""

from dataclasses import replace
from typing import Any

import pytest

from domain import location
from domain.location import Access, Written
from privity.errors import (
    AlreadyExists,
    LocationFull,
    Malformed,
    NotFound,
    RoleNotEnough,
    StaleSequence,
    StaleVersion,
)
from privity.messages.erasing import SealedErased
from privity.messages.locations import (
    ChangeLocation,
    CreateLocation,
    LocationChanged,
    LocationCreated,
    LocationRemoved,
    RemoveLocation,
)
from privity.messages.sharing_keys import SharingKeyCreated, SharingKeyErased, SharingKeyGranted, SharingKeyRotated
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, SHARED_KEY, STORED, SUPPLIERS, erased, example, sealed, short_id

KEY = example(SharingKeyCreated, key=SHARED_KEY)
BOTH = (ANN.account, BOB.account)
HELD = example(SharingKeyGranted, key=SHARED_KEY, to=BOB.account, holders=(BOB.account,), generation=1)
MADE = example(LocationCreated, accounts=BOTH)
CHANGED = example(LocationChanged, accounts=BOTH)
STANDING = (KEY, HELD, MADE)
NO_LOCATION = NotFound("there is no such location")
KNOWN: dict[str, Any] = {"suppliers": SUPPLIERS}
FIRST = Written(CHANGED.digest, 1, None, 1)
SECOND = Written(sealed("second manifest"), 2, CHANGED.digest, 1)
ANOTHER: dict[str, Any] = {
    "n": 2,
    "body": sealed("second body"),
    "objects": (replace(STORED, object=short_id("second object")),),
    "accounts": BOTH,
}


def test_b13_a_location_is_made_under_a_key_of_ones_own_and_is_empty() -> None:
    given(KEY, HELD).when(example(CreateLocation), by=ANN, **KNOWN).then(MADE)
    given(KEY, HELD).when(example(CreateLocation), by=BOB, **KNOWN).then(NotFound("there is no such key"))
    given().when(example(CreateLocation), by=ANN, **KNOWN).then(NotFound("there is no such key"))


def test_there_is_one_location_under_a_key_for_ever() -> None:
    given(*STANDING).when(example(CreateLocation), by=ANN, **KNOWN).then(AlreadyExists)
    given(*STANDING, example(LocationRemoved)).when(example(CreateLocation), by=ANN, **KNOWN).then(AlreadyExists)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"needed": 4}, Malformed),
        ({"suppliers": (SUPPLIERS[0], SUPPLIERS[0])}, Malformed),
        ({"suppliers": (*SUPPLIERS, ANN.account)}, NotFound("there is no such supplier")),
    ],
    ids=["needed", "twice", "unknown"],
)
def test_the_suppliers_are_different_ones_that_there_are(changes: dict[str, Any], refusal: Any) -> None:
    given(KEY).when(example(CreateLocation, **changes), by=ANN, **KNOWN).then(refusal)


@pytest.mark.parametrize("who", [ANN, BOB], ids=["creator", "holder"])
def test_b22_both_sides_write_and_everybody_hears(who: Any) -> None:
    changed = replace(CHANGED, by=who.account)
    given(*STANDING).when(example(ChangeLocation), by=who, written=FIRST).then(changed)


def test_u2_who_does_not_hold_the_key_finds_no_location() -> None:
    given(*STANDING).when(example(ChangeLocation), by=EVE, written=FIRST).then(NO_LOCATION)
    given(KEY, HELD).when(example(ChangeLocation), by=ANN, written=FIRST).then(NO_LOCATION)
    given(*STANDING).when(example(RemoveLocation), by=BOB).then(NO_LOCATION)
    given(*STANDING).when(example(RemoveLocation), by=EVE).then(NO_LOCATION)


def test_u9_who_was_dropped_or_writes_under_an_old_generation_is_refused() -> None:
    rotated = example(SharingKeyRotated, key=SHARED_KEY, generation=2, dropped=(BOB.account,), holders=(), wraps={})
    rotated = replace(rotated, wraps={ANN.account: sealed("next wrap")})
    past = given(*STANDING, rotated)
    past.when(example(ChangeLocation), by=BOB, written=FIRST).then(NO_LOCATION)
    past.when(example(ChangeLocation), by=ANN, written=FIRST).then(StaleVersion)
    newer = replace(FIRST, generation=2)
    past.when(example(ChangeLocation, generation=2), by=ANN, written=newer).then(
        replace(CHANGED, generation=2, accounts=(ANN.account,))
    )


def test_nobody_writes_under_a_key_that_was_ended() -> None:
    gone = example(SharingKeyErased, key=SHARED_KEY, whole=True)
    given(*STANDING, gone).when(example(ChangeLocation), by=ANN, written=FIRST).then(NO_LOCATION)


def test_changes_stand_in_one_line_and_the_slower_one_reads_again() -> None:
    history = given(*STANDING, CHANGED)
    second = example(LocationChanged, digest=SECOND.digest, **ANOTHER)
    history.when(example(ChangeLocation, **_said(ANOTHER)), by=ANN, written=SECOND).then(second)
    for bent in (replace(SECOND, n=3), replace(SECOND, prev=sealed("other")), FIRST):
        command = example(ChangeLocation, **_said(ANOTHER) | {"n": bent.n})
        history.when(command, by=ANN, written=bent).then(StaleSequence)
    history.when(example(ChangeLocation, **_said(ANOTHER)), by=ANN, written=FIRST).then(Malformed)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"objects": (STORED,)}, AlreadyExists),
        ({"objects": (ANOTHER["objects"][0],) * 2}, Malformed),
        ({"objects": (replace(ANOTHER["objects"][0], roots=STORED.roots[:2]),)}, Malformed),
        ({"objects": (replace(ANOTHER["objects"][0], needed=1),)}, Malformed),
        ({"released": (short_id("unknown"),)}, NotFound),
        ({"released": (STORED.object,) * 2}, Malformed),
        ({"body": sealed("body")}, AlreadyExists),
    ],
    ids=["again", "twice", "parts", "needed", "unknown", "released twice", "same body"],
)
def test_objects_are_new_and_have_a_part_for_each_supplier(changes: dict[str, Any], refusal: Any) -> None:
    command = example(ChangeLocation, **_said(ANOTHER) | changes)
    given(*STANDING, CHANGED).when(command, by=ANN, written=SECOND).then(refusal)


def test_an_object_that_was_let_go_of_stands_no_more() -> None:
    release = _said(ANOTHER) | {"objects": (), "released": (STORED.object,)}
    before = given(*STANDING, CHANGED)
    before.when(example(ChangeLocation, **release), by=BOB, written=SECOND).then(RoleNotEnough)  # a file may be in it
    after = before.when(example(ChangeLocation, **release), by=ANN, written=SECOND)
    gone = example(LocationChanged, digest=SECOND.digest, **ANOTHER | {"objects": (), "released": (STORED.object,)})
    history = after.then(gone)
    assert history.load(location.State, SHARED_KEY).standing == set()
    third: dict[str, Any] = {"n": 3, "body": sealed("third body"), "objects": (STORED,)}
    written = Written(sealed("third manifest"), 3, SECOND.digest, 1)
    history.when(example(ChangeLocation, **third), by=BOB, written=written).then(AlreadyExists)  # nor comes it again
    another = example(LocationChanged, digest=written.digest, **third | {"objects": ANOTHER["objects"]}, accounts=BOTH)
    fresh = example(ChangeLocation, **third | {"objects": ANOTHER["objects"]})
    history.when(fresh, by=ANN, written=written).then(another)


def test_a_location_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    command = example(ChangeLocation, **_said(ANOTHER))
    history = given(*STANDING, CHANGED)
    with monkeypatch.context() as patch:
        patch.setattr(location, "MAX_LINE", 1)
        history.when(command, by=ANN, written=SECOND).then(LocationFull)
    with monkeypatch.context() as patch:
        patch.setattr(location, "MAX_STANDING", 1)
        history.when(command, by=ANN, written=SECOND).then(LocationFull)
    with monkeypatch.context() as patch:
        patch.setattr(location, "MAX_BROUGHT", 1)
        history.when(command, by=ANN, written=SECOND).then(LocationFull)
    second = example(LocationChanged, digest=SECOND.digest, **ANOTHER)
    history.when(command, by=ANN, written=SECOND).then(second)


def test_others_fill_no_location_so_far_that_its_creator_cannot_clear_up(monkeypatch: pytest.MonkeyPatch) -> None:
    command, history = example(ChangeLocation, **_said(ANOTHER)), given(*STANDING, CHANGED)
    second = example(LocationChanged, digest=SECOND.digest, **ANOTHER)
    for name, most, kept, left in (
        ("MAX_LINE", 3, "KEPT_CHANGES", 2),
        ("MAX_BYTES", 2500, "KEPT_BYTES", 501),
        ("MAX_BROUGHT", 3, "KEPT_OBJECTS", 2),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(location, name, most)
            patch.setattr(location, kept, left)
            history.when(command, by=BOB, written=SECOND).then(LocationFull)
            history.when(command, by=ANN, written=SECOND).then(second)
            patch.setattr(location, kept, left - 1)
            history.when(command, by=BOB, written=SECOND).then(replace(second, by=BOB.account))
    monkeypatch.setattr(location, "MAX_BYTES", 2500)
    history.when(command, by=ANN, written=SECOND, size=1501).then(LocationFull)


def test_b21_its_creator_ends_it_and_what_it_said_is_erased() -> None:
    removed = example(LocationRemoved, accounts=BOTH)
    after = given(*STANDING, CHANGED).when(example(RemoveLocation), by=ANN)
    history = after.then(removed, erased(SHARED_KEY, CHANGED.body))
    history.when(example(RemoveLocation), by=ANN).then_nothing()
    history.when(example(ChangeLocation, **_said(ANOTHER)), by=ANN, written=SECOND).then(NO_LOCATION)


def test_a_long_line_is_erased_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "ERASED_AT_ONCE", 2)
    bodies = [sealed(f"body {n}") for n in range(5)]
    line = [
        example(LocationChanged, n=n, body=body, objects=(), digest=sealed(f"manifest {n}"))
        for n, body in enumerate(bodies, 1)
    ]
    history = given(*STANDING, *line)
    gone: list[str] = []
    for left in (3, 1, 0):
        decision = history.when(example(RemoveLocation), by=ANN)
        assert not isinstance(decision.outcome, Exception)
        gone += [each for event in decision.outcome if isinstance(event, SealedErased) for each in event.digests]
        history = decision.then(*decision.outcome)
        assert example(LocationRemoved, left=left, accounts=BOTH) in decision.outcome
    assert gone == bodies
    history.when(example(RemoveLocation), by=ANN).then_nothing()


def test_access_is_the_creators_and_the_holders() -> None:
    access = Access(ANN.account, 1, (BOB.account,))
    assert [access.holds(each.account) for each in (ANN, BOB, EVE)] == [True, True, False]
    assert not Access().holds("")


def _said(changed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changed.items() if name != "accounts"}
