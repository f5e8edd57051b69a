"""Decisions about pieces, requests for them, and rules."""

from typing import Any

import pytest

from domain import connection, piece, request
from domain.facts import Actor
from privity.errors import (
    AlreadyExists,
    Malformed,
    NotConnected,
    NotFound,
    RequestNotOpen,
    StaleVersion,
    TooManyReaders,
)
from privity.messages.base import Event
from privity.messages.connections import ConnectionEstablished, ConnectionRemoved
from privity.messages.erasing import MAX_ERASED, SealedErased
from privity.messages.pieces import (
    ApproveRequest,
    DeclineRequest,
    PieceGranted,
    PieceReleased,
    PieceRemoved,
    PieceRequested,
    PieceSet,
    PieceStored,
    RegrantPiece,
    ReleaseReader,
    RemovePiece,
    RequestApproved,
    RequestClosed,
    RequestDeclined,
    RequestPiece,
    RulesSet,
    SetPiece,
    SetRules,
    StorePiece,
    WithdrawRequest,
)
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, erased, example, long_id, sealed, short_id, signature

CONNECTED = example(ConnectionEstablished)
SET, ASKED = example(PieceSet), example(PieceRequested)
APPROVED, GRANTED = example(RequestApproved), example(PieceGranted)
READING = (CONNECTED, SET, ASKED, APPROVED, GRANTED)
NO_PIECE = NotFound("there is no such piece")
PIECE, REQUEST = short_id("piece"), short_id("request")
BOTH = (ANN, BOB)
SECOND: dict[str, Any] = {"version": 2, "content": sealed("second content"), "owner_wrap": sealed("second wrap")}
WRAPS = {"wraps": {BOB.account: sealed("reader's second wrap")}, "grants": {BOB.account: signature("second grant")}}
REGRANTED = example(PieceGranted, generation=2, wrap=sealed("reader's second wrap"), grant=signature("second grant"))
BOBS_SIDE = {"key": short_id("bob's key")}


def test_c1_the_first_value_has_version_and_key_one_and_the_next_keeps_the_key() -> None:
    given().when(example(SetPiece), by=ANN).then(SET)
    gone = erased(PIECE, sealed("piece content"), sealed("piece wrap"))
    given(SET).when(example(SetPiece, **SECOND), by=ANN).then(example(PieceSet, **SECOND), gone)


@pytest.mark.parametrize("changes", [{"version": 1}, {"version": 3}, {"generation": 3}], ids=str)
def test_only_the_next_version_is_taken_under_this_key_or_the_next(changes: dict[str, int]) -> None:
    given(SET).when(example(SetPiece, **(SECOND | changes)), by=ANN).then(StaleVersion)
    given().when(example(SetPiece, version=2), by=ANN).then(StaleVersion("the piece is at version 0"))


def test_what_is_kept_is_sealed_anew() -> None:
    given(SET).when(example(SetPiece, version=2), by=ANN).then(AlreadyExists)


def test_c4_a_connected_person_asks_for_a_piece_that_there_is() -> None:
    given(CONNECTED, SET).when(example(RequestPiece), by=BOB).then(ASKED)
    given(SET).when(example(RequestPiece), by=BOB).then(NotConnected)
    given(CONNECTED, example(ConnectionRemoved), SET).when(example(RequestPiece), by=BOB).then(NotConnected)
    given(CONNECTED, SET).when(example(RequestPiece), by=EVE).then(NotConnected)
    given(CONNECTED).when(example(RequestPiece), by=BOB).then(NO_PIECE)
    given(CONNECTED, SET, example(PieceRemoved)).when(example(RequestPiece), by=BOB).then(NO_PIECE)


def test_c5_a_repeat_takes_the_place_of_what_was_asked_before() -> None:
    again = {"n": 2, "challenge": sealed("second challenge"), "kept": sealed("second kept")}
    gone = erased(REQUEST, sealed("challenge"), sealed("kept challenge"), of=BOTH)
    after = given(CONNECTED, SET, ASKED).when(example(RequestPiece, **again), by=BOB)
    after = after.then(example(PieceRequested, **again), gone)
    after.when(example(ApproveRequest), by=ANN).then(RequestNotOpen)
    after.when(example(DeclineRequest), by=ANN).then(RequestNotOpen)
    given(CONNECTED, SET, ASKED).when(example(RequestPiece), by=BOB).then(StaleVersion("the request is at number 1"))


