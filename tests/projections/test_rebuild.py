"""Rebuilding: right rows beside the live views, whatever happens meanwhile, in however many processes."""

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.history import fill
from infra.reader import StoreReader
from infra.store import open_store
from infra.views_db import open_views
from privity.errors import AlreadyRunning, IntegrityAlarm, NotFound
from privity.messages.recorded import Positioned
from projections import folding, rebuild
from projections.folding import TABLES
from projections.projector import Projector, leftovers
from projections.rebuild import differences, folded_apart, position_at, rows_of
from projections.turns import only_rebuild
from tests.projections.test_views import after, all_rows

EVENTS = 3000
TRIES = 12
"""Statements at which a rebuild is made to fail."""


@pytest.fixture
def bent(each_views: sa.Engine, recorded: Sequence[Positioned]) -> sa.Engine:
    """Views of the whole story, in which somebody changed and deleted rows by hand."""
    Projector(each_views).apply(recorded)
    bend(each_views)
    return each_views


def bend(engine: sa.Engine) -> None:
    with engine.begin() as db:
        db.execute(sa.text("UPDATE shares SET version = version + 1"))
        db.execute(sa.text("DELETE FROM feed WHERE seq = 2"))
        db.execute(sa.text("DELETE FROM items"))


@pytest.fixture
def whole(recorded: Sequence[Positioned], tmp_path: Path) -> list[tuple[str, tuple[object, ...]]]:
    """The rows of the whole story, as a projector on its own folds them."""
    engine = open_views(f"sqlite:///{tmp_path}/whole.db")
    Projector(engine).apply(recorded)
    found = all_rows(engine)
    engine.dispose()
    return found


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a story takes many pages, is folded apart first, and the live views get away from the rebuild."""
    monkeypatch.setattr(rebuild, "WORTH", 1)
    monkeypatch.setattr(rebuild, "SLICE", 3)
    monkeypatch.setattr(folding, "PAGE", 7)
    monkeypatch.setattr(rebuild, "NEAR", 3)
    monkeypatch.setattr(folding.pages, "__defaults__", (7,))


def left_over(engine: sa.Engine) -> list[str]:
    with engine.connect() as db:
        return leftovers(db)


def indexed(engine: sa.Engine) -> dict[str, list[object]]:
    """The columns of each table's indexes."""
    return {table: sorted(each["column_names"] for each in sa.inspect(engine).get_indexes(table)) for table in TABLES}


def test_bent_views_are_replaced_by_right_ones_and_nothing_is_left_over(
    bent: sa.Engine, recorded: Sequence[Positioned], whole: object
) -> None:
    assert all_rows(bent) != whole
    indexes = indexed(bent)
    assert rebuild.rebuild(bent, after(recorded)) == recorded[-1].position
    assert all_rows(bent) == whole
    assert left_over(bent) == []
    assert rebuild.rebuild(bent, after(recorded)) == recorded[-1].position, "names do not get in each other's way"
    assert all_rows(bent) == whole
    assert indexed(bent) == indexes


def test_one_view_is_replaced_alone_and_a_feed_with_its_heads(
    bent: sa.Engine, recorded: Sequence[Positioned], small_pages: None
) -> None:
    rebuild.rebuild(bent, after(recorded), frozenset({"shares"}))
    assert {line.partition(":")[0] for line in differences(bent, after(recorded))[1]} == {"feed", "items"}
    rebuild.rebuild(bent, after(recorded), frozenset({"feed"}))
    assert {line.partition(":")[0] for line in differences(bent, after(recorded))[1]} == {"items"}
    with pytest.raises(NotFound, match="there is no view nothing"):
        rebuild.rebuild(bent, after(recorded), frozenset({"nothing"}))


