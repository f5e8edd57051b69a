"""A session: a person's open keyring and their line to the home; every command and query of theirs goes through it."""

import json
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast
from uuid import UUID

from pydantic import JsonValue, TypeAdapter, ValidationError
from uuid6 import uuid7

from privity.agent.bus import Bus, error_for
from privity.agent.cache import Erased, Parted, Served, Step
from privity.agent.enrolment import credential_for, enrol
from privity.agent.erasing import erased_among
from privity.agent.keyring import Keyring, unlock
from privity.agent.log import check_consistent, check_receipt
from privity.agent.offline import ALWAYS, Away, note, read_waiting, tell_changed, tell_refused
from privity.agent.profile import MAX_WAITING, Profile, ProfileFolder, Waiting
from privity.agent.shelves import changes, is_kept
from privity.connection_string import ConnectionString, parse_connection_string
from privity.credential import Credential
from privity.crypto.command import frame, sign_command, sign_query, unframe
from privity.crypto.signing import SigningKey
from privity.encoding import digest, lp
from privity.errors import (
    Ambiguous,
    Busy,
    DoesNotOpen,
    ForgedRecord,
    IntegrityAlarm,
    KeyMismatch,
    Malformed,
    NotAdmitted,
    NotFound,
    PrivityError,
    RateLimited,
    Refusal,
    RolledBack,
    StaleNonce,
    TooLarge,
    TooManyWaiting,
    UnknownDevice,
    Unreachable,
    Withheld,
)
from privity.messages import envelope
from privity.messages.base import Command
from privity.messages.catalog import command_codec
from privity.messages.envelope import Answer, CommandEnvelope, QueryEnvelope, Result
from privity.messages.fields import SignedRecord
from privity.messages.items import RemoveItem
from privity.messages.views import Ask, AskItems, ItemRow

log = logging.getLogger(__name__)

R = TypeVar("R")
MAX_ANSWER = 1024 * 1024
MAX_PAGES = 1000
MAX_STAGED = 64 * 1024 * 1024
"""Bytes of their sealed objects."""
MAX_STEPS = 1000
"""Answers and commands of which it waits whether they hold, before they are kept."""
LATER = frozenset({Busy.__name__, RateLimited.__name__})
"""Refusals that say nothing of the command: it goes on waiting."""
_CURSOR = re.compile("[0-9]{1,19}")
_codecs: dict[Any, TypeAdapter[Any]] = {}


@dataclass(frozen=True, slots=True)
class Rows(Generic[R]):
    """An answer's rows, and the sealed objects behind them by digest: each was hashed here.

    `erased` are those of them that the feed said were erased.
    """

    rows: tuple[R, ...]
    sealed: Mapping[str, bytes] = field(repr=False)
    erased: frozenset[str] = frozenset()

    def one(self, what: str, id: str) -> R:
        """The only row, whose field `what` begins with `id`.

        Raises:
            NotFound: there is none.
            Ambiguous: there are more, or no id was given: `rm ""` must not take the only one.
            ForgedRecord: the backend answered with another thing than the one asked for.
        """
        if not id:
            raise Ambiguous(f"every {what} begins with nothing; give its id or the beginning of it")
        if not self.rows:
            raise NotFound(f"there is no {what} {id}")
        if len(self.rows) > 1:
            raise Ambiguous(f"more than one {what} begins with {id!r}; give more of the id")
        if not str(getattr(self.rows[0], what)).startswith(id):
            raise ForgedRecord(f"The backend answered with another {what} than the one asked for.")
        return self.rows[0]

    def blob(self, digest: str) -> bytes:
        """The sealed object of that digest.

        Raises:
            DoesNotOpen: the backend left it out.
            RolledBack: the backend had erased it.
        """
        if digest in self.erased:
            raise RolledBack("The backend serves a sealed object again that it had erased.")
        if digest not in self.sealed:
            raise DoesNotOpen("The backend left out a sealed object that it should have served.")
        return self.sealed[digest]