def test_c7_the_owner_approves_once_and_the_challenge_goes() -> None:
    gone = erased(REQUEST, sealed("challenge"), of=BOTH)
    after = given(CONNECTED, SET, ASKED).when(example(ApproveRequest), by=ANN).then(APPROVED, GRANTED, gone)
    after.when(example(ApproveRequest), by=ANN).then(RequestNotOpen)


@pytest.mark.parametrize("who", [BOB, EVE], ids=["asker", "stranger"])
def test_nobody_but_the_owner_answers(who: Actor) -> None:
    for command in (example(ApproveRequest), example(DeclineRequest)):
        given(CONNECTED, SET, ASKED).when(command, by=who).then(NotFound("there is no such request"))


@pytest.mark.parametrize(
    "changes", [{"version": 2}, {"generation": 2}, {"content": sealed("other")}], ids=["version", "key", "content"]
)
def test_c10_what_is_granted_is_the_piece_as_it_is(changes: dict[str, Any]) -> None:
    given(CONNECTED, SET, ASKED).when(example(ApproveRequest, **changes), by=ANN).then(StaleVersion)


def test_nothing_is_granted_when_the_connection_or_the_piece_has_gone() -> None:
    given(CONNECTED, SET, ASKED, example(ConnectionRemoved)).when(example(ApproveRequest), by=ANN).then(NotConnected)
    given(CONNECTED, SET, ASKED, example(PieceRemoved)).when(example(ApproveRequest), by=ANN).then(NO_PIECE)


def test_a_piece_has_so_many_readers_and_no_more() -> None:
    others = [example(PieceGranted, reader=short_id(f"reader {n}") * 2, wrap=sealed(f"wrap {n}")) for n in range(2)]
    given(CONNECTED, SET, ASKED, *others).when(example(ApproveRequest), by=ANN).then(TooManyReaders)
    assert piece.MAX_READERS == 500


def test_c8_a_declined_request_is_over_and_leaves_nothing() -> None:
    declined = example(RequestDeclined), erased(REQUEST, sealed("challenge"), sealed("kept challenge"), of=BOTH)
    after = given(CONNECTED, SET, ASKED).when(example(DeclineRequest), by=ANN).then(*declined)
    after.when(example(ApproveRequest), by=ANN).then(RequestNotOpen)


def test_the_asker_withdraws_and_again_changes_nothing() -> None:
    closed = (
        example(RequestClosed, whole=False),
        erased(REQUEST, sealed("challenge"), sealed("kept challenge"), of=BOTH),
    )
    after = given(CONNECTED, SET, ASKED).when(example(WithdrawRequest), by=BOB).then(*closed)
    after.when(example(WithdrawRequest), by=BOB).then_nothing()
    given(CONNECTED, SET, ASKED).when(example(WithdrawRequest), by=ANN).then(NotFound)
    given(*READING).when(example(WithdrawRequest), by=BOB).then_nothing()


AGAIN: dict[str, Any] = {"n": 2, "challenge": sealed("second challenge"), "kept": sealed("second kept")}
ASKED_AGAIN = example(PieceRequested, **AGAIN)


def test_what_stands_for_two_things_in_a_round_stays_as_long_as_one_of_them() -> None:
    both = example(PieceRequested, kept=ASKED.challenge)
    given(CONNECTED, SET, both).when(example(ApproveRequest), by=ANN).then(APPROVED, GRANTED)


