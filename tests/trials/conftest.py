"""What the attacks on a running home begin with."""

from collections.abc import AsyncIterator

import pytest

from privity.testing.home import RunningHome
from tests.trials.proxy import Proxy, proxy_to


@pytest.fixture
async def proxy(backend: RunningHome) -> AsyncIterator[Proxy]:
    """A hostile place on the wire between agents and the shared home."""
    async with proxy_to(backend.url) as made:
        yield made
