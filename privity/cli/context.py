"""What every command of the command line shares: the profile, the server, the passphrase, and how results are shown."""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from privity import bulk
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile, ProfileFolder
from privity.agent.session import Session, open_session
from privity.connection_string import ConnectionString, parse_connection_string
from privity.errors import Malformed

T = TypeVar("T")
Row = Mapping[str, object]

DEFAULT_HOME = Path("~/.privity")
QUEUED = "The home cannot be reached: this waits on this device, and is sent with your next command that reaches it."


@dataclass(frozen=True, slots=True)
class Context:
    """Where the profile is, which server it talks to, and whether a script reads the output."""

    json: bool
    server: str | None = field(repr=False)
    home: Path
    console: Console
    offline: bool = False

    @property
    def folder(self) -> ProfileFolder:
        """The profile's folder."""
        return ProfileFolder(self.home.expanduser())

    def connection_string(self) -> ConnectionString:
        """The server that was named.

        Raises:
            Malformed: none was named, or it is no connection string.
        """
        if not self.server:
            raise Malformed("no server: set PRIVITY_SERVER, or give --server, to the line in the home's home.url")
        return parse_connection_string(self.server)

    def show(self, row: Row, hint: str = "") -> None:
        """One thing: a JSON object, or its fields line by line."""
        if self.json:
            print(json.dumps(row, default=str))
            return
        width = max(map(len, row))
        for name, value in row.items():
            label, text = name.replace("_", " "), _text(value).replace("\n", "\n" + " " * (width + 2))
            self.console.print(f"[bold]{label:<{width}}[/]  {text}", soft_wrap=True, highlight=False)  # to be copied
        if hint:
            self.console.print(f"[dim]{hint}[/]")

    def show_all(self, rows: Sequence[Row], columns: Sequence[str], empty: str) -> None:
        """Many things: a JSON array, or a table."""
        if self.json:
            print(json.dumps(list(rows), default=str))
            return
        if not rows:
            self.console.print(f"[dim]{empty}[/]")
            return
        headers = (Column(column.replace("_", " "), overflow="fold") for column in columns)
        table = Table(*headers, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(_text(row[column]) for column in columns))
        self.console.print(table)


def context(ctx: typer.Context) -> Context:
    """The context that the root callback made."""
    found = ctx.find_object(Context)
    if found is None:
        raise RuntimeError("no context")
    return found


def passphrase(*, new: bool = False, variable: str = "PRIVITY_PASSPHRASE") -> str:
    """The passphrase, from its variable or asked for; it never stands in the arguments."""
    given = os.environ.get(variable)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"there is nobody to ask for the passphrase: set {variable}")
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True))


def with_session(ctx: typer.Context, work: Callable[[Session, Keyring, Profile], Awaitable[T]]) -> T:
    """Open the profile, do the work in one session, and leave."""
    here = context(ctx)
    here.folder.load()
    session, keyring, profile = open_session(here.folder, passphrase(), here.server, offline=here.offline)

    async def run() -> T:
        async with session:
            return await work(session, keyring, profile)

    return bulk.run(run())


def queued(session: Session) -> Row:
    """What a row says beside all else where commands wait until the home is reached again."""
    return {"queued": True} if session.queued else {}


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return "\n".join(_text(f"{name}: {each}") for name, each in value.items())
        case list() | tuple():
            return ", ".join(map(_text, value)) or "-"
        case _:  # it may come from somebody else: neither markup nor codes for the terminal
            return escape(
                "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in str(value))
            )
