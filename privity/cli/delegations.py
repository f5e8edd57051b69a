"""`privity delegate`: who may read or write in your name; and `--as ADDRESS`, by which they do."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from privity.agent import delegated, delegations, instructions
from privity.agent.connections import Broken
from privity.agent.delegations import Delegation
from privity.agent.files import Plain
from privity.agent.items import Item
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.vaults import Vault
from privity.cli.connections import raise_broken
from privity.cli.context import Row, context, with_session
from privity.cli.files import file_rows

T = TypeVar("T")

app = typer.Typer(help="Delegates: who may read or write in your name.", no_args_is_help=True)

AsOption = Annotated[
    str | None, typer.Option("--as", metavar="ADDRESS", help="In the name of this person, whose delegate you are.")
]
COLUMNS = ("delegation", "principal", "delegate", "role", "by", "status", "expires")


class Roles(StrEnum):
    """What a delegate may do."""

    READER = "reader"
    ADMIN = "admin"
    OWNER = "owner"


@app.command()
def invite(
    ctx: typer.Context,
    email: Annotated[str, typer.Argument(help="Somebody whom you have a verified connection with.")],
    role: Annotated[
        Roles,
        typer.Option(help="A reader sees your items; an admin writes them too; an owner makes readers and admins too."),
    ],
    expires: Annotated[datetime | None, typer.Option(metavar="WHEN", help="Until when, e.g. 2027-01-31.")] = None,
    principal: AsOption = None,
) -> None:
    """Make somebody a delegate. They get a key to your items, never the one to your account."""
    until = expires.astimezone() if expires else None
    made = with_session(
        ctx,
        lambda session, keyring, _: delegations.invite(
            session, keyring, email, role.value, expires=until, principal=principal
        ),
    )
    context(ctx).show(_row(made), f"They read your items with: privity item list --as {made.principal}")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Your delegates, and those whose delegate you are; what yours want done with your shares is done."""

    async def work(session: Session, keyring: Keyring) -> list[Delegation]:
        await instructions.fire(session, keyring)
        return await delegations.all_of(session, keyring)

    found = with_session(ctx, lambda session, keyring, _: work(session, keyring))
    context(ctx).show_all([_row(each) for each in found], COLUMNS, "No delegates, and nobody's delegate.")
    for each in found:
        if each.alarm is not None:
            raise each.alarm


@app.command()
def rm(
    ctx: typer.Context,
    delegation: Annotated[str, typer.Argument(help="The delegation's id, its beginning, or the delegate's address.")],
    now: Annotated[bool, typer.Option("--now", help="Bring every item under the new key at once.")] = False,
) -> None:
    """End a delegation of yours: the others get a new key. What was read cannot be unread."""
    ended = with_session(
        ctx,
        lambda session, keyring, _: delegations.remove(session, keyring, delegation, now=now),
    )
    context(ctx).show(_row(ended))


def list_items(ctx: typer.Context, principal: str) -> None:
    """`item list --as`."""

    async def work(session: Session, keyring: Keyring, vault: Vault) -> tuple[list[Row], list[Item | Broken]]:
        found = await delegated.all_of(session, keyring, vault)
        return [item_row(each, vault) for each in found], found

    rows, found = as_delegate(ctx, principal, work)
    context(ctx).show_all(rows, ("item", "label", "own", "owner", "version", "by"), f"No items of {principal}.")
    raise_broken(found)


def show_item(ctx: typer.Context, principal: str, item: str) -> None:
    """`item show --as`."""

    async def work(session: Session, keyring: Keyring, vault: Vault) -> Row:
        found = await delegated.item_of(session, keyring, vault, item)
        return {**item_row(found, vault), "slots": found.content.slots, **file_rows(found.content.files)}

    context(ctx).show(as_delegate(ctx, principal, work))


def read_file(ctx: typer.Context, principal: str, item: str, name: str) -> Plain:
    """`item file --as`."""

    async def work(session: Session, keyring: Keyring, vault: Vault) -> Plain:
        found = await delegated.item_of(session, keyring, vault, item)
        return await delegated.read_file(session, keyring, vault, found, name)

    return as_delegate(ctx, principal, work)


def add_item(ctx: typer.Context, principal: str, label: str, slots: dict[str, str]) -> None:
    """`item add --as`."""

    async def work(session: Session, keyring: Keyring, vault: Vault) -> Row:
        kept = await delegated.add_item(session, keyring, vault, label, slots)
        return {"item": kept.item, "version": kept.version}

    context(ctx).show(as_delegate(ctx, principal, work))


def edit_item(ctx: typer.Context, principal: str, item: str, slots: dict[str, str]) -> None:
    """`item edit --as`."""

    async def work(session: Session, keyring: Keyring, vault: Vault) -> Row:
        kept = await delegated.edit_item(session, keyring, vault, item, slots)
        return {"item": kept.item, "version": kept.version}

    context(ctx).show(as_delegate(ctx, principal, work))


def remove_item(ctx: typer.Context, principal: str, item: str) -> None:
    """`item rm --as`."""

    async def work(session: Session, keyring: Keyring, vault: Vault) -> Row:
        return item_row(await delegated.remove_item(session, keyring, vault, item), vault)

    context(ctx).show(as_delegate(ctx, principal, work))


def item_row(item: Item | Broken, vault: Vault) -> Row:
    """An item of somebody whose delegate one is; `by` is the delegate who wrote it, if one did."""
    if isinstance(item, Broken):
        return broken_item(item, own=False, owner=vault.address)
    return {
        "item": item.item,
        "label": item.content.label,
        "own": False,
        "owner": vault.address,
        "version": item.version,
        "by": item.by,
    }


def broken_item(item: Broken, *, own: bool, owner: str) -> Row:
    """An item that does not hold, as a row: it can be removed by its id."""
    label = f"broken: {item.alarm.code}"
    return {"item": item.id, "label": label, "own": own, "owner": owner, "version": None}


def as_delegate(ctx: typer.Context, principal: str, work: Callable[[Session, Keyring, Vault], Awaitable[T]]) -> T:
    """Do something in the name of the person at that address."""

    async def run(session: Session, keyring: Keyring) -> T:
        return await work(session, keyring, await delegations.as_principal(session, keyring, principal))

    return with_session(ctx, lambda session, keyring, _: run(session, keyring))


def _row(found: Delegation) -> Row:
    return {
        "delegation": found.delegation,
        "principal": found.principal,
        "delegate": found.delegate,
        "role": found.role,
        "by": found.by,
        "status": found.status,
        "expires": found.expires.isoformat() if found.expires else None,
    }
