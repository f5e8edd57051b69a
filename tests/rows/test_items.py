"""Rows M26 and M31: what Bob sees of what he never made, and how items are listed."""

import asyncio

import pytest

from privity.agent import items, shares
from privity.encoding import digest
from privity.errors import NotFound
from privity.messages.items import EditItem
from privity.messages.views import AskItems, ItemRow
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.watching import typed


async def add(person: Person, label: str, *readers: Person, **slots: str) -> str:
    """Keep an item and share it; its id."""
    async with person.session() as (session, keyring):
        kept = await items.add(session, keyring, label, slots)
        for reader in readers:
            await shares.create(session, keyring, kept.item, reader.address)
    return kept.item


async def test_m26_bob_sees_decrypted_what_he_never_made_marked_as_not_his_own(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    item = await add(ann, "Passport", bob, number="X123", name="Ann Özgür")
    row = {"item": item, "label": "Passport", "owner": ann.address, "version": 1}
    slots = {"number": "X123", "name": "Ann Özgür"}
    [share] = bob.json("share", "list")
    ways = [{"share": share["share"], "from": ann.address}]

    assert bob.json("item", "show", item[:8]) == {**row, "own": False, "ways": ways, "slots": slots}
    assert bob.json("item", "list") == [{**row, "own": False, "ways": ways}]
    assert ann.json("item", "show", item) == {**row, "own": True, "ways": [], "slots": slots}


async def test_m26_what_is_not_shared_with_somebody_is_not_found_by_them(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    item = await add(ann, "Passport", bob, number="X123")

    for stranger in (carol, await person("eve")):
        async with stranger.session() as (session, keyring):
            with pytest.raises(NotFound):
                await shares.incoming_of_item(session, keyring, item)
            with pytest.raises(NotFound):
                await items.show(session, keyring, item)
            assert (await session.ask(AskItems(id=item), ItemRow)).rows == ()
    refused = carol.run("item", "show", item)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: NotFound: ")


async def test_m26_who_only_received_an_item_cannot_edit_it(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    item = await add(ann, "Passport", bob, number="X123")

    async with bob.session() as (session, keyring):
        with pytest.raises(NotFound):
            await items.edit(session, keyring, item, {"number": "mine"})
        content, wrap = b"forged content", b"forged wrap"
        with pytest.raises(NotFound):
            await session.send(EditItem(item, 2, digest(content), digest(wrap)), content, wrap)
        assert (await shares.incoming_of_item(session, keyring, item)).content.slots == {"number": "X123"}


async def test_m31_the_filters_of_the_list_work_together(connected: tuple[Person, Person], person: MakePerson) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    await add(ann, "alone")
    await add(ann, "for Bob", bob, bob)
    await add(ann, "for Carol", carol)
    await add(ann, "for both", bob, carol)
    await add(bob, "from Bob", ann)
    own, received = {"alone", "for Bob", "for Carol", "for both"}, {"from Bob"}

    async def labels(*options: str) -> set[str]:
        rows = (await asyncio.to_thread(typed, ann, "item", "list", "--json", *options)).json
        found = [row["label"] for row in rows]
        assert len(found) == len(set(found)), "an item is listed once"
        assert {row["label"] for row in rows if not row["own"]} == set(found) & received
        return set(found)

    assert await labels() == await labels("--own", "--received") == own | received
    assert await labels("--own") == own
    assert await labels("--received") == received
    assert await labels("--shared-with", bob.address) == {"for Bob", "for both"}
    assert await labels("--own", "--shared-with", carol.address) == {"for Carol", "for both"}
    assert await labels("--received", "--shared-with", bob.address) == set()


async def test_m31_shared_with_a_stranger_is_refused_and_an_ended_share_is_no_longer_listed(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    item = await add(ann, "for Bob", bob)
    assert [row["item"] for row in ann.json("item", "list", "--shared-with", bob.address)] == [item]

    async with ann.session() as (session, keyring):
        await shares.remove(session, (await shares.all_of(session, keyring))[0].share)

    assert ann.json("item", "list", "--shared-with", bob.address) == []
    refused = ann.run("item", "list", "--shared-with", "nobody@localhost")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: NotConnected: ")
