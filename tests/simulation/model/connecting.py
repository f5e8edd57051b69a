"""The verdicts on accounts, invitations and connections."""

from datetime import datetime

from tests.simulation.model.facts import Connection, Facts, Invitation, Verdict


class Connecting(Facts):
    """Who is who, and who knows whom."""

    def register(self, who: str, head: int) -> Verdict:
        """Once; `head` is the number of the newest record that comes along."""
        if who in self.heads or who in self.closed:
            return "refused"
        self.heads[who], self.signs[who] = head, 0
        return "accepted"

    def extend(self, who: str, head: int, *, rotates: bool) -> Verdict:
        """The next record of an identity, perhaps with other keys."""
        if head != self.heads[who] + 1:
            return "refused"
        self.heads[who] = head
        self.signs[who] += rotates
        return "accepted"

    def close(self, who: str) -> Verdict:
        """For good."""
        del self.heads[who]
        self.closed.add(who)
        return "accepted"

    def store_keypair(self, who: str) -> Verdict:
        """Once."""
        if who in self.keypairs:
            return "refused"
        self.keypairs[who] = False
        return "accepted"

    def publish_keypair(self, who: str) -> Verdict:
        """Once it is stored."""
        if who not in self.keypairs:
            return "refused"
        if self.keypairs[who]:
            return "ignored"
        self.keypairs[who] = True
        return "accepted"

    def invite(self, id: str, by: str, expires: datetime) -> Verdict:
        """With an id of its own, and a keypair."""
        if id in self.invitations or expires <= self.now or not self.keypairs.get(by):
            return "refused"
        self.invitations[id] = Invitation(by, expires)
        return "accepted"

    def cancel(self, id: str, by: str) -> Verdict:
        """One's own, while it is open."""
        found = self.invitations.get(id)
        if found is None or found.inviter != by or found.closed:
            return "refused"
        found.closed = True
        return "accepted"

    def decline(self, id: str, by: str) -> Verdict:
        """Whoever has the token."""
        found = self.invitations.get(id)
        if found is not None and found.declined_by == by:
            return "ignored"
        if found is None or not self._answerable(found, by):
            return "refused"
        found.closed, found.declined_by = True, by
        return "accepted"

    def accept(self, id: str, by: str, connection: str) -> Verdict:
        """Whoever has the token, and is not connected with the inviter."""
        found = self.invitations.get(id)
        if found is None or not self._answerable(found, by) or not self.keypairs.get(by):
            return "refused"
        if self.connection_of(found.inviter, by) is not None:
            return "refused"
        found.closed = True
        self.connections[connection] = Connection(found.inviter, by)
        return "accepted"

    def _answerable(self, invitation: Invitation, by: str) -> bool:
        open_ = not invitation.closed and invitation.inviter not in self.closed
        return open_ and invitation.inviter != by and self.now < invitation.expires

    def confirm(self, id: str, by: str) -> Verdict:
        """The inviter, once."""
        found = self.connections.get(id)
        if found is None or not found.stands or found.inviter != by:
            return "refused"
        if found.confirmed:
            return "ignored"
        found.confirmed = True
        return "accepted"

    def part(self, id: str, by: str) -> Verdict:
        """Either side, once."""
        found = self.connections.get(id)
        if found is None or by not in (found.inviter, found.acceptor):
            return "refused"
        if not found.stands:
            return "ignored"
        found.stands = False
        return "accepted"
