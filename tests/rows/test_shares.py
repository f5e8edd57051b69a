"""Rows M13 to M18, M25 and M28: shares, the encryption space behind each, how they are claimed, listed and ended."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from privity.agent import connections, items, reading, resharing, shares
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_key
from privity.agent.profile import ProfileFolder
from privity.agent.session import Rows, Session, read_answer, read_rows
from privity.agent.shares import Direction
from privity.crypto import aead, labels
from privity.crypto.items import open_item
from privity.crypto.keyring import unwrap_key
from privity.crypto.sharing import Manifest, open_share, read_manifest, rewrap_dek, unseal_dek, unwrap_own
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, unb64
from privity.errors import BadSignature, DoesNotOpen, NotFound, ReshareNotPermitted, StaleNonce, TooLarge, UnknownDevice
from privity.messages.shares import ClaimShare, RemoveShare
from privity.messages.views import AskItems, AskShares, AskSpaces, ItemRow, ShareRow, SpaceRow
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.watching import Wire, asked, signer, typed


@dataclass(frozen=True)
class Given:
    """Ann's item, and her share of it to Bob, which he has not read."""

    ann: Person
    bob: Person
    item: items.Item
    share: shares.Share


@pytest.fixture
async def given(connected: tuple[Person, Person]) -> Given:
    """A share that waits for its recipient."""
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X123", "name": "Ann"})
        return Given(ann, bob, item, await shares.create(session, keyring, item.item, bob.address))


async def share_row(session: Session, id: str) -> tuple[ShareRow, Manifest, Rows[ShareRow]]:
    """A share's row as the agent gets it with a fresh nonce."""
    found = await session.ask(AskShares(id=id), ShareRow, fresh=True)
    row = found.one("share", id)
    return row, read_manifest(unb64(row.manifest)), found


async def own_dek(session: Session, keyring: Keyring, id: str) -> bytes:
    """The DEK of a share of one's own."""
    row, manifest, found = await share_row(session, id)
    return unwrap_own(keyring.kek, found.blob(row.wrap or ""), manifest, "owner")


async def test_m13_each_share_has_a_fresh_dek_that_is_never_the_items(given: Given, person: MakePerson) -> None:
    carol = await person("carol")
    await connect(given.ann, carol)
    async with given.ann.session() as (session, keyring):
        again = await shares.create(session, keyring, given.item.item, given.bob.address)
        other = await shares.create(session, keyring, given.item.item, carol.address)
        await items.edit(session, keyring, given.item.item, {"number": "X124"})
        later = await shares.create(session, keyring, given.item.item, given.bob.address)
        ids = [each.share for each in (given.share, again, other, later)]
        deks = [await own_dek(session, keyring, id) for id in ids]
        contents = [(await share_row(session, id))[0].content for id in ids]
        found = await session.ask(AskItems(), ItemRow)
    item = found.rows[0]

    place = (keyring.account.encode(), item.item.encode(), str(item.version).encode())
    deks.append(unwrap_key(keyring.kek, found.blob(item.wrap), labels.PURPOSE_ITEM, *place))
    assert len(set(deks)) == 5
    assert len({*contents, item.content}) == 5
    assert (later.version, item.version) == (2, 2)


async def test_m13_a_shares_content_does_not_open_with_the_items_own_dek(given: Given) -> None:
    async with given.ann.session() as (session, keyring):
        row, manifest, found = await share_row(session, given.share.share)
        kept = await session.ask(AskItems(), ItemRow)
        item = kept.rows[0]
        place = (keyring.account.encode(), item.item.encode(), str(item.version).encode())
        items_dek = unwrap_key(keyring.kek, kept.blob(item.wrap), labels.PURPOSE_ITEM, *place)
        shares_dek = unwrap_own(keyring.kek, found.blob(row.wrap or ""), manifest, "owner")
    shared, own = found.blob(row.content), kept.blob(item.content)

    with pytest.raises(DoesNotOpen):
        open_share(manifest, items_dek, shared)
    with pytest.raises(DoesNotOpen):
        aead.open_sealed(shares_dek, own, labels.ITEM_CONTENT, *place)
    plaintext = open_item(
        keyring.kek, own, kept.blob(item.wrap), account=keyring.account, item=item.item, version=item.version
    )
    assert open_share(manifest, shares_dek, shared) == plaintext


