"""`privity share`: giving an item to a connected person, and taking it back."""

from typing import Annotated

import typer

from privity.agent import shares
from privity.agent.connections import Broken
from privity.agent.shares import Direction, Share
from privity.cli.connections import raise_broken
from privity.cli.context import Row, context, with_session

app = typer.Typer(help="Shares: what you give, and what you are given.", no_args_is_help=True)

COLUMNS = ("share", "label", "from", "to", "status", "expires")
ShareArgument = Annotated[str, typer.Argument(help="The share's id, or its beginning.")]


@app.command()
def create(
    ctx: typer.Context,
    item: Annotated[str, typer.Argument(help="The item's id, or its beginning.")],
    address: Annotated[str, typer.Option("--with", metavar="ADDRESS", help="With whom.")],
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Share although the connection is not verified.")
    ] = False,
) -> None:
    """Share an item: it is sealed anew, for this one person."""
    made = with_session(
        ctx,
        lambda session, keyring, _: shares.create(session, keyring, item, address, unverified=unverified),
    )
    context(ctx).show({"share": made.share, "connection": made.connection, **_row(made)})


@app.command("list")
def list_(
    ctx: typer.Context,
    incoming: Annotated[bool, typer.Option("--incoming", help="Only what you are given.")] = False,
    outgoing: Annotated[bool, typer.Option("--outgoing", help="Only what you give.")] = False,
) -> None:
    """All that is shared with you and by you, and with whom."""
    direction: Direction = "all" if incoming == outgoing else "incoming" if incoming else "outgoing"
    found = with_session(ctx, lambda session, keyring, _: shares.all_of(session, keyring, direction))
    rows = [_broken_row(each) if isinstance(each, Broken) else _row(each) for each in found]
    context(ctx).show_all(rows, COLUMNS, "No shares.")
    raise_broken(found)


@app.command()
def show(ctx: typer.Context, share: ShareArgument) -> None:
    """A share, opened on this device."""
    found = with_session(ctx, lambda session, keyring, _: shares.show(session, keyring, share))
    context(ctx).show({**_row(found), "slots": found.content.slots, "verified": found.verified})


@app.command()
def rm(ctx: typer.Context, share: ShareArgument) -> None:
    """End a share, for both of you. What was read cannot be unread."""
    ended = with_session(ctx, lambda session, _, __: shares.remove(session, share))
    context(ctx).show({"share": ended, "status": "removed"})


def _broken_row(broken: Broken) -> Row:
    row = {"share": broken.id, "label": None, "from": broken.peer, "to": broken.peer, "expires": None}
    return {**row, "status": f"broken: {broken.alarm.code}"}


def _row(share: Share) -> Row:
    return {
        "share": share.share,
        "label": share.content.label,
        "from": share.sender,
        "to": share.recipient,
        "status": share.status,
        "expires": None,
        "item": share.item,
        "version": share.version,
        "connection": share.connection,
        "space": share.space,
    }
