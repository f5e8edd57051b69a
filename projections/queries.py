"""The queries: signed requests on `privity.qry.<account>.<view>`, answered from the views, sealed objects behind."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

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
    UnknownDevice,
    UnknownView,
)
from privity.messages import envelope
from privity.messages.catalog import explain
from privity.messages.envelope import Answer, QueryEnvelope, Result
from privity.messages.views import ASKS, Ask, AskKeyring, AskResult
from projections import accounts, connections, feed, invitations, items, keys, shares
from projections.desk import VIEWS, Desk, Page
from projections.live import Announced
from projections.nonces import Nonces

log = logging.getLogger(__name__)

REGISTERED = (accounts, keys, invitations, connections, items, shares, feed)
WORKERS = 256
"""Queries heard at a time; most of them wait for a position, and few threads do the reading."""
MAX_QUERY = 64 * 1024
MAX_FILLED = 900 * 1024
"""Bytes of rows and sealed objects in one answer; a first row goes out whatever its size."""
AT_LEAST_TIMEOUT = 5.0

Sealed = Callable[[Sequence[str]], Mapping[str, bytes]]
Recorded = Callable[[str, str], Result | None]

_row_codecs: dict[type, TypeAdapter[object]] = {}
_asks = {view: TypeAdapter(ask) for view, ask in ASKS.items()}


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
    ) -> None:
        self._engine = engine
        self._announced = announced
        self._home = home
        self._nonces = nonces
        self._mail_token = mail_token
        self._sealed = sealed
        self._recorded = recorded

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
            ask, query = await self._believed(account, view, message)
            answer, blobs = await asyncio.to_thread(self._answer, account, ask, query)
        except PrivityError as error:
            answer = self._refused(account, error)
        except Exception:
            log.exception("query %s failed", view)
            answer = self._refused(account, Internal())
        return frame(envelope.answer.dump_json(answer), *blobs)

    def _refused(self, account: str, error: PrivityError) -> Answer:
        nonce = self._nonces.issue(account)
        return Answer("refused", self._announced.position, nonce, code=error.code, message=error.message)

    async def _believed(self, account: str, view: str, message: Msg) -> tuple[Ask, QueryEnvelope]:
        codec = _asks.get(view)
        if codec is None:
            raise UnknownView(f"there is no view {view}")
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
        if not await self._announced.reached(query.at_least, AT_LEAST_TIMEOUT):
            raise Busy(f"the views are at {self._announced.position}")
        if not isinstance(ask, AskKeyring):
            await asyncio.to_thread(self._verify, query, signature, message.subject, payload)
        return ask, query

    def _verify(self, query: QueryEnvelope, signature: bytes, subject: str, payload: bytes) -> None:
        with self._engine.connect() as db:
            public = accounts.devices_of(query.account, db).get(query.device)
        if public is None:
            raise UnknownDevice
        verify_query(unb64(public), signature, self._home, subject, payload)

    def _answer(self, account: str, ask: Ask, query: QueryEnvelope) -> tuple[Answer, list[bytes]]:
        fresh = query.nonce is not None and self._nonces.use(account, query.nonce)
        if query.nonce is not None and not fresh:
            raise StaleNonce
        page = self._page(account, ask, query, fresh)
        rows, blobs, cut = self._fill(page)
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
        )

    def _page(self, account: str, ask: Ask, query: QueryEnvelope, fresh: bool) -> Page[object]:
        if isinstance(ask, AskResult):
            result = self._recorded(account, ask.command)
            if result is None:
                raise NotFound("there is no such command")
            return Page((result,), ((),))
        with self._engine.connect() as db:
            if isinstance(ask, AskKeyring):
                return self._keyring(account, ask, query.nonce, fresh, db)
            desk = Desk(account, datetime.now(UTC), db, fresh, self._mail_token)
            return VIEWS[type(ask)](ask, desk)

    def _keyring(
        self, account: str, ask: AskKeyring, nonce: str | None, fresh: bool, db: sa.Connection
    ) -> Page[object]:
        if not fresh or nonce is None:
            raise StaleNonce
        found = accounts.login_keys(account, db)
        if found is None:
            raise BadLogin
        public = found[0] if ask.purpose == "login" else found[1]
        verify_login(unb64(public), unb64(ask.proof), self._home, ask.purpose, unb64(nonce))
        page = accounts.keyring_of(account, db)
        return Page(page.rows, page.sealed)

    def _fill(self, page: Page[object]) -> tuple[list[dict[str, JsonValue]], list[bytes], bool]:
        """The rows that fit with their sealed objects, and whether rows were left out for their size."""
        blobs = dict(self._sealed(list({digest for digests in page.sealed for digest in digests})))
        rows: list[dict[str, JsonValue]] = []
        sent: dict[str, bytes] = {}
        size = 0
        for row, digests in zip(page.rows, page.sealed, strict=True):
            fields = _row(row)
            mine = {digest: blobs[digest] for digest in digests if digest in blobs and digest not in sent}
            size += len(json.dumps(fields)) + sum(map(len, mine.values()))
            if rows and size > MAX_FILLED:
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
