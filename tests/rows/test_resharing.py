"""Rows M23 and M24: what one is given is shared on as far as its sender permitted, and is provably the original."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from privity.agent import items, provenance, reading, resharing, shares
from privity.agent.connections import Broken
from privity.agent.memory import MEMORY
from privity.agent.provenance import Way
from privity.encoding import new_id
from privity.errors import (
    ForgedRecord,
    NotFound,
    ReshareNotPermitted,
    ShareExpired,
    TermsNotAccepted,
    Withheld,
)
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.passing import Given, bend, give, read, with_slots, work
from tests.rows.watching import lie, ran

NEXT_YEAR = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)


@pytest.fixture
async def given(connected: tuple[Person, Person], person: MakePerson) -> Given:
    """What Ann gave Bob to pass on over one hand."""
    return await give(connected, person)


async def test_m23_what_may_go_on_is_shared_on_with_how_it_came_and_nothing_else(given: Given) -> None:
    async with given.ann.session() as (session, keyring):
        other = await items.add(session, keyring, "Bank", {"iban": "DE00"})
        kept_back = await shares.create(session, keyring, other.item, given.bob.address)

    async with given.bob.session() as (session, keyring):
        with pytest.raises(ReshareNotPermitted):
            await resharing.create(session, keyring, other.item, given.carol.address)
        passed = await resharing.create(session, keyring, given.item.item[:10], given.carol.address)
        assert (await shares.show(session, keyring, kept_back.share)).content == other.content

    found = await read(given.carol, passed.share)
    owner = given.share.owner
    assert (found.content, found.version, found.incoming) == (given.item.content, 1, True)
    assert found.way == Way(owner, None, (given.bob.address,), 0)
    assert (await read(given.bob, given.share.share)).way == Way(owner, given.ann.address, (), 1)
    async with given.carol.session() as (session, keyring):
        with pytest.raises(ReshareNotPermitted):
            await resharing.create(session, keyring, given.item.item, given.bob.address)


async def test_m23_the_agent_gives_on_no_more_than_it_has(given: Given) -> None:
    ann, bob, carol = given.ann, given.bob, given.carol
    async with ann.session() as (session, keyring):
        one = await items.add(session, keyring, "Phones", {"home": "1", "work": "2"})
        await shares.create(
            session, keyring, one.item, bob.address, slots=["home"], expires=NEXT_YEAR, reshare=2, terms="Be kind."
        )
    async with bob.session() as (session, keyring):
        with pytest.raises(TermsNotAccepted):
            await resharing.create(session, keyring, one.item, carol.address)
        [way] = [each for each in await shares.ways_to(session, keyring, one.item) if isinstance(each, shares.Share)]
        await shares.accept(session, keyring, way.share)
        for wish in (
            {"reshare": 2},
            {"expires": NEXT_YEAR + timedelta(seconds=1)},
            {"terms": "Do as you like."},
            {"keep": True},
            {"files": ["scan.png"]},
        ):
            with pytest.raises(ReshareNotPermitted):
                await resharing.create(session, keyring, one.item, carol.address, **wish)  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            await resharing.create(session, keyring, one.item, carol.address, slots=["work"])
        passed = await resharing.create(session, keyring, one.item, carol.address, reshare=1)

    async with carol.session() as (session, keyring):
        with pytest.raises(TermsNotAccepted):
            await shares.show(session, keyring, passed.share)
        found = await shares.accept(session, keyring, passed.share)
    assert (found.content.slots, found.expires, found.manifest.reshare) == ({"home": "1"}, NEXT_YEAR, 1)
    assert found.opened.terms is not None
    assert found.opened.terms.text == "Be kind."


@pytest.mark.trial
async def test_m23_the_backend_refuses_what_a_modified_agent_shares_on(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with given.ann.session() as (session, keyring):
        await resharing.update(session, keyring, given.share.share, lambda now: replace(now, expires=NEXT_YEAR))
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "beyond", lambda *_: None)
        async with given.bob.session() as (session, keyring):
            for wish in ({"reshare": 1}, {"expires": NEXT_YEAR + timedelta(days=1)}):
                with pytest.raises(ReshareNotPermitted):
                    await resharing.create(session, keyring, given.item.item, given.carol.address, **wish)  # type: ignore[arg-type]

    assert (await read(given.carol, await given.share_on())).expires == NEXT_YEAR


@pytest.mark.trial
async def test_m23_over_two_hands_to_a_fourth_and_not_to_a_fifth(given: Given, person: MakePerson) -> None:
    dave = await person("dave")
    await connect(given.carol, dave)
    async with given.ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Recipe", {"salt": "5 g", "sugar": "7 g"})
        await shares.create(session, keyring, item.item, given.bob.address, reshare=2)
    async with given.bob.session() as (session, keyring):
        await resharing.create(session, keyring, item.item, given.carol.address, reshare=1)
    async with given.carol.session() as (session, keyring):
        with pytest.raises(ReshareNotPermitted):
            await resharing.create(session, keyring, item.item, dave.address, reshare=1)
        last = await resharing.create(session, keyring, item.item, dave.address, slots=["salt"])
    async with dave.session() as (session, keyring):
        with pytest.raises(ReshareNotPermitted):
            await resharing.create(session, keyring, item.item, given.carol.address)

    found = await read(dave, last.share)
    assert found.content.slots == {"salt": "5 g"}
    assert found.way is not None
    bob = (await read(given.bob, given.share.share)).manifest.recipient
    assert found.way == Way(given.share.owner, None, (bob, given.carol.address), 0)

    async with given.ann.session() as (session, keyring):
        await items.edit(session, keyring, item.item, {"salt": "6 g"})
        [own] = await shares.outdated(session, keyring)
        await resharing.update(session, keyring, own.share)
    for each in (given.bob, given.carol):
        assert await work(each) == ["pass-on"]
    assert (await read(dave, last.share)).content.slots == {"salt": "6 g"}


async def test_m23_what_was_shared_on_follows_the_share_that_it_came_by(given: Given) -> None:
    passed = await given.share_on()
    assert await work(given.bob) == []

    async with given.ann.session() as (session, keyring):
        await items.edit(session, keyring, given.item.item, {"number": "X124", "issued": "2026"})
        await resharing.update(session, keyring, given.share.share)
    assert await work(given.bob) == ["pass-on"]
    found = await read(given.carol, passed)
    assert (found.version, found.generation) == (2, 2)
    assert found.content.slots == {"number": "X124", "name": "Ann", "issued": "2026"}
    assert await work(given.bob) == []

    async with given.ann.session() as (session, keyring):
        await resharing.update(session, keyring, given.share.share, lambda now: replace(now, expires=NEXT_YEAR))
    assert await work(given.bob) == ["pass-on"]
    assert (await read(given.carol, passed)).expires == NEXT_YEAR
    async with given.bob.session() as (session, keyring):
        with pytest.raises(ReshareNotPermitted):
            await resharing.update(session, keyring, passed, lambda now: replace(now, expires=None))

    async with given.ann.session() as (session, keyring):
        await resharing.update(session, keyring, given.share.share, lambda now: replace(now, reshare=0))
    assert await work(given.bob) == ["end"]
    with pytest.raises(NotFound):
        await read(given.carol, passed)
    assert (await read(given.bob, given.share.share)).content.slots["number"] == "X124"
    assert await work(given.bob) == []

    async with given.ann.session() as (session, keyring):
        await resharing.update(session, keyring, given.share.share, lambda now: replace(now, reshare=1))
    passed = await given.share_on()
    async with given.ann.session() as (session, _):
        await shares.remove(session, given.share.share)
    assert await work(given.bob) == ["end"]
    with pytest.raises(NotFound):
        await read(given.carol, passed)


async def test_m24_one_changed_character_is_refused_by_the_third_and_says_whose_signature_failed(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        sent = bend(patch, lambda shared, _: with_slots(shared, number="X124"))
        async with given.bob.session() as (session, keyring):
            with pytest.raises(ForgedRecord):
                await resharing.create(session, keyring, given.item.item, given.carol.address)
    good = await given.share_on()

    outcome = await ran(given.carol, "share", "show", sent[0])
    assert (outcome.code, outcome.out) == (3, "")
    assert f"The signature of {given.share.owner} over slot 'number' does not hold" in outcome.err
    assert f"what came by {given.bob.address} is not the original" in outcome.err
    async with given.carol.session() as (session, keyring):
        shown = {
            each.id if isinstance(each, Broken) else each.share: each for each in await shares.all_of(session, keyring)
        }
    assert isinstance(shown[sent[0]], Broken)
    assert isinstance(shown[good], shares.Share)
    assert shown[good].content == given.item.content


@pytest.mark.trial
async def test_m24_signatures_over_values_travel_in_shares_that_may_go_on_and_in_no_other(given: Given) -> None:
    async with given.ann.session() as (session, keyring):
        plain = await shares.create(session, keyring, given.item.item, given.bob.address, slots=["number"])

    assert (await read(given.bob, plain.share)).opened.provenance is None
    assert (await read(given.bob, given.share.share)).opened.provenance is not None
    async with given.ann.session() as (session, keyring):
        await resharing.update(session, keyring, given.share.share, lambda now: replace(now, reshare=0))
    assert (await read(given.bob, given.share.share)).opened.provenance is None


async def test_m27_the_same_item_by_the_owner_and_by_another_is_the_same(given: Given) -> None:
    passed = await given.share_on()
    await connect(given.ann, given.carol)
    async with given.ann.session() as (session, keyring):
        direct = await shares.create(session, keyring, given.item.item, given.carol.address)

    async with given.carol.session() as (session, keyring):
        ways = [
            each for each in await shares.ways_to(session, keyring, given.item.item) if isinstance(each, shares.Share)
        ]
    assert {each.share for each in ways} == {passed, direct.share}
    assert [each.content for each in ways] == [given.item.content] * 2
    assert {each.sender for each in ways} == {given.ann.address, given.bob.address}
    by = {each.share: each.way for each in ways}
    assert by[passed] == Way(given.share.owner, given.ann.address, (given.bob.address,), 0)

    [mine], [came] = ([each for each in ways if (each.share == passed) is on] for on in (False, True))
    assert [len(each) for each in shares.by_item(ways)] == [2]
    expired = replace(came, way=None, shared=None, bar=ShareExpired())
    assert [len(each) for each in shares.by_item([mine, expired])] == [2]
    assert came.way is not None
    bobs = replace(came, way=replace(came.way, owner=came.owner), version=9)
    assert [[each.version for each in one] for one in shares.by_item([mine, bobs])] == [[1], [9]]


@pytest.mark.trial
async def test_m27_an_item_of_another_owner_under_the_same_id_is_another_item(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home, which hands out no id twice, works together with Bob: what Ann gave stays Ann's."""
    passed = await given.share_on()
    await connect(given.ann, given.carol)
    async with given.ann.session() as (session, keyring):
        await shares.create(session, keyring, given.item.item, given.carol.address)
    check = reading.check

    async def checked(*args: Any) -> Way | None:
        way = await check(*args)
        return replace(way, owner="e" * 52, address=None) if way is not None and args[2].share == passed else way

    monkeypatch.setattr(reading, "check", checked)
    listed = (await ran(given.carol, "--json", "item", "list", "--received")).json
    assert {row["owner"] for row in listed} == {given.ann.address, "e" * 52}
    shown = await ran(given.carol, "item", "show", given.item.item)
    assert (shown.code, "Ambiguous" in shown.err) == (1, True)
    assert (await ran(given.carol, "share", "show", passed)).code == 0


