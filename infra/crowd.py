"""Who of the people is connected how often: nats-server bounds them all together, this bounds each of them.

Without it one person could take up every connection that people have. The server tells of each that comes and goes,
and cuts the ones that are too many.
"""

import json
import logging
from collections import defaultdict
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from privity.credential import jwt_claims
from privity.errors import Malformed

log = logging.getLogger("privity.bus")

EACH: Final = 32
"""Connections of one account at a time, of all its devices."""
PAGE: Final = 200
TIMEOUT: Final = 5.0

Place = tuple[str, int]  # the server's id, the connection's id there


class Crowd:
    """Counts the connections of one NATS account by the users' names, over a connection to the server's own account."""

    def __init__(self, system: Client, account: str, each: int = EACH) -> None:
        self._system = system
        self._account = account
        self._each = each
        self._places: defaultdict[str, set[Place]] = defaultdict(set)
        self._names: dict[Place, str] = {}

    async def watch(self) -> None:
        """Hear of those who come and go, from now on."""
        subject = f"$SYS.ACCOUNT.{self._account}"
        await self._system.subscribe(f"{subject}.CONNECT", cb=self._came)
        await self._system.subscribe(f"{subject}.DISCONNECT", cb=self._went)

    async def count(self) -> None:
        """Count those who are there, after a time in which nothing was heard of them."""
        self._places.clear()
        self._names.clear()
        offset, more = 0, True
        while more:
            page = await self._ask(
                f"$SYS.REQ.ACCOUNT.{self._account}.CONNZ", {"auth": True, "limit": PAGE, "offset": offset}
            )
            found = page.get("data", {}).get("connections") or []
            for each in found:
                await self._is_there(each.get("jwt", ""), (page["server"]["id"], each["cid"]))
            offset, more = offset + PAGE, len(found) == PAGE

    async def _came(self, message: Msg) -> None:
        told = json.loads(message.data)
        await self._is_there(told["client"].get("jwt", ""), (told["server"]["id"], told["client"]["id"]))

    async def _went(self, message: Msg) -> None:
        told = json.loads(message.data)
        place = (told["server"]["id"], told["client"]["id"])
        name = self._names.pop(place, "")
        self._places[name].discard(place)
        if not self._places[name]:
            del self._places[name]

    async def _is_there(self, jwt: str, place: Place) -> None:
        name = _name(jwt)
        self._names[place] = name
        self._places[name].add(place)
        if len(self._places[name]) > self._each:
            log.warning("%s has %d connections; the newest is cut", name, len(self._places[name]))
            await self._ask(f"$SYS.REQ.SERVER.{place[0]}.KICK", {"cid": place[1]})

    async def _ask(self, subject: str, what: dict[str, object]) -> dict[str, Any]:
        try:
            answer = await self._system.request(subject, json.dumps(what).encode(), timeout=TIMEOUT)
            found: dict[str, Any] = json.loads(answer.data)
        except (NatsError, OSError, ValueError) as error:
            log.error("nats-server did not answer on %s: %s", subject.rpartition(".")[2], type(error).__name__)
            return {}
        return found


def _name(jwt: str) -> str:
    """Whose connection it is, as the credential says that the server has checked."""
    try:
        return str(jwt_claims(jwt).get("name", ""))
    except Malformed:
        return ""
