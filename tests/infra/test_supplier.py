"""What a supplier does with proofs, leases, fragments and its store; the bus is left out here."""

import asyncio
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore, S3Store

import app
from infra.credentials import SUPPLIER_LIFE
from infra.given import revoke
from infra.home import open_keys
from infra.processes import Child
from infra.supplier import storage
from infra.supplier.access import LEASE_LIFE, NONCE_LIFE
from infra.supplier.credential import folder_of, issue, open_credential, read_credential
from infra.supplier.storage import RESERVE, Place, Shelf, open_store
from privity.crypto.command import frame
from privity.crypto.identity import Signed, make_next
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import Wish, sign_order, sign_replacement, storage_proof
from privity.encoding import b64, new_id, unb64
from privity.errors import Busy, CredentialRevoked, Malformed, NotFound
from privity.messages.suppliers import (
    AskStatus,
    Complete,
    Delete,
    Get,
    Leaves,
    ListObjects,
    Prove,
    Put,
    Replace,
)
from tests.examples import long_id
from tests.handlers.people import LOG, Citizen
from tests.infra.supplying import OPERATOR, OWN, SUPPLIER, Keeper, SharedKey, root

ONE, TWO = b"1" * 5000, b"2" * 3000
BIG = ONE * 14


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No journal stays open."""
    yield
    while Keeper.made:
        Keeper.made.pop().journal.close()


@pytest.fixture
def ann() -> Citizen:
    """Who made the key."""
    return Citizen("ann@localhost")


@pytest.fixture
def bob() -> Citizen:
    """Who holds it."""
    return Citizen("bob@localhost")


@pytest.fixture
def key(ann: Citizen, bob: Citizen) -> SharedKey:
    """Ann's key, granted to Bob."""
    return SharedKey(ann, holders=(bob.account,))


@pytest.fixture
async def keeper(tmp_path: Path, key: SharedKey) -> Keeper:
    """A supplier on a folder that knows the key."""
    made = Keeper(tmp_path / "own", str(tmp_path / "fragments"))
    await made.ask(key.register())
    return made


# ---- B17: the supplier knows the key ----


async def test_b17_a_key_that_is_not_known_is_refused_and_named(keeper: Keeper, ann: Citizen) -> None:
    other = SharedKey(ann, nonce=b"o" * 16)
    wish = await keeper.proof(other, ann, "get", new_id())
    said, _ = await keeper.ask(wish)
    assert (said.code, other.id in (said.message or "")) == ("UnknownKey", True)
    assert await keeper.code(other.register()) == "ok"
    assert await keeper.code(await keeper.proof(other, ann, "get", new_id())) == "ok"


async def test_b17_only_its_creator_registers_a_key_and_an_older_record_never_comes_back(
    keeper: Keeper, key: SharedKey, ann: Citizen, bob: Citizen
) -> None:
    older = key.register()
    assert await keeper.code(key.register(by=bob.keys.sign)) == "BadProof"
    assert await keeper.code(replace(older, chain=SharedKey(bob).register().chain)) == "BadProof"
    assert await keeper.code(replace(older, key=long_id("other"))) == "Malformed"
    key.n, key.holders = 2, ()
    assert await keeper.code(key.register()) == "ok"
    assert await keeper.code(key.register()) == "ok"  # the same again is no change
    assert await keeper.code(older) == "StaleVersion"
    assert await keeper.code(key.register(holders=(bob.account,))) == "StaleVersion"
    assert await keeper.code(await keeper.proof(key, bob, "get", new_id())) == "BadProof"
    assert await keeper.code(await keeper.proof(key, ann, "get", new_id())) == "ok"


# ---- B18: a fresh proof before anything leaves ----


@pytest.mark.parametrize(
    "change",
    ["operation", "object", "account", "by_key", "by_identity", "nonce", "segments", "key_of_another", "chain"],
)
async def test_b18_a_proof_for_anything_else_opens_nothing(
    keeper: Keeper, key: SharedKey, ann: Citizen, bob: Citizen, change: str
) -> None:
    object = await keeper.stored(key, ann, ONE)
    fair = await keeper.proof(key, bob, "get", object)
    unfair = {
        "operation": replace(fair, operation="put", segments=1),
        "object": replace(fair, object=new_id()),
        "account": replace(fair, account=ann.account),
        "by_key": replace(fair, by_key=fair.by_identity),
        "by_identity": replace(fair, by_identity=fair.by_key),
        "nonce": replace(fair, nonce=await keeper.fresh(bob.account)),
        "segments": replace(await keeper.proof(key, bob, "put", new_id(), segments=1), segments=2),
        "key_of_another": await keeper.proof(replace(key, part=SharedKey(ann).part), bob, "get", object),
        "chain": replace(fair, chain=(await keeper.proof(key, ann, "get", object)).chain),
    }[change]
    assert await keeper.code(unfair, inbox=bob.account) == "BadProof"
    assert '"BadProof"' in keeper.refusals
    assert await keeper.code(fair) == "ok"


