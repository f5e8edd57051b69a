"""What is on the disk for good."""

import os
from pathlib import Path


def sync(path: Path, *, release: bool = False) -> None:
    """Bring a file to the disk, or the names in a folder; `release` as `to_disk`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        (to_disk if release else os.fsync)(descriptor)
    finally:
        os.close(descriptor)


def to_disk(descriptor: int) -> None:
    """Bring a file to the disk and let go of the memory that holds it: the next part can use that."""
    os.fsync(descriptor)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
