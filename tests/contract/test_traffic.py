"""What crosses a real home's bus is what the contract says: each message has its channel, and is valid there."""

import asyncio
import random
from copy import deepcopy
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from privity.client import Client
from privity.contract.document import document
from privity.errors import NotFound
from privity.messages.past import past_subject
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.contract.reading import Contract
from tests.contract.tapping import Heard, judged, tapped
from tests.rows.watching import ran
from tests.trials.load import backend_bus

DOCUMENT = document()
NONSENSE = "privity.cmd.nobody.items.add"
STORY = {
    *("enrol.device", "enrolled", "accounts.register", "keys.store", "invitations.invite", "invitations.accept"),
    *("connections.confirm", "items.add", "items.edit", "shares.create", "shares.revise", "shares.claim"),
    *("shares.remove", "result", "feed", "dead"),
    *("read.record", "read.recorded", "ask.items", "answer.items", "ask.shares", "answer.shares", "answer.offer"),
    *("event.item-added", "event.share-created", "event.share-fetched", "event.sealed-erased"),
}
"""Messages that the short story brings."""
FIELDS = (
    ("ItemAdded", "owner"),
    ("ItemRow", "content"),
    ("AddItem", "wrap"),
    ("Result", "receipt"),
    ("FeedEntry", "refs"),
)


async def story(backend: RunningHome, folder: Path) -> list[Heard]:
    """What is on the bus while Ann and Bob share an item, and somebody sends nonsense."""
    ann, bob = (somebody(name, folder, backend.url) for name in ("ann", "bob"))
    async with tapped(backend) as tap:
        await asyncio.gather(ann.register(), bob.register())
        await connect(ann, bob)
        async with Client(ann.home, ann.passphrase) as hers, Client(bob.home, bob.passphrase) as his:
            await hers.connections()
            item = await hers.add("Passport", {"number": "X123"})
            share = await hers.share(item.item, bob.address, slots=["number"])
            assert (await his.read(share.share)).content.slots == {"number": "X123"}
            await hers.edit(item.item, {"number": "X124"})
            assert (await his.read(share.share)).content.slots == {"number": "X124"}
            await hers.end(share.share)
            with pytest.raises(NotFound):
                await his.item(item.item)
        async with backend_bus(backend) as bus:
            await bus.publish(NONSENSE, b"no frame")
            await bus.flush()
        return await tap.all()


UNHEARD = {
    *("answer.result", "answer.spaces", "ask.result", "ask.spaces"),  # views that agents here had no need to ask
    *("event.supplier-announced", "event.supplier-named", "suppliers.announce"),  # the suppliers began before
    *("event.supplier-replaced", "supplied.replace", "supplier.replace", "suppliers.replace"),  # none was lost
    *("pieces.regrant", "sharing-keys.restore"),  # more than sixty readers; something lost
    *("revoke", "revoked"),  # nothing was given to take back
}
"""Messages that not even the long story brings, and why."""


async def told(person: Person, *arguments: str, **environment: str) -> Any:
    """Run a command that must succeed; what it printed."""
    done = await ran(person, "--json", *arguments, **environment)
    assert done.code == 0, f"{arguments}: {done.err}"
    return done.json


async def test_every_message_of_a_story_is_valid_under_the_contract(backend: RunningHome, tmp_path: Path) -> None:
    heard = await story(backend, tmp_path)
    verdict = judged(Contract(DOCUMENT), heard)
    assert {fault.partition(" ")[0] for fault in verdict.faults} == {NONSENSE}, "nothing else is wrong, and that shows"
    assert verdict.seen.keys() >= STORY
    heard = [each for each in heard if each.subject != NONSENSE]
    assert judged(Contract(DOCUMENT), heard).faults == []

    changed = deepcopy(DOCUMENT)
    for schema, name in FIELDS:
        del changed["components"]["schemas"][schema]["properties"][name]
    del changed["channels"]["evt.share-created"]
    del changed["operations"]["ask.shares"]
    faults = "\n".join(judged(Contract(changed), heard).faults)
    for _, name in FIELDS:
        assert f"('{name}' was unexpected)" in faults, "what the contract lacks shows"
    assert "is on no channel" in faults
    assert "there are no answers here" in faults


async def befriended(home: RunningHome, folder: Path, *names: str) -> tuple[list[Person], str]:
    """People who are all connected, and verified; and the account secret of the first."""
    people = [somebody(name, folder, home.url) for name in names]
    made = [await each.register() for each in people]
    for one, other in combinations(people, 2):
        await connect(one, other)
        await told(one, "connection", "list")
    return people, made[0].secret


async def of_items(ann: Person, bob: Person, eve: Person, folder: Path) -> None:
    """Files, terms, a share that goes on, a share by a delegate, and ends of all kinds."""
    scan = folder / "scan.bin"
    scan.write_bytes(random.randbytes(2000))
    item = (await told(ann, "item", "add", "Passport", "--set", "number=X", "--attach", str(scan)))["item"]
    share = (await told(ann, "share", "create", item, "--with", bob.address, "--terms", "Call me.", "--reshare"))[
        "share"
    ]
    await told(bob, "share", "accept", share, "--yes")
    await told(bob, "share", "file", share, "scan.bin", "--out", str(folder / "scan.out"))
    await told(bob, "share", "create", item, "--with", eve.address)
    await told(ann, "share", "expire", share, "2099-01-01")
    await told(ann, "item", "edit", item, "--set", "number=Y", "--detach", "scan.bin")
    granted = await told(ann, "delegate", "invite", bob.address, "--role", "admin")
    await told(bob, "item", "list", "--as", ann.address)
    await told(bob, "item", "edit", item, "--set", "number=Z", "--as", ann.address)
    await told(bob, "share", "create", item, "--with", eve.address, "--as", ann.address)
    await told(ann, "tasks", "--retry")
    added = await told(bob, "item", "add", "Hers", "--as", ann.address)
    await told(bob, "item", "rm", added["item"], "--as", ann.address)
    await told(ann, "delegate", "rm", granted["delegation"])
    await told(ann, "share", "rm", share)
    await told(ann, "item", "rm", item)