def test_c8_what_comes_of_a_later_round_leaves_what_was_kept_of_the_approved_one() -> None:
    """The asker checks by it what the grant brings, whichever key is granted."""
    later = given(*READING).when(example(RequestPiece, **AGAIN), by=BOB).then(ASKED_AGAIN)
    gone = erased(REQUEST, sealed("second challenge"), sealed("second kept"), of=BOTH)
    after = later.when(example(DeclineRequest, n=2), by=ANN).then(example(RequestDeclined), gone)
    closed = example(RequestClosed), erased(REQUEST, sealed("kept challenge"), of=BOTH)
    released = example(PieceReleased), erased(PIECE, sealed("reader's wrap"), of=BOTH)
    after.when(example(ReleaseReader), by=BOB).then(example(PieceReleased, by=BOB.account), released[1], *closed)
    later = given(*READING, ASKED_AGAIN)
    after = later.when(example(WithdrawRequest), by=BOB).then(example(RequestClosed, whole=False), gone)
    after.when(example(ReleaseReader), by=BOB).then(example(PieceReleased, by=BOB.account), released[1], *closed)
    second = {"n": 2, "wrap": sealed("reader's second wrap")}
    later.when(example(ApproveRequest, **second), by=ANN).then(
        example(RequestApproved, **second),
        example(PieceGranted, wrap=sealed("reader's second wrap")),
        erased(REQUEST, sealed("second challenge"), sealed("kept challenge"), of=BOTH),
        erased(PIECE, sealed("reader's wrap"), of=BOTH),
    )


def test_c9_the_reader_keeps_the_key_once() -> None:
    after = given(*READING).when(example(StorePiece), by=BOB).then(example(PieceStored))
    after.when(example(StorePiece, wrap=sealed("other")), by=BOB).then_nothing()
    given(*READING).when(example(StorePiece), by=EVE).then(NO_PIECE)
    given(*READING).when(example(StorePiece, generation=2), by=BOB).then(StaleVersion)
    given(*READING, example(ConnectionRemoved)).when(example(StorePiece), by=BOB).then(NO_PIECE)
    given(*READING).when(example(StorePiece, wrap=sealed("reader's wrap")), by=BOB).then(AlreadyExists)


@pytest.mark.parametrize("who", [ANN, BOB], ids=["owner", "reader"])
def test_c15_a_released_reader_has_nothing_and_the_next_version_needs_a_new_key(who: Actor) -> None:
    closed = example(RequestClosed, by=who.account)
    after = given(*READING, example(PieceStored)).when(example(ReleaseReader), by=who)
    after = after.then(
        example(PieceReleased, by=who.account),
        erased(PIECE, sealed("reader's wrap"), sealed("stored"), of=BOTH),
        closed,
        erased(REQUEST, sealed("kept challenge"), of=BOTH),
    )
    after.when(example(ReleaseReader), by=who).then_nothing()
    after.when(example(StorePiece), by=BOB).then(NO_PIECE)
    after.when(example(SetPiece, **SECOND), by=ANN).then(StaleVersion("the piece needs a key behind generation 1"))
    renewed = SECOND | {"generation": 2}
    gone = erased(PIECE, sealed("piece content"), sealed("piece wrap"))
    after.when(example(SetPiece, **renewed), by=ANN).then(example(PieceSet, **renewed), gone)


def test_a_stranger_releases_nobody() -> None:
    given(*READING).when(example(ReleaseReader), by=EVE).then(NO_PIECE)
    given().when(example(ReleaseReader), by=ANN).then(NO_PIECE)


def test_c13_c15_a_new_key_goes_to_those_who_read_and_to_nobody_else() -> None:
    renewed = SECOND | {"generation": 2}
    gone = erased(PIECE, sealed("piece content"), sealed("piece wrap"), sealed("reader's wrap"))
    decided = given(*READING).when(example(SetPiece, **renewed, **WRAPS), by=ANN)
    decided.then(example(PieceSet, **renewed), REGRANTED, gone)
    given(CONNECTED, SET).when(example(SetPiece, **renewed, **WRAPS), by=ANN).then(NotFound("there is no such reader"))
    given(*READING).when(example(SetPiece, **SECOND, **WRAPS), by=ANN).then(AlreadyExists)
    ended = given(*READING, example(ConnectionRemoved)).when(example(SetPiece, **renewed, **WRAPS), by=ANN)
    ended.then(NotFound("there is no such reader"))


