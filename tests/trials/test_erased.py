"""S20: a home that keeps what was erased out of sight and serves it later; the log says that it is erased."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from privity.agent import accounts, feed, items, shares
from privity.agent.log import Evidence, check_signer, evidence
from privity.agent.profile import ProfileFolder
from privity.connection_string import parse_connection_string
from privity.crypto.command import unframe
from privity.encoding import digest
from privity.messages.envelope import FeedEntry
from privity.testing.home import RunningHome
from privity.testing.people import Outcome, Person, somebody
from tests.trials.proxy import BYTES, PARTS, Blobs, Lie, Proxy, Row

pytestmark = pytest.mark.trial


@pytest.fixture
async def far(ann: Person, proxy: Proxy) -> Person:
    """Ann, whose agent goes through the proxy."""
    return proxy.person(ann)


async def run(person: Person, *arguments: str) -> Outcome:
    return await asyncio.to_thread(person.run, *arguments)


def served(proxy: Proxy, view: str) -> tuple[list[Row], Blobs]:
    """What the home answered the last time: the rows of a view, and the sealed objects behind them."""
    body = next(body for name, body in reversed(proxy.answered) if name == view)
    head, *blobs = unframe(body, PARTS, BYTES)
    return json.loads(head)["rows"], {digest(blob): blob for blob in blobs}


def kept_out_of_sight(proxy: Proxy, view: str) -> Lie:
    """What a home does that kept all that it answered the last time."""
    old, sealed = served(proxy, view)

    def again(rows: list[Row], blobs: Blobs) -> None:
        rows[:] = [dict(row) for row in old]
        blobs.update(sealed)

    return again


async def last_line(person: Person) -> FeedEntry:
    async with person.session() as (session, _):
        return (await feed.past(session))[-1]


async def shown(person: Person, position: int) -> Evidence:
    """What the log proves of a position of somebody's feed."""
    async with person.session() as (session, _):
        proven = await evidence(session, position)
        row, _ = await accounts.own(session)
        if proven.command.account == session.account:
            check_signer(proven, {session.account: accounts.signed_chain(row.chain)}, session.server)
        return proven


async def test_s20_an_item_that_was_removed_and_is_served_again_is_noticed(far: Person, proxy: Proxy) -> None:
    async with far.session() as (session, keyring):
        passport = await items.add(session, keyring, "Passport", {"number": "X1"})
        phone = await items.add(session, keyring, "Phone", {"number": "555"})
        await items.all_own(session, keyring)
        again = kept_out_of_sight(proxy, "items")
        await items.remove(session, passport.item)

    with proxy.lying("items", again):
        attacked = await run(far, "item", "list")
    assert (attacked.code, "broken: RolledBack" in attacked.out) == (3, True), attacked.err
    assert attacked.err.startswith(f"error: RolledBack: The backend serves item {passport.item}")

    assert [each["item"] for each in (await run(far, "--json", "item", "list")).json] == [phone.item]
    gone = await run(far, "item", "show", passport.item)
    assert (gone.code, "error: NotFound: " in gone.err) == (1, True)


async def test_s20_the_log_proves_that_what_is_served_again_was_erased(far: Person, proxy: Proxy) -> None:
    async with far.session() as (session, keyring):
        passport = await items.add(session, keyring, "Passport", {"number": "X1"})
        await items.show(session, keyring, passport.item)
        (row,), sealed = served(proxy, "items")
        await items.remove(session, passport.item)

    line = await last_line(far)
    assert (line.event, line.refs["id"]) == ("sealed-erased", passport.item)
    proven = await shown(far, line.position)
    assert proven.says("sealed-erased", id=passport.item, digests=[row["content"], row["wrap"]])
    assert proven.command.body == {"item": passport.item}, "it rests on the person's own signed command"
    assert set(sealed) == {row["content"], row["wrap"]}


@pytest.mark.parametrize("by_owner", [True, False], ids=["owner", "recipient"])
async def test_s20_a_share_that_ended_and_is_served_again_is_noticed_by_both(
    connected: tuple[Person, Person], proxy: Proxy, by_owner: bool
) -> None:
    ann, bob = connected
    far, near = (proxy.person(ann), bob) if by_owner else (proxy.person(bob), ann)
    async with ann.session() as (session, keyring):
        passport = await items.add(session, keyring, "Passport", {"number": "X1"})
        other = await items.add(session, keyring, "Other", {})
        ended = await shares.create(session, keyring, passport.item, bob.address)
        stays = await shares.create(session, keyring, other.item, bob.address)
    async with far.session() as (session, keyring):
        assert len(await shares.all_of(session, keyring)) == 2
        again = kept_out_of_sight(proxy, "shares")
    async with near.session() as (session, _):
        await shares.remove(session, ended.share)

    with proxy.lying("shares", again):
        attacked = await run(far, "--json", "share", "list")
    assert attacked.code == 3, attacked.err
    assert "X1" not in attacked.out
    assert "error: RolledBack: " in attacked.err

    assert [each["share"] for each in (await run(far, "--json", "share", "list")).json] == [stays.share]


async def test_s20_a_device_that_never_saw_an_item_learns_from_the_feed_that_it_is_erased(
    backend: RunningHome, proxy: Proxy, tmp_path: Path
) -> None:
    first = somebody("ann", tmp_path, backend.url)
    written = await first.register()
    second = proxy.person(replace(first, home=tmp_path / "second"))
    async with first.session() as (session, keyring):
        passport = await items.add(session, keyring, "Passport", {"number": "X1"})
        phone = await items.add(session, keyring, "Phone", {"number": "555"})
    async with proxy.person(first).session() as (session, keyring):
        await items.all_own(session, keyring)
        again = kept_out_of_sight(proxy, "items")
        await items.remove(session, passport.item)
    string = parse_connection_string(backend.url)
    await accounts.login(ProfileFolder(second.home), string, first.address, written.secret, first.passphrase)

    with proxy.lying("items", again):
        attacked = await run(second, "item", "list")
    assert (attacked.code, "broken: RolledBack" in attacked.out) == (3, True), attacked.err
    assert "error: RolledBack: " in attacked.err

    assert [each["item"] for each in (await run(second, "--json", "item", "list")).json] == [phone.item]
