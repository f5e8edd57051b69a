"""What there is, in plain sets and numbers: ids are the system's, people go by their names, a secret is its text."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

Verdict = Literal["accepted", "ignored", "refused"]
Reading = tuple[str, str]
"""Somebody, and a secret that they can read."""


def granted(*conditions: bool) -> bool:
    """Whether all of them hold."""
    return all(conditions)


@dataclass
class Invitation:
    """From whom, and until when."""

    inviter: str
    expires: datetime
    note: str
    closed: bool = False
    declined_by: str = ""


@dataclass
class Connection:
    """Between two people; `sent` counts what each of them sent over it, `notes` are what stands for their notes."""

    inviter: str
    acceptor: str
    confirmed: bool = False
    stands: bool = True
    sent: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def joins(self, *people: str) -> bool:
        """Whether these are its ends, and it stands."""
        return self.stands and set(people) <= {self.inviter, self.acceptor}

    def peer_of(self, who: str) -> str:
        """The other one."""
        return self.acceptor if who == self.inviter else self.inviter


@dataclass
class Item:
    """What somebody keeps; `vault` is whether it is under the vault key now."""

    owner: str
    secret: str
    version: int = 1
    vault: bool = False
    stands: bool = True


@dataclass
class Brought:
    """What a generation of a share brings. `terms` is their hash."""

    secret: str
    version: int
    expires: datetime | None = None
    terms: str | None = None
    reshare: int = 0


@dataclass
class Share:
    """An item for one reader."""

    owner: str
    recipient: str
    connection: str
    item: str
    source: str | None
    now: Brought
    generation: int = 1
    accepted: str | None = None
    claimed: bool = False
    stands: bool = True


@dataclass
class Files:
    """What is attached to an item or a share: the secret of each file."""

    owner: str
    files: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


@dataclass
class Post:
    """What somebody wrote to a group; no secret when it was taken back."""

    group: str
    author: str
    version: int
    secret: str | None


@dataclass
class Group:
    """Who is in, as what; `line` counts what was written."""

    epoch: int = 0
    key: int = 0
    line: int = 0
    roles: dict[str, str] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    """The number of each member's record as the epoch has it."""
    left: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)
    staged: dict[str, str] = field(default_factory=dict)

    def role(self, who: str) -> str:
        """Of somebody who is in; else nothing."""
        return "" if who in self.left else self.roles.get(who, "")


@dataclass
class Grant:
    """The key of a piece as somebody was given it."""

    connection: str
    generation: int
    stored: bool = False


@dataclass
class Piece:
    """What somebody keeps under a name; no secret when it was removed."""

    owner: str
    secret: str | None = None
    version: int = 0
    generation: int = 0
    due: bool = False
    readers: dict[str, Grant] = field(default_factory=dict)


@dataclass
class Request:
    """What somebody asks for, round after round."""

    asker: str = ""
    connection: str = ""
    n: int = 0
    open: bool = False


@dataclass
class Holder:
    """Somebody's private part of a sharing key."""

    connection: str
    generation: int
    claimed: bool


@dataclass
class Location:
    """What is written under a sharing key."""

    secrets: list[str] = field(default_factory=list)
    stands: bool = True


@dataclass
class Key:
    """A sharing key."""

    creator: str
    n: int = 1
    generation: int = 1
    held: dict[str, Holder] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    """Who was given the public part, and of which generation."""
    notes: dict[str, str] = field(default_factory=dict)
    """What stands for everybody's own note."""
    location: Location | None = None
    ended: bool = False

    def knows(self, who: str) -> bool:
        """Whether they have a part of it, be it the public one."""
        return who in self.held or who in self.known

    def forget(self, who: str) -> None:
        """They have nothing of it from now on."""
        for kept in (self.held, self.known, self.notes):
            kept.pop(who, None)

    @property
    def holders(self) -> tuple[str, ...]:
        """Who has it beside the creator."""
        return tuple(sorted(set(self.held) - {self.creator}))


@dataclass
class Begun:
    """A grant of a key, since which of its records, and how its steps went."""

    n: int
    steps: dict[str, str] = field(default_factory=dict)


@dataclass
class Audit:
    """A question of somebody's, whether another has a key; of no key, it is about their identity."""

    of: str
    connection: str
    wanted: tuple[str, str]
    """Key and kind."""
    at: datetime
    open: bool = True

    def over(self, now: datetime) -> bool:
        """Whether nobody needs it any more."""
        return now - self.at >= (timedelta(days=7) if self.open else timedelta(hours=1))


@dataclass
class Supplier:
    """Who keeps fragments, as they are called; `lost_to` is who took their place, if somebody did."""

    called: str
    quota: int
    lost_to: str = ""


@dataclass
class Delegate:
    """Somebody who may act for somebody else."""

    who: str
    role: str
    connection: str


@dataclass
class Instruction:
    """What a delegate wants done."""

    by: str
    secret: str
    expires: datetime


@dataclass
class Vault:
    """Who has somebody's vault key."""

    n: int = 0
    generation: int = 0
    delegates: dict[str, Delegate] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    holders: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)
    given: dict[str, int] = field(default_factory=dict)
    """The newest number of the instructions under each delegation."""
    open: dict[tuple[str, int], Instruction] = field(default_factory=dict)


@dataclass
class Facts:
    """Everybody and everything. `heads` and `signs` count the records of each identity, and its sign keys."""

    now: datetime
    heads: dict[str, int] = field(default_factory=dict)
    signs: dict[str, int] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    address: dict[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    """Whose each address is, or was."""
    keypairs: dict[str, Literal["stored", "published", "removed"]] = field(default_factory=dict)
    """What became of everybody's keypair for connections."""
    invitations: dict[str, Invitation] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)
    files: dict[str, Files] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    posts: dict[str, Post] = field(default_factory=dict)
    pieces: dict[str, Piece] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    grants: dict[tuple[str, str, str], Begun] = field(default_factory=dict)
    """By key, receiver and connection."""
    audits: dict[str, dict[str, Audit]] = field(default_factory=dict)
    """By who asks, and id."""
    suppliers: dict[str, Supplier] = field(default_factory=dict)
    vaults: dict[str, Vault] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    """The number of everybody's rules."""
    ever: set[Reading] = field(default_factory=set)
    """All that anybody could open at any time, by a key that they have, whoever serves it."""

    def connection_of(self, one: str, other: str) -> str | None:
        """The connection between two people that stands."""
        return next((id for id, each in self.connections.items() if each.joins(one, other)), None)

    def kept_by(self, id: str, who: str) -> bool:
        """Whether it is somebody's item, and stands."""
        return id in self.items and self.items[id].stands and self.items[id].owner == who

    def share_stands(self, share: Share) -> bool:
        """Whether it is there for its owner."""
        return share.stands and self.connections[share.connection].stands

    def readable(self, share: Share) -> bool:
        """Whether its recipient may read it, as long as it stands."""
        said = share.now
        return (said.expires is None or self.now < said.expires) and said.terms in (None, share.accepted)
