"""`privity.client`: what an app does with an account; each call does what the command of that name does."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from privity.agent import shares
from privity.client import Client
from privity.errors import (
    BadPassphrase,
    IntegrityAlarm,
    NotConnected,
    NotFound,
    ProfileExists,
    TermsNotAccepted,
    TooManyWaiting,
    Unreachable,
)
from privity.testing.people import Person
from tests.rows.watching import lie
from tests.trials.proxy import proxy_to


def client(person: Person) -> Client:
    """The client of a person who has a profile."""
    return Client(person.home, person.passphrase, person.server)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a home that is away, and each call tries it again."""
    monkeypatch.setattr("privity.agent.bus.CONNECT_TIMEOUT", 0.5)
    for name in ("QUERY_TIMEOUT", "RESULT_TIMEOUT"):
        monkeypatch.setattr(f"privity.agent.bus.{name}", 1.0)
    monkeypatch.setattr("privity.client.AGAIN", 0.0)


async def given(person: Person) -> list[tuple[int, dict[str, str]]]:
    """What somebody reads, by versions."""
    async with client(person) as his:
        return [(each.version, each.content.slots) for each in await his.shares("incoming")]


def newer(rows: list[dict[str, Any]]) -> None:
    """Say another version of each share than was signed."""
    for row in rows:
        row["version"] += 1


