"""Suppliers: running one, making its credential, and seeing who there is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from privity.agent import storage_proofs, suppliers
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.agent.storage_proofs import Kept
from privity.agent.suppliers import Seen
from privity.cli.context import Context, context, with_session
from privity.cli.operate import DataOption, HomeOption, backend, settings_of

app = typer.Typer(help="Suppliers: who keeps the sealed fragments of files.", no_args_is_help=True)

REPAIRED = ("name", "status", "fragments", "objects", "nowhere")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
SHOWN = ("name", "status", "fragments", "used", "quota", "replaced_by", "supplier")
NameOption = Annotated[str, typer.Option("--name", metavar="N", help="What it is called: letters, digits, '-'.")]


@app.command()
def run(
    name: NameOption,
    store: Annotated[
        str, typer.Option(metavar="URL", help="Where fragments lie: a folder, s3://bucket/prefix, or memory://.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The home's folder, on its machine.")
    ] = None,
    credential: Annotated[
        Path | None, typer.Option(metavar="FILE", help="On another machine: what `supplier credential` wrote.")
    ] = None,
    quota: Annotated[
        int, typer.Option(min=0, metavar="BYTES", help="How much it takes; not said: up to an eighth of the free disk.")
    ] = 0,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Its own folder for process id, log and refusals.")
    ] = None,
) -> None:
    """Run a supplier, in the foreground, until Ctrl-C; says `ready` when the home knows it."""
    if (data is None) == (credential is None):
        raise typer.BadParameter("give --data DIR, or --credential FILE")
    backend().supply(name, store, quota, data=data, credential=credential, state=state)


@app.command()
def credential(
    name: NameOption,
    data: HomeOption,
    bus: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where it finds the bus, nats://… or tls://…; else where people do."),
    ] = None,
    renew: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A credential of the same supplier, to be made anew.")
    ] = None,
) -> None:
    """Print a supplier's credential, good for 366 days: its key, and what it shows to the bus. Keep it secret."""
    if bus is not None and not bus.startswith(("nats://", "tls://")):
        raise typer.BadParameter("--bus begins with nats:// or tls://")
    print(backend().supplier_credential(name, data, bus, renew))


@app.command()
def revoke(
    ctx: typer.Context,
    who: Annotated[
        str, typer.Argument(metavar="SUPPLIER", help="Its name or id in `supplier credentials`, or a public nkey, U….")
    ],
    data: DataOption = None,
) -> None:
    """Take back a supplier's credentials, all that it has: it is cut off, and none of them opens anything any more.

    What it keeps is not lost by that: `supplier repair --replace` rebuilds it elsewhere.
    """
    here, server = context(ctx), backend()
    taken, told = asyncio.run(server.take_back(settings_of(server, data), "supplier", who))
    here.show({"name": taken[-1].name, "supplier": taken[-1].id, "credentials": len(taken), "cut_off": told})


@app.command()
def credentials(ctx: typer.Context, data: DataOption = None) -> None:
    """What was given to suppliers and has not ended: to whom, up to when, and whether it was taken back."""
    here, server = context(ctx), backend()
    rows = [_given(each) for each in server.given_by(settings_of(server, data).data) if each.kind == "supplier"]
    here.show_all(rows, ("name", "supplier", "until", "revoked"), "No supplier has a credential.")


@app.command("list")
def list_(
    ctx: typer.Context,
    prove: Annotated[
        str | None,
        typer.Option(metavar="LOCATION", help="Have them prove that they have their parts of this location's files."),
    ] = None,
) -> None:
    """The suppliers of the home: who answers now, and how full each is."""

    async def look(session: Session, keyring: Keyring, _: Profile) -> tuple[list[Seen], dict[str, Kept]]:
        found = await suppliers.seen(session)
        return found, await storage_proofs.prove_location(session, keyring, prove) if prove is not None else {}

    found, kept = with_session(ctx, look)
    here = context(ctx)
    rows = [asdict(each) if here.json else _shown(each) for each in found]
    if prove is not None:
        rows = [row | {"proved": _proved(kept.get(each.name))} for row, each in zip(rows, found, strict=True)]
    shown = SHOWN if prove is None else (*SHOWN, "proved")
    here.show_all(rows, shown, "This home has no suppliers: its operator runs them.")


def _given(given: Any) -> dict[str, object]:
    until = datetime.fromtimestamp(given.until, UTC).isoformat()
    return {"name": given.name, "supplier": given.id, "until": until, "revoked": given.revoked}


def _proved(kept: Kept | None) -> str | None:
    """None for a supplier that none of the files stands at."""
    if kept is None:
        return None
    why = f": {', '.join(sorted(kept.reasons))}" if kept.reasons else ""
    return f"{kept.proved} of {kept.asked}{why}"


@app.command()
def repair(
    ctx: typer.Context,
    data: HomeOption,
    deep: Annotated[bool, typer.Option("--deep", help="Read every fragment, not two of each object.")] = False,
    replace: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="LOST NEW", help="First have NEW take the place of LOST, by name or id."),
    ] = None,
) -> None:
    """Rebuild what suppliers lost, of the others' fragments, without any key. Leaves with 1 where some is lacking.

    An object that no supplier has anything of is counted apart: most likely it was named, and never put.
    """
    here, app = context(ctx), backend()
    with _progress(here) as progress:
        found = asyncio.run(app.repair(app.running(data), progress, deep=deep, replaced=replace))
    rows = [{name: getattr(each, name) for name in REPAIRED} for each in found]
    here.show_all(rows, REPAIRED, "No location has any objects.")
    if any(each.failed for each in found):
        raise typer.Exit(1)


@contextmanager
def _progress(here: Context) -> Iterator[Callable[[int], None]]:
    """How many objects were looked at, told on stderr; nothing to a script."""
    if here.json:
        yield lambda done: None
        return
    with Console(stderr=True).status("looking") as status:
        yield lambda done: status.update(f"{done} objects")


def _shown(seen: Seen) -> dict[str, object]:
    """For people: sizes in units, and no more of the id than tells it from others."""
    quota = "no bound" if seen.quota == 0 else _size(seen.quota)
    return asdict(seen) | {"used": _size(seen.used), "quota": quota, "supplier": seen.supplier[:8]}


def _size(count: int | None) -> str:
    if count is None:
        return ""
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {UNITS[unit]}" if unit else f"{count} B"
