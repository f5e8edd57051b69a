"""Two hundred ask for one piece: a rule approves all of them with few questions, one is dropped, the others read on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from privity.agent import accounts, connections, invitations, keyring, pieces, profiles, requests, rules
from privity.crypto.kdf import KdfParams, Unlock, hkdf
from privity.crypto.pieces import open_piece, read_piece
from privity.crypto.signing import SigningKey
from privity.encoding import unb64
from privity.errors import DoesNotOpen
from privity.messages.pieces import MAX_WRAPS
from privity.messages.views import MAX_PAGE, AskPieces, PieceRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.rows.watching import Wire

ASKERS = 200
AT_ONCE = 6
"""People who do something at the same time."""
QUERIES = 40
"""That approving all of them may take: pages of requests, connections and keys, and no question for each asker."""


def cheap(_: str, secret: bytes, account: str, __: KdfParams) -> Unlock:
    """Keys from the secret alone: nobody guesses passphrases here."""
    return Unlock(
        wrap=hkdf(secret, 32, b"wrap" + account.encode()),
        login=SigningKey.from_seed(hkdf(secret, 32, b"login" + account.encode())),
    )


async def all_at_once(people: Iterable[Person], act: Callable[[Person], Awaitable[None]]) -> None:
    """Everybody does the same, a few at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(person: Person) -> None:
        async with room:
            await act(person)

    await asyncio.gather(*(one(person) for person in people))


@pytest.mark.soak
async def test_c7_c15_two_hundred_askers_are_answered_by_rule_and_all_but_the_dropped_one_read_on(
    own_backend: RunningHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (accounts, keyring):
        monkeypatch.setattr(module, "derive_unlock", cheap)
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    askers = [somebody(f"asker{n}", tmp_path, own_backend.url) for n in range(ASKERS)]
    links: dict[str, str] = {}
    async with ann.session() as (session, keys):
        first = await pieces.put(session, keys, "phone", "first")
        await rules.add(session, keys, "phone")
        for asker in askers:
            links[asker.address] = (await invitations.invite(session, keys, asker.address)).link

    async def come_and_ask(asker: Person) -> None:
        await asker.register()
        async with asker.session() as (session, keys):
            await invitations.accept(session, keys, links[asker.address])
            await requests.create(session, keys, ann.address, "phone")

    await all_at_once(askers, come_and_ask)
    wire = Wire()
    async with ann.session() as (session, keys):
        await connections.all_own(session, keys)  # which pins and confirms them
        with monkeypatch.context() as patch:
            wire.record(patch)
            for task in await rules.work(session, keys):
                await task.run()
        assert len(wire.answers) < QUERIES
        assert await rules.work(session, keys) == []

    values: dict[str, str | None] = {}

    async def read(asker: Person) -> None:
        async with asker.session() as (session, keys):
            values[asker.address] = (await profiles.piece(session, keys, "phone", ann.address)).value

    await all_at_once(askers, read)
    assert values == dict.fromkeys((asker.address for asker in askers), "first")

    dropped, *rest = askers
    async with ann.session() as (session, keys):
        wire.answers.clear()
        with monkeypatch.context() as patch:
            wire.record(patch)
            left = await pieces.drop(session, keys, "phone", dropped.address)
        assert len(wire.answers) < QUERIES
        second = await pieces.put(session, keys, "phone", "second")
        assert (left.generation, second.generation, second.version) == (2, 2, 3)
        assert {each.generation for each in await pieces.readers(session, keys, "phone")} == {2}
        assert await pieces.work(session, keys) == []
    assert len(rest) > 3 * MAX_WRAPS
    values.clear()
    await all_at_once(askers, read)
    assert values == dict.fromkeys((asker.address for asker in rest), "second") | {dropped.address: None}
    async with ann.session() as (session, keys):
        found = await session.ask(AskPieces(piece_name="phone", limit=MAX_PAGE), PieceRow)
        content = found.blob(found.rows[0].content or "")
    with pytest.raises(DoesNotOpen):
        open_piece(read_piece(unb64(found.rows[0].record or "")), first.key, content)
