"""A read that matters: recorded once for reader, object and hour, and only where there is something to read."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.read import hour_of
from privity.errors import NotFound
from privity.messages.reads import (
    KeyringFetched,
    KeyringRefused,
    RecordKeyringFetched,
    RecordKeyringRefused,
    RecordShareFetched,
    ShareFetched,
)
from privity.messages.shares import ShareCreated
from tests.domain.deciding import given, read_of
from tests.examples import ANN, BOB, EVE, NOW, example


def test_what_the_recipient_of_a_share_fetches_is_recorded_for_owner_and_reader() -> None:
    fetched = example(ShareFetched)
    given(example(ShareCreated)).when(example(RecordShareFetched), by=BOB).then(fetched)
    assert (fetched.owner, fetched.reader, fetched.at_hour) == (ANN.account, BOB.account, NOW)


def test_in_the_same_hour_it_is_recorded_once() -> None:
    later = replace(BOB, at=NOW + timedelta(minutes=59, seconds=59))
    given(example(ShareCreated), example(ShareFetched)).when(example(RecordShareFetched), by=later).then_nothing()


def test_nobody_but_the_recipient_is_said_to_have_read() -> None:
    for by in (ANN, EVE):
        given(example(ShareCreated)).when(example(RecordShareFetched), by=by).then(NotFound)
    given().when(example(RecordShareFetched), by=BOB).then(NotFound)


@pytest.mark.parametrize(
    ("command", "event"), [(RecordKeyringFetched, KeyringFetched), (RecordKeyringRefused, KeyringRefused)]
)
def test_a_keyring_is_recorded_once_in_an_hour(command: type, event: type) -> None:
    id = read_of(command.__name__, ANN, "keyring")
    recorded = given().when(example(command), by=ANN).then(example(event, read=id))
    recorded.when(example(command), by=ANN).then_nothing()
    later = replace(ANN, at=NOW + timedelta(hours=1))
    next_id = read_of(command.__name__, later, "keyring")
    recorded.when(example(command), by=later).then(example(event, read=next_id, at_hour=later.at))


def test_an_hour_begins_at_its_first_minute_in_utc() -> None:
    assert hour_of(NOW + timedelta(minutes=59, microseconds=1)) == NOW
