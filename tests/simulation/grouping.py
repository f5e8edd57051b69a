"""Rules: groups, who is in them, and what is written there."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from privity.crypto.groups import claim_space_key, read_post
from privity.crypto.keyring import new_kek
from privity.encoding import digest, new_id, unb64
from privity.messages.groups import AdvanceGroup, ClaimGroup, GroupRole, LeaveGroup, PostToGroup, StageGroup
from privity.messages.views import AskGroups
from tests.handlers.clubs import Club
from tests.handlers.people import Citizen
from tests.simulation.people import NAMES
from tests.simulation.system import sealed_behind
from tests.simulation.talking import Talking, odd, people, pick, some

Changes = dict[str, GroupRole | None]
"""By name: another role, or None for who is dropped."""


class Grouping(Talking):
    """Many readers, epoch after epoch."""

    @precondition(lambda self: len(self.world.known.clubs) < 3)
    @rule(who=people)
    def founds(self, who: str) -> None:
        """A group of one."""
        if who in self.model.heads:
            club = Club(self.person(who), nonce=new_id().encode()[:16])
            self._advance(club, {who: "admin"})

    @precondition(lambda self: self.world.known.clubs)
    @rule(n=some, to=some, role=st.sampled_from(["writer", "writer", "reader"]), strange=odd)
    def lets_in(self, n: int, to: int, role: GroupRole, strange: bool) -> None:
        """A friend of the founder's, or, as an attack, somebody else; who is in already gets another role."""
        club = pick(list(self.world.known.clubs.values()), n)
        if club is None:
            return
        founder = self.name(club.founder)
        friends = NAMES if strange else tuple(self.friends(founder))
        who = pick(friends, to)
        if who is not None and who != founder and who in self.model.heads:
            self._advance(self.world.draft(club), {who: role} | dict.fromkeys(self._gone(club)))

    @precondition(lambda self: self.world.known.clubs)
    @rule(n=some, whom=some, lazy=odd)
    def drops(self, n: int, whom: int, lazy: bool) -> None:
        """A member, with a new key for the others; who is lazy keeps the key."""
        club = pick(list(self.world.known.clubs.values()), n)
        if club is None:
            return
        founder = self.name(club.founder)
        members = [self.name(each) for each in club.people.values()]
        who = pick([each for each in members if each != founder], whom)
        if who is None:
            return
        changes: Changes = {who: None} | dict.fromkeys(self._gone(club))
        self._advance(self.world.draft(club), changes | {founder: "admin"} if lazy else changes, renewed=not lazy)

    def _gone(self, club: Club) -> list[str]:
        """Who went by themselves, and is to be dropped."""
        return [who for who in sorted(self.model.groups[club.id].left) if self.person(who).account in club.people]

    def _advance(self, draft: Club, changes: Changes, *, renewed: bool | None = None) -> None:
        founder = self.name(draft.founder)
        over = {self.person(who).account: id for who, id in self.friends(founder).items() if who in changes}
        said = {self.person(who).account: (self.person(who), role) for who, role in changes.items()}
        stages, advances = draft.advances(said, over, renewed=renewed)
        by_account = {each.account: name for name, each in self.world.people.items()}
        roles = {who: role for who, role in changes.items() if role is not None}
        dropped = [who for who, role in changes.items() if role is None]
        stage, advance = self.world.opened(stages, StageGroup), self.world.opened(advances, AdvanceGroup)
        members = {by_account[one]: member.n for one, member in stage.members.items()}
        known = {name: id for name, id in self.friends(founder).items() if name in changes}
        line, epoch, is_new_key = draft.n, stage.epoch, advance.about is not None

        def then() -> None:
            self.world.known.clubs[draft.id] = draft

        self.world.say(
            founder, stages, lambda model: model.stage(draft.id, founder, epoch, stage.batch, members, known)
        )
        self.world.say(
            founder,
            advances,
            lambda model: model.advance(
                draft.id, founder, epoch, stage.batch, line, members, roles, dropped, renewed=is_new_key
            ),
            then,
            signed=True,
        )

    @precondition(lambda self: self.world.known.clubs)
    @rule(n=some, whom=some)
    def claims_key(self, n: int, whom: int) -> None:
        """A member keeps the space key as it is served; others try it with any."""
        id = pick(list(self.world.known.clubs), n)
        if id is None:
            return
        who = pick([name for name in NAMES if name in self.model.heads], whom)
        if who is None:
            return
        self.world.system.follow()
        reader = self.world.reader(who)
        rows, blobs = reader.ask(AskGroups(id=id))
        epochs = self.world.known.clubs[id].epochs
        number = epochs[-1].key
        if not rows and self.world.holding:
            return  # it might be let in before this comes, and would keep a key that is none
        key = reader.space_keys(rows[0], blobs).get(number, b"") if rows else new_kek()
        if key:
            wrap = claim_space_key(reader.who.kek, key, epochs[number - 1], reader.who.account)
            said = reader.who.says(ClaimGroup(id, number, digest(wrap)), wrap)
            self.world.say(who, said, lambda model: model.claim_group(id, who, number))

    @precondition(lambda self: self.world.known.clubs)
    @rule(n=some, who=people, strange=odd)
    def leaves(self, n: int, who: str, strange: bool) -> None:
        """Whoever is in; or is not."""
        id = pick(list(self.world.known.clubs), n)
        if id is not None and (strange or self.model.groups[id].role(who) not in ("", "admin")):
            epoch = self.model.groups[id].epoch
            said = self.person(who).says(LeaveGroup(id, epoch))
            self.world.say(who, said, lambda model: model.leave(id, who, epoch))

    @precondition(lambda self: self.world.known.clubs)
    @rule(n=some, whom=some, again=st.booleans())
    def posts(self, n: int, whom: int, again: bool) -> None:
        """Something new, or the next version of something, by whoever the writer knows to be in."""
        club = pick(list(self.world.known.clubs.values()), n)
        if club is None:
            return
        author = pick(list(club.people.values()), whom)
        if author is None:
            return
        who, draft = self.name(author), self.world.draft(club)
        found = [id for id, each in self.model.posts.items() if each.group == club.id and again]
        post = pick(found, whom) or new_id()
        version = self.model.posts[post].version + 1 if post in self.model.posts else 1
        secret = self.world.secret("a post")
        said = draft.posts(author, post, version, secret.encode())
        epoch, line = len(draft.epochs), draft.n

        def then() -> None:
            self.world.known.clubs[club.id] = draft
            command = self.world.opened(said, PostToGroup)
            content, wrap = sealed_behind(said)
            self.world.known.posts.append((secret, read_post(unb64(command.manifest)), content, wrap))

        self.world.say(
            who, said, lambda model: model.post(club.id, who, epoch, line, post, version, secret), then, signed=True
        )

    @precondition(lambda self: self.model.posts)
    @rule(n=some, whom=some, strange=odd)
    def takes_back(self, n: int, whom: int, strange: bool) -> None:
        """Its author, or the founder; or another member."""
        post = pick(list(self.model.posts), n)
        if post is None:
            return
        found = self.model.posts[post]
        club = self.world.known.clubs[found.group]
        by: Citizen | None = self.person(found.author) if whom % 2 else club.founder
        if strange:
            by = pick(list(club.people.values()), whom)
        if by is None or by.account not in club.people:
            return
        who, draft = self.name(by), self.world.draft(club)
        said = draft.withdraws(by, post, found.version)
        epoch, line, version = len(draft.epochs), draft.n, found.version

        def then() -> None:
            self.world.known.clubs[club.id] = draft

        self.world.say(
            who, said, lambda model: model.take_back(club.id, who, epoch, line, post, version), then, signed=True
        )