async def space_rows(person: Person, *, fresh: bool = True) -> Rows[SpaceRow]:
    async with person.session() as (session, _):
        return await session.ask(AskSpaces(), SpaceRow, fresh=fresh)


async def test_m14_an_encryption_space_has_one_id_and_one_wrap_for_each_member(
    given: Given, person: MakePerson
) -> None:
    eve = await person("eve")

    hers, his = await space_rows(given.ann), await space_rows(given.bob)

    row, other = hers.rows[0], his.rows[0]
    assert {each.space for each in (*hers.rows, *his.rows)} == {given.share.space}
    assert (row.connection, row.owner) == (given.share.connection, given.share.owner)
    assert replace(row, wrap=None) == replace(other, wrap=None)
    assert len(row.members) == 2
    assert row.wrap != other.wrap
    async with given.ann.session() as (session, keyring):
        _, manifest, _ = await share_row(session, given.share.share)
        dek = unwrap_own(keyring.kek, hers.blob(row.wrap or ""), manifest, "owner")
        assert (manifest.space, set(row.members)) == (row.space, {manifest.owner, manifest.recipient})
    async with given.bob.session() as (session, keyring):
        key = await stored_connection_key(session, keyring, manifest.recipient_key)
    assert unseal_dek(manifest, his.blob(other.wrap or ""), key.pair.private) == dek
    assert (await space_rows(eve)).rows == ()


async def test_m14_a_space_ends_with_its_share(given: Given) -> None:
    assert len((await space_rows(given.bob)).rows) == 1

    async with given.ann.session() as (session, _):
        await shares.remove(session, given.share.share)

    assert (await space_rows(given.ann)).rows == ()
    assert (await space_rows(given.bob)).rows == ()


async def test_m15_the_wrapped_dek_is_released_for_a_fresh_request_alone(given: Given) -> None:
    by_share, by_space = AskShares(id=given.share.share), AskSpaces(id=given.share.space)
    async with given.bob.session() as (session, keyring):
        row, manifest, _ = await share_row(session, given.share.share)
        assert row.wrap == manifest.recipient_wrap
        for ask, kind in ((by_share, ShareRow), (by_space, SpaceRow)):
            stale, sealed = await asked(given.bob, session, keyring, ask, None)
            assert [each.wrap for each in read_rows(stale, kind)] == [None]
            assert manifest.recipient_wrap not in sealed

            released, sealed = await asked(given.bob, session, keyring, ask, stale.nonce)
            assert [each.wrap for each in read_rows(released, kind)] == [manifest.recipient_wrap]
            assert manifest.recipient_wrap in sealed


async def test_m15_a_used_a_foreign_and_a_made_up_nonce_release_nothing(given: Given) -> None:
    by_share, by_space = AskShares(id=given.share.share), AskSpaces(id=given.share.space)
    async with given.ann.session() as (session, keyring):
        foreign = (await asked(given.ann, session, keyring, by_share, None))[0].nonce
    async with given.bob.session() as (session, keyring):
        used = (await asked(given.bob, session, keyring, by_share, None))[0].nonce
        assert (await asked(given.bob, session, keyring, by_share, used))[0].status == "ok"

        for nonce in (used, foreign, b64(bytes(34)), ""):
            for ask in (by_share, by_space):
                answer, sealed = await asked(given.bob, session, keyring, ask, nonce)
                assert (answer.status, answer.code, answer.rows, sealed) == ("refused", StaleNonce.__name__, (), {})