def test_c15_those_who_were_left_out_get_the_key_later_and_once() -> None:
    renewed = example(PieceSet, **SECOND, generation=2)
    gone = erased(PIECE, sealed("reader's wrap"))
    after = given(*READING, renewed).when(example(RegrantPiece), by=ANN).then(REGRANTED, gone)
    again = {"wraps": {BOB.account: sealed("third")}, "grants": {BOB.account: signature("third")}}
    after.when(example(RegrantPiece, **again), by=ANN).then(AlreadyExists)
    given(*READING, renewed).when(example(RegrantPiece), by=BOB).then(NO_PIECE)
    given(*READING, renewed).when(example(RegrantPiece, generation=3), by=ANN).then(StaleVersion)


def test_c15_what_many_readers_had_is_erased_in_bounded_events() -> None:
    many = {long_id(f"reader {n}"): n for n in range(20)}
    had = [example(PieceGranted, reader=reader, wrap=sealed(f"had {n}")) for reader, n in many.items()]
    state = piece.State()
    for event in (SET, *had):
        piece.evolve(state, event)
    wraps = {reader: sealed(f"has {n}") for reader, n in many.items()}
    command = example(SetPiece, **SECOND, generation=2, wraps=wraps, grants=dict.fromkeys(wraps, signature("grant")))
    over = {reader: connection.State(ANN.account, reader, keys={reader: short_id("key")}) for reader in many}
    decided = piece.decide_set(command, state, ANN, connections=over)
    gone = [each.digests for each in decided if isinstance(each, SealedErased)]
    assert [len(digests) for digests in gone] == [MAX_ERASED, 22 - MAX_ERASED]
    assert {each for digests in gone for each in digests} == {
        *(sealed(f"had {n}") for n in range(20)),
        sealed("piece content"),
        sealed("piece wrap"),
    }


def test_each_wrap_has_a_signed_grant() -> None:
    with pytest.raises(Malformed):
        piece.check_grants(example(RegrantPiece, grants={}))
    piece.check_grants(example(RegrantPiece))


def test_a_removed_piece_is_nobodys_and_its_number_is_not_used_again() -> None:
    gone = erased(PIECE, *sorted((sealed("piece content"), sealed("piece wrap"))))
    readers = StaleVersion("the piece has readers: release them first")
    given(*READING).when(example(RemovePiece), by=ANN).then(readers)
    given(*READING, example(ConnectionRemoved)).when(example(RemovePiece), by=ANN).then(readers)
    after = given(CONNECTED, SET).when(example(RemovePiece), by=ANN).then(example(PieceRemoved), gone)
    after.when(example(RemovePiece), by=ANN).then_nothing()
    after.when(example(StorePiece), by=BOB).then(NO_PIECE)
    again = SECOND | {"version": 3, "generation": 2}
    after.when(example(SetPiece, **again), by=ANN).then(example(PieceSet, **again))
    after.when(example(SetPiece, **SECOND), by=ANN).then(StaleVersion("the piece is at version 2"))
    given(SET).when(example(RemovePiece), by=BOB).then(NO_PIECE)
    given(SET).when(example(RemovePiece, version=3), by=ANN).then(StaleVersion)


def test_c7_rules_are_kept_by_number() -> None:
    after = given().when(example(SetRules), by=ANN).then(example(RulesSet))
    after.when(example(SetRules, rules=sealed("others")), by=ANN).then(StaleVersion("the rules are at version 1"))
    none = {"version": 2, "rules": None}
    after.when(example(SetRules, **none), by=ANN).then(
        example(RulesSet, **none), erased(ANN.account, sealed("rules"), of=(ANN,))
    )


def test_states_take_no_event_of_another() -> None:
    other: Event = CONNECTED
    for state, evolve in ((piece.State(), piece.evolve), (request.State(), request.evolve)):
        with pytest.raises(NotImplementedError):
            evolve(state, other)  # type: ignore[operator]
