"""Offline: who was away finds all of it, and what was asked of a backend that was away takes effect once."""

import asyncio
from pathlib import Path

import pytest

from privity.agent import feed, invitations, items, shares
from privity.agent.profile import ProfileFolder
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.trials.load import everything, store_of

pytestmark = pytest.mark.trial


async def test_bob_was_away_while_ann_invited_and_shared_and_finds_all_of_it(ann: Person, bob: Person) -> None:
    async with bob.session() as (session, _):
        cursor = (await feed.past(session))[-1].position
    async with ann.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, bob.address)

    async with bob.session() as (session, keyring):
        (waiting,) = await invitations.all_both_ways(session)
        assert (waiting.invitation, waiting.incoming, waiting.status) == (invited.invitation, True, "new")
        await invitations.accept(session, keyring, invited.link)
    async with ann.session() as (session, keyring):
        labels = [f"Paper {number}" for number in range(3)]
        for label in labels:
            made = await items.add(session, keyring, label, {"number": label[-1]})
            await shares.create(session, keyring, made.item, bob.address)

    async with bob.session() as (session, keyring):
        found = await shares.all_of(session, keyring, "incoming")
        assert [(each.content.label, each.content.slots["number"]) for each in found] == [
            (label, label[-1]) for label in labels
        ]
        lines = await feed.past(session, cursor)
    told = [line.event for line in lines]
    assert [each for each in told if each == "share-created"] == ["share-created"] * 3
    assert "connection-established" in told
    assert [line.position for line in lines] == sorted({line.position for line in lines})


async def test_what_is_asked_of_a_stopped_backend_is_kept_and_takes_effect_once_when_it_is_back(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    assert await asyncio.to_thread(own_backend.stop) == 0
    for label in ("First", "Second"):
        away = await asyncio.to_thread(ann.run, "item", "add", label, "--json")
        assert (away.code, away.json["queued"]) == (0, True), away.err
    shared = await asyncio.to_thread(ann.run, "share", "list", "--json")
    assert (shared.code, shared.out) == (4, ""), "it was never asked for"
    assert shared.err.startswith("error: Unreachable: ")
    assert len(ProfileFolder(ann.home).waiting()) == 2

    await asyncio.to_thread(own_backend.start)
    listed = await asyncio.to_thread(ann.json, "item", "list")
    assert [each["label"] for each in listed] == ["First", "Second"]
    assert ProfileFolder(ann.home).waiting() == []
    again = await asyncio.to_thread(ann.json, "item", "list")
    assert again == listed
    assert await added(own_backend) == 2


@pytest.mark.soak
async def test_a_command_in_flight_while_the_backend_is_stopped_or_killed_takes_effect_once(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    async with ann.session() as (session, keyring):
        await items.add(session, keyring, "Before", {})  # so that the line is open
        for number, end in enumerate((own_backend.stop, own_backend.kill)):
            await asyncio.to_thread(end)
            sending = asyncio.create_task(items.add(session, keyring, f"During {number}", {}))
            await asyncio.sleep(0.3)
            assert not sending.done(), "it was answered by nobody"
            assert len(ProfileFolder(ann.home).waiting()) == 1
            await asyncio.to_thread(own_backend.start)
            assert (await asyncio.wait_for(sending, 20)).version == 1
        assert [each.content.label for each in await items.all_own(session, keyring)] == [
            "Before",
            "During 0",
            "During 1",
        ]
    assert ProfileFolder(ann.home).waiting() == []
    assert await added(own_backend) == 3


async def test_a_kept_command_whose_result_was_lost_is_sent_again_and_has_had_its_effect(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    folder = ProfileFolder(ann.home)
    async with ann.session() as (session, keyring):
        forget, folder_answered = [], session.folder.answered
        session.folder.answered = forget.append  # type: ignore[method-assign] # the agent dies before it notes the result
        await items.add(session, keyring, "Once", {})
        session.folder.answered = folder_answered  # type: ignore[method-assign]
    assert [each.id for each in folder.waiting()] == forget
    async with ann.session() as (session, keyring):
        assert [each.content.label for each in await items.all_own(session, keyring)] == ["Once"]
    assert folder.waiting() == []
    assert await added(own_backend) == 1


async def added(home: RunningHome) -> int:
    """How many items were ever added."""
    async with store_of(home) as store:
        return sum(event.name == "item-added.v1" for event in everything(store))
