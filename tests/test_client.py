"""`privity.client`: what an app does with an account; each call does what the command of that name does."""

from pathlib import Path
from typing import Any

import pytest

from privity.client import Client
from privity.errors import BadPassphrase, IntegrityAlarm, NotConnected, NotFound, ProfileExists, TermsNotAccepted
from privity.testing.people import Person
from tests.rows.watching import lie


def client(person: Person) -> Client:
    """The client of a person who has a profile."""
    return Client(person.home, person.passphrase)


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
