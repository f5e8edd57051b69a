"""Row B28: keys rotate, devices go, accounts are renamed and recovered, and shares go on working."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from privity.agent import accounts, connections, identity, invitations, items, shares
from privity.agent.accounts import NewAccount
from privity.agent.chains import COMPROMISE
from privity.agent.connections import Broken, Connection
from privity.agent.identity import next_record
from privity.agent.keyring import new_identity, wrap_identity
from privity.agent.profile import ProfileFolder
from privity.agent.shares import Share
from privity.connection_string import parse_connection_string
from privity.crypto.identity import signers
from privity.encoding import digest
from privity.errors import (
    AddressTaken,
    BadLogin,
    Malformed,
    NotConnected,
    NotFound,
    TooManyAddresses,
    UnknownDevice,
    Unreachable,
    Unverified,
)
from privity.messages.accounts import RotateIdentity
from privity.messages.views import AccountRow, AskAccount
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.watching import ran

Newcomer = Callable[[str], Awaitable[tuple[Person, NewAccount]]]
NOTICES = "privity.notices"


def device_of(person: Person) -> str:
    return ProfileFolder(person.home).load().device


async def log_in(person: Person, written: NewAccount, home: Path, address: str | None = None) -> Person:
    """The same person on a device of their own."""
    device = replace(person, home=home, address=address or person.address)
    server = parse_connection_string(device.server)
    await accounts.login(ProfileFolder(home), server, device.address, written.secret, device.passphrase)
    return device


async def recover(person: Person, written: NewAccount, home: Path, *, compromised: bool = False) -> Person:
    """The same person on a bare machine, by the recovery text."""
    device = replace(person, home=home)
    server = parse_connection_string(device.server)
    await accounts.recover(
        ProfileFolder(home), server, person.address, written.recovery, person.passphrase, compromised=compromised
    )
    return device


async def rotate(person: Person, *, compromised: bool = False) -> identity.Account:
    async with person.session() as (session, keyring):
        return await identity.rotate(session, keyring, device_of(person), compromised=compromised)


async def give(owner: Person, to: Person, number: str, *, unverified: bool = False) -> str:
    """A new item of the owner's, shared."""
    async with owner.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": number})
        return (await shares.create(session, keyring, kept.item, to.address, unverified=unverified)).share


async def numbers(person: Person) -> dict[str, str]:
    """The number in every share that the person sees; each must open."""
    async with person.session() as (session, keyring):
        found = await shares.all_of(session, keyring)
    assert [each for each in found if not isinstance(each, Share)] == []
    return {each.share: each.content.slots["number"] for each in found if isinstance(each, Share)}


async def connection_with(person: Person, address: str) -> Connection:
    async with person.session() as (session, keyring):
        return await connections.with_person(session, keyring, address)


def told(caplog: pytest.LogCaptureFixture, with_: str = "") -> list[str]:
    """The notices since the last look that have this text in them."""
    found = [record.getMessage() for record in caplog.records if record.name == NOTICES]
    caplog.clear()
    return [each for each in found if with_ in each]


# new keys


