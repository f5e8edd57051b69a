"""A sharing key and its place at a home's five suppliers, and what lies in their folders."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from privity.agent import identity, sharing_keys, supplying
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.supplying import Place
from privity.encoding import b64
from privity.messages.suppliers import Register
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody

SLOTS = 5


@dataclass(frozen=True, slots=True)
class Storing:
    """Somebody with a sharing key, whose objects stand at the suppliers `supplier-1` to `supplier-5`, by slot."""

    home: RunningHome
    person: Person
    session: Session
    keyring: Keyring
    place: Place

    def folder(self, slot: int) -> Path:
        """Where a slot's supplier has its files."""
        return supplier_folder(self.home, slot)

    def fragments(self, slot: int, object: str) -> list[Path]:
        """A slot's fragments of an object, in the order of the segments."""
        return sorted((self.folder(slot) / "fragments" / self.place.key / object).glob("0*"))

    def rot(self, slot: int, object: str, segment: int = 0) -> None:
        """One bit of a fragment turns."""
        path = self.fragments(slot, object)[segment]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def supplier_folder(home: RunningHome, slot: int) -> Path:
    """Where the files of the supplier of a slot lie."""
    return home.data / "suppliers" / f"supplier-{slot + 1}"


def supplier_pid(home: RunningHome, slot: int) -> int:
    """Its process."""
    return int((supplier_folder(home, slot) / "pid").read_text())


def pause(home: RunningHome, slot: int) -> None:
    """It keeps silent from now on."""
    os.kill(supplier_pid(home, slot), signal.SIGSTOP)


def resume(home: RunningHome, slot: int) -> None:
    """It goes on."""
    os.kill(supplier_pid(home, slot), signal.SIGCONT)


@asynccontextmanager
async def storing(home: RunningHome, folder: Path, needed: int = 3, slots: int = SLOTS) -> AsyncIterator[Storing]:
    """Somebody new with a session, a key and its place."""
    person = somebody("sam", folder, home.url)
    await person.register()
    async with person.session() as (session, keyring):
        key = await sharing_keys.create(session, keyring)
        yield Storing(home, person, session, keyring, await place_of(session, keyring, key.id, needed, slots))


async def place_of(session: Session, keyring: Keyring, name: str, needed: int = 3, slots: int = SLOTS) -> Place:
    """The place of a key of one's own, by its name, on the home's own suppliers: those of other tests may be gone."""
    key = await sharing_keys.show(session, keyring, name)
    row, _ = await identity.own(session)
    directory = (await supplying.directory(session)).values()
    known = sorted((each for each in directory if each.name.startswith("supplier-")), key=lambda each: each.name)
    return await supplying.place(
        session,
        keyring,
        key=key.id,
        part=key.private().sign,
        suppliers=[each.id for each in known[:slots]],
        needed=needed,
        register=Register(key.id, b64(key.record_bytes), b64(key.signature), row.chain),
    )
