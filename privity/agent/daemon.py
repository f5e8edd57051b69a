"""The daemon: one process that follows a person's feed and does the crypto steps that it asks for, for ever."""

import asyncio
import fcntl
import logging
import os
import random
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from privity.agent import feed
from privity.agent.feed import Wakes, backoff
from privity.agent.identity import current
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.sources import SOURCES, Look
from privity.agent.tasks import FIRST_PAUSE, LOOK, Entry, Named, Task, TaskBook
from privity.errors import (
    AlreadyConnected,
    AlreadyExists,
    AlreadyRunning,
    ClosedAccount,
    IntegrityAlarm,
    InvitationClosed,
    Malformed,
    NoProfile,
    NotFound,
    PrivityError,
    RequestNotOpen,
    StaleSequence,
    StaleVersion,
    UnknownDevice,
    Unreachable,
)

log = logging.getLogger(__name__)

LOCK = "agent.lock"
TICK = 1.0
"""Seconds between two looks into the book: a person may have asked for what failed to be tried again."""
IDLE = 60.0
"""Seconds after which all sources are asked, whatever the feed says: time alone gives work too."""
JITTER = 0.4
"""Seconds at most that are waited before a look, so that two devices of one person seldom do the same step."""
SETTLE = 0.05
"""Seconds after a live line in which others may come: a burst is one look."""
STEP_LIMIT = 600.0
"""Seconds that one step may take."""
FASTER = (StaleVersion, StaleSequence, AlreadyExists, AlreadyConnected, InvitationClosed, NotFound, RequestNotOpen)
"""What the backend answers where another device of the same person was faster, or nobody wants the step any more.

It can be for another reason: who names the step again after a pause has it tried again.
"""
OVER = (UnknownDevice, ClosedAccount, NoProfile)
"""What no waiting makes better."""
OWN_KEYS = "identity-"
"""How the events begin that bring new keys of one's own."""
HOME = "feed"
"""The name under which the book has what is wrong with the home itself."""

Tell = Callable[[Entry], None]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the one that does the steps of this profile; it goes with the process, however that ends.

    Raises:
        AlreadyRunning: another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"an agent runs on {folder} already") from None
        yield
    finally:
        os.close(descriptor)


async def run(session: Session, keyring: Keyring, tell: Tell, sources: Mapping[str, Look] = SOURCES) -> None:
    """Do what there is to do, and then whatever comes, until it is cancelled; the caller holds the lock.

    Raises:
        UnknownDevice, ClosedAccount, NoProfile: this device has nothing more to do here.
    """
    worker = Worker(session, keyring, tell, sources)
    worker.book.recover()
    pauses = backoff()
    while True:
        try:
            await worker.follow()
        except Unreachable as error:
            log.info("the home is away: %s", error.message)
        except OVER:
            raise
        except Exception as error:  # of the home as a whole: no step is done while that stands
            worker.looked(HOME, _shown(error))
        if worker.went_well:
            worker.went_well, pauses = False, backoff()
        await asyncio.sleep(next(pauses))


async def look(
    session: Session, keyring: Keyring, book: TaskBook, sources: Mapping[str, Look] = SOURCES
) -> dict[str, PrivityError]:
    """Write down what there is to do, and do nothing of it; the sources that could not be asked.

    Raises:
        Unreachable: nobody is there.
    """
    await session.connected()  # what this device keeps says nothing of what there is to do now
    worker = Worker(session, keyring, _tell_nobody, sources, book)
    await worker.look(sources)
    return worker.broken


