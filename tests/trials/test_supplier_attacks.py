"""Suppliers on the bus: what a person cannot do to them, and what a supplier cannot do to anybody (U1 by N1, N4, N5).

The attackers are bare NATS clients with credentials that the home gave. Each row has its other half: the same client
does what it may.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.msg import Msg
from pydantic import TypeAdapter

import app
from infra.home import open_keys
from infra.supplier.commands import Commands
from infra.supplier.credential import SupplierCredential, issue
from privity.agent import suppliers as seeing
from privity.agent import supplying
from privity.crypto.command import frame, sign_command, unframe
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import sign_replacement, supplier_device
from privity.encoding import b64
from privity.errors import SupplierNameTaken
from privity.messages import envelope
from privity.messages.base import Command
from privity.messages.enrolment import inbox_prefix
from privity.messages.suppliers import (
    AnnounceSupplier,
    AskNonce,
    AskStatus,
    ReplaceSupplier,
    Request,
    supplied,
    supplier_subject,
)
from privity.testing.home import RunningHome
from privity.testing.people import Person
from tests.conftest import MakePerson
from tests.infra import buses
from tests.infra.buses import listen
from tests.trials.test_people_on_the_bus import Attacker, on_the_bus, silent

pytestmark = pytest.mark.trial

PATIENCE = 10.0


@asynccontextmanager
async def as_supplier(home: RunningHome, name: str) -> AsyncIterator[tuple[SupplierCredential, buses.Person]]:
    """A credential that the operator made, at a bare connection."""
    settings = app.running(home.data)
    shown = issue(open_keys(home.data), name, settings.bus_url)
    line = await buses.Person.of(settings.bus_url, shown.bus, "_INBOX_x")
    try:
        yield shown, line
    finally:
        await line.bus.close()


@pytest.fixture
async def eve(customer: MakePerson) -> AsyncIterator[Attacker]:
    """Who attacks, in the home that has suppliers."""
    async with on_the_bus(await customer("eve")) as attacker:
        yield attacker


@pytest.fixture
async def ann(customer: MakePerson) -> Person:
    """Whose key it is."""
    return await customer("ann")


async def one_of(person: Person) -> supplying.Known:
    """A supplier of the home."""
    async with person.session() as (session, _):
        return next(each for each in (await supplying.directory(session)).values() if each.name == "supplier-1")


def asks(supplier: str, request: Request) -> tuple[str, bytes]:
    """A request as it goes out."""
    return supplier_subject(supplier, request.verb), frame(TypeAdapter(type(request)).dump_json(request))


# ---- N1 and N5: people ----


async def test_n1_nobody_hears_what_suppliers_are_asked_and_everybody_may_ask_them(eve: Attacker, ann: Person) -> None:
    known = await one_of(ann)
    for subject in (
        "privity.supplier.>",
        "privity.supplier.*.*",
        f"privity.supplier.{known.id}.*",
        f"privity.supplier.{eve.account}.*",
    ):
        await eve.may_not_hear(subject)
    answer = await eve.bus.request(*asks(known.id, AskStatus()), timeout=PATIENCE)
    assert supplied.validate_json(unframe(answer.data, 1, 9000)[0]).called == "supplier-1"


async def test_n5_nobody_answers_for_a_supplier_or_speaks_in_its_name(eve: Attacker, ann: Person) -> None:
    known = await one_of(ann)
    for subject in (
        f"privity.cmd.{known.id}.suppliers.announce",
        f"privity.result.{known.id}.x",
        f"privity.supplier.{known.id}",
        "privity.supplier",
    ):
        await eve.may_not_say(subject)
    own = AnnounceSupplier(eve.account, "supplier-x", b64(SigningKey.generate().public), 0)
    waiting = eve.signer.command(own, ())
    heard = await listen(eve.bus, envelope.result_subject(eve.account, waiting.id))
    await eve.bus.publish(waiting.subject, waiting.data)  # under her own name, with her device's signature
    assert envelope.result.validate_json((await heard.next()).data).code == "UnknownDevice"
    await eve.own_command_is_accepted()


# ---- N4: the reply subject ----


async def test_n4_a_supplier_answers_into_peoples_inboxes_and_nowhere_else(
    suppliers: RunningHome, eve: Attacker, ann: Person
) -> None:
    known = await one_of(ann)
    async with on_the_bus(ann) as victim, as_supplier(suppliers, "listener") as (own, other):
        results = await listen(victim.bus, envelope.result_subject(victim.account, "*"))
        feeds = await listen(victim.bus, envelope.feed_subject(victim.account))
        asked = await listen(other.bus, supplier_subject(own.id, "*"))
        for target in (
            envelope.result_subject(victim.account, "x"),
            envelope.feed_subject(victim.account),
            f"privity.cmd.{victim.account}.items.add",
            supplier_subject(own.id, "status"),
            "$SYS.REQ.CLAIMS.UPDATE",
            "_INBOX.x",
        ):
            await eve.bus.publish(*asks(known.id, AskStatus()), reply=target)
        answer = await eve.bus.request(*asks(known.id, AskStatus()), timeout=PATIENCE)  # behind all of them
        assert b'"status":"ok"' in answer.data
        assert [await silent(each) for each in (results, feeds, asked)] == [True] * 3


# ---- what a supplier may not ----


async def test_u1_a_supplier_hears_its_own_requests_and_results_and_nothing_else(
    suppliers: RunningHome, ann: Person
) -> None:
    known = await one_of(ann)
    async with as_supplier(suppliers, "spy") as (own, line):
        for subject in (
            ">",
            "privity.>",
            "privity.supplier.>",
            "privity.supplier.*.*",
            supplier_subject(known.id, "*"),
            f"privity.result.{known.id}.*",
            "privity.cmd.>",
            "privity.qry.>",
            "privity.feed.>",
            "privity.evt.>",
            "_INBOX.>",
            f"{inbox_prefix(own.id)}.>",
            "$SYS.>",
            "$JS.>",
        ):
            await line.bus.subscribe(subject)
            complaint = await line.complaint()
            assert "permissions violation for subscription" in complaint, complaint
            assert subject.lower() in complaint
        heard = await listen(line.bus, supplier_subject(own.id, "*"))
        async with on_the_bus(ann) as asking:
            await asking.bus.publish(*asks(own.id, AskNonce()), reply=asking.bus.new_inbox())
            assert (await heard.next()).subject == supplier_subject(own.id, "nonce")


async def test_u1_a_supplier_says_its_own_commands_and_one_answer_to_each_request(
    suppliers: RunningHome, ann: Person
) -> None:
    known = await one_of(ann)
    async with as_supplier(suppliers, "loud") as (own, line), on_the_bus(ann) as asking:
        for subject in (
            f"privity.cmd.{known.id}.suppliers.announce",
            f"privity.cmd.{own.id}.items.add",
            f"privity.cmd.{asking.account}.items.add",
            f"privity.qry.{own.id}.suppliers",
            f"privity.result.{asking.account}.x",
            f"privity.feed.{asking.account}",
            supplier_subject(known.id, "status"),
            "privity.evt.suppliers.supplier-announced.x",
            "privity.enrol.device",
            "$SYS.REQ.CLAIMS.UPDATE",
            "$JS.API.INFO",
            f"{inbox_prefix(asking.account)}.x.y",
        ):
            await line.bus.publish(subject, b"{}")
            assert "permissions violation for publish" in await line.complaint()
        answers = await listen(asking.bus, inbox := asking.bus.new_inbox())

        async def answer_twice(message: Msg) -> None:
            for _ in range(2):
                await line.bus.publish(message.reply, b"an answer")

        await line.bus.subscribe(supplier_subject(own.id, "*"), cb=answer_twice)
        await line.bus.flush()
        await asking.bus.publish(*asks(own.id, AskNonce()), reply=inbox)
        assert (await answers.next()).data == b"an answer"
        assert "permissions violation for publish" in await line.complaint()
        assert await silent(answers)
        assert (await said(own, line, AnnounceSupplier(own.id, "loud", b64(own.sign.public), 0))).status == "accepted"


async def said(own: SupplierCredential, line: buses.Person, command: Command, by: SigningKey | None = None) -> Any:
    """What becomes of a command that a supplier sends."""
    commands = Commands(
        line.bus, own if by is None else SupplierCredential(own.name, own.bus_url, own.log_public, by, own.bus)
    )
    subject = envelope.command_subject(own.id, command.subject)
    _, _, data = commands._signed(command)
    signature, payload = unframe(data, 2, 9000)
    payload = payload.replace(commands._credential.id.encode(), own.id.encode())
    payload = payload.replace(supplier_device(commands._credential.id).encode(), supplier_device(own.id).encode())
    signature = sign_command(by or own.sign, own.home, subject, payload)
    heard = await listen(line.bus, envelope.result_subject(own.id, "*"))
    await line.bus.publish(subject, frame(signature, payload))
    return envelope.result.validate_json((await heard.next()).data)


async def test_b27_a_supplier_is_known_by_its_own_key_and_replaces_by_the_operators_order_alone(
    suppliers: RunningHome, ann: Person
) -> None:
    keys = open_keys(suppliers.data)
    async with as_supplier(suppliers, "heir") as (own, line), as_supplier(suppliers, "lost") as (lost, theirs):
        announce = AnnounceSupplier(own.id, "heir", b64(own.sign.public), 0)
        thief = SigningKey.generate()
        assert (await said(own, line, announce, by=thief)).code == "BadSignature"
        swapped = AnnounceSupplier(own.id, "heir", b64(thief.public), 0)
        assert (await said(own, line, swapped, by=thief)).code == "UnknownDevice"  # the id is another key's
        taken = AnnounceSupplier(own.id, "supplier-1", b64(own.sign.public), 0)
        assert (await said(own, line, taken)).code == SupplierNameTaken.__name__
        order = sign_replacement(keys.log, lost.id, own.id)
        assert (await said(own, line, ReplaceSupplier(own.id, lost.id, b64(order)))).code == "UnknownDevice"
        assert (await said(own, line, announce)).status == "accepted"
        assert (
            await said(lost, theirs, AnnounceSupplier(lost.id, "lost", b64(lost.sign.public), 7))
        ).status == "accepted"
        forged = ReplaceSupplier(own.id, lost.id, b64(sign_replacement(own.sign, lost.id, own.id)))
        assert (await said(own, line, forged)).code == "BadSignature"
        other = ReplaceSupplier(own.id, (await one_of(ann)).id, b64(order))
        assert (await said(own, line, other)).code == "BadSignature"
        assert (await said(own, line, ReplaceSupplier(own.id, lost.id, b64(order)))).status == "accepted"
    async with ann.session() as (session, _):
        found = {each.name: each for each in await seeing.seen(session)}
        assert (found["lost"].status, found["lost"].replaced_by, found["heir"].status) == ("replaced", "heir", "away")
        assert (await supplying.directory(session))[lost.id].id == own.id
