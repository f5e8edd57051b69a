"""A real embedded home in a folder: the process `privity up`, started, stopped, killed and started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from privity.errors import Unreachable

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
PRIVITY = (sys.executable, "-m", "privity.cli.main")


class RunningHome:
    """One backend on one folder. Use as a context manager; the port is free and stays the same over restarts."""

    def __init__(self, data: Path, program: Sequence[str] = PRIVITY, *, suppliers: int = 0, **environment: str) -> None:
        """`program` is what is run with `up …` behind it, `suppliers` how many it has of its own."""
        self.data = data
        self._program = program
        self._environment = {"PRIVITY_SUPPLIERS": str(suppliers), **environment}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The connection string."""
        return (self.data / "home.url").read_text().strip()

    @property
    def pid(self) -> int:
        """The process id of `privity up`."""
        return self._process.pid if self._process is not None else 0

    @property
    def children(self) -> list[int]:
        """The process ids of what it started: nats-server and the second Python process."""
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True, check=False
        )
        return [int(line) for line in found.stdout.split()]

    def start(self) -> None:
        """Start it and wait until it says that it is ready.

        Raises:
            Unreachable: it ended instead, or took too long; with what it wrote to stderr.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        errors = (self.data / "up.stderr").open("a")
        with errors:
            self._process = subprocess.Popen(
                [*self._program, "up", "--data", str(self.data), "--port", "0"],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **self._environment},
            )
        stdout = self._process.stdout
        line = stdout.readline() if stdout is not None else ""
        if not line.startswith("ready"):
            self.stop()
            raise Unreachable("the home did not start: " + (self.data / "up.stderr").read_text()[-2000:])

    def stop(self) -> int:
        """Stop it cleanly; its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._close()
        return code

    def kill(self) -> None:
        """`kill -9` it; what it started is left to notice by itself."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
