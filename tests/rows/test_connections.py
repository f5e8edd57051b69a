"""Rows M10 to M12: each side knows the other's public key, names are one's own, and an end is an end for both."""

import pytest

from privity.agent import connections, invitations, items, shares
from privity.encoding import b32, b64, digest
from privity.errors import NotConnected, NotFound, StaleVersion
from privity.messages.connections import NoteConnection, RemoveConnection
from privity.messages.views import AskConnections, AskShares, ConnectionRow, ShareRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.watching import Wire, canary, files_of, found_in


async def seen_by(person: Person, id: str) -> connections.Connection:
    async with person.session() as (session, keyring):
        return await connections.show(session, keyring, id)


async def test_m10_each_side_shows_the_others_public_key_and_the_same_safety_number(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected

    hers = ann.json("connection", "show", bob.address)
    his = bob.json("connection", "show", hers["connection"][:8])

    assert hers["connection"] == his["connection"]
    assert (hers["peer"], his["peer"]) == (bob.address, ann.address)
    assert (hers["peer_public"], hers["peer_key"]) == (his["public"], his["key"])
    assert (his["peer_public"], his["peer_key"]) == (hers["public"], hers["key"])
    assert hers["public"] != his["public"]
    assert hers["safety_number"] == his["safety_number"]
    assert sum(letter.isdigit() for letter in hers["safety_number"]) >= 60


async def test_m10_two_connections_have_two_safety_numbers(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)

    numbers = {(await seen_by(ann, each.address)).safety_number for each in (bob, carol)}

    assert len(numbers) == 2


async def test_m11_names_are_readable_only_by_who_wrote_them(
    ann: Person, bob: Person, backend: RunningHome, wire: Wire
) -> None:
    for_bob, for_ann = canary(), canary()
    async with ann.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, bob.address, name=for_bob)
    async with bob.session() as (session, keyring):
        made = await invitations.accept(session, keyring, invited.link, name=for_ann)

    assert (await seen_by(ann, made.connection)).name == for_bob
    assert (await seen_by(bob, made.connection)).name == for_ann
    assert (await seen_by(ann, made.connection)).name == for_bob  # also after the note was sealed anew
    names = {"for Bob": for_bob.encode(), "for Ann": for_ann.encode()}
    assert found_in(files_of(backend.data), names) == []
    assert wire.holding(names) == []
    shown = {ann: ann.run("connection", "show", bob.address), bob: bob.run("connection", "show", ann.address)}
    assert for_bob in shown[ann].out
    assert for_ann not in shown[ann].out
    assert for_ann in shown[bob].out
    assert for_bob not in shown[bob].out


async def test_m11_nobody_changes_the_others_names(connected: tuple[Person, Person], person: MakePerson) -> None:
    ann, bob = connected
    eve = await person("eve")
    before = await seen_by(ann, bob.address)
    foreign = b"not sealed by Ann"

    async with eve.session() as (session, _):
        with pytest.raises(NotFound):
            await session.send(NoteConnection(before.connection, before.row.note, digest(foreign)), foreign)
    async with bob.session() as (session, keyring):
        kept = (await connections.show(session, keyring, before.connection)).row.note
        with pytest.raises(StaleVersion):
            await session.send(NoteConnection(before.connection, before.row.note, digest(foreign)), foreign)
        await session.send(NoteConnection(before.connection, kept, digest(foreign)), foreign)

    assert (await seen_by(ann, bob.address)).note == before.note


async def test_m12_an_unknown_connection_is_refused(connected: tuple[Person, Person], person: MakePerson) -> None:
    ann, bob = connected
    eve = await person("eve")
    theirs = (await seen_by(ann, bob.address)).connection
    nowhere = b32(bytes(32))

    for reader, id in ((ann, nowhere), (ann, "nobody@localhost"), (eve, theirs), (eve, ann.address)):
        with pytest.raises(NotFound, match=id):
            await seen_by(reader, id)
    async with eve.session() as (session, keyring):
        with pytest.raises(NotFound):
            await connections.remove(session, keyring, theirs)
        with pytest.raises(NotFound):
            await session.send(RemoveConnection(theirs))
    assert (await seen_by(ann, theirs)).address == bob.address


@pytest.mark.parametrize("by_inviter", [True, False], ids=["by the inviter", "by the acceptor"])
async def test_m12_deleting_a_connection_ends_its_shares_for_both_and_no_others(
    connected: tuple[Person, Person], person: MakePerson, *, by_inviter: bool
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    async with ann.session() as (session, keyring):
        hers = await items.add(session, keyring, "Hers", {})
        to_bob = await shares.create(session, keyring, hers.item, bob.address)
        to_carol = await shares.create(session, keyring, hers.item, carol.address)
    async with bob.session() as (session, keyring):
        his = await items.add(session, keyring, "His", {})
        to_ann = await shares.create(session, keyring, his.item, ann.address)
        assert len(await shares.all_of(session, keyring)) == 2

    ending, other = (ann, bob) if by_inviter else (bob, ann)
    async with ending.session() as (session, keyring):
        await connections.remove(session, keyring, other.address)

    for each, peer in ((ann, bob), (bob, ann)):
        async with each.session() as (session, keyring):
            for share in (to_bob, to_ann):
                with pytest.raises(NotFound):
                    await shares.show(session, keyring, share.share)
            with pytest.raises(NotFound):
                await connections.show(session, keyring, to_bob.connection)
            left = {row.share for row in (await session.ask_all(AskShares(), ShareRow)).rows}
            assert left <= {to_carol.share}
            with pytest.raises(NotConnected):
                await shares.create(session, keyring, hers.item, peer.address)
            assert len(await items.all_own(session, keyring)) == 1
    async with carol.session() as (session, keyring):
        assert [each.share for each in await shares.all_of(session, keyring)] == [to_carol.share]


async def test_m12_two_who_parted_may_connect_again(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    before = await seen_by(ann, bob.address)
    async with ann.session() as (session, keyring):
        await connections.remove(session, keyring, before.connection)

    again, _ = await connect(bob, ann)

    assert again.connection != before.connection
    async with ann.session() as (session, _):
        rows = (await session.ask_all(AskConnections(), ConnectionRow)).rows
    assert [row.connection for row in rows] == [again.connection]
    assert rows[0].public == b64((await seen_by(bob, ann.address)).public)
