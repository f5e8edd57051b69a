"""The verdicts on accounts, invitations and connections."""

from datetime import datetime

from tests.simulation.model.facts import Connection, Facts, Invitation, Verdict


class Connecting(Facts):
    """Who is who, and who knows whom."""

    def register(self, who: str, head: int, address: str) -> Verdict:
        """Once; `head` is the number of the newest record that comes along."""
        if who in self.heads or who in self.closed or not self._may_take(who, address):
            return "refused"
        self.heads[who], self.signs[who] = head, 0
        self._take(who, address)
        return "accepted"

    def rename(self, who: str, address: str) -> Verdict:
        """By another address, which is nobody else's, nor was."""
        if self.address[who] == address:
            return "ignored"
        if not self._may_take(who, address):
            return "refused"
        self._take(who, address)
        return "accepted"

    def _take(self, who: str, address: str) -> None:
        self.address[who] = address
        self.taken[address] = who

    def _may_take(self, who: str, address: str) -> bool:
        return self.taken.get(address, who) == who

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
        self.keypairs[who] = "stored"
        return "accepted"

    def publish_keypair(self, who: str) -> Verdict:
        """Once it is stored."""
        match self.keypairs.get(who):
            case "published":
                return "ignored"
            case "stored":
                self.keypairs[who] = "published"
                return "accepted"
            case _:
                return "refused"

    def remove_keypair(self, who: str) -> Verdict:
        """One's own, for good."""
        if who not in self.keypairs:
            return "refused"
        if self.keypairs[who] == "removed":
            return "ignored"
        self.keypairs[who] = "removed"
        return "accepted"

    def invite(self, id: str, by: str, expires: datetime, address: str, note: str) -> Verdict:
        """With an id of its own, a keypair, and the address that one has now."""
        if id in self.invitations or expires <= self.now or not self._may_meet(by, address):
            return "refused"
        self.invitations[id] = Invitation(by, expires, note)
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

    def accept(self, id: str, by: str, connection: str, address: str, note: str) -> Verdict:
        """Whoever has the token, and is not connected with the inviter."""
        found = self.invitations.get(id)
        if found is None or not self._answerable(found, by) or not self._may_meet(by, address):
            return "refused"
        if self.connection_of(found.inviter, by) is not None:
            return "refused"
        found.closed = True
        self.connections[connection] = Connection(found.inviter, by, notes={found.inviter: found.note, by: note})
        return "accepted"

    def _may_meet(self, who: str, address: str) -> bool:
        return self.keypairs.get(who) == "published" and self.address[who] == address

    def _answerable(self, invitation: Invitation, by: str) -> bool:
        open_ = not invitation.closed and invitation.inviter not in self.closed
        return open_ and invitation.inviter != by and self.now < invitation.expires

    def confirm(self, id: str, by: str, note: str) -> Verdict:
        """The inviter, once."""
        found = self.connections.get(id)
        if found is None or not found.stands or found.inviter != by:
            return "refused"
        if found.confirmed:
            return "ignored"
        found.confirmed, found.notes[by] = True, note
        return "accepted"

    def note_connection(self, id: str, by: str, replaces: str, note: str) -> Verdict:
        """Either side, for themselves, behind the note that stands."""
        found = self.connections.get(id)
        if found is None or not found.joins(by):
            return "refused"
        if found.notes[by] == note:
            return "ignored"
        if found.notes[by] != replaces:
            return "refused"
        found.notes[by] = note
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
