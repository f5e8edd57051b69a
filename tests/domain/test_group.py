"""Decisions about groups: who is in, by which epoch; what is written, by whom; what is erased."""

from dataclasses import replace
from typing import Any

import pytest

from domain import group
from domain.facts import Actor
from infra.mapping import to_row
from privity.errors import (
    AlreadyExists,
    Busy,
    LastAdmin,
    Malformed,
    NotConnected,
    NotFound,
    RoleNotEnough,
    StaleSequence,
    StaleVersion,
    TooLarge,
)
from privity.messages.base import Event
from privity.messages.connections import ConnectionEstablished, ConnectionRemoved
from privity.messages.envelope import MAX_MESSAGE, Receipt, Result, ResultEvent
from privity.messages.envelope import result as result_codec
from privity.messages.groups import (
    MAX_MEMBERS,
    AdvanceGroup,
    ClaimGroup,
    GroupAdvanced,
    GroupClaimed,
    GroupKeyed,
    GroupLeft,
    GroupLineExtended,
    GroupPosted,
    GroupStaged,
    GroupWithdrawn,
    LeaveGroup,
    PostToGroup,
    StageGroup,
    WithdrawPost,
)
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, erased, example, long_id, member, meta, raw, sealed, short_id, signature

GROUP, POST, NEXT = long_id("group"), short_id("post"), short_id("next batch")
CONNECTED = example(ConnectionEstablished)
MADE = (example(GroupStaged), example(GroupAdvanced), example(GroupKeyed))
NO_GROUP = NotFound("there is no such group")
ONLY_ADMINS = RoleNotEnough("only admins change who is in the group")


def staging(*roles: tuple[Actor, str], epoch: int = 2, tag: str = "", **changes: Any) -> StageGroup:
    """A chunk of the next epoch: people with their roles, each with a wrap of their own."""
    names = {ANN.account: "ann", BOB.account: "bob", EVE.account: "eve"}
    members = {who.account: member(names[who.account], role) for who, role in roles}
    wraps = {each: sealed(f"{names[each]}'s key {epoch}{tag}") for each in members}
    over = {BOB.account: long_id("connection")} if BOB.account in members else {}
    return example(
        StageGroup, **{"epoch": epoch, "batch": NEXT, "members": members, "wraps": wraps, "connections": over} | changes
    )


def staged(command: StageGroup, by: Actor = ANN) -> GroupStaged:
    """The event of a chunk."""
    return GroupStaged(GROUP, by.account, command.epoch, command.batch, command.members, command.wraps)


def keyed(command: StageGroup, key: int, by: Actor = ANN) -> GroupKeyed:
    """The event by which a chunk counts."""
    return GroupKeyed(GROUP, by.account, command.epoch, key, command.members, command.wraps)


def advancing(epoch: int = 2, dropped: tuple[Actor, ...] = (), *, renewed: bool = False) -> AdvanceGroup:
    """The record of the next epoch, with the key before or a new one."""
    parts = {"about": sealed(f"about {epoch}"), "link": sealed(f"link {epoch}")} if renewed else {"about": None}
    gone = tuple(each.account for each in dropped)
    return example(AdvanceGroup, **{"epoch": epoch, "batch": NEXT, "dropped": gone} | parts)


def advanced(command: AdvanceGroup, key: int) -> GroupAdvanced:
    """The event of a record."""
    said = {"epoch": command.epoch, "key": key, "dropped": command.dropped, "digest": sealed(f"epoch {command.epoch}")}
    return example(GroupAdvanced, **said, about=command.about, link=command.link)


ADDING = staging((BOB, "writer"))
WITH_BOB: tuple[Event, ...] = (CONNECTED, *MADE, staged(ADDING), advanced(advancing(), 1), keyed(ADDING, 1))
RENEWING = staging((ANN, "admin"), epoch=3)
DROPPING = advancing(3, (BOB,), renewed=True)
BOBS_KEY, ANNS_KEY = ADDING.wraps[BOB.account], sealed("ann's group key")
WROTE = (example(GroupLineExtended), example(GroupPosted))


