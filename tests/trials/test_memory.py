"""S11, S12: a home that goes back, leaves out, or shows two histories; the agent remembers and says so."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import accounts, connections, feed, items
from privity.agent.connections import Connection
from privity.agent.items import Item
from privity.agent.profile import ProfileFolder
from privity.connection_string import parse_connection_string
from privity.crypto.command import frame, unframe
from privity.crypto.log import make_checkpoint, read_checkpoint
from privity.crypto.signing import SigningKey
from privity.encoding import digest, new_id, unb64
from privity.errors import (
    ForgedRecord,
    ForkedLog,
    IntegrityAlarm,
    NotFound,
    NotInLog,
    RolledBack,
    StaleVersion,
    Withheld,
)
from privity.messages.items import AddItem, RemoveItem
from privity.testing.home import RunningHome
from privity.testing.people import Outcome, Person, connect, somebody
from tests.rows.watching import typed
from tests.trials.proxy import BYTES, PARTS, Blobs, Proxy, Row

NUMBERS = {"number": "X1"}


@pytest.fixture
async def far(ann: Person, proxy: Proxy) -> Person:
    """Ann, whose agent goes through the proxy."""
    return proxy.person(ann)


@pytest.fixture
async def passport(far: Person) -> Item:
    """An item of hers, seen by this device."""
    async with far.session() as (session, keyring):
        await items.add(session, keyring, "Phone", {"number": "555"})
        return await items.add(session, keyring, "Passport", NUMBERS)


@pytest.fixture
def log_key(backend: RunningHome) -> SigningKey:
    """The home's own log key: whoever runs the home can sign what they like."""
    return SigningKey.from_seed(unb64(json.loads((backend.data / "keys.json").read_text())["log"]))


async def run(person: Person, *arguments: str) -> Outcome:
    return await asyncio.to_thread(typed, person, *arguments)


def without(item: str) -> Callable[[list[Row], Blobs], None]:
    def lie(rows: list[Row], _: Blobs) -> None:
        rows[:] = [row for row in rows if row["item"] != item]

    return lie


def served_as(view: str, proxy: Proxy, item: str) -> tuple[Row, Blobs]:
    """The newest row of an item that the home served, and its sealed objects."""
    for name, body in reversed(proxy.answered):
        if name == view:
            head, *blobs = unframe(body, PARTS, BYTES)
            for row in json.loads(head)["rows"]:
                if row["item"] == item:
                    return row, {digest(blob): blob for blob in blobs}
    raise AssertionError(f"no row of {item} was served")


# ---- S11: back to what was ----


async def test_s11_an_older_version_of_an_item_is_noticed(far: Person, passport: Item, proxy: Proxy) -> None:
    async with far.session() as (session, keyring):
        await items.show(session, keyring, passport.item)
        old, sealed = served_as("items", proxy, passport.item)
        await items.edit(session, keyring, passport.item, {"number": "X2"})

    def back(rows: list[Row], blobs: Blobs) -> None:
        rows[:] = [old if row["item"] == passport.item else row for row in rows]
        blobs.update(sealed)

    with proxy.lying("items", back):
        shown = await run(far, "item", "show", passport.item)
        assert shown.code == 3
        assert "RolledBack" in shown.err
        assert "version 1" in shown.err
        listed = await run(far, "item", "list")
        assert (listed.code, "RolledBack" in listed.err) == (3, True)

    assert (await run(far, "--json", "item", "show", passport.item)).json["slots"] == {"number": "X2"}


async def test_s11_another_device_learns_of_the_newer_version_from_the_feed(
    backend: RunningHome, proxy: Proxy, tmp_path: Path
) -> None:
    first = proxy.person(somebody("ann", tmp_path, backend.url))
    written = await first.register()
    second = replace(first, home=tmp_path / "second")
    string = parse_connection_string(second.server)
    async with first.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", NUMBERS)
    await accounts.login(ProfileFolder(second.home), string, first.address, written.secret, first.passphrase)
    async with second.session() as (session, keyring):
        await items.show(session, keyring, kept.item)
        old, sealed = served_as("items", proxy, kept.item)
    async with first.session() as (session, keyring):
        await items.edit(session, keyring, kept.item, {"number": "X2"})

    def back(rows: list[Row], blobs: Blobs) -> None:
        rows[:] = [old]
        blobs.update(sealed)

    async with second.session() as (session, keyring):
        with proxy.lying("items", back), pytest.raises(RolledBack):
            await items.show(session, keyring, kept.item)
        assert (await items.show(session, keyring, kept.item)).content.slots == {"number": "X2"}


