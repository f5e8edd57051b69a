"""`privity item`: keeping private items, and seeing those that others share with you."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from privity.agent import connections, items, shares
from privity.agent.connections import Broken
from privity.agent.files import Plain
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.reading import Share
from privity.agent.session import Session
from privity.cli import delegations
from privity.cli.connections import raise_broken
from privity.cli.context import QUEUED, Row, context, queued, with_session
from privity.cli.delegations import AsOption
from privity.cli.files import OutOption, SmallOption, file_rows, load_all, save
from privity.errors import NotFound

app = typer.Typer(help="Items: what you keep, and what others share with you.", no_args_is_help=True)

Sets = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value; again for more.")]
Attach = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Attach a file of at most 900 KiB; again for more, 16 in all."),
]
ItemArgument = Annotated[str, typer.Argument(help="The item's id, or its beginning.")]


@app.command()
def add(
    ctx: typer.Context,
    label: Annotated[str, typer.Argument(help="What it is.")],
    values: Sets = None,
    attach: Attach = None,
    principal: AsOption = None,
) -> None:
    """Keep an item. Label, values and files are sealed on this device."""
    slots = _slots(values)
    if principal:
        _only_own("--attach", attach)
        return delegations.add_item(ctx, principal, label, slots)
    attaching = load_all(attach)

    async def work(session: Session, keyring: Keyring, _: Profile) -> Row:
        kept = await items.add(session, keyring, label, slots, attaching)
        return {"item": kept.item, "version": kept.version, **queued(session)}

    row = with_session(ctx, work)
    hint = QUEUED if "queued" in row else f"Next: privity share create {row['item']} --with ADDRESS"
    context(ctx).show(row, hint)


@app.command()
def edit(
    ctx: typer.Context,
    item: ItemArgument,
    values: Sets = None,
    attach: Attach = None,
    detach: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Take a file off; again for more.")] = None,
    no_update: Annotated[
        bool, typer.Option("--no-update", help="Leave your shares of it as they are: privity share update.")
    ] = False,
    principal: AsOption = None,
) -> None:
    """Keep a new version: the values given are set, the others stay, and so do the files that are not taken off.

    Those whom you share it with get the new version at once.
    """
    slots = _slots(values)
    if principal:
        _only_own("--attach and --detach", attach or detach)
        return delegations.edit_item(ctx, principal, item, slots)
    attaching = load_all(attach)

    async def work(session: Session, keyring: Keyring, _: Profile) -> Row:
        kept = await items.edit(session, keyring, item, slots, attaching=attaching, detaching=detach or ())
        behind = [] if session.queued else await shares.outdated(session, keyring, kept.item)
        waiting = dict(map(_behind, behind)) if no_update else await shares.update_all(session, keyring, behind)
        return {
            "item": kept.item,
            "version": kept.version,
            "updated": len(behind) - len(waiting),
            "waiting": [{"share": share, "code": code or None} for share, code in waiting.items()],
            **queued(session),
        }

    row = with_session(ctx, work)
    hint = "Next: privity share update SHARE" if row["waiting"] else ""
    context(ctx).show(row, QUEUED if "queued" in row else hint)


@app.command("list")
def list_(
    ctx: typer.Context,
    own: Annotated[bool, typer.Option("--own", help="Only what you made.")] = False,
    received: Annotated[bool, typer.Option("--received", help="Only what others share with you.")] = False,
    shared_with: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only what you share with this person.")
    ] = None,
    principal: AsOption = None,
) -> None:
    """Your items and those shared with you; the filters work together."""
    if principal:
        _only_own("A filter", own or received or shared_with)
        return delegations.list_items(ctx, principal)

    async def work(session: Session, keyring: Keyring, profile: Profile) -> tuple[list[Row], list[object]]:
        rows: list[Row] = []
        kept: list[items.Item | Broken] = []
        incoming: list[Share | Broken] = []
        if not received or own:
            over = await connections.with_person(session, keyring, shared_with) if shared_with else None
            kept = await items.all_of(session, keyring, over.connection if over else None)
            rows += [own_row(each, profile) for each in kept]
        if (not own or received) and not shared_with:
            incoming = await shares.all_of(session, keyring, "incoming")
        return rows + _received(incoming), [*kept, *incoming]

    rows, found = with_session(ctx, work)
    columns = ("item", "label", "own", "owner", "version", "ways")
    if not context(ctx).json:
        rows = [{**row, "ways": _named(row)} for row in rows]
    context(ctx).show_all(rows, columns, "No items. Keep one: privity item add LABEL --set NAME=VALUE")
    raise_broken(found)


@app.command()
def show(ctx: typer.Context, item: ItemArgument, principal: AsOption = None) -> None:
    """An item, opened on this device: your own, or one that somebody shares with you."""
    if principal:
        return delegations.show_item(ctx, principal, item)

    async def work(session: Session, keyring: Keyring, profile: Profile) -> tuple[Row, list[Share | Broken]]:
        try:
            kept = await items.show(session, keyring, item)
        except NotFound:
            ways = await shares.ways_to(session, keyring, item)
            [row] = _received(ways)
            best = shares.best_of(ways).content
            return {**row, "slots": best.slots, **file_rows(best.files)}, ways
        return {**own_row(kept, profile), "slots": kept.content.slots, **file_rows(kept.content.files)}, []

    row, ways = with_session(ctx, work)
    context(ctx).show(row if context(ctx).json else {**row, "ways": _named(row)})
    raise_broken(ways)


@app.command()
def file(
    ctx: typer.Context,
    item: ItemArgument,
    name: Annotated[str, typer.Argument(help="The file's name, as `item show` lists it.")],
    out: OutOption,
    small: SmallOption = False,
    principal: AsOption = None,
) -> None:
    """Write a file that is attached to an item, your own or one that you received, to a new file here."""

    async def work(session: Session, keyring: Keyring, _: Profile) -> Plain:
        try:
            kept = await items.show(session, keyring, item)
        except NotFound:
            found = await shares.incoming_of_item(session, keyring, item)
            return await shares.read_file(session, keyring, found, name)
        return await items.read_file(session, keyring, kept, name)

    found = delegations.read_file(ctx, principal, item, name) if principal else with_session(ctx, work)
    context(ctx).show(save(found, out, small=small))


@app.command()
def rm(ctx: typer.Context, item: ItemArgument, principal: AsOption = None) -> None:
    """Give an item up. What you shared of it stays shared: privity share rm."""
    if principal:
        return delegations.remove_item(ctx, principal, item)

    async def work(session: Session, keyring: Keyring, profile: Profile) -> Row:
        kept = await items.to_remove(session, keyring, item)
        await items.remove(session, kept.id if isinstance(kept, Broken) else kept.item)
        return {**own_row(kept, profile), **queued(session)}

    row = with_session(ctx, work)
    context(ctx).show(row, QUEUED if "queued" in row else "")


def own_row(item: items.Item | Broken, profile: Profile) -> Row:
    """One of one's own items, as a row."""
    if isinstance(item, Broken):
        return {**delegations.broken_item(item, own=True, owner=profile.address), "ways": []}
    return {
        "item": item.item,
        "label": item.content.label,
        "own": True,
        "owner": profile.address,
        "version": item.version,
        "ways": [],
        **({"by": item.by} if item.by else {}),
    }


