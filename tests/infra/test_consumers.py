"""Consumers on the bus: the events that they may see, the past from the store, and nothing else at all."""

import asyncio
import json
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client

import app
import infra.past
from infra.consumers import give
from infra.credentials import CONSUMER_EACH, CONSUMER_MESSAGE, consumer_jwt
from infra.given import given_by
from infra.home import open_keys
from infra.mapping import UNCONDITIONAL, to_row
from infra.nats_server import NatsServer
from infra.past import MAX_LOOKED_AT, PAUSE, Past
from infra.people import People
from infra.processes import cancel
from infra.relay import Relay
from infra.settings import EMBEDDED_PEOPLE
from infra.store import Batch, EventStore, Stored, open_store
from infra.store import Event as Row
from infra.streams import EVENTS
from privity.credential import USER, Credential, Nkey, jwt_claims
from privity.encoding import new_id
from privity.errors import AlreadyExists, Malformed, StoreUnavailable
from privity.messages.base import Event
from privity.messages.connections import ConnectionRemoved
from privity.messages.items import ItemRemoved
from privity.messages.past import ALL, CONTEXTS, MAX_PAGE, AskPast, PastPage, past_page, past_subject
from privity.messages.recorded import POSITION_HEADER
from privity.messages.shares import ShareCreated, ShareRemoved
from tests.examples import example, meta
from tests.infra import buses
from tests.infra.buses import ANN, KEYS, Heard, Person, listen, system_way
from tests.infra.test_bus import until

