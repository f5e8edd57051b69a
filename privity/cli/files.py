"""What the command line says of files: those that are attached, listed, and written out."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from privity.agent.files import Attachments, Plain, load, write
from privity.cli.context import Row
from privity.errors import NotFound, TooManyFiles
from privity.messages.files import MAX_FILES

OutOption = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="The new file; it must not be there yet.")]
SmallOption = Annotated[bool, typer.Option("--thumbnail", help="Its thumbnail instead, a JPEG.")]


def load_all(paths: Sequence[Path] | None) -> list[Plain]:
    """Files of this machine, to be attached.

    Raises:
        NotFound, TooLarge, TooManyFiles: they cannot be.
    """
    if len(paths or ()) > MAX_FILES:
        raise TooManyFiles

    async def every() -> list[Plain]:
        return [await load(path) for path in paths or ()]

    return asyncio.run(every()) if paths else []


def file_rows(attached: Attachments) -> Row:
    """The files as the last part of a row; nothing where there is none."""
    if not attached:
        return {}
    return {
        "files": [
            {"name": each.name, "type": each.type, "size": each.size, "thumbnail": each.thumbnail is not None}
            for each in attached.values()
        ]
    }


def save(file: Plain, out: Path, *, small: bool) -> Row:
    """Write a file, or its thumbnail, to where there is none yet; what was written."""
    data = file.thumbnail if small else file.data
    if data is None:
        raise NotFound(f"{file.name} has no thumbnail")
    write(out, data)
    return {"name": file.name, "type": "image/jpeg" if small else file.type, "size": len(data), "out": str(out)}