def _only_own(what: str, given: object) -> None:
    """Returns if nothing is asked for that does not go in somebody else's name."""
    if given:
        raise typer.BadParameter(f"{what} does not go with --as", param_hint="--as")


def _behind(share: Share | Broken) -> tuple[str, str]:
    return (share.id, share.alarm.code) if isinstance(share, Broken) else (share.share, "")


def _received(found: Sequence[Share | Broken]) -> list[Row]:
    """Each item once, as the best of the ways in which it came has it."""
    return [_received_row(ways) for ways in shares.by_item(found)]


def _received_row(ways: Sequence[Share]) -> Row:
    best = ways[0]
    return {
        "item": best.item,
        "label": best.label,
        "own": False,
        "owner": best.sender if best.way is None else best.way.address or best.way.owner,
        "version": best.version,
        "ways": [{"share": each.share, "from": each.sender} for each in ways],
    }


def _named(row: Row) -> str | None:
    """Who shares the item, for people to read."""
    ways = row["ways"]
    return ", ".join(each["from"] for each in ways) or None if isinstance(ways, list) else None


def _slots(values: list[str] | None) -> dict[str, str]:
    slots = {}
    for each in values or []:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"not NAME=VALUE: {name!r}", param_hint="--set")
        slots[name] = value
    return slots
