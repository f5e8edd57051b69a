"""Rules: who asks others for a proof that they have a key, and who gives one."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from privity.messages.grants import AuditKind
from tests.handlers.auditors import Audit
from tests.simulation.model import facts
from tests.simulation.talking import Talking, odd, people, pick, some


class Auditing(Talking):
    """Who proves to whom that they have a key."""

    @precondition(lambda self: self.model.connections)
    @rule(who=people, n=some, over=some, kind=st.sampled_from(["private", "public"]), identity=odd)
    def asks_audit(self, who: str, n: int, over: int, kind: AuditKind, identity: bool) -> None:
        """The other side of a connection, or who was that; of a key that one may not have, or of their identity."""
        held = pick(list(self.world.known.held.values()), n)
        if (id := pick(self.connections_of(who), over)) is None:
            return
        of = self.model.connections[id].peer_of(who)
        asker, asked = self.person(who), self.person(of)
        if identity or held is None:
            audit, generation = Audit(asker, asked, id, "public"), 1
        else:
            generation = held.record.generation
            audit = Audit(asker, asked, id, kind, held.id, generation, held.part.pair)
        wanted = facts.Audit(of, id, (audit.key, audit.kind), self.model.now)

        def then() -> None:
            self.world.known.audits.append(audit)

        self.world.say(
            who,
            audit.asked(),
            lambda model: model.ask_audit(audit.place.audit, who, wanted, generation),
            then,
            signed=True,
        )

    @precondition(lambda self: self.world.known.audits)
    @rule(n=some, holds=st.booleans())
    def answers_audit(self, n: int, holds: bool) -> None:
        """Who was asked, perhaps too late, or again."""
        if (audit := pick(self.world.known.audits[::-1], n)) is not None:
            by, asker = self.name(audit.of), self.name(audit.asker)
            said = audit.answered(holds=holds)
            self.world.say(by, said, lambda model: model.answer_audit(audit.place.audit, by, asker), signed=True)
