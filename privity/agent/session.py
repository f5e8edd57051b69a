"""A session: a person's open keyring and their line to the home; every command and query of theirs goes through it."""

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

from pydantic import JsonValue, TypeAdapter, ValidationError
from uuid6 import uuid7

from privity.agent.bus import Bus, error_for
from privity.agent.enrolment import credential_for, enrol
from privity.agent.erasing import erased_among
from privity.agent.keyring import Keyring, unlock
from privity.agent.log import check_consistent, check_receipt
from privity.agent.profile import Profile, ProfileFolder, Waiting
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
    RolledBack,
    StaleNonce,
    TooLarge,
    UnknownDevice,
    Unreachable,
)
from privity.messages import envelope
from privity.messages.base import Command
from privity.messages.catalog import command_codec
from privity.messages.envelope import Answer, CommandEnvelope, QueryEnvelope, Result
from privity.messages.fields import SignedRecord
from privity.messages.views import Ask

log = logging.getLogger(__name__)

R = TypeVar("R")
MAX_ANSWER = 1024 * 1024
MAX_PAGES = 1000
_CURSOR = re.compile("[0-9]{1,19}")


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

    def command(self, command: Command, sealed: Sequence[bytes], checkpoint: str | None = None) -> Waiting:
        """A command, signed, ready to be sent.

        `sealed` are the objects that it names, `checkpoint` is the log's newest that this device has seen.
        """
        id, subject = str(uuid7()), envelope.command_subject(self.account, command.subject)
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
    ) -> None:
        """`chain`: of an account that is not registered yet; `credential`: of a device that is not in it yet."""
        self.folder = folder
        self.server = server
        self.address = address
        self._signer = signer
        self._chain = chain
        self._credential = credential
        self._stack = AsyncExitStack()
        self._bus: Bus | None = None
        self._nonce: str | None = None
        self._was_fresh = False
        self._log_seen = False
        self._looking = False
        self.memory = folder.memory()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.memory.close()
        await self._stack.aclose()

    @property
    def account(self) -> str:
        """Whom this session acts for."""
        return self._signer.account

    async def connected(self) -> Bus:
        """The line to the home; what an earlier session could not send goes out first.

        Raises:
            UnknownDevice: the home has taken this device's access back.
            Unreachable: nobody is there.
        """
        if self._bus is None or self._bus.ended:
            self._bus = bus = await self._admitted()
            await self._send_all_kept(bus)
        return self._bus

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
        """One that the backend answers falsely does not hold up those behind it, and is an alarm all the same."""
        alarms: list[IntegrityAlarm] = []
        for waiting in self.folder.waiting():
            try:
                result = await self._deliver(bus, waiting)
            except IntegrityAlarm as alarm:
                self.folder.set_aside(waiting.id)
                log.error("a kept command was set aside: %s: %s", alarm.code, alarm.message)
                alarms.append(alarm)
            else:
                log.warning("a kept command was sent: %s %s", result.status, result.code or "")
        if alarms:
            raise alarms[0]

    async def send(self, command: Command, *sealed: bytes) -> Result:
        """Do one thing, and wait until it is recorded.

        Raises:
            Refusal: the backend says no; its code is the error's class.
            ForgedRecord: what the backend says it recorded is not what was sent.
            Unreachable: the command is kept, and sent when the home is reached again.
        """
        return (await self.send_all([(command, sealed)]))[0]

    async def send_all(self, commands: Sequence[tuple[Command, Sequence[bytes]]]) -> list[Result]:
        """Do several things in order. All are kept before the first is sent; after a refusal none follows."""
        mark = self.memory.checkpoint
        checkpoint = mark.note if mark else None
        kept = [self._signer.command(command, sealed, checkpoint) for command, sealed in commands]
        try:
            bus = await self.connected()
        except Unreachable as error:
            self._keep(kept)
            raise Unreachable(f"{error.message}; what you asked for is kept and sent next time") from error
        self._keep(kept)
        results = []
        for number, waiting in enumerate(kept):
            result = await self._deliver(bus, waiting)
            if result.status == "refused":
                for rest in kept[number + 1 :]:
                    self.folder.answered(rest.id)
                raise error_for(result.code, result.message)
            results.append(result)
        try:
            await self._check_log()
        except (UnknownDevice, Busy, Unreachable) as error:  # what was sent is recorded all the same
            log.info("the log's newest checkpoint waits to be checked: %s", error.code)
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

        Raises:
            Refusal: as the backend says.
            ForgedRecord: a sealed object is not the one that the row names.
            Unreachable: no answer.
        """
        known = self.memory.feed.position
        answer, sealed = await self._asked(ask, fresh)
        rows = read_rows(answer, row)
        return Rows(rows, sealed, erased_among(self.memory, rows, sealed, known))

    async def ask_all(self, ask: Ask, row: type[R], *, fresh: bool = False) -> Rows[R]:
        """All pages of a view."""
        rows: list[R] = []
        sealed: dict[str, bytes] = {}
        known = self.memory.feed.position
        for _ in range(MAX_PAGES):
            answer, blobs = await self._asked(ask, fresh)
            rows.extend(read_rows(answer, row))
            sealed.update(blobs)
            if answer.next is None:
                break
            ask = replace(ask, after=_further(ask.after, answer.next))
        return Rows(tuple(rows), sealed, erased_among(self.memory, rows, sealed, known))

    def _keep(self, commands: Sequence[Waiting]) -> None:
        for waiting in commands:
            self.folder.keep(waiting)

    async def _deliver(self, bus: Bus, waiting: Waiting) -> Result:
        result = await self._over(bus, lambda line: line.send(waiting.subject, waiting.id, waiting.data))
        if result.status == "accepted":
            _check_own(result, waiting)
            self.memory.pend(check_receipt(result, self.server))
            self.folder.reached(max(event.position for event in result.events))
        self.folder.answered(waiting.id)
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
            raise error_for(answer.code, answer.message)
        return answer, sealed

    async def _once(self, ask: Ask, fresh: bool) -> tuple[Answer, dict[str, bytes]]:
        bus = await self.connected()
        nonce, self._nonce = (self._nonce, None) if fresh else (None, self._nonce)
        self._was_fresh = nonce is not None
        at_least = self.folder.position
        subject, data = self._signer.query(ask, nonce, at_least)
        answer, sealed = read_answer(await self._over(bus, lambda line: line.ask(subject, data)))
        if answer.status == "ok" and answer.position < at_least:
            raise RolledBack(f"The backend answered as of position {answer.position}; {at_least} was seen before.")
        self._nonce = answer.nonce
        return answer, sealed


def open_session(folder: ProfileFolder, passphrase: str, server: str | None = None) -> tuple[Session, Keyring, Profile]:
    """Unlock a profile; nothing is sent yet.

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
    return Session(folder, string, signer, profile.address), keyring, profile


def query_payload(account: str, device: str, ask: Ask, nonce: str | None, at_least: int) -> bytes:
    """A query's envelope, the bytes that are signed."""
    params = cast(dict[str, JsonValue], TypeAdapter(type(ask)).dump_python(ask, mode="json"))
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
    try:
        return TypeAdapter(tuple[row, ...]).validate_python(answer.rows)  # type: ignore[valid-type]
    except ValidationError as error:
        raise Malformed("the backend's answer cannot be read") from error


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
