"""The tutorial: its files do what it says, in its order, on a real home."""

import re
import runpy
import threading
from pathlib import Path

import pytest

from privity.testing.home import RunningHome
from tests.docs.pages import ROOT, runnable

PAGE = ROOT / "docs" / "tutorial.md"
PATIENCE = 30.0


def test_the_files_of_the_tutorial_run_in_order_and_say_what_it_says(
    backend: RunningHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRIVITY_SERVER", backend.url)
    files = []
    for block in runnable(PAGE, "python"):
        (name,) = re.findall(r"\A# (\w+\.py)$", block, re.MULTILINE)
        Path(name).write_text(block)
        files.append(name)
    assert files == ["accounts.py", "connect.py", "share.py", "read.py", "react.py", "change.py"]

    def ran(name: str) -> str:
        runpy.run_path(name, run_name="__main__")
        return capsys.readouterr().out

    assert ran("accounts.py").count("has the account") == 2
    assert ran("connect.py") == "connected with bob@tutorial.example verified: True\n"
    assert ran("share.py").startswith("shared {'celsius': '19.5'} as ")
    assert ran("read.py") == "alice@tutorial.example shares Thermometer {'celsius': '19.5'}\n"
    reacting = threading.Thread(target=runpy.run_path, args=("react.py",), kwargs={"run_name": "__main__"})
    reacting.start()
    runpy.run_path("change.py", run_name="__main__")
    reacting.join(PATIENCE)
    assert not reacting.is_alive()
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "nothing is shared any more"
    assert {"it is 20.5 degrees", "it has ended meanwhile"} & set(said), "it heard of the change"
    assert int(Path("bob.position").read_text()) > 0
