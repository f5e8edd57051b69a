"""Rules: vault keys, those who hold them for others, and the items under them."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from privity.crypto.delegations import read_version, wrap_vault_key
from privity.encoding import digest, new_id, unb64
from privity.messages.delegations import ClaimDelegation, KeepItem, Role
from privity.messages.instructions import AnswerInstruction
from privity.messages.views import AskVaults
from tests.handlers.delegates import Delegates
from tests.simulation.people import NAMES, written
from tests.simulation.system import sealed_behind
from tests.simulation.talking import Talking, odd, people, pick, some


class Delegating(Talking):
    """Those who act for others."""

    def _vault(self, who: str) -> Delegates:
        return self.world.known.vaults.setdefault(who, Delegates(self.person(who)))

    @rule(who=people, to=some, role=st.sampled_from(["admin", "reader"]))
    def delegates(self, who: str, to: int, role: Role) -> None:
        """To a friend; who is a delegate already stays as they are."""
        if who not in self.model.heads:
            return
        known = self._vault(who)
        friends = {name: over for name, over in self.friends(who).items() if name in self.model.heads}
        if (name := pick(list(friends), to)) is None:
            return
        draft, over = self.world.draft(known), friends[name]
        said = draft.granted(self.person(name), role, over)
        grant, n, generation = draft.grants[self.person(name).account], draft.n, draft.generation
        self.world.say(
            who,
            said,
            lambda model: model.delegate(who, n, grant.delegation, name, role, over, generation),
            lambda: _go_on(known, draft),
            signed=True,
        )

    @precondition(lambda self: any(each.delegates for each in self.model.vaults.values()))
    @rule(n=some)
    def dismisses(self, n: int) -> None:
        """A delegate; the others get a new vault key."""
        found = [(who, id, one.who) for who, vault in self.model.vaults.items() for id, one in vault.delegates.items()]
        if (chosen := pick(found, n)) is None:
            return
        who, id, name = chosen
        known = self._vault(who)
        draft = self.world.draft(known)
        said = draft.removed(self.person(name))
        number = draft.n
        self.world.say(
            who,
            said,
            lambda model: model.dismiss(who, number, id),
            lambda: _go_on(known, draft),
            signed=True,
        )

    @precondition(lambda self: any(each.generation for each in self.model.vaults.values()))
    @rule(n=some, who=people)
    def claims_vault(self, n: int, who: str) -> None:
        """Whoever is served a vault key keeps it."""
        principal = pick([one for one, vault in self.model.vaults.items() if vault.generation], n)
        if principal is None or who not in self.model.heads:
            return
        self.world.system.follow()
        reader, owner = self.world.reader(who), self.person(principal).account
        rows, blobs = reader.ask(AskVaults(principal=owner))
        if rows:
            generation = rows[0].generation
            key = reader.vault_keys(rows[0], blobs)[generation]
            place = {"principal": owner, "holder": reader.who.account}
            wrap = wrap_vault_key(reader.who.kek, key, **place, generation=generation)
            said = reader.who.says(ClaimDelegation(owner, generation, digest(wrap)), wrap)
            self.world.say(who, said, lambda model: model.claim_vault(principal, who, generation))

    @precondition(lambda self: any(each.generation for each in self.model.vaults.values()))
    @rule(n=some, which=some, whom=some, new=st.booleans())
    def keeps_under_vault(self, n: int, which: int, whom: int, new: bool) -> None:
        """The principal or a delegate, whatever their role: something new, or the next version of what there is."""
        principal = pick([one for one, vault in self.model.vaults.items() if vault.generation], n)
        if principal is None:
            return
        known = self._vault(principal)
        account = self.person(principal).account
        by = pick([account, *known.grants], whom) or account
        who = next(name for name in NAMES if self.person(name).account == by)
        item = pick([id for id, each in self.model.items.items() if each.owner == principal and not new], which)
        item = item or new_id()
        version = self.model.items[item].version + 1 if item in self.model.items else 1
        secret = self.world.secret("a vault")
        said = known.kept(self.person(who), item, version, content=written(item, secret))
        command, generation = self.world.opened(said, KeepItem), known.generation

        def then() -> None:
            content, wrap = sealed_behind(said)
            self.world.known.versions.append((secret, read_version(unb64(command.record)), content, wrap))

        self.world.say(
            who,
            said,
            lambda model: model.keep(principal, who, command.delegation, item, version, generation, secret),
            then,
            signed=True,
        )

    @precondition(lambda self: any(each.delegates for each in self.model.vaults.values()))
    @rule(n=some, which=some, sure=odd)
    def drops_item(self, n: int, which: int, sure: bool) -> None:
        """A delegate gives up an item of the principal's."""
        found = [(who, id, one.who) for who, vault in self.model.vaults.items() for id, one in vault.delegates.items()]
        if (chosen := pick(found, n)) is None or not sure:
            return
        principal, id, who = chosen
        item = pick([one for one, each in self.model.items.items() if each.owner == principal], which)
        if item is not None and self.person(who).account in self._vault(principal).grants:
            said = self._vault(principal).dropped(self.person(who), item)
            self.world.say(who, said, lambda model: model.drop(principal, who, id, item))

    @precondition(lambda self: any(each.delegates for each in self.model.vaults.values()))
    @rule(n=some, days=st.sampled_from([2, 7]))
    def instructs(self, n: int, days: int) -> None:
        """A delegate, whatever their role."""
        found = [(who, id, one.who) for who, vault in self.model.vaults.items() for id, one in vault.delegates.items()]
        if (chosen := pick(found, n)) is None:
            return
        principal, id, who = chosen
        draft, delegate = self.world.draft(self._vault(principal)), self.person(who)
        if delegate.account not in draft.grants:
            return
        draft.instructions = self.model.vaults[principal].given.get(id, 0)
        secret, expires = self.world.secret("an instruction"), self.model.now + timedelta(days=days)
        said = draft.instructed(delegate, {"expires": expires}, wants=secret.encode())
        number, generation = draft.instructions, draft.generation
        self.world.say(
            who,
            said,
            lambda model: model.instruct(principal, who, id, number, generation, expires, secret),
            signed=True,
        )

    @precondition(lambda self: any(each.given for each in self.model.vaults.values()))
    @rule(n=some)
    def answers_instruction(self, n: int) -> None:
        """The principal, the newest of each, which may be answered already."""
        found = [(who, id, newest) for who, vault in self.model.vaults.items() for id, newest in vault.given.items()]
        if (chosen := pick(found, n)) is not None:
            who, id, newest = chosen
            said = self.person(who).says(AnswerInstruction(id, newest, "NotFound", None))
            self.world.say(who, said, lambda model: model.answer(who, id, newest))


def _go_on(known: Delegates, draft: Delegates) -> None:
    """What was said was accepted."""
    known.keys, known.grants, known.n, known.head = draft.keys, draft.grants, draft.n, draft.head
