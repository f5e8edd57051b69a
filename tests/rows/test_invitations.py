"""Rows M5 to M8: invitations by e-mail and public key, their life, and who may accept them."""

import asyncio
import email
import queue
import re
import secrets
import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession

from privity.agent import connections, invitations, items, shares, sources
from privity.agent.accounts import verified
from privity.agent.connections import Broken, Connection
from privity.agent.keys import new_connection_key
from privity.agent.session import Session
from privity.crypto.invitation import invite_keys, make_invitation, parse_link
from privity.crypto.kem import Suite, generate_keypair
from privity.encoding import b64, new_id, unb64
from privity.errors import (
    BadToken,
    ForgedRecord,
    InvitationClosed,
    InvitationExpired,
    KeyMismatch,
    Malformed,
    NotFound,
    Refusal,
    Unverified,
)
from privity.messages.base import Command
from privity.messages.invitations import AcceptInvitation
from privity.messages.views import AccountRow, AskAccount
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.watching import Wire, eventually, files_of, found_in, lie, mail_about

Commands = Sequence[tuple[Command, Sequence[bytes]]]
LINK = re.compile(r"privity://[^\s']+")


async def invited(inviter: Person, address: str, **more: Any) -> invitations.Invited:
    async with inviter.session() as (session, keyring):
        return await invitations.invite(session, keyring, address, **more)


async def accepted(person: Person, link: str, **more: Any) -> connections.Connection:
    async with person.session() as (session, keyring):
        return await invitations.accept(session, keyring, link, **more)


async def status_of(person: Person, invitation: str) -> str:
    async with person.session() as (session, _):
        return (await invitations.find(session, invitation)).status


async def until_expired(person: Person, invitation: str) -> None:
    async with person.session() as (session, _):

        async def look() -> bool | None:
            return (await invitations.find(session, invitation)).status == "expired" or None

        assert await eventually(look)


async def prepared(person: Person, link: str, patch: pytest.MonkeyPatch) -> Commands:
    """What a person's agent would send to accept, kept back: a faulty agent may send it at any time, or changed."""
    kept: list[Commands] = []

    class KeptBack(Exception):
        pass

    async def keep(session: Session, commands: Commands) -> None:
        kept.append(commands)
        raise KeptBack

    with patch.context() as here:
        here.setattr(Session, "send_all", keep)
        with pytest.raises(KeptBack):
            await accepted(person, link)
    return kept[0]


async def send(person: Person, commands: Commands) -> None:
    async with person.session() as (session, _):
        await session.send_all(commands)


async def test_m5_an_invitation_is_made_and_the_e_mail_arrives_in_the_mail_folder(
    ann: Person, backend: RunningHome
) -> None:
    made = ann.json("invite", "Bob@Example.org", "--name", "Bobby")

    text = await mail_about(backend.data, made["invitation"])
    mail = email.message_from_string(text, policy=policy.default)
    assert mail["To"] == "bob@example.org"
    assert ann.address in mail["Subject"]
    link = parse_link(LINK.findall(mail.get_content())[0])
    assert LINK.findall(text) == LINK.findall(mail.get_content())  # whole, also for who reads the bare file
    assert (link.inv, link.home) == (made["invitation"], parse_link(made["link"]).home)
    assert link.token
    assert link.secret is None
    shown = ann.json("invitation", "show", made["invitation"])
    assert (shown["email"], shown["status"], shown["incoming"]) == ("bob@example.org", "new", False)


class Sink:
    """A mail server that keeps what it is given."""

    def __init__(self) -> None:
        self.mails: queue.Queue[Envelope] = queue.Queue()

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:
        """aiosmtpd calls this by its name."""
        self.mails.put(envelope)
        return "250 OK"


