"""Decisions about connections."""

from dataclasses import replace

import pytest

from domain.facts import Actor
from privity.errors import AlreadyExists, NotConnected, NotFound, StaleVersion
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
from tests.examples import ANN, BOB, EVE, erased, example, long_id, sealed

CONNECTED = (example(ConnectionEstablished), example(PairConnected))
CONFIRMED = example(ConnectionConfirmed)
REMOVED = (example(ConnectionRemoved), example(PairParted))
CONNECTION = long_id("connection")
ANNS_NOTE, BOBS_NOTE = sealed("ann's note"), sealed("bob's note")
MISSING = NotFound("there is no such connection")
ALL = pytest.mark.parametrize(
    "command", [example(ConfirmConnection), example(NoteConnection), example(RemoveConnection)], ids=lambda c: c.subject
)


def test_the_inviter_confirms_once() -> None:
    after = given(*CONNECTED).when(example(ConfirmConnection), by=ANN).then(CONFIRMED, erased(CONNECTION, ANNS_NOTE))
    after.when(example(ConfirmConnection), by=ANN).then_nothing()


def test_a_connection_by_mail_is_confirmed_without_a_mac() -> None:
    confirmed = example(ConnectionConfirmed, mac=None), erased(CONNECTION, ANNS_NOTE)
    given(*CONNECTED).when(example(ConfirmConnection, mac=None), by=ANN).then(*confirmed)


def test_the_acceptor_has_nothing_to_confirm() -> None:
    given(*CONNECTED).when(example(ConfirmConnection), by=BOB).then(MISSING)


@pytest.mark.parametrize("history", [CONNECTED, (*CONNECTED, CONFIRMED)], ids=["new", "confirmed"])
def test_a_confirmation_is_for_the_acceptance_that_stands(history: tuple[Event, ...]) -> None:
    other = example(ConfirmConnection, acceptance=sealed("another acceptance"))
    given(*history).when(other, by=ANN).then(NotConnected)


@pytest.mark.parametrize(("who", "first"), [(ANN, ANNS_NOTE), (BOB, BOBS_NOTE)], ids=["inviter", "acceptor"])
def test_each_side_keeps_notes_of_its_own_and_the_one_before_is_erased(who: Actor, first: str) -> None:
    noted = example(ConnectionNoted, by=who.account)
    once = example(NoteConnection, replaces=first)
    after = given(*CONNECTED).when(once, by=who).then(noted, erased(CONNECTION, first, of=[who]))
    newer = sealed("newer note")
    again = example(ConnectionNoted, by=who.account, note=newer), erased(CONNECTION, sealed("note"), of=[who])
    after = after.when(example(NoteConnection, replaces=sealed("note"), note=newer), by=who).then(*again)
    last = example(NoteConnection, replaces=newer, note=sealed("note"))
    after.when(last, by=who).then(noted, erased(CONNECTION, newer, of=[who]))


def test_of_two_devices_that_keep_a_note_at_once_one_reads_again() -> None:
    noted = example(ConnectionNoted, by=ANN.account), erased(CONNECTION, ANNS_NOTE, of=[ANN])
    after = given(*CONNECTED).when(example(NoteConnection), by=ANN).then(*noted)
    after.when(example(NoteConnection, note=sealed("the other device's")), by=ANN).then(StaleVersion)


def test_a_note_that_is_the_same_changes_nothing_and_erases_nothing() -> None:
    after = given(*CONNECTED).when(example(NoteConnection, note=ANNS_NOTE), by=ANN).then_nothing()
    after.when(example(ConfirmConnection, note=ANNS_NOTE), by=ANN).then(AlreadyExists)


@pytest.mark.parametrize("command", [example(NoteConnection), example(ConfirmConnection)], ids=lambda c: c.subject)
def test_the_two_sides_never_hold_one_object(command: Command) -> None:
    given(*CONNECTED).when(replace(command, note=BOBS_NOTE), by=ANN).then(AlreadyExists)  # type: ignore[call-arg]


@pytest.mark.parametrize("who", [ANN, BOB])
def test_either_side_ends_it_for_both_and_again_changes_nothing(who: Actor) -> None:
    removed = example(ConnectionRemoved, by=who.account)
    notes = erased(CONNECTION, ANNS_NOTE, BOBS_NOTE, of=(ANN, BOB))
    after = given(*CONNECTED).when(example(RemoveConnection), by=who).then(removed, example(PairParted), notes)
    after.when(example(RemoveConnection), by=ANN).then_nothing()
    after.when(example(RemoveConnection), by=BOB).then_nothing()


@pytest.mark.parametrize("command", [example(ConfirmConnection), example(NoteConnection)], ids=lambda c: c.subject)
def test_after_the_end_there_is_no_connection(command: Command) -> None:
    given(*CONNECTED, *REMOVED).when(command, by=ANN).then(MISSING)


@ALL
def test_a_stranger_is_refused_just_as_if_there_were_none(command: Command) -> None:
    for history in (given(), given(*CONNECTED), given(*CONNECTED, *REMOVED)):
        history.when(command, by=EVE).then(MISSING)
