"""How many accepted commands name each sealed object, out of the commands: older stores did not count it."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from infra.lookup import Select

PAGE: Final = 500
NEXT: Final = (
    "SELECT id, account, status, payload FROM commands WHERE (id, account) > (?, ?) ORDER BY id, account LIMIT ?"
)
ADDRESS: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def names(select: Select) -> Iterator[list[tuple[str, int]]]:
    """Page by page of all commands: the digests that stand in accepted ones, and in how many of them.

    Any text of a digest's form counts, in whatever field, so that it is never too few.
    """
    last = ("", "")
    while rows := select(NEXT, [*last, PAGE]):
        times: Counter[str] = Counter()
        for row in rows:
            if row["status"] == "accepted":
                times.update(set(_addresses(_read(row["payload"]))))
        if times:
            yield list(times.items())
        last = (rows[-1]["id"], rows[-1]["account"])


def _read(payload: bytes) -> object:
    """Lists within lists, with every value of each object: what is there twice, others may read as either."""
    try:
        return json.loads(
            payload.decode(),
            object_pairs_hook=lambda pairs: [value for _, value in pairs],
            parse_int=lambda digits: None,
        )
    except ValueError:
        return None


def _addresses(value: object) -> Iterator[str]:
    if isinstance(value, str) and ADDRESS.fullmatch(value):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _addresses(inner)
