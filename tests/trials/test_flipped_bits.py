"""S17: a bit flipped in anything that the home keeps: no agent shows another thing than was signed and sealed."""

import asyncio
import itertools
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from privity.agent import (
    accounts,
    connections,
    delegated,
    delegated_shares,
    delegations,
    feed,
    instructions,
    invitations,
    items,
    pieces,
    profiles,
    requests,
    rules,
    shares,
    vaults,
)
from privity.agent.bus import Bus
from privity.agent.files import Plain
from privity.agent.keyring import Keyring, check_identity, unwrap_identity, unwrap_kek
from privity.agent.keys import stored_connection_key
from privity.agent.log import check_receipt
from privity.agent.profile import ProfileFolder, Waiting, secret_of
from privity.agent.session import Session
from privity.crypto import labels
from privity.crypto.kdf import KdfParams, derive_unlock
from privity.errors import ForgedRecord, NotInLog, PrivityError, Refusal
from privity.messages.fields import SignedRecord
from privity.messages.views import AccountRow, AskInstructions, InstructionRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from projections.tables import metadata
from tests.trials import test_flipped_keys
from tests.trials.flipping import SKIPPED, cells, noticed_and_believed, seen, sound, with_a_flip
from tests.trials.load import add_item, signer_of
from tests.trials.test_hostile_input import line_of
from tests.trials.test_oracles import answer_to

SPOKEN = {
    ("accounts", "address"): "whose address it is, nobody checks; one's own is known, another's is pinned",
    ("items", "owner"): "hides it from delegates, who cannot know that it still stands; its owner notices",
    ("shares", "owner"): "likewise; its two ends notice",
    ("shares", "recipient"): "likewise",
    ("feed", "*"): "the feed is the home's own words",
    ("identity_records", "account"): "cuts a chain back, which is S11, and S19 at a first login",
    ("invitations", "status"): "whether it is open, the home decides",
    ("invitations", "email"): "whom the home mailed, as the home says",
    ("invitations", "expires"): "shown beside the signed record, which counts",
    ("invitations", "inviter_address"): "shown before the offer is asked for, whose record counts",
    ("invitations", "inviter"): "likewise",
    ("invitations", "connection"): "likewise; the connection itself is checked",
    ("invitations", "acceptor"): "likewise",
    ("invitations", "invitation"): "likewise",
    ("invitations", "position"): "the order of pages",
    ("shares", "created"): "the home's clock",
    ("shares", "position"): "the order of pages",
    ("files", "position"): "the order of pages",
    ("connections", "peer_address"): "pinned; shown where the row is broken",
    ("connections", "account"): "hides the connection, which is S12",
    ("connections", "key"): "the id of one's own keypair: nothing opens with another one, whose public part is pinned",
    ("connections", "peer_key"): "the id of theirs: the home and the other's agent refuse a share that names another",
    ("pieces", "owner"): "hides one that was not granted from who might ask for it; its owner notices",
    ("pieces", "generation"): "readers are told that a new key is still to come; the owner notices",
    ("pieces", "position"): "the order of pages",
    ("piece_readers", "generation"): "likewise as for pieces",
    ("piece_readers", "owner"): "hides a reader from the owner, who then gives them no new key",
    ("piece_readers", "piece"): "likewise; the reader notices",
    ("piece_readers", "reader"): "likewise; the reader notices",
    ("piece_readers", "ended"): "likewise; the reader notices",
    ("piece_readers", "released"): "likewise; the reader notices",
    ("piece_readers", "position"): "the order of pages",
    ("piece_requests", "owner"): "hides the request from the owner",
    ("piece_requests", "asker"): "hides the request from the asker; what it brought stands",
    ("piece_requests", "request"): "likewise",
    ("piece_requests", "piece_name"): "likewise",
    ("accounts", "account"): "hides what is shown with its address; one's own account is noticed",
    ("piece_requests", "connection"): "likewise, and is noticed where the request is shown",
    ("piece_requests", "position"): "the order of pages",
    ("instructions", "by"): "hides it from the delegate, to whom no home must show it",
    ("instructions", "principal"): "hides it: it is done when it is shown, or never",
    ("instructions", "delegation"): "hides it from the delegate; the principal notices",
    ("instructions", "answered"): "whether it waits still, the home says; that it was done, it proves",
    ("instructions", "position"): "the order of pages",
    ("invitations", "note"): "the digest of a note of one's own, which is bound where it is read",
    ("invitations", "record"): "checked, with MAC and chain, by who accepts",
}
"""What only the home says, by table and column, and what it is worth: all else must be noticed, or change nothing."""

