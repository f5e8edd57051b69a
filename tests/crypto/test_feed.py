"""Each line of a feed is hashed onto the one before, with all that it says."""

from typing import Any

import pytest

from privity.crypto.feed import feed_link
from privity.encoding import b64, lp, sha256

LINE: dict[str, Any] = {
    "account": "ann",
    "seq": 2,
    "previous": "first",
    "position": 7,
    "event": "item-added",
    "at_text": "2026-01-02T03:04:05.000006+00:00",
    "actor": "bob",
    "refs": {"version": "1", "item": "i\u00e9"},
}


def test_the_link_is_the_hash_of_the_lines_length_prefixed_texts():
    about = '{"item":"i\u00e9","version":"1"}'.encode()
    parts = (
        b"privity/v1/feed/link",
        b"ann",
        b"2",
        b"first",
        b"7",
        b"item-added",
        LINE["at_text"].encode(),
        b"bob",
        about,
    )
    assert feed_link(**LINE) == b64(sha256(lp(*parts)))


@pytest.mark.parametrize(
    "change",
    [
        {"account": "eve"},
        {"seq": 3},
        {"previous": ""},
        {"position": 8},
        {"event": "item-edited"},
        {"at_text": "2026-01-02T03:04:05.000007+00:00"},
        {"actor": "eve"},
        {"refs": {"item": "i"}},
        {"refs": {}},
        {"actor": "bo", "refs": {"b": ""}},
    ],
    ids=str,
)
def test_nothing_of_a_line_can_be_changed(change):
    assert feed_link(**(LINE | change)) != feed_link(**LINE)


def test_the_order_of_references_says_nothing():
    assert feed_link(**(LINE | {"refs": dict(reversed(LINE["refs"].items()))})) == feed_link(**LINE)
