"""The running backend that tests share, and people who have accounts there."""

from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from privity.agent import accounts, keyring
from privity.crypto.kdf import derive_unlock
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]  # fixtures, found here by their names

# No law depends on how fast this machine is now.
settings.register_profile("privity", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("privity")

MakePerson = Callable[[str], Awaitable[Person]]


@pytest.fixture(autouse=True, scope="session")
def unlocked_once() -> Iterator[None]:
    """One Argon2id for each passphrase and secret instead of one for each session: it is a pure function, and slow."""
    once = cache(derive_unlock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyring, "derive_unlock", once)
        patch.setattr(accounts, "derive_unlock", once)
        yield


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHome]:
    """One embedded home for the whole run; tests keep apart by making people of their own."""
    with RunningHome(tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture
def own_backend(tmp_path: Path) -> Iterator[RunningHome]:
    """A home for one test that stops, kills or breaks it."""
    with RunningHome(tmp_path / "own-home") as home:
        yield home


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
