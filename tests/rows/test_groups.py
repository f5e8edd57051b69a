"""Groups: one space key for several members, roles that are signed, and nothing new for who was dropped."""

from pathlib import Path
from typing import Any

import pytest

from bench.groups import fill, measure
from privity.agent import closing, groups, identity, items
from privity.agent.group_opening import Group
from privity.agent.groups import GroupPost
from privity.agent.profile import ProfileFolder
from privity.errors import (
    AlreadyExists,
    LastAdmin,
    NotConnected,
    NotFound,
    RoleNotEnough,
    Unverified,
)
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.watching import Wire, canary, ran


async def labels(session: Any, keyring: Any, group: str) -> list[str]:
    """What somebody reads in a group."""
    found = await groups.posts(session, keyring, group)
    return [each.content.label for each in found if isinstance(each, GroupPost)]


async def test_group_members_read_by_roles_and_who_is_dropped_reads_nothing_new(
    connected: tuple[Person, Person], person: MakePerson, wire: Wire
) -> None:
    ann, bob = connected
    carol = await person("carol")
    await connect(ann, carol)
    name, secret = canary(), canary()
    async with ann.session() as hers, bob.session() as his, carol.session() as carols:
        made = await groups.create(*hers, name)
        group = made.group
        assert (made.role, made.size, made.epoch.epoch) == ("admin", 1, 1)
        await identity.rotate(*carols, ProfileFolder(carol.home).load().device, compromised=True)
        with pytest.raises(Unverified):
            await groups.add(*hers, group, [bob.address, carol.address])
        with pytest.raises(NotConnected):
            await groups.add(*hers, group, ["nobody@localhost"], unverified=True)
        item = await items.add(*hers, "Recipe", {"step": secret})
        first = await groups.post(*hers, group, item.item)
        await groups.add(*hers, group, [bob.address, carol.address], "writer", unverified=True)
        with pytest.raises(AlreadyExists):
            await groups.add(*hers, group, [bob.address], unverified=True)
        assert (await groups.show(*his, group[:9])).name == name
        [read] = [each for each in await groups.posts(*his, group) if isinstance(each, GroupPost)]
        assert (read.content, read.own, read.author) == (item.content, False, ann.address)

        answer = await items.add(*his, "Answer", {"x": "y"})
        posted = await groups.post(*his, group, answer.item)
        second = await groups.post(*hers, group, item.item, replaces=first.post)
        assert (posted.version, second.version, second.post) == (1, 2, first.post)
        assert await labels(*carols, group) == ["Answer", "Recipe"]
        with pytest.raises(NotFound):
            await groups.post(*hers, group, item.item, replaces=posted.post)

        after = await groups.set_role(*hers, group, carol.address, "reader")
        assert (after.epoch.key, after.epoch.epoch) == (1, 3)
        with pytest.raises(RoleNotEnough):
            await groups.post(*carols, group, (await items.add(*carols, "No", {})).item)
        with pytest.raises(RoleNotEnough):
            await groups.add(*his, group, [ann.address])
        with pytest.raises(RoleNotEnough):
            await groups.withdraw(*his, group, first.post)
        with pytest.raises(LastAdmin):
            await groups.leave(*hers, group)

        dropped = await groups.drop(*hers, group, [bob.address])
        assert (dropped.epoch.key, dropped.size, dropped.name) == (4, 2, name)
        with pytest.raises(NotFound):
            await groups.posts(*his, group)
        third = await groups.post(*hers, group, item.item)
        assert await labels(*carols, group) == ["Answer", "Recipe", "Recipe"]
        resealed = await groups.reseal(*hers, group)
        assert [(each.post, each.version) for each in resealed] == [(first.post, 3)]
        assert await groups.reseal(*hers, group) == []
        taken = await groups.withdraw(*hers, group, posted.post)
        assert taken == posted.post
        assert len(await labels(*carols, group)) == 2
        with pytest.raises(NotFound):
            await groups.read(*carols, group, posted.post)
        assert (await groups.read(*carols, group, third.post[:8])).content == item.content
    wanted = {"name": name.encode(), "secret": secret.encode(), "space key": made.key, "next key": dropped.key}
    assert wire.holding(wanted) == []


