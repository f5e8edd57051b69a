"""Nonces: each is good once, for one account, for two minutes."""

import time

import pytest

from privity.encoding import b64, unb64
from projections.nonces import LIFETIME, RANDOM_BYTES, Nonces

KEY = b"k" * 32


def test_a_nonce_is_good_once() -> None:
    nonces = Nonces(KEY)
    nonce = nonces.issue("ann")
    assert nonces.use("ann", nonce)
    assert not nonces.use("ann", nonce)
    assert nonces.use("ann", nonces.issue("ann"))


def test_a_nonce_is_good_for_its_account_alone() -> None:
    nonces = Nonces(KEY)
    nonce = nonces.issue("ann")
    assert not nonces.use("eve", nonce)
    assert nonces.use("ann", nonce)


def test_a_nonce_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    nonces, now = Nonces(KEY), time.time()
    first, second = nonces.issue("ann"), nonces.issue("ann")
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME - 2)
    assert nonces.use("ann", first)
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME + 2)
    assert not nonces.use("ann", second)
    assert not nonces.use("ann", first)


def test_another_process_with_the_same_key_takes_it_and_one_with_another_key_does_not() -> None:
    nonce = Nonces(KEY).issue("ann")
    assert not Nonces(b"x" * 32).use("ann", nonce)
    assert Nonces(KEY).use("ann", nonce)


@pytest.mark.parametrize("nonce", [None, "", "AAAA", "not base64!", b64(b"\xff" * (6 + RANDOM_BYTES + 16))])
def test_what_is_no_nonce_is_not_taken(nonce: str | None) -> None:
    assert not Nonces(KEY).use("ann", nonce)


def test_no_byte_of_a_nonce_can_be_bent() -> None:
    nonces = Nonces(KEY)
    raw = unb64(nonces.issue("ann"))
    for index in range(len(raw)):
        bent = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
        assert not nonces.use("ann", b64(bent))
    assert not nonces.use("ann", b64(raw + b"x"))
    assert nonces.use("ann", b64(raw))


def test_used_nonces_are_forgotten_when_they_are_stale_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    nonces, now = Nonces(KEY), time.time()
    for _ in range(10):
        nonces.use("ann", nonces.issue("ann"))
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME + 2)
    assert nonces.use("ann", nonces.issue("ann"))
    assert len(nonces._used) == 1
