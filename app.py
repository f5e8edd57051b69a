"""The composition root: the one place that knows every room, and puts the roles of a backend together."""

import asyncio
import contextlib
import json
import logging
import secrets
import socket
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import nats.js.errors
import sqlalchemy as sa
from nats.aio.client import Client

from handlers import (
    accounts,
    connections,
    delegations,
    enrolment,
    files,
    grants,
    groups,
    instructions,
    invitations,
    items,
    keys,
    locations,
    mail,
    pieces,
    shares,
    sharing_keys,
    suppliers,
)
from handlers.committer import Committer
from handlers.enrolment import TOLD, Enrolments
from handlers.intake import DURABLE as INTAKE
from handlers.intake import Intake
from handlers.registry import HANDLERS, Home
from handlers.results import to_result
from infra import consumers, hostile_bytes, operators
from infra.bus import connect
from infra.credentials import device_jwt
from infra.export import export_whole
from infra.given import REVOKE_SUBJECT, Given, given_by, revoke, write_given
from infra.home import HOME_URL, HomeKeys, locked, open_keys, write_home_url, write_private
from infra.line import open_line
from infra.log import Log
from infra.mail import to_folder, to_smtp
from infra.nats_config import ServerTls, nats_config, quoted
from infra.nats_server import LOOPBACK, NatsServer
from infra.past import Past as Pages
from infra.people import People
from infra.processes import (
    Child,
    after_predecessor,
    cancel,
    closed,
    leave_at_once,
    log_to,
    stop_on_signals,
    until_stopped,
)
from infra.reader import StoreReader
from infra.relay import Relay
from infra.repair import Repair, Seen
from infra.settings import PRODUCTION_PEOPLE, Settings, embedded, from_environment, public_address
from infra.store import EventStore, open_store
from infra.streams import COMMANDS, EVENTS, declare_streams
from infra.supplier import process
from infra.supplier.credential import (
    SupplierCredential,
    folder_of,
    given,
    is_taken_back,
    issue,
    open_credential,
    read_credential,
)
from infra.supplier.process import Keeping
from infra.views_db import open_views
from infra.watch import Subscriber
from privity import bulk
from privity.connection_string import parse_connection_string
from privity.crypto.command import frame
from privity.crypto.credentials import home_id
from privity.encoding import b32, b64, unb64
from privity.errors import AlreadyExists, AlreadyRunning, Busy, CredentialRevoked, Malformed, NotFound, Unreachable
from privity.messages.catalog import COMMANDS as COMMAND_TYPES
from privity.messages.enrolment import EnrolLogin, inbox_prefix
from privity.messages.envelope import Result
from privity.messages.past import past_subject
from privity.messages.reads import RECORD_SUBJECT, ReadRequest, read_request
from privity.plain import PlainFormatter
from privity.supplying import Known, ask_supplier
from projections.folding import TABLES
from projections.live import DURABLE as VIEWS
from projections.live import Live
from projections.nonces import Nonces
from projections.placements import Placement, directory, locations_by_suppliers, placement
from projections.projector import Projector, reached
from projections.queries import Queries
from projections.reads import Reads
from projections.rebuild import counts, differences, folded_apart, position_at, rebuild, rows_of

log = logging.getLogger(__name__)

# One consumer each is what keeps an account's order: these durables are not meant to be scaled out.
warnings.filterwarnings("ignore", "The JetStream Push consumer with the `durable`", RuntimeWarning)

CONTEXTS = (
    accounts,
    keys,
    invitations,
    connections,
    items,
    shares,
    pieces,
    groups,
    files,
    delegations,
    instructions,
    sharing_keys,
    grants,
    locations,
    suppliers,
)
assert set(HANDLERS) == set(COMMAND_TYPES.values()), "a command has no handler"  # noqa: S101

hostile_bytes.survive()

