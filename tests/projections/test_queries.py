"""Queries: nobody waits, loads or learns more than they may, and strangers hold up nobody."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from handlers.committer import Committer
from handlers.intake import reply_of
from handlers.opening import Delivery
from infra.log import Log
from infra.mapping import to_positioned
from infra.store import EventStore, open_store
from privity.agent.session import Signer
from privity.crypto.command import frame, sign_login, unframe
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, unb64
from privity.messages import envelope
from privity.messages.accounts import ChangePassphrase, Kdf
from privity.messages.envelope import Answer
from privity.messages.reads import RECORD_SUBJECT
from privity.messages.recorded import Positioned
from privity.messages.views import Ask, AskAccount, AskItems, AskKeyring, AskKeys
from projections import queries as module
from projections.live import Announced, Live
from projections.nonces import Nonces
from projections.projector import Projector
from projections.queries import Queries
from projections.reads import Reads
from tests.examples import NOW, short_id
from tests.handlers.people import HOME, LOG, Citizen

NEVER = 2**40
"""A position that nothing will ever have."""
SOON = 2.0
"""Seconds; waiting for a position in vain takes 5."""


@dataclass
class Message:
    """What the bus hands over."""

    subject: str
    data: bytes = field(repr=False)


@dataclass
class Backend:
    """The queries over one store, with views that follow when the test says so."""

    engine: sa.Engine
    store: EventStore
    committer: Committer
    projector: Projector = field(init=False)
    announced: Announced = field(init=False)
    nonces: Nonces = field(init=False)
    queries: Queries = field(init=False)
    fetched: list[Sequence[str]] = field(default_factory=list)
    heads: Iterator[int] = field(default_factory=lambda: count(1))
    looks: int = 0

    def __post_init__(self) -> None:
        self.projector, self.announced, self.nonces = Projector(self.engine), Announced(0), Nonces(b"k" * 32)
        self.queries = Queries(
            self.engine,
            self.announced,
            HOME.id,
            self.nonces,
            lambda invitation: "",
            self.sealed,
            lambda account, command: None,
            self.head,
            Reads(self.record),
            Log(self.store, LOG, HOME.id),
        )

    def sealed(self, digests: Sequence[str]) -> Mapping[str, bytes]:
        """From the store, noted."""
        self.fetched.append(digests)
        return self.store.sealed(digests)

    def head(self) -> int:
        """The store's, counted."""
        self.looks = next(self.heads)
        return self.store.head()

    async def record(self, data: bytes) -> bytes:
        """As the commands' process does."""
        (outcome,) = self.committer.process([Delivery(RECORD_SUBJECT, data)])
        return reply_of(outcome)

    def after(self, position: int, limit: int) -> list[Positioned]:
        """As the projector reads."""
        return [to_positioned(stored) for stored in self.store.after(position, limit)]

    def happens(self, *deliveries: Any) -> int:
        """Commands, all accepted; the position that they have reached."""
        for outcome in self.committer.process(deliveries):
            assert outcome.result is not None
            assert outcome.result.status == "accepted"
        return self.store.head()

    async def follow(self) -> None:
        """Let the views catch up."""
        self.projector.catch_up(self.after)
        await self.announced.to(self.projector.position)

    async def hear(self, subject: str, data: bytes) -> tuple[Answer, list[bytes]]:
        """The answer to a query, and what is behind it."""
        answer, *blobs = unframe(await self.queries.hear(Message(subject, data)), 1000, 2**21)  # type: ignore[arg-type]
        return envelope.answer.validate_json(answer), blobs

    async def asks(
        self, by: Signer, ask: Ask, *, at_least: int = 0, nonce: str | None = None
    ) -> tuple[Answer, list[bytes]]:
        """The answer to a rightly signed query."""
        return await self.hear(*by.query(ask, nonce, at_least))


@pytest.fixture
def backend(views: sa.Engine, tmp_path: Path) -> Iterator[Backend]:
    with closing(open_store(f"sqlite:///{tmp_path}/store.db")) as store:
        yield Backend(views, store, Committer(store, HOME, lambda: NOW))


@pytest.fixture
async def ann(backend: Backend) -> Citizen:
    """Somebody with an account, whom the views know."""
    citizen = Citizen("ann@localhost")
    backend.happens(citizen.registers())
    await backend.follow()
    return citizen


# Waiting.


