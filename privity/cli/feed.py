"""`privity feed`: what happened."""

import json
from typing import Annotated

import typer

from privity.agent import feed as feeds
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.cli.context import Row, context, with_session
from privity.messages.envelope import FeedEntry


def feed(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", help="Stay, and show what happens.")] = False,
    after: Annotated[int, typer.Option(metavar="CURSOR", min=0, help="Only what came after this position.")] = 0,
) -> None:
    """What happened to you, in order. With --follow and --json, one JSON object a line."""
    here = context(ctx)

    async def stay(session: Session, keyring: Keyring, profile: Profile) -> None:
        async for entry in feeds.follow(session, after):
            row = _row(entry)
            line = f"{row['position']:>6}  {row['at']}  {row['event']}"
            print(json.dumps(row, default=str) if here.json else line, flush=True)

    if follow:
        with_session(ctx, stay)
        return
    found = with_session(ctx, lambda session, _, __: feeds.past(session, after))
    here.show_all([_row(each) for each in found], ("position", "event", "at", "refs"), "Nothing happened yet.")


def _row(entry: FeedEntry) -> Row:
    return {
        "position": entry.position,
        "event": entry.event,
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "refs": entry.refs,
    }
