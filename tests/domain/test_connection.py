"""Decisions about connections."""

import pytest

from domain.facts import Actor
from privity.errors import NotConnected, NotFound
from privity.messages.base import Command, Event
from privity.messages.connections import (
    ConfirmConnection,
    ConnectionConfirmed,
    ConnectionEstablished,
    ConnectionNoted,
    ConnectionRemoved,
    NoteConnection,
    PairConnected,
    PairParted,
    RemoveConnection,
)
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, example, sealed

CONNECTED = (example(ConnectionEstablished), example(PairConnected))
CONFIRMED = example(ConnectionConfirmed)
REMOVED = (example(ConnectionRemoved), example(PairParted))
MISSING = NotFound("there is no such connection")
ALL = pytest.mark.parametrize(
    "command", [example(ConfirmConnection), example(NoteConnection), example(RemoveConnection)], ids=lambda c: c.subject
)


def test_the_inviter_confirms_once() -> None:
    after = given(*CONNECTED).when(example(ConfirmConnection), by=ANN).then(CONFIRMED)
    after.when(example(ConfirmConnection), by=ANN).then_nothing()


def test_a_connection_by_mail_is_confirmed_without_a_mac() -> None:
    given(*CONNECTED).when(example(ConfirmConnection, mac=None), by=ANN).then(example(ConnectionConfirmed, mac=None))


def test_the_acceptor_has_nothing_to_confirm() -> None:
    given(*CONNECTED).when(example(ConfirmConnection), by=BOB).then(MISSING)


@pytest.mark.parametrize("history", [CONNECTED, (*CONNECTED, CONFIRMED)], ids=["new", "confirmed"])
def test_a_confirmation_is_for_the_acceptance_that_stands(history: tuple[Event, ...]) -> None:
    other = example(ConfirmConnection, acceptance=sealed("another acceptance"))
    given(*history).when(other, by=ANN).then(NotConnected)


@pytest.mark.parametrize("who", [ANN, BOB])
def test_each_side_keeps_notes_of_its_own(who: Actor) -> None:
    noted = example(ConnectionNoted, by=who.account)
    after = given(*CONNECTED).when(example(NoteConnection), by=who).then(noted)
    after.when(example(NoteConnection), by=who).then(noted)


@pytest.mark.parametrize("who", [ANN, BOB])
def test_either_side_ends_it_for_both_and_again_changes_nothing(who: Actor) -> None:
    removed = example(ConnectionRemoved, by=who.account)
    after = given(*CONNECTED).when(example(RemoveConnection), by=who).then(removed, example(PairParted))
    after.when(example(RemoveConnection), by=ANN).then_nothing()
    after.when(example(RemoveConnection), by=BOB).then_nothing()


@pytest.mark.parametrize("command", [example(ConfirmConnection), example(NoteConnection)], ids=lambda c: c.subject)
def test_after_the_end_there_is_no_connection(command: Command) -> None:
    given(*CONNECTED, *REMOVED).when(command, by=ANN).then(MISSING)


@ALL
def test_a_stranger_is_refused_just_as_if_there_were_none(command: Command) -> None:
    for history in (given(), given(*CONNECTED), given(*CONNECTED, *REMOVED)):
        history.when(command, by=EVE).then(MISSING)
