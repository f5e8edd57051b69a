"""Rules: sharing keys, those who hold them, and the locations under them."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from privity.crypto.audits import grant_id
from privity.crypto.sharing_keys import wrap_part
from privity.encoding import digest, new_id
from privity.messages.base import Command
from privity.messages.grants import BeginGrant, Outcome, Step, TakeGrantStep
from privity.messages.locations import RemoveLocation
from privity.messages.sharing_keys import (
    ClaimSharingKey,
    CreateSharingKey,
    EraseSharingKey,
    NoteSharingKey,
    RestoreSharingKey,
)
from privity.messages.views import AskSharingKeys
from tests.handlers.holders import Held
from tests.simulation.talking import Talking, odd, people, pick, some


class Keeping(Talking):
    """Keys that are granted to others."""

    @precondition(lambda self: len(self.world.known.held) < 3)
    @rule(who=people)
    def makes_key(self, who: str) -> None:
        """A key of one's own."""
        if who not in self.model.heads:
            return
        held = Held(self.person(who))
        said = held.created()
        note = self.world.opened(said, CreateSharingKey).note

        def then() -> None:
            self.world.known.held[held.id] = held

        self.world.say(who, said, lambda model: model.make_key(held.id, who, note), then, signed=True)

    @precondition(lambda self: self.world.known.held)
    @rule(n=some, to=some)
    def grants_key(self, n: int, to: int) -> None:
        """To a friend of the creator's, or to who was one."""
        held = pick(list(self.world.known.held.values()), n)
        if held is None:
            return
        who, draft = self.name(held.creator), self.world.draft(held)
        if (over := pick(self.connections_of(who), to)) is None:
            return
        receiver = self.model.connections[over].peer_of(who)
        holders = {self.person(each).account for each in self.model.keys[held.id].holders}
        draft.record = replace(draft.record, holders=tuple(sorted(holders)))
        said, n = draft.granted(self.person(receiver), over), draft.record.n
        named = {*self.model.keys[held.id].holders, receiver}
        self.world.say(
            who,
            said,
            lambda model: model.grant_key(held.id, who, receiver, over, n, named),
            lambda: _go_on(held, draft),
            signed=True,
        )

    @precondition(lambda self: self.world.known.held)
    @rule(n=some, to=some, step=st.sampled_from(["reach", "private"]), outcome=st.sampled_from(["waiting", "done"]))
    def takes_step(self, n: int, to: int, step: Step, outcome: Outcome) -> None:
        """Of a grant to a friend, which begins with it."""
        held = pick(list(self.world.known.held.values()), n)
        if held is None:
            return
        who, id, record = self.name(held.creator), held.id, held.record.n
        friends = self.friends(who)
        if (name := pick(list(friends), to)) is None:
            return
        over, person = friends[name], self.person(who)
        grant = grant_id(id, self.person(name).account, over)
        begins = person.says(BeginGrant(grant, id, self.person(name).account, over, record))
        self.world.say(who, begins, lambda model: model.begin(id, who, name, over, record))
        steps = person.says(TakeGrantStep(grant, step, outcome, None if outcome == "done" else "no answer"))
        self.world.say(who, steps, lambda model: model.step(id, who, name, over, step, outcome))

    @precondition(lambda self: self.world.known.held)
    @rule(n=some, whom=some, all_stay=odd)
    def rotates_key(self, n: int, whom: int, all_stay: bool) -> None:
        """Somebody is dropped, and all whose connection has ended; or nobody is."""
        held = pick(list(self.world.known.held.values()), n)
        if held is None:
            return
        who, draft, key = self.name(held.creator), self.world.draft(held), self.model.keys[held.id]
        gone = [each for each in key.holders if not self.model.connections[key.held[each].connection].stands]
        if not all_stay and (dropped := pick(key.holders, whom)) is not None:
            gone = [*gone, dropped]
        gone = [] if all_stay else list(dict.fromkeys(gone))
        staying = {each: key.held[each].connection for each in key.holders if each not in gone}
        accounts = tuple(self.person(each).account for each in gone)
        said = draft.rotated(*((self.person(each), over) for each, over in staying.items()), dropped=accounts)
        number = draft.record.n
        self.world.say(
            who,
            said,
            lambda model: model.rotate_key(held.id, who, number, gone, tuple(staying)),
            lambda: _go_on(held, draft),
            signed=True,
        )

    @precondition(lambda self: self.world.known.held)
    @rule(n=some, to=some)
    def tells_key(self, n: int, to: int) -> None:
        """The public part, to a friend of the creator's."""
        held = pick(list(self.world.known.held.values()), n)
        if held is None:
            return
        who, generation = self.name(held.creator), held.record.generation
        friends = self.friends(who)
        if (name := pick(list(friends), to)) is not None:
            over = friends[name]
            said = held.told(self.person(name), over)
            self.world.say(who, said, lambda model: model.tell_key(held.id, who, name, over, generation))

    @precondition(lambda self: self.world.known.held)
    @rule(n=some, whom=some, anew=odd)
    def claims_part(self, n: int, whom: int, anew: bool) -> None:
        """A holder keeps the private part as it is served; or wraps it anew."""
        held = pick(list(self.world.known.held.values()), n)
        if held is None:
            return
        who = pick(list(self.model.keys[held.id].held), whom)
        if who is None or who not in self.model.heads:
            return
        self.world.system.follow()
        reader = self.world.reader(who)
        rows, blobs = reader.ask(AskSharingKeys(id=held.id))
        if rows:
            parts = reader.parts(rows[0], blobs)
            generation, note = max(parts), f"{new_id()}, a note".encode()
            wrap = wrap_part(reader.who.kek, parts[generation], held.id, generation, reader.who.account)
            kind = RestoreSharingKey if anew else ClaimSharingKey
            command = kind(held.id, generation, rows[0].note, digest(wrap), digest(note))
            said = reader.who.says(command, wrap, note)
            replaces, named = rows[0].note, command.note
            self.world.say(
                who, said, lambda model: model.claim_key(held.id, who, generation, replaces, named, anew=anew)
            )

    @precondition(lambda self: self.world.known.held)
    @rule(n=some, who=people, stale=odd)
    def notes_key(self, n: int, who: str, stale: bool) -> None:
        """Whoever has a part of it; or a stranger, or behind a note that does not stand."""
        if (id := pick(list(self.world.known.held), n)) is not None:
            note = new_id().encode()
            replaces = digest(b"another") if stale else self.model.keys[id].notes.get(who)
            said = self.person(who).says(NoteSharingKey(id, replaces, digest(note)), note)
            self.world.say(who, said, lambda model: model.note_key(id, who, replaces, digest(note)))

    @precondition(lambda self: self.world.known.held)
    @rule(n=some, who=people)
    def gives_up_key(self, n: int, who: str) -> None:
        """Its creator for everybody, a holder for themselves; or a stranger."""
        id = pick(list(self.world.known.held), n)
        if id is not None and (who != self.model.keys[id].creator or n > 5):
            self.world.say(who, self.person(who).says(EraseSharingKey(id)), lambda model: model.erase_key(id, who))

    @precondition(lambda self: self.world.known.held)
    @rule(n=some, who=people, strange=odd, on=some)
    def places(self, n: int, who: str, strange: bool, on: int) -> None:
        """An empty location under a key, on a supplier that may be gone; or as an attack under somebody else's."""
        held = pick(list(self.world.known.held.values()), n)
        if held is None:
            return
        by, keeper = who if strange else self.name(held.creator), self.keeper(on)
        command: Command = self.world.opened(held.placed(keeper))
        self.world.say(by, self.person(by).says(command), lambda model: model.place(held.id, by, keeper.id))

    @precondition(lambda self: any(each.location for each in self.model.keys.values()))
    @rule(n=some, who=people)
    def changes(self, n: int, who: str) -> None:
        """Whoever holds the key writes under it; and who does not, tries."""
        placed = [id for id, key in self.model.keys.items() if key.location is not None]
        id = pick(placed, n)
        if id is None:
            return
        held = self.world.known.held[id]
        draft, secret = self.world.draft(held), self.world.secret("a location")
        said = draft.changed(self.person(who), says=secret.encode())
        line, generation = draft.line, draft.record.generation

        def then() -> None:
            held.line = line

        self.world.say(who, said, lambda model: model.change(id, who, line[0], generation, secret), then, signed=True)

    @precondition(lambda self: any(each.location for each in self.model.keys.values()))
    @rule(n=some, who=people, sure=odd)
    def unplaces(self, n: int, who: str, sure: bool) -> None:
        """Whoever made the location; or another one."""
        id = pick([id for id, key in self.model.keys.items() if key.location is not None], n)
        if id is not None and (sure or who != self.model.keys[id].creator):
            self.world.say(who, self.person(who).says(RemoveLocation(id)), lambda model: model.unplace(id, who))


def _go_on(held: Held, draft: Held) -> None:
    """What was said was accepted."""
    held.part, held.record, held.head = draft.part, draft.record, draft.head
