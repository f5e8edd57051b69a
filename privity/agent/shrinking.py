"""The program of the process that makes one thumbnail: an image on stdin, a small JPEG on stdout."""

import io
import resource
import sys
from contextlib import suppress
from typing import Final

from PIL import Image, ImageOps

FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP")
MAX_THUMBNAIL: Final = 16 * 1024
"""Bytes."""
MAX_PIXELS: Final = 40_000_000
SIDES: Final = (256, 192, 128, 96, 64)
"""Pixels of the longer side; the first at which the thumbnail is small enough."""
QUALITY: Final = 70
MEMORY: Final = 1024**3
"""Bytes of address space."""
SECONDS: Final = 10


def shrink(image: bytes) -> bytes:
    """The thumbnail's bytes, with nothing but pixels in them; none if none is small enough.

    Raises:
        Exception: of any kind, for what is no image.
    """
    with Image.open(io.BytesIO(image), formats=FORMATS) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            return b""
        opened.draft("RGB", (2 * SIDES[0], 2 * SIDES[0]))
        pixels = ImageOps.exif_transpose(opened).convert("RGBA")
    for side in SIDES:
        small = ImageOps.contain(pixels, (side, side)) if max(pixels.size) > side else pixels
        flat = Image.new("RGB", small.size, "white")
        flat.paste(small, mask=small)
        out = io.BytesIO()
        flat.save(out, "JPEG", quality=QUALITY, optimize=True)
        if len(out.getvalue()) <= MAX_THUMBNAIL:
            return out.getvalue()
    return b""


def main() -> None:
    """Give up what is not needed, then do it."""
    for limit, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_FSIZE, 0)):
        with suppress(ValueError, OSError):  # a system that does not have this limit
            resource.setrlimit(limit, (most, most))
    sys.stdout.buffer.write(shrink(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
