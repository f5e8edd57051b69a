"""Bytes made from valid ones by one change or a few, by what they are: frames, JSON, text, or bare bytes."""

import base64
import json
import random
from typing import Any

from privity.crypto.command import MAGIC, frame, unframe
from privity.errors import PrivityError

MAX = 2**20
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308),
    *("", "a", "0", "-1", "²", "9" * 5000, "\0", "\ud800", "é", "a" * 600, "AA", "A" * 43, "=" * 4, "../x"),
    *("2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "99999-01-01T00:00:00Z"),
    *([], {}, [[]], [None], {"": None}, [1] * 300, {str(n): n for n in range(300)}, {"a": {"b": {"c": []}}}),
)
"""Values that are seldom what was expected."""
EDGES = (b"", b"\0", b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", bytes(32), b"\xff" * 32)


def mutated(data: bytes, seeds: list[bytes], rng: random.Random) -> bytes:
    """`data` with one to three changes; `seeds` are others of its kind, to be spliced with."""
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(_ways(data))(data, seeds, rng)[:MAX]
    return data


def _ways(data: bytes) -> list[Any]:
    ways: list[Any] = [_bare, _bare]
    if data.startswith(MAGIC):
        ways += [_frame, _frame, _frame]
    if data[:1] in (b"{", b"["):
        ways += [_json, _json, _json, _json]
    return ways


def _bare(data: bytes, seeds: list[bytes], rng: random.Random) -> bytes:
    start = rng.randint(0, len(data))
    end = min(len(data), start + rng.choice((1, 2, 4, 16, 64, len(data))))
    match rng.randrange(8):
        case 0 if data:
            at = rng.randrange(len(data))
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:start]
        case 2:
            return data[:start] + data[end:]
        case 3:
            return data[:end] + data[start:end] * rng.randint(1, 4) + data[end:]
        case 4:
            return data[:start] + rng.choice(EDGES) + data[start:]
        case 5:
            edge = rng.choice(EDGES)
            return data[:start] + edge + data[start + len(edge) :]
        case 6:
            other = rng.choice(seeds)
            return data[:start] + other[rng.randint(0, len(other)) :]
        case _:
            return data[:start] + rng.randbytes(end - start) + data[end:]


def _frame(data: bytes, seeds: list[bytes], rng: random.Random) -> bytes:
    """The parts of a frame dropped, doubled, exchanged, emptied, or one of them changed."""
    try:
        parts = unframe(data, 10_000, MAX)
    except PrivityError:
        return _bare(data, seeds, rng)
    at = rng.randint(0, len(parts))
    match rng.randrange(6):
        case 0:
            return frame(*parts[:at], *parts[at + 1 :])
        case 1:
            return frame(*parts, *parts[at:])
        case 2:
            rng.shuffle(parts)
        case 3:
            return frame(*parts[:at], rng.choice(EDGES), *parts[at:])
        case 4:
            return frame(*parts, *[b""] * rng.choice((1, 100, 5_000)))
        case _ if at < len(parts):
            parts[at] = rng.choice(_ways(parts[at]))(parts[at], [parts[at]], rng)
    return frame(*parts)


def _json(data: bytes, seeds: list[bytes], rng: random.Random) -> bytes:
    """One value of a JSON text in another form, elsewhere, or gone; written canonically, as records are."""
    try:
        value = json.loads(data)
    except ValueError:
        return _bare(data, seeds, rng)
    value = _bent(value, rng)
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=rng.random() < 0.2).encode(
            errors="surrogatepass"
        )
    except ValueError:  # NaN cannot come, but a text may have grown too deep
        return data


def _bent(value: Any, rng: random.Random) -> Any:
    """A value with a change somewhere inside, or another in its place."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        match rng.randrange(8):
            case 0:
                return {name: each for name, each in value.items() if name != key}
            case 1:
                name = rng.choice(("", "more", "v", key + "x", "\0", "\ud800"))
                return value | {name: rng.choice((value[key], *ODD))}
            case 2:
                return value | {key: value[rng.choice(sorted(value))]}
            case _:
                return value | {key: _bent(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        match rng.randrange(5):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value + value[at:]
            case 2:
                return list(reversed(value))
            case _:
                return [*value[:at], _bent(value[at], rng), *value[at + 1 :]]
    if isinstance(value, str) and value and rng.random() < 0.7:
        return _text(value, rng)
    if type(value) is int and rng.random() < 0.5:
        return value + rng.choice((-1, 1, 2**31, -(2**31)))
    return rng.choice(ODD)


def _text(value: str, rng: random.Random) -> str:
    """A text with a letter changed; or what it is in base64, or as JSON, changed inside."""
    if value[:1] in "{[":
        return _json(value.encode(), [], rng).decode(errors="replace")
    try:
        inner = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except ValueError:
        inner = b""
    if inner and rng.random() < 0.7:
        bent = rng.choice(_ways(inner))(inner, [inner], rng)
        return base64.urlsafe_b64encode(bent).rstrip(b"=").decode()
    at = rng.randrange(len(value))
    return value[:at] + rng.choice(("", "A", "é", "-", "=", "\0", value[at] * 50)) + value[at + 1 :]
