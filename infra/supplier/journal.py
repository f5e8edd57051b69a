"""What a supplier refused, and to whom: lines of JSON in a file of bounded size."""

import json
import logging
import logging.handlers
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

JOURNAL: Final = "refused.log"
MAX_BYTES: Final = 2**20
FILES: Final = 3
BURST: Final = 100
EACH_SECOND: Final = 10.0
"""Lines that are written; of those beyond, the next line says how many they were."""


class Journal:
    """`now` is the wall clock."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = logging.handlers.RotatingFileHandler(folder / JOURNAL, maxBytes=MAX_BYTES, backupCount=FILES)
        self._now = now
        self._room = float(BURST)
        self._last = now()
        self._passed = 0

    def refused(self, verb: str, code: str, who: str, key: str, what: str) -> None:
        """Write down one refusal: what was asked, why not, and by whom, where they say who they are."""
        now = self._now()
        self._room = min(BURST, self._room + (now - self._last).total_seconds() * EACH_SECOND)
        self._last = now
        if self._room < 1:
            self._passed += 1
            return
        self._room -= 1
        line: dict[str, object] = {"at": now.isoformat(), "verb": verb, "code": code}
        line |= {name: value for name, value in (("who", who), ("key", key), ("object", what)) if value}
        if self._passed:
            line["passed_over"], self._passed = self._passed, 0
        self._file.emit(logging.makeLogRecord({"msg": json.dumps(line)}))

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
