"""`privity item`: keeping private items, and seeing those that others share with you."""

from collections.abc import Sequence
from typing import Annotated

import typer

from privity.agent import connections, items, shares
from privity.agent.connections import Broken
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.agent.shares import Share
from privity.cli.connections import raise_broken
from privity.cli.context import Row, context, with_session
from privity.errors import NotFound

app = typer.Typer(help="Items: what you keep, and what others share with you.", no_args_is_help=True)

Sets = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value; again for more.")]
ItemArgument = Annotated[str, typer.Argument(help="The item's id, or its beginning.")]


@app.command()
def add(ctx: typer.Context, label: Annotated[str, typer.Argument(help="What it is.")], values: Sets = None) -> None:
    """Keep an item. Label and values are sealed on this device."""
    slots = _slots(values)
    kept = with_session(ctx, lambda session, keyring, _: items.add(session, keyring, label, slots))
    context(ctx).show(
        {"item": kept.item, "version": kept.version}, f"Next: privity share create {kept.item} --with ADDRESS"
    )


@app.command()
def edit(ctx: typer.Context, item: ItemArgument, values: Sets = None) -> None:
    """Keep a new version: the values given are set, the others stay."""
    slots = _slots(values)
    kept = with_session(ctx, lambda session, keyring, _: items.edit(session, keyring, item, slots))
    context(ctx).show({"item": kept.item, "version": kept.version})


@app.command("list")
def list_(
    ctx: typer.Context,
    own: Annotated[bool, typer.Option("--own", help="Only what you made.")] = False,
    received: Annotated[bool, typer.Option("--received", help="Only what others share with you.")] = False,
    shared_with: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only what you share with this person.")
    ] = None,
) -> None:
    """Your items and those shared with you; the filters work together."""

    async def work(session: Session, keyring: Keyring, profile: Profile) -> tuple[list[Row], list[Share | Broken]]:
        rows: list[Row] = []
        incoming: list[Share | Broken] = []
        if not received or own:
            over = await connections.with_person(session, keyring, shared_with) if shared_with else None
            found = await items.all_own(session, keyring, over.connection if over else None)
            rows += [own_row(each, profile) for each in found]
        if (not own or received) and not shared_with:
            incoming = await shares.all_of(session, keyring, "incoming")
        return rows + _received(incoming), incoming

    rows, incoming = with_session(ctx, work)
    columns = ("item", "label", "own", "owner", "version")
    context(ctx).show_all(rows, columns, "No items. Keep one: privity item add LABEL --set NAME=VALUE")
    raise_broken(incoming)


@app.command()
def show(ctx: typer.Context, item: ItemArgument) -> None:
    """An item, opened on this device: your own, or one that somebody shares with you."""

    async def work(session: Session, keyring: Keyring, profile: Profile) -> Row:
        try:
            kept = await items.show(session, keyring, item)
        except NotFound:
            found = await shares.incoming_of_item(session, keyring, item)
            return {**_received([found])[0], "slots": found.content.slots}
        return {**own_row(kept, profile), "slots": kept.content.slots}

    context(ctx).show(with_session(ctx, work))


@app.command()
def rm(ctx: typer.Context, item: ItemArgument) -> None:
    """Give an item up. What you shared of it stays shared: privity share rm."""

    async def work(session: Session, keyring: Keyring, profile: Profile) -> Row:
        kept = await items.show(session, keyring, item)
        await items.remove(session, kept.item)
        return own_row(kept, profile)

    context(ctx).show(with_session(ctx, work))


def own_row(item: items.Item, profile: Profile) -> Row:
    """One of one's own items, as a row."""
    return {
        "item": item.item,
        "label": item.content.label,
        "own": True,
        "owner": profile.address,
        "version": item.version,
    }


def _received(found: Sequence[Share | Broken]) -> list[Row]:
    newest = {share.item: share for share in found if isinstance(share, Share)}
    return [
        {
            "item": share.item,
            "label": share.content.label,
            "own": False,
            "owner": share.sender,
            "version": share.version,
        }
        for share in newest.values()
    ]


def _slots(values: list[str] | None) -> dict[str, str]:
    slots = {}
    for each in values or []:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"not NAME=VALUE: {name!r}", param_hint="--set")
        slots[name] = value
    return slots
