"""What somebody who is, or was, in a group could do to the others, by themself or with a home that helps."""

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from privity.agent import connections, group_history, groups, identity
from privity.agent.connections import Broken
from privity.agent.group_history import learn_line
from privity.agent.memory import Memory
from privity.agent.profile import ProfileFolder
from privity.crypto.groups import NONCE_BYTES, group_id, seal_post
from privity.crypto.keyring import new_dek
from privity.encoding import new_id
from privity.errors import (
    Ambiguous,
    ForgedRecord,
    Malformed,
    NotConnected,
    NotFound,
    PrivityError,
    RolledBack,
    Unverified,
    Withheld,
)
from privity.messages.views import AskGroupMembers, GroupMemberRow
from tests.rows.watching import lie
from tests.trials.test_group_attacks import Member, Rows, Trio, members, send_past_the_agent, told

__all__ = ["members"]  # a fixture
pytestmark = pytest.mark.trial


def alarms(found: list[Any]) -> list[type[PrivityError]]:
    """What is wrong with the posts that count for nothing."""
    return [type(each.alarm) for each in found if isinstance(each, Broken)]


async def test_a_number_with_no_checkpoint_is_one_broken_post_and_ends_nothing(
    members: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, carol = members
    await ann.post("One")
    his = await bob.show()
    line = await learn_line(bob.session, his.history)
    bad = seal_post(
        his.key,
        new_dek(),
        b"{}",
        epoch=his.epoch,
        post=new_id(),
        version=1,
        author=bob.session.account,
        identity=bob.keyring.identity.sign,
        n=line.n + 1,
        prev=line.head,
        checkpoint="garbage",
    )
    with pytest.raises(Malformed):
        await send_past_the_agent(bob, his, bad)
    with monkeypatch.context() as lying:
        lie(lying, "group-line", told(bob, his, bad))
        for _ in range(2):  # it is remembered that it is void
            assert alarms(await carol.posts()) == [ForgedRecord]
            assert await carol.labels() == ["One"]
    await ann.post("Two")
    assert await ann.labels() == ["One", "Two"]


async def test_keys_given_up_as_of_long_ago_void_what_they_signed_and_no_group(
    members: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, carol = members
    old = await identity.newest_checkpoint(bob.session)
    await groups.set_role(ann.session, ann.keyring, ann.group, bob.person.address, "admin")
    await bob.post("One")
    await ann.show()
    await groups.rekey(bob.session, bob.keyring, bob.group)
    await ann.show()

    async def long_ago(_: Any) -> str:
        return old

    with monkeypatch.context() as patch:
        patch.setattr(identity, "newest_checkpoint", long_ago)
        await identity.rotate(bob.session, bob.keyring, ProfileFolder(bob.person.home).load().device, compromised=True)
    with pytest.raises(ForgedRecord):
        await carol.show()  # who did not see Bob's epoch before
    await groups.drop(ann.session, ann.keyring, ann.group, [bob.person.address])
    await ann.post("Two")
    for _ in range(2):
        assert alarms(await carol.posts()) == [ForgedRecord]
        assert await carol.labels() == ["Two"]
    [void] = [each.id for each in await carol.posts() if isinstance(each, Broken)]
    with pytest.raises(ForgedRecord):
        await groups.read(carol.session, carol.keyring, carol.group, void)
    await groups.withdraw(ann.session, ann.keyring, ann.group, void)
    assert alarms(await carol.posts()) == []


async def test_a_line_is_remembered_as_a_whole(members: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob, _ = members
    await bob.post("One")
    saw = Memory.saw

    def ends(memory: Memory, kind: str, *rest: Any, **more: Any) -> None:
        if kind == group_history.LINE:
            raise KeyboardInterrupt
        saw(memory, kind, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Memory, "saw", ends)
        with pytest.raises(KeyboardInterrupt):
            await ann.posts()
    assert await ann.labels() == ["One"]


async def test_going_once_is_no_going_for_ever(members: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob, carol = members
    await carol.show()
    await groups.leave(bob.session, bob.keyring, bob.group)
    [left] = [row.left for row in await roster(ann) if row.left]
    await groups.rekey(ann.session, ann.keyring, ann.group)
    with pytest.raises(NotFound, match="nobody went"):
        await groups.rekey(ann.session, ann.keyring, ann.group, alone=True)
    await groups.add(ann.session, ann.keyring, ann.group, [bob.person.address], "writer", unverified=True)

    def again(rows: Rows) -> None:
        for row in rows:
            if row["account"] == bob.session.account and not row["chain"]:
                row["left"] = left

    with monkeypatch.context() as lying:
        lie(lying, "group-members", again)
        with pytest.raises(ForgedRecord):
            await groups.rekey(ann.session, ann.keyring, ann.group)
    assert (await ann.show()).size == 3
    await bob.show()
    await groups.drop(ann.session, ann.keyring, ann.group, [bob.person.address])
    for row in await asked(bob, ann.session.account):
        assert row.account == ann.session.account  # who signed for the group
    assert await asked(bob, carol.session.account) == []


async def test_members_go_by_pinned_addresses_and_by_the_identity_that_was_seen(
    members: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, carol = members
    await groups.set_role(ann.session, ann.keyring, ann.group, bob.person.address, "admin")

    def swapped(rows: Rows) -> None:
        names = {ann.person.address: carol.person.address, carol.person.address: ann.person.address}
        for row in rows:
            row["address"] = names.get(row["address"], row["address"])

    with monkeypatch.context() as lying:
        lie(lying, "group-members", swapped)
        with pytest.raises(NotConnected):
            await groups.drop(bob.session, bob.keyring, bob.group, [carol.person.address])
    old = (await connections.show(ann.session, ann.keyring, carol.person.address)).identity
    device = ProfileFolder(carol.person.home).load().device
    await identity.rotate(carol.session, carol.keyring, device, compromised=True)
    assert (await connections.show(ann.session, ann.keyring, carol.person.address)).identity.n > old.n

    def bare(rows: Rows) -> None:
        for row in rows:
            row["chain"] = []

    with monkeypatch.context() as lying:
        lie(lying, "group-members", bare)
        with pytest.raises(RolledBack):
            await groups.rekey(ann.session, ann.keyring, ann.group)
    assert (await groups.rekey(ann.session, ann.keyring, ann.group)).size == 3
    assert (await groups.drop(bob.session, bob.keyring, bob.group, [carol.session.account])).size == 2


async def test_a_group_is_taken_by_itself_only_from_somebody_verified_and_kept_without_them(members: Trio) -> None:
    ann, bob, _ = members
    over = await connections.show(ann.session, ann.keyring, bob.person.address)
    device = ProfileFolder(bob.person.home).load().device
    await identity.rotate(bob.session, bob.keyring, device, compromised=True)
    made = await groups.create(bob.session, bob.keyring, "His")
    await groups.add(bob.session, bob.keyring, made.group, [ann.person.address], unverified=True)
    [task] = await groups.work(ann.session, ann.keyring)
    with pytest.raises(Unverified):
        await task.run()
    assert (await groups.show(ann.session, ann.keyring, made.group)).name == "His"
    assert await groups.work(ann.session, ann.keyring) == []
    await connections.remove(ann.session, ann.keyring, over.connection)
    ann.session.memory.forget()
    assert (await groups.show(ann.session, ann.keyring, made.group)).name == "His"
    await groups.leave(ann.session, ann.keyring, made.group)


async def test_a_prefix_names_no_other_group_than_it_did(members: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, *_ = members
    prefix = ann.group[:1]
    nonces = (number.to_bytes(NONCE_BYTES, "big") for number in count())
    nonce = next(each for each in nonces if group_id(ann.session.account, each).startswith(prefix))
    with monkeypatch.context() as patch:
        patch.setattr(groups, "secrets", SimpleNamespace(token_bytes=lambda _: nonce))
        await groups.create(ann.session, ann.keyring, "Other")
    with pytest.raises(Ambiguous):
        await groups.show(ann.session, ann.keyring, prefix)
    with monkeypatch.context() as lying:
        lie(lying, "groups", lambda rows: rows.__delitem__(0))
        with pytest.raises(Withheld):
            await groups.show(ann.session, ann.keyring, prefix)


async def roster(who: Member) -> tuple[GroupMemberRow, ...]:
    """The members as the home has them."""
    return (await who.session.ask(AskGroupMembers(group=who.group), GroupMemberRow)).rows


async def asked(who: Member, account: str) -> list[GroupMemberRow]:
    """What the home says of one of them."""
    return list((await who.session.ask(AskGroupMembers(group=who.group, account=account), GroupMemberRow)).rows)
