"""The verdicts on sharing keys, their grants, and the locations under them."""

from collections.abc import Collection

from tests.simulation.model.facts import Begun, Facts, Holder, Key, Location, Verdict, granted


class Keeping(Facts):
    """Keys that are granted to others."""

    def make_key(self, id: str, by: str, note: str) -> Verdict:
        """Under an id of its own."""
        if id in self.keys:
            return "refused"
        self.keys[id] = Key(by, held={by: Holder("", 1, True)}, notes={by: note})
        return "accepted"

    def grant_key(self, id: str, by: str, to: str, over: str, n: int, holders: Collection[str]) -> Verdict:
        """The creator, to the other side of a connection; the record names all who hold it."""
        key = self.keys[id]
        before = key.held.get(to)
        if not granted(
            key.creator == by and not key.ended,
            self.connections[over].joins(by, to),
            n == key.n + 1,
            before is None or (before.connection, before.generation) != (over, key.generation),
            set(holders) == {*key.holders, to},
        ):
            return "refused"
        key.n = n
        key.known.pop(to, None)
        key.held[to] = Holder(over, key.generation, False)
        return "accepted"

    def rotate_key(self, id: str, by: str, n: int, dropped: Collection[str], staying: Collection[str]) -> Verdict:
        """The creator: the next generation, for who stays."""
        key = self.keys[id]
        if not granted(
            key.creator == by and not key.ended,
            n == key.n + 1,
            set(dropped) <= set(key.holders),
            set(staying) == set(key.holders) - set(dropped),
        ):
            return "refused"
        if not all(self.connections[key.held[who].connection].joins(by, who) for who in staying):
            return "refused"
        key.n, key.generation = n, key.generation + 1
        for who in dropped:
            key.forget(who)
        for who, held in key.held.items():
            held.generation, held.claimed = key.generation, who == by
        return "accepted"

    def tell_key(self, id: str, by: str, to: str, over: str, generation: int) -> Verdict:
        """Whoever holds it, the public part, to the other side of a connection."""
        key = self.keys[id]
        if by not in key.held or not self.connections[over].joins(by, to) or generation != key.generation:
            return "refused"
        if to in key.held or key.known.get(to) == generation:
            return "ignored"
        key.known[to] = generation
        return "accepted"

    def claim_key(
        self, id: str, by: str, generation: int, replaces: str | None, note: str, *, anew: bool = False
    ) -> Verdict:
        """A holder, once for each generation; `anew` is what the home has lost."""
        key = self.keys[id]
        held = key.held.get(by)
        if held is None or held.generation != generation or (held.claimed and not anew):
            return "refused"
        if key.notes.get(by) != replaces:
            return "refused"
        held.claimed, key.notes[by] = True, note
        return "accepted"

    def note_key(self, id: str, by: str, replaces: str | None, note: str) -> Verdict:
        """Whoever has a part of it, for themselves, behind the note that stands."""
        key = self.keys[id]
        if not key.knows(by) or key.notes.get(by) not in (replaces, note):
            return "refused"
        if key.notes.get(by) == note:
            return "ignored"
        key.notes[by] = note
        return "accepted"

    def erase_key(self, id: str, by: str) -> Verdict:
        """Its creator for everybody, a holder for themselves."""
        key = self.keys[id]
        if key.ended and key.creator == by:
            return "ignored"
        used = key.location is not None and key.location.stands
        if not key.knows(by) or (by == key.creator and used):
            return "refused"
        if by == key.creator:
            key.ended, key.held, key.known, key.notes = True, {}, {}, {}
        else:
            key.forget(by)
        return "accepted"

    def place(self, id: str, by: str, supplier: str) -> Verdict:
        """The creator of the key, once, on a supplier that is there."""
        key = self.keys[id]
        found = self.suppliers.get(supplier)
        if key.creator != by or key.ended or key.location is not None or found is None or found.lost_to:
            return "refused"
        key.location = Location()
        return "accepted"

    def change(self, id: str, by: str, n: int, generation: int, secret: str) -> Verdict:
        """Whoever holds the key, the next of the line."""
        key = self.keys[id]
        place = key.location
        if place is None or not place.stands or by not in key.held:
            return "refused"
        if (n, generation) != (len(place.secrets) + 1, key.generation):
            return "refused"
        place.secrets.append(secret)
        return "accepted"

    def unplace(self, id: str, by: str) -> Verdict:
        """The creator of the key."""
        key = self.keys[id]
        if key.location is None or key.creator != by:
            return "refused"
        if not key.location.stands:
            return "ignored"
        key.location.stands = False
        return "accepted"

    def begin(self, id: str, by: str, to: str, over: str, n: int) -> Verdict:
        """The creator of a key; nothing, if it is granted, or begun since its newest record."""
        key = self.keys[id]
        if key.ended or key.creator != by or not self.connections[over].joins(by, to) or n != key.n:
            return "refused"
        begun = self.grants.get((id, to, over))
        if begun is not None and (to in key.held or begun.n == n):
            return "ignored"
        self.grants[id, to, over] = Begun(n)
        return "accepted"

    def step(self, id: str, by: str, to: str, over: str, step: str, outcome: str) -> Verdict:
        """The creator; that the private part is granted, only when it is."""
        begun = self.grants.get((id, to, over))
        if begun is None or self.keys[id].creator != by:
            return "refused"
        if (step, outcome) == ("private", "done") and to not in self.keys[id].holders:
            return "refused"
        if begun.steps.get(step) in ("done", outcome):
            return "ignored"
        begun.steps[step] = outcome
        return "accepted"
