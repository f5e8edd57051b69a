"""Groups: an encryption space with several members, whose epochs are signed.

An epoch says who the members are, with which roles, and which space key is in use. It is prepared in chunks
(`StageGroup`: each member's wrap of the space key), and one signed record makes all of it count (`AdvanceGroup`).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from privity.messages.base import Command, Event
from privity.messages.fields import STRICT, AccountId, Bytes, ConnectionId, Digest, Id, Sealed, Signature, Version

MAX_MEMBERS = 1024
"""Of a group."""
MAX_STAGED = 60
"""Members whose wraps one command brings."""
MAX_DROPPED = 64
"""Members who are dropped by one epoch."""
MAX_TOLD = 16
"""Admins whose feed tells that somebody went."""
MAX_PROOF = 10
"""Hashes on the path from a member to the root over 1,024 of them."""

GroupId = AccountId
"""The hash of the creator's account and a nonce: whoever knows the id knows who made the group."""
GroupRole = Literal["reader", "writer", "admin"]
Index = Annotated[int, Field(ge=0, le=MAX_MEMBERS - 1)]
Proof = Annotated[tuple[Digest, ...], Field(max_length=MAX_PROOF)]


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member's place in an epoch: role, and record number, head and digest of the public seal key of their identity.

    All but the number stand in the epoch's signed root; the number finds the record that has the head.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    role: GroupRole
    n: Annotated[int, Field(ge=0, le=1000)]
    head: Digest
    seal: Digest


Members = Annotated[dict[AccountId, GroupMember], Field(min_length=1, max_length=MAX_STAGED)]
Wraps = Annotated[dict[AccountId, Sealed], Field(min_length=1, max_length=MAX_STAGED)]


@dataclass(frozen=True, slots=True)
class StageGroup(Command):
    """Bring members with their wraps for the next epoch, which counts only once its record comes.

    A `batch` is all that one admin brings for one epoch; another batch of theirs takes its place. `wraps` has the
    same members as `members`, `connections` the connection with each who is not in the group yet.
    """

    subject: ClassVar[str] = "groups.stage"
    group: GroupId
    epoch: Version
    batch: Id
    members: Members
    wraps: Wraps
    connections: Annotated[dict[AccountId, ConnectionId], Field(max_length=MAX_STAGED)]


@dataclass(frozen=True, slots=True)
class AdvanceGroup(Command):
    """Begin the next epoch, with the staged members of the batch and without the dropped ones.

    Who is dropped stands in the record too, which is signed by the identity of an admin of the epoch before: `index`
    and `proof` show their place in that epoch's root. The first epoch is its creator's. `about` (the sealed name) and
    `link` (the space key before, under the new one) come with a new space key; the first key has no link.
    """

    subject: ClassVar[str] = "groups.advance"
    group: GroupId
    epoch: Version
    batch: Id
    dropped: Annotated[tuple[AccountId, ...], Field(max_length=MAX_DROPPED)]
    record: Bytes
    signature: Signature
    index: Index
    proof: Proof
    about: Sealed | None
    link: Sealed | None


@dataclass(frozen=True, slots=True)
class ClaimGroup(Command):
    """A member keeps the space key, made in epoch `key`, under a KEK of their own."""

    subject: ClassVar[str] = "groups.claim"
    group: GroupId
    key: Version
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class PostToGroup(Command):
    """Post an item, or its next version, sealed once for all members: the next in the group's line.

    `index` and `proof` show the author's place in the root of the epoch that the manifest names.
    """

    subject: ClassVar[str] = "groups.post"
    group: GroupId
    post: Id
    version: Version
    manifest: Bytes
    signature: Signature
    content: Sealed
    wrap: Sealed
    index: Index
    proof: Proof


@dataclass(frozen=True, slots=True)
class WithdrawPost(Command):
    """Take a post back: by its author, or an admin. The manifest, the next in the group's line, names no content."""

    subject: ClassVar[str] = "groups.withdraw"
    group: GroupId
    post: Id
    manifest: Bytes
    signature: Signature
    index: Index
    proof: Proof


@dataclass(frozen=True, slots=True)
class LeaveGroup(Command):
    """Go by oneself: nothing more is served at once, and the next epoch has a key that one never gets.

    `epoch` is the one of now: who comes again later has not gone by this. `closing`: the account ends with all that it
    has, so that even the last admin goes.
    """

    subject: ClassVar[str] = "groups.leave"
    group: GroupId
    epoch: Version
    closing: bool = False


