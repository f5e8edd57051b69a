"""The committer: decides a batch of commands in order and appends all of it in one synced transaction."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.facts import Actor
from domain.read import hour_of
from handlers.opening import Delivery, Opened, Unopened, open_delivery
from handlers.reads import OpenedRead, decide_read, open_read
from handlers.registry import HANDLERS, Desk, Home
from handlers.results import ReceiptOf, to_result
from handlers.states import States, likely_read
from infra.log import Log
from infra.mapping import to_row
from infra.store import Batch, CommandRow, EventStore, Stored, Written
from infra.store import Event as Row
from privity.crypto.command import verify_command
from privity.encoding import unb64
from privity.errors import (
    CommandIdReused,
    IntegrityAlarm,
    Internal,
    Malformed,
    PrivityError,
    Refusal,
    StoreConflict,
    StoreUnavailable,
    TooLarge,
    UnknownCommand,
    UnknownDevice,
)
from privity.messages.base import Event
from privity.messages.envelope import Receipt, Result
from privity.messages.erasing import SealedErased
from privity.messages.reads import RECORD_SUBJECT
from privity.messages.recorded import Meta

log = logging.getLogger(__name__)

ATTEMPTS_ON_CONFLICT = 3
ATTEMPTS_ON_POISON = 5
PARKED = (Malformed, UnknownCommand, TooLarge)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be done with one delivery once the batch is on disk.

    A result is sent to `account` where there is one; `dead` is the reason to park the message;
    with neither, it is to be delivered again. `at_hour`: a read is recorded for that hour.
    """

    account: str = ""
    result: Result | None = None
    dead: str | None = None
    at_hour: datetime | None = None


