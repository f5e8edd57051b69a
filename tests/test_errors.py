"""The one tree of errors: each class is a stable code, a sentence for the person, and an exit code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from privity import errors
from privity.agent.bus import error_for
from privity.errors import IntegrityAlarm, PrivityError, Refusal, Unreachable

ROOT = Path(__file__).parent.parent
ROOMS = ("privity", "domain", "handlers", "projections", "infra")
TREE = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, PrivityError)]
OF_THE_PROGRAM = {
    "NotImplementedError",
    "RuntimeError",
    "ValueError",
    "TypeError",
    "KeyError",
    "AssertionError",
    "Unopened",
    "_Erased",
    "_NotKept",
    "_OtherContent",
}
"""What says that the program is wrong, and those that never leave their module or room."""
OF_LIBRARIES = {"OperationalError", "typer.Exit", "typer.BadParameter", "IntegrityError", "OSError"}
"""What a library wants to be told, or would have said itself."""

EVERY = pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)


def raised(tree: ast.AST) -> Iterator[str]:
    """The names of the classes that a module's `raise` statements name; none for `raise` and `raise error`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            named = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = ast.unparse(named)
            if name.rpartition(".")[2][:1].isupper():
                yield name


@EVERY
def test_the_docstring_is_the_sentence_that_the_person_reads(error: type[PrivityError]) -> None:
    sentence = (error.__doc__ or "").strip()
    assert sentence[:1].isupper()
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert error().message == sentence
    assert error("there is no such thing").message == "there is no such thing"


@EVERY
def test_a_refusal_comes_back_from_the_bus_and_an_alarm_is_the_agents_own_to_raise(error: type[PrivityError]) -> None:
    """A backend that lies could otherwise cry alarm, or silence, in the agent's name."""
    back = error_for(error().code, "a message")
    assert isinstance(back, Refusal)
    assert (back.code, back.message, back.exit_code) == (error.__name__, "a message", 1)
    assert (type(back) is error) == issubclass(error, Refusal)


def test_codes_are_unique() -> None:
    names = [each.__name__ for each in TREE]
    assert len(set(names)) == len(names)


@EVERY
def test_exit_codes_tell_refusals_alarms_and_silence_apart(error: type[PrivityError]) -> None:
    families = [(IntegrityAlarm, 3), (Unreachable, 4), (PrivityError, 1)]
    assert error.exit_code == next(code for family, code in families if issubclass(error, family))
    assert not issubclass(error, Refusal) or not issubclass(error, (IntegrityAlarm, Unreachable))


def test_a_code_of_a_newer_backend_is_a_refusal_by_its_name() -> None:
    newer = error_for("MoonIsFull", "not tonight")
    assert isinstance(newer, Refusal)
    assert (newer.code, newer.message, newer.exit_code) == ("MoonIsFull", "not tonight", 1)


@pytest.mark.parametrize("code", ["ClassVar", "__doc__", "os", "Exception", ""])
def test_a_code_names_nothing_but_errors(code: str) -> None:
    assert isinstance(error_for(code, "text"), Refusal)


def test_all_that_is_raised_is_in_the_tree_or_says_that_the_program_is_wrong() -> None:
    known = {each.__name__ for each in TREE} | OF_THE_PROGRAM | OF_LIBRARIES
    files = [ROOT / "app.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    assert len(files) > 80
    strange = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in raised(ast.parse(path.read_text()))
        if name not in known and "testing" not in path.parts
    }
    assert strange == set()


def test_no_error_is_defined_elsewhere() -> None:
    defined = {
        node.name
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith(("Error", "Exception", "Refusal", "Alarm")) for base in node.bases)
    }
    assert defined == {"Unopened", "_Erased", "_NotKept", "_OtherContent"}
