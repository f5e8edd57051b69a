"""U9, and what else a hostile home or a member could try with a group: agents take nothing that nobody signed."""

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from privity.agent import groups, identity, items
from privity.agent.bus import Bus
from privity.agent.connections import Broken
from privity.agent.group_history import learn_line
from privity.agent.group_opening import Group
from privity.agent.groups import GroupPost
from privity.agent.identity import newest_checkpoint, own_line
from privity.agent.keyring import Keyring
from privity.agent.profile import ProfileFolder
from privity.agent.session import Session
from privity.crypto.command import frame, unframe
from privity.crypto.groups import Epoch, SealedPost, read_post, seal_post, seal_space_key, sign_epoch
from privity.crypto.groups import Member as InEpoch
from privity.crypto.keyring import new_dek, new_kek
from privity.encoding import b64, digest, new_id
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    ForkedLog,
    KeyMismatch,
    NotFound,
    NotInLog,
    PrivityError,
    RoleNotEnough,
    RolledBack,
    StaleVersion,
    Withheld,
)
from privity.messages.groups import PostToGroup
from privity.testing.home import RunningHome
from privity.testing.people import Person, connect, somebody
from tests.conftest import MakePerson
from tests.rows.watching import BLOBS, MIB, lie
from tests.trials.flipping import Look, cells, noticed_and_believed, seen, sound

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in the group, with an open session."""

    person: Person
    session: Session
    keyring: Keyring
    group: str

    async def show(self) -> Group:
        return await groups.show(self.session, self.keyring, self.group)

    async def posts(self) -> list[GroupPost | Broken]:
        return await groups.posts(self.session, self.keyring, self.group)

    async def labels(self) -> list[str]:
        return [each.content.label for each in await self.posts() if isinstance(each, GroupPost)]

    async def post(self, label: str) -> GroupPost:
        content = items.Content(label, {"a": "b"})
        return await groups.write(self.session, self.keyring, self.group, content)

    async def written(self, group: Group, epoch: Epoch | None = None) -> SealedPost:
        """What they would write next, signed by their identity, whether or not they may."""
        line = await learn_line(self.session, group.history)
        return seal_post(
            group.key,
            new_dek(),
            items.Content("Forged", {}).to_bytes(),
            epoch=epoch or group.epoch,
            post=new_id(),
            version=1,
            author=self.session.account,
            identity=self.keyring.identity.sign,
            n=line.n + 1,
            prev=line.head,
            checkpoint=await newest_checkpoint(self.session),
        )


@pytest.fixture
async def members(person: MakePerson) -> Any:
    """Ann, who made a group, Bob, who writes, and Carol, who reads."""
    people = [await person(name) for name in ("ann", "bob", "carol")]
    for other in people[1:]:
        await connect(people[0], other)
    async with AsyncExitStack() as stack:
        opened = [(each, *await stack.enter_async_context(each.session())) for each in people]
        _, session, keyring = opened[0]
        made = await groups.create(session, keyring, "Family")
        for other, role in zip(people[1:], ("writer", "reader"), strict=True):
            await groups.add(session, keyring, made.group, [other.address], role, unverified=True)  # type: ignore[arg-type]
        yield tuple(Member(*each, made.group) for each in opened)


Trio = tuple[Member, Member, Member]


def told(by: Member, group: Group, sealed: SealedPost, **changes: Any) -> Callable[[Rows], None]:
    """A home that adds a number to the line, with the place of its author as they say that it is."""
    row = group.row
    manifest = b64(sealed.manifest)
    said = {"group": group.group, "author": by.session.account, "manifest": manifest, "role": row.role}
    said |= {"signature": b64(sealed.signature), "head": row.head, "seal": row.seal, "index": row.index}
    said |= {"proof": list(row.proof), "content": None, "wrap": None, "position": 1}
    read = read_post(sealed.manifest)
    said |= {"n": read.n, "post": read.post}
    return lambda rows: rows.append(said | changes)


async def refused(patch: pytest.MonkeyPatch, view: str, change: Callable[[Rows], None], act: Awaitable[Any]) -> Any:
    """The error with which an agent meets a home that lies."""
    with patch.context() as lying:
        lie(lying, view, change)
        with pytest.raises(PrivityError) as caught:
            await act
    return type(caught.value)


async def test_u9_what_a_reader_or_somebody_dropped_writes_is_refused_by_home_and_agents(
    members: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, carol = members
    await ann.post("One")
    his = await bob.show()
    await bob.post("Two")
    assert await carol.labels() == ["One", "Two"]

    # a reader: by her own agent, past it at the home, and with the home's help
    hers = await carol.show()
    with pytest.raises(RoleNotEnough):
        await carol.post("Three")
    sealed = await carol.written(hers)
    with pytest.raises(RoleNotEnough):
        await send_past_the_agent(carol, hers, sealed)
    assert await refused(monkeypatch, "group-line", told(carol, hers, sealed), bob.posts()) is ForgedRecord
    claims = told(carol, hers, sealed, role="writer")
    assert await refused(monkeypatch, "group-line", claims, bob.posts()) is ForgedRecord

    # a writer, whom the next epoch drops, under the epoch that had him
    his = await bob.show()
    await groups.drop(ann.session, ann.keyring, ann.group, [bob.person.address])
    await ann.post("Three")
    now = await ann.show()
    late = await ann_sees_the_line(ann, bob, now, his)
    assert await refused(monkeypatch, "group-line", told(bob, his, late), carol.posts()) is ForgedRecord
    with pytest.raises((NotFound, StaleVersion)):
        await send_past_the_agent(bob, his, late)
    assert await carol.labels() == ["One", "Two", "Three"]
    assert await ann.labels() == ["One", "Two", "Three"]
    assert await groups.all_own(bob.session, bob.keyring) == []
    with pytest.raises(NotFound):
        await bob.posts()


async def ann_sees_the_line(ann: Member, bob: Member, now: Group, his: Group) -> SealedPost:
    """A number that follows the newest, which an insider would know, under the epoch that Bob was in."""
    line = await learn_line(ann.session, now.history)
    return seal_post(
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
        checkpoint=await newest_checkpoint(ann.session),
    )


async def send_past_the_agent(by: Member, group: Group, sealed: SealedPost) -> None:
    """As somebody would who bends their agent."""
    post = read_post(sealed.manifest)
    command = PostToGroup(
        group.group,
        post.post,
        post.version,
        b64(sealed.manifest),
        b64(sealed.signature),
        digest(sealed.content),
        digest(sealed.wrap),
        group.row.index,
        group.row.proof,
    )
    await by.session.send(command, sealed.content, sealed.wrap)


@pytest.mark.trial
async def test_group_epochs_are_not_rolled_back_forked_or_signed_by_others(
    members: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, carol = members
    await bob.show()
    shown = await ann.show()

    async def meets(change: Callable[[Rows], None], who: Member = bob) -> Any:
        return await refused(monkeypatch, "group-epochs", change, who.show())

    assert await meets(lambda rows: rows.pop()) is RolledBack
    assert await meets(lambda rows: rows.pop(1)) is Withheld
    assert await meets(lambda rows: rows.clear()) is Withheld
    other = sign_epoch(ann.keyring.identity.sign, replace(shown.epoch, checkpoint=shown.history.at(2).checkpoint))
    assert await meets(lambda rows: rows[2].update(record=b64(other[0]), signature=b64(other[1]))) is ForgedRecord

    def signed_by(who: Member, role: str, place: Group) -> Callable[[Rows], None]:
        epoch = replace(
            shown.epoch,
            epoch=4,
            prev=shown.history.head,
            by=who.session.account,
            dropped=(),
        )
        record, signature = sign_epoch(who.keyring.identity.sign, epoch)
        row = place.row
        said = {"epoch": 4, "record": b64(record), "signature": b64(signature), "by": who.session.account}
        said |= {"role": role, "head": row.head, "seal": row.seal, "index": row.index, "proof": list(row.proof)}
        return lambda rows: rows.append(rows[-1] | said)

    his = await bob.show()
    for role in ("writer", "admin"):
        assert await meets(signed_by(bob, role, his), carol) is ForgedRecord
    forged = signed_by(ann, "admin", shown)
    assert await meets(lambda rows: (forged(rows), rows[-1].update(signature="A" * 86)), carol) is ForgedRecord  # type: ignore[arg-type, func-returns-value]
    assert (await bob.show()).epoch == (await carol.show()).epoch == shown.epoch


@pytest.mark.trial
async def test_group_lines_have_no_gap_no_fork_and_no_other_content(
    members: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, carol = members
    for label in ("One", "Two", "Three"):
        await ann.post(label)
    assert await bob.labels() == ["One", "Two", "Three"]

    async def meets(change: Callable[[Rows], None], who: Member = bob) -> Any:
        return await refused(monkeypatch, "group-line", change, who.posts())

    assert await meets(lambda rows: rows.pop()) is RolledBack
    assert await meets(lambda rows: rows[1].update(signature=rows[0]["signature"]), carol) is ForgedRecord
    for who in (bob, carol):
        assert await meets(lambda rows: rows.pop(0), who) is (RolledBack if who is bob else Withheld)
        assert await meets(lambda rows: rows[1].update(author=bob.session.account), who) is ForgedRecord
        assert await meets(lambda rows: rows[1].update(manifest=rows[0]["manifest"]), who) in (ForgedRecord, ForkedLog)
    with monkeypatch.context() as lying:
        lie(lying, "group-line", lambda rows: rows[1].update(content=None, wrap=None))
        found = await carol.posts()
        assert [type(each.alarm) for each in found if isinstance(each, Broken)] == [DoesNotOpen]
        assert len(found) == 3
    assert await carol.labels() == ["One", "Two", "Three"]


@pytest.mark.trial
async def test_group_keys_are_the_admins_and_groups_do_not_vanish(
    members: Trio, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, carol = members
    group = await ann.show()
    now = (await own_line(carol.session))[1][-1]
    me = InEpoch(carol.session.account, "reader", b64(now.head), digest(now.seal))
    theirs = seal_space_key(now.seal_suite, now.seal, new_kek(), carol.group, 1, me)
    with monkeypatch.context() as lying:
        serve_instead(lying, "groups", "wrap", theirs)
        with pytest.raises(DoesNotOpen):
            await carol.show()
    assert (await carol.show()).name == "Family"

    for left_out in (bob, carol):
        await left_out.show()
        with monkeypatch.context() as lying:
            lie(lying, "groups", lambda rows: rows.clear())
            [broken] = await groups.all_own(left_out.session, left_out.keyring)
            assert isinstance(broken, Broken)
            assert isinstance(broken.alarm, Withheld)
    assert await refused(monkeypatch, "groups", lambda rows: rows[0].update(role="admin"), bob.show()) is ForgedRecord

    async def dropping(change: Callable[[Rows], None]) -> Any:
        act = groups.drop(ann.session, ann.keyring, ann.group, [bob.session.account])
        return await refused(monkeypatch, "group-members", change, act)

    def swap(rows: Rows) -> None:
        rows[0]["public"], rows[1]["public"] = rows[1]["public"], rows[0]["public"]

    assert await dropping(swap) is KeyMismatch
    assert await dropping(lambda rows: rows.pop()) is ForgedRecord
    assert await dropping(says_that_all_left) in (ForgedRecord, NotFound)
    assert (await ann.show()).epoch == group.epoch

    eve = await person("eve")
    await connect(eve, bob.person)
    async with eve.session() as (session, keyring):
        made = await groups.create(session, keyring, "Not the family")
        await groups.add(session, keyring, made.group, [bob.person.address], unverified=True)
    good = await groups.show(bob.session, bob.keyring, made.group)
    assert good.name == "Not the family"


def says_that_all_left(rows: Rows) -> None:
    """By an event that says something else."""
    for row in rows:
        row["left"] = 1


def serve_instead(patch: pytest.MonkeyPatch, view: str, name: str, blob: bytes) -> None:
    """A home that serves another sealed object, and names it."""
    honest = Bus.ask

    async def lying(bus: Bus, subject: str, data: bytes) -> bytes:
        answer = await honest(bus, subject, data)
        if not subject.endswith(f".{view}"):
            return answer
        head, *blobs = unframe(answer, BLOBS, MIB)
        said = json.loads(head)
        for row in said["rows"]:
            row[name] = digest(blob)
        return frame(json.dumps(said).encode(), *blobs, blob)

    patch.setattr(Bus, "ask", lying)


@pytest.mark.trial
async def test_group_of_strangers_is_not_believed(
    members: Trio, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that puts somebody into a group of people whom they do not know."""
    ann, bob, _ = members
    dave = await person("dave")
    await connect(ann.person, dave)
    await groups.add(ann.session, ann.keyring, ann.group, [dave.address], unverified=True)
    async with dave.session() as (session, keyring):
        with monkeypatch.context() as lying:
            lie(lying, "connections", lambda rows: rows.clear())
            with pytest.raises(KeyMismatch, match="Nobody whom you are connected with"):
                await groups.show(session, keyring, ann.group)
        assert (await groups.show(session, keyring, ann.group)).name == "Family"
    assert (await bob.show()).size == 4


