"""Processes that move large files."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from privity.disk import to_disk

PROGRAM = """
import resource, sys
from privity.bulk import keep_freed
if sys.argv[1] == "keeps":
    keep_freed()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    parts = [bytes(2**19) for _ in range(8)]
    del parts
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """How often the kernel had to give a process a page that it had given back."""
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library treats memory in its own way")
def test_what_is_freed_is_used_again() -> None:
    assert faults("keeps") * 5 < faults("gives back")


def test_what_is_brought_to_the_disk_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "part"
    written = os.urandom(3 * 2**20)
    with path.open("w+b") as file:
        file.write(written)
        file.flush()
        to_disk(file.fileno())
        file.write(b"and more")
    assert path.read_bytes() == written + b"and more"
