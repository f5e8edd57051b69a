"""The test vectors that another client can be checked with: each through Privity's own functions."""

import json
from pathlib import Path
from typing import Any

import pytest

from privity import errors
from tests.vectors import make
from tests.vectors.formats import QUESTIONS

FOLDER = Path(make.__file__).parent
FILES = sorted(path for path in FOLDER.glob("*.json") if path.name != make.KEPT)
CASES = [(path.stem, case) for path in FILES for case in json.loads(path.read_text())["cases"]]


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[f"{file}: {case['name']}" for file, case in CASES])
def test_a_vector_has_its_answer_or_its_error(case: dict[str, Any]) -> None:
    ask = QUESTIONS[case["ask"]]
    if "error" in case:
        with pytest.raises(errors.PrivityError) as refused:
            ask(case["given"])
        assert type(refused.value).__name__ == case["error"]
    else:
        assert json.loads(json.dumps(ask(case["given"]))) == case["answer"]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_each_file_has_what_is_taken_and_mostly_what_is_refused(path: Path) -> None:
    cases = json.loads(path.read_text())["cases"]
    assert [case for case in cases if "answer" in case]
    assert [case for case in cases if "error" in case] or path.stem == "feed"  # a hash refuses nothing
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names) or path.stem == "invitations"


def test_every_kind_of_question_is_asked() -> None:
    assert {case["ask"] for _, case in CASES} == set(QUESTIONS)


def test_the_files_are_those_that_their_generator_makes() -> None:
    made = dict(make.all_files(make.Kept(FOLDER / make.KEPT)))
    assert {path.name for path in FOLDER.glob("*.json")} == set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text() == text, f"run python -m tests.vectors.make: {name}"
