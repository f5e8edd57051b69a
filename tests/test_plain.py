"""What others wrote reaches a terminal and a log as text, and does nothing there."""

import logging
import sys

import pytest

from privity.cli import main
from privity.encoding import printable
from privity.errors import ForgedRecord
from privity.plain import PlainFormatter

BAD = "a\x1b[2Jb\x9b31m\u202ec\ud800\x07"
GOOD = "a\ufffd[2Jb\ufffd31m\ufffdc\ufffd\ufffd"


def test_codes_are_replaced_and_writing_is_not() -> None:
    assert printable(BAD) == GOOD
    assert printable(text := "Zoë pays 5 € (ß), 漢字 🙂") == text


def test_a_line_of_the_log_is_one_line_without_codes_and_a_traceback_keeps_its_lines() -> None:
    layout = PlainFormatter("%(levelname)s %(message)s")
    try:
        raise ValueError(BAD)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "%s\nERROR forged", (BAD,), sys.exc_info())
    first, *rest = layout.format(record).split("\n")
    assert first == f"ERROR {GOOD}\ufffdERROR forged"
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == f"ValueError: {GOOD}"


def test_an_error_shows_no_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(**_: object) -> None:
        raise ForgedRecord(f"what {BAD} says")

    monkeypatch.setattr(main, "app", fails)
    assert main.run(["share", "list"]) == 3
    assert capsys.readouterr().err == f"error: ForgedRecord: what {GOOD} says\n"
