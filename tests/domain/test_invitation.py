"""Decisions about invitations."""

from datetime import timedelta

import pytest

from domain import invitation
from domain.facts import Actor
from privity.errors import (
    AlreadyConnected,
    AlreadyExists,
    BadToken,
    InvitationClosed,
    InvitationExpired,
    KeyNotFound,
    LifetimeTooLong,
    NotFound,
    OwnInvitation,
)
from privity.messages.accounts import AccountClosed, AccountRegistered
from privity.messages.base import Command, Event
from privity.messages.connections import ConnectionEstablished, PairConnected, PairParted
from privity.messages.invitations import (
    AcceptInvitation,
    CancelInvitation,
    ConnectionInvited,
    DeclineInvitation,
    InvitationAccepted,
    InvitationCancelled,
    InvitationDeclined,
    InviteConnection,
)
from privity.messages.keys import KeypairStored, PublicKeyPublished
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, LATER, NOW, actor, erased, example, raw, sealed, short_id

BOBS = {"key": short_id("bob's key"), "account": BOB.account}
KEYS = (example(KeypairStored), example(PublicKeyPublished))
BOBS_KEYS = (example(KeypairStored, public=raw("bob's public"), **BOBS), example(PublicKeyPublished, **BOBS))
INVITED = example(ConnectionInvited)
CANCELLED, DECLINED = example(InvitationCancelled), example(InvitationDeclined)
NOTE_ERASED = erased(short_id("invitation"), sealed("ann's note"))
ACCEPTED = (example(InvitationAccepted), example(ConnectionEstablished), example(PairConnected))
ANSWERS = pytest.mark.parametrize(
    "command", [example(AcceptInvitation), example(DeclineInvitation)], ids=lambda c: c.subject
)


def test_who_has_a_published_key_invites() -> None:
    given(*KEYS).when(example(InviteConnection), by=ANN).then(INVITED)


@pytest.mark.parametrize("end", [CANCELLED, DECLINED, ACCEPTED[0]], ids=lambda event: event.name)
def test_a_closed_invitation_keeps_nothing_large_in_mind(end: Event) -> None:
    """Many are kept at hand, and only an open one needs its record."""
    state = invitation.State()
    for event in (INVITED, end):
        invitation.evolve(state, event)
    assert state.inviter is not None
    assert (state.closed, state.record, state.mac) == (True, "", "")
    assert (state.inviter.public, state.inviter.note) == ("", "")
    assert state.inviter.account == ANN.account


def test_an_invitations_id_is_taken_once() -> None:
    given(*KEYS, INVITED).when(example(InviteConnection), by=ANN).then(AlreadyExists)
    given(*KEYS, INVITED, CANCELLED).when(example(InviteConnection), by=ANN).then(AlreadyExists)


@pytest.mark.parametrize("keys", [(), KEYS[:1]], ids=["none", "unpublished"])
def test_without_a_published_key_nobody_invites_or_accepts(keys: tuple[Event, ...]) -> None:
    given(*keys).when(example(InviteConnection), by=ANN).then(KeyNotFound)
    accepted = given(INVITED, *keys).when(example(AcceptInvitation, key=short_id("ann's key")), by=BOB)
    accepted.then(KeyNotFound)


def test_anothers_key_is_not_found() -> None:
    given(*KEYS).when(example(InviteConnection), by=EVE).then(KeyNotFound)
    given(*BOBS_KEYS, INVITED).when(example(AcceptInvitation), by=EVE).then(KeyNotFound)


def test_an_invitation_is_open_for_some_time_at_least() -> None:
    given(*KEYS).when(example(InviteConnection, expires=NOW), by=ANN).then(InvitationExpired)
    shortest = NOW + timedelta(microseconds=1)
    invited = given(*KEYS).when(example(InviteConnection, expires=shortest), by=ANN)
    invited.then(example(ConnectionInvited, expires=shortest))


def test_an_invitation_is_open_for_a_year_at_most() -> None:
    longest = NOW + timedelta(days=366)
    invited = given(*KEYS).when(example(InviteConnection, expires=longest), by=ANN)
    invited.then(example(ConnectionInvited, expires=longest))
    longer = example(InviteConnection, expires=longest + timedelta(microseconds=1))
    given(*KEYS).when(longer, by=ANN).then(LifetimeTooLong)