@dataclass(frozen=True, slots=True)
class Signer:
    """A device that signs for an account at a home."""

    account: str
    device: str
    key: SigningKey = field(repr=False)
    home: str

    def command(
        self, command: Command, sealed: Sequence[bytes], checkpoint: str | None = None, after: str = ""
    ) -> Waiting:
        """A command, signed, ready to be sent.

        `sealed` are the objects that it names, `checkpoint` is the log's newest that this device has seen, `after`
        the id of a command that is to be sent before.
        """
        id, subject = new_command_id(after), envelope.command_subject(self.account, command.subject)
        body = command_codec(type(command)).dump_python(command, mode="json")
        read = CommandEnvelope(1, id, self.account, self.device, datetime.now(UTC), body, checkpoint)
        payload = envelope.command_envelope.dump_json(read)
        signature = sign_command(self.key, self.home, subject, payload)
        data = frame(signature, payload, *sealed)
        # Kept in the outbox, it would keep all that follows from being sent.
        if len(payload) > envelope.MAX_PAYLOAD or len(data) > envelope.MAX_MESSAGE:
            raise TooLarge(f"this is {len(data)} bytes with its keys; {envelope.MAX_MESSAGE} can be sent at once")
        return Waiting(id, subject, data)

    def query(self, ask: Ask, nonce: str | None, at_least: int) -> tuple[str, bytes]:
        """A query's subject and signed frame."""
        subject = envelope.query_subject(self.account, ask.view)
        payload = query_payload(self.account, self.device, ask, nonce, at_least)
        return subject, frame(sign_query(self.key, self.home, subject, payload), payload)