# Epochs.


def test_a_group_begins_with_its_creator_as_admin() -> None:
    given().when(example(StageGroup), by=ANN).then(MADE[0])
    given(MADE[0]).when(example(AdvanceGroup), by=ANN).then(*MADE[1:])


def test_who_makes_a_group_is_in_it_as_admin() -> None:
    alone = example(StageGroup, members={ANN.account: member("ann", "writer")})
    given().when(alone, by=ANN).then(example(GroupStaged, members=alone.members)).when(
        example(AdvanceGroup), by=ANN
    ).then(RoleNotEnough)


def test_nothing_begins_that_was_not_staged() -> None:
    given().when(example(AdvanceGroup), by=ANN).then(StaleVersion)
    given(MADE[0]).when(example(AdvanceGroup, batch=NEXT), by=ANN).then(StaleVersion)
    given(MADE[0]).when(example(AdvanceGroup), by=BOB).then(StaleVersion)


def test_an_admin_takes_in_whom_they_are_connected_with_under_the_key_that_there_is() -> None:
    given(CONNECTED, *MADE).when(ADDING, by=ANN).then(staged(ADDING))
    given(CONNECTED, *MADE, staged(ADDING)).when(advancing(), by=ANN).then(*WITH_BOB[-2:])


def test_a_stranger_is_not_taken_in() -> None:
    given(*MADE).when(ADDING, by=ANN).then(NotConnected)
    given(CONNECTED, example(ConnectionRemoved), *MADE).when(ADDING, by=ANN).then(NotConnected)
    given(CONNECTED, *MADE).when(staging((BOB, "reader"), connections={}), by=ANN).then(NotConnected)
    over_bobs = staging((EVE, "reader"), connections={EVE.account: long_id("connection")})
    given(CONNECTED, *MADE).when(over_bobs, by=ANN).then(NotConnected)


def test_a_member_is_staged_with_the_identity_of_now_or_the_one_before() -> None:
    other = staging((BOB, "writer"), members={BOB.account: member("somebody")})
    given(CONNECTED, *MADE).when(other, by=ANN).then(StaleVersion)
    again = staging((BOB, "reader"), epoch=3)
    given(*WITH_BOB).when(again, by=ANN).then(staged(again))


@pytest.mark.parametrize("who", [BOB, EVE], ids=["writer", "stranger"])
def test_only_admins_change_who_is_in(who: Actor) -> None:
    refusal = ONLY_ADMINS if who is BOB else NO_GROUP
    given(*WITH_BOB).when(RENEWING, by=who).then(refusal)


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_an_epoch_is_the_next_one(epoch: int) -> None:
    given(*WITH_BOB).when(staging((ANN, "admin"), epoch=epoch), by=ANN).then(StaleVersion("the group is at epoch 2"))


def test_an_epoch_follows_the_one_before() -> None:
    history = given(*WITH_BOB, staged(RENEWING))
    history.when(DROPPING, by=ANN, prev=sealed("another epoch")).then(StaleVersion)
    history.when(DROPPING, by=ANN, n=1, last=sealed("manifest")).then(StaleSequence)


def test_group_members_are_dropped_with_a_new_key_for_who_stays_and_the_old_wraps_are_erased() -> None:
    gone = erased(GROUP, ANNS_KEY, BOBS_KEY, sealed("about"), of=(ANN, BOB))
    decided = given(*WITH_BOB, staged(RENEWING)).when(DROPPING, by=ANN)
    after = decided.then(advanced(DROPPING, 3), keyed(RENEWING, 3), gone)
    after.when(example(ClaimGroup, key=3), by=BOB).then(NO_GROUP)
    after.when(example(ClaimGroup, key=3), by=ANN).then(
        example(GroupClaimed, key=3), erased(GROUP, RENEWING.wraps[ANN.account])
    )