def test_accepting_uses_the_invitation_up_and_connects_the_two() -> None:
    after = given(INVITED, *BOBS_KEYS).when(example(AcceptInvitation), by=BOB).then(*ACCEPTED)
    after.when(example(AcceptInvitation), by=BOB).then(InvitationClosed)
    after.when(example(AcceptInvitation), by=EVE).then(InvitationClosed)


def test_by_mail_there_is_no_mac() -> None:
    accepted = given(INVITED, *BOBS_KEYS).when(example(AcceptInvitation, mac=None), by=BOB)
    established = example(ConnectionEstablished, acceptance_mac=None)
    accepted.then(ACCEPTED[0], established, ACCEPTED[2])


def test_the_inviter_cancels_and_after_that_nothing_follows() -> None:
    after = given(INVITED, *BOBS_KEYS).when(example(CancelInvitation), by=ANN).then(CANCELLED, NOTE_ERASED)
    for command, by in ((CancelInvitation, ANN), (AcceptInvitation, BOB), (DeclineInvitation, BOB)):
        after.when(example(command), by=by).then(InvitationClosed)


def test_only_the_inviter_cancels() -> None:
    missing = NotFound("there is no such invitation")
    given().when(example(CancelInvitation), by=ANN).then(missing)
    given(INVITED).when(example(CancelInvitation), by=BOB).then(missing)
    given(INVITED, CANCELLED).when(example(CancelInvitation), by=EVE).then(missing)


def test_declining_closes_the_invitation_and_again_changes_nothing() -> None:
    after = given(INVITED, *BOBS_KEYS).when(example(DeclineInvitation), by=BOB).then(DECLINED, NOTE_ERASED)
    after.when(example(DeclineInvitation), by=BOB).then_nothing()
    after.when(example(DeclineInvitation), by=EVE).then(InvitationClosed)
    after.when(example(AcceptInvitation), by=BOB).then(InvitationClosed)
    after.when(example(CancelInvitation), by=ANN).then(InvitationClosed)


@ANSWERS
def test_without_the_token_an_invitation_is_not_known(command: Command) -> None:
    given().when(command, by=BOB).then(BadToken)
    given(INVITED, *BOBS_KEYS).when(command, by=BOB, token_ok=False).then(BadToken)
    given(INVITED, CANCELLED).when(command, by=BOB, token_ok=False).then(BadToken)
    given(INVITED).when(command, by=ANN, token_ok=False).then(BadToken)


@ANSWERS
def test_the_invitations_of_a_closed_account_are_closed(command: Command) -> None:
    history = (example(AccountRegistered), INVITED, *BOBS_KEYS, example(AccountClosed))
    given(*history).when(command, by=BOB).then(InvitationClosed)
    given(*history).when(command, by=BOB, token_ok=False).then(BadToken)


def test_an_acceptor_brings_a_note_of_their_own() -> None:
    given(INVITED, *BOBS_KEYS).when(example(AcceptInvitation, note=INVITED.note), by=BOB).then(AlreadyExists)


@ANSWERS
def test_nobody_answers_their_own_invitation(command: Command) -> None:
    given(INVITED, *KEYS).when(command, by=ANN).then(OwnInvitation)


@ANSWERS
@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=400)])
def test_an_invitation_ends_at_its_time(command: Command, late: timedelta) -> None:
    given(INVITED, *BOBS_KEYS).when(command, by=actor("bob", LATER + late)).then(InvitationExpired)


@pytest.mark.parametrize("early", [timedelta(microseconds=1), timedelta(days=14)])
def test_until_then_it_is_open(early: timedelta) -> None:
    bob: Actor = actor("bob", LATER - early)
    given(INVITED, *BOBS_KEYS).when(example(AcceptInvitation), by=bob).then(*ACCEPTED)


def test_two_people_have_one_connection() -> None:
    second = example(ConnectionInvited, invitation=short_id("second invitation"))
    again = example(AcceptInvitation, invitation=short_id("second invitation"))
    given(INVITED, *BOBS_KEYS, *ACCEPTED, second).when(again, by=BOB).then(AlreadyConnected)


def test_who_parted_may_connect_again() -> None:
    parted = given(INVITED, *BOBS_KEYS, example(PairConnected), example(PairParted))
    parted.when(example(AcceptInvitation), by=BOB).then(*ACCEPTED)
