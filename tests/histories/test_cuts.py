"""Every history, cut anywhere: what is folded up to there and continued behind it equals what is folded as a whole."""

import pickle
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.aggregates import EVOLVE, STATES
from infra.mapping import to_positioned
from infra.reader import StoreReader
from infra.store import Batch, Event, Stored, open_store
from infra.views_db import open_views
from privity.messages.recorded import Positioned
from privity.testing.histories import Histories
from projections import folding
from projections.projector import Projector, rows, snapshot
from projections.rebuild import differences, rebuild

HISTORIES = Histories(Path(__file__).parent)
LARGE = ("crowd",)
SMALL = [name for name in HISTORIES.names() if name not in LARGE]
WORKERS = (1, 2)

States = dict[str, Any]


def happened(name: str) -> list[Positioned]:
    """What happened, as it is read today."""
    stored = (Stored(each.position, each.stream, each.version, each.name, each.data) for each in HISTORIES.events(name))
    return [to_positioned(each) for each in stored]


def evolved(states: States, events: Sequence[Positioned]) -> States:
    """The states that follow; these change."""
    for each in events:
        state = states.setdefault(each.stream, STATES[each.event.kind]())
        EVOLVE[type(state)](state, each.event)
    return states


def all_rows(engine: sa.Engine) -> list[tuple[str, tuple[object, ...]]]:
    with snapshot(engine) as db:
        return list(rows(db))


def views_folded(path: Path, *parts: Sequence[Positioned]) -> list[tuple[str, tuple[object, ...]]]:
    """The rows when each part is folded in by another process."""
    for part in parts:
        engine = open_views(f"sqlite:///{path}")
        Projector(engine).apply(part)
        found = all_rows(engine)
        engine.dispose()
    return found


@pytest.mark.parametrize("name", SMALL)
def test_states_of_a_prefix_go_on_to_those_of_the_whole(name: str) -> None:
    """Also in another process; and no event changes by being folded."""
    events = happened(name)
    whole = evolved({}, events)

    @settings(max_examples=8)
    @given(st.integers(0, len(events)))
    def law(cut: int) -> None:
        prefix: States = pickle.loads(pickle.dumps(evolved({}, events[:cut])))
        assert evolved(prefix, events[cut:]) == whole

    law()
    assert [each.event for each in events] == [each.event for each in happened(name)]


@pytest.mark.parametrize("name", SMALL)
def test_views_of_a_prefix_go_on_to_those_of_the_whole(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    events = happened(name)
    whole = views_folded(tmp_path_factory.mktemp("whole") / "views.db", events)

    @settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(1, len(events) - 1))
    def law(cut: int) -> None:
        path = tmp_path_factory.mktemp("cut") / "views.db"
        assert views_folded(path, events[:cut], events[cut:]) == whole

    law()


@pytest.mark.trial
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.soak
def test_a_large_history_can_be_cut_too(name: str, tmp_path: Path) -> None:
    events = happened(name)
    cut = len(events) // 3
    assert evolved(evolved({}, events[:cut]), events[cut:]) == evolved({}, events)
    whole = views_folded(tmp_path / "whole.db", events)
    assert views_folded(tmp_path / "cut.db", events[:cut], events[cut:]) == whole


@pytest.fixture
def reader(tmp_path: Path) -> StoreReader:
    """Of a store that a test fills."""
    url = f"sqlite:///{tmp_path}/store.db"
    open_store(url).close()
    return StoreReader(url)


@pytest.mark.trial
@pytest.mark.parametrize("name", SMALL)
def test_in_one_process_or_more_a_history_is_folded_to_equal_rows(
    name: str, reader: StoreReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "WORTH", 1)
    monkeypatch.setattr(folding.pages, "__defaults__", (50,))
    with closing(open_store(reader.url)) as store:
        store.append(Batch([Event(each.stream, each.version, each.name, each.data) for each in HISTORIES.events(name)]))
    engine = open_views(f"sqlite:///{tmp_path}/views.db")
    live = Projector(engine)
    live.catch_up(reader)
    whole = all_rows(engine)
    assert whole == views_folded(tmp_path / "whole.db", happened(name))
    for workers in WORKERS:
        assert differences(engine, reader, workers=workers) == (live.position, [])
        assert rebuild(engine, reader, workers=workers) == live.position
        assert all_rows(engine) == whole
    engine.dispose()
