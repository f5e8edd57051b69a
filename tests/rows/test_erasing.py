"""Erasing: what was removed or replaced is in no table of the store, and what stands is untouched."""

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from privity.agent import accounts, connections, feed, identity, invitations, items, shares
from privity.agent.bus import Bus
from privity.agent.connections import Connection
from privity.agent.profile import ProfileFolder, Waiting
from privity.agent.session import Session
from privity.connection_string import parse_connection_string
from privity.crypto.command import sign_closing
from privity.encoding import b64, digest, new_id
from privity.errors import (
    AddressTaken,
    AlreadyExists,
    BadLogin,
    InvitationClosed,
    NoProfile,
    NotConnected,
    NotFound,
    RolledBack,
    UnknownDevice,
)
from privity.messages.accounts import CloseAccount
from privity.messages.envelope import Result
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.shares import RemoveShare
from privity.messages.views import (
    AccountRow,
    AskAccount,
    AskConnections,
    AskItems,
    AskKeys,
    AskShares,
    ConnectionRow,
    ItemRow,
    KeyRow,
    ShareRow,
)
from privity.testing.home import RunningHome
from privity.testing.people import Outcome, Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.watching import lie, signer, typed

Objects = dict[str, bytes]


@pytest.fixture
def store(backend: RunningHome) -> Path:
    """The event store's file, whatever the backend is doing with it."""
    return backend.data / "store.db"


def kept(store: Path, objects: Iterable[str]) -> set[str]:
    """Which of these sealed objects the store holds, by digest."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        return {each for each in objects if db.execute("SELECT 1 FROM sealed WHERE digest = ?", (each,)).fetchone()}


def tables_with(store: Path, bytes_: bytes) -> list[str]:
    """The tables and columns in which these bytes stand, whole or within something longer."""
    found = []
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                where = f"instr(CAST({column} AS BLOB), ?) > 0"
                if db.execute(f"SELECT 1 FROM {table} WHERE {where}", (bytes_,)).fetchone():
                    found.append(f"{table}.{column}")
    return found


def assert_erased(store: Path, objects: Objects) -> None:
    """None of them is anywhere in the store."""
    assert objects
    assert kept(store, objects) == set()
    for object in objects.values():
        assert tables_with(store, object) == []


def assert_there(store: Path, objects: Objects) -> None:
    """The search finds each of them where it has to be."""
    assert objects
    for name, object in objects.items():
        assert name == digest(object)
        assert tables_with(store, object) == ["sealed.data"]


async def of_item(session: Session, id: str) -> Objects:
    """An item's sealed objects, as they stand."""
    found = await session.ask(AskItems(id=id), ItemRow)
    row = found.one("item", id)
    return {name: found.blob(name) for name in (row.content, row.wrap)}


async def of_share(session: Session, id: str) -> Objects:
    """A share's sealed objects that somebody gets: the content and one's own wrap."""
    found = await session.ask(AskShares(id=id), ShareRow, fresh=True)
    row = found.one("share", id)
    return {name: found.blob(name) for name in (row.content, row.wrap or "")}


async def of_note(session: Session) -> Objects:
    """One's note on one's only connection."""
    found = await session.ask(AskConnections(), ConnectionRow)
    (row,) = found.rows
    return {row.note: found.blob(row.note)}


async def of_keys(session: Session) -> Objects:
    """One's private keys in the Keystore, wrapped."""
    found = await session.ask(AskKeys(), KeyRow, fresh=True)
    return {row.private: found.blob(row.private) for row in found.rows}


async def of_account(session: Session, store: Path) -> Objects:
    """The account's own wrapped keys; the backend serves them for a proof of the passphrase alone."""
    (row,) = (await session.ask(AskAccount(), AccountRow)).rows
    named = (row.kek, row.kek_recovery, row.identity)
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        return {name: db.execute("SELECT data FROM sealed WHERE digest = ?", (name,)).fetchone()[0] for name in named}


async def run(person: Person, *arguments: str, **environment: str) -> Outcome:
    """The command line, beside the test's own event loop."""
    return await asyncio.to_thread(typed, person, *arguments, **environment)


