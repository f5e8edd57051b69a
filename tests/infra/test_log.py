"""The home's log over a real store of each kind: checkpoints, receipts and proofs that anybody can check."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from infra.log import Log
from infra.store import Batch, Event, EventStore, open_store
from privity.crypto.log import entry, read_checkpoint
from privity.crypto.merkle import EMPTY_ROOT, leaf_hash, verify_consistency, verify_inclusion
from privity.crypto.signing import SigningKey
from privity.encoding import unb64
from privity.errors import NotFound
from privity.messages.envelope import Receipt

KEY = SigningKey.from_seed(b"l" * 32)
HOME = "h" * 26

Grow = Callable[[int], list[int]]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    """An empty store of each kind."""
    url = f"sqlite:///{tmp_path}/store.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    with closing(open_store(url)) as opened:
        yield opened


@pytest.fixture
def log(store: EventStore) -> Log:
    return Log(store, KEY, HOME)


@pytest.fixture
def grow(store: EventStore) -> Grow:
    """Appends so many events, each in a stream of its own."""
    return lambda count: store.append(Batch([new_event(store.head() + one) for one in range(count)]))


def new_event(number: int) -> Event:
    return Event(f"item-{number}", 1, "item-added.v1", b"%d" % number)


def leaf(store: EventStore, position: int) -> bytes:
    (one,) = store.after(position - 1, 1)
    return leaf_hash(entry(one.position, one.stream, one.version, one.name, one.data))


def holds(store: EventStore, receipt: Receipt, positions: list[int]) -> int:
    """The size of the checkpoint under which all of these events are proven."""
    checkpoint = read_checkpoint(receipt.checkpoint, KEY.public, HOME)
    assert len(receipt.proofs) == len(positions)
    for position, proof in zip(positions, receipt.proofs, strict=True):
        path = [unb64(each) for each in proof]
        verify_inclusion(leaf(store, position), position - 1, checkpoint.size, path, checkpoint.root)
    return checkpoint.size


def test_an_empty_log_says_so(log: Log) -> None:
    checkpoint = read_checkpoint(log.checkpoint(), KEY.public, HOME)
    assert (log.size(), checkpoint.size, checkpoint.root) == (0, 0, EMPTY_ROOT)
    assert log.root(0) == EMPTY_ROOT
    assert log.since(()).proofs == ()


def test_the_newest_checkpoint_says_how_many_events_are_committed(log: Log, store: EventStore, grow: Grow) -> None:
    for _ in range(3):
        grow(7)
        checkpoint = read_checkpoint(log.checkpoint(), KEY.public, HOME)
        assert checkpoint.size == log.size() == store.head()
        assert checkpoint.root == log.root(store.head()) == store.frontier().root()


def test_the_same_size_is_always_signed_alike_by_whoever_signs(log: Log, store: EventStore, grow: Grow) -> None:
    grow(5)
    first = log.checkpoint()
    root = log.root(5)
    grow(5)
    assert log.checkpoint() != first
    assert log.root(5) == root
    notes = {Log(store, KEY, HOME).checkpoint(), log.receipt([3]).checkpoint, log.since([5]).checkpoint}
    assert notes == {log.checkpoint()}


def test_receipts_prove_events_old_and_new_in_the_order_that_is_asked(log: Log, store: EventStore, grow: Grow) -> None:
    grow(300)
    for positions in ([1], [300, 1, 256, 257, 255], list(range(1, 301)), []):
        assert holds(store, log.receipt(positions), positions) == 300
    grow(1)
    assert holds(store, log.receipt([301, 300]), [301, 300]) == 301


def test_a_batch_s_receipts_are_those_that_the_store_would_give(log: Log, store: EventStore, grow: Grow) -> None:
    for count in (1, 2, 3, 250, 1, 300):
        written = store.write(Batch([new_event(store.head() + one) for one in range(count)]))
        assert written.growth
        ready = log.receipts_of(written.growth)
        assert ready.of(written.positions) == log.receipt(written.positions)
        assert holds(store, ready.of(written.positions), written.positions) == store.head()
        with pytest.raises(KeyError):
            ready.of([written.positions[0] - 1])


def test_every_size_s_root_and_every_step_between_two_sizes_can_be_proven(
    log: Log, store: EventStore, grow: Grow
) -> None:
    grow(600)
    draw = random.Random(7)
    for old, new in [(1, 600), (600, 600), (256, 600), (255, 256), (256, 257), (512, 513)] + [
        tuple(sorted(draw.sample(range(1, 601), 2))) for _ in range(20)
    ]:
        verify_consistency(old, log.root(old), new, log.root(new), log.consistency(old, new))
        path = log.inclusion(old, new)
        verify_inclusion(leaf(store, old), old - 1, new, path, log.root(new))


def test_who_held_earlier_checkpoints_gets_a_proof_from_each(log: Log, grow: Grow) -> None:
    held = []
    for _ in range(4):
        grow(70)
        held.append(read_checkpoint(log.checkpoint(), KEY.public, HOME))
    row = log.since([old.size for old in held])
    newest = read_checkpoint(row.checkpoint, KEY.public, HOME)
    assert newest.size == 280
    for old, proof in zip(held, row.proofs, strict=True):
        verify_consistency(old.size, old.root, newest.size, newest.root, [unb64(each) for each in proof])


def test_what_is_beyond_the_log_is_not_found(log: Log, grow: Grow) -> None:
    grow(10)
    for asked in (
        lambda: log.receipt([11]),
        lambda: log.receipt([0]),
        lambda: log.inclusion(11, 11),
        lambda: log.inclusion(8, 7),
        lambda: log.inclusion(3, 11),
        lambda: log.consistency(10, 11),
        lambda: log.consistency(11, 11),
        lambda: log.consistency(0, 10),
        lambda: log.consistency(7, 6),
        lambda: log.root(11),
        lambda: log.since([11]),
        lambda: log.evidence(11),
    ):
        with pytest.raises(NotFound):
            asked()