async def test_m15_nothing_is_released_to_another_person_or_for_anothers_signature(
    given: Given, person: MakePerson
) -> None:
    eve = await person("eve")
    ask = AskShares(id=given.share.share)
    async with eve.session() as (session, keyring):
        fresh = (await asked(eve, session, keyring, ask, None))[0].nonce
        hers, sealed = await asked(eve, session, keyring, ask, fresh)
        assert (hers.status, hers.rows, sealed) == ("ok", (), {})
        with pytest.raises(NotFound):
            await session.send(ClaimShare(given.share.share, digest(b"mine")), b"mine")

    async with given.bob.session() as (session, keyring):
        bus, own = await session.connected(), signer(given.bob, session, keyring)
        position = ProfileFolder(given.bob.home).position
        for forger, code in (
            (replace(own, key=SigningKey.generate()), BadSignature),
            (replace(own, key=keyring.identity.sign), BadSignature),
            (replace(own, device=given.share.share), UnknownDevice),
        ):
            nonce = (await asked(given.bob, session, keyring, ask, None))[0].nonce
            answer, sealed = read_answer(await bus.ask(*forger.query(ask, nonce, position)))
            assert (answer.code, answer.rows, sealed) == (code.__name__, (), {})
        nonce = (await asked(given.bob, session, keyring, ask, None))[0].nonce
        answer, sealed = read_answer(await bus.ask(*own.query(ask, nonce, position)))
        assert (answer.status, len(sealed)) == ("ok", 2)


