"""Row C18: the agent works from its cache while the home is away and sends later; a conflict keeps both versions."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from privity.agent import accounts, connections, delegated, delegations, items, shares
from privity.agent.accounts import NewAccount
from privity.agent.bus import Bus
from privity.agent.cache import CACHE, Cache
from privity.agent.connections import Broken, Connection
from privity.agent.files import Plain
from privity.agent.items import Item
from privity.agent.keyring import Keyring
from privity.agent.profile import ProfileFolder
from privity.agent.reading import Share
from privity.agent.session import Session, open_session
from privity.connection_string import parse_connection_string
from privity.errors import (
    Busy,
    ForgedRecord,
    NotFound,
    RolledBack,
    TooManyWaiting,
    UnknownDevice,
    Unreachable,
)
from privity.messages.delegations import KeepItem
from privity.messages.envelope import Result
from privity.messages.shares import RemoveShare
from privity.messages.views import AskItems
from privity.testing.home import RunningHome
from privity.testing.people import PRIVITY, Person, connect, somebody
from tests.rows.watching import canary, files_of, found_in, lie, ran, typed

NOTICES = "privity.notices"
Newcomer = Callable[[str], Awaitable[tuple[Person, NewAccount]]]
Devices = tuple[Person, Person]


async def second_device(person: Person, written: NewAccount) -> Person:
    """The same person on another device."""
    other = replace(person, home=person.home.with_name(f"{person.home.name}-tablet"))
    server = parse_connection_string(person.server)
    await accounts.login(ProfileFolder(other.home), server, person.address, written.secret, person.passphrase)
    return other


@pytest.fixture
async def devices(newcomer: Newcomer) -> Devices:
    """Ann's laptop and Ann's tablet."""
    ann, written = await newcomer("ann")
    return ann, await second_device(ann, written)


@asynccontextmanager
async def away(person: Person) -> AsyncIterator[tuple[Session, Keyring]]:
    """A session without the home."""
    session, keyring, _ = open_session(ProfileFolder(person.home), person.passphrase, person.server, offline=True)
    async with session:
        yield session, keyring


async def all_of(person: Person) -> list[Item]:
    """What a device shows while the home is there; what waited goes out before."""
    async with person.session() as (session, keyring):
        return await items.all_own(session, keyring)


def contents(found: list[Item]) -> list[tuple[str, dict[str, str]]]:
    return sorted((each.content.label, each.content.slots) for each in found)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The notices since the last look."""
    found = [record.getMessage() for record in caplog.records if record.name == NOTICES]
    caplog.clear()
    return found


# ---- reading ----


