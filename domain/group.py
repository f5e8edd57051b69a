"""A group: its members and epochs, the line of what is written to it, and each post.

An epoch is staged in chunks, by one admin, and begins as a whole: nobody is in it without a wrap of its space key. Who
is dropped, or went, is in no epoch behind, and the next space key is never wrapped for them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from domain import connection as connection_
from domain.erasure import check_new, erase
from domain.facts import Actor
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
from privity.messages.groups import (
    MAX_MEMBERS,
    MAX_STAGED,
    MAX_TOLD,
    AdvanceGroup,
    ClaimGroup,
    GroupAdvanced,
    GroupClaimed,
    GroupKeyed,
    GroupLeft,
    GroupLineExtended,
    GroupMember,
    GroupPosted,
    GroupStaged,
    GroupWithdrawn,
    LeaveGroup,
    PostToGroup,
    StageGroup,
    WithdrawPost,
)

T = TypeVar("T")

MAX_STAGING = 8
"""Admins who prepare an epoch of one group at a time."""
MAX_WAITING = 3 * MAX_MEMBERS
"""Wraps that all of them have staged together: an epoch erases those of the others, and its result must be sent."""
MAX_LEFT = 48
"""Members who went before the next epoch drops them: fewer than it can drop."""
MAX_LINE = 100_000
"""Numbers of a group's line behind which posts are only taken back: agents read all of it, up to twice as much."""
ERASED_AT_ONCE = 16
"""Sealed objects that one event of erasing names."""
NO_GROUP = "there is no such group"
NO_POST = "there is no such post"


@dataclass(slots=True)
class Standing:
    """A member, and the sealed object that holds the space key for them: wrapped, or claimed."""

    member: GroupMember
    wrap: str
    claimed: bool = False
    left: bool = False


@dataclass(slots=True)
class Staged:
    """What an admin has brought so far for the next epoch."""

    batch: str
    epoch: int
    members: dict[str, GroupMember] = field(default_factory=dict)
    wraps: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """What the next decision about a group needs; `head` is the digest of the newest epoch's record."""

    epoch: int = 0
    key: int = 0
    head: str | None = None
    record: str = ""
    about: str = ""
    link: str | None = None
    links: list[str] = field(default_factory=list)
    members: dict[str, Standing] = field(default_factory=dict)
    staged: dict[str, Staged] = field(default_factory=dict)

    def member(self, account: str) -> GroupMember:
        """Who that is in the epoch.

        Raises:
            NotFound: nobody, or somebody who went.
        """
        standing = self.members.get(account)
        if standing is None or standing.left:
            raise NotFound(NO_GROUP)
        return standing.member

    def sealed(self) -> Iterator[str]:
        """Every sealed object that the group holds, but for those of posts."""
        yield from (each.wrap for each in self.members.values() if each.wrap)
        for staged in self.staged.values():
            yield from staged.wraps.values()
        yield from self.links
        if self.about:
            yield self.about


@dataclass(slots=True)
class LineState:
    """How far the group's line goes: the newest number, and that manifest's digest."""

    n: int = 0
    head: str | None = None


@dataclass(slots=True)
class PostState:
    """What the next decision about a post needs; `sealed` are its objects as they stand."""

    group: str = ""
    author: str = ""
    version: int = 0
    withdrawn: bool = False
    sealed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """What an epoch's record says, and its own digest; the handler has verified signature, size and roots."""

    digest: str
    prev: str | None
    dropped: tuple[str, ...]
    key: int
    about: str
    link: str | None
    n: int
    last: str | None
    same_key: bool
    """Whether its space key is that of the epoch before, by the commitment."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a manifest says of its place, and its own digest."""

    digest: str
    epoch: int
    key: int
    version: int
    n: int
    prev: str | None


def staged_by(state: State, by: str, batch: str) -> Staged:
    """What somebody staged for the next epoch.

    Raises:
        StaleVersion: nothing, or another batch: an epoch has begun meanwhile.
    """
    staged = state.staged.get(by)
    if staged is None or staged.batch != batch:
        raise StaleVersion("nothing is staged in this batch: another epoch has begun")
    return staged


def next_members(state: State, staged: Staged, dropped: Collection[str]) -> dict[str, GroupMember]:
    """Who is in the epoch that would begin."""
    staying = {one: each.member for one, each in state.members.items() if one not in set(dropped)}
    return staying | staged.members


