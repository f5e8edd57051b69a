"""All rules at once, and the world in which each run begins."""

from pathlib import Path

from tests.simulation.asking import Asking
from tests.simulation.attacking import Attacking
from tests.simulation.connecting import Connecting
from tests.simulation.delegating import Delegating
from tests.simulation.faulting import Faulting
from tests.simulation.grouping import Grouping
from tests.simulation.keeping import Keeping
from tests.simulation.sharing import Sharing
from tests.simulation.talking import Worlds


class Simulation(Connecting, Sharing, Grouping, Asking, Keeping, Delegating, Attacking, Faulting):
    """Everybody does anything, in any order, and anything may fail."""

    def teardown(self) -> None:
        """At the end all that was held back comes, what is late last, and everything is looked at."""
        self.world.holding = False
        self.world.deliver()
        self.world.deliver(self.world.late)
        self.world.check()

    def begins(self) -> None:
        """Ann is connected with Bob and Eve, and each has something of hers; Dan has no account yet."""
        for who in ("ann", "bob", "eve"):
            self.registers(who, again=False)
        for n, who in enumerate(("bob", "eve")):
            self.invites("ann")
            self.answers(who, 0, accepts=True)
            self.confirms(n)
        self.world.announces()
        self.adds("ann")
        self.shares("ann", 0, 0, (0, None, 1))
        self.shares("ann", 0, 1, (0, None, 0))
        self.founds("ann")
        self.lets_in(0, 0, "writer", strange=False)
        self.lets_in(0, 1, "reader", strange=False)
        self.posts(0, 0, again=False)
        self.keeps("ann", "phone", renew=False, wrong=False)
        for who in ("bob", "eve"):
            self.asks(0, 0, who)
            self.answers_request(0, approves=True)
        self.makes_key("ann")
        self.grants_key(0, 0)
        self.grants_key(0, 1)
        self.places(0, "ann", strange=False)
        self.changes(0, "ann")
        self.delegates("ann", 0, "admin")
        self.delegates("ann", 1, "reader")
        self.keeps_under_vault(0, 0, 0, new=True)


def simulation(folder: Path) -> type[Simulation]:
    """The rules, about worlds in this folder."""
    made = Worlds(folder)
    Simulation(made.first).begins()
    made.first.check()
    return type("Here", (Simulation,), {"worlds": made})
