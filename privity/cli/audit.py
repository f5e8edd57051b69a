"""`privity audit`: what was done with your data, and the proofs that it is all of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from privity.agent import audit as audits
from privity.agent.keyring import Keyring
from privity.agent.memory import Mark
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.audit import verify as verifying
from privity.cli.context import Row, context, with_session
from privity.cli.operate import backend
from privity.errors import Malformed

app = typer.Typer(help="What was done with your data, and the proofs of it.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The export.", dir_okay=False)]
MAX_NOTE = 8192
"""Characters of a file with a checkpoint."""

Say = Callable[[int, int], None]


@app.command()
def log(
    ctx: typer.Context,
    after: Annotated[int, typer.Option(metavar="CURSOR", min=0, help="Only what came after this position.")] = 0,
) -> None:
    """All that was done with your data: who was given what, who fetched which key, who was refused."""
    found = with_session(ctx, lambda session, keyring, _: audits.past(session, keyring, after))
    rows = [_row(each) for each in found]
    context(ctx).show_all(rows, ("position", "event", "actor", "at", "refs"), "Nothing happened yet.")


@app.command()
def checkpoint(
    ctx: typer.Context,
    cosign: Annotated[bool, typer.Option("--cosign", help="Add your co-signature: you saw this history.")] = False,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="Another person's checkpoint: both must be of one history."),
    ] = None,
) -> None:
    """The newest checkpoint of the home's log, verified. Give it to others: so you notice if they see another log."""
    other = _note(against) if against is not None else None

    async def work(session: Session, keyring: Keyring, profile: Profile) -> tuple[Mark, audits.Witness]:
        return await audits.checkpoint(session, other), audits.witness(keyring)

    mark, witness = with_session(ctx, work)
    note = audits.co_sign(mark, witness) if cosign else mark.note
    if not context(ctx).json:
        print(note, end="")
        return
    lines = note.splitlines()
    row = {"checkpoint": note, "size": mark.size, "root": lines[2], "origin": lines[0]}
    context(ctx).show(row | ({"witness": witness.text} if cosign else {}))


@app.command()
def export(
    ctx: typer.Context,
    file: FileArgument,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The whole log of this embedded home.")
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="The whole log of the home of the PRIVITY_… settings.")
    ] = False,
) -> None:
    """Write what the log holds about you to a file, each event with its signed command and its proof.

    An operator writes the whole log. Anybody can verify the file: privity audit verify FILE.
    """
    if not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent}")
    if data is not None or operator:
        home = backend()
        settings = home.running(data) if data is not None else home.from_environment()
        with _bar("exporting") as say:
            events, size, root = home.export_log(settings, file, say)
    else:

        async def work(session: Session, keyring: Keyring, profile: Profile) -> tuple[int, Mark]:
            with _bar("exporting") as say:
                return await audits.export_own(session, keyring, profile.device, file, say)

        events, mark = with_session(ctx, work)
        with _bar("verifying") as say:
            verifying.verify(file, progress=say)
        size, root = mark.size, mark.note.splitlines()[2]
    context(ctx).show(
        {"file": str(file), "events": events, "size": size, "root": root}, hint=f"privity audit verify {file}"
    )


@app.command()
def verify(
    ctx: typer.Context,
    file: FileArgument,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="F", help="A checkpoint of the log, as old or older: must be of it."),
    ] = None,
    witness: Annotated[
        str | None, typer.Option("--witness", metavar="NAME+KEY", help="Who must have co-signed that checkpoint.")
    ] = None,
) -> None:
    """Verify an export: every hash, proof and signature in it. Needs no backend, no network and no profile."""
    if witness is not None and checkpoint is None:
        raise typer.BadParameter("a witness signs a checkpoint: give --checkpoint too")
    note = _note(checkpoint) if checkpoint is not None else None
    by = audits.read_witness(witness) if witness is not None else None
    if not file.is_file():
        raise typer.BadParameter(f"there is no file {file}")
    with _bar("verifying") as say:
        found = verifying.verify(file, checkpoint=note, witness=by, progress=say)
    row: dict[str, object] = {"events": found.events, "ok": True, "root": found.root}
    row |= {"size": found.size, "home": found.home, "kind": found.kind}
    context(ctx).show(row | {"account": found.account or None, "unsigned": found.unsigned})


def _note(path: Path) -> str:
    """A checkpoint in a file; what an editor or a mail adds around it is no part of it."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_NOTE)
    except FileNotFoundError:
        raise typer.BadParameter(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError):
        raise Malformed(f"{path} cannot be read as a checkpoint") from None
    return text.strip() + "\n"


def _row(line: audits.Line) -> Row:
    return {
        "position": line.position,
        "event": line.event,
        "actor": line.actor,
        "at": line.at.isoformat(),
        "refs": line.refs,
    }


@contextmanager
def _bar(what: str) -> Iterator[Say]:
    """A progress bar on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)