async def test_b18_a_stranger_and_one_who_was_dropped_get_nothing_and_what_they_had_open_ends(
    keeper: Keeper, key: SharedKey, ann: Citizen, bob: Citizen
) -> None:
    object = await keeper.stored(key, ann, ONE)
    eve = Citizen("eve@localhost")
    assert await keeper.code(await keeper.proof(key, eve, "get", object)) == "BadProof"
    open_of_bob, open_of_ann = [await keeper.opened(key, who, "get", object) for who in (bob, ann)]
    assert await keeper.got(open_of_bob, 0) == ONE
    key.n, key.holders = 2, ()
    await keeper.ask(key.register())
    assert await keeper.got(open_of_bob, 0) == "LeaseEnded"
    assert await keeper.code(await keeper.proof(key, bob, "get", object)) == "BadProof"
    assert await keeper.got(open_of_ann, 0) == ONE


async def test_b18_a_nonce_serves_once_for_a_minute_at_one_supplier(
    keeper: Keeper, key: SharedKey, ann: Citizen, tmp_path: Path
) -> None:
    fair = await keeper.proof(key, ann, "get", new_id())
    assert await keeper.code(fair) == "ok"
    assert await keeper.code(fair) == "StaleNonce"
    late = await keeper.proof(key, ann, "get", new_id())
    keeper.clock.seconds += NONCE_LIFE + 1
    assert await keeper.code(late) == "StaleNonce"
    other = Keeper(tmp_path / "other")
    await other.ask(key.register())
    assert await other.code(await keeper.proof(key, ann, "get", new_id())) == "StaleNonce"
    assert await keeper.code(await keeper.proof(key, ann, "get", new_id())) == "ok"


async def test_b18_deletes_and_lists_are_the_creators(
    keeper: Keeper, key: SharedKey, ann: Citizen, bob: Citizen
) -> None:
    object = await keeper.stored(key, bob, ONE, TWO)
    assert await keeper.code(await keeper.proof(key, bob, "delete", object)) == "BadProof"
    assert await keeper.code(await keeper.proof(key, bob, "list", None)) == "BadProof"
    reading = await keeper.opened(key, bob, "get", object)
    assert await keeper.code(Delete(reading)) == "BadProof"  # a lease serves what it was opened for
    assert await keeper.code(Put(reading, 0), ONE) == "BadProof"
    found, _ = await keeper.ask(ListObjects(await keeper.opened(key, ann, "list", None)))
    assert [(each.object, each.whole, each.fragments) for each in found.objects or ()] == [(object, True, 2)]
    lease = await keeper.opened(key, ann, "delete", object)
    assert [await keeper.code(Delete(lease)) for _ in range(2)] == ["ok", "ok"]
    assert await keeper.got(reading, 0) == "NotFound"
    found, _ = await keeper.ask(ListObjects(await keeper.opened(key, ann, "list", None)))
    assert (found.objects, keeper.shelf.fragments) == ((), 0)


async def test_b28_a_chain_goes_on_and_never_back_or_another_way(keeper: Keeper, key: SharedKey, bob: Citizen) -> None:
    before = list(bob.chain)
    assert await keeper.code(await keeper.proof(key, bob, "get", new_id())) == "ok"
    old, old_chain = bob.keys.sign, list(bob.chain)
    bob.chain.append(rotated(bob))
    assert await keeper.code(await keeper.proof(key, bob, "get", new_id())) == "ok"
    newest = list(bob.chain)
    bob.keys, bob.chain = replace(bob.keys, sign=old), old_chain
    assert await keeper.code(await keeper.proof(key, bob, "get", new_id())) == "StaleChain"
    bob.chain = before
    bob.chain = [*before, rotated(bob)]  # another record in the same place: who stole the key made it
    assert await keeper.code(await keeper.proof(key, bob, "get", new_id())) == "BadProof"
    assert newest[:-1] == before


def rotated(citizen: Citizen) -> Signed:
    """A next record with a new sign key, which the citizen has then."""
    fresh, pair = SigningKey.generate(), generate_keypair(Suite.X_WING)
    record = make_next(
        citizen.identity,
        citizen.keys.sign,
        sign=fresh,
        seal_public=pair.public,
        seal_suite=pair.suite,
        devices=citizen.identity.devices,
        reason="rotated",
    )
    citizen.keys = replace(citizen.keys, sign=fresh)
    return record


async def test_a_record_that_an_older_key_signed_counts_unless_that_key_was_called_stolen(
    tmp_path: Path, key: SharedKey, ann: Citizen
) -> None:
    record, signature = key.record()
    ann.chain.append(rotated(ann))
    keeper = Keeper(tmp_path)
    assert await keeper.code(replace(key.register(), record=b64(record), signature=b64(signature))) == "ok"
    thief = ann.keys.sign
    fresh, pair = SigningKey.generate(), generate_keypair(Suite.X_WING)
    how = {"seal_public": pair.public, "seal_suite": pair.suite, "devices": ann.identity.devices}
    ann.chain.append(make_next(ann.identity, thief, sign=fresh, reason="compromise", checkpoint="c", **how))
    key.n = 2
    assert await keeper.code(key.register(by=thief)) == "BadProof"
    assert await keeper.code(key.register(by=fresh)) == "ok"


