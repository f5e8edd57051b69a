"""Stored names: a version that was written once is read for ever, as the event of today."""

import json

import pytest
from hypothesis import given, settings

from infra import mapping
from infra.mapping import as_of_today, stored_name, to_positioned, to_row
from infra.store import Stored
from privity.errors import Malformed
from privity.messages.catalog import EVENTS
from privity.messages.items import ItemAdded
from privity.messages.recorded import Meta, write_recorded
from privity.messages.shares import ShareCreated
from tests.examples import ANN, example, meta
from tests.strategies import messages

ITEM = example(ItemAdded)


def test_an_event_is_stored_by_its_versioned_name_and_never_by_a_class() -> None:
    row = to_row(ITEM, 7, meta())
    assert (row.stream, row.version, row.name) == (f"item-{ITEM.item}", 7, "item-added.v1")
    assert json.loads(row.data)["event"]["item"] == ITEM.item
    assert b"ItemAdded" not in row.data
    assert b"privity" not in row.data


@settings(max_examples=20, deadline=None)
@given(messages(ItemAdded), messages(Meta))
def test_what_was_stored_comes_back_at_its_place(event: ItemAdded, origin: Meta) -> None:
    row = to_row(event, 3, origin)
    found = to_positioned(Stored(12, row.stream, row.version, row.name, row.data))
    assert (found.position, found.stream, found.version) == (12, event.stream, 3)
    assert (found.event, found.meta) == (event, origin)


def test_the_version_of_today_is_read_byte_for_byte() -> None:
    data = write_recorded(ITEM, meta())
    assert as_of_today("item-added.v1", data) == ("item-added", data)


def test_an_old_version_is_read_through_each_upcaster_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if an item had had a `holder` at first, and no wrap until version 3."""
    monkeypatch.setitem(mapping.VERSIONS, "item-added", 3)
    monkeypatch.setitem(
        mapping.UPCASTERS,
        "item-added.v1",
        lambda event: {"owner": event["holder"]} | {key: event[key] for key in ("item", "content")},
    )
    monkeypatch.setitem(mapping.UPCASTERS, "item-added.v2", lambda event: event | {"wrap": ITEM.wrap})
    today = json.loads(write_recorded(ITEM, meta()))
    second = today | {"event": {"item": ITEM.item, "owner": ITEM.owner, "content": ITEM.content}}
    first = today | {"event": {"item": ITEM.item, "holder": ITEM.owner, "content": ITEM.content}}
    for name, recorded in (("item-added.v1", first), ("item-added.v2", second), ("item-added.v3", today)):
        found = to_positioned(Stored(1, ITEM.stream, 1, name, json.dumps(recorded).encode()))
        assert (found.event, found.meta) == (ITEM, meta())
    assert stored_name(ITEM) == "item-added.v3"


def test_a_share_of_the_first_version_had_no_conditions() -> None:
    today = example(ShareCreated)
    recorded = json.loads(write_recorded(today, meta()))
    for name in mapping.UNCONDITIONAL:
        del recorded["event"][name]
    found = to_positioned(Stored(1, today.stream, 1, "share-created.v1", json.dumps(recorded).encode()))
    assert found.event == today
    assert stored_name(today) == "share-created.v2"


@pytest.mark.parametrize(
    "name",
    ["item-added.v2", "item-added.v0", "item-added.v-1", "item-added", "item-added.v", "item-lost.v1", ".v1", "",
     "item-added.v1.v1", "item-added.v01x"],
)  # fmt: skip
def test_a_name_or_version_that_this_code_does_not_know_raises(name: str) -> None:
    with pytest.raises(Malformed, match="there is no stored event"):
        as_of_today(name, write_recorded(ITEM, meta()))


def test_every_old_version_of_every_event_has_its_upcaster() -> None:
    assert set(mapping.VERSIONS) == set(EVENTS)
    older = {f"{name}.v{version}" for name, today in mapping.VERSIONS.items() for version in range(1, today)}
    assert set(mapping.UPCASTERS) == older


def test_who_acted_is_kept_beside_what_happened() -> None:
    row = to_row(ITEM, 1, meta(ANN))
    assert json.loads(row.data)["meta"] | {"at": None} == {
        "command": meta().command,
        "digest": meta().digest,
        "actor": ANN.account,
        "device": ANN.device,
        "at": None,
    }
