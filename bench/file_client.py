"""The client of `bench.files`: a process that has no more in it than an agent has, so that its memory is an agent's.

`python -m bench.file_client HOME ADDRESS SOURCE SUPPLIERS BUS`: the last two are process ids with commas between.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from privity import bulk
from privity.agent import identity, sharing_keys, supplying
from privity.agent.downloads import get_object
from privity.agent.uploads import put_object
from privity.encoding import b64
from privity.messages.suppliers import Register
from privity.testing.people import Person

MIB = 2**20
NEEDED = 3
Figures = dict[str, float]


async def client(person: Person, source: Path, size: float, others: dict[str, list[int]]) -> Figures:
    """Put, get, and say what it took; `size` is in MiB, `others` are processes whose time is told too."""
    sink, processes = source.with_name("sink"), {"client": [os.getpid()], **others}
    async with person.session() as (session, keyring):
        key = await sharing_keys.create(session, keyring)
        row, _ = await identity.own(session)
        known = sorted((await supplying.directory(session)).values(), key=lambda each: each.name)
        place = await supplying.place(
            session,
            keyring,
            key=key.id,
            part=key.private().sign,
            suppliers=[each.id for each in known],
            needed=NEEDED,
            register=Register(key.id, b64(key.record_bytes), b64(key.signature), row.chain),
        )
        await put_object(session, keyring, place, b"to begin with")
        _forget_peak()  # of the 64 MiB that it took to unlock the profile
        before = resident(os.getpid())
        start, busy = time.perf_counter(), _busy(processes)
        stored = await put_object(session, keyring, place, source)
        put, put_busy = time.perf_counter() - start, _since(busy, processes)
        start, busy = time.perf_counter(), _busy(processes)
        await get_object(session, place, stored.stored, stored.key, sink, size=stored.size, sha256=stored.sha256)
        got, got_busy = time.perf_counter() - start, _since(busy, processes)
    return {
        "put_mib_per_s": size / put,
        "get_mib_per_s": size / got,
        **{f"{who}_put_cpu_ms_per_mib": 1000 * seconds / size for who, seconds in put_busy.items()},
        **{f"{who}_get_cpu_ms_per_mib": 1000 * seconds / size for who, seconds in got_busy.items()},
        "client_resident_before_mib": before,
        "client_resident_mib": resident(os.getpid()),
    }


def resident(pid: int) -> float:
    """The most MiB that a process has had in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _busy(processes: dict[str, list[int]]) -> Figures:
    """Seconds of processor time that they took until now."""
    return {who: sum(map(_seconds, pids)) for who, pids in processes.items()}


def _since(before: Figures, processes: dict[str, list[int]]) -> Figures:
    return {who: seconds - before[who] for who, seconds in _busy(processes).items()}


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _forget_peak() -> None:
    """Begin anew with what is resident now (proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def main(arguments: Sequence[str], say: Callable[[str], None] = print) -> None:
    """Measure and print."""
    home, address, source, suppliers, bus = arguments
    person = Person(address, Path(home), os.environ["PRIVITY_SERVER"], os.environ["PRIVITY_PASSPHRASE"])
    others = {"suppliers": [int(pid) for pid in suppliers.split(",")], "bus": [int(pid) for pid in bus.split(",")]}
    say(json.dumps(bulk.run(client(person, Path(source), Path(source).stat().st_size / MIB, others))))


if __name__ == "__main__":
    main(sys.argv[1:])
