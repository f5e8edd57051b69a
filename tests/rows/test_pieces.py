"""Rows C1 to C17: pieces, who asks for them, what approves by itself, and how keys are told apart.

Four people serve all tests, each of which has a piece of its own: Ann, whom Bob and Carol know as verified, and Dave as
not verified; Bob and Carol do not know each other.
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import accounts, connections, feed, identity, invitations, pieces, profiles, requests, rules
from privity.agent.connections import Broken
from privity.agent.log import evidence
from privity.agent.profile import ProfileFolder
from privity.agent.requests import Request
from privity.agent.session import Session
from privity.connection_string import parse_connection_string
from privity.crypto.pieces import GrantPlace, open_grant, open_piece, read_piece, stored_key
from privity.encoding import b64, unb64
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    KeyMismatch,
    Malformed,
    NotConnected,
    NotFound,
    PrivityError,
    RequestNotOpen,
    RolledBack,
    TooLarge,
    Unverified,
    Withheld,
    WrongAnswer,
)
from privity.messages.views import AskPieces, AskReaders, AskRequests, PieceRow, ReaderRow, RequestRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.rows.watching import Wire, canary, files_of, found_in, lie, mail_about, typed

LINK = re.compile(r"privity://[^\s']+")


@dataclass(frozen=True)
class People:
    """Those who are in all of these tests, and what Ann wrote down when she made her account."""

    ann: Person
    bob: Person
    carol: Person
    dave: Person
    written: accounts.NewAccount


@pytest.fixture(scope="module")
def people(backend: RunningHome, tmp_path_factory: pytest.TempPathFactory) -> People:
    folder = tmp_path_factory.mktemp("people")

    async def make() -> People:
        ann, bob, carol, dave = (somebody(name, folder, backend.url) for name in ("ann", "bob", "carol", "dave"))
        written, *_ = [await each.register() for each in (ann, bob, carol, dave)]
        await connect(ann, bob)
        await connect(ann, carol)
        async with ann.session() as (session, keyring):
            invited = await invitations.invite(session, keyring, dave.address)
        async with dave.session() as (session, keyring):
            link = LINK.findall(await mail_about(backend.data, invited.invitation))[0]
            await invitations.accept(session, keyring, link)
        async with ann.session() as (session, keyring):
            await connections.all_own(session, keyring)
        return People(ann, bob, carol, dave, written)

    return asyncio.run(make())


async def put(person: Person, name: str, value: str) -> pieces.Piece:
    async with person.session() as (session, keyring):
        return await pieces.put(session, keyring, name, value)


async def ask(person: Person, owner: Person, name: str) -> Request:
    async with person.session() as (session, keyring):
        return await requests.create(session, keyring, owner.address, name)


async def approve(person: Person, *asked: Request) -> None:
    async with person.session() as (session, keyring):
        for each in asked:
            assert (await requests.approve(session, keyring, each.request)).status == "approved"


async def read(person: Person, owner: Person, name: str) -> profiles.Shown:
    async with person.session() as (session, keyring):
        return await profiles.piece(session, keyring, name, owner.address)


async def granted(owner: Person, name: str, value: str, *readers: Person) -> pieces.Piece:
    """A piece that these people asked for, and were granted."""
    kept = await put(owner, name, value)
    await approve(owner, *[await ask(each, owner, name) for each in readers])
    return kept


async def row_of(session: Session, owner: str | None, name: str) -> tuple[PieceRow, dict[str, bytes]]:
    """A piece's row as the backend serves it for a fresh nonce, with the sealed objects."""
    found = await session.ask(AskPieces(owner=owner, piece_name=name), PieceRow, fresh=True)
    return found.rows[0], dict(found.sealed)


async def incoming(person: Person, name: str) -> list[Request]:
    """The open requests for one piece."""
    async with person.session() as (session, keyring):
        found = await requests.all_of(session, keyring, "incoming", open_only=True)
    return [each for each in found if isinstance(each, Request) and each.name == name]


