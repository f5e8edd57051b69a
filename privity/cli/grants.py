"""`privity key grant`, `audit`, `rotate`, `grants`: bringing a key to others, taking it back, and asking for proofs."""

from typing import Annotated

import typer

from privity.agent import grants, key_audits, rotation
from privity.agent.connections import Broken
from privity.agent.grants import Grant
from privity.agent.key_audits import WAIT, Audit
from privity.cli.connections import raise_broken
from privity.cli.context import Row, context, with_session
from privity.cli.keys import KeyArgument, PersonArgument, app, to_row
from privity.errors import Malformed, PrivityError

__all__ = ["app"]  # the one of `privity.cli.keys`, with the commands below on it

WaitOption = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", min=0, max=600, help="How long their agent's answer is waited for."),
]
UnverifiedOption = Annotated[
    bool, typer.Option("--unverified", help="Consent to seal over a connection that is not verified.")
]
COLUMNS = ("key", "to", "steps")


@app.command()
def grant(
    ctx: typer.Context,
    key: KeyArgument,
    address: PersonArgument,
    wait: WaitOption = WAIT,
    unverified: UnverifiedOption = False,
) -> None:
    """Grant the private part of a key of yours, in five steps. Who is offline gets it when their agent runs."""
    found = with_session(
        ctx,
        lambda session, keyring, _: grants.create(session, keyring, key, address, unverified=unverified, wait=wait),
    )
    here = context(ctx)
    here.show(_granted(found, as_list=here.json))
    if found.error is not None:
        raise found.error


@app.command("grants")
def grants_(
    ctx: typer.Context, key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="One of your keys.")] = None
) -> None:
    """The grants of your keys, or of one, and how their steps went."""
    found = with_session(ctx, lambda session, keyring, _: grants.all_of(session, keyring, key))
    here = context(ctx)
    rows = [_broken(each) if isinstance(each, Broken) else _granted(each, as_list=here.json) for each in found]
    here.show_all(rows, COLUMNS, "No grants. Grant a key: privity key grant KEY ADDRESS")
    raise_broken(found)


@app.command()
def audit(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key; master for the person's own identity key.")],
    address: PersonArgument,
    public: Annotated[bool, typer.Option("--public", help="Do they hold the identical public part?")] = False,
    private: Annotated[bool, typer.Option("--private", help="Do they hold the private part?")] = False,
    wait: WaitOption = WAIT,
) -> None:
    """Have a connected person prove what they hold. Their agent answers when it runs; ask again to see it then."""
    if public is private:
        raise Malformed("say --public or --private")
    kind: key_audits.Kind = "public" if public else "private"
    found = with_session(
        ctx, lambda session, keyring, _: key_audits.audit(session, keyring, key, address, kind, wait=wait)
    )
    context(ctx).show(_audited(key, found))
    if found.passed is not True:
        raise typer.Exit(PrivityError.exit_code)


@app.command()
def rotate(
    ctx: typer.Context,
    key: KeyArgument,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", metavar="ADDRESS", help="Somebody who gets nothing that comes later.")
    ] = None,
    unverified: UnverifiedOption = False,
) -> None:
    """Begin the key's next generation for all who hold it, but those who are dropped: their access ends."""
    found = with_session(
        ctx, lambda session, keyring, _: rotation.rotate(session, keyring, key, drop or (), unverified=unverified)
    )
    lost = ", ".join(found.lost)
    context(ctx).show(
        {
            **to_row(found.key),
            "dropped": list(found.dropped),
            "lost": list(found.lost),
            "waiting": list(found.waiting),
        },
        f"Dropped, as the connection has ended: {lost}" if lost else "",
    )


def _granted(found: Grant, *, as_list: bool) -> Row:
    """The steps as a list for scripts, by name for people."""
    steps = [{"step": each.step, "outcome": each.outcome, "reason": each.reason} for each in found.steps]
    named = {each.step: f"{each.outcome} ({each.reason})" if each.reason else each.outcome for each in found.steps}
    shown = {"key": found.key.name, "id": found.key.id, "to": found.address, "grant": found.grant}
    return {**shown, "steps": steps if as_list else named}


def _broken(broken: Broken) -> Row:
    return {"key": None, "id": None, "to": broken.peer, "grant": broken.id, "steps": f"broken: {broken.alarm.code}"}


def _audited(key: str, found: Audit) -> Row:
    return {"key": key, "audit": found.kind, "passed": found.passed, "reason": found.reason}
