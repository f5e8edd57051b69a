"""Thumbnails: small pictures of images, and nothing of what is none, or means harm."""

import asyncio
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from privity.agent import shrinking, thumbnails
from privity.agent.shrinking import MAX_PIXELS, SIDES, shrink
from privity.agent.thumbnails import MAX_THUMBNAIL, thumbnail


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    """The image as a file."""
    out = BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG that says to be so large, and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


GRADIENT = Image.linear_gradient("L").resize((1000, 400))
NOISE = Image.effect_noise((1024, 1024), 200).convert("RGB")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_an_image_becomes_a_small_jpeg(format: str) -> None:
    made = shrink(encoded(GRADIENT, format))
    assert len(made) <= MAX_THUMBNAIL
    opened = Image.open(BytesIO(made))
    assert (opened.format, opened.size) == ("JPEG", (256, 102))


def test_what_does_not_get_small_gets_smaller_still() -> None:
    made = shrink(encoded(NOISE, "PNG"))
    assert 0 < len(made) <= MAX_THUMBNAIL
    assert max(Image.open(BytesIO(made)).size) in SIDES[1:]


def test_nothing_stands_in_it_but_the_pixels() -> None:
    """A camera writes where it was; and which side is up, which is followed."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "taken at home"
    made = shrink(encoded(GRADIENT.convert("RGB"), "JPEG", exif=exif))
    assert b"taken at home" not in made
    assert b"Exif" not in made
    assert Image.open(BytesIO(made)).size == (102, 256)


async def test_it_is_made_in_a_process_of_its_own() -> None:
    image = encoded(GRADIENT.convert("RGBA"), "PNG")
    assert await thumbnail(image) == shrink(image)


def test_the_process_that_has_the_keys_loads_no_decoder() -> None:
    assert (shrinking.__name__, shrinking.MAX_THUMBNAIL) == (thumbnails.PROGRAM, MAX_THUMBNAIL)
    loaded = "import sys, privity.agent.files; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


async def test_what_is_no_image_or_too_large_a_one_has_no_thumbnail() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    assert shrink(png_of(side, side)) == b""
    for hostile in (b"", b"no image", encoded(GRADIENT, "PNG")[:200], png_of(side, side), png_of(2**30, 2**30)):
        assert await thumbnail(hostile) is None


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Puts a shell's command in the place of the process that makes thumbnails."""

    def instead(command: str) -> None:
        script = tmp_path / "program"
        script.write_text(f"#!/bin/sh\n{command}\n")
        script.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(script))

    return instead


async def test_of_what_the_process_writes_no_more_is_read_than_a_thumbnail_has(program: Callable[[str], None]) -> None:
    """Whoever took it over by a hostile image could write for ever."""
    for command, made in (
        ("cat > /dev/null; printf small", b"small"),
        (f"cat > /dev/null; head -c {MAX_THUMBNAIL} /dev/zero", bytes(MAX_THUMBNAIL)),
        (f"cat > /dev/null; head -c {MAX_THUMBNAIL + 1} /dev/zero", None),
        ("exec yes", None),
        ("printf small; exit 1", None),
    ):
        program(command)
        async with asyncio.timeout(thumbnails.PATIENCE / 3):
            assert await thumbnail(bytes(2**20)) == made, command


async def test_the_process_ends_when_nobody_waits_for_it_any_more(
    program: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "PATIENCE", 0.5)
    for given_up in (True, False):
        begun = tmp_path / f"begun {given_up}"
        program(f'echo $$ > "{begun}"; exec sleep 60')
        making = asyncio.create_task(thumbnail(b"image"))
        while not (begun.exists() and begun.read_text()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        if given_up:
            making.cancel()
            with pytest.raises(asyncio.CancelledError):
                await making
        else:
            assert await making is None
        with pytest.raises(ProcessLookupError):
            os.kill(int(begun.read_text()), 0)


async def test_where_no_process_can_be_begun_there_is_no_thumbnail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert await thumbnail(encoded(GRADIENT, "PNG")) is None


@pytest.mark.parametrize("format", ["BMP", "TIFF", "PPM"])
def test_other_formats_are_not_even_tried(format: str) -> None:
    with pytest.raises(OSError, match="cannot identify"):
        shrink(encoded(GRADIENT, format))
