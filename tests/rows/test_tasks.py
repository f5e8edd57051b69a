"""M30, work for the client: an edit queues the re-encryption of its shares, and the agent does it by itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import accounts, daemon, feed, items, shares
from privity.agent.keyring import Keyring
from privity.agent.profile import TASKS, ProfileFolder
from privity.agent.session import Session
from privity.agent.sources import SOURCES, Look
from privity.agent.tasks import Entry, Task, TaskBook
from privity.connection_string import parse_connection_string
from privity.errors import Busy, ForgedRecord, NoProfile, StaleVersion, UnknownDevice
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.conftest import Newcomer
from tests.rows.watching import eventually, lie, ran, typed
from tests.trials.load import revised


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for others that are not there."""
    monkeypatch.setattr(daemon, "JITTER", 0.02)
    monkeypatch.setattr(daemon, "TICK", 0.1)


@dataclass
class Running:
    """An agent that runs, and what it has told."""

    told: list[Entry] = field(default_factory=list)

    def of(self, kind: str) -> list[tuple[str, str, str | None]]:
        """What it told of one kind of steps: id, status, code."""
        return [(each.id, each.status, each.code) for each in self.told if each.kind == kind]

    async def until(self, kind: str, status: str, count: int = 1) -> list[str]:
        """The ids of the steps of that kind that it told to have that status, as soon as there are so many."""

        async def there() -> list[str] | None:
            found = [each.id for each in self.told if (each.kind, each.status) == (kind, status)]
            return found if len(found) >= count else None

        return await eventually(there)


@asynccontextmanager
async def agent_of(person: Person, sources: Mapping[str, Look] = SOURCES) -> AsyncIterator[Running]:
    """`agent run` of a person, in this process."""
    running = Running()
    async with person.session() as (session, keyring):
        with daemon.alone(person.home):
            working = asyncio.create_task(daemon.run(session, keyring, running.told.append, sources))
            try:
                yield running
            finally:
                while not working.done():
                    working.cancel()
                    await asyncio.wait({working}, timeout=1)
                if not working.cancelled():
                    working.result()


@dataclass(frozen=True)
class Given:
    """Ann shares an item with Bob, who has read its first version."""

    ann: Person
    bob: Person
    item: str
    share: str

    async def edit(self, value: str) -> None:
        """Ann's next version of the item; its share stays behind."""
        async with self.ann.session() as (session, keyring):
            await items.edit(session, keyring, self.item, {"number": value})

    async def read_by_bob(self) -> str:
        """The value that Bob reads."""
        async with self.bob.session() as (session, keyring):
            return (await shares.show(session, keyring, self.share)).content.slots["number"]


@pytest.fixture
async def given(connected: tuple[Person, Person]) -> Given:
    """Ann and Bob are connected, and she shares one item with him."""
    ann, bob = connected
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "1"})
        share = (await shares.create(session, keyring, kept.item, bob.address)).share
    made = Given(ann, bob, kept.item, share)
    assert await made.read_by_bob() == "1"
    return made


def queued(person: Person, *options: str, kind: str = "revise") -> list[dict[str, Any]]:
    """What `privity tasks` lists of one kind."""
    done = typed(person, "tasks", "--json", *options)
    assert done.code == 0, done.err
    return [row for row in done.json if row["kind"] == kind]


async def revisions(person: Person, share: str) -> int:
    """How often a share was revised, as the person's feed tells."""
    async with person.session() as (session, _):
        told = await feed.past(session)
    return [(line.event, line.refs.get("share")) for line in told].count(("share-revised", share))


async def test_m30_an_edit_queues_the_re_encryption_of_its_shares_and_the_agent_does_it_from_the_feed(
    given: Given,
) -> None:
    await given.edit("2")
    (waiting,) = await asyncio.to_thread(queued, given.ann)
    assert (waiting["id"], waiting["status"], waiting["tries"], waiting["code"]) == (
        f"{given.share}/2",
        "todo",
        0,
        None,
    )
    assert {"position", "event", "at", "about"} < waiting.keys()
    assert await given.read_by_bob() == "1"

    async with agent_of(given.ann) as running:
        assert await running.until("revise", "done") == [f"{given.share}/2"]
        assert await given.read_by_bob() == "2"
        await given.edit("3")  # and while it runs
        await running.until("revise", "done", 2)
        assert await given.read_by_bob() == "3"
    done = await asyncio.to_thread(queued, given.ann)
    assert [(row["id"], row["status"], row["tries"]) for row in done] == [
        (f"{given.share}/2", "done", 1),
        (f"{given.share}/3", "done", 1),
    ]
    assert await revisions(given.ann, given.share) == 2
    assert "number" not in str(done)