DEFAULT_PORT = 4222
READY_TIMEOUT = 30.0
RESTART_DELAY = 0.5
LONGEST_DELAY = 10.0
"""Seconds until what ended is started again: each time that it does not become ready, twice as many."""
REVOKE_TIMEOUT = 15.0
"""Seconds in which nats-server must be told what was taken back, before the operator hears that it is not yet.

Longer than the commands role waits for the server, which it tells of two accounts.
"""
READ_TIMEOUT = 5.0
"""Seconds in which a read must be recorded, before its answer is refused."""
PORT_FILE = "port"
TLS_FILE = "tls.json"
PROJECTIONS_LOCK = "projections.lock"


def home_of(kept: HomeKeys) -> Home:
    """The home that these keys make."""
    return Home(home_id(kept.log.public), kept.log.public, kept.mail)


@dataclass(frozen=True, slots=True)
class Past:
    """What was, at a position and the time of its event: how many rows each view had, and the rows of one."""

    position: int
    at: datetime | None
    counts: Callable[[], dict[str, int]]
    rows: Callable[[str], Iterator[dict[str, object]]]


@contextlib.asynccontextmanager
async def commands_role(settings: Settings, *, alone: bool) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Intake, committer, relay, mail and enrolment; `alone` when no other process can serve the same intake."""
    kept = open_keys(settings.data)
    home = home_of(kept)
    async with _opened(settings) as store, open_line(settings.backend(), "commands") as line:
        bus, broker = line.bus, line.broker
        relay = Relay(store, bus)
        committer = Committer(store, home, lambda: datetime.now(UTC), Log(store, kept.log, home.id))
        intake = Intake(committer, bus, relay.wake)
        people = People(kept.bus, settings.people, store.revoked, partial(store.revoked, consumers.KIND))
        refused = partial(_login_refused, bus)
        enrolments = Enrolments(store, home.id, kept.nonce, partial(device_jwt, kept.bus), people, refused)
        try:
            await asyncio.to_thread(enrolments.take_back, given_by(settings.data))
            await people.open(settings.system())
            await declare_streams(bus.jetstream())
            if alone:  # what a killed predecessor held comes again at once, and in order
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await bus.jetstream().delete_consumer(COMMANDS, INTAKE)
            heard: dict[str, tuple[str, Subscriber]] = {INTAKE: (COMMANDS, intake.subscribe(broker))}
            send = to_smtp(settings.smtp_url) if settings.smtp_url else to_folder(settings.mail_folder)
            heard[mail.DURABLE] = (EVENTS, mail.subscribe(broker, home, settings.mail_from, send, store))
            heard[enrolment.DURABLE] = (EVENTS, enrolments.subscribe(broker))
            intake.subscribe_reads(broker)
            intake.start()
            relaying = asyncio.create_task(relay.run(), name="relay")
            await broker.start()
            writing = asyncio.create_task(intake.ended(), name="writer")
            watch = line.watch(heard)
            try:
                yield [relaying, writing, line.lost, *watch]
            finally:
                await cancel(*watch, writing)
                for subscriber in broker.subscribers:
                    await subscriber.stop()
                await intake.stop()
                await cancel(relaying)
        finally:
            await closed(people.close())


@contextlib.asynccontextmanager
async def projections_role(settings: Settings) -> AsyncIterator[list[asyncio.Task[None]]]:
    """The projector, the live feed and the queries."""
    kept = open_keys(settings.data)
    home = home_of(kept)
    async with (
        _opened(settings) as store,
        _viewed(settings) as engine,
        open_line(settings.backend(), "projections") as line,
    ):
        bus = line.bus
        await declare_streams(bus.jetstream())
        live = Live(await asyncio.to_thread(Projector, engine), StoreReader(settings.store_url), bus.publish)
        log_of_home = Log(store, kept.log, home.id)
        queries = Queries(
            engine,
            live.announced,
            home.id,
            Nonces(kept.nonce),
            lambda invitation: invitations.mail_token(home, invitation),
            store.sealed,
            lambda account, command: _recorded(store, log_of_home, account, command),
            store.head,
            Reads(lambda data: _record_read(bus, data)),
            log_of_home,
            first=await asyncio.to_thread(store.head),
        )
        heard: dict[str, tuple[str, Subscriber]] = {VIEWS: (EVENTS, live.subscribe(line.broker))}
        queries.subscribe(line.broker)
        pages = Pages(store.after, store.head)
        await pages.open(bus)
        following = asyncio.create_task(live.run(), name="projector")
        await line.broker.start()
        watch = line.watch(heard)
        try:
            yield [following, line.lost, *watch]
        finally:
            await cancel(*watch, following)
            await pages.close()


@contextlib.asynccontextmanager
async def _viewed(settings: Settings) -> AsyncIterator[sa.Engine]:
    engine = open_views(settings.views_url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[EventStore]:
    store = await asyncio.to_thread(open_store, settings.store_url)
    try:
        yield store
    finally:
        store.close()


async def up(
    data: Path, port: int | None, tls: ServerTls | None = None, ca: str | None = None, *, suppliers: int = 0
) -> None:
    """Run everything on one folder, in the foreground, until SIGTERM or Ctrl-C.

    With `tls` the bus takes nobody without; `ca` is a file of whom the roles trust then, else the system's list.
    `suppliers` is how many of them there are.

    Raises:
        AlreadyRunning: another backend holds the folder.
    """
    with locked(data):
        log_to(data / "logs" / "commands.log")
        kept = open_keys(data)
        port = _choose_port(data, port)
        server = NatsServer(data, port, kept.bus, tls=tls)
        stopping = stop_on_signals()
        await server.start()
        try:
            public = public_address() or (LOOPBACK, port)
            write_home_url(data, kept, *public, tls=tls is not None)
            _keep_tls(data, {"name": public[0], "ca": ca} if tls else None)
            settings = running(data)
            async with commands_role(settings, alone=True) as tasks:
                await _with_helpers(data, server, tasks, stopping, _supplier_children(settings, suppliers))
        finally:
            await server.stop()


async def serve(role: str) -> None:
    """Run one role of a production backend until SIGTERM."""
    settings = from_environment()
    screen = logging.StreamHandler()
    screen.setFormatter(PlainFormatter(logging.BASIC_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[screen])
    stopping = stop_on_signals()
    roles = {
        "commands": lambda: commands_role(settings, alone=False),
        "projections": lambda: projections_role(settings),
    }
    if role not in roles:
        raise NotFound(f"there is no role {role}; there are {', '.join(roles)}")
    if settings.public_address is not None:
        write_home_url(settings.data, open_keys(settings.data), *settings.public_address, tls=settings.tls)
    async with roles[role]() as tasks:
        print(f"ready {role}", flush=True)
        await until_stopped(stopping, tasks)


async def embedded_projections(data: Path) -> None:
    """The second process of `up`: ends with the first, whose end of the pipe on stdin closes."""
    log_to(data / "logs" / "projections.log")
    stopping = stop_on_signals()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), leave_at_once)
    async with after_predecessor(data / PROJECTIONS_LOCK), projections_role(running(data)) as tasks:
        print("ready", flush=True)
        await until_stopped(stopping, tasks)


def supply(
    name: str, store: str, quota: int, *, data: Path | None, credential: Path | None, state: Path | None
) -> None:
    """Run one supplier until SIGTERM: of a home in a folder here, or with the credential that its operator made.

    Raises:
        NotFound: there is no home, or no such file.
        Malformed: no such name, store or credential.
        SupplierNameTaken: another supplier has the name.
        CredentialRevoked: the home took its credential back.
    """
    if data is not None:
        settings = running(data)
        folder = state or folder_of(settings.data, name)
        tls = {"tls_ca": settings.tls_ca, "tls_name": settings.tls_name}
        shown = open_credential(settings.data, open_keys(settings.data), name, settings.bus_url, **tls)
    elif credential is None:
        raise NotFound("there is no such credential")
    else:
        folder = state or credential.resolve().parent
        shown = _credential_in(credential, name)
    log_to(folder / "logs" / "supplier.log")
    keeping = Keeping(store, folder, quota)
    bulk.run(process.run(shown, keeping, lambda: print(f"ready {name}", flush=True), renamed=False))


def supplier_credential(name: str, data: Path, bus: str | None, renewed: Path | None) -> str:
    """A supplier's credential as text, for another machine; it looks for the bus at that URL, else where people do.

    `renewed` is the file of one that it takes the place of: the supplier stays the same, and so does the URL.

    Raises:
        NotFound: there is no home in the folder, no such file, or nobody has said where people find the home.
        Malformed: the file holds no credential, or that of another supplier.
    """
    keys = open_keys(data, create=False)
    before = None if renewed is None else _credential_in(renewed, name)
    if bus is None and before is None:
        bus = _bus_of_people(data)
    sign, known = (before.sign, before.bus_url) if before else (None, "")
    if before is not None:
        given(data, before)  # where it was made before homes wrote it down
    return given(data, issue(keys, name, bus or known, sign=sign)).text()


def consumer_credential(
    name: str, contexts: Sequence[str], data: Path, bus: str | None, out: Path
) -> tuple[str, str, int]:
    """Write a consumer's credential into a file; where it finds the bus, where it asks for the past, and when it ends.

    Raises:
        NotFound: there is no home in the folder, or nobody has said where people find the home.
        Malformed: a consumer cannot be called so, or there is no such context.
        TooLarge: the home has given too many credentials.
        AlreadyExists: the file is there; what is in it may open something still.
    """
    if out.exists():
        raise AlreadyExists(f"{out} is there already; write this one elsewhere, or take that one away first")
    keys = open_keys(data, create=False)
    url = bus or _bus_of_people(data)
    made = consumers.give(data, keys, name, contexts)
    write_private(out, made.text())
    return url, past_subject(name, contexts), made.life[1]


async def take_back(settings: Settings, kind: str, who: str) -> tuple[list[Given], bool]:
    """Take back all credentials that the home gave to one of a kind, by name or id; and whether nats-server was told.

    They are cut off when it was; else when the commands role starts, which reads what is written down here.

    Raises:
        NotFound: nothing was given to such a one.
    """
    taken = revoke(settings.data, kind, who)
    try:
        bus = await connect(settings.backend(), name="privity-revoke", within=5)
    except (Unreachable, OSError, nats.errors.Error):
        return taken, False
    try:
        answer = await bus.request(REVOKE_SUBJECT, write_given(taken), timeout=REVOKE_TIMEOUT)
        return taken, answer.data == TOLD
    except (nats.errors.Error, OSError):
        return taken, False
    finally:
        await bus.close()


def _bus_of_people(data: Path) -> str:
    if not (data / HOME_URL).exists():
        raise NotFound("the home has no home.url: say by --bus where the bus is found")
    return parse_connection_string((data / HOME_URL).read_text()).bus_url


def _credential_in(file: Path, name: str) -> SupplierCredential:
    if not file.exists():
        raise NotFound("there is no such credential")
    found = read_credential(file.read_text())
    if found.name != name:
        raise Malformed(f"the credential is that of {found.name}")
    return found


def running(data: Path) -> Settings:
    """The settings of the embedded home in a folder.

    Raises:
        NotFound: there is no home there.
    """
    open_keys(data, create=False)
    port = int((data / PORT_FILE).read_text())
    tls = json.loads((data / TLS_FILE).read_text()) if (data / TLS_FILE).exists() else None
    if tls is None:
        return embedded(data, f"nats://{LOOPBACK}:{port}")
    return embedded(data, f"tls://{LOOPBACK}:{port}", tls_ca=tls["ca"], tls_name=tls["name"])


def production_config(data: Path, listen: str, store_dir: Path, monitor: str, tls: ServerTls | None = None) -> str:
    """What nats-server needs to be the bus of the home in a folder, as text; the home is made where there is none."""
    own = f"http: {quoted(monitor)} # health\n"
    keys = open_keys(data).bus
    return nats_config(keys, listen=listen, store_dir=store_dir, tls=tls, people=PRODUCTION_PEOPLE, own=own)


async def status(settings: Settings) -> dict[str, object]:
    """How the backend is: positions, lag, streams, rows, parked messages.

    Raises:
        Unreachable: its bus does not answer.
    """
    try:
        bus = await asyncio.wait_for(connect(settings.backend(), name="privity-status"), 5)
    except (OSError, TimeoutError, nats.errors.Error) as error:
        raise Unreachable("the backend is not running, or its bus does not answer") from error
    store = await asyncio.to_thread(open_store, settings.store_url)
    engine = open_views(settings.views_url)
    try:
        streams = await operators.stream_counts(bus.jetstream())
        head = await asyncio.to_thread(store.head)
        logged = await asyncio.to_thread(store.frontier)
        position = await asyncio.to_thread(_reached, engine)
        answering = await _answers(bus)
        return {
            "home": home_id(open_keys(settings.data, create=False).log.public),
            "healthy": answering and streams["EVENTS"] >= 0,
            "position": head,
            "lag": head - position,
            "log": {"size": logged.size, "root": b64(logged.root())},
            "streams": streams,
            "dead": streams["DEAD"],
            "rows": await asyncio.to_thread(counts, engine),
        }
    finally:
        await bus.close()
        engine.dispose()
        store.close()


def verify_views(settings: Settings, told: Callable[[int, int], None]) -> tuple[int, list[str]]:
    """Fold all events anew and compare every row of every view: the events folded, and what differs."""
    engine = open_views(settings.views_url)
    try:
        return differences(engine, StoreReader(settings.store_url), told=told)
    finally:
        engine.dispose()


def rebuild_views(
    settings: Settings, told: Callable[[int, int], None], view: str | None = None, *, home: Path | None = None
) -> int:
    """Fold the views, or one of them, anew from event 1 beside those that stand, and swap them in; their position.

    `home` is the folder of an embedded home: where no backend runs on it, all views come to the newest event.

    Raises:
        NotFound: there is no such view, or nobody has made the views yet.
        AlreadyRunning: another replay works on them.
    """
    tables = TABLES if view is None else frozenset({view})
    with contextlib.ExitStack() as stack:
        engine = open_views(settings.views_url)
        stack.callback(engine.dispose)
        if home is None or not _stopped(home, stack):
            return rebuild(engine, StoreReader(settings.store_url), tables, told=told)
        projector, store = Projector(engine), open_store(settings.store_url)
        stack.callback(store.close)
        until = store.head() if view is None else projector.position
        return rebuild(engine, StoreReader(settings.store_url), tables, until=until, told=told)


def _stopped(home: Path, stack: contextlib.ExitStack) -> bool:
    """Whether no backend runs on the folder; none can start on it then until the stack is closed."""
    try:
        stack.enter_context(locked(home))
    except AlreadyRunning:
        return False
    return True


@contextlib.contextmanager
def past(settings: Settings, until: int | datetime, told: Callable[[int, int], None]) -> Iterator[Past]:
    """The views as they were at a position, or at a time by the backend's clock; to be read, and gone afterwards.

    Raises:
        NotFound: that has not happened yet.
    """
    store, after = open_store(settings.store_url), StoreReader(settings.store_url)
    try:
        head = store.head()
    finally:
        store.close()
    position = until if isinstance(until, int) else position_at(after, head, until)
    if position > head:
        raise NotFound(f"there is nothing at position {position} yet; the newest is {head}")
    at = after(position - 1, 1)[0].meta.at if position else None
    with folded_apart(after, position, told=told) as engine:
        yield Past(position, at, partial(counts, engine), partial(rows_of, engine))


def export_log(settings: Settings, path: Path, progress: Callable[[int, int], None]) -> tuple[int, int, str]:
    """Write the whole log, as it is now, to a file; its events, and the size and root of the checkpoint above them."""
    kept = open_keys(settings.data, create=False)
    home = home_of(kept)
    store = open_store(settings.store_url)
    try:
        mark = export_whole(store, Log(store, kept.log, home.id), home.id, home.log_public, path, progress)
        return mark.size, mark.size, mark.note.splitlines()[2]
    finally:
        store.close()


async def repair(
    settings: Settings, progress: Callable[[int], None], *, deep: bool, replaced: tuple[str, str] | None
) -> list[Seen]:
    """Rebuild what suppliers lost, or what a new one (the second name) needs to take the first one's place.

    Raises:
        Unreachable: the backend is not running.
        NotFound: as `Repair.replace`.
    """
    name = b32(secrets.token_bytes(32))
    bus = await connect(settings.guest(name), name="privity-repair", inbox_prefix=inbox_prefix(name), within=5)
    engine = open_views(settings.views_url)
    try:
        with engine.connect() as db:
            entries, places = directory(db), locations_by_suppliers(db)
        known = {id: Known(id, each.called, unb64(each.public)) for id, each in entries.items()}
        by_lost = {id: each.replaced_by for id, each in entries.items() if each.replaced_by is not None}
        log_key = open_keys(settings.data, create=False).log
        repairing = Repair(log_key, partial(ask_supplier, bus), known, by_lost, deep=deep)
        if replaced is not None:
            await repairing.replace(*replaced)
        return await repairing.run(_placed(engine, places), progress)
    finally:
        await bus.close()
        engine.dispose()


def _placed(engine: sa.Engine, places: Iterable[str]) -> Iterator[Placement]:
    """One location a time: none may stay between two of them in what it reads."""
    for location in places:
        with engine.connect() as db:
            found = placement(location, db)
        if found is not None:
            yield found


async def dead(settings: Settings, action: str, id: int = 0) -> list[operators.Dead]:
    """List, retry or drop parked messages; what is parked afterwards."""
    bus = await connect(settings.backend(), name="privity-dead")
    try:
        jetstream = bus.jetstream()
        if action == "retry":
            await operators.dead_retry(jetstream, id)
        elif action == "drop":
            await operators.dead_drop(jetstream, id)
        return await operators.dead_list(jetstream)
    finally:
        await bus.close()


async def _with_helpers(
    data: Path,
    server: NatsServer,
    tasks: list[asyncio.Task[None]],
    stopping: asyncio.Event,
    suppliers: dict[str, Child],
) -> None:
    child = Child(["-m", "app", "projections", str(server.folder.parent)], READY_TIMEOUT)
    try:
        await asyncio.gather(child.start(), *(_start(each, name) for name, each in suppliers.items()))
    except BaseException:
        await asyncio.gather(child.stop(), *(each.stop() for each in suppliers.values()))
        raise
    kept = {"projections": (child.wait, child.start), "nats-server": (server.wait, server.start)}
    kept |= {name: (each.wait, partial(_start_when_let_in, each, data, name)) for name, each in suppliers.items()}
    keepers = [asyncio.create_task(_keep(*how, name), name=f"keeper of {name}") for name, how in kept.items()]
    try:
        print(f"ready {data / HOME_URL}", flush=True)
        await until_stopped(stopping, [*tasks, *keepers])
    finally:
        await cancel(*keepers)
        await asyncio.gather(child.stop(), *(each.stop() for each in suppliers.values()))


def _supplier_children(settings: Settings, count: int) -> dict[str, Child]:
    """The home's own suppliers, by name, each with a fresh credential in its folder."""
    keys, found = open_keys(settings.data), dict[str, Child]()
    for number in range(1, count + 1):
        name = f"supplier-{number}"
        tls = {"tls_ca": settings.tls_ca, "tls_name": settings.tls_name}
        try:
            open_credential(settings.data, keys, name, settings.bus_url, **tls)
        except CredentialRevoked as error:
            log.warning("%s", error.message)
            continue
        arguments = ["-m", "infra.supplier.process", str(folder_of(settings.data, name))]
        found[name] = Child(arguments, READY_TIMEOUT)
    return found