NOTICED: dict[tuple[str, ...], dict[str, set[str]]] = {
    ("accounts", "addresses", "identity_records", "keys"): {
        "identity_records": {"record", "signatures"},
        "keys": {"public", "private"},
    },
    ("invitations", "connections", "partings"): {"connections": {"offer", "acceptance", "note", "peer_public"}},
    ("items", "files"): {"items": {"content", "wrap", "version"}},
    ("shares", "lines"): {
        "shares": {"manifest", "owner", "recipient", "signature", "claim", "owner_wrap", "content"},
    },
    ("pieces", "piece_readers", "piece_requests", "piece_rules"): {
        "pieces": {"content", "owner_wrap", "record", "signature", "version"},
        "piece_readers": {"grant", "stored"},
        "piece_requests": {"challenge", "signature"},
        "piece_rules": {"rules"},
    },
    ("delegation_steps", "delegates", "vault_wraps", "vault_befores", "spaces", "space_members"): {},
    ("instructions",): {"instructions": {"answered", "code", "content", "n", "record", "share", "signature"}},
    ("feed", "feed_heads"): {},
}
"""The tables that are turned together, and of each the columns that must be noticed."""

NOT_SHOWN = {"groups", "group_members", "group_epochs", "group_lines"}
"""Turned in `test_group_attacks`."""

TRIES = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """Two people and what they can look at."""

    ann: Person
    bob: Person
    looks: dict[str, Callable[[], Awaitable[Any]]]
    stack: AsyncExitStack
    sessions: dict[str, tuple[Session, Keyring]]
    lines: list[Bus]

    async def open(self) -> None:
        """Sessions of both, which all looks share."""
        await self.stack.aclose()
        self.sessions.clear()
        for who in (self.ann, self.bob):
            self.sessions[who.address] = await self.stack.enter_async_context(who.session())
        self.lines[:] = [await self.stack.enter_async_context(await line_of(*signer_of(self.ann)))]


