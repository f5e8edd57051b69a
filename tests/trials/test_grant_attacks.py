"""What a hostile backend, a stranger or somebody who was dropped tries with grants and audits of sharing keys.

Each time the same way unattacked goes on to work.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import (
    accounts,
    connections,
    feed,
    grants,
    identity,
    key_audits,
    location_writing,
    locations,
    registrations,
    rotation,
    sharing_keys,
    supplying,
)
from privity.agent.identity import current
from privity.agent.key_audits import place_of
from privity.agent.location_writing import sources_of
from privity.agent.profile import ProfileFolder
from privity.connection_string import parse_connection_string
from privity.crypto import kem, labels
from privity.crypto.audits import (
    AuditPlace,
    Said,
    grant_id,
    seal_challenge,
    sign_answer,
    sign_audit,
)
from privity.crypto.kem import generate_keypair
from privity.crypto.sharing_keys import read_record
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    AuditClosed,
    ForgedRecord,
    IntegrityAlarm,
    KeyMismatch,
    NotFound,
    Refusal,
    StaleVersion,
    SupplierAway,
    Unverified,
    Withheld,
)
from privity.gathering import Trouble
from privity.messages.grants import AnswerAudit, AskAudit, BeginGrant
from privity.messages.suppliers import Register
from privity.messages.views import AskKeyAudits, AskKeyRecords, KeyAuditRow, KeyRecordRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.test_grants import account, answered, audited, granted, holds, made, outcomes
from tests.rows.watching import Wire, lie

pytestmark = pytest.mark.trial

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Three:
    """Ann, who made a key; Bob, who holds it; and Carol, who is connected with both and has nothing of it."""

    ann: Person
    bob: Person
    carol: Person
    key: str


@pytest.fixture
async def three(person: MakePerson) -> Three:
    ann, bob, carol = [await person(name) for name in ("ann", "bob", "carol")]
    for one, other in ((ann, bob), (ann, carol), (bob, carol)):
        await connect(one, other)
    key = await made(ann)
    await granted(ann, key, bob)
    await holds(bob, key)
    return Three(ann, bob, carol, key)


async def over(one: Person, other: Person) -> connections.Connection:
    """The connection of two people, as the first one has it."""
    async with one.session() as (session, keyring):
        return await connections.with_person(session, keyring, other.address)


async def asking(by: Person, of: Person, key: str, kind: Any = "private", *, generation: int = 1) -> AuditPlace:
    """Where an audit of somebody's stands that no agent has made."""
    joined = await over(by, of)
    return AuditPlace(
        audit=new_id(),
        asker=await account(by),
        of=joined.peer,
        connection=joined.connection,
        key=key,
        kind=kind,
        generation=generation,
        nonce=b64(bytes(8) + bytes(24)),
    )


async def ask(by: Person, place: AuditPlace, challenge: bytes = b"", signature: bytes | None = None) -> None:
    """Send an audit past the agent, signed by the asker if nothing else is said."""
    async with by.session() as (session, keyring):
        keyring, _ = await current(session, keyring)
        named = digest(challenge) if challenge else None
        signed = sign_audit(keyring.identity.sign, place, named) if signature is None else signature
        about = (place.of, place.connection, place.kind, place.generation, place.nonce)
        command = AskAudit(place.audit, place.key or None, *about, named, b64(signed))
        await session.send(command, *([challenge] if challenge else []))


def each_with(turned: Mapping[str, Any]) -> Callable[[Rows], None]:
    """Has the backend say something else in each row."""

    def lying(rows: Rows) -> None:
        rows[:] = [row | turned for row in rows]

    return lying


async def found(person: Person, audit: str) -> KeyAuditRow:
    """An audit as the home serves it to somebody."""
    async with person.session() as (session, _):
        return (await session.ask(AskKeyAudits(id=audit, limit=2), KeyAuditRow)).one("audit", audit)