async def test_s11_an_answer_from_before_ones_own_newest_command_is_noticed(
    far: Person, passport: Item, proxy: Proxy
) -> None:
    def older(view: str, body: bytes) -> bytes:
        if view != "items":
            return body
        head, *blobs = unframe(body, PARTS, BYTES)
        return frame(json.dumps(json.loads(head) | {"position": 1}).encode(), *blobs)

    async with far.session() as (session, keyring):
        with proxy.bending_answers(older), pytest.raises(RolledBack):
            await items.show(session, keyring, passport.item)
        assert await items.show(session, keyring, passport.item)


async def test_s11_a_log_that_became_shorter_is_noticed(
    far: Person, passport: Item, proxy: Proxy, log_key: SigningKey
) -> None:
    home = parse_connection_string(far.server).home

    def shorter(rows: list[Row], _: Blobs) -> None:
        for row in rows:
            newest = read_checkpoint(row["checkpoint"], log_key.public, home)
            row["checkpoint"] = make_checkpoint(log_key, home, newest.size - 1, newest.root)

    with proxy.lying("checkpoint", shorter):
        assert (await run(far, "item", "list")).code == 3
    assert (await run(far, "item", "list")).code == 0


# ---- S12: left out, or two histories ----


async def test_s12_an_item_that_is_left_out_is_noticed(far: Person, passport: Item, proxy: Proxy) -> None:
    with proxy.lying("items", without(passport.item)):
        for command in (("item", "list"), ("item", "show", passport.item)):
            shown = await run(far, *command)
            assert shown.code == 3
            assert "Withheld" in shown.err
            assert passport.item in shown.err
    rows = (await run(far, "--json", "item", "list")).json
    assert passport.item in [row["item"] for row in rows]


async def test_s12_an_item_that_another_device_gave_up_is_missed_by_nobody(
    backend: RunningHome, tmp_path: Path
) -> None:
    first = somebody("ann", tmp_path, backend.url)
    written = await first.register()
    second = replace(first, home=tmp_path / "second")
    async with first.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", NUMBERS)
    string = parse_connection_string(second.server)
    await accounts.login(ProfileFolder(second.home), string, first.address, written.secret, first.passphrase)
    async with second.session() as (session, keyring):
        assert [item.item for item in await items.all_own(session, keyring)] == [kept.item]
    async with first.session() as (session, keyring):
        await items.remove(session, kept.item)
    async with second.session() as (session, keyring):
        assert await items.all_own(session, keyring) == []
        with pytest.raises(NotFound):
            await items.show(session, keyring, kept.item)


async def test_s12_a_removal_that_nobody_signed_is_not_believed(far: Person, passport: Item, proxy: Proxy) -> None:
    """The home says that the item was removed, and shows as evidence the event that added it."""
    async with far.session() as (session, keyring):
        added = next(line for line in await feed.past(session) if line.refs.get("item") == passport.item)
        session.memory.said_to_end("item", passport.item, added.position)
        with proxy.lying("items", without(passport.item)), pytest.raises(Withheld):
            await items.show(session, keyring, passport.item)
        assert await items.show(session, keyring, passport.item)


@pytest.mark.parametrize("number", [1, 2, -1])
async def test_s12_a_feed_line_that_is_left_out_is_noticed(
    far: Person, passport: Item, proxy: Proxy, number: int
) -> None:
    def gap(rows: list[Row], _: Blobs) -> None:
        if len(rows) > 2:
            del rows[number]

    shown = await run(far, "--json", "feed")
    with proxy.lying("feed", gap):
        lied = await run(far, "feed")
    assert (lied.code, "Withheld" in lied.err) == (3, True)
    assert await run(far, "--json", "feed") == shown


async def test_s12_a_feed_that_ends_before_what_was_read_is_noticed(far: Person, passport: Item, proxy: Proxy) -> None:
    whole = (await run(far, "--json", "feed")).json

    def cut(rows: list[Row], _: Blobs) -> None:
        del rows[2:]

    with proxy.lying("feed", cut):
        lied = await run(far, "feed")
    assert (lied.code, "Withheld" in lied.err) == (3, True)
    assert (await run(far, "--json", "feed")).json == whole


