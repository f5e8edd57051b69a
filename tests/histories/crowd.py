"""A crowd: many people over two years, from one seed. The deciders are the real ones; keys and ciphertexts are numbers.

Everybody does at each step what may fit, and what is refused did not happen. Ids and digests count up, so that a
hundred thousand events compress to a small file.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

from domain import connection, group, invitation, item, key, piece, share
from domain.account import State as Account
from domain.aggregates import EVOLVE, KINDS, STATES
from domain.delegation import State as Vault
from domain.facts import Actor
from domain.file import State as Files
from domain.invitation import Acceptance
from domain.request import RulesState
from domain.request import State as Request
from infra.mapping import to_row
from privity.crypto.record import encode_record
from privity.encoding import b32, b64
from privity.errors import Refusal
from privity.messages import accounts, connections, delegations, files, groups, invitations, items, keys, pieces
from privity.messages import shares as sharing
from privity.messages.base import Command, Event, stream_of
from privity.messages.groups import GroupMember
from privity.messages.reads import RecordKeyringFetched, RecordKeyringRefused, RecordShareFetched
from privity.messages.recorded import Meta
from privity.testing.histories import Happened
from tests.domain.deciding import decide, pair_of, piece_of, request_of
from tests.examples import NOW, example, line_of, long_id
from tests.handlers.people import CHECKPOINT

S = TypeVar("S")

SEED = 20260301
PEOPLE = 900
EVENTS = 100_000
SUITE: Any = "MLKEM768_X25519"
NAMES = ("phone", "mail", "currentcity")


@dataclass
class Somebody:
    """A person: what they have of keys and of what they may name."""

    account: str
    device: str
    name: str
    key: str
    at: int = 1
    """The number of the newest record of their identity."""
    friends: dict[str, str] = field(default_factory=dict)
    """By account, the connection."""
    items: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


class Crowd:
    """All people, what they have, and what happened."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._numbers = count(1)
        self._commands = count(1)
        self._now = NOW
        self._versions: dict[str, int] = {}
        self.states: dict[str, Any] = {}
        self.people: dict[str, Somebody] = {}
        self.shares: list[str] = []
        self.happened: list[Happened] = []

    # What there is

    def load(self, state: type[S], id: str) -> S:
        """An aggregate as it is."""
        loaded: S = self.states.setdefault(stream_of(KINDS[state], id), state())
        return loaded

    def short(self) -> str:
        """The next id of 26 letters."""
        return b32(next(self._numbers).to_bytes(16))

    def object(self) -> str:
        """The digest of the next sealed object, or the next key."""
        return b64(next(self._numbers).to_bytes(32))

    def objects(self, *names: str) -> dict[str, str]:
        """A new sealed object for each field."""
        return {name: self.object() for name in names}

    def one(self, among: Any) -> Any:
        """Any of them; None of none."""
        found = list(among)
        return self._random.choice(found) if found else None

    def chance(self, of: float) -> bool:
        """Whether something happens that happens so often."""
        return self._random.random() < of

    def identity(self, who: Somebody) -> accounts.IdentityHead:
        """What their chain says at record `at`."""
        keys = {who.device: self.object()}
        return accounts.IdentityHead(
            who.at, self.object(), b64(who.account[:32].encode()), "c2VhbA", SUITE, self.object(), keys
        )

    # What happens

    def does(self, who: Somebody, command: Command, **facts: Any) -> bool:
        """Decide as the backend does; whether it was granted."""
        return self.decided(who, lambda by: decide(command, self.load, by, **facts))

    def decided(self, who: Somebody, decision: Callable[[Actor], list[Event]]) -> bool:
        """Fold in what was decided, a while after what was before; whether it was granted."""
        self._now += timedelta(seconds=self._random.randint(1, 1200))
        try:
            events = decision(Actor(who.account, who.device, self._now))
        except Refusal:
            return False
        number = next(self._commands)
        said = Meta(
            f"{number:08x}-0000-7000-8000-{0:012x}", b64(number.to_bytes(32)), who.account, who.device, self._now
        )
        for event in events:
            state = self.load(STATES[event.kind], getattr(event, event.id_field))
            EVOLVE[type(state)](state, event)
            version = self._versions[event.stream] = self._versions.get(event.stream, 0) + 1
            row = to_row(event, version, said)
            self.happened.append(Happened(len(self.happened) + 1, row.stream, version, row.name, row.data))
        return True

    def comes(self) -> None:
        """Somebody new, with a keypair."""
        number = next(self._numbers)
        who = Somebody(b32(number.to_bytes(32)), self.short(), f"p{number}", self.short())
        registers = example(
            accounts.RegisterAccount,
            address=f"{who.name}@localhost",
            **self.objects("kek", "kek_recovery", "identity"),
        )
        if self.does(who, registers, head=self.identity(who)):
            self.people[who.account] = who
            self.does(who, example(keys.StoreKeypair, key=who.key, private=self.object()))
            self.does(who, keys.PublishPublicKey(who.key))

    def meets(self, who: Somebody) -> None:
        """An invitation, and what becomes of it."""
        other = self.one(each for each in self.people.values() if each is not who and each.account not in who.friends)
        if other is None:
            return
        invited = example(
            invitations.InviteConnection,
            invitation=self.short(),
            email=f"{other.name}@localhost",
            key=who.key,
            expires=self._now + timedelta(days=30),
            note=self.object(),
        )
        state, used = self.load(invitation.State, invited.invitation), self.load(key.State, who.key)
        address = f"{who.name}@localhost"
        if not self.decided(who, lambda by: invitation.decide_invite(invited, state, by, key=used, address=address)):
            return
        if self.chance(0.05):
            self.does(who, invitations.CancelInvitation(invited.invitation))
        elif self.chance(0.05):
            self.does(other, example(invitations.DeclineInvitation, invitation=invited.invitation))
        elif self.chance(0.95):
            self._accepts(who, other, invited.invitation, state)

    def _accepts(self, who: Somebody, other: Somebody, id: str, state: invitation.State) -> None:
        made, pair = long_id(f"connection of {id}"), pair_of(who.account, other.account)
        accepted = example(
            invitations.AcceptInvitation, invitation=id, key=other.key, record=b64(id.encode()), note=self.object()
        )
        found, paired = Acceptance(True, made, pair), self.load(connection.PairState, pair)
        used, address = self.load(key.State, other.key), f"{other.name}@localhost"
        if self.decided(
            other,
            lambda by: invitation.decide_accept(accepted, state, by, found, key=used, pair=paired, address=address),
        ):
            who.friends[other.account] = other.friends[who.account] = made
            acceptance = b64(id.encode())
            confirms = example(connections.ConfirmConnection, connection=made, note=self.object())
            if self.chance(0.9):
                self.decided(who, lambda by: self._confirmed(confirms, by, acceptance))

    def _confirmed(self, command: connections.ConfirmConnection, by: Actor, acceptance: str) -> list[Event]:
        state = self.load(connection.State, command.connection)
        return connection.decide(command, state, by, acceptance=command.acceptance, pair="")

    def names_a_friend(self, who: Somebody) -> None:
        """Another note about a connection."""
        over = self.one(who.friends.values())
        if over is not None:
            notes = self.load(connection.State, over).notes
            self.does(who, connections.NoteConnection(over, notes.get(who.account, self.object()), self.object()))

    def parts(self, who: Somebody) -> None:
        """The end of a connection."""
        peer = self.one(who.friends)
        if peer is not None and self.chance(0.1) and self.does(who, connections.RemoveConnection(who.friends[peer])):
            del who.friends[peer]
            self.people[peer].friends.pop(who.account, None)

    def keeps(self, who: Somebody) -> None:
        """An item, or the next version of one, or a file of one, or the end of one."""
        id = self.one(who.items)
        if id is None or self.chance(0.3):
            added = items.AddItem(self.short(), self.object(), self.object())
            if self.does(who, added):
                who.items.append(added.item)
        elif self.chance(0.1):
            if self.does(who, items.RemoveItem(id)):
                who.items.remove(id)
        elif self.chance(0.2):
            self.does(who, files.AttachFile(id, self.short(), self.object()))
        elif self.chance(0.15):
            file = self.one(self.load(Files, id).files)
            self.does(who, files.DetachFile(id, file or self.short()))
        else:
            version = self.load(item.State, id).version + 1
            self.does(who, items.EditItem(id, version, self.object(), self.object()))

    def shares_one(self, who: Somebody) -> None:
        """An item for a friend, on conditions or none; or what came from another friend, shared on."""
        peer, id = self.one(who.friends), self.one(who.items)
        source = self.one(each for each in self.shares[-40:] if self._may_share_on(each, who))
        if peer is None or (id is None and source is None):
            return
        if source is not None and self.chance(0.7):
            given = self.load(share.State, source)
            about = {"item": given.item, "version": given.version, "source": source}
        elif id is not None:
            about = {"item": id, "version": self.load(item.State, id).version, "source": None}
        else:
            return
        between = {"connection": who.friends[peer], "recipient": peer, "recipient_key": self.people[peer].key}
        place = {"share": self.short(), "space": self.short(), **between, **about}
        command = example(sharing.CreateShare, **place, **self._sealed_anew({"owner": who.account} | place))
        if self.does(who, command):
            self.shares.append(command.share)

    def _may_share_on(self, id: str, who: Somebody) -> bool:
        state = self.load(share.State, id)
        return state.recipient == who.account and state.reshare > 0

    def _sealed_anew(self, place: dict[str, Any]) -> dict[str, Any]:
        """Objects and conditions, and the manifest that names them at this place; views read its number."""
        terms = self.chance(0.2)
        found: dict[str, Any] = self.objects("content", "owner_wrap", "recipient_wrap")
        found["terms"], found["terms_hash"] = (self.object(), self.object()) if terms else (None, None)
        found["expires"] = self._now + timedelta(days=self._random.randint(5, 300)) if self.chance(0.2) else None
        found |= {"reshare": self.one([0, 0, 1, 2]), "keep": self.chance(0.3)}
        line = self.load(share.LineState, line_of(place["connection"], place["owner"]))
        until = found["expires"].isoformat() if found["expires"] else None
        says = {"v": 1, "generation": 1, "suite": SUITE, "n": line.n + 1, "prev": line.head, "checkpoint": CHECKPOINT}
        says |= place | found | {"expires": until, "keep": int(found["keep"])}
        return found | {"manifest": b64(encode_record(says))}

    def goes_on_with_a_share(self, who: Somebody) -> None:
        """Accepted, claimed, read, revised, ended: by one of the two whose it is."""
        id = self.one(self.shares[-4000:])
        if id is None:
            return
        state = self.load(share.State, id)
        owner, reader = self.people.get(state.owner), self.people.get(state.recipient)
        if owner is None or reader is None:
            return
        if state.terms_hash and state.accepted != state.terms_hash and self.chance(0.8):
            self.does(reader, example(sharing.AcceptTerms, share=id, terms_hash=state.terms_hash))
        if not state.claimed:
            self.does(reader, sharing.ClaimShare(id, self.object(), state.generation))
        elif self.chance(0.4):
            self.does(reader, example(RecordShareFetched, share=id))
        elif self.chance(0.3):
            self.does(owner, files.AttachFile(id, self.short(), self.object()))
        elif self.chance(0.7):
            kept = self.load(item.State, state.item)
            version = kept.version if kept.kept_by(owner.account) else state.version
            names = ("owner", "recipient", "space", "connection", "item", "source")
            place = {name: getattr(state, name) for name in names} | {"share": id, "recipient_key": reader.key}
            anew = {"version": version, "generation": state.generation + 1}
            self.does(owner, example(sharing.ReviseShare, share=id, **anew, **self._sealed_anew(place | anew)))
        else:
            self.does(self.one([owner, reader]), sharing.RemoveShare(id))

    def has_pieces(self, who: Somebody) -> None:
        """A value under a name, its next one, or none any more."""
        name = self.one(NAMES)
        id = piece_of(who.account, name)
        state = self.load(piece.State, id)
        if state.readers and self.chance(0.1):
            self.does(who, pieces.ReleaseReader(id, self.one(state.readers)))
        elif state.stands and not state.readers and self.chance(0.05):
            self.does(who, pieces.RemovePiece(id, state.version + 1))
        else:
            renewed = state.due or not state.generation or self.chance(0.1)
            wraps = {each: self.object() for each in state.readers} if renewed else {}
            grants = dict.fromkeys(wraps, example(pieces.ApproveRequest).grant)
            facts = {"version": state.version + 1, "generation": state.generation + renewed, "grants": grants}
            sealed = self.objects("content", "owner_wrap")
            self.does(who, example(pieces.SetPiece, piece=id, piece_name=name, wraps=wraps, **facts, **sealed))

    def asks(self, who: Somebody) -> None:
        """A friend for a piece, who grants it or does not; and the key of it is stored."""
        peer, name = self.one(who.friends), self.one(NAMES)
        if peer is None:
            return
        id, kept_as = request_of(peer, who.account, name), piece_of(peer, name)
        state, kept = self.load(Request, id), self.load(piece.State, kept_as)
        asked = example(
            pieces.RequestPiece,
            request=id,
            owner=peer,
            piece_name=name,
            connection=who.friends[peer],
            n=state.n + 1,
            **self.objects("challenge", "kept"),
        )
        if not self.does(who, asked):
            return
        if self.chance(0.1):
            self.does(who, pieces.WithdrawRequest(id))
        elif self.chance(0.15):
            self.does(self.people[peer], pieces.DeclineRequest(id, asked.n))
        else:
            granted = {"version": kept.version, "generation": kept.generation, "content": kept.content}
            approves = example(pieces.ApproveRequest, request=id, n=asked.n, wrap=self.object(), **granted)
            if self.does(self.people[peer], approves):
                self.does(who, pieces.StorePiece(kept_as, kept.generation, self.object()))

    def rules(self, who: Somebody) -> None:
        """Other rules, or none."""
        version = self.load(RulesState, who.account).version + 1
        self.does(who, pieces.SetRules(version, None if self.chance(0.2) else self.object()))

    def meets_in_groups(self, who: Somebody) -> None:
        """A group with friends; or a post, a claim, another epoch, or somebody's going."""
        id = self.one(who.groups)
        if id is None or self.chance(0.05):
            id = b32(next(self._numbers).to_bytes(32))
            self._epoch(who, id, {who.account, *sorted(who.friends)[:6]}, ())
            return
        state = self.load(group.State, id)
        staying = {account for account, each in state.members.items() if not each.left}
        gone = tuple(sorted(state.members.keys() - staying))
        if gone or self.chance(0.05):
            self._epoch(who, id, staying | {*self._random.sample(sorted(who.friends), min(1, len(who.friends)))}, gone)
        elif self.chance(0.15):
            self.does(who, groups.ClaimGroup(id, state.key, self.object()))
        elif self.chance(0.04):
            if self.does(who, groups.LeaveGroup(id, state.epoch)):
                who.groups.remove(id)
        elif self.chance(0.2) and (post := self.one(self._posts_of(who, id))) is not None:
            self.does(who, example(groups.WithdrawPost, group=id, post=post))
        else:
            manifest = b64(next(self._numbers).to_bytes(6))
            command = example(
                groups.PostToGroup,
                group=id,
                post=self.short(),
                version=1,
                manifest=manifest,
                **self.objects("content", "wrap"),
            )
            self.does(who, command)

    def _posts_of(self, who: Somebody, id: str) -> Iterator[str]:
        for each in self.happened[-1000:]:
            state = self.states[each.stream]
            if isinstance(state, group.PostState) and (state.group, state.author) == (id, who.account):
                yield each.stream.partition("-")[2]

    def _epoch(self, who: Somebody, id: str, accounts_: set[str], gone: tuple[str, ...]) -> None:
        state = self.load(group.State, id)
        known = {one: each.member for one, each in state.members.items()}
        role: Any = "writer"
        members = {
            one: known.get(one) or GroupMember("admin" if one == who.account else role, 1, self.object(), self.object())
            for one in sorted(accounts_)
        }
        over = {one: who.friends[one] for one in members if one in who.friends}
        staged = groups.StageGroup(
            id, state.epoch + 1, self.short(), members, {one: self.object() for one in members}, over
        )
        joined = {one: self.load(connection.State, each) for one, each in over.items()}
        if not self.decided(
            who, lambda by: group.decide_stage(staged, state, by, identities=members, connections=joined)
        ):
            return
        link = self.object() if state.epoch else None
        advances = example(
            groups.AdvanceGroup,
            group=id,
            epoch=staged.epoch,
            batch=staged.batch,
            dropped=gone,
            about=self.object(),
            link=link,
        )
        if self.does(who, advances):
            for one in members:
                if one in self.people and id not in self.people[one].groups:
                    self.people[one].groups.append(id)

    def delegates(self, who: Somebody) -> None:
        """Somebody may write in one's name, writes, and may no more."""
        vault, peer = self.load(Vault, who.account), self.one(who.friends)
        named = self.one(vault.members)
        if named is None and peer is not None:
            facts = {"delegate": peer, "connection": who.friends[peer], "generation": max(1, vault.generation)}
            own = None if vault.generation else self.object()
            facts |= {"n": vault.n + 1, "role": "admin", "own_wrap": own, "wrap": self.object()}
            grants = example(delegations.GrantDelegation, principal=who.account, delegation=self.short(), **facts)
            self.does(who, grants, vault_key=vault.vault_key or self.object())
        elif named is not None:
            by = self.people.get(vault.members[named].delegate, who)
            self.does(by, delegations.ClaimDelegation(who.account, vault.generation, self.object()))
            kept = example(
                delegations.KeepItem,
                principal=who.account,
                delegation=named,
                item=self.short(),
                version=1,
                generation=vault.generation,
                **self.objects("content", "wrap"),
            )
            self.does(by, kept)
            if self.chance(0.2):
                self.does(by, example(delegations.DropItem, principal=who.account, delegation=named, item=kept.item))
            if self.chance(0.3):
                left = [each for each in vault.delegates if each != by.account]
                wraps = {each: self.object() for each in (who.account, *left)}
                facts = {"n": vault.n + 1, "generation": vault.generation + 1, "before": self.object()}
                removes = example(
                    delegations.RemoveDelegation, principal=who.account, delegation=named, wraps=wraps, **facts
                )
                self.does(who, removes, vault_key=self.object())

    def tends_the_account(self, who: Somebody) -> None:
        """Another device, other keys, another address or passphrase; the keyring is fetched; or all of it ends."""
        if self.chance(0.4):
            self.does(who, example(self.one([RecordKeyringFetched, RecordKeyringRefused])))
        elif self.chance(0.3):
            self.does(who, example(accounts.ChangePassphrase, kek=self.object()))
        elif self.chance(0.3):
            self.does(who, example(accounts.RenameAccount, address=f"{who.name}-{self.one(range(9))}@localhost"))
        elif self.chance(0.9):
            who.at += 1
            rotates = self.chance(0.5)
            command = (
                example(accounts.RotateIdentity, identity=self.object())
                if rotates
                else example(accounts.ExtendIdentity)
            )
            before = self.load(Account, who.account).head
            now = self.identity(who)
            if not self.does(who, command, head=now) and before is not None:
                who.at = before.n
        elif self.chance(0.5):
            self.does(who, keys.RemoveKeypair(who.key))
        else:
            head = self.load(Account, who.account).head
            self.does(who, example(accounts.CloseAccount, head=head.head if head else self.object()))
            del self.people[who.account]
            for peer in who.friends:
                self.people[peer].friends.pop(who.account, None)
            for id in who.groups:
                self.does(who, groups.LeaveGroup(id, self.load(group.State, id).epoch, closing=True))


def generate(seed: int = SEED, events: int = EVENTS, people: int = PEOPLE) -> list[Happened]:
    """At least so many events, of about so many people; the same ones for the same seed and the same code."""
    crowd = Crowd(seed)
    draw = random.Random(seed)
    doings = {
        crowd.meets: 8,
        crowd.names_a_friend: 3,
        crowd.parts: 2,
        crowd.keeps: 20,
        crowd.shares_one: 16,
        crowd.goes_on_with_a_share: 25,
        crowd.has_pieces: 8,
        crowd.asks: 6,
        crowd.rules: 1,
        crowd.meets_in_groups: 10,
        crowd.delegates: 3,
        crowd.tends_the_account: 3,
    }
    for _ in range(4):
        crowd.comes()
    while len(crowd.happened) < events:
        if len(crowd.people) < people and draw.random() < 0.05:
            crowd.comes()
        (does,) = draw.choices(list(doings), weights=list(doings.values()))
        does(draw.choice(list(crowd.people.values())))
    return crowd.happened
