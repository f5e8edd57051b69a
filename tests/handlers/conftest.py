"""A committer in this process, on a real store of each kind, with a clock that the test moves."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from handlers.committer import Committer
from infra.log import Log
from infra.store import EventStore, open_store
from privity.testing.seeded import Clock
from tests.handlers.people import HOME, LOG, Citizen

MakeCommitter = Callable[[], Committer]


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """SQLite, unless a test asks for both."""
    return f"sqlite:///{tmp_path}/own.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def each_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    with closing(open_store(store_url)) as opened:
        yield opened


@pytest.fixture
def committer(store: EventStore, clock: Clock) -> Committer:
    return Committer(store, HOME, clock, Log(store, LOG, HOME.id))


@pytest.fixture
def workers(each_store_url: str, clock: Clock) -> Iterator[MakeCommitter]:
    """Makes committers as separate workers have them: each with a store and a cache of its own."""
    with ExitStack() as stack:

        def make() -> Committer:
            opened = stack.enter_context(closing(open_store(each_store_url)))
            return Committer(opened, HOME, clock, Log(opened, LOG, HOME.id))

        yield make


@pytest.fixture
def ann(committer: Committer) -> Citizen:
    """Somebody with an account."""
    citizen = Citizen("ann@localhost")
    committer.process([citizen.registers()])
    return citizen


@pytest.fixture
def eve(committer: Committer) -> Citizen:
    """Somebody else with an account."""
    citizen = Citizen("eve@localhost")
    committer.process([citizen.registers()])
    return citizen
