"""The operator's commands about consumers: trusted programs outside the backend that follow the events."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from privity.cli.context import context
from privity.cli.operate import DataOption, HomeOption, backend, settings_of
from privity.messages.past import CONTEXTS

app = typer.Typer(help="Consumers: trusted programs that follow the events.", no_args_is_help=True)


@app.command()
def credential(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", metavar="N", help="What it is called: letters, digits, '-'.")],
    data: HomeOption,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it, for your eyes alone.")],
    contexts: Annotated[
        list[str] | None,
        typer.Option("--context", metavar="C", help=f"Only these events; else all: {', '.join(sorted(CONTEXTS))}."),
    ] = None,
    bus: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where it finds the bus, nats://… or tls://…; else where people do."),
    ] = None,
) -> None:
    """Write a consumer's credential, good for 366 days: it may hear events and ask for past ones, and nothing else."""
    if bus is not None and not bus.startswith(("nats://", "tls://")):
        raise typer.BadParameter("--bus begins with nats:// or tls://")
    server, asks, until = backend().consumer_credential(name, contexts or [], data, bus, out)
    shown = sorted(set(contexts or ["all"]))
    context(ctx).show(
        {"name": name, "contexts": shown, "server": server, "asks": asks, "until": _time(until)},
        hint=f"Keep {out} secret: who has it sees who does what with whom, though nothing that is sealed.",
    )


@app.command("list")
def list_(ctx: typer.Context, data: DataOption = None) -> None:
    """What was given to consumers and has not ended: to whom, up to when, and whether it was taken back."""
    server = backend()
    given = [each for each in server.given_by(settings_of(server, data).data) if each.kind == "consumer"]
    rows = [{"name": each.name, "until": _time(each.until), "revoked": each.revoked} for each in given]
    context(ctx).show_all(rows, ("name", "until", "revoked"), "No consumer has a credential.")


@app.command()
def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in `consumer list`.")],
    data: DataOption = None,
) -> None:
    """Take back a consumer's credentials, all that it has: it is cut off, and none of them opens anything any more."""
    server = backend()
    taken, told = asyncio.run(server.take_back(settings_of(server, data), "consumer", name))
    context(ctx).show({"name": name, "credentials": len(taken), "cut_off": told})


def _time(until: int) -> str:
    return datetime.fromtimestamp(until, UTC).isoformat()