async def test_group_of_who_goes_gets_a_new_key_from_an_admins_agent(
    connected: tuple[Person, Person], wire: Wire
) -> None:
    ann, bob = connected
    async with ann.session() as hers, bob.session() as his:
        made = await groups.create(*hers, "Club")
        await groups.add(*hers, made.group, [bob.address], "writer", unverified=True)
        [claim] = await groups.work(*his)
        assert claim.kind == "group-claim"
        await claim.run()
        assert await groups.work(*his) == []
        assert await groups.leave(*his, made.group[:8]) == made.group
        assert await groups.all_own(*his) == []
        [rekey] = await groups.work(*hers)
        assert (rekey.kind, rekey.id) == ("group-rekey", f"{made.group}/2")
        await rekey.run()
        [left] = [each for each in await groups.all_own(*hers) if isinstance(each, Group)]
        assert (left.size, left.epoch.key, left.epoch.dropped) == (1, 3, (his[0].account,))
        again = await groups.add(*hers, made.group, [bob.address], unverified=True)
        assert again.size == 2
        assert (await groups.show(*his, made.group)).name == "Club"
        await closing.close_account(*his, ProfileFolder(bob.home).load())
        [gone] = await groups.work(*hers)
        await gone.run()
        assert (await groups.show(*hers, made.group)).size == 1


async def test_group_commands_have_the_keys_that_scripts_rely_on(connected: tuple[Person, Person]) -> None:
    ann, bob = connected

    async def json(who: Person, *arguments: str) -> Any:
        done = await ran(who, "--json", *arguments)
        assert done.code == 0, done.err
        return done.json

    item = (await json(ann, "item", "add", "Recipe", "--set", "a=b"))["item"]
    made = await json(ann, "group", "create", "Family")
    assert {"group", "name", "epoch", "role", "members"} <= made.keys()
    group = made["group"]
    added = await json(ann, "group", "add", group, bob.address, "--role", "writer", "--unverified")
    assert (added["members"], added["epoch"]) == (2, 2)
    posted = await json(ann, "group", "post", group, item)
    assert {"post", "label", "author", "version"} <= posted.keys()
    assert [row["name"] for row in await json(bob, "group", "list")] == ["Family"]
    [row] = await json(bob, "group", "items", group)
    assert (row["label"], row["author"]) == ("Recipe", ann.address)
    assert (await json(bob, "group", "read", group, posted["post"]))["slots"] == {"a": "b"}
    assert {each["role"] for each in await json(bob, "group", "members", group)} == {"admin", "writer"}
    assert (await json(ann, "group", "role", group, bob.address, "reader"))["epoch"] == 3
    refused = await ran(bob, "group", "withdraw", group, posted["post"])
    assert (refused.code, refused.err.split(":")[1].strip()) == (1, "RoleNotEnough")
    dropped = await json(ann, "group", "drop", group, bob.address, "--now")
    assert (dropped["members"], dropped["resealed"]) == (1, 1)
    assert (await json(ann, "group", "withdraw", group, posted["post"]))["status"] == "withdrawn"
    assert (await json(ann, "group", "leave", group))["status"] == "left"
    assert await json(ann, "group", "list") == []


@pytest.mark.trial
async def test_group_of_hundreds_drops_one_in_one_command_and_the_rest_read_on(tmp_path: Path) -> None:
    """The wraps go up in chunks, one signed record makes them count, and the agent tells how far it is."""
    home = RunningHome(tmp_path / "home")
    with home:
        ann, bob, carol = (somebody(name, tmp_path, home.url) for name in ("ann", "bob", "carol"))
        for each in (ann, bob, carol):
            await each.register()
        await connect(ann, bob)
        await connect(ann, carol)
    crowd = fill(home, ann, 250)
    with home:
        told: list[tuple[int, int]] = []
        async with ann.session() as hers, bob.session() as his, carol.session() as carols:
            made = await groups.create(*hers, "Many")
            added = [*crowd, bob.address, carol.address]
            await groups.add(*hers, made.group, added, "writer", progress=lambda *step: told.append(step))
            assert (told[-1], len(told)) == ((252, 252), 2)
            first = await groups.write(*hers, made.group, items.Content("For all", {}))
            for reader in (his, carols):
                assert (await groups.read(*reader, made.group, first.post)).content.label == "For all"
            told.clear()
            after = await groups.drop(*hers, made.group, [bob.address], progress=lambda *step: told.append(step))
            assert (after.size, after.epoch.epoch, after.epoch.key, told[-1]) == (252, 3, 3, (252, 252))
            second = await groups.write(*hers, made.group, items.Content("Not for Bob", {}))
            assert await labels(*carols, made.group) == ["For all", "Not for Bob"]
            assert len(await groups.members(*hers, made.group)) == 252
            with pytest.raises(NotFound):
                await groups.read(*his, made.group, second.post)
            assert await groups.all_own(*his) == []


@pytest.mark.trial
@pytest.mark.soak
def test_group_figures_are_all_there() -> None:
    """How large they are is this machine's affair."""
    found = measure(20)
    assert set(found) == {"create_s", "fill_s", "add_s", "drop_s", "fill_us_a_member", "drop_us_a_member", "seal_us"}
    assert min(found.values()) > 0
