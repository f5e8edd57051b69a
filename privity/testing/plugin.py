"""The pytest plugin: a real backend, people who have accounts there, a recorder of histories, a clock and a seed.

Every pytest run of an environment that has Privity loads this module, so it imports the rest only where a fixture is
asked for.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from privity.testing.company import Company
    from privity.testing.consuming import Consumers
    from privity.testing.home import RunningHome
    from privity.testing.recorder import Recorder
    from privity.testing.seeded import Clock, Seeded
    from privity.testing.server import Server

T = TypeVar("T")

SERVER = "--privity-server"
SEED = "--privity-seed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the kit."""
    group = parser.getgroup("privity")
    group.addoption(SERVER, metavar="URL", help="Use this running backend, by its connection string.")
    group.addoption(SEED, metavar="NUMBER", type=int, default=0, help="The seed of what the kit makes up; 0 at first.")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says where the tests run, if it is not in a home of their own; never the whole string, which is a secret."""
    return "privity: a backend that runs already" if config.getoption(SERVER) else None


@pytest.fixture(scope="session")
def unlocked_once() -> Iterator[None]:
    """One Argon2id for each passphrase instead of one for each session and account: it is a pure function, and slow.

    For that the accounts of a run, each with an id and keys of its own, begin with the same account secret.
    """
    from privity.agent import accounts
    from privity.crypto import kdf

    secret = accounts.first_secret()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kdf, "argon2id", cache(kdf.argon2id))
        patch.setattr(accounts, "first_secret", lambda: secret)
        yield


@pytest.fixture(scope="session")
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[RunningHome | Server]":
    """One embedded home for the whole run; tests keep apart by making people of their own.

    With `--privity-server` it is that backend, with a `url` and nothing else.
    """
    from privity.testing.home import RunningHome
    from privity.testing.server import Server

    url = request.config.getoption(SERVER)
    if url:
        yield Server(url)
        return
    with RunningHome(tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture
def own_backend(tmp_path: Path) -> "Iterator[RunningHome]":
    """A home for one test that stops, kills or breaks it."""
    from privity.testing.home import RunningHome

    with RunningHome(tmp_path / "own-home") as home:
        yield home


@pytest.fixture
def people(backend: "RunningHome | Server", tmp_path: Path, seeded: "Seeded", unlocked_once: None) -> "Company":
    """`people.alice` and `people.bob`, who are connected, and `people("carol")`, who has an account."""
    from privity.testing.company import Company

    return Company(backend.url, tmp_path / "people", seeded, finished)


@pytest.fixture
def history(backend: "RunningHome | Server", tmp_path: Path) -> "Recorder":
    """Turns what people did in this run into a history: `history.record("orders", people.alice, people.bob, …)`."""
    from privity.testing.home import RunningHome
    from privity.testing.recorder import Recorder

    if not isinstance(backend, RunningHome):
        pytest.skip("only an embedded home of these tests is recorded")
    return Recorder(backend, tmp_path / "histories")


@pytest.fixture
def consumer(backend: "RunningHome | Server", tmp_path: Path) -> "Consumers":
    """Makes consumers of the run's home: `stats = consumer("stats", "shares")`, with a credential of its own."""
    from privity.testing.consuming import Consumers
    from privity.testing.home import RunningHome

    if not isinstance(backend, RunningHome):
        pytest.skip("only the operator of a home makes consumers of it")
    return Consumers(backend.data, tmp_path, finished)


@pytest.fixture
def clock() -> "Clock":
    """What time it is: noon on 1 March 2026 until the test says `clock.goes_on(days=1)`."""
    from privity.testing.seeded import Clock

    return Clock()


@pytest.fixture(scope="session")
def privity_repeats() -> dict[str, int]:
    """How often each test has run in this session: addresses of a second run are others."""
    return {}


@pytest.fixture
def seeded(request: pytest.FixtureRequest, privity_repeats: dict[str, int]) -> "Seeded":
    """Randomness by the test's name and `--privity-seed`: ids, digests and numbers that are the same at each run.

    Keys are never made of it: agents draw theirs from the system.
    """
    from privity.testing.seeded import Seeded

    name = request.node.nodeid
    privity_repeats[name] = again = privity_repeats.get(name, -1) + 1
    return Seeded(random.Random(f"{request.config.getoption(SEED)} {name} {again}"))  # noqa: S311 - no secret


def finished(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a coroutine gives, run to its end on a loop of its own, whether or not the test has one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()
