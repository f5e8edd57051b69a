"""Row M33, and S15 with it: what was named at the invitation is shared once, when the connection is verified."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from privity.agent import accounts, connections, intents, invitations, items, shares
from privity.agent.connections import Connection
from privity.agent.intents import MAX_INTENTS
from privity.agent.profile import ProfileFolder
from privity.agent.reading import Share
from privity.connection_string import parse_connection_string
from privity.crypto.intents import intended_share
from privity.encoding import new_id
from privity.errors import InvitationClosed, NotFound, TooLarge, Unverified
from privity.messages.catalog import command_codec
from privity.messages.invitations import AcceptInvitation
from privity.messages.views import AskShares, ShareRow
from privity.testing.home import RunningHome
from privity.testing.people import Person
from tests.conftest import MakePerson
from tests.rows.conftest import Newcomer
from tests.rows.watching import Wire, canary, lie, mail_about, ran
from tests.trials.proxy import Sent

LINK = re.compile(r"privity://[^\s'\"]+")
"""The link of an e-mail: it has a token, and no secret."""


async def keep(person: Person, *labels: str) -> list[str]:
    """Items with these labels; their ids."""
    async with person.session() as (session, keyring):
        return [(await items.add(session, keyring, label, {"text": label})).item for label in labels]


async def received(person: Person) -> dict[str, str | None]:
    """What is shared with somebody: the label of each item."""
    async with person.session() as (session, keyring):
        found = await shares.all_of(session, keyring, "incoming")
        assert all(isinstance(each, Share) for each in found)
        assert len({each.item for each in found if isinstance(each, Share)}) == len(found)
        return {each.item: each.label for each in found if isinstance(each, Share)}


async def known(person: Person) -> list[Connection]:
    """Somebody's connections."""
    async with person.session() as (session, keyring):
        return [each for each in await connections.all_own(session, keyring) if isinstance(each, Connection)]


async def test_m33_items_that_are_named_at_the_invitation_are_shared_when_it_is_accepted(
    ann: Person, bob: Person, wire: Wire
) -> None:
    secret = canary()
    first, second, third = await keep(ann, f"Passport {secret}", "Address", "Diary")
    invite = ["--json", "invite", bob.address, "--share", first[:9], "--share", second]
    link = (await ran(ann, *invite)).json["link"]
    assert (await ran(ann, "--json", "connection", "list")).err == ""
    assert (await ran(bob, "--json", "accept", link)).code == 0
    assert await received(bob) == {}

    listed = await ran(ann, "--json", "connection", "list")
    told = [f"As you intended when you invited {bob.address}: item {each} is shared." for each in (first, second)]
    assert listed.err.splitlines() == told
    assert await received(bob) == {first: f"Passport {secret}", second: "Address"}
    assert third not in await received(bob)
    (again,) = await known(ann)
    assert list(again.note.intents) == []
    assert (await ran(ann, "--json", "connection", "show", again.connection)).err == ""
    invited = [data for subject, data in wire.published if subject.endswith("invitations.invite")]
    assert invited
    assert not [data for data in invited if first.encode() in data or second.encode() in data]
    assert wire.holding({"label": secret.encode()}) == []


async def test_m33_over_an_unverified_connection_an_intent_waits_until_the_people_compare(
    ann: Person, bob: Person, backend: RunningHome
) -> None:
    (item,) = await keep(ann, "Passport")
    async with ann.session() as (session, keyring):
        wanted = await intents.checked(session, keyring, [item])
        made = await invitations.invite(session, keyring, bob.address, intents=wanted)
        await invitations.find(session, made.invitation)
    async with bob.session() as (session, keyring):
        (link,) = set(LINK.findall(await mail_about(backend.data, made.invitation)))
        theirs = await invitations.accept(session, keyring, link)
    assert not theirs.verified

    assert (await ran(ann, "--json", "connection", "list")).err == ""
    async with ann.session() as (session, keyring):
        assert await intents.work(session, keyring) == []
        with pytest.raises(Unverified):
            await intents.fulfil(session, keyring, theirs.connection, item)
    assert await received(bob) == {}

    verify = ["--json", "connection", "verify", theirs.connection, "--number"]
    wrong = await ran(ann, *verify, "0" * 60)
    assert (wrong.code, await received(bob)) == (3, {})
    done = await ran(ann, *verify, theirs.safety_number)
    assert (done.json["verified"], f"item {item} is shared" in done.err) == (True, True)
    assert await received(bob) == {item: "Passport"}


