"""What a hostile backend, an asker or a thief of keys tries with pieces; each time the honest way goes on to work."""

import secrets
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest

from privity.agent import connections, identity, pieces, profiles, requests, rules
from privity.agent import session as session_
from privity.agent.connections import Broken
from privity.agent.profile import ProfileFolder
from privity.crypto import aead, labels
from privity.crypto.pieces import SealedRequest, piece_id, read_piece
from privity.crypto.record import encode_record
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    PrivityError,
    Refusal,
    RolledBack,
    WrongAnswer,
)
from privity.messages.connections import RemoveConnection
from privity.messages.envelope import Answer
from privity.messages.pieces import ApproveRequest, RegrantPiece, ReleaseReader, RemovePiece, SetPiece, StorePiece
from privity.messages.views import (
    AskPieces,
    AskReaders,
    AskRequests,
    AskRules,
    PieceRow,
    ReaderRow,
    RequestRow,
    RulesRow,
)
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.watching import lie

pytestmark = pytest.mark.trial

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Three:
    """Ann, who keeps a phone number for Bob, who read it, and Carol, who did not yet."""

    ann: Person
    bob: Person
    carol: Person


@pytest.fixture
async def three(person: MakePerson) -> Three:
    ann, bob, carol = [await person(name) for name in ("ann", "bob", "carol")]
    for each in (bob, carol):
        await connect(ann, each)
    async with ann.session() as (session, keyring):
        await pieces.put(session, keyring, "phone", "first")
    for each in (bob, carol):
        await grant(ann, each, "phone")
    assert await value(bob, ann) == "first"
    return Three(ann, bob, carol)


async def grant(owner: Person, asker: Person, name: str) -> None:
    async with asker.session() as (session, keyring):
        asked = await requests.create(session, keyring, owner.address, name)
    async with owner.session() as (session, keyring):
        await requests.approve(session, keyring, asked.request)


async def value(reader: Person, owner: Person, name: str = "phone") -> str | None:
    async with reader.session() as (session, keyring):
        return (await profiles.piece(session, keyring, name, owner.address)).value


