"""`privity request`: asking connected people for pieces, and answering those who ask."""

from typing import Annotated

import typer

from privity.agent import requests
from privity.agent.connections import Broken
from privity.agent.requests import Direction, Request
from privity.cli.connections import raise_broken
from privity.cli.context import Row, context, with_session

app = typer.Typer(help="Requests: who asks whom for which piece.", no_args_is_help=True)

COLUMNS = ("request", "from", "to", "name", "status")
RequestArgument = Annotated[str, typer.Argument(metavar="ID", help="The request's id, or its beginning.")]


@app.command()
def create(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The connected person who has it.")],
    name: Annotated[str, typer.Argument(help="What it is called: phone, mail, …")],
) -> None:
    """Ask for a piece. Asking again takes the place of what you asked before."""
    made = with_session(ctx, lambda session, keyring, _: requests.create(session, keyring, address, name))
    context(ctx).show(_row(made), f"When it is approved: privity piece show {made.name} --of {made.recipient}")


@app.command("list")
def list_(
    ctx: typer.Context,
    incoming: Annotated[bool, typer.Option("--incoming", help="Only what others ask you for.")] = False,
    outgoing: Annotated[bool, typer.Option("--outgoing", help="Only what you ask for.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Only what waits for an answer.")] = False,
) -> None:
    """Who asks whom for what."""
    direction: Direction = "all" if incoming == outgoing else "incoming" if incoming else "outgoing"
    found = with_session(ctx, lambda session, keyring, _: requests.all_of(session, keyring, direction, open_only=open_))
    rows = [_broken(each) if isinstance(each, Broken) else _row(each) for each in found]
    context(ctx).show_all(rows, COLUMNS, "No requests.")
    raise_broken(found)


@app.command()
def approve(
    ctx: typer.Context,
    id: RequestArgument,
    unverified: Annotated[bool, typer.Option(help="Although the connection is not verified.")] = False,
) -> None:
    """Grant what is asked for: this value, and every later one, until you drop the reader."""
    done = with_session(ctx, lambda session, keyring, _: requests.approve(session, keyring, id, unverified=unverified))
    context(ctx).show(_row(done), f"To take it back: privity piece drop {done.name} {done.sender}")


@app.command()
def decline(ctx: typer.Context, id: RequestArgument) -> None:
    """Grant nothing."""
    context(ctx).show(_row(with_session(ctx, lambda session, keyring, _: requests.decline(session, keyring, id))))


@app.command()
def withdraw(ctx: typer.Context, id: RequestArgument) -> None:
    """Ask no more."""
    context(ctx).show(_row(with_session(ctx, lambda session, keyring, _: requests.withdraw(session, keyring, id))))


def _row(request: Request) -> Row:
    return {
        "request": request.request,
        "from": request.sender,
        "to": request.recipient,
        "name": request.name,
        "status": request.status,
        "verified": request.connection.verified,
    }


def _broken(broken: Broken) -> Row:
    row = {"request": broken.id, "from": broken.peer, "to": broken.peer, "name": None, "verified": None}
    return {**row, "status": f"broken: {broken.alarm.code}"}
