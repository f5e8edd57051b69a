"""The event store, on SQLite and on PostgreSQL alike."""

import os
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent

from infra.recorders import PostgresRecorder, SQLiteRecorder, wanted
from infra.store import Batch, CommandRow, Event, EventStore, open_store
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


def test_a_locked_table_is_unavailable(postgres_url: str) -> None:
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


def test_no_server_is_unavailable_in_bounded_time(tmp_path: Path) -> None:
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


def test_a_store_of_before_gets_the_table(store: EventStore, open_again: Open) -> None:
    store.append(Batch([event("share-1")]))
    with store._recorder.datastore.transaction(commit=True) as cursor:
        cursor.execute("DROP TABLE done")
    again = open_again()
    assert not again.is_done("mail-1")
    again.mark_done("mail-1")
    assert (again.is_done("mail-1"), again.head()) == (True, 1)
