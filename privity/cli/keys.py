"""`privity key`: sharing keys, by which files are sealed for several people; the master key is one's identity."""

from pathlib import Path
from typing import Annotated

import typer

from privity.agent import key_backup, key_files, sharing_keys
from privity.agent.connections import Broken
from privity.agent.key_backup import Outcome
from privity.agent.sharing_keys import Master, SharingKey
from privity.cli.connections import raise_broken
from privity.cli.context import Row, context, with_session
from privity.messages.views import SharingKeyRow

app = typer.Typer(help="Sharing keys: seal files for several people, grant and take back.", no_args_is_help=True)

UNKNOWN = ("key", "active", "fingerprint", "generation", "label")
"""What is not said of a key that was not opened."""
OUTCOME = ("key", "passed", "reason")
COLUMNS = ("key", "kind", "active", "generation", "label")
KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Its name (alias$address, or the alias), its id, or how that begins.")
]
PersonArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="A connected person.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="The file that is made; it must not be there.")]


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="What it is called; a random name if none is given.")] = None,
) -> None:
    """Make a sharing key."""
    made = with_session(ctx, lambda session, keyring, _: sharing_keys.create(session, keyring, name))
    context(ctx).show(to_row(made), f"Next: privity key grant {made.alias} ADDRESS")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Your sharing keys, those that you were granted, and those whose public part you were sent."""
    found = with_session(ctx, lambda session, keyring, _: sharing_keys.all_known(session, keyring))
    rows = [_broken(each) if isinstance(each, Broken) else to_row(each) for each in found]
    context(ctx).show_all(rows, COLUMNS, "No sharing keys. Make one: privity key create NAME")
    raise_broken(found)


@app.command()
def show(ctx: typer.Context, key: KeyArgument) -> None:
    """One key; `master` is your identity itself."""
    if key == sharing_keys.MASTER:
        found = with_session(ctx, lambda session, _, __: sharing_keys.master(session))
        return context(ctx).show(_master(found))
    context(ctx).show(to_row(with_session(ctx, lambda session, keyring, _: sharing_keys.show(session, keyring, key))))


@app.command()
def label(
    ctx: typer.Context,
    key: KeyArgument,
    text: Annotated[str, typer.Argument(help="For your own eyes; an empty one takes it away.")],
) -> None:
    """Keep a label of your own for a key."""
    kept = with_session(ctx, lambda session, keyring, _: sharing_keys.relabel(session, keyring, key, text))
    context(ctx).show(to_row(kept))


@app.command()
def off(ctx: typer.Context, key: KeyArgument) -> None:
    """Switch a key off for yourself: no command of yours uses it."""
    _switch(ctx, key, active=False)


@app.command()
def on(ctx: typer.Context, key: KeyArgument) -> None:
    """Switch a key on again."""
    _switch(ctx, key, active=True)


@app.command()
def rm(ctx: typer.Context, key: KeyArgument) -> None:
    """Give a key up: your own ends for everybody, another's for you. What was read cannot be unread."""
    gone = with_session(ctx, lambda session, keyring, _: sharing_keys.remove(session, keyring, key))
    row = to_row(gone) if isinstance(gone, SharingKey) else _unopened(gone)
    context(ctx).show({**row, "status": "removed"})


@app.command("send-public")
def send_public(ctx: typer.Context, key: KeyArgument, address: PersonArgument) -> None:
    """Give somebody the public part of a key: they can seal files with it, and open none."""
    sent = with_session(ctx, lambda session, keyring, _: sharing_keys.send_public(session, keyring, key, address))
    context(ctx).show({**to_row(sent), "to": address})


@app.command()
def encrypt(
    ctx: typer.Context,
    key: KeyArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What is sealed.", exists=True, dir_okay=False)],
    out: OutOption,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Consent to seal for somebody whose connection is not verified.")
    ] = False,
) -> None:
    """Seal a file with a key: who holds the key can open it, also those to whom it is granted later."""
    used = with_session(
        ctx,
        lambda session, keyring, _: key_files.encrypt(session, keyring, key, file, out, unverified=unverified),
    )
    context(ctx).show({**to_row(used), "file": str(out)})


@app.command()
def decrypt(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What was sealed.", exists=True, dir_okay=False)],
    out: OutOption,
) -> None:
    """Open a file that was sealed with a key that you hold; nothing is there before all of it has verified."""
    used = with_session(ctx, lambda session, keyring, _: key_files.decrypt(session, keyring, file, out))
    context(ctx).show({**to_row(used), "file": str(out)})


@app.command()
def backup(ctx: typer.Context) -> None:
    """Put your keys at the home's suppliers, sealed: your recovery text brings them back. Older backups go."""
    done = with_session(ctx, lambda session, keyring, _: key_backup.backup(session, keyring))
    context(ctx).show_all([_outcome(each) for each in done], OUTCOME, "No sharing keys.")


@app.command()
def restore(ctx: typer.Context) -> None:
    """Bring back what the home has lost of your keys, from the backup at its suppliers."""
    done = with_session(ctx, lambda session, keyring, _: key_backup.restore(session, keyring))
    context(ctx).show_all([_outcome(each) for each in done], OUTCOME, "No sharing keys in the backup.")


def to_row(key: SharingKey) -> Row:
    """A key as every command shows it."""
    return {
        "key": key.name,
        "id": key.id,
        "owner": key.creator_address,
        "kind": key.kind,
        "active": key.active,
        "fingerprint": key.fingerprint,
        "generation": key.generation,
        "label": key.label,
    }


def _switch(ctx: typer.Context, key: str, *, active: bool) -> None:
    kept = with_session(ctx, lambda session, keyring, _: sharing_keys.switch(session, keyring, key, active=active))
    context(ctx).show(to_row(kept))


def _master(found: Master) -> Row:
    return {
        "key": f"{sharing_keys.MASTER}${found.address}",
        "id": found.account,
        "owner": found.address,
        "kind": "own",
        "active": True,
        "fingerprint": found.fingerprint,
        "generation": found.generation,
        "label": "",
    }


def _unopened(gone: SharingKeyRow) -> Row:
    return {**dict.fromkeys(UNKNOWN), "id": gone.key, "owner": gone.creator, "kind": gone.kind}


def _broken(broken: Broken) -> Row:
    return {**dict.fromkeys(UNKNOWN), "id": broken.id, "owner": broken.peer, "kind": f"broken: {broken.alarm.code}"}


def _outcome(outcome: Outcome) -> Row:
    return {"key": outcome.name or outcome.id, "id": outcome.id, "passed": outcome.passed, "reason": outcome.reason}
