"""What the rows' tests begin with: people whose secret and recovery text are known, and a wire that is listened to."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from privity.agent.accounts import NewAccount
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.rows.watching import Wire

Newcomer = tuple[Person, NewAccount]


@pytest.fixture
def newcomer(backend: RunningHome, tmp_path: Path) -> Callable[[str], Awaitable[Newcomer]]:
    """Makes somebody, and gives what they wrote down: `ann, written = await newcomer("ann")`."""

    async def make(name: str) -> Newcomer:
        made = somebody(name, tmp_path, backend.url)
        return made, await made.register()

    return make


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """All that agents in this process put on the bus during the test."""
    listening = Wire()
    listening.record(monkeypatch)
    return listening