@dataclass(frozen=True, slots=True)
class GroupStaged(Event):
    """Wraps for the next epoch were brought; they count when it begins."""

    context: ClassVar[str] = "groups"
    name: ClassVar[str] = "group-staged"
    kind: ClassVar[str] = "group"
    id_field: ClassVar[str] = "group"
    group: GroupId
    by: AccountId
    epoch: Version
    batch: Id
    members: Members
    wraps: Wraps


@dataclass(frozen=True, slots=True)
class GroupAdvanced(Event):
    """An epoch began, whose record has that digest; `key` is the epoch that its space key was made in.

    `member` is who signed it, as the epoch before has them; the first epoch, as itself has them.
    """

    context: ClassVar[str] = "groups"
    name: ClassVar[str] = "group-advanced"
    kind: ClassVar[str] = "group"
    id_field: ClassVar[str] = "group"
    group: GroupId
    epoch: Version
    key: Version
    by: AccountId
    member: GroupMember
    dropped: tuple[AccountId, ...]
    digest: Digest
    record: Bytes
    signature: Bytes
    index: Index
    proof: Proof
    about: Sealed | None
    link: Sealed | None


@dataclass(frozen=True, slots=True)
class GroupKeyed(Event):
    """Members are in the epoch, or anew, each with a wrap of its space key."""

    context: ClassVar[str] = "groups"
    name: ClassVar[str] = "group-keyed"
    kind: ClassVar[str] = "group"
    id_field: ClassVar[str] = "group"
    group: GroupId
    by: AccountId
    epoch: Version
    key: Version
    members: Members
    wraps: Wraps


@dataclass(frozen=True, slots=True)
class GroupClaimed(Event):
    """A member holds the space key under a KEK of their own."""

    context: ClassVar[str] = "groups"
    name: ClassVar[str] = "group-claimed"
    kind: ClassVar[str] = "group"
    id_field: ClassVar[str] = "group"
    group: GroupId
    account: AccountId
    key: Version
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class GroupLeft(Event):
    """A member went by themself, in that epoch; `told` are some admins, who are to begin the next."""

    context: ClassVar[str] = "groups"
    name: ClassVar[str] = "group-left"
    kind: ClassVar[str] = "group"
    id_field: ClassVar[str] = "group"
    group: GroupId
    account: AccountId
    epoch: Version
    told: Annotated[tuple[AccountId, ...], Field(max_length=MAX_TOLD)]


@dataclass(frozen=True, slots=True)
class GroupLineExtended(Event):
    """What is written to the group got its next number; `digest` is the manifest's."""

    context: ClassVar[str] = "groups"
    name: ClassVar[str] = "group-line-extended"
    kind: ClassVar[str] = "groupline"
    id_field: ClassVar[str] = "group"
    group: GroupId
    author: AccountId
    n: Version
    post: Id
    digest: Digest


@dataclass(frozen=True, slots=True)
class GroupPosted(Event):
    """An item, or its next version, was posted; `member` is the author as the epoch has them."""

    context: ClassVar[str] = "groups"
    name: ClassVar[str] = "group-posted"
    kind: ClassVar[str] = "post"
    id_field: ClassVar[str] = "post"
    group: GroupId
    post: Id
    version: Version
    n: Version
    author: AccountId
    member: GroupMember
    manifest: Bytes
    signature: Bytes
    content: Sealed
    wrap: Sealed
    index: Index
    proof: Proof


@dataclass(frozen=True, slots=True)
class GroupWithdrawn(Event):
    """A post was taken back, by its author or an admin."""

    context: ClassVar[str] = "groups"
    name: ClassVar[str] = "group-withdrawn"
    kind: ClassVar[str] = "post"
    id_field: ClassVar[str] = "post"
    group: GroupId
    post: Id
    n: Version
    by: AccountId
    member: GroupMember
    manifest: Bytes
    signature: Bytes
    index: Index
    proof: Proof


COMMANDS = (StageGroup, AdvanceGroup, ClaimGroup, PostToGroup, WithdrawPost, LeaveGroup)
EVENTS = (
    GroupStaged,
    GroupAdvanced,
    GroupKeyed,
    GroupClaimed,
    GroupLeft,
    GroupLineExtended,
    GroupPosted,
    GroupWithdrawn,
)
