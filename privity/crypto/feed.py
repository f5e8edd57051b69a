"""The numbered feed: each line of a person's feed is hashed onto the one before, so that none can be left out."""

import json
from collections.abc import Mapping

from privity.crypto import labels
from privity.encoding import b64, lp, sha256

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def canonical_refs(refs: Mapping[str, str]) -> str:
    """What a line is about, as it is hashed: JSON with sorted keys, without spaces."""
    return _canonical(dict(refs))


def feed_tail(position: int, event: str, at_text: str, actor: str, canonical: str) -> bytes:
    """What a line says, the same in the feed of everybody whom it concerns: the end of what is hashed."""
    return lp(*(text.encode() for text in (str(position), event, at_text, actor, canonical)))


def link_to(account: str, seq: int, previous: str, tail: bytes) -> str:
    """As `feed_link`, of a `feed_tail`."""
    head = lp(labels.FEED_LINK, account.encode(), str(seq).encode(), previous.encode())
    return b64(sha256(head + tail))


def feed_link(
    account: str, seq: int, previous: str, position: int, event: str, at_text: str, actor: str, refs: Mapping[str, str]
) -> str:
    """What binds a line of the feed to all lines before it: base64url of a SHA-256, 43 characters.

    Args:
        seq: the line's number in this account's feed, from 1.
        previous: the link of the line before; "" for the first.
        position: the event's place in the one order of all events.
        at_text: when it was recorded, in UTC as `2026-01-02T03:04:05.000006+00:00`: always six digits of microseconds.
        refs: what it is about; hashed as JSON with sorted keys, without spaces, in UTF-8.
    """
    return link_to(account, seq, previous, feed_tail(position, event, at_text, actor, canonical_refs(refs)))
