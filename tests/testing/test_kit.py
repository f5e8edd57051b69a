"""The kit as app developers have it: its fixtures, what it promises of them, and its page."""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from infra import mapping
from privity.agent.profile import ProfileFolder
from privity.testing import plugin
from privity.testing.company import Company
from privity.testing.histories import Fold, Happened, Histories
from privity.testing.home import RunningHome
from privity.testing.recorder import Recorder
from privity.testing.seeded import START, Clock, Seeded
from projections import projector
from tests.docs.pages import ROOT, runnable
from tests.histories.folding import fold

pytest_plugins = ["pytester"]

TESTING = ROOT / "docs" / "testing.md"
CHANGING = ROOT / "docs" / "changing-events.md"


@pytest.fixture
def page(pytester: pytest.Pytester) -> pytest.Pytester:
    """The page's examples in a project of their own, which has no conftest: all fixtures come from the plugin."""
    for number, block in enumerate(runnable(TESTING, "python")):
        pytester.makepyfile(**{f"test_block_{number}": block})
    return pytester


@pytest.mark.trial
@pytest.mark.soak
def test_the_examples_of_the_page_run_on_a_backend_that_runs_already(
    page: pytest.Pytester, backend: RunningHome
) -> None:
    """But for the one that records: it needs a home of its own, and is skipped."""
    ran = page.runpytest_subprocess("-p", "no:cacheprovider", plugin.SERVER, backend.url, timeout=150)
    ran.assert_outcomes(passed=2, skipped=2)
    ran.stdout.fnmatch_lines(["privity: a backend that runs already"])
    assert backend.url not in ran.stdout.str()


@pytest.mark.trial
@pytest.mark.soak
def test_the_examples_of_the_page_run_as_they_stand(page: pytest.Pytester) -> None:
    """With a home of their own."""
    page.runpytest_subprocess("-p", "no:cacheprovider", timeout=150).assert_outcomes(passed=4)


def test_the_page_lists_every_fixture_there_is_and_every_option() -> None:
    page = TESTING.read_text()
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    fixtures = {name for name, each in vars(plugin).items() if type(each).__name__ == "FixtureFunctionDefinition"}
    assert fixtures - {"privity_repeats"} == listed
    assert plugin.SERVER in page
    assert plugin.SEED in page


def test_the_client_alone_needs_no_pytest() -> None:
    names = ("privity.cli.main", "privity.agent.session", "privity.testing.people", "privity.testing.recorder")
    code = f"import sys, {', '.join(names)}; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_plugin_that_every_run_loads_loads_nothing_else_before_a_fixture_is_asked_for() -> None:
    code = (
        "import sys, privity.testing.plugin; sys.exit(bool({'privity.agent', 'nats', 'pydantic'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_people_are_connected_and_recorded_apart_from_others(
    people: Company, history: Recorder, seeded: Seeded, tmp_path: Path
) -> None:
    """One test, as making people is slow."""
    alice, bob, carol = people.alice, people.bob, people("carol")
    assert people("alice") is alice
    assert people.all == (alice, bob, carol)

    folder, seen = tmp_path / "kept", list[Happened]()

    def fold_and_keep(happened: Iterable[Happened]) -> Fold:
        seen.extend(happened)
        return fold(seen)

    history.record("connected", alice, bob, fold=fold_and_keep, folder=folder)
    assert [each.position for each in seen] == list(range(1, len(seen) + 1))
    assert {"connection-established.v1", "connection-confirmed.v1"} <= {each.name for each in seen}
    theirs = {ProfileFolder(each.home).load().account for each in (alice, bob)}
    assert {row["account"] for row in fold(seen).views["accounts"]} == theirs, "and carol is not there"
    assert Histories(folder).differences("connected", fold) == []

    with pytest.raises(ValueError, match="name them too"):
        history.record("alone", alice, folder=folder)
    assert Histories(folder).names() == ["connected"], "a part of a history is none"


def test_the_clock_stands_until_it_is_moved_and_never_goes_back(clock: Clock) -> None:
    assert clock() == clock() == START
    assert (clock.goes_on(days=1, seconds=5) - START).total_seconds() == 86_405
    with pytest.raises(ValueError, match="back"):
        clock.goes_on(seconds=-1)


def test_what_is_made_up_is_the_same_at_each_run_and_another_in_another_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_ids(seeded, number):
            print("made", number, seeded.id(), seeded.long_id(), seeded.digest(), seeded.address("ann"))
        """
    )

    def made(*options: str) -> list[str]:
        ran = pytester.runpytest_inprocess("-q", "-s", "-p", "no:cacheprovider", "-p", "no:asyncio", *options)
        return [line for line in ran.outlines if "made" in line]

    once = made()
    assert len(set(once)) == 2
    assert once[0].split()[2:] != once[1].split()[2:]
    assert made() == once
    assert not set(made("--privity-seed", "1")) & set(once)


def test_the_page_about_changing_events_says_what_the_code_does() -> None:
    for block in runnable(CHANGING, "python"):
        exec(compile(block, str(CHANGING), "exec"), {})
    page = CHANGING.read_text()
    for path in re.findall(r"`((?:privity|infra|projections|tests)/[\w/.]+)`", page):
        assert (ROOT / path).exists(), path
    for name in ("VERSIONS", "UPCASTERS", "UNCONDITIONAL"):
        assert f"`{name}`" in page
        assert hasattr(mapping, name)
    assert "`FOLD`" in page
    assert isinstance(projector.FOLD, int)
    done = subprocess.run(
        [sys.executable, "-m", "tests.histories.record", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for option in re.findall(r"tests\.histories\.record NAME.* (--\w+)", page):
        assert option in done.stdout
