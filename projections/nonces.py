"""Nonces that go out with each answer and come back once: a request is fresh without any clock of the asker's."""

import hmac
import os
import threading
import time
from collections import OrderedDict

from privity.encoding import b64, lp, unb64
from privity.errors import Malformed

LIFETIME = 120
"""Seconds."""
REMEMBERED = 100_000
RANDOM_BYTES = 12


class Nonces:
    """Stateless until used: what was used is remembered until it is stale anyway. Used by many threads at once.

    Each process has nonces of its own, so that none comes back to life with a restart.
    """

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, os.urandom(RANDOM_BYTES), "sha256")
        self._used: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def issue(self, account: str) -> str:
        """A nonce for one later request of `account`."""
        stem = int(time.time() + LIFETIME).to_bytes(6, "big") + os.urandom(RANDOM_BYTES)
        return b64(stem + self._mac(account, stem))

    def use(self, account: str, nonce: str) -> bool:
        """Whether the nonce is one of ours for `account`, in time, and not used before."""
        try:
            raw = unb64(nonce)
        except Malformed:
            return False
        stem, mac = raw[: 6 + RANDOM_BYTES], raw[6 + RANDOM_BYTES :]
        expires = int.from_bytes(stem[:6], "big")
        if not hmac.compare_digest(mac, self._mac(account, stem)):
            return False
        with self._lock:
            return self._take(nonce, expires)

    def _take(self, nonce: str, expires: int) -> bool:
        now = time.time()
        while self._used and next(iter(self._used.values())) < now:
            self._used.popitem(last=False)
        if expires < now or nonce in self._used or len(self._used) >= REMEMBERED:
            return False
        self._used[nonce] = expires
        return True

    def _mac(self, account: str, stem: bytes) -> bytes:
        return hmac.digest(self._key, lp(b"privity/v1/nonce", account.encode(), stem), "sha256")[:16]
