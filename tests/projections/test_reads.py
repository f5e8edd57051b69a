"""What an answer releases is recorded before it leaves, most requests are saved, and without a record none leaves."""

from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from handlers.committer import Committer
from infra.store import open_store
from privity.agent.session import query_payload
from privity.crypto.command import frame, sign_login, unframe
from privity.crypto.signing import SigningKey
from privity.encoding import b64, new_id, unb64
from privity.errors import BadLogin, Busy, CommandIdReused
from privity.messages import envelope
from privity.messages.base import Event
from privity.messages.envelope import Answer
from privity.messages.reads import (
    KeyringFetched,
    KeyringRefused,
    ReadReply,
    ReadRequest,
    ShareFetched,
    read_reply,
    read_request,
)
from privity.messages.views import AskKeyring, AskShares, AskSpaces
from projections import reads as module
from projections.reads import Asked, Reads
from tests.examples import BOB, NOW, short_id
from tests.handlers.people import HOME
from tests.handlers.test_reads import Told
from tests.projections.test_queries import Backend

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKED = Asked(BOB.account, f"privity.qry.{BOB.account}.shares", b"signature", b"payload")
ONE, OTHER = short_id("one share"), short_id("another share")


class Recorder:
    """The process that records, with a clock of its own."""

    def __init__(self) -> None:
        self.now = NOON + timedelta(minutes=30)
        self.ahead = timedelta()
        self.requests: list[ReadRequest] = []
        self.reply: ReadReply | None = None
        self.reads = Reads(self.ask, lambda: self.now)

    async def ask(self, data: bytes) -> bytes:
        signature, payload, said = unframe(data, 3, 10**6)
        assert (signature, payload) == (ASKED.signature, ASKED.payload), "the exact query goes along"
        self.requests.append(read_request.validate_json(said))
        hour = (self.now + self.ahead).replace(minute=0, second=0)
        return read_reply.dump_json(self.reply or ReadReply(hour))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_what_is_known_to_be_recorded_is_not_asked_for_again_until_the_next_hour(recorder: Recorder) -> None:
    await recorder.reads.shares(ASKED, [ONE])
    await recorder.reads.shares(ASKED, [ONE, OTHER])
    await recorder.reads.shares(ASKED, [ONE, OTHER])
    await recorder.reads.shares(ASKED, [])
    assert [request.shares for request in recorder.requests] == [(ONE,), (OTHER,)]
    assert {request.subject for request in recorder.requests} == {ASKED.subject}
    recorder.now += timedelta(minutes=30)
    await recorder.reads.shares(ASKED, [ONE, OTHER])
    assert recorder.requests[-1].shares == (ONE, OTHER)


async def test_the_hour_is_that_of_who_records(recorder: Recorder) -> None:
    """A clock that is behind must not leave the next hour without a record."""
    recorder.now, recorder.ahead = NOON + timedelta(seconds=1), -timedelta(seconds=5)
    await recorder.reads.shares(ASKED, [ONE])
    recorder.now += timedelta(minutes=10)
    await recorder.reads.shares(ASKED, [ONE])
    assert len(recorder.requests) == 2


@pytest.mark.parametrize(
    ("code", "error"), [("Busy", Busy), ("CommandIdReused", CommandIdReused), ("Moon", Busy), ("ForgedRecord", Busy)]
)
async def test_what_was_not_recorded_is_refused_and_asked_for_again(
    recorder: Recorder, code: str, error: type[Exception]
) -> None:
    recorder.reply = ReadReply(None, code, "why")
    with pytest.raises(error):
        await recorder.reads.shares(ASKED, [ONE])
    recorder.reply = None
    await recorder.reads.shares(ASKED, [ONE])
    assert len(recorder.requests) == 2


async def test_who_is_away_or_cannot_be_understood_records_nothing() -> None:
    async def away(data: bytes) -> bytes:
        raise Busy

    async def strange(data: bytes) -> bytes:
        return b"what?"

    for ask in (away, strange):
        with pytest.raises(Busy):
            await Reads(ask).shares(ASKED, [ONE])


