"""The accounts of people and of consumers as nats-server knows them: told anew, with who is revoked, at each change."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping

from nats.aio.client import Client
from nats.errors import Error as NatsError

from infra.bus import Way, connect
from infra.credentials import CONSUMER_EACH, BusKeys, consumers_jwt, people_jwt
from infra.crowd import Crowd
from infra.processes import cancel
from privity.errors import StoreUnavailable, Unreachable

log = logging.getLogger("privity.bus")

UPDATE = "$SYS.REQ.CLAIMS.UPDATE"
TIMEOUT = 5.0
AGAIN = 5.0
"""Seconds until the server is told again what it did not take."""


class People:
    """Opened by `open`: one connection to the server's own account, and the newest JWTs that were told over it.

    `revoked`, and `consumers`, which says the same of consumers alone, block: each revoked nkey, with the Unix time at
    which the last that was issued to it ends. So the list does not grow for ever, and no clock can make a revoked
    credential younger than its revocation. Of consumers only their own account is told.
    """

    def __init__(
        self,
        keys: BusKeys,
        connections: int,
        revoked: Callable[[], Mapping[str, int]],
        consumers: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._keys = keys
        self._connections = connections
        self._revoked = revoked
        self._consumers = consumers
        self._issued = 0
        self._one_at_a_time = asyncio.Lock()
        self._system: Client | None = None
        self._crowds: tuple[Crowd, ...] = ()
        self._telling: asyncio.Task[None] | None = None

    async def open(self, way: Way) -> None:
        """Connect, and tell; what cannot be told now is told as soon as it can.

        Raises:
            Unreachable: the server does not answer.
        """
        self._system = await connect(way, name="privity-people", on_back=self._back)
        people, consumers = self._keys.people.public, self._keys.consumers.public
        self._crowds = (Crowd(self._system, people), Crowd(self._system, consumers, CONSUMER_EACH))
        for each in self._crowds:
            await each.watch()
        await self._back()

    async def tell(self) -> None:
        """Tell the server who is revoked; on return their connections are cut and none of them gets in again.

        Raises:
            Unreachable: the server does not answer, or does not take it.
        """
        async with self._one_at_a_time:
            revoked, consumers = await asyncio.to_thread(self._revoked), await asyncio.to_thread(self._consumers)
            self._issued = max(int(time.time()), self._issued + 1)
            people = {nkey: until for nkey, until in revoked.items() if nkey not in consumers}
            await self._update(people_jwt(self._keys, people, self._issued, connections=self._connections))
            await self._update(consumers_jwt(self._keys, consumers, self._issued))
            log.info("nats-server knows of %d revoked credentials", len(revoked))

    def tell_later(self) -> None:
        """Tell the server as soon as it takes it, and wait for nothing."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._until_told(), name="revocations")

    async def _update(self, jwt: str) -> None:
        if self._system is None:
            raise Unreachable("there is no connection to the bus's own account")
        try:
            answer = json.loads((await self._system.request(UPDATE, jwt.encode(), timeout=TIMEOUT)).data)
        except (NatsError, OSError, ValueError) as error:
            raise Unreachable(f"nats-server was not told who is revoked: {type(error).__name__}") from error
        if "error" in answer:
            raise Unreachable(f"nats-server does not take an account: {answer['error']}")

    async def close(self) -> None:
        """Leave."""
        if self._telling is not None:
            await cancel(self._telling)
        if self._system is not None:
            await self._system.close()

    async def _back(self) -> None:
        """After a reconnection: the server may be another one, or a new one on an emptied folder."""
        if not await self._told():
            self.tell_later()
        for each in self._crowds:
            await each.count()

    async def _until_told(self) -> None:
        while True:
            await asyncio.sleep(AGAIN)
            if await self._told():
                return

    async def _told(self) -> bool:
        try:
            await self.tell()
        except (Unreachable, StoreUnavailable) as error:
            log.error("%s; next try in %s s", error.message, AGAIN)
            return False
        return True
