"""The home's folder: the keys that name it and guard its bus, and the lock that lets one backend run on it."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from privity.connection_string import ConnectionString
from privity.crypto.signing import SigningKey
from privity.encoding import b64, unb64
from privity.errors import AlreadyRunning, NotFound

KEYS = "keys.json"
LOCK = "lock"
HOME_URL = "home.url"
PERSON = "person"


@dataclass(frozen=True, slots=True)
class HomeKeys:
    """The home's own secrets: made once, never sent."""

    log: SigningKey = field(repr=False)
    mail: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    backend_password: str = field(repr=False)
    person_password: str = field(repr=False)


def open_keys(data: Path, *, create: bool = True) -> HomeKeys:
    """The keys in a data folder, made where there are none; safe when two roles start at once.

    Raises:
        NotFound: there are none, and none are to be made.
    """
    path = data / KEYS
    if not path.exists():
        if not create:
            raise NotFound(f"there is no home in {data}")
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_once(path, _new_keys())
    kept = json.loads(path.read_text())
    return HomeKeys(
        log=SigningKey.from_seed(unb64(kept["log"])),
        mail=unb64(kept["mail"]),
        nonce=unb64(kept["nonce"]),
        backend_password=kept["backend_password"],
        person_password=kept["person_password"],
    )


def write_home_url(data: Path, keys: HomeKeys, host: str, port: int, credential: str) -> None:
    """Leave the connection string in the folder, for the operator to give to people."""
    text = ConnectionString(host, port, PERSON, credential, keys.log.public).text()
    path = data / HOME_URL
    draft = path.with_suffix(".part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
    os.replace(draft, path)


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


def _new_keys() -> dict[str, str]:
    return {
        "log": b64(SigningKey.generate().seed),
        "mail": b64(secrets.token_bytes(32)),
        "nonce": b64(secrets.token_bytes(32)),
        "backend_password": secrets.token_urlsafe(24),
        "person_password": secrets.token_urlsafe(24),
    }


def _write_once(path: Path, kept: dict[str, str]) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # the other role was first, and its keys count
    finally:
        draft.unlink()