async def test_keyrings_are_known_by_what_became_of_them(recorder: Recorder) -> None:
    for became, purpose in [("fetched", "login"), ("fetched", "recover"), ("refused", "login"), ("refused", "recover")]:
        for _ in range(2):
            await recorder.reads.keyring(ASKED, became, purpose)  # type: ignore[arg-type]
    assert [request.keyring for request in recorder.requests] == ["fetched", "fetched", "refused"]
    recorder.reply = ReadReply(None, "BadLogin", "no longer")
    recorder.now += timedelta(hours=1)
    with pytest.raises(BadLogin):
        await recorder.reads.keyring(ASKED, "fetched", "login")


async def test_what_is_remembered_is_bounded(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    ids = [short_id(f"share {number}") for number in range(5)]
    for id in ids:
        await recorder.reads.shares(ASKED, [id])
    await recorder.reads.shares(ASKED, ids[2:])
    assert len(recorder.requests) == 5
    await recorder.reads.shares(ASKED, ids[:1])
    assert len(recorder.requests) == 6


# Through the queries, on a real store.


@pytest.fixture
async def backend(views: sa.Engine, tmp_path: Path) -> AsyncIterator[Backend]:
    with closing(open_store(f"sqlite:///{tmp_path}/store.db")) as store:
        yield Backend(views, store, Committer(store, HOME, lambda: NOW))


async def away(data: bytes) -> bytes:
    """The process that records is not there."""
    raise Busy


def recorded(backend: Backend) -> list[Event]:
    """The reads in the store."""
    every = [each.event for each in backend.after(0, 1000)]
    return [event for event in every if event.context == "reads"]


async def test_a_share_goes_out_to_its_recipient_only_when_that_is_recorded(backend: Backend) -> None:
    told = Told(backend.committer)
    await backend.follow()
    bob, ann = told.bob.signer, told.ann.signer
    backend.queries._reads = Reads(away)
    answer, blobs = await backend.asks(bob, AskShares())
    assert (answer.code, answer.rows, blobs) == ("Busy", (), [])
    assert recorded(backend) == []
    own, blobs = await backend.asks(ann, AskShares())
    assert (own.status, len(blobs)) == ("ok", 2), "what one reads of one's own is nobody else's affair"
    listed, blobs = await backend.asks(bob, AskSpaces())
    assert (listed.status, blobs) == ("ok", []), "nothing is released"
    answer, blobs = await backend.asks(bob, AskSpaces(), nonce=listed.nonce)
    assert (answer.code, blobs) == ("Busy", [])
    bare, blobs = await backend.asks(bob, AskShares(bare=True), nonce=answer.nonce)
    assert (bare.status, len(bare.rows), blobs) == ("ok", 1, []), "nothing is released, and nothing recorded"
    backend.queries._reads = Reads(backend.record)
    answer, blobs = await backend.asks(bob, AskShares())
    assert (answer.status, len(blobs)) == ("ok", 1)
    (event,) = recorded(backend)
    assert isinstance(event, ShareFetched)
    nonce = answer.nonce
    answer, blobs = await backend.asks(bob, AskSpaces(), nonce=nonce)
    assert (answer.status, len(blobs)) == ("ok", 1)
    assert recorded(backend) == [event], "the same share in the same hour"


async def test_a_keyring_goes_out_only_when_that_is_recorded_and_a_wrong_proof_is_recorded_too(
    backend: Backend,
) -> None:
    told = Told(backend.committer)
    await backend.follow()
    account, subject = told.bob.account, envelope.query_subject(told.bob.account, AskKeyring.view)

    async def asked(key: SigningKey, nonce: str | None) -> tuple[Answer, list[bytes]]:
        ask = AskKeyring(purpose="login", proof=b64(sign_login(key, HOME.id, "login", unb64(nonce or ""))))
        return await backend.hear(subject, frame(b"", query_payload(account, new_id(), ask, nonce, 0)))

    nonce = (await asked(told.login, None))[0].nonce
    assert recorded(backend) == [], "who was only not fresh has not tried anything"
    backend.queries._reads = Reads(away)
    busy, blobs = await asked(told.login, nonce)
    assert (busy.code, blobs) == ("Busy", [])
    backend.queries._reads = Reads(backend.record)
    for _ in range(3):
        wrong, blobs = await asked(SigningKey.generate(), busy.nonce)
        assert (wrong.code, blobs) == ("BadLogin", [])
    right, blobs = await asked(told.login, wrong.nonce)
    assert (right.status, len(blobs)) == ("ok", 3)
    assert [type(event) for event in recorded(backend)] == [KeyringRefused, KeyringFetched]
