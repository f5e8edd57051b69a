"""How a process runs that moves large files: parts of half a MiB come and go, thousands of times."""

import asyncio
import ctypes
import platform
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import uvloop
from nats.aio import client as nats_client

T = TypeVar("T")

TRIM_THRESHOLD: Final = -1
MMAP_THRESHOLD: Final = -3
"""Numbers of the options of glibc's `mallopt`."""
KEPT: Final = 64 * 2**20
"""Bytes of freed memory that the process keeps for its next need."""
OWN_PAGES: Final = 32 * 2**20
"""Bytes from which on a piece of memory is the kernel's own affair and given back when it is freed: the most that glibc
takes."""
READ: Final = 256 * 1024
"""Bytes that are read from the bus at a time, at most."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, for whoever owns the process: on a loop that reads in large pieces, and with memory kept."""
    keep_freed()
    nats_client.DEFAULT_BUFFER_SIZE = READ
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def keep_freed() -> None:
    """Keep freed memory: else each part is given back and asked for again, and that takes as long as sealing it.

    Where the C library is another one than glibc, nothing is done.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(TRIM_THRESHOLD, KEPT)
    library.mallopt(MMAP_THRESHOLD, OWN_PAGES)