def decide_stage(
    command: StageGroup,
    state: State,
    by: Actor,
    *,
    identities: Mapping[str, GroupMember],
    connections: Mapping[str, connection_.State],
) -> list[Event]:
    """What follows from bringing wraps for the next epoch.

    `identities` are those of now of the members whose identity is another than in the epoch before, with any role.
    """
    if state.epoch and state.member(by.account).role != "admin":
        raise RoleNotEnough("only admins change who is in the group")
    if command.epoch != state.epoch + 1:
        raise StaleVersion(f"the group is at epoch {state.epoch}")
    if command.members.keys() != command.wraps.keys() or len(set(command.wraps.values())) < len(command.wraps):
        raise Malformed("each member needs a wrap of their own")
    for account, member in command.members.items():
        _check_staged(account, member, state, by, identities, connections)
    before = state.staged.get(by.account)
    goes_on = before is not None and before.batch == command.batch
    if before is None and len(state.staged) >= MAX_STAGING:
        raise Busy("other admins are changing this group; try again")
    if before is not None and goes_on and not before.members.keys().isdisjoint(command.members):
        raise AlreadyExists("a member is staged twice")
    known = before.members.keys() if before is not None and goes_on else set[str]()
    if len(state.members.keys() | known | command.members.keys()) > MAX_MEMBERS:
        raise TooLarge(f"a group has at most {MAX_MEMBERS} members")
    waiting = sum(len(each.wraps) for admin, each in state.staged.items() if goes_on or admin != by.account)
    if waiting + len(command.wraps) > MAX_WAITING:
        raise Busy("other admins are changing this group; try again")
    check_new(command.wraps.values(), state.sealed())
    staged = GroupStaged(
        command.group, by.account, command.epoch, command.batch, dict(command.members), dict(command.wraps)
    )
    gone = () if before is None or goes_on else before.wraps.values()
    return [staged, *_erase(command.group, ((by.account, wrap) for wrap in gone))]


def decide_advance(
    command: AdvanceGroup, state: State, by: Actor, *, staged: Staged, record: Record, line: LineState
) -> list[Event]:
    """What follows from the signed record of the next epoch."""
    member = _signer(state, staged, by)
    if command.epoch != state.epoch + 1 or staged.epoch != command.epoch or record.prev != state.head:
        raise StaleVersion(f"the group is at epoch {state.epoch}")
    if (record.n, record.last) != (line.n, line.head):
        raise StaleSequence(f"the group's line is at number {line.n}")
    _check_dropped(command, state, staged, by, record)
    members = next_members(state, staged, command.dropped)
    if not any(each.role == "admin" for each in members.values()):
        raise LastAdmin
    _check_key(command, state, staged, record, members.keys())
    if command.about is not None and command.about == command.link:
        raise Malformed("what the group is about and the key before are two objects")
    check_new([each for each in (command.about, command.link) if each], state.sealed())
    advanced = GroupAdvanced(
        group=command.group,
        epoch=command.epoch,
        key=record.key,
        by=by.account,
        member=member,
        dropped=command.dropped,
        digest=record.digest,
        record=command.record,
        signature=command.signature,
        index=command.index,
        proof=command.proof,
        about=command.about,
        link=command.link,
    )
    keyed = [
        GroupKeyed(
            command.group,
            by.account,
            command.epoch,
            record.key,
            {each: staged.members[each] for each in chunk},
            {each: staged.wraps[each] for each in chunk},
        )
        for chunk in _chunks(staged.members, MAX_STAGED)
    ]
    return [advanced, *keyed, *_erase(command.group, _replaced(command, state, staged, by))]


def decide_claim(command: ClaimGroup, state: State, by: Actor) -> list[Event]:
    """What follows from a member's keeping the space key; a second claim changes nothing."""
    state.member(by.account)
    standing = state.members[by.account]
    if command.key != state.key:
        raise StaleVersion(f"the group's key is that of epoch {state.key}")
    if standing.claimed:
        return []
    check_new([command.wrap], state.sealed())
    claimed = GroupClaimed(command.group, by.account, command.key, command.wrap)
    return [claimed, *_erase(command.group, [(by.account, standing.wrap)])]


