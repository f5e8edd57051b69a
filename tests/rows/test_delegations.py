"""Row M34: delegates read or write in the owner's name, as their role says, by a key of their own and never the KEK."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from privity.agent import connections, delegated, delegations, feed, items, vaults, versions
from privity.agent.files import Plain
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.crypto.items import seal_item
from privity.crypto.keyring import new_dek
from privity.encoding import digest, new_id
from privity.errors import (
    DelegationExpired,
    NotConnected,
    NotDelegated,
    NotFound,
    Unverified,
)
from privity.messages.base import Command
from privity.messages.delegations import RemoveDelegation, Role
from privity.messages.envelope import Result
from privity.messages.items import AddItem
from privity.messages.views import AskDelegations, AskItems, AskVaults, DelegationRow, ItemRow, VaultRow
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.test_invitations import LINK, accepted, invited
from tests.rows.test_items import add
from tests.rows.watching import Wire, canary, files_of, found_in, mail_about, ran


async def invite(principal: Person, delegate: Person, role: Role, expires: datetime | None = None) -> str:
    """Make somebody a delegate; the delegation's id."""
    async with principal.session() as (session, keyring):
        return (await delegations.invite(session, keyring, delegate.address, role, expires=expires)).delegation


async def opened(session: Session, keyring: Keyring, principal: Person) -> vaults.Vault:
    """The vault of somebody whose delegate one is."""
    return await delegations.as_principal(session, keyring, principal.address)


async def slots_of(person: Person, principal: Person, item: str) -> dict[str, str]:
    """What somebody reads of an item in the principal's name."""
    async with person.session() as (session, keyring):
        vault = await opened(session, keyring, principal)
        return (await delegated.item_of(session, keyring, vault, item)).content.slots