def test_who_is_dropped_must_not_have_the_next_key() -> None:
    history = given(*WITH_BOB, staged(RENEWING))
    history.when(advancing(3, (BOB,)), by=ANN).then(Malformed("who is dropped must not have the next key"))
    both = staging((ANN, "admin"), (BOB, "writer"), epoch=3)
    given(*WITH_BOB, staged(both)).when(DROPPING, by=ANN).then(Malformed)


def test_a_new_key_is_for_every_member() -> None:
    given(*WITH_BOB, staged(RENEWING)).when(advancing(3, renewed=True), by=ANN).then(Malformed)
    given(*WITH_BOB, staged(RENEWING)).when(DROPPING, by=ANN, key=1).then(Malformed)


def test_the_key_that_stays_is_the_one_before() -> None:
    again = staging((BOB, "reader"), epoch=3)
    history = given(*WITH_BOB, staged(again))
    for bent in ({"same_key": False}, {"key": 2}, {"about": sealed("another")}, {"link": sealed("another")}):
        history.when(advancing(3), by=ANN, **bent).then(Malformed)
    history.when(advancing(3), by=ANN).then(
        advanced(advancing(3), 1), keyed(again, 1), erased(GROUP, BOBS_KEY, of=[BOB])
    )


def test_the_record_drops_whom_the_command_drops() -> None:
    given(*WITH_BOB, staged(RENEWING)).when(DROPPING, by=ANN, dropped=()).then(Malformed)


def test_an_admin_drops_members_but_not_themself() -> None:
    given(*WITH_BOB, staged(RENEWING)).when(advancing(3, (ANN,), renewed=True), by=ANN).then(Malformed)
    given(*WITH_BOB, staged(RENEWING)).when(advancing(3, (EVE,), renewed=True), by=ANN).then(StaleVersion)
    given(*WITH_BOB, staged(RENEWING)).when(advancing(3, (BOB, BOB), renewed=True), by=ANN).then(Malformed)


def test_a_group_keeps_an_admin() -> None:
    demoted = staging((ANN, "reader"), epoch=3)
    given(*WITH_BOB, staged(demoted)).when(advancing(3), by=ANN).then(LastAdmin)


def test_another_batch_takes_the_place_of_the_one_before() -> None:
    other = staging((ANN, "admin"), epoch=3, tag=" again", batch=short_id("third batch"))
    gone = erased(GROUP, RENEWING.wraps[ANN.account])
    given(*WITH_BOB, staged(RENEWING)).when(other, by=ANN).then(staged(other), gone)


def test_what_other_admins_staged_goes_when_an_epoch_begins() -> None:
    bob = staging((BOB, "admin"), epoch=3)
    both = given(*WITH_BOB, staged(bob), advanced(advancing(3), 1), keyed(bob, 1))
    his, hers = staging((BOB, "admin"), epoch=4, tag=" his"), staging((BOB, "reader"), epoch=4, tag=" hers")
    decided = both.when(his, by=BOB).then(staged(his, BOB)).when(hers, by=ANN).then(staged(hers))
    gone = erased(GROUP, bob.wraps[BOB.account], his.wraps[BOB.account], of=[BOB])
    after = decided.when(advancing(4), by=ANN).then(advanced(advancing(4), 1), keyed(hers, 1), gone)
    after.when(advancing(4), by=BOB).then(StaleVersion)


def test_a_chunk_has_a_wrap_for_each_and_each_object_once() -> None:
    given(CONNECTED, *MADE).when(staging((BOB, "reader"), wraps={EVE.account: sealed("x")}), by=ANN).then(Malformed)
    same = dict.fromkeys((ANN.account, BOB.account), sealed("one for two"))
    given(CONNECTED, *MADE).when(staging((ANN, "admin"), (BOB, "reader"), wraps=same), by=ANN).then(Malformed)
    kept = staging((BOB, "reader"), wraps={BOB.account: sealed("about")})
    given(CONNECTED, *MADE).when(kept, by=ANN).then(AlreadyExists)
    given(CONNECTED, *MADE, staged(ADDING)).when(staging((BOB, "reader"), tag=" twice"), by=ANN).then(AlreadyExists)