async def test_c1_a_piece_is_ciphertext_with_a_wrapped_key_that_a_second_value_uses_too(
    people: People, backend: RunningHome, wire: Wire
) -> None:
    first, second = canary(), canary()
    kept = await put(people.ann, "phone", first)
    again = await put(people.ann, "Phone", second)
    assert (kept.version, again.version, again.generation) == (1, 2, 1)
    assert (again.piece, again.key) == (kept.piece, kept.key)
    assert (again.row.content, again.row.wrap) != (kept.row.content, kept.row.wrap)
    hidden = {"first": first.encode(), "second": second.encode(), "key": kept.key}
    assert wire.holding(hidden) == []
    assert found_in(files_of(backend.data), hidden) == []
    assert wire.holding({"the content": kept.row.content.encode() if kept.row.content else b""}) != []

    async with people.ann.session() as (session, keyring):
        for wrong in ("", "no spaces", "ä", "x" * 33, "-begins"):
            with pytest.raises(Malformed):
                await pieces.put(session, keyring, wrong, "value")
        with pytest.raises(Malformed, match="piece rm"):
            await pieces.put(session, keyring, "phone", "")
        with pytest.raises(TooLarge):
            await pieces.put(session, keyring, "phone", "x" * (pieces.MAX_VALUE + 1))
        removed = await pieces.remove(session, keyring, "phone")
        with pytest.raises(NotFound):
            await pieces.show(session, keyring, "phone")
        anew = await pieces.put(session, keyring, "phone", "third")
    assert (removed.version, anew.version, anew.generation) == (2, 4, 2)
    assert anew.key != again.key


async def test_c2_ones_own_piece_is_read_after_a_fresh_login(people: People, tmp_path: Path) -> None:
    await put(people.ann, "second-machine", "the value")
    server = parse_connection_string(people.ann.server)
    await accounts.login(
        ProfileFolder(tmp_path / "other"), server, people.ann.address, people.written.secret, people.ann.passphrase
    )
    other = replace(people.ann, home=tmp_path / "other")
    async with other.session() as (session, keyring):
        assert (await pieces.show(session, keyring, "second-machine")).value == "the value"
        await pieces.put(session, keyring, "second-machine", "of the other machine")
    async with people.ann.session() as (session, keyring):
        found = {each.name: each.value for each in await pieces.all_own(session, keyring)}
    assert found["second-machine"] == "of the other machine"


async def test_c3_connected_people_see_names_and_no_values_and_strangers_nothing(people: People) -> None:
    kept = await put(people.ann, "seen", "the value")
    async with people.bob.session() as (session, keyring):
        shown = {
            each.name: each
            for each in await profiles.show(session, keyring, people.ann.address)
            if not isinstance(each, Broken)
        }
        row, sealed = await row_of(session, people.written.account, "seen")
        bob = session.account
    assert (shown["seen"].status, shown["seen"].value) == ("requestable", None)
    assert (row.piece, row.piece_name, sealed) == (kept.piece, "seen", {})
    assert {row.version, row.generation, row.record, row.content, row.wrap} == {None}
    await put(people.bob, "of-bob", "the value")
    async with people.carol.session() as (session, keyring):
        with pytest.raises(NotConnected):
            await profiles.show(session, keyring, people.bob.address)
        assert (await session.ask(AskPieces(owner=bob), PieceRow)).rows == ()
    async with people.ann.session() as (session, keyring):
        assert [row.piece_name for row in (await session.ask(AskPieces(owner=bob), PieceRow)).rows] == ["of-bob"]


