"""S17 for sharing keys, grants, audits, locations and suppliers: a bit flipped in a row is noticed, or changes nothing.

One table at a time: `pytest -m soak tests/trials/test_flipped_keys.py -k location_lines`.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import app
from privity.agent import (
    connections,
    grants,
    key_audits,
    location_line,
    locations,
    rotation,
    sharing_keys,
    suppliers,
)
from privity.agent.key_audits import Question
from privity.agent.keyring import Keyring
from privity.agent.location_writing import put, sources_of
from privity.agent.session import Session
from privity.errors import PrivityError
from privity.messages.views import AskKeyAudits, KeyAuditRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.trials.flipping import Look, cells, noticed_and_believed, seen, shown, sound
from tests.trials.test_sharing_key_attacks import SPOKEN as KEYS_SPOKEN

pytestmark = pytest.mark.soak

SPOKEN = KEYS_SPOKEN | {
    ("sharing_keys", "position"): "the order of pages; asked of the log where the creator's key was stolen",
    ("sharing_key_people", "position"): "likewise",
    ("grants", "by"): "hides the grant; what it brought stands, and holders are held against the key's record",
    ("grants", "key"): "likewise",
    ("grants", "to"): "likewise",
    ("grants", "position"): "the order of pages; where a grant is carried on, the log is asked who began it",
    ("grant_steps", "*"): "one's own devices say it over the home; what a step brought is checked by itself",
    ("key_audits", "of"): "hides the question from who is asked, and the answer from who asked",
    ("suppliers", "called"): "the home says what a supplier is called; whom one asks hangs on its key",
}
"""What only the home says, by table and column, and what it is worth: all else must be noticed, or change nothing."""

NOTICED: dict[str, set[str]] = {
    "sharing_keys": {"key", "creator", "record", "signature"},
    "sharing_key_people": {"kind", "wrap", "claimed"},
    "sharing_key_notes": {"note"},
    "sharing_key_records": {"n", "record", "link"},
    "grants": {"grant", "connection"},
    "grant_steps": set(),
    "key_audits": {"answer", "answered", "asker", "audit", "audited", "connection", "generation", "key", "nonce"},
    "locations": {"by", "location", "needed", "suppliers"},
    "location_lines": {"body", "by", "generation", "location", "manifest", "n", "objects", "released"},
    "location_readers": {"account", "location"},
    "suppliers": {"order", "public", "replaced_by", "supplier"},
}
"""The tables, and of each the columns that must be noticed."""


@dataclass(frozen=True, slots=True)
class Told:
    """Two people with keys and a location, and what each can look at."""

    looks: dict[str, Look]
    stack: AsyncExitStack


async def told(home: RunningHome, tmp_path: Path) -> Told:
    """Ann's location, renewed once, in which Bob writes too; and keys that he has not taken, or the public part of.

    One of four suppliers took another's place. Each has an answer to an audit, and another one waits.
    """
    ann, bob = somebody("ann", tmp_path, home.url), somebody("bob", tmp_path, home.url)
    await ann.register()
    await bob.register()
    await connect(ann, bob)
    file = tmp_path / "a.txt"
    file.write_bytes(b"a file")
    async with ann.session() as (session, hers):
        photos = (await locations.create(session, hers, "photos", slots=3, needed=2)).id
        await put(session, hers, photos, sources_of([file]))
        await grants.create(session, hers, photos, bob.address, wait=0)
    file.write_bytes(b"his file")
    async with bob.session() as (session, his):
        await sharing_keys.show(session, his, photos)
        await put(session, his, photos, sources_of([file]))
    await asyncio.to_thread(_replace, home)
    async with ann.session() as (session, hers):
        await rotation.rotate(session, hers, photos)
        plans = (await sharing_keys.create(session, hers, "plans")).id
        await grants.create(session, hers, plans, bob.address, wait=0)
        drop = (await sharing_keys.create(session, hers, "drop")).id
        await sharing_keys.send_public(session, hers, drop, bob.address)
    async with bob.session() as (session, his):
        await sharing_keys.show(session, his, photos)
    asked = await _audited(ann, bob, photos)
    stack, sessions = AsyncExitStack(), dict[str, tuple[Session, Keyring]]()
    for who in (ann, bob):
        sessions[who.address] = await stack.enter_async_context(who.session())

    def by(who: Person, act: Callable[[Session, Keyring], Awaitable[Any]]) -> Look:
        return lambda: act(*sessions[who.address])

    looks: dict[str, Look] = {}
    for called, who, other in (("her", ann, bob), ("his", bob, ann)):
        looks |= {
            f"{called} keys": by(who, lambda s, k: sound(sharing_keys.all_known(s, k))),
            f"{called} parts": by(who, lambda s, k: parts_of(s, k, photos)),
            f"{called} locations": by(who, lambda s, k: sound(locations.all_known(s, k))),
            f"{called} files": by(who, lambda s, k: files_of(s, k, photos)),
            f"{called} file": by(who, lambda s, k: file_of(s, k, photos, tmp_path)),
            f"{called} suppliers": by(who, lambda s, _: suppliers.seen(s)),
            f"{called} answer": by(
                who, partial(answer_of, audit=asked[who.address], key=photos, address=other.address)
            ),
            f"{called} questions": by(who, questions_of),
        }
    looks |= {
        "her grants": by(ann, lambda s, k: sound(grants.all_of(s, k))),
        "her holders": by(ann, lambda s, k: holders_of(s, k, photos)),
    }
    return Told(looks, stack)


def _replace(home: RunningHome) -> None:
    settings = app.running(home.data)
    asyncio.run(app.repair(settings, lambda _: None, deep=False, replaced=("supplier-3", "supplier-4")))


async def _audited(ann: Person, bob: Person, key: str) -> dict[str, str]:
    """Each asked the other for the private part, which was answered and nobody was told; the public part was not yet.

    The answered ones, by who asked.
    """
    asked: dict[str, str] = {}
    for who, other in ((ann, bob), (bob, ann)):
        async with who.session() as (session, keyring):
            made = await key_audits.audit(session, keyring, key, other.address, "private", wait=0)
            asked[who.address] = made.audit
    for who in (ann, bob):
        async with who.session() as (session, keyring):
            for task in await key_audits.work(session, keyring):
                await task.run()
    for who, other in ((ann, bob), (bob, ann)):
        async with who.session() as (session, keyring):
            await key_audits.audit(session, keyring, key, other.address, "public", wait=0)
    return asked


async def parts_of(session: Session, keyring: Keyring, key: str) -> dict[int, bytes]:
    """The private parts of all generations."""
    found = await sharing_keys.all_parts(session, keyring, await sharing_keys.show(session, keyring, key))
    return {generation: part.to_bytes() for generation, part in found.items()}


async def files_of(session: Session, keyring: Keyring, location: str) -> list[Any]:
    """What stands in a location, as it is listed, and who wrote it."""
    location_line.forget(session, location)
    held = await locations.opened(session, keyring, location)
    return [(name, shown(each), held.author(each.by)) for name, each in locations.listing(held)]


_numbers = itertools.count()


async def file_of(session: Session, keyring: Keyring, location: str, folder: Path) -> bytes:
    """A file of it, fetched from its suppliers."""
    location_line.forget(session, location)
    out = folder / f"out-{next(_numbers)}"
    await locations.get(session, keyring, location, "a.txt", out)
    return out.read_bytes()


async def holders_of(session: Session, keyring: Keyring, key: str) -> list[str]:
    """Who holds a key of one's own."""
    own = await grants.own_key(session, keyring, key)
    return sorted(await grants.holders_of(session, keyring, own))


