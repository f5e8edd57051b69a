"""The event store, on SQLite and on PostgreSQL alike."""

import os
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent

from infra.lookup import wanted
from infra.recorders import PostgresRecorder, SQLiteRecorder
from infra.store import Batch, CommandRow, Event, EventStore, Issued, Written, open_store
from privity.crypto.log import entry
from privity.crypto.merkle import Frontier, Node, inclusion_proof, leaf_hash, verify_inclusion
from privity.encoding import digest
from privity.errors import Malformed, StoreConflict, StoreUnavailable

Open = Callable[[], EventStore]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def open_again(url: str) -> Iterator[Open]:
    """Opens the database once more, as another worker does."""
    opened: list[EventStore] = []

    def open_one() -> EventStore:
        opened.append(open_store(url))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_again: Open) -> EventStore:
    return open_again()


def event(stream: str, version: int = 1, data: bytes = b"{}", name: str = "share-created.v1") -> Event:
    return Event(stream, version, name, data)


def command(id: str = "c1", account: str = "ann", events: tuple[tuple[str, int], ...] = ()) -> CommandRow:
    return CommandRow(
        account, id, digest(b"payload"), "privity.cmd.ann.share.create", b"\0payload", b"\xffsig",
        "accepted", None, None, events,
    )  # fmt: skip


def places(store: EventStore) -> list[tuple[str, int]]:
    """Stream and version of all events, in the store's order."""
    return [(stored.stream, stored.version) for stored in store.after(0, 100_000)]


def holds_nothing(store: EventStore, batch: Batch) -> bool:
    """Whether no part of a batch of new things is in the store."""
    keys = [(row.account, row.id) for row in batch.commands]
    refs = [(one.stream, one.version) for one in batch.events]
    return not (store.commands(keys) or store.positions(refs) or store.sealed(list(batch.sealed)))


def test_an_empty_store_has_nothing(store: EventStore) -> None:
    assert store.head() == 0
    assert store.version("share-1") == 0
    assert store.read("share-1") == []
    assert store.after(0, 10) == []
    assert store.commands([("ann", "c1")]) == {}
    assert store.commands([]) == {}
    assert store.positions([]) == []
    assert store.sealed([]) == {}
    assert store.append(Batch()) == []


def test_events_keep_the_order_of_the_batch(store: EventStore) -> None:
    first = store.append(Batch([event("b"), event("a"), event("b", 2)]))
    second = store.append(Batch([event("a", 2)]))
    positions = first + second
    assert positions == sorted(set(positions))
    assert places(store) == [("b", 1), ("a", 1), ("b", 2), ("a", 2)]
    assert [stored.position for stored in store.after(0, 10)] == positions
    assert store.head() == positions[-1]


def test_a_stream_is_read_from_a_version_on(store: EventStore) -> None:
    store.append(Batch([event("a"), event("b"), event("a", 2, b"\0\xff", "share-deleted.v2"), event("a", 3)]))
    assert [stored.version for stored in store.read("a")] == [1, 2, 3]
    assert [stored.version for stored in store.read("a", after=1)] == [2, 3]
    assert store.read("a", after=3) == []
    (second, _) = store.read("a", after=1)
    assert (second.stream, second.name, second.data) == ("a", "share-deleted.v2", b"\0\xff")
    assert store.version("a") == 3


def test_all_events_are_paged_behind_a_position(store: EventStore) -> None:
    positions = store.append(Batch([event(f"s{number}") for number in range(10)]))
    assert [stored.position for stored in store.after(0, 4)] == positions[:4]
    assert [stored.position for stored in store.after(positions[3], 4)] == positions[4:8]
    assert [stored.position for stored in store.after(positions[7], 4)] == positions[8:]
    assert store.after(positions[-1], 4) == []
    assert [stored.position for stored in store.after(positions[0], 9, stop=positions[2])] == positions[1:3]
    assert [(stored.position, stored.stream) for stored in store.at([7, 99, 3, 7])] == [(3, "s2"), (7, "s6")]
    assert store.at([]) == []


def test_a_command_comes_back_as_it_was_written(store: EventStore) -> None:
    accepted = command(events=(("share-1", 1), ("share-1", 2)))
    refused = CommandRow("bob", "c1", "d", "s", b"", b"", "refused", "NotConnected", "There is no connection.", ())
    store.append(Batch([event("share-1"), event("share-1", 2)], [accepted, refused]))
    keys = [("ann", "c1"), ("bob", "c1"), ("eve", "c1")]
    assert store.commands(keys) == {("ann", "c1"): accepted, ("bob", "c1"): refused}


def test_a_command_names_the_events_that_it_made(store: EventStore) -> None:
    positions = store.append(Batch([event("a"), event("b"), event("a", 2)]))
    refs = (("a", 2), ("b", 1), ("a", 9))
    store.append(Batch(commands=[command(events=refs)]))
    events = store.positions(store.commands([("ann", "c1")])["ann", "c1"].events)
    assert [(stored.position, stored.stream, stored.version) for stored in events] == [
        (positions[1], "b", 1),
        (positions[2], "a", 2),
    ]


def test_commands_need_no_event(store: EventStore) -> None:
    assert store.append(Batch(commands=[command()], sealed={"d": b"x"})) == []
    assert store.commands([("ann", "c1")]) == {("ann", "c1"): command()}
    assert store.sealed(["d"]) == {"d": b"x"}