async def test_b28_shares_go_on_working_both_ways_when_keys_rotate(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    read, unread, his = await give(ann, bob, "1"), await give(ann, bob, "2"), await give(bob, ann, "3")
    async with bob.session() as (session, keyring):
        await shares.show(session, keyring, read)
    async with ann.session() as (session, keyring):
        before = await identity.show(session)

    after = await rotate(ann)

    assert (after.account, after.address, after.devices) == (before.account, before.address, before.devices)
    assert after.fingerprint != before.fingerprint
    old = {read: "1", unread: "2", his: "3"}
    assert await numbers(bob) == old
    assert await numbers(ann) == old
    new = {await give(ann, bob, "4"): "4", await give(bob, ann, "5"): "5"}
    await rotate(bob)
    new |= {await give(ann, bob, "6"): "6", await give(bob, ann, "7"): "7"}
    assert await numbers(bob) == old | new
    assert await numbers(ann) == old | new
    assert (await connection_with(bob, ann.address)).verified


async def test_b28_a_line_that_goes_on_is_told_once_and_on_each_device(
    ann: Person, newcomer: Newcomer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    bob, written = await newcomer("bob")
    await connect(ann, bob)
    caplog.set_level(logging.WARNING, NOTICES)
    assert await numbers(bob) == {}
    assert told(caplog) == []

    await rotate(ann)
    await rotate(ann)
    assert told(caplog) == []
    for _ in range(2):
        await connection_with(bob, ann.address)
    assert told(caplog) == [f"notice: the identity of {ann.address} went on to record 3: new keys, new keys"]

    second = await log_in(bob, written, tmp_path / "second")
    for _ in range(2):
        await connection_with(second, ann.address)
    assert told(caplog) == [f"notice: the identity of {ann.address} went on to record 3: new keys, new keys"]
    for _ in range(2):
        await connection_with(bob, ann.address)
        async with bob.session() as (session, _keyring):
            await identity.own(session)
    assert told(caplog) == ["notice: the identity of your account went on to record 2: a device was added"]


async def test_b28_another_device_of_the_person_takes_the_new_keys(
    newcomer: Newcomer, bob: Person, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    await connect(ann, bob)
    second = await log_in(ann, written, tmp_path / "second")
    kept = ProfileFolder(second.home).load().identity

    await rotate(ann)

    share = await give(second, bob, "1")
    assert await numbers(bob) == {share: "1"}
    assert ProfileFolder(second.home).load().identity != kept
    async with second.session() as (session, keyring):
        _, me = await identity.own(session)
        assert keyring.identity.sign.public == me.sign
        assert (await invitations.invite(session, keyring, "carol@localhost")).link
    await rotate(second)
    another = await give(ann, bob, "2")
    assert await numbers(bob) == {share: "1", another: "2"}


async def test_b28_an_answer_that_was_lost_leaves_no_device_without_the_new_keys(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    before = ProfileFolder(ann.home).load()
    await rotate(ann)
    ProfileFolder(ann.home).save(before)
    share = await give(ann, bob, "1")
    assert await numbers(bob) == {share: "1"}


async def test_b28_the_wrapped_new_keys_are_released_to_a_fresh_request_alone(ann: Person) -> None:
    await rotate(ann)
    async with ann.session() as (session, _):
        fresh = await session.ask(AskAccount(), AccountRow, fresh=True)
        assert set(fresh.sealed) == {fresh.rows[0].identity}
        assert (await session.ask(AskAccount(), AccountRow)).sealed == {}


async def test_b28_invitations_that_were_open_while_keys_rotated_can_be_accepted(ann: Person, bob: Person) -> None:
    async with ann.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, bob.address)
    await rotate(ann)
    async with bob.session() as (session, keyring):
        assert (await invitations.accept(session, keyring, invited.link)).verified
    await rotate(bob)
    assert (await connection_with(ann, bob.address)).verified
    share = await give(ann, bob, "1")
    assert await numbers(bob) == {share: "1"}


# devices


async def test_a_removed_device_can_do_nothing_more(newcomer: Newcomer, tmp_path: Path) -> None:
    ann, written = await newcomer("ann")
    second = await log_in(ann, written, tmp_path / "second")
    async with second.session() as (session, keyring):
        await items.add(session, keyring, "before", {})
    shown = [
        (row["device"], row["this"], row["since"]) for row in (await ran(ann, "account", "devices", "--json")).json
    ]
    assert shown == [(device_of(ann), True, 1), (device_of(second), False, 2)]

    removed = await ran(ann, "account", "device", "rm", device_of(second)[:8], "--json")

    assert (removed.code, removed.json["device"]) == (0, device_of(second))
    assert [row["device"] for row in (await ran(ann, "account", "devices", "--json")).json] == [device_of(ann)]
    async with second.session() as (session, keyring):
        with pytest.raises(UnknownDevice):
            await items.add(session, keyring, "after", {})
    async with second.session() as (session, keyring):
        with pytest.raises(UnknownDevice):
            await items.all_own(session, keyring)
    async with ann.session() as (session, keyring):
        assert [item.content.label for item in await items.all_own(session, keyring)] == ["before"]


async def test_a_device_is_named_by_what_it_begins_with_and_does_not_remove_itself(
    newcomer: Newcomer, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    second = await log_in(ann, written, tmp_path / "second")
    async with ann.session() as (session, keyring):
        for id, refusal in ((device_of(ann), Malformed), ("", NotFound), ("0", NotFound)):
            with pytest.raises(refusal):
                await identity.remove_device(session, keyring, device_of(ann), id)
        assert len(await identity.devices(session, device_of(ann))) == 2
        removed, left = await identity.remove_device(session, keyring, device_of(ann), device_of(second))
        assert (removed, left.devices) == (device_of(second), 1)


# after a theft


async def test_rotating_after_a_theft_drops_every_other_device_and_asks_peers_to_verify_again(
    newcomer: Newcomer, bob: Person, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    await connect(ann, bob)
    stolen = await log_in(ann, written, tmp_path / "stolen")
    before = await give(ann, bob, "1")
    assert (await connection_with(bob, ann.address)).verified
    caplog.set_level(logging.WARNING, NOTICES)
    told(caplog)

    rotated = await ran(ann, "account", "rotate", "--compromised", "--json")

    assert (rotated.code, set(rotated.json)) == (0, {"account", "address", "fingerprint"})
    with pytest.raises(UnknownDevice):
        await give(stolen, bob, "2")
    seen = await connection_with(bob, ann.address)
    assert (seen.verified, seen.compromised) == (False, True)
    assert "the keys before were stolen" in told(caplog)[-1]
    with pytest.raises(Unverified, match="stolen"):
        await give(bob, ann, "3")
    assert await give(bob, ann, "4", unverified=True)
    after = await give(ann, bob, "5")
    assert set(await numbers(bob)) >= {before, after}
    assert (await connection_with(ann, bob.address)).verified, "it was not Bob whose keys were stolen"

    assert (await ran(bob, "connection", "verify", seen.connection, "--number", seen.safety_number)).code == 0
    seen = await connection_with(bob, ann.address)
    assert (seen.verified, seen.compromised) == (True, False)
    assert await give(bob, ann, "6")
    shown = (await ran(bob, "connection", "show", seen.connection, "--json")).json
    assert shown["fingerprint"] == (await ran(ann, "account", "show", "--json")).json["fingerprint"]


async def test_recovery_leaves_one_device_with_new_keys_and_everything_readable(
    newcomer: Newcomer, bob: Person, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    await connect(ann, bob)
    his, hers = await give(bob, ann, "1"), await give(ann, bob, "2")
    async with ann.session() as (session, keyring):
        old = keyring.identity.sign.public

    bare = await recover(ann, written, tmp_path / "bare")

    async with bare.session() as (session, keyring):
        _, line = await identity.own_line(session)
        assert [each.reason for each in line[1:]] == ["created", "recovered"]
        assert list(line[-1].devices) == [device_of(bare)]
        assert keyring.identity.sign.public == line[-1].sign != old
    assert await numbers(bare) == {his: "1", hers: "2"}
    with pytest.raises(UnknownDevice):
        await numbers(ann)
    assert (await connection_with(bob, ann.address)).verified
    new = await give(bare, bob, "3")
    assert await numbers(bob) == {his: "1", hers: "2", new: "3"}


async def test_recovery_outbids_a_thief_who_rotated_and_removed_the_owners_device(
    newcomer: Newcomer, bob: Person, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    await connect(ann, bob)
    before = await give(ann, bob, "1")
    thief = replace(ann, home=tmp_path / "thief")
    shutil.copytree(ann.home, thief.home)
    stolen = await log_in(thief, written, tmp_path / "thief's own")
    await rotate(stolen, compromised=True)
    with pytest.raises(UnknownDevice):
        await numbers(ann)

    bare = await recover(ann, written, tmp_path / "bare", compromised=True)

    for device in (stolen, thief, ann):
        with pytest.raises(UnknownDevice):
            await numbers(device)
    async with bare.session() as (session, _):
        _, line = await identity.own_line(session)
    assert [each.reason for each in line[1:]] == ["created", "device-added", "compromise", "recovered", "compromise"]
    with pytest.raises(BadLogin):  # nor does the secret that the thief knows open anything
        await log_in(ann, written, tmp_path / "again")
    after = await give(bare, bob, "2")
    assert await numbers(bob) == {before: "1", after: "2"}
    assert await numbers(bare) == {before: "1", after: "2"}


async def test_recovery_sees_by_itself_that_somebody_put_other_keys_there(newcomer: Newcomer, tmp_path: Path) -> None:
    ann, written = await newcomer("ann")
    async with ann.session() as (session, keyring):
        await identity.rotate(session, replace(keyring, kek=bytes(32)), device_of(ann))

    bare = await recover(ann, written, tmp_path / "bare")

    async with bare.session() as (session, _):
        _, line = await identity.own_line(session)
    assert [each.reason for each in line[1:]] == ["created", "rotated", "recovered", "compromise"]


async def test_recovery_takes_back_what_a_thief_called_stolen_even_where_nobody_says_so(
    newcomer: Newcomer, bob: Person, tmp_path: Path
) -> None:
    """The thief has every key and gives up the owner's without a checkpoint: nothing that she shared would count."""
    ann, written = await newcomer("ann")
    await connect(ann, bob)
    before = await give(ann, bob, "1")
    async with ann.session() as (session, keyring):
        _, me = await identity.own(session)
        keys = new_identity()
        record = next_record(me, keys, me.devices, COMPROMISE, signer=keyring.identity.sign)
        wrapped = wrap_identity(keyring.kek, keys, me.account)
        await session.send(RotateIdentity(identity.to_record(record), digest(wrapped)), wrapped)
    async with bob.session() as (session, keyring):
        [shown] = await shares.all_of(session, keyring)
    assert isinstance(shown, Broken)

    bare = await recover(ann, written, tmp_path / "bare")

    async with bare.session() as (session, _):
        _, line = await identity.own_line(session)
    assert [each.reason for each in line[1:]] == ["created", "compromise", "recovered", "compromise"]
    assert {bounds for key, bounds in signers(line) if key != line[-1].sign} == {(line[-1].checkpoint,)}
    after = await give(bare, bob, "2")
    assert await numbers(bob) == {before: "1", after: "2"}
    again = await recover(ann, written, tmp_path / "again")
    async with again.session() as (session, _):
        _, line = await identity.own_line(session)
    assert [each.reason for each in line[4:]] == ["compromise", "recovered"], "it was said by the recovery key"


async def test_a_recovery_that_stopped_half_way_says_how_to_finish_it(
    newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    bare = replace(ann, home=tmp_path / "bare")
    recovering = ("account", "recover", ann.address, "--recovery", written.recovery, "--compromised", "--json")

    async def unreachable(*_: object) -> None:
        raise Unreachable

    with monkeypatch.context() as patch:
        patch.setattr(accounts, "give_up_older_keys", unreachable)
        stopped = await ran(bare, *recovering)
    assert (stopped.code, "privity account rotate --compromised" in stopped.err) == (4, True)
    assert stopped.json["secret"] != written.secret, "the person has the new one all the same"
    again = await ran(bare, *recovering)
    assert (again.code, "privity account rotate --compromised" in again.err) == (1, True)

    assert (await ran(bare, "account", "rotate", "--compromised")).code == 0

    async with bare.session() as (session, _):
        _, line = await identity.own_line(session)
    assert [each.reason for each in line[1:]] == ["created", "recovered", "compromise"]
    assert [bounds for _, bounds in signers(line)] == [(), *[(line[-1].checkpoint,)] * 2]
    whole = await ran(replace(ann, home=tmp_path / "whole"), *recovering)
    assert (whole.code, "error" in whole.err) == (0, False)


# another address


async def test_b28_shares_go_on_working_when_an_account_is_renamed(
    newcomer: Newcomer, bob: Person, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    await connect(ann, bob)
    old = {await give(ann, bob, "1"): "1", await give(bob, ann, "2"): "2"}
    second = await log_in(ann, written, tmp_path / "second")
    address = f"new-{ann.address}"
    caplog.set_level(logging.WARNING, NOTICES)
    told(caplog)

    renamed = await ran(ann, "account", "rename", address, "--json")

    assert (renamed.code, renamed.json["address"]) == (0, address)
    assert (await ran(ann, "account", "show", "--json")).json["address"] == address
    for _ in range(2):
        assert await numbers(bob) == old
    assert told(caplog, " by ") == [f"notice: {ann.address} goes by {address} now, as the backend says"]
    new = {await give(bob, ann, "3"): "3", await give(ann, bob, "4"): "4"}
    assert await numbers(bob) == old | new
    assert await numbers(ann) == old | new
    async with bob.session() as (session, keyring):
        with pytest.raises(NotConnected):  # the name that was pinned is the name
            await connections.with_person(session, keyring, address)

    for _ in range(2):
        assert await numbers(second) == old | new
    own = f"notice: your account goes by {address} now, as another of your devices asked for"
    assert told(caplog, " by ") == [own]
    assert ProfileFolder(second.home).load().address == address
    with pytest.raises(BadLogin):
        await log_in(ann, written, tmp_path / "third")
    third = await log_in(ann, written, tmp_path / "third", address)
    assert await numbers(third) == old | new


async def test_b28_a_renamed_account_invites_and_is_invited_by_both_of_its_addresses(ann: Person, bob: Person) -> None:
    async with ann.session() as (session, _):
        await identity.rename(session, f"new-{ann.address}")
    async with bob.session() as (session, keyring):
        to_old = await invitations.invite(session, keyring, ann.address)
        to_new = await invitations.invite(session, keyring, f"new-{ann.address}")
    async with ann.session() as (session, keyring):
        rows = {row.invitation for row in await invitations.all_both_ways(session) if row.incoming}
        assert rows == {to_old.invitation, to_new.invitation}
        invited = await invitations.invite(session, keyring, bob.address)
    async with bob.session() as (session, keyring):
        assert (await invitations.accept(session, keyring, invited.link)).address == f"new-{ann.address}"


async def test_b28_the_address_before_stays_reserved(ann: Person, person: MakePerson, bob: Person) -> None:
    async with ann.session() as (session, _):
        await identity.rename(session, f"new-{ann.address}")
    async with bob.session() as (session, _):
        for address in (ann.address, f"new-{ann.address}"):
            with pytest.raises(AddressTaken):
                await identity.rename(session, address)
    async with ann.session() as (session, _):
        assert (await identity.rename(session, ann.address)).address == ann.address
        assert (await identity.rename(session, ann.address)).address == ann.address


async def test_b28_an_account_has_no_more_than_eight_addresses(ann: Person) -> None:
    async with ann.session() as (session, _):
        for number in range(1, 8):
            await identity.rename(session, f"{number}-{ann.address}")
        with pytest.raises(TooManyAddresses):
            await identity.rename(session, f"8-{ann.address}")
        assert (await identity.rename(session, ann.address)).address == ann.address


async def test_a_notice_is_one_line_on_stderr(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    await rotate(ann)
    done = await asyncio.to_thread(bob.run, "connection", "list", "--json")
    assert (done.code, len(done.json)) == (0, 1)
    assert done.err == f"notice: the identity of {ann.address} went on to record 2: new keys\n"
    assert (await asyncio.to_thread(bob.run, "connection", "list", "--json")).err == ""
