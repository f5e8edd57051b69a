"""Many people, the whole command set and every fault, against the model of who can read what."""

import inspect
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from eventsourcing.persistence import PersistenceError
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RULE_MARKER, run_state_machine_as_test

from domain import group, share
from handlers import committer
from infra import recorders
from privity.errors import PrivityError
from privity.messages.catalog import COMMANDS
from privity.messages.recorded import Positioned
from privity.testing.histories import Histories
from projections import groups, shares
from projections.changes import execute
from projections.projector import Projector
from projections.tables import group_members
from projections.views import folded
from tests.histories.folding import fold
from tests.histories.record import stored
from tests.simulation import finding
from tests.simulation.everything import Simulation, simulation
from tests.simulation.ground import STORE, Databases, Files, Ground
from tests.simulation.talking import Talking

Rules = type[Talking]

SIMULATIONS = "PRIVITY_SIMULATIONS"
"""The environment variable that says how many runs the long test makes."""
IN_MEMORY = Path("/dev/shm")
"""Where files are synced at once, if there is such a folder: no power is cut here."""

quietly = settings(
    deadline=None, database=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=True
)
SHORT = settings(quietly, max_examples=5, stateful_step_count=40, derandomize=True)
SHORTER = settings(SHORT, max_examples=2)
LONG = settings(quietly, max_examples=int(os.environ.get(SIMULATIONS, "60")), stateful_step_count=80, derandomize=False)
SEARCH = settings(quietly, max_examples=200, phases=[Phase.generate], derandomize=True)
"""Until something is found; it is not shrunk."""


each_ground = pytest.mark.parametrize("ground", ["rules", "rules_on_postgresql"], ids=["sqlite", "postgresql"])


@pytest.fixture(scope="module")
def rules() -> Iterator[type[Simulation]]:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        yield from simulated(Files(Path(folder) / "first"))


@pytest.fixture(scope="module")
def rules_on_postgresql(postgres_server: str) -> Iterator[type[Simulation]]:
    yield from simulated(Databases(postgres_server, "first"))


def simulated(ground: Ground) -> Iterator[type[Simulation]]:
    made = simulation(ground)
    yield made
    made.worlds.close()


def run(rules: Rules, settings: settings) -> None:
    with finding.kept(rules.worlds):
        run_state_machine_as_test(rules, settings=settings)


@each_ground
def test_each_command_is_said(ground: str, request: pytest.FixtureRequest) -> None:
    """No command of the protocol is left out, and each is accepted somewhere."""
    run = request.getfixturevalue(ground)()
    run.goes_on_and_on()
    run.teardown()
    accepted = {type(said.command) for said in run.world.said if said.verdict == "accepted"}
    assert accepted == set(COMMANDS.values())


def test_the_model_and_the_home_agree(rules: type[Simulation]) -> None:
    run(rules, SHORT)


def test_they_agree_on_postgresql(rules_on_postgresql: type[Simulation]) -> None:
    run(rules_on_postgresql, SHORTER)


@pytest.mark.soak
@each_ground
def test_they_agree_for_long(ground: str, request: pytest.FixtureRequest) -> None:
    run(request.getfixturevalue(ground), LONG)


# What it finds: each of these is a home with one mistake.

Break = Callable[[pytest.MonkeyPatch], None]


def forgets_commands(patch: pytest.MonkeyPatch) -> None:
    """A command that comes again is decided again."""
    really = committer._Work.__init__
    patch.setattr(committer._Work, "__init__", lambda self, known: really(self, {}))


def commits_early(patch: pytest.MonkeyPatch) -> None:
    """What a batch brings is committed before its events are."""
    really = recorders._write_tree

    def write_tree(cursor: Any, *arguments: Any) -> None:
        really(cursor, *arguments)
        cursor.sqlite_cursor.connection.commit()

    patch.setattr(recorders, "_write_tree", write_tree)


def keeps_old_keys(patch: pytest.MonkeyPatch) -> None:
    """An epoch may drop somebody and keep the space key."""
    patch.setattr(group, "_check_key", lambda *_: None)


def shows_who_went(patch: pytest.MonkeyPatch) -> None:
    """A group is shown to who left it."""
    patch.setattr(groups, "_active", lambda: group_members.c.gone == sa.false())