async def test_s9_readers_whom_nobody_granted_anything_get_no_key(
    three: Three, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backend names a connected person as a reader, by whichever grant it has."""
    dave = await person("dave")
    await connect(three.ann, dave)
    async with three.ann.session() as (session, keyring):
        over = await connections.with_person(session, keyring, dave.address)

    def with_dave(rows: Rows) -> None:
        rows.append(rows[0] | {"reader": over.peer, "connection": over.connection, "key": over.peer_key})

    with monkeypatch.context() as patch:
        lie(patch, "readers", with_dave)
        async with three.ann.session() as (session, keyring):
            with pytest.raises(ForgedRecord):
                await pieces.drop(session, keyring, "phone", three.bob.address)
    async with three.ann.session() as (session, keyring):
        left = await pieces.drop(session, keyring, "phone", three.bob.address)
        assert left.generation == 2
        assert [each.address for each in await pieces.readers(session, keyring, "phone")] == [three.carol.address]
    assert await value(three.carol, three.ann) == "first"


async def test_s9_a_backend_that_hides_who_left_still_gets_a_new_key(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three.bob.session() as (session, keyring):
        found = await session.ask(AskReaders(held=True), ReaderRow)
        await session.send(ReleaseReader(found.rows[0].piece, found.rows[0].reader))
    with monkeypatch.context() as patch:
        lie(patch, "pieces", lambda rows: rows[0].update(due=False))
        async with three.ann.session() as (session, keyring):
            kept = await pieces.put(session, keyring, "phone", "second")
    assert kept.generation == 2
    assert await value(three.carol, three.ann) == "second"
    assert await value(three.bob, three.ann) is None


async def test_s18_an_older_round_of_a_request_is_not_taken_for_the_newest(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three.ann.session() as (session, keyring):
        await pieces.put(session, keyring, "mail", "ann@example.org")
    async with three.bob.session() as (session, keyring):
        made = await requests.create(session, keyring, three.ann.address, "mail")
    async with three.ann.session() as (session, keyring):
        [old] = (await session.ask(AskRequests(id=made.request), RequestRow)).rows
        assert await requests.show(session, keyring, made.request)
    async with three.bob.session() as (session, keyring):
        await requests.create(session, keyring, three.ann.address, "mail")
    async with three.ann.session() as (session, keyring):
        assert (await requests.show(session, keyring, made.request)).n == 2

    def again(rows: Rows) -> None:
        for row in rows:
            row.update({name: getattr(old, name) for name in ("n", "signature", "challenge")})

    with monkeypatch.context() as patch:
        lie(patch, "requests", again)
        async with three.ann.session() as (session, keyring):
            with pytest.raises(RolledBack):
                await requests.approve(session, keyring, made.request)
    async with three.ann.session() as (session, keyring):
        await requests.approve(session, keyring, made.request)
    assert await value(three.bob, three.ann, "mail") == "ann@example.org"


async def test_c11_what_is_somebody_elses_is_not_taken_for_the_owners(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carol's own piece, rightly signed by her, served to Ann as Bob's; and Bob's wrap served to Carol."""
    for owner, text in ((three.bob, "bob's"), (three.carol, "carol's")):
        async with owner.session() as (session, keyring):
            await pieces.put(session, keyring, "mail", text)
        await grant(owner, three.ann, "mail")
    async with three.ann.session() as (session, keyring):
        over = await connections.with_person(session, keyring, three.carol.address)
        found = await session.ask(AskPieces(owner=over.peer, piece_name="mail"), PieceRow, fresh=True)
        hers = {name: getattr(found.rows[0], name) for name in ("record", "signature", "content", "wrap", "grant")}
    for names, alarm in ((tuple(hers), ForgedRecord), (("wrap", "grant"), ForgedRecord)):
        with monkeypatch.context() as patch:
            lie(
                patch,
                "pieces",
                lambda rows, names=names: [row.update({n: hers[n] for n in names}) for row in rows] and None,
            )
            with pytest.raises((alarm, DoesNotOpen)):
                await value(three.ann, three.bob, "mail")
    assert await value(three.ann, three.bob, "mail") == "bob's"
    assert await value(three.ann, three.carol, "mail") == "carol's"


async def test_c10_an_answer_to_another_request_or_of_another_person_is_refused(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three.ann.session() as (session, keyring):
        await pieces.put(session, keyring, "mail", "ann@example.org")
    await grant(three.ann, three.carol, "mail")
    async with three.carol.session() as (session, keyring):
        rows = (await session.ask(AskRequests(direction="outgoing"), RequestRow)).rows
    answers = {row.piece_name: row for row in rows}
    names = ("version", "generation", "content", "wrap", "answer")

    def swapped(served: Rows) -> None:
        for row in served:
            row.update(
                {name: getattr(answers["mail" if row["piece_name"] == "phone" else "phone"], name) for name in names}
            )

    with monkeypatch.context() as patch:
        lie(patch, "requests", swapped)
        for name in ("phone", "mail"):
            with pytest.raises(WrongAnswer):
                await value(three.carol, three.ann, name)
    assert await value(three.carol, three.ann, "phone") == "first"
    assert await value(three.carol, three.ann, "mail") == "ann@example.org"


async def test_c7_older_rules_are_not_taken_for_the_newest(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    async with three.ann.session() as (session, keyring):
        made = await rules.add(session, keyring, "phone")
        [old] = (await session.ask(AskRules(), RulesRow)).rows
        await rules.remove(session, keyring, made.rule)
        assert await rules.all_own(session, keyring) == []
    with monkeypatch.context() as patch:
        lie(patch, "rules", lambda rows: rows[0].update(version=old.version, rules=old.rules))
        async with three.ann.session() as (session, keyring):
            with pytest.raises(RolledBack):
                await rules.work(session, keyring)
    with monkeypatch.context() as patch:
        lie(patch, "rules", lambda rows: rows.clear())
        async with three.ann.session() as (session, keyring):
            with pytest.raises(RolledBack):
                await rules.all_own(session, keyring)
    async with three.ann.session() as (session, keyring):
        assert await rules.work(session, keyring) == []


async def refused(session: Any, command: Any, *sealed: bytes) -> str:
    """The code with which a command is refused."""
    with pytest.raises((Refusal, PrivityError)) as caught:
        await session.send(command, *sealed)
    return caught.value.code


async def test_u1_commands_about_what_is_somebody_elses_are_refused_by_name(three: Three) -> None:
    async with three.ann.session() as (session, keyring):
        kept = await pieces.show(session, keyring, "phone")
        anns = session.account
    async with three.carol.session() as (session, keyring):
        blob = b"a sealed object"
        assert await refused(session, ReleaseReader(kept.piece, anns)) == "NotFound"
        other = {"piece": kept.piece, "generation": 1}
        assert await refused(session, RegrantPiece(**other, wraps={}, grants={})) == "NotFound"
        assert (
            await refused(session, StorePiece(**(other | {"generation": 2}), wrap=digest(blob)), blob) == "StaleVersion"
        )
        mine = await pieces.put(session, keyring, "mail", "carol@example.org")
        row = mine.row
        command = SetPiece(
            piece=kept.piece,
            piece_name="mail",
            version=2,
            generation=1,
            record=row.record or "",
            signature=row.signature or "",
            content=digest(b"1"),
            owner_wrap=digest(b"2"),
            wraps={},
            grants={},
        )
        assert await refused(session, command, b"1", b"2") == "Malformed"
        assert await refused(session, replace(command, signature=b64(bytes(64))), b"1", b"2") == "ForgedRecord"
        asked = (await session.ask(AskRequests(direction="outgoing"), RequestRow)).rows[0]
        approval = ApproveRequest(asked.request, 1, 1, 1, digest(b"c"), digest(b"w"), b64(bytes(64)), b64(bytes(32)))
        assert await refused(session, approval, b"w") == "NotFound"
        assert piece_id(session.account, "mail") == mine.piece != new_id()
    assert await value(three.carol, three.ann) == "first"


async def test_s11_after_keys_were_stolen_what_they_signed_counts_no_more_until_it_is_signed_anew(three: Three) -> None:
    """Those whose grants the stolen key signed ask again, as nobody can tell these from the thief's."""
    async with three.ann.session() as (session, keyring):
        await identity.rotate(session, keyring, ProfileFolder(three.ann.home).load().device, compromised=True)
    with pytest.raises(ForgedRecord):
        await value(three.bob, three.ann)
    async with three.ann.session() as (session, keyring):
        await pieces.put(session, keyring, "phone", "second")
        await pieces.drop(session, keyring, "phone", three.carol.address)
        assert {each.connection for each in await pieces.readers(session, keyring, "phone")} == {None}
    async with three.bob.session() as (session, keyring):
        assert (await profiles.piece(session, keyring, "phone", three.ann.address)).status == "renewed"
        asked = await requests.create(session, keyring, three.ann.address, "phone")
    async with three.ann.session() as (session, keyring):
        await requests.approve(session, keyring, asked.request, unverified=True)
    assert await value(three.bob, three.ann) == "second"


async def test_c15_an_ended_connection_takes_grants_and_requests_with_it_even_where_nobody_swept(three: Three) -> None:
    """Another client may end the connection alone: the backend serves nothing over it, and the next key is new."""
    async with three.bob.session() as (session, keyring):
        over = await connections.with_person(session, keyring, three.ann.address)
        await session.send(RemoveConnection(over.connection))
        assert (await session.ask(AskPieces(owner=over.peer), PieceRow)).rows == ()
    async with three.ann.session() as (session, keyring):
        kept = await pieces.put(session, keyring, "phone", "second")
        assert kept.generation == 2
        assert [each.address for each in await pieces.readers(session, keyring, "phone")] == [three.carol.address]
        asked = (await session.ask(AskRequests(connection=over.connection), RequestRow)).rows
        assert {row.status for row in asked} == {"closed"}
        assert not [each for each in await requests.all_of(session, keyring) if isinstance(each, Broken)]
    assert await value(three.carol, three.ann) == "second"


async def test_s17_a_reader_and_the_backend_cannot_change_what_the_owner_reads(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob has the piece's key, so what he seals with it opens; Ann has not signed it."""
    async with three.ann.session() as (session, keyring):
        own = await pieces.show(session, keyring, "phone")
        await pieces.put(session, keyring, "mail", "ann@example.org")
    record = read_piece(unb64(own.row.record or ""))
    place = replace(record, version=record.version + 1)
    content = aead.seal(own.key, b"evil", labels.PIECE_CONTENT, *place.context)
    place = replace(place, content=digest(content))
    forged = {"version": place.version, "content": place.content}
    forged |= {"record": b64(encode_record({"v": 1, **asdict(place)}))}
    honest = session_.read_answer

    def lying(data: bytes) -> tuple[Answer, dict[str, bytes]]:
        answer, sealed = honest(data)
        rows = tuple(row | forged if row.get("record") == own.row.record else row for row in answer.rows)
        return replace(answer, rows=rows), {**sealed, digest(content): content}

    with monkeypatch.context() as patch:
        patch.setattr(session_, "read_answer", lying)
        async with three.ann.session() as (session, keyring):
            with pytest.raises(ForgedRecord):
                await pieces.show(session, keyring, "phone")
            with pytest.raises(ForgedRecord):
                await pieces.put(session, keyring, "phone", "second")
            found = await pieces.all_own(session, keyring)
            assert [each.value for each in found if isinstance(each, pieces.Piece)] == ["ann@example.org"]
            assert [each.alarm.code for each in found if isinstance(each, Broken)] == ["ForgedRecord"]
    async with three.ann.session() as (session, keyring):
        assert (await pieces.show(session, keyring, "phone")).value == "first"


async def test_c15_who_ended_the_connection_has_no_later_key_whatever_the_backend_says(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three.ann.session() as (session, keyring):
        before = await pieces.show(session, keyring, "phone")
        bobs = (await connections.with_person(session, keyring, three.bob.address)).connection
    async with three.bob.session() as (session, keyring):
        await session.send(RemoveConnection(bobs))
    with monkeypatch.context() as patch:
        lie(patch, "pieces", lambda rows: [row.update(due=False) for row in rows] and None)
        lie(patch, "readers", lambda rows: [rows.remove(row) for row in rows[:] if row["connection"] == bobs] and None)
        async with three.ann.session() as (session, keyring):
            after = await pieces.put(session, keyring, "phone", "second")
    assert (after.generation, after.key == before.key) == (2, False)
    async with three.ann.session() as (session, keyring):
        assert len((await session.ask(AskReaders(piece=after.piece), ReaderRow)).rows) == 2
        [task] = await pieces.work(session, keyring)
        assert task.kind == "release"
        await task.run()
        assert len((await session.ask(AskReaders(piece=after.piece), ReaderRow)).rows) == 1
        assert await pieces.work(session, keyring) == []
    assert await value(three.carol, three.ann) == "second"


async def test_c8_who_asks_again_and_is_declined_reads_on_under_the_next_key(three: Three) -> None:
    async with three.bob.session() as (session, keyring):
        asked = await requests.create(session, keyring, three.ann.address, "phone")
    assert await value(three.bob, three.ann) == "first"  # while it waits, too
    async with three.ann.session() as (session, keyring):
        await requests.decline(session, keyring, asked.request)
        await pieces.drop(session, keyring, "phone", three.carol.address)
        await pieces.put(session, keyring, "phone", "second")
    assert await value(three.bob, three.ann) == "second"
    async with three.bob.session() as (session, keyring):
        asked = await requests.create(session, keyring, three.ann.address, "phone")
        await requests.withdraw(session, keyring, asked.request)
    assert await value(three.bob, three.ann) == "second"
    assert await value(three.carol, three.ann) is None


async def test_c7_a_challenge_that_does_not_open_keeps_nobody_else_waiting(
    three: Three, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    dave = await person("dave")
    await connect(three.ann, dave)
    async with three.ann.session() as (session, keyring):
        for each in (three.bob, three.carol, dave):
            over = await connections.show(session, keyring, each.address)
            await connections.verify(session, keyring, over.connection)
        await pieces.put(session, keyring, "mail", "ann@example.org")
        await rules.add(session, keyring, "mail")
    honest = requests.seal_request

    def garbage(place: Any, kek: Any, suite: Any, public: Any, sign: Any) -> SealedRequest:
        sealed = replace(honest(place, kek, suite, public, sign), challenge=secrets.token_bytes(1500))
        signed = (*place.context, digest(sealed.challenge).encode())
        return replace(sealed, signature=sign.sign(labels.PIECE_REQUEST, *signed))

    with monkeypatch.context() as patch:
        patch.setattr(requests, "seal_request", garbage)
        async with three.bob.session() as (session, keyring):
            await requests.create(session, keyring, three.ann.address, "mail")
    for each in (three.carol, dave):
        async with each.session() as (session, keyring):
            await requests.create(session, keyring, three.ann.address, "mail")
    async with three.ann.session() as (session, keyring):
        bobs, *rest = await rules.work(session, keyring)
        assert three.bob.address in bobs.about
        with pytest.raises(DoesNotOpen):
            await bobs.run()
        for task in rest:
            await task.run()
        assert [task.about for task in await rules.work(session, keyring)] == [bobs.about]
    for each in (three.carol, dave):
        assert await value(each, three.ann, "mail") == "ann@example.org"


async def test_c7_a_rule_that_another_device_took_away_is_not_served_again(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three.ann.session() as (session, keyring):
        made = await rules.add(session, keyring, "phone")
        [old] = (await session.ask(AskRules(), RulesRow)).rows
        await rules.remove(session, keyring, made.rule)
        with session.memory._open() as db:  # a device that did nothing of this itself
            db.execute("DELETE FROM seen WHERE kind = 'rules'")
            db.execute("DELETE FROM feed")
    with monkeypatch.context() as patch:
        lie(patch, "rules", lambda rows: rows[0].update(version=old.version, rules=old.rules))
        async with three.ann.session() as (session, keyring):
            with pytest.raises(RolledBack):
                await rules.work(session, keyring)
    async with three.ann.session() as (session, keyring):
        assert await rules.work(session, keyring) == []


async def test_c15_a_piece_goes_only_after_its_readers_so_that_nobody_misses_it(three: Three) -> None:
    async with three.ann.session() as (session, keyring):
        kept = await pieces.show(session, keyring, "phone")
        assert await refused(session, RemovePiece(kept.piece, kept.version + 1)) == "StaleVersion"
        await pieces.remove(session, keyring, "phone")
    async with three.bob.session() as (session, keyring):
        assert await profiles.show(session, keyring, three.ann.address) == []


async def test_s11_whose_keys_were_stolen_gets_a_new_key_only_when_verified_again(three: Three) -> None:
    async with three.ann.session() as (session, keyring):
        over = await connections.with_person(session, keyring, three.bob.address)
        await connections.verify(session, keyring, over.connection)
    async with three.bob.session() as (session, keyring):
        await identity.rotate(session, keyring, ProfileFolder(three.bob.home).load().device, compromised=True)
    async with three.ann.session() as (session, keyring):
        await pieces.drop(session, keyring, "phone", three.carol.address)
        assert await pieces.work(session, keyring) == []
    async with three.bob.session() as (session, keyring):
        assert (await profiles.piece(session, keyring, "phone", three.ann.address)).status == "renewed"
    async with three.ann.session() as (session, keyring):
        await connections.verify(session, keyring, over.connection)
        [task] = await pieces.work(session, keyring)
        await task.run()
    assert await value(three.bob, three.ann) == "first"


async def test_s3_a_version_of_another_log_is_refused_and_a_new_one_is_held_against_the_log(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def garbage(_: Any) -> str:
        return "garbage"

    with monkeypatch.context() as patch:
        patch.setattr(pieces, "newest_checkpoint", garbage)
        async with three.ann.session() as (session, keyring):
            with pytest.raises(Refusal) as caught:
                await pieces.put(session, keyring, "phone", "second")
            assert caught.value.code == "ForgedRecord"
    async with three.ann.session() as (session, keyring):
        kept = await pieces.put(session, keyring, "phone", "second")
    held: list[str] = []
    honest = session_.Session.consistent

    async def consistent(session: Any, *notes: str) -> None:
        held.extend(notes)
        await honest(session, *notes)

    monkeypatch.setattr(session_.Session, "consistent", consistent)
    assert await value(three.bob, three.ann) == "second"
    assert read_piece(unb64(kept.row.record or "")).checkpoint in held
    held.clear()
    assert await value(three.bob, three.ann) == "second"
    assert held == []
