"""The verdicts on audits of keys."""

from tests.simulation.model.facts import Audit, Facts, Verdict, granted

MOST = 10
"""Audits of one person that wait."""


class Auditing(Facts):
    """Who proves to whom that they have a key."""

    def ask_audit(self, id: str, by: str, asked: Audit, generation: int) -> Verdict:
        """Of the other side of a connection; about a key, only who holds it asks."""
        mine = self.audits.setdefault(by, {})
        named, kind = asked.wanted
        key = self.keys.get(named)
        if not granted(
            id not in mine,
            self.connections[asked.connection].joins(by, asked.of),
            kind == "public" if key is None else by in key.held and generation <= key.generation,
        ):
            return "refused"
        for old, each in list(mine.items()):
            again = each.open and (each.of, each.wanted) == (asked.of, asked.wanted)
            if again or each.over(self.now):
                del mine[old]
        waiting = [old for old, each in mine.items() if each.open]
        for old in waiting[: max(0, len(waiting) + 1 - MOST)]:
            del mine[old]
        asked.at = self.now
        mine[id] = asked
        return "accepted"

    def answer_audit(self, id: str, by: str, asker: str) -> Verdict:
        """Who was asked, once, while it waits."""
        asked = self.audits.get(asker, {}).get(id)
        if asked is None or asked.of != by or not self.connections[asked.connection].joins(by):
            return "refused"
        if asker in self.closed or not asked.open or asked.over(self.now):
            return "refused"
        asked.open = False
        return "accepted"
