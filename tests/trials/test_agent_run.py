"""`privity agent run` for long: over restarts of the home and its own death, and beside a second device."""

import asyncio
import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import accounts, feed, groups, invitations, items, pieces, requests, rules, shares
from privity.agent.profile import ProfileFolder
from privity.agent.tasks import TaskBook
from privity.connection_string import parse_connection_string
from privity.messages.views import AskGroups, AskPieces, AskShares, GroupRow, PieceRow, ShareRow
from privity.testing.home import RunningHome
from privity.testing.people import PRIVITY, Person, connect, somebody
from tests.rows.watching import canary, files_of, found_in
from tests.trials.load import revised

pytestmark = pytest.mark.trial

PATIENCE = 40.0


class AgentProcess:
    """`privity agent run --json` in a process of its own; what it tells is written to a file."""

    def __init__(self, person: Person) -> None:
        self._told, self._said = person.home.with_suffix(".told"), person.home.with_suffix(".errors")
        own = {"SERVER": person.server, "HOME": str(person.home), "PASSPHRASE": person.passphrase}
        with self._told.open("a") as out, self._said.open("w") as errors:
            self.process = subprocess.Popen(
                [*PRIVITY, "agent", "run", "--json"],
                stdout=out,
                stderr=errors,
                env={**os.environ, **{f"PRIVITY_{name}": value for name, value in own.items()}},
            )

    @property
    def told(self) -> list[dict[str, Any]]:
        """What it, and those before it, have told."""
        return [json.loads(line) for line in self._told.read_text().splitlines() if line.endswith("}")]

    @property
    def runs(self) -> bool:
        """Whether it has begun, and holds the profile."""
        return "Ctrl-C ends it" in self._said.read_text()

    def end(self, how: signal.Signals) -> int:
        """Its exit code after that signal."""
        self.process.send_signal(how)
        return self.process.wait(timeout=20)


@contextmanager
def agent(person: Person) -> Iterator[AgentProcess]:
    """An agent that is ended cleanly, if it has not ended before."""
    running = AgentProcess(person)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            assert running.end(signal.SIGTERM) == 0


async def until(look: Callable[[], bool], every: float = 0.1) -> None:
    """Wait until it is so; `every` so many seconds it is looked.

    Steps that are told to be done are waited for where nothing else does them on its way: those are never told.
    """
    async with asyncio.timeout(PATIENCE):
        while not look():  # noqa: ASYNC110 - another process, which sets no event
            await asyncio.sleep(every)


@dataclass(frozen=True)
class Given:
    """Ann shares three items with Bob, in a home of their own."""

    ann: Person
    bob: Person
    secret: str
    kept: tuple[str, ...]
    shared: tuple[str, ...]

    async def edit(self, version: int) -> set[str]:
        """The next version of each item; the names of the steps that this asks for."""
        async with self.ann.session() as (session, keyring):
            for item in self.kept:
                await items.edit(session, keyring, item, {"version": str(version)})
        return {f"{share}/{version}" for share in self.shared}

    async def until_all_have(self, version: int) -> None:
        """Wait until each share has that version of its item."""
        async with self.ann.session() as (session, _), asyncio.timeout(PATIENCE):
            while {row.version for row in (await session.ask_all(AskShares(), ShareRow)).rows} != {version}:  # noqa: ASYNC110 - another process, which sets no event
                await asyncio.sleep(0.1)

    async def read_by_bob(self) -> set[str]:
        """The versions that Bob reads."""
        async with self.bob.session() as (session, keyring):
            return {(await shares.show(session, keyring, share)).content.slots["version"] for share in self.shared}

    async def revisions(self) -> dict[str, int]:
        """How often each share was revised."""
        async with self.ann.session() as (session, _):
            told = await feed.past(session)
        return dict(Counter(line.refs["share"] for line in told if line.event == "share-revised"))


@pytest.fixture
async def given(own_backend: RunningHome, tmp_path: Path) -> Given:
    """Ann, Bob, and what she shares with him."""
    ann, bob = (somebody(name, tmp_path, own_backend.url) for name in ("ann", "bob"))
    written = await ann.register()
    await bob.register()
    await connect(ann, bob)
    async with ann.session() as (session, keyring):
        kept = [await items.add(session, keyring, f"Paper {number}", {"version": "1"}) for number in range(3)]
        shared = [await shares.create(session, keyring, item.item, bob.address) for item in kept]
    return Given(ann, bob, written.secret, tuple(each.item for each in kept), tuple(each.share for each in shared))


def done(running: AgentProcess, wanted: set[str]) -> bool:
    """Whether it has told that all of these are done."""
    return wanted <= {each["id"] for each in running.told if each["status"] == "done"}


