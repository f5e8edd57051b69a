"""A group with all that can happen in it, as its members' agents would sign it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from handlers.opening import Delivery
from privity.crypto.groups import (
    Epoch,
    Member,
    Post,
    Roster,
    commit,
    group_id,
    link_key,
    seal_about,
    seal_post,
    seal_space_key,
    sign_epoch,
    sign_post,
    wraps_root,
)
from privity.crypto.identity import Identity
from privity.crypto.keyring import new_dek, new_kek
from privity.encoding import b64, digest, new_id
from privity.messages.groups import (
    AdvanceGroup,
    ClaimGroup,
    GroupMember,
    GroupRole,
    LeaveGroup,
    PostToGroup,
    StageGroup,
    WithdrawPost,
)
from tests.handlers.people import CHECKPOINT, Citizen

NONCE = b"n" * 16


@dataclass
class Club:
    """A group, as far as it was told."""

    founder: Citizen
    roles: dict[str, GroupRole] = field(default_factory=dict)
    people: dict[str, Citizen] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)
    """As the epoch has them: a member's may have gone on since."""
    epochs: list[Epoch] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    keys: dict[int, bytes] = field(default_factory=dict)
    n: int = 0
    last: str | None = None
    nonce: bytes = NONCE

    @property
    def id(self) -> str:
        """The group's id."""
        return group_id(self.founder.account, self.nonce)

    @property
    def roster(self) -> Roster:
        """Who is in now."""
        return Roster(self._member(each) for each in self.people.values())

    def advances(
        self,
        changes: Mapping[str, tuple[Citizen, GroupRole | None]],
        over: Mapping[str, str] | None = None,
        *,
        renewed: bool | None = None,
    ) -> list[Delivery]:
        """The next epoch, by the founder: new roles, or None for who is dropped; in one chunk.

        `renewed`: whether the space key is a new one, if not just where somebody is dropped.
        """
        number, before = len(self.epochs) + 1, self.roster
        place = before.proof(self.founder.account) if self.epochs else (0, ())
        dropped = tuple(sorted(one for one, (_, role) in changes.items() if role is None))
        if renewed is None:
            renewed = not self.epochs or bool(dropped)
        for account, (citizen, role) in changes.items():
            if role is None:
                del self.people[account], self.roles[account], self.identities[account]
            else:
                self.people[account], self.roles[account] = citizen, role
                self.identities[account] = citizen.identity
        staged = self.people if renewed else {one: each for one, (each, role) in changes.items() if role is not None}
        key = number if renewed else self.epochs[-1].key
        self.keys.setdefault(key, new_kek())
        wraps = {account: self._wrap(each, key) for account, each in staged.items()}
        parts = self._parts(key) if renewed else ()
        record, signature = self._signed(number, key, wraps, parts, dropped)
        batch = new_id()
        stage = StageGroup(
            group=self.id,
            epoch=number,
            batch=batch,
            members={one: self._said(each) for one, each in staged.items()},
            wraps={one: digest(wrap) for one, wrap in wraps.items()},
            connections=dict(over or {}),
        )
        advance = AdvanceGroup(
            group=self.id,
            epoch=number,
            batch=batch,
            dropped=dropped,
            record=b64(record),
            signature=b64(signature),
            index=place[0],
            proof=place[1],
            about=digest(parts[0]) if parts else None,
            link=digest(parts[1]) if parts[1:] else None,
        )
        return [self.founder.says(stage, *wraps.values()), self.founder.says(advance, *parts)]

    def claimed(self, by: Citizen) -> Delivery:
        """A member keeps the key."""
        wrap = f"{self.id} claimed by {by.account}".encode()
        return by.says(ClaimGroup(self.id, self.epochs[-1].key, digest(wrap)), wrap)

    def left(self, by: Citizen) -> Delivery:
        """A member goes."""
        return by.says(LeaveGroup(self.id, len(self.epochs)))

    def posts(self, by: Citizen, post: str, version: int = 1, content: bytes = b"what is posted") -> Delivery:
        """A post, or its next version."""
        index, proof = self.roster.proof(by.account)
        sealed = seal_post(
            self.keys[self.epochs[-1].key],
            new_dek(),
            content,
            epoch=self.epochs[-1],
            post=post,
            version=version,
            author=by.account,
            identity=by.keys.sign,
            n=self.n + 1,
            prev=self.last,
            checkpoint=CHECKPOINT,
        )
        self._wrote(sealed.manifest)
        said = (b64(sealed.manifest), b64(sealed.signature), digest(sealed.content), digest(sealed.wrap))
        return by.says(PostToGroup(self.id, post, version, *said, index, proof), sealed.content, sealed.wrap)

    def withdraws(self, by: Citizen, post: str, version: int = 1) -> Delivery:
        """A post is taken back."""
        index, proof = self.roster.proof(by.account)
        epoch = self.epochs[-1]
        place = Post(
            group=self.id,
            epoch=epoch.epoch,
            key=epoch.key,
            post=post,
            version=version,
            author=by.account,
            n=self.n + 1,
            prev=self.last,
            content=None,
            wrap=None,
            checkpoint=CHECKPOINT,
        )
        manifest, signature = sign_post(by.keys.sign, place)
        self._wrote(manifest)
        return by.says(WithdrawPost(self.id, post, b64(manifest), b64(signature), index, proof))

    def _wrote(self, manifest: bytes) -> None:
        self.n, self.last = self.n + 1, digest(manifest)

    def _member(self, citizen: Citizen) -> Member:
        now = self.identities[citizen.account]
        return Member(citizen.account, self.roles[citizen.account], b64(now.head), digest(now.seal))

    def _said(self, citizen: Citizen) -> GroupMember:
        member = self._member(citizen)
        return GroupMember(self.roles[citizen.account], self.identities[citizen.account].n, member.head, member.seal)

    def _wrap(self, citizen: Citizen, key: int) -> bytes:
        now = self.identities[citizen.account]
        return seal_space_key(now.seal_suite, now.seal, self.keys[key], self.id, key, self._member(citizen))

    def _parts(self, key: int) -> tuple[bytes, ...]:
        about = seal_about(self.keys[key], b"A club", self.id, key)
        if not self.epochs:
            return (about,)
        return about, link_key(self.keys[key], self.keys[self.epochs[-1].key], self.id, key)

    def _signed(
        self, number: int, key: int, wraps: Mapping[str, bytes], parts: Sequence[bytes], dropped: tuple[str, ...]
    ) -> tuple[bytes, bytes]:
        before = self.epochs[-1] if self.epochs else None
        epoch = Epoch(
            group=self.id,
            epoch=number,
            prev=self.heads[-1] if self.heads else None,
            by=self.founder.account,
            size=len(self.people),
            members=self.roster.root,
            key=key,
            commitment=commit(self.id, key, self.keys[key]),
            wraps=wraps_root({one: digest(wrap) for one, wrap in wraps.items()}),
            about=digest(parts[0]) if parts else before.about if before else "",
            link=digest(parts[1]) if parts[1:] else before.link if before and not parts else None,
            n=self.n,
            last=self.last,
            checkpoint=CHECKPOINT,
            dropped=dropped,
            nonce=None if before else b64(self.nonce),
        )
        record, signature = sign_epoch(self.founder.keys.sign, epoch)
        self.epochs.append(epoch)
        self.heads.append(digest(record))
        return record, signature


def told(ann: Citizen, bob: Citizen, eve: Citizen, with_bob: str, with_eve: str) -> list[Delivery]:
    """Ann's club: Bob writes, claims and leaves; Eve is dropped; one post has two versions, another is taken back."""
    club, first, second = Club(ann), new_id(), new_id()
    over = {bob.account: with_bob, eve.account: with_eve}
    deliveries = club.advances({ann.account: (ann, "admin")})
    deliveries += club.advances({bob.account: (bob, "writer"), eve.account: (eve, "reader")}, over)
    deliveries += [club.claimed(bob), club.posts(bob, first), club.posts(ann, second), club.posts(bob, first, 2)]
    deliveries += [club.withdraws(ann, second), club.left(bob)]
    return deliveries + club.advances({bob.account: (bob, None), eve.account: (eve, None)})
