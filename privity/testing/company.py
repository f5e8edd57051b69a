"""People by name, made when they are first asked for: Alice and Bob are connected, others have accounts."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from privity.agent import connections
from privity.testing.people import Person, connect
from privity.testing.seeded import Seeded

Finished = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]
"""Runs a coroutine to its end."""


class Company:
    """Everybody in one test; each has an address and a profile's folder of their own."""

    def __init__(self, server: str, folder: Path, seeded: Seeded, finished: Finished) -> None:
        self._server = server
        self._folder = folder
        self._seeded = seeded
        self._finished = finished
        self._known: dict[str, Person] = {}

    def __call__(self, name: str) -> Person:
        """Who has this name: with an account, and the same person each time."""
        return self.alice if name == "alice" else self.bob if name == "bob" else self._registered(name)

    @property
    def alice(self) -> Person:
        """Alice, who is connected with Bob."""
        return self._pair()[0]

    @property
    def bob(self) -> Person:
        """Bob, who accepted Alice's invitation."""
        return self._pair()[1]

    @property
    def all(self) -> tuple[Person, ...]:
        """Everybody who was asked for until now."""
        return tuple(self._known.values())

    def connect(self, inviter: Person, acceptor: Person) -> str:
        """Invite, accept and confirm, so that it is verified for both; the connection's id."""
        id: str = self._finished(lambda: _connected(inviter, acceptor))
        return id

    def _pair(self) -> tuple[Person, Person]:
        if not {"alice", "bob"} <= self._known.keys():
            self.connect(self._registered("alice"), self._registered("bob"))
        return self._known["alice"], self._known["bob"]

    def _registered(self, name: str) -> Person:
        if name not in self._known:
            address = self._seeded.address(name)
            person = Person(address, self._folder / name, self._server)
            self._finished(person.register)
            self._known[name] = person
        return self._known[name]


async def _connected(inviter: Person, acceptor: Person) -> str:
    made, _ = await connect(inviter, acceptor)
    async with inviter.session() as (session, keyring):
        await connections.show(session, keyring, made.connection)  # who sees the acceptance first confirms it
    return made.connection
