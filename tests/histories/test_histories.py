"""Every history folds to what it folded to when it was recorded, and none was edited or removed."""

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from domain.share import State as Share
from infra import mapping
from infra.mapping import as_of_today
from privity.errors import Malformed
from privity.messages.catalog import EVENTS
from privity.testing.histories import SUMS, Fold, Happened, Histories
from tests.docs.pages import ROOT
from tests.histories import crowd, record
from tests.histories.folding import fold

HISTORIES = Histories(Path(__file__).parent)
ROWS = ("rows", "rows-supplied")
"""What the tests of all rows did, on their two homes."""
LARGE = ("crowd",)
"""As long as the others together, many times over."""


@pytest.mark.parametrize("name", HISTORIES.names())
def test_a_history_folds_to_what_it_must(name: str) -> None:
    assert HISTORIES.differences(name, fold) == []


@pytest.mark.trial
@pytest.mark.parametrize("name", LARGE)
def test_a_large_history_is_large(name: str) -> None:
    assert sum(1 for _ in HISTORIES.events(name)) >= 100_000


def test_the_histories_are_whole() -> None:
    assert {"crowd", "demo", "demo-2", "first-shares", "story", "story-2", *ROWS} <= set(HISTORIES.names())
    assert HISTORIES.damage() == []


def test_no_line_of_the_sums_was_ever_taken_away() -> None:
    """As far back as this checkout knows: with its line, a history could be edited or removed unseen."""
    path = (HISTORIES.folder / SUMS).relative_to(ROOT)
    told = subprocess.run(
        ["git", "log", "--patch", "--format=", "--", str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    now = (ROOT / path).read_text().splitlines()
    once = {line[1:] for line in told.splitlines() if re.match(r"\+[0-9a-f]{64}  ", line)}
    assert sorted(once - set(now)) == []


def test_every_event_that_was_there_when_they_were_recorded_is_in_a_history() -> None:
    """So an event that is changed without an upcaster is noticed."""
    recorded = {each.name for name in ("first-shares", "story-2", "demo-2", *ROWS) for each in HISTORIES.events(name)}
    assert {"share-created.v1", "share-created.v2"} <= recorded
    assert EVENTS.keys() <= {name.partition(".")[0] for name in recorded}


def test_first_shares_are_read_through_their_upcaster_as_shares_without_conditions() -> None:
    created = [each for each in HISTORIES.events("first-shares") if each.name == "share-created.v1"]
    states = fold(HISTORIES.events("first-shares")).states
    for each in created:
        assert b"reshare" not in each.data
        assert as_of_today(each.name, each.data)[0] == "share-created"
        state = states[each.stream]
        assert isinstance(state, Share)
        assert (state.generation, state.expires, state.terms_hash, state.reshare) == (1, None, None, 0)
    assert len(created) == 3


def test_a_change_that_breaks_old_events_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        mapping.UPCASTERS, "share-created.v1", lambda fields: fields | mapping.UNCONDITIONAL | {"reshare": 1}
    )
    found = HISTORIES.differences("first-shares", fold)
    assert any(each.startswith("share-") and "reshare is 1, and was 0" in each for each in found)
    monkeypatch.setitem(mapping.UPCASTERS, "share-created.v1", dict)
    with pytest.raises(Malformed, match="share-created"):
        HISTORIES.differences("first-shares", fold)
    monkeypatch.undo()
    monkeypatch.setitem(mapping.VERSIONS, "item-added", 2)
    monkeypatch.setitem(mapping.UPCASTERS, "item-added.v1", lambda fields: fields | {"colour": "red"})
    with pytest.raises(Malformed, match="item-added"):
        HISTORIES.differences("first-shares", fold)


def test_a_row_that_is_folded_otherwise_is_named() -> None:
    def renamed(happened: Iterable[Happened]) -> Fold:
        found = fold(happened)
        tables = {view: [dict(row) for row in rows] for view, rows in found.views.items()}
        tables["accounts"][0]["address"] = "somebody@else"
        return replace(found, views=tables)

    assert any("accounts: there was no row like" in each for each in HISTORIES.differences("first-shares", renamed))


def test_the_crowd_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert crowd.generate(7, 500, 20) == crowd.generate(7, 500, 20) != crowd.generate(8, 500, 20)


def test_a_store_is_recorded_and_folded_anew_by_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a reason, and not without."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["record", *arguments, "--folder", str(tmp_path / "kept")])
        record.main()
        return capsys.readouterr().out

    happened = list(record.story(tmp_path))
    assert run("mine", "--store", f"sqlite:///{tmp_path}/store.db") == f"mine: {len(happened)} events\n"
    kept = Histories(tmp_path / "kept")
    assert list(kept.events("mine")) == happened
    run("mine", "--again", "--why", "to see it")
    assert kept.folds("mine").why == "to see it"
    assert kept.differences("mine", fold) == kept.damage() == []
    for wrong in (("mine", "--again"), ("mine",), ("none", "--again", "--why", "there is none"), ("no-such-story",)):
        with pytest.raises(SystemExit):
            run(*wrong)
    assert run("story-again", "--of", "story").startswith("story-again: ")
    assert kept.names() == ["mine", "story-again"]


def test_a_history_that_is_there_is_not_recorded_again() -> None:
    """Nor is anything of it touched."""
    again = [sys.executable, "-m", "tests.histories.record", "story"]
    done = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "stays as it is" in done.stderr) == (1, True)
    assert HISTORIES.damage() == []