def test_the_live_projector_goes_on_meanwhile_and_afterwards(
    each_views: sa.Engine, recorded: Sequence[Positioned], whole: object, small_pages: None
) -> None:
    live, moved = Projector(each_views), []
    live.apply(recorded[:20])

    def told(done: int, of: int) -> None:
        if live.position < recorded[-40].position:
            live.apply(recorded[live.position : live.position + 5])
            moved.append(done)

    position = rebuild.rebuild(each_views, after(recorded), told=told)
    assert len(moved) > 3
    assert position == live.position < recorded[-1].position
    live.apply(recorded[live.position :])
    assert all_rows(each_views) == whole


def test_a_rebuild_of_views_that_are_deleted_meanwhile_says_so(
    views: sa.Engine, recorded: Sequence[Positioned], small_pages: None
) -> None:
    Projector(views).apply(recorded)
    path = Path(str(views.url.database))

    def told(done: int, of: int) -> None:
        path.unlink(missing_ok=True)

    with pytest.raises(NotFound, match="made anew"):
        rebuild.rebuild(views, after(recorded), told=told)


def test_what_a_killed_rebuild_has_left_goes_when_the_projector_opens(views: sa.Engine) -> None:
    left = Path(f"{views.url.database}-apart")
    left.write_bytes(b"folded")
    with only_rebuild(views):
        Projector(views)
        assert left.exists(), "somebody works on it"
    Projector(views)
    assert not left.exists()


def test_without_a_backend_all_views_come_to_the_end_at_once(
    views: sa.Engine, recorded: Sequence[Positioned], whole: object
) -> None:
    Projector(views).apply(recorded[:5])
    assert rebuild.rebuild(views, after(recorded), until=recorded[-1].position) == recorded[-1].position
    assert all_rows(views) == whole


def test_what_cannot_be_rebuilt_is_said(views: sa.Engine, recorded: Sequence[Positioned]) -> None:
    with pytest.raises(NotFound, match="not made yet"):
        rebuild.rebuild(views, after(recorded))
    Projector(views).apply(recorded)
    with only_rebuild(views), pytest.raises(AlreadyRunning):
        rebuild.rebuild(views, after(recorded))
    with pytest.raises(IntegrityAlarm, match="from 1 to"):
        rebuild.rebuild(views, after(recorded[:9] + recorded[10:]))
    rebuild.rebuild(views, after(recorded))