def test_a_group_has_so_many_members_and_so_many_admins_at_a_time() -> None:
    state = group.State(epoch=1, members={ANN.account: group.Standing(member("ann"), sealed("w"))})
    state.members |= {long_id(str(n)): group.Standing(member(str(n)), sealed(str(n))) for n in range(1023)}
    known = {"identities": {BOB.account: member("bob")}, "connections": {}}
    joined = {BOB.account: _joined()}
    with pytest.raises(TooLarge):
        group.decide_stage(ADDING, state, ANN, **known | {"connections": joined})
    state.members.popitem()
    assert group.decide_stage(ADDING, state, ANN, **known | {"connections": joined}) == [staged(ADDING)]
    state.staged = {long_id(str(n)): group.Staged(NEXT, 2) for n in range(group.MAX_STAGING)}
    with pytest.raises(Busy):
        group.decide_stage(ADDING, state, ANN, **known | {"connections": joined})


def test_what_waits_for_an_epoch_is_so_little_that_its_result_can_be_sent() -> None:
    state = group.State(epoch=1, key=1, head=sealed("epoch"), about=sealed("about"))
    everybody = [ANN.account, *(long_id(str(n)) for n in range(MAX_MEMBERS - 1))]
    roles = {one: member(one, "admin") for one in everybody}
    state.members = {one: group.Standing(each, sealed(f"old {one}")) for one, each in roles.items()}
    for admin in everybody[:3]:
        wraps = {one: sealed(f"{admin} {one}") for one in everybody}
        state.staged[admin] = group.Staged(NEXT, 2, dict(roles), wraps)
    more = staging((BOB, "writer"))
    bob = replace(BOB, account=everybody[4])
    with pytest.raises(Busy):
        group.decide_stage(
            replace(more, members={bob.account: roles[bob.account]}, wraps={bob.account: sealed("his")}),
            state,
            bob,
            identities={},
            connections={},
        )
    command = replace(advancing(renewed=True), record=raw("r" * 3000))
    record = group.Record(
        sealed("epoch 2"), state.head, (), 2, command.about or "", command.link, 0, None, same_key=False
    )
    events = group.decide_advance(
        command, state, ANN, staged=state.staged[ANN.account], record=record, line=group.LineState()
    )
    rows = [to_row(event, version, meta()) for version, event in enumerate(events, 1)]
    told = [ResultEvent(2**40, row.stream, row.version, row.name, row.data.decode()) for row in rows]
    path = (sealed("hash"),) * 24  # in a log with 2**24 events
    receipt = Receipt("c" * 500, (path,) * len(rows))
    result = Result(meta().command, "accepted", events=tuple(told), receipt=receipt)
    size = len(result_codec.dump_json(result))
    assert size < MAX_MESSAGE


def _joined() -> Any:
    from domain import connection

    state = connection.State()
    connection.evolve(state, CONNECTED)
    return state


# Members.


def test_a_member_claims_the_key_once() -> None:
    after = given(*WITH_BOB).when(example(ClaimGroup), by=BOB)
    claimed = after.then(example(GroupClaimed, account=BOB.account), erased(GROUP, BOBS_KEY, of=[BOB]))
    claimed.when(example(ClaimGroup, wrap=sealed("another")), by=BOB).then_nothing()
    given(*WITH_BOB).when(example(ClaimGroup), by=EVE).then(NO_GROUP)
    given(*WITH_BOB).when(example(ClaimGroup, key=2), by=BOB).then(StaleVersion)
    given(*WITH_BOB).when(example(ClaimGroup, wrap=BOBS_KEY), by=BOB).then(AlreadyExists)


