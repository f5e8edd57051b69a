"""Reads that matter, from the queries' side: what an answer releases is recorded before the answer leaves."""

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa
from pydantic import ValidationError

from privity import errors
from privity.crypto.command import frame
from privity.errors import Busy, Refusal
from privity.messages.reads import ReadReply, ReadRequest, read_reply, read_request
from privity.messages.views import ShareRow, SpaceRow
from projections.desk import Page
from projections.tables import shares

REMEMBERED = 100_000
"""Reads that are known to be recorded, by reader and object; the oldest is forgotten first."""

WAITING, WAITING_EACH = 64, 8
"""Reads that wait to be recorded at once: in all, and of one reader. Other queries go on meanwhile."""

Request = Callable[[bytes], Awaitable[bytes]]
"""Asks the process that records; raises Busy when it is away."""
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as it came: its subject, the signature and the exact bytes."""

    account: str
    subject: str
    signature: bytes = field(repr=False)
    payload: bytes = field(repr=False)


class Reads:
    """Has reads recorded once for a reader, an object and an hour; most of them are known to be."""

    def __init__(self, request: Request, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._request = request
        self._clock = clock
        self._hours: OrderedDict[Key, datetime] = OrderedDict()
        self._waiting: Counter[str] = Counter()

    async def shares(self, asked: Asked, released: Sequence[str]) -> None:
        """The sealed objects of these shares go out to their recipient.

        Raises:
            Busy: it cannot be recorded now, so they must not.
        """
        keys = {id: (asked.account, id) for id in released}
        new = tuple(id for id, key in keys.items() if not self._known(key))
        if new:
            hour = await self._record(asked, ReadRequest(asked.subject, shares=new))
            self._remember([keys[id] for id in new], hour)

    async def keyring(self, asked: Asked, became: Literal["fetched", "refused"], purpose: str) -> None:
        """A wrapped keyring goes out, or somebody did not prove that they may have it.

        Raises:
            Busy: it cannot be recorded now.
            BadLogin: the proof is no longer good.
        """
        key = (asked.account, became if became == "refused" else f"{became} {purpose}")
        if not self._known(key):
            self._remember([key], await self._record(asked, ReadRequest(asked.subject, keyring=became)))

    def _known(self, key: Key) -> bool:
        at = self._hours.get(key)
        return at is not None and at == self._clock().replace(minute=0, second=0, microsecond=0)

    def _remember(self, keys: Sequence[Key], hour: datetime) -> None:
        """As of the hour of who recorded it: clocks differ."""
        for key in keys:
            self._hours[key] = hour
            self._hours.move_to_end(key)
        while len(self._hours) > REMEMBERED:
            self._hours.popitem(last=False)

    async def _record(self, asked: Asked, request: ReadRequest) -> datetime:
        data = frame(asked.signature, asked.payload, read_request.dump_json(request))
        if self._waiting.total() >= WAITING or self._waiting[asked.account] >= WAITING_EACH:
            raise Busy("too many reads wait to be recorded; try again")
        self._waiting[asked.account] += 1
        try:
            reply = read_reply.validate_json(await self._request(data))
        except ValidationError:
            raise Busy("the read could not be recorded; try again") from None
        finally:
            self._waiting[asked.account] -= 1
            self._waiting += Counter()
        if reply.at_hour is None:
            raise _refusal(reply)
        return reply.at_hour


def released(account: str, page: Page[object], sent: int, db: sa.Connection) -> list[str]:
    """The shares of which so many rows, with the objects that go along, release something sealed to the recipient."""
    rows = page.rows[:sent]
    found = [
        row.share
        for row, objects in zip(rows, page.sealed[:sent], strict=True)
        if isinstance(row, ShareRow) and row.recipient == account and row.content in objects
    ]
    found += [share for share in dict.fromkeys(page.given[:sent]) if share]
    spaces = [row.space for row in rows if isinstance(row, SpaceRow) and row.owner != account and row.wrap is not None]
    if spaces:
        behind = list(db.execute(sa.select(shares.c.share).where(shares.c.space.in_(spaces))).scalars())
        if len(behind) < len(spaces):
            raise Busy("a share ended just now; try again")
        found += behind
    return found


def _refusal(reply: ReadReply) -> Refusal:
    known = getattr(errors, reply.code or "", None)
    if isinstance(known, type) and issubclass(known, Refusal):
        return known(reply.message or "")
    return Busy("the read could not be recorded; try again")