async def test_who_is_not_believed_waits_for_nothing(backend: Backend, ann: Citizen) -> None:
    subject, data = ann.signer.query(AskItems(), None, NEVER)
    _, payload = unframe(data, 2, 10**6)
    async with asyncio.timeout(SOON):
        for signature in (b"", b"s" * 64, ann.device.sign(b"another label", payload)):
            answer, _ = await backend.hear(subject, frame(signature, payload))
            assert answer.code == "BadSignature"
    assert backend.looks == 0


async def test_a_position_that_nothing_has_is_not_waited_for(backend: Backend, ann: Citizen) -> None:
    async with asyncio.timeout(SOON):
        answer, _ = await backend.asks(ann.signer, AskItems(), at_least=backend.store.head() + 1)
    assert answer.code == "Busy"
    assert backend.looks == 1


async def test_what_has_happened_is_waited_for(backend: Backend, ann: Citizen) -> None:
    position = backend.happens(ann.adds("i" * 26))
    asking = asyncio.create_task(backend.asks(ann.signer, AskItems(), at_least=position))
    await waiting(backend, 1)
    await backend.follow()
    answer, _ = await asking
    assert [row["item"] for row in answer.rows] == ["i" * 26]
    assert not backend.queries._waiting


async def test_of_one_account_few_wait_and_the_rest_are_told_at_once(backend: Backend, ann: Citizen) -> None:
    bob = Citizen("bob@localhost")
    backend.happens(bob.registers())
    await backend.follow()
    position = backend.happens(ann.adds("i" * 26))
    asks = [
        asyncio.create_task(backend.asks(ann.signer, AskItems(), at_least=position)) for _ in range(module.WAITING_EACH)
    ]
    await waiting(backend, module.WAITING_EACH)
    async with asyncio.timeout(SOON):
        assert (await backend.asks(ann.signer, AskItems(), at_least=position))[0].code == "Busy"
        assert (await backend.asks(ann.signer, AskItems()))[0].status == "ok"
    bobs = asyncio.create_task(backend.asks(bob.signer, AskItems(), at_least=position))
    await waiting(backend, module.WAITING_EACH + 1)
    await backend.follow()
    assert {answer.status for answer, _ in await asyncio.gather(*asks, bobs)} == {"ok"}
    assert not backend.queries._waiting