async def test_an_edit_erases_the_version_before_and_removing_the_last(ann: Person, store: Path) -> None:
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "X1"})).item
        first = await of_item(session, item)
        assert_there(store, first)

        await items.edit(session, keyring, item, {"number": "X2"})
        second = await of_item(session, item)
        assert_erased(store, first)
        assert_there(store, second)
        assert (await items.show(session, keyring, item)).content.slots == {"number": "X2"}

        await items.remove(session, item)
        assert_erased(store, second)
        assert (await session.ask(AskItems(), ItemRow)).rows == ()


@pytest.mark.parametrize("by_recipient", [False, True], ids=["by the owner", "by the recipient"])
async def test_the_end_of_a_share_erases_content_wraps_and_claim_and_leaves_the_item(
    connected: tuple[Person, Person], store: Path, by_recipient: bool
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "X1"})).item
        share = (await shares.create(session, keyring, item, bob.address)).share
        gone, own = await of_share(session, share), await of_item(session, item)
    async with bob.session() as (session, keyring):
        gone |= await of_share(session, share)
        await shares.show(session, keyring, share)
        gone |= await of_share(session, share)
    assert len(gone) == 4
    assert_there(store, gone)

    async with (bob if by_recipient else ann).session() as (session, keyring):
        await shares.remove(session, share)

    assert_erased(store, gone)
    assert_there(store, own)


async def test_a_connection_goes_with_its_shares_both_ways_and_both_notes(
    connected: tuple[Person, Person], person: MakePerson, store: Path
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    async with bob.session() as (session, keyring):
        theirs = (await items.add(session, keyring, "Key", {"pin": "1"})).item
        back = await shares.create(session, keyring, theirs, ann.address)
        gone = await of_share(session, back.share) | await of_note(session)
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "X1"})).item
        for _ in range(3):
            gone |= await of_share(session, (await shares.create(session, keyring, item, bob.address)).share)
        stays = await of_share(session, (await shares.create(session, keyring, item, carol.address)).share)
        stays |= await of_item(session, item)
        notes = await session.ask(AskConnections(), ConnectionRow)
        gone |= {row.note: notes.blob(row.note) for row in notes.rows if row.peer_address == bob.address}
    assert len(gone) == 4 * 2 + 2
    assert_there(store, gone)

    assert (await run(ann, "--json", "connection", "rm", bob.address)).json["status"] == "removed"

    assert_erased(store, gone)
    assert_there(store, stays)
    async with ann.session() as (session, keyring):
        assert [each.address for each in await connections.all_own(session, keyring)] == [carol.address]


async def test_a_note_that_is_kept_anew_takes_the_place_of_the_one_before(
    ann: Person, bob: Person, store: Path
) -> None:
    async with ann.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, bob.address)
    async with bob.session() as (session, keyring):
        await invitations.accept(session, keyring, invited.link)
        first = await of_note(session)
    async with ann.session() as (session, keyring):
        invitation = await of_note(session)
        await connections.all_own(session, keyring)
        confirmed = await of_note(session)
    assert_erased(store, invitation)
    assert_there(store, first | confirmed)

    async with bob.session() as (session, keyring):
        [known] = await connections.all_own(session, keyring)
        assert_erased(store, first)
        assert isinstance(known, Connection)
        second = await of_note(session)
        await connections.verify(session, keyring, known.connection)
        assert (await connections.show(session, keyring, known.connection)).verified
    assert_erased(store, second)
    assert_there(store, confirmed)


@pytest.mark.parametrize("declined", [False, True], ids=["cancelled", "declined"])
async def test_an_invitation_that_comes_to_nothing_leaves_no_note(
    ann: Person, bob: Person, store: Path, declined: bool
) -> None:
    async with ann.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, bob.address)
        found = await session.ask(invitations.AskInvitations(), invitations.InvitationRow)
        note = found.rows[0].note or ""
        objects = {note: found.blob(note)}
        assert_there(store, objects)
        if not declined:
            await invitations.cancel(session, invited.invitation)
    if declined:
        async with bob.session() as (session, keyring):
            await invitations.decline(session, invited.link)

    assert_erased(store, objects)
    async with ann.session() as (session, keyring):
        [row] = await invitations.all_both_ways(session)
        assert (row.status, row.note) == ("declined" if declined else "cancelled", None)