async def test_s12_a_changed_feed_line_is_noticed(far: Person, passport: Item, proxy: Proxy) -> None:
    def other(rows: list[Row], _: Blobs) -> None:
        for row in rows:
            if row["event"] == "item-added":
                row["event"] = "item-removed"

    with proxy.lying("feed", other):
        lied = await run(far, "feed")
    assert (lied.code, "ForgedRecord" in lied.err) == (3, True)
    assert (await run(far, "feed")).code == 0


async def test_s12_a_second_history_is_noticed(far: Person, passport: Item, proxy: Proxy, log_key: SigningKey) -> None:
    home = parse_connection_string(far.server).home

    def forked(rows: list[Row], _: Blobs) -> None:
        for row in rows:
            newest = read_checkpoint(row["checkpoint"], log_key.public, home)
            row["checkpoint"] = make_checkpoint(log_key, home, newest.size, bytes(32))

    with proxy.lying("checkpoint", forked):
        lied = await run(far, "item", "list")
    assert (lied.code, "ForkedLog" in lied.err) == (3, True)
    assert (await run(far, "item", "list")).code == 0


async def test_s12_a_history_that_another_person_was_shown_is_held_against_ones_own(
    far: Person, passport: Item, proxy: Proxy, log_key: SigningKey
) -> None:
    home = parse_connection_string(far.server).home
    async with far.session() as (session, _):
        await session.consistent()
        mine = session.memory.checkpoint
        assert mine is not None
        with pytest.raises(ForkedLog):
            await session.consistent(make_checkpoint(log_key, home, mine.size, bytes(32)))
        with pytest.raises(ForkedLog):
            await session.consistent(make_checkpoint(log_key, home, mine.size - 1, bytes(32)))
        with pytest.raises(RolledBack):
            await session.consistent(make_checkpoint(log_key, home, mine.size + 10**6, bytes(32)))
        await session.consistent(mine.note)


# ---- receipts ----


def no_receipt(result: dict[str, Any]) -> None:
    result["receipt"] = None


def shorter_proof(result: dict[str, Any]) -> None:
    result["receipt"]["proofs"][0].pop()


def another_event(result: dict[str, Any]) -> None:
    result["events"][0]["position"] += 1


def anothers_checkpoint(result: dict[str, Any]) -> None:
    home, size = result["receipt"]["checkpoint"].split("\n")[:2]
    result["receipt"]["checkpoint"] = make_checkpoint(
        SigningKey.generate(), home.removeprefix("privity/"), int(size), bytes(32)
    )


@pytest.mark.parametrize(
    ("change", "alarm"),
    [
        (no_receipt, NotInLog),
        (shorter_proof, NotInLog),
        (another_event, NotInLog),
        (anothers_checkpoint, ForgedRecord),
    ],
)
async def test_s12_a_result_without_a_good_receipt_is_an_alarm(
    far: Person, proxy: Proxy, change: Callable[[dict[str, Any]], None], alarm: type[IntegrityAlarm]
) -> None:
    def bend(_: str, data: bytes) -> list[bytes]:
        result = json.loads(data)
        change(result)
        return [json.dumps(result).encode()]

    async with far.session() as (session, keyring):
        with proxy.bending_results(bend), pytest.raises(alarm):
            await items.add(session, keyring, "Passport", NUMBERS)
    async with far.session() as (session, keyring):  # the command was kept, and is sent again first
        assert [item.content.label for item in await items.all_own(session, keyring)] == ["Passport"]


async def test_s12_receipts_that_waited_are_checked_by_the_next_session(
    far: Person, proxy: Proxy, log_key: SigningKey
) -> None:
    home = parse_connection_string(far.server).home
    async with far.session() as (session, keyring):
        await items.add(session, keyring, "Passport", NUMBERS)
        mine = session.memory.checkpoint
        assert mine is not None
        session.memory.pend(make_checkpoint(log_key, home, mine.size, bytes(32)))
    for _ in range(2):  # an alarm does not wear off
        async with far.session() as (session, keyring):
            with pytest.raises(ForkedLog):
                await items.all_own(session, keyring)


# ---- notes ----


