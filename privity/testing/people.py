"""People for tests: each with a profile of their own, by the command line as a person runs it, or by the agent."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from privity.agent import accounts, invitations
from privity.agent.connections import Connection
from privity.agent.keyring import Keyring
from privity.agent.profile import ProfileFolder
from privity.agent.session import Session, open_session
from privity.connection_string import parse_connection_string
from privity.encoding import new_id

PRIVITY = (sys.executable, "-m", "privity.cli.main")
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - for tests
TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of the command line left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an address and a profile's folder."""

    address: str
    home: Path
    server: str = field(repr=False)
    passphrase: str = field(default=PASSPHRASE, repr=False)

    def run(self, *arguments: str, **environment: str) -> Outcome:
        """Run `privity …` as this person, in a process of its own."""
        done = subprocess.run(
            [*PRIVITY, *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
            env={
                **os.environ,
                "PRIVITY_SERVER": self.server,
                "PRIVITY_HOME": str(self.home),
                "PRIVITY_PASSPHRASE": self.passphrase,
                **environment,
            },
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str) -> Any:
        """Run a command that must succeed, with `--json`; what it printed."""
        done = self.run("--json", *arguments)
        if done.code != 0:
            raise AssertionError(f"privity {arguments[0]} left with {done.code}: {done.err}")
        return done.json

    async def register(self) -> accounts.NewAccount:
        """Make the account."""
        server = parse_connection_string(self.server)
        return await accounts.create(ProfileFolder(self.home), server, self.address, self.passphrase)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[tuple[Session, Keyring]]:
        """An open session with the agent."""
        session, keyring, _ = open_session(ProfileFolder(self.home), self.passphrase, self.server)
        async with session:
            yield session, keyring


def somebody(name: str, folder: Path, server: str) -> Person:
    """A person with an address that nobody else has, without an account yet."""
    unique = f"{name}-{new_id()[:8]}"
    return Person(f"{unique}@localhost", folder / unique, server)


async def connect(inviter: Person, acceptor: Person) -> tuple[Connection, str]:
    """Invite and accept; the acceptor's side of the connection, and the link that was used."""
    async with inviter.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, acceptor.address)
        await invitations.find(session, invited.invitation)  # the views have it: the acceptor need not wait
    async with acceptor.session() as (session, keyring):
        return await invitations.accept(session, keyring, invited.link), invited.link