async def of_pieces(ann: Person, bob: Person) -> None:
    """A piece that is asked for, approved, set anew and taken back; another that is declined, or withdrawn."""
    await told(ann, "rule", "add", "mail")
    await told(ann, "piece", "set", "phone", "+31")
    request = (await told(bob, "request", "create", ann.address, "phone"))["request"]
    await told(ann, "request", "approve", request)
    await told(bob, "profile", "show", ann.address)
    await told(ann, "piece", "set", "phone", "+32")
    await told(ann, "piece", "readers", "phone")
    await told(ann, "piece", "drop", "phone", bob.address)
    await told(ann, "piece", "rm", "phone")
    await told(ann, "piece", "set", "city", "Utrecht")
    for answer, by in (("decline", ann), ("withdraw", bob)):
        request = (await told(bob, "request", "create", ann.address, "city"))["request"]
        await told(by, "request", answer, request)


async def of_groups(ann: Person, bob: Person, eve: Person) -> None:
    """A choir that gains two and loses both."""
    item = (await told(ann, "item", "add", "Song", "--set", "text=la"))["item"]
    choir = (await told(ann, "group", "create", "choir"))["group"]
    await told(ann, "group", "add", choir, bob.address, eve.address, "--role", "writer")
    post = (await told(ann, "group", "post", choir, item))["post"]
    await told(bob, "group", "read", choir, post)
    await told(ann, "group", "withdraw", choir, post)
    await told(ann, "group", "drop", choir, eve.address)
    await told(bob, "group", "leave", choir)


async def of_keys(ann: Person, bob: Person, folder: Path) -> None:
    """A location at suppliers, granted, read, audited, and closed again; and the public part of another key."""
    film = folder / "film"
    film.write_bytes(random.randbytes(300_000))
    key = (await told(ann, "location", "create", "holiday"))["key"]
    await told(ann, "location", "put", key, str(film))
    await told(ann, "location", "grant", key, bob.address, "--wait", "0")
    await told(bob, "tasks", "--retry")
    await told(bob, "location", "get", key, "film", "--out", str(folder / "film.out"))
    await told(ann, "supplier", "list", "--prove", key)
    audit = ("key", "audit", key, bob.address, "--private", "--wait", "0")
    assert (await ran(ann, *audit)).code == 1, "it has no answer yet"
    await told(bob, "tasks", "--retry")
    await told(ann, *audit)
    await told(ann, "key", "rotate", key, "--drop", bob.address)
    await told(ann, "location", "rm", key, "film")
    await told(ann, "location", "rm", key)
    other = (await told(ann, "key", "create", "house"))["key"]
    await told(ann, "key", "send-public", other, bob.address)
    await told(bob, "key", "list")
    await told(bob, "key", "label", other, "Ann's house")
    await told(ann, "key", "rm", other)


async def of_accounts(ann: Person, bob: Person, secret: str, folder: Path) -> None:
    """Invitations that come to nothing, a second device, a new address, new keys, the log, and somebody who goes."""
    cancelled = await told(ann, "invite", f"cancelled-{ann.address}")
    await told(ann, "invitation", "cancel", cancelled["invitation"])
    declined = await told(ann, "invite", f"declined-{ann.address}")
    await told(bob, "decline", declined["link"])
    device = replace(ann, home=folder / "another device")
    assert (await ran(device, "account", "login", ann.address, PRIVITY_SECRET=secret, PRIVITY_PASSPHRASE="x")).code == 1
    await told(device, "account", "login", ann.address, PRIVITY_SECRET=secret)
    await told(ann, "account", "passphrase", PRIVITY_NEW_PASSPHRASE=ann.passphrase)
    await told(ann, "account", "rename", f"new-{ann.address}")
    await told(ann, "account", "rotate")
    await told(ann, "audit", "checkpoint")
    await told(ann, "audit", "export", str(folder / "export.jsonl"))
    for each in await told(bob, "connection", "list"):
        await told(bob, "connection", "rm", each["connection"])
    await told(bob, "account", "close", "--yes")


@pytest.mark.trial
async def test_every_message_of_all_that_people_do_is_valid_under_the_contract(
    suppliers: RunningHome, tmp_path: Path
) -> None:
    async with tapped(suppliers) as tap:
        (ann, bob, eve), secret = await befriended(suppliers, tmp_path, "ann", "bob", "eve")
        await of_items(ann, bob, eve, tmp_path)
        await of_pieces(ann, bob)
        await of_groups(ann, bob, eve)
        await of_keys(ann, bob, tmp_path)
        await of_accounts(ann, bob, secret, tmp_path)
        async with backend_bus(suppliers) as bus:
            await bus.request(past_subject("tap"), b'{"v":1,"after":0}', timeout=10)
            await bus.publish(NONSENSE, b"no frame")
        heard = await tap.all()
    verdict = judged(Contract(DOCUMENT), heard)
    assert {fault.partition(" ")[0] for fault in verdict.faults} == {NONSENSE}
    assert DOCUMENT["components"]["messages"].keys() - verdict.seen.keys() <= UNHEARD
