"""`privity rule`: what is approved without asking, by the agent that runs (`privity agent run`)."""

from typing import Annotated

import typer

from privity.agent import rules
from privity.agent.rules import CONNECTIONS, Rule
from privity.cli.context import Row, context, with_session

app = typer.Typer(help="Rules: which requests your agent approves by itself.", no_args_is_help=True)

COLUMNS = ("rule", "name", "for")


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The piece: phone, mail, …")],
    whom: Annotated[
        str, typer.Option("--for", metavar="ADDRESS|connections", help="One person, or all verified connections.")
    ] = CONNECTIONS,
) -> None:
    """Approve requests for a piece from now on. Connections that are not verified are never approved by a rule."""
    made = with_session(ctx, lambda session, keyring, _: rules.add(session, keyring, name, whom))
    context(ctx).show(_row(made), "It works while privity agent run does")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Your rules; all your devices have them."""
    found = with_session(ctx, lambda session, keyring, _: rules.all_own(session, keyring))
    context(ctx).show_all([_row(each) for each in found], COLUMNS, "No rules.")


@app.command()
def rm(ctx: typer.Context, rule: Annotated[str, typer.Argument(help="The rule's id, or its beginning.")]) -> None:
    """Take a rule away. What it approved stays granted: privity piece drop."""
    context(ctx).show(_row(with_session(ctx, lambda session, keyring, _: rules.remove(session, keyring, rule))))


def _row(rule: Rule) -> Row:
    return {"rule": rule.rule, "name": rule.name, "for": rule.address}