def test_a_sealed_object_may_come_twice(store: EventStore) -> None:
    first, second = os.urandom(3000), b""
    store.append(Batch(sealed={digest(first): first}))
    store.append(Batch(sealed={digest(first): first, digest(second): second}))
    found = store.sealed([digest(first), digest(second), "no-such"])
    assert found == {digest(first): first, digest(second): second}


@pytest.mark.parametrize(
    "text",
    ["", " ", "';--", "%s ? {} $1", "\\", "\u200b\u202eéß漢", "\x01\x1f\x7f\r\n\t", "😀" * 256],
)
def test_odd_text_is_kept(store: EventStore, text: str) -> None:
    row = CommandRow(text, text, text, text, b"", b"", text, text, text, ((text, 1),))
    (position,) = store.append(Batch([event(text, name=text)], [row], {text: b"x"}))
    assert [(one.position, one.stream, one.name) for one in store.read(text)] == [(position, text, text)]
    assert store.commands([(text, text)]) == {(text, text): row}
    assert store.sealed([text]) == {text: b"x"}
    assert [one.position for one in store.positions([(text, 1)])] == [position]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_no_database_holds_is_malformed(store: EventStore, text: str) -> None:
    for batch in (Batch([event(text)]), Batch(commands=[command(text)]), Batch(reads={text: 0})):
        with pytest.raises(Malformed):
            store.append(batch)
    with pytest.raises(Malformed):
        store.append(Batch([event("a", name=text)]))
    with pytest.raises(Malformed):
        store.read(text)
    with pytest.raises(Malformed):
        store.commands([("ann", text)])


def test_ids_have_a_bounded_length(store: EventStore) -> None:
    for batch in (
        Batch([event("a" * 257)]),
        Batch(commands=[command("a" * 257)]),
        Batch(sealed={"a" * 257: b""}),
    ):
        with pytest.raises(Malformed):
            store.append(batch)


def test_many_keys_are_looked_up_at_once(store: EventStore) -> None:
    events = [event(f"s{number}") for number in range(1000)]
    commands = [command(f"c{number}") for number in range(1000)]
    store.append(Batch(events, commands, {f"d{number}": b"x" for number in range(1000)}))
    assert len(store.positions([(one.stream, 1) for one in events])) == 1000
    assert len(store.commands([("ann", row.id) for row in commands])) == 1000
    assert len(store.sealed([f"d{number}" for number in range(1000)])) == 1000


def test_a_taken_version_is_a_conflict_and_leaves_nothing(store: EventStore) -> None:
    store.append(Batch([event("a")]))
    late = Batch([event("b"), event("a", 1, b"other")], [command()], {"d": b"x"})
    with pytest.raises(StoreConflict):
        store.append(late)
    assert store.read("a")[0].data == b"{}"
    assert places(store) == [("a", 1)]
    assert not store.commands([("ann", "c1")])
    assert not store.sealed(["d"])


def test_a_taken_command_id_is_a_conflict_and_leaves_nothing(store: EventStore) -> None:
    store.append(Batch(commands=[command("c2")]))
    late = Batch([event("a")], [command("c1"), command("c2")], {"d": b"x"})
    with pytest.raises(StoreConflict):
        store.append(late)
    assert store.head() == 0
    assert not store.commands([("ann", "c1")])
    assert not store.sealed(["d"])
    with pytest.raises(StoreConflict):
        store.append(Batch(commands=[command("c3"), command("c3")]))
    with pytest.raises(StoreConflict):
        store.append(Batch(commands=[command("c2")]))


@pytest.mark.parametrize("reads", [{"a": 1}, {"a": 0}, {"a": 3}, {"b": 1}, {"a": 2, "c": 7}])
def test_a_decision_on_another_version_is_a_conflict(store: EventStore, reads: dict[str, int]) -> None:
    store.append(Batch([event("a"), event("a", 2)]))
    late = Batch([event("z")], [command()], {"d": b"x"}, reads)
    with pytest.raises(StoreConflict):
        store.append(late)
    assert holds_nothing(store, late)
    with pytest.raises(StoreConflict):
        store.append(Batch(reads=reads))


def test_a_decision_on_the_right_versions_is_written(store: EventStore) -> None:
    store.append(Batch([event("a"), event("a", 2)]))
    store.append(Batch([event("z")], reads={"a": 2, "b": 0}))
    store.append(Batch([event("a", 3)], reads={"a": 2}))
    store.append(Batch([event("a", 4), event("y")], reads={"a": 4}))  # read behind the batch's own event
    assert store.version("a") == 4


@pytest.mark.parametrize("reads", [{}, {"a": 1}, {"a": 3}, {"a": 4}])
def test_no_stream_gets_a_gap(store: EventStore, reads: dict[str, int]) -> None:
    store.append(Batch([event("a")]))
    for events in (
        [event("a", 3)],
        [event("a", 2), event("a", 4)],
        [event("b", 2)],
        [event("a", 3), event("a", 2)],
    ):
        with pytest.raises(StoreConflict):
            store.append(Batch(events, reads=reads))
    assert places(store) == [("a", 1)]


