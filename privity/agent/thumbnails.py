"""Thumbnails of images, made in a process of their own: decoders of images are large, and images may be hostile.

That process gets the image alone: no keys, no passphrase, no environment; and little memory and time.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from typing import Final

PROGRAM: Final = "privity.agent.shrinking"
TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""The media types of which there are thumbnails."""
MAX_THUMBNAIL: Final = 16 * 1024
"""Bytes."""
PATIENCE: Final = 15.0
"""Seconds."""


async def thumbnail(image: bytes) -> bytes | None:
    """A small JPEG of an image, at most 16 KiB, without anything that stood in the image beside its pixels.

    None if it is no image of a known format, too large, or whatever is wrong with it.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", PROGRAM, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}
        )
    except OSError:  # too many processes, or no memory for one more
        return None
    try:
        async with asyncio.timeout(PATIENCE):
            made = await _shrunk(process, image)
            return made if 0 < len(made) <= MAX_THUMBNAIL and await process.wait() == 0 else None
    except TimeoutError:
        return None
    finally:  # also where whoever waits for it has given up
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def _shrunk(process: Process, image: bytes) -> bytes:
    """What it answers: no more of it than one byte too many."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
    giving = asyncio.create_task(_give(process.stdin, image))
    try:
        return await process.stdout.readexactly(MAX_THUMBNAIL + 1)
    except asyncio.IncompleteReadError as ended:
        return ended.partial
    finally:
        giving.cancel()


async def _give(pipe: asyncio.StreamWriter, image: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(image)
        await pipe.drain()
    pipe.close()