def test_who_leaves_has_the_key_no_more_and_is_dropped_by_the_next_epoch() -> None:
    left = example(GroupLeft, account=BOB.account, epoch=2, told=(ANN.account,))
    after = given(*WITH_BOB).when(LeaveGroup(GROUP, 2), by=BOB).then(left, erased(GROUP, BOBS_KEY, of=[BOB]))
    after.when(LeaveGroup(GROUP, 2), by=BOB).then_nothing()
    after.when(example(ClaimGroup), by=BOB).then(NO_GROUP)
    after.when(example(PostToGroup), by=BOB).then(NO_GROUP)
    again = staging((BOB, "reader"), epoch=3)
    after.when(again, by=ANN).then(StaleVersion)
    renewing = after.when(RENEWING, by=ANN).then(staged(RENEWING))
    renewing.when(advancing(3), by=ANN).then(StaleVersion)
    gone = erased(GROUP, ANNS_KEY, sealed("about"))
    renewing.when(DROPPING, by=ANN).then(advanced(DROPPING, 3), keyed(RENEWING, 3), gone)


def test_the_last_admin_goes_last() -> None:
    given(*WITH_BOB).when(LeaveGroup(GROUP, 2), by=ANN).then(LastAdmin)
    ends = example(GroupLeft, account=ANN.account, epoch=2, told=())
    after = given(*WITH_BOB).when(LeaveGroup(GROUP, 2, closing=True), by=ANN).then(ends, erased(GROUP, ANNS_KEY))
    bobs = example(GroupLeft, account=BOB.account, epoch=2, told=())
    after.when(LeaveGroup(GROUP, 2), by=BOB).then(bobs, erased(GROUP, BOBS_KEY, sealed("about"), of=[BOB]))
    given(*MADE).when(LeaveGroup(GROUP, 1), by=ANN).then(example(GroupLeft), erased(GROUP, ANNS_KEY, sealed("about")))
    given(*MADE).when(LeaveGroup(GROUP, 1), by=EVE).then(NO_GROUP)


@pytest.mark.parametrize("epoch", [1, 3])
def test_who_goes_goes_in_the_epoch_of_now(epoch: int) -> None:
    given(*WITH_BOB).when(LeaveGroup(GROUP, epoch), by=BOB).then(StaleVersion("the group is at epoch 2"))


def test_so_many_go_before_somebody_begins_an_epoch() -> None:
    state = group.State(epoch=1, members={ANN.account: group.Standing(member("ann"), sealed("w"))})
    state.members[BOB.account] = group.Standing(member("bob", "reader"), sealed("b"))
    for number in range(group.MAX_LEFT):
        state.members[long_id(str(number))] = group.Standing(member("x", "reader"), "", left=True)
    with pytest.raises(Busy):
        group.decide_leave(LeaveGroup(GROUP, 1), state, BOB)


# What is written.


@pytest.mark.parametrize("who", [ANN, BOB], ids=["admin", "writer"])
def test_writers_and_admins_post(who: Actor) -> None:
    role = member("ann") if who is ANN else member("bob", "writer")
    extended = example(GroupLineExtended, author=who.account)
    posted = example(GroupPosted, author=who.account, member=role)
    given(*WITH_BOB).when(example(PostToGroup), by=who).then(extended, posted)


def test_u9_a_reader_does_not_write() -> None:
    reading = staging((BOB, "reader"), epoch=3)
    history = given(*WITH_BOB, staged(reading), advanced(advancing(3), 1), keyed(reading, 1))
    history.when(example(PostToGroup), by=BOB).then(RoleNotEnough("readers do not write"))
    history.when(example(PostToGroup), by=ANN).then(*WROTE)
    history.when(example(PostToGroup), by=EVE).then(NO_GROUP)


@pytest.mark.parametrize("bent", [{"epoch": 1}, {"epoch": 3}, {"key": 2}], ids=["older", "newer", "another key"])
def test_u9_nothing_is_written_under_another_epoch_than_the_newest(bent: dict[str, int]) -> None:
    given(*WITH_BOB).when(example(PostToGroup), by=ANN, **bent).then(StaleVersion("the group is at epoch 2"))
    given(*WITH_BOB).when(example(PostToGroup), by=ANN, epoch=2).then(*WROTE)