class Session:
    """Signs, sends, waits and checks. Connects when it first has to; commands are kept before they are sent."""

    def __init__(
        self,
        folder: ProfileFolder,
        server: ConnectionString,
        signer: Signer,
        address: str,
        *,
        chain: Sequence[SignedRecord] = (),
        credential: Credential | None = None,
        keyring: Keyring | None = None,
        offline: bool = False,
    ) -> None:
        """`chain`: of an account that is not registered yet; `credential`: of a device that is not in it yet.

        `keyring`: to keep one's own version where another device was faster; `offline`: as if there were no home.
        """
        self.folder = folder
        self.server = server
        self.address = address
        self._signer = signer
        self._chain = chain
        self._credential = credential
        self._keyring = keyring
        self._on_purpose = offline
        self._stack = AsyncExitStack()
        self._bus: Bus | None = None
        self._nonce: str | None = None
        self._was_fresh = False
        self._log_seen = False
        self._looking = False
        self._met = False
        self._away: Away | None = None
        self._sending = 0
        self._signed_last = ""
        self._steps: list[Step] = []
        self._staged = 0
        self.queued = 0
        """Commands that this session kept to be sent later."""
        self.memory = folder.memory()
        self.cache = folder.cache()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle(error)
        was_offline = self.offline
        if self._away is not None:
            self._away.tell()
        self.memory.close()
        self.cache.close()
        await self._stack.aclose()
        if was_offline and isinstance(error, RolledBack | Withheld):
            raise _older() from error

    @property
    def account(self) -> str:
        """Whom this session acts for."""
        return self._signer.account

    @property
    def offline(self) -> bool:
        """Whether the home could not be reached, so that what is asked is answered by what this device keeps."""
        return self._away is not None

    def meant(self, error: PrivityError) -> PrivityError:
        """What is wrong: that what this device keeps is older than what it saw is no alarm, as nobody served it."""
        return _older() if self.offline and isinstance(error, RolledBack | Withheld) else error

    def lacking(self, things: Sequence[str]) -> Sequence[str]:
        """Those of these items and shares, known and not kept here, that are not given up by a command that waits.

        The notice says how many there are.
        """
        return self._away.lacking(things) if self._away is not None else ()

    async def connected(self) -> Bus:
        """The line to the home; what an earlier session could not send goes out first.

        Raises:
            UnknownDevice: the home has taken this device's access back.
            Unreachable: nobody is there.
        """
        if self._on_purpose:
            raise Unreachable("you are offline, as you asked")
        if self._bus is None or self._bus.ended:
            try:
                self._bus = bus = await self._admitted()
            except UnknownDevice:
                self._forget()
                raise
            await self._send_all_kept(bus)
        self._away = None
        return self._bus

    async def send_kept(self) -> None:
        """Send what waits: another process of this profile may have kept it while nobody could be reached.

        Raises:
            IntegrityAlarm: one was answered falsely, and set aside.
            Unreachable: nobody is there.
        """
        await self._send_all_kept(await self.connected())

    async def reach(self) -> None:
        """Try a home again that was away, and send what waits. A session that stays open does so now and then.

        Raises:
            IntegrityAlarm: as `send_kept`.
            Busy, RateLimited, Unreachable: not now; what is asked until then, this device answers.
        """
        try:
            if self._bus is not None and self._bus.lost:
                raise Unreachable("the line to the home is lost")
            await self.send_kept()
            if self.folder.has_waiting:
                raise Unreachable("another process of this profile sends what waits")
        except (Busy, RateLimited, Unreachable) as error:
            self.lost(error.message)
            raise

    def lost(self, why: str) -> Away:
        """The home does not answer any more: what is asked from now on, this device answers, until it is reached."""
        if self._away is None:
            self.checked()  # so that the answers have what was done until now
            self._away = Away(self.folder, self.memory, self.cache, self.account, why)
        return self._away

    def settle(self, error: BaseException | None) -> None:
        """Something was done, or failed like this: what was served for it held, unless that is what the error says."""
        self.doubted() if isinstance(error, IntegrityAlarm | Malformed) else self.checked()

    def checked(self) -> None:
        """What was served until now held, say those who asked: it is kept for when the home cannot be reached."""
        self._keep_steps(self._steps)

    def doubted(self) -> None:
        """Something that was served did not hold: nothing of it is kept, but for what took effect and what is gone."""
        self._keep_steps([each for each in self._steps if not isinstance(each, Served)])

    def _forget(self) -> None:
        """A device that was taken out keeps nothing."""
        self._steps, self._staged = [], 0
        self.cache.forget()

    def _keep_steps(self, steps: Sequence[Step]) -> None:
        self._steps, self._staged = [], 0
        if steps and self.folder.exists():
            self.cache.keep(steps, self.account)

    def erased(self, digests: Sequence[str]) -> None:
        """Let go of what the feed says is erased."""
        if digests:
            self.cache.erase(digests)
            self._step(Erased(digests))

    def parted(self) -> None:
        """Let go of what was kept as somebody's delegate: the feed says that one is none any more."""
        self.cache.part()
        self._step(Parted())

    async def _admitted(self) -> Bus:
        """A line over the credential that there is; over a new one, where that is not good any more."""
        credential = self._credential or await credential_for(self.folder, self.server, self._signer, self._chain)
        try:
            return await self._stack.enter_async_context(Bus(self.server, self.account, credential))
        except NotAdmitted:
            credential = await enrol(self.folder, self.server, self._signer, self._chain)
            return await self._stack.enter_async_context(Bus(self.server, self.account, credential))

    async def _over(self, bus: Bus, work: Callable[[Bus], Awaitable[R]]) -> R:
        """Do it over that line, and over a new one if the home ends it meanwhile."""
        try:
            return await work(bus)
        except Unreachable:
            if not bus.ended:
                raise
        return await work(await self.connected())

    async def _send_all_kept(self, bus: Bus) -> None:
        """In order. One that is answered falsely does not hold up those behind it, and is an alarm all the same."""
        if self._sending or not self.folder.has_waiting:
            return
        self._sending += 1
        try:
            async with self.folder.sending(alone=True) as alone:
                if alone:
                    await self._empty_outbox(bus)
        finally:
            self._sending -= 1

    async def _empty_outbox(self, bus: Bus) -> None:
        alarms: list[IntegrityAlarm] = []
        self.folder.finish_swaps()
        line = deque(self.folder.waiting())
        while line:
            waiting = line.popleft()
            if waiting.version and await self._was_changed(waiting):
                self.folder.set_aside(waiting.id)
                continue
            try:
                result = await self._delivered(bus, waiting)
            except IntegrityAlarm as alarm:
                self.folder.set_aside(waiting.id)
                log.error("a kept command was set aside: %s: %s", alarm.code, alarm.message)
                alarms.append(alarm)
                continue
            if result.code in LATER:
                raise error_for(result.code, result.message)
            if result.status == "refused":
                line = deque(await self._refused(waiting, result, line))
            else:
                self.folder.answered(waiting.id)
                log.warning("a kept command was sent: %s", result.status)
        if alarms:
            raise alarms[0]

    async def _was_changed(self, waiting: Waiting) -> bool:
        """Whether another device changed the item that is to be given up, since it was; then it stays, as is told."""
        written = read_waiting(waiting)
        if written is None or not isinstance(written.command, RemoveItem):
            return False
        item = written.command.item
        found = _typed((await self._served(AskItems(id=item, limit=1), False, 1)).rows, ItemRow)
        if all(row.item != item or row.version <= waiting.version for row in found):
            return False
        tell_changed(item)
        return True

    async def _refused(self, waiting: Waiting, result: Result, behind: Sequence[Waiting]) -> list[Waiting]:
        """What is to be sent now: an edit that another device was faster than becomes an item of its own.

        Raises:
            Busy, RateLimited, Unreachable: what that takes cannot be asked for now; all waits as it did.
        """
        from privity.agent.conflicts import ELSEWHERE, copy_of, sealed_anew, tell_copy  # about items, built on this

        copy = None
        try:
            if self._keyring is not None and result.code in ELSEWHERE:
                anew = await sealed_anew(self, self._keyring, waiting, behind)
                if anew is not None:
                    return self._swap([each.id for each in anew.chain], anew.instead(self._signed), behind)
                copy = await copy_of(self, self._keyring, waiting, behind)
        except (Busy, RateLimited):
            raise
        except (IntegrityAlarm, Refusal) as error:
            log.error("a kept edit cannot be opened: %s", error.code)
        if copy is None:
            self.folder.set_aside(waiting.id)
            tell_refused(waiting, result)
            return list(behind)
        instead = [self._signed(command, sealed) for command, sealed in copy.bringing]
        line = self._swap(copy.ids, instead, behind)
        tell_copy(copy, result.code or "")
        return line

    def _swap(self, ids: Sequence[str], instead: Sequence[Waiting], behind: Sequence[Waiting]) -> list[Waiting]:
        self.folder.swap(ids, instead)
        return [each for each in behind if each.id not in ids] + list(instead)

    async def send(self, command: Command, *sealed: bytes) -> Result:
        """Do one thing, and wait until it is recorded.

        Raises:
            Refusal: the backend says no; its code is the error's class.
            ForgedRecord: what the backend says it recorded is not what was sent.
            Unreachable: the command is kept, and sent when the home is reached again.
        """
        return (await self.send_all([(command, sealed)]))[0]

    async def queue(self, command: Command, *sealed: bytes, version: int = 0) -> Result | None:
        """Do one thing, now or when the home is reached again; None where it waits.

        `version` is the one of the item that it gives up: where it waits, a newer one is not given up unseen.
        """
        results = await self.queue_all([(command, sealed)], version=version)
        return results[0] if results else None

    async def queue_all(self, commands: Sequence[tuple[Command, Sequence[bytes]]], *, version: int = 0) -> list[Result]:
        """Do several things in order, now or when the home is reached again; nothing where they wait.

        Raises:
            Refusal: as `send`; what waits and is refused later is told in a notice.
            TooManyWaiting: no more can wait.
        """
        if self.offline:
            self._queue([self._signed(command, sealed, version) for command, sealed in commands])
        else:
            try:
                return await self.send_all(commands, version=version)
            except Unreachable as error:
                log.info("kept: %s", error.message)
        self.queued += len(commands)
        return []

    async def send_all(self, commands: Sequence[tuple[Command, Sequence[bytes]]], *, version: int = 0) -> list[Result]:
        """Do several things in order. All are kept before the first is sent; after a refusal none follows.

        Raises:
            Unreachable: they are kept, and sent next time; but nothing is that follows from what the cache answered.
            TooManyWaiting: they are not kept: no more can wait.
        """
        if self.offline:
            raise Unreachable("the home cannot be reached, and this needs it")
        kept = [self._signed(command, sealed, version) for command, sealed in commands]
        try:
            bus = await self.connected()
        except Unreachable as error:
            self._queue(kept)
            raise Unreachable(f"{error.message}; what you asked for is kept and sent next time") from error
        self._sending += 1
        try:
            async with self.folder.sending(alone=False) as held:
                if not held:  # it would take these for ones that wait
                    self._queue(kept)
                    raise Unreachable("another process of this profile sends what waited; this is kept, and sent next")
                results = await self._deliver_all(bus, kept)
        finally:
            self._sending -= 1
        try:
            await self._check_log()
        except (UnknownDevice, Busy, Unreachable) as error:  # what was sent is recorded all the same
            log.info("the log's newest checkpoint waits to be checked: %s", error.code)
        return results

    async def _deliver_all(self, bus: Bus, kept: Sequence[Waiting]) -> list[Result]:
        self._keep(kept)
        results = []
        for number, waiting in enumerate(kept):
            result = await self._delivered(bus, waiting)
            self.folder.answered(waiting.id)
            if result.status == "refused":
                for rest in kept[number + 1 :]:
                    self.folder.answered(rest.id)
                raise error_for(result.code, result.message)
            results.append(result)
        return results

    async def consistent(self, *notes: str) -> None:
        """Hold checkpoints of others, and the backend's newest, against what this device saw of the home's log.

        Raises:
            ForkedLog: two histories: one does not go on from the other.
            RolledBack: the log is shorter than it was.
            ForgedRecord: one is no checkpoint of this home's log.
        """
        await check_consistent(self, notes)

    async def ask(self, ask: Ask, row: type[R], *, fresh: bool = False) -> Rows[R]:
        """One page of a view, at least as new as what this profile has seen; `fresh` to have wrapped keys released.

        Of a home that cannot be reached, what this device keeps.

        Raises:
            Refusal: as the backend says.
            ForgedRecord: a sealed object is not the one that the row names.
            Unreachable: no answer, and none is kept.
        """
        return await self._rows(ask, row, fresh, 1)

    async def ask_all(self, ask: Ask, row: type[R], *, fresh: bool = False) -> Rows[R]:
        """All pages of a view; as `ask`.

        Raises:
            TooLarge: there are more than can be asked for at once. A part would look like all.
        """
        return await self._rows(ask, row, fresh, MAX_PAGES)

    async def _rows(self, ask: Ask, row: type[R], fresh: bool, pages: int) -> Rows[R]:
        known = self.memory.feed.position
        away = self._away
        if away is None:
            try:
                served = await self._served(ask, fresh, pages)
                rows = _typed(served.rows, row)
                self._stage(served)
                return Rows(rows, served.sealed, erased_among(self.memory, rows, served.sealed, known))
            except Unreachable as error:
                if self._met:
                    raise
                away = self.lost(error.message)
        kept = away.answer(ask, fresh=fresh)
        rows = _typed(kept.rows[: ask.limit] if pages == 1 else kept.rows, row)
        return Rows(rows, kept.sealed, erased_among(self.memory, rows, kept.sealed, known))

    async def _served(self, ask: Ask, fresh: bool, pages: int) -> Served:
        rows: list[dict[str, JsonValue]] = []
        sealed: dict[str, bytes] = {}
        page, next_one = ask, None
        for left in reversed(range(pages)):
            answer, blobs = await self._asked(page, fresh)
            rows.extend(answer.rows)
            sealed.update(blobs)
            next_one = answer.next
            if next_one is None or not left:
                break
            page = replace(page, after=_further(page.after, next_one))
        if next_one is not None and pages > 1:
            raise TooLarge(f"{ask.view} has more than {pages} pages")
        return Served(ask, rows, sealed, whole=next_one is None, fresh=fresh, at=time.time())

    def _stage(self, served: Served) -> None:
        """It is kept when all went well."""
        if is_kept(served.ask) and (served.rows or served.whole):
            self._step(served)

    def _step(self, step: Step) -> None:
        self._steps.append(step)
        self._staged += step.size
        if len(self._steps) > MAX_STEPS or self._staged > MAX_STAGED:
            self.doubted()

    def _signed(self, command: Command, sealed: Sequence[bytes], version: int = 0) -> Waiting:
        mark, before = self.memory.checkpoint, max([*self.folder.waiting_ids(), self._signed_last])
        made = self._signer.command(command, sealed, mark.note if mark else None, before)
        self._signed_last = made.id
        return replace(made, version=version)

    def _queue(self, commands: Sequence[Waiting]) -> None:
        if len(self.folder.waiting_ids()) + len(commands) > MAX_WAITING:
            raise TooManyWaiting(f"{MAX_WAITING} commands may wait on this device; reach the home before more are kept")
        self._keep(commands)

    def _keep(self, commands: Sequence[Waiting]) -> None:
        for waiting in commands:
            self.folder.keep(waiting)

    async def _delivered(self, bus: Bus, waiting: Waiting) -> Result:
        result = await self._over(bus, lambda line: line.send(waiting.subject, waiting.id, waiting.data))
        self._met = True
        written = read_waiting(waiting) if result.status != "refused" else None
        if result.status == "accepted":
            _check_own(result, waiting)
            self.memory.pend(check_receipt(result, self.server))
            self.folder.reached(max(event.position for event in result.events))
            if written is not None:
                note(self.memory, written.command, self.account, result.position)
                if changes(written.done, self.account):
                    self._step(written.done)
        elif written is not None and isinstance(written.command, ALWAYS):
            raise ForgedRecord("The backend says that what you keep was there already, and it cannot have been.")
        elif result.code == UnknownDevice.__name__:
            self._forget()
        return result

    async def _check_log(self) -> None:
        """Once a session, and after what was sent: the log must go on from where this device saw it."""
        self._log_seen, self._looking = False, True
        try:
            pending = self.memory.pending()
            await self.consistent(*pending)
            self.memory.settle(pending)
            self._log_seen = True
        finally:
            self._looking = False

    async def _asked(self, ask: Ask, fresh: bool) -> tuple[Answer, dict[str, bytes]]:
        if not self._log_seen and not self._looking:
            await self.connected()
            await self._check_log()
        answer, sealed = await self._once(ask, fresh)
        if answer.code == StaleNonce.__name__ or (fresh and answer.status == "ok" and not self._was_fresh):
            answer, sealed = await self._once(ask, fresh)
        if answer.status == "refused":
            if answer.code == UnknownDevice.__name__:
                self._forget()
            raise error_for(answer.code, answer.message)
        return answer, sealed

    async def _once(self, ask: Ask, fresh: bool) -> tuple[Answer, dict[str, bytes]]:
        bus = await self.connected()
        nonce, self._nonce = (self._nonce, None) if fresh else (None, self._nonce)
        self._was_fresh = nonce is not None
        at_least = self.folder.position
        subject, data = self._signer.query(ask, nonce, at_least)
        answer, sealed = read_answer(await self._over(bus, lambda line: line.ask(subject, data)))
        self._met = True
        if answer.status == "ok" and answer.position < at_least:
            raise RolledBack(f"The backend answered as of position {answer.position}; {at_least} was seen before.")
        self._nonce = answer.nonce
        return answer, sealed


