"""The profile: a folder on the device, in which every key is wrapped and commands wait until they are answered."""

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from privity.agent.cache import CACHE, Cache
from privity.agent.memory import MEMORY, Memory
from privity.disk import sync
from privity.encoding import unb64
from privity.errors import Malformed, NoProfile, ProfileExists

PROFILE = "profile.json"
STATE = "state.json"
OUTBOX = "outbox"
CREDENTIAL = "bus.jwt"
TASKS = "tasks.db"
LOCK = "outbox.lock"
ASIDE, SWAP = ".aside", ".swap"
MAX_ASIDE = 1000
"""Commands that were set aside and are still there to be looked at; the oldest goes first."""
MAX_WAITING = 1000
"""Commands that wait for the home to be reached."""
LOCK_TIMEOUT = 15.0
"""Seconds to wait for another process of this profile that sends."""
LOOK_AGAIN = 0.02


@dataclass(frozen=True, slots=True)
class Profile:
    """Who this device acts for. `secret`, like the wraps, is of no use without the passphrase."""

    account: str
    address: str
    device: str
    server: str = field(repr=False)
    secret: str = field(repr=False)
    kdf: dict[str, int]
    kek: str = field(repr=False)
    device_key: str = field(repr=False)
    identity: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command that was signed and not yet answered: its id, subject, and the exact bytes to send.

    `version` is the one of the item that it gives up, as it was seen then; 0 where it gives none up.
    """

    id: str
    subject: str
    data: bytes = field(repr=False)
    version: int = 0

    @property
    def head(self) -> str:
        """What is kept before the bytes."""
        return f"{self.subject} {self.version}" if self.version else self.subject

    @classmethod
    def kept(cls, id: str, head: str, data: bytes) -> "Waiting":
        """As it was kept.

        Raises:
            ValueError: the head was damaged.
        """
        subject, _, version = head.partition(" ")
        return cls(id, subject, data, int(version or 0))


class ProfileFolder:
    """The files of one profile. All are for the owner's eyes alone; each write is whole or not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def memory(self) -> Memory:
        """What this device has seen."""
        return Memory(self.path / MEMORY)

    def cache(self) -> Cache:
        """What this device keeps of what the home served."""
        return Cache(self.path / CACHE)

    def exists(self) -> bool:
        """Whether there is an account here."""
        return (self.path / PROFILE).exists()

    def load(self) -> Profile:
        """The profile.

        Raises:
            NoProfile: there is none.
            Malformed: the file was damaged.
        """
        try:
            kept = json.loads((self.path / PROFILE).read_text())
            return Profile(**{each.name: _of_type(kept[each.name], each.type) for each in fields(Profile)})
        except FileNotFoundError:
            raise NoProfile(f"there is no account in {self.path}; make one or log in") from None
        except (ValueError, KeyError, TypeError) as error:
            raise Malformed(f"the profile in {self.path} is damaged") from error

    def create(self, profile: Profile) -> None:
        """Keep a new profile.

        Raises:
            ProfileExists: there is one already.
        """
        self.check_free()
        self._empty_outbox()  # of an account that was never made here
        self.memory().forget()
        self.cache().forget()
        self._forget_tasks()
        self.save(profile)

    def check_free(self) -> None:
        """Returns if a profile can be made here.

        Raises:
            ProfileExists: there is one already.
        """
        if self.exists():
            raise ProfileExists(f"there is an account in {self.path} already; use another folder")

    def save(self, profile: Profile) -> None:
        """Keep the profile as it is now."""
        self._write(PROFILE, json.dumps(asdict(profile), indent=1).encode())

    def forget(self) -> None:
        """Take the account off this device."""
        self._empty_outbox()
        for name in (PROFILE, STATE, CREDENTIAL, LOCK):
            (self.path / name).unlink(missing_ok=True)
        self.memory().forget()
        self.cache().forget()
        self._forget_tasks()

    @property
    def position(self) -> int:
        """The newest position that a result named: what is read must be at least as new.

        Raises:
            Malformed: the file was damaged.
        """
        try:
            return int(json.loads((self.path / STATE).read_text())["position"])
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError) as error:
            raise Malformed(f"the profile in {self.path} is damaged: {STATE}") from error

    def reached(self, position: int) -> None:
        """Remember a newer position."""
        if position > self.position:
            self._write(STATE, json.dumps({"position": position}).encode())

    def credential(self) -> str | None:
        """The user JWT with which this device is let onto the bus, if it has one."""
        try:
            return (self.path / CREDENTIAL).read_text()
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def keep_credential(self, jwt: str) -> None:
        """Keep a newer one."""
        self._write(CREDENTIAL, jwt.encode())

    def keep(self, waiting: Waiting) -> None:
        """Keep a command until its result has come."""
        self._write(f"{OUTBOX}/{waiting.id}", waiting.head.encode() + b"\n" + waiting.data)

    def waiting_ids(self) -> list[str]:
        """The ids of the commands that have no result yet, oldest first: each is greater than those before it."""
        folder = self.path / OUTBOX
        return sorted(path.name for path in folder.glob("*") if "." not in path.name) if folder.exists() else []

    def waiting(self) -> list[Waiting]:
        """The commands that have no result yet, oldest first."""
        folder = self.path / OUTBOX
        found = []
        for name in self.waiting_ids():
            try:
                head, _, data = (folder / name).read_bytes().partition(b"\n")
            except FileNotFoundError:  # another process of this profile had it answered just now
                continue
            try:
                found.append(Waiting.kept(name, head.decode(), data))
            except ValueError:  # a damaged one must not hold up the others
                self.set_aside(name)
        return found

    def set_aside(self, id: str) -> None:
        """Keep a command that cannot be sent out of the way of the others, as `<id>.aside`."""
        path = self.path / OUTBOX / id
        path.replace(path.with_suffix(ASIDE))
        for oldest in sorted(path.parent.glob(f"*{ASIDE}"))[:-MAX_ASIDE]:
            oldest.unlink(missing_ok=True)

    def swap(self, ids: Sequence[str], instead: Sequence[Waiting]) -> None:
        """Put commands, or none, in the place of others that wait: whoever dies in between leaves it done or not."""
        kept = [(each.id, each.head, len(each.data)) for each in instead]
        head = json.dumps({"ids": list(ids), "kept": kept}).encode()
        name = f"{OUTBOX}/{ids[0]}{SWAP}"
        self._write(name, b"\n".join([head, b"".join(each.data for each in instead)]))
        self._finish(self.path / name)

    def finish_swaps(self) -> None:
        """Go on with what a process began that died. Only who holds the outbox alone may ask for it."""
        for path in sorted((self.path / OUTBOX).glob(f"*{SWAP}")):
            self._finish(path)

    def _finish(self, path: Path) -> None:
        line, _, data = path.read_bytes().partition(b"\n")
        swap, start = json.loads(line), 0
        for id, head, length in swap["kept"]:
            self.keep(Waiting.kept(id, head, data[start : start + length]))
            start += length
        for id in swap["ids"]:
            self.answered(id)
        path.unlink()

    @property
    def has_waiting(self) -> bool:
        """Whether commands wait, or a process died while it put one in the place of others."""
        folder = self.path / OUTBOX
        return folder.exists() and any("." not in path.name or path.suffix == SWAP for path in folder.iterdir())

    @asynccontextmanager
    async def sending(self, *, alone: bool) -> AsyncIterator[bool]:
        """Hold the outbox to send from it: what waits there `alone`, what is new beside others. Whether it is held.

        So nobody takes a command that is on its way for one that waits.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "wb") as file:
            yield await _locked(file.fileno(), fcntl.LOCK_EX if alone else fcntl.LOCK_SH)

    def answered(self, id: str) -> None:
        """The command has its result."""
        (self.path / OUTBOX / id).unlink(missing_ok=True)

    def _empty_outbox(self) -> None:
        folder = self.path / OUTBOX
        for path in folder.iterdir() if folder.exists() else ():
            path.unlink(missing_ok=True)

    def _forget_tasks(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            (self.path / f"{TASKS}{suffix}").unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        path = self.path / name
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)  # the mode is not for the parents that it makes
        path.parent.mkdir(exist_ok=True, mode=0o700)
        draft = path.with_name(f"{path.name}.{os.getpid()}.part")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        sync(path.parent)  # a name that is new in a folder is not on the disk before the folder is


async def _locked(file: int, how: int) -> bool:
    try:
        async with asyncio.timeout(LOCK_TIMEOUT):
            while True:
                try:
                    fcntl.flock(file, how | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(LOOK_AGAIN)
                else:
                    return True
    except TimeoutError:
        return False


def _of_type(value: Any, type_: Any) -> Any:
    """The value of a profile's field; a TypeError or ValueError where it is none."""
    if not isinstance(value, str if type_ is str else dict):
        raise TypeError
    if isinstance(value, str):
        value.encode()  # half a surrogate pair is no text
    return value


def secret_of(profile: Profile) -> bytes:
    """The account secret, 16 bytes."""
    return unb64(profile.secret)
