"""All rules at once, and the world in which each run begins."""

from tests.simulation.asking import Asking
from tests.simulation.attacking import Attacking
from tests.simulation.auditing import Auditing
from tests.simulation.connecting import Connecting
from tests.simulation.delegating import Delegating
from tests.simulation.faulting import Faulting
from tests.simulation.ground import Ground
from tests.simulation.grouping import Grouping
from tests.simulation.keeping import Keeping
from tests.simulation.sharing import TERMS, Sharing
from tests.simulation.supplying import Supplying
from tests.simulation.talking import Worlds


class Simulation(Connecting, Sharing, Grouping, Asking, Keeping, Auditing, Supplying, Delegating, Attacking, Faulting):
    """Everybody does anything, in any order, and anything may fail."""

    def begins(self) -> None:
        """Ann is connected with Bob and Eve, and each has something of hers; Dan has no account yet."""
        for who in ("ann", "bob", "eve"):
            self.registers(who, again=False)
        for n, who in enumerate(("bob", "eve")):
            self.invites("ann")
            self.answers(who, 0, accepts=True)
            self.confirms(n)
        self.announces(0, 0, 0)
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
        self.places(0, "ann", strange=False, on=0)
        self.changes(0, "ann")
        self.delegates("ann", 0, "admin")
        self.delegates("ann", 1, "reader")
        self.keeps_under_vault(0, 0, 0, new=True)

    def goes_on_and_on(self) -> None:
        """Everything happens that can: by its end each command there is was accepted once."""
        # Of everybody's own.
        self.changes_passphrase("bob")
        self.renames("bob", "bob-too@localhost")
        self.goes_on("bob", rotates=False)
        self.goes_on("bob", rotates=True)
        # Who knows whom.
        self.notes_connection("ann", 0, stale=False)
        self.invites("bob")
        self.cancels("bob", 2, sure=True)
        self.invites("bob")
        self.answers("eve", 0, accepts=False)
        # Items and shares.
        self.edits("ann", 0)
        self.attaches("ann", 0, strange=False)
        self.detaches("ann", 0, strange=False)
        self.shares("ann", 0, 0, (0, TERMS[1], 0))
        self.accepts_terms(0)
        self.claims(0)
        self.revises(0, (0, None, 0), same=True)
        self.ends("bob", 0, sure=True)
        self.removes("ann", 0, sure=True)
        # Groups.
        self.claims_key(0, 1)
        self.takes_back(0, 0, strange=False)
        self.leaves(0, "bob", strange=False)
        # Pieces.
        self.stores(0)
        self.keeps("ann", "phone", renew=True, wrong=False, later=1)
        self.regrants(0)
        self.releases(0, 0, by_reader=False, strange=False, who="ann")
        self.releases(0, 0, by_reader=True, strange=False, who="ann")
        self.asks(0, 0, "bob")
        self.answers_request(0, approves=False)
        self.asks(0, 0, "bob")
        self.withdraws(0, "bob", strange=False)
        self.sets_rules("ann", skips=False)
        self.removes_piece(0, sure=True)
        # Sharing keys, and what is under them.
        self.claims_part(0, 1, anew=False)
        self.claims_part(0, 1, anew=True)
        self.notes_key(0, "bob", stale=False)
        self.asks_audit("ann", 0, 0, "private", identity=False)
        self.answers_audit(0, holds=True)
        self.takes_step(0, 0, "private", "done")
        self.rotates_key(0, 1, all_stay=False)
        self.tells_key(0, 1)
        self.gives_up_key(0, "bob")
        self.unplaces(0, "ann", sure=True)
        self.announces(1, 0, 0)
        self.replaces(1, 0, ordered=True, sure=True)
        # Delegates.
        self.claims_vault(0, "bob")
        self.instructs(0, 2)
        self.answers_instruction(0)
        self.drops_item(0, 1, sure=True)
        self.dismisses(0)
        # And the end.
        self.removes_keypair("eve", sure=True)
        self.parts("eve", 1, sure=True)
        self.closes("eve", sure=True)


def simulation(ground: Ground) -> type[Simulation]:
    """The rules, about worlds that begin on this ground."""
    made = Worlds(ground)
    Simulation(made.first).begins()
    made.first.check()
    return type("Here", (Simulation,), {"worlds": made})