async def test_m5_the_e_mail_arrives_by_smtp(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sink = Sink()
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    settings = {"PRIVITY_SMTP_URL": f"smtp://127.0.0.1:{port}", "PRIVITY_MAIL_FROM": "home@example.org"}
    try:
        with RunningHome(tmp_path / "home", **settings) as home:
            ann, bob = somebody("ann", tmp_path, home.url), somebody("bob", tmp_path, home.url)
            await ann.register()
            await bob.register()
            made = await invited(ann, bob.address)
            mail = await asyncio.to_thread(sink.mails.get, timeout=20)
            assert (mail.mail_from, mail.rcpt_tos) == ("home@example.org", [bob.address])
            secret = unb64(made.link.partition("#")[2])
            assert found_in([("mail", bytes(mail.content or b""))], {"S": secret}) == []
            text = email.message_from_bytes(bytes(mail.content or b""), policy=policy.default).get_content()
            assert (await accepted(bob, LINK.findall(text)[0])).address == ann.address
            assert list(home.data.glob("mail/*")) == []
    finally:
        controller.stop()


async def test_m5_the_secret_part_of_the_link_never_reaches_the_backend(
    ann: Person, bob: Person, backend: RunningHome, wire: Wire
) -> None:
    made = await invited(ann, bob.address)
    await mail_about(backend.data, made.invitation)
    await accepted(bob, made.link)
    async with ann.session() as (session, keyring):
        assert (await connections.with_person(session, keyring, bob.address)).verified

    secret = unb64(made.link.partition("#")[2])
    keys = invite_keys(secret, made.invitation)
    hidden = {"S": secret, "inviter's": keys.inviter, "acceptor's": keys.acceptor, "confirmation's": keys.confirm}
    assert found_in(files_of(backend.data), hidden) == []
    assert wire.holding(hidden) == []
    assert wire.holding({"the token": keys.token}) != []
    places = [name for name, data in files_of(backend.data) if made.invitation.encode() in data]
    assert any(name.startswith("mail/") for name in places)
    assert any(name.startswith("store.db") for name in places)
    assert any(name.startswith("views.db") for name in places)


async def test_m6_invitations_are_listed_and_shown_both_ways_with_all_five_statuses(
    ann: Person, bob: Person, person: MakePerson
) -> None:
    eve = await person("eve")
    expired = await invited(ann, bob.address, lifetime=timedelta(seconds=2))
    new, yes = await invited(ann, bob.address), await invited(ann, bob.address)
    no, back = await invited(ann, bob.address), await invited(ann, bob.address)
    own = await invited(bob, "somebody@example.org")
    await accepted(bob, yes.link)
    async with bob.session() as (session, _):
        await invitations.decline(session, no.link)
    async with ann.session() as (session, _):
        assert (await invitations.cancel(session, back.invitation)).status == "cancelled"
    await until_expired(ann, expired.invitation)

    statuses = {
        new.invitation: "new",
        yes.invitation: "accepted",
        no.invitation: "declined",
        back.invitation: "cancelled",
        expired.invitation: "expired",
    }
    async with ann.session() as (session, _):
        rows = await invitations.all_both_ways(session)
        assert {row.invitation: row.status for row in rows} == statuses
        assert not any(row.incoming for row in rows)
        assert {row.email for row in rows} == {bob.address}
    async with bob.session() as (session, _):
        rows = await invitations.all_both_ways(session)
        assert {row.invitation: row.status for row in rows if row.incoming} == statuses
        assert {row.inviter_address for row in rows if row.incoming} == {ann.address}
        assert [row.invitation for row in rows if not row.incoming] == [own.invitation]
        assert {row.note for row in rows if row.incoming} == {None}
    listed = bob.json("invitation", "list")
    assert {each["invitation"]: each["status"] for each in listed if each["incoming"]} == statuses
    assert ann.json("invitation", "show", no.invitation[:12])["status"] == "declined"
    async with eve.session() as (session, _):
        assert await invitations.all_both_ways(session) == []
        with pytest.raises(NotFound):
            await invitations.find(session, new.invitation)


async def test_m6_only_the_inviter_cancels_and_only_who_has_a_token_declines(ann: Person, bob: Person) -> None:
    made = await invited(ann, bob.address)
    wrong = made.link.partition("#")[0] + "#" + b64(secrets.token_bytes(32))

    async with bob.session() as (session, _):
        with pytest.raises(NotFound):
            await invitations.cancel(session, made.invitation)
        with pytest.raises(BadToken):
            await invitations.decline(session, wrong)

    assert await status_of(ann, made.invitation) == "new"
    async with bob.session() as (session, _):
        await invitations.decline(session, made.link)
    assert await status_of(ann, made.invitation) == "declined"


async def test_m7_an_invitation_lasts_14_days_by_default(ann: Person) -> None:
    made = await invited(ann, "bob@example.org")

    async with ann.session() as (session, _):
        row = await invitations.find(session, made.invitation)
    left = row.expires - datetime.now(UTC)
    assert timedelta(days=14) - timedelta(minutes=1) < left <= timedelta(days=14)


async def test_m7_later_acceptance_is_refused_even_from_an_agent_that_ignores_the_time(
    ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await invited(ann, bob.address, lifetime=timedelta(seconds=2))
    in_time = await prepared(bob, made.link, monkeypatch)
    await until_expired(ann, made.invitation)

    with pytest.raises(InvitationExpired):
        await accepted(bob, made.link)
    with pytest.raises(InvitationExpired):
        await send(bob, in_time)
    async with bob.session() as (session, keyring):
        with pytest.raises(InvitationExpired):
            await invitations.decline(session, made.link)
        assert await connections.all_own(session, keyring) == []

    again = await invited(ann, bob.address)
    assert (await accepted(bob, again.link)).address == ann.address


async def test_m7_an_invitation_that_would_be_over_at_once_is_refused(ann: Person) -> None:
    with pytest.raises(InvitationExpired):
        await invited(ann, "bob@example.org", lifetime=timedelta(seconds=-1))

    async with ann.session() as (session, _):
        assert await invitations.all_both_ways(session) == []


async def test_m7_an_invitation_is_used_once(
    ann: Person, bob: Person, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = await person("eve")
    made = await invited(ann, bob.address)
    at_the_same_time = await prepared(eve, made.link, monkeypatch)

    await accepted(bob, made.link)

    with pytest.raises(InvitationClosed):
        await send(eve, at_the_same_time)
    with pytest.raises(InvitationClosed):
        await accepted(eve, made.link)
    with pytest.raises(InvitationClosed):
        await accepted(bob, made.link)
    async with ann.session() as (session, keyring):
        assert [each.address for each in await connections.all_own(session, keyring)] == [bob.address]


async def test_m7_a_cancelled_invitation_is_closed(ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await invited(ann, bob.address)
    before = await prepared(bob, made.link, monkeypatch)
    async with ann.session() as (session, _):
        await invitations.cancel(session, made.invitation)

    with pytest.raises(InvitationClosed):
        await send(bob, before)
    with pytest.raises(InvitationClosed):
        await accepted(bob, made.link)


async def test_m7_an_acceptance_is_bound_to_both_keys_and_both_people(
    ann: Person, bob: Person, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = await person("eve")
    made, other = await invited(ann, bob.address), await invited(ann, bob.address)
    *storing, (command, sealed) = await prepared(bob, made.link, monkeypatch)
    *_, (for_other, _) = await prepared(bob, other.link, monkeypatch)
    assert isinstance(command, AcceptInvitation)
    assert isinstance(for_other, AcceptInvitation)
    async with bob.session() as (session, keyring):
        second = new_connection_key(keyring)
        await session.send_all([*storing, *second.storing])

    with pytest.raises(Malformed, match="another key than the stored one"):
        await send(bob, [(replace(command, key=second.id), sealed)])
    with pytest.raises(Malformed, match="another invitation"):
        await send(bob, [(replace(command, record=for_other.record), sealed)])
    with pytest.raises(Refusal, match="another identity"):
        await send(eve, [(command, sealed)])
    await send(bob, [(command, sealed)])

    assert await status_of(ann, made.invitation) == "accepted"
    assert await status_of(ann, other.invitation) == "new"


async def test_m8_accepting_by_the_link_connects_under_a_name_of_ones_own_and_is_verified_for_both(
    ann: Person, bob: Person
) -> None:
    made = await invited(ann, bob.address, name="Bobby")

    his = await accepted(bob, made.link, name="Annie")

    assert (his.name, his.address, his.verified) == ("Annie", ann.address, True)
    async with ann.session() as (session, keyring):
        hers = await connections.show(session, keyring, his.connection)
    assert (hers.name, hers.address, hers.verified) == ("Bobby", bob.address, True)


async def test_m8_an_unknown_token_is_refused(ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await invited(ann, bob.address)
    whole, _, _ = made.link.partition("#")
    home, _, _ = whole.rpartition("/")
    wrong_secret = f"{whole}#{b64(secrets.token_bytes(32))}"
    wrong_token = f"{whole}?token={b64(secrets.token_bytes(32))}"
    unknown = f"{home}/{new_id()}#{made.link.partition('#')[2]}"

    for link in (wrong_secret, wrong_token, unknown):
        with pytest.raises(BadToken):
            await accepted(bob, link)
    told = [bob.run("accept", link) for link in (wrong_secret, unknown)]
    assert {(each.code, each.out, each.err) for each in told} == {
        (1, "", "error: BadToken: The invitation or its token is not known.\n")
    }
    *storing, (command, sealed) = await prepared(bob, made.link, monkeypatch)
    assert isinstance(command, AcceptInvitation)
    with pytest.raises(BadToken):
        await send(bob, [*storing, (replace(command, token=b64(secrets.token_bytes(32))), sealed)])
    await send(bob, [(command, sealed)])
    assert await status_of(ann, made.invitation) == "accepted"


async def test_m8_by_the_mails_token_a_connection_is_unverified_and_sharing_needs_consent(
    ann: Person, bob: Person, backend: RunningHome
) -> None:
    made = await invited(ann, bob.address)
    mail = await mail_about(backend.data, made.invitation)

    his = await accepted(bob, LINK.findall(mail)[0])

    assert not his.verified
    async with ann.session() as (session, keyring):
        assert not (await connections.with_person(session, keyring, bob.address)).verified
        kept = await items.add(session, keyring, "Passport", {"number": "X123"})
        with pytest.raises(Unverified):
            await shares.create(session, keyring, kept.item, bob.address)
        assert await shares.all_of(session, keyring) == []
        consented = await shares.create(session, keyring, kept.item, bob.address, unverified=True)
    async with bob.session() as (session, keyring):
        found = await shares.all_of(session, keyring)
        assert [(each.share, each.verified) for each in found] == [(consented.share, False)]
    async with ann.session() as (session, keyring):
        await items.edit(session, keyring, kept.item, {"number": "X124"})
        assert await sources.revisions(session, keyring) == [], "the consent was for what was sent then"
        with pytest.raises(Unverified):
            await shares.update(session, keyring, consented.share, by_itself=True)
        assert (await shares.update(session, keyring, consented.share)).version == 2
        await items.edit(session, keyring, kept.item, {"number": "X125"})
        await connections.verify(session, keyring, bob.address)
        [step] = await sources.revisions(session, keyring)
        await step.run()
        assert (await shares.show(session, keyring, consented.share)).version == 3


async def test_m8_comparing_the_safety_number_verifies_and_another_number_is_an_alarm(
    ann: Person, bob: Person, backend: RunningHome
) -> None:
    made = await invited(ann, bob.address)
    his = await accepted(bob, LINK.findall(await mail_about(backend.data, made.invitation))[0])
    wrong = "".join(str((int(digit) + 1) % 10) if digit.isdigit() else digit for digit in his.safety_number)

    alarm = ann.run("connection", "verify", bob.address, "--number", wrong)
    assert (alarm.code, alarm.out) == (3, "")
    assert alarm.err.startswith("error: KeyMismatch: ")
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X123"})
        with pytest.raises(Unverified):
            await shares.create(session, keyring, kept.item, bob.address)

    assert ann.json("connection", "verify", bob.address, "--number", his.safety_number)["verified"] is True
    async with ann.session() as (session, keyring):
        assert (await shares.create(session, keyring, kept.item, bob.address)).verified


async def test_m8_an_invitation_that_the_backend_swapped_is_noticed_by_who_has_the_link(
    ann: Person, bob: Person, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    mallory = await person("mallory")
    made = await invited(ann, bob.address)
    async with mallory.session() as (session, keyring):
        row = (await session.ask(AskAccount(), AccountRow)).rows[0]
        head = (await _identity(session)).head
        swapped = make_invitation(
            secrets.token_bytes(32),
            inv=made.invitation,
            expires=(datetime.now(UTC) + timedelta(days=1)).isoformat(),
            home=session.server.home,
            log_key=session.server.log_public,
            account=session.account,
            address=ann.address,
            head=head,
            public=generate_keypair().public,
            suite=Suite.X_WING,
            gen=1,
            identity=keyring.identity.sign,
        )
    chain = [{"record": each.record, "signatures": list(each.signatures)} for each in row.chain]

    def swap(rows: list[dict[str, Any]]) -> None:
        rows[0].update(record=b64(swapped.record), mac=b64(swapped.mac), chain=chain)

    with monkeypatch.context() as patch:
        lie(patch, "offer", swap)
        with pytest.raises(ForgedRecord):
            await accepted(bob, made.link)
    assert await status_of(ann, made.invitation) == "new"
    assert (await accepted(bob, made.link)).verified


async def _identity(session: Session) -> Any:
    row = (await session.ask(AskAccount(), AccountRow)).rows[0]
    return verified(row.chain, session.account)


async def test_m8_an_acceptance_whose_mac_was_changed_is_an_alarm_and_one_without_it_is_not_verified(
    ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connect(ann, bob)

    with monkeypatch.context() as patch:
        lie(patch, "connections", lambda rows: rows[0].update(acceptance_mac=b64(bytes(32))))
        async with ann.session() as (session, keyring):
            [shown] = await connections.all_own(session, keyring)
            assert isinstance(shown, Broken)
            assert isinstance(shown.alarm, ForgedRecord)
    with monkeypatch.context() as patch:
        lie(patch, "connections", lambda rows: rows[0].update(acceptance_mac=None))
        async with ann.session() as (session, keyring):
            [shown] = await connections.all_own(session, keyring)
            assert isinstance(shown, Connection)
            assert not shown.verified


async def test_m8_a_key_that_the_backend_swapped_later_is_an_alarm(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X123"})
        await connections.all_own(session, keyring)
    foreign = b64(generate_keypair().public)

    with monkeypatch.context() as patch:
        lie(patch, "connections", lambda rows: rows[0].update(peer_public=foreign))
        async with ann.session() as (session, keyring):
            with pytest.raises(KeyMismatch):
                await shares.create(session, keyring, kept.item, bob.address)
    async with ann.session() as (session, keyring):
        assert await shares.all_of(session, keyring) == []
        assert (await shares.create(session, keyring, kept.item, bob.address)).recipient == bob.address
