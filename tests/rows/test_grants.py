"""B8-B10, B14-B16: a key is granted in five steps, audited, and taken back; who is offline gets it later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from privity.agent import (
    connections,
    feed,
    grants,
    identity,
    invitations,
    key_audits,
    key_files,
    rotation,
    sharing_keys,
    sources,
)
from privity.agent.grants import STEPS, WORK, Grant
from privity.agent.identity import current
from privity.agent.key_audits import ANOTHER_PART, NOT_REGISTERED, Audit, Kind
from privity.crypto.audits import Said, grant_id, sign_answer
from privity.encoding import b64, digest
from privity.errors import (
    IntegrityAlarm,
    KeyInactive,
    KeyNotFound,
    MasterKeyStays,
    NotConnected,
    NotFound,
    NotGranted,
    Unverified,
)
from privity.messages.grants import AnswerAudit, BeginGrant
from privity.messages.views import AskKeyAudits, KeyAuditRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.test_intents import LINK
from tests.rows.test_tasks import agent_of, at_once
from tests.rows.watching import eventually, lie, mail_about, ran

__all__ = ["at_once"]  # a fixture, found here by its name

SOURCES = {name: sources.SOURCES[name] for name in ("sharing-keys", "key-audits", "grants")}
PLAN = b"the plan, for some eyes only"


@asynccontextmanager
async def online(*people: Person) -> AsyncIterator[None]:
    """The agents of these people run."""
    if not people:
        yield
        return
    async with agent_of(people[0], SOURCES), online(*people[1:]):
        yield


async def made(person: Person, alias: str = "plans") -> str:
    """The id of a key that somebody made."""
    async with person.session() as (session, keyring):
        return (await sharing_keys.create(session, keyring, alias)).id


async def granted(person: Person, key: str, to: Person, wait: float = 0) -> Grant:
    """A grant, after its first round."""
    async with person.session() as (session, keyring):
        return await grants.create(session, keyring, key, to.address, wait=wait)


async def audited(by: Person, key: str, of: Person, kind: Kind, wait: float = 0) -> Audit:
    """An audit, as far as it went in that time."""
    async with by.session() as (session, keyring):
        return await key_audits.audit(session, keyring, key, of.address, kind, wait=wait)


async def answered(person: Person) -> None:
    """Somebody's agent answers all that waits."""
    async with person.session() as (session, keyring):
        for task in await key_audits.work(session, keyring):
            await task.run()


async def holds(person: Person, key: str) -> sharing_keys.SharingKey:
    """A key as somebody has it, taken under their own KEK on the way."""
    async with person.session() as (session, keyring):
        return await sharing_keys.show(session, keyring, key)


def outcomes(grant: Grant) -> dict[str, str]:
    """How each step went."""
    return {each.step: each.outcome for each in grant.steps}


ALL_DONE = dict.fromkeys(STEPS, "done")


async def test_b14_b15_who_is_offline_gets_the_key_when_they_come(connected: tuple[Person, Person]) -> None:
    """Five steps, each an event; nothing but the reach waits, until the receiver has taken the key."""
    ann, bob = connected
    key = await made(ann)
    grant = await granted(ann, key, bob)
    assert (outcomes(grant), grant.error) == (ALL_DONE | {"reach": "waiting"}, None)
    async with ann.session() as (session, keyring):
        assert await grants.work(session, keyring) == []
    theirs = await holds(bob, key)
    assert (theirs.kind, theirs.name) == ("received", f"plans${ann.address}")
    async with ann.session() as (session, keyring):
        [task] = await grants.work(session, keyring)
        await task.run()
        [row] = await grants.all_of(session, keyring, key)
        assert {each.step: each.outcome for each in row.steps} == ALL_DONE
        assert await grants.work(session, keyring) == []
        lines = [line for line in await feed.past(session) if line.refs.get("grant") == grant.grant]
    taken = [(line.refs["step"], line.refs["outcome"]) for line in lines if line.event == "grant-step-taken"]
    assert taken == [("reach", "waiting"), *((step, "done") for step in WORK[1:]), ("reach", "done")]


