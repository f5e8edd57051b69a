"""Rows M3 and M4: a keypair for each connection, its private part under the KEK, and reused by its id."""

import pytest

from privity.agent import connections, invitations, items, shares
from privity.agent.connections import Connection
from privity.agent.keyring import Keyring
from privity.agent.keys import ConnectionKey, stored_connection_key
from privity.agent.session import Session
from privity.crypto import labels
from privity.crypto.kem import KeyPair, Suite, public_of
from privity.crypto.keyring import unwrap_key
from privity.encoding import new_id, unb64
from privity.errors import DoesNotOpen, KeyNotFound
from privity.messages.views import AskKeys, AskShares, KeyRow, ShareRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.watching import Wire, files_of, found_in


async def keys_of(session: Session) -> tuple[KeyRow, ...]:
    return (await session.ask_all(AskKeys(), KeyRow)).rows


async def key_with(ann: Person, bob: Person) -> Connection:
    """Ann's connection with Bob."""
    async with ann.session() as (session, keyring):
        return await connections.with_person(session, keyring, bob.address)


async def test_m3_each_connection_has_a_keypair_of_its_own_x_wing_by_default(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)

    with_bob, with_carol = await key_with(ann, bob), await key_with(ann, carol)

    async with ann.session() as (session, _):
        rows = {row.key: row for row in await keys_of(session)}
    assert set(rows) == {with_bob.key, with_carol.key}
    assert len({row.public for row in rows.values()}) == 2
    assert {row.suite for row in rows.values()} == {Suite.X_WING} == {with_bob.suite}
    assert {len(unb64(row.public)) for row in rows.values()} == {1216}


async def test_m3_the_private_part_is_stored_only_wrapped_by_the_kek(
    ann: Person, bob: Person, backend: RunningHome, wire: Wire
) -> None:
    await connect(ann, bob)
    bare = {}
    for each in (ann, bob):
        async with each.session() as (session, keyring):
            found = await session.ask_all(AskKeys(), KeyRow, fresh=True)
            row = found.rows[0]
            place = keyring.account.encode(), row.key.encode(), row.suite.encode()
            wrapped = found.blob(row.private)
            private = unwrap_key(keyring.kek, wrapped, labels.PURPOSE_CONNECTION_KEY, *place)
            assert public_of(Suite.X_WING, private) == unb64(row.public)
            with pytest.raises(DoesNotOpen):
                unwrap_key(bytes(32), wrapped, labels.PURPOSE_CONNECTION_KEY, *place)
            bare[each.address] = private
            assert wrapped not in bare.values()
            assert found_in(files_of(backend.data), {"wrapped": wrapped}) != []

    assert found_in(files_of(backend.data), bare) == []
    assert wire.holding(bare) == []


async def test_m3_a_share_works_over_rsa_4096_and_over_x25519_on_request(ann: Person, bob: Person) -> None:
    async with ann.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, bob.address, suite=Suite.RSA)
        hers = await items.add(session, keyring, "Hers", {"over": "X25519"})
    async with bob.session() as (session, keyring):
        await invitations.accept(session, keyring, invited.link, suite=Suite.X25519)
        his = await items.add(session, keyring, "His", {"over": "RSA"})

    await _shared_over(ann, bob, hers.item, Suite.X25519, b"HPKE-X25519-HKDF-SHA256-AES-256-GCM")
    await _shared_over(bob, ann, his.item, Suite.RSA, b"RSA-4096-OAEP-SHA256")


async def _shared_over(giver: Person, reader: Person, item: str, suite: Suite, header: bytes) -> None:
    """The reader reads what was sealed by this suite, and by no other."""
    async with giver.session() as (session, keyring):
        given = await shares.create(session, keyring, item, reader.address)
    async with reader.session() as (session, keyring):
        found = await session.ask(AskShares(id=given.share), ShareRow, fresh=True)
        row = found.rows[0]
        assert header in found.blob(row.wrap or "")[:64]
        assert (await shares.show(session, keyring, given.share)).content == given.content
        own = (await connections.with_person(session, keyring, giver.address)).key
        assert {each.key: each.suite for each in await keys_of(session)}[own] == suite


async def test_m4_a_stored_keypair_is_used_again_by_its_id(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    carol = await person("carol")
    first = await key_with(ann, bob)

    again = ann.json("invite", carol.address, "--key", first.key)
    async with carol.session() as (session, keyring):
        used = await invitations.accept(session, keyring, again["link"])

    second = await key_with(ann, carol)
    assert second.key == first.key == used.peer_key
    assert second.own_public == first.own_public == used.note.public
    async with ann.session() as (session, _):
        assert len(await keys_of(session)) == 1


async def test_m4_a_stored_keypair_accepts_too(connected: tuple[Person, Person], person: MakePerson) -> None:
    ann, bob = connected
    dave = await person("dave")
    first = await key_with(ann, bob)
    async with dave.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, ann.address)

    async with ann.session() as (session, keyring):
        accepted = await invitations.accept(session, keyring, invited.link, key=first.key[:10])
        assert [row.key for row in await keys_of(session)] == [first.key]

    assert (accepted.key, accepted.verified) == (first.key, True)
    assert (await key_with(dave, ann)).public == unb64(first.own_public)


async def test_m4_an_unknown_keypair_is_refused_by_name(ann: Person) -> None:
    unknown = new_id()

    tried = ann.run("invite", "bob@localhost", "--key", unknown)

    assert (tried.code, tried.out, tried.err) == (1, "", f"error: KeyNotFound: there is no keypair {unknown}\n")
    async with ann.session() as (session, _):
        assert await invitations.all_both_ways(session) == []


async def test_m4_nobody_invites_with_the_keypair_of_somebody_else(
    connected: tuple[Person, Person], person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    theirs = await key_with(ann, bob)
    eve = await person("eve")

    async def stolen(session: Session, keyring: Keyring, id: str | None, suite: Suite) -> ConnectionKey:
        return ConnectionKey(theirs.peer_key, KeyPair(Suite.X_WING, b"", theirs.public))

    async with eve.session() as (session, keyring):
        with pytest.raises(KeyNotFound):
            await stored_connection_key(session, keyring, theirs.peer_key)
        with monkeypatch.context() as patch:
            patch.setattr(invitations, "_key", stolen)
            with pytest.raises(KeyNotFound, match=theirs.peer_key):
                await invitations.invite(session, keyring, "carol@localhost")
        await invitations.invite(session, keyring, "carol@localhost")
        assert len(await invitations.all_both_ways(session)) == 1