def open_session(
    folder: ProfileFolder, passphrase: str, server: str | None = None, *, offline: bool = False
) -> tuple[Session, Keyring, Profile]:
    """Unlock a profile; nothing is sent yet, and nothing will be with `offline`.

    Raises:
        NoProfile: there is none.
        BadPassphrase: it does not open.
    """
    profile = folder.load()
    keyring = unlock(profile, passphrase)
    string = parse_connection_string(server or profile.server)
    if string.home != parse_connection_string(profile.server).home:
        raise KeyMismatch("This server is another home than the one of this account: its log key differs.")
    signer = Signer(profile.account, profile.device, keyring.device, string.home)
    session = Session(folder, string, signer, profile.address, keyring=keyring, offline=offline)
    return session, keyring, profile


def _older() -> Unreachable:
    return Unreachable("what is kept on this device is older than what was seen")


def new_command_id(after: str = "") -> str:
    """A UUIDv7 that is greater than another one, also where the clock was set back."""
    new = uuid7()
    try:
        behind = UUID(after or str(UUID(int=0)))
    except ValueError:  # a file of somebody else's
        return str(new)
    if new.int <= behind.int:
        low = (1 << 80) - 1
        return str(UUID(int=(((behind.int >> 80) + 1) << 80) | (new.int & low)))
    return str(new)