async def test_a_new_passphrase_erases_the_old_wrap_of_the_kek_and_no_other(ann: Person, store: Path) -> None:
    async with ann.session() as (session, _):
        wraps = await of_account(session, store)
    kek, *rest = wraps
    assert_there(store, wraps)

    assert (await run(ann, "account", "passphrase", PRIVITY_NEW_PASSPHRASE="another one")).code == 0
    ann = replace(ann, passphrase="another one")

    assert_erased(store, {kek: wraps[kek]})
    assert_there(store, {name: wraps[name] for name in rest})
    async with ann.session() as (session, _):
        assert set(await of_account(session, store)) > set(rest)


# Somebody else's copy.


async def copied(session: Session, objects: Objects) -> str:
    """An item of one's own made of another's sealed bytes."""
    content, wrap = objects.values()
    item = new_id()
    await session.send(AddItem(item, digest(content), digest(wrap)), content, wrap)
    return item


async def test_u2_who_uploads_a_copy_and_removes_it_erases_nobody_elses(
    ann: Person, person: MakePerson, store: Path
) -> None:
    eve = await person("eve")
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "X1"})).item
        objects = await of_item(session, item)
    async with eve.session() as (session, _):
        for _ in range(3):
            await session.send(RemoveItem(await copied(session, objects)))
        twice = await copied(session, objects)
        content, wrap = objects.values()
        with pytest.raises(AlreadyExists):
            await session.send(EditItem(twice, 2, digest(content), digest(wrap)), content, wrap)
        await session.send(RemoveItem(twice))
        await session.send(RemoveItem(twice))

    assert_there(store, objects)
    async with ann.session() as (session, keyring):
        assert (await items.show(session, keyring, item)).content.slots == {"number": "X1"}
        await items.remove(session, item)
    assert_erased(store, objects)


async def test_a_copy_that_somebody_else_keeps_is_theirs(ann: Person, person: MakePerson, store: Path) -> None:
    eve = await person("eve")
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "X1"})).item
        objects = await of_item(session, item)
    async with eve.session() as (session, _):
        copy = await copied(session, objects)
    async with ann.session() as (session, _):
        await items.remove(session, item)
    assert_there(store, objects)

    async with eve.session() as (session, _):
        await session.send(RemoveItem(copy))
    assert_erased(store, objects)


# What tells of it.


async def test_both_ends_of_a_share_hear_what_was_erased_and_a_stranger_nothing(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    eve = await person("eve")
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "X1"})).item
        share = (await shares.create(session, keyring, item, bob.address)).share
        objects = await of_share(session, share)
        await shares.remove(session, share)
        heard = (await feed.past(session))[-1]
    assert (heard.event, heard.refs["id"]) == ("sealed-erased", share)
    assert set(objects) < set(heard.refs["digests"].split(" "))
    async with bob.session() as (session, _):
        last = (await feed.past(session))[-1]
        assert (last.position, last.refs) == (heard.position, heard.refs)
    async with eve.session() as (session, _):
        assert {line.event for line in await feed.past(session)} == {"account-registered"}


async def test_while_one_device_edits_the_other_reads_and_misses_nothing(ann: Person) -> None:
    """The store erases in the moment of the edit; the views, which name the objects, hear of it a little later."""
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Counter", {"n": "0"})).item
    done = asyncio.Event()
    read: list[str] = []

    async def edit() -> None:
        async with ann.session() as (session, keyring):
            for number in range(1, 31):
                await items.edit(session, keyring, item, {"n": str(number)})
        done.set()

    async def look() -> None:
        async with ann.session() as (session, keyring):
            while not done.is_set():
                found = await session.ask(AskItems(id=item), ItemRow)
                row = found.one("item", item)
                opened = items.open_item(
                    keyring.kek,
                    found.blob(row.content),
                    found.blob(row.wrap),
                    account=keyring.account,
                    item=item,
                    version=row.version,
                )
                read.append(items.read_content(opened).slots["n"])

    await asyncio.gather(edit(), look(), look())
    assert len(set(read)) > 3


