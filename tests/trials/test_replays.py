"""S15, S18, S19, U7: what was said once, said again, elsewhere, later or by somebody else."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from privity.agent import accounts, connections, invitations, items, shares
from privity.agent.connections import Broken, Connection
from privity.agent.profile import ProfileFolder, Waiting
from privity.connection_string import parse_connection_string
from privity.crypto.command import frame, sign_command, unframe
from privity.crypto.credentials import decode_secret, encode_secret, log_hash
from privity.crypto.invitation import mail_link
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    InvitationClosed,
    InvitationExpired,
    KeyMismatch,
    NotFound,
    PrivityError,
    Refusal,
    Unverified,
)
from privity.messages.envelope import Result
from privity.messages.items import RemoveItem
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.watching import mail_about
from tests.trials.load import add_item, signer_of
from tests.trials.proxy import Blobs, Proxy, Row, Sent
from tests.trials.test_duplicates import effects, line
from tests.trials.test_hostile_input import line_of

pytestmark = pytest.mark.trial


async def test_s15_an_acceptance_that_is_sent_again_has_one_effect_and_brings_nothing_back(
    ann: Person, bob: Person, proxy: Proxy
) -> None:
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address)
    async with proxy.person(bob).session() as (session, keyring):
        accepted = await invitations.accept(session, keyring, made.link)
    (command,) = [each for each in proxy.commands if each.subject.endswith("invitations.accept")]
    first = await again(bob, command)
    assert (first.status, first.code) == ("accepted", None)

    async with bob.session() as (session, keyring):
        await connections.remove(session, keyring, accepted.connection)
    assert await again(bob, command) == first

    async with bob.session() as (session, keyring):
        assert await connections.all_own(session, keyring) == []
    async with ann.session() as (session, keyring):
        assert await connections.all_own(session, keyring) == []


async def again(who: Person, command: Sent) -> Result:
    """The result of the very same bytes, once more."""
    signer, server = signer_of(who)
    async with await line_of(signer, server) as bus:
        result = await bus.send(command.subject, command.envelope.id, command.data)
        return replace(result, receipt=None)  # it is proven anew, against the newest checkpoint


async def test_s15_an_acceptance_serves_no_other_id_person_or_invitation(
    ann: Person, bob: Person, person: MakePerson, proxy: Proxy
) -> None:
    eve = await person("eve")
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address)
        other = await invitations.invite(session, keyring, bob.address)

    def held(subject: str, data: bytes) -> list[bytes]:
        return [] if subject.endswith("invitations.accept") else [data]

    async with proxy.person(bob).session() as (session, keyring):
        with proxy.bending_commands(held), pytest.MonkeyPatch.context() as patch:
            patch.setattr("privity.agent.bus.RESULT_TIMEOUT", 1.0)
            with pytest.raises(PrivityError):
                await invitations.accept(session, keyring, made.link)
    *_, command = [each for each in proxy.commands if each.subject.endswith("invitations.accept")]
    signature, payload, *sealed = unframe(command.data, 10, 10**6)

    mine, server = signer_of(bob)
    hers, _ = signer_of(eve)
    fresh_id = command.envelope.id[:-4] + "0000"
    bent = {
        "another id": (mine, payload.replace(command.envelope.id.encode(), fresh_id.encode()), "BadSignature", None),
        "another invitation": (
            mine,
            payload.replace(made.invitation.encode(), other.invitation.encode()),
            "BadToken",
            mine.key,
        ),
        "another person": (
            hers,
            payload.replace(mine.account.encode(), hers.account.encode()).replace(
                mine.device.encode(), hers.device.encode()
            ),
            "ForgedRecord",
            hers.key,
        ),
    }
    for name, (signer, changed, code, key) in bent.items():
        subject = command.subject.replace(mine.account, signer.account)
        signed = signature if key is None else sign_command(key, server.home, subject, changed)
        async with await line_of(signer, server) as bus:
            sent_id = json.loads(changed)["id"]
            result = await bus.send(subject, sent_id, frame(signed, changed, *sealed))
        assert (result.status, result.code) == ("refused", code), name
        if key is mine.key:  # its id is used up now, by a refusal that is recorded
            assert (await again(bob, command)).code == "CommandIdReused"
    async with bob.session() as (session, keyring):
        session.folder.answered(command.envelope.id)
        assert (await invitations.accept(session, keyring, made.link)).verified
    async with bob.session() as (session, keyring):
        with pytest.raises(InvitationClosed):
            await invitations.accept(session, keyring, made.link)


async def test_s15_the_offer_of_a_used_invitation_does_not_answer_for_another(
    ann: Person, bob: Person, person: MakePerson, proxy: Proxy
) -> None:
    eve = await person("eve")
    async with ann.session() as (session, keyring):
        used = await invitations.invite(session, keyring, bob.address)
        made = await invitations.invite(session, keyring, eve.address)
    async with proxy.person(bob).session() as (session, keyring):
        await invitations.accept(session, keyring, used.link)
    ((_, answer),) = [each for each in proxy.answered if each[0] == "offer"]
    old = json.loads(unframe(answer, 10, 10**6)[0])["rows"][0]
    before = len(proxy.commands)

    for lie in (dict(old), dict(old) | {"invitation": made.invitation}):
        with proxy.lying("offer", lambda rows, _, lie=lie: rows[0].update(lie)):
            async with proxy.person(eve).session() as (session, keyring):
                with pytest.raises(ForgedRecord):
                    await invitations.accept(session, keyring, made.link)
    assert len(proxy.commands) == before

    async with proxy.person(eve).session() as (session, keyring):
        assert (await invitations.accept(session, keyring, made.link)).verified


async def test_s15_an_agent_accepts_nothing_that_is_past_its_time_whatever_the_home_says(
    ann: Person, bob: Person, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + invitations.LIFETIME

    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address)
    with monkeypatch.context() as patch:
        patch.setattr(invitations, "datetime", Later)
        async with proxy.person(bob).session() as (session, keyring):
            with pytest.raises(InvitationExpired):
                await invitations.accept(session, keyring, made.link)
    assert proxy.commands == []
    async with proxy.person(bob).session() as (session, keyring):
        assert (await invitations.accept(session, keyring, made.link)).verified


async def mail_of(backend: RunningHome, invitation: str) -> str:
    """The link in the e-mail about an invitation, which the home can make at any time."""
    (link,) = set(re.findall(r"privity://[^\s'\"]+", await mail_about(backend.data, invitation)))
    return link


async def test_s18_the_home_that_accepts_by_its_own_token_gets_an_unverified_connection_and_nothing_on_it(
    ann: Person, bob: Person, person: MakePerson, backend: RunningHome, proxy: Proxy
) -> None:
    """An account of the home's own answers in Bob's place; Bob's link then says that it was used."""
    homes = await person("home")
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address)
        item = await items.add(session, keyring, "Passport", {"number": "X123"})
    async with homes.session() as (session, keyring):
        await invitations.accept(session, keyring, await mail_of(backend, made.invitation))

    async with proxy.person(ann).session() as (session, keyring):
        (shown,) = await connections.all_own(session, keyring)
        assert isinstance(shown, Connection)
        assert not shown.verified
        with pytest.raises(Unverified):
            await shares.create(session, keyring, item.item, bob.address)
    assert [each.subject.rpartition(".")[2] for each in proxy.commands] == ["confirm"]
    async with bob.session() as (session, keyring):
        with pytest.raises(InvitationClosed):
            await invitations.accept(session, keyring, made.link)

    async with ann.session() as (session, keyring):
        await connections.remove(session, keyring, shown.connection)
    await connect(ann, bob)
    async with ann.session() as (session, keyring):
        assert (await shares.create(session, keyring, item.item, bob.address)).verified


