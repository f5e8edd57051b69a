"""Rows M1 and M2: accounts on several devices, and the key tree of which the backend sees wraps alone."""

import hashlib
import secrets
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from privity.agent import accounts, connections, invitations, items, shares
from privity.agent.accounts import NewAccount
from privity.agent.enrolment import by_login
from privity.agent.keyring import unwrap_kek
from privity.agent.profile import ProfileFolder, secret_of
from privity.connection_string import parse_connection_string
from privity.crypto import labels
from privity.crypto.credentials import decode_recovery, decode_secret, encode_recovery, encode_secret, log_hash
from privity.crypto.kdf import Unlock, argon2id, derive_recovery, derive_unlock, hkdf
from privity.crypto.keyring import unwrap_key
from privity.crypto.sharing import read_manifest, unwrap_own
from privity.encoding import b32, unb64
from privity.errors import BadLogin, BadPassphrase, DoesNotOpen, KeyMismatch, UnknownDevice
from privity.messages.views import AccountRow, AskAccount, AskItems, AskKeys, AskShares, ItemRow, KeyRow, ShareRow
from privity.testing.home import RunningHome
from privity.testing.people import PASSPHRASE, Person, connect
from tests.rows.watching import Wire, canary, files_of, found_in

Newcomer = Callable[[str], Awaitable[tuple[Person, NewAccount]]]
NEW_PASSPHRASE = "tr0ub4dor and three more"


async def login(device: Person, secret: str) -> accounts.Account:
    """Log in on a device of one's own, with the device's passphrase."""
    server = parse_connection_string(device.server)
    return await accounts.login(ProfileFolder(device.home), server, device.address, secret, device.passphrase)


async def account_row(person: Person) -> AccountRow:
    async with person.session() as (session, _):
        return (await session.ask(AskAccount(), AccountRow)).one("account", session.account)


async def labels_of(person: Person) -> list[str]:
    async with person.session() as (session, keyring):
        return [item.content.label for item in await items.all_own(session, keyring)]


def unlocked(written: NewAccount, passphrase: str = PASSPHRASE) -> Unlock:
    """What passphrase and secret give, as an agent derives it."""
    _, _, secret = decode_secret(written.secret)
    return derive_unlock(passphrase, secret, written.account, accounts.KdfParams())


