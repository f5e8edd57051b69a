"""The process of one supplier: its line to the bus, its announcement, and its end."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from faststream import AckPolicy
from faststream.nats import NatsBroker
from faststream.nats.subscriber.usecases import CoreSubscriber
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from infra.line import open_line
from infra.processes import after_predecessor, cancel, leave_at_once, log_to, stop_on_signals, until_stopped
from infra.supplier.access import Access
from infra.supplier.commands import Commands
from infra.supplier.credential import FILE, FRAGMENTS, SupplierCredential, read_credential
from infra.supplier.journal import Journal
from infra.supplier.service import Asked, Service
from infra.supplier.storage import Shelf, open_store
from privity import bulk
from privity.encoding import b64
from privity.errors import Busy, SupplierNameTaken, Unreachable
from privity.messages.suppliers import MAX_SUPPLIER_MESSAGE, AnnounceSupplier, ReplaceSupplier, supplier_subject

log = logging.getLogger("privity.supplier")

WORKERS: Final = 8
"""Requests that are answered at the same time."""
PENDING: Final = 48
"""Requests of the largest size that wait; more are lost, and asked again."""
GRACE: Final = 5.0
"""Seconds that begun requests have at the end."""
LOOK_EACH: Final = 3600.0
"""Seconds between two counts of what is there."""
LOCK, PID = "lock", "pid"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a supplier keeps fragments (a store's URL), and its folder for the rest.

    `quota` is how many bytes of them; 0 for a share of its disk, or no bound where the store is none.
    """

    store: str
    folder: Path
    quota: int = 0


async def run(credential: SupplierCredential, keeping: Keeping, ready: Callable[[], None], *, renamed: bool) -> None:
    """Serve until SIGTERM. `renamed`: when another has the name, take one that begins with it.

    Raises:
        SupplierNameTaken: another supplier has the name.
        AlreadyRunning: another process is this supplier.
        Busy: the store cannot be read.
        Unreachable: the bus does not answer, or ended the connection for good.
    """
    stopping = stop_on_signals()
    keeping.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with after_predecessor(keeping.folder / LOCK):
        (keeping.folder / PID).write_text(str(os.getpid()))
        shelf = Shelf(open_store(keeping.store), keeping.quota, _now)
        await shelf.look()
        shelf.bound_by_disk()
        journal = Journal(keeping.folder, _now)
        async with open_line(credential.way(), f"supplier-{credential.name}") as line:
            commands = Commands(line.bus, credential)
            service = _service(credential, shelf, journal, commands)
            subscriber = _subscriber(line.broker, credential.id)
            await line.broker.start()
            running = set[asyncio.Task[None]]()
            serving = asyncio.create_task(_serve(subscriber, service, running), name="requests")
            await commands.listen()
            looking = asyncio.create_task(_look_on(shelf), name="count")
            announcing = asyncio.create_task(_announce(commands, credential, shelf.quota, ready, renamed=renamed))
            try:
                await _until_announced(announcing, stopping)
                await until_stopped(stopping, [line.lost, looking, serving])
            finally:
                await cancel(looking, announcing, serving)
                if running:
                    await asyncio.wait(running, timeout=GRACE)
                journal.close()


async def child(folder: Path) -> None:
    """A supplier of `up`, on its folder: ends with the process that started it, whose end of the pipe closes."""
    log_to(folder / "logs" / "supplier.log")
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), leave_at_once)
    credential = read_credential((folder / FILE).read_text())
    quota = int(os.environ.get("PRIVITY_SUPPLIER_QUOTA", "0"))
    keeping = Keeping(str(folder / FRAGMENTS), folder, quota)
    await run(credential, keeping, lambda: print("ready", flush=True), renamed=True)


def _service(credential: SupplierCredential, shelf: Shelf, journal: Journal, commands: Commands) -> Service:
    access = Access(shelf, credential.sign.public, credential.log_public, time.monotonic)

    async def replace(lost: str, order: str) -> None:
        await commands.send(ReplaceSupplier(credential.id, lost, order))

    return Service(
        credential.name,
        shelf,
        access,
        journal,
        supplier=credential.id,
        log_public=credential.log_public,
        replace=replace,
    )


def _subscriber(broker: NatsBroker, supplier: str) -> CoreSubscriber:
    """Without a handler: what FastStream does around one takes it longer than it takes to hash a fragment."""
    return broker.subscriber(
        supplier_subject(supplier, "*"),
        pending_bytes_limit=PENDING * MAX_SUPPLIER_MESSAGE,
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
        include_in_schema=False,
    )


async def _serve(subscriber: CoreSubscriber, service: Service, running: set[asyncio.Task[None]]) -> None:
    """Answer requests, several at a time; `running` are those that are begun."""
    room = asyncio.Semaphore(WORKERS)

    def done(task: asyncio.Task[None]) -> None:
        running.discard(task)
        room.release()

    async for message in subscriber:
        await room.acquire()
        task = asyncio.create_task(_answer(service, message.raw_message))
        running.add(task)
        task.add_done_callback(done)


async def _answer(service: Service, message: Msg) -> None:
    said = await service.answer(Asked(message.subject, message.reply, message.data))
    if said is None:
        return
    try:
        await message.respond(said)
    except (NatsError, OSError) as error:  # who asked will ask again
        log.warning("an answer could not be sent: %s", type(error).__name__)


async def _announce(
    commands: Commands, credential: SupplierCredential, quota: int, ready: Callable[[], None], *, renamed: bool
) -> None:
    name, public = credential.name, b64(credential.sign.public)
    try:
        await commands.send(AnnounceSupplier(credential.id, name, public, quota))
    except SupplierNameTaken:
        if not renamed:
            raise
        name = f"{name[:27]}-{credential.id[:4]}"
        await commands.send(AnnounceSupplier(credential.id, name, public, quota))
    log.info("supplier %s serves as %s", name, credential.id)
    ready()


async def _until_announced(announcing: asyncio.Task[None], stopping: asyncio.Event) -> None:
    """Requests are served meanwhile: the home may be away for long."""
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait([announcing, waiting], return_when=asyncio.FIRST_COMPLETED)
    await cancel(waiting)
    if announcing.done():
        await announcing


async def _look_on(shelf: Shelf) -> None:
    while True:
        await asyncio.sleep(LOOK_EACH)
        try:
            await shelf.look()
        except Busy as error:
            log.error("%s", error.message)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    try:
        bulk.run(child(Path(sys.argv[1])))
    except Unreachable as error:
        sys.exit(error.message)
