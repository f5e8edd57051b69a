"""Decisions about sharing keys: for each command what is recorded, what is ignored, and what is refused."""

from typing import Any

import pytest

from domain import sharing_key
from privity.errors import AlreadyExists, Malformed, NotConnected, NotFound, StaleVersion, TooLarge, TooManyKeys
from privity.messages.connections import ConnectionEstablished, ConnectionRemoved
from privity.messages.sharing_keys import (
    MAX_GRANTED,
    MAX_RECORDS,
    ClaimSharingKey,
    CreateSharingKey,
    EraseSharingKey,
    GrantSharingKey,
    NoteSharingKey,
    PublicPartSent,
    RestoreSharingKey,
    RotateSharingKey,
    SendPublicPart,
    SharingKeyClaimed,
    SharingKeyCreated,
    SharingKeyErased,
    SharingKeyGiven,
    SharingKeyGranted,
    SharingKeyNoted,
    SharingKeyRotated,
)
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, erased, example, long_id, sealed

KEY = long_id("sharing key")
CONNECTED, CREATED = example(ConnectionEstablished), example(SharingKeyCreated)
GRANTED, CLAIMED, SENT = example(SharingKeyGranted), example(SharingKeyClaimed), example(PublicPartSent)
GIVEN = example(SharingKeyGiven)
HELD = (CONNECTED, CREATED, GRANTED)
NO_KEY = NotFound("there is no such sharing key")
ALONE = {"dropped": (BOB.account,)}
STAYING: dict[str, Any] = {
    "dropped": (),
    "wraps": {ANN.account: sealed("ann's next part"), BOB.account: sealed("bob's next part")},
}


def test_b3_a_key_is_made_once_at_its_first_record() -> None:
    given().when(example(CreateSharingKey), by=ANN).then(CREATED)
    given(CREATED).when(example(CreateSharingKey), by=ANN).then(AlreadyExists)
    given(CREATED).when(example(CreateSharingKey), by=EVE).then(AlreadyExists)
    given().when(example(CreateSharingKey), by=ANN, holders=(BOB.account,)).then(Malformed)
    given().when(example(CreateSharingKey), by=ANN, n=2).then(Malformed)
    given().when(example(CreateSharingKey, note=sealed("wrap")), by=ANN).then(Malformed)


def test_the_creator_grants_it_to_whom_they_are_connected_with() -> None:
    given(CONNECTED, CREATED).when(example(GrantSharingKey), by=ANN).then(GRANTED, GIVEN)
    given(CREATED).when(example(GrantSharingKey), by=ANN).then(NotConnected)
    given(CONNECTED, CREATED).when(example(GrantSharingKey, to=EVE.account), by=ANN).then(NotConnected)
    given(CONNECTED, CREATED).when(example(GrantSharingKey, to=ANN.account), by=ANN).then(NotConnected)
    parted = (CONNECTED, example(ConnectionRemoved), CREATED)
    given(*parted).when(example(GrantSharingKey), by=ANN).then(NotConnected)


def test_u2_nobody_else_grants_rotates_or_hears_that_there_is_one() -> None:
    for by in (BOB, EVE):
        given(CONNECTED, CREATED, GRANTED).when(example(RotateSharingKey), by=by).then(NO_KEY)
        given(CONNECTED, CREATED, GRANTED).when(example(GrantSharingKey, n=3), by=by).then(NO_KEY)
        given().when(example(RotateSharingKey), by=by).then(NO_KEY)
    for command in (ClaimSharingKey, NoteSharingKey, SendPublicPart, EraseSharingKey):
        given(*HELD).when(example(command), by=EVE).then(NO_KEY)
        given().when(example(command), by=EVE).then(NO_KEY)


def test_only_the_next_record_is_taken_and_only_one_that_goes_on() -> None:
    for n in (1, 3):
        given(CONNECTED, CREATED).when(example(GrantSharingKey, n=n), by=ANN).then(
            StaleVersion("the key is at record 1")
        )
    given(CONNECTED, CREATED).when(example(GrantSharingKey), by=ANN, follows=False).then(Malformed)
    given(*HELD).when(example(RotateSharingKey), by=ANN, follows=False).then(Malformed)
    given(CONNECTED, CREATED).when(example(GrantSharingKey), by=ANN, generation=2).then(StaleVersion)


