"""What a backend may serve in place of the truth, and how the agent notices; each time the truth goes through."""

import json
from typing import Any

import pytest

from privity.agent import connections, invitations, items, shares
from privity.agent.connections import Broken, Connection
from privity.crypto.invitation import connection_id
from privity.crypto.kem import generate_keypair
from privity.crypto.record import encode_record
from privity.encoding import b64, unb64
from privity.errors import ForgedRecord, KeyMismatch
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.watching import lie

Row = dict[str, Any]


def with_a_key_of_its_own(rows: list[Row]) -> None:
    """Another acceptance in the other's name, and the connection id that goes with it."""
    for row in rows:
        record = json.loads(unb64(row["acceptance"])) | {"public": b64(generate_keypair().public)}
        row["acceptance"] = b64(encode_record(record))
        row["connection"] = connection_id(unb64(row["offer"]), unb64(row["acceptance"]))


async def test_s1_a_swapped_record_with_its_own_connection_id_is_not_sealed_to(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X123"})
        await connections.all_own(session, keyring)

    with monkeypatch.context() as patch:
        lie(patch, "connections", with_a_key_of_its_own)
        async with ann.session() as (session, keyring):
            with pytest.raises(KeyMismatch):
                await shares.create(session, keyring, kept.item, bob.address)

    async with ann.session() as (session, keyring):
        assert await shares.create(session, keyring, kept.item, bob.address)


async def test_s1_the_safety_number_is_not_the_backends_to_choose(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bob = connected
    with monkeypatch.context() as patch:
        lie(patch, "connections", with_a_key_of_its_own)
        async with bob.session() as (session, keyring):
            [shown] = await connections.all_own(session, keyring)
            assert isinstance(shown, Broken)
            assert isinstance(shown.alarm, KeyMismatch)


async def test_s9_another_item_than_the_one_asked_for_is_not_shared(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        phone = await items.add(session, keyring, "Phone", {"number": "1"})
        passport = await items.add(session, keyring, "Passport", {"number": "X123"})

    with monkeypatch.context() as patch:
        lie(patch, "items", lambda rows: rows[0].update(item=passport.item))
        async with ann.session() as (session, keyring):
            with pytest.raises(ForgedRecord, match="another item"):
                await shares.create(session, keyring, phone.item, bob.address)

    async with ann.session() as (session, keyring):
        assert (await shares.create(session, keyring, phone.item, bob.address)).item == phone.item


async def test_an_address_that_is_not_ones_own_is_never_signed(ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        lie(patch, "account", lambda rows: rows[0].update(address="carol@localhost"))
        async with ann.session() as (session, keyring):
            with pytest.raises(ForgedRecord, match="another address"):
                await invitations.invite(session, keyring, "bob@localhost")

    async with ann.session() as (session, keyring):
        assert (await invitations.invite(session, keyring, "bob@localhost")).link


async def test_a_person_goes_by_the_address_that_was_invited_not_by_the_one_they_claim(
    ann: Person, person: MakePerson
) -> None:
    mallory, bob = await person("mallory"), await person("bob")
    async with ann.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, bob.address)
    async with mallory.session() as (session, keyring):
        await invitations.accept(session, keyring, invited.link)

    async with ann.session() as (session, keyring):
        [shown] = await connections.all_own(session, keyring)
        assert isinstance(shown, Connection)
        assert shown.address == bob.address


async def test_one_connection_that_lies_hides_no_other_and_can_be_ended(
    ann: Person, bob: Person, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = await person("eve")
    await connect(ann, bob)
    await connect(ann, eve)
    async with ann.session() as (session, keyring):
        before = await connections.all_own(session, keyring)
    foreign = b64(generate_keypair().public)

    with monkeypatch.context() as patch:
        lie(patch, "connections", lambda rows: rows[-1].update(peer_public=foreign))
        async with ann.session() as (session, keyring):
            good, broken = await connections.all_own(session, keyring)
            assert isinstance(good, Connection)
            assert isinstance(broken, Broken)
            assert await connections.remove(session, keyring, broken.id) == broken.id

    async with ann.session() as (session, keyring):
        assert await connections.all_own(session, keyring) == before[:1]