async def test_m33_two_devices_share_what_was_intended_once(
    newcomer: Callable[[str], Awaitable[Newcomer]], bob: Person, tmp_path: Path
) -> None:
    ann, written = await newcomer("ann")
    (item,) = await keep(ann, "Passport")
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address, intents=[item])
        kek = keyring.kek
    async with bob.session() as (session, keyring):
        theirs = await invitations.accept(session, keyring, made.link)
    other = replace(ann, home=tmp_path / "other device")
    server = parse_connection_string(other.server)
    await accounts.login(ProfileFolder(other.home), server, other.address, written.secret, other.passphrase)

    async with ann.session() as (one, keyring), other.session() as (two, keyring_two):
        await connections.show(one, keyring, theirs.connection)
        tasks = [*await intents.work(one, keyring), *await intents.work(two, keyring_two)]
        assert [(task.kind, task.id) for task in tasks] == [("intent", f"{made.invitation}/{item}")] * 2
        await asyncio.gather(*(task.run() for task in tasks))
        assert await intents.work(one, keyring) == await intents.work(two, keyring_two) == []
        (share,) = await shares.all_of(two, keyring_two, "outgoing")
        assert isinstance(share, Share)
        assert share.share == intended_share(kek, made.invitation, item)
    assert await received(bob) == {item: "Passport"}


@pytest.mark.trial
async def test_m33_an_item_that_is_gone_by_then_holds_up_no_other(ann: Person, bob: Person) -> None:
    gone, stands = await keep(ann, "Gone", "Stands")
    async with ann.session() as (session, keyring):
        with pytest.raises(NotFound):
            await intents.checked(session, keyring, [new_id()])
        with pytest.raises(TooLarge):
            await intents.checked(session, keyring, [stands] * (MAX_INTENTS + 1))
        made = await invitations.invite(session, keyring, bob.address, intents=[gone, stands])
        await items.remove(session, gone)
    async with bob.session() as (session, keyring):
        await invitations.accept(session, keyring, made.link)
    async with ann.session() as (session, keyring):
        done = await intents.fire(session, keyring, await connections.all_own(session, keyring))
        assert [each.refusal for each in done] == [None, None]
    assert await received(bob) == {stands: "Stands"}
    (connection,) = await known(ann)
    assert list(connection.note.intents) == []


async def test_s15_an_acceptance_that_is_sent_again_shares_nothing_again(
    ann: Person, bob: Person, person: MakePerson, wire: Wire
) -> None:
    (item,) = await keep(ann, "Passport")
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address, intents=[item])
    async with bob.session() as (session, keyring):
        theirs = await invitations.accept(session, keyring, made.link)
    (sent,) = [Sent(*each) for each in wire.published if each[0].endswith("invitations.accept")]
    await ran(ann, "connection", "list")
    assert await received(bob) == {item: "Passport"}
    async with bob.session() as (session, _):
        (row,) = (await session.ask(AskShares(), ShareRow)).rows
        await shares.remove(session, row.share)
        again = command_codec(AcceptInvitation).validate_python(sent.envelope.body)
        with pytest.raises(InvitationClosed):
            await session.send(again, *sent.sealed)
        repeated = await (await session.connected()).send(sent.subject, sent.envelope.id, sent.data)
        assert repeated.status == "accepted"
    eve = await person("eve")
    async with eve.session() as (session, keyring):
        with pytest.raises((InvitationClosed, NotFound)):
            await invitations.accept(session, keyring, made.link)

    assert (await ran(ann, "connection", "list")).err == ""
    assert await received(bob) == await received(eve) == {}
    assert [each.connection for each in await known(ann)] == [theirs.connection]


async def test_m33_one_line_that_does_not_hold_hides_no_connection_and_nothing_that_ended(
    ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob's line over his new connection is bent; what Ann has with others is listed all the same."""
    (item,) = await keep(ann, "Passport")
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address, intents=[item])
    async with bob.session() as (session, keyring):
        theirs = await invitations.accept(session, keyring, made.link)
    one = {"connection": "a" * 52, "sender": "a" * 52, "n": 1, "share": new_id(), "manifest": "", "signature": ""}

    with monkeypatch.context() as patch:
        lie(patch, "line", lambda rows: rows.append({**one, "signature": "A" * 86, "position": 1, "ended": None}))
        listed = await ran(ann, "--json", "connection", "list")
        assert (listed.code, [row["connection"] for row in listed.json]) == (0, [theirs.connection])
        assert f"item {item} is not shared yet (ForgedRecord)" in listed.err
        given = await ran(ann, "--json", "share", "list", "--outgoing", "--ended")
        assert given.code == 3
        assert [(row["share"], row["status"]) for row in given.json] == [(theirs.connection, "broken: ForgedRecord")]
    assert f"item {item} is shared" in (await ran(ann, "connection", "list")).err
    assert await received(bob) == {item: "Passport"}