async def test_s18_a_mac_that_is_stripped_off_a_used_link_leaves_it_unverified_and_alarms_who_used_it(
    ann: Person, bob: Person, proxy: Proxy
) -> None:
    await connect(ann, bob)
    with proxy.lying("connections", lambda rows, _: rows[0].update(acceptance_mac=None)):
        async with proxy.person(ann).session() as (session, keyring):
            (hers,) = await connections.all_own(session, keyring)
            assert isinstance(hers, Connection)
            assert not hers.verified
    async with bob.session() as (session, keyring):
        (his,) = await connections.all_own(session, keyring)
        assert isinstance(his, Broken)
        assert isinstance(his.alarm, ForgedRecord)


async def test_s18_without_the_right_mac_no_link_is_accepted_and_no_confirmation_taken(
    ann: Person, bob: Person, proxy: Proxy
) -> None:
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address)
    for mac in ("", b64(bytes(32))):
        with proxy.lying("offer", lambda rows, _, mac=mac: rows[0].update(mac=mac)):
            async with proxy.person(bob).session() as (session, keyring):
                with pytest.raises(ForgedRecord):
                    await invitations.accept(session, keyring, made.link)
    assert proxy.commands == []
    async with proxy.person(bob).session() as (session, keyring):
        await invitations.accept(session, keyring, made.link)
    for confirmed in (None, "", b64(bytes(32))):
        lie = {"confirmed": True, "confirmation_mac": confirmed}
        with proxy.lying("connections", lambda rows, _, lie=lie: rows[0].update(lie)):
            async with proxy.person(bob).session() as (session, keyring):
                (shown,) = await connections.all_own(session, keyring)
                assert isinstance(shown, Broken)
                assert isinstance(shown.alarm, ForgedRecord)

    async with ann.session() as (session, keyring):
        await connections.all_own(session, keyring)
    async with proxy.person(bob).session() as (session, keyring):
        (shown,) = await connections.all_own(session, keyring)
        assert isinstance(shown, Connection)
        assert (shown.verified, shown.note.confirmed) == (True, True)


async def test_s18_a_token_that_the_mail_never_had_accepts_nothing(ann: Person, bob: Person) -> None:
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address)
    home = parse_connection_string(ann.server).home
    async with bob.session() as (session, keyring):
        with pytest.raises(Refusal, match="not known"):
            await invitations.accept(session, keyring, mail_link(home, made.invitation, bytes(32)))
        assert (await invitations.accept(session, keyring, made.link)).verified