def test_s8_the_record_names_just_who_holds_the_key() -> None:
    eve = tuple(sorted((BOB.account, EVE.account)))
    for holders in ((), (EVE.account,), eve):
        given(CONNECTED, CREATED).when(example(GrantSharingKey), by=ANN, holders=holders).then(StaleVersion)
    given(*HELD).when(example(RotateSharingKey), by=ANN, holders=(BOB.account,)).then(StaleVersion)


def test_who_holds_the_key_over_this_connection_is_not_granted_it_again() -> None:
    again = {"n": 3, "wrap": sealed("another part")}
    given(*HELD).when(example(GrantSharingKey, **again), by=ANN).then(AlreadyExists)
    given(*HELD, example(SharingKeyErased, by=BOB.account, whole=False)).when(
        example(GrantSharingKey, **again), by=ANN
    ).then(example(SharingKeyGranted, **again), GIVEN)


def test_a_key_has_so_many_holders_and_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing_key, "MAX_HOLDERS", 0)
    given(CONNECTED, CREATED).when(example(GrantSharingKey), by=ANN).then(TooLarge)
    monkeypatch.setattr(sharing_key, "MAX_RECORDS", 2)
    given(*HELD).when(example(RotateSharingKey), by=ANN).then(TooLarge)
    monkeypatch.setattr(sharing_key, "MAX_KNOWING", 0)
    given(CONNECTED, CREATED).when(example(SendPublicPart), by=ANN).then(TooLarge)


