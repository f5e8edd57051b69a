"""Nonces: each is good once, for one account, for two minutes."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from privity.encoding import b64, unb64
from projections import nonces as module
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


def test_a_nonce_ends_with_the_process_that_gave_it_although_the_key_stays() -> None:
    """What was used before a restart is not remembered behind it."""
    before = Nonces(KEY)
    used, unused = before.issue("ann"), before.issue("ann")
    assert before.use("ann", used)
    after = Nonces(KEY)
    assert not after.use("ann", used)
    assert not after.use("ann", unused)
    assert not after.good("ann", unused)


@pytest.mark.parametrize("nonce", ["", "AAAA", "not base64!", b64(b"\xff" * (6 + RANDOM_BYTES + 16))])
def test_what_is_no_nonce_is_not_taken(nonce: str) -> None:
    assert not Nonces(KEY).use("ann", nonce)
    assert not Nonces(KEY).good("ann", nonce)


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
    assert len(nonces._used) == nonces._count.total() == 1


def test_a_look_uses_nothing_up() -> None:
    nonces = Nonces(KEY)
    nonce = nonces.issue("ann")
    assert nonces.good("ann", nonce)
    assert nonces.good("ann", nonce)
    assert not nonces.good("eve", nonce)
    assert nonces.use("ann", nonce)


def test_no_live_nonce_is_forgotten_for_want_of_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be good a second time."""
    monkeypatch.setattr(module, "REMEMBERED", 3)
    nonces = Nonces(KEY)
    used = [nonces.issue("ann") for _ in range(3)]
    assert all(nonces.use("ann", nonce) for nonce in used)
    assert not nonces.use("bob", nonces.issue("bob"))
    assert not any(nonces.use("ann", nonce) for nonce in used)


def test_who_uses_very_many_fills_only_their_own_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_EACH", 2)
    nonces = Nonces(KEY)
    assert [nonces.use("eve", nonces.issue("eve")) for _ in range(3)] == [True, True, False]
    assert nonces.use("ann", nonces.issue("ann"))


def test_of_many_threads_with_one_nonce_one_has_it() -> None:
    nonces = Nonces(KEY)
    with ThreadPoolExecutor(8) as threads:
        for _ in range(50):
            nonce = nonces.issue("ann")
            assert sum(threads.map(lambda _, nonce=nonce: nonces.use("ann", nonce), range(8))) == 1