class Committer:
    """Decides and appends, on the one thread that owns it."""

    def __init__(self, store: EventStore, home: Home, clock: Callable[[], datetime], log: Log | None = None) -> None:
        """Accepted results carry receipts of `log`; without one they carry none (for benchmarks)."""
        self._store = store
        self._home = home
        self._clock = clock
        self._log = log
        self._states = States(store)

    def process(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """One outcome a delivery, in order; whatever is `accepted` is synced to disk when this returns.

        Raises:
            StoreUnavailable: nothing is acknowledged; call again with the same deliveries.
        """
        try:
            return self._process(deliveries)
        except StoreUnavailable:
            raise
        except Exception as error:  # a conflict, or a command that a handler trips over: find out which
            log.info("%s: %d commands are tried one by one", type(error).__name__, len(deliveries))
            return [self._alone(delivery) for delivery in deliveries]

    def _alone(self, delivery: Delivery) -> Outcome:
        for _ in range(ATTEMPTS_ON_CONFLICT):
            try:
                return self._process([delivery])[0]
            except StoreConflict:
                continue
            except StoreUnavailable:
                raise
            except Exception as error:
                return _poisoned(delivery, error)
        return Outcome()

    def _process(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        opened = [_open(delivery) for delivery in deliveries]
        work = _Work(self._store.commands([o.key for o in opened if isinstance(o, Opened | OpenedRead)]))
        self._states.begin()
        try:
            if len(opened) > 1:
                self._look_ahead(work, opened)
            drafts = [self._one(work, each) for each in opened]
            written = self._store.write(work.to_batch(self._states.read_set))
        except BaseException:
            self._states.forget()
            raise
        repeated = self._store.positions(work.repeated)
        placed = work.placed(written.positions) | {(event.stream, event.version): event for event in repeated}
        receipts = self._receipts(written, repeated)
        return [
            draft if isinstance(draft, Outcome) else Outcome(draft[0], to_result(work.rows[draft], placed, receipts))
            for draft in drafts
        ]

    def _receipts(self, written: Written, repeated: Sequence[Stored]) -> ReceiptOf | None:
        """Signed only now: what is not committed must never have a checkpoint."""
        if self._log is None:
            return None
        older = self._log.receipts([event.position for event in repeated]) if repeated else None
        newer = self._log.receipts_of(written.growth) if written.growth else None

        def receipt_of(positions: Sequence[int]) -> Receipt:
            found = newer if newer and positions[0] in newer.proofs else older
            assert found is not None  # noqa: S101 - each position is of this batch, or of one before
            return found.of(positions)

        return receipt_of

    def _look_ahead(self, work: "_Work", opened: Sequence[Opened | OpenedRead | Unopened]) -> None:
        """Read for all at once what each will need; what this misses is read when its turn comes."""
        new = [each for each in opened if isinstance(each, Opened) and each.key not in work.rows]
        self._states.preload(stream for each in new for stream in likely_read(each.account, each.command))

    def _one(self, work: "_Work", opened: Opened | OpenedRead | Unopened) -> Outcome | Key:
        """The key of the command row that holds the result, or an outcome that is not recorded."""
        if isinstance(opened, Unopened):
            return _unopened(opened)
        if isinstance(opened, OpenedRead):
            return self._read(work, opened)
        known = work.rows.get(opened.key)
        if known is not None and known.digest == opened.digest:
            work.repeat(known)
            return opened.key
        try:
            self._verify(opened)
            if known is not None:
                raise CommandIdReused
            self._decide(work, opened)
        except (Refusal, IntegrityAlarm) as refusal:
            return _refused(opened, refusal)
        return opened.key

    def _verify(self, opened: Opened) -> None:
        registration = HANDLERS[type(opened.command)]
        devices = registration.devices(opened.command, opened.account, self._states.load)
        public = devices.get(opened.envelope.device)
        if public is None:
            raise UnknownDevice
        verify_command(unb64(public), opened.signature, self._home.id, opened.subject, opened.payload)

    def _decide(self, work: "_Work", opened: Opened) -> None:
        desk = self._desk(opened)
        try:
            events = HANDLERS[type(opened.command)].handler(opened.command, desk)
        except (Refusal, IntegrityAlarm) as refusal:
            work.record(opened, "refused", refusal=refusal)
            return
        self._record(work, opened, events, desk.by)

    def _read(self, work: "_Work", opened: OpenedRead) -> Outcome:
        """A query that was recorded once is no evidence for another hour: a reader could send it for ever."""
        desk = self._desk(opened)
        try:
            events = decide_read(opened, desk)
            if events and opened.key in work.rows:
                raise CommandIdReused
        except (Refusal, IntegrityAlarm) as refusal:
            return _refused(opened, refusal)
        if events:
            self._record(work, opened, events, desk.by)
        return Outcome(opened.account, at_hour=hour_of(desk.by.at))

    def _desk(self, opened: Opened | OpenedRead) -> Desk:
        by = Actor(opened.account, opened.envelope.device, self._clock())
        sealed = opened.sealed if isinstance(opened, Opened) else {}
        return Desk(by, self._home, self._states.load, {digest: len(blob) for digest, blob in sealed.items()})

    def _record(self, work: "_Work", opened: Opened | OpenedRead, events: Sequence[Event], by: Actor) -> None:
        meta = Meta(opened.envelope.id, opened.digest, opened.account, opened.envelope.device, by.at)
        rows = [to_row(event, version, meta) for event, version in self._states.numbered(events)]
        for event in events:
            self._states.apply(event)
        work.record(opened, "accepted" if rows else "ignored", rows)
        work.erase(digest for event in events if isinstance(event, SealedErased) for digest in event.digests)


class _Work:
    """The batch as it grows: command rows (those found in the store too), events and sealed objects."""

    def __init__(self, known: dict[Key, CommandRow]) -> None:
        self.rows = dict(known)
        self.repeated: list[tuple[str, int]] = []
        self._stored = set(known)
        self._new: list[CommandRow] = []
        self._events: list[Row] = []
        self._sealed: dict[str, bytes] = {}
        self._named: Counter[str] = Counter()
        self._erased: list[str] = []

    def repeat(self, row: CommandRow) -> None:
        """Note that the recorded result of an earlier batch is asked for again."""
        if (row.account, row.id) in self._stored:
            self.repeated.extend(row.events)

    def record(
        self,
        opened: Opened | OpenedRead,
        status: str,
        events: Sequence[Row] = (),
        refusal: PrivityError | None = None,
    ) -> None:
        """Add a decided command, its events, and its sealed objects where it was accepted."""
        row = CommandRow(
            account=opened.account,
            id=opened.envelope.id,
            digest=opened.digest,
            subject=opened.subject,
            payload=opened.payload,
            signature=opened.signature,
            status=status,
            code=refusal.code if refusal else None,
            message=refusal.message if refusal else None,
            events=tuple((event.stream, event.version) for event in events),
        )
        self.rows[opened.key] = row
        self._new.append(row)
        self._events.extend(events)
        if events:
            self._sealed.update(opened.sealed)
            self._named.update(opened.sealed.keys())

    def erase(self, digests: Iterable[str]) -> None:
        """Let go of sealed objects, once each."""
        self._erased.extend(digests)

    def to_batch(self, reads: dict[str, int]) -> Batch:
        """What the append gets."""
        return Batch(
            self._events,
            self._new,
            self._sealed,
            reads if self._new else {},
            named=dict(self._named),
            erased=self._erased,
        )

    def placed(self, positions: Sequence[int]) -> dict[tuple[str, int], Stored]:
        """The batch's own events at the positions that the append gave them."""
        return {
            (row.stream, row.version): Stored(position, row.stream, row.version, row.name, row.data)
            for position, row in zip(positions, self._events, strict=True)
        }


def _open(delivery: Delivery) -> Opened | OpenedRead | Unopened:
    try:
        return open_read(delivery) if delivery.subject == RECORD_SUBJECT else open_delivery(delivery)
    except Unopened as unopened:
        return unopened


def _unopened(unopened: Unopened) -> Outcome:
    refusal = unopened.refusal
    answer = Result(unopened.command_id, "refused", refusal.code, refusal.message)
    dead = f"{refusal.code}: {refusal.message}" if isinstance(refusal, PARKED) else None
    return Outcome(unopened.account, answer, dead)


def _refused(opened: Opened | OpenedRead, refusal: PrivityError) -> Outcome:
    log.warning("refused %s: %s", opened.subject, refusal.code)
    return Outcome(opened.account, Result(opened.envelope.id, "refused", refusal.code, refusal.message))


def _poisoned(delivery: Delivery, error: Exception) -> Outcome:
    log.error("attempt %d at %s failed", delivery.attempts, delivery.subject, exc_info=error)
    if delivery.attempts < ATTEMPTS_ON_POISON:
        return Outcome()
    try:
        account, command_id = open_delivery(delivery).key
    except Exception:  # the reading itself is what trips; whose it is nobody can say
        account, command_id = "", "unreadable"
    refusal = Internal()
    reason = f"{refusal.code}: {type(error).__name__} after {delivery.attempts} attempts"
    return Outcome(account, Result(command_id, "refused", refusal.code, refusal.message), reason)
