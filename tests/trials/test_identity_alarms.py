"""Trials S7 and S8, and chains that fork or go back: whoever lies about an identity is told on, and stopped."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from privity.agent import connections, identity, items, shares
from privity.agent.chains import ROTATED, signed_chain
from privity.agent.connections import Broken
from privity.agent.identity import next_record
from privity.agent.keyring import Keyring, new_identity, wrap_identity
from privity.agent.profile import ProfileFolder
from privity.agent.session import Session
from privity.agent.shares import Share
from privity.crypto import labels
from privity.crypto.identity import COMPROMISE, Identity, Signed, make_genesis, verify_chain
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id, sha256, unb64
from privity.errors import DoesNotOpen, ForgedRecord, IntegrityAlarm, KeyMismatch, NotInLog, RolledBack
from privity.messages.accounts import RotateIdentity
from privity.messages.fields import SignedRecord
from privity.messages.views import AskShares, ShareRow
from privity.testing.people import Person
from tests.rows.watching import lie, ran

pytestmark = pytest.mark.trial

Row = dict[str, Any]
Chain = list[Row]
Change = Callable[[Chain], None]

THIEF = SigningKey.generate()
"""Any key that is not the person's."""


async def keys_of(person: Person) -> tuple[Keyring, Identity]:
    async with person.session() as (session, keyring):
        return await identity.current(session, keyring)


async def rotate(person: Person, *, compromised: bool = False) -> identity.Account:
    device = ProfileFolder(person.home).load().device
    async with person.session() as (session, keyring):
        return await identity.rotate(session, keyring, device, compromised=compromised)


async def give(owner: Person, to: Person, number: str) -> Share:
    async with owner.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": number})
        return await shares.create(session, keyring, kept.item, to.address, unverified=True)


async def seen(person: Person) -> dict[str, Share | Broken]:
    """Every share by its id, as the agent shows it."""
    async with person.session() as (session, keyring):
        found = await shares.all_of(session, keyring)
    return {each.id if isinstance(each, Broken) else each.share: each for each in found}


def served(signed: Signed) -> Row:
    """A record as a backend serves it."""
    return {"record": b64(signed.record), "signatures": [b64(each) for each in signed.signatures]}


def newest(chain: Chain) -> Identity:
    return verify_chain(signed_chain([SignedRecord(each["record"], tuple(each["signatures"])) for each in chain]))


def forged(chain: Chain, **changes: object) -> Row:
    """The newest record again, with other facts, behind itself, signed by whoever has no key of the person's."""
    facts = json.loads(unb64(chain[-1]["record"]))
    head = sha256(unb64(chain[-1]["record"]))
    data = encode_record({**facts, "n": len(chain), "prev": b64(head), "sign": b64(THIEF.public), **changes})
    by = labels.IDENTITY_BY_RECOVERY if "recovery_public" in changes else labels.IDENTITY_BY_PREVIOUS
    return served(Signed(data, (THIEF.sign(by, data), THIEF.sign(labels.IDENTITY_BY_NEW, data))))


def add_device(chain: Chain) -> None:
    chain.append(forged(chain, devices={new_id(): b64(THIEF.public)}))


def add_recovery_key(chain: Chain) -> None:
    chain.append(forged(chain, recovery=b64(sha256(THIEF.public))))


def recover_by_it(chain: Chain) -> None:
    chain.append(forged(chain, recovery=b64(sha256(THIEF.public)), recovery_public=b64(THIEF.public)))


FORGERIES: dict[str, Change] = {
    "s8-device": add_device,
    "s7-recovery": add_recovery_key,
    "s7-recovered": recover_by_it,
}


def in_account(change: Change) -> Callable[[list[Row]], None]:
    return lambda rows: change(rows[0]["chain"])


def in_connections(change: Change) -> Callable[[list[Row]], None]:
    def bend(rows: list[Row]) -> None:
        for row in rows:
            change(row["peer_chain"])

    return bend


