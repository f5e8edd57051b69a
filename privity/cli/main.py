"""The root of the command line: global options anywhere in the line, errors with their code, and exit codes."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from privity.cli import (
    accounts,
    agent,
    audit,
    connections,
    consumers,
    delegations,
    feed,
    grants,
    groups,
    invitations,
    items,
    locations,
    operate,
    pieces,
    requests,
    rules,
    schema,
    shares,
    suppliers,
    tasks,
)
from privity.cli.context import DEFAULT_HOME, Context, context
from privity.encoding import printable
from privity.errors import PrivityError
from privity.plain import PlainFormatter

INTERRUPTED = 130
GLOBAL_FLAGS = ("--json", "--offline")
GLOBAL_VALUES = ("--server", "--home")

app = typer.Typer(
    help="Share private data with people you know: sealed on your device, read by nobody between.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, group in {
    "account": accounts.app,
    "agent": agent.app,
    "item": items.app,
    "invitation": invitations.app,
    "connection": connections.app,
    "share": shares.app,
    "key": grants.app,
    "group": groups.app,
    "location": locations.app,
    "delegate": delegations.app,
    "piece": pieces.app,
    "request": requests.app,
    "rule": rules.app,
    "profile": pieces.profile,
    "supplier": suppliers.app,
    "consumer": consumers.app,
    "audit": audit.app,
    "dead": operate.dead,
}.items():
    app.add_typer(group, name=name)
for command in (
    invitations.invite,
    invitations.accept,
    invitations.decline,
    feed.feed,
    tasks.tasks,
    operate.up,
    operate.serve,
    operate.nats_config,
    operate.status,
    operate.replay,
    schema.schema,
    operate.bench,
):
    app.command()(command)


@app.callback()
def root(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout, and nothing else there.")] = False,
    server: Annotated[
        str | None,
        typer.Option(envvar="PRIVITY_SERVER", show_envvar=True, help="The home's connection string."),
    ] = None,
    home: Annotated[
        Path, typer.Option(envvar="PRIVITY_HOME", show_envvar=True, help="The profile's folder.")
    ] = DEFAULT_HOME,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            envvar="PRIVITY_OFFLINE",
            show_envvar=True,
            help="As if the home could not be reached: what you read is what this device keeps, what you write waits.",
        ),
    ] = False,
) -> None:
    """Share private data with people you know: sealed on your device, read by nobody between."""
    ctx.obj = Context(json=json, server=server, home=home, console=Console(), offline=offline)


@app.command()
def demo(
    ctx: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the temporary home there, to look into it.")] = False,
) -> None:
    """Alice and Bob in a temporary home: the whole story, told step by step and checked at the end."""
    from privity.cli.demo import tell

    if not tell(context(ctx), keep=keep):
        raise typer.Exit(1)


def hoist(arguments: Sequence[str]) -> list[str]:
    """The global options moved to the front, wherever they stood before a `--`."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in GLOBAL_FLAGS or word.startswith(tuple(f"{name}=" for name in GLOBAL_VALUES)):
            front.append(word)
        elif word in GLOBAL_VALUES:
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            rest.append(word)
    return front + rest


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    screen = logging.StreamHandler()
    screen.setFormatter(PlainFormatter("%(message)s"))
    logging.basicConfig(level=os.environ.get("PRIVITY_LOG", "WARNING").upper(), handlers=[screen])
    try:
        app(args=hoist(arguments), prog_name="privity")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except PrivityError as error:
        print(f"error: {error.code}: {printable(' '.join(error.message.split()))}", file=sys.stderr)
        return error.exit_code
    return 0


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