async def test_m23_what_ones_own_item_does_not_have_is_not_looked_for_in_another_of_that_beginning(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    beginning = given.item.item[:5]
    with monkeypatch.context() as patch:
        patch.setattr(items, "new_id", lambda: beginning + new_id()[5:])
        async with given.bob.session() as (session, keyring):
            own = await items.add(session, keyring, "Diary", {"text": "1"})
    async with given.bob.session() as (session, keyring):
        with pytest.raises(NotFound, match="no value 'number'"):
            await resharing.create(session, keyring, beginning, given.carol.address, slots=["number"])
        made = await resharing.create(session, keyring, beginning, given.carol.address, slots=["text"])
    assert made.item == own.item


async def test_m23_on_the_command_line(given: Given) -> None:
    kept = (await ran(given.ann, "--json", "item", "add", "Phone", "--set", "home=1")).json
    arguments = ("share", "create", kept["item"], "--with")
    assert (await ran(given.ann, *arguments, given.bob.address)).code == 0
    refused = await ran(given.bob, *arguments, given.carol.address)
    assert refused.code == 1
    assert refused.err.startswith("error: ReshareNotPermitted: ")
    assert (await ran(given.ann, *arguments, given.bob.address, "--reshare")).code == 0
    passed = (await ran(given.bob, "--json", *arguments, given.carol.address)).json

    shown = (await ran(given.carol, "--json", "share", "show", passed["share"])).json
    assert (shown["slots"], shown["original"], shown["by"]) == ({"home": "1"}, True, [given.bob.address])
    assert shown["first_owner"] == {"account": given.share.owner, "address": None}


async def test_m23_a_new_device_ends_what_was_shared_on_with_proof_alone(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = await given.share_on()

    def without_source(rows: list[dict[str, Any]]) -> None:
        rows[:] = [row for row in rows if row["share"] != given.share.share]

    forget(given.bob)
    with monkeypatch.context() as patch:
        lie(patch, "shares", without_source)
        with pytest.raises(Withheld):
            await work(given.bob)
        lie(patch, "line", without_source)
        forget(given.bob)
        with pytest.raises(NotFound, match="nothing proves that it ended"):
            await work(given.bob)
    assert (await read(given.carol, passed)).content == given.item.content

    forget(given.bob)
    async with given.ann.session() as (session, _):
        await shares.remove(session, given.share.share)
    assert await work(given.bob) == ["end"]
    with pytest.raises(NotFound):
        await read(given.carol, passed)


def forget(person: Person) -> None:
    """As a device on which the person has only just logged in."""
    for path in person.home.glob(f"{MEMORY}*"):
        path.unlink()
