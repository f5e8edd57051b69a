"""The profile: a folder on the device, in which every key is wrapped and commands wait until they are answered."""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from privity.agent.memory import MEMORY, Memory
from privity.encoding import unb64
from privity.errors import Malformed, NoProfile, ProfileExists

PROFILE = "profile.json"
STATE = "state.json"
OUTBOX = "outbox"
CREDENTIAL = "bus.jwt"


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
    """A command that was signed and not yet answered: its id, subject, and the exact bytes to send."""

    id: str
    subject: str
    data: bytes = field(repr=False)


class ProfileFolder:
    """The files of one profile. All are for the owner's eyes alone; each write is whole or not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def memory(self) -> Memory:
        """What this device has seen."""
        return Memory(self.path / MEMORY)

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
        for waiting in self.waiting():  # of an account that was never made here
            self.answered(waiting.id)
        self.memory().forget()
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
        for waiting in self.waiting():
            self.answered(waiting.id)
        for name in (PROFILE, STATE, CREDENTIAL):
            (self.path / name).unlink(missing_ok=True)
        self.memory().forget()

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
        self._write(f"{OUTBOX}/{waiting.id}", waiting.subject.encode() + b"\n" + waiting.data)

    def waiting(self) -> list[Waiting]:
        """The commands that have no result yet, oldest first: their ids grow with time."""
        folder = self.path / OUTBOX
        names = sorted(path.name for path in folder.glob("*") if "." not in path.name) if folder.exists() else []
        found = []
        for name in names:
            try:
                subject, _, data = (folder / name).read_bytes().partition(b"\n")
            except FileNotFoundError:  # another process of this profile had it answered just now
                continue
            try:
                found.append(Waiting(name, subject.decode(), data))
            except UnicodeDecodeError:  # a damaged one must not hold up the others
                self.set_aside(name)
        return found

    def set_aside(self, id: str) -> None:
        """Keep a command that cannot be sent out of the way of the others, as `<id>.aside`."""
        path = self.path / OUTBOX / id
        path.replace(path.with_suffix(".aside"))

    def answered(self, id: str) -> None:
        """The command has its result."""
        (self.path / OUTBOX / id).unlink(missing_ok=True)

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