async def test_m30_a_step_that_fails_is_shown_holds_up_no_other_and_is_retried(
    given: Given, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    carol = await person("carol")
    await connect(given.ann, carol)
    async with given.ann.session() as (session, keyring):
        hers = await shares.create(session, keyring, given.item, carol.address)

    def another_key(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["peer_address"] == given.bob.address:
                row["peer_public"] = row["peer_public"][:-2] + "AA"

    bobs, carols = f"{given.share}/2", f"{hers.share}/2"
    async with agent_of(given.ann) as running:
        with monkeypatch.context() as patch:
            lie(patch, "connections", another_key)
            await given.edit("2")
            assert await running.until("revise", "done") == [carols]
            assert await running.until("revise", "failed") == [bobs]
            failed = {row["id"]: row for row in await asyncio.to_thread(queued, given.ann)}
            await given.edit("3")
            assert await running.until("revise", "done", 2) == [carols, f"{hers.share}/3"]
    assert (failed[bobs]["status"], failed[bobs]["code"], failed[bobs]["tries"]) == ("failed", "KeyMismatch", 1)
    assert failed[carols]["status"] == "done"
    assert running.of("revise").count((bobs, "failed", "KeyMismatch")) == 1, "an alarm was tried again by itself"
    assert await given.read_by_bob() == "1"

    again = await asyncio.to_thread(queued, given.ann, "--retry")

    assert {row["status"] for row in again} == {"done"}
    assert await given.read_by_bob() == "3"
    assert await revisions(given.ann, given.share) == 1


async def test_m30_what_failed_is_tried_again_by_the_agent_that_runs_when_a_person_asks_for_it(ann: Person) -> None:
    tried, good = [], asyncio.Event()

    async def step() -> None:
        tried.append(1)
        if not good.is_set():
            raise ForgedRecord

    async with agent_of(ann, {"only": Look(names(Task("step", "one", "a step", step)), ())}) as running:
        await running.until("step", "failed")
        good.set()
        told = await ran(ann, "tasks", "--retry")
        assert told.err == "notice: the agent that runs on this profile tries it again\n"
        await running.until("step", "done")
    assert len(tried) == 2


def names(*tasks: Task) -> Callable[[Session, Keyring], Awaitable[list[Task]]]:
    """A source that names these, whatever happens."""

    async def work(_: Session, __: Keyring) -> list[Task]:
        return list(tasks)

    return work


def raises(error: Exception) -> Callable[[], Awaitable[None]]:
    """A step that fails like this."""

    async def run() -> None:
        raise error

    return run


async def test_m30_each_step_ends_for_itself_whatever_it_or_its_source_raises(ann: Person) -> None:
    done: list[str] = []

    async def good() -> None:
        done.append("good")

    async def lies(_: Session, __: Keyring) -> list[Task]:
        raise ForgedRecord

    async def mistaken(_: Session, __: Keyring) -> list[Task]:
        raise TypeError("a mistake that quotes a secret")

    errors = [Busy(), StaleVersion(), ForgedRecord(), ZeroDivisionError("a mistake that quotes a secret")]
    steps = [Task("step", type(error).__name__, "fails", raises(error)) for error in errors]
    sources = {
        "lying": Look(lies, ()),
        "mistaken": Look(mistaken, ()),
        "failing": Look(names(*steps), ()),
        "good": Look(names(Task("step", "good", "goes well", good)), ()),
    }
    async with agent_of(ann, sources) as running:
        await running.until("step", "done")
        await running.until("step", "failed", 3)
        book = TaskBook(ann.home)
        [faster] = [each for each in book.all() if each.id == "StaleVersion"]
        book.close()
    assert (faster.status, faster.tries) == ("todo", 1), "another device was faster; it is named still"
    assert sorted(running.of("step")) == [
        ("Busy", "failed", "Busy"),
        ("ForgedRecord", "failed", "ForgedRecord"),
        ("ZeroDivisionError", "failed", "ZeroDivisionError"),
        ("good", "done", None),
    ]
    assert running.of("look") == [("lying", "failed", "ForgedRecord"), ("mistaken", "failed", "Malformed")]
    assert done == ["good"]


async def test_m30_an_agent_whose_device_was_taken_out_ends(ann: Person) -> None:
    steps = Look(names(Task("step", "one", "a step", raises(UnknownDevice()))), ())
    async with ann.session() as (session, keyring), asyncio.timeout(20):
        with pytest.raises(UnknownDevice):
            await daemon.run(session, keyring, lambda _: None, {"only": steps})


async def test_m30_an_agent_whose_profile_is_taken_off_the_device_ends_and_leaves_no_task(ann: Person) -> None:
    done = asyncio.Event()

    async def step() -> None:
        done.set()

    folder = ProfileFolder(ann.home)
    async with ann.session() as (session, keyring), asyncio.timeout(20):
        source = Look(names(Task("step", "one", "a step", step)), ())
        working = asyncio.create_task(daemon.run(session, keyring, lambda _: None, {"only": source}))
        await done.wait()
        assert (ann.home / TASKS).exists()
        folder.forget()
        with pytest.raises(NoProfile):
            await working
    assert not (ann.home / TASKS).exists()


async def test_m30_two_agents_of_one_person_on_two_devices_do_each_step_once(
    bob: Person, newcomer: Callable[[str], Awaitable[Newcomer]], tmp_path: Path, backend: RunningHome
) -> None:
    first, written = await newcomer("dora")
    second = replace(first, home=tmp_path / "another-device")
    server = parse_connection_string(first.server)
    await accounts.login(ProfileFolder(second.home), server, first.address, written.secret, first.passphrase)
    await connect(first, bob)
    async with first.session() as (session, keyring):
        kept = [await items.add(session, keyring, f"Paper {number}", {"number": "1"}) for number in range(3)]
        given_to_bob = [await shares.create(session, keyring, item.item, bob.address) for item in kept]

    async with agent_of(first) as one, agent_of(second) as other, first.session() as (session, keyring):
        for item in kept:
            await items.edit(session, keyring, item.item, {"number": "2"})

        async def settled() -> bool | None:
            found = [await shares.show(session, keyring, share.share) for share in given_to_bob]
            return {share.content.slots["number"] for share in found} == {"2"} or None

        await eventually(settled)
    made = {share.share for share in given_to_bob}
    assert await revised(backend, made) == {(share, 2): 1 for share in made}
    for person_ in (first, second):
        assert {row["status"] for row in await asyncio.to_thread(queued, person_)} <= {"done"}
    assert [each for each in one.told + other.told if each.status == "failed"] == []


async def test_m30_the_agent_looks_for_work_without_reading_what_nobody_asked_for(given: Given) -> None:
    async with given.ann.session() as (session, keyring):
        other = await items.add(session, keyring, "Bank", {"number": "2"})
        unread = (await shares.create(session, keyring, other.item, given.bob.address)).share
    before = await fetched(given.bob)
    async with given.bob.session() as (session, keyring):
        [claim] = await SOURCES["claims"].work(session, keyring)
        for name in ("revisions", "resharing"):
            assert await SOURCES[name].work(session, keyring) == []
        assert await fetched(given.bob) == before, "nothing is released, so nothing is recorded"
        await claim.run()
    assert await fetched(given.bob) == before | {unread}
    for event in ("share-fetched", "share-claimed"):
        assert not any(look.concerns(event) for look in SOURCES.values())
    assert SOURCES["claims"].concerns("share-created")


async def fetched(person: Person) -> set[str | None]:
    """The shares of which the person's feed tells that they were read."""
    async with person.session() as (session, _):
        return {line.refs.get("share") for line in await feed.past(session) if line.event == "share-fetched"}