@pytest.mark.parametrize("bent", [{"n": 2}, {"n": 0}, {"prev": sealed("x")}], ids=["left out", "again", "another"])
def test_only_the_next_in_the_groups_line_is_taken(bent: dict[str, Any]) -> None:
    given(*WITH_BOB).when(example(PostToGroup), by=ANN, **bent).then(StaleSequence("the group's line is at number 0"))


def test_a_line_has_room_for_so_much_and_what_stands_is_still_taken_back() -> None:
    last = group.MAX_LINE
    full = given(*WITH_BOB, example(GroupLineExtended, n=last), example(GroupPosted, n=last))
    full.when(example(PostToGroup, post=short_id("one more")), by=ANN).then(TooLarge)
    gone = erased(POST, sealed("posted"), sealed("posted wrap"))
    line = example(GroupLineExtended, n=last + 1, digest=given_digest())
    full.when(example(WithdrawPost), by=ANN).then(line, example(GroupWithdrawn, n=last + 1), gone)
    room = given(*WITH_BOB, example(GroupLineExtended, n=last - 1))
    room.when(example(PostToGroup), by=ANN).then(example(GroupLineExtended, n=last), example(GroupPosted, n=last))


def test_the_next_version_is_its_authors_and_erases_the_one_before() -> None:
    second = example(PostToGroup, version=2, content=sealed("second"), wrap=sealed("second wrap"))
    history = given(*WITH_BOB, *WROTE)
    gone = erased(POST, sealed("posted"), sealed("posted wrap"))
    said = {"version": 2, "n": 2, "content": second.content, "wrap": second.wrap}
    history.when(second, by=ANN).then(example(GroupLineExtended, n=2), example(GroupPosted, **said), gone)
    history.when(second, by=BOB).then(NotFound("there is no such post"))
    history.when(example(PostToGroup, version=3), by=ANN).then(StaleVersion("the post is at version 1"))
    history.when(example(PostToGroup), by=ANN).then(AlreadyExists)
    history.when(example(PostToGroup, version=2), by=ANN).then(AlreadyExists)


@pytest.mark.parametrize("who", [ANN, BOB], ids=["admin", "author"])
def test_a_post_is_taken_back_by_its_author_or_an_admin(who: Actor) -> None:
    his = example(GroupPosted, author=BOB.account, member=member("bob", "writer"))
    history = given(*WITH_BOB, example(GroupLineExtended, author=BOB.account), his)
    role = member("ann") if who is ANN else member("bob", "writer")
    back = example(GroupWithdrawn, by=who.account, member=role)
    line = example(GroupLineExtended, author=who.account, n=2, digest=given_digest())
    owners = (BOB, ANN) if who is ANN else (BOB,)
    gone = erased(POST, sealed("posted"), sealed("posted wrap"), of=owners)
    after = history.when(example(WithdrawPost), by=who).then(line, back, gone)
    after.when(example(WithdrawPost), by=who).then_nothing()
    after.when(example(PostToGroup, version=2, content=sealed("x"), wrap=sealed("y")), by=BOB).then(NotFound)


def given_digest() -> str:
    """Of the manifest of a withdrawal."""
    return sealed("withdrawal")


def test_nobody_else_takes_a_post_back() -> None:
    history = given(*WITH_BOB, *WROTE)
    history.when(example(WithdrawPost), by=BOB).then(RoleNotEnough)
    history.when(example(WithdrawPost), by=EVE).then(NO_GROUP)
    history.when(example(WithdrawPost, post=short_id("other")), by=ANN).then(NotFound("there is no such post"))
    history.when(example(WithdrawPost), by=ANN, version=2).then(StaleVersion)
    history.when(example(WithdrawPost, signature=signature("x")), by=ANN, epoch=1).then(StaleVersion)