@pytest.mark.trial
def test_f15_a_rebuild_that_ends_at_any_statement_leaves_each_view_whole(
    bent: sa.Engine, recorded: Sequence[Positioned], whole: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each table is the old one or the new one, at one position; the next rebuild clears up."""
    engine, live = bent, Projector(bent)
    monkeypatch.setattr(rebuild, "NEAR", 3)
    new = _by_table(whole)
    statements, seen = _statements_of(engine, recorded), set()
    for number in range(1, statements, statements // TRIES):
        bend(engine)
        old = _by_table(all_rows(engine))
        with _failing(engine, number), pytest.raises(ZeroDivisionError):
            rebuild.rebuild(engine, after(recorded))
        found = _by_table(all_rows(engine))
        assert all(found.get(table) in (old.get(table), new.get(table)) for table in TABLES)
        seen |= {(table, found.get(table) == new.get(table)) for table in ("feed", "items", "shares")}
        assert live.stands()
        assert Projector(engine).position == recorded[-1].position
    assert seen == {(table, swapped) for table in ("feed", "items", "shares") for swapped in (True, False)}
    rebuild.rebuild(engine, after(recorded))
    assert (all_rows(engine), left_over(engine)) == (whole, [])


def _by_table(rows: list[tuple[str, tuple[object, ...]]]) -> dict[str, list[tuple[object, ...]]]:
    found: dict[str, list[tuple[object, ...]]] = {}
    for table, row in rows:
        found.setdefault(table, []).append(row)
    return found


def _statements_of(engine: sa.Engine, recorded: Sequence[Positioned]) -> int:
    """How many statements a rebuild takes."""
    count = [0]

    def tick(*_: object) -> None:
        count[0] += 1

    sa.event.listen(engine, "before_cursor_execute", tick)
    rebuild.rebuild(engine, after(recorded))
    sa.event.remove(engine, "before_cursor_execute", tick)
    return count[0]


class _failing:
    """Every statement from the n-th on fails, within the block."""

    def __init__(self, engine: sa.Engine, number: int) -> None:
        self._engine, self._left = engine, number

    def __enter__(self) -> None:
        sa.event.listen(self._engine, "before_cursor_execute", self._fail)

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "before_cursor_execute", self._fail)

    def _fail(self, *_: object) -> None:
        self._left -= 1
        if self._left <= 0:
            raise ZeroDivisionError


def test_any_prefix_folded_rebuilt_and_continued_gives_the_rows_of_the_whole(
    recorded: Sequence[Positioned], whole: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(1, len(recorded)))
    def law(cut: int) -> None:
        engine = open_views(f"sqlite:///{tmp_path_factory.mktemp('cut')}/views.db")
        live = Projector(engine)
        live.apply(recorded[:cut])
        assert rebuild.rebuild(engine, after(recorded)) == live.position
        live.apply(recorded[cut:])
        assert all_rows(engine) == whole
        engine.dispose()

    law()


def test_the_past_is_what_was_folded_up_to_then(recorded: Sequence[Positioned], tmp_path: Path) -> None:
    cut = len(recorded) // 2
    engine = open_views(f"sqlite:///{tmp_path}/then.db")
    Projector(engine).apply(recorded[:cut])
    with folded_apart(after(recorded), recorded[cut - 1].position) as then:
        assert all_rows(then) == all_rows(engine)
        assert [row["address"] for row in rows_of(then, "addresses")] == sorted(
            row["address"] for row in rows_of(engine, "addresses")
        )
    engine.dispose()


def test_a_time_names_the_last_event_recorded_by_then(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/store.db")) as store:
        head = fill(store, 200)
    reader = StoreReader(f"sqlite:///{tmp_path}/store.db")
    times = [each.meta.at for each in reader(0, head)]
    for at in (times[0], times[77], times[77] + timedelta(microseconds=1), times[-1], times[-1] + timedelta(days=1)):
        assert position_at(reader, head, at) == sum(each <= at for each in times)
    assert position_at(reader, head, times[0] - timedelta(microseconds=1)) == 0


def test_deleted_views_are_noticed_and_made_again(each_views: sa.Engine, recorded: Sequence[Positioned]) -> None:
    live = Projector(each_views)
    live.apply(recorded)
    before = all_rows(each_views)
    assert live.stands()
    for name in ("views.db", "views.db-wal", "views.db-shm"):
        Path(each_views.url.database or "").with_name(name).unlink(missing_ok=True)
    if each_views.dialect.name == "postgresql":
        with each_views.begin() as db:
            rebuild.metadata.drop_all(db)
    assert not live.stands()
    live.make_again()
    assert (live.position, live.stands()) == (0, True)
    live.catch_up(after(recorded))
    assert all_rows(each_views) == before


@pytest.fixture(scope="session")
def long_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a store of some thousand events."""
    url = f"sqlite:///{tmp_path_factory.mktemp('long')}/store.db"
    with closing(open_store(url)) as store:
        fill(store, EVENTS)
    return url


@pytest.mark.trial
@pytest.mark.soak
def test_in_any_number_of_processes_the_rows_are_the_same(
    long_store: str, each_views: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "WORTH", 1)
    reader = StoreReader(long_store)
    live = Projector(each_views)
    live.catch_up(reader)
    before = all_rows(each_views)
    for workers in (0, 1, 3):
        assert differences(each_views, reader, workers=workers) == (live.position, [])
        assert rebuild.rebuild(each_views, reader, workers=workers) == live.position
        assert all_rows(each_views) == before