async def test_who_stole_the_creators_key_does_not_lock_them_out(
    keeper: Keeper, key: SharedKey, ann: Citizen, bob: Citizen
) -> None:
    thief, before, keys = ann.keys.sign, list(ann.chain), ann.keys
    key.n = 2000
    assert await keeper.code(key.register()) == "Malformed"  # too far ahead
    key.n = 900
    assert await keeper.code(key.register()) == "ok"
    ann.chain.append(rotated(ann))  # the thief's: the home knows nothing of it
    assert await keeper.code(await keeper.proof(key, ann, "get", new_id())) == "ok"
    ann.chain, ann.keys = before, replace(keys, sign=SigningKey.generate())
    pair = generate_keypair(Suite.X_WING)
    how = {"seal_public": pair.public, "seal_suite": pair.suite, "devices": ann.identity.devices}
    said = {"sign": ann.keys.sign, "reason": "compromise", "checkpoint": "c", "recovery": ann.recovery}
    ann.chain.append(make_next(ann.identity, None, **said, **how))
    key.n = 2
    assert await keeper.code(key.register(by=thief)) == "BadProof"
    assert await keeper.code(key.register()) == "ok"
    assert await keeper.code(await keeper.proof(key, ann, "get", new_id())) == "ok"
    key.n = 1
    assert await keeper.code(key.register()) == "StaleVersion"


async def test_b18_nobody_is_lent_what_a_record_took_meanwhile_and_no_lease_is_for_ever(
    tmp_path: Path, key: SharedKey, ann: Citizen, bob: Citizen
) -> None:
    keeper = Keeper(tmp_path, shelf=Slow)
    await keeper.ask(key.register())
    object = await keeper.stored(key, ann, ONE)
    first = await keeper.opened(key, bob, "get", object)
    asked = await keeper.proof(key, bob, "get", object)
    assert isinstance(keeper.shelf, Slow)
    keeper.shelf.gate = asyncio.Event()
    opening = asyncio.create_task(keeper.code(asked))  # it has read the record, and goes on behind the next one
    await asyncio.sleep(0.01)
    gate, keeper.shelf.gate = keeper.shelf.gate, None
    key.n, key.holders = 2, ()
    assert await keeper.code(key.register()) == "ok"
    gate.set()
    assert await opening == "Busy"
    assert await keeper.got(first, 0) == "LeaseEnded"
    lease = await keeper.opened(key, ann, "get", object)
    for _ in range(9):
        keeper.clock.seconds += 100
        assert await keeper.got(lease, 0) == ONE
    keeper.clock.seconds += 1
    assert await keeper.got(lease, 0) == "LeaseEnded"
    lease = await keeper.opened(key, ann, "get", object)
    ann.chain.append(rotated(ann))
    await keeper.opened(key, ann, "get", object)
    assert await keeper.got(lease, 0) == "LeaseEnded"  # it was lent to the keys before


