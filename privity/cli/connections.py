"""`privity connection`: the people whom you share with."""

from collections.abc import Sequence
from typing import Annotated

import typer

from privity.agent import connections
from privity.agent.connections import Broken, Connection
from privity.agent.identity import fingerprint
from privity.cli.context import Row, context, with_session

app = typer.Typer(help="Connections: people whose keys you know.", no_args_is_help=True)

COLUMNS = ("connection", "peer", "name", "status", "verified")
ConnectionArgument = Annotated[
    str, typer.Argument(metavar="C", help="The connection's id, its beginning, or the other's address.")
]


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Everybody whom you are connected with."""
    found = with_session(ctx, lambda session, keyring, _: connections.all_own(session, keyring))
    rows = [_broken_row(each) if isinstance(each, Broken) else connection_row(each) for each in found]
    context(ctx).show_all(rows, COLUMNS, "No connections. Invite somebody: privity invite EMAIL")
    raise_broken(found)


@app.command()
def show(ctx: typer.Context, connection: ConnectionArgument) -> None:
    """One connection, with both public keys and the safety number."""
    found = with_session(ctx, lambda session, keyring, _: connections.show(session, keyring, connection))
    context(ctx).show({**connection_row(found), **_keys(found)})


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
    found = with_session(ctx, lambda session, keyring, _: connections.verify(session, keyring, connection, number))
    context(ctx).show(connection_row(found))


@app.command()
def rm(ctx: typer.Context, connection: ConnectionArgument) -> None:
    """End a connection and all its shares, for both of you."""
    ended = with_session(ctx, lambda session, keyring, _: connections.remove(session, keyring, connection))
    row = {"connection": ended, "peer": None, "name": None, "status": "removed"}
    context(ctx).show({**row, "verified": False, "safety_number": None})


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
