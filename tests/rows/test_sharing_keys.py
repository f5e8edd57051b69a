"""Rows B1-B7, B11, B12, B26, B28: sharing keys as one makes, is granted, is sent, uses and gives them up."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import accounts, connections, identity, invitations, key_files, sharing_keys
from privity.agent.connections import Broken
from privity.agent.profile import ProfileFolder
from privity.agent.sharing_keys import SharingKey
from privity.connection_string import parse_connection_string
from privity.crypto.sharing_keys import backup_place, sharing_key_id
from privity.encoding import b64
from privity.errors import (
    AlreadyExists,
    DoesNotOpen,
    KeyNotFound,
    MasterKeyStays,
    NotFound,
    Unverified,
)
from privity.messages.envelope import FeedEntry
from privity.messages.views import AskFeed, AskSharingKeys, SharingKeyRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.rows.keyholding import hold, turn
from tests.rows.test_erasing import assert_erased, assert_there
from tests.rows.test_intents import LINK
from tests.rows.watching import Wire, files_of, found_in, lie, mail_about, ran

SECRET = b"what the file says: canary-in-a-key-file " * 50


async def keys_of(person: Person) -> list[SharingKey]:
    """All that somebody has, and none of it is broken."""
    async with person.session() as (session, keyring):
        known = await sharing_keys.all_known(session, keyring)
    assert not [each for each in known if isinstance(each, Broken)]
    return [each for each in known if isinstance(each, SharingKey)]


async def test_b3_a_key_is_made_with_a_name_or_a_random_one_and_a_second_of_a_name_is_refused(ann: Person) -> None:
    made = (await ran(ann, "key", "create", "photos", "--json")).json
    unnamed = (await ran(ann, "key", "create", "--json")).json
    again = await ran(ann, "key", "create", "photos")

    assert (made["key"], made["owner"], made["kind"]) == (f"photos${ann.address}", ann.address, "own")
    assert (made["generation"], made["active"], len(made["fingerprint"].replace(" ", ""))) == (1, True, 30)
    assert unnamed["key"].startswith("share_")
    assert unnamed["key"].endswith(f"${ann.address}")
    assert (again.code, again.err.startswith("error: AlreadyExists: ")) == (1, True)
    assert (await ran(ann, "key", "create", "No Name")).code == 1
    listed = (await ran(ann, "key", "list", "--json")).json
    assert [each["key"] for each in listed] == [made["key"], unnamed["key"]]
    await ran(ann, "key", "rm", "photos")
    assert (await ran(ann, "key", "create", "photos")).code == 0


async def make(person: Person, name: str) -> SharingKey:
    async with person.session() as (session, keyring):
        return await sharing_keys.create(session, keyring, name)


async def test_b1_the_master_key_is_never_given_nor_given_up_nor_leaves_the_device(
    connected: tuple[Person, Person], backend: RunningHome, wire: Wire
) -> None:
    ann, bob = connected

    async with ann.session() as (session, keyring):
        await sharing_keys.create(session, keyring, "photos")
        secrets = {
            "sign": keyring.identity.sign.seed,
            "seal": keyring.identity.seal.private,
            "KEK": keyring.kek,
            "device": keyring.device.seed,
        }
        with pytest.raises(MasterKeyStays):
            await sharing_keys.create(session, keyring, "master")
        for refused in (
            sharing_keys.remove(session, keyring, "master"),
            sharing_keys.send_public(session, keyring, "master", bob.address),
            sharing_keys.switch(session, keyring, "master", active=False),
            sharing_keys.show(session, keyring, f"master${ann.address}"),
        ):
            with pytest.raises(MasterKeyStays):
                await refused
    for command in ("rm", f"grant {bob.address}", f"send-public {bob.address}", "rotate", "off", "label x"):
        name, *more = command.split()
        outcome = await ran(ann, "key", name, "master", *more)
        assert (outcome.code, outcome.err.startswith("error: MasterKeyStays: ")) == (1, True)

    shown = (await ran(ann, "key", "show", "master", "--json")).json
    account = (await ran(ann, "account", "show", "--json")).json
    assert (shown["fingerprint"], shown["key"]) == (account["fingerprint"], f"master${ann.address}")
    assert [each.alias for each in await keys_of(ann)] == ["photos"]
    assert found_in(files_of(backend.data, ann.home), secrets) == []
    assert wire.holding(secrets) == []


async def test_b2_a_copy_of_the_recovery_text_restores_the_identity_and_its_keys_on_a_bare_machine(
    newcomer: Callable[[str], Any], tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    key, sealed = await make(ann, "photos"), tmp_path / "sealed"
    (tmp_path / "plain").write_bytes(SECRET)
    async with ann.session() as (session, keyring):
        await key_files.encrypt(session, keyring, "photos", tmp_path / "plain", sealed)
        before = await identity.show(session)
    shutil.rmtree(ann.home)

    bare = replace(ann, home=tmp_path / "bare", passphrase="another passphrase altogether")
    server = parse_connection_string(ann.server)
    await accounts.recover(ProfileFolder(bare.home), server, ann.address, written.recovery, bare.passphrase)

    async with bare.session() as (session, keyring):
        assert (await identity.show(session)).account == before.account
        again = await sharing_keys.show(session, keyring, "photos")
        await key_files.decrypt(session, keyring, sealed, tmp_path / "again")
    assert (again.id, again.fingerprint) == (key.id, key.fingerprint)
    assert (tmp_path / "again").read_bytes() == SECRET


async def test_b4_an_erased_key_is_gone_from_list_and_store_and_that_is_recorded(
    connected: tuple[Person, Person], backend: RunningHome
) -> None:
    ann, bob = connected
    key = await make(ann, "photos")
    await hold(ann, "photos", bob)
    assert [each.id for each in await keys_of(bob)] == [key.id]
    async with ann.session() as (session, _):
        found = await session.ask(AskSharingKeys(id=key.id), SharingKeyRow)
    stored = dict(found.sealed)
    assert len(stored) == 2
    assert_there(backend.data / "store.db", stored)

    assert (await ran(ann, "key", "rm", "photos", "--json")).json["status"] == "removed"

    assert (await keys_of(ann), await keys_of(bob)) == ([], [])
    outcome = await ran(ann, "key", "show", "photos")
    assert (outcome.code, outcome.err.startswith("error: NotFound: ")) == (1, True)
    for person in (ann, bob):
        async with person.session() as (session, _):
            lines = (await session.ask_all(AskFeed(), FeedEntry)).rows
        assert [line.refs["key"] for line in lines if line.event == "sharing-key-erased"] == [key.id]
        assert any(line.event == "sealed-erased" and line.refs["id"] == key.id for line in lines)
    assert_erased(backend.data / "store.db", stored)


async def test_b6_own_and_received_keys_are_listed_labelled_and_switched_and_an_inactive_one_is_not_used(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    ann, bob = connected
    await make(ann, "photos")
    await hold(ann, "photos", bob)
    own, plain = await make(bob, "own"), tmp_path / "plain"
    plain.write_bytes(SECRET)

    rows = {each["key"]: each for each in (await ran(bob, "key", "list", "--json")).json}
    assert {name: row["kind"] for name, row in rows.items()} == {f"photos${ann.address}": "received", own.name: "own"}
    hers = f"photos${ann.address}"
    assert (await ran(bob, "key", "label", hers, "Ann's pictures", "--json")).json["label"] == "Ann's pictures"
    assert (await ran(bob, "key", "encrypt", "photos", str(plain), "-o", str(tmp_path / "sealed"))).code == 0
    assert (await ran(bob, "key", "off", hers, "--json")).json["active"] is False

    for refused in (
        ["encrypt", hers, str(plain), "-o", str(tmp_path / "not")],
        ["decrypt", str(tmp_path / "sealed"), "-o", str(tmp_path / "not")],
        ["send-public", hers, ann.address],
    ):
        outcome = await ran(bob, "key", *refused)
        assert (outcome.code, outcome.err.startswith("error: KeyInactive: ")) == (1, True)
    assert not (tmp_path / "not").exists()
    [kept] = await keys_of(ann)
    assert (kept.active, kept.label) == (True, "")  # for oneself alone

    assert (await ran(bob, "key", "on", hers, "--json")).json["active"] is True
    assert (await ran(bob, "key", "decrypt", str(tmp_path / "sealed"), "-o", str(tmp_path / "out"))).code == 0
    shown = (await ran(bob, "key", "show", own.id[:12], "--json")).json
    assert (shown["key"], shown["id"], shown["label"]) == (own.name, own.id, "")


async def test_b7_the_public_part_is_held_as_public_only_and_seals_but_opens_nothing(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    ann, bob = connected
    key = await make(ann, "drop")
    (tmp_path / "plain").write_bytes(SECRET)

    assert (await ran(ann, "key", "send-public", "drop", bob.address, "--json")).json["to"] == bob.address

    [row] = (await ran(bob, "key", "list", "--json")).json
    assert (row["key"], row["kind"], row["fingerprint"]) == (f"drop${ann.address}", "public", key.fingerprint)
    assert [each.alias for each in await keys_of(bob)] == ["drop"]  # from his own note now
    async with bob.session() as (session, keyring):
        await key_files.encrypt(session, keyring, "drop", tmp_path / "plain", tmp_path / "sealed")
        with pytest.raises(KeyNotFound):
            await key_files.decrypt(session, keyring, tmp_path / "sealed", tmp_path / "out")
        with pytest.raises(NotFound):
            await sharing_keys.send_public(session, keyring, "drop", ann.address)
    async with ann.session() as (session, keyring):
        await key_files.decrypt(session, keyring, tmp_path / "sealed", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == SECRET

    turned = await turn(ann, "drop")  # what the part before opens, he seals nothing to any more
    [now] = await keys_of(bob)
    assert (now.generation, now.fingerprint, now.kind) == (2, turned.fingerprint, "public")
    async with bob.session() as (session, keyring):
        await key_files.encrypt(session, keyring, "drop", tmp_path / "plain", tmp_path / "newer")
    source, header = key_files._begin(tmp_path / "newer")
    source.close()
    assert header.generation == 2


async def test_a_key_by_its_alias_is_ones_own_and_another_seals_only_with_consent_or_for_somebody_verified(
    ann: Person, bob: Person, backend: RunningHome, tmp_path: Path
) -> None:
    async with ann.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, bob.address)
        await invitations.find(session, invited.invitation)
    async with bob.session() as (session, keyring):
        [link] = set(LINK.findall(await mail_about(backend.data, invited.invitation)))
        await invitations.accept(session, keyring, link)
    (tmp_path / "plain").write_bytes(SECRET)
    photos, films = await make(ann, "photos"), await make(ann, "films")
    await hold(ann, "photos", bob)
    async with ann.session() as (session, keyring):
        await sharing_keys.send_public(session, keyring, "films", bob.address)
    own = await make(bob, "photos")

    async def sealing(name: str, out: str, *, unverified: bool = False) -> SharingKey:
        async with bob.session() as (session, keyring):
            plain = tmp_path / "plain"
            return await key_files.encrypt(session, keyring, name, plain, tmp_path / out, unverified=unverified)

    assert (await sealing("photos", "own")).id == own.id
    for name in ("films", f"films${ann.address}", films.id, films.id[:15], photos.id):
        with pytest.raises((Unverified, NotFound)):
            await sealing(name, "not")
    with pytest.raises(Unverified):
        await sealing("films", "not", unverified=True)
    assert not (tmp_path / "not").exists()
    assert (await sealing(f"films${ann.address}", "with consent", unverified=True)).id == films.id
    async with bob.session() as (session, keyring):
        await connections.verify(session, keyring, (await connections.with_person(session, keyring, ann.address)).name)
    assert (await sealing("films", "verified")).id == films.id
    assert (await sealing(photos.name, "verified too")).id == photos.id


async def test_b11_a_file_opens_with_its_key_alone_also_after_a_rotation_and_whole_or_not_at_all(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    ann, bob = connected
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(SECRET * 1000)
    await make(ann, "photos")
    await make(bob, "other")
    async with ann.session() as (session, keyring):
        await key_files.encrypt(session, keyring, "photos", plain, sealed)
        with pytest.raises(AlreadyExists):
            await key_files.encrypt(session, keyring, "photos", plain, sealed)
    assert SECRET[:20] not in sealed.read_bytes()

    outcome = await ran(bob, "key", "decrypt", str(sealed), "-o", str(tmp_path / "out"))
    assert (outcome.code, outcome.err.startswith("error: KeyNotFound: ")) == (1, True)
    await hold(ann, "photos", bob)
    rotated = await turn(ann, "photos", bob)

    data = bytearray(sealed.read_bytes())
    data[-40] ^= 1
    (tmp_path / "bent").write_bytes(data)
    (tmp_path / "cut").write_bytes(sealed.read_bytes()[:-1])
    async with bob.session() as (session, keyring):
        for broken in ("bent", "cut"):
            with pytest.raises(DoesNotOpen):
                await key_files.decrypt(session, keyring, tmp_path / broken, tmp_path / "out")
            assert not [name for name in os.listdir(tmp_path) if "out" in name]
        used = await key_files.decrypt(session, keyring, sealed, tmp_path / "out")
    assert (used.generation, used.fingerprint) == (2, rotated.fingerprint)
    assert (tmp_path / "out").read_bytes() == SECRET * 1000


@pytest.mark.parametrize("linked", [True, False])
def test_b11_a_file_takes_nobodys_place_where_there_are_no_hard_links_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    if not linked:
        monkeypatch.setattr(os, "link", link)
    out = tmp_path / "out"
    key_files._make(out, lambda sink: sink.writelines([SECRET]))
    with pytest.raises(AlreadyExists):
        key_files._make(out, lambda sink: sink.writelines([b"another"]))
    assert out.read_bytes() == SECRET
    assert os.listdir(tmp_path) == ["out"]


async def test_b12_a_keys_name_says_who_made_it(connected: tuple[Person, Person], ann: Person, bob: Person) -> None:
    hers, his = await make(ann, "photos"), await make(bob, "photos")
    await hold(ann, "photos", bob)

    async with bob.session() as (session, keyring):
        named = {name: await sharing_keys.show(session, keyring, name) for name in (hers.name, his.name)}
    assert {name: key.creator_address for name, key in named.items()} == {
        f"photos${ann.address}": ann.address,
        f"photos${bob.address}": bob.address,
    }
    assert (named[hers.name].creator, named[hers.name].id) == (hers.creator, hers.id)
    assert (await ran(bob, "key", "show", "photos", "--json")).json["id"] == his.id


async def test_b26_a_received_key_that_differs_from_the_one_held_is_refused_and_alarmed(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    await make(ann, "photos")
    await hold(ann, "photos", bob)
    held = (await keys_of(bob))[0]
    other = await make(ann, "other")

    def swap(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row.update(record=b64(other.record_bytes), signature=b64(other.signature))

    with monkeypatch.context() as lying:
        lie(lying, "sharing-keys", swap)
        outcome = await ran(bob, "key", "show", held.id)
        assert (outcome.code, outcome.err.startswith("error: ForgedRecord: ")) == (3, True)
    assert (await keys_of(bob))[0].fingerprint == held.fingerprint


async def test_b28_keys_go_on_working_when_the_identity_rotates_or_the_account_is_renamed(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    ann, bob = connected
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(SECRET)
    await make(ann, "photos")
    await hold(ann, "photos", bob)
    held = (await keys_of(bob))[0]
    async with ann.session() as (session, keyring):
        await key_files.encrypt(session, keyring, "photos", plain, sealed)

    assert (await ran(ann, "account", "rotate")).code == 0

    async with bob.session() as (session, keyring):  # the record is signed by the key before
        await key_files.decrypt(session, keyring, sealed, tmp_path / "bob's")
    await turn(ann, "photos", bob)  # and the next one by the new key
    async with bob.session() as (session, keyring):
        now = await sharing_keys.show(session, keyring, held.id)
        await key_files.decrypt(session, keyring, sealed, tmp_path / "bob's again")
    assert (now.name, now.generation) == (held.name, 2)
    assert (tmp_path / "bob's again").read_bytes() == SECRET


async def test_b5_keys_are_backed_up_at_the_suppliers_and_brought_back_on_a_bare_machine(
    suppliers: RunningHome, tmp_path: Path
) -> None:
    ann = somebody("ann", tmp_path, suppliers.url)
    written = await ann.register()
    (tmp_path / "plain").write_bytes(SECRET)
    photos, films = await make(ann, "photos"), await make(ann, "films")
    async with ann.session() as (session, keyring):
        await key_files.encrypt(session, keyring, "photos", tmp_path / "plain", tmp_path / "sealed")
        part, nonce = backup_place(keyring.kek, session.account)
        secrets = {"part": photos.private().to_bytes(), "place": part.to_bytes(), "alias": b"photos"}
        under = sharing_key_id(session.account, nonce)
    await turn(ann, "photos")

    first = await ran(ann, "key", "backup", "--json")
    again = await ran(ann, "key", "backup", "--json")

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert [(each["id"], each["passed"]) for each in again.json] == [(photos.id, True), (films.id, True)]
    copies = [each.parts[-3:] for each in suppliers.data.glob(f"suppliers/*/fragments/{under}/*/0*")]
    assert len(copies) == 5
    assert len(set(copies)) == 1  # the older backup went
    assert found_in(files_of(*suppliers.data.glob("suppliers/*/fragments")), secrets) == []

    async with ann.session() as (session, _):
        lost = (await session.ask(AskSharingKeys(id=photos.id), SharingKeyRow)).one("key", photos.id).wrap
    with closing(sqlite3.connect(suppliers.data / "store.db")) as db, db:
        assert db.execute("DELETE FROM sealed WHERE digest = ?", (lost,)).rowcount == 1
    shutil.rmtree(ann.home)
    bare = replace(ann, home=tmp_path / "bare", passphrase="another passphrase altogether")
    server = parse_connection_string(ann.server)
    await accounts.recover(ProfileFolder(bare.home), server, ann.address, written.recovery, bare.passphrase)
    broken = await ran(bare, "key", "list", "--json")
    assert (broken.code, broken.json[0]["kind"]) == (3, "broken: DoesNotOpen")

    restored = await ran(bare, "key", "restore", "--json")

    assert restored.code == 0, restored.err
    rows = {each["id"]: (each["passed"], each["reason"]) for each in restored.json}
    assert rows == {photos.id: (True, "brought back"), films.id: (True, "it is there")}
    async with bare.session() as (session, keyring):
        await key_files.decrypt(session, keyring, tmp_path / "sealed", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == SECRET
