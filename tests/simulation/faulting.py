"""Rules: what happens to commands on their way, to the home, and to its views."""

from typing import get_args

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.simulation.talking import Talking, some
from tests.simulation.world import When

WHENS: tuple[When, ...] = get_args(When)


class Faulting(Talking):
    """Commands are held back, come late, twice or in another order; processes die, and views are lost."""

    @rule()
    def holds_back(self) -> None:
        """From now on what is said waits, and nobody knows what becomes of it."""
        self.world.holding = True

    @precondition(lambda self: self.world.holding)
    @rule(order=st.randoms(use_true_random=False))
    def all_comes(self, order) -> None:  # type: ignore[no-untyped-def]
        """In one batch, in another order."""
        self.world.holding = False
        order.shuffle(self.world.waiting)
        self.world.deliver()

    @precondition(lambda self: self.world.waiting)
    @rule(n=some)
    def one_is_late(self, n: int) -> None:
        """It comes, but not now."""
        self.world.late.append(self.world.waiting.pop(n % len(self.world.waiting)))

    @precondition(lambda self: self.world.late)
    @rule(n=some)
    def comes_late(self, n: int) -> None:
        """What was late is there."""
        self.world.deliver([self.world.late.pop(n % len(self.world.late))])

    @precondition(lambda self: self.world.said)
    @rule(n=st.integers(0, 50), with_waiting=st.booleans())
    def comes_again(self, n: int, with_waiting: bool) -> None:
        """What was decided before, however long ago, alone or twice among others."""
        said = self.world.said[-1 - n % len(self.world.said)]
        batch = [said, *self.world.waiting, said] if with_waiting else [said]
        self.world.deliver(batch)

    @rule(when=st.sampled_from(WHENS), statement=st.integers(0, 20))
    def commands_die(self, when: When, statement: int) -> None:
        """With what waits: it is sent again, as nobody got a result."""
        if self.world.waiting:
            self.world.dies(when, statement)
        else:
            self.world.system.begins_anew()

    @rule(page=st.integers(1, 20), again=st.integers(0, 20))
    def views_follow(self, page: int, again: int) -> None:
        """Some events are folded in, of which some come a second time."""
        self.world.system.follow(page, again)

    @rule(statement=st.integers(0, 12))
    def projections_die(self, statement: int) -> None:
        """In the middle of a batch."""
        self.world.system.dies_folding(statement)

    @rule()
    def views_are_lost(self) -> None:
        """And folded anew from event 1."""
        self.world.system.loses_views()

    @rule()
    def views_are_rebuilt(self) -> None:
        """Beside those that stand."""
        self.world.system.rebuilds()

    @rule()
    def looks(self) -> None:
        """Everybody reads what they can."""
        self.world.look()