async def test_c18_what_was_read_is_read_again_without_the_home_and_says_as_of_when(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    async with bob.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X123"})
        await items.add(session, keyring, "Key", {})
        await shares.create(session, keyring, item.item, ann.address)
    lines = (
        ("item", "list"),
        ("item", "show", item.item[:8]),
        ("share", "list"),
        ("share", "list", "--incoming"),
        ("connection", "list"),
        ("connection", "show", bob.address),
        ("account", "show"),
        ("feed",),
    )
    assert (await ran(ann, "share", "list", "--json", "--offline")).code == 4, "it was never asked for"
    there = {line: await ran(ann, *line, "--json") for line in lines}
    assert {each.code for each in there.values()} == {0}
    for line in lines:
        gone = await ran(ann, *line, "--json", "--offline")
        assert (gone.code, gone.json) == (0, there[line].json), (line, gone.err)
    share = there["share", "list"].json[0]["share"]
    shown = await asyncio.to_thread(typed, ann, "share", "show", share, "--json", PRIVITY_OFFLINE="1")
    assert (shown.code, shown.json["slots"]) == (0, {"number": "X123"}), shown.err

    process = await asyncio.to_thread(ann.run, "item", "list", "--offline")
    assert process.code == 0
    assert re.fullmatch(r"notice: offline, as of \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n", process.err)
    for never in (("invitation", "list"), ("share", "show", "zzz"), ("key", "list")):
        refused = await ran(ann, *never, "--json", "--offline")
        assert (refused.code, refused.out) != (0, ""), never


async def test_c18_the_cache_passes_the_same_checks_and_what_did_not_hold_is_not_kept(
    ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X123"})
        await items.all_own(session, keyring)

    def changed(rows: list[dict[str, Any]]) -> None:
        rows[0]["content"] = rows[0]["wrap"]

    with monkeypatch.context() as patch:
        lie(patch, "items", changed)
        with pytest.raises(ForgedRecord):
            await all_of(ann)
    async with away(ann) as (session, keyring):
        assert contents(await items.all_own(session, keyring)) == [("Passport", {"number": "X123"})]
        assert (await items.show(session, keyring, item.item)).version == 1

    path = ann.home / CACHE
    session, _, _ = open_session(ProfileFolder(ann.home), ann.passphrase, ann.server)
    with session.cache._open() as db:
        db.execute(
            "UPDATE rows SET data = json_set(data, '$.content', json_extract(data, '$.wrap')) WHERE view = 'items'"
        )
    session.cache.close()
    assert path.exists()
    async with away(ann) as (session, keyring):
        with pytest.raises(ForgedRecord):
            await items.all_own(session, keyring)


async def test_c18_nothing_in_the_cache_is_readable_and_a_device_that_leaves_has_none(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    secret = {name: canary().encode() for name in ("label", "value", "received", "waiting")}
    async with ann.session() as (session, keyring):
        await items.add(session, keyring, secret["label"].decode(), {"x": secret["value"].decode()})
    async with bob.session() as (session, keyring):
        item = await items.add(session, keyring, "Key", {"x": secret["received"].decode()})
        await shares.create(session, keyring, item.item, ann.address)
    assert (await ran(ann, "item", "list")).code == 0
    async with away(ann) as (session, keyring):
        await items.add(session, keyring, secret["waiting"].decode(), {})
        assert len(await items.all_own(session, keyring)) == 2
        keys = {
            "KEK": keyring.kek,
            "identity": keyring.identity.sign.seed,
            "seal": keyring.identity.seal.private,
            "device": keyring.device.seed,
        }
    kept = dict(files_of(ann.home))
    assert len(kept[CACHE]) > 4096
    assert found_in(kept.items(), {**secret, **keys}) == []
    assert (await ran(ann, "account", "logout")).code == 0
    assert [name for name in dict(files_of(ann.home)) if "cache" in name] == []


async def test_c18_what_another_device_changed_or_removed_is_not_shown_from_the_cache(
    devices: Devices, caplog: pytest.LogCaptureFixture
) -> None:
    laptop, tablet = devices
    async with laptop.session() as (session, keyring):
        made = [(await items.add(session, keyring, label, {})).item for label in ("stays", "edited", "removed")]
    assert len(await all_of(tablet)) == 3
    async with laptop.session() as (session, keyring):
        await items.edit(session, keyring, made[1], {"n": "2"})
        await items.remove(session, made[2])
    before = {name: data for name, data in files_of(tablet.home) if name == CACHE}
    assert (await ran(tablet, "share", "list")).code == 0  # which reads the feed, and no item
    told(caplog)
    async with away(tablet) as (session, keyring):
        assert [each.content.label for each in await items.all_own(session, keyring)] == ["stays"]
        with pytest.raises(Unreachable, match="not kept on this device"):
            await items.show(session, keyring, made[1])
        with pytest.raises(NotFound):
            await items.show(session, keyring, made[2])
    [notice] = told(caplog)
    assert notice.endswith("; 2 more known here and not kept")
    assert before[CACHE] != dict(files_of(tablet.home))[CACHE]


async def test_c18_what_was_not_kept_in_time_is_missing_and_no_alarm(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        made = [await items.add(session, keyring, label, {}) for label in ("edited", "stays")]
        shared = [await shares.create(session, keyring, each.item, bob.address) for each in made]
        assert len(await shares.all_of(session, keyring)) == len(await items.all_own(session, keyring)) == 2
    with monkeypatch.context() as patch:
        patch.setattr(Session, "_keep_steps", lambda *_: None)  # the process is killed before it keeps anything
        patch.setattr(Cache, "erase", lambda *_: None)
        async with ann.session() as (session, keyring):
            edited = await items.edit(session, keyring, made[0].item, {"n": "2"})
            await shares.update(session, keyring, shared[0].share)
    told(caplog)
    async with away(ann) as (session, keyring):
        assert [each.content.label for each in await items.all_own(session, keyring)] == ["stays"]
        [good, behind] = await shares.all_of(session, keyring)
        assert isinstance(good, Share)
        assert good.share == shared[1].share
        assert isinstance(behind, Broken)
        assert (behind.id, behind.alarm.code) == (shared[0].share, "Unreachable")
    assert told(caplog)[0].endswith("; 2 more known here and not kept")
    assert edited in await all_of(ann)


async def test_c18_what_is_kept_is_older_than_what_was_seen_and_that_is_an_alarm_of_the_home_alone(
    connected: tuple[Person, Person],
) -> None:
    ann, _ = connected
    async with ann.session() as (session, keyring):
        assert isinstance((await connections.all_own(session, keyring))[0], Connection)
        for seen in session.memory.begins(connections.NOTE, ""):
            session.memory.saw(connections.NOTE, seen.id, 9)  # and the process is killed before it keeps anything
    for how, code in ((away(ann), "Unreachable"), (ann.session(), "RolledBack")):
        async with how as (session, keyring):
            [broken] = await connections.all_own(session, keyring)
            assert isinstance(broken, Broken)
            assert broken.alarm.code == code
    for how, error in ((away(ann), Unreachable), (ann.session(), RolledBack)):
        with pytest.raises(error):
            await rolled_back(how)


async def rolled_back(how: AbstractAsyncContextManager[tuple[Session, Keyring]]) -> None:
    """What was served did not hold, in a session of either kind."""
    async with how as (session, keyring):
        await connections.all_own(session, keyring)
        raise RolledBack


async def test_c18_a_device_that_was_taken_out_lets_go_of_its_cache(devices: Devices) -> None:
    laptop, tablet = devices
    assert (await ran(tablet, "item", "list")).code == 0
    assert (tablet.home / CACHE).exists()
    lost = ProfileFolder(tablet.home).load().device
    async with tablet.session() as (session, keyring):
        await items.all_own(session, keyring)
        assert (await ran(laptop, "account", "device", "rm", lost)).code == 0
        with pytest.raises(UnknownDevice):
            await items.all_own(session, keyring)
    assert not (tablet.home / CACHE).exists(), "nor is it made anew of what was served before"
    refused = await ran(tablet, "item", "list")
    assert (refused.code, refused.err.startswith("error: UnknownDevice")) == (1, True), refused.err
    assert not (tablet.home / CACHE).exists()


# ---- writing ----


async def test_c18_what_is_written_without_the_home_shows_at_once_and_is_sent_in_order_later(ann: Person) -> None:
    for label in ("First", "Second"):
        assert "queued" not in (await ran(ann, "item", "add", label, "--json")).json
    first, second = [row["item"] for row in (await ran(ann, "item", "list", "--json")).json]

    added = await ran(ann, "item", "add", "Third", "--set", "n=1", "--json", "--offline")
    assert (added.code, added.json["version"], added.json["queued"]) == (0, 1, True), added.err
    for number, values in enumerate((("a=1", "b=1"), ("b=2",)), start=2):
        sets = [word for each in values for word in ("--set", each)]
        edited = await ran(ann, "item", "edit", first, *sets, "--json", "--offline")
        assert (edited.code, edited.json["version"], edited.json["queued"]) == (0, number, True), edited.err
    assert (await ran(ann, "item", "edit", added.json["item"], "--set", "n=2", "--offline")).code == 0
    removed = await ran(ann, "item", "rm", second, "--json", "--offline")
    assert (removed.code, removed.json["queued"]) == (0, True)
    again = await ran(ann, "item", "show", second, "--offline")
    assert again.code == 1, "it is given up, as far as this device can see"

    gone = (await ran(ann, "item", "list", "--json", "--offline")).json
    shown = (await ran(ann, "item", "show", first, "--json", "--offline")).json
    assert [(row["label"], row["version"]) for row in gone] == [("First", 3), ("Third", 2)]
    assert (shown["version"], shown["slots"]) == (3, {"a": "1", "b": "2"})
    assert len(ProfileFolder(ann.home).waiting()) == 5
    human = await ran(ann, "item", "add", "Fourth", "--offline")
    assert (human.code, "waits on this device" in human.out) == (0, True)

    there = (await ran(ann, "item", "list", "--json")).json
    assert there[:2] == gone
    assert [row["label"] for row in there] == ["First", "Third", "Fourth"]
    assert (await ran(ann, "item", "show", first, "--json")).json == shown
    assert ProfileFolder(ann.home).waiting() == []
    assert (await ran(ann, "item", "list", "--json", "--offline")).json == there


async def test_c18_a_command_that_needs_the_home_is_neither_done_nor_kept(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    item = (await ran(ann, "item", "add", "Key", "--json")).json["item"]
    await ran(ann, "item", "list")
    for line in (
        ("share", "create", item, "--with", bob.address),
        ("connection", "verify", bob.address, "--number", "1"),
    ):
        refused = await ran(ann, *line, "--offline")
        assert refused.code in (3, 4), refused.err
    assert ProfileFolder(ann.home).waiting() == []


async def test_c18_what_waited_and_is_refused_is_told_and_set_aside(
    ann: Person, caplog: pytest.LogCaptureFixture
) -> None:
    async with away(ann) as (session, keyring):
        assert await session.queue(RemoveShare("a" * 26)) is None
        await items.add(session, keyring, "Key", {})
    told(caplog)
    assert [each.content.label for each in await all_of(ann)] == ["Key"]
    [notice] = told(caplog)
    assert notice.startswith("notice: shares.remove, kept while offline, was refused and set aside: NotFound: ")
    assert [path.suffix for path in (ann.home / "outbox").iterdir()] == [".aside"]


async def test_c18_what_waited_is_not_lost_by_a_home_that_lies_and_what_it_took_is_remembered(
    ann: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = ProfileFolder(ann.home)
    async with away(ann) as (session, keyring):
        item = (await items.add(session, keyring, "Key", {})).item
    [kept] = folder.waiting()
    ignored = Result(kept.id, "ignored")
    with monkeypatch.context() as patch:
        patch.setattr(Bus, "send", answers(ignored))
        with pytest.raises(ForgedRecord):
            await all_of(ann)
        folder.keep(kept)
        patch.setattr(Bus, "send", answers(replace(ignored, status="refused", code="Busy", message="later")))
        with pytest.raises(Busy):
            await all_of(ann)
        assert folder.waiting() == [kept]
        patch.setattr(Bus, "send", answers(replace(ignored, status="refused", code="No\x1b[2J", message="\x1b]0;x")))
        told(caplog)
        assert await all_of(ann) == []
        [notice] = told(caplog)
        assert notice.isprintable()
        assert "set aside: No" in notice
    assert (ann.home / "outbox" / f"{kept.id}.aside").exists()

    folder.keep(kept)
    async with ann.session() as (session, keyring):
        await session.send_kept()
        seen = session.memory.seen("item", item)
    assert seen is not None
    assert (seen.version, bool(seen.digest), seen.proven) == (1, True, False)
    async with away(ann) as (session, keyring):
        await items.remove(session, item)
    async with ann.session() as (session, keyring):
        await session.send_kept()
        seen = session.memory.seen("item", item)
    assert seen is not None
    assert seen.proven


async def test_c18_what_waits_is_sent_in_order_though_the_clock_was_set_back_and_no_more_waits_than_may(
    ann: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with away(ann) as (session, keyring):
        item = (await items.add(session, keyring, "Key", {})).item
    with monkeypatch.context() as patch:
        patch.setattr("privity.agent.session.uuid7", lambda: UUID("0100" + str(uuid4())[4:]))
        for number in "123":
            async with away(ann) as (session, keyring):
                await items.edit(session, keyring, item, {"n": number})
        patch.setattr("privity.agent.session.MAX_WAITING", 4)
        async with away(ann) as (session, keyring):
            with pytest.raises(TooManyWaiting):
                await items.add(session, keyring, "One too many", {})
    told(caplog)
    assert [(each.version, each.content.slots) for each in await all_of(ann)] == [(4, {"n": "3"})]
    assert told(caplog) == []


def answers(result: Result) -> Callable[..., Awaitable[Result]]:
    """A home that answers whatever is sent like this, and does nothing."""

    async def send(bus: Bus, subject: str, id: str, data: bytes) -> Result:
        return replace(result, id=id)

    return send


# ---- conflicts ----


async def test_c18_two_devices_that_edit_the_same_item_keep_both_versions(
    devices: Devices, caplog: pytest.LogCaptureFixture
) -> None:
    laptop, tablet = devices
    async with laptop.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "1", "of": "Ann"})).item
    for device in devices:
        await all_of(device)
    for device, number in zip(devices, "LT", strict=True):
        async with away(device) as (session, keyring):
            await items.edit(session, keyring, item, {"number": number})
            await items.edit(session, keyring, item, {"more": number})
    mine = ProfileFolder(tablet.home).load().device
    told(caplog)

    assert contents(await all_of(laptop)) == [("Passport", {"number": "L", "of": "Ann", "more": "L"})]
    assert told(caplog) == []
    both = await all_of(tablet)
    kept, copy = both
    label = rf"Passport \(conflicting copy, device {mine[:8]}, \d{{4}}-\d\d-\d\d \d\d:\d\d UTC\)"
    assert (kept.item, kept.version, kept.content.slots["number"]) == (item, 3, "L")
    assert re.fullmatch(label, copy.content.label)
    assert (copy.version, copy.content.slots) == (1, {"number": "T", "of": "Ann", "more": "T"})
    assert told(caplog) == [
        f"notice: conflict: item {item} was changed on another device meanwhile, and that stands; "
        f"your version is kept as item {copy.item}"
    ]
    assert await all_of(laptop) == await all_of(tablet) == both
    async with away(tablet) as (session, keyring):
        assert await items.all_own(session, keyring) == both


async def test_c18_an_edit_of_what_was_removed_elsewhere_becomes_a_copy_and_a_removal_does_not_end_what_was_changed(
    devices: Devices, caplog: pytest.LogCaptureFixture
) -> None:
    laptop, tablet = devices
    async with laptop.session() as (session, keyring):
        removed, changed = [(await items.add(session, keyring, each, {})).item for each in ("removed", "changed")]
    await all_of(tablet)
    async with away(tablet) as (session, keyring):
        await items.edit(session, keyring, removed, {"n": "T"}, attaching=[Plain("note.txt", "text/plain", b"hello")])
        await items.edit(session, keyring, changed, {"n": "T"})
        await items.remove(session, changed)
    async with laptop.session() as (session, keyring):
        await items.remove(session, removed)
        await items.edit(session, keyring, changed, {"n": "L"})
    told(caplog)

    async with tablet.session() as (session, keyring):
        kept, copy = await items.all_own(session, keyring)
        assert (await items.read_file(session, keyring, copy, "note.txt")).data == b"hello"
    assert (kept.item, kept.content.slots, copy.content.slots) == (changed, {"n": "L"}, {"n": "T"})
    notices = told(caplog)
    assert f"item {removed} was removed on another device" in notices[0]
    assert copy.item in notices[0]
    assert f"item {changed} was changed on another device" in notices[1]
    assert "no copy is kept" in notices[1]
    assert not [path for path in (tablet.home / "outbox").iterdir() if path.suffix != ".aside"]


async def test_c18_a_removal_that_waited_does_not_end_what_another_device_changed_since(
    devices: Devices, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    laptop, tablet = devices
    async with laptop.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {})).item
    await all_of(tablet)
    async with away(tablet) as (session, keyring):
        await items.remove(session, item)
    async with laptop.session() as (session, keyring):
        await items.edit(session, keyring, item, {"n": "L"})
    told(caplog)
    assert [each.content.slots for each in await all_of(tablet)] == [{"n": "L"}]
    [notice] = told(caplog)
    assert f"item {item} was changed on another device" in notice
    async with away(tablet) as (session, keyring):
        await items.edit(session, keyring, item, {"n": "T"})
    async with laptop.session() as (session, keyring):
        await items.edit(session, keyring, item, {"n": "LL"})

    async def busy(*_: object) -> None:
        raise Busy

    with monkeypatch.context() as patch:
        patch.setattr("privity.agent.conflicts.copy_of", busy)
        with pytest.raises(Busy):
            await all_of(tablet)
    assert [each.content.slots for each in await all_of(tablet)] == [{"n": "LL"}, {"n": "T"}]
    async with away(tablet) as (session, keyring):
        await items.edit(session, keyring, item, {"n": "last"})
        await items.remove(session, item)
    told(caplog)
    assert [each.content.slots for each in await all_of(tablet)] == [{"n": "T"}]
    assert told(caplog) == []


async def test_c18_what_waited_under_a_vault_key_of_before_is_sealed_anew_and_is_no_conflict(
    ann: Person, bob: Person, caplog: pytest.LogCaptureFixture
) -> None:
    await connect(ann, bob)
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {})).item
        grant = await delegations.invite(session, keyring, bob.address, "reader")
    async with bob.session() as (session, keyring):
        vault = await delegations.as_principal(session, keyring, ann.address)
        assert len(await delegated.items_of(session, keyring, vault)) == 1
    assert session.cache.answer(AskItems(principal=vault.principal), session.account) is not None
    async with ann.session() as (session, keyring):
        [before] = await items.all_own(session, keyring)
        for version in (before.version + 1, before.version + 2):
            content = replace(before.content, slots={"n": str(version)})
            command, sealed = await items.keeping(session, keyring, Item(item, version, content))
            assert isinstance(command, KeepItem)
            late = session._signed(command, sealed)
            session.folder.path.with_name(late.id).write_bytes(late.data)
        await delegations.remove(session, keyring, grant.delegation)
        for path in sorted(session.folder.path.parent.glob("????????-*")):
            session.folder.keep(replace(late, id=path.name, data=path.read_bytes()))
    told(caplog)
    [found] = await all_of(ann)
    assert (found.version, found.content.slots) == (before.version + 2, {"n": str(before.version + 2)})
    assert told(caplog) == []
    async with bob.session() as (session, keyring):
        assert await items.all_own(session, keyring) == []
    assert session.cache.answer(AskItems(principal=vault.principal), session.account) is None


async def test_c18_items_under_a_vault_key_are_edited_offline_too_and_a_conflict_keeps_both(
    devices: Devices, bob: Person, caplog: pytest.LogCaptureFixture
) -> None:
    laptop, tablet = devices
    await connect(laptop, bob)
    async with laptop.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {})).item
        await delegations.invite(session, keyring, bob.address, "reader")
    for device in devices:
        assert contents(await all_of(device)) == [("Passport", {})]
    for device, number in zip(devices, "LT", strict=True):
        async with away(device) as (session, keyring):
            await items.edit(session, keyring, item, {"n": number})
            await items.edit(session, keyring, item, {"m": number})
            await items.add(session, keyring, f"Made on {number}", {})
            assert (await items.show(session, keyring, item)).content.slots == {"n": number, "m": number}
    await all_of(laptop)
    found = contents(await all_of(tablet))
    assert [slots for _, slots in found] == [{}, {}, {"n": "L", "m": "L"}, {"n": "T", "m": "T"}]
    assert [text for text in told(caplog) if text.startswith(f"notice: conflict: item {item} was changed")]
    async with bob.session() as (session, keyring):
        vault = await delegations.as_principal(session, keyring, laptop.address)
        read = [row.content for row in await delegated.items_of(session, keyring, vault)]
    assert [each.label for each in read if "conflicting copy" in each.label], "the copy is for the delegates too"


