"""What many small files in a location cost: put, listed, listed anew by a fresh session, one of them read.

`python -m bench.locations [FILES]`. Each file has 1 KiB; the home and its five suppliers run on this machine. Beside
it the floor: sealing and coding the same bytes with nobody to send them to.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.plan import timed
from privity.agent import location_writing, locations
from privity.agent.location_writing import BUNDLE, Source, sources_of
from privity.crypto.coding import Coding, ObjectPlace, seal_segment
from privity.crypto.keyring import new_dek
from privity.encoding import new_id
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody

FILES = 10_000
SIZE = 1024
SUPPLIERS = 5
FOLDERS = 100
"""Files that stand in one folder."""


def measure(files: int = FILES) -> dict[str, float]:
    """Milliseconds of each act, microseconds of a file, and the floor of a file."""
    with tempfile.TemporaryDirectory() as folder:
        sources = written(Path(folder) / "files", files)
        with RunningHome(Path(folder) / "home", suppliers=SUPPLIERS) as home:
            person = somebody("ann", Path(folder), home.url)
            found = asyncio.run(_acts(person, sources, Path(folder) / "out"))
    figures = {f"{act}_ms": 1e3 * seconds for act, seconds in found.items()}
    figures |= {"put_us_a_file": 1e6 * found["put"] / files, "floor_us_a_file": floor(files)}
    return {name: round(value, 1) for name, value in figures.items()}


def written(folder: Path, files: int) -> list[Source]:
    """So many files, a hundred in a folder."""
    for number in range(files):
        path = folder / f"{number // FOLDERS:03}" / f"note-{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SIZE))
    return sources_of([folder])


def floor(files: int) -> float:
    """Microseconds of a file, where its bytes are only sealed and coded."""
    coding, place = Coding(3, SUPPLIERS), ObjectPlace(new_id() * 2, new_id(), 1)
    count = min(files, min(BUNDLE, coding.capacity) // SIZE)
    data = os.urandom(coding.plain_bytes(count * SIZE, 0))
    start = time.perf_counter()
    coding.encode(seal_segment(new_dek(), data, place, 0))
    return 1e6 * (time.perf_counter() - start) / count


async def _acts(person: Person, sources: list[Source], out: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    await person.register()
    async with person.session() as (session, keyring):
        made = await locations.create(session, keyring, "many")
        await timed(found, "put", location_writing.put(session, keyring, made.id, sources))
        await timed(found, "put_again", location_writing.put(session, keyring, made.id, sources))
        await timed(found, "list", _listed(locations.opened(session, keyring, made.id)))
        middle = sources[len(sources) // 2].name
        await timed(found, "get", locations.get(session, keyring, made.id, middle, out))
    async with person.session() as (session, keyring):
        await timed(found, "list_anew", _listed(locations.opened(session, keyring, made.id)))
    return found


async def _listed(opened: Awaitable[locations.Opened]) -> int:
    return len(list(locations.listing(await opened)))


def main(arguments: list[str], say: Callable[[str], None] = print) -> None:
    """Measure and print."""
    say(json.dumps(measure(int(arguments[0]) if arguments else FILES), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
