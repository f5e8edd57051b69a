"""A record has one spelling, and a reader refuses every other."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.kem import Suite
from privity.crypto.record import decode_record, encode_record
from privity.encoding import b64
from privity.errors import Malformed

KEYS = frozenset({"v", "name"})


@given(st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable()))
def test_a_record_comes_back(name):
    assert decode_record(encode_record({"v": 1, "name": name}), KEYS).text("name") == name


def test_a_record_is_sorted_utf_8_without_spaces():
    assert encode_record({"v": 1, "name": "é"}) == '{"name":"é","v":1}'.encode()


BAD = {
    "spaces": b'{"name": "x","v":1}',
    "another order": b'{"v":1,"name":"x"}',
    "a doubled key": b'{"name":"y","name":"x","v":1}',
    "an escape": b'{"name":"\\u0078","v":1}',
    "an unknown key": b'{"more":1,"name":"x","v":1}',
    "a missing key": b'{"v":1}',
    "another version": b'{"name":"x","v":2}',
    "a version that is true": b'{"name":"x","v":true}',
    "a float": b'{"name":"x","v":1.0}',
    "bytes after": b'{"name":"x","v":1} ',
    "a list": b'["name","v"]',
    "no JSON": b"name=x",
    "nothing": b"",
    "UTF-16": '{"name":"x","v":1}'.encode("utf-16"),
    "no UTF-8": b'{"name":"\xff","v":1}',
    "half a surrogate pair": b'{"name":"\\ud800","v":1}',
    "not a number": b'{"name":NaN,"v":1}',
    "a number without end": b'{"name":' + b"9" * 5000 + b',"v":1}',
    "depth without end": b"[" * 16000,
    "too large": json.dumps({"name": "x" * 17000, "v": 1}, separators=(",", ":")).encode(),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_any_other_spelling_is_malformed(data):
    with pytest.raises(Malformed):
        decode_record(data, KEYS)


@given(st.binary(max_size=100))
def test_foreign_bytes_are_malformed_and_nothing_else(data):
    with pytest.raises(Malformed):
        decode_record(data, KEYS)


def test_a_record_that_nobody_would_read_is_not_made():
    with pytest.raises(Malformed):
        encode_record({"v": 1, "name": "x" * 17000})
    with pytest.raises(Malformed):
        encode_record({"v": 1, "name": "\ud800"})


@pytest.mark.parametrize(
    ("read", "value"),
    [
        ("text", 1),
        ("text", ""),
        ("text", "x" * 513),
        ("number", "1"),
        ("number", True),
        ("number", -1),
        ("number", 2**53),
        ("raw", 1),
        ("raw", ""),
        ("raw", "ab="),
        ("raw", "a"),
        ("digest", b64(b"x" * 31)),
        ("digest", 5),
        ("suite", "ROT13"),
        ("suite", None),
    ],
)
def test_a_value_of_another_type_or_size_is_malformed(read, value):
    facts = decode_record(encode_record({"v": 1, "name": value}), KEYS)
    with pytest.raises(Malformed):
        getattr(facts, read)("name")


@pytest.mark.parametrize("value", [1, [], {"a": 1}, {"a": b64(b"x")}, {str(n): b64(b"x" * 32) for n in range(3)}])
def test_a_map_of_another_shape_is_malformed(value):
    facts = decode_record(encode_record({"v": 1, "name": value}), KEYS)
    with pytest.raises(Malformed):
        facts.raw_map("name", 32, 2)


def test_values_come_back_by_their_type():
    data = encode_record({"v": 1, "name": {"a": b64(b"x" * 32)}})
    assert decode_record(data, KEYS).raw_map("name", 32, 2) == {"a": b"x" * 32}
    data = encode_record({"v": 1, "name": "RSA-4096-OAEP"})
    assert decode_record(data, KEYS).suite("name") is Suite.RSA
