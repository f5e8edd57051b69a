"""Groups: staging and beginning epochs, keeping keys, writing, going."""

from domain import account, connection, group
from handlers.accounts import identity_of
from handlers.registry import Desk, handles
from privity.crypto.groups import (
    WRITING,
    Epoch,
    Member,
    Post,
    Roster,
    check_member,
    read_epoch,
    verify_epoch,
    verify_post,
    wraps_root,
)
from privity.encoding import digest, unb64
from privity.errors import ForgedRecord, Malformed, StaleVersion
from privity.messages.base import Event
from privity.messages.groups import (
    AdvanceGroup,
    ClaimGroup,
    GroupMember,
    LeaveGroup,
    PostToGroup,
    StageGroup,
    WithdrawPost,
)


@handles(StageGroup)
def stage(command: StageGroup, desk: Desk) -> list[Event]:
    """Only who is new, or has another identity than before, is looked up."""
    state = desk.load(group.State, command.group)
    changed = [one for one, member in command.members.items() if not _stays(state, one, member)]
    heads = {one: desk.load(account.State, one).head for one in changed}
    return group.decide_stage(
        command,
        state,
        desk.by,
        identities={
            one: GroupMember(command.members[one].role, head.n, head.head, digest(unb64(head.seal)))
            for one, head in heads.items()
            if head is not None
        },
        connections={one: desk.load(connection.State, id) for one, id in command.connections.items()},
    )


@handles(AdvanceGroup)
def advance(command: AdvanceGroup, desk: Desk) -> list[Event]:
    """The record must be signed by an admin of the epoch before, say what the command says, and have its roots."""
    state = desk.load(group.State, command.group)
    staged = group.staged_by(state, desk.by.account, command.batch)
    signed = unb64(command.record)
    public = identity_of(desk.by.account, desk.load).sign
    epoch = verify_epoch(signed, unb64(command.signature), public)
    if (epoch.group, epoch.epoch, epoch.by) != (command.group, command.epoch, desk.by.account):
        raise Malformed("the record says something else than the command")
    desk.home.check_named(epoch.checkpoint)
    members = group.next_members(state, staged, command.dropped)
    roster = Roster(to_member(one, member) for one, member in members.items())
    if (epoch.size, epoch.members, epoch.wraps) != (len(members), roster.root, wraps_root(staged.wraps)):
        raise Malformed("the record has other members, or other wraps, than were staged")
    before = read_epoch(unb64(state.record)) if state.epoch else None
    _check_proof(before, state, command, desk)
    return group.decide_advance(
        command,
        state,
        desk.by,
        staged=staged,
        record=_said(epoch, digest(signed), before),
        line=desk.load(group.LineState, command.group),
    )


@handles(ClaimGroup)
def claim(command: ClaimGroup, desk: Desk) -> list[Event]:
    """A member re-wraps the space key under a KEK of their own."""
    return group.decide_claim(command, desk.load(group.State, command.group), desk.by)


@handles(LeaveGroup)
def leave(command: LeaveGroup, desk: Desk) -> list[Event]:
    """A member goes."""
    return group.decide_leave(command, desk.load(group.State, command.group), desk.by)


@handles(PostToGroup)
def post(command: PostToGroup, desk: Desk) -> list[Event]:
    """The manifest must be signed by the author and say just what the command says."""
    state = desk.load(group.State, command.group)
    manifest = _verified(command, desk)
    said = (manifest.version, manifest.content, manifest.wrap)
    if said != (command.version, command.content, command.wrap):
        raise Malformed("the manifest says something else than the command")
    _check_author(manifest, state, command, desk)
    return group.decide_post(
        command,
        desk.load(group.PostState, command.post),
        desk.by,
        group=state,
        line=desk.load(group.LineState, command.group),
        written=_written(manifest, command),
    )


@handles(WithdrawPost)
def withdraw(command: WithdrawPost, desk: Desk) -> list[Event]:
    """The manifest must be signed by who takes the post back, and name no content."""
    state = desk.load(group.State, command.group)
    manifest = _verified(command, desk)
    if manifest.content is not None:
        raise Malformed("the manifest says something else than the command")
    _check_author(manifest, state, command, desk)
    return group.decide_withdraw(
        command,
        desk.load(group.PostState, command.post),
        desk.by,
        group=state,
        line=desk.load(group.LineState, command.group),
        written=_written(manifest, command),
    )


def to_member(account_id: str, member: GroupMember) -> Member:
    """A member as the epoch's tree has them."""
    return Member(account_id, member.role, member.head, member.seal)


def _stays(state: group.State, account_id: str, member: GroupMember) -> bool:
    standing = state.members.get(account_id)
    return standing is not None and (standing.member.n, standing.member.head, standing.member.seal) == (
        member.n,
        member.head,
        member.seal,
    )


def _check_proof(before: Epoch | None, state: group.State, command: AdvanceGroup, desk: Desk) -> None:
    """Readers rely on the path of who signed the epoch, so it must be the right one."""
    if before is None:
        if (command.index, command.proof) != (0, ()):
            raise Malformed("nobody has a place in an epoch before the first")
    else:
        _check_place(before, state, command, desk)


def _check_author(manifest: Post, state: group.State, command: PostToGroup | WithdrawPost, desk: Desk) -> None:
    member = state.member(desk.by.account)
    if manifest.epoch != state.epoch:
        raise StaleVersion(f"the group is at epoch {state.epoch}")
    if member.role in WRITING or manifest.content is None:
        _check_place(read_epoch(unb64(state.record)), state, command, desk)


def _check_place(
    epoch: Epoch, state: group.State, command: AdvanceGroup | PostToGroup | WithdrawPost, desk: Desk
) -> None:
    by = desk.by.account
    try:
        check_member(epoch, to_member(by, state.member(by)), command.index, command.proof)
    except ForgedRecord as error:
        raise Malformed(error.message) from None


def _verified(command: PostToGroup | WithdrawPost, desk: Desk) -> Post:
    public = identity_of(desk.by.account, desk.load).sign
    manifest = verify_post(unb64(command.manifest), unb64(command.signature), public)
    if (manifest.group, manifest.post, manifest.author) != (command.group, command.post, desk.by.account):
        raise Malformed("the manifest says something else than the command")
    desk.home.check_named(manifest.checkpoint)
    return manifest


def _written(manifest: Post, command: PostToGroup | WithdrawPost) -> group.Written:
    named = digest(unb64(command.manifest))
    return group.Written(named, manifest.epoch, manifest.key, manifest.version, manifest.n, manifest.prev)


def _said(epoch: Epoch, named: str, before: Epoch | None) -> group.Record:
    return group.Record(
        digest=named,
        prev=epoch.prev,
        dropped=epoch.dropped,
        key=epoch.key,
        about=epoch.about,
        link=epoch.link,
        n=epoch.n,
        last=epoch.last,
        same_key=before is not None and epoch.commitment == before.commitment,
    )