async def test_s1_a_swapped_connection_key_gets_no_key(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend's own key instead of Carol's: nothing is sealed to it, nothing begins."""
    planted = b64(generate_keypair().public)

    def swap(rows: Rows) -> None:
        for row in rows:
            row["peer_public"] = planted

    with monkeypatch.context() as patch:
        lie(patch, "connections", swap)
        with pytest.raises(KeyMismatch):
            await granted(three.ann, three.key, three.carol)
        async with three.ann.session() as (session, keyring):
            with pytest.raises(IntegrityAlarm):
                await rotation.rotate(session, keyring, three.key)
    async with three.ann.session() as (session, keyring):
        assert [each.address for each in await grants.all_of(session, keyring)] == [three.bob.address]
    assert outcomes(await granted(three.ann, three.key, three.carol))["private"] == "done"


async def test_s4_a_grant_to_somebody_else_than_its_id_says_is_shown_as_broken(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one of a key that does not hold; neither hides the other's grants."""
    carols = await account(three.carol)
    for view, turned in (("grants", {"to": carols}), ("sharing-keys", {"signature": b64(bytes(64))})):
        with monkeypatch.context() as lying:
            lie(lying, view, each_with(turned))
            async with three.ann.session() as (session, keyring):
                [broken] = await grants.all_of(session, keyring)
                assert isinstance(broken, connections.Broken)
                assert isinstance(broken.alarm, IntegrityAlarm)
    async with three.ann.session() as (session, keyring):
        [shown] = await grants.all_of(session, keyring)
        assert isinstance(shown, grants.Grant)
        assert shown.address == three.bob.address


async def test_s3_a_home_that_hides_a_key_does_not_have_its_holder_deny_it(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    await audited(three.ann, three.key, three.bob, "private")
    with monkeypatch.context() as lying:
        lie(lying, "sharing-keys", each_with({"signature": b64(bytes(64))}))
        with pytest.raises(IntegrityAlarm):
            await answered(three.bob)
    await answered(three.bob)
    assert (await audited(three.ann, three.key, three.bob, "private")).passed is True


async def test_s8_a_planted_holder_is_noticed_and_gets_nothing(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whom the creator never granted the key; and one who is shown over somebody else's connection."""
    carol, with_carol = await account(three.carol), (await over(three.ann, three.carol)).connection

    def plant(rows: Rows) -> None:
        rows.append(rows[0] | {"account": carol, "address": three.carol.address, "connection": with_carol})

    def move(rows: Rows) -> None:
        for row in rows:
            row["connection"] = with_carol

    async with three.ann.session() as (session, keyring):
        for lying in (plant, move):
            with monkeypatch.context() as patch:
                lie(patch, "key-holders", lying)
                with pytest.raises(KeyMismatch):
                    await rotation.rotate(session, keyring, three.key)
        with monkeypatch.context() as patch:
            lie(patch, "key-holders", plant)
            grant = await grants.create(session, keyring, three.key, three.carol.address, wait=0)
        assert (grant.steps[-1].outcome, grant.steps[-1].reason) == ("failed", "KeyMismatch")
        assert isinstance(grant.error, KeyMismatch)
        rotated = await rotation.rotate(session, keyring, three.key)
        assert (rotated.key.generation, rotated.key.record.holders) == (2, (await account(three.bob),))
    assert (await holds(three.bob, three.key)).generation == 2


async def test_s8_a_holder_who_is_left_out_is_noticed_unless_they_gave_the_key_up(
    three: Three, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Bob would be dropped unasked; once he gave the key up himself, the log shows it, until he is granted it anew."""
    bob = await account(three.bob)
    async with three.ann.session() as (session, keyring):
        with monkeypatch.context() as patch:
            lie(patch, "key-holders", list.clear)
            with pytest.raises(Withheld):
                await rotation.rotate(session, keyring, three.key)
            grant = await grants.create(session, keyring, three.key, three.carol.address, wait=0)
            assert isinstance(grant.error, Withheld)
    async with three.bob.session() as (session, keyring):
        await sharing_keys.remove(session, keyring, three.key)
    async with three.ann.session() as (session, keyring):
        assert {each.address for each in await grants.all_of(session, keyring)} == {three.carol.address}
        rotated = await rotation.rotate(session, keyring, three.key)
        assert (rotated.dropped, rotated.key.record.holders) == ((three.bob.address,), ())
        assert any(f"{bob} gave plans" in each for each in caplog.messages)
        assert (await grants.create(session, keyring, three.key, three.bob.address, wait=0)).error is None
        with monkeypatch.context() as patch:
            lie(patch, "key-holders", list.clear)
            with pytest.raises(Withheld):
                await rotation.rotate(session, keyring, three.key)
        rotated = await rotation.rotate(session, keyring, three.key)
    assert (rotated.dropped, rotated.key.record.holders) == ((), (bob,))


async def test_s8_a_grant_over_an_unverified_connection_is_not_whole_because_the_home_says_so(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that says that the private part went out: the signed record says that it did not."""
    over_carol = await over(three.ann, three.carol)
    id = grant_id(three.key, over_carol.peer, over_carol.connection)
    async with three.ann.session() as (session, keyring):
        await session.send(BeginGrant(id, three.key, over_carol.peer, over_carol.connection, 2))
        steps = [{"step": step, "outcome": "done", "reason": None} for step in ("reach", "audit", "private")]
        unverified = replace(over_carol, verified=False)
        with monkeypatch.context() as patch:
            lie(patch, "grants", each_with({"steps": steps}))
            patch.setattr(connections, "show", returning(unverified))
            with pytest.raises(Unverified):
                await grants.carry_on(session, keyring, id)
        assert (await sharing_keys.show(session, keyring, three.key)).record.holders == (await account(three.bob),)
        assert (await grants.carry_on(session, keyring, id)).error is None
        assert (await sharing_keys.show(session, keyring, three.key)).record.holds(over_carol.peer)


def returning(value: object) -> Callable[..., Any]:
    """An async function that gives this."""

    async def give(*_: object) -> object:
        return value

    return give


async def test_b9_an_identity_that_was_renewed_since_passes_and_an_old_answer_is_none(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob answered with the keys that he had then; and what was asked long before says nothing of now."""
    assert (await audited(three.ann, "master", three.bob, "public")).passed is None
    await answered(three.bob)
    async with three.bob.session() as (session, keyring):
        await identity.rotate(session, keyring, ProfileFolder(three.bob.home).load().device)
    assert (await audited(three.ann, "master", three.bob, "public")).passed is True
    first = await audited(three.ann, "master", three.bob, "public")
    await answered(three.bob)
    made = key_audits._made
    with monkeypatch.context() as patch:
        patch.setattr(key_audits, "_made", lambda session, row: made(session, row) - key_audits.RECENT)
        late = await audited(three.ann, "master", three.bob, "public")
    assert (late.passed, late.audit == first.audit) == (None, False)
    await answered(three.bob)
    assert (await audited(three.ann, "master", three.bob, "public")).passed is True


async def test_s8_a_grant_to_somebody_else_is_not_carried_on(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that turns a grant's receiver into another person."""
    carol, with_carol = await account(three.carol), (await over(three.ann, three.carol)).connection
    async with three.ann.session() as (session, keyring):
        [row] = await grants.all_of(session, keyring)
        for turned in ({"to": carol}, {"to": carol, "connection": with_carol}):
            with monkeypatch.context() as patch:
                lie(patch, "grants", each_with(turned))
                with pytest.raises(KeyMismatch):
                    await grants.carry_on(session, keyring, row.grant)
        assert (await grants.carry_on(session, keyring, row.grant)).error is None


async def test_u8_a_stranger_to_a_key_is_told_nothing(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carol knows the key's id: the home refuses her; and with its help Bob's agent says that it has no such key."""
    carol_asks = await asking(three.carol, three.bob, three.key, "public")
    with pytest.raises(NotFound):
        await ask(three.carol, carol_asks)
    about = await asking(three.carol, three.bob, "", "public")
    await ask(three.carol, about)
    place = replace(about, key=three.key)
    async with three.carol.session() as (session, keyring):
        keyring, _ = await current(session, keyring)
        signature = b64(sign_audit(keyring.identity.sign, place, None))
    wire = Wire()

    def turn(rows: Rows) -> None:
        rows[:] = [row | {"key": three.key, "signature": signature} for row in rows if row["audit"] == place.audit]

    with monkeypatch.context() as patch:
        lie(patch, "key-audits", turn)
        wire.record(patch)
        with pytest.raises(Refusal):  # the home knows of another question
            await answered(three.bob)
    [said] = [data for subject, data in wire.published if subject.endswith("audits.answer")]
    assert b'"not-registered"' in said
    assert b'"holds"' not in said
    await audited(three.ann, three.key, three.bob, "private")
    await answered(three.bob)
    assert (await audited(three.ann, three.key, three.bob, "private")).passed is True


@pytest.mark.parametrize("label", ["KEY_FILE_DEK", "LOCATION_BODY", "SHARING_KEY_TO_HOLDER"])
async def test_u8_an_audit_opens_nothing_but_challenges(three: Three, label: str) -> None:
    """What is sealed to the key for another use, or to another key, is answered as if there were no key."""
    key = await holds(three.ann, three.key)

    async def verdict(place: AuditPlace, challenge: bytes) -> str | None:
        await ask(three.ann, place, challenge)
        await answered(three.bob)
        return (await found(three.ann, place.audit)).verdict

    place = await asking(three.ann, three.bob, three.key)
    foreign = kem.seal_to(key.record.suite, key.record.seal, bytes(32), getattr(labels, label), *place.context)
    assert await verdict(place, foreign) == "not-registered"
    other = await asking(three.ann, three.bob, three.key)
    assert await verdict(other, seal_challenge(other, bytes(32), generate_keypair().public)) == "not-registered"
    right = await asking(three.ann, three.bob, three.key)
    assert await verdict(right, seal_challenge(right, bytes(32), key.record.seal)) == "holds"


async def test_u8_an_answer_is_good_for_one_question(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend serves an old answer, somebody else's, or one to a question that nobody asked."""
    first = await audited(three.ann, three.key, three.bob, "public")
    await answered(three.bob)
    assert (await audited(three.ann, three.key, three.bob, "public")).passed is True
    old = await found(three.ann, first.audit)
    again = await audited(three.ann, three.key, three.bob, "public")
    assert again.audit != first.audit

    def replay(rows: Rows) -> None:
        for row in rows:
            row.update(verdict="holds", held=old.held, answered=old.answered)

    def replay_whole(rows: Rows) -> None:
        for row in rows:
            row.update(verdict="holds", held=old.held, answered=old.answered, nonce=old.nonce)

    for lying in (replay, replay_whole):
        with monkeypatch.context() as patch:
            lie(patch, "key-audits", lying)
            with pytest.raises(ForgedRecord):
                await audited(three.ann, three.key, three.bob, "public")
    await answered(three.bob)
    assert (await audited(three.ann, three.key, three.bob, "public")).passed is True


async def test_u8_an_audit_that_is_asked_again_takes_the_place_of_the_one_that_waits(three: Three) -> None:
    """So nobody who is silent uses up what may be asked."""
    first, second = [await asking(three.ann, three.bob, three.key, "public") for _ in range(2)]
    await ask(three.ann, first)
    await ask(three.ann, second)
    with pytest.raises(NotFound):
        await found(three.ann, first.audit)
    await answered(three.bob)
    assert (await found(three.ann, second.audit)).verdict == "holds"


async def test_b27_a_bad_signature_is_refused_by_home_and_agents(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a question, and of an answer."""
    place = await asking(three.ann, three.bob, three.key, "public")
    with pytest.raises(Refusal):
        await ask(three.ann, place, signature=bytes(64))
    await ask(three.ann, place)
    with monkeypatch.context() as patch:
        lie(patch, "key-audits", each_with({"nonce": digest(b"another")}))
        with pytest.raises(ForgedRecord):
            await answered(three.bob)
    async with three.bob.session() as (session, keyring):
        keyring, _ = await current(session, keyring)
        bad = sign_answer(keyring.identity.sign, replace(place, nonce=digest(b"x")), Said(verdict="not-registered"))
        with pytest.raises(Refusal):
            await session.send(AnswerAudit(place.audit, place.asker, "not-registered", None, None, b64(bad)))
    await answered(three.bob)
    async with three.bob.session() as (session, keyring):
        with pytest.raises(AuditClosed):
            await key_audits.answer(session, keyring, place.asker, place.audit)
    assert (await found(three.ann, place.audit)).verdict == "holds"


async def test_b10_who_cannot_open_the_challenge_does_not_pass(three: Three) -> None:
    """Carol claims to hold the key and answers with what she has: her answer is signed, and wrong."""
    key = await holds(three.ann, three.key)
    asked = await audited(three.ann, three.key, three.carol, "private")
    assert asked.passed is None
    async with three.carol.session() as (session, keyring):
        keyring, _ = await current(session, keyring)
        row = (await session.ask(AskKeyAudits(id=asked.audit, limit=2), KeyAuditRow)).one("audit", asked.audit)
        with_ann = await connections.with_person(session, keyring, three.ann.address)
        place = place_of(row)
        wrong = kem.seal_to(with_ann.suite, with_ann.public, bytes(32), labels.KEY_AUDIT_TO_ASKER, *place.context)
        said = Said(verdict="holds", answer=digest(wrong))
        signature = b64(sign_answer(keyring.identity.sign, place, said))
        await session.send(AnswerAudit(row.audit, row.asker, "holds", None, said.answer, signature), wrong)
    result = await audited(three.ann, three.key, three.carol, "private")
    assert (result.passed, result.reason) == (False, "WrongAnswer")
    assert key.record.holders == (await account(three.bob),)


async def test_b15_two_agents_of_one_person_do_each_step_once(
    person: MakePerson, backend: RunningHome, tmp_path: Path
) -> None:
    """Ann's two devices grant the same key to Bob at once, and Bob's answer once."""
    ann, bob = somebody("ann", tmp_path, backend.url), await person("bob")
    written = await ann.register()
    await connect(ann, bob)
    second = Person(ann.address, tmp_path / "second", ann.server)
    server = parse_connection_string(ann.server)
    await accounts.login(ProfileFolder(second.home), server, ann.address, written.secret, ann.passphrase)
    key = await made(ann)
    both = await asyncio.gather(granted(ann, key, bob), granted(second, key, bob))
    assert [outcomes(each)["private"] for each in both] == ["done", "done"], both
    await holds(bob, key)
    await asyncio.gather(*(carried_on(device) for device in (ann, second)))
    async with ann.session() as (session, keyring):
        events = [line.event for line in await feed.past(session)]
        assert (await sharing_keys.show(session, keyring, key)).record.n == 2
        assert await grants.work(session, keyring) == []
    assert (events.count("grant-begun"), events.count("sharing-key-granted")) == (1, 1)
    assert events.count("grant-step-taken") <= 6 + 1  # reach waits first; another device may have said so too


async def carried_on(device: Person) -> None:
    """What somebody's device does by itself with grants."""
    async with device.session() as (session, keyring):
        for task in await grants.work(session, keyring):
            await task.run()


async def test_b14_suppliers_that_are_away_are_told_later(
    customer: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grant goes on without them, names them, and is carried on by itself; so is a rotation."""
    ann, bob = await customer("ann"), await customer("bob")
    await connect(ann, bob)
    async with ann.session() as (session, keyring):
        key = (await locations.create(session, keyring, "plans")).id
        with monkeypatch.context() as patch:
            lie(patch, "suppliers", hide_one)
            grant = await grants.create(session, keyring, key, bob.address, wait=0)
            assert {each.step: each.outcome for each in grant.steps} | {"reach": "done"} == dict.fromkeys(
                grants.STEPS, "done"
            ) | {"suppliers": "waiting"}
            assert (grant.steps[2].reason or "").startswith("away: ")
            rotated = await rotation.rotate(session, keyring, key)
            assert len(rotated.waiting) == 1
            for step in await registrations.work(session, keyring):
                with pytest.raises(SupplierAway):
                    await step.run()
        for source in (registrations.work, grants.work):
            [step] = await source(session, keyring)
            await step.run()
        assert await registrations.work(session, keyring) == []
        [after] = await grants.all_of(session, keyring, key)
        assert (after.steps[2].step, after.steps[2].outcome) == ("suppliers", "done")


def hide_one(rows: Rows) -> None:
    """The home's directory without one of its suppliers."""
    del rows[-1]


async def test_b16_suppliers_refuse_who_was_dropped(customer: MakePerson, tmp_path: Path) -> None:
    """Bob, who still has the old part, asks them directly; Ann and Carol go on."""
    ann, bob, carol = [await customer(name) for name in ("ann", "bob", "carol")]
    for each in (bob, carol):
        await connect(ann, each)
    (tmp_path / "plan").write_bytes(b"old")
    async with ann.session() as (session, keyring):
        location = await locations.create(session, keyring, "plans")
        await location_writing.put(session, keyring, "plans", sources_of([tmp_path / "plan"]))
    key = location.id
    for each in (bob, carol):
        grant = await granted(ann, key, each)
        assert [(step.step, step.outcome, step.reason) for step in grant.steps][2:] == [
            ("suppliers", "done", None),
            ("private", "done", None),
            ("files", "done", "files: 1"),
        ]
        await holds(each, key)
    async with bob.session() as (session, keyring):
        bobs = await locations.find(session, keyring, key)
        place = await locations.place_of(session, keyring, bobs)
        await locations.get(session, keyring, key, "plan", tmp_path / "bob's")
    async with ann.session() as (session, keyring):
        rotated = await rotation.rotate(session, keyring, key, [bob.address])
        assert (rotated.dropped, rotated.waiting) == ((bob.address,), ())
    async with bob.session() as (session, _):
        for supplier in replace(place, ask=supplying.asker(session)).slots:
            assert supplier is not None
            with pytest.raises(Refusal):
                await supplier.open(place.holder, "list", key)
            with pytest.raises(Refusal):
                await supplier.open(place.holder, "get", key, new_id())
    async with carol.session() as (session, keyring):
        await locations.get(session, keyring, key, "plan", tmp_path / "carol's")
    assert (tmp_path / "carol's").read_bytes() == b"old"


async def test_suppliers_hold_the_records_that_the_home_took(
    customer: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each grant and rotation; another record of the same number is refused, and said to be what it is."""
    ann, bob = await customer("ann"), await customer("bob")
    await connect(ann, bob)
    told: list[tuple[int, str]] = []
    register = supplying.register

    async def telling(place: supplying.Place, said: Register) -> list[Trouble]:
        told.append((read_record(unb64(said.record)).n, said.record))
        return await register(place, said)

    monkeypatch.setattr(supplying, "register", telling)
    async with ann.session() as (session, keyring):
        key = (await locations.create(session, keyring, "plans")).id
        assert (await grants.create(session, keyring, key, bob.address, wait=0)).error is None
        await rotation.rotate(session, keyring, key)
        rows = (await session.ask_all(AskKeyRecords(key=key, limit=10), KeyRecordRow)).rows
        assert told == [(row.n, row.record) for row in rows]
        newest = await sharing_keys.show(session, keyring, key)
        other = await grants.sign_next(session, keyring, replace(newest, record=replace(newest.record, n=2)))
        forked = replace(newest, record=read_record(other.record), record_bytes=other.record, signature=other.signature)
        troubles = await registrations.register_newest(session, keyring, forked)
        assert troubles is not None
        assert all(registrations.is_stale(each) for each in troubles)
        with monkeypatch.context() as patch:
            patch.setattr(registrations, "_is_behind", lambda *_: True)
            patch.setattr(sharing_keys, "show", returning(forked))
            [step] = await registrations.work(session, keyring)
            with pytest.raises(StaleVersion):
                await step.run()