def test_nobody_is_given_keys_without_end_over_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that there ever were count: to take a key back makes room for none. What somebody has goes on."""
    monkeypatch.setattr(sharing_key, "MAX_GIVEN", 2)
    second = example(SharingKeyGiven, count=2)
    before = (CONNECTED, CREATED, GIVEN)
    given(*before).when(example(GrantSharingKey), by=ANN).then(GRANTED, second)
    given(*before).when(example(SendPublicPart), by=ANN).then(SENT, second)
    full = (*before, second)
    given(*full).when(example(GrantSharingKey), by=ANN).then(TooManyKeys)
    given(*full).when(example(SendPublicPart), by=ANN).then(TooManyKeys)
    given(*full, SENT).when(example(GrantSharingKey), by=ANN).then(GRANTED, erased(KEY, SENT.sealed, of=(BOB,)))
    others = example(SharingKeyGiven, line=long_id("another line"), count=2)
    given(*before, others).when(example(GrantSharingKey), by=ANN).then(GRANTED, second)


def test_b16_somebody_can_be_dropped_when_no_more_grants_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_GRANTED < MAX_RECORDS
    monkeypatch.setattr(sharing_key, "MAX_GRANTED", 2)
    again = example(GrantSharingKey, n=3, connection=long_id("another"), wrap=sealed("again"))
    others = example(ConnectionEstablished, connection=long_id("another"))
    given(*HELD, others).when(again, by=ANN).then(TooLarge)
    gone = erased(KEY, sealed("wrap"), sealed("bob's part"), of=(ANN, BOB))
    given(*HELD, others).when(example(RotateSharingKey), by=ANN).then(example(SharingKeyRotated), gone)


def test_b16_a_rotation_is_for_all_who_remain_and_erases_what_all_had() -> None:
    gone = erased(KEY, sealed("wrap"), sealed("bob's part"), of=(ANN, BOB))
    given(*HELD).when(example(RotateSharingKey), by=ANN).then(example(SharingKeyRotated), gone)
    staying = example(SharingKeyRotated, **STAYING, holders=(BOB.account,))
    given(*HELD).when(example(RotateSharingKey, **STAYING), by=ANN).then(staying, gone)


def test_b16_who_was_dropped_loses_claim_and_note() -> None:
    gone = erased(KEY, sealed("wrap"), sealed("bob's claim"), sealed("bob's key note"), of=(ANN, BOB))
    after = given(*HELD, CLAIMED).when(example(RotateSharingKey), by=ANN).then(example(SharingKeyRotated), gone)
    for command in (ClaimSharingKey, NoteSharingKey, SendPublicPart, EraseSharingKey):
        after.when(example(command), by=BOB).then(NO_KEY)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"dropped": (BOB.account, BOB.account)}, Malformed),
        ({"dropped": (EVE.account,)}, StaleVersion),
        ({"dropped": (ANN.account,)}, StaleVersion),
        ({"generation": 3}, StaleVersion),
        ({"generation": 1}, StaleVersion),
        ({"n": 2}, StaleVersion),
        ({"wraps": STAYING["wraps"]}, Malformed),
        ({"dropped": ()}, Malformed),
        ({"link": sealed("ann's next part")}, Malformed),
        ({"link": sealed("wrap")}, AlreadyExists),
        ({"dropped": (), "wraps": dict.fromkeys((ANN.account, BOB.account), sealed("one"))}, Malformed),
    ],
    ids=str,
)
def test_a_rotation_that_does_not_fit_is_refused(changes: dict[str, Any], refusal: type[Any]) -> None:
    given(*HELD).when(example(RotateSharingKey, **changes), by=ANN).then(refusal)


def test_nothing_is_sealed_to_somebody_over_a_connection_that_has_ended() -> None:
    parted = (CONNECTED, CREATED, GRANTED, example(ConnectionRemoved))
    given(*parted).when(example(RotateSharingKey, **STAYING), by=ANN).then(NotConnected)
    gone = erased(KEY, sealed("wrap"), sealed("bob's part"), of=(ANN, BOB))
    given(*parted).when(example(RotateSharingKey), by=ANN).then(example(SharingKeyRotated), gone)


def test_a_holder_claims_each_generation_once() -> None:
    after = (
        given(*HELD).when(example(ClaimSharingKey), by=BOB).then(CLAIMED, erased(KEY, sealed("bob's part"), of=(BOB,)))
    )
    after.when(example(ClaimSharingKey), by=BOB).then_nothing()
    after.when(example(ClaimSharingKey, wrap=sealed("x"), note=sealed("y")), by=BOB).then(StaleVersion)
    given(*HELD).when(example(ClaimSharingKey, generation=2), by=BOB).then(StaleVersion)
    given(*HELD).when(example(ClaimSharingKey, wrap=sealed("bob's part")), by=BOB).then(AlreadyExists)
    given(*HELD).when(example(ClaimSharingKey, wrap=sealed("bob's key note")), by=BOB).then(Malformed)
    given(*HELD).when(example(ClaimSharingKey), by=ANN).then(StaleVersion)  # whose own it is from the start
    first = example(SharingKeyNoted, by=BOB.account, note=sealed("bob's first"))
    given(*HELD, first).when(example(ClaimSharingKey), by=BOB).then(StaleVersion)
    held = erased(KEY, sealed("bob's part"), sealed("bob's first"), of=(BOB,))
    given(*HELD, first).when(example(ClaimSharingKey, replaces=first.note), by=BOB).then(CLAIMED, held)


def test_b5_who_holds_a_key_keeps_it_anew_in_place_of_what_was_lost() -> None:
    restored = example(SharingKeyClaimed, by=ANN.account, wrap=sealed("restored"), note=sealed("restored note"))
    gone = erased(KEY, sealed("wrap"), sealed("note"))
    given(CREATED).when(example(RestoreSharingKey), by=ANN).then(restored, gone)
    given(CREATED).when(example(RestoreSharingKey, generation=2), by=ANN).then(StaleVersion)
    given(CREATED).when(example(RestoreSharingKey, replaces=sealed("older")), by=ANN).then(StaleVersion)
    given(CREATED).when(example(RestoreSharingKey, wrap=sealed("wrap")), by=ANN).then(AlreadyExists)
    for history in ((CREATED,), (CONNECTED, CREATED, SENT)):
        given(*history).when(example(RestoreSharingKey), by=BOB).then(NO_KEY)


def test_b6_everybody_who_has_a_key_keeps_a_note_of_their_own() -> None:
    noted = example(SharingKeyNoted)
    given(CREATED).when(example(NoteSharingKey), by=ANN).then(noted, erased(KEY, sealed("note")))
    given(CREATED).when(example(NoteSharingKey, note=sealed("note")), by=ANN).then_nothing()
    his = example(SharingKeyNoted, by=BOB.account)
    given(CONNECTED, CREATED, SENT).when(example(NoteSharingKey, replaces=None), by=BOB).then(his)
    taken = example(NoteSharingKey, replaces=None, note=sealed("wrap"))
    given(CONNECTED, CREATED, SENT).when(taken, by=BOB).then(AlreadyExists)


def test_of_two_devices_that_keep_a_note_at_once_one_has_to_read_again() -> None:
    after = (
        given(CREATED).when(example(NoteSharingKey), by=ANN).then(example(SharingKeyNoted), erased(KEY, sealed("note")))
    )
    for replaces in (sealed("note"), None):
        after.when(example(NoteSharingKey, note=sealed("another"), replaces=replaces), by=ANN).then(StaleVersion)
    newer = example(NoteSharingKey, note=sealed("another"), replaces=sealed("ann's next key note"))
    after.when(newer, by=ANN).then(
        example(SharingKeyNoted, note=sealed("another")), erased(KEY, sealed("ann's next key note"))
    )


def test_b7_holders_give_the_public_part_of_this_generation_to_whom_they_are_connected_with() -> None:
    given(CONNECTED, CREATED).when(example(SendPublicPart), by=ANN).then(SENT, GIVEN).when(
        example(SendPublicPart, sealed=sealed("again")), by=ANN
    ).then_nothing()
    given(CREATED).when(example(SendPublicPart), by=ANN).then(NotConnected)
    given(CONNECTED, CREATED).when(example(SendPublicPart, generation=2), by=ANN).then(StaleVersion)
    given(CONNECTED, CREATED, SENT).when(example(SendPublicPart, to=ANN.account), by=BOB).then(NO_KEY)
    given(*HELD).when(example(SendPublicPart), by=ANN).then_nothing()  # he has more than that
    newer = {"generation": 2, "sealed": sealed("newer")}
    alone = example(SharingKeyRotated, n=2, dropped=())
    sent = example(PublicPartSent, **newer, record=alone.record, signature=alone.signature)
    given(CONNECTED, CREATED, SENT, alone).when(example(SendPublicPart, **newer), by=ANN).then(
        sent, erased(KEY, sealed("alias for bob"), of=(BOB,))
    )


def test_a_holder_gives_it_up_for_themselves_and_its_creator_hears_of_it() -> None:
    gone = example(SharingKeyErased, by=BOB.account, whole=False, accounts=(BOB.account, ANN.account))
    after = given(*HELD, CLAIMED).when(example(EraseSharingKey), by=BOB)
    parted = after.then(gone, erased(KEY, sealed("bob's claim"), sealed("bob's key note"), of=(BOB,)))
    parted.when(example(EraseSharingKey), by=BOB).then(NO_KEY)
    parted.when(example(RotateSharingKey, dropped=()), by=ANN).then(
        example(SharingKeyRotated, dropped=()), erased(KEY, sealed("wrap"))
    )


def test_b4_its_creator_ends_it_for_everybody_and_nothing_sealed_is_left() -> None:
    ended = example(SharingKeyErased, accounts=(ANN.account, BOB.account))
    gone = erased(KEY, sealed("wrap"), sealed("note"), sealed("bob's claim"), sealed("bob's key note"), of=(ANN, BOB))
    after = given(*HELD, CLAIMED).when(example(EraseSharingKey), by=ANN).then(ended, gone)
    after.when(example(EraseSharingKey), by=ANN).then_nothing()
    for command in (ClaimSharingKey, NoteSharingKey, SendPublicPart, EraseSharingKey):
        after.when(example(command), by=BOB).then(NO_KEY)
    after.when(example(GrantSharingKey, n=3), by=ANN).then(NO_KEY)
    after.when(example(CreateSharingKey), by=ANN).then(AlreadyExists)


def test_a_key_is_not_ended_under_its_location() -> None:
    given(*HELD).when(example(EraseSharingKey), by=ANN, used=True).then(AlreadyExists)
    gone = example(SharingKeyErased, by=BOB.account, whole=False, accounts=(BOB.account, ANN.account))
    given(*HELD).when(example(EraseSharingKey), by=BOB, used=True).then(
        gone, erased(KEY, sealed("bob's part"), of=(BOB,))
    )