async def test_b15_agents_that_run_do_it_all_by_themselves(connected: tuple[Person, Person]) -> None:
    """Bob's answers the audit and takes the key; Ann's carries the grant on."""
    ann, bob = connected
    key = await made(ann)
    await granted(ann, key, bob)
    async with online(ann, bob), ann.session() as (session, keyring):

        async def whole() -> bool | None:
            [row] = await grants.all_of(session, keyring, key)
            return True if {each.step: each.outcome for each in row.steps} == ALL_DONE else None

        assert await eventually(whole)
    async with bob.session() as (session, keyring):
        assert await sharing_keys.work(session, keyring) == []


async def test_b8_b14_who_is_online_has_the_key_at_once_and_decrypts(
    connected: tuple[Person, Person], person: MakePerson, tmp_path: Path
) -> None:
    """And somebody else, who was granted nothing, does not."""
    (ann, bob), eve = connected, await person("eve")
    key = await made(ann)
    async with online(bob):
        shown = await ran(ann, "key", "grant", "plans", bob.address, "--wait", "20", "--json")
    assert shown.code == 0, shown.err
    assert shown.json["key"] == f"plans${ann.address}"
    went = [(each["step"], each["outcome"]) for each in shown.json["steps"]]
    assert went == [(step, "done") for step in STEPS]
    (tmp_path / "plan").write_bytes(PLAN)
    async with ann.session() as (session, keyring):
        await key_files.encrypt(session, keyring, "plans", tmp_path / "plan", tmp_path / "sealed")
    async with bob.session() as (session, keyring):
        await key_files.decrypt(session, keyring, tmp_path / "sealed", tmp_path / "opened")
    assert (tmp_path / "opened").read_bytes() == PLAN
    async with eve.session() as (session, keyring):
        with pytest.raises(KeyNotFound):
            await key_files.decrypt(session, keyring, tmp_path / "sealed", tmp_path / "eve's")
    assert (await holds(bob, key)).part is not None


