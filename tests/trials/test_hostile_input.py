"""Hostile input on the running backend: what one person sends stops, slows and starves nobody else."""

import asyncio
import os
import re
import time

import pytest

from privity.agent import items
from privity.agent.accounts import own
from privity.agent.bus import Bus
from privity.agent.enrolment import by_device
from privity.agent.profile import Waiting
from privity.agent.session import Signer, read_answer
from privity.connection_string import ConnectionString
from privity.crypto import identity
from privity.crypto.command import frame, unframe
from privity.crypto.identity import make_next
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id
from privity.messages.accounts import ExtendIdentity
from privity.messages.envelope import Answer
from privity.messages.fields import SignedRecord
from privity.messages.items import AddItem
from privity.messages.views import AccountRow, Ask, AskAccount, AskItems, AskKeyring, ItemRow
from privity.testing.people import Person
from tests.conftest import MakePerson
from tests.trials.load import signer_of

FLOOD = 400
SOON = 3.0
NEVER = 2**50


async def test_a_device_id_that_no_event_can_carry_does_not_stop_the_views(
    ann: Person, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One such event, recorded, would end the projector for everybody and for ever."""
    eve = await person("eve")
    async with eve.session() as (session, keyring):
        _, head = await own(session)
        with monkeypatch.context() as hostile:
            hostile.setattr(identity, "_DEVICE_ID", re.compile(".*"))
            record = make_next(
                head,
                keyring.identity.sign,
                sign=keyring.identity.sign,
                seal_public=head.seal,
                seal_suite=head.seal_suite,
                devices={**head.devices, "My-Phone": SigningKey.generate().public},
                reason="device-added",
            )
        signed = SignedRecord(b64(record.record), tuple(b64(each) for each in record.signatures))
        waiting = signer_of(eve)[0].command(ExtendIdentity(signed), ())
        result = await (await session.connected()).send(waiting.subject, waiting.id, waiting.data)
        assert (result.status, result.code) == ("refused", "ForgedRecord")
    async with ann.session() as (session, ring):
        made = await items.add(session, ring, "Passport", {"number": "X1"})
        assert [row.item for row in (await session.ask(AskItems(), ItemRow)).rows] == [made.item]


async def test_a_flood_of_queries_that_wait_for_nothing_holds_up_nobody(ann: Person, person: MakePerson) -> None:
    """Unsigned, signed by a stranger, or rightly signed for a position that there never was."""
    eve = await person("eve")
    (hers, _), (his, server) = signer_of(ann), signer_of(eve)
    stranger = Signer(his.account, new_id(), SigningKey.generate(), server.home)
    right, strange = his.query(AskItems(), None, NEVER), stranger.query(AskItems(), None, NEVER)
    unsigned = right[0], frame(b"", unframe(right[1], 2, 10**6)[1])
    for kind, codes in ((unsigned, {"BadSignature"}), (strange, {"UnknownDevice", "Busy"}), (right, {"Busy"})):
        async with await line_of(his, server) as bus, await line_of(hers, server) as anns:
            flood = [asyncio.create_task(bus.ask(*kind)) for _ in range(FLOOD)]
            began = time.monotonic()
            answer = await asked(anns, hers, AskItems())
            took = time.monotonic() - began
            answers = [read_answer(each)[0].code for each in await asyncio.gather(*flood)]
            assert answer.status == "ok"
            assert took < SOON
            assert time.monotonic() - began < 2 * SOON
            assert set(answers) <= codes


async def test_guessing_at_the_keyring_releases_nothing_and_shuts_nobody_out(ann: Person, person: MakePerson) -> None:
    signer, server = signer_of(ann)
    ask = AskKeyring(purpose="login", proof=b64(bytes(64)))
    async with await line_of(signer, server) as bus:
        nonce = None
        for code in ("StaleNonce", "BadLogin", "BadLogin"):
            subject, data = signer.query(ask, nonce, 0)
            answer, sealed = read_answer(await bus.ask(subject, frame(b"", unframe(data, 2, 10**6)[1])))
            assert (answer.code, sealed) == (code, {})
            nonce = answer.nonce
    async with ann.session() as (session, _):
        answer_ = await session.ask(AskAccount(), AccountRow, fresh=True)
        assert set(answer_.sealed) == {answer_.rows[0].identity}  # without the KEK's wraps


async def test_what_one_command_can_bring_one_answer_brings_back(ann: Person) -> None:
    """The largest item that there can be, between others."""
    signer, server = signer_of(ann)
    async with await line_of(signer, server) as bus:
        largest = 0
        for size in (600, 990 * 1024, 600):
            waiting = big_item(signer, size)
            largest = max(largest, len(waiting.data))
            assert (await bus.send(waiting.subject, waiting.id, waiting.data)).status == "accepted"
    assert largest > 990 * 1024
    async with ann.session() as (session, _):
        found = await session.ask_all(AskItems(), ItemRow)
        assert sorted(len(found.blob(row.content)) for row in found.rows) == [600, 600, 990 * 1024]


def big_item(signer: Signer, size: int) -> Waiting:
    """A signed command that adds an item of so many bytes."""
    content, wrap = os.urandom(size), os.urandom(60)
    return signer.command(AddItem(new_id(), digest(content), digest(wrap)), (content, wrap))


async def asked(bus: Bus, signer: Signer, ask: Ask) -> Answer:
    """The answer to a rightly signed query."""
    return read_answer(await bus.ask(*signer.query(ask, None, 0)))[0]


async def line_of(signer: Signer, server: ConnectionString) -> Bus:
    """A person's bus, with the credential of their own device."""
    return Bus(server, signer.account, await by_device(server, signer))