async def answer_of(session: Session, keyring: Keyring, audit: str, key: str, address: str) -> Any:
    """What the answer to one's question proves; looked for as by `prove`, which tells it only once."""
    found = await session.ask(AskKeyAudits(id=audit, direction="outgoing", limit=2), KeyAuditRow)
    row = found.one("audit", audit)
    if row.verdict is None:
        return None
    connection = await connections.with_person(session, keyring, address)
    question = Question(connection, "private", await sharing_keys.show(session, keyring, key))
    return await key_audits._checked(session, keyring, question, row, found)


async def questions_of(session: Session, keyring: Keyring) -> list[Any]:
    """What one would answer to those who wait: it is not sent, else nobody would wait any more."""
    said: list[Any] = []

    async def kept(_: Session, command: Any, *blobs: bytes) -> None:
        said.append((command.audit, command.asker, command.verdict, command.held))

    with patch.object(Session, "send", kept):
        for task in await key_audits.work(session, keyring):
            await task.run()
    return said


@pytest.mark.parametrize("table", NOTICED)
async def test_s17_a_flipped_bit_in_a_row_of_keys_is_refused_or_changes_nothing(table: str, tmp_path: Path) -> None:
    with RunningHome(tmp_path / "home", suppliers=4) as home:
        kept = await told(home, tmp_path)
        await seen(kept.looks)  # what was granted is taken at the first look
        before = await seen(kept.looks)
        assert not [each for each in before.values() if isinstance(each, PrivityError)], before
        views = home.data / "views.db"
        rows = [cell for cell in cells(views) if cell[0] == table]
        assert rows
        noticed, believed = await noticed_and_believed(views, rows, kept.looks, before, SPOKEN)
        assert not believed, "; ".join(f"{'.'.join(place)}: {text}" for place, text in believed.items())
        assert {column for _, column in noticed} >= NOTICED[table]
        assert await seen(kept.looks) == before
        await kept.stack.aclose()
