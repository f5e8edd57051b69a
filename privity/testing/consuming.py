"""Consumers for tests: a real credential of the run's home for a program under test, and the events that it gets."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats
from nats.errors import NoRespondersError

from privity.errors import Malformed
from privity.messages.past import PastEvent, PastPage, past_page

PRIVITY: Final = (sys.executable, "-m", "privity.cli.main")
TIMEOUT: Final = 30.0

Finished = Callable[[Callable[[], Coroutine[Any, Any, list[PastEvent]]]], list[PastEvent]]


@dataclass(frozen=True, slots=True)
class Consumer:
    """What a consumer is given: where the bus is, the file of its credential, and the subject on which it asks."""

    name: str
    server: str
    credential: Path
    asks: str
    _finished: Finished

    def past(self, after: int = 0) -> list[PastEvent]:
        """All events behind a position that this consumer may see, in order.

        Raises:
            Malformed: the home refused to tell; says why.
        """
        return self._finished(lambda: self._past(after))

    async def _past(self, after: int) -> list[PastEvent]:
        found: list[PastEvent] = []
        bus = await nats.connect(self.server, user_credentials=str(self.credential), inbox_prefix=f"_INBOX_{self.name}")
        try:
            while True:
                page = await self._page(bus.request, after)
                if page.status != "ok":
                    raise Malformed(f"{page.code}: {page.message}")
                found += page.events
                if page.reached >= page.head:
                    return found
                after = page.reached
        finally:
            await bus.close()

    async def _page(self, request: Callable[..., Coroutine[Any, Any, Any]], after: int) -> PastPage:
        asked = json.dumps({"v": 1, "after": after}).encode()
        async with asyncio.timeout(TIMEOUT):
            while True:
                try:
                    return past_page.validate_json((await request(self.asks, asked, timeout=TIMEOUT)).data)
                except NoRespondersError:  # the bus may take a moment to see the home from a new connection
                    await asyncio.sleep(0.05)


class Consumers:
    """Makes consumers of one embedded home, as its operator does."""

    def __init__(self, data: Path, folder: Path, finished: Finished) -> None:
        self._data = data
        self._folder = folder
        self._finished = finished

    def __call__(self, name: str, *contexts: str) -> Consumer:
        """One that may see the events of these contexts, of all without any."""
        file = self._folder / f"{name}.creds"
        file.unlink(missing_ok=True)
        chosen = [word for each in contexts for word in ("--context", each)]
        into = ["--data", str(self._data), "--out", str(file)]
        done = subprocess.run(
            [*PRIVITY, "--json", "consumer", "credential", "--name", name, *into, *chosen],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"privity consumer left with {done.returncode}: {done.stderr}")
        told = json.loads(done.stdout)
        return Consumer(name, told["server"], file, told["asks"], self._finished)
