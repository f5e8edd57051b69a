"""U6: oversized, deep, countless and wrong-typed input, and floods of it: bounded refusals, and the others go on."""

import asyncio
import json
import statistics
import time
from typing import Any

import pytest

from privity.agent import items
from privity.agent.profile import Waiting
from privity.agent.session import Signer, read_answer
from privity.crypto.command import frame, sign_command, sign_query, unframe
from privity.encoding import new_id
from privity.messages import envelope
from privity.messages.items import RemoveItem
from privity.messages.views import AskItems
from privity.testing.home import RunningHome
from privity.testing.people import Person
from tests.conftest import MakePerson
from tests.trials.load import add_item, backend_bus, signer_of
from tests.trials.test_duplicates import line
from tests.trials.test_hostile_input import line_of

pytestmark = pytest.mark.trial

FLOOD = 600
ROUNDS = 12
SOON = 3.0
DEEP = 20_000
LARGE = 2**20 - 4096
"""Bytes: nearly what the bus carries."""


def deep(levels: int, open_: str, close: str) -> str:
    return open_ * levels + close * levels


def bodies(item: str) -> dict[str, str]:
    """Bodies of `items.remove` as JSON texts, none of which is one."""
    return {
        "deep lists": f'{{"item":{deep(DEEP, "[", "]")}}}',
        "deep objects": '{"item":' + '{"a":' * DEEP + "1" + "}" * DEEP + "}",
        "an endless number": f'{{"item":{"9" * 60_000}}}',
        "an endless fraction": f'{{"item":0.{"1" * 60_000}}}',
        "not a number": '{"item":NaN}',
        "many fields": "{" + ",".join(f'"f{n}":{n}' for n in range(8_000)) + "}",
        "many elements": f'{{"item":{json.dumps(list(range(20_000)))}}}',
        "one field a thousand times": "{" + ",".join(f'"item":"{item}x"' for _ in range(1_000)) + "}",
        "a long text": json.dumps({"item": "a" * 100_000}),
        "half a surrogate pair": '{"item":"\\ud800"}',
        "a NUL": json.dumps({"item": item[:-1] + "\0"}),
        "no object": "[]",
        "another type": '{"item":1}',
        "a truth": '{"item":true}',
        "null": '{"item":null}',
        "one field more": json.dumps({"item": item, "and": 1}),
        "no field": "{}",
    }


def saying(signer: Signer, body: str, **changes: Any) -> Waiting:
    """A rightly signed command with this text as its body."""
    fresh = signer.command(RemoveItem(new_id()), ())
    said = json.loads(unframe(fresh.data, 2, 10**6)[1]) | changes
    said["body"] = "BODY"
    payload = json.dumps(said).replace('"BODY"', body).encode()
    return Waiting(
        fresh.id, fresh.subject, frame(sign_command(signer.key, signer.home, fresh.subject, payload), payload)
    )


async def test_u6_whatever_body_is_signed_it_is_a_bounded_refusal(ann: Person) -> None:
    signer, server = signer_of(ann)
    async with line(server, signer) as mine:
        for name, body in bodies(new_id()).items():
            await mine.send(saying(signer, body))
            (told,) = await mine.heard(1)
            said = json.loads(told)
            assert (said["status"], said["code"]) == ("refused", "Malformed"), name
            assert len(told) < 1_000, name
        (result,) = await mine.results_of(add_item(signer))
        assert result.status == "accepted"


async def test_u6_whatever_envelope_is_signed_it_is_a_bounded_refusal(ann: Person) -> None:
    signer, server = signer_of(ann)
    wrong: list[dict[str, Any]] = [
        {"v": 2},
        {"v": "1"},
        {"device": "a" * 100_000},
        {"issued_at": "now"},
        {"issued_at": 10**400},
        {"issued_at": "2026-01-01T00:00:00"},
        {"checkpoint": "a" * 100_000},
        {"checkpoint": {}},
        {"more": [1] * 1000},
    ]
    async with line(server, signer) as mine:
        for change in wrong:
            await mine.send(saying(signer, json.dumps({"item": new_id()}), **change))
            (told,) = await mine.heard(1)
            assert json.loads(told)["code"] == "Malformed", change
            assert len(told) < 1_000
        (result,) = await mine.results_of(add_item(signer))
        assert result.status == "accepted"