def decide_leave(command: LeaveGroup, state: State, by: Actor) -> list[Event]:
    """What follows from a member's going; who is the last admin may only go last of all, or with their account."""
    standing = state.members.get(by.account)
    if standing is not None and standing.left:
        return []
    member = state.member(by.account)
    if command.epoch != state.epoch:
        raise StaleVersion(f"the group is at epoch {state.epoch}")
    if sum(each.left for each in state.members.values()) >= MAX_LEFT:
        raise Busy("many went; an admin has to renew the group's key first")
    rest = [each.member.role for one, each in state.members.items() if one != by.account and not each.left]
    if member.role == "admin" and rest and "admin" not in rest and not command.closing:
        raise LastAdmin
    gone = [(by.account, state.members[by.account].wrap)]
    if by.account in state.staged:
        gone += [(by.account, wrap) for wrap in state.staged[by.account].wraps.values()]
    if not rest:
        gone += [(by.account, each) for each in (*state.links, state.about)]
    admins = [one for one, each in state.members.items() if each.member.role == "admin" and not each.left]
    told = tuple(sorted(one for one in admins if one != by.account)[:MAX_TOLD])
    return [GroupLeft(command.group, by.account, state.epoch, told), *_erase(command.group, gone)]


def decide_post(
    command: PostToGroup, state: PostState, by: Actor, *, group: State, line: LineState, written: Written
) -> list[Event]:
    """What follows from posting an item, or its next version."""
    member = _writer(group, line, by, written)
    if member.role == "reader":
        raise RoleNotEnough("readers do not write")
    if line.n >= MAX_LINE:
        raise TooLarge(f"a group has room for {MAX_LINE} numbers; make another one")
    if command.version == 1 and state.author:
        raise AlreadyExists("there is a post with this id already")
    if command.version != 1 and (state.group, state.author) != (command.group, by.account):
        raise NotFound(NO_POST)
    if state.withdrawn:
        raise NotFound(NO_POST)
    if command.version != state.version + 1:
        raise StaleVersion(f"the post is at version {state.version}")
    check_new((command.content, command.wrap), state.sealed)
    posted = GroupPosted(
        group=command.group,
        post=command.post,
        version=command.version,
        n=written.n,
        author=by.account,
        member=member,
        manifest=command.manifest,
        signature=command.signature,
        content=command.content,
        wrap=command.wrap,
        index=command.index,
        proof=command.proof,
    )
    extended = GroupLineExtended(command.group, by.account, written.n, command.post, written.digest)
    return [extended, posted, *erase(command.post, state.sealed, [by.account])]


def decide_withdraw(
    command: WithdrawPost, state: PostState, by: Actor, *, group: State, line: LineState, written: Written
) -> list[Event]:
    """What follows from taking a post back; again changes nothing."""
    member = group.member(by.account)
    if not state.author or state.group != command.group:
        raise NotFound(NO_POST)
    if by.account != state.author and member.role != "admin":
        raise RoleNotEnough("only its author and admins take a post back")
    if state.withdrawn:
        return []
    _writer(group, line, by, written)
    if written.version != state.version:
        raise StaleVersion(f"the post is at version {state.version}")
    withdrawn = GroupWithdrawn(
        group=command.group,
        post=command.post,
        n=written.n,
        by=by.account,
        member=member,
        manifest=command.manifest,
        signature=command.signature,
        index=command.index,
        proof=command.proof,
    )
    extended = GroupLineExtended(command.group, by.account, written.n, command.post, written.digest)
    return [extended, withdrawn, *erase(command.post, state.sealed, dict.fromkeys((state.author, by.account)))]


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case GroupStaged(by=by, batch=batch, epoch=epoch):
            if by not in state.staged or state.staged[by].batch != batch:
                state.staged[by] = Staged(batch, epoch)
            state.staged[by].members.update(event.members)
            state.staged[by].wraps.update(event.wraps)
        case GroupAdvanced():
            state.staged.clear()
            state.epoch, state.key, state.head, state.record = event.epoch, event.key, event.digest, event.record
            for account in event.dropped:
                del state.members[account]
            if event.about is not None:
                state.about, state.link = event.about, event.link
            if event.link is not None:
                state.links.append(event.link)
        case GroupKeyed():
            for account, member in event.members.items():
                state.members[account] = Standing(member, event.wraps[account])
        case GroupClaimed(account=account, wrap=wrap):
            state.members[account] = replace(state.members[account], wrap=wrap, claimed=True)
        case GroupLeft(account=account):
            state.members[account] = replace(state.members[account], wrap="", left=True)
            state.staged.pop(account, None)
            if all(each.left for each in state.members.values()):
                state.about, state.links = "", []
        case _:
            raise NotImplementedError(event.name)


