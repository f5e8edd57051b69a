"""`privity share … --as ADDRESS`: the shares of somebody whose delegate one is; what changes them, their agent does."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated

import typer

from privity.agent import delegated_shares
from privity.agent.bus import error_for
from privity.agent.connections import Broken
from privity.agent.delegated_shares import WAITING, DelegatedShare, Given
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.vaults import Vault
from privity.agent.wanted import Condition
from privity.cli.configs import ShareConfig
from privity.cli.connections import raise_broken
from privity.cli.context import Row, context
from privity.cli.delegations import as_delegate

Give = Callable[[Session, Keyring, Vault], Awaitable[Given]]

WaitOption = Annotated[
    int,
    typer.Option(
        "--wait", min=0, max=600, metavar="SECONDS", help="With --as: wait so long for the other's agent to do it."
    ),
]
COLUMNS = ("share", "label", "from", "to", "status", "expires")
HINT = "It waits for their agent, for 7 days at most: privity share list --as ADDRESS"


def list_shares(ctx: typer.Context, principal: str) -> None:
    """`share list --as`."""

    async def work(session: Session, keyring: Keyring, vault: Vault) -> list[DelegatedShare | Broken]:
        return await delegated_shares.all_of(session, keyring, vault)

    found = as_delegate(ctx, principal, work)
    rows = [_broken_row(each, principal) if isinstance(each, Broken) else _row(each) for each in found]
    context(ctx).show_all(rows, COLUMNS, f"No shares of {principal}.")
    raise_broken(found)


def show_share(ctx: typer.Context, principal: str, share: str) -> None:
    """`share show --as`: which values go with it, its two ends alone know."""

    async def work(session: Session, keyring: Keyring, vault: Vault) -> DelegatedShare:
        return await delegated_shares.show(session, keyring, vault, share)

    context(ctx).show({**_row(as_delegate(ctx, principal, work)), "slots": None, "verified": None})


def create_share(ctx: typer.Context, principal: str, wanted: ShareConfig, wait: int) -> None:
    """`share create --as`."""
    wish = wanted.wish()

    async def give(session: Session, keyring: Keyring, vault: Vault) -> Given:
        return await delegated_shares.create(session, keyring, vault, wanted.item, wanted.address, **wish)

    _given(ctx, principal, give, wait)


def update_share(
    ctx: typer.Context, principal: str, share: str, changes: Mapping[Condition, object], wait: int
) -> None:
    """`share update --as` and `share expire --as`."""
    _given(
        ctx,
        principal,
        lambda session, keyring, vault: delegated_shares.update(session, keyring, vault, share, changes),
        wait,
    )


def remove_share(ctx: typer.Context, principal: str, share: str, wait: int) -> None:
    """`share rm --as`."""
    _given(
        ctx,
        principal,
        lambda session, keyring, vault: delegated_shares.remove(session, keyring, vault, share),
        wait,
        end="removed",
    )


def _given(ctx: typer.Context, principal: str, give: Give, wait: int, end: str = "") -> None:
    """Give it, and show what the share is now; `end` is its status where it is gone."""

    async def work(session: Session, keyring: Keyring, vault: Vault) -> Row:
        given = await give(session, keyring, vault)
        if wait:
            given = await delegated_shares.answer_to(session, vault, given, wait)
        if given.code is not None:
            raise error_for(given.code, f"{vault.address}'s agent did not do it: {given.code}")
        share = given.share or ""
        if given.answered and end:
            return {"share": share, "status": end}
        row = _row(await delegated_shares.show(session, keyring, vault, share))
        return row if given.answered else {**row, "status": WAITING}

    row = as_delegate(ctx, principal, work)
    context(ctx).show(row, HINT if row["status"] == WAITING else "")


def _row(found: DelegatedShare) -> Row:
    said = found.manifest
    return {
        "share": found.share,
        "label": found.label,
        "from": found.sender,
        "to": found.recipient,
        "status": found.status,
        "expires": found.expires.isoformat() if found.expires is not None else None,
        "item": found.item,
        "version": said.version if said else None,
        "generation": said.generation if said else None,
        "reshare": said.reshare if said else None,
        "keep": said.keep if said else None,
        "source": said.source if said else None,
        "connection": said.connection if said else None,
        "waits": found.waits,
    }


def _broken_row(broken: Broken, principal: str) -> Row:
    row = {"share": broken.id, "label": None, "from": principal, "to": broken.peer, "expires": None}
    return {**row, "status": f"broken: {broken.alarm.code}"}
