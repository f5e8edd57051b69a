"""Rules: suppliers, and those that take a lost one's place."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from privity.crypto.signing import SigningKey
from tests.handlers.people import LOG
from tests.simulation.talking import Talking, always, odd, some


class Supplying(Talking):
    """Who keeps fragments."""

    @rule(n=some, called=st.sampled_from([0, 0, 0, 1]), quota=st.sampled_from([0, 7]))
    def announces(self, n: int, called: int, quota: int) -> None:
        """One of them, by its own name, or by another's."""
        keeper, name = self.keeper(n), self.keeper(n + called).name
        said = keeper.announces(quota, name)
        self.world.say(keeper.name, said, lambda model: model.announce(keeper.id, name, quota), known=always)

    @rule(n=some, which=some, ordered=odd.map(lambda each: not each), sure=odd)
    def replaces(self, n: int, which: int, ordered: bool, sure: bool) -> None:
        """One of them takes another's place; or says so without the operator's order."""
        keeper, lost = self.keeper(n), self.keeper(which)
        if sure or not ordered:
            said = keeper.replaces(lost, LOG if ordered else SigningKey.generate())
            self.world.say(
                keeper.name,
                said,
                lambda model: model.replace(keeper.id, lost.id, ordered=ordered),
                known=lambda model: keeper.id in model.suppliers,
            )
