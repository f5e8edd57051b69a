"""Reading ahead for a batch: one look into the store, and nothing that a decision could notice."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from domain import item
from handlers.states import States, likely_read
from infra.mapping import to_row
from infra.store import Batch, EventStore, open_store
from privity.messages.items import AddItem, ItemAdded, ItemEdited, ItemRemoved
from privity.messages.recorded import Meta

ANN, FIRST, SECOND, DIGEST = "a" * 52, "b" * 26, "c" * 26, "d" * 43
META = Meta("01890a5d-ac96-774b-bcce-b302099a8057", DIGEST, ANN, "e" * 26, datetime(2025, 1, 1, tzinfo=UTC))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    """A store with two items in it: one at version 2, one that is gone."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path') / 'store.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    opened = open_store(url)
    added = [ItemAdded(id, ANN, DIGEST, DIGEST) for id in (FIRST, SECOND)]
    then = [ItemEdited(FIRST, ANN, 2, DIGEST, DIGEST), ItemRemoved(SECOND, ANN)]
    opened.append(Batch([to_row(event, 1, META) for event in added] + [to_row(event, 2, META) for event in then]))
    yield opened
    opened.close()


def test_streams_come_whole_and_in_order(store: EventStore) -> None:
    """Each as `read` gives it; one that is not there is empty."""
    names = [f"item-{SECOND}", "item-none", f"item-{FIRST}"]
    assert store.streams(names) == {name: store.read(name) for name in names}
    assert [event.version for event in store.streams(names)[names[0]]] == [1, 2]


def test_what_was_read_ahead_is_what_would_have_been_read(store: EventStore) -> None:
    """The same states, versions and read set."""
    ahead, plain = States(store), States(store)
    ahead.preload([f"item-{FIRST}", f"item-{SECOND}"])
    for states in (ahead, plain):
        states.begin()
        assert (states.load(item.State, FIRST).version, states.load(item.State, SECOND).removed) == (2, True)
    assert ahead.read_set == plain.read_set == {f"item-{FIRST}": 2, f"item-{SECOND}": 2}


def test_what_is_read_ahead_and_not_used_binds_no_decision(store: EventStore) -> None:
    """It is not in the read set."""
    states = States(store)
    states.begin()
    states.preload([f"item-{FIRST}", f"item-{SECOND}"])
    states.load(item.State, FIRST)
    assert states.read_set == {f"item-{FIRST}": 2}


def test_reading_ahead_keeps_what_the_batch_has_decided(store: EventStore) -> None:
    """A stream that is known already is not read again over a newer state."""
    states = States(store)
    states.begin()
    states.apply(ItemRemoved(FIRST, ANN))
    states.preload([f"item-{FIRST}"])
    assert states.load(item.State, FIRST).removed


def test_a_command_names_its_account_and_what_it_is_about() -> None:
    """As streams."""
    named = [f"account-{ANN}", f"share-{FIRST}", f"item-{FIRST}"]
    assert list(likely_read(ANN, AddItem(FIRST, DIGEST, DIGEST))) == named