# Closing an account.


async def test_closing_an_account_erases_all_of_it_and_nothing_of_others(
    backend: RunningHome, person: MakePerson, tmp_path: Path, store: Path
) -> None:
    ann, bob = somebody("ann", tmp_path, backend.url), await person("bob")
    written = await ann.register()
    await connect(ann, bob)
    async with bob.session() as (session, keyring):
        theirs = (await items.add(session, keyring, "Key", {"pin": "1"})).item
        gone = await of_share(session, (await shares.create(session, keyring, theirs, ann.address)).share)
        gone |= await of_note(session)
        stays = await of_item(session, theirs) | await of_keys(session)
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "X1"})).item
        await items.add(session, keyring, "Other", {})
        share = await shares.create(session, keyring, item, bob.address)
        await connections.all_own(session, keyring)
        await shares.all_of(session, keyring)
        gone |= await of_share(session, share.share) | await of_item(session, item) | await of_note(session)
        invited = await invitations.invite(session, keyring, bob.address)
        gone |= await of_keys(session) | await of_account(session, store)
    assert_there(store, gone | stays)

    closed = await run(ann, "--json", "account", "close", "--yes")

    assert closed.json == {
        "account": written.account,
        "address": ann.address,
        "shares": 2,
        "connections": 1,
        "items": 2,
        "invitations": 1,
        "keys": 2,
        "status": "closed",
    }
    assert_erased(store, gone)
    assert_there(store, stays)
    with pytest.raises(NoProfile):
        ProfileFolder(ann.home).load()
    async with bob.session() as (session, keyring):
        assert (await items.show(session, keyring, theirs)).content.slots == {"pin": "1"}
        assert await shares.all_of(session, keyring) == []
        with pytest.raises(NotConnected):
            await connections.with_person(session, keyring, ann.address)
        with pytest.raises(InvitationClosed):
            await invitations.accept(session, keyring, invited.link)


async def test_a_closed_account_is_no_more_for_any_device_or_login_and_its_address_stays_taken(
    backend: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, backend.url)
    written = await ann.register()
    other = Person(ann.address, tmp_path / "other", ann.server)
    string = parse_connection_string(backend.url)
    await accounts.login(ProfileFolder(other.home), string, ann.address, written.secret, ann.passphrase)
    async with other.session() as (session, keyring):
        kept_item = (await items.add(session, keyring, "Passport", {})).item
        assert (await items.show(session, keyring, kept_item)).version == 1

        assert (await run(ann, "account", "close", "-y")).code == 0

        with pytest.raises(UnknownDevice):
            await session.ask(AskItems(), ItemRow)
        with pytest.raises(UnknownDevice):
            await items.add(session, keyring, "Another", {})
    assert (await run(other, "item", "list")).code == 1
    third, fourth = ProfileFolder(tmp_path / "third"), ProfileFolder(tmp_path / "fourth")
    with pytest.raises(BadLogin):
        await accounts.login(third, string, ann.address, written.secret, ann.passphrase)
    with pytest.raises(BadLogin):
        await accounts.recover(fourth, string, ann.address, written.recovery, "yet another passphrase")
    with pytest.raises(AddressTaken):
        await Person(ann.address, tmp_path / "fifth", ann.server).register()


async def test_an_account_is_not_closed_by_accident(ann: Person) -> None:
    asked = await asyncio.to_thread(ann.run, "account", "close")
    assert asked.code == 1
    assert "Nothing brings it back" in asked.err
    assert (await run(ann, "account", "show")).code == 0


async def test_a_device_that_was_taken_out_closes_nothing(backend: RunningHome, tmp_path: Path) -> None:
    ann = somebody("ann", tmp_path, backend.url)
    written = await ann.register()
    other = Person(ann.address, tmp_path / "other", ann.server)
    string = parse_connection_string(backend.url)
    await accounts.login(ProfileFolder(other.home), string, ann.address, written.secret, ann.passphrase)
    profile = (ann.home / "profile.json").read_bytes()
    assert (await run(ann, "account", "logout")).code == 0
    (ann.home / "profile.json").write_bytes(profile)

    refused = await run(ann, "account", "close", "--yes")

    assert (refused.code, "UnknownDevice" in refused.err) == (1, True)
    assert ProfileFolder(ann.home).exists()
    assert (await run(other, "account", "show")).code == 0


