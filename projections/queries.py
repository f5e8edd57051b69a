"""The queries: signed requests on `privity.qry.<account>.<view>`, answered from the views, sealed objects behind."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

import sqlalchemy as sa
from faststream import AckPolicy
from faststream.nats import NatsBroker, NatsMessage
from nats.aio.msg import Msg
from pydantic import JsonValue, TypeAdapter, ValidationError

from privity.crypto.command import frame, unframe, verify_login, verify_query
from privity.encoding import unb64
from privity.errors import (
    BadLogin,
    Busy,
    Internal,
    Malformed,
    NotFound,
    PrivityError,
    StaleNonce,
    TooLarge,
    UnknownDevice,
    UnknownView,
)
from privity.messages import envelope
from privity.messages.catalog import explain, named
from privity.messages.envelope import Answer, QueryEnvelope, Result
from privity.messages.views import ASKS, Ask, AskKeyring, AskResult
from projections import accounts, views
from projections.desk import Desk, Log, Page
from projections.live import Announced
from projections.nonces import Nonces
from projections.reads import Asked, Reads, released

log = logging.getLogger(__name__)

WORKERS = 256
"""Queries heard at a time; most of them wait for a position, and few threads do the reading."""
MAX_QUERY = 64 * 1024
MAX_FILLED = 900 * 1024
"""Bytes of rows and sealed objects in one answer of several rows."""
MAX_ANSWER = 1010 * 1024
"""Bytes of an answer with one row: more than one command can bring, and less than the bus carries."""
AT_LEAST_TIMEOUT = 5.0
WAITING, WAITING_EACH = 128, 8
"""Queries that wait for a position at once: in all, and of one account."""
NEWCOMERS = ""
"""Those whose device the views do not know (yet) wait as if they were one account."""
THREADS = 4
CATCHING_UP = 3
"""Times that the views are waited for, when the store has erased what they still name."""

T = TypeVar("T")

Sealed = Callable[[Sequence[str]], Mapping[str, bytes]]
Recorded = Callable[[str, str], Result | None]

_row_codecs: dict[type, TypeAdapter[object]] = {}
_asks = {view: TypeAdapter(ask) for view, ask in ASKS.items()}


class _Erased(Exception):
    """The views name a sealed object that is not in the store."""


class Queries:
    """Answers queries: who asks is verified by device signature, or by login proof for the keyring."""

    def __init__(
        self,
        engine: sa.Engine,
        announced: Announced,
        home: str,
        nonces: Nonces,
        mail_token: Callable[[str], str],
        sealed: Sealed,
        recorded: Recorded,
        head: Callable[[], int],
        reads: Reads,
        log: Log,
        first: int = 0,
    ) -> None:
        """`first` is a position that the views must have reached before anything is answered from them."""
        self._engine = engine
        self._announced = announced
        self._home = home
        self._nonces = nonces
        self._mail_token = mail_token
        self._sealed = sealed
        self._recorded = recorded
        self._head = head
        self._reads = reads
        self._log = log
        self._first = first
        self._waiting: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(THREADS, "queries")

    def subscribe(self, broker: NatsBroker) -> None:
        """Hear every query, several at a time."""
        subscriber = broker.subscriber(
            f"{envelope.QUERY_SUBJECT}.*.*",
            queue="queries",
            max_workers=WORKERS,
            ack_policy=AckPolicy.MANUAL,
            decoder=_raw,
            include_in_schema=False,
        )
        subscriber(self.hear)

    async def hear(self, message: Msg) -> bytes:
        """The answer to one query, as a frame: the answer, then the sealed objects."""
        _, _, account, view = message.subject.split(".")
        blobs: list[bytes] = []
        try:
            ask, query, asked = await self._believed(account, view, message)
            answer, blobs = await self._answered(ask, query, asked)
        except PrivityError as error:
            answer = self._refused(account, error)
        except sa.exc.DatabaseError:
            log.exception("query %s could not read the views", view)
            answer = self._refused(account, Busy("the views cannot be read now; try again"))
        except Exception:
            log.exception("query %s failed", view)
            answer = self._refused(account, Internal())
        return frame(envelope.answer.dump_json(answer), *blobs)

    async def _answered(self, ask: Ask, query: QueryEnvelope, asked: Asked) -> tuple[Answer, list[bytes]]:
        """The answer, once it is recorded what it releases, or to whom it releases nothing."""
        try:
            answer, blobs, shares = await self._whole(asked.account, ask, query)
        except BadLogin:
            if isinstance(ask, AskKeyring) and await self._run(self._exists, asked.account):
                await self._reads.keyring(asked, "refused", ask.purpose)
            raise
        if isinstance(ask, AskKeyring):
            await self._reads.keyring(asked, "fetched", ask.purpose)
        await self._reads.shares(asked, shares)
        return answer, blobs

    async def _whole(self, account: str, ask: Ask, query: QueryEnvelope) -> tuple[Answer, list[bytes], list[str]]:
        """The answer with all sealed objects that its rows name.

        What a command erases is gone before the views hear of it: they are waited for, and asked again.
        """
        for attempt in range(CATCHING_UP):
            try:
                return await self._run(self._answer, account, ask, query, attempt)
            except _Erased:
                await self._reached(account, await self._run(self._head))
        return await self._run(self._answer, account, ask, query, CATCHING_UP)

    def _exists(self, account: str) -> bool:
        with self._engine.connect() as db:
            return accounts.login_keys(account, db) is not None

    def _refused(self, account: str, error: PrivityError) -> Answer:
        nonce = self._nonces.issue(account)
        return Answer("refused", self._announced.position, nonce, code=error.code, message=error.message)

    async def _believed(self, account: str, view: str, message: Msg) -> tuple[Ask, QueryEnvelope, Asked]:
        codec = _asks.get(view)
        if codec is None:
            raise UnknownView(f"there is no view {named(view)}")
        parts = unframe(message.data, 2, MAX_QUERY)
        if len(parts) != 2:
            raise Malformed("a query is a signature and an envelope")
        signature, payload = parts
        try:
            query = envelope.query_envelope.validate_json(payload)
            ask = codec.validate_python(query.params)
        except ValidationError as error:
            raise Malformed(explain(error)) from None
        if query.account != account:
            raise Malformed("the subject names another account than the envelope")
        first = max(self._first, self._announced.least)
        await self._reached(NEWCOMERS, first)  # views that are folded anew lack what was shown, and know nobody
        if not isinstance(ask, AskKeyring):
            await self._verified(query, signature, message.subject, payload)
            await self._reached(query.account, query.at_least)
        return ask, query, Asked(account, message.subject, signature, payload)

    async def _verified(self, query: QueryEnvelope, signature: bytes, subject: str, payload: bytes) -> None:
        try:
            await self._run(self._verify, query, signature, subject, payload)
        except UnknownDevice:  # perhaps a new one, of which the views have not heard yet
            await self._reached(NEWCOMERS, query.at_least)
            await self._run(self._verify, query, signature, subject, payload)

    async def _reached(self, waiter: str, position: int) -> None:
        """Wait until the views are there; few may wait at once, and for nothing that has not happened."""
        if position <= self._announced.position:
            return
        if self._waiting.total() >= WAITING or self._waiting[waiter] >= WAITING_EACH:
            raise Busy("too many requests wait; try again")
        self._waiting[waiter] += 1
        try:
            if position > await self._run(self._head):
                raise Busy(f"there is nothing at position {position} yet")
            if not await self._announced.reached(position, AT_LEAST_TIMEOUT):
                raise Busy(f"the views are at {self._announced.position}")
        finally:
            self._waiting[waiter] -= 1
            self._waiting += Counter()

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _verify(self, query: QueryEnvelope, signature: bytes, subject: str, payload: bytes) -> None:
        with self._engine.connect() as db:
            public = accounts.devices_of(query.account, db).get(query.device)
        if public is None:
            raise UnknownDevice
        verify_query(unb64(public), signature, self._home, subject, payload)

    def _answer(
        self, account: str, ask: Ask, query: QueryEnvelope, attempt: int
    ) -> tuple[Answer, list[bytes], list[str]]:
        page = self._page(account, ask, query.nonce, admitted=attempt > 0)
        rows, blobs, cut = self._fill(page, whole=attempt < CATCHING_UP)
        more = cut or page.more
        return (
            Answer(
                "ok",
                self._announced.position,
                self._nonces.issue(account),
                rows=tuple(rows),
                next=str(page.cursors[len(rows) - 1]) if more and rows else None,
            ),
            blobs,
            self._released(account, page, len(rows)),
        )

    def _released(self, account: str, page: Page[object], sent: int) -> list[str]:
        with self._engine.connect() as db:
            return released(account, page, sent, db)

    def _page(self, account: str, ask: Ask, nonce: str | None, *, admitted: bool) -> Page[object]:
        """The view's page; `admitted`: this very query has used its nonce already."""
        if isinstance(ask, AskKeyring):
            return self._keyring(account, ask, nonce, admitted=admitted)
        if nonce is not None and not admitted and not self._nonces.use(account, nonce):
            raise StaleNonce
        if isinstance(ask, AskResult):
            result = self._recorded(account, ask.command)
            if result is None:
                raise NotFound("there is no such command")
            return Page((result,), ((),))
        with self._engine.connect() as db:
            desk = Desk(account, datetime.now(UTC), db, nonce is not None, self._mail_token, self._log)
            return views.look(ask, desk)

    def _keyring(self, account: str, ask: AskKeyring, nonce: str | None, *, admitted: bool) -> Page[object]:
        """Who proves nothing uses up no nonce: there is room for so many used ones, and none for strangers'."""
        if nonce is None or not (admitted or self._nonces.good(account, nonce)):
            raise StaleNonce
        with self._engine.connect() as db:
            found = accounts.login_keys(account, db)
            if found is None:
                raise BadLogin
            public = found[0] if ask.purpose == "login" else found[1]
            verify_login(unb64(public), unb64(ask.proof), self._home, ask.purpose, unb64(nonce))
            if not admitted and not self._nonces.use(account, nonce):
                raise StaleNonce
            page = accounts.keyring_of(account, db)
        return Page(page.rows, page.sealed)

    def _fill(self, page: Page[object], *, whole: bool) -> tuple[list[dict[str, JsonValue]], list[bytes], bool]:
        """The rows that fit with their sealed objects, and whether rows were left out for their size.

        Raises:
            _Erased: an object is not there (any more), and `whole` asks for all.
        """
        rows: list[dict[str, JsonValue]] = []
        sent: dict[str, bytes] = {}
        size = 0
        for row, digests in zip(page.rows, page.sealed, strict=True):
            fields = _row(row)
            wanted = {digest for digest in digests if digest not in sent}
            mine = self._sealed(list(wanted))
            if whole and len(mine) < len(wanted):
                raise _Erased
            size += len(json.dumps(fields)) + sum(map(len, mine.values()))
            if size > MAX_ANSWER and not rows:
                raise TooLarge("this is more than one answer can carry")
            if size > MAX_FILLED and rows:
                return rows, list(sent.values()), True
            rows.append(fields)
            sent |= mine
        return rows, list(sent.values()), False


async def _raw(message: NatsMessage) -> Msg:
    return message.raw_message


def _row(row: object) -> dict[str, JsonValue]:
    if type(row) not in _row_codecs:
        _row_codecs[type(row)] = TypeAdapter(type(row))
    fields: dict[str, JsonValue] = _row_codecs[type(row)].dump_python(row, mode="json")
    return fields
