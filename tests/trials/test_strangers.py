"""Strangers: whoever acts on somebody else's thing gets, byte for byte, the answer for a thing that does not exist."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid6 import uuid7

from privity.agent import accounts, connections, invitations, items, shares
from privity.agent.keyring import Keyring
from privity.agent.profile import ProfileFolder
from privity.agent.session import Session
from privity.crypto.invitation import make_invitation
from privity.crypto.kem import Suite, generate_keypair
from privity.encoding import b32, b64, digest, new_id, sha256
from privity.errors import BadToken, NotFound, PrivityError, Refusal
from privity.messages.base import Command
from privity.messages.connections import ConfirmConnection, NoteConnection, RemoveConnection
from privity.messages.invitations import CancelInvitation, DeclineInvitation, InviteConnection
from privity.messages.items import EditItem, RemoveItem
from privity.messages.keys import PublishPublicKey
from privity.messages.shares import ClaimShare, RemoveShare
from privity.messages.views import (
    AccountRow,
    AskAccount,
    AskConnections,
    AskInvitations,
    AskItems,
    AskKeys,
    AskOffer,
    AskResult,
    AskShares,
    AskSpaces,
    ConnectionRow,
    InvitationRow,
    ItemRow,
    KeyRow,
    OfferRow,
    ShareRow,
    SpaceRow,
)
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.trials.load import signer_of

BLOB = b"a sealed object, for all the backend knows" * 3
NAMED = digest(BLOB)
NOTHING = digest(b"nothing")


@dataclass(frozen=True)
class Things:
    """The ids of one of each kind."""

    item: str
    share: str
    space: str
    connection: str
    invitation: str
    key: str
    peer: str
    peer_key: str
    command: str

    @staticmethod
    def nowhere() -> "Things":
        """Ids of the right form that nothing has."""
        return Things(
            item=new_id(),
            share=new_id(),
            space=new_id(),
            connection=b32(sha256(new_id().encode())),
            invitation=new_id(),
            key=new_id(),
            peer=b32(sha256(new_id().encode())),
            peer_key=new_id(),
            command=str(uuid7()),
        )


async def things_of(ann: Person, bob: Person) -> Things:
    """What Ann has: an item, shared with Bob but not claimed, an open invitation, a keypair."""
    async with ann.session() as (session, keyring):
        made = await items.add(session, keyring, "Passport", {"number": "X1"})
        share = await shares.create(session, keyring, made.item, bob.address)
        invited = await invitations.invite(session, keyring, "carol@localhost")
        connection = await connections.show(session, keyring, share.connection)
        waiting = signer_of(ann)[0].command(RemoveItem(new_id()), ())
        bus = await session.connected()
        await bus.send(waiting.subject, waiting.id, waiting.data)
    return Things(
        item=made.item,
        share=share.share,
        space=share.space,
        connection=share.connection,
        invitation=invited.invitation,
        key=connection.key,
        peer=connection.peer,
        peer_key=connection.peer_key,
        command=waiting.id,
    )


ACTS: dict[str, Callable[[Things], Command]] = {
    "item edit": lambda its: EditItem(its.item, 2, NAMED, NAMED),
    "item rm": lambda its: RemoveItem(its.item),
    "share claim": lambda its: ClaimShare(its.share, NAMED),
    "share rm": lambda its: RemoveShare(its.share),
    "connection rm": lambda its: RemoveConnection(its.connection),
    "connection note": lambda its: NoteConnection(its.connection, NOTHING, NAMED),
    "connection confirm": lambda its: ConfirmConnection(its.connection, NAMED, None, NAMED),
    "invitation cancel": lambda its: CancelInvitation(its.invitation),
    "invitation decline": lambda its: DeclineInvitation(its.invitation, b64(bytes(32))),
    "key publish": lambda its: PublishPublicKey(its.key),
}


async def said(session: Session, command: Command, things: Things) -> bytes:
    """Code and message that the bus answers, the ids that the asker gave left out."""
    sealed = (BLOB,) if NAMED in [getattr(command, name) for name in command.__dataclass_fields__] else ()
    with pytest.raises(Refusal) as refused:
        await session.send(command, *sealed)
    return told(refused.value, things)


def told(error: PrivityError, things: Things) -> bytes:
    """An error's code and message, the ids that the asker gave left out."""
    text = f"{error.code}: {error.message}"
    for name in things.__dataclass_fields__:
        text = text.replace(getattr(things, name), f"<{name}>")
    return text.encode()


