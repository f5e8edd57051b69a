"""S13, S19: a home that serves again what was taken back, or an older account to a new device."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from privity.agent import accounts, items, shares
from privity.agent.profile import ProfileFolder
from privity.connection_string import parse_connection_string
from privity.crypto.command import frame, unframe
from privity.crypto.sharing import open_share, read_manifest, unwrap_own
from privity.encoding import digest, unb64
from privity.errors import DoesNotOpen, NotFound, Refusal, RolledBack
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.trials.proxy import BYTES, PARTS, Blobs, Proxy, Row

pytestmark = pytest.mark.trial


def served(proxy: Proxy, view: str) -> tuple[list[Row], Blobs]:
    """The newest answer of a view that had rows."""
    for name, body in reversed(proxy.answered):
        head, *blobs = unframe(body, PARTS, BYTES)
        if name == view and (rows := json.loads(head)["rows"]):
            return rows, {digest(blob): blob for blob in blobs}
    raise AssertionError(f"{view} was not served")


async def test_s13_a_share_that_was_taken_back_and_is_served_again_is_noticed(
    connected: tuple[Person, Person], proxy: Proxy
) -> None:
    ann, bob = connected[0], proxy.person(connected[1])
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X1"})
        share = await shares.create(session, keyring, kept.item, bob.address)
    async with bob.session() as (session, keyring):
        assert (await shares.show(session, keyring, share.share)).content.slots == {"number": "X1"}
        rows, blobs = served(proxy, "shares")
    async with ann.session() as (session, _):
        await shares.remove(session, share.share)

    def again(view: str, answer: bytes) -> bytes:
        head = json.loads(unframe(answer, PARTS, BYTES)[0])
        if view != "shares" or head["status"] != "ok":
            return answer
        return frame(json.dumps(head | {"rows": rows}).encode(), *blobs.values())

    async with bob.session() as (session, keyring):
        assert await shares.all_of(session, keyring, "incoming") == []
        with proxy.bending_answers(again), pytest.raises(RolledBack):
            await shares.show(session, keyring, share.share)
    with proxy.bending_answers(again):
        shown = await asyncio.to_thread(bob.run, "share", "show", share.share)
    assert (shown.code, "RolledBack" in shown.err) == (3, True)


async def test_s13_what_is_written_after_a_share_was_taken_back_does_not_open_under_its_old_key(
    connected: tuple[Person, Person], proxy: Proxy, person: MakePerson
) -> None:
    """Even if the home gives the one who was dropped all that it has, and he kept all that he ever had."""
    ann, bob = connected[0], proxy.person(connected[1])
    carol = proxy.person(await person("carol"))
    await connect(ann, carol)
    async with ann.session() as (session, keyring):
        kept = await items.add(session, keyring, "Passport", {"number": "X1"})
        share = await shares.create(session, keyring, kept.item, bob.address)
    async with bob.session() as (session, keyring):
        await shares.show(session, keyring, share.share)
        await shares.show(session, keyring, share.share)  # claimed by now
        [row], blobs = served(proxy, "shares")
        old = unwrap_own(keyring.kek, blobs[row["wrap"]], read_manifest(unb64(row["manifest"])), "recipient")
    async with ann.session() as (session, keyring):
        await shares.remove(session, share.share)
        await items.edit(session, keyring, kept.item, {"number": "X2"})
        newer = await shares.create(session, keyring, kept.item, carol.address)
    async with carol.session() as (session, keyring):
        opened = await shares.show(session, keyring, newer.share)
        assert opened.content.slots == {"number": "X2"}
    [row], blobs = served(proxy, "shares")
    with pytest.raises(DoesNotOpen):
        open_share(read_manifest(unb64(row["manifest"])), old, blobs[row["content"]])
    async with bob.session() as (session, keyring):
        with pytest.raises(NotFound):  # a fetch by who was dropped, without any lie
            await shares.show(session, keyring, newer.share)


async def test_s19_a_first_login_that_is_shown_an_older_account_enrols_nobody(
    backend: RunningHome, proxy: Proxy, tmp_path: Path
) -> None:
    first = somebody("ann", tmp_path, backend.url)
    written = await first.register()
    string = parse_connection_string(proxy.url)

    async def login(name: str) -> Person:
        device = replace(first, home=tmp_path / name, server=proxy.url)
        folder = ProfileFolder(device.home)
        await accounts.login(folder, string, first.address, written.secret, first.passphrase)
        return device

    await login("second")

    def older(rows: list[Row], _: Blobs) -> None:
        for row in rows:
            del row["chain"][-1]

    with proxy.lying("keyring", older), pytest.raises(Refusal, match="Identity record"):
        await login("third")
    async with (await login("fourth")).session() as (session, _):
        assert (await accounts.show(session)).devices == 3