@pytest.mark.parametrize(
    "dies",
    [
        "as the swap is written",
        "in the swap",
        "after it was sent",
        pytest.param("before the swap", marks=pytest.mark.trial),
        pytest.param("before the copy is sent", marks=pytest.mark.trial),
    ],
)
async def test_c18_a_conflict_makes_one_copy_wherever_the_process_dies(
    devices: Devices, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    laptop, tablet = devices
    async with laptop.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {})).item
    await all_of(tablet)
    async with away(tablet) as (session, keyring):
        for number in "12":
            await items.edit(session, keyring, item, {"n": number})
    async with laptop.session() as (session, keyring):
        await items.edit(session, keyring, item, {"n": "L"})

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        match dies:
            case "before the swap":
                patch.setattr(ProfileFolder, "swap", die)
            case "as the swap is written":
                patch.setattr(ProfileFolder, "_write", dies_at_swap(ProfileFolder._write, die))
            case "in the swap":
                patch.setattr(ProfileFolder, "answered", die)
            case "before the copy is sent":
                patch.setattr("privity.agent.conflicts.tell_copy", die)
            case _:
                patch.setattr(ProfileFolder, "answered", dies_on_second(ProfileFolder.answered, die))
        with pytest.raises(KeyboardInterrupt):
            await all_of(tablet)
    assert ProfileFolder(tablet.home).has_waiting
    found = await all_of(tablet)
    assert [each.content.slots for each in found] == [{"n": "L"}, {"n": "2"}]
    assert not ProfileFolder(tablet.home).has_waiting
    assert list((tablet.home / "outbox").iterdir()) == []
    assert await all_of(laptop) == found