async def test_c4_a_request_reaches_the_owner_and_waits_for_the_asker_to_see(people: People) -> None:
    await put(people.ann, "asked", "the value")
    async with people.bob.session() as (session, keyring):
        made = await requests.create(session, keyring, people.ann.address, "asked")
        assert (made.status, made.incoming, made.recipient) == ("open", False, people.ann.address)
        waits = await profiles.piece(session, keyring, "asked", people.ann.address)
        assert (waits.status, waits.value) == ("requested", None)
        with pytest.raises(NotFound):
            await requests.create(session, keyring, people.ann.address, "nothing-there")
        with pytest.raises(NotConnected):
            await requests.create(session, keyring, people.carol.address, "asked")
        with pytest.raises(NotFound):
            await requests.approve(session, keyring, made.request)
    async with people.ann.session() as (session, keyring):
        assert (await requests.show(session, keyring, made.request)).sender == people.bob.address
        assert any(line.event == "piece-requested" for line in await feed.past(session))


async def test_c5_asking_again_takes_the_place_of_what_was_asked_before(people: People) -> None:
    await put(people.ann, "twice", "the value")
    first = await ask(people.bob, people.ann, "twice")
    [old] = await incoming(people.ann, "twice")
    second = await ask(people.bob, people.ann, "twice")
    assert (first.request, first.n, second.n) == (second.request, 1, 2)
    [only] = await incoming(people.ann, "twice")
    assert (only.request, only.n) == (old.request, 2)
    async with people.ann.session() as (session, keyring):
        with pytest.raises(RequestNotOpen):
            await requests.approve_all(session, keyring, [old])
        await requests.approve_all(session, keyring, [only])
        with pytest.raises(RequestNotOpen):
            await requests.approve(session, keyring, only.request)
    assert (await read(people.bob, people.ann, "twice")).value == "the value"


async def test_c6_the_owner_sees_who_asks_for_what(people: People) -> None:
    for name in ("one", "other"):
        await put(people.ann, name, "the value")
    await ask(people.bob, people.ann, "one")
    await ask(people.carol, people.ann, "one")
    await ask(people.carol, people.ann, "other")
    waiting = [each for name in ("one", "other") for each in await incoming(people.ann, name)]
    assert {(each.sender, each.name) for each in waiting} == {
        (people.bob.address, "one"),
        (people.carol.address, "one"),
        (people.carol.address, "other"),
    }