async def closing_of(ann: Person) -> Waiting:
    """The command with which Ann closes her account."""
    async with ann.session() as (session, keyring):
        _, me = await identity.own(session)
        signature = sign_closing(keyring.identity.sign, session.server.home, me.account, me.head)
        return signer(ann, session, keyring).command(CloseAccount(b64(me.head), b64(signature)), ())


async def test_closing_whose_result_was_lost_is_told_and_finished_by_logging_out(ann: Person) -> None:
    ProfileFolder(ann.home).keep(await closing_of(ann))

    again = await run(ann, "account", "close", "--yes")

    assert (again.code, again.err.startswith("error: UnknownDevice: ")) == (1, True)
    assert "privity account logout" in again.err
    assert ProfileFolder(ann.home).exists()
    assert (await run(ann, "account", "logout")).code == 0
    assert not ProfileFolder(ann.home).exists()


@pytest.mark.parametrize("said", ["ignored", "UnknownDevice"])
async def test_a_backend_that_only_says_that_the_account_has_ended_takes_no_profile(
    ann: Person, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    honest = Bus.send

    async def lying(bus: Bus, subject: str, id: str, data: bytes) -> Result:
        if not subject.endswith(CloseAccount.subject):
            return await honest(bus, subject, id, data)
        code = None if said == "ignored" else said
        return Result(v=1, id=id, status="refused" if code else "ignored", code=code, message=code, position=0)

    with monkeypatch.context() as patch:
        patch.setattr(Bus, "send", lying)
        closed = await run(ann, "account", "close", "--yes")
        assert closed.code == (3 if said == "ignored" else 1), closed.err
        assert ProfileFolder(ann.home).exists()

    assert (await run(ann, "account", "close", "--yes")).code == 0
    assert not ProfileFolder(ann.home).exists()


async def test_s20_a_backend_that_serves_again_what_was_ended_stops_the_closing(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {})).item
        await shares.create(session, keyring, item, bob.address)
    served: list[dict[str, object]] = []

    def again(rows: list[dict[str, object]]) -> None:
        served.extend(rows)
        rows[:] = served[:1]

    with monkeypatch.context() as patch:
        lie(patch, "shares", again)
        async with ann.session() as (session, keyring):
            with pytest.raises(RolledBack):
                await connections.remove(session, keyring, bob.address)

    async with ann.session() as (session, keyring):
        with pytest.raises(NotFound):
            await session.send(RemoveShare(new_id()))
        await connections.remove(session, keyring, bob.address)
        assert await connections.all_own(session, keyring) == []


async def test_after_all_of_it_the_views_are_those_of_a_rebuild(
    backend: RunningHome, connected: tuple[Person, Person]
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "X1"})).item
        await shares.create(session, keyring, item, bob.address)
        await items.edit(session, keyring, item, {"number": "X2"})
    assert (await run(bob, "account", "close", "--yes")).code == 0

    replayed = await asyncio.to_thread(ann.run, "--json", "replay", "--verify", "--data", str(backend.data))

    assert replayed.code == 0, replayed.err


async def test_after_a_clean_stop_no_file_of_the_home_holds_what_was_erased(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    """Not the store's file, whose freed pages are overwritten, nor its log, which a stop removes; the bus is apart."""
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    async with ann.session() as (session, keyring):
        gone = (await items.add(session, keyring, "Passport", {"number": "X1"})).item
        stays = (await items.add(session, keyring, "Phone", {"number": "555"})).item
        erased, kept_ = await of_item(session, gone), await of_item(session, stays)
        await items.remove(session, gone)

    assert own_backend.stop() == 0

    files = [(path, path.read_bytes()) for path in own_backend.data.rglob("*") if path.is_file()]
    ours = [(path.name, data) for path, data in files if "nats" not in path.relative_to(own_backend.data).parts]
    assert [name for name, data in ours if any(each in data for each in erased.values())] == []
    assert [name for name, data in ours if all(each in data for each in kept_.values())] == ["store.db"]
