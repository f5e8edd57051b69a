"""`privity agent`: the daemon that does a person's crypto steps by itself."""

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any

import typer

from privity.agent import daemon
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.agent.tasks import Entry
from privity.cli.context import Row, context, with_session

app = typer.Typer(help="The agent that does your crypto steps by itself.", no_args_is_help=True)

CANCEL_AGAIN = 1.0
"""Seconds after which what does not end is cancelled again."""


@app.callback()
def group() -> None:
    """The agent that does your crypto steps by itself."""


@app.command()
def run(ctx: typer.Context) -> None:
    """Stay, follow the feed, and do the steps that it asks for, until Ctrl-C or SIGTERM.

    The passphrase is asked for once and kept nowhere; the keys stay in this process. With --json, one JSON object a
    step and line. A home that is away is waited for; what failed is tried again, ever more slowly.
    """
    here = context(ctx)
    here.folder.load()

    def tell(entry: Entry) -> None:
        code = f"  {entry.code}" if entry.code else ""
        line = f"{entry.at}  {entry.status:<6}  {entry.kind:<9}  {entry.about}{code}"
        print(json.dumps(to_row(entry)) if here.json else line, flush=True)

    async def stay(session: Session, keyring: Keyring, profile: Profile) -> None:
        signalled = _signalled()
        print(f"the agent of {profile.address} runs; Ctrl-C ends it", file=sys.stderr, flush=True)
        await _until(signalled, daemon.run(session, keyring, tell))

    with daemon.alone(here.folder.path):
        with_session(ctx, stay)


def to_row(entry: Entry) -> Row:
    """A step as it is shown; `event` is what asks for it."""
    return {**asdict(entry), "event": entry.kind}


def _signalled() -> asyncio.Event:
    """Set by SIGTERM and SIGINT, from now on."""
    signalled = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, signalled.set)
    return signalled


async def _until(signalled: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work until it is set; what it raises by itself is raised."""
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(signalled.wait())
    await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        return working.result()
    while not working.done():  # nats-py turns some cancellations into errors of its own
        working.cancel()
        await asyncio.wait({working}, timeout=CANCEL_AGAIN)