async def test_of_all_no_more_wait_than_there_is_room_for(
    backend: Backend, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING", 2)
    position = backend.happens(ann.adds("i" * 26))
    asks = [asyncio.create_task(backend.asks(ann.signer, AskItems(), at_least=position)) for _ in range(2)]
    await waiting(backend, 2)
    assert (await backend.asks(ann.signer, AskItems(), at_least=position))[0].code == "Busy"
    await backend.follow()
    assert {answer.status for answer, _ in await asyncio.gather(*asks)} == {"ok"}


async def test_a_newcomer_waits_until_the_views_have_heard_of_them(backend: Backend, ann: Citizen) -> None:
    bob = Citizen("bob@localhost")
    assert (await backend.asks(bob.signer, AskAccount()))[0].code == "UnknownDevice"
    position = backend.happens(bob.registers())
    asking = asyncio.create_task(backend.asks(bob.signer, AskAccount(), at_least=position))
    await waiting(backend, 1)
    await backend.follow()
    answer, _ = await asking
    assert [row["account"] for row in answer.rows] == [bob.account]


async def test_strangers_who_wait_take_no_room_from_who_is_known(backend: Backend, ann: Citizen) -> None:
    position = backend.happens(ann.adds("i" * 26))
    strangers = [Citizen(f"{n}@localhost") for n in range(module.WAITING_EACH + 3)]
    asks = [asyncio.create_task(backend.asks(each.signer, AskItems(), at_least=position)) for each in strangers]
    await waiting(backend, module.WAITING_EACH)
    await until(lambda: sum(each.done() for each in asks) >= 3)  # those for whom there is no room
    known = asyncio.create_task(backend.asks(ann.signer, AskItems(), at_least=position))
    await waiting(backend, module.WAITING_EACH + 1)
    await backend.follow()
    assert (await known)[0].status == "ok"
    codes = [answer.code for answer, _ in await asyncio.gather(*asks)]
    assert sorted(set(codes), key=str) == ["Busy", "UnknownDevice"]
    assert codes.count("Busy") == 3


async def waiting(backend: Backend, number: int) -> None:
    """Until so many queries wait."""
    await until(lambda: backend.queries._waiting.total() >= number)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


# What an answer holds.


async def test_a_page_fetches_no_more_sealed_objects_than_it_sends(
    backend: Backend, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [letter * 26 for letter in "abcdef"]
    backend.happens(*(ann.adds(item) for item in items))
    await backend.follow()
    monkeypatch.setattr(module, "MAX_FILLED", 900)
    found: list[Any] = []
    after, pages = 0, 0
    while True:
        backend.fetched.clear()
        answer, blobs = await backend.asks(ann.signer, AskItems(after=after))
        assert len(backend.fetched) <= len(answer.rows) + 1
        assert len(blobs) == 2 * len(answer.rows)
        found, pages = [*found, *(row["item"] for row in answer.rows)], pages + 1
        if answer.next is None:
            break
        after = int(answer.next)
    assert found == items
    assert pages > 1


async def test_a_row_that_no_answer_can_carry_is_told_and_the_others_come(
    backend: Backend, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.happens(ann.adds("a" * 26), ann.adds("b" * 26))
    await backend.follow()
    monkeypatch.setattr(module, "MAX_FILLED", 10)
    monkeypatch.setattr(module, "MAX_ANSWER", 400)
    first, _ = await backend.asks(ann.signer, AskItems())
    assert (first.status, len(first.rows), first.next is None) == ("ok", 1, False)
    monkeypatch.setattr(module, "MAX_ANSWER", 100)
    assert (await backend.asks(ann.signer, AskItems()))[0].code == "TooLarge"


async def test_what_one_command_can_bring_one_answer_can_carry(backend: Backend, ann: Citizen) -> None:
    assert envelope.MAX_MESSAGE < module.MAX_ANSWER < 1024 * 1024 - 8 * 1024


async def test_ones_own_account_comes_without_the_keks_wraps(backend: Backend, ann: Citizen) -> None:
    first, blobs = await backend.asks(ann.signer, AskAccount())
    again, more = await backend.asks(ann.signer, AskAccount(), nonce=first.nonce)
    assert first.rows == again.rows
    assert first.rows[0]["kek"]
    assert (blobs, more) == ([], [f"{ann.account} identity".encode()])


async def test_private_parts_of_keypairs_come_for_a_fresh_request_alone(backend: Backend, ann: Citizen) -> None:
    backend.happens(*ann.stores_key())
    await backend.follow()
    first, blobs = await backend.asks(ann.signer, AskKeys())
    assert blobs == []
    fresh, blobs = await backend.asks(ann.signer, AskKeys(), nonce=first.nonce)
    assert blobs == [f"{ann.account} private".encode()]
    assert fresh.rows == first.rows
    stale, blobs = await backend.asks(ann.signer, AskKeys(), nonce=first.nonce)
    assert (stale.code, blobs) == ("StaleNonce", [])


async def test_what_the_store_erased_before_the_views_heard_of_it_is_answered_as_it_is_now(
    backend: Backend, ann: Citizen
) -> None:
    """The row that names it is behind the times, and an answer without the object would look like a lie."""
    item = "i" * 26
    backend.happens(ann.adds(item))
    await backend.follow()
    nonce = (await backend.asks(ann.signer, AskItems()))[0].nonce
    backend.happens(ann.adds(item, version=2))
    asking = [asyncio.create_task(backend.asks(ann.signer, AskItems(), nonce=given)) for given in (None, nonce)]
    await waiting(backend, 2)
    await backend.follow()
    for answer, blobs in await asyncio.gather(*asking):
        assert [(row["item"], row["version"]) for row in answer.rows] == [(item, 2)]
        assert sorted(blobs) == [f"{item} 2 content".encode(), f"{item} 2 wrap".encode()]
    assert (await backend.asks(ann.signer, AskItems(), nonce=nonce))[0].code == "StaleNonce"


async def test_an_object_that_is_lost_is_left_out_and_the_rest_comes(
    backend: Backend, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = "i" * 26
    backend.happens(ann.adds(item))
    await backend.follow()
    honest = backend.store.sealed
    lost = digest(f"{item} 1 wrap".encode())
    monkeypatch.setattr(backend.store, "sealed", lambda digests: honest([each for each in digests if each != lost]))
    answer, blobs = await backend.asks(ann.signer, AskItems())
    assert [row["item"] for row in answer.rows] == [item]
    assert blobs == [f"{item} 1 content".encode()]


# The keyring.


@dataclass
class Login:
    """Somebody who knows a passphrase, on no device."""

    citizen: Citizen
    key: SigningKey

    def asks(self, nonce: str | None, proof: bytes | None = None) -> tuple[str, bytes]:
        """A query for the keyring."""
        by = replace(self.citizen.signer, device="n" * 26)
        proof = sign_login(self.key, HOME.id, "login", unb64(nonce or "")) if proof is None else proof
        subject, data = by.query(AskKeyring(purpose="login", proof=b64(proof)), nonce, NEVER)
        return subject, frame(b"", unframe(data, 2, 10**6)[1])


@pytest.fixture
async def login(backend: Backend) -> Login:
    key, citizen = SigningKey.generate(), Citizen("carol@localhost")
    backend.happens(citizen.registers(login=b64(key.public)))
    await backend.follow()
    return Login(citizen, key)


async def test_the_keyring_is_released_once_for_each_proof(backend: Backend, login: Login) -> None:
    none, _ = await backend.hear(*login.asks(None))
    assert none.code == "StaleNonce"
    right, blobs = await backend.hear(*login.asks(none.nonce))
    assert (right.status, len(blobs)) == ("ok", 3)
    again, blobs = await backend.hear(*login.asks(none.nonce))
    assert (again.code, blobs) == ("StaleNonce", [])


async def test_who_cannot_prove_the_passphrase_uses_up_no_nonce(backend: Backend, login: Login) -> None:
    """There is room for so many used ones; strangers must not fill it."""
    nonce = (await backend.hear(*login.asks(None)))[0].nonce
    for _ in range(3):
        wrong, blobs = await backend.hear(*login.asks(nonce, b"p" * 64))
        assert (wrong.code, blobs) == ("BadLogin", [])
    assert not backend.nonces._used
    assert (await backend.hear(*login.asks(nonce)))[0].status == "ok"


async def test_a_keyring_that_changes_meanwhile_is_released_as_it_is_now(backend: Backend, login: Login) -> None:
    nonce = (await backend.hear(*login.asks(None)))[0].nonce
    kek = b"a wrap by the same unlock key"
    same = ChangePassphrase(b64(login.key.public), Kdf(64 * 1024, 3, 4), digest(kek))
    backend.happens(login.citizen.says(same, kek))
    asking = asyncio.create_task(backend.hear(*login.asks(nonce)))
    await waiting(backend, 1)
    await backend.follow()
    right, blobs = await asking
    assert (right.status, kek in blobs, len(blobs)) == ("ok", True, 3)
    again, blobs = await backend.hear(*login.asks(nonce))
    assert (again.code, blobs) == ("StaleNonce", [])


# Threads.


async def test_slow_pages_hold_up_neither_the_projector_nor_the_rest(
    backend: Backend, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live(backend.projector, backend.after, forget)
    backend.happens(ann.adds("i" * 26))
    await backend.follow()
    with blocked(monkeypatch, backend) as (begun, let_go):
        asks = [asyncio.create_task(backend.asks(ann.signer, AskItems())) for _ in range(4 * module.THREADS)]
        await asyncio.to_thread(begun.acquire)
        position = backend.happens(ann.adds("j" * 26))
        following = asyncio.create_task(live.run())
        async with asyncio.timeout(SOON):
            assert await live.announced.reached(position, SOON)
        following.cancel()
        let_go()
    assert {answer.status for answer, _ in await asyncio.gather(*asks)} == {"ok"}


@contextmanager
def blocked(
    monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> Iterator[tuple[threading.Semaphore, Callable[[], None]]]:
    """Sealed objects come only when the test lets go; the loop's own threads are as few as can be."""
    begun, go = threading.Semaphore(0), threading.Event()

    def slow(digests: Sequence[str]) -> Mapping[str, bytes]:
        begun.release()
        assert go.wait(30)
        return backend.store.sealed(digests)

    monkeypatch.setattr(backend.queries, "_sealed", slow)
    with ThreadPoolExecutor(2) as few:
        asyncio.get_running_loop().set_default_executor(few)
        try:
            yield begun, go.set
        finally:
            go.set()


async def forget(subject: str, data: bytes) -> None:
    """Nobody listens."""


async def test_half_folded_views_answer_nobody(backend: Backend, ann: Citizen, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was shown before the views were folded anew must not seem to be gone."""
    monkeypatch.setattr("projections.queries.AT_LEAST_TIMEOUT", 0.05)
    await backend.follow()
    item = short_id("an item")
    position = backend.happens(ann.adds(item))
    monkeypatch.setattr(backend.queries, "_first", position)
    answer, _ = await backend.asks(ann.signer, AskItems())
    assert (answer.status, answer.code, answer.rows) == ("refused", "Busy", ())
    await backend.follow()
    answer, _ = await backend.asks(ann.signer, AskItems())
    assert [row["item"] for row in answer.rows] == [item]