async def test_m16_after_the_claim_reading_needs_no_private_key(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    class PrivateKeyUsed(Exception):
        pass

    async def never(session: Session, keyring: Keyring, id: str) -> None:
        raise PrivateKeyUsed

    async with given.bob.session() as (session, keyring):
        with monkeypatch.context() as patch:
            patch.setattr(reading, "stored_connection_key", never)
            with pytest.raises(PrivateKeyUsed):
                await shares.show(session, keyring, given.share.share)
        first = await shares.show(session, keyring, given.share.share)

    monkeypatch.setattr(reading, "stored_connection_key", never)
    async with given.bob.session() as (session, keyring):
        assert await shares.show(session, keyring, given.share.share) == first
        assert await shares.all_of(session, keyring) == [first]
    assert first.content == given.item.content


async def test_m16_the_claimed_dek_stands_under_the_recipients_kek(given: Given) -> None:
    async with given.bob.session() as (session, keyring):
        before, manifest, found = await share_row(session, given.share.share)
        with pytest.raises(DoesNotOpen):
            unwrap_own(keyring.kek, found.blob(before.wrap or ""), manifest, "recipient")
        await shares.show(session, keyring, given.share.share)
        after = await session.ask(AskShares(id=given.share.share), ShareRow)
        row = after.rows[0]
    async with given.ann.session() as (session, hers):
        dek = await own_dek(session, hers, given.share.share)

    assert (before.claimed, row.claimed) == (False, True)
    assert unwrap_own(keyring.kek, after.blob(row.wrap or ""), manifest, "recipient") == dek
    with pytest.raises(DoesNotOpen):
        unwrap_own(hers.kek, after.blob(row.wrap or ""), manifest, "recipient")
    assert (await space_rows(given.bob, fresh=False)).rows[0].wrap == row.wrap


async def test_m16_a_second_claim_changes_nothing(given: Given) -> None:
    async with given.bob.session() as (session, keyring):
        await shares.show(session, keyring, given.share.share)
        row, manifest, _ = await share_row(session, given.share.share)
        other = rewrap_dek(keyring.kek, bytes(32), manifest)
        assert (await session.send(ClaimShare(given.share.share, digest(other)), other)).status == "ignored"
        assert (await share_row(session, given.share.share))[0].wrap == row.wrap
        assert (await shares.show(session, keyring, given.share.share)).content == given.item.content


async def test_m17_one_round_trip_reads_share_wrapped_dek_and_content(given: Given, wire: Wire) -> None:
    async with given.bob.session() as (session, keyring):
        await connections.show(session, keyring, given.ann.address)  # any answer before brings a nonce
        wire.answers.clear()
        row, manifest, found = await share_row(session, given.share.share)

        assert [subject.rpartition(".")[2] for subject, _ in wire.answers] == ["shares"]
        key = await stored_connection_key(session, keyring, manifest.recipient_key)
    dek = unseal_dek(manifest, found.blob(row.wrap or ""), key.pair.private)
    assert open_share(manifest, dek, found.blob(row.content)) == given.item.content.to_bytes()
    assert set(found.sealed) == {row.wrap, row.content}


async def test_m17_both_forms_are_served_by_one_record(given: Given) -> None:
    for reader in (given.ann, given.bob, given.bob):
        async with reader.session() as (session, keyring):
            row, _, share = await share_row(session, given.share.share)
            spaces = await session.ask(AskSpaces(id=row.space), SpaceRow, fresh=True)
            space = spaces.one("space", row.space)
            assert (space.space, space.connection, space.owner) == (row.space, row.connection, row.owner)
            assert space.wrap == row.wrap
            assert spaces.blob(space.wrap or "") == share.blob(row.wrap or "")
            await shares.show(session, keyring, row.share)  # the second time Bob has claimed it


async def test_m18_share_create_prints_the_share_linked_to_the_connection(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    kept = ann.json("item", "add", "Passport", "--set", "number=X123")

    made = ann.json("share", "create", kept["item"][:10], "--with", bob.address)

    connection = ann.json("connection", "show", bob.address)
    assert made["connection"] == connection["connection"]
    async with bob.session() as (session, keyring):
        found = await shares.show(session, keyring, made["share"])
    assert (found.connection, found.item) == (connection["connection"], kept["item"])
    assert found.content.slots == {"number": "X123"}


async def test_m18_sharing_with_a_stranger_or_what_one_does_not_have_is_refused(
    given: Given, person: MakePerson
) -> None:
    eve = await person("eve")

    stranger = given.ann.run("share", "create", given.item.item, "--with", eve.address)
    foreign = given.bob.run("share", "create", given.item.item, "--with", given.ann.address)

    assert (stranger.code, stranger.out) == (1, "")
    assert stranger.err == f"error: NotConnected: there is no connection with {eve.address}\n"
    assert (foreign.code, foreign.out) == (1, "")
    assert foreign.err == f"error: ReshareNotPermitted: {ReshareNotPermitted().message}\n"
    async with given.bob.session() as (session, keyring):
        with pytest.raises(NotFound, match=f"there is no item {given.share.share}"):
            await resharing.create(session, keyring, given.share.share, given.ann.address)


@dataclass(frozen=True)
class Crowd:
    """Ann shares four things with Bob and Carol, and Bob one with her."""

    ann: Person
    bob: Person
    carol: Person


@pytest.fixture
async def crowd(connected: tuple[Person, Person], person: MakePerson) -> Crowd:
    """Three people and five shares."""
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    async with ann.session() as (session, keyring):
        for label, reader in (("one", bob), ("two", bob), ("three", carol), ("four", bob)):
            kept = await items.add(session, keyring, label, {})
            await shares.create(session, keyring, kept.item, reader.address)
    async with bob.session() as (session, keyring):
        kept = await items.add(session, keyring, "his", {})
        await shares.create(session, keyring, kept.item, ann.address)
    return Crowd(ann, bob, carol)


async def listed(person: Person, direction: Direction) -> list[tuple[str, str, str]]:
    """Label, from and to of a person's shares, in order."""
    async with person.session() as (session, keyring):
        found = await shares.all_of(session, keyring, direction)
    return [(each.content.label, each.sender, each.recipient) for each in found]


async def test_m25_shares_are_listed_incoming_outgoing_and_all(crowd: Crowd) -> None:
    ann, bob, carol = (each.address for each in (crowd.ann, crowd.bob, crowd.carol))
    hers = [("one", ann, bob), ("two", ann, bob), ("three", ann, carol), ("four", ann, bob)]
    his = [("his", bob, ann)]
    to_bob = [row for row in hers if row[2] == bob]

    assert await listed(crowd.ann, "outgoing") == hers
    assert await listed(crowd.ann, "incoming") == his
    assert await listed(crowd.ann, "all") == hers + his
    assert await listed(crowd.bob, "incoming") == to_bob
    assert await listed(crowd.bob, "outgoing") == his
    assert await listed(crowd.carol, "all") == [("three", ann, carol)]


def test_m25_the_command_line_lists_the_same_ways(crowd: Crowd) -> None:
    def labels(*options: str) -> list[str]:
        return [row["label"] for row in typed(crowd.ann, "share", "list", "--json", *options).json]

    assert labels("--incoming") == ["his"]
    assert labels("--outgoing") == ["one", "two", "three", "four"]
    page = typed(crowd.ann, "share", "list", "--json").json
    assert {(row["label"], row["to"]) for row in page} == {
        ("one", crowd.bob.address),
        ("two", crowd.bob.address),
        ("three", crowd.carol.address),
        ("four", crowd.bob.address),
        ("his", crowd.ann.address),
    }


async def test_m25_pages_follow_each_other_without_a_gap_or_a_repeat(
    crowd: Crowd, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crowd.ann.session() as (session, _):
        one = await session.ask(AskShares(), ShareRow)
        assert len(one.rows) == 5
        for limit, pages in ((1, 5), (2, 3), (4, 2), (5, 1)):
            wire.answers.clear()
            assert (await session.ask_all(AskShares(limit=limit), ShareRow)).rows == one.rows
            assert [len(rows_in(answer)) for answer in wire.queries("shares")] == sizes(5, limit)
            assert len(wire.queries("shares")) == pages
        wire.answers.clear()
        paged = await session.ask_all(AskShares(limit=2, direction="outgoing"), ShareRow, fresh=True)
        assert paged.rows == tuple(row for row in one.rows if row.owner == session.account)
        monkeypatch.setattr("privity.agent.session.MAX_PAGES", 2)
        assert len((await session.ask_all(AskShares(limit=3), ShareRow)).rows) == 5
        with pytest.raises(TooLarge, match="shares has more than 2 pages"):
            await session.ask_all(AskShares(limit=2), ShareRow)


def rows_in(answer: bytes) -> Sequence[object]:
    return read_answer(answer)[0].rows


def sizes(total: int, limit: int) -> list[int]:
    return [min(limit, total - start) for start in range(0, total, limit)]


async def gone(person: Person, share: str) -> bool:
    """Whether a person finds no such share, in any way."""
    async with person.session() as (session, keyring):
        with pytest.raises(NotFound, match=re.escape(share)):
            await shares.show(session, keyring, share)
        with pytest.raises(NotFound, match=re.escape(share)):
            await shares.remove(session, share)
        return await shares.all_of(session, keyring) == []


async def test_m28_what_the_owner_deletes_is_not_found_for_both(given: Given) -> None:
    async with given.bob.session() as (session, keyring):
        assert (await shares.show(session, keyring, given.share.share)).content == given.item.content

    ended = given.ann.json("share", "rm", given.share.share[:10])

    assert (ended["share"], ended["status"]) == (given.share.share, "removed")
    assert await gone(given.ann, given.share.share)
    assert await gone(given.bob, given.share.share)
    async with given.ann.session() as (session, keyring):
        assert (await items.show(session, keyring, given.item.item)).content == given.item.content


async def test_m28_what_the_recipient_deletes_is_not_found_for_both(given: Given) -> None:
    async with given.bob.session() as (session, keyring):
        await shares.show(session, keyring, given.share.share)
        await shares.remove(session, given.share.share)

    assert await gone(given.ann, given.share.share)
    assert await gone(given.bob, given.share.share)


async def test_m28_a_share_that_was_never_claimed_is_gone_too_and_cannot_be_claimed_any_more(given: Given) -> None:
    async with given.ann.session() as (session, _):
        await shares.remove(session, given.share.share)

    assert await gone(given.bob, given.share.share)
    async with given.bob.session() as (session, _):
        with pytest.raises(NotFound):
            await session.send(ClaimShare(given.share.share, digest(b"mine")), b"mine")


async def test_m28_a_stranger_ends_nothing(given: Given, person: MakePerson) -> None:
    eve = await person("eve")

    async with eve.session() as (session, _):
        with pytest.raises(NotFound):
            await shares.remove(session, given.share.share)
        with pytest.raises(NotFound):
            await session.send(RemoveShare(given.share.share))

    async with given.bob.session() as (session, keyring):
        assert (await shares.show(session, keyring, given.share.share)).content == given.item.content
