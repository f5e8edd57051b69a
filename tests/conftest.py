"""People who have accounts in the backend that tests share; that one is a fixture of privity.testing."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]  # fixtures, found here by their names

# No law depends on how fast this machine is now; nor does a change land or not by luck.
settings.register_profile("privity", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("random", settings.get_profile("privity"), derandomize=False)
settings.load_profile("privity")

MakePerson = Callable[[str], Awaitable[Person]]


@pytest.fixture(autouse=True, scope="session")
def unlocked_once(unlocked_once: None) -> None:
    """One Argon2id for each passphrase, as the kit has it, in every test here."""


@pytest.fixture(scope="session")
def suppliers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHome]:
    """Another home for the whole run, with five suppliers; whoever damages or stops one takes a home of their own."""
    with RunningHome(tmp_path_factory.mktemp("supplied"), suppliers=5) as home:
        yield home


@pytest.fixture
def customer(suppliers: RunningHome, tmp_path: Path) -> MakePerson:
    """Makes people with accounts in the home that has suppliers."""

    async def make(name: str) -> Person:
        made = somebody(name, tmp_path, suppliers.url)
        await made.register()
        return made

    return make


@pytest.fixture
def person(backend: RunningHome, tmp_path: Path) -> MakePerson:
    """Makes people with accounts in the shared home: `ann = await person("ann")`."""

    async def make(name: str) -> Person:
        made = somebody(name, tmp_path, backend.url)
        await made.register()
        return made

    return make


@pytest.fixture
async def ann(person: MakePerson) -> Person:
    """A person with an account."""
    return await person("ann")


@pytest.fixture
async def bob(person: MakePerson) -> Person:
    """Another one."""
    return await person("bob")


@pytest.fixture
async def connected(ann: Person, bob: Person) -> tuple[Person, Person]:
    """Ann and Bob, who accepted her invitation."""
    await connect(ann, bob)
    return ann, bob
