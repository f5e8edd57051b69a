"""Rules: accounts, invitations and connections, and the ends of them."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from privity.crypto.signing import SigningKey
from privity.encoding import digest, new_id
from privity.messages.accounts import ChangePassphrase, Kdf, RenameAccount
from privity.messages.connections import ConfirmConnection, NoteConnection, RemoveConnection
from privity.messages.invitations import AcceptInvitation, CancelInvitation, DeclineInvitation, InviteConnection
from privity.messages.keys import RemoveKeypair
from tests.examples import key32
from tests.simulation.people import ADDRESSES
from tests.simulation.talking import Talking, always, odd, people, pick, some


class Connecting(Talking):
    """Who is who, and who knows whom."""

    @rule(who=people, again=odd)
    def registers(self, who: str, again: bool) -> None:
        """Who has no account yet; of everybody else it is refused."""
        if who in (self.model.heads | dict.fromkeys(self.model.closed)) and not again:
            return
        person = self.person(who)
        n, address = person.identity.n, person.address
        self.world.say(who, person.registers(), lambda model: model.register(who, n, address), known=always)
        stored, published = person.stores_key()
        self.world.say(who, stored, lambda model: model.store_keypair(who))
        self.world.say(who, published, lambda model: model.publish_keypair(who))

    @rule(who=people, rotates=st.booleans())
    def goes_on(self, who: str, rotates: bool) -> None:
        """The next record of an identity: other keys, or another device beside."""
        if who not in self.model.heads or self.world.holding:
            return
        person = self.person(who)
        if rotates:
            said = person.rotates()
        else:
            said = person.extends({person.device_id: person.device.public, new_id(): SigningKey.generate().public})
        n = person.identity.n
        self.world.say(who, said, lambda model: model.extend(who, n, rotates=rotates))

    @rule(who=people)
    def changes_passphrase(self, who: str) -> None:
        """Which changes nothing about who can read what."""
        kek = new_id().encode()
        said = self.person(who).says(ChangePassphrase(key32(new_id()), Kdf(64 * 1024, 4, 4), digest(kek)), kek)
        self.world.say(who, said, lambda _: "accepted")

    @rule(who=people, to=st.sampled_from(ADDRESSES))
    def renames(self, who: str, to: str) -> None:
        """By an address that is free, or is, or was, one's own; or somebody else's."""
        person = self.person(who)

        def then() -> None:
            person.address = to

        self.world.say(who, person.says(RenameAccount(to)), lambda model: model.rename(who, to), then)

    @rule(who=people, n=some, stale=odd)
    def notes_connection(self, who: str, n: int, stale: bool) -> None:
        """Either side; or a stranger, or behind a note that does not stand."""
        if (over := pick(list(self.model.connections), n)) is not None:
            blob = new_id().encode()
            stands = self.model.connections[over].notes.get(who)
            replaces = stands if stands and not stale else digest(b"another")
            said = self.person(who).says(NoteConnection(over, replaces, digest(blob)), blob)
            self.world.say(who, said, lambda model: model.note_connection(over, who, replaces, digest(blob)))

    @rule(who=people, sure=odd)
    def removes_keypair(self, who: str, sure: bool) -> None:
        """What was sealed to it opens for who has it still; nobody is invited with it any more."""
        if sure:
            said = self.person(who).says(RemoveKeypair(self.person(who).key_id))
            self.world.say(who, said, lambda model: model.remove_keypair(who))

    @precondition(lambda self: len(self.model.heads) > 2)
    @rule(who=people, sure=odd)
    def closes(self, who: str, sure: bool) -> None:
        """Not too often, or nobody is left."""
        if sure and who in self.model.heads:
            self.world.say(who, self.person(who).closes(), lambda model: model.close(who), signed=True, at_head=True)

    @rule(who=people)
    def invites(self, who: str) -> None:
        """Whoever gets the link."""
        if who not in self.model.heads:
            return
        offer = self.person(who).invites("somebody@localhost", self.model.now)
        expires, address = offer.expires, self.person(who).address
        self.world.known.invitations.append(offer)
        said = offer.sent()
        note = self.world.opened(said, InviteConnection).note
        self.world.say(
            who, said, lambda model: model.invite(offer.id, who, expires, address, note), signed=True, at_head=True
        )

    @rule(who=people, n=some, accepts=st.sampled_from([True, True, False]))
    def answers(self, who: str, n: int, accepts: bool) -> None:
        """Anybody who has the link, and also who made it."""
        newest = self.world.known.invitations[::-1]
        offer = pick(newest, n)
        if offer is None or who not in self.model.heads:
            return
        person = self.person(who)
        if not accepts:
            said = person.says(DeclineInvitation(offer.id, offer.token))
            self.world.say(who, said, lambda model: model.decline(offer.id, who))
            return
        draft = self.world.draft(offer)
        said = draft.accepted(person)
        note, address = self.world.opened(said, AcceptInvitation).note, person.address

        def then() -> None:
            offer.connection, offer.acceptance = draft.connection, draft.acceptance
            offer.acceptors_note = draft.acceptors_note

        self.world.say(
            who,
            said,
            lambda model: model.accept(offer.id, who, draft.connection, address, note),
            then,
            signed=True,
            at_head=True,
        )

    @rule(who=people, n=some, sure=odd)
    def cancels(self, who: str, n: int, sure: bool) -> None:
        """One's own, or somebody else's."""
        offer = pick(self.world.known.invitations, n)
        if offer is not None and sure:
            said = self.person(who).says(CancelInvitation(offer.id))
            self.world.say(who, said, lambda model: model.cancel(offer.id, who))

    @rule(n=some)
    def confirms(self, n: int) -> None:
        """Whoever invited."""
        offer = pick([each for each in self.world.known.invitations if each.connection], n)
        if offer is not None:
            who, said = self.name(offer.inviter), offer.confirmed()
            note = self.world.opened(said, ConfirmConnection).note
            self.world.say(who, said, lambda model: model.confirm(offer.connection, who, note))

    @rule(who=people, n=some, sure=odd)
    def parts(self, who: str, n: int, sure: bool) -> None:
        """One's own connection, or, as an attack, other people's."""
        id = pick(list(self.model.connections), n)
        if id is not None and (sure or not self.model.connections[id].joins(who)):
            said = self.person(who).says(RemoveConnection(id))
            self.world.say(who, said, lambda model: model.part(id, who))

    @rule(days=st.sampled_from([1, 8, 30]))
    def time_goes_on(self, days: int) -> None:
        """Shares end, and invitations."""
        self.model.now = self.world.system.clock.goes_on(days=days)