async def _start(child: Child, name: str) -> None:
    """A supplier that does not start is tried again by its keeper: the home does without it meanwhile."""
    try:
        await child.start()
    except Unreachable as error:
        log.error("%s: %s", name, error.message)


async def _start_when_let_in(child: Child, data: Path, name: str) -> None:
    """Start one of the home's own suppliers; while its credential is taken back, wait for it to have another one."""
    said = False
    while is_taken_back(data, name):
        if not said:
            log.warning("the credential of %s was taken back: it is started when it has another one", name)
            said = True
        await asyncio.sleep(LONGEST_DELAY)
    await child.start()


async def _keep(wait: Callable[[], Awaitable[int]], start: Callable[[], Awaitable[None]], name: str) -> None:
    delay = RESTART_DELAY
    while True:
        code = await wait()
        log.error("%s ended with %d; starting it again", name, code)
        await asyncio.sleep(delay)
        try:
            await start()
            delay = RESTART_DELAY
        except Unreachable as error:
            log.error("%s", error.message)
            delay = min(2 * delay, LONGEST_DELAY)


def _recorded(store: EventStore, log_of_home: Log, account: str, command: str) -> Result | None:
    row = store.commands([(account, command)]).get((account, command))
    if row is None:
        return None
    placed = {(event.stream, event.version): event for event in store.positions(row.events)}
    return to_result(row, placed, log_of_home.receipt)


