"""Nonces that go out with each answer and come back once: a request is fresh without any clock of the asker's."""

import hmac
import os
import threading
import time
from collections import Counter, OrderedDict

from privity.encoding import b64, lp, unb64
from privity.errors import Malformed

LIFETIME = 120
"""Seconds."""
REMEMBERED, REMEMBERED_EACH = 100_000, 5_000
"""Used nonces that are remembered at once: in all, and of one account."""
RANDOM_BYTES = 12


class Nonces:
    """Stateless until used: what was used is remembered until it is stale anyway. Used by many threads at once.

    Each process has nonces of its own, so that none comes back to life with a restart.
    """

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, os.urandom(RANDOM_BYTES), "sha256")
        self._used: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._count: Counter[str] = Counter()
        self._lock = threading.Lock()

    def issue(self, account: str) -> str:
        """A nonce for one later request of `account`."""
        stem = int(time.time() + LIFETIME).to_bytes(6, "big") + os.urandom(RANDOM_BYTES)
        return b64(stem + self._mac(account, stem))

    def good(self, account: str, nonce: str) -> bool:
        """Whether the nonce is one of ours for `account`, and in time; it may have been used before."""
        return self._expires(account, nonce) >= time.time()

    def use(self, account: str, nonce: str) -> bool:
        """Whether the nonce is good and was not used before; from now on it was.

        When too many are in use, by all or by this account, none is good: forgetting a live one would revive it.
        """
        expires, now = self._expires(account, nonce), time.time()
        with self._lock:
            self._forget(now)
            full = len(self._used) >= REMEMBERED or self._count[account] >= REMEMBERED_EACH
            if full or expires < now or nonce in self._used:
                return False
            self._count[account] += 1
            self._used[nonce] = expires, account
            return True

    def _forget(self, now: float) -> None:
        """Those that are stale anyway."""
        while self._used and next(iter(self._used.values()))[0] < now:
            _, (_, account) = self._used.popitem(last=False)
            self._count[account] -= 1
            if not self._count[account]:
                del self._count[account]

    def _expires(self, account: str, nonce: str) -> int:
        """When a nonce of ours ends, in seconds of Unix time; 0 for any other text."""
        try:
            raw = unb64(nonce)
        except Malformed:
            return 0
        stem, mac = raw[: 6 + RANDOM_BYTES], raw[6 + RANDOM_BYTES :]
        ours = hmac.compare_digest(mac, self._mac(account, stem))
        return int.from_bytes(stem[:6], "big") if ours else 0

    def _mac(self, account: str, stem: bytes) -> bytes:
        return hmac.digest(self._key, lp(b"privity/v1/nonce", account.encode(), stem), "sha256")[:16]
