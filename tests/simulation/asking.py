"""Rules: pieces, who asks for them, and who reads them."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from privity.crypto.pieces import GrantPlace, read_piece, request_id, store_key
from privity.encoding import digest, unb64
from privity.messages.base import Command
from privity.messages.pieces import StorePiece
from privity.messages.views import AskPieces
from tests.handlers.askers import Kept, rules_of
from tests.simulation.model.facts import Request
from tests.simulation.people import Somebody
from tests.simulation.talking import Talking, odd, people, pick, some


class Asking(Talking):
    """What others see that one has, and ask for."""

    @rule(who=people, name=st.sampled_from(["phone", "mail"]), renew=st.booleans(), wrong=odd, later=some)
    def keeps(self, who: str, name: str, renew: bool, wrong: bool, later: int = 0) -> None:
        """A new value; under a new key where it must be, for readers whose connection stands: for some later."""
        if who not in self.model.heads:
            return
        before = self._piece(who, name) or Kept(self.person(who), name)
        draft, known = self.world.draft(before), self.model.pieces.get(before.piece)
        secret = self.world.secret("a piece")
        renew = renew or (known is not None and known.due and not wrong)
        readers = known.readers if known and renew else {}
        staying = {one: it.connection for one, it in readers.items() if self.model.connections[it.connection].stands}
        staying = dict(list(staying.items())[later:])
        said = draft.set(secret.encode(), *((self.person(one), over) for one, over in staying.items()), renew=renew)
        version, generation = draft.version, draft.generation

        def then() -> None:
            kept = self.world.known.kept.setdefault(before.piece, draft)
            kept.version, kept.generation, kept.key, kept.content = version, generation, draft.key, draft.content

        self.world.say(
            who,
            said,
            lambda model: model.set_piece(before.piece, who, version, generation, tuple(staying), secret),
            then,
            signed=True,
        )

    def _piece(self, who: str, name: str) -> Kept | None:
        found = [each for each in self.world.known.kept.values() if (self.name(each.owner), each.name) == (who, name)]
        return found[0] if found else None

    def _request(self, kept: Kept, who: str) -> str:
        return request_id(kept.owner.account, self.person(who).account, kept.name)

    @precondition(lambda self: self.world.known.kept)
    @rule(n=some, which=some, who=people)
    def asks(self, n: int, which: int, who: str) -> None:
        """Whoever is, or was, connected with the owner."""
        kept = pick(list(self.world.known.kept.values()), n)
        if kept is None or who not in self.model.heads or who == self.name(kept.owner):
            return
        owner = self.name(kept.owner)
        ends = {owner, who}
        over = pick([id for id, each in self.model.connections.items() if {each.inviter, each.acceptor} == ends], which)
        if over is None:
            return
        draft, asker, id = self.world.draft(kept), self.person(who), self._request(kept, who)
        draft.n[asker.account] = self.model.requests.get(id, Request()).n
        said = draft.asked(asker, over)
        round = draft.n[asker.account]

        def then() -> None:
            self.world.known.challenges[id] = draft._challenge

        self.world.say(who, said, lambda model: model.ask(id, kept.piece, who, owner, over, round), then, signed=True)

    @precondition(lambda self: any(each.open for each in self.model.requests.values()))
    @rule(n=some, approves=st.sampled_from([True, True, False]))
    def answers_request(self, n: int, approves: bool) -> None:
        """The owner, what is open."""
        id = pick([id for id, each in self.model.requests.items() if each.open], n)
        if id is None:
            return
        request = self.model.requests[id]
        asker = self.person(request.asker)
        kept = next(each for each in self.world.known.kept.values() if self._request(each, request.asker) == id)
        who, draft, round = self.name(kept.owner), self.world.draft(kept), request.n
        draft.n[asker.account], draft._challenge = round, self.world.known.challenges[id]
        if not approves:
            said = draft.declined(asker)
            self.world.say(who, said, lambda model: model.decline_request(id, kept.piece, who, round))
            return
        over, at = request.connection, (draft.version, draft.generation)
        said = draft.approved(asker, over)
        self.world.say(who, said, lambda model: model.approve(id, kept.piece, who, over, round, at), signed=True)

    @precondition(lambda self: self.model.requests)
    @rule(n=some, who=people, strange=odd)
    def withdraws(self, n: int, who: str, strange: bool) -> None:
        """Whoever asked; or somebody else."""
        id = pick(list(self.model.requests), n)
        if id is None:
            return
        asker = self.model.requests[id].asker
        kept = next(each for each in self.world.known.kept.values() if self._request(each, asker) == id)
        by = who if strange else asker
        command: Command = self.world.opened(kept.withdrawn(self.person(asker)))
        self.world.say(by, self.person(by).says(command), lambda model: model.withdraw_request(id, by))

    @precondition(lambda self: any(each.readers for each in self.model.pieces.values()))
    @rule(n=some)
    def stores(self, n: int) -> None:
        """A reader keeps the key as it is served; who is served none tries it with any."""
        held = [(id, who) for id, piece in self.model.pieces.items() for who in piece.readers]
        if (chosen := pick(held, n)) is None:
            return
        id, who = chosen
        if who not in self.model.heads:
            return
        self.world.system.follow()
        reader, kept = self.world.reader(who), self.world.known.kept[id]
        rows, blobs = reader.ask(AskPieces(owner=kept.owner.account, piece_name=kept.name))
        if not rows or rows[0].content is None or rows[0].wrap is None:
            return
        record = read_piece(unb64(rows[0].record))
        place: GrantPlace = reader.grant_place(rows[0], record)
        wrap = store_key(reader.who.kek, reader.piece_key(rows[0], record, blobs), place)
        said = reader.who.says(StorePiece(id, record.generation, digest(wrap)), wrap)
        self.world.say(who, said, lambda model: model.store(id, who, record.generation))

    @precondition(lambda self: self.world.known.kept)
    @rule(n=some, whom=some, by_reader=st.booleans(), strange=odd, who=people)
    def releases(self, n: int, whom: int, by_reader: bool, strange: bool, who: str) -> None:
        """Either side; or a stranger."""
        kept = pick(list(self.world.known.kept.values()), n)
        if kept is None:
            return
        reader = pick(list(self.model.pieces[kept.piece].readers), whom)
        if reader is None:
            return
        by = who if strange else reader if by_reader else self.name(kept.owner)
        command: Command = self.world.opened(kept.released(self.person(reader)))
        id = self._request(kept, reader)
        said = self.person(by).says(command)
        self.world.say(by, said, lambda model: model.release(kept.piece, id, by, reader))

    @precondition(lambda self: self.world.known.kept)
    @rule(n=some)
    def regrants(self, n: int) -> None:
        """Readers who are behind get the key of now."""
        kept = pick(list(self.world.known.kept.values()), n)
        if kept is None:
            return
        known, who, generation = self.model.pieces[kept.piece], self.name(kept.owner), kept.generation
        behind = {one: it.connection for one, it in known.readers.items() if it.generation < generation}
        if behind:
            readers: list[tuple[Somebody, str]] = [(self.person(one), over) for one, over in behind.items()]
            said = kept.regranted(*readers)
            self.world.say(
                who,
                said,
                lambda model: model.regrant(kept.piece, who, generation, tuple(behind)),
                signed=True,
            )

    @precondition(lambda self: self.world.known.kept)
    @rule(n=some, sure=odd)
    def removes_piece(self, n: int, sure: bool) -> None:
        """The owner, though there may be readers."""
        kept = pick(list(self.world.known.kept.values()), n)
        if kept is None or not sure:
            return
        who, draft = self.name(kept.owner), self.world.draft(kept)
        said = draft.removed()
        version = draft.version

        def then() -> None:
            kept.version = version

        self.world.say(who, said, lambda model: model.remove_piece(kept.piece, who, version), then)

    @rule(who=people, skips=odd)
    def sets_rules(self, who: str, skips: bool) -> None:
        """By which one's agent approves; nobody here cares what they say."""
        version = self.model.rules.get(who, 0) + 1 + skips
        self.world.say(who, rules_of(self.person(who), version), lambda model: model.set_rules(who, version))