async def test_u2_a_strangers_command_on_anything_is_answered_as_if_it_did_not_exist(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    eve = await person("eve")
    real, nowhere = await things_of(*connected), Things.nowhere()
    async with eve.session() as (session, _):
        for name, act in ACTS.items():
            on_hers = await said(session, act(real), real)
            on_nothing = await said(session, act(nowhere), nowhere)
            assert on_hers == on_nothing, name
            assert on_hers.startswith((b"NotFound: ", b"KeyNotFound: ", b"BadToken: ")), name


async def test_u2_the_same_commands_work_for_whom_they_belong_to(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    real = await things_of(ann, bob)
    async with bob.session() as (session, keyring):
        assert (await session.send(ACTS["share claim"](real), BLOB)).status == "accepted"
        kept = (await connections.show(session, keyring, real.connection)).row.note
        note = NoteConnection(real.connection, kept, NAMED)
        assert (await session.send(note, BLOB)).status == "accepted"
    async with ann.session() as (session, _):
        for name in ("item edit", "item rm", "share rm", "invitation cancel", "connection rm"):
            command = ACTS[name](real)
            sealed = (BLOB,) if name == "item edit" else ()
            assert (await session.send(command, *sealed)).status == "accepted", name
        assert (await session.send(ACTS["key publish"](real))).status == "ignored"  # it was published before


async def test_u2_the_confirming_of_a_connection_is_the_inviters_alone(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    nowhere = Things.nowhere()
    async with bob.session() as (session, keyring):
        (found,) = await connections.all_own(session, keyring)
        real = replace(nowhere, connection=found.connection)
        assert await said(session, ACTS["connection confirm"](real), real) == await said(
            session, ACTS["connection confirm"](nowhere), nowhere
        )
    async with ann.session() as (session, keyring):
        await connections.all_own(session, keyring)
        (row,) = (await session.ask(AskConnections(), ConnectionRow)).rows
        assert row.confirmed


async def test_u2_a_stranger_cannot_share_anothers_item_nor_over_anothers_connection(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    real, nowhere = await things_of(ann, bob), Things.nowhere()
    eve, mallory = await person("eve"), await person("mallory")
    await connect(eve, mallory)
    async with eve.session() as (session, keyring):
        own = await items.add(session, keyring, "Own", {})
        with pytest.raises(NotFound) as of_hers:
            await shares.create(session, keyring, real.item, mallory.address)
        with pytest.raises(NotFound) as of_nothing:
            await shares.create(session, keyring, nowhere.item, mallory.address)
        assert told(of_hers.value, real) == told(of_nothing.value, nowhere)
        assert (await shares.create(session, keyring, own.item, mallory.address)).item == own.item


async def test_u2_a_stranger_cannot_invite_with_anothers_key(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    real, nowhere = await things_of(*connected), Things.nowhere()
    eve = await person("eve")
    async with eve.session() as (session, keyring):
        on_hers = await said_to_invitation(session, keyring, eve, real)
        on_nothing = await said_to_invitation(session, keyring, eve, nowhere)
        assert on_hers == on_nothing
        assert on_hers.startswith(b"KeyNotFound: ")
        assert (await invitations.invite(session, keyring, "dave@localhost")).invitation


async def said_to_invitation(session: Session, keyring: Keyring, by: Person, things: Things) -> bytes:
    """The answer to a well-signed invitation whose key is not one of the inviter's."""
    row = (await session.ask(AskAccount(), AccountRow)).one("account", session.account)
    own = accounts.verified(row.chain, session.account)
    expires = datetime.now(UTC).replace(microsecond=0) + invitations.LIFETIME
    inv, pair = new_id(), generate_keypair(Suite.X_WING)
    message = make_invitation(
        bytes(32),
        inv=inv,
        expires=expires.isoformat(),
        home=session.server.home,
        log_key=session.server.log_public,
        account=own.account,
        address=by.address,
        head=own.head,
        public=pair.public,
        suite=Suite.X_WING,
        gen=1,
        identity=keyring.identity.sign,
    )
    command = InviteConnection(
        invitation=inv,
        email="dave@localhost",
        key=things.key,
        expires=expires,
        record=b64(message.record),
        mac=b64(message.mac),
        token_hash=b64(message.token_hash),
        note=NAMED,
    )
    return await said(session, command, things)


LOOKS: dict[str, Callable[[Session, Keyring, Things], Awaitable[Any]]] = {
    "item show": lambda session, keyring, its: items.show(session, keyring, its.item),
    "share show": lambda session, keyring, its: shares.show(session, keyring, its.share),
    "share of item": lambda session, keyring, its: shares.incoming_of_item(session, keyring, its.item),
    "connection show": lambda session, keyring, its: connections.show(session, keyring, its.connection),
    "invitation show": lambda session, _, its: invitations.find(session, its.invitation),
    "invitation offer": lambda session, _, its: session.ask(
        AskOffer(id=its.invitation, token=b64(bytes(32))), OfferRow
    ),
    "command result": lambda session, _, its: session.ask(AskResult(command=its.command), dict),
}


async def test_u2_a_stranger_who_looks_for_anything_finds_what_does_not_exist(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    eve = await person("eve")
    real, nowhere = await things_of(*connected), Things.nowhere()
    async with eve.session() as (session, keyring):
        for name, look in LOOKS.items():
            answers = []
            for things in (real, nowhere):
                with pytest.raises((NotFound, BadToken)) as refused:
                    await look(session, keyring, things)
                answers.append(told(refused.value, things))
            assert answers[0] == answers[1], name


async def test_u2_a_strangers_views_hold_no_row_of_others_by_id_or_by_beginning(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    eve = await person("eve")
    real = await things_of(*connected)
    asks = [
        (AskItems(id=real.item), ItemRow),
        (AskItems(shared_with=real.connection), ItemRow),
        (AskItems(id=real.item[0]), ItemRow),
        (AskShares(id=real.share), ShareRow),
        (AskShares(item=real.item), ShareRow),
        (AskShares(connection=real.connection), ShareRow),
        (AskSpaces(id=real.space), SpaceRow),
        (AskSpaces(), SpaceRow),
        (AskConnections(id=real.connection), ConnectionRow),
        (AskConnections(peer=connected[1].address), ConnectionRow),
        (AskInvitations(id=real.invitation), InvitationRow),
        (AskKeys(id=real.key), KeyRow),
    ]
    async with eve.session() as (session, _):
        for ask, row in asks:
            found = await session.ask(ask, row, fresh=True)
            assert (found.rows, dict(found.sealed)) == ((), {}), ask
    async with connected[0].session() as (session, _):
        for ask, row in asks:
            assert (await session.ask(ask, row, fresh=True)).rows, f"its owner finds nothing with {ask}"


async def test_u2_who_signs_for_another_account_is_told_the_same_as_for_none(ann: Person, person: MakePerson) -> None:
    eve = await person("eve")
    signer, server = signer_of(eve)
    answers = []
    for account in (signer_of(ann)[0].account, Things.nowhere().peer):
        acting = replace(signer, account=account)
        async with Session(ProfileFolder(eve.home), server, acting, eve.address) as session:
            with pytest.raises(Refusal) as refused:
                await session.send(RemoveItem(new_id()))
            with pytest.raises(Refusal) as asked:
                await session.ask(AskItems(), ItemRow)
            answers.append((told(refused.value, Things.nowhere()), told(asked.value, Things.nowhere())))
    assert answers[0] == answers[1]
    assert [each.partition(b":")[0] for each in answers[0]] == [b"UnknownDevice", b"UnknownDevice"]


@pytest.mark.trial
async def test_u2_the_command_line_says_the_same_of_anothers_and_of_nothing(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    eve = await person("eve")
    real, nowhere = await things_of(*connected), Things.nowhere()
    for words, field in (
        (("item", "rm"), "item"),
        (("share", "rm"), "share"),
        (("invitation", "cancel"), "invitation"),
    ):
        outcomes = []
        for things in (real, nowhere):
            done = eve.run(*words, getattr(things, field), "--json")
            outcomes.append((done.code, done.out, done.err.replace(getattr(things, field), "<id>")))
        assert outcomes[0] == outcomes[1]
        assert outcomes[0][0] == 1
        assert outcomes[0][2].startswith("error: NotFound: ")