async def test_two_agents_do_all_between_two_people_from_the_invitation_to_the_stored_answer(
    ann: Person, bob: Person
) -> None:
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X123"})
        await pieces.put(session, keyring, "phone", "555-0100")
        await rules.add(session, keyring, "phone")
        invited = await invitations.invite(session, keyring, bob.address, intents=[kept.item])
        await invitations.find(session, invited.invitation)
        group = await groups.create(session, keyring, "Walkers")
    with agent(ann) as hers, agent(bob) as his:
        async with bob.session() as (session, keyring):
            await invitations.accept(session, keyring, invited.link)
            await until(lambda: "intent" in did(hers) and "claim" in did(his))  # a look may confirm on its way
            await requests.create(session, keyring, ann.address, "phone")
        async with ann.session() as (session, keyring):
            await groups.add(session, keyring, group.group, [bob.address])
        await until(lambda: "approve" in did(hers) and did(his) >= {"store", "group-claim"})
        assert [each for each in hers.told + his.told if each["status"] != "done"] == []
    for person in (ann, bob):
        assert {each["status"] for each in await asyncio.to_thread(person.json, "tasks")} == {"done"}
    async with bob.session() as (session, _):
        given = await session.ask_all(AskShares(direction="incoming"), ShareRow)
        answered = await session.ask_all(AskPieces(owner=given.rows[0].owner), PieceRow)
        joined = await session.ask_all(AskGroups(), GroupRow)
    assert [(row.item, row.claimed) for row in given.rows] == [(kept.item, True)]
    assert [(row.piece_name, row.stored) for row in answered.rows] == [("phone", True)]
    assert [(row.group, row.claimed) for row in joined.rows] == [(group.group, True)]
    shown = await asyncio.to_thread(bob.json, "piece", "show", "phone", "--of", ann.address)
    assert shown["value"] == "555-0100"


def did(running: AgentProcess) -> set[str]:
    """The kinds of the steps that it has told to be done."""
    return {each["kind"] for each in running.told if each["status"] == "done"}


@pytest.mark.soak
async def test_an_agent_waits_for_its_home_and_goes_on_over_each_restart(
    given: Given, own_backend: RunningHome
) -> None:
    await asyncio.to_thread(own_backend.stop)
    with agent(given.ann) as running:
        await asyncio.sleep(3)  # it has nobody to talk to
        assert running.process.poll() is None
        await asyncio.to_thread(own_backend.start)
        ends: list[Callable[[], object]] = [own_backend.stop, own_backend.kill]
        for version, end in enumerate(ends, start=2):
            wanted = await given.edit(version)
            await until(lambda wanted=wanted: done(running, wanted))
            assert await given.read_by_bob() == {str(version)}
            await asyncio.to_thread(end)
            kept = await asyncio.to_thread(given.ann.json, "item", "add", f"While it is away {version}")
            assert kept["queued"] is True
            await asyncio.to_thread(own_backend.start)
            await until(lambda: ProfileFolder(given.ann.home).waiting() == [])  # the agent sends it
        assert running.process.poll() is None
        assert [each for each in running.told if each["status"] == "failed"] == []
    assert await given.revisions() == dict.fromkeys(given.shared, 2)


async def test_an_agent_that_is_killed_again_and_again_loses_no_step_and_does_none_twice(given: Given) -> None:
    versions = range(2, 7)
    book = TaskBook(given.ann.home)
    wanted: set[str] = set()
    interrupted = 0
    running = AgentProcess(given.ann)
    for version in versions:
        wanted |= await given.edit(version)
        await until(lambda mark=book.change: book.change > mark and doing(book), every=0.002)
        await asyncio.sleep(random.uniform(0, 0.05))
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
        interrupted += doing(book)
        running = AgentProcess(given.ann)
    newest = {f"{share}/{versions[-1]}" for share in given.shared}
    await until(lambda: newest <= {each.id for each in book.all() if each.status == "done"})
    assert running.end(signal.SIGTERM) == 0
    book.close()
    assert interrupted, "it was never killed while it did a step"

    listed = await asyncio.to_thread(given.ann.json, "tasks")
    assert [each for each in listed if each["status"] != "done"] == []
    assert {each["id"] for each in listed if each["kind"] == "revise"} <= wanted
    assert await given.read_by_bob() == {str(versions[-1])}
    counted = await given.revisions()
    assert all(1 <= counted[share] <= len(versions) for share in given.shared)


def doing(book: TaskBook) -> bool:
    """Whether a step is being done, or was when its agent was killed."""
    return any(each.status == "doing" for each in book.all())


@pytest.mark.soak
async def test_two_agents_on_two_devices_have_one_effect_for_each_step(
    given: Given, own_backend: RunningHome, tmp_path: Path
) -> None:
    second = replace(given.ann, home=tmp_path / "another-device")
    server = parse_connection_string(second.server)
    await accounts.login(ProfileFolder(second.home), server, second.address, given.secret, second.passphrase)
    with agent(given.ann) as one, agent(second) as other:
        for version in range(2, 12):
            await given.edit(version)
            await given.until_all_have(version)
        assert await given.read_by_bob() == {"11"}
        assert [each for each in one.told + other.told if each["status"] == "failed"] == []
        assert {each["kind"] for each in one.told} & {each["kind"] for each in other.told} == {"revise"}
    every = {(share, version): 1 for share in given.shared for version in range(2, 12)}
    assert await revised(own_backend, given.shared) == every


@pytest.mark.soak
async def test_one_agent_a_profile_that_ends_on_a_signal_and_keeps_no_secret(given: Given) -> None:
    secret = canary()
    async with given.ann.session() as (session, keyring):
        await items.edit(session, keyring, given.kept[0], {"version": "2", "secret": secret}, label=secret)
    for how in (signal.SIGTERM, signal.SIGINT):
        running = AgentProcess(given.ann)
        await until(lambda running=running: running.runs and done(running, {f"{given.shared[0]}/2"}))
        refused = await asyncio.to_thread(given.ann.run, "agent", "run")
        assert (refused.code, refused.out) == (1, "")
        assert refused.err == f"error: AlreadyRunning: an agent runs on {given.ann.home} already\n"
        assert running.end(how) == 0
    canaries = {"slot": secret.encode(), "passphrase": given.ann.passphrase.encode()}
    assert found_in(files_of(given.ann.home), canaries) == []
    assert await given.revisions() == {given.shared[0]: 1}
