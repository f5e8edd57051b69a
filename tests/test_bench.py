"""The benchmarks: every figure is there and means something. How large they are is this machine's affair."""

from pathlib import Path

import pytest

from bench import replay, run, trust
from bench.client import add_item
from bench.plan import MESSAGE, Plan, p50, p99, plan_for
from privity.agent.session import Signer
from privity.crypto.signing import SigningKey
from privity.encoding import new_id

FIGURES = {
    "floors": {
        "commits_per_s",
        "events_per_s_100_a_commit",
        "signs_per_s",
        "verifies_per_s",
        "jetstream_publishes_per_s",
        "round_trip_p50_ms",
        "echo_with_commit_p50_ms",
    },
    "home": {
        "idle_p50_ms",
        "idle_p99_ms",
        "commands_per_s_1_in_flight",
        "commands_per_s_8_in_flight",
        "result_to_row_p50_ms",
        "views_caught_up_after_s",
        "rebuild_events_per_s",
    },
    "ratios": {
        "idle_p50_to_echo_p50",
        "idle_p50_to_echo_p50_at_most",
        "commands_under_load_to_bar",
        "commands_under_load_to_bar_at_least",
        "row_p50_to_round_trip_p50",
        "commands_under_load_to_verifies",
    },
}
MAY_ROUND_TO_NOTHING = {"views_caught_up_after_s", "commands_under_load_to_bar", "commands_under_load_to_verifies"}
TINY = Plan(seconds=1, load=40, single=4, bulk=20, warm_up=8, in_flight=8, accounts=2)


@pytest.mark.trial
def test_one_run_gives_every_figure_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own is started, measured beside the floors, stopped and removed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = run.measure(TINY)
    assert {group: set(figures) for group, figures in found.items()} == FIGURES
    flat = {name: value for figures in found.values() for name, value in figures.items()}
    assert all(value >= 0 for value in flat.values())
    assert [name for name, value in flat.items() if value == 0 and name not in MAY_ROUND_TO_NOTHING] == []
    assert list(tmp_path.iterdir()) == []


def test_the_load_is_of_commands_of_the_size_that_is_claimed() -> None:
    """Within a tenth of 2.3 KB."""
    _, command = add_item(Signer("a" * 52, new_id(), SigningKey.generate(), "home"))
    assert len(command.data) == pytest.approx(MESSAGE, rel=0.1)


def test_a_run_is_bounded_in_time_and_in_number() -> None:
    """Whichever ends first."""
    assert list(Plan(seconds=60, load=1, single=1, bulk=1).turns(3)) == [0, 1, 2]
    assert list(Plan(seconds=0, load=1, single=1, bulk=1).turns(3)) == [0]
    assert plan_for(120).load == plan_for(60).load


def test_percentiles_are_in_milliseconds() -> None:
    """Of seconds."""
    seconds = [number / 1000 for number in range(101)]
    assert (p50(seconds), p99(seconds)) == pytest.approx((50, 99))


@pytest.mark.trial
@pytest.mark.soak
def test_what_trust_costs_is_measured_on_two_homes_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bare home takes commands whose signatures are zeros: what is compared is really with and without."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = trust.measure(TINY, rounds=1)
    assert set(found) == {"whole_commands_per_s", "bare_commands_per_s", "cost_of_trust", "cost_of_trust_at_most"}
    assert min(found["whole_commands_per_s"], found["bare_commands_per_s"]) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.trial
def test_the_folding_of_a_long_history_is_measured_and_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rebuilt views are compared with a second rebuild; nothing is left behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = replay.main(3000)
    assert set(found) == {"floors", "views", "ratios"}
    assert min(found["floors"].values()) > 0
    assert min(rate for name, rate in found["views"].items() if name.endswith("_per_s")) > 0
    assert list(tmp_path.iterdir()) == []