async def test_b18_who_asks_is_who_hears_the_answer(
    keeper: Keeper, key: SharedKey, ann: Citizen, bob: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    object = await keeper.stored(key, ann, ONE)
    eve = Citizen("eve@localhost")
    asked = await keeper.proof(key, bob, "get", object)
    assert await keeper.code(asked, inbox=eve.account) == "StaleNonce"  # the nonce was given to Bob
    assert await keeper.code(replace(asked, nonce=await keeper.fresh(eve.account)), inbox=eve.account) == "BadProof"
    made_up = await keeper.proof(key, bob, "get", object, inbox=eve.account)  # by keys that Eve has, of another account
    assert await keeper.code(made_up, inbox=eve.account) == "BadProof"
    lease = await keeper.lease(asked)
    assert await keeper.code(Get(lease, 0), inbox=eve.account) == "LeaseEnded"
    assert await keeper.got(lease, 0) == ONE

    nobody = SharedKey(Citizen("nobody@localhost"))  # of no account of the home: Eve made it up
    assert await keeper.code(nobody.register(), inbox=eve.account) == "BadProof"
    assert await keeper.code(replace(nobody.register(), nonce=b64(bytes(32)))) == "StaleNonce"
    monkeypatch.setattr(storage, "MAX_OWN_KEYS", 2)
    for n in range(3):
        nobody = SharedKey(Citizen("nobody@localhost"), holders=(eve.account,))
        code = await keeper.code(nobody.register(), inbox=eve.account)
        assert code == ("QuotaExceeded" if n == 2 else "ok")
    nonce = await keeper.fresh(OPERATOR)
    wish = Wish(OWN.public, "register", nobody.id, None, unb64(nonce), None)
    for log, code in ((OWN, "BadProof"), (LOG, "ok")):
        ordered = replace(nobody.register(), nonce=nonce, order=b64(sign_order(log, wish)))
        assert await keeper.code(ordered, inbox=OPERATOR) == code


# ---- the operator's orders ----


async def test_b25_the_operator_reads_writes_and_lists_by_order_and_deletes_nothing(
    keeper: Keeper, key: SharedKey, ann: Citizen
) -> None:
    object = await keeper.stored(key, ann, ONE, TWO)
    assert await keeper.got(await keeper.lease(await keeper.order(key.id, "get", object)), 1) == TWO
    found, _ = await keeper.ask(ListObjects(await keeper.lease(await keeper.order(key.id, "list", None))))
    assert [each.object for each in found.objects or ()] == [object]
    lease = await keeper.lease(await keeper.order(key.id, "put", new_id(), 1))
    assert await keeper.code(Put(lease, 0), ONE) == "ok"
    assert await keeper.code(await keeper.order(key.id, "delete", object)) == "BadProof"
    forged = await keeper.order(key.id, "get", object, log=SigningKey.generate())
    assert await keeper.code(forged) == "BadProof"
    named = replace(await keeper.order(key.id, "get", object), account=ann.account)
    assert await keeper.code(named, inbox=OPERATOR) == "BadProof"


async def test_b25_what_was_damaged_is_healed_by_the_same_fragment_and_by_no_other(
    keeper: Keeper, key: SharedKey, ann: Citizen, bob: Citizen, tmp_path: Path
) -> None:
    object = await keeper.stored(key, ann, ONE, TWO)
    path = tmp_path / "fragments" / key.id / object / "00000001"
    path.write_bytes(b"rot")
    reading = await keeper.opened(key, bob, "get", object)
    assert await keeper.got(reading, 1) == b"rot"  # who reads has the hashes, and says so
    assert await keeper.code(await keeper.proof(key, bob, "put", object, segments=2)) == "AlreadyExists"
    lease = await keeper.lease(await keeper.order(key.id, "put", object, 2))
    assert await keeper.code(Put(lease, 1), ONE) == "AlreadyExists"
    assert await keeper.code(Put(lease, 1), TWO) == "ok"
    assert await keeper.code(Complete(lease, b64(root([ONE, TWO])))) == "ok"
    assert await keeper.code(Complete(lease, b64(root([ONE])))) == "AlreadyExists"
    assert await keeper.got(reading, 1) == TWO


async def test_b25_a_list_that_is_damaged_or_of_another_object_is_mended_by_order(
    keeper: Keeper, key: SharedKey, ann: Citizen, bob: Citizen, tmp_path: Path
) -> None:
    object, good = await keeper.stored(key, ann, ONE, TWO), root([ONE, TWO])
    path = tmp_path / "fragments" / key.id / object / "whole"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    again = Keeper(tmp_path / "own", str(tmp_path / "fragments"))
    assert await again.got(await again.opened(key, ann, "get", object), 0) == "NotFound"  # and not another list
    lease = await again.lease(await again.order(key.id, "put", object, 2, root=good))
    assert await again.code(Complete(lease, b64(good))) == "ok"
    assert await again.got(await again.opened(key, ann, "get", object), 0) == ONE

    missed = await again.stored(key, bob, TWO, TWO, TWO)  # garbage, where the upload did not come
    assert await again.code(Put(await again.lease(await again.order(key.id, "put", missed, 2)), 0), ONE) == (
        "AlreadyExists"
    )
    asked = await again.order(key.id, "put", missed, 2, root=good)
    assert await again.code(replace(asked, root=b64(root([ONE])))) == "BadProof"
    for _ in range(2):  # the second finds what the first put
        lease = await again.lease(await again.order(key.id, "put", missed, 2, root=good))
        if not (await again.ask(Leaves(lease, 0)))[0].leaves:
            assert await again.code(Put(lease, 0), ONE) == "ok"
    assert await again.code(Put(lease, 1), TWO) == "ok"
    assert await again.code(Complete(lease, b64(good))) == "ok"
    assert await again.got(await again.opened(key, ann, "get", missed), 1) == TWO
    for person in (ann, bob):
        asking = await again.proof(key, person, "put", object, segments=2)
        assert await again.code(replace(asking, root=b64(root([TWO])))) == "Malformed"


async def test_b25_what_access_rests_on_is_brought_again_where_it_was_damaged(
    keeper: Keeper, key: SharedKey, ann: Citizen, tmp_path: Path
) -> None:
    await keeper.opened(key, ann, "get", new_id())
    for path in (f"{key.id}/record", f"people/{ann.account}"):
        file = tmp_path / "fragments" / path
        file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    assert await keeper.code(await keeper.proof(key, ann, "get", new_id())) == "UnknownKey"
    assert await keeper.code(key.register()) == "ok"
    assert await keeper.code(await keeper.proof(key, ann, "get", new_id())) == "ok"


async def test_b25_a_supplier_takes_a_lost_ones_place_by_the_operators_order_alone(keeper: Keeper) -> None:
    lost = long_id("lost")
    order = b64(sign_replacement(LOG, lost, SUPPLIER))
    assert await keeper.code(Replace(long_id("other"), order)) == "BadProof"
    assert await keeper.code(Replace(lost, b64(sign_replacement(OWN, lost, SUPPLIER)))) == "BadProof"
    assert keeper.replaced == []
    assert await keeper.code(Replace(lost, order)) == "ok"
    assert keeper.replaced == [(lost, order)]


# ---- uploads ----


async def test_f19_nothing_is_read_before_it_is_whole_and_an_upload_goes_on_where_it_stopped(
    keeper: Keeper, key: SharedKey, ann: Citizen, tmp_path: Path
) -> None:
    object, fragments = new_id(), [ONE, TWO, ONE]
    lease = await keeper.opened(key, ann, "put", object, 3)
    assert await keeper.code(Leaves(lease, 0)) == "NotFound"
    for segment in (0, 2):
        assert await keeper.code(Put(lease, segment), fragments[segment]) == "ok"
    reading = await keeper.opened(key, ann, "get", object)
    assert [await keeper.got(reading, 0), await keeper.code(Leaves(reading, 0))] == ["NotFound", "NotFound"]
    assert await keeper.code(Complete(lease, b64(root(fragments)))) == "NotComplete"
    assert await keeper.code(Put(lease, 3), ONE) == "Malformed"  # the proof said three

    again = Keeper(tmp_path / "own", str(tmp_path / "fragments"))  # as after kill -9
    await again.shelf.look()
    assert (again.shelf.fragments, again.shelf.used) == (2, keeper.shelf.used)
    lease = await again.opened(key, ann, "put", object, 3)
    said, _ = await again.ask(Leaves(lease, 0))
    assert (said.root, [segment for segment, _ in said.leaves or ()]) == (None, [0, 2])
    assert await again.code(Put(lease, 1), TWO) == "ok"
    assert await again.code(Complete(lease, b64(root([ONE, TWO, TWO])))) == "RootDiffers"
    assert await again.code(Complete(lease, b64(root(fragments)))) == "ok"
    assert await again.code(Complete(lease, b64(root(fragments)))) == "ok"
    reading = await again.opened(key, ann, "get", object)
    said, _ = await again.ask(Leaves(reading, 1))
    assert (said.root, said.segments, len(said.leaves or ())) == (b64(root(fragments)), 3, 2)
    assert [await again.got(reading, each) for each in range(3)] == fragments


async def test_f19_half_an_upload_may_change_and_is_given_up_after_a_week(
    tmp_path: Path, key: SharedKey, ann: Citizen
) -> None:
    keeper = Keeper(tmp_path / "own", str(tmp_path / "fragments"))
    await keeper.ask(key.register())
    whole, object = await keeper.stored(key, ann, ONE), new_id()
    lease = await keeper.opened(key, ann, "put", object, 2)
    for fragment in (ONE, TWO):  # sealing anew gives other bytes
        assert await keeper.code(Put(lease, 0), fragment) == "ok"
    listing = await keeper.opened(key, ann, "list", None)
    found, _ = await keeper.ask(ListObjects(listing))
    assert {(each.object, each.whole) for each in found.objects or ()} == {(whole, True), (object, False)}
    later = datetime.now(UTC) + timedelta(days=8)
    shelf = Shelf(open_store(str(tmp_path / "fragments")), 0, lambda: later)
    await shelf.look()
    assert shelf.fragments == 1
    found, _ = await keeper.ask(ListObjects(listing))
    assert [each.object for each in found.objects or ()] == [whole]


async def test_a_list_says_when_something_of_an_object_was_put_last(tmp_path: Path, key: SharedKey) -> None:
    """An upload that goes on after a week is no garbage."""
    shelf = Shelf(open_store(str(tmp_path)), 0, lambda: datetime.now(UTC))
    place, began = Place(key.id, new_id()), datetime.now(UTC).timestamp()
    await shelf.put(place, 0, ONE)
    os.utime(tmp_path / place.fragment(0), (1000, 1000))
    (listed,), _ = await shelf.objects(key.id, "")
    assert listed.since == 1000
    await shelf.put(place, 1, TWO)
    (listed,), _ = await shelf.objects(key.id, "")
    assert listed.since >= int(began)


async def test_a_proof_of_storage_takes_the_fragment(keeper: Keeper, key: SharedKey, ann: Citizen) -> None:
    object, nonce = await keeper.stored(key, ann, ONE), b"r" * 32
    reading = await keeper.opened(key, ann, "get", object)
    said, _ = await keeper.ask(Prove(reading, 0, b64(nonce)))
    assert said.proof == b64(storage_proof(nonce, ONE)) != b64(storage_proof(b"s" * 32, ONE))


# ---- bounds ----


async def test_a_quota_holds_and_says_what_is_used_and_deleting_gives_room(
    tmp_path: Path, key: SharedKey, ann: Citizen, bob: Citizen
) -> None:
    keeper = Keeper(tmp_path, quota=160_000)
    await keeper.ask(key.register())
    object = await keeper.stored(key, ann, BIG)
    lease = await keeper.opened(key, ann, "put", new_id(), 3)
    assert await keeper.code(Put(lease, 0), TWO) == "ok"
    before = keeper.shelf.used
    said, _ = await keeper.ask(Put(lease, 1), BIG)
    assert said.code == "QuotaExceeded"
    assert "of one person's 120000 bytes are used" in (said.message or "")
    said, _ = await keeper.ask(AskStatus())
    assert (said.called, said.fragments, said.used, said.quota) == ("supplier-1", 2, before, 160_000)
    bobs = SharedKey(bob)  # there is room for another one, and then for nobody
    await keeper.ask(bobs.register())
    small = await keeper.stored(bobs, bob, TWO)
    said, _ = await keeper.ask(Put(await keeper.opened(bobs, bob, "put", new_id(), 1), 0), ONE * 16)
    assert f"{keeper.shelf.used} of 160000 bytes are used" in (said.message or "")
    await keeper.ask(Delete(await keeper.opened(bobs, bob, "delete", small)))
    before = keeper.shelf.used
    await keeper.ask(Delete(await keeper.opened(key, ann, "delete", object)))
    assert await keeper.code(Put(lease, 1), BIG) == "ok"
    await keeper.shelf.look()  # the count that went along is what a new count finds
    assert keeper.shelf.used == before - len(BIG) - 64 + len(BIG)
    assert await keeper.code(Put(lease, 2), BIG) == "QuotaExceeded"  # and so is what each one has


async def test_two_who_fill_a_supplier_leave_room_for_others(
    tmp_path: Path, key: SharedKey, ann: Citizen, bob: Citizen
) -> None:
    """The last quarter is for those who take little of it; without two who take much, nobody has less than before."""
    keeper, eves = Keeper(tmp_path, quota=320_000), SharedKey(Citizen("eve"))
    for each in (key, bobs := SharedKey(bob), eves):
        await keeper.ask(each.register())
    await keeper.stored(key, ann, BIG)
    await keeper.stored(key, ann, BIG)
    await keeper.stored(bobs, bob, ONE * 5, ONE * 5)
    assert keeper.shelf.used < 240_000
    for shared, by in ((key, ann), (bobs, bob)):
        said, _ = await keeper.ask(Put(await keeper.opened(shared, by, "put", new_id(), 1), 0), ONE * 10)
        assert said.code == "QuotaExceeded"
        assert "those who use at most 20000 bytes" in (said.message or "")
    small = await keeper.stored(eves, eves.ann, TWO)
    assert await keeper.got(await keeper.opened(eves, eves.ann, "get", small), 0) == TWO


class Slow(Shelf):
    """One whose store waits until it may go on."""

    gate: asyncio.Event | None = None

    async def _write(self, path: str, data: bytes) -> None:
        if self.gate is not None:
            await self.gate.wait()
        await super()._write(path, data)

    async def record(self, key: str) -> bytes | None:
        found = await super().record(key)
        if self.gate is not None:
            await self.gate.wait()
        return found


async def test_a_fragment_is_put_once_at_a_time_and_what_is_used_never_shrinks_by_it(key: SharedKey) -> None:
    shelf = Slow(MemoryStore(), 0, lambda: datetime.now(UTC))
    place = Place(key.id, new_id())
    await shelf.put(place, 0, ONE)
    shelf.gate = asyncio.Event()
    puts = [asyncio.create_task(shelf.put(place, 0, bytes([n]) * 100)) for n in range(8)]
    await asyncio.sleep(0.01)
    shelf.gate.set()
    ended = await asyncio.gather(*puts, return_exceptions=True)
    assert [type(each) for each in ended if each is not None] == [Busy] * 7
    assert shelf.used == 100
    await shelf.complete(place, 1, root([bytes([ended.index(None)]) * 100]))


async def test_a_count_of_what_is_there_minds_what_moved_meanwhile(tmp_path: Path, key: SharedKey) -> None:
    shelf = Shelf(LocalStore(tmp_path), 0, lambda: datetime.now(UTC))
    counted = shelf._look

    def look() -> Any:
        found = counted()
        asyncio.run_coroutine_threadsafe(shelf.put(Place(key.id, new_id()), 0, ONE), loop).result()
        return found

    loop = asyncio.get_running_loop()
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "x").write_bytes(TWO)
    shelf._look = look  # type: ignore[method-assign]
    await shelf.look()
    assert (shelf.used, shelf.fragments) == (len(ONE) + len(TWO), 1)