class Worker:
    """One look after the other, and the steps that they find, one at a time: a failed one holds up no other."""

    def __init__(
        self,
        session: Session,
        keyring: Keyring,
        tell: Tell,
        sources: Mapping[str, Look] = SOURCES,
        book: TaskBook | None = None,
    ) -> None:
        self.book = book or TaskBook(session.folder.path)
        self.broken: dict[str, PrivityError] = {}
        self.went_well = False
        self._session = session
        self._keyring = keyring
        self._tell = tell
        self._sources = sources
        self._wakes = Wakes(session)
        self._cursor: int | None = None

    async def follow(self) -> None:
        """Look and work, first everywhere and then where the feed says, until the line breaks or nothing holds."""
        everywhere = True
        while True:
            await self._wakes.listen()
            await self._session.send_kept()
            events = await self._new()
            if not self.went_well or any(event.startswith(OWN_KEYS) for event in events):
                self._keyring, _ = await current(self._session, self._keyring)
            await self.rounds(self._sources if everywhere else self._concerned(events))
            if self._session.offline:  # what was looked at was what this device keeps
                raise Unreachable
            self._session.checked()
            self.looked(HOME, None)
            self.went_well = True
            everywhere = await self._wait()

    async def rounds(self, asked: Iterable[str]) -> None:
        """Ask these sources and do what is due, again as long as other devices are faster."""
        asked = list(asked)
        while asked:
            await asyncio.sleep(random.uniform(0, JITTER))  # noqa: S311 - nothing depends on it
            if await self._work(await self.look(asked)):
                return

    async def look(self, names: Iterable[str]) -> dict[str, list[Task]]:
        """Ask sources what there is to do, and write it down; what each named."""
        found: dict[str, list[Task]] = {}
        for name in names:
            as_of = self.book.change
            try:
                found[name] = await self._sources[name].work(self._session, self._keyring)
            except (Unreachable, *OVER):
                raise
            except Exception as error:  # what one source is served must not end the others
                self.looked(name, _shown(error))
                continue
            self.looked(name, None)
            self.book.found(name, found[name], as_of)
        return found

    def looked(self, name: str, error: PrivityError | None) -> None:
        """Keep, and tell once, that something cannot be asked for what there is to do."""
        before = self.broken.pop(name, None)
        self.book.looked(name, error)
        if error is None:
            return
        self.broken[name] = error
        self._doubt(error)
        if before is None or before.code != error.code:
            log.warning("%s: %s: %s", name, error.code, error.message)
            self._tell_of((LOOK, name))

    async def _new(self) -> list[str]:
        """The events that came since the last time, all checked; none when it is asked for the first time."""
        if self._is_gone():
            raise NoProfile
        if self._cursor is None:
            await feed.learn(self._session)
            self._cursor = self._session.memory.feed.position
            return []
        lines = await feed.past(self._session, self._cursor)
        self._cursor = max([self._cursor, *(line.position for line in lines)])
        return [line.event for line in lines]

    async def _wait(self) -> bool:
        """Wait until there may be work; whether all sources are to be asked."""
        loop, due = asyncio.get_running_loop(), self.book.next_due()
        end, change = loop.time() + IDLE, self.book.change
        retry = loop.time() + max(due, FIRST_PAUSE) if due is not None else end
        look = loop.time() + feed.LOOK
        while True:
            now = loop.time()
            if now >= min(end, retry) or self.book.change != change or self._is_gone():
                return True
            if now >= look:
                return False
            if await self._wakes.wait(min(TICK, end - now, max(retry - now, 0.01))):
                await asyncio.sleep(SETTLE)
                return False

    def _is_gone(self) -> bool:
        """Whether this profile was taken off the device, or is another account's by now."""
        folder = self._session.folder
        return not folder.exists() or folder.load().account != self._session.account

    def _concerned(self, events: Iterable[str]) -> list[str]:
        events = set(events)
        return [name for name, look in self._sources.items() if any(map(look.concerns, events))]

    async def _work(self, found: Mapping[str, list[Task]]) -> bool:
        """Do the steps that are due, in the order of their sources; False as soon as another device was faster."""
        due = self.book.due()
        for tasks in found.values():
            mine = [task for task in tasks if (task.kind, task.id) in due]
            random.shuffle(mine)  # two devices begin at different ends
            for task in mine:
                if not await self._do(task):
                    return False
        return True

    async def _do(self, task: Task) -> bool:
        """One step; False if it seems to have been done elsewhere.

        Raises:
            Unreachable: nobody is there; the step waits.
        """
        named = (task.kind, task.id)
        self.book.begin(named)
        try:
            async with asyncio.timeout(STEP_LIMIT):
                await task.run()
        except FASTER as error:
            log.info("%s %s seems to be done elsewhere: %s", *named, error.code)
            self.book.put_off(named, error)
            if self._is_failed(named):
                self._tell_of(named)
            return False
        except (Unreachable, asyncio.CancelledError, *OVER):
            self.book.put_back(named)
            raise
        except PrivityError as error:
            log.warning("%s %s: %s: %s", *named, error.code, error.message)
            self._fail(named, error)
            return True
        except Exception as error:  # a mistake in one step must not end the others
            log.error("%s %s: %s", *named, _place(error))
            self._fail(named, error)
            return True
        self.book.done(named)
        self._tell_of(named)
        return True

    def _is_failed(self, named: Named) -> bool:
        entry = self.book.entry(named)
        return entry is not None and entry.status == "failed"

    def _fail(self, named: Named, error: Exception) -> None:
        self._doubt(error)
        self.book.failed(named, error)
        self._tell_of(named)

    def _doubt(self, error: Exception) -> None:
        """What was served meanwhile is not kept for when the home cannot be reached."""
        if isinstance(error, IntegrityAlarm | Malformed):
            self._session.doubted()

    def _tell_of(self, named: Named) -> None:
        entry = self.book.entry(named)
        if entry is not None:
            self._tell(entry)


def _shown(error: Exception) -> PrivityError:
    """An error as one with a code: what no check foresaw is most likely of something served that no check refused."""
    return error if isinstance(error, PrivityError) else Malformed(f"what is served cannot be used: {_place(error)}")


def _place(error: Exception) -> str:
    """Where a mistake came up; not its text, which may hold what was read."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.name}, line {place.lineno}"


def _tell_nobody(_: Entry) -> None:
    """A look alone does nothing that could be told."""