# S7, S8: a backend that adds to a chain by itself


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
async def test_s7_s8_what_the_backend_adds_to_ones_own_chain_is_refused(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    ann, bob = connected
    with monkeypatch.context() as patch:
        lie(patch, "account", in_account(change))
        with pytest.raises(ForgedRecord):
            await rotate(ann)  # nothing is wrapped or certified for what she did not sign
        with pytest.raises(ForgedRecord):
            await give(ann, bob, "1")
        assert (await ran(ann, "account", "devices")).code == 3
    assert (await rotate(ann)).devices == 1
    assert await give(ann, bob, "2")


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
async def test_s7_s8_what_the_backend_adds_to_a_peers_chain_stops_sharing_with_them(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    ann, bob = connected
    with monkeypatch.context() as patch:
        lie(patch, "connections", in_connections(change))
        with pytest.raises(ForgedRecord):
            await give(bob, ann, "1")
        assert (await ran(bob, "connection", "list")).code == 3
    assert await give(bob, ann, "2")


async def test_s8_keys_that_a_backend_puts_beside_its_own_record_are_not_taken(
    ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the record verifies: who stole the sign key cannot wrap for a KEK that is not theirs."""
    keyring, me = await keys_of(ann)
    thiefs = new_identity()
    record = served(next_record(me, thiefs, me.devices, ROTATED, signer=keyring.identity.sign))
    profile = ProfileFolder(ann.home).load()

    with monkeypatch.context() as patch:
        lie(patch, "account", in_account(lambda chain: chain.append(record)))
        with pytest.raises(DoesNotOpen):
            await keys_of(ann)
    assert ProfileFolder(ann.home).load() == profile


# two histories, and older ones


async def a_fork(ann: Person) -> Change:
    """Ann's keys rotate; what a thief of the keys before would put in that record's place."""
    keyring, before = await keys_of(ann)
    await rotate(ann)
    other = served(next_record(before, new_identity(), before.devices, ROTATED, signer=keyring.identity.sign))

    def fork(chain: Chain) -> None:
        chain[before.n + 1 :] = [other]
        assert newest(chain).n == before.n + 1

    return fork


async def a_longer_fork(ann: Person) -> Change:
    """The same, with more records behind: it is no less a fork for being longer."""
    keyring, before = await keys_of(ann)
    await rotate(ann)
    keys = new_identity()
    first = next_record(before, keys, before.devices, ROTATED, signer=keyring.identity.sign)

    def fork(chain: Chain) -> None:
        chain[before.n + 1 :] = [served(first)]
        chain.append(served(next_record(newest(chain), keys, before.devices, ROTATED, signer=keys.sign)))
        assert newest(chain).n == before.n + 2

    return fork


async def a_shorter_one(ann: Person) -> Change:
    """Ann's keys rotate, and the backend serves the record before as the newest."""
    await rotate(ann)

    def shorten(chain: Chain) -> None:
        chain.pop()

    return shorten


async def a_foreign_one(ann: Person) -> Change:
    """Somebody else's sound chain."""
    thief = new_identity()
    genesis = make_genesis(thief.sign, thief.seal.public, thief.seal.suite, THIEF.public, b"N" * 16)

    def replace_all(chain: Chain) -> None:
        chain[:] = [served(genesis)]

    return replace_all


HISTORIES = {
    "forked": (a_fork, KeyMismatch),
    "forked and longer": (a_longer_fork, KeyMismatch),
    "shortened": (a_shorter_one, RolledBack),
    "foreign": (a_foreign_one, KeyMismatch),
}


@pytest.mark.parametrize(("make", "alarm"), HISTORIES.values(), ids=HISTORIES)
async def test_another_history_of_a_peer_stops_sharing_with_them(
    connected: tuple[Person, Person],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Person], Any],
    alarm: type[IntegrityAlarm],
) -> None:
    ann, bob = connected
    old = await give(ann, bob, "1")
    change = await make(ann)
    assert isinstance((await seen(bob))[old.share], Share)  # and so Bob's agent has seen the newest record
    async with bob.session() as (session, keyring):
        kept = await items.add(session, keyring, "Phone", {"number": "2"})

    with monkeypatch.context() as patch:
        lie(patch, "connections", in_connections(change))
        async with bob.session() as (session, keyring):
            with pytest.raises(alarm):
                await shares.create(session, keyring, kept.item, ann.address, unverified=True)
            [shown] = await connections.all_own(session, keyring)
            assert isinstance(shown, Broken)
            assert isinstance(shown.alarm, alarm)
        broken = (await seen(bob))[old.share]
        assert isinstance(broken, Broken)
        assert isinstance(broken.alarm, alarm)
        sharing = await ran(bob, "share", "create", kept.item, "--with", ann.address)
        assert (sharing.code, sharing.err.startswith(f"error: {alarm.__name__}: ")) == (3, True)

    assert isinstance((await seen(bob))[old.share], Share)
    assert (await ran(bob, "share", "create", kept.item, "--with", ann.address)).code == 0


@pytest.mark.parametrize(("make", "alarm"), HISTORIES.values(), ids=HISTORIES)
async def test_another_history_of_oneself_is_an_alarm(
    connected: tuple[Person, Person],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Person], Any],
    alarm: type[IntegrityAlarm],
) -> None:
    ann, bob = connected
    change = await make(ann)
    assert await give(ann, bob, "1")

    with monkeypatch.context() as patch:
        lie(patch, "account", in_account(change))
        for work in (rotate(ann), give(ann, bob, "2")):
            with pytest.raises(alarm):
                await work
        assert (await ran(ann, "account", "show")).code == 3

    assert await give(ann, bob, "3")
    assert (await ran(ann, "account", "show")).code == 0