def dies_at_swap(
    write: Callable[[ProfileFolder, str, bytes], None], die: Callable[[], None]
) -> Callable[[ProfileFolder, str, bytes], None]:
    """Other files are written."""

    def written(folder: ProfileFolder, name: str, data: bytes) -> None:
        if name.endswith(".swap"):
            die()
        write(folder, name, data)

    return written


def dies_on_second(
    answered: Callable[[ProfileFolder, str], None], die: Callable[[], None]
) -> Callable[[ProfileFolder, str], None]:
    """The edits are let go of; the copy is sent, and the process dies before it notes that."""
    left = [2]

    def counted(folder: ProfileFolder, id: str) -> None:
        if not left[0]:
            die()
        left[0] -= 1
        answered(folder, id)

    return counted


# ---- a real home that goes and comes back ----


@pytest.mark.trial
@pytest.mark.soak
async def test_c18_two_devices_work_through_an_outage_and_show_the_same_afterwards(
    own_backend: RunningHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privity.agent.bus.CONNECT_TIMEOUT", 0.5)
    ann = somebody("ann", tmp_path, own_backend.url)
    tablet = await second_device(ann, await ann.register())
    item = (await ran(ann, "item", "add", "Passport", "--set", "number=1", "--json")).json["item"]
    for device in (ann, tablet):
        await ran(device, "item", "list")

    await asyncio.to_thread(own_backend.stop)
    for device, name in ((ann, "laptop"), (tablet, "tablet")):
        listed = await ran(device, "item", "list", "--json")
        assert (listed.code, [row["label"] for row in listed.json]) == (0, ["Passport"]), listed.err
        for line in (("edit", item, "--set", f"number={name}"), ("add", f"Made on the {name}")):
            done = await ran(device, "item", *line, "--json")
            assert (done.code, done.json["queued"]) == (0, True), done.err
    never = await asyncio.to_thread(ann.run, "invitation", "list", "--json")
    assert (never.code, never.out) == (4, "")
    assert never.err.startswith("error: Unreachable: ")

    await asyncio.to_thread(own_backend.start)
    await ran(ann, "item", "list")
    conflict = await asyncio.to_thread(tablet.run, "item", "list", "--json")
    assert "notice: conflict: item " + item in conflict.err
    rows = (await ran(ann, "item", "list", "--json")).json
    assert (conflict.code, rows) == (0, conflict.json)
    labels = ["Passport", "Made on the laptop", "Made on the tablet"]
    assert [row["label"] for row in rows][:3] == labels
    assert rows[3]["label"].startswith("Passport (conflicting copy, device ")
    numbers = [(await ran(ann, "item", "show", rows[at]["item"], "--json")).json["slots"]["number"] for at in (0, 3)]
    assert numbers == ["laptop", "tablet"]


@pytest.mark.trial
async def test_c18_kill_9_while_the_outbox_goes_out_loses_and_doubles_nothing(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, own_backend.url)
    tablet = await second_device(ann, await ann.register())
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {})).item
    await all_of(tablet)
    async with away(tablet) as (session, keyring):
        for number in range(30):
            await items.add(session, keyring, f"Item {number:02}", {})
            await items.edit(session, keyring, item, {"n": str(number)})
    async with ann.session() as (session, keyring):
        await items.edit(session, keyring, item, {"n": "L"})

    folder, kills = ProfileFolder(tablet.home), 0
    own = {"SERVER": ann.server, "HOME": str(tablet.home), "PASSPHRASE": ann.passphrase}
    env = {**os.environ, **{f"PRIVITY_{name}": value for name, value in own.items()}}
    for left in (59, 52, 45, 38, 31, 24, 12, 2):
        process = await asyncio.create_subprocess_exec(
            *PRIVITY, "item", "list", env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        while process.returncode is None and len(folder.waiting()) > left:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.002)
        if process.returncode is None:
            process.kill()
            kills += 1
        await process.wait()
    assert kills > 4, "hardly one was killed: the trial shows little"
    found = contents(await all_of(tablet))
    assert [label for label, _ in found][:30] == [f"Item {number:02}" for number in range(30)]
    assert [slots for label, slots in found if label.startswith("Passport")] == [{"n": "L"}, {"n": "29"}]
    assert len(found) == 32