async def test_c6_a_request_that_its_asker_did_not_sign_is_not_shown_as_one(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(people.ann, "invented", "the value")
    made = await ask(people.bob, people.ann, "invented")

    def resigned(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["signature"] = b64(bytes(64))

    with monkeypatch.context() as patch:
        lie(patch, "requests", resigned)
        async with people.ann.session() as (session, keyring):
            with pytest.raises(ForgedRecord):
                await requests.approve(session, keyring, made.request)
            found = await requests.all_of(session, keyring, "incoming", open_only=True)
            assert [each.id for each in found if isinstance(each, Broken)].count(made.request) == 1
    assert [each.request for each in await incoming(people.ann, "invented")] == [made.request]


async def test_c7_what_is_approved_the_asker_decrypts_and_the_request_is_closed(people: People) -> None:
    await put(people.ann, "approved", "the value")
    asked = await ask(people.bob, people.ann, "approved")
    await approve(people.ann, asked)
    assert await incoming(people.ann, "approved") == []
    shown = await read(people.bob, people.ann, "approved")
    assert (shown.value, shown.status, shown.version, shown.verified) == ("the value", "granted", 1, True)
    async with people.bob.session() as (session, keyring):
        assert (await requests.show(session, keyring, asked.request)).status == "approved"
    with pytest.raises(NotFound):
        await read(people.carol, people.ann, "not-there")
    assert (await read(people.carol, people.ann, "approved")).value is None


async def test_c7_a_rule_approves_by_itself_and_never_over_an_unverified_connection(people: People) -> None:
    for name in ("ruled", "by-person", "unruled"):
        await put(people.ann, name, "the value")
        for person in (people.bob, people.carol, people.dave):
            await ask(person, people.ann, name)
    async with people.ann.session() as (session, keyring):
        made = await rules.add(session, keyring, "ruled")
        await rules.add(session, keyring, "by-person", people.carol.address)
        with pytest.raises(NotConnected):
            await rules.add(session, keyring, "by-person", "nobody@localhost")
        assert [(each.name, each.address) for each in await rules.all_own(session, keyring)] == [
            ("ruled", "connections"),
            ("by-person", people.carol.address),
        ]
        tasks = await rules.work(session, keyring)
        assert {(task.kind, task.about) for task in tasks} == {
            ("approve", f"ruled for {people.bob.address}"),
            ("approve", f"ruled for {people.carol.address}"),
            ("approve", f"by-person for {people.carol.address}"),
        }
        for task in tasks:
            await task.run()
        assert await rules.work(session, keyring) == []
        with pytest.raises(Unverified):
            await requests.approve(session, keyring, (await incoming(people.ann, "ruled"))[0].request)
        await rules.remove(session, keyring, made.rule)
        with pytest.raises(NotFound):
            await rules.remove(session, keyring, made.rule)
    values = {
        (who.address, name): (await read(who, people.ann, name)).value
        for who in (people.bob, people.carol, people.dave)
        for name in ("ruled", "by-person", "unruled")
    }
    readers = [(people.bob.address, "ruled"), (people.carol.address, "ruled"), (people.carol.address, "by-person")]
    assert {key for key, value in values.items() if value == "the value"} == set(readers)
    assert {value for key, value in values.items() if key not in readers} == {None}


async def test_c8_a_declined_request_is_closed_and_nothing_is_sent(people: People) -> None:
    kept = await put(people.ann, "declined", "the value")
    asked = await ask(people.bob, people.ann, "declined")
    async with people.ann.session() as (session, keyring):
        assert (await requests.decline(session, keyring, asked.request)).status == "declined"
        with pytest.raises(RequestNotOpen):
            await requests.approve(session, keyring, asked.request)
        assert (await session.ask(AskReaders(piece=kept.piece), ReaderRow)).rows == ()
    assert (await read(people.bob, people.ann, "declined")).status == "requestable"
    async with people.bob.session() as (session, keyring):
        assert (await requests.show(session, keyring, asked.request)).status == "declined"
        again = await requests.create(session, keyring, people.ann.address, "declined")
        assert (await requests.withdraw(session, keyring, again.request)).status == "closed"
    await approve(people.ann, await ask(people.bob, people.ann, "declined"))
    assert (await read(people.bob, people.ann, "declined")).value == "the value"


async def test_c9_what_is_read_once_stands_under_the_askers_own_kek(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await granted(people.ann, "stored", "the value", people.bob)
    async with people.bob.session() as (session, keyring):
        over = await connections.with_person(session, keyring, people.ann.address)
        place = GrantPlace(
            owner=people.written.account,
            piece=kept.piece,
            name="stored",
            generation=1,
            reader=session.account,
            connection=over.connection,
            key=over.key,
        )
        row, _ = await row_of(session, people.written.account, "stored")
        assert not row.stored
        [task] = [each for each in await profiles.work(session, keyring) if each.about.startswith("stored of ")]
        await task.run()
        row, sealed = await row_of(session, people.written.account, "stored")
        assert row.stored
        assert stored_key(keyring.kek, sealed[row.wrap or ""], place) == kept.key
        assert not [each for each in await profiles.work(session, keyring) if each.about.startswith("stored of ")]
    async with people.ann.session() as (_, hers):
        with pytest.raises(DoesNotOpen):
            stored_key(hers.kek, sealed[row.wrap or ""], place)

    async def no_private_key(*_: object) -> None:
        raise AssertionError("the private key was asked for")

    monkeypatch.setattr(pieces, "stored_connection_key", no_private_key)
    assert (await read(people.bob, people.ann, "stored")).value == "the value"


Change = Callable[[dict[str, Any]], None]


def changed(name: str, change: Change) -> Callable[[list[dict[str, Any]]], None]:
    """A lie about the rows of one piece."""

    def change_all(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["piece_name"] == name:
                change(row)

    return change_all


def answer_of_zeros(row: dict[str, Any]) -> None:
    row["answer"] = b64(bytes(32))


def no_answer(row: dict[str, Any]) -> None:
    row["answer"] = None


def another_version(row: dict[str, Any]) -> None:
    row["version"] += 1


def another_round(row: dict[str, Any]) -> None:
    row["approved"] += 1


def hidden(row: dict[str, Any]) -> None:
    row |= {"status": "closed", "approved": None}


@pytest.mark.parametrize(
    ("name", "change", "alarm"),
    [
        ("zeros", answer_of_zeros, WrongAnswer),
        pytest.param("none", no_answer, WrongAnswer, marks=pytest.mark.trial),
        pytest.param("version", another_version, WrongAnswer, marks=pytest.mark.trial),
        pytest.param("round", another_round, DoesNotOpen, marks=pytest.mark.trial),
        pytest.param("closed", hidden, WrongAnswer, marks=pytest.mark.trial),
    ],
    ids=["made without it", "none", "for another version", "for another round", "hidden"],
)
async def test_c10_an_answer_without_the_askers_challenge_is_refused(
    people: People, monkeypatch: pytest.MonkeyPatch, name: str, change: Change, alarm: type[PrivityError]
) -> None:
    await granted(people.ann, f"c10-{name}", "the value", people.bob)
    with monkeypatch.context() as patch:
        lie(patch, "requests", changed(f"c10-{name}", change))
        with pytest.raises(alarm):
            await read(people.bob, people.ann, f"c10-{name}")
    assert (await read(people.bob, people.ann, f"c10-{name}")).value == "the value"


async def test_c10_an_approval_that_could_not_open_the_challenge_is_refused(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody with all of Ann's keys but that of the connection answers for her."""
    await put(people.ann, "guessed", "the value")
    asked = await ask(people.bob, people.ann, "guessed")
    with monkeypatch.context() as patch:
        patch.setattr(requests, "open_challenge", lambda *_: bytes(32))
        await approve(people.ann, asked)
    with pytest.raises(WrongAnswer):
        await read(people.bob, people.ann, "guessed")
    await approve(people.ann, await ask(people.bob, people.ann, "guessed"))
    assert (await read(people.bob, people.ann, "guessed")).value == "the value"


@pytest.mark.parametrize(
    ("field", "alarm"),
    [
        ("signature", ForgedRecord),
        pytest.param("grant", ForgedRecord, marks=pytest.mark.trial),
        pytest.param("version", ForgedRecord, marks=pytest.mark.trial),
        pytest.param("record", ForgedRecord, marks=pytest.mark.trial),
        pytest.param("owner", ForgedRecord, marks=pytest.mark.trial),
        pytest.param("key", KeyMismatch, marks=pytest.mark.trial),
    ],
)
async def test_c11_a_forged_value_is_refused(
    people: People, monkeypatch: pytest.MonkeyPatch, field: str, alarm: type[PrivityError]
) -> None:
    name = f"c11-{field}"
    await granted(people.ann, name, "the value", people.bob)
    async with people.bob.session() as (session, _):
        bob = session.account

    def forge(row: dict[str, Any]) -> None:
        facts = json.loads(unb64(row["record"])) | {"version": 2}
        longer = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
        row.update(
            {
                "signature": {"signature": b64(bytes(64))},
                "grant": {"grant": b64(bytes(64))},
                "version": {"version": 2},
                "record": {"record": b64(longer)},
                "owner": {"owner": bob},
                "key": {"key": "a" * 26},
            }[field]
        )

    with monkeypatch.context() as patch:
        lie(patch, "pieces", changed(name, forge))
        with pytest.raises(alarm):
            await read(people.bob, people.ann, name)
        async with people.bob.session() as (session, keyring):
            shown = await profiles.show(session, keyring, people.ann.address)
            assert [type(each.alarm) for each in shown if isinstance(each, Broken)] == [alarm]
    assert (await read(people.bob, people.ann, name)).value == "the value"


async def test_c12_a_profile_has_granted_pieces_inline_others_requestable_and_no_empty_ones(people: People) -> None:
    await granted(people.carol, "mail", "carol@example.org", people.ann)
    for name in ("currentcity", "birthday", "gone"):
        await put(people.carol, name, "the value")
    await ask(people.ann, people.carol, "birthday")
    async with people.carol.session() as (session, keyring):
        await pieces.remove(session, keyring, "gone")

    shown = await asyncio.to_thread(typed, people.ann, "--json", "profile", "show", people.carol.address)
    assert shown.code == 0, shown.err
    assert {(row["name"], row["status"], row["value"]) for row in shown.json} == {
        ("mail", "granted", "carol@example.org"),
        ("currentcity", "requestable", None),
        ("birthday", "requested", None),
    }
    same = await asyncio.to_thread(typed, people.ann, "--json", "piece", "list", people.carol.address)
    assert same.json == shown.json


async def test_c13_all_readers_of_a_piece_have_one_key_wrapped_for_each(people: People) -> None:
    kept = await granted(people.ann, "many", "the value", people.bob, people.carol)
    wraps: dict[str, bytes] = {}
    for reader in (people.bob, people.carol):
        async with reader.session() as (session, keyring):
            row, sealed = await row_of(session, people.written.account, "many")
            over = await connections.with_person(session, keyring, people.ann.address)
            own = await pieces.stored_connection_key(session, keyring, over.key)
            place = GrantPlace(
                owner=people.written.account,
                piece=kept.piece,
                name="many",
                generation=1,
                reader=session.account,
                connection=over.connection,
                key=over.key,
            )
        wraps[reader.address] = wrap = sealed[row.wrap or ""]
        assert row.content == kept.row.content
        assert open_grant(place, own.pair.suite, wrap, own.pair.private) == kept.key
        with pytest.raises(DoesNotOpen):
            open_grant(replace(place, name="other"), own.pair.suite, wrap, own.pair.private)
    assert len(set(wraps.values())) == 2
    async with people.ann.session() as (session, keyring):
        found = await pieces.readers(session, keyring, "many")
    assert {each.address for each in found} == {people.bob.address, people.carol.address}


async def test_c14_all_readers_see_a_new_value_and_an_older_one_is_refused(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await granted(people.ann, "updated", "first", people.bob, people.carol)
    async with people.bob.session() as (session, keyring):
        assert (await profiles.piece(session, keyring, "updated", people.ann.address)).value == "first"
        old, blobs = await row_of(session, people.written.account, "updated")
    updated = await put(people.ann, "updated", "second")
    assert (updated.version, updated.generation) == (2, 1)
    assert [(await read(each, people.ann, "updated")).value for each in (people.bob, people.carol)] == ["second"] * 2

    names = ("version", "generation", "record", "signature", "content")
    with monkeypatch.context() as patch:
        lie(patch, "pieces", changed("updated", lambda row: row.update({name: getattr(old, name) for name in names})))
        with pytest.raises(RolledBack):
            await read(people.bob, people.ann, "updated")
    assert (await read(people.bob, people.ann, "updated")).value == "second"
    assert old.content in blobs


async def test_c15_a_dropped_reader_reads_no_more_and_the_rest_have_a_new_key(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await granted(people.ann, "dropped", "first", people.bob, people.carol)
    assert (await read(people.bob, people.ann, "dropped")).value == "first"
    async with people.ann.session() as (session, keyring):
        before = (await session.ask(AskReaders(piece=kept.piece), ReaderRow)).rows
        with pytest.raises(NotFound):
            await pieces.drop(session, keyring, "dropped", people.dave.address)
        left = await pieces.drop(session, keyring, "dropped", people.bob.address)
        assert (left.version, left.generation, left.value) == (2, 2, "first")
        assert left.key != kept.key
        second = await pieces.put(session, keyring, "dropped", "second")
        assert (second.generation, second.key) == (2, left.key)
        [reader] = await pieces.readers(session, keyring, "dropped")
        assert (reader.address, reader.generation) == (people.carol.address, 2)
        row, sealed = await row_of(session, None, "dropped")
        gone = [line.refs["digests"] for line in await feed.past(session) if line.event == "sealed-erased"]
    assert {each.wrap for each in before} <= set(" ".join(gone).split())
    assert kept.row.content in " ".join(gone).split()
    record = read_piece(unb64(row.record or ""))
    with pytest.raises(DoesNotOpen):
        open_piece(record, kept.key, sealed[record.content])
    assert open_piece(record, second.key, sealed[record.content]) == b"second"

    assert (await read(people.carol, people.ann, "dropped")).value == "second"
    shown = await read(people.bob, people.ann, "dropped")
    assert (shown.status, shown.value) == ("requestable", None)

    def with_bob(rows: list[dict[str, Any]]) -> None:
        """The backend names him as a reader still, with the grant that he had."""
        bobs = next(each for each in before if each.reader_address == people.bob.address)
        rows.append({name: getattr(bobs, name) for name in ReaderRow.__dataclass_fields__})

    with monkeypatch.context() as patch:
        lie(patch, "readers", with_bob)
        async with people.ann.session() as (session, keyring):
            with pytest.raises(RolledBack):
                await pieces.drop(session, keyring, "dropped", people.carol.address)
    await approve(people.ann, await ask(people.bob, people.ann, "dropped"))
    assert (await read(people.bob, people.ann, "dropped")).value == "second"


@pytest.mark.trial
async def test_c15_who_leaves_by_the_connections_end_has_no_key_of_later_values(people: People) -> None:
    """And comes back by asking again."""
    kept = await granted(people.bob, "left", "first", people.ann)
    assert (await read(people.ann, people.bob, "left")).value == "first"
    await put(people.ann, "open-at-the-end", "the value")
    await ask(people.bob, people.ann, "open-at-the-end")
    async with people.ann.session() as (session, keyring):
        over = await connections.with_person(session, keyring, people.bob.address)
        await connections.remove(session, keyring, over.connection)
        asked = await session.ask(AskRequests(connection=over.connection), RequestRow)
        assert {row.status for row in asked.rows} <= {"closed", "declined"}
        assert all(row.challenge is row.kept is None for row in asked.rows)
        assert (await session.ask(AskReaders(connection=over.connection), ReaderRow)).rows == ()
        with pytest.raises(NotConnected):
            await profiles.piece(session, keyring, "left", people.bob.address)
    after = await put(people.bob, "left", "second")
    assert (after.generation, after.key != kept.key) == (2, True)
    await connect(people.ann, people.bob)
    assert (await read(people.ann, people.bob, "left")).status == "requestable"
    await approve(people.bob, await ask(people.ann, people.bob, "left"))
    assert (await read(people.ann, people.bob, "left")).value == "second"


async def test_c15_what_was_granted_and_is_left_out_is_an_alarm(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await granted(people.ann, "left-out", "the value", people.bob)
    with monkeypatch.context() as patch:
        lie(patch, "pieces", lambda rows: rows.clear())
        with pytest.raises(Withheld):
            await read(people.bob, people.ann, "left-out")
        async with people.ann.session() as (session, keyring):
            with pytest.raises(Withheld):
                await pieces.show(session, keyring, "left-out")
    assert (await read(people.bob, people.ann, "left-out")).value == "the value"


async def test_c16_a_key_served_for_the_wrong_person_is_refused_and_every_key_is_in_the_log(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(people.ann, "keys", "the value")
    async with people.bob.session() as (session, keyring):
        over = await connections.with_person(session, keyring, people.ann.address)
    async with people.carol.session() as (session, keyring):
        hers = (await connections.with_person(session, keyring, people.ann.address)).public

    def for_the_wrong_person(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["peer_public"] = b64(hers)

    with monkeypatch.context() as patch:
        lie(patch, "connections", for_the_wrong_person)
        async with people.bob.session() as (session, keyring):
            with pytest.raises(KeyMismatch):
                await requests.create(session, keyring, people.ann.address, "keys")
    async with people.bob.session() as (session, keyring):
        assert await requests.create(session, keyring, people.ann.address, "keys")
        lines = [line for line in await feed.past(session) if line.refs.get("connection") == over.connection]
        [place] = [line.position for line in lines if line.event == "connection-established"]
        shown = await evidence(session, place)
        sides = {side["account"]: side for side in (shown.event["inviter"], shown.event["acceptor"])}  # type: ignore[index]
        assert sides[over.peer]["public"] == b64(over.public)
        own = {line.refs["key"]: line.position for line in await feed.past(session) if line.event == "keypair-stored"}
        stored = await evidence(session, own[over.key])
        assert stored.event["public"] == over.own_public
        assert {line.refs["key"] for line in await feed.past(session) if line.event == "public-key-published"} == set(
            own
        )


async def test_c17_people_compare_fingerprints_and_the_invitations_secret_does_it_for_them(people: People) -> None:
    async with people.ann.session() as (session, keyring):
        mine = await identity.show(session)
        bob, dave = [await connections.with_person(session, keyring, who.address) for who in (people.bob, people.dave)]
    async with people.bob.session() as (session, keyring):
        ann = await connections.with_person(session, keyring, people.ann.address)
    async with people.dave.session() as (session, keyring):
        daves = await connections.with_person(session, keyring, people.ann.address)
        assert not daves.verified
        with pytest.raises(KeyMismatch):
            await connections.verify(session, keyring, daves.connection, ann.safety_number)
        verified = await connections.verify(session, keyring, daves.connection, dave.safety_number)
    assert identity.fingerprint(ann.identity) == mine.fingerprint == identity.fingerprint(daves.identity)
    assert ann.safety_number == bob.safety_number != dave.safety_number
    assert (bob.verified, ann.verified, dave.verified, verified.verified) == (True, True, False, True)


def test_c7_the_whole_story_by_the_command_line(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and keys as scripts rely on them; a value can come by stdin."""

    def done(person: Person, *arguments: str) -> Any:
        outcome = typed(person, "--json", *arguments)
        assert outcome.code == 0, outcome.err
        return outcome.json

    class Stdin:
        class buffer:
            @staticmethod
            def read(_: int) -> bytes:
                return b"+1 555 0100\n"

    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", Stdin)
        kept = done(people.ann, "piece", "set", "typed", "-")
    assert (kept["name"], kept["value"], kept["status"]) == ("typed", "+1 555 0100", "own")
    assert "typed" in {row["name"] for row in done(people.ann, "piece", "list")}
    asked = done(people.carol, "request", "create", people.ann.address, "typed")
    assert asked.keys() >= {"request", "from", "to", "name", "status"}
    assert asked["request"] in {row["request"] for row in done(people.ann, "request", "list", "--incoming", "--open")}
    assert done(people.ann, "request", "approve", asked["request"])["status"] == "approved"
    shown = done(people.carol, "piece", "show", "typed", "--of", people.ann.address)
    assert (shown["value"], shown["status"], shown["piece"]) == ("+1 555 0100", "granted", kept["piece"])
    assert [row["reader"] for row in done(people.ann, "piece", "readers", "typed")] == [people.carol.address]
    assert done(people.ann, "piece", "drop", "typed", people.carol.address)["generation"] == 2
    assert done(people.carol, "piece", "show", "typed", "--of", people.ann.address)["value"] is None
    declined = done(people.carol, "request", "create", people.ann.address, "typed")
    assert done(people.ann, "request", "decline", declined["request"][:12])["status"] == "declined"
    withdrawn = done(people.carol, "request", "create", people.ann.address, "typed")
    assert done(people.carol, "request", "withdraw", withdrawn["request"])["status"] == "closed"
    made = done(people.ann, "rule", "add", "typed", "--for", people.carol.address)
    assert made in done(people.ann, "rule", "list")
    assert done(people.ann, "rule", "rm", made["rule"][:10]) == made
    assert done(people.ann, "piece", "rm", "typed")["status"] == "removed"
    refused = typed(people.ann, "piece", "show", "typed")
    assert (refused.code, refused.err[:16]) == (1, "error: NotFound:")
