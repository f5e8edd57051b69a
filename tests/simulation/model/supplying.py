"""The verdicts on suppliers."""

from tests.simulation.model.facts import Facts, Supplier, Verdict


class Supplying(Facts):
    """Who keeps fragments."""

    def announce(self, id: str, name: str, quota: int) -> Verdict:
        """A supplier, of itself; a name is one's at a time, and who was replaced has nothing to say."""
        found = self.suppliers.get(id)
        if found is not None and found.lost_to:
            return "ignored"
        if any(each.called == name and not each.lost_to for one, each in self.suppliers.items() if one != id):
            return "refused"
        if found == Supplier(name, quota):
            return "ignored"
        self.suppliers[id] = Supplier(name, quota)
        return "accepted"

    def replace(self, id: str, lost: str, *, ordered: bool) -> Verdict:
        """A supplier that is there takes another's place, if the operator ordered it."""
        found, other = self.suppliers[id], self.suppliers.get(lost)
        if not ordered:
            return "refused"
        if other is not None and other.lost_to == id:
            return "ignored"
        if found.lost_to or other is None or other.lost_to or id == lost:
            return "refused"
        other.lost_to = id
        return "accepted"
