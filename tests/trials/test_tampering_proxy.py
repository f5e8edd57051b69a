"""S1-S9: a home that bends what it serves, on the wire; after a lie nothing is signed or sealed, and truth works."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import accounts, connections, invitations, items, shares
from privity.agent.accounts import NewAccount
from privity.agent.connections import Broken
from privity.agent.keyring import Keyring, unwrap_kek
from privity.agent.profile import ProfileFolder, secret_of
from privity.agent.session import Session
from privity.connection_string import parse_connection_string
from privity.crypto import labels
from privity.crypto.connection import connection_id
from privity.crypto.items import seal_item
from privity.crypto.kdf import KdfParams, derive_unlock
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.keyring import new_dek, new_kek
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id, sha256, unb64
from privity.errors import (
    BadSignature,
    DoesNotOpen,
    ForgedRecord,
    IntegrityAlarm,
    KeyMismatch,
    Malformed,
    PrivityError,
)
from privity.messages.accounts import ChangePassphrase, Kdf
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.trials.proxy import Blobs, Lie, Proxy, Row

pytestmark = pytest.mark.trial

Act = Callable[[Session, Keyring], Awaitable[Any]]
ALARM = (IntegrityAlarm, Malformed)


@dataclass(frozen=True, slots=True)
class Story:
    """Ann shared her passport with Bob, who claimed it; and she has a phone that she did not share."""

    ann: Person
    bob: Person
    item: str
    phone: str
    share: str
    connection: str
    key: str


@pytest.fixture
async def story(connected: tuple[Person, Person]) -> Story:
    """Told in truth, before any lie."""
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X123"})
        phone = await items.add(session, keyring, "Phone", {"number": "1"})
        made = await shares.create(session, keyring, item.item, bob.address)
        connection = await connections.show(session, keyring, made.connection)
    async with bob.session() as (session, keyring):
        await shares.show(session, keyring, made.share)
    return Story(ann, bob, item.item, phone.item, made.share, made.connection, connection.key)


async def lied_to(proxy: Proxy, who: Person, view: str, lie: Lie, act: Act) -> PrivityError:
    """What somebody's agent says when one view lies; it has sent no command."""
    before = len(proxy.commands)
    with proxy.lying(view, lie):
        async with proxy.person(who).session() as (session, keyring):
            with pytest.raises(PrivityError) as told:
                await act(session, keyring)
    assert [each.subject for each in proxy.commands[before:]] == [], "something was signed and sent"
    return told.value


async def in_truth(proxy: Proxy, who: Person, act: Act) -> Any:
    """The same by the same way without a lie."""
    async with proxy.person(who).session() as (session, keyring):
        return await act(session, keyring)


def sharing(item: str, address: str) -> Act:
    return lambda session, keyring: shares.create(session, keyring, item, address)


def first(field: str, value: Any) -> Lie:
    """Another value in the first row."""
    return lambda rows, _: rows[0].update({field: value})


def exchanged(view_field: str, make: Callable[[bytes], bytes]) -> Lie:
    """Another sealed object in place of the first row's, under its right digest."""

    def lie(rows: list[Row], blobs: Blobs) -> None:
        if rows[0][view_field] not in blobs:  # not yet: it is released for the nonce that comes with this answer
            return
        bent = make(blobs.pop(rows[0][view_field]))
        rows[0][view_field] = digest(bent)
        blobs[digest(bent)] = bent

    return lie


def swapped(*names: str) -> Lie:
    """The first two rows with these fields of each other."""

    def lie(rows: list[Row], _: Blobs) -> None:
        for name in names:
            rows[0][name], rows[1][name] = rows[1][name], rows[0][name]

    return lie


def turned(one: str, other: str) -> Lie:
    """Two fields of the first row, in each other's place."""
    return lambda rows, _: rows[0].update({one: rows[0][other], other: rows[0][one]})


def rewritten(field: str, **facts: Any) -> Lie:
    """A record in the first row that says something else, canonical as ever."""

    def lie(rows: list[Row], _: Blobs) -> None:
        rows[0][field] = b64(encode_record(json.loads(unb64(rows[0][field])) | facts))

    return lie


