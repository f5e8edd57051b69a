"""The security page: each trial that it names is there, with its number, in the files that it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = re.findall(r"^\| ([SUN]\d+) \| .* \| (`tests/.*`) \|$", PAGE, re.MULTILINE)


def files(cell: str) -> list[Path]:
    return [ROOT / name for name in re.findall(r"`([^`]+)`", cell)]


def test_every_trial_has_a_row() -> None:
    every = {*(f"S{n}" for n in range(1, 21)), *(f"U{n}" for n in range(1, 10)), *(f"N{n}" for n in range(1, 11))}
    assert {number for number, _ in ROWS} == every


@pytest.mark.parametrize(("number", "cell"), ROWS, ids=[number for number, _ in ROWS])
def test_the_tests_of_a_trial_carry_its_number(number: str, cell: str) -> None:
    carried = "n1" if number == "U1" else number.lower()
    for path in files(cell):
        assert f"def test_{carried}_" in path.read_text(), path.name


def test_every_file_that_the_page_names_is_there() -> None:
    assert [name for name in re.findall(r"`(tests/[^`]+)`", PAGE) if not (ROOT / name).exists()] == []
