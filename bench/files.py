"""What a large file costs: put to five suppliers and got back, by real processes, beside the floors of the machine.

`python -m bench.files [MIB]`. The client is a process of its own (`bench.file_client`); the processor time of all of
them is what a busy machine changes least.
The floors are what the same bytes cost without any of our code: sealed, coded and hashed on one thread; taken and given
as bare requests of 512 KiB by five bare processes; written to as many new files, and read again.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg

import app
from bench.file_client import MIB, NEEDED, Figures, resident
from bench.plan import Plan, rate
from infra.bus import connect
from infra.processes import Child, stop_on_signals
from privity.bulk import keep_freed
from privity.crypto.coding import FRAGMENT_BYTES, Coding, ObjectPlace, seal_segment
from privity.crypto.keyring import new_dek
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody

SIZE = 1024
"""MiB of the file."""
SLOTS = 5
LEAST_PUT, LEAST_GET = 100, 150
"""MiB/s."""
MOST_MEMORY = 128
"""MiB that any of the processes may have resident."""
BARE = 256
"""MiB of each floor of bus and disk."""
AT_ONCE = 4
"""Requests on their way to each bare process."""
TIMEOUT = 30.0
PLAN = Plan(2, load=0, single=0, bulk=200)


def measure(size: int = SIZE) -> dict[str, Figures]:
    """The floors, the figures of a file of `size` MiB, and the ratios between them."""
    with tempfile.TemporaryDirectory(prefix="privity-files-") as name:
        folder = Path(name)
        floors = processor() | disk(folder)
        with RunningHome(folder / "home", suppliers=SLOTS) as home:
            floors |= asyncio.run(bus(home))
            person = somebody("bench", folder, home.url)
            asyncio.run(_register(person))
            files = _client(person, folder, size, home)
            files["supplier_resident_mib"] = max(map(resident, _suppliers(home)))
    found = {"floors": floors, "files": files, "ratios": _ratios(floors, files)}
    return {group: {name: round(value, 2) for name, value in each.items()} for group, each in found.items()}


def processor() -> Figures:
    """MiB of plaintext a second on one thread."""
    keep_freed()
    coding, key, place = Coding(NEEDED, SLOTS), new_dek(), ObjectPlace("k" * 52, "o" * 26, 1)
    plain = os.urandom(coding.capacity)
    sealed = seal_segment(key, plain, place, 0)
    each = coding.capacity / MIB
    return {
        "seal_mib_per_s": each * rate(PLAN, PLAN.bulk, lambda _: seal_segment(key, plain, place, 0)),
        "code_mib_per_s": each * rate(PLAN, PLAN.bulk, lambda _: coding.encode(sealed)),
        "hash_mib_per_s": each * rate(PLAN, PLAN.bulk, lambda _: sha256(plain).digest()),
    }


def disk(folder: Path) -> Figures:
    """MiB a second in new files of 512 KiB, not synced, and read again."""
    data, count = os.urandom(FRAGMENT_BYTES), BARE * MIB // FRAGMENT_BYTES
    paths = [folder / f"floor-{number}" for number in range(count)]
    start = time.perf_counter()
    for path in paths:
        path.write_bytes(data)
    written = time.perf_counter()
    for path in paths:
        path.read_bytes()
    read = time.perf_counter()
    for path in paths:
        path.unlink()
    return {"disk_write_mib_per_s": BARE / (written - start), "disk_read_mib_per_s": BARE / (read - written)}


async def bus(home: RunningHome) -> Figures:
    """MiB of bare requests of 512 KiB a second, taken and given by as many processes as there are suppliers."""
    async with AsyncExitStack() as stack:
        client = await connect(app.running(home.data).backend(), name="bench-files")
        stack.push_async_callback(client.close)
        for number in range(SLOTS):
            child = Child(["-m", "bench.files", "answer", str(home.data), str(number)], TIMEOUT)
            stack.push_async_callback(child.stop)
            await child.start()
        blob = os.urandom(FRAGMENT_BYTES)
        return {
            "bus_taken_mib_per_s": await _requests(client, "take", blob, range(SLOTS)),
            "bus_given_mib_per_s": await _requests(client, "give", b"", range(NEEDED)),
        }


async def _requests(client: Client, verb: str, data: bytes, processes: Sequence[int]) -> float:
    count = BARE * MIB // FRAGMENT_BYTES // (len(processes) * AT_ONCE)

    async def one_after_another(number: int) -> None:
        for _ in range(count):
            await client.request(f"bench.{verb}.{number}", data, timeout=TIMEOUT)

    start = time.perf_counter()
    await asyncio.gather(*(one_after_another(number) for number in processes for _ in range(AT_ONCE)))
    return count * len(processes) * AT_ONCE * FRAGMENT_BYTES / MIB / (time.perf_counter() - start)


async def answer(data: Path, number: str) -> None:
    """A bare process: takes 512 KiB, or gives as many, until SIGTERM."""
    stopping, blob = stop_on_signals(), os.urandom(FRAGMENT_BYTES)
    client = await connect(app.running(data).backend(), name="bench-bare")

    async def take(message: Msg) -> None:
        await message.respond(b"ok")

    async def give(message: Msg) -> None:
        await message.respond(blob)

    await client.subscribe(f"bench.take.{number}", cb=take)
    await client.subscribe(f"bench.give.{number}", cb=give)
    await client.flush()
    print("ready", flush=True)
    await stopping.wait()
    await client.close()


def _client(person: Person, folder: Path, size: int, home: RunningHome) -> Figures:
    """The file, put and got by a process of its own."""
    source = folder / "source"
    with source.open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(MIB))
    others = [",".join(map(str, pids)) for pids in (_suppliers(home), _bus(home))]
    command = [sys.executable, "-m", "bench.file_client", str(person.home), person.address, str(source), *others]
    variables = {**os.environ, "PRIVITY_SERVER": person.server, "PRIVITY_PASSPHRASE": person.passphrase}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=variables)  # noqa: S603 - of this package
    found: Figures = json.loads(done.stdout)
    return found


def _suppliers(home: RunningHome) -> list[int]:
    return [int(path.read_text()) for path in home.data.glob("suppliers/*/pid")]


def _bus(home: RunningHome) -> list[int]:
    names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in home.children}
    return [pid for pid, name in names.items() if name.startswith("nats-server")]


def _ratios(floors: Figures, files: Figures) -> Figures:
    """To the bars, and to the floor of the bus: a file that is put sends 5/3 of its bytes, one that is got its own."""
    fragments = SLOTS / NEEDED
    return {
        "put_to_bar_at_least_1": files["put_mib_per_s"] / LEAST_PUT,
        "get_to_bar_at_least_1": files["get_mib_per_s"] / LEAST_GET,
        "put_to_bus": files["put_mib_per_s"] * fragments / floors["bus_taken_mib_per_s"],
        "get_to_bus": files["get_mib_per_s"] / floors["bus_given_mib_per_s"],
        "client_resident_to_bar_at_most_1": files["client_resident_mib"] / MOST_MEMORY,
        "supplier_resident_to_bar_at_most_1": files["supplier_resident_mib"] / MOST_MEMORY,
    }


async def _register(person: Person) -> None:
    await person.register()


def main(arguments: Sequence[str], say: Callable[[str], None] = print) -> None:
    """Measure and print; or be one of the processes that this takes."""
    match arguments:
        case ["answer", data, number]:
            asyncio.run(answer(Path(data), number))
        case _:
            say(json.dumps(measure(int(arguments[0]) if arguments else SIZE), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