def query_payload(account: str, device: str, ask: Ask, nonce: str | None, at_least: int) -> bytes:
    """A query's envelope, the bytes that are signed."""
    params = cast(dict[str, JsonValue], _codec(type(ask)).dump_python(ask, mode="json"))
    query = QueryEnvelope(1, str(uuid7()), account, device, datetime.now(UTC), params, nonce, at_least)
    return envelope.query_envelope.dump_json(query)


def read_answer(data: bytes) -> tuple[Answer, dict[str, bytes]]:
    """An answer's frame: the answer, and the sealed objects by their digests.

    Raises:
        Malformed: it cannot be read.
    """
    head, *blobs = unframe(data, 1 + 4 * 200, MAX_ANSWER) or [b""]
    try:
        return envelope.answer.validate_json(head), {digest(blob): blob for blob in blobs}
    except ValidationError as error:
        raise Malformed("the backend's answer cannot be read") from error


def read_rows(answer: Answer, row: type[R]) -> tuple[R, ...]:
    """An answer's rows as what they are.

    Raises:
        Malformed: they are something else.
    """
    return _typed(answer.rows, row)


def _typed(rows: Sequence[Mapping[str, JsonValue]], row: type[R]) -> tuple[R, ...]:
    try:
        return cast(tuple[R, ...], _codec(tuple[row, ...]).validate_python(tuple(rows)))  # type: ignore[valid-type]
    except ValidationError as error:
        raise Malformed("the backend's answer cannot be read") from error


def _codec(type_: Any) -> TypeAdapter[Any]:
    """Made once: that takes longer than most answers take to read."""
    if type_ not in _codecs:
        _codecs[type_] = TypeAdapter(type_)
    return _codecs[type_]


def _further(after: int, cursor: str) -> int:
    """The next page's cursor, which must be behind this page's."""
    if not _CURSOR.fullmatch(cursor) or int(cursor) <= after:
        raise Malformed("the backend's pages do not go on")
    return int(cursor)


def _check_own(result: Result, waiting: Waiting) -> None:
    """Every event that the backend says it recorded must name this very command; its fields may be of any version."""
    _, payload, *_ = unframe(waiting.data, envelope.MAX_SEALED + 2, envelope.MAX_MESSAGE)
    own = digest(lp(waiting.subject.encode(), payload))
    try:
        recorded = [json.loads(event.data)["meta"]["digest"] for event in result.events]
    except (ValueError, KeyError, TypeError, RecursionError):
        recorded = []
    if not recorded or any(each != own for each in recorded):
        raise ForgedRecord("The backend recorded another command than the one that was sent.")
