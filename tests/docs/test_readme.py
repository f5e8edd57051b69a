"""The README and the pages behind it say what the code does: blocks run, tables are whole, links lead somewhere."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from privity.cli.main import app
from tests.docs.pages import PAGES, README, ROOT, first_cells, runnable

TIMEOUT = 90.0
CLEANUP = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
VARIABLE = re.compile(r"PRIVITY_[A-Z_]*[A-Z]")
MAY_HOLD_VARIABLES = ("*.py", "docker-compose.yml", "Dockerfile")


async def bash(block: str, folder: Path) -> str:
    """What a block printed; it runs with the checkout's commands and with nothing of this user's own."""
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", CLEANUP + block),
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGTERM)
        raise
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.parametrize("number", range(len(runnable(README, "sh"))))
async def test_each_session_of_the_readme_runs_as_it_stands(number: int, tmp_path: Path) -> None:
    printed = await bash(runnable(README, "sh")[number], tmp_path)
    assert "number: X123" in printed, "Bob reads what Alice shares"


def test_the_readme_has_a_session_to_run() -> None:
    assert runnable(README, "sh")


def test_the_readme_lists_every_command_there_is_and_no_other() -> None:
    assert sorted(first_cells(README, "Command line")) == sorted(f"privity {name}" for name in commands())


def test_the_readme_lists_every_setting_there_is_and_no_other() -> None:
    assert sorted(first_cells(README, "Settings")) == sorted(settings())


def test_every_task_that_the_readme_names_is_in_the_makefile() -> None:
    named = set(re.findall(r"^make ([a-z]+)", README.read_text(), re.MULTILINE))
    tasks = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= tasks


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_the_pages_leads_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} is not there"
        assert not anchor or anchor in anchors(target), f"{path} has no section #{anchor}"


def test_every_test_that_the_pages_name_is_there() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text())}
    assert named
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text() if test else (ROOT / path).exists(), f"{path}::{test}"


def commands() -> Iterator[str]:
    """Every command of the command line, e.g. `share create`."""
    yield from leaves("", typer.main.get_command(app))


def leaves(name: str, command: object) -> Iterator[str]:
    """The commands below one, or itself where there is none below."""
    if not hasattr(command, "commands"):
        yield name.strip()
        return
    for each, below in command.commands.items():
        yield from leaves(f"{name} {each}", below)


def settings() -> set[str]:
    """Every environment variable that the code, the image or the compose file reads."""
    rooms = [path for path in ROOT.iterdir() if path.name in ("privity", "infra", "handlers", "projections")]
    files = [path for room in rooms for path in room.rglob("*.py")]
    files += [path for pattern in MAY_HOLD_VARIABLES for path in ROOT.glob(pattern)]
    named = {name for path in files for name in VARIABLE.findall(path.read_text())}
    spelled = {f"PRIVITY_{name}" for name in ("DATA", "NATS_URL", "STORE_URL", "VIEWS_URL")}
    return named | spelled


def anchors(page: Path) -> set[str]:
    """The sections of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