async def test_b9_b10_audits_pass_for_who_holds_the_key_alone(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    """Of the public part, of the private one, and of an identity; who has none says so."""
    (ann, bob), carol = connected, await person("carol")
    await connect(ann, carol)
    key = await made(ann)
    await granted(ann, key, bob)
    async with ann.session() as (session, keyring):
        await sharing_keys.send_public(session, keyring, key, carol.address)
    expected: dict[tuple[Person, str, Kind], tuple[bool, str | None]] = {
        (bob, key, "public"): (True, None),
        (bob, key, "private"): (True, None),
        (bob, "master", "public"): (True, None),
        (carol, key, "public"): (True, None),
        (carol, key, "private"): (False, NOT_REGISTERED),
    }
    for who, name, kind in expected:
        assert (await audited(ann, name, who, kind)).passed is None
    await answered(bob)
    await answered(carol)
    for (who, name, kind), result in expected.items():
        found = await audited(ann, name, who, kind)
        assert (found.passed, found.reason) == result, (who.address, name, kind)
    shown = await ran(ann, "key", "audit", "plans", carol.address, "--private", "--wait", "0", "--json")
    assert (shown.code, shown.json["passed"], shown.json["key"]) == (1, None, "plans")
    await audited(bob, key, ann, "private")  # a holder may ask the creator too
    await answered(ann)
    assert (await audited(bob, key, ann, "private")).passed is True
    with pytest.raises(NotFound):  # who knows the public part alone has nothing to ask
        await audited(carol, key, ann, "public")


@pytest.mark.trial
async def test_b9_only_the_identical_public_part_passes(connected: tuple[Person, Person]) -> None:
    """Who was given it has it also after a rotation; what he signs of another one fails."""
    ann, bob = connected
    key = await made(ann)
    async with ann.session() as (session, keyring):
        await sharing_keys.send_public(session, keyring, key, bob.address)
    await holds(bob, key)
    async with ann.session() as (session, keyring):
        await rotation.rotate(session, keyring, key)
    await audited(ann, key, bob, "public")
    await answered(bob)
    found = await audited(ann, key, bob, "public")
    assert (found.passed, found.reason) == (True, None)
    await audited(ann, key, bob, "public")
    await said_instead(bob, Said(verdict="holds", held=digest(b"anything")))
    assert (await audited(ann, key, bob, "public")).reason == ANOTHER_PART


async def said_instead(person: Person, said: Said, *sealed: bytes) -> None:
    """Somebody's agent that says something else, signed as it must be."""
    async with person.session() as (session, keyring):
        keyring, _ = await current(session, keyring)
        ask = AskKeyAudits(direction="incoming", open=True)
        for row in (await session.ask(ask, KeyAuditRow)).rows:
            signature = b64(sign_answer(keyring.identity.sign, key_audits.place_of(row), said))
            command = AnswerAudit(row.audit, row.asker, "holds", said.held, said.answer, signature)
            await session.send(command, *sealed)


async def test_b14_a_failed_step_is_named_with_its_reason_and_ends_the_grant(
    connected: tuple[Person, Person],
) -> None:
    """Bob's agent holds another identity key than the one that is pinned: nothing is sealed to him."""
    ann, bob = connected
    key = await made(ann)
    assert (await audited(ann, "master", bob, "public")).passed is None
    await said_instead(bob, Said(verdict="holds", held=digest(b"another identity")))
    shown = await ran(ann, "key", "grant", "plans", bob.address, "--wait", "0", "--json")
    assert (shown.code, "KeyMismatch" in shown.err) == (3, True)
    steps = [(each["step"], each["outcome"], each["reason"]) for each in shown.json["steps"]]
    assert steps == [("reach", "done", None), ("audit", "failed", ANOTHER_PART)]
    async with ann.session() as (session, keyring):
        assert await grants.work(session, keyring) == []  # it waits for the person
    async with bob.session() as (session, keyring):
        with pytest.raises(NotFound):
            await sharing_keys.show(session, keyring, key)
    assert (await granted(ann, key, bob)).steps[-1].outcome == "failed"  # an answer alone makes it good
    await answered(bob)
    assert outcomes(await granted(ann, key, bob)) == ALL_DONE


async def test_b16_who_is_dropped_reads_nothing_that_comes_later(
    connected: tuple[Person, Person], person: MakePerson, tmp_path: Path
) -> None:
    """Carol, who remains, reads what is old and what is new; Bob what he had, and the home shows him nothing more."""
    (ann, bob), carol = connected, await person("carol")
    await connect(ann, carol)
    key = await made(ann)
    for each in (bob, carol):
        await granted(ann, key, each)
        await holds(each, key)
    (tmp_path / "plan").write_bytes(PLAN)
    async with ann.session() as (session, keyring):
        await key_files.encrypt(session, keyring, key, tmp_path / "plan", tmp_path / "old")
    shown = await ran(ann, "key", "rotate", "plans", "--drop", bob.address, "--json")
    assert shown.code == 0, shown.err
    assert (shown.json["generation"], shown.json["dropped"]) == (2, [bob.address])
    async with ann.session() as (session, keyring):
        await key_files.encrypt(session, keyring, key, tmp_path / "plan", tmp_path / "new")
        assert (await sharing_keys.show(session, keyring, key)).record.holders == (await account(carol),)
    async with carol.session() as (session, keyring):
        for name in ("old", "new"):
            await key_files.decrypt(session, keyring, tmp_path / name, tmp_path / f"carol's {name}")
            assert (tmp_path / f"carol's {name}").read_bytes() == PLAN
    async with bob.session() as (session, keyring):
        with pytest.raises(KeyNotFound):
            await key_files.decrypt(session, keyring, tmp_path / "new", tmp_path / "bob's new")
    back = await granted(ann, key, bob)
    assert outcomes(back)["private"] == "done"
    assert (await holds(bob, key)).generation == 2


async def test_b16_who_was_dropped_is_not_granted_again_by_an_agent_that_runs(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by itself, nor by a home that serves the old grant again, or one that nobody began."""
    ann, bob = connected
    key, other = await made(ann), await made(ann, "others")
    begun = await granted(ann, key, bob)
    assert outcomes(begun)["reach"] == "waiting"
    served: list[dict[str, object]] = []
    async with ann.session() as (session, keyring):
        with monkeypatch.context() as patch:
            lie(patch, "grants", served.extend)
            await grants.all_of(session, keyring, key)
        await rotation.rotate(session, keyring, key, [bob.address])
    await answered(bob)
    async with ann.session() as (session, keyring):
        assert await grants.work(session, keyring) == []
        over = await connections.with_person(session, keyring, bob.address)
        invented = grant_id(other, over.peer, over.connection)
        for told, code in (
            (served[0] | {"steps": served[0]["steps"][:2]}, NotGranted),  # type: ignore[index]
            (served[0], NotGranted),
            (served[0] | {"grant": invented, "key": other}, IntegrityAlarm),
        ):
            with monkeypatch.context() as patch:
                lie(patch, "grants", lambda rows, told=told: rows.__setitem__(slice(None), [told]))
                [task] = await grants.work(session, keyring)
                with pytest.raises(code):
                    await task.run()
        for each in (key, other):
            assert (await sharing_keys.show(session, keyring, each)).record.holders == ()
    assert outcomes(await granted(ann, key, bob))["private"] == "done"


async def account(person: Person) -> str:
    """Somebody's account id."""
    async with person.session() as (session, _):
        return (await identity.show(session)).account


async def test_b16_a_lost_connection_is_told_and_dropped_by_the_next_rotation(
    connected: tuple[Person, Person], caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = connected
    key = await made(ann)
    await granted(ann, key, bob)
    async with ann.session() as (session, keyring):
        assert await rotation.work(session, keyring) == []
        await connections.remove(session, keyring, bob.address)
        for _ in range(2):
            assert await rotation.work(session, keyring) == []
        assert [each for each in caplog.messages if "holds plans" in each] == [
            f"notice: {bob.address} holds plans${ann.address} still, and your connection has ended: "
            "privity key rotate plans"
        ]
        found = await rotation.rotate(session, keyring, key)
        assert (found.lost, found.dropped, found.key.record.holders) == ((bob.address,), (bob.address,), ())
        assert found.key.generation == 2


@pytest.mark.trial
async def test_over_an_unverified_connection_a_key_goes_with_consent_alone(
    ann: Person, bob: Person, backend: RunningHome
) -> None:
    """And never by itself: what was begun before waits until the people have compared the safety number."""
    key = await made(ann)
    async with ann.session() as (session, keyring):
        invited = await invitations.invite(session, keyring, bob.address)
        await invitations.find(session, invited.invitation)
    async with bob.session() as (session, keyring):
        [link] = set(LINK.findall(await mail_about(backend.data, invited.invitation)))
        await invitations.accept(session, keyring, link)
    with pytest.raises(Unverified):
        await granted(ann, key, bob)
    async with ann.session() as (session, keyring):
        over = await connections.with_person(session, keyring, bob.address)
        id = grant_id(key, over.peer, over.connection)
        await session.send(BeginGrant(id, key, over.peer, over.connection, 1))
        assert await grants.work(session, keyring) == []
        with pytest.raises(Unverified):
            await grants.carry_on(session, keyring, id)
        grant = await grants.create(session, keyring, key, bob.address, unverified=True, wait=0)
    assert outcomes(grant)["private"] == "done"


async def test_only_what_may_be_granted_is_granted(connected: tuple[Person, Person], person: MakePerson) -> None:
    """The master key stays, what is off is not used, a holder does not grant on, and nobody without a connection."""
    (ann, bob), eve = connected, await person("eve")
    key = await made(ann)
    with pytest.raises(NotConnected):
        await granted(ann, key, eve)
    async with ann.session() as (session, keyring):
        for refused in (
            grants.create(session, keyring, "master", bob.address),
            rotation.rotate(session, keyring, "master"),
        ):
            with pytest.raises(MasterKeyStays):
                await refused
        await sharing_keys.switch(session, keyring, key, active=False)
        with pytest.raises(KeyInactive):
            await grants.create(session, keyring, key, bob.address)
        await sharing_keys.switch(session, keyring, key, active=True)
    await granted(ann, key, bob)
    async with bob.session() as (session, keyring):
        for refused in (grants.create(session, keyring, key, ann.address), rotation.rotate(session, keyring, key)):
            with pytest.raises(NotFound):
                await refused