async def test_a_head_that_was_never_there_is_told_as_news_and_no_alarm(
    connected: tuple[Person, Person], caplog: pytest.LogCaptureFixture
) -> None:
    """The half of the above without an attack: a line that goes on."""
    ann, bob = connected
    await seen(bob)
    caplog.set_level(logging.WARNING, "privity.notices")
    await rotate(ann)
    await rotate(ann)
    assert await give(bob, ann, "1")
    assert [record.name for record in caplog.records].count("privity.notices") == 1


# stolen keys


def resigned(share: str, key: SigningKey, position: int | None = None) -> Callable[[list[Row]], None]:
    """A backend that serves a share signed by another key, as if it stood at another position of the log."""

    def bend(rows: list[Row]) -> None:
        for row in rows:
            if row["share"] == share:
                row["signature"] = b64(key.sign(labels.SHARE_MANIFEST, unb64(row["manifest"])))
                row["position"] = position or row["position"]

    return bend


async def test_a_stolen_key_signs_nothing_more_once_it_was_given_up_and_what_it_signed_before_still_counts(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    before, unread = await give(ann, bob, "1"), await give(ann, bob, "2")
    stolen = (await keys_of(ann))[0].identity.sign
    await rotate(ann, compromised=True)
    after = await give(ann, bob, "3")

    shown = await seen(bob)
    assert [type(shown[each.share]) for each in (before, unread, after)] == [Share, Share, Share]
    assert [type(each) for each in (await seen(ann)).values()] == [Share, Share, Share]

    for place in (None, 1, await position_of(bob, before.share)):
        with monkeypatch.context() as patch:
            lie(patch, "shares", resigned(after.share, stolen, place))
            for person in (bob, ann):  # nor does the agent of the owner believe that she shared this
                shown = await seen(person)
                assert [type(shown[each.share]) for each in (before, unread)] == [Share, Share]
                broken = shown[after.share]
                assert isinstance(broken, Broken)
                assert isinstance(broken.alarm, IntegrityAlarm)
            assert (await ran(bob, "share", "show", after.share)).code == 3 or place == 1

    assert isinstance((await seen(bob))[after.share], Share)


async def test_what_a_thief_shared_is_refused_from_the_checkpoint_of_the_record_on_and_the_line_goes_on(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner saw the log up to the first share; the thief, with the key and the device, made the second."""
    ann, bob = connected
    owners = await give(ann, bob, "1")
    async with ann.session() as (session, _):
        known = await identity.newest_checkpoint(session)
    thiefs = await give(ann, bob, "2")
    assert await position_of(bob, owners.share) <= int(known.splitlines()[1]) < await position_of(bob, thiefs.share)
    assert isinstance((await seen(bob))[thiefs.share], Share)

    async def as_known(session: Session) -> str:
        return known

    with monkeypatch.context() as patch:
        patch.setattr(identity, "newest_checkpoint", as_known)
        await rotate(ann, compromised=True)
    new = await give(ann, bob, "3")

    for person in (bob, ann):
        shown = await seen(person)
        assert [type(shown[each.share]) for each in (owners, thiefs, new)] == [Share, Broken, Share]
        assert isinstance(shown[thiefs.share].alarm, ForgedRecord)
    async with bob.session() as (session, _):
        await shares.remove(session, thiefs.share)
    assert [type(each) for each in (await seen(bob)).values()] == [Share, Share]


async def position_of(person: Person, share: str) -> int:
    async with person.session() as (session, _):
        return (await session.ask(AskShares(id=share), ShareRow)).rows[0].position


async def test_evidence_for_a_stolen_keys_signature_cannot_be_made_up(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    before = await give(ann, bob, "1")
    place = await position_of(bob, before.share)
    stolen = (await keys_of(ann))[0].identity.sign
    await rotate(ann, compromised=True)
    after = await give(ann, bob, "2")
    made_up: dict[str, Any] = {}

    def tell(rows: list[Row]) -> None:
        recorded = json.loads(rows[0]["data"])
        recorded["event"] |= made_up
        rows[0]["data"] = json.dumps(recorded)

    def forge(rows: list[Row]) -> None:
        resigned(after.share, stolen, place)(rows)
        for row in rows:
            if row["share"] == after.share:
                made_up.update(manifest=row["manifest"], signature=row["signature"])

    with monkeypatch.context() as patch:
        lie(patch, "shares", forge)
        lie(patch, "evidence", tell)
        async with bob.session() as (session, keyring):
            with pytest.raises(NotInLog):
                await shares.show(session, keyring, after.share)

    assert isinstance((await seen(bob))[after.share], Share)


async def test_a_key_that_was_only_rotated_goes_on_to_count(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that has not heard of the new key yet may have signed; after a theft it would not count."""
    ann, bob = connected
    old = (await keys_of(ann))[0].identity.sign
    await rotate(ann)
    share = await give(ann, bob, "1")
    with monkeypatch.context() as patch:
        lie(patch, "shares", resigned(share.share, old))
        assert isinstance((await seen(bob))[share.share], Share)
        lie(patch, "shares", resigned(share.share, THIEF))
        broken = (await seen(bob))[share.share]
    assert isinstance(broken, Broken)
    assert isinstance(broken.alarm, ForgedRecord)


async def test_a_record_without_a_checkpoint_leaves_nothing_of_the_stolen_keys(
    connected: tuple[Person, Person],
) -> None:
    """Nobody can say then what was there before."""
    ann, bob = connected
    before = await give(ann, bob, "1")
    async with ann.session() as (session, keyring):
        keyring, me = await identity.current(session, keyring)
        keys = new_identity()
        record = next_record(me, keys, me.devices, COMPROMISE, signer=keyring.identity.sign)
        wrapped = wrap_identity(keyring.kek, keys, keyring.account)
        await session.send(RotateIdentity(identity.to_record(record), digest(wrapped)), wrapped)
    broken = (await seen(bob))[before.share]
    assert isinstance(broken, Broken)
    assert isinstance(broken.alarm, ForgedRecord)
    after = await give(ann, bob, "2")
    assert isinstance((await seen(bob))[after.share], Share)


# another address


async def test_an_address_that_no_device_of_the_account_asked_for_is_refused(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    profile = ProfileFolder(ann.home).load()
    await give(ann, bob, "1")
    with monkeypatch.context() as patch:
        for renamed in (0, 1, ProfileFolder(ann.home).position):
            lie(patch, "account", lambda rows, at=renamed: rows[0].update(address=bob.address, renamed=at))
            assert (await ran(ann, "account", "show")).code != 0
            assert ProfileFolder(ann.home).load() == profile
    async with ann.session() as (session, _):
        await identity.rename(session, f"new-{ann.address}")
    ProfileFolder(ann.home).save(profile)  # as on another device
    shown = await ran(ann, "account", "show", "--json")
    assert (shown.code, shown.json["address"]) == (0, f"new-{ann.address}")
    assert ProfileFolder(ann.home).load() == replace(profile, address=f"new-{ann.address}")


async def test_s20_an_older_address_of_ones_own_is_no_news(ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was signed for once: whoever was given it anew could be written to in one's name."""
    names = [f"{number}-{ann.address}" for number in (1, 2)]
    served: list[Row] = []
    async with ann.session() as (session, _):
        for name in names:
            await identity.rename(session, name)
            served.append({"address": name, "renamed": (await identity.own(session))[0].renamed})
    profile = ProfileFolder(ann.home).load()
    with monkeypatch.context() as patch:
        for older in (served[0], {"address": ann.address, "renamed": 0}, {"address": names[1], "renamed": 0}):
            lie(patch, "account", lambda rows, older=older: rows[0].update(older))
            shown = await ran(ann, "account", "show")
            assert (shown.code, "RolledBack" in shown.err) == (3, True), shown.err
            assert ProfileFolder(ann.home).load() == profile
    shown = await ran(ann, "account", "show", "--json")
    assert (shown.code, shown.json["address"]) == (0, names[1])
    async with ann.session() as (session, _):
        assert (await identity.rename(session, ann.address)).address == ann.address


async def test_s20_an_address_that_another_device_left_again_is_not_served_as_new(
    ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ann's other device went by another address and back: this one sees the same address, given later."""
    folder = ProfileFolder(ann.home)
    async with ann.session() as (session, _):
        await identity.rename(session, f"new-{ann.address}")
        away = (await identity.own(session))[0].renamed
        await identity.rename(session, ann.address)
    folder.memory().forget()  # as on a device that had not looked since
    assert (await ran(ann, "account", "show")).code == 0
    with monkeypatch.context() as patch:
        lie(patch, "account", lambda rows: rows[0].update(address=f"new-{ann.address}", renamed=away))
        assert (await ran(ann, "account", "show")).code == 3
    with monkeypatch.context() as patch:  # nor is a position believed that proves nothing
        folder.memory().forget()
        lie(patch, "account", lambda rows: rows[0].update(renamed=2**61))
        assert (await ran(ann, "account", "show")).code != 0
    assert (await ran(ann, "account", "show")).code == 0