def test_another_workers_write_moves_the_read_set(store: EventStore, open_again: Open) -> None:
    other = open_again()
    store.append(Batch([event("connection-1")]))
    other.append(Batch([event("connection-1", 2)]))
    with pytest.raises(StoreConflict):
        store.append(Batch([event("share-1")], reads={"connection-1": 1}))
    assert store.append(Batch([event("share-1")], reads={"connection-1": 2}))


def test_of_two_racing_decisions_on_each_other_one_wins(store: EventStore, open_again: Open) -> None:
    """Write skew: each reads what the other writes, so that both together would be wrong."""
    workers = [store, open_again()]
    for number in range(20):
        streams = (f"left-{number}", f"right-{number}")
        barrier = threading.Barrier(2)

        def decide(one: int, streams: tuple[str, str] = streams, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            try:
                workers[one].append(Batch([event(streams[one])], reads={streams[1 - one]: 0}))
            except StoreConflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(decide, (0, 1))) == [False, True]


def test_a_reader_never_passes_an_event_that_comes_later(store: EventStore, open_again: Open) -> None:
    """Many writers, one follower: it sees the final order, and no hole is filled behind it."""
    writers = [open_again() for _ in range(4)]
    done = threading.Event()

    def write(worker: int) -> None:
        for number in range(50):
            streams = [f"s-{worker}-{number}-{one}" for one in range(3)]
            writers[worker].append(Batch([event(stream) for stream in streams]))

    def follow() -> list[int]:
        seen: list[int] = []
        while True:
            last = done.is_set()
            seen += [stored.position for stored in store.after(seen[-1] if seen else 0, 7)]
            if last and seen[-1] == store.head():
                return seen

    with ThreadPoolExecutor(5) as pool:
        follower = pool.submit(follow)
        for written in [pool.submit(write, worker) for worker in range(4)]:
            written.result()
        done.set()
        seen = follower.result()
    assert seen == [stored.position for stored in store.after(0, 10_000)]
    assert len(seen) == 600


def test_threads_share_one_store(store: EventStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.append(Batch([event(f"s{number}")])), range(100)))
        assert all(pool.map(lambda number: store.version(f"s{number}") == 1, range(100)))
    assert len(places(store)) == 100


def test_a_large_batch_is_written(store: EventStore) -> None:
    """Larger than any socket's buffer, several times: the library's pipeline hangs on these."""
    for turn in range(5):
        events = [event(f"s-{turn}-{number}", data=os.urandom(2000)) for number in range(1000)]
        commands = [command(f"c-{turn}-{number}") for number in range(500)]
        assert len(store.append(Batch(events, commands))) == 1000


def test_a_store_that_is_opened_again_has_all(store: EventStore, open_again: Open) -> None:
    positions = store.append(Batch([event("a"), event("b")], [command()], {"d": b"x"}))
    store.close()
    again = open_again()
    assert [stored.position for stored in again.after(0, 10)] == positions
    assert again.commands([("ann", "c1")]) == {("ann", "c1"): command()}
    assert again.sealed(["d"]) == {"d": b"x"}
    assert again.append(Batch([event("a", 2)])) > positions[-1:]


def test_a_closed_store_is_unavailable(store: EventStore) -> None:
    store.close()
    with pytest.raises(StoreUnavailable):
        store.head()
    with pytest.raises(StoreUnavailable):
        store.append(Batch([event("a")]))


def test_workers_that_start_together_make_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: open_store(url), range(6)))
    for number, store in enumerate(stores):
        store.append(Batch([event(f"s{number}")]))
        store.close()


def test_nothing_secret_shows_in_a_repr() -> None:
    batch = Batch([event("a", data=b"canary")], [command()], {"d": b"canary"})
    assert "canary" not in repr(batch)
    assert "payload" not in repr(batch).replace("payload=", "")


# The contract with the library: what the subclass overrides is still called, in the append's transaction.


def recorder(url: str, kind: Callable[[type[Any]], type[Any]]) -> Any:
    """A recorder of the URL's dialect, changed by `kind`."""
    if url.startswith("sqlite"):
        made = kind(SQLiteRecorder)(url.removeprefix("sqlite:///"), lock_timeout=5)
    else:
        made = kind(PostgresRecorder)(url, lock_timeout=5)
    made.create_table()
    return made


