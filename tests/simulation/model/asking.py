"""The verdicts on pieces, and who asks for them."""

from collections.abc import Collection

from tests.simulation.model.facts import Facts, Grant, Piece, Request, Verdict, granted


class Asking(Facts):
    """What others see that one has, and ask for."""

    def set_piece(
        self, id: str, by: str, version: int, generation: int, readers: Collection[str], secret: str
    ) -> Verdict:
        """The next version; a new key goes to readers who had the one before."""
        found = self.pieces.get(id, Piece(by))
        renewed = generation == found.generation + 1
        if not granted(
            found.owner == by,
            version == found.version + 1,
            renewed or (generation == found.generation and not found.due and not readers),
            all(who in found.readers for who in readers),
        ):
            return "refused"
        if not all(self.connections[found.readers[who].connection].joins(by) for who in readers):
            return "refused"
        self.pieces[id] = found
        found.due = found.due and not renewed
        found.secret, found.version, found.generation = secret, version, generation
        self._regranted(found, readers)
        return "accepted"

    def regrant(self, id: str, by: str, generation: int, readers: Collection[str]) -> Verdict:
        """The key of now, for those who have an older one."""
        found = self.pieces[id]
        if found.owner != by or found.secret is None or generation != found.generation:
            return "refused"
        for who in readers:
            before = found.readers.get(who)
            if before is None or before.generation >= generation or not self.connections[before.connection].joins(by):
                return "refused"
        self._regranted(found, readers)
        return "accepted" if readers else "ignored"

    def _regranted(self, piece: Piece, readers: Collection[str]) -> None:
        for who in readers:
            piece.readers[who] = Grant(piece.readers[who].connection, piece.generation)

    def ask(self, id: str, piece: str, by: str, owner: str, over: str, n: int) -> Verdict:
        """The other side of a connection, for what it keeps."""
        found, kept = self.requests.get(id, Request(by)), self.pieces.get(piece)
        if not self.connections[over].joins(by, owner) or kept is None or kept.secret is None or n != found.n + 1:
            return "refused"
        self.requests[id] = Request(by, over, n, open=True)
        return "accepted"

    def approve(self, id: str, piece: str, by: str, over: str, n: int, at: tuple[int, int]) -> Verdict:
        """The owner, what is asked for, at this version and generation."""
        found, kept = self.requests[id], self.pieces[piece]
        if not granted(
            kept.owner == by,
            found.open and n == found.n and over == found.connection,
            self.connections[over].joins(by),
            kept.secret is not None and not kept.due,
            at == (kept.version, kept.generation),
        ):
            return "refused"
        found.open = False
        kept.readers[found.asker] = Grant(over, kept.generation)
        return "accepted"

    def decline_request(self, id: str, piece: str, by: str, n: int) -> Verdict:
        """The owner, the open round."""
        found = self.requests[id]
        if self.pieces[piece].owner != by or not found.open or found.n != n:
            return "refused"
        found.open = False
        return "accepted"

    def withdraw_request(self, id: str, by: str) -> Verdict:
        """The asker, the open round."""
        found = self.requests.get(id)
        if found is None or found.asker != by:
            return "refused"
        if not found.open:
            return "ignored"
        found.open = False
        return "accepted"

    def store(self, id: str, by: str, generation: int) -> Verdict:
        """A reader, the key that they were given."""
        found = self.pieces[id]
        grant = found.readers.get(by)
        if grant is None or found.secret is None or not self.connections[grant.connection].joins(by):
            return "refused"
        if generation != grant.generation:
            return "refused"
        if grant.stored:
            return "ignored"
        grant.stored = True
        return "accepted"

    def release(self, id: str, request: str, by: str, reader: str) -> Verdict:
        """Either side: then the next version needs a new key."""
        found = self.pieces.get(id)
        if found is None or by not in (found.owner, reader):
            return "refused"
        grant = found.readers.pop(reader, None)
        if grant is None:
            return "ignored"
        found.due = found.due or grant.generation == found.generation
        if request in self.requests:
            self.requests[request].open = False
        return "accepted"

    def remove_piece(self, id: str, by: str, version: int) -> Verdict:
        """The owner, when nobody reads it any more."""
        found = self.pieces.get(id)
        if found is None or found.owner != by:
            return "refused"
        if found.secret is None:
            return "ignored"
        if found.readers or version != found.version + 1:
            return "refused"
        found.secret, found.version, found.due = None, version, True
        return "accepted"

    def set_rules(self, by: str, version: int) -> Verdict:
        """One's own, one version after the other."""
        if version != self.rules.get(by, 0) + 1:
            return "refused"
        self.rules[by] = version
        return "accepted"
