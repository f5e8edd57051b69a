"""`privity tasks`: the steps that wait for the agent, and how they went."""

import sys
from typing import Annotated

import typer

from privity.agent import daemon
from privity.agent.daemon import Worker
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.agent.sources import SOURCES
from privity.agent.tasks import Entry, TaskBook
from privity.cli.agent import to_row
from privity.cli.context import context, with_session
from privity.errors import AlreadyRunning, IntegrityAlarm, PrivityError, Unreachable

COLUMNS = ("position", "at", "kind", "status", "tries", "code", "about")


def tasks(
    ctx: typer.Context,
    retry: Annotated[bool, typer.Option("--retry", help="Try what failed again, now.")] = False,
) -> None:
    """The steps for the agent to do: todo, doing, done or failed. `privity agent run` does them by itself."""
    here = context(ctx)
    book = TaskBook(here.folder.path)

    async def work(session: Session, keyring: Keyring, _: Profile) -> dict[str, PrivityError]:
        try:
            return await (_again if retry else _look)(session, keyring, book)
        except Unreachable as error:
            if retry:
                raise
            print(f"notice: as far as this device knows: {error.message}", file=sys.stderr)
            return {}

    broken = with_session(ctx, work)
    entries = book.all()
    book.close()
    here.show_all([to_row(each) for each in entries], COLUMNS, "Nothing to do.")
    for error in broken.values():
        if isinstance(error, IntegrityAlarm):
            raise error


async def _look(session: Session, keyring: Keyring, book: TaskBook) -> dict[str, PrivityError]:
    return await daemon.look(session, keyring, book)


async def _again(session: Session, keyring: Keyring, book: TaskBook) -> dict[str, PrivityError]:
    """Here and now; or by the agent that runs on this profile, which sees it in the book."""
    try:
        with daemon.alone(session.folder.path):
            book.recover()
            book.retry()
            worker = Worker(session, keyring, _tell_nobody, SOURCES, book)
            await worker.rounds(SOURCES)
            return worker.broken
    except AlreadyRunning:
        book.retry()
        print("notice: the agent that runs on this profile tries it again", file=sys.stderr)
        return {}


def _tell_nobody(_: Entry) -> None:
    """The table is shown afterwards."""
