"""`privity location`: folders of files under a sharing key, which everybody who holds the key reads and writes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from privity.agent import grants, location_writing, locations, sharing_keys
from privity.agent.connections import Broken
from privity.agent.key_audits import WAIT
from privity.agent.keyring import Keyring
from privity.agent.location_files import FileVersion, Put
from privity.agent.location_writing import Wrote
from privity.agent.locations import Location, Opened
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.agent.uploads import Progress as Say
from privity.cli.connections import raise_broken
from privity.cli.context import Context, Row, context, with_session
from privity.cli.files import OutOption
from privity.cli.grants import UnverifiedOption, WaitOption
from privity.errors import Malformed
from privity.gathering import Trouble

app = typer.Typer(
    help="Locations: folders of files that several people read and write, on the suppliers of the home.",
    no_args_is_help=True,
)


@dataclass(frozen=True, slots=True)
class Bar:
    """What tells a person how far it is: bytes that are done, and how many there are; nothing to a script."""

    done: Say | None = None
    expect: Say | None = None


COLUMNS = ("key", "owner", "active", "changes", "suppliers", "status")
FILES = ("name", "size", "by", "at", "version")
CHANGES = ("change", "at", "by", "what", "name", "version", "size")
LocationArgument = Annotated[
    str,
    typer.Argument(metavar="LOCATION", help="Its key's name (alias$address, or the alias), id, or how that begins."),
]


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="What its key is called; a random name if none is given.")] = None,
    suppliers: Annotated[
        int | None, typer.Option("--suppliers", min=1, max=16, help="On how many suppliers each file stands; 5.")
    ] = None,
    needed: Annotated[
        int | None, typer.Option("--needed", min=1, max=16, help="How many of them are enough to read; 3 of 5.")
    ] = None,
) -> None:
    """Make an empty location, and a sharing key for it."""
    made = with_session(
        ctx, lambda session, keyring, _: locations.create(session, keyring, name, slots=suppliers, needed=needed)
    )
    hint = f"Next: privity location put {made.key.alias} FILE, privity location grant {made.key.alias} ADDRESS"
    context(ctx).show({**_row(made), "files": 0}, hint)


@app.command()
def grant(
    ctx: typer.Context,
    location: LocationArgument,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="A connected person.")],
    wait: WaitOption = WAIT,
    unverified: UnverifiedOption = False,
) -> None:
    """Grant a location of yours: its key, in five steps. Who has it reads all of it, and writes to it."""

    async def work(session: Session, keyring: Keyring, _: Profile) -> tuple[Location, grants.Grant]:
        found = await locations.find(session, keyring, location)
        key = found.key.name
        return found, await grants.create(session, keyring, key, address, unverified=unverified, wait=wait)

    found, granted = with_session(ctx, work)
    steps = [{"step": each.step, "outcome": each.outcome, "reason": each.reason} for each in granted.steps]
    here = context(ctx)
    said = steps if here.json else {str(each["step"]): _told(each) for each in steps}
    here.show({"location": found.id, "key": found.key.name, "to": granted.address, "steps": said})
    if granted.error is not None:
        raise granted.error


@app.command("list")
def list_(
    ctx: typer.Context,
    active: Annotated[bool, typer.Option("--active", help="Those alone that you have not closed.")] = False,
    mine: Annotated[bool, typer.Option("--mine", help="Those alone that you made.")] = False,
    granted: Annotated[bool, typer.Option("--granted", help="Those alone that you were granted.")] = False,
) -> None:
    """The locations that you made, and those that you were granted."""
    if mine and granted:
        raise Malformed("say --mine or --granted")
    found = with_session(ctx, lambda session, keyring, _: locations.all_known(session, keyring))
    rows = [
        _broken(each) if isinstance(each, Broken) else _row(each)
        for each in found
        if isinstance(each, Broken)
        or ((each.key.active or not active) and (each.mine or not mine) and not (each.mine and granted))
    ]
    context(ctx).show_all(rows, COLUMNS, "No locations. Make one: privity location create NAME")
    raise_broken(found)


@app.command()
def show(ctx: typer.Context, location: LocationArgument) -> None:
    """A location: its suppliers, which of them answer, how many files it has, how many bytes."""

    async def work(session: Session, keyring: Keyring, _: Profile) -> Row:
        held = await locations.opened(session, keyring, location)
        names, away = await locations.reachable(session, keyring, held.location)
        files = list(held.line.folder)
        return {
            **_row(held.location),
            "files": len(files),
            "bytes": sum(each.put.size for each in files),
            "needed": held.location.row.needed,
            "suppliers": names,
            "connected": f"{len(names) - len(away)} of {len(names)}",
            "away": [str(each) for each in away],
        }

    context(ctx).show(with_session(ctx, work))


@app.command()
def ls(ctx: typer.Context, location: LocationArgument) -> None:
    """The files of a location; several versions of one where people wrote at once."""
    held = with_session(ctx, lambda session, keyring, _: locations.opened(session, keyring, location))
    context(ctx).show_all([_file(held, name, each) for name, each in locations.listing(held)], FILES, "No files.")


@app.command()
def put(
    ctx: typer.Context,
    location: LocationArgument,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, or folders with all that is in them.")],
    under: Annotated[
        str, typer.Option("--under", metavar="FOLDER", help="A folder of the location to put them in.")
    ] = "",
) -> None:
    """Write files. What stands so already is left; what was broken off goes on."""
    sources = location_writing.sources_of(files, under)
    with _bar(context(ctx), "put", sum(each.size for each in sources)) as say:
        wrote = with_session(
            ctx, lambda session, keyring, _: location_writing.put(session, keyring, location, sources, say.done)
        )
    context(ctx).show(_wrote(location, wrote, context(ctx)))


@app.command()
def get(
    ctx: typer.Context,
    location: LocationArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The file's name, as `location ls` shows it.")],
    out: OutOption,
    version: Annotated[
        str | None, typer.Option("--version", metavar="N.I", help="The version, where several stand.")
    ] = None,
) -> None:
    """Write a file of a location to a new file here."""
    with _bar(context(ctx), "get", None) as say:
        got = with_session(
            ctx,
            lambda session, keyring, _: locations.get(
                session, keyring, location, name, out, version=version, progress=say.done, expect=say.expect
            ),
        )
    context(ctx).show({"name": got.name, "version": got.id, "size": got.put.size, "out": str(out)})


@app.command()
def rm(
    ctx: typer.Context,
    location: LocationArgument,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The file; without it, the whole location.")
    ] = None,
) -> None:
    """Remove a file, or a whole location of yours, with its fragments. The key stays: privity key rm."""
    if name is None:
        gone = with_session(ctx, lambda session, keyring, _: location_writing.remove(session, keyring, location))
    else:
        gone = with_session(
            ctx, lambda session, keyring, _: location_writing.remove_file(session, keyring, location, name)
        )
    row = {"location": gone.location, "name": name, "status": "removed"}
    context(ctx).show({**row, "away": [str(each) for each in gone.away]})


@app.command()
def history(ctx: typer.Context, location: LocationArgument) -> None:
    """Who wrote or removed which file of a location, and when; as each of them signed it."""
    held = with_session(ctx, lambda session, keyring, _: locations.opened(session, keyring, location))
    context(ctx).show_all(_changes(held), CHANGES, "Nothing was written.")


@app.command("open")
def open_(ctx: typer.Context, location: LocationArgument) -> None:
    """Use a location again that you closed, and see whether its suppliers answer."""
    _switch(ctx, location, active=True)


@app.command()
def close(ctx: typer.Context, location: LocationArgument) -> None:
    """Close a location for yourself: no command of yours uses it until you open it."""
    _switch(ctx, location, active=False)


def _switch(ctx: typer.Context, name: str, *, active: bool) -> None:
    async def work(session: Session, keyring: Keyring, _: Profile) -> Row:
        found = await locations.find(session, keyring, name)
        await sharing_keys.switch(session, keyring, found.id, active=active)
        found = await locations.find(session, keyring, found.id)
        row = {**_row(found), "connected": None}
        if active:
            names, away = await locations.reachable(session, keyring, found)
            row["connected"] = f"{len(names) - len(away)} of {len(names)}"
        return row

    context(ctx).show(with_session(ctx, work))


def _row(location: Location) -> dict[str, object]:
    return {
        "location": location.id,
        "key": location.key.name,
        "owner": location.key.creator_address,
        "mine": location.mine,
        "active": location.key.active,
        "changes": location.row.n,
        "suppliers": len(location.row.suppliers),
        "status": "open" if location.key.active else "closed",
    }


def _broken(broken: Broken) -> Row:
    row = dict.fromkeys(("key", "owner", "mine", "active", "changes", "suppliers"))
    return {"location": broken.id, **row, "status": f"broken: {broken.alarm.code}"}


def _file(held: Opened, name: str, version: FileVersion) -> Row:
    return {
        "name": name,
        "size": version.put.size,
        "by": held.author(version.by),
        "at": _at(version.put.at),
        "version": version.id,
        "sha256": version.put.sha256,
        "conflict": len(held.line.folder.standing(version.name)) > 1,
    }


def _changes(held: Opened) -> list[Row]:
    return [
        {
            "change": change.n,
            "at": _at(entry.at),
            "by": held.author(change.by),
            "what": "written" if isinstance(entry, Put) else "removed",
            "name": entry.name,
            "version": f"{change.n}.{index}",
            "size": entry.size if isinstance(entry, Put) else None,
            "replaces": [f"{n}.{place}" for n, place in entry.replaces],
        }
        for change in held.line.changes
        for index, entry in enumerate(change.entries)
    ]


def _wrote(location: str, wrote: Wrote, here: Context) -> Row:
    files: list[Row] = [
        {"name": each.name, "version": each.version, "size": each.size, "outcome": each.outcome} for each in wrote.files
    ]
    new = [each for each in wrote.files if each.outcome == location_writing.WRITTEN]
    row = {"location": location, "written": len(new), "same": len(files) - len(new)}
    row |= {"bytes": sum(each.size for each in new), "missing": _names(wrote.missing)}
    return row | {"files": files} if here.json else row


def _names(troubles: Sequence[Trouble]) -> list[str]:
    return [each.supplier for each in troubles]


def _at(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _told(step: Row) -> str:
    return f"{step['outcome']}: {step['reason']}" if step["reason"] else str(step["outcome"])


@contextmanager
def _bar(here: Context, what: str, total: int | None) -> Iterator[Bar]:
    """A bar with rate and time left, on stderr, for a person who waits; a script gets none."""
    console = Console(stderr=True)
    if here.json or not console.is_terminal:
        yield Bar()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield Bar(lambda done: progress.update(task, completed=done), lambda total: progress.update(task, total=total))
