"""`privity connection`: the people whom you share with."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from privity.agent import connections, intents
from privity.agent.connections import Broken, Connection
from privity.agent.identity import fingerprint
from privity.agent.keyring import Keyring
from privity.agent.pairing import Side, connect_both
from privity.agent.profile import Profile, ProfileFolder
from privity.agent.session import Session, open_session
from privity.cli.configs import ConnectionConfig, PersonConfig, read_config, to_json, write_config
from privity.cli.context import Row, context, passphrase, with_session
from privity.errors import Malformed

app = typer.Typer(help="Connections: people whose keys you know.", no_args_is_help=True)

COLUMNS = ("connection", "peer", "name", "status", "verified")
ConnectionArgument = Annotated[
    str, typer.Argument(metavar="C", help="The connection's id, its beginning, or the other's address.")
]


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Everybody whom you are connected with."""

    async def work(session: Session, keyring: Keyring, _: Profile) -> list[Connection | Broken]:
        known = await connections.all_own(session, keyring)
        _tell(await intents.fire(session, keyring, known))
        return known

    found = with_session(ctx, work)
    rows = [_broken_row(each) if isinstance(each, Broken) else connection_row(each) for each in found]
    context(ctx).show_all(rows, COLUMNS, "No connections. Invite somebody: privity invite EMAIL")
    raise_broken(found)


@app.command()
def show(ctx: typer.Context, connection: ConnectionArgument) -> None:
    """One connection, with both public keys and the safety number."""
    found = with_session(ctx, _shown(connection))
    context(ctx).show({**connection_row(found), **_keys(found)})


@app.command()
def config(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The new file, JSON.")],
    to: Annotated[Path, typer.Option("--to", metavar="HOME", help="The other profile's folder, on this machine.")],
    from_name: Annotated[str, typer.Option(help="What the other is to call you.")] = "",
    to_name: Annotated[str, typer.Option(help="What you are to call the other.")] = "",
) -> None:
    """Write down a connection between your profile and another one of this machine, to be made by `create`."""
    sides = [
        PersonConfig(str(folder.path.resolve()), folder.load().address, name)
        for folder, name in ((context(ctx).folder, from_name), (ProfileFolder(to.expanduser()), to_name))
    ]
    written = ConnectionConfig(inviter=sides[0], acceptor=sides[1])
    write_config(file, written)
    context(ctx).show({"config": str(file), **to_json(written)}, f"Next: privity connection create --config {file}")


@app.command()
def create(
    ctx: typer.Context,
    file: Annotated[Path, typer.Option("--config", metavar="FILE", help="What `connection config` wrote.")],
) -> None:
    """Connect two profiles of this machine in one go: invited, accepted and verified on both sides.

    The inviter's passphrase is PRIVITY_PASSPHRASE, the other's PRIVITY_PASSPHRASE_TO; else both are asked for.
    """
    said = read_config(file, ConnectionConfig)
    inviter = _unlocked(ctx, said.inviter, "PRIVITY_PASSPHRASE")
    acceptor = _unlocked(ctx, said.acceptor, "PRIVITY_PASSPHRASE_TO")

    async def run() -> Connection:
        async with inviter.session, acceptor.session:
            return await connect_both(inviter, acceptor)

    context(ctx).show(connection_row(asyncio.run(run())))


@app.command()
def verify(
    ctx: typer.Context,
    connection: ConnectionArgument,
    number: Annotated[str | None, typer.Option(help="The number that the other read to you.")] = None,
) -> None:
    """Compare the safety number with the other, by voice, and mark the connection as verified."""
    if number is None:
        found = with_session(ctx, lambda session, keyring, _: connections.show(session, keyring, connection))
        typer.echo(f"Your safety number with {found.address}: {found.safety_number}", err=True)
        if found.compromised:
            typer.echo(f"They gave up keys as stolen. Their fingerprint is now: {_fingerprint(found)}", err=True)
            typer.confirm("Do they see this fingerprint in `privity account show`?", abort=True, err=True)
        typer.confirm("Does the other see the same number?", abort=True, err=True)
        connection, number = found.connection, found.safety_number

    async def work(session: Session, keyring: Keyring, _: Profile) -> Connection:
        verified = await connections.verify(session, keyring, connection, number)
        _tell(await intents.fire(session, keyring, [verified]))
        return verified

    context(ctx).show(connection_row(with_session(ctx, work)))


@app.command()
def rm(ctx: typer.Context, connection: ConnectionArgument) -> None:
    """End a connection and all its shares, for both of you."""
    ended = with_session(ctx, lambda session, keyring, _: connections.remove(session, keyring, connection))
    row = {"connection": ended, "peer": None, "name": None, "status": "removed"}
    context(ctx).show({**row, "verified": False, "safety_number": None})


def _unlocked(ctx: typer.Context, said: PersonConfig, variable: str) -> Side:
    """One of the two people of a config file."""
    folder = ProfileFolder(Path(said.home).expanduser())
    address = folder.load().address
    if address != said.address:
        raise Malformed(f"the profile in {said.home} is of {address}, not of {said.address}")
    if variable not in os.environ:
        typer.echo(f"Of {address}:", err=True)
    session, keyring, _ = open_session(folder, passphrase(variable=variable), context(ctx).server)
    return Side(session, keyring, said.name)


def _shown(id: str) -> Callable[[Session, Keyring, Profile], Awaitable[Connection]]:
    """One connection; what was to be shared once it is accepted is shared now."""

    async def work(session: Session, keyring: Keyring, _: Profile) -> Connection:
        found = await connections.show(session, keyring, id)
        _tell(await intents.fire(session, keyring, [found]))
        return found

    return work


def _tell(done: Sequence[intents.Done]) -> None:
    """On stderr, where it is in nobody's way."""
    for each in done:
        became = "shared" if each.refusal is None else f"not shared yet ({each.refusal.code})"
        typer.echo(f"As you intended when you invited {each.address}: item {each.item} is {became}.", err=True)


def raise_broken(found: Sequence[object]) -> None:
    """After all was shown: raise the alarm of the first thing that does not hold, if there is one."""
    for each in found:
        if isinstance(each, Broken):
            raise each.alarm


def _broken_row(broken: Broken) -> Row:
    row = {"connection": broken.id, "peer": broken.peer, "name": None, "status": f"broken: {broken.alarm.code}"}
    return {**row, "verified": False, "safety_number": None}


def connection_row(connection: Connection) -> Row:
    """A connection as a row."""
    return {
        "connection": connection.connection,
        "peer": connection.address,
        "name": connection.name,
        "status": connection.status,
        "verified": connection.verified,
        "safety_number": connection.safety_number,
    }


def _fingerprint(connection: Connection) -> str:
    return fingerprint(connection.identity)


def _keys(connection: Connection) -> Row:
    return {
        "fingerprint": _fingerprint(connection),
        "suite": connection.suite.value,
        "key": connection.key,
        "public": connection.own_public,
        "peer_key": connection.peer_key,
        "peer_public": connection.note.public,
    }