def evolve_line(state: LineState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case GroupLineExtended(n=n, digest=digest):
            state.n, state.head = n, digest
        case _:
            raise NotImplementedError(event.name)


def evolve_post(state: PostState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case GroupPosted(group=group, author=author, version=version, content=content, wrap=wrap):
            state.group, state.author, state.version, state.sealed = group, author, version, (content, wrap)
        case GroupWithdrawn():
            state.withdrawn, state.sealed = True, ()
        case _:
            raise NotImplementedError(event.name)


def _check_staged(
    account: str,
    member: GroupMember,
    state: State,
    by: Actor,
    identities: Mapping[str, GroupMember],
    connections: Mapping[str, connection_.State],
) -> None:
    """Who is new must be connected with the admin; an identity is the one of the epoch before, or the one of now."""
    standing = state.members.get(account)
    if standing is not None and standing.left:
        raise StaleVersion("somebody went meanwhile; read the group again")
    if standing is None and account != by.account:
        joined = connections.get(account)
        if joined is None or not joined.joins(by.account) or joined.peer_of(by.account) != account:
            raise NotConnected
    if standing is None or replace(standing.member, role=member.role) != member:
        now = identities.get(account)
        if now is None or replace(now, role=member.role) != member:
            raise StaleVersion("a member's identity is another one now; read it again")


def _signer(state: State, staged: Staged, by: Actor) -> GroupMember:
    """Who signs an epoch: an admin of the one before, or of the first its creator."""
    if not state.epoch:
        member = staged.members.get(by.account)
        if member is None or member.role != "admin":
            raise RoleNotEnough("who makes a group is its first admin")
        return member
    member = state.member(by.account)
    if member.role != "admin":
        raise RoleNotEnough("only admins change who is in the group")
    return member


def _check_dropped(command: AdvanceGroup, state: State, staged: Staged, by: Actor, record: Record) -> None:
    dropped = set(command.dropped)
    if command.dropped != record.dropped:
        raise Malformed("the record drops others than the command")
    if len(dropped) < len(command.dropped) or by.account in dropped or not dropped.isdisjoint(staged.members):
        raise Malformed("somebody is dropped twice, or stays as well, or drops themself: leave the group")
    if not dropped <= state.members.keys():
        raise StaleVersion("somebody is dropped who is not in the group")
    if not dropped.issuperset(one for one, each in state.members.items() if each.left):
        raise StaleVersion("somebody went meanwhile; read the group again")


def _check_key(command: AdvanceGroup, state: State, staged: Staged, record: Record, members: Collection[str]) -> None:
    """A new space key is for all who stay, with a link to the one before; it is a must where somebody is dropped."""
    brought = (command.about, command.link)
    if record.key == command.epoch:
        if (record.about, record.link) != brought or (record.link is None) is not (command.epoch == 1):
            raise Malformed("a new key comes with what the group is about, and with the key before")
        if set(members) != staged.members.keys():
            raise Malformed("a new key is for every member")
        return
    if command.dropped:
        raise Malformed("who is dropped must not have the next key")
    kept = (record.key, record.about, record.link, record.same_key)
    if brought != (None, None) or kept != (state.key, state.about, state.link, True):
        raise Malformed("the epoch names another key than the one that stays")


def _replaced(command: AdvanceGroup, state: State, staged: Staged, by: Actor) -> Iterator[tuple[str, str]]:
    """The sealed objects that an epoch puts out of use, each with whose it was."""
    for account in (*staged.members, *command.dropped):
        if account in state.members:
            yield account, state.members[account].wrap
    for admin, other in state.staged.items():
        if admin != by.account:
            yield from ((admin, wrap) for wrap in other.wraps.values())
    if command.about is not None:
        yield by.account, state.about


def _writer(group: State, line: LineState, by: Actor, written: Written) -> GroupMember:
    """Who writes, under the newest epoch and as the next in the line."""
    member = group.member(by.account)
    if (written.epoch, written.key) != (group.epoch, group.key):
        raise StaleVersion(f"the group is at epoch {group.epoch}")
    if (written.n, written.prev) != (line.n + 1, line.head):
        raise StaleSequence(f"the group's line is at number {line.n}")
    return member


def _erase(group: str, gone: Iterable[tuple[str, str]]) -> list[Event]:
    """Events that let go of sealed objects, each with whose it was; some at a time."""
    owned = [(account, wrap) for account, wrap in gone if wrap]
    return [
        event
        for chunk in _chunks(owned, ERASED_AT_ONCE)
        for event in erase(group, (wrap for _, wrap in chunk), (account for account, _ in chunk))
    ]


def _chunks(things: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(things)
    while chunk := list(islice(rest, size)):
        yield chunk
