"""How a process that moves large files treats memory: parts of half a MiB come and go thousands of times."""

import ctypes
import os
import platform
from typing import Final

TRIM_THRESHOLD: Final = -1
MMAP_THRESHOLD: Final = -3
"""Numbers of the options of glibc's `mallopt`."""
KEPT: Final = 64 * 2**20
"""Bytes of freed memory that the process keeps for its next need."""
OWN_PAGES: Final = 32 * 2**20
"""Bytes from which on a piece of memory is the kernel's own affair and given back when it is freed: the most that glibc
takes."""


def keep_freed() -> None:
    """Keep freed memory: else each part is given back and asked for again, and that takes as long as sealing it.

    For whoever owns the process, at its start; where the C library is another one than glibc, nothing is done.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(TRIM_THRESHOLD, KEPT)
    library.mallopt(MMAP_THRESHOLD, OWN_PAGES)


def settle(descriptor: int) -> None:
    """Bring a file to the disk and let go of the memory that holds it: the next part can use that."""
    os.fsync(descriptor)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
