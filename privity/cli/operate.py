"""The operators' commands: running a backend, looking at it, and mending it."""

import asyncio
import importlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from privity.cli.context import Context, context
from privity.errors import IntegrityAlarm, ServerNotInstalled

dead = typer.Typer(help="Messages that could not be processed, with the reason.", no_args_is_help=True)

DEFAULT_DATA = Path("privity-home")
STORE_DIR = Path("/data")
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="An embedded home; else the PRIVITY_… settings.")
]
HomeOption = Annotated[Path, typer.Option("--data", metavar="DIR", help="The home's folder.")]
CertOption = Annotated[
    Path | None,
    typer.Option("--tls-cert", envvar="PRIVITY_TLS_CERT", metavar="FILE", help="The bus's certificate chain, PEM."),
]
KeyOption = Annotated[
    Path | None,
    typer.Option("--tls-key", envvar="PRIVITY_TLS_KEY", metavar="FILE", help="The certificate's private key, PEM."),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        envvar="PRIVITY_TLS_CA",
        metavar="FILE",
        help="Whom the backend's roles trust, PEM; else the system's list.",
    ),
]


def backend() -> ModuleType:
    """The composition root: it stands in a checkout or in the image, not in the client's package.

    Raises:
        ServerNotInstalled: it is not here.
    """
    try:
        return importlib.import_module("app")
    except ModuleNotFoundError as error:
        raise ServerNotInstalled(f"{ServerNotInstalled.__doc__} (no module {error.name})") from error


def up(
    data: HomeOption = DEFAULT_DATA,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="4222 at first, then as last time; 0 for any free one."),
    ] = None,
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
    tls_ca: CaOption = None,
    suppliers: Annotated[
        int,
        typer.Option(
            envvar="PRIVITY_SUPPLIERS", show_envvar=True, min=0, max=16, help="How many suppliers of files it has."
        ),
    ] = 5,
) -> None:
    """Run a whole backend on one folder, in the foreground, until Ctrl-C."""
    app = backend()
    ca = str(tls_ca.absolute()) if tls_ca else None
    asyncio.run(app.up(data, port, _server_tls(app, tls_cert, tls_key), ca, suppliers=suppliers))


def nats_config(
    data: HomeOption,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the bus listens.")] = "0.0.0.0:4222",
    store_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where nats-server keeps its data.")] = STORE_DIR,
    monitor: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where its health is asked.")] = "127.0.0.1:8222",
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
) -> None:
    """Print the configuration of nats-server for a home in production; the home's keys are made if there are none."""
    app = backend()
    print(app.production_config(data, listen, store_dir, monitor, _server_tls(app, tls_cert, tls_key)), end="")


def serve(role: Annotated[str, typer.Argument(help="commands or projections.")]) -> None:
    """Run one role of a production backend, on the PRIVITY_… settings."""
    asyncio.run(backend().serve(role))


def status(ctx: typer.Context, data: DataOption = None) -> None:
    """How the backend is: positions, lag, streams, rows, parked messages."""
    app = backend()
    found: dict[str, Any] = asyncio.run(app.status(settings_of(app, data)))
    context(ctx).show(found)
    if not found["healthy"]:
        raise typer.Exit(1)


def replay(
    ctx: typer.Context,
    data: DataOption = None,
    view: Annotated[
        str | None, typer.Option("--view", metavar="VIEW", help="One view alone, by its name in `status`.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Fold all events anew and compare every row.")] = False,
    until: Annotated[
        str | None, typer.Option("--until", metavar="POSITION|TIME", help="Show what the views were then.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="VIEW", help="With --until: the rows of a view, as JSON.")
    ] = None,
) -> None:
    """Fold the views anew from event 1, beside those that stand, and swap them in: the backend may run.

    With --verify nothing is changed: every row is compared. With --until neither: the past is folded apart, and shown.
    """
    if [verify, until is not None, view is not None].count(True) > 1:
        raise typer.BadParameter("--verify, --until and --view are different things: give one")
    if rows is not None and until is None:
        raise typer.BadParameter("--rows goes with --until")
    app, here = backend(), context(ctx)
    settings = settings_of(app, data)
    with _progress() as told:
        if until is not None:
            _show_past(here, app.past(settings, _when(until), told), rows)
        elif verify:
            position, differences = app.verify_views(settings, told)
            if differences:
                first = differences[0]
                raise IntegrityAlarm(f"The views at position {position} differ from a rebuild, first in {first}")
            here.show({"position": position, "ok": True})
        else:
            here.show({"position": app.rebuild_views(settings, told, view, home=data), "ok": True})


def _show_past(here: Context, past: AbstractContextManager[Any], view: str | None) -> None:
    with past as was:
        if view is None:
            here.show({"position": was.position, "at": was.at and was.at.isoformat(), "rows": was.counts()})
            return
        lines = (json.dumps(row, default=str) for row in was.rows(view))
        first = next(lines, None)
        if not here.json:
            print(*([] if first is None else [first]), *lines, sep="\n", end="" if first is None else "\n")
            return
        print("[", end="" if first is None else first)
        for line in lines:
            print(",", line, sep="\n", end="")
        print("]")


def _when(until: str) -> int | datetime:
    if until.isdigit():
        return int(until)
    try:
        at = datetime.fromisoformat(until)
    except ValueError:
        raise typer.BadParameter("--until is a position, or a time as 2026-01-31T12:00:00+00:00") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Tells a person how far it is; a script's stderr stays empty."""
    console = Console(stderr=True)
    columns = (
        TextColumn("events"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task, start = bar.add_task("events", total=None, rate=0), time.monotonic()

        def told(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of, rate=done / max(time.monotonic() - start, 0.001))

        yield told


@dead.command("list")
def list_(ctx: typer.Context, data: DataOption = None) -> None:
    """The parked messages."""
    _dead(ctx, data, "list")


@dead.command()
def retry(ctx: typer.Context, id: int, data: DataOption = None) -> None:
    """Send a parked message again to where it was going."""
    _dead(ctx, data, "retry", id)


@dead.command()
def drop(ctx: typer.Context, id: int, data: DataOption = None) -> None:
    """Give a parked message up."""
    _dead(ctx, data, "drop", id)


def bench(ctx: typer.Context, seconds: Annotated[int, typer.Option(min=1, max=120)] = 5) -> None:
    """Measure this machine's floors and the backend beside them, in one run."""
    try:
        module = importlib.import_module("bench.run")
    except ModuleNotFoundError as error:
        raise ServerNotInstalled(f"the benchmarks stand in a checkout (no module {error.name})") from error
    context(ctx).show(module.main(seconds))


def _dead(ctx: typer.Context, data: Path | None, action: str, id: int = 0) -> None:
    app = backend()
    parked = asyncio.run(app.dead(settings_of(app, data), action, id))
    rows = [asdict(each) for each in parked]
    context(ctx).show_all(rows, ("id", "subject", "reason", "at", "size"), "No parked messages.")


def _server_tls(app: ModuleType, cert: Path | None, key: Path | None) -> Any:
    if (cert is None) != (key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    return app.ServerTls(cert.absolute(), key.absolute()) if cert and key else None


def settings_of(app: ModuleType, data: Path | None) -> Any:
    """The settings of the embedded home in a folder; without one, those of the environment."""
    return app.from_environment() if data is None else app.running(data)