def with_its_id(lie: Lie) -> Lie:
    """The same lie, with the connection id that fits it."""

    def more(rows: list[Row], blobs: Blobs) -> None:
        lie(rows, blobs)
        for row in rows:
            row["connection"] = connection_id(unb64(row["offer"]), unb64(row["acceptance"]))

    return more


FOREIGN = b64(generate_keypair().public)
SWAPS = {
    "the key": first("peer_public", FOREIGN),
    "the key in the record": rewritten("acceptance", public=FOREIGN),
    "the key in the record, and the connection's id": with_its_id(rewritten("acceptance", public=FOREIGN)),
    "the key everywhere": with_its_id(
        lambda rows, blobs: (
            rewritten("acceptance", public=FOREIGN)(rows, blobs),
            rows[0].update(peer_public=FOREIGN),
        )[0]
    ),
    "the person": first("peer", "a" * 52),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
@pytest.mark.parametrize("shared_before", [False, True], ids=["first share", "after a share"])
async def test_s1_a_key_that_is_swapped_is_not_sealed_to(
    connected: tuple[Person, Person], proxy: Proxy, swap: Lie, shared_before: bool
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X123"})
        await connections.all_own(session, keyring)
        if shared_before:
            await shares.create(session, keyring, item.item, bob.address)

    alarm = await lied_to(proxy, ann, "connections", swap, sharing(item.item, bob.address))

    assert isinstance(alarm, (KeyMismatch, ForgedRecord))
    assert (await in_truth(proxy, ann, sharing(item.item, bob.address))).recipient == bob.address
    assert [each.subject.rpartition(".")[2] for each in proxy.commands] == ["create"]


async def test_s1_a_swapped_key_is_an_alarm_on_the_command_line_too(story: Story, proxy: Proxy) -> None:
    ann = proxy.person(story.ann)
    with proxy.lying("connections", SWAPS["the key"]):
        told = await asyncio.to_thread(ann.run, "share", "create", story.phone, "--with", story.bob.address)
    assert (told.code, told.out, proxy.commands) == (3, "", [])
    assert told.err.startswith("error: KeyMismatch: ")

    done = await asyncio.to_thread(ann.run, "share", "create", story.phone, "--with", story.bob.address)
    assert done.code == 0


async def test_s2_a_public_part_that_is_not_the_private_ones_is_used_for_nothing(story: Story, proxy: Proxy) -> None:
    def invite(session: Session, keyring: Keyring) -> Awaitable[Any]:
        return invitations.invite(session, keyring, "carol@localhost", key=story.key)

    for lie in (first("public", FOREIGN), first("public", b64(bytes(32))), first("public", "")):
        assert isinstance(await lied_to(proxy, story.ann, "keys", lie, invite), KeyMismatch)

    assert (await in_truth(proxy, story.ann, invite)).link


async def test_s2_what_was_shared_is_not_claimed_with_such_a_key(story: Story, proxy: Proxy) -> None:
    async with story.ann.session() as (session, keyring):
        made = await shares.create(session, keyring, story.phone, story.bob.address)

    def read(session: Session, keyring: Keyring) -> Awaitable[Any]:
        return shares.show(session, keyring, made.share)

    assert isinstance(await lied_to(proxy, story.bob, "keys", first("public", FOREIGN), read), KeyMismatch)
    assert (await in_truth(proxy, story.bob, read)).content.slots == {"number": "1"}


async def test_s2_ones_own_public_key_is_shown_as_one_signed_it(story: Story, proxy: Proxy) -> None:
    def show(session: Session, keyring: Keyring) -> Awaitable[Any]:
        return connections.show(session, keyring, story.connection)

    honest = await in_truth(proxy, story.ann, show)
    with proxy.lying("connections", first("public", FOREIGN)):
        async with proxy.person(story.ann).session() as (session, keyring):
            try:
                shown = (await show(session, keyring)).own_public
            except IntegrityAlarm:
                return
    assert shown == honest.own_public


def bends(other: bytes) -> dict[str, Callable[[bytes], bytes]]:
    """What can be done to a wrapped key; `other` is a sound one of somebody else's."""

    def flipped(at: int) -> Callable[[bytes], bytes]:
        return lambda blob: blob[: at % len(blob)] + bytes([blob[at % len(blob)] ^ 1]) + blob[at % len(blob) + 1 :]

    return {
        "magic": flipped(0),
        "suite": flipped(8),
        "commitment": flipped(30),
        "nonce": flipped(62),
        "body": flipped(75),
        "tag": flipped(-1),
        "cut": lambda blob: blob[:-1],
        "longer": lambda blob: blob + b"\0",
        "empty": lambda blob: b"",
        "header alone": lambda blob: blob[:28],
        "somebody else's": lambda blob: other,
        "spliced": lambda blob: blob[: len(blob) // 2] + other[len(blob) // 2 :],
    }


async def test_s3_a_bent_or_spliced_wrap_does_not_open_with_one_and_the_same_error(
    story: Story, proxy: Proxy, person: MakePerson
) -> None:
    eve = await person("eve")
    async with eve.session() as (_, hers):
        foreign = seal_item(hers.kek, new_dek(), b"x", account=hers.account, item=story.item, version=1)[1]
    async with story.ann.session() as (session, keyring):
        unclaimed = (await shares.create(session, keyring, story.phone, story.bob.address)).share
    ways: list[tuple[str, str, Person, Act]] = [
        ("items", "wrap", story.ann, lambda s, k: items.show(s, k, story.item)),
        ("keys", "private", story.ann, lambda s, k: invitations.invite(s, k, "carol@localhost", key=story.key)),
        ("shares", "wrap", story.bob, lambda s, k: shares.show(s, k, story.share)),
        ("shares", "wrap", story.bob, lambda s, k: shares.show(s, k, unclaimed)),
        ("connections", "note", story.ann, lambda s, k: connections.show(s, k, story.connection)),
    ]
    told: dict[tuple[type, str], list[str]] = {}
    for view, field, who, act in ways:
        for cause, bend in bends(foreign).items():
            error = await lied_to(proxy, who, view, exchanged(field, bend), act)
            told.setdefault((type(error), error.message), []).append(f"{view}.{field}: {cause}")
    assert list(told) == [(DoesNotOpen, DoesNotOpen.__doc__)], told

    for _, _, who, act in ways:
        assert await in_truth(proxy, who, act)


async def test_s3_a_bent_keyring_opens_no_account_and_enrols_no_device(
    proxy: Proxy, tmp_path: Path, person: MakePerson
) -> None:
    ann, other = somebody("ann", tmp_path, proxy.url), await person("other")
    new = await ann.register()
    async with other.session() as (_, keyring):
        foreign = seal_item(keyring.kek, new_dek(), b"x", account=keyring.account, item="i", version=1)[1]
    registered = len(proxy.commands)
    told = set()
    for field in ("kek", "identity"):
        for cause in ("magic", "commitment", "tag", "cut", "somebody else's", "spliced"):  # logins are rationed
            bend = bends(foreign)[cause]
            with proxy.lying("keyring", exchanged(field, bend)), pytest.raises(PrivityError) as error:
                await login(proxy, tmp_path / new_id(), ann, new)
            told.add((type(error.value), error.value.message))
    assert told == {(DoesNotOpen, DoesNotOpen.__doc__)}
    assert len(proxy.commands) == registered

    assert (await login(proxy, tmp_path / new_id(), ann, new)).account == new.account


async def login(proxy: Proxy, home: Path, who: Person, new: NewAccount) -> accounts.Account:
    """A first login on another device."""
    server = parse_connection_string(proxy.url)
    return await accounts.login(ProfileFolder(home), server, who.address, new.secret, who.passphrase)


def chain_with(change: Callable[[list[Any]], None], field: str = "chain") -> Lie:
    return lambda rows, _: change(rows[0][field])


async def test_s4_what_was_moved_within_or_between_records_does_not_hold(
    story: Story, proxy: Proxy, person: MakePerson
) -> None:
    """Two connections, two keys, two items and two shares, and every field of one in the place of the other."""
    carol = await person("carol")
    await connect(story.ann, carol)
    async with story.ann.session() as (session, keyring):
        await connections.all_own(session, keyring)
        await shares.create(session, keyring, story.phone, story.bob.address)
    async with story.bob.session() as (session, keyring):
        await shares.all_of(session, keyring)

    async def every_connection(session: Session, keyring: Keyring) -> None:
        for each in await connections.all_own(session, keyring):
            if isinstance(each, Broken):
                raise each.alarm

    async def every_share(session: Session, keyring: Keyring) -> None:
        for each in await shares.all_of(session, keyring, "incoming"):
            if isinstance(each, Broken):
                raise each.alarm

    def invite(session: Session, keyring: Keyring) -> Awaitable[Any]:
        return invitations.invite(session, keyring, "dora@localhost", key=story.key)

    every_item, account = items.all_own, lambda session, _: accounts.show(session)
    moves: list[tuple[Person, str, Lie, Act]] = [
        *((story.ann, "items", swapped(*fields), every_item) for fields in (("item",), ("content",), ("wrap",))),
        (story.ann, "items", swapped("content", "wrap"), every_item),
        (story.ann, "items", first("version", 2), every_item),
        (story.ann, "items", turned("content", "wrap"), every_item),
        (story.ann, "keys", first("suite", "X25519"), invite),
        (story.ann, "keys", first("suite", "RSA-4096-OAEP"), invite),
        *(
            (story.ann, "connections", swapped(*fields), every_connection)
            for fields in (
                ("note",),
                ("invitation",),
                ("invitation", "note"),
                ("connection",),
                ("offer",),
                ("acceptance",),
                ("offer", "acceptance"),
                ("connection", "offer", "acceptance"),
                ("peer",),
                ("peer_chain",),
                ("peer", "peer_chain"),
                ("peer_public",),
                ("peer", "peer_chain", "peer_public", "offer", "acceptance", "connection"),
            )
        ),
        (story.ann, "connections", turned("offer", "acceptance"), every_connection),
        *(
            (story.bob, "shares", swapped(*fields), every_share)
            for fields in (
                ("share",),
                ("space",),
                ("item",),
                ("wrap",),
                ("content",),
                ("content", "wrap"),
                ("manifest",),
                ("signature",),
                ("manifest", "signature"),
                ("manifest", "signature", "content", "wrap"),
            )
        ),
        (story.bob, "shares", turned("owner", "recipient"), every_share),
        (story.bob, "shares", turned("content", "wrap"), every_share),
        (story.bob, "shares", first("version", 2), every_share),
        (story.ann, "account", chain_with(lambda chain: chain.reverse()), account),
        (story.ann, "account", chain_with(lambda chain: chain.append(chain[-1])), account),
        (story.ann, "account", chain_with(lambda chain: chain.pop(0)), account),
        (
            story.ann,
            "account",
            chain_with(lambda chain: chain[0].update(signatures=chain[1]["signatures"][:1])),
            account,
        ),
        (story.ann, "account", chain_with(lambda chain: chain[1]["signatures"].reverse()), account),
    ]
    for number, (who, view, lie, act) in enumerate(moves):
        error = await lied_to(proxy, who, view, lie, act)
        assert isinstance(error, ALARM), f"move {number} of {view}: {error!r}"
    acts: list[tuple[Person, Act]] = [
        (story.ann, every_item),
        (story.ann, invite),
        (story.ann, every_connection),
        (story.bob, every_share),
        (story.ann, account),
    ]
    for who, act in acts:
        await in_truth(proxy, who, act)


async def test_s4_the_parts_of_a_keyring_do_not_stand_for_each_other(proxy: Proxy, tmp_path: Path) -> None:
    ann = somebody("ann", tmp_path, proxy.url)
    new = await ann.register()
    for one, other in (("kek", "kek_recovery"), ("kek", "identity"), ("kek_recovery", "identity")):
        lie = turned(one, other)
        with proxy.lying("keyring", lie), pytest.raises(DoesNotOpen):
            await login(proxy, tmp_path / new_id(), ann, new)
    assert (await login(proxy, tmp_path / new_id(), ann, new)).account == new.account


COSTS = {
    "cheap": {"memory_kib": 8, "iterations": 1, "lanes": 1},
    "a pass less": {"memory_kib": 64 * 1024, "iterations": 2, "lanes": 4},
    "endless": {"memory_kib": 2**31, "iterations": 2**31, "lanes": 2**20},
}


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
async def test_s5_a_served_cost_is_never_derived_with(proxy: Proxy, tmp_path: Path, cost: dict[str, int]) -> None:
    """The salt comes from the secret and is not served at all; the cost is served, and not used for a login."""
    ann = somebody("ann", tmp_path, proxy.url)
    new = await ann.register()
    home = tmp_path / "second"
    with proxy.lying("keyring", first("kdf", cost)):
        assert (await login(proxy, home, ann, new)).account == new.account
    assert ProfileFolder(home).load().kdf == KdfParams().to_json_dict()


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
async def test_s5_a_cost_that_was_lowered_is_refused_before_anything_is_derived(
    ann: Person, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, cost: dict[str, int]
) -> None:
    """In the profile's file, and in a command to the home."""
    folder = ProfileFolder(ann.home)
    profile = folder.load()
    derived: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr("privity.crypto.kdf.argon2id", lambda *_: derived.append(1))
        folder.save(replace(profile, kdf=cost))
        with pytest.raises(Malformed):
            async with ann.session():
                pass
    assert derived == []
    folder.save(profile)

    async with proxy.person(ann).session() as (session, _):
        with pytest.raises(Malformed, match="cost"):
            await session.send(ChangePassphrase(b64(bytes(32)), Kdf(**cost), digest(b"wrap")), b"wrap")
    async with proxy.person(ann).session() as (session, keyring):
        await accounts.change_passphrase(session, keyring, profile, "another")
    async with replace(ann, passphrase="another").session() as (session, _):
        assert (await accounts.show(session)).account == profile.account


async def test_s6_a_suite_that_is_removed_or_lowered_is_refused_in_an_offer(
    ann: Person, bob: Person, proxy: Proxy
) -> None:
    """The suite is in the certificate and under the MAC."""
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address)

    def accept(session: Session, keyring: Keyring) -> Awaitable[Any]:
        return invitations.accept(session, keyring, made.link)

    weak = b64(generate_keypair(Suite.X25519).public)

    def without(rows: list[Row], _: Blobs) -> None:
        record = json.loads(unb64(rows[0]["record"]))
        del record["suite"]
        rows[0]["record"] = b64(encode_record(record))

    for lie in (
        rewritten("record", suite="X25519"),
        rewritten("record", suite="X25519", public=weak),
        rewritten("record", suite=""),
        rewritten("record", suite="none"),
        without,
    ):
        assert isinstance(await lied_to(proxy, bob, "offer", lie, accept), ALARM)
    assert (await in_truth(proxy, bob, accept)).verified


async def test_s6_a_suite_that_is_lowered_in_what_stands_is_refused(story: Story, proxy: Proxy) -> None:
    weak = b64(generate_keypair(Suite.X25519).public)
    lies: list[tuple[str, Person, Lie, Act]] = [
        (
            "connections",
            story.ann,
            with_its_id(rewritten("acceptance", suite="X25519", public=weak)),
            sharing(story.phone, story.bob.address),
        ),
        (
            "connections",
            story.ann,
            rewritten("acceptance", suite="X25519", public=weak),
            sharing(story.phone, story.bob.address),
        ),
        ("shares", story.bob, rewritten("manifest", suite="X25519"), lambda s, k: shares.show(s, k, story.share)),
        (
            "account",
            story.ann,
            lambda rows, _: rows[0]["chain"][-1].update(record=lowered(rows[0]["chain"][-1]["record"])),
            lambda s, k: invitations.invite(s, k, "carol@localhost"),
        ),
    ]
    for view, who, lie, act in lies:
        assert isinstance(await lied_to(proxy, who, view, lie, act), ALARM)
    for _, who, _, act in lies:
        assert await in_truth(proxy, who, act)


def lowered(record: str) -> str:
    weak = generate_keypair(Suite.X25519)
    return b64(encode_record(json.loads(unb64(record)) | {"seal": b64(weak.public), "seal_suite": str(weak.suite)}))


async def test_s6_a_suite_that_is_lowered_in_a_command_breaks_its_signature(story: Story, proxy: Proxy) -> None:
    def lower(_: str, data: bytes) -> list[bytes]:
        assert data.count(b'"MLKEM768_X25519"') == 1
        changed = data.replace(b'"MLKEM768_X25519"', b'"X25519"         ')
        return [changed]

    async with proxy.person(story.ann).session() as (session, keyring):
        with proxy.bending_commands(lower), pytest.raises(BadSignature):
            await shares.create(session, keyring, story.phone, story.bob.address)
        assert [each.share for each in await shares.all_of(session, keyring)] == [story.share]
        assert await shares.create(session, keyring, story.phone, story.bob.address)


def forged_next(chain: list[Any], signer: SigningKey, **changes: Any) -> dict[str, Any]:
    """A record that follows the chain, signed by a key that is not in it."""
    last = unb64(chain[-1]["record"])
    facts = json.loads(last) | {"n": json.loads(last)["n"] + 1, "prev": b64(sha256(last))} | changes
    data = encode_record(facts)
    by = labels.IDENTITY_BY_RECOVERY if "recovery_public" in changes else labels.IDENTITY_BY_PREVIOUS
    signatures = [b64(signer.sign(by, data)), b64(signer.sign(labels.IDENTITY_BY_NEW, data))]
    return {"record": b64(data), "signatures": signatures}


HOMES_OWN = SigningKey.generate()
PLANTED = {
    "a recovery key": {"recovery": b64(sha256(HOMES_OWN.public))},
    "a recovery key that is revealed at once": {
        "recovery": b64(sha256(HOMES_OWN.public)),
        "recovery_public": b64(HOMES_OWN.public),
    },
    "a sign key": {"sign": b64(HOMES_OWN.public)},
    "a device": {"devices": {"a" * 26: b64(HOMES_OWN.public)}},
    "a key to be sealed to": {"seal": FOREIGN},
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
async def test_s7_s8_a_key_or_device_that_the_person_did_not_sign_is_neither_taken_nor_sealed_to(
    story: Story, proxy: Proxy, planted: dict[str, Any]
) -> None:
    own = chain_with(lambda chain: chain.append(forged_next(chain, HOMES_OWN, **planted)))
    peers = chain_with(lambda chain: chain.append(forged_next(chain, HOMES_OWN, **planted)), "peer_chain")
    offers = chain_with(lambda chain: chain.append(forged_next(chain, HOMES_OWN, **planted)))
    async with story.ann.session() as (session, keyring):
        link = (await invitations.invite(session, keyring, "carol@localhost")).link
    ways: list[tuple[Person, str, Lie, Act]] = [
        (story.ann, "account", own, lambda s, _: accounts.show(s)),
        (story.ann, "account", own, lambda s, k: invitations.invite(s, k, "carol@localhost")),
        (story.ann, "connections", peers, sharing(story.phone, story.bob.address)),
    ]
    for who, view, lie, act in ways:
        assert isinstance(await lied_to(proxy, who, view, lie, act), ForgedRecord)
    error = await lied_to(
        proxy, story.bob, "offer", offers, lambda s, k: invitations.accept(s, k, link)
    )  # although they are connected already: nothing is looked at before the chain
    assert isinstance(error, ForgedRecord)
    for who, _, _, act in ways:
        assert await in_truth(proxy, who, act)


async def test_s7_a_new_passphrase_wraps_the_kek_for_the_person_alone(ann: Person, proxy: Proxy) -> None:
    """Whatever recovery key the home claims: one wrap goes out, and passphrase and secret open it."""
    profile = ProfileFolder(ann.home).load()
    lie = chain_with(lambda chain: chain.append(forged_next(chain, HOMES_OWN, recovery=b64(sha256(HOMES_OWN.public)))))
    with proxy.lying("account", lie):
        async with proxy.person(ann).session() as (session, keyring):
            await accounts.change_passphrase(session, keyring, profile, "another")
    (command,) = proxy.commands
    (wrap,) = command.sealed
    unlocked = derive_unlock("another", secret_of(profile), profile.account, KdfParams())
    assert unwrap_kek(unlocked.wrap, wrap, labels.PURPOSE_KEK, profile.account) == keyring.kek


async def test_s8_a_member_that_the_home_adds_to_a_space_is_sealed_nothing(
    story: Story, proxy: Proxy, person: MakePerson
) -> None:
    eve = ProfileFolder((await person("eve")).home).load().account

    with proxy.lying("spaces", lambda rows, _: [row["members"].append(eve) for row in rows] and None):
        made = await in_truth(proxy, story.ann, sharing(story.phone, story.bob.address))
    (command,) = proxy.commands
    assert len(command.sealed) == 3  # the content, and one wrap for each of the two
    assert command.envelope.body["recipient"] == ProfileFolder(story.bob.home).load().account
    read = await in_truth(proxy, story.bob, lambda s, k: shares.show(s, k, made.share))
    assert read.content.slots == {"number": "1"}


async def test_s9_an_item_that_the_home_made_is_not_the_persons(story: Story, proxy: Proxy) -> None:
    async with story.ann.session() as (_, keyring):
        account = keyring.account
    content, wrap = seal_item(new_kek(), new_dek(), b'{"label":"x","slots":{}}', account=account, item="i", version=1)

    def plant(rows: list[Row], blobs: Blobs) -> None:
        rows.append({"item": new_id(), "version": 1, "content": digest(content), "wrap": digest(wrap)})
        blobs |= {digest(content): content, digest(wrap): wrap}

    assert isinstance(await lied_to(proxy, story.ann, "items", plant, items.all_own), DoesNotOpen)
    assert len(await in_truth(proxy, story.ann, items.all_own)) == 2


async def test_s9_a_share_that_its_sender_did_not_sign_is_refused_and_named(story: Story, proxy: Proxy) -> None:
    planted = new_id()

    def plant(rows: list[Row], _: Blobs) -> None:
        row = dict(rows[0]) | {"share": planted}
        record = json.loads(unb64(row["manifest"])) | {"share": planted}
        row["manifest"] = b64(encode_record(record))
        row["signature"] = b64(HOMES_OWN.sign(labels.SHARE_MANIFEST, unb64(row["manifest"])))
        rows.append(row)

    with proxy.lying("shares", plant):
        async with proxy.person(story.bob).session() as (session, keyring):
            good, broken = await shares.all_of(session, keyring)
    assert isinstance(broken, Broken)
    assert (broken.id, type(broken.alarm)) == (planted, ForgedRecord)
    assert not isinstance(good, Broken)
    assert good.content.slots == {"number": "X123"}
    assert proxy.commands == []


async def test_a_command_that_the_home_bends_or_forges_is_not_the_persons(story: Story, proxy: Proxy) -> None:
    """Every part of it is under the signature, or named there by digest; and the result is held against it."""

    def other_object(_: str, data: bytes) -> list[bytes]:
        return [data[:-1] + bytes([data[-1] ^ 1])]

    def other_result(_: str, data: bytes) -> list[bytes]:
        said = json.loads(data)
        for event in said["events"]:
            event["data"] = event["data"].replace(proxy.commands[-1].envelope.account[:5], "aaaaa", 0)
            told = json.loads(event["data"])
            told["meta"]["digest"] = digest(b"another command")
            event["data"] = json.dumps(told)
        return [json.dumps(said).encode()]

    async def add(session: Session, keyring: Keyring) -> Any:
        return await items.add(session, keyring, "Note", {"a": "b"})

    async with proxy.person(story.ann).session() as (session, keyring):
        with proxy.bending_commands(other_object), pytest.raises(PrivityError, match="sealed object"):
            await add(session, keyring)
        with proxy.bending_results(other_result), pytest.raises(ForgedRecord):
            await add(session, keyring)
        assert (await add(session, keyring)).version == 1
