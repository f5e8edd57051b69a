"""The account of all people as nats-server knows it: told anew, with who is revoked, whenever that changes."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping

from nats.aio.client import Client
from nats.errors import Error as NatsError

from infra.bus import Way, connect
from infra.credentials import BusKeys, people_jwt
from infra.crowd import Crowd
from infra.processes import cancel
from privity.errors import StoreUnavailable, Unreachable

log = logging.getLogger("privity.bus")

UPDATE = "$SYS.REQ.CLAIMS.UPDATE"
TIMEOUT = 5.0
AGAIN = 5.0
"""Seconds until the server is told again what it did not take."""


class People:
    """Opened by `open`: one connection to the server's own account, and the newest JWT that was told over it.

    `revoked` blocks: each revoked nkey, with the Unix time at which the last that was issued to it ends. So the list
    does not grow for ever, and no clock can make a revoked credential younger than its revocation.
    """

    def __init__(self, keys: BusKeys, connections: int, revoked: Callable[[], Mapping[str, int]]) -> None:
        self._keys = keys
        self._connections = connections
        self._revoked = revoked
        self._issued = 0
        self._one_at_a_time = asyncio.Lock()
        self._system: Client | None = None
        self._crowd: Crowd | None = None
        self._telling: asyncio.Task[None] | None = None

    async def open(self, way: Way) -> None:
        """Connect, and tell; what cannot be told now is told as soon as it can.

        Raises:
            Unreachable: the server does not answer.
        """
        self._system = await connect(way, name="privity-people", on_back=self._back)
        self._crowd = Crowd(self._system, self._keys.people.public)
        await self._crowd.watch()
        await self._back()

    async def tell(self) -> None:
        """Tell the server who is revoked; on return their connections are cut and none of them gets in again.

        Raises:
            Unreachable: the server does not answer, or does not take it.
        """
        async with self._one_at_a_time:
            revoked = await asyncio.to_thread(self._revoked)
            self._issued = max(int(time.time()), self._issued + 1)
            jwt = people_jwt(self._keys, revoked, self._issued, connections=self._connections)
            if self._system is None:
                raise Unreachable("there is no connection to the bus's own account")
            try:
                answer = json.loads((await self._system.request(UPDATE, jwt.encode(), timeout=TIMEOUT)).data)
            except (NatsError, OSError, ValueError) as error:
                raise Unreachable(f"nats-server was not told who is revoked: {type(error).__name__}") from error
            if "error" in answer:
                raise Unreachable(f"nats-server does not take the account of people: {answer['error']}")
            log.info("nats-server knows of %d revoked credentials", len(revoked))

    async def close(self) -> None:
        """Leave."""
        if self._telling is not None:
            await cancel(self._telling)
        if self._system is not None:
            await self._system.close()

    async def _back(self) -> None:
        """After a reconnection: the server may be another one, or a new one on an emptied folder."""
        if not await self._told() and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._until_told(), name="revocations")
        if self._crowd is not None:
            await self._crowd.count()

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