async def test_a_full_disk_is_refused_before_it_is_full(
    keeper: Keeper, key: SharedKey, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await keeper.opened(key, ann, "put", new_id(), 2)
    keeper.shelf.bound_by_disk()
    assert 0 < keeper.shelf.quota <= shutil.disk_usage("/").total // 8
    assert await keeper.code(Put(lease, 0), ONE) == "ok"
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(total=10**12, free=RESERVE + 100))
    assert await keeper.code(Put(lease, 1), ONE) == "QuotaExceeded"


async def test_what_was_answered_is_on_the_disk(
    keeper: Keeper, key: SharedKey, ann: Citizen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    synced, fsync = set[str](), os.fsync

    def listening(file: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{file}"))
        fsync(file)

    monkeypatch.setattr(os, "fsync", listening)
    object = await keeper.stored(key, ann, ONE, TWO)
    folder = tmp_path / "fragments" / key.id / object
    names = [folder / "00000000", folder / "00000001", folder / "whole", folder, folder.parent, folder.parent.parent]
    assert {str(each) for each in names} <= synced
    synced.clear()
    key.n = 2
    assert await keeper.code(key.register()) == "ok"
    assert str(folder.parent / "record") in synced


async def test_fragments_and_requests_have_bounds(keeper: Keeper, key: SharedKey, ann: Citizen) -> None:
    lease = await keeper.opened(key, ann, "put", new_id(), 1)
    assert await keeper.code(Put(lease, 0), b"") == "TooLarge"
    assert await keeper.code(Put(lease, 0), bytes(512 * 1024 + 1)) == "TooLarge"
    assert await keeper.code(Put(lease, 0), bytes(600 * 1024)) == "TooLarge"
    assert await keeper.code(Put(lease, 0), bytes(512 * 1024)) == "ok"
    assert await keeper.code(Get("x" * 43, 0)) == "LeaseEnded"
    keeper.clock.seconds += LEASE_LIFE + 1
    assert await keeper.code(Put(lease, 0), ONE) == "LeaseEnded"


@pytest.mark.parametrize("data", [b"", b"PVC1", b"no frame", b"\x00" * 9000, b"PVC1\x00\x00\x00\x02{}x"])
@pytest.mark.parametrize("verb", ["nonce", "put", "open", "nothing"])
async def test_what_cannot_be_read_is_refused(keeper: Keeper, verb: str, data: bytes) -> None:
    answer = await keeper.raw(verb, data)
    assert answer is not None
    assert b'"status":"refused"' in answer
    assert b"Internal" not in answer


async def test_f17_a_store_that_fails_is_busy_and_works_again_when_it_does(
    keeper: Keeper, key: SharedKey, ann: Citizen, tmp_path: Path
) -> None:
    object = new_id()
    lease = await keeper.opened(key, ann, "put", object, 1)
    blocked = tmp_path / "fragments" / key.id / object
    blocked.write_text("a file where a folder should be")
    before = keeper.shelf.used
    assert await keeper.code(Put(lease, 0), ONE) == "Busy"
    assert keeper.shelf.used == before
    blocked.unlink()
    assert await keeper.code(Put(lease, 0), ONE) == "ok"
    assert await keeper.code(Complete(lease, b64(root([ONE])))) == "ok"


async def test_many_put_and_read_one_object_at_the_same_time(keeper: Keeper, key: SharedKey, ann: Citizen) -> None:
    fragments = [bytes([n]) * 2000 for n in range(40)]
    lease = await keeper.opened(key, ann, "put", object := new_id(), 40)
    puts = [keeper.code(Put(lease, segment), fragment) for segment, fragment in enumerate(fragments)]
    assert set(await asyncio.gather(*puts)) == {"ok"}
    once = await asyncio.gather(*(keeper.code(Complete(lease, b64(root(fragments)))) for _ in range(3)))
    assert once[0] == "ok"
    assert set(once) <= {"ok", "Busy"}
    reading = await keeper.opened(key, ann, "get", object)
    assert await asyncio.gather(*(keeper.got(reading, each) for each in range(40))) == fragments
    assert keeper.shelf.fragments == 40


def test_a_store_is_a_folder_memory_or_s3_and_nothing_else(tmp_path: Path) -> None:
    for url in (str(tmp_path / "one"), f"file://{tmp_path / 'two'}"):
        assert isinstance(open_store(url), LocalStore)
    assert isinstance(open_store("memory://"), MemoryStore)
    assert isinstance(open_store("s3://bucket/prefix", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}), S3Store)
    (tmp_path / "file").write_text("")
    for url in ("ftp://x/y", "s3://", "http://x", str(tmp_path / "file")):
        with pytest.raises(Malformed):
            open_store(url)


# ---- the credential ----


def test_a_credential_is_read_as_it_was_written_and_shows_no_secret(tmp_path: Path) -> None:
    keys = open_keys(tmp_path)
    made = issue(keys, "attic", "tls://home.example:4222")
    read = read_credential(made.text())
    assert (read.id, read.name, read.bus_url, read.home, read.bus.jwt) == (
        made.id,
        "attic",
        "tls://home.example:4222",
        made.home,
        made.bus.jwt,
    )
    nkey = made.bus.nkey
    assert nkey is not None
    assert not any(secret in repr(made) for secret in (b64(made.sign.seed), nkey.seed, made.bus.jwt))
    own = open_credential(tmp_path, keys, "supplier-1", "nats://127.0.0.1:1")
    again = open_credential(tmp_path, keys, "supplier-1", "nats://127.0.0.1:2")
    assert (again.id, again.bus_url) == (own.id, "nats://127.0.0.1:2")  # its key stays
    file = folder_of(tmp_path, "supplier-1") / "credential.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for text in ("", "{}", "[]", json.dumps(json.loads(made.text()) | {"seed": "x"}), made.text()[:-9]):
        with pytest.raises(Malformed) as raised:
            read_credential(text)
        assert "seed" not in raised.value.message
    for name in ("", "Attic", "../x", "a" * 33, "-a"):
        with pytest.raises(Malformed):
            issue(keys, name, "nats://x:1")


def test_a_supplier_that_was_taken_back_is_not_opened_again_a_year_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, now = open_keys(tmp_path), time.time()
    open_credential(tmp_path, keys, "supplier-1", "nats://127.0.0.1:1")
    open_credential(tmp_path, keys, "supplier-2", "nats://127.0.0.1:1")
    revoke(tmp_path, "supplier", "supplier-1")
    monkeypatch.setattr(time, "time", lambda: now + SUPPLIER_LIFE + 1000)
    with pytest.raises(CredentialRevoked):
        open_credential(tmp_path, keys, "supplier-1", "nats://127.0.0.1:1")
    open_credential(tmp_path, keys, "supplier-2", "nats://127.0.0.1:1")


async def test_a_supplier_that_is_taken_back_while_it_runs_starts_again_when_it_is_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "LONGEST_DELAY", 0.05)
    before = open_credential(tmp_path, open_keys(tmp_path), "supplier-1", "nats://127.0.0.1:1")
    file = folder_of(tmp_path, "supplier-1") / "credential.json"
    child = Child(["-c", "print('ready', flush=True); input()"], 30)
    revoke(tmp_path, "supplier", "supplier-1")
    starting = asyncio.create_task(app._start_when_let_in(child, tmp_path, "supplier-1"))
    await asyncio.sleep(0.3)
    assert (child.pid, starting.done()) == (0, False)
    renewed = app.supplier_credential("supplier-1", tmp_path, None, file)
    assert read_credential(renewed).id == before.id
    file.write_text(renewed)
    await asyncio.wait_for(starting, 30)
    assert child.pid
    await child.stop()