async def _login_refused(bus: Client, request: bytes) -> None:
    """Have it recorded, without waiting: the answer takes as long for an account that does not exist."""
    said = read_request.dump_json(ReadRequest(EnrolLogin.subject, keyring="refused"))
    await bus.publish(RECORD_SUBJECT, frame(b"", request, said))


async def _record_read(bus: Client, data: bytes) -> bytes:
    """Ask the commands role to record a read.

    Raises:
        Busy: it is away, or does not answer in time.
    """
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            while True:
                try:
                    return (await bus.request(RECORD_SUBJECT, data, timeout=READ_TIMEOUT)).data
                except nats.errors.NoRespondersError:  # it is being started again
                    await asyncio.sleep(RESTART_DELAY)
    except (nats.errors.Error, OSError, TimeoutError):
        raise Busy("the read cannot be recorded now; try again") from None


def _reached(engine: sa.Engine) -> int:
    with engine.connect() as db:
        return reached(db)


async def _answers(bus: Client) -> bool:
    try:
        await bus.request("privity.qry.nobody.nothing", b"", timeout=2)
    except nats.errors.Error:
        return False
    return True


def _keep_tls(data: Path, how: dict[str, str | None] | None) -> None:
    """Keep how the bus of a running home is reached, for the second process and the operator's commands."""
    if how is None:
        (data / TLS_FILE).unlink(missing_ok=True)
    else:
        (data / TLS_FILE).write_text(json.dumps(how))


def _choose_port(data: Path, port: int | None) -> int:
    """The given port; without one that of the last time, else the default; 0 is any free one, kept for next time."""
    kept = data / PORT_FILE
    if port is None or (port == 0 and kept.exists()):
        port = int(kept.read_text()) if kept.exists() else DEFAULT_PORT
    if port == 0:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = probe.getsockname()[1]
    kept.write_text(str(port))
    return port


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["projections", folder]:
            asyncio.run(embedded_projections(Path(folder)))
        case _:
            sys.exit("this is the second process of `privity up`; use the privity command")
