"""The audit's bench: a synthetic log of properly signed commands, exported whole, and verified on one core.

    python -m bench.audit [EVENTS …]

The figures: seconds and events a second of the export and of the verification, and the largest memory (MiB) of a
process that does nothing but verify.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from handlers import accounts, items
from handlers.committer import Committer
from handlers.opening import Delivery
from handlers.registry import Home
from infra.export import export_whole
from infra.log import Log
from infra.store import open_store
from privity.agent.keyring import new_identity
from privity.agent.session import Signer
from privity.audit.verify import verify
from privity.crypto.credentials import home_id
from privity.crypto.identity import Signed, make_genesis, make_next, verify_chain
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id
from privity.messages.accounts import Kdf, RegisterAccount
from privity.messages.base import Command
from privity.messages.fields import SignedRecord
from privity.messages.items import AddItem

REGISTERED = (accounts, items)
"""Imported, their handlers are registered."""
ACCOUNTS = 100
BATCH = 512
SIZES = (10_000, 100_000)
VERIFY = "--verify"


def main(sizes: tuple[int, ...]) -> None:
    """Measure each size; one line of JSON for each."""
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="privity-bench-") as name:
            print(json.dumps(_measure(Path(name), size)), flush=True)


def _measure(folder: Path, size: int) -> dict[str, float]:
    path = folder / "log.jsonl"
    start = time.perf_counter()
    exporting = _export(folder, path, size)
    made = time.perf_counter() - start - exporting
    child = subprocess.run(  # noqa: S603 - this module itself
        [sys.executable, "-m", "bench.audit", VERIFY, str(path)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(child.stdout)
    return {
        "events": size,
        "recorded_s": round(made, 1),
        "export_s": round(exporting, 1),
        "file_mib": round(path.stat().st_size / 2**20, 1),
        **found,
    }


def _export(folder: Path, path: Path, size: int) -> float:
    log_key = SigningKey.generate()
    home = Home(home_id(log_key.public), log_key.public, b"m" * 32)
    with closing(open_store(f"sqlite:///{folder}/store.db")) as store:
        committer, batch = Committer(store, home, lambda: datetime.now(UTC)), []
        for delivery in _deliveries(home.id, size):
            batch.append(delivery)
            if len(batch) == BATCH:
                committer.process(batch)
                batch = []
        committer.process(batch)
        if store.head() != size:
            raise RuntimeError(f"{store.head()} events instead of {size}")
        start = time.perf_counter()
        export_whole(store, Log(store, log_key, home.id), home.id, home.log_public, path)
        return time.perf_counter() - start


def _deliveries(home: str, size: int) -> Iterator[Delivery]:
    """Accounts of two events each, and then items, each by a command of its own."""
    people = []
    for number in range(min(ACCOUNTS, size // 4)):
        signer, command, blobs = _account(home, number)
        people.append(signer)
        yield _delivery(signer, command, *blobs)
    for number in range(size - 2 * len(people)):
        item, blobs = new_id(), (os.urandom(32), os.urandom(32))
        yield _delivery(people[number % len(people)], AddItem(item, *map(digest, blobs)), *blobs)


def _account(home: str, number: int) -> tuple[Signer, RegisterAccount, tuple[bytes, ...]]:
    keys, device, device_id = new_identity(), SigningKey.generate(), new_id()
    seal = keys.seal
    genesis = make_genesis(keys.sign, seal.public, seal.suite, SigningKey.generate().public, os.urandom(16))
    first = make_next(
        verify_chain([genesis]),
        keys.sign,
        sign=keys.sign,
        seal_public=seal.public,
        seal_suite=seal.suite,
        devices={device_id: device.public},
        reason="created",
    )
    blobs = tuple(os.urandom(64) for _ in range(3))
    command = RegisterAccount(
        address=f"somebody-{number}@localhost",
        chain=(_record(genesis), _record(first)),
        login=b64(os.urandom(32)),
        recovery_login=b64(os.urandom(32)),
        kdf=Kdf(64 * 1024, 3, 4),
        kek=digest(blobs[0]),
        kek_recovery=digest(blobs[1]),
        identity=digest(blobs[2]),
    )
    return Signer(verify_chain([genesis]).account, device_id, device, home), command, blobs


def _record(signed: Signed) -> SignedRecord:
    return SignedRecord(b64(signed.record), tuple(b64(each) for each in signed.signatures))


def _delivery(signer: Signer, command: Command, *blobs: bytes) -> Delivery:
    waiting = signer.command(command, blobs)
    return Delivery(waiting.subject, waiting.data)


def _verify(path: Path) -> dict[str, float]:
    start = time.perf_counter()
    found = verify(path)
    took = time.perf_counter() - start
    return {
        "verify_s": round(took, 1),
        "verified_per_s": round(found.events / took),
        "verify_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == [VERIFY]:
        print(json.dumps(_verify(Path(sys.argv[2]))))
    else:
        main(tuple(int(each) for each in sys.argv[1:]) or SIZES)
