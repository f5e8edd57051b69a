"""What tests make up, the same at each run: a clock that stands until it is moved, and ids from a seed."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from privity.encoding import ID_BYTES, b32, b64

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Clock:
    """What time it is, in UTC. Call it, as you would `datetime.now`."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def goes_on(self, *, days: float = 0, hours: float = 0, seconds: float = 0) -> datetime:
        """Later by so much; the time that it is then.

        Raises:
            ValueError: it would go back.
        """
        later = timedelta(days=days, hours=hours, seconds=seconds)
        if later < timedelta(0):
            raise ValueError("a clock does not go back")
        self.now += later
        return self.now


@dataclass(frozen=True, slots=True)
class Seeded:
    """Made-up facts for messages; no secret is ever made of them."""

    random: Random = field(repr=False)

    def id(self) -> str:
        """An id of 26 characters, as items, shares and keys have."""
        return b32(self.random.randbytes(ID_BYTES))

    def long_id(self) -> str:
        """An id of 52 characters, as accounts and connections have."""
        return b32(self.random.randbytes(32))

    def digest(self) -> str:
        """The digest of some sealed object, 43 characters."""
        return b64(self.random.randbytes(32))

    def address(self, name: str) -> str:
        """An e-mail address that nobody else has."""
        return f"{name}-{self.id()[:10]}@localhost"