async def told(home: RunningHome, tmp_path: Path) -> Kept:
    """Ann shared an item with Bob, who claimed it; another invitation of hers is open."""
    ann, bob = somebody("ann", tmp_path, home.url), somebody("bob", tmp_path, home.url)
    await ann.register()
    await bob.register()
    await connect(ann, bob)
    async with ann.session() as (session, hers):
        attached = [Plain("scan.txt", "text/plain", b"a scan")]
        item = await items.add(session, hers, "Passport", {"number": "X123"}, attached)
        made = await shares.create(session, hers, item.item, bob.address)
        open_ = await invitations.invite(session, hers, "carol@localhost")
        await delegations.invite(session, hers, bob.address, "admin")
        key = (await connections.show(session, hers, made.connection)).key
    async with bob.session() as (session, his):
        await shares.show(session, his, made.share)
        await connections.all_own(session, his)
        await items_of(session, his, ann.address)
    await _instructed(ann, bob, made.share)
    await _asked(ann, bob)

    sessions: dict[str, tuple[Session, Keyring]] = {}
    lines: list[Bus] = []
    home_id = signer_of(ann)[1].home
    profile = ProfileFolder(ann.home).load()
    unlocked = derive_unlock(ann.passphrase, secret_of(profile), profile.account, KdfParams())

    async def keyring_served() -> Any:
        """What a first login would take: KEK and identity."""
        answer, sealed = await answer_to(lines[0], profile.account, unlocked.login, "login", "login", home_id)
        if answer.status == "refused":
            raise Refusal(answer.code or "")
        row = json.loads(json.dumps(answer.rows[0]))
        chain = accounts.verified(AccountRow(**row | {"chain": _records(row["chain"])}).chain, profile.account)
        kek = unwrap_kek(unlocked.wrap, _named(sealed, row["kek"]), labels.PURPOSE_KEK, profile.account)
        keys = unwrap_identity(kek, _named(sealed, row["identity"]), profile.account)
        check_identity(keys, chain)
        _named(sealed, row["kek_recovery"])
        return kek, chain

    def by(who: Person, act: Callable[[Session, Any], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        return lambda: act(*sessions[who.address])

    async with ann.session() as (session, _):
        last = (await feed.past(session))[-1].position
    looks: dict[str, Callable[[], Awaitable[Any]]] = {
        "her account": by(ann, lambda s, _: accounts.show(s)),
        "her items": by(ann, lambda s, k: items.all_own(s, k)),
        "her key": by(ann, lambda s, k: stored_connection_key(s, k, key)),
        "her connections": by(ann, lambda s, k: sound(connections.all_own(s, k))),
        "her shares": by(ann, lambda s, k: sound(shares.all_of(s, k))),
        "her invitations": by(ann, lambda s, _: invitations.find(s, open_.invitation)),
        "her feed": by(ann, lambda s, _: beginning(feed.past(s), last)),
        "her keyring": keyring_served,
        "his connections": by(bob, lambda s, k: sound(connections.all_own(s, k))),
        "his shares": by(bob, lambda s, k: sound(shares.all_of(s, k))),
        "his item": by(bob, lambda s, k: shares.show(s, k, made.share)),
        "her pieces": by(ann, lambda s, k: sound(pieces.all_own(s, k))),
        "her readers": by(ann, lambda s, k: readers_of(s, k, "phone")),
        "her rules": by(ann, lambda s, k: rules.all_own(s, k)),
        "her requests": by(ann, lambda s, k: sound(requests.all_of(s, k))),
        "his requests": by(bob, lambda s, k: sound(requests.all_of(s, k))),
        "her profile, by him": by(bob, lambda s, k: sound(profiles.show(s, k, ann.address))),
        "her delegates": by(ann, delegates_of),
        "her items, by him": by(bob, lambda s, k: items_of(s, k, ann.address)),
        "her shares, by him": by(bob, lambda s, k: shares_of(s, k, ann.address)),
        "what he wants": by(ann, wanted_of),
        "her file": by(ann, lambda s, k: items.read_file(s, k, item, "scan.txt")),
        "his file": by(bob, lambda s, k: file_of_share(s, k, made.share)),
    }
    kept = Kept(ann, bob, looks, AsyncExitStack(), sessions, lines)
    await kept.open()
    return kept


async def _instructed(ann: Person, bob: Person, share: str) -> None:
    """Bob, her delegate, wanted something that could not be done; and wants something else."""
    async with bob.session() as (session, his), ann.session() as (hers, anns):
        vault = await delegations.as_principal(session, his, ann.address)
        [item] = await delegated.items_of(session, his, vault)
        await delegated_shares.create(session, his, vault, item.item, "nobody@localhost")
        await instructions.carry_out(hers, anns)
        await delegated_shares.remove(session, his, vault, share)


async def shares_of(session: Session, keyring: Keyring, principal: str) -> list[Any]:
    """The shares of somebody whose delegate one is, and the items that they are of."""
    vault = await delegations.as_principal(session, keyring, principal)
    await delegated.items_of(session, keyring, vault)
    return await sound(delegated_shares.all_of(session, keyring, vault))


async def wanted_of(session: Session, keyring: Keyring) -> list[Any]:
    """What one's delegates want, as it would be done."""
    found = await session.ask_all(AskInstructions(open=True), InstructionRow)
    vault = await vaults.find(session, keyring, session.account)
    read = [await instructions.read(session, keyring, vault, row, found) for row in found.rows]
    return [each.wanted for each in read]


async def _asked(ann: Person, bob: Person) -> None:
    """Bob has read Ann's phone, and asks for her mail; a rule of hers says nothing about it."""
    async with ann.session() as (session, hers):
        for name in ("phone", "mail"):
            await pieces.put(session, hers, name, f"her {name}")
        await rules.add(session, hers, "phone")
    for name in ("phone", "mail"):
        async with bob.session() as (session, his):
            made = await requests.create(session, his, ann.address, name)
        if name == "phone":
            async with ann.session() as (session, hers):
                await requests.approve(session, hers, made.request)
    async with bob.session() as (session, his):
        await profiles.show(session, his, ann.address)


def _records(chain: list[Any]) -> tuple[Any, ...]:
    return tuple(SignedRecord(each["record"], tuple(each["signatures"])) for each in chain)


def _named(sealed: dict[str, bytes], name: str) -> bytes:
    if name not in sealed:
        raise Refusal("left out")
    return sealed[name]


async def beginning(found: Awaitable[list[Any]], last: int) -> list[Any]:
    """The lines up to a position: what is read while the trial runs leaves lines of its own."""
    return [each for each in await found if each.position <= last]


async def delegates_of(session: Session, keyring: Keyring) -> list[Any]:
    """One's delegates, if none is broken."""
    found = await delegations.all_of(session, keyring)
    for each in found:
        if each.alarm is not None:
            raise each.alarm
    return list(found)


async def readers_of(session: Session, keyring: Keyring, name: str) -> list[Any]:
    """The readers of a piece, if the connection with each of them holds."""
    found = await pieces.readers(session, keyring, name)
    if any(each.connection is None for each in found):
        raise Refusal("a connection does not hold")
    return list(found)


async def items_of(session: Session, keyring: Keyring, principal: str) -> list[Any]:
    """The items of somebody whose delegate one is."""
    return await delegated.items_of(session, keyring, await delegations.as_principal(session, keyring, principal))


async def file_of_share(session: Session, keyring: Keyring, share: str) -> Plain:
    """The only file of a share."""
    return await shares.read_file(session, keyring, await shares.show(session, keyring, share), "scan.txt")


@pytest.mark.soak
@pytest.mark.parametrize("tables", NOTICED, ids="-".join)
async def test_s17_a_flipped_bit_in_a_view_is_refused_or_changes_nothing(
    tables: tuple[str, ...], own_backend: RunningHome, tmp_path: Path
) -> None:
    """One or a few tables alone: `pytest -m soak tests/trials/test_flipped_bits.py -k shares`."""
    kept = await told(own_backend, tmp_path)
    before = await seen(kept.looks)
    assert not [each for each in before.values() if isinstance(each, PrivityError)], before
    views = own_backend.data / "views.db"
    turned = [cell for cell in cells(views) if cell[0] in tables]
    noticed, believed = await noticed_and_believed(views, turned, kept.looks, before, SPOKEN)
    assert not believed, ", ".join(f"{'.'.join(place)}: {text[:120]}" for place, text in believed.items())
    assert noticed >= {(table, column) for table, columns in NOTICED[tables].items() for column in columns}
    assert await seen(kept.looks) == before
    await kept.stack.aclose()


def test_s17_every_view_has_its_turn() -> None:
    everywhere = [*itertools.chain.from_iterable(NOTICED), *test_flipped_keys.NOTICED]
    assert sorted(everywhere) == sorted({each.name for each in metadata.sorted_tables} - SKIPPED - NOT_SHOWN)


@pytest.mark.trial
@pytest.mark.soak
async def test_s17_a_flipped_bit_in_any_sealed_object_is_refused(own_backend: RunningHome, tmp_path: Path) -> None:
    """Running, and started again."""
    kept = await told(own_backend, tmp_path)
    before = await seen(kept.looks)
    store = own_backend.data / "store.db"
    rows = [row for table, column, row in cells(store) if (table, column) == ("sealed", "data")]
    quiet = []
    for row in rows:
        with with_a_flip(store, "sealed", "data", row) as turned:
            assert turned
            after = await seen(kept.looks)
        alarms = [name for name, now in after.items() if isinstance(now, PrivityError)]
        assert {name: now for name, now in after.items() if name not in alarms} == {
            name: now for name, now in before.items() if name not in alarms
        }
        if not alarms:
            quiet.append(row)
    # What nobody reads any more or yet: Bob's keys and keyring, notes that were replaced, the wrap that was claimed.
    assert len(quiet) < len(rows) - 8
    assert await seen(kept.looks) == before

    (held,) = rows_of(store, own_backend, "items", "content")
    assert await asyncio.to_thread(own_backend.stop) == 0
    with with_a_flip(store, "sealed", "data", held):
        await asyncio.to_thread(own_backend.start)
        await kept.open()
        assert isinstance((await seen(kept.looks))["her items"], PrivityError)
        assert await asyncio.to_thread(own_backend.stop) == 0
    await asyncio.to_thread(own_backend.start)
    await kept.open()
    assert await seen(kept.looks) == before
    await kept.stack.aclose()


def rows_of(store: Path, home: RunningHome, table: str, column: str) -> list[int]:
    """The rows of the sealed objects that a view's column names."""
    views = sqlite3.connect(home.data / "views.db", timeout=10)
    digests = [digest for (digest,) in views.execute(f'SELECT "{column}" FROM "{table}"')]
    views.close()
    db = sqlite3.connect(store, timeout=10)
    found = [db.execute("SELECT rowid FROM sealed WHERE digest = ?", [each]).fetchone()[0] for each in digests]
    db.close()
    return found


@pytest.mark.trial
async def test_s17_a_flipped_bit_in_the_event_log_is_not_in_the_log(own_backend: RunningHome, tmp_path: Path) -> None:
    """An event, and every hash over it: the receipt that comes with the recorded result does not hold any more."""
    ann = somebody("ann", tmp_path, own_backend.url)
    await ann.register()
    signer, server = signer_of(ann)
    commands = [add_item(signer) for _ in range(3)]
    store = own_backend.data / "store.db"
    async with await line_of(signer, server) as bus:

        async def recorded(command: Waiting) -> str | None:
            """The event in the result, sent once more; None where its receipt does not hold."""
            result = await bus.send(command.subject, command.id, command.data)
            assert result.status == "accepted"
            try:
                check_receipt(result, server)
            except (NotInLog, ForgedRecord):
                return None
            return result.events[0].data

        async def turns(command: Waiting, expected: str | None) -> bool:
            """Whether the result becomes this one: that of an earlier time may still be under way."""
            return any([await recorded(command) == expected for _ in range(TRIES)])

        honest = [await recorded(each) for each in commands]
        assert None not in honest
        events = [row for table, column, row in cells(store) if (table, column) == ("stored_events", "state")]
        for column in ("state", "topic"):
            with with_a_flip(store, "stored_events", column, max(events)) as turned:
                assert turned
                assert await turns(commands[-1], None)
                assert await turns(commands[0], honest[0])
            assert await turns(commands[-1], honest[-1])
        hashes = [cell for cell in cells(store) if cell[:2] == ("log_tiles", "hashes")]
        assert hashes
        for cell in hashes:
            with with_a_flip(store, *cell) as turned:
                assert turned
                assert any([await turns(command, None) for command in commands]), cell
        for command, data in zip(commands, honest, strict=True):
            assert await turns(command, data)