SHARE = "privity.evt.shares.share-created.share-x"
ITEM = "privity.evt.items.item-added.item-x"
REFUSED = (  # what nobody in the account of consumers reaches
    "privity.cmd.a.items.add",
    "privity.qry.a.items",
    "privity.enrol.device",
    "privity.supplier.a.open",
    "privity.result.a.b",
    "privity.feed.a",
    "privity.dead.items",
    "privity.read.record",
    "privity.revoke",
    "$SYS.REQ.CLAIMS.UPDATE",
)
JETSTREAM = (
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.EVENTS",
    "$JS.API.STREAM.MSG.GET.COMMANDS",
    "$JS.API.STREAM.PURGE.EVENTS",
    "$JS.API.STREAM.DELETE.EVENTS",
    "$JS.API.DIRECT.GET.EVENTS",
    "$JS.API.CONSUMER.CREATE.EVENTS.spy.privity.evt.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.spy",
    "$JS.API.CONSUMER.DELETE.EVENTS.views",
    "$JS.API.CONSUMER.MSG.NEXT.EVENTS.views",
    "$JS.ACK.EVENTS.views.1.1.1.1.0",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture
async def past(store: EventStore, backend: Client) -> AsyncIterator[Past]:
    """The desk, on the real store and the real bus."""
    desk = Past(store.after, store.head)
    await desk.open(backend)
    await backend.flush()
    yield desk
    await desk.close()


@dataclass
class Consumer:
    """Somebody with a consumer's credential, at a bare connection."""

    name: str
    contexts: Sequence[str]
    credential: Credential
    line: Person

    @classmethod
    async def of(cls, server: NatsServer, name: str, *contexts: str) -> "Consumer":
        nkey, until = Nkey.generate(USER), int(time.time()) + 3600
        credential = Credential(consumer_jwt(KEYS, name, contexts, nkey.public, until), nkey)
        return cls(name, contexts, credential, await Person.of(server.url, credential, f"_INBOX_{name}"))

    @property
    def asks(self) -> str:
        return past_subject(self.name, self.contexts)

    async def page(self, after: int = 0, **how: object) -> PastPage:
        """A page, however long the server takes to see the desk from this account."""
        asked = json.dumps({"v": 1, "after": after, **how}).encode()
        async with asyncio.timeout(buses.PATIENCE):
            while True:
                try:
                    answer = await self.line.bus.request(self.asks, asked, timeout=0.5)
                    return past_page.validate_json(answer.data)
                except nats.errors.NoRespondersError:
                    await asyncio.sleep(0.01)
                except nats.errors.TimeoutError:  # who asks much too fast gets no answer
                    pass


MakeConsumer = Callable[..., Awaitable[Consumer]]


@pytest.fixture
async def consumer(server: NatsServer, past: Past) -> AsyncIterator[MakeConsumer]:
    """Makes consumers; their connections are closed afterwards."""
    made: list[Consumer] = []

    async def make(name: str, *contexts: str) -> Consumer:
        made.append(await Consumer.of(server, name, *contexts))
        return made[-1]

    yield make
    for each in made:
        await each.line.bus.close()


def removals(count: int) -> list[Event]:
    """Events of three contexts in turn, each of a stream of its own."""
    kinds: tuple[Callable[[], Event], ...] = (
        lambda: example(ItemRemoved, item=new_id()),
        lambda: example(ShareRemoved, share=new_id()),
        lambda: example(ConnectionRemoved, connection=(new_id() + new_id())[:52]),
    )
    return [kinds[n % len(kinds)]() for n in range(count)]


def append(store: EventStore, *events: Event) -> None:
    store.append(Batch(events=[to_row(each, 1, meta()) for each in events]))


# ---- the past ----


async def test_the_past_is_told_in_the_bytes_and_the_order_of_the_stream(
    backend: Client, store: EventStore, consumer: MakeConsumer
) -> None:
    """An old version too: both are told as of today."""
    recorded = json.loads(to_row(example(ShareCreated), 1, meta()).data)
    for name in UNCONDITIONAL:
        del recorded["event"][name]
    store.append(
        Batch(events=[Row(example(ShareCreated).stream, 1, "share-created.v1", json.dumps(recorded).encode())])
    )
    append(store, *removals(29))
    heard = await listen(backend, "privity.evt.>")
    relaying = asyncio.create_task(Relay(store, backend).run())
    live = [await heard.next() for _ in range(30)]
    await cancel(relaying)
    published = [(int((each.headers or {})[POSITION_HEADER]), each.subject, each.data) for each in live]

    someone, told = await consumer("orders"), []
    while len(told) < 30:
        page = await someone.page(len(told), limit=7)
        assert (page.head, page.reached) == (30, min(len(told) + 7, 30))
        told += [(each.position, each.subject, each.data.encode()) for each in page.events]
    assert told == published
    assert json.loads(told[0][2])["event"]["reshare"] == 0
    assert await someone.page(30) == PastPage("ok", 30, 30)
    assert await someone.page(31) == PastPage("ok", 30, 30), "a store that has less than was seen says so"


async def test_the_past_does_not_need_the_stream(backend: Client, store: EventStore, consumer: MakeConsumer) -> None:
    append(store, *removals(3))
    await backend.jetstream().delete_stream(EVENTS)
    assert len((await (await consumer("orders")).page()).events) == 3


async def test_a_consumer_of_some_contexts_is_told_those_and_how_far_it_has_got(
    store: EventStore, consumer: MakeConsumer
) -> None:
    append(store, *removals(9))
    shares = await consumer("shares", "shares", "connections")
    page = await shares.page(0, limit=7)
    assert {each.subject.split(".")[2] for each in page.events} == {"shares", "connections"}
    assert ([each.position for each in page.events], page.reached) == ([2, 3, 5, 6], 7)
    reads = await consumer("reads", "reads")
    assert await reads.page() == PastPage("ok", 9, 9), "none of what there is, and all of it looked at"


def test_a_page_is_bounded_by_events_and_by_bytes(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    append(store, *removals(MAX_PAGE + 1))
    desk = Past(store.after, store.head)
    whole = desk.page(AskPast(1, 0), None)
    assert (len(whole.events), whole.reached, whole.head) == (MAX_PAGE, MAX_PAGE, MAX_PAGE + 1)
    monkeypatch.setattr(infra.past, "MAX_PAGE_BYTES", 10_000)
    cut = desk.page(AskPast(1, 0), None)
    assert 1 < len(cut.events) == cut.reached < MAX_PAGE
    assert len(past_page.dump_json(cut)) <= 10_200
    monkeypatch.setattr(infra.past, "MAX_PAGE_BYTES", 1)
    assert len(desk.page(AskPast(1, 5), None).events) == 1, "a first event goes out whatever it has"


@pytest.mark.parametrize("contexts", [None, frozenset({"reads"})])
def test_little_more_is_read_than_a_page_takes(store: EventStore, contexts: frozenset[str] | None) -> None:
    """However large the events are, and whomever they are for."""
    sealed = {"content": "x" * 100_000}
    recorded = json.loads(to_row(example(ItemRemoved), 1, meta()).data)
    recorded["event"] |= sealed
    data = json.dumps(recorded).encode()
    store.append(Batch(events=[Row(f"item-{new_id()}", 1, "item-removed.v1", data) for _ in range(200)]))
    read: list[int] = []

    def after(position: int, limit: int) -> list[Stored]:
        found = store.after(position, limit)
        read.extend(len(each.data) for each in found)
        return found

    desk, asked, pages = Past(after, store.head), AskPast(1, 0), 0
    while asked.after < 200:
        asked, pages = AskPast(1, desk.page(asked, contexts).reached), pages + 1
        assert sum(read) <= pages * 2 * MAX_LOOKED_AT
    if contexts is None:
        assert sum(read) < 2 * 200 * len(data), "of what is sent"


@pytest.mark.parametrize(
    "asked",
    [b"", b"7", b"{}", b'{"v":1}', b'{"v":1,"after":-1}', b'{"v":1,"after":0,"limit":501}', b'{"v":2,"after":0}'],
)
def test_what_is_no_request_is_refused(asked: bytes) -> None:
    with pytest.raises(Malformed):
        infra.past._read(asked)
    assert infra.past._read(b'{"v":1,"after":0}') == AskPast(1, 0)


async def test_refusals_are_answered_and_the_next_page_comes(
    store: EventStore, past: Past, consumer: MakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    someone = await consumer("orders")
    assert (await someone.page(-1)).code == "Malformed"
    with monkeypatch.context() as broken:

        def away(_position: int, _limit: int) -> list[object]:
            raise StoreUnavailable("gone")

        broken.setattr(past, "_after", away)
        assert (await someone.page(0)).code == "StoreUnavailable"
    assert (await someone.page(0)).status == "ok"


async def test_each_consumer_is_served_one_page_at_a_time_and_at_a_bounded_rate(
    store: EventStore, consumer: MakeConsumer
) -> None:
    append(store, *removals(3))
    greedy, modest = await consumer("greedy"), await consumer("modest")
    await greedy.page()
    heard = await listen(greedy.line.bus, "_INBOX_greedy.flood")
    for _ in range(500):
        await greedy.line.bus.publish(greedy.asks, b'{"v":1,"after":0}', reply="_INBOX_greedy.flood")
    began = time.monotonic()
    assert (await modest.page()).status == "ok"
    await asyncio.sleep(0.5)
    codes = [past_page.validate_json(heard.queue.get_nowait().data).code for _ in range(heard.queue.qsize())]
    assert set(codes) == {None, "Busy"}
    assert codes.count("Busy") <= codes.count(None) <= (time.monotonic() - began) / PAUSE + 1
    began = time.monotonic()
    for _ in range(10):
        assert (await greedy.page()).status == "ok", "who asks for one after the other is never refused"
    assert time.monotonic() - began >= 9 * PAUSE


# ---- what a consumer may do ----


async def hearing(someone: Consumer, backend: Client, subject: str, probe: str) -> Heard:
    """Hear a subject; on return news come in at once, which the server may take a moment for from another account."""
    heard = await listen(someone.line.bus, subject)
    async with asyncio.timeout(buses.PATIENCE):
        while await heard.silence():
            await backend.publish(probe, b"probe")
        await backend.publish(probe, b"end")
        while (await heard.next()).data != b"end":
            pass
    return heard


async def may_not_hear(who: Person, *subjects: str) -> None:
    for subject in subjects:
        await who.bus.subscribe(subject)
        complaint = await who.complaint()
        assert "permissions violation for subscription" in complaint, (subject, complaint)


async def may_not_say(who: Person, *subjects: str) -> None:
    for subject in subjects:
        await who.bus.publish(subject, b"{}", reply="_INBOX_x.y")
        complaint = await who.complaint()
        assert "permissions violation for publish" in complaint, (subject, complaint)


async def test_a_consumer_hears_events_and_asks_for_the_past_and_nothing_else(
    backend: Client, consumer: MakeConsumer
) -> None:
    someone = await consumer("orders")
    above = [">", "*", "privity.>", "privity.*.>", "_INBOX.>", "_INBOX_other.>", "_R_.>", "$SYS.>", "$JS.>"]
    await may_not_hear(someone.line, *above, *REFUSED, "privity.past.orders.all", "privity.past.>")
    others = ["privity.past.other.all", "privity.past.orders.shares", "_INBOX_other.x", SHARE]
    await may_not_say(someone.line, *REFUSED, *JETSTREAM, *others)
    heard = await hearing(someone, backend, "privity.evt.>", SHARE)
    await backend.publish(SHARE, b"1", headers={POSITION_HEADER: "1"})
    message = await heard.next()
    assert (message.subject, message.data, message.headers) == (SHARE, b"1", {POSITION_HEADER: "1"})
    assert (await someone.page()).status == "ok"


async def test_a_consumer_of_some_contexts_hears_no_others(backend: Client, consumer: MakeConsumer) -> None:
    limited = await consumer("limited", "shares")
    await may_not_hear(limited.line, "privity.evt.>", "privity.evt.items.>", "privity.evt.*.>", ITEM)
    await may_not_say(limited.line, past_subject("limited"), past_subject("limited", ["items"]))
    heard = await hearing(limited, backend, "privity.evt.shares.>", SHARE)
    await backend.publish(ITEM, b"no")
    await backend.publish(SHARE, b"yes")
    assert (await heard.next()).data == b"yes"


async def test_nobody_else_hears_events_or_asks_for_the_past(server: NatsServer, past: Past) -> None:
    device, door = await Person.device(server.url), await Person.at_the_door(server.url)
    for each in (device, door):
        await may_not_hear(each, "privity.evt.>", SHARE)
        await may_not_say(each, past_subject("orders"), f"privity.past.{ANN}.{ALL}")
        await each.bus.close()


async def test_an_answer_that_is_pointed_elsewhere_stays_among_consumers(
    backend: Client, store: EventStore, consumer: MakeConsumer
) -> None:
    """The bus delivers it in their account: no stream is deleted, no command comes in, and no stream has it."""
    append(store, *removals(3))
    hostile = await consumer("hostile")
    await hostile.page()
    heard = {subject: await listen(backend, subject) for subject in (*REFUSED[:-1], SHARE)}
    for subject in (*heard, "$JS.API.STREAM.DELETE.EVENTS", "$SYS.REQ.CLAIMS.UPDATE"):
        await hostile.line.bus.publish(hostile.asks, b'{"v":1,"after":0}', reply=subject)
        assert (await hostile.page()).code in (None, "Busy")
    for subject, each in heard.items():
        assert await each.silence(), subject
    assert (await backend.jetstream().stream_info(EVENTS)).state.messages == 0
    assert (await backend.jetstream().stream_info("COMMANDS")).state.messages == 0


async def test_one_who_listens_in_a_group_takes_no_event_from_anybody(
    backend: Client, store: EventStore, consumer: MakeConsumer
) -> None:
    """Not from the stream, nor from the backend's own, nor from another consumer."""
    hostile, other = await consumer("hostile"), await consumer("other")
    for group in ("past", "enrolment", "EVENTS"):
        await hostile.line.bus.subscribe("privity.evt.>", queue=group)
    await hostile.line.bus.flush()
    heard = await hearing(other, backend, "privity.evt.>", SHARE)
    await backend.jetstream().purge_stream(EVENTS)
    own = await listen(backend, "privity.evt.>")
    append(store, *removals(20))
    relaying = asyncio.create_task(Relay(store, backend).run())
    for each in (heard, own):
        assert [int(((await each.next()).headers or {})[POSITION_HEADER]) for _ in range(20)] == list(range(1, 21))
    await cancel(relaying)
    assert (await backend.jetstream().stream_info(EVENTS)).state.messages == 20


async def test_what_a_consumer_sends_and_how_often_it_is_there_is_bounded(
    server: NatsServer, consumer: MakeConsumer
) -> None:
    wordy, someone = await consumer("wordy"), await consumer("orders")
    await wordy.line.bus.publish(wordy.asks, bytes(CONSUMER_MESSAGE + 1))
    await asyncio.wait_for(wordy.line.ended.wait(), buses.PATIENCE)
    people = People(KEYS, EMBEDDED_PEOPLE, dict)
    await people.open(system_way(server))
    lines = [await Person.of(server.url, someone.credential, "_INBOX_orders") for _ in range(CONSUMER_EACH + 1)]

    async def bounded() -> bool:
        return sum(each.ended.is_set() for each in (*lines, someone.line)) == 2

    await until(bounded)
    assert (await (await consumer("modest")).page()).status == "ok"
    await people.close()
    for each in lines:
        await each.bus.close()


# ---- giving and taking back ----


def test_a_credential_is_written_down_as_given_and_says_what_it_may(tmp_path: Path) -> None:
    keys = open_keys(tmp_path)
    made = give(tmp_path, keys, "orders", ["shares", "items", "shares"])
    (kept,) = given_by(tmp_path)
    assert made.nkey is not None
    assert (kept.kind, kept.name, kept.nkey, kept.until) == ("consumer", "orders", made.nkey.public, made.life[1])
    claims = json.loads(json.dumps(jwt_claims(made.jwt)["nats"]))
    assert claims["pub"]["allow"] == ["privity.past.orders.items+shares"]
    assert claims["sub"]["allow"] == ["privity.evt.items.>", "privity.evt.shares.>", "_INBOX_orders.>"]
    assert stat.S_IMODE((tmp_path / "given.json").stat().st_mode) == 0o600


def test_a_credential_takes_no_files_place(tmp_path: Path) -> None:
    """What it was may open something still, and nobody could take it back by its file."""
    open_keys(tmp_path)
    file, bus = tmp_path / "orders.creds", "nats://127.0.0.1:4222"
    file.write_text("another")
    with pytest.raises(AlreadyExists, match=r"orders\.creds"):
        app.consumer_credential("orders", [], tmp_path, bus, file)
    assert (file.read_text(), given_by(tmp_path)) == ("another", [])
    file.unlink()
    assert app.consumer_credential("orders", [], tmp_path, bus, file)[:2] == (bus, "privity.past.orders.all")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "contexts"),
    [("Orders", ()), ("a.b", ()), ("", ()), (">", ()), ("*", ()), ("a" * 33, ()), ("a", ("nothing",)), ("a", (">",))],
)
def test_what_no_consumer_can_be_called_or_see_is_refused(tmp_path: Path, name: str, contexts: tuple[str, ...]) -> None:
    with pytest.raises(Malformed):
        give(tmp_path, open_keys(tmp_path), name, contexts)
    assert given_by(tmp_path) == []
    assert give(tmp_path, open_keys(tmp_path), "a", sorted(CONTEXTS)).nkey


async def test_a_consumer_that_is_taken_back_is_cut_off_and_the_others_are_not(
    server: NatsServer, past: Past, consumer: MakeConsumer
) -> None:
    lost, kept = await consumer("lost"), await consumer("kept")
    revoked: dict[str, int] = {}
    people = People(KEYS, EMBEDDED_PEOPLE, dict, lambda: revoked)
    await people.open(system_way(server))
    assert (await lost.page()).status == "ok"
    assert lost.credential.nkey is not None
    revoked[lost.credential.nkey.public] = lost.credential.life[1]
    await people.tell()
    await asyncio.wait_for(lost.line.ended.wait(), buses.PATIENCE)
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Person.of(server.url, lost.credential, "_INBOX_lost")
    assert (await kept.page()).status == "ok"
    await people.close()
    await server.stop()
    await server.start()  # before anybody tells it
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Person.of(server.url, lost.credential, "_INBOX_lost")
    again = await Person.of(server.url, kept.credential, "_INBOX_kept")
    await again.bus.close()