async def test_a_client_keeps_shares_and_reads_and_says_what_happened(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    async with client(ann) as hers, client(bob) as his:
        assert (hers.address, his.address) == (ann.address, bob.address)
        (connection,) = await hers.connections()
        assert (connection.peer, connection.verified) == (his.account, True)
        item = await hers.add("Passport", {"number": "X123", "city": "Utrecht"})
        assert [each.item for each in await hers.items()] == [item.item]
        share = await hers.share(item.item, bob.address, slots=["number"], terms="Call me.")
        with pytest.raises(TermsNotAccepted):
            await his.read(share.share)
        assert (await his.accept_terms(share.share)).content.slots == {"number": "X123"}
        edited = await hers.edit(item.item, {"number": "X124"}, "My passport")
        assert (edited.version, edited.content.label) == (2, "My passport")
        assert await hers.outdated() == []
        assert [each.content.slots for each in await his.shares("incoming")] == [{"number": "X124"}]
        await his.end(share.share)
        assert await hers.shares("outgoing") == []
        await hers.remove(item.item)
        assert await hers.items() == []
        told = [line.event for line in await hers.history()]
        assert {"item-added", "share-created", "share-fetched", "terms-accepted", "item-removed"} <= set(told)
        assert (await hers.history(after=(await hers.history())[-1].position), hers.waiting) == ([], 0)


async def test_a_client_refuses_with_the_errors_of_the_command_line(ann: Person, tmp_path: Path) -> None:
    async with client(ann) as hers:
        item = await hers.add("Passport", {"number": "X123"})
        with pytest.raises(NotConnected):
            await hers.share(item.item, "nobody@example.org")
        with pytest.raises(NotFound):
            await hers.read("a" * 26)
    with pytest.raises(RuntimeError, match="not open"):
        await hers.items()
    with pytest.raises(BadPassphrase):
        await Client(ann.home, "another").__aenter__()
    with pytest.raises(ProfileExists):
        await Client.register(ann.home, "other@example.org", "another", ann.server)
    async with client(ann) as hers:
        assert [each.item for each in await hers.items()] == [item.item], "it can be opened again"


async def test_a_client_raises_an_alarm_for_one_share_that_was_changed(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with client(ann) as hers, client(bob) as his:
        await hers.connections()
        item = await hers.add("Passport", {"number": "X123"})
        await hers.share(item.item, bob.address)
        (share,) = await his.shares()
        assert share.content.slots == {"number": "X123"}
        lie(monkeypatch, "shares", newer)
        with pytest.raises(IntegrityAlarm):
            await his.shares()


@pytest.mark.usefixtures("impatient")
async def test_a_client_that_began_without_the_home_sends_what_waited_when_it_is_back(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with proxy_to(ann.server) as line, client(line.person(ann)) as hers:
        item = (await hers.add("Load", {"now": "1"})).item
        await hers.share(item, bob.address)
        seen = (await hers.history())[-1].position
        await line.cut()
        async with client(line.person(ann)) as later:
            assert [(await later.edit(item, {"now": now})).version for now in "23"] == [2, 3]
            assert (later.waiting, later.away, await later.history(seen)) == (2, True, [])
            with pytest.raises(Unreachable):
                await later.share(item, bob.address)
            with monkeypatch.context() as patch:
                patch.setattr("privity.agent.session.MAX_WAITING", 2)
                with pytest.raises(TooManyWaiting):
                    await later.edit(item, {"now": "too many"})
            assert later.waiting == 2
            await line.open()
            told = [line.event for line in await later.history(seen)]
            assert (told.count("item-edited"), told.count("share-revised")) == (2, 1)
            assert (later.waiting, later.away) == (0, False)
            assert await given(bob) == [(3, {"now": "3"})]
            assert (await later.edit(item, {"now": "4"})).version == 4
        assert await given(bob) == [(4, {"now": "4"})]
        await line.cut()
        async with client(line.person(ann)) as later:
            assert (await later.edit(item, {"now": "5"})).version == 5
        await line.open()
        async with client(line.person(ann)) as another:
            assert (another.waiting, (await another.item(item)).version, another.waiting) == (1, 5, 0)
        assert await given(bob) == [(5, {"now": "5"})], "another run of the app gives what waited"


@pytest.mark.usefixtures("impatient")
async def test_a_client_loses_no_edit_and_writes_none_twice_when_the_home_goes_away_meanwhile(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    async with proxy_to(ann.server) as line, client(line.person(ann)) as hers:
        item = (await hers.add("Load", {"now": "1"})).item
        await hers.share(item, bob.address)
        *_, before, last = await hers.history()
        following = hers.follow(before.position)
        assert (await anext(following)).position == last.position
        await line.cut()
        assert (await hers.edit(item, {"now": "2"})).version == 2
        assert (await hers.item(item)).content.slots == {"now": "2"}
        assert (hers.waiting, hers.away) == (1, True)
        await line.open()
        async with asyncio.timeout(10):
            while (await anext(following)).event != "share-revised":
                pass
        assert await given(bob) == [(2, {"now": "2"})]
        with line.bending_results(lambda subject, data: []):
            assert (await hers.edit(item, {"now": "3"})).version == 3
            assert hers.waiting == 1, "nobody knows yet that it took effect"
        assert (await hers.edit(item, {"now": "4"})).version == 4
        assert (hers.waiting, [each.version for each in await hers.items()]) == (0, [4])
        assert await given(bob) == [(4, {"now": "4"})]


@pytest.mark.usefixtures("impatient")
async def test_a_client_gives_an_edit_later_when_the_home_goes_away_right_after_it(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with proxy_to(ann.server) as line, client(line.person(ann)) as hers:
        item = (await hers.add("Load", {"now": "1"})).item
        await hers.share(item, bob.address)
        outdated = shares.outdated

        async def too_late(*arguments: Any) -> Any:
            monkeypatch.setattr(shares, "outdated", outdated)
            await line.cut()
            return await outdated(*arguments)

        monkeypatch.setattr(shares, "outdated", too_late)
        assert (await hers.edit(item, {"now": "2"})).version == 2
        assert (hers.waiting, hers.away) == (0, True)
        await line.open()
        await reached(hers, item)
        assert await given(bob) == [(2, {"now": "2"})]


async def reached(hers: Client, item: str) -> None:
    """Returns when a call reaches the home again: the lost line comes back by itself."""
    for _ in range(100):
        await hers.item(item)
        if not hers.away:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the home is there, and no call reaches it")
