"""The verdicts on items, shares and the files of both."""

from tests.simulation.model.facts import Brought, Facts, Files, Item, Share, Verdict, granted


class Sharing(Facts):
    """Items for oneself and for one reader."""

    def add(self, id: str, by: str, secret: str) -> Verdict:
        """Under an id of its own."""
        if id in self.items:
            return "refused"
        self.items[id] = Item(by, secret)
        return "accepted"

    def edit(self, id: str, by: str, version: int, secret: str) -> Verdict:
        """The next version of one's own."""
        if not self.kept_by(id, by) or self.items[id].version + 1 != version:
            return "refused"
        self.items[id] = Item(by, secret, version)
        return "accepted"

    def remove(self, id: str, by: str) -> Verdict:
        """One's own."""
        found = self.items.get(id)
        if found is None or found.owner != by:
            return "refused"
        if not found.stands:
            return "ignored"
        found.stands = False
        self.files.pop(id, None)
        return "accepted"

    def attach(self, of: str, by: str, file: str, secret: str) -> Verdict:
        """To one's own item, or to a share that one gives."""
        if not self._attachable(of, by):
            return "refused"
        share, found = self.shares.get(of), self.files.get(of) or Files(by)
        if (share is not None and not self.share_stands(share)) or file in found.files or file in found.gone:
            return "refused"
        self.files[of] = found
        found.files[file] = secret
        return "accepted"

    def detach(self, of: str, by: str, file: str) -> Verdict:
        """Off for good."""
        if not self._attachable(of, by):
            return "refused"
        found = self.files.setdefault(of, Files(by))
        if file in found.gone:
            return "ignored"
        found.files.pop(file, None)
        found.gone.add(file)
        return "accepted"

    def _attachable(self, of: str, by: str) -> bool:
        share = self.shares.get(of)
        return self.kept_by(of, by) or (share is not None and share.stands and share.owner == by)

    def share(self, id: str, by: str, over: str, item: str, source: str | None, brought: Brought, n: int) -> Verdict:
        """The next of one's line over a connection: of one's own item, or of what one was given."""
        joined = self.connections[over]
        fits = joined.joins(by) and joined.sent.get(by, 0) + 1 == n and self._in_time(brought)
        if source is None:
            of_item = self.kept_by(item, by) and brought.version == self.items[item].version
        else:
            given = self.shares[source]
            of_item = self.readable(given) and self._shared_on(given, by, brought)
        if id in self.shares or not fits or not of_item:
            return "refused"
        joined.sent[by] = n
        self.shares[id] = Share(by, joined.peer_of(by), over, item, source, brought)
        return "accepted"

    def revise(self, id: str, by: str, generation: int, brought: Brought, n: int) -> Verdict:
        """The next generation of what one gives."""
        found = self.shares[id]
        joined = self.connections[found.connection]
        if not granted(
            found.owner == by,
            self.share_stands(found),
            generation == found.generation + 1,
            joined.sent.get(by, 0) + 1 == n,
            brought.expires == found.now.expires or self._in_time(brought),
        ):
            return "refused"
        if found.source is not None:
            fits = self._shared_on(self.shares[found.source], by, brought)
        else:
            kept = self.kept_by(found.item, by)
            fits = brought.version == (self.items[found.item].version if kept else found.now.version)
        if not fits:
            return "refused"
        joined.sent[by] = n
        found.now, found.generation, found.claimed = brought, generation, False
        return "accepted"

    def _in_time(self, brought: Brought) -> bool:
        return brought.expires is None or brought.expires > self.now

    def _shared_on(self, source: Share, by: str, brought: Brought) -> bool:
        """Whether what somebody was given may go on like this."""
        said = source.now
        return granted(
            source.recipient == by,
            self.share_stands(source),
            said.reshare > brought.reshare,
            brought.version == said.version,
            said.expires is None or (brought.expires is not None and brought.expires <= said.expires),
            said.terms is None or brought.terms == said.terms,
        )

    def accept_terms(self, id: str, by: str, terms: str) -> Verdict:
        """The recipient, those that stand."""
        found = self.shares[id]
        if found.recipient != by or not self.share_stands(found) or found.now.terms != terms:
            return "refused"
        if found.accepted == terms:
            return "ignored"
        if not self._in_time(found.now):
            return "refused"
        found.accepted = terms
        return "accepted"

    def claim(self, id: str, by: str, generation: int) -> Verdict:
        """The recipient, what they can read."""
        found = self.shares[id]
        if found.recipient != by or not self.share_stands(found) or not self.readable(found):
            return "refused"
        if found.generation != generation:
            return "refused"
        if found.claimed:
            return "ignored"
        found.claimed = True
        return "accepted"

    def end(self, id: str, by: str) -> Verdict:
        """Either side, once."""
        found = self.shares.get(id)
        if found is None or by not in (found.owner, found.recipient):
            return "refused"
        if not found.stands:
            return "ignored"
        found.stands = False
        self.files.pop(id, None)
        return "accepted"