async def test_s19_a_first_login_is_answered_with_nobody_elses_account(
    proxy: Proxy, tmp_path: Path, person: MakePerson
) -> None:
    """The secret names account and log key; the login key opens no other's wraps."""
    ann, eve = somebody("ann", tmp_path, proxy.url), somebody("eve", tmp_path, proxy.url)
    new, hers = await ann.register(), await eve.register()
    server = parse_connection_string(proxy.url)
    await accounts.login(ProfileFolder(tmp_path / "eves"), server, eve.address, hers.secret, eve.passphrase)
    *_, (_, answer) = [each for each in proxy.answered if each[0] == "keyring"]
    head, *blobs = unframe(answer, 10, 10**6)
    (foreign,) = json.loads(head)["rows"]

    def answered(**changes: Any) -> Any:
        def lie(rows: list[Row], named: Blobs) -> None:
            rows[0].update(foreign | changes)
            named.clear()
            named.update({digest(blob): blob for blob in blobs})

        return lie

    registered = len(proxy.commands)
    for lie, alarm in (
        (answered(), ForgedRecord),
        (answered(account=new.account), PrivityError),
        (answered(account=new.account, address=ann.address), DoesNotOpen),
    ):
        with proxy.lying("keyring", lie), pytest.raises(alarm):
            await accounts.login(ProfileFolder(tmp_path / "x"), server, ann.address, new.secret, ann.passphrase)
        with proxy.lying("keyring", lie), pytest.raises(alarm):
            await accounts.recover(ProfileFolder(tmp_path / "x"), server, ann.address, new.recovery, "another")
    assert len(proxy.commands) == registered
    assert not (tmp_path / "x").exists()

    account, _, secret = decode_secret(new.secret)
    elsewhere = encode_secret(account, log_hash(SigningKey.generate().public), secret)
    with pytest.raises(KeyMismatch):
        await accounts.login(ProfileFolder(tmp_path / "x"), server, ann.address, elsewhere, ann.passphrase)
    done = await accounts.login(ProfileFolder(tmp_path / "x"), server, ann.address, new.secret, ann.passphrase)
    assert done.account == new.account


@pytest.mark.parametrize("claimed", ["1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_u7_a_forged_time_decides_nothing(ann: Person, claimed: str) -> None:
    signer, server = signer_of(ann)
    fresh = add_item(signer)
    _, payload, *sealed = unframe(fresh.data, 100, len(fresh.data))
    said = json.loads(payload) | {"issued_at": claimed}
    forged = json.dumps(said).encode()
    began = datetime.now(UTC)
    async with line(server, signer) as mine:
        signature = sign_command(signer.key, signer.home, fresh.subject, forged)
        (result,) = await mine.results_of(Waiting(fresh.id, fresh.subject, frame(signature, forged, *sealed)))
    assert result.status == "accepted"
    at = datetime.fromisoformat(json.loads(result.events[0].data)["meta"]["at"])
    assert began - timedelta(seconds=2) <= at <= datetime.now(UTC) + timedelta(seconds=2)


async def test_u7_an_old_command_is_its_old_result_and_brings_nothing_back(backend: RunningHome, ann: Person) -> None:
    signer, server = signer_of(ann)
    item = new_id()
    adding, removing = add_item(signer, item), signer.command(RemoveItem(item), ())
    async with line(server, signer) as mine:
        (added,) = await mine.results_of(adding)
        (removed,) = await mine.results_of(removing)
        assert (added.status, removed.status) == ("accepted", "accepted")
        again = [replace(each, receipt=None) for each in await mine.results_of(adding, removing, adding)]
        assert again == [replace(each, receipt=None) for each in (added, removed, added)]
    async with ann.session() as (session, keyring):
        with pytest.raises(NotFound):
            await items.show(session, keyring, item)
    assert await effects(backend, adding) == 1


async def test_u7_whoever_guesses_a_command_id_suppresses_nobodys_command(
    backend: RunningHome, person: MakePerson
) -> None:
    """As the bus's own message id, as the id of a refused, and of a rightly signed command."""
    ann, eve = await person("ann"), await person("eve")
    (hers, server), (foreign, _) = signer_of(ann), signer_of(eve)
    command = add_item(hers)
    async with line(server, foreign) as evil, line(server, hers) as mine:
        subject = f"privity.cmd.{foreign.account}.items.add"
        await evil.send(Waiting(command.id, subject, command.data), headers={"Nats-Msg-Id": command.id})
        refused = json.loads((await evil.heard(1))[0])
        assert (refused["status"], refused["code"]) == ("refused", "Malformed")
        await mine.send(Waiting(command.id, command.subject, frame(bytes(64), *unframe(command.data, 9, 10**6)[1:])))
        (told,) = await mine.heard(1)  # that a signature is wrong is said where the command says it comes from
        assert json.loads(told)["code"] == "BadSignature"
        (result,) = await mine.results_of(command)
    assert result.status == "accepted"
    assert await effects(backend, command) == 1