def serves_expired(patch: pytest.MonkeyPatch) -> None:
    """Shares are served after their end, and before their terms are accepted."""
    patch.setattr(shares, "_readable", lambda *_: True)


def ends_for_strangers(patch: pytest.MonkeyPatch) -> None:
    """Anybody ends a share."""

    def decide(command: Any, state: share.State, by: Any, *, files: Sequence[str] = ()) -> list[Any]:
        return [] if state.removed else really(command, state, by=type(by)(state.owner, by.device, by.at), files=files)

    really = share.decide_remove
    patch.setattr(share, "decide_remove", decide)


def keeps_erased(patch: pytest.MonkeyPatch) -> None:
    """Sealed objects that were let go of stay."""
    patch.setattr(committer._Work, "erase", lambda self, digests: list(digests) and None)


def folds_twice(patch: pytest.MonkeyPatch) -> None:
    """Events that come again are folded in again."""

    def apply(self: Projector, happened: Sequence[Positioned]) -> None:
        if happened:
            with self._engine.begin() as db:
                execute(folded(happened), db)
                self._advance(happened[-1].position, db)
            self.position = happened[-1].position

    patch.setattr(Projector, "apply", apply)


def loses_rows(patch: pytest.MonkeyPatch) -> None:
    """The views' position is committed before their rows."""
    really = Projector.apply

    def apply(self: Projector, happened: Sequence[Positioned]) -> None:
        if new := [each for each in happened if each.position > self.position]:
            with self._engine.begin() as db:
                self._advance(new[-1].position, db)
            with pytest.MonkeyPatch.context() as advanced:
                advanced.setattr(self, "_advance", lambda *_: None)
                really(self, new)

    patch.setattr(Projector, "apply", apply)


BREAKS: dict[Break, tuple[str, ...]] = {
    forgets_commands: ("adds", "comes_again"),
    commits_early: ("adds", "holds_back", "commands_die"),
    keeps_old_keys: ("drops", "posts"),
    shows_who_went: ("drops", "leaves", "posts"),
    serves_expired: ("shares", "time_goes_on"),
    ends_for_strangers: ("ends",),
    keeps_erased: ("edits", "removes"),
    folds_twice: ("adds", "views_follow"),
    loses_rows: ("adds", "projections_die"),
}
"""Each with the rules by which it can be found: among all of them that takes many more runs."""


FOUND = (AssertionError, LookupError, sa.exc.SQLAlchemyError, PersistenceError, PrivityError)


def found(rules: Rules, *some: str) -> tuple[BaseException, Path]:
    """What the simulator finds by some of the rules, and the folder in which it is kept."""
    others = {name for name, each in inspect.getmembers(rules) if hasattr(each, RULE_MARKER)} - set(some)
    fewer: Rules = type("Fewer", (rules,), dict.fromkeys(others))
    with pytest.raises(FOUND) as caught:
        run(fewer, SEARCH)
    (told,) = [note for note in caught.value.__notes__ if note.startswith("kept: ")]
    return caught.value, Path(told.partition("sqlite:///")[2]).parent


@pytest.mark.trial
@pytest.mark.parametrize("breaks", BREAKS, ids=lambda each: each.__name__)
def test_a_mistake_of_the_home_is_found(
    breaks: Break, rules: type[Simulation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(finding.FOLDER, str(tmp_path))
    breaks(monkeypatch)
    found(rules, *BREAKS[breaks])


def test_what_is_found_is_kept_as_a_history(
    rules: type[Simulation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its steps, who said what, and the store, from which `tests.histories.record` makes a history that stays."""
    monkeypatch.setenv(finding.FOLDER, str(tmp_path))
    with monkeypatch.context() as patch:
        keeps_erased(patch)
        failure, folder = found(rules, *BREAKS[keeps_erased])
    assert "erased" in str(failure)
    assert any("state.teardown()" in note for note in failure.__notes__)
    lines = (folder / finding.COMMANDS).read_text().splitlines()
    histories = Histories(folder)
    assert '"RegisterAccount"' in lines[0]
    assert histories.differences(finding.NAME, fold) == histories.damage() == []
    assert list(histories.events(finding.NAME)) == list(stored(f"sqlite:///{folder / STORE}"))