def test_a_credential_is_made_for_another_machine_and_made_anew_for_the_same_supplier(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        app.supplier_credential("attic", tmp_path / "none", "nats://x:1", None)
    open_keys(tmp_path)
    with pytest.raises(NotFound, match="--bus"):
        app.supplier_credential("attic", tmp_path, None, None)
    file = tmp_path / "attic"
    file.write_text(app.supplier_credential("attic", tmp_path, "tls://home.example:4222", None))
    before = read_credential(file.read_text())
    renewed = read_credential(app.supplier_credential("attic", tmp_path, None, file))
    assert (renewed.id, renewed.bus_url) == (before.id, "tls://home.example:4222")
    assert renewed.bus.jwt != before.bus.jwt
    issued, ends = renewed.bus.life
    assert 0 <= issued + SUPPLIER_LIFE - ends <= 2
    with pytest.raises(Malformed):
        app.supplier_credential("cellar", tmp_path, None, file)


# ---- refused, and recorded ----


async def test_u1_a_supplier_is_nobodys_deputy_on_the_bus(keeper: Keeper) -> None:
    for reply in (
        "",
        "privity.cmd.x.items.add",
        "privity.evt.x",
        "$SYS.REQ.CLAIMS.UPDATE",
        "$JS.API.INFO",
        "_INBOX.x",
        "_R_.x",
        f"_INBOX_{long_id('ann')}",
        f"_INBOX_{long_id('ann')}.*",
        f"_INBOX_{long_id('ann')}.x y",
        "_INBOX_ENROL.x",
        f"_INBOX_{long_id('ann')}." + "x" * 300,
    ):
        assert await keeper.raw("nonce", frame(b"{}"), reply=reply) is None, reply
    answer = await keeper.raw("nonce", frame(b"{}"))
    assert answer is not None
    assert b'"status":"ok"' in answer


async def test_refusals_are_written_down_with_who_and_why_without_secrets_and_within_bounds(
    keeper: Keeper, key: SharedKey, ann: Citizen
) -> None:
    eve, object = Citizen("eve@localhost"), new_id()
    asked = await keeper.proof(key, eve, "get", object)
    await keeper.ask(asked)
    line = json.loads(keeper.refusals.splitlines()[-1])
    assert {name: line[name] for name in ("verb", "code", "who", "key", "object")} == {
        "verb": "open",
        "code": "BadProof",
        "who": eve.account,
        "key": key.id,
        "object": object,
    }
    lease = await keeper.opened(key, ann, "get", object)
    assert await keeper.code(Get(lease, 0)) == "NotFound"
    assert not any(secret in keeper.refusals for secret in (lease, str(asked.by_key), str(asked.nonce)))
    for _ in range(500):
        await keeper.ask(Get("x" * 43, 0))
    assert len(keeper.refusals.splitlines()) < 200


# ---- P6: what it holds ----


async def test_p6_what_lies_there_has_uniform_names_and_says_nothing_of_files(
    keeper: Keeper, key: SharedKey, ann: Citizen, tmp_path: Path
) -> None:
    await keeper.stored(key, ann, ONE, TWO)
    paths = [path.relative_to(tmp_path / "fragments") for path in (tmp_path / "fragments").rglob("*")]
    files = sorted(str(path) for path in paths if (tmp_path / "fragments" / path).is_file())
    forms = [r"[a-z2-7]{52}/[a-z2-7]{26}/([0-9a-f]{8}|whole)", r"[a-z2-7]{52}/record", r"people/[a-z2-7]{52}"]
    forms.append(r"brought/[a-z2-7]{52}/[a-z2-7]{52}")
    assert len(files) == 6
    assert all(any(re.fullmatch(form, path) for form in forms) for path in files), files
    kept = b"".join((tmp_path / "fragments" / path).read_bytes() for path in files)
    assert b"ann@localhost" not in kept
