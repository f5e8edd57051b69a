"""What the attacks on a running home begin with."""

from collections.abc import AsyncIterator
from functools import cache

import pytest

from privity.agent import keyring
from privity.crypto.kdf import derive_unlock
from privity.testing.home import RunningHome
from tests.trials.proxy import Proxy, proxy_to


@pytest.fixture
async def proxy(backend: RunningHome) -> AsyncIterator[Proxy]:
    """A hostile place on the wire between agents and the shared home."""
    async with proxy_to(backend.url) as made:
        yield made


@pytest.fixture
def unlocked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One Argon2id for each passphrase and secret instead of one for each session."""
    monkeypatch.setattr(keyring, "derive_unlock", cache(derive_unlock))
