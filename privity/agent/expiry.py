"""How a person says until when: a time, or a day."""

import re
from datetime import UTC, date, datetime, time

from privity.errors import Malformed

NEVER = "never"
LAST = time(23, 59, 59, tzinfo=UTC)
"""The last second of a day."""
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_expiry(text: str) -> datetime | None:
    """The time, in UTC, that `text` names, None for `never`.

    A day alone (yyyy-MM-dd) is over with its last second, and a time (ISO 8601) without an offset is UTC.

    Raises:
        Malformed: it is neither.
    """
    try:
        if text == NEVER:
            return None
        if _DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), LAST)
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"not a day as yyyy-MM-dd, nor a time as ISO 8601: {text!r}") from None