async def test_s11_ones_own_note_on_a_connection_does_not_go_back(
    connected: tuple[Person, Person], proxy: Proxy
) -> None:
    """The old note says that nobody compared numbers, or that the other's keys are not to be looked at again."""
    bob = proxy.person(connected[1])
    async with bob.session() as (session, keyring):
        [before] = await connections.all_own(session, keyring)
        assert isinstance(before, Connection)
        view, body = next(each for each in reversed(proxy.answered) if each[0] == "connections")
        head, *blobs = unframe(body, PARTS, BYTES)
        old = {digest(blob): blob for blob in blobs}
        [row] = json.loads(head)["rows"]
        await connections.verify(session, keyring, before.connection)

        def back(rows: list[Row], sealed: Blobs) -> None:
            rows[0]["note"] = row["note"]
            sealed.update(old)

        with proxy.lying(view, back), pytest.raises(RolledBack):
            await connections.show(session, keyring, before.connection)
        assert (await connections.show(session, keyring, before.connection)).verified


# ---- what a lie may not leave behind, and where a look must not stop ----


@pytest.mark.parametrize("lie", ["changed", "dropped"])
async def test_s12_the_first_line_behind_a_cursor_is_held_against_those_before(
    far: Person, passport: Item, proxy: Proxy, lie: str
) -> None:
    lines = (await run(far, "--json", "feed")).json
    cursor = str(lines[-3]["position"])

    def bend(rows: list[Row], _: Blobs) -> None:
        for place, row in enumerate(rows):
            if row["position"] == lines[-2]["position"]:
                row.update(event="item-removed")
                del rows[place : place + (lie == "dropped")]
                return

    with proxy.lying("feed", bend):
        lied = await run(far, "feed", "--after", cursor)
    assert (lied.code, "ForgedRecord" in lied.err or "Withheld" in lied.err) == (3, True)
    assert (await run(far, "--json", "feed", "--after", cursor)).json == lines[-2:]


async def test_s11_a_position_that_nothing_proves_is_not_waited_for(far: Person, proxy: Proxy) -> None:
    """Else one lying result would make every later question wait for what never comes."""

    def far_ahead(_: str, data: bytes) -> list[bytes]:
        return [json.dumps(json.loads(data) | {"position": 2**61}).encode()]

    async with far.session() as (session, keyring):
        with proxy.bending_results(far_ahead):
            await items.add(session, keyring, "Passport", NUMBERS)
            with pytest.raises(NotFound):
                await session.send(RemoveItem(new_id()))
        assert len(await items.all_own(session, keyring)) == 1


async def test_s12_a_look_at_the_log_that_was_put_off_is_made_up_for(
    far: Person, passport: Item, proxy: Proxy, log_key: SigningKey
) -> None:
    home = parse_connection_string(far.server).home
    busy = frame(json.dumps({"v": 1, "status": "refused", "position": 0, "nonce": "", "code": "Busy"}).encode())

    def forked(rows: list[Row], _: Blobs) -> None:
        size = read_checkpoint(rows[0]["checkpoint"], log_key.public, home).size
        rows[0]["checkpoint"] = make_checkpoint(log_key, home, size, bytes(32))

    async with far.session() as (session, _):
        with proxy.bending_answers(lambda view, body: busy if view == "checkpoint" else body):
            await session.send(AddItem(new_id(), digest(b"content"), digest(b"wrap")), b"content", b"wrap")
        with proxy.lying("checkpoint", forked):
            for _ in range(2):
                with pytest.raises(ForkedLog):
                    await feed.past(session)
        assert await feed.past(session)


async def test_s11_two_devices_that_keep_a_note_at_once_set_off_no_alarm(
    backend: RunningHome, bob: Person, tmp_path: Path
) -> None:
    first = somebody("ann", tmp_path, backend.url)
    written = await first.register()
    second = replace(first, home=tmp_path / "second")
    string = parse_connection_string(second.server)
    await accounts.login(ProfileFolder(second.home), string, first.address, written.secret, first.passphrase)
    connection, _ = await connect(bob, first)
    async with first.session() as (one, keyring), second.session() as (other, same):
        early = await connections.show(other, same, connection.connection)
        await connections.verify(one, keyring, connection.connection)
        with pytest.raises(StaleVersion):  # the second device had not read that
            await connections._keep(other, same, early.row, early.note)
        assert (await connections.verify(other, same, connection.connection)).verified
        assert (await connections.show(one, keyring, connection.connection)).verified