async def test_m34_a_reader_reads_by_the_command_line_and_writes_nothing(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    item = await add(ann, "Passport", number="X123")
    made = (await ran(ann, "delegate", "invite", bob.address, "--role", "reader", "--json")).json
    expected = {"principal": ann.address, "delegate": bob.address, "role": "reader", "status": "active"}
    assert {name: made[name] for name in expected} == expected
    later = await add(ann, "Phone", number="1")

    row = {"item": item, "label": "Passport", "own": False, "owner": ann.address, "version": 2, "by": None}
    listed = (await ran(bob, "item", "list", "--as", ann.address, "--json")).json
    assert listed == [row, {**row, "item": later, "label": "Phone", "version": 1}]
    shown = (await ran(bob, "item", "show", item[:8], "--as", ann.address, "--json")).json
    assert shown == {**row, "slots": {"number": "X123"}}
    assert bob.json("item", "list") == [], "they are none of his own"

    for words in (("add", "More"), ("edit", item, "--set", "number=1"), ("rm", item)):
        refused = await ran(bob, "item", *words, "--as", ann.address)
        assert (refused.code, refused.err.split(":")[1]) == (1, " RoleNotEnough")
    eve = await person("eve")
    refused = await ran(eve, "item", "list", "--as", ann.address)
    assert (refused.code, refused.err.split(":")[1]) == (1, " NotDelegated")
    assert (await ran(bob, "item", "list", "--own", "--as", ann.address)).code == 2
    assert (await ran(ann, "item", "show", item, "--json")).json["slots"] == {"number": "X123"}
    for who in (ann, bob):
        [each] = (await ran(who, "delegate", "list", "--json")).json
        assert each == made


async def test_m34_an_admin_writes_and_the_principal_sees_what_and_by_whom(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    scan = Plain("scan.txt", "text/plain", b"a scan")
    async with ann.session() as (session, keyring):
        item = (await items.add(session, keyring, "Passport", {"number": "X123"}, [scan])).item
    gone = await add(ann, "Old")
    await invite(ann, bob, "admin")
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        edited = await delegated.edit_item(session, keyring, vault, item, {"number": "Y456"})
        assert await delegated.read_file(session, keyring, vault, edited, "scan.txt") == scan
        added = await delegated.add_item(session, keyring, vault, "From Bob", {"a": "b"})
        await delegated.remove_item(session, keyring, vault, gone)
        with pytest.raises(NotFound):
            await delegated.item_of(session, keyring, vault, gone)
        assert [each.item for each in await items.all_own(session, keyring)] == []
        bobs = session.account
    assert edited.version == 3

    shown = (await ran(ann, "item", "show", item, "--json")).json
    assert (shown["slots"], shown["version"], shown["by"], shown["own"]) == ({"number": "Y456"}, 3, bob.address, True)
    async with ann.session() as (session, keyring):
        assert {each.item: each.by for each in await items.all_own(session, keyring)} == {
            item: bob.address,
            added.item: bob.address,
        }
        did = [(line.event, line.refs.get("item")) for line in await feed.past(session) if line.actor == bobs]
        again = await items.edit(session, keyring, item, {"number": "Z789"})
        assert await items.read_file(session, keyring, again, "scan.txt") == scan
        await items.remove(session, added.item)
        assert [(each.item, each.by) for each in await items.all_own(session, keyring)] == [(item, None)]
    assert ("item-kept", item) in did
    assert ("item-kept", added.item) in did
    assert ("item-dropped", gone) in did
    assert again.version == 4
    assert await slots_of(bob, ann, item) == {"number": "Z789"}


async def test_m34_an_owner_invites_but_no_owner_and_removes_nobody(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    carol = await person("carol")
    item = await add(ann, "Passport", number="X123")
    await invite(ann, bob, "owner")
    with pytest.raises(NotConnected, match="privity invite"):
        await invite(bob, carol, "reader")
    await connect(bob, carol)
    refused = await ran(bob, "delegate", "invite", carol.address, "--role", "owner", "--as", ann.address)
    assert (refused.code, refused.err.split(":")[1]) == (1, " RoleNotEnough")
    made = await ran(bob, "delegate", "invite", carol.address, "--role", "admin", "--as", ann.address, "--json")
    assert (made.json["principal"], made.json["delegate"]) == (ann.address, carol.address)

    async with carol.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        await delegated.edit_item(session, keyring, vault, item, {"number": "by Carol"})
    async with ann.session() as (session, keyring):
        assert (await items.show(session, keyring, item)).by == carol.address
    assert (await ran(bob, "delegate", "rm", carol.address, "--as", ann.address)).code == 2, "he removes nobody"
    [bobs, carols] = (await ran(ann, "delegate", "list", "--json")).json
    assert [(each["delegate"], each["by"]) for each in (bobs, carols)] == [
        (bob.address, ann.address),
        (carol.address, bob.address),
    ]
    async with ann.session() as (session, keyring):
        await delegations.remove(session, keyring, carol.address)
        kept = await items.show(session, keyring, item)
        assert (kept.content.slots, kept.by) == ({"number": "by Carol"}, None), "what she wrote stands, by Ann"
        vault = await vaults.find(session, keyring, session.account)
        assert set(vault.keys) == {1, 2}
        await items.edit(session, keyring, item, {"number": "new"})
    assert await slots_of(bob, ann, item) == {"number": "new"}
    async with carol.session() as (session, keyring):
        with pytest.raises(NotDelegated):
            await opened(session, keyring, ann)


async def test_m34_a_removed_delegate_is_refused_and_opens_nothing_new_and_the_others_go_on(
    connected: tuple[Person, Person], person: MakePerson
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    old, item = await add(ann, "Old", number="0"), await add(ann, "Passport", number="X123")
    await invite(ann, carol, "reader")
    await invite(ann, bob, "admin")
    async with bob.session() as (session, keyring):
        his = await opened(session, keyring, ann)
        await delegated.edit_item(session, keyring, his, item, {"number": "by Bob"})

        async with ann.session() as (hers, her_keyring):
            await delegations.remove(hers, her_keyring, bob.address)
            kept = await items.show(hers, her_keyring, item)
            assert (kept.content.slots, kept.by, kept.version) == ({"number": "by Bob"}, None, 4), "signed anew by her"
            later = await items.add(hers, her_keyring, "Later", {})
            found = await hers.ask_all(AskItems(), ItemRow)
            vault = await vaults.find(hers, her_keyring, hers.account)
        assert set(his.keys) == {1}
        assert set(vault.keys) == {1, 2}
        assert vault.key not in his.keys.values()
        rows = {row.item: row for row in found.rows}
        for id in (item, later.item):
            assert (await versions.check_author(hers, vault, rows[id])).generation == 2

        for act in (
            lambda: opened(session, keyring, ann),
            lambda: delegated.items_of(session, keyring, his),
            lambda: delegated.add_item(session, keyring, his, "More", {}),
            lambda: delegated.remove_item(session, keyring, his, old),
            lambda: session.ask(AskDelegations(principal=his.principal), DelegationRow),
        ):
            with pytest.raises(NotDelegated):
                await act()
        assert (await session.ask(AskVaults(), VaultRow, fresh=True)).rows == ()

    for each, number in ((old, "0"), (item, "by Bob")):
        assert await slots_of(carol, ann, each) == {"number": number}
    await invite(ann, bob, "reader")
    assert await slots_of(bob, ann, old) == {"number": "0"}, "who comes back reads again"


@pytest.mark.trial
async def test_m34_an_item_of_an_admins_that_does_not_open_hides_no_other_and_can_be_removed(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    item = await add(ann, "Passport", number="X123")
    await invite(ann, bob, "admin")
    poison = [new_id(), new_id()]
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        for each in poison:
            command, sealed = await versions.keeping(session, keyring, vault, each, 1, b"no item")
            await session.send(command, *sealed)
    for who, words in ((ann, ()), (bob, ("--as", ann.address))):
        listed = await ran(who, "item", "list", *words, "--json")
        assert listed.code != 0
        labels = {row["item"]: row["label"] for row in listed.json}
        assert labels == {item: "Passport"} | dict.fromkeys(poison, "broken: Malformed")
    async with ann.session() as (session, keyring):
        await delegations.remove(session, keyring, bob.address)
        vault = await vaults.find(session, keyring, session.account)
        rows = {row.item: row for row in (await session.ask_all(AskItems(), ItemRow)).rows}
        assert (await versions.check_author(session, vault, rows[poison[0]])).by != session.account
    for each in poison:
        assert (await ran(ann, "item", "rm", each)).code == 0
    assert [row["item"] for row in (await ran(ann, "item", "list", "--json")).json] == [item]


@pytest.mark.trial
async def test_m34_what_an_admin_does_while_being_removed_counts(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the checkpoint that the removal names, and before the removal."""
    ann, bob = connected
    item, gone = await add(ann, "Passport", number="X123"), await add(ann, "Old")
    await invite(ann, bob, "admin")
    async with bob.session() as (his, his_keyring), ann.session() as (session, keyring):
        vault = await opened(his, his_keyring, ann)
        honest = session.send

        async def late(command: Command, *sealed: bytes) -> Result:
            if isinstance(command, RemoveDelegation):
                await delegated.edit_item(his, his_keyring, vault, item, {"number": "late"})
                await delegated.remove_item(his, his_keyring, vault, gone)
            return await honest(command, *sealed)

        with monkeypatch.context() as patch:
            patch.setattr(session, "send", late)
            await delegations.remove(session, keyring, bob.address)
        [kept] = await items.all_own(session, keyring)
        assert (kept.item, kept.content.slots, kept.by) == (item, {"number": "late"}, None)


@pytest.mark.trial
async def test_m34_after_new_keys_of_the_principals_a_delegate_reads_on(connected: tuple[Person, Person]) -> None:
    """What the stolen key signed before is proven to be older: the evidence is a delegate's to see."""
    ann, bob = connected
    item = await add(ann, "Passport", number="X123")
    await invite(ann, bob, "admin")
    assert await slots_of(bob, ann, item) == {"number": "X123"}
    assert (await ran(ann, "account", "rotate", "--compromised")).code == 0
    assert (await ran(bob, "connection", "list")).code == 0
    async with bob.session() as (session, keyring):
        connection = await connections.with_person(session, keyring, ann.address)
        await connections.verify(session, keyring, connection.connection)
    assert await slots_of(bob, ann, item) == {"number": "X123"}


@pytest.mark.trial
async def test_m34_with_a_connection_its_delegate_goes_and_gets_no_key_any_more(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    await add(ann, "Passport", number="X123")
    await invite(ann, bob, "reader")
    assert (await ran(ann, "connection", "rm", bob.address)).code == 0
    assert (await ran(ann, "delegate", "list", "--json")).json == []
    async with ann.session() as (session, keyring):
        vault = await vaults.find(session, keyring, session.account)
        assert (vault.walk.generation, list(vault.walk.grants)) == (2, [])


@pytest.mark.trial
async def test_m34_now_brings_every_item_under_the_new_key(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    await add(ann, "Passport", number="X123")
    delegation = await invite(ann, bob, "reader")
    async with ann.session() as (session, keyring):
        ended = await delegations.remove(session, keyring, delegation[:8], now=True)
        assert ended.status == "removed"
        [row] = (await session.ask_all(AskItems(), ItemRow)).rows
        vault = await vaults.find(session, keyring, session.account)
        assert (await versions.check_author(session, vault, row)).generation == 2
        with pytest.raises(NotFound):
            await delegations.remove(session, keyring, delegation)


@pytest.mark.trial
@pytest.mark.soak
async def test_m34_after_its_end_a_delegation_is_refused(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    item = await add(ann, "Passport", number="X123")
    soon = datetime.now(UTC) + timedelta(seconds=8)
    await invite(ann, bob, "admin", expires=soon)
    async with bob.session() as (session, keyring):
        vault = await opened(session, keyring, ann)
        assert (await delegated.item_of(session, keyring, vault, item)).content.slots == {"number": "X123"}
        await asyncio.sleep((soon - datetime.now(UTC)).total_seconds() + 0.1)  # the backend's clock is not faked here
        with pytest.raises(DelegationExpired):
            await delegated.add_item(session, keyring, vault, "More", {})
        with pytest.raises(NotDelegated):
            await delegated.items_of(session, keyring, vault)
        with pytest.raises(NotDelegated):
            await opened(session, keyring, ann)
    [shown] = (await ran(ann, "delegate", "list", "--json")).json
    assert shown["status"] == "expired"


@pytest.mark.trial
async def test_m34_only_a_verified_connection_makes_a_delegate_and_its_end_ends_that(
    ann: Person, bob: Person, backend: RunningHome
) -> None:
    with pytest.raises(NotConnected, match="privity invite"):
        await invite(ann, bob, "reader")
    made = await invited(ann, bob.address)
    his = await accepted(bob, LINK.findall(await mail_about(backend.data, made.invitation))[0])
    with pytest.raises(Unverified):
        await invite(ann, bob, "reader")
    for each in (ann, bob):
        other = bob if each is ann else ann
        verified = await ran(each, "connection", "verify", other.address, "--number", his.safety_number)
        assert verified.code == 0
    item = await add(ann, "Passport", number="X123")
    await invite(ann, bob, "reader")
    assert await slots_of(bob, ann, item) == {"number": "X123"}
    assert (await ran(ann, "connection", "rm", bob.address)).code == 0
    async with bob.session() as (session, keyring):
        with pytest.raises(NotDelegated):
            await opened(session, keyring, ann)


async def test_m34_no_kek_vault_key_or_content_is_ever_on_the_wire_or_in_the_home(
    ann: Person, bob: Person, backend: RunningHome, wire: Wire, tmp_path: Path
) -> None:
    await connect(ann, bob)
    text = canary()
    item = await add(ann, "Passport", number=text)
    delegation = await invite(ann, bob, "admin")
    assert await slots_of(bob, ann, item) == {"number": text}
    async with bob.session() as (session, keyring):
        his_kek, vault = keyring.kek, await opened(session, keyring, ann)
        await delegated.edit_item(session, keyring, vault, item, {"more": text})
    async with ann.session() as (session, keyring):
        her_kek = keyring.kek
        await delegations.remove(session, keyring, delegation)
        newest = (await vaults.find(session, keyring, session.account)).key
    secrets = {"ann's kek": her_kek, "bob's kek": his_kek, "vault key": vault.key, "next": newest}
    secrets["content"] = text.encode()
    assert wire.holding(secrets) == []
    assert found_in(files_of(backend.data), secrets) == []
    assert found_in(files_of(ann.home, bob.home), {name: secrets[name] for name in ("vault key", "next")}) == []
    assert repr(vault.key) not in repr(vault)


@pytest.mark.trial
async def test_m34_an_agent_takes_the_key_and_brings_new_items_under_it_by_itself(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    await add(ann, "Passport", number="X123")
    await invite(ann, bob, "reader")
    async with ann.session() as (session, keyring):
        item = new_id()
        content, wrap = seal_item(
            keyring.kek,
            new_dek(),
            items.Content("From a device that knows of no vault", {}).to_bytes(),
            account=session.account,
            item=item,
            version=1,
        )
        await session.send(AddItem(item, digest(content), digest(wrap)), content, wrap)
    for who, kinds in ((bob, ["vault"]), (ann, ["adopt"]), (bob, []), (ann, [])):
        async with who.session() as (session, keyring):
            tasks = await delegations.work(session, keyring)
            assert [task.kind for task in tasks] == kinds
            for task in tasks:
                await task.run()
    async with bob.session() as (session, keyring):
        seen = await delegated.items_of(session, keyring, await opened(session, keyring, ann))
        assert {each.content.label for each in seen} == {"Passport", "From a device that knows of no vault"}


@pytest.mark.trial
async def test_m34_what_the_principal_writes_offline_comes_under_the_vault_key_afterwards(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann, bob = (somebody(name, tmp_path, own_backend.url) for name in ("ann", "bob"))
    for each in (ann, bob):
        await each.register()
    await connect(ann, bob)
    item = await add(ann, "Passport", number="X123")
    await invite(ann, bob, "reader")
    assert (await ran(ann, "item", "show", item, "--json")).json["slots"] == {"number": "X123"}
    own_backend.stop()
    edited = await ran(ann, "item", "edit", item, "--set", "number=Y456", "--json")
    assert (edited.code, edited.json["queued"]) == (0, True)
    assert (await ran(ann, "item", "show", item, "--json")).json["slots"] == {"number": "Y456"}
    own_backend.start()
    assert (await ran(ann, "delegate", "list", "--json")).code == 0
    assert (await ran(ann, "item", "show", item, "--json")).json["slots"] == {"number": "Y456"}
    assert await slots_of(bob, ann, item) == {"number": "Y456"}
