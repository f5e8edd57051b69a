"""`privity piece` and `privity profile`: private values under well-known names, one's own and those of others."""

import sys
from typing import Annotated

import typer

from privity.agent import pieces, profiles
from privity.agent.connections import Broken
from privity.agent.pieces import Piece
from privity.agent.profiles import Shown
from privity.cli.connections import raise_broken
from privity.cli.context import Row, context, with_session
from privity.errors import Malformed

app = typer.Typer(help="Pieces: single values (phone, mail, …) that others may ask for.", no_args_is_help=True)
profile = typer.Typer(help="Profiles: what somebody keeps for others.", no_args_is_help=True)

COLUMNS = ("name", "value", "status", "piece")
NameArgument = Annotated[str, typer.Argument(help="What it is called: phone, mail, currentcity, or any other word.")]
PersonArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="A connected person.")]


@app.command("set")
def set_(
    ctx: typer.Context,
    name: NameArgument,
    value: Annotated[str, typer.Argument(help="What it is; - to read it from stdin, where no other process sees it.")],
) -> None:
    """Keep a value under a name. Those whom you granted it see the new one."""
    text = _read() if value == "-" else value
    kept = with_session(ctx, lambda session, keyring, _: pieces.put(session, keyring, name, text))
    context(ctx).show(_own(kept))


@app.command("list")
def list_(
    ctx: typer.Context,
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="Of a connected person.")] = None,
) -> None:
    """Your pieces; or which ones a connected person has, with the values that you were granted."""
    if address is not None:
        return _profile(ctx, address)
    found = with_session(ctx, lambda session, keyring, _: pieces.all_own(session, keyring))
    rows = [_broken(each) if isinstance(each, Broken) else _own(each) for each in found]
    context(ctx).show_all(rows, COLUMNS, "No pieces. Keep one: privity piece set NAME VALUE")
    raise_broken(found)


@app.command()
def show(
    ctx: typer.Context,
    name: NameArgument,
    of: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Of a connected person who granted it.")] = None,
) -> None:
    """A piece, opened on this device."""
    if of is None:
        context(ctx).show(_own(with_session(ctx, lambda session, keyring, _: pieces.show(session, keyring, name))))
        return
    found = with_session(ctx, lambda session, keyring, _: profiles.piece(session, keyring, name, of))
    hint = f"Next: privity request create {of} {name}" if found.status == "requestable" else ""
    context(ctx).show(_theirs(found), hint)


@app.command()
def drop(ctx: typer.Context, name: NameArgument, address: PersonArgument) -> None:
    """Take a reader away: the rest get a new key. What was read cannot be unread."""
    left = with_session(ctx, lambda session, keyring, _: pieces.drop(session, keyring, name, address))
    context(ctx).show(_own(left))


@app.command()
def rm(ctx: typer.Context, name: NameArgument) -> None:
    """Keep nothing under a name any more, for anybody. What was read cannot be unread."""
    gone = with_session(ctx, lambda session, keyring, _: pieces.remove(session, keyring, name))
    context(ctx).show({**_own(gone), "status": "removed"})


@app.command()
def readers(ctx: typer.Context, name: NameArgument) -> None:
    """Who may read a piece of yours."""
    found = with_session(ctx, lambda session, keyring, _: pieces.readers(session, keyring, name))
    rows = [
        {
            "name": name,
            "reader": each.address,
            "generation": each.generation,
            "status": "ended" if each.ended else "reads",
        }
        for each in found
    ]
    context(ctx).show_all(rows, ("reader", "generation", "status"), "Nobody reads it.")


@profile.command("show")
def show_profile(ctx: typer.Context, address: PersonArgument) -> None:
    """What somebody keeps: granted pieces with their values, and those that you may ask for."""
    _profile(ctx, address)


def _profile(ctx: typer.Context, address: str) -> None:
    found = with_session(ctx, lambda session, keyring, _: profiles.show(session, keyring, address))
    rows = [_broken(each) if isinstance(each, Broken) else _theirs(each) for each in found]
    context(ctx).show_all(rows, COLUMNS, "No pieces there.")
    raise_broken(found)


def _own(piece: Piece) -> Row:
    return {
        "piece": piece.piece,
        "name": piece.name,
        "value": piece.value,
        "status": "own",
        "version": piece.version,
        "generation": piece.generation,
    }


def _theirs(shown: Shown) -> Row:
    return {
        "piece": shown.piece,
        "name": shown.name,
        "value": shown.value,
        "status": shown.status,
        "owner": shown.address,
        "version": shown.version,
        "verified": shown.verified,
    }


def _broken(broken: Broken) -> Row:
    row = {"piece": broken.id, "name": None, "value": None, "owner": broken.peer, "version": None, "verified": None}
    return {**row, "status": f"broken: {broken.alarm.code}"}


def _read() -> str:
    """All of stdin, without the line's end; a bit more than a piece may have, so that more is noticed."""
    data = sys.stdin.buffer.read(pieces.MAX_VALUE + 3)
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Malformed("the value on stdin is no text") from None