async def test_m1_a_second_machine_logs_in_with_passphrase_and_secret_and_sees_everything(
    newcomer: Newcomer, bob: Person, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    await connect(ann, bob)
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X123"})
        shared = await shares.create(session, keyring, kept.item, bob.address)
        first = await accounts.show(session)

    second = replace(ann, home=tmp_path / "second")
    shown = await login(second, written.secret)

    assert (shown.account, shown.address) == (first.account, ann.address)
    assert (first.devices, shown.devices) == (1, 2)
    async with second.session() as (session, keyring):
        assert await items.all_own(session, keyring) == [kept]
        assert [each.address for each in await connections.all_own(session, keyring)] == [bob.address]
        assert [each.share for each in await shares.all_of(session, keyring)] == [shared.share]
        await items.edit(session, keyring, kept.item, {"number": "X124"})
    async with ann.session() as (session, keyring):
        assert (await items.show(session, keyring, kept.item)).content.slots == {"number": "X124"}


async def test_m1_logout_ends_the_access_of_that_device_and_of_no_other(newcomer: Newcomer, tmp_path: Path) -> None:
    ann, written = await newcomer("ann")
    second, copy = replace(ann, home=tmp_path / "second"), replace(ann, home=tmp_path / "copy")
    await login(second, written.secret)
    shutil.copytree(second.home, copy.home)
    async with copy.session() as (session, keyring):
        before = await items.add(session, keyring, "before", {})
        assert await items.all_own(session, keyring) == [before]

    async with second.session() as (session, keyring):
        await accounts.logout(session, keyring, ProfileFolder(second.home).load())

    assert not ProfileFolder(second.home).exists()
    async with copy.session() as (session, keyring):
        with pytest.raises(UnknownDevice):
            await accounts.show(session)
        with pytest.raises(UnknownDevice):
            await items.all_own(session, keyring)
        with pytest.raises(UnknownDevice):
            await items.add(session, keyring, "after", {})
    assert await labels_of(ann) == ["before"]


async def test_m1_a_bad_login_says_so_and_tells_nothing_more(
    newcomer: Newcomer, bob: Person, backend: RunningHome, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    second = replace(ann, home=tmp_path / "second")
    anchor = log_hash(parse_connection_string(backend.url).log_public)
    foreign = encode_secret(written.account, anchor, secrets.token_bytes(16))
    nobody = encode_secret(b32(secrets.token_bytes(32)), anchor, decode_secret(written.secret)[2])

    tried = [
        replace(second, passphrase="something else").run("account", "login", ann.address, "--secret", written.secret),
        second.run("account", "login", ann.address, "--secret", foreign),
        second.run("account", "login", ann.address, "--secret", nobody),
        second.run("account", "login", bob.address, "--secret", written.secret),
        second.run("account", "login", "nobody@localhost", "--secret", written.secret),
    ]

    assert {each.code for each in tried} == {1}
    assert {each.out for each in tried} == {""}
    assert {each.err for each in tried} == {"error: BadLogin: Address, passphrase and secret do not belong together.\n"}
    assert not ProfileFolder(second.home).exists()
    right = second.json("account", "login", ann.address, "--secret", written.secret)
    assert right["account"] == written.account


async def test_m1_a_mistyped_secret_and_one_of_another_home_are_told_on_the_device_alone(
    newcomer: Newcomer, tmp_path: Path, wire: Wire
) -> None:
    ann, written = await newcomer("ann")
    second = replace(ann, home=tmp_path / "second")
    elsewhere = encode_secret(written.account, bytes(16), decode_secret(written.secret)[2])
    before = len(wire.published)

    with pytest.raises(BadLogin):
        await login(second, written.secret[:-1] + ("a" if written.secret[-1] != "a" else "q"))
    with pytest.raises(KeyMismatch):
        await login(second, elsewhere)

    assert len(wire.published) == before
    assert (await login(second, written.secret)).account == written.account


async def test_m1_neither_passphrase_nor_its_hash_nor_the_secret_is_ever_on_the_bus(
    newcomer: Newcomer, tmp_path: Path, wire: Wire
) -> None:
    ann, written = await newcomer("ann")
    second = replace(ann, home=tmp_path / "second")
    await login(second, written.secret)
    with pytest.raises(BadLogin):
        await login(replace(ann, home=tmp_path / "third", passphrase="a bad guess at it"), written.secret)

    _, _, secret = decode_secret(written.secret)
    params, opened = accounts.KdfParams(), unlocked(written)
    hashes = {name: hashlib.new(name, PASSPHRASE.encode()).digest() for name in ("md5", "sha1", "sha256", "sha512")}
    forbidden = {
        "passphrase": PASSPHRASE.encode(),
        "wrong passphrase": b"a bad guess at it",
        **hashes,
        "argon2id": argon2id(PASSPHRASE.encode(), hkdf(secret, 16, labels.UNLOCK_SALT), params),
        "unlock key": opened.wrap,
        "login key": opened.login.seed,
        "secret": secret,
    }
    assert wire.holding(forbidden) == []
    assert wire.holding({"login key's public part": opened.login.public}) != []


async def test_m2_the_backends_files_hold_no_plaintext_and_no_bare_key(
    newcomer: Newcomer, backend: RunningHome, wire: Wire
) -> None:
    (ann, hers), (bob, his) = await newcomer("ann"), await newcomer("bob")
    label, slot, value, name = canary(), canary(), canary(), canary()
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, label, {slot: value})
        invited = await invitations.invite(session, keyring, bob.address, name=name)
    async with bob.session() as (session, keyring):
        await invitations.accept(session, keyring, invited.link, name=name)
    async with ann.session() as (session, keyring):
        shared = await shares.create(session, keyring, kept.item, bob.address)
    async with bob.session() as (session, keyring):
        assert (await shares.show(session, keyring, shared.share)).content.slots == {slot: value}

    forbidden = {"label": label, "slot": slot, "value": value, "name": name, "passphrase": PASSPHRASE}
    bare = {each: text.encode() for each, text in forbidden.items()}
    for person, written in ((ann, hers), (bob, his)):
        bare |= {f"{person.address}'s {each}": key for each, key in (await keys_of(person, written)).items()}
    bare["S"] = unb64(invited.link.partition("#")[2])
    assert found_in(files_of(backend.data), bare) == []
    assert wire.holding(bare) == []
    seen = {"the item's id": kept.item.encode(), "an address": ann.address.encode()}
    assert {each.partition(" in ")[0] for each in found_in(files_of(backend.data), seen)} == set(seen)


async def keys_of(person: Person, written: NewAccount) -> dict[str, bytes]:
    """Every key below a person's KEK and above it, bare, as only their agent may have it."""
    seed = decode_recovery(written.recovery)[2]
    opened, recovery = unlocked(written), derive_recovery(seed, written.account)
    async with person.session() as (session, keyring):
        found = {
            "secret": decode_secret(written.secret)[2],
            "unlock key": opened.wrap,
            "login key": opened.login.seed,
            "recovery seed": seed,
            "recovery wrap": recovery.wrap,
            "recovery key": recovery.sign.seed,
            "kek": keyring.kek,
            "identity's signing key": keyring.identity.sign.seed,
            "identity's sealing key": keyring.identity.seal.private,
            "device key": keyring.device.seed,
        }
        me = keyring.account.encode()
        kept = await session.ask_all(AskItems(), ItemRow)
        for item in kept.rows:
            place = (me, item.item.encode(), str(item.version).encode())
            found["item's DEK"] = unwrap_key(keyring.kek, kept.blob(item.wrap), labels.PURPOSE_ITEM, *place)
        pairs = await session.ask_all(AskKeys(), KeyRow, fresh=True)
        for pair in pairs.rows:
            place = (me, pair.key.encode(), pair.suite.encode())
            wrapped = pairs.blob(pair.private)
            found["connection key"] = unwrap_key(keyring.kek, wrapped, labels.PURPOSE_CONNECTION_KEY, *place)
        given = await session.ask_all(AskShares(), ShareRow)
        for share in given.rows:
            manifest, wrapped = read_manifest(unb64(share.manifest)), given.blob(share.wrap or "")
            role = "owner" if share.owner == keyring.account else "recipient"
            found["share's DEK"] = unwrap_own(keyring.kek, wrapped, manifest, role)
    return found


async def test_m2_passphrase_and_secret_open_the_kek_and_the_kek_opens_the_rest(newcomer: Newcomer) -> None:
    ann, written = await newcomer("ann")
    right, wrong = unlocked(written), unlocked(written, NEW_PASSPHRASE)
    async with ann.session() as (session, keyring):
        served = await session.ask(AskAccount(), AccountRow, fresh=True)
        assert set(served.sealed) == {served.rows[0].identity}  # the KEK's wraps are for the passphrase's proof alone
        door = await by_login(session.server, session.account, right.login, "login")
        row, sealed = await accounts._keyring(session.server, session.account, right.login, "login", door)

    assert unwrap_kek(right.wrap, sealed[row.kek], labels.PURPOSE_KEK, row.account) == keyring.kek
    with pytest.raises(DoesNotOpen):
        unwrap_kek(wrong.wrap, sealed[row.kek], labels.PURPOSE_KEK, row.account)
    opened = unwrap_key(keyring.kek, sealed[row.identity], labels.PURPOSE_IDENTITY, row.account.encode())
    with pytest.raises(DoesNotOpen):
        unwrap_key(bytes(32), sealed[row.identity], labels.PURPOSE_IDENTITY, row.account.encode())
    assert opened


async def test_m2_the_recovery_text_opens_everything_and_the_old_passphrase_and_secret_open_nothing_more(
    newcomer: Newcomer, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    async with ann.session() as (session, keyring):
        await items.add(session, keyring, "Passport", {"number": "X123"})
    shutil.rmtree(ann.home)
    server = parse_connection_string(ann.server)
    account, anchor, _ = decode_recovery(written.recovery)
    foreign = encode_recovery(account, anchor, secrets.token_bytes(32))

    bare = replace(ann, home=tmp_path / "bare", passphrase=NEW_PASSPHRASE)
    folder = ProfileFolder(bare.home)
    with pytest.raises(BadLogin):
        await accounts.recover(folder, server, ann.address, foreign, NEW_PASSPHRASE)
    with pytest.raises(BadLogin):
        await accounts.recover(folder, server, "nobody@localhost", written.recovery, NEW_PASSPHRASE)
    again = await accounts.recover(folder, server, ann.address, written.recovery, NEW_PASSPHRASE)

    assert (again.account, again.recovery) == (written.account, written.recovery)
    assert await labels_of(bare) == ["Passport"]
    with pytest.raises(BadLogin):
        await login(replace(ann, home=tmp_path / "old"), written.secret)
    with pytest.raises(BadLogin):
        await login(replace(ann, home=tmp_path / "half"), again.secret)
    new = replace(bare, home=tmp_path / "new")
    await login(new, again.secret)
    assert await labels_of(new) == ["Passport"]


async def test_m2_a_new_passphrase_wraps_the_kek_anew_and_nothing_else(newcomer: Newcomer, tmp_path: Path) -> None:
    ann, written = await newcomer("ann")
    async with ann.session() as (session, keyring):
        await items.add(session, keyring, "Passport", {"number": "X123"})
        before = await session.ask(AskItems(), ItemRow)
    was = await account_row(ann)

    async with ann.session() as (session, keyring):
        profile = ProfileFolder(ann.home).load()
        await accounts.change_passphrase(session, keyring, profile, NEW_PASSPHRASE)

    changed = replace(ann, passphrase=NEW_PASSPHRASE)
    now = await account_row(changed)
    assert now.kek != was.kek
    assert replace(now, kek=was.kek) == was
    async with changed.session() as (session, keyring_now):
        assert await session.ask(AskItems(), ItemRow) == before
    assert keyring_now.kek == keyring.kek
    assert keyring_now.identity.sign.public == keyring.identity.sign.public
    assert keyring_now.identity.seal == keyring.identity.seal
    assert secret_of(ProfileFolder(ann.home).load()) == decode_secret(written.secret)[2]
    with pytest.raises(BadPassphrase):
        await labels_of(ann)
    with pytest.raises(BadLogin):
        await login(replace(ann, home=tmp_path / "old"), written.secret)
    second = replace(changed, home=tmp_path / "second")
    await login(second, written.secret)
    assert await labels_of(second) == ["Passport"]
