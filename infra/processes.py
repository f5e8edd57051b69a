"""Processes: signals that end one, a child that is started again when it dies, and log files of bounded size."""

import asyncio
import contextlib
import fcntl
import logging
import logging.handlers
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any

from privity.errors import AlreadyRunning, Unreachable
from privity.plain import PlainFormatter

log = logging.getLogger(__name__)

LOG_BYTES = 10_000_000
LOG_FILES = 3
STOP_TIMEOUT = 10.0
PAUSE = 0.05
CLOSE_TIMEOUT = 5.0
CANCEL_AGAIN = 0.05


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def log_to(path: Path) -> None:
    """Log to a file of bounded size, and warnings to stderr too."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    screen = logging.StreamHandler()
    screen.setLevel(logging.WARNING)
    for handler in (file, screen):
        handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[file, screen], force=True)


class Child:
    """A Python process of ours that says `ready` on its stdout and ends when its stdin closes."""

    def __init__(self, arguments: Sequence[str], ready_timeout: float) -> None:
        self._arguments = arguments
        self._ready_timeout = ready_timeout
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 when it does not run."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            Unreachable: it ended or was not ready in time; its log says why.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=dict(os.environ),
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), self._ready_timeout)
        except TimeoutError:
            line = b""
        if not line.startswith(b"ready"):
            await self.stop()
            raise Unreachable(f"the process {' '.join(self._arguments[-2:])} did not become ready; see its log")

    async def wait(self) -> int:
        """Wait until it ends; its exit code."""
        return await self._process.wait() if self._process is not None else 0

    async def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()


def leave_at_once() -> None:
    """End this process now: its parent is gone, and whatever it was writing is there whole or not at all."""
    log.warning("the parent process is gone; leaving")
    logging.shutdown()
    os._exit(1)


async def closed(closing: Awaitable[None]) -> None:
    """Wait for a connection to close, but not for ever: its other end may be gone."""
    try:
        await asyncio.wait_for(closing, CLOSE_TIMEOUT)
    except Exception as error:  # what is left open ends with the process
        log.warning("a connection did not close: %s", type(error).__name__)


@contextlib.asynccontextmanager
async def after_predecessor(path: Path, within: float = STOP_TIMEOUT) -> AsyncIterator[None]:
    """Hold a file that one process at a time can hold; one that is just ending is waited for.

    Raises:
        AlreadyRunning: it is held for longer than that many seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + within
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                raise AlreadyRunning(f"another process holds {path}")
            await asyncio.sleep(PAUSE)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their ends; what one of them failed with before is not raised again.

    Again and again: nats-py turns some cancellations into errors of its own, and the loop around them goes on.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)


async def until_stopped(stopping: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the stop; a task that ends before brings its error up: the process is to be started again."""
    waiting = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        if task is not waiting:
            log.error("%s ended", task.get_name(), exc_info=task.exception())
            await cancel(waiting)
            raise Unreachable(f"{task.get_name()} ended; see the log")
    await cancel(waiting)
