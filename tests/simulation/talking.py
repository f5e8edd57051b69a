"""What every kind of rules needs: a world, and how to choose in it."""

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from tests.handlers.keepers import Keeper
from tests.handlers.people import Citizen
from tests.simulation.ground import Ground
from tests.simulation.model import Model
from tests.simulation.people import NAMES, Somebody
from tests.simulation.world import World

T = TypeVar("T")

people = st.sampled_from(NAMES)
"""Whoever does something."""
some = st.integers(0, 7)
"""Which of the things that there are; the first ones are the simplest."""

odd = st.sampled_from([False, False, False, False, True])
"""Whether it goes otherwise than it mostly does."""


def always(_: Model) -> bool:
    """Whoever says it: what they say names their key."""
    return True


def never(_: Model) -> bool:
    """Nobody can be told by it."""
    return False


class Talking(RuleBasedStateMachine):
    """Rules about one world, the newest of which is kept for who wants to see what went wrong."""

    worlds: ClassVar["Worlds"]

    def __init__(self, world: World | None = None) -> None:
        super().__init__()
        self.world = world or self.worlds.begin()

    def teardown(self) -> None:
        """At the end all that was held back comes, what is late last, and everything is looked at."""
        self.world.holding = False
        self.world.deliver()
        self.world.deliver(self.world.late)
        self.world.check()

    @property
    def model(self) -> Model:
        """What must be."""
        return self.world.model

    def person(self, name: str) -> Somebody:
        """Who has this name."""
        return self.world.people[name]

    def name(self, of: Citizen) -> str:
        """By which the model knows a person."""
        return next(name for name, each in self.world.people.items() if each.account == of.account)

    def friends(self, name: str) -> dict[str, str]:
        """With whom somebody is connected, and by what."""
        found = {each.peer_of(name): id for id, each in self.model.connections.items() if each.joins(name)}
        return {name: found[name] for name in NAMES if name in found}

    def connections_of(self, name: str) -> list[str]:
        """All that somebody has, and had: those that stand first."""
        found = [id for id, each in self.model.connections.items() if name in (each.inviter, each.acceptor)]
        return sorted(found, key=lambda id: not self.model.connections[id].stands)

    def keeper(self, n: int) -> Keeper:
        """One of the suppliers."""
        return self.world.keepers[n % len(self.world.keepers)]


class Worlds:
    """Where worlds come from: each is a copy of a first one, which nobody uses any more then."""

    def __init__(self, ground: Ground) -> None:
        self.newest = self.first = World(ground)
        self._count = 0

    def begin(self) -> World:
        """A new one; the one before goes."""
        self._leave()
        self._count += 1
        ground = self.first.system.ground.copied(f"world_{self._count}")
        self.newest = World(ground, of=self.first)
        return self.newest

    def _leave(self) -> None:
        if self.newest is self.first:
            self.first.system.close()
        else:
            self.newest.close()

    def close(self) -> None:
        """Nothing of them stays."""
        self._leave()
        self.first.system.ground.drop()


def pick(things: Sequence[T], which: int) -> T | None:
    """One of several, or None of none."""
    return things[which % len(things)] if things else None
