"""One run: people, the home that they use, the model of it, and every command that was said, until it is decided."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from handlers.committer import Outcome
from handlers.opening import Delivery, open_delivery
from privity.crypto.command import frame, sign_command, unframe
from privity.crypto.delegations import ItemVersion
from privity.crypto.groups import Post
from privity.encoding import digest
from privity.messages.accounts import ExtendIdentity, RotateIdentity
from privity.messages.base import Command
from privity.messages.envelope import Result
from privity.testing.seeded import Clock
from tests.handlers.askers import Kept
from tests.handlers.auditors import Audit
from tests.handlers.clubs import Club
from tests.handlers.delegates import Delegates
from tests.handlers.holders import Held
from tests.handlers.keepers import Keeper
from tests.handlers.people import HOME, Invitation, Shared
from tests.simulation.ground import Ground
from tests.simulation.model import Model
from tests.simulation.model.facts import Reading, Verdict
from tests.simulation.people import ADDRESSES, NAMES, Somebody
from tests.simulation.reading import Knowledge, Reader
from tests.simulation.system import System, sealed_behind

KEEPERS = 3

T = TypeVar("T")
C = TypeVar("C", bound=Command)

When = Literal["deciding", "writing", "answering"]
Judge = Callable[[Model], Verdict]
Knows = Callable[[Model], bool]


def new_people() -> dict[str, Somebody]:
    """Everybody, by name."""
    return {name: Somebody(address, name=name) for name, address in zip(NAMES, ADDRESSES, strict=False)}


def nothing() -> None:
    """Nobody needs to know."""


@dataclass
class Said:
    """A signed command. What the model says of it is asked when its turn comes, and `then` follows if it is accepted.

    `result` is the first one that anybody heard. What is refused without being recorded may be decided anew.
    """

    by: str
    command: Command
    delivery: Delivery
    judge: Judge = field(repr=False)
    then: Callable[[], None] = field(repr=False)
    known: Knows = field(repr=False)
    """Whether the home can tell who says it: else it is refused, and no record of it kept."""
    verdict: Verdict | None = None
    result: Result | None = None

    @property
    def what(self) -> str:
        """For who reads a failure."""
        return f"{type(self.command).__name__} of {self.by}"


@dataclass
class Known:
    """What people know of what they made, to go on from there; a change is kept when it was accepted."""

    invitations: list[Invitation] = field(default_factory=list)
    shares: dict[str, Shared] = field(default_factory=dict)
    clubs: dict[str, Club] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    audits: list[Audit] = field(default_factory=list)
    vaults: dict[str, Delegates] = field(default_factory=dict)
    challenges: dict[str, bytes] = field(default_factory=dict)
    """What asks in each request."""
    posts: list[tuple[str, Post, bytes, bytes]] = field(default_factory=list)
    """Of each post that was accepted: its secret, its manifest, and its sealed parts."""
    versions: list[tuple[str, ItemVersion, bytes, bytes]] = field(default_factory=list)
    """Of each version of an item under a vault key likewise."""


class World:
    """Everything of one run."""

    def __init__(self, ground: Ground, *, of: "World | None" = None) -> None:
        """As it was when nobody had an account, or as another one is, of whose ground this is a copy."""
        clock = Clock(of.system.clock.now) if of else Clock()
        self.system: System = System(ground, clock)
        copy: Any = deepcopy(of._kept()) if of else None
        self.model: Model = copy[0] if copy else Model(clock.now)
        self.people: dict[str, Somebody] = copy[1] if copy else new_people()
        self.known: Known = copy[2] if copy else Known()
        self.knowledge: dict[str, Knowledge] = copy[3] if copy else {name: Knowledge() for name in NAMES}
        self.keepers: list[Keeper] = copy[4] if copy else [Keeper(f"supplier-{n}") for n in range(1, KEEPERS + 1)]
        self.said: list[Said] = list(of.said) if of else []
        self.waiting: list[Said] = []
        self.late: list[Said] = []
        self.holding = False
        self._count = 0

    def _kept(self) -> tuple[object, ...]:
        return self.model, self.people, self.known, self.knowledge, self.keepers

    def draft(self, thing: T) -> T:
        """A copy to go on with, until what was said of it is accepted; people are themselves in it."""
        return deepcopy(thing, {id(each): each for each in self.people.values()})

    def secret(self, of: str) -> str:
        """A text that is nowhere else."""
        self._count += 1
        return f"secret {self._count} of {of}"

    # What is said.

    def opened(self, delivery: Delivery, kind: type[C] = Command) -> C:  # type: ignore[assignment]
        """The command that is said."""
        command = open_delivery(delivery).command
        assert isinstance(command, kind)
        return command

    def say(
        self,
        by: str,
        delivery: Delivery,
        judge: Judge,
        then: Callable[[], None] = nothing,
        *,
        signed: bool = False,
        at_head: bool = False,
        known: Knows | None = None,
    ) -> Said:
        """Somebody says something; it is delivered at once, unless what is said is held back.

        Args:
            signed: the identity signed something in it: no other key of it may stand when it comes.
            at_head: no other record of it may.
            known: whether the home can tell who says it; it can of whoever has an account.
        """
        signs, head = self.model.signs.get(by), self.model.heads.get(by)

        def judged(model: Model) -> Verdict:
            if (signed and model.signs.get(by) != signs) or (at_head and model.heads.get(by) != head):
                return "refused"
            return judge(model)

        known = known or (lambda model: by in model.heads)
        said = Said(by, open_delivery(delivery).command, delivery, judged, then, known)
        self.waiting.append(said)
        if not self.holding:
            self.deliver()
        return said

    def deliver(self, batch: Sequence[Said] | None = None) -> None:
        """All that waits, or just this; each result must be what the model says, and what was heard before."""
        batch = list(self.waiting) if batch is None else batch
        outcomes = self.system.process([each.delivery for each in batch])
        for said, outcome in zip(batch, outcomes, strict=True):
            self._compare(said, self._judged(said), outcome)
        self.waiting = [each for each in self.waiting if each not in batch]

    def reuses(self, said: Said) -> None:
        """Other words come under the id of a command that was decided: they are refused, and leave no trace."""
        _, payload, *sealed = unframe(said.delivery.data, 100, 10**8)
        later = json.loads(payload) | {"issued_at": "2026-03-02T00:00:00Z"}
        bent, subject = json.dumps(later).encode(), said.delivery.subject
        signature = sign_command(self.people[said.by].device, HOME.id, subject, bent)
        (outcome,) = self.system.process([Delivery(subject, frame(signature, bent, *sealed))])
        assert outcome.result is not None
        if isinstance(said.command, ExtendIdentity | RotateIdentity):  # its record follows no head that there is now
            assert outcome.result.status == "refused"
            return
        assert outcome.result.code == "CommandIdReused", f"{said.what} under its id: {outcome.result.status}"

    def dies(self, when: When, statement: int) -> None:
        """All that waits is being decided when the home dies: written or not, nobody hears of it.

        Args:
            statement: how many it executes before, while it writes.
        """
        batch = [each.delivery for each in self.waiting]
        match when:
            case "deciding":
                self.system.dies_deciding(batch)
            case "writing":
                self.system.dies_writing(batch, statement)
            case "answering":
                self.system.dies_answering(batch)
                for each in self.waiting:
                    self._judged(each)

    def _judged(self, said: Said) -> Verdict:
        """What the model says now, or said when it was decided."""
        if said.verdict is not None:
            return said.verdict
        if not said.known(self.model):
            return "refused"
        said.verdict = said.judge(self.model)
        self.said.append(said)
        if said.verdict == "accepted":
            said.then()
        self.model.remember()
        return said.verdict

    def _compare(self, said: Said, verdict: Verdict, outcome: Outcome) -> None:
        result = outcome.result
        assert result is not None, f"{said.what} has no result"
        assert result.status == verdict, f"{said.what}: {result.status} ({result.code}), the model says {verdict}"
        assert (result.receipt is not None) == (verdict == "accepted")
        result = replace(result, receipt=None)
        if said.verdict is not None:
            assert said.result in (None, result), f"{said.what} has two results"
            said.result = result

    # What must hold.

    def reader(self, name: str) -> Reader:
        """Somebody, with what they have of keys."""
        by_account = {each.account: each for each in self.people.values()}
        return Reader(self.system, self.people[name], by_account, self.knowledge[name])

    def readings(self) -> set[Reading]:
        """What those who have an account can read now, by what the home serves."""
        return {each for name in self.model.heads for each in self.reader(name).reads()}

    def look(self) -> None:
        """The home lets everybody read just what the model says.

        Raises:
            AssertionError: it does not.
        """
        self.system.follow()
        found, wanted = self.readings(), self.model.readings()
        assert found == wanted, f"may not be read: {sorted(found - wanted)}; cannot be read: {sorted(wanted - found)}"

    def check(self) -> None:
        """What was acknowledged is in the store, the home is sound, and nobody reads what they never might.

        Raises:
            AssertionError: one of these does not hold.
        """
        self.look()
        rows = self.system.store.commands([self._key(each) for each in self.said])
        brought: Counter[str] = Counter()
        for said in self.said:
            row = rows[self._key(said)]
            assert row.status == said.verdict, f"{said.what} is {row.status} in the store"
            if said.verdict == "accepted":
                brought.update({digest(blob) for blob in sealed_behind(said.delivery)})
            assert len(self.system.store.positions(row.events)) == len(row.events)
        self.system.check(brought)
        self._check_lapsed()

    def _key(self, said: Said) -> tuple[str, str]:
        return open_delivery(said.delivery).key

    def _check_lapsed(self) -> None:
        """With all that is in the store, and each key that they ever had, nobody opens what they never might read."""
        for name, knowledge in self.knowledge.items():
            for secret, post, content, wrap in self.known.posts:
                if (name, secret) not in self.model.ever:
                    assert not knowledge.opens_post(post, content, wrap), f"{name} can open {secret}"
            for secret, version, content, wrap in self.known.versions:
                if (name, secret) not in self.model.ever:
                    assert not knowledge.opens_version(version, content, wrap), f"{name} can open {secret}"

    def close(self) -> None:
        """Nothing of it stays on disk."""
        self.system.close()
        self.system.ground.drop()