async def test_u6_what_is_too_large_or_of_too_many_parts_is_a_bounded_refusal(ann: Person) -> None:
    signer, server = signer_of(ann)
    fresh = add_item(signer)
    signature, payload, *sealed = unframe(fresh.data, 9, 10**6)
    large = {
        "a message": frame(signature, payload, bytes(LARGE - len(payload) - 200)),
        "an envelope": frame(signature, payload + b" " * envelope.MAX_PAYLOAD, *sealed),
        "many objects": frame(signature, payload, *(b"%d" % number for number in range(2_000))),
        "very many empty objects": frame(signature, payload) + bytes(4) * 100_000,
    }
    async with line(server, signer) as mine:
        for name, data in large.items():
            await mine.send(Waiting(fresh.id, fresh.subject, data))
            (told,) = await mine.heard(1)
            assert json.loads(told)["code"] == "TooLarge", name
            assert len(told) < 1_000, name
        (result,) = await mine.results_of(fresh)
        assert result.status == "accepted"


async def test_u6_whatever_parameters_are_asked_with_it_is_a_bounded_refusal(ann: Person) -> None:
    signer, server = signer_of(ann)
    subject, right = signer.query(AskItems(), None, 0)
    payload = unframe(right, 2, 10**5)[1]
    wrong = {
        "deep": deep(DEEP, "[", "]"),
        "many": json.dumps({"after": 0, "limit": 100, **{f"f{n}": n for n in range(3_000)}}),
        "a page too large": '{"after":0,"limit":100000000}',
        "a cursor too far": '{"after":1' + "0" * 400 + ',"limit":1}',
        "a pattern": '{"after":0,"limit":1,"id":"%"}',
        "a text for a number": '{"after":"x"}',
        "nothing": "null",
    }
    async with await line_of(signer, server) as bus:
        for name, params in wrong.items():
            said = json.loads(payload) | {"params": "PARAMS"}
            bent = json.dumps(said).replace('"PARAMS"', params).encode()
            answer = await bus.ask(subject, frame(sign_query(signer.key, server.home, subject, bent), bent))
            assert read_answer(answer)[0].code == "Malformed", name
            assert len(answer) < 1_000, name
        assert read_answer(await bus.ask(subject, frame(b"", bytes(100_000))))[0].code == "TooLarge"
        assert read_answer(await bus.ask(subject, right))[0].status == "ok"


FLOODS = {
    "noise": lambda signer: Waiting("x", f"privity.cmd.{signer.account}.items.add", b"\xff" * 600),
    "wrong signatures": lambda signer: unsigned(signer),
    "refusals": lambda signer: signer.command(RemoveItem(new_id()), ()),
    "rightful commands": lambda signer: add_item(signer),
}


def unsigned(signer: Signer) -> Waiting:
    fresh = add_item(signer)
    return Waiting(fresh.id, fresh.subject, frame(bytes(64), *unframe(fresh.data, 9, 10**6)[1:]))


@pytest.mark.parametrize("kind", FLOODS)
async def test_u6_a_flood_of_one_persons_commands_lets_another_act_and_read(person: MakePerson, kind: str) -> None:
    """The flood is kept up while Ann works; each of hers is answered soon, and the flooder's are all answered too."""
    ann, eve = await person("ann"), await person("eve")
    (hers, server), (foreign, _) = signer_of(ann), signer_of(eve)
    flood = [FLOODS[kind](foreign) for _ in range(FLOOD)]
    async with line(server, foreign) as evil, await line_of(hers, server) as bus:
        sending = asyncio.create_task(evil.send(*flood))
        took = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            command = add_item(hers)
            assert (await bus.send(command.subject, command.id, command.data)).status == "accepted"
            answer = read_answer(await bus.ask(*hers.query(AskItems(), None, 0)))[0]
            assert answer.status == "ok"
            took.append(time.monotonic() - began)
        await sending
        answered = await evil.heard(FLOOD)
    assert max(took) < SOON
    assert statistics.median(took) < SOON / 2
    assert max(map(len, answered)) < 20_000
    assert {json.loads(each)["status"] for each in answered} <= {"accepted", "refused"}
    async with eve.session() as (session, keyring):  # and the flooder is shut out of nothing
        assert (await items.add(session, keyring, "Note", {})).version == 1


async def test_u6_what_is_parked_is_bounded_whatever_is_sent(backend: RunningHome, ann: Person) -> None:
    """The streams that hold what strangers send have a size and drop or refuse beyond it."""
    signer, server = signer_of(ann)
    async with line(server, signer) as mine:
        (result,) = await mine.results_of(add_item(signer))
        assert result.status == "accepted"
    async with backend_bus(backend) as bus:
        for name in ("COMMANDS", "DEAD"):
            config = (await bus.jetstream().stream_info(name)).config
            assert 0 < (config.max_bytes or -1) <= 16 * 2**30, name
