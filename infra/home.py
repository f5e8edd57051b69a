"""The home's folder: the keys that name it and guard its bus, and the lock that lets one backend run on it."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.credentials import BusKeys
from privity.connection_string import ConnectionString
from privity.crypto.signing import SigningKey
from privity.encoding import b64, unb64
from privity.errors import AlreadyRunning, NotFound

KEYS = "keys.json"
KEYS_LOCK = "keys.lock"
LOCK = "lock"
HOME_URL = "home.url"
PERSON = "person"


@dataclass(frozen=True, slots=True)
class HomeKeys:
    """The home's own secrets: made once, never sent."""

    log: SigningKey = field(repr=False)
    mail: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    bus: BusKeys = field(repr=False)


def open_keys(data: Path, *, create: bool = True) -> HomeKeys:
    """The keys in a data folder; made where they or some of them are missing, once, though two roles start at once.

    Raises:
        NotFound: there are none, and none are to be made.
    """
    path = data / KEYS
    if not path.exists():
        if not create:
            raise NotFound(f"there is no home in {data}")
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = _read(path)
    if kept.keys() != (complete := _completed(kept)).keys() or kept["bus"] != complete["bus"]:
        kept = _complete(data)
    return HomeKeys(
        log=SigningKey.from_seed(unb64(kept["log"])),
        mail=unb64(kept["mail"]),
        nonce=unb64(kept["nonce"]),
        bus=BusKeys.complete(kept["bus"]),
    )


def write_home_url(data: Path, keys: HomeKeys, host: str, port: int, *, tls: bool) -> None:
    """Leave the connection string in the folder, for the operator to give to people."""
    text = ConnectionString(host, port, PERSON, keys.bus.door, keys.log.public, tls).text()
    write_private(data / HOME_URL, text + "\n")


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the folder: freed by the operating system however the process ends.

    Raises:
        AlreadyRunning: another backend holds it; names its process.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode().strip()
            raise AlreadyRunning(f"a backend (process {owner}) is running on {data} already") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def _complete(data: Path) -> dict[str, Any]:
    """Make what is missing, while no other role does; the keys as they are then kept."""
    descriptor = os.open(data / KEYS_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        kept = _completed(_read(data / KEYS))  # read again: the other role may have been first
        write_private(data / KEYS, json.dumps(kept))
        return kept
    finally:
        os.close(descriptor)


def _completed(kept: dict[str, Any]) -> dict[str, Any]:
    return {
        "log": kept.get("log") or b64(SigningKey.generate().seed),
        "mail": kept.get("mail") or b64(secrets.token_bytes(32)),
        "nonce": kept.get("nonce") or b64(secrets.token_bytes(32)),
        "bus": BusKeys.complete(kept.get("bus", {})).texts,
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return kept


def write_private(path: Path, text: str) -> None:
    """Write a file, whole or not at all, and for the owner's eyes alone."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