SPOKEN = {
    ("group_members", "position"): "the order of groups",
}
"""What only the home says, and what it is worth."""


@pytest.mark.trial
@pytest.mark.soak
async def test_group_rows_with_a_flipped_bit_are_refused_or_change_nothing(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    ann, bob = somebody("ann", tmp_path, own_backend.url), somebody("bob", tmp_path, own_backend.url)
    await ann.register()
    await bob.register()
    await connect(ann, bob)
    async with ann.session() as hers, bob.session() as his:
        made = await groups.create(*hers, "Family")
        await groups.add(*hers, made.group, [bob.address], "writer")
        for by, label in ((hers, "One"), (his, "Two")):
            await groups.write(*by, made.group, items.Content(label, {"a": "b"}))
        await groups.show(*his, made.group)

        looks: dict[str, Look] = {}
        for name, (session, keyring) in (("ann", hers), ("bob", his)):
            looks[f"{name} all_own"] = lambda s=session, k=keyring: sound(groups.all_own(s, k))
            looks[f"{name} posts"] = lambda s=session, k=keyring: sound(groups.posts(s, k, made.group))
            looks[f"{name} members"] = partial(groups.members, session, keyring, made.group)
        before = await seen(looks)
        assert not [each for each in before.values() if isinstance(each, PrivityError)], before
        views = own_backend.data / "views.db"
        turned = [each for each in cells(views) if each[0].startswith("group")]
        noticed, believed = await noticed_and_believed(views, turned, looks, before, SPOKEN)
        assert believed == {}
        checked = {"group_epochs": {"record", "signature", "role", "head", "place"}}
        checked |= {"group_members": {"role", "head", "seal", "wrap", "claimed"}}
        checked |= {"group_lines": {"manifest", "content", "wrap", "n"}, "groups": {"epoch", "about"}}
        missed = {(table, each) for table, names in checked.items() for each in names} - noticed
        assert {each for each in missed if each[1] not in KNOWN_AGAIN} == set()
        assert await seen(looks) == before


KNOWN_AGAIN = {"signature", "role", "head", "place"}
"""What agents do not look at again once the hash of what it belongs to is remembered."""


@pytest.mark.trial
async def test_group_of_an_admin_whose_keys_were_stolen_holds_up_to_then_and_no_further(
    members: Trio, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, _ = members
    await ann.post("Before")
    stolen, device = ann.keyring.identity.sign, ProfileFolder(ann.person.home).load().device
    await identity.rotate(ann.session, ann.keyring, device, compromised=True)
    dave = await person("dave")
    await connect(ann.person, dave)
    await groups.add(ann.session, ann.keyring, ann.group, [dave.address], "writer", unverified=True)
    await ann.post("After")
    async with dave.session() as (session, keyring):  # who never saw the group before
        his = Member(dave, session, keyring, ann.group)
        assert await his.labels() == ["Before", "After"]
    shown, row = await ann.show(), (await ann.show()).row
    assert (await bob.show()).epoch == shown.epoch
    epoch = replace(shown.epoch, epoch=shown.epoch.epoch + 1, prev=shown.history.head, dropped=())
    record, signature = sign_epoch(stolen, epoch)
    said = {"epoch": epoch.epoch, "record": b64(record), "signature": b64(signature), "by": ann.session.account}
    said |= {"role": "admin", "head": row.head, "seal": row.seal, "index": row.index, "proof": list(row.proof)}
    for position in (1, 2**40):
        forged = said | {"position": position}

        def add(rows: Rows, forged: dict[str, Any] = forged) -> None:
            rows.append(rows[-1] | forged)

        assert await refused(monkeypatch, "group-epochs", add, bob.show()) in (ForgedRecord, NotInLog)
    assert await bob.labels() == ["Before", "After"]