def test_the_library_calls_insert_events_inside_its_transaction(url: str) -> None:
    calls: list[tuple[Sequence[StoredEvent], dict[str, Any]]] = []

    def failing(base: type[Any]) -> type[Any]:
        class Failing(base):  # type: ignore[misc]
            def _insert_events(self, cursor: Any, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Any:
                super()._insert_events(cursor, stored_events, **kwargs)
                calls.append((stored_events, kwargs))
                raise IntegrityError("an extra insert failed")

        return Failing

    store = EventStore(recorder(url, failing))
    batch = Batch([event("a")], [command()], {"d": b"x"})
    with closing(store):
        with pytest.raises(StoreConflict):
            store.append(batch)
        assert [(stored.originator_id, stored.originator_version) for stored in calls[0][0]] == [("a", 1)]
        assert set(calls[0][1]) == {"together"}
        assert holds_nothing(store, batch)
        assert store.head() == 0


def test_a_commit_whose_reply_was_lost_conflicts_with_itself(postgres_url: str) -> None:
    """The rows are there: the caller finds its commands by their ids."""
    made = recorder(postgres_url, lambda base: base)
    transaction = made.datastore.transaction
    lost: list[bool] = []

    @contextmanager
    def losing(*, commit: bool = False) -> Iterator[Any]:
        with transaction(commit=commit) as cursor:
            yield cursor
        if commit and not lost:
            lost.append(True)
            raise OperationalError("the connection was closed")

    made.datastore.transaction = losing
    store = EventStore(made)
    with closing(store):
        with pytest.raises(StoreConflict):
            store.append(Batch([event("a")], [command()]))
        assert lost
        assert store.commands([("ann", "c1")]) == {("ann", "c1"): command()}
        assert store.version("a") == 1


# What only one of the two has.


def test_sqlite_finds_by_the_index(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/store.db")):
        for key, table in (
            (("originator_id", "originator_version"), "stored_events"),
            (("account", "id"), "commands"),
        ):
            plan = f"EXPLAIN QUERY PLAN {wanted('*', table, key, 3)}"
            with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
                steps = [row[3] for row in connection.execute(plan, ["a", 1] * 3)]
            assert any(step.startswith(f"SEARCH {table} USING INDEX") for step in steps), steps


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("count", [1, 1000], ids=["fails to commit", "fails to insert"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, count: int) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/store.db")) as store:
        store.append(Batch([event("a")]))
        batch = Batch([event(f"s{number}", data=os.urandom(5000)) for number in range(count)], [command()])
        size = (tmp_path / "store.db-wal").stat().st_size
        for _ in range(3):
            with files_of_at_most(size), pytest.raises(StoreUnavailable):
                store.append(batch)
            assert holds_nothing(store, batch)
        assert len(store.append(batch)) == count
        assert store.commands([("ann", "c1")])


def test_a_locked_store_is_unavailable(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with (
        closing(open_store(url, lock_timeout=1)) as store,
        closing(sqlite3.connect(tmp_path / "store.db")) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.append(Batch([event("a")]))
        other.rollback()
        assert store.append(Batch([event("a")])) == [1]


def test_a_locked_table_is_unavailable(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.recorders.ATTEMPTS", 2)
    with closing(open_store(postgres_url, lock_timeout=1)) as store, psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.append(Batch([event("a")]))
        other.rollback()
        assert store.append(Batch([event("a")]))


def test_who_listens_hears_of_an_append(postgres_url: str) -> None:
    with closing(open_store(postgres_url)) as store, psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("LISTEN stored_events")
        store.append(Batch([event("a")]))
        assert [heard.channel for heard in other.notifies(timeout=5, stop_after=1)] == ["stored_events"]


def test_a_lost_connection_is_opened_again(postgres_url: str) -> None:
    with closing(open_store(postgres_url)) as store:
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert store.head() == 0
        assert store.append(Batch([event("a")]))


def test_a_path_may_be_relative_and_odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_store("sqlite:///odd ?name=%20#mode=rw.db")) as store:
        monkeypatch.chdir("/")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: store.append(Batch([event(f"s{number}")])), range(8)))
    assert (tmp_path / "odd ?name=%20#mode=rw.db").exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://host/db", "begins with neither"),
        ("sqlite://store.db", "begins with neither"),
        ("sqlite:///", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:////no/such/folder/store.db", "unable to open"),
        ("postgresql://user:s3cret%zz@host/db", "cannot be read"),
        ("postgresql://user:s3cret@host/db?colour=red", "cannot be read"),
    ],
)
def test_what_is_no_store_is_refused(url: str, reason: str) -> None:
    with pytest.raises(StoreUnavailable, match=reason) as caught:
        open_store(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None or "s3cret" not in str(caught.value.__cause__)


def test_no_server_is_unavailable_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.recorders.CONNECT_TIMEOUT", 1)
    with pytest.raises(StoreUnavailable) as caught:
        open_store(f"postgresql://ann:s3cret@/db?host={tmp_path}")
    assert "s3cret" not in str(caught.value)


def test_sqlite_that_does_not_sync_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a build of SQLite does whose default is not FULL."""
    connect = sqlite3.connect

    def unsynced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", unsynced)
    with pytest.raises(StoreUnavailable, match="synchronous=0"):
        open_store(f"sqlite:///{tmp_path}/store.db")


def test_sqlite_without_a_write_ahead_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system without shared memory."""
    connect = sqlite3.connect

    def dotfile(database: str, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(f"file:{database}?vfs=unix-dotfile", **{**kwargs, "uri": True})
        return connection

    monkeypatch.setattr(sqlite3, "connect", dotfile)
    with pytest.raises(StoreUnavailable, match="journal_mode=delete"):
        open_store(f"sqlite:///{tmp_path}/store.db")


def test_postgresql_that_does_not_sync_is_refused(postgres_url: str) -> None:
    with pytest.raises(StoreUnavailable, match="synchronous_commit=off"):
        open_store(f"{postgres_url}&options=-c%20synchronous_commit%3Doff")


# What was done outside.


def test_what_was_done_is_remembered_by_every_worker_and_over_restarts(store: EventStore, open_again: Open) -> None:
    assert not store.is_done("mail-1")
    store.mark_done("mail-1")
    store.mark_done("mail-1")
    assert (store.is_done("mail-1"), store.is_done("mail-2")) == (True, False)
    other = open_again()
    assert other.is_done("mail-1")
    other.mark_done("mail-2")
    assert store.is_done("mail-2")
    assert store.head() == 0


def test_many_workers_may_be_done_with_the_same_at_once(store: EventStore, open_again: Open) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda worker: worker.mark_done("mail-1"), [store, open_again()] * 10))
    assert store.is_done("mail-1")


# The log's tree grows in the append's transaction.


def fold(store: EventStore) -> Frontier:
    """The tree of all events, hashed anew."""
    frontier = Frontier()
    for one in store.after(0, 100_000):
        frontier.append(leaf_hash(entry(one.position, one.stream, one.version, one.name, one.data)))
    return frontier


def same(one: Frontier, other: Frontier) -> bool:
    return (one.size, one.roots) == (other.size, other.roots)


def all_nodes(store: EventStore) -> dict[Node, bytes]:
    """Every complete node, hashed anew."""
    frontier, nodes = Frontier(), dict[Node, bytes]()
    for one in store.after(0, 100_000):
        nodes.update(frontier.append(leaf_hash(entry(one.position, one.stream, one.version, one.name, one.data))))
    return nodes


def test_positions_count_from_one_without_gaps_whatever_fails(store: EventStore, open_again: Open) -> None:
    """The leaf of an event is that of its position."""
    other = open_again()
    assert store.append(Batch([event("a"), event("b")])) == [1, 2]
    for late in (Batch([event("c"), event("a")]), Batch([event("c")], reads={"a": 7})):
        with pytest.raises(StoreConflict):
            store.append(late)
    assert other.append(Batch([event("c"), event("a", 2)])) == [3, 4]
    assert store.append(Batch([event("d")])) == [5]
    assert [one.position for one in store.after(0, 10)] == [1, 2, 3, 4, 5]


def test_every_append_makes_its_events_leaves(store: EventStore) -> None:
    assert same(store.frontier(), Frontier())
    for number, count in enumerate((1, 2, 1, 250, 3, 600, 0, 1)):
        written = store.write(Batch([event(f"s{number}-{one}") for one in range(count)], done=["x"]))
        if count:
            assert written.growth
            assert same(written.growth.after, store.frontier())
        else:
            assert written == Written([], None)
        assert same(store.frontier(), fold(store))
    assert store.frontier().size == 858


def test_every_complete_node_is_found_and_no_other(store: EventStore) -> None:
    for number in range(4):
        store.append(Batch([event(f"s{number}-{one}") for one in range(150)]))
    nodes = all_nodes(store)
    assert store.nodes(nodes) == nodes
    assert store.nodes([]) == {}
    for level in range(11):
        with pytest.raises(KeyError):
            store.nodes([(level, 600 >> level)])


def test_what_an_append_grew_proves_its_events_without_the_store(store: EventStore) -> None:
    store.append(Batch([event(f"a{one}") for one in range(300)]))
    growth = store.write(Batch([event(f"b{one}") for one in range(20)])).growth
    assert growth
    known, nodes = growth.known(), all_nodes(store)
    for index in range(300, 320):
        path = inclusion_proof(index, 320, lambda *node: known[node])
        verify_inclusion(nodes[0, index], index, 320, path, store.frontier().root())


def test_what_fails_leaves_the_tree_as_it_was(store: EventStore, url: str) -> None:
    store.append(Batch([event(f"s{one}") for one in range(10)]))
    before = store.frontier()
    with pytest.raises(StoreConflict):
        store.append(Batch([event("new"), event("s1")]))
    assert same(store.frontier(), before)

    def failing(base: type[Any]) -> type[Any]:
        class Failing(base):  # type: ignore[misc]
            def _insert_events(self, *args: Any, **kwargs: Any) -> Any:
                super()._insert_events(*args, **kwargs)
                raise IntegrityError("something after it fails")

        return Failing

    with closing(EventStore(recorder(url, failing))) as other, pytest.raises(StoreConflict):
        other.append(Batch([event("new")]))
    assert same(store.frontier(), before)
    store.append(Batch([event("new"), event("new", 2)]))
    assert same(store.frontier(), fold(store))
    assert store.nodes([(0, 10)]) == {(0, 10): all_nodes(store)[0, 10]}


def test_many_workers_grow_one_tree(store: EventStore, open_again: Open) -> None:
    workers = [open_again() for _ in range(4)]

    def write(worker: int) -> None:
        for number in range(25):
            workers[worker].append(Batch([event(f"s-{worker}-{number}-{one}") for one in range(3)]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    nodes = all_nodes(store)
    assert [one.position for one in store.after(0, 1000)] == list(range(1, 301))
    assert same(store.frontier(), fold(store))
    assert store.nodes(nodes) == nodes


def test_an_older_store_gets_its_tree_when_it_is_opened(store: EventStore, open_again: Open) -> None:
    for number in range(3):
        store.append(Batch([event(f"s{number}-{one}") for one in range(900)]))
    with store._recorder.datastore.transaction(commit=True) as cursor:
        for table in ("log_tiles", "log_edge"):
            cursor.execute(f"DROP TABLE {table}")
    with ThreadPoolExecutor(3) as pool:
        again, *_ = pool.map(lambda _: open_again(), range(3))
    nodes = all_nodes(again)
    assert same(again.frontier(), fold(again))
    assert again.nodes(nodes) == nodes
    assert again.append(Batch([event("new")])) == [2701]
    assert same(again.frontier(), fold(again))


@pytest.mark.parametrize("read", ["log_edge", "ORDER BY", "MAX", ""])
def test_a_store_is_opened_while_others_append(store: EventStore, url: str, read: str) -> None:
    """Whichever read an append comes behind, and if one comes behind each."""
    store.append(Batch([event("a")]))

    def disturbed(base: type[Any]) -> type[Any]:
        class Disturbed(base):  # type: ignore[misc]
            def select(self, statement: str, params: Any = ()) -> list[Any]:
                rows: list[Any] = super().select(statement, params)
                if "FROM" in statement and read in statement:
                    store.append(Batch([event(f"s{store.head()}")]))
                return rows

        return Disturbed

    with closing(EventStore(recorder(url, disturbed))) as other:
        other._recorder.grow_tree()
    assert store.head() > 1
    assert same(store.frontier(), fold(store))


def test_a_store_whose_log_does_not_fit_its_events_is_not_opened(store: EventStore, url: str) -> None:
    store.append(Batch([event(f"s{one}") for one in range(10)]))
    position = store._recorder.position
    for damage, reason in (
        (f"DELETE FROM stored_events WHERE {position} = 10", "other events"),
        ("DELETE FROM log_edge", "gaps"),
    ):
        with store._recorder.datastore.transaction(commit=True) as cursor:
            if "edge" in damage:
                cursor.execute(f"DELETE FROM stored_events WHERE {position} = 4")
            cursor.execute(damage)
        with pytest.raises(StoreUnavailable, match=reason):
            open_store(url)


def test_a_log_of_a_million_leaves_opens_at_once(tmp_path: Path) -> None:
    """The edge is a row, and nothing else is looked at: these hashes are made up."""
    size = 1_000_003
    url = f"sqlite:///{tmp_path}/store.db"
    with closing(open_store(url)) as store:
        store.append(Batch([event("a")]))
    roots = b"r" * 32 * size.bit_count()
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("UPDATE stored_events SET rowid = ?", (size,))
        connection.execute("UPDATE log_edge SET size = ?, roots = ?", (size, roots))
        numbers = range(size // 256 + 1)
        tiles = [(0, number, b"h" * 32 * min(256, size - 256 * number)) for number in numbers]
        connection.executemany("INSERT OR REPLACE INTO log_tiles VALUES (?, ?, ?)", tiles)
        connection.commit()
    with closing(open_store(url)) as store:
        assert store.frontier().size == size
        growth = store.write(Batch([event("b")])).growth
    assert growth
    assert sum(map(len, growth.tiles.values())) < 3 * 256 * 32
    assert growth.after.size == size + 1


def test_a_position_without_a_leaf_is_never_written(tmp_path: Path) -> None:
    """As when somebody appends who knows nothing of the tree."""
    with closing(open_store(f"sqlite:///{tmp_path}/store.db")) as store:
        store.append(Batch([event("a")]))
        with closing(sqlite3.connect(tmp_path / "store.db")) as other:
            other.execute("INSERT INTO stored_events VALUES ('x', 1, 'share-created.v1', x'7b7d')")
            other.commit()
        batch = Batch([event("b")], [command()])
        with pytest.raises(StoreUnavailable, match="other events"):
            store.append(batch)
        assert holds_nothing(store, batch)


def test_the_sequence_of_postgresql_gives_no_position(postgres_url: str) -> None:
    with closing(open_store(postgres_url)) as store, psycopg.connect(postgres_url, autocommit=True) as other:
        store.append(Batch([event("a")]))
        with pytest.raises(psycopg.errors.NotNullViolation):
            other.execute("INSERT INTO stored_events VALUES ('x', 1, 'share-created.v1', ''::bytea)")
        assert store.append(Batch([event("b")])) == [2]


# Sealed objects live as long as somebody who brought them needs them.


def test_a_sealed_object_goes_when_all_who_brought_it_let_go(store: EventStore) -> None:
    store.append(Batch(sealed={"d": b"x", "e": b"y"}))
    store.append(Batch(sealed={"d": b"x"}))
    store.append(Batch(sealed={"d": b"x"}, named={"d": 2}))
    for _ in range(3):
        store.append(Batch(erased=["d", "never-there"]))
        assert store.sealed(["d", "e"]) == {"d": b"x", "e": b"y"}
    store.append(Batch(erased=["d"]))
    assert store.sealed(["d", "e"]) == {"e": b"y"}
    store.append(Batch(sealed={"d": b"x"}))
    assert store.sealed(["d"]) == {"d": b"x"}


def test_one_batch_may_bring_and_let_go(store: EventStore) -> None:
    store.append(Batch(sealed={"d": b"x", "e": b"y"}, named={"e": 3}, erased=["d", "e", "e"]))
    assert store.sealed(["d", "e"]) == {"e": b"y"}
    store.append(Batch(sealed={"e": b"y"}, erased=["e", "e"]))
    assert store.sealed(["e"]) == {}


def test_a_batch_that_fails_erases_nothing(store: EventStore) -> None:
    store.append(Batch([event("a")], sealed={"d": b"x"}))
    with pytest.raises(StoreConflict):
        store.append(Batch([event("a")], erased=["d"]))
    assert store.sealed(["d"]) == {"d": b"x"}


def test_s20_erased_bytes_are_overwritten_in_the_file(tmp_path: Path) -> None:
    small, large = os.urandom(500), os.urandom(50_000)

    def on_disk() -> list[bool]:
        with closing(sqlite3.connect(tmp_path / "store.db")) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        data = (tmp_path / "store.db").read_bytes()
        return [small in data, large[5000:5500] in data]

    with closing(open_store(f"sqlite:///{tmp_path}/store.db")) as store:
        store.append(Batch(sealed={digest(small): small, digest(large): large, "kept": b"kept"}))
        assert on_disk() == [True, True]
        store.append(Batch(erased=[digest(small), digest(large)]))
        assert on_disk() == [False, False]
        assert store.sealed(["kept"]) == {"kept": b"kept"}


def test_an_older_table_of_sealed_objects_gets_its_counts(store: EventStore, open_again: Open) -> None:
    store.append(Batch(sealed={"d": b"x"}))
    with store._recorder.datastore.transaction(commit=True) as cursor:
        cursor.execute("ALTER TABLE sealed DROP COLUMN refs")
    again = open_again()
    again.append(Batch(sealed={"d": b"x"}))
    again.append(Batch(erased=["d"]))
    assert again.sealed(["d"]) == {"d": b"x"}
    again.append(Batch(erased=["d"]))
    assert again.sealed(["d"]) == {}


def test_older_sealed_objects_are_counted_from_the_commands_that_brought_them(
    store: EventStore, open_again: Open
) -> None:
    """Over many pages; what a refused command names, nobody has brought."""
    twice, nested, once, escaped, alone, edge = (digest(b"%d" % one) for one in range(6))

    def naming(id: str, body: str, status: str = "accepted") -> CommandRow:
        payload = f'{{"v":1,"body":{body}}}'.encode()
        return CommandRow("ann", id, "d", "s", payload, b"", status, None, None, ())

    rows = [
        naming("a", f'{{"content":"{twice}","wrap":"{once}"}}'),
        naming("b", f'{{"content":"{twice}"}}'),
        naming("c", f'{{"wraps":{{"x":"{nested}","y":"{nested}"}}}}'),
        naming("d", f'{{"wraps":{{"x":"{nested}"}},"wraps":null,"n":{"9" * 5000}}}'),
        naming("e", f'{{"wrap":"{once}"}}', "refused"),
        naming("f", f'{{"wrap":"\\u{ord(escaped[0]):04x}{escaped[1:]}"}}'),
        naming("g", f'{{"wrap":"{escaped}"}}'),
        *[naming(f"h{number}", f'{{"wrap":"{edge}"}}') for number in range(1200)],
        naming("i", f'{{"wrap":"{twice}"}}'),
        command("j"),
    ]
    sealed = dict.fromkeys((twice, nested, once, escaped, alone, edge), b"x")
    store.append(Batch(commands=rows, sealed=sealed))
    with store._recorder.datastore.transaction(commit=True) as cursor:
        cursor.execute("ALTER TABLE sealed DROP COLUMN refs")
    with ThreadPoolExecutor(3) as pool:
        again, *_ = pool.map(lambda _: open_again(), range(3))
    refs = {row["digest"]: row["refs"] for row in again._recorder.select("SELECT digest, refs FROM sealed")}
    assert refs == {twice: 3, nested: 2, once: 1, escaped: 2, alone: 1, edge: 1200}
    again.append(Batch(erased=[escaped, once]))
    assert set(again.sealed(list(sealed))) == set(sealed) - {once}
    again.append(Batch(erased=[escaped]))
    assert again.sealed([escaped, twice]) == {twice: b"x"}


def test_a_store_of_before_gets_the_table(store: EventStore, open_again: Open) -> None:
    store.append(Batch([event("share-1")]))
    with store._recorder.datastore.transaction(commit=True) as cursor:
        cursor.execute("DROP TABLE done")
    again = open_again()
    assert not again.is_done("mail-1")
    again.mark_done("mail-1")
    assert (again.is_done("mail-1"), again.head()) == (True, 1)


# What was issued.


def test_what_was_issued_is_kept_until_it_has_ended(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = int(time.time())
    lasting, revoked = Issued("N1", "ann", "laptop", now + 900), Issued("N2", "ann", "phone", now + 900, revoked=True)
    store.keep_issued([lasting, revoked, Issued("N3", "bob", "", now + 900)])
    store.keep_issued([Issued("N2", "ann", "phone", now + 500)])  # neither shorter nor valid again
    assert store.issued_to("ann") == [lasting, revoked]
    assert (store.holder_of("N2"), store.holder_of("N9")) == (revoked, None)
    assert store.revoked() == {"N2": now + 900}
    monkeypatch.setattr(time, "time", lambda: now + 1000.0)
    assert store.revoked() == {}


def test_what_has_ended_is_dropped_now_and_then_and_never_much_at_once(
    store: EventStore, open_again: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    ended = [Issued(f"N{number}", "ann", "", now - 100 + number) for number in range(50)]

    def left(worker: EventStore) -> int:
        worker.keep_issued([Issued("O", "ann", "phone", now + 900)])
        return len(worker.issued_to("ann")) - 2

    monkeypatch.setattr("infra.recorders.SWEPT", 20)
    monkeypatch.setattr("infra.store.SWEEP_EVERY", 0.0)
    store.keep_issued([*ended, Issued("M", "ann", "laptop", now + 900)])
    assert left(store) == 30
    monkeypatch.setattr("infra.store.SWEEP_EVERY", 3600.0)
    assert [left(store) for _ in range(4)] == [10, 10, 10, 10]
    assert left(open_again()) == 0
    assert {each.nkey for each in store.issued_to("ann")} == {"M", "O"}


# No statement takes longer because the store has grown.

FILL = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO "
BYTES = "CAST('x' AS {bytes})"
FILLERS = (
    f"commands SELECT 'ann', 'c-' || i, 'd', 's', {BYTES}, {BYTES}, 'accepted', NULL, NULL, '[]' FROM n",
    f"sealed SELECT 'd-' || i, {BYTES}, 1 FROM n",
    "done SELECT 'k-' || i FROM n",
    "issued SELECT 'n-' || i, 'a-' || (i / 3), 'd', i * 100000, CASE WHEN i % 500 = 0 THEN 1 ELSE 0 END FROM n",
    f"log_tiles SELECT 9, i, {BYTES} FROM n",
)
GROWING = ("stored_events", "commands", "sealed", "done", "issued", "log_tiles")


def use_all(store: EventStore) -> None:
    """Every method that runs while the store is in use, and what an open one does."""
    store.write(
        Batch(
            [event("new"), event("new", 2)],
            [command("new")],
            {"new": b"x", "d-7": b"x"},
            {"s7": 1, "no": 0},
            ["k-7", "new"],
            [Issued("n-7", "ann", "d", 7), Issued("new", "ann", "d", 7, revoked=True)],
            erased=["d-7", "d-8"],
        )
    )
    store.read("s7", after=0)
    store.streams(["s7", "s8"])
    store.after(7, 10)
    store.after(7, 10, stop=20)
    store.at([7, 8])
    store.version("s7")
    store.commands([("ann", "c-7"), ("ann", "c-8")])
    store.positions([("s7", 1), ("s8", 1)])
    store.sealed(["d-7", "d-8"])
    store.nodes([(0, 7), (3, 7)])
    store.is_done("k-7")
    store.issued_to("a-7")
    store.holder_of("n-7")
    store.revoked()
    store._recorder.grow_tree()


def filled(url: str) -> EventStore:
    """A store that has grown, and of which the database knows how large it is."""
    store = open_store(url)
    kind = "blob" if url.startswith("sqlite") else "bytea"
    store.append(Batch([event(f"s{number}") for number in range(5000)]))
    with store._recorder.datastore.transaction(commit=True) as cursor:
        for filler in FILLERS:
            cursor.execute(FILL + filler.format(bytes=kind))
        cursor.execute("ANALYZE")
    return store


def test_no_statement_scans_what_grows_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, seen, connect = f"sqlite:///{tmp_path}/store.db", list[str](), sqlite3.connect
    filled(url).close()

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.set_trace_callback(seen.append)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", traced)
        with closing(open_store(url)) as store:
            use_all(store)
    statements = {one for one in seen if one.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))}
    assert len(statements) > 20
    with closing(connect(tmp_path / "store.db")) as connection:
        steps = [(row[3], one) for one in statements for row in connection.execute(f"EXPLAIN QUERY PLAN {one}")]
    assert {table for table in GROWING if any(f"SEARCH {table}" in step for step, _ in steps)} == set(GROWING)
    scans = [(step, one) for step, one in steps if step.startswith(tuple(f"SCAN {table}" for table in GROWING))]
    assert [one for one in scans if not one[1].endswith("WHERE false")] == []


def test_no_statement_scans_what_grows_on_postgresql(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, Any]] = []
    execute = psycopg.Cursor.execute

    def traced(cursor: Any, query: Any, params: Any = None, **kwargs: Any) -> Any:
        seen.append((query, params))
        return execute(cursor, query, params, **kwargs)

    with closing(filled(postgres_url)) as store, monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", traced)
        use_all(store)
    texts = [(one if isinstance(one, bytes) else one.as_string().encode(), params) for one, params in seen]
    statements = [one for one in texts if one[0].startswith((b"SELECT", b"INSERT", b"UPDATE", b"DELETE", b"WITH"))]
    assert len(statements) > 20
    found, scans = set[str](), list[Any]()
    with psycopg.connect(postgres_url) as connection:
        for statement, params in statements:
            ((plan,),) = connection.execute(b"EXPLAIN (FORMAT JSON) " + statement, params)
            for step in steps_of(plan[0]["Plan"]):
                found.add(step.get("Relation Name", ""))
                if "Scan" in step["Node Type"] and step.get("Relation Name") in GROWING and not limited(step):
                    scans.append((statement, step))
    assert found >= set(GROWING)
    assert scans == []


def steps_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from steps_of(inner)


def limited(step: dict[str, Any]) -> bool:
    """Whether a step finds its rows by an index, or only the first one of it."""
    newest = step["Node Type"] == "Index Only Scan" and step.get("Scan Direction") == "Backward"
    return "Index Cond" in step or "Recheck Cond" in step or newest
