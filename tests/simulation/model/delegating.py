"""The verdicts on vault keys, what is kept under them, and what delegates want done."""

from datetime import datetime

from tests.simulation.model.facts import Delegate, Facts, Instruction, Item, Vault, Verdict, granted


class Delegating(Facts):
    """Those who act for others."""

    def delegate(self, by: str, n: int, id: str, to: str, role: str, over: str, generation: int) -> Verdict:
        """The principal, to the other side of a connection who is none yet."""
        vault = self.vaults.get(by, Vault())
        if not granted(
            n == vault.n + 1,
            self.connections[over].joins(by, to) and self.keypairs[to] == "published",
            all(each.who != to for each in vault.delegates.values()),
            generation == max(1, vault.generation),
        ):
            return "refused"
        self.vaults[by] = vault
        if not vault.generation:
            vault.holders, vault.claimed = {by}, {by}
        vault.n, vault.generation = n, generation
        vault.delegates[id] = Delegate(to, role, over)
        vault.holders.add(to)
        return "accepted"

    def dismiss(self, by: str, n: int, id: str) -> Verdict:
        """The principal: a new vault key, for the others."""
        vault = self.vaults.get(by, Vault())
        if id in vault.ended:
            return "ignored"
        if n != vault.n + 1 or id not in vault.delegates:
            return "refused"
        vault.n, vault.generation = n, vault.generation + 1
        del vault.delegates[id]
        vault.ended.add(id)
        vault.holders = {by, *(each.who for each in vault.delegates.values())}
        vault.claimed = {by}
        return "accepted"

    def claim_vault(self, principal: str, by: str, generation: int) -> Verdict:
        """Who holds the key of now."""
        vault = self.vaults.get(principal, Vault())
        if principal not in self.heads or (by != principal and not self._role(principal, by)):
            return "refused"
        if not vault.generation or generation != vault.generation:
            return "refused"
        if by in vault.claimed:
            return "ignored"
        vault.claimed.add(by)
        return "accepted"

    def keep(
        self, principal: str, by: str, named: str | None, item: str, version: int, generation: int, secret: str
    ) -> Verdict:
        """The principal, or a delegate who writes."""
        vault, found = self.vaults.get(principal, Vault()), self.items.get(item)
        kept = found is None if version == 1 else self.kept_by(item, principal) and found is not None
        if not self._may_write(principal, by, named) or not kept or generation != vault.generation:
            return "refused"
        if found is not None and version != found.version + 1:
            return "refused"
        self.items[item] = Item(principal, secret, version, vault=True)
        return "accepted"

    def drop(self, principal: str, by: str, named: str, item: str) -> Verdict:
        """A delegate who writes."""
        found = self.items.get(item)
        if not self._may_write(principal, by, named) or found is None or found.owner != principal:
            return "refused"
        if not found.stands:
            return "ignored"
        found.stands = False
        self.files.pop(item, None)
        return "accepted"

    def instruct(
        self, principal: str, by: str, named: str, n: int, generation: int, expires: datetime, secret: str
    ) -> Verdict:
        """A delegate who writes, the next under their delegation; what is past its time goes."""
        vault = self.vaults.get(principal, Vault())
        if not self._may_write(principal, by, named) or (n, generation) != (
            vault.given.get(named, 0) + 1,
            vault.generation,
        ):
            return "refused"
        if expires <= self.now:
            return "refused"
        lapsed = [at for at, each in vault.open.items() if at[0] == named and each.expires <= self.now]
        for at in lapsed:
            del vault.open[at]
        vault.given[named] = n
        vault.open[named, n] = Instruction(by, secret, expires)
        return "accepted"

    def answer(self, by: str, named: str, n: int) -> Verdict:
        """The principal, what waits."""
        return "refused" if self.vaults.get(by, Vault()).open.pop((named, n), None) is None else "accepted"

    def _may_write(self, principal: str, by: str, named: str | None) -> bool:
        vault = self.vaults.get(principal, Vault())
        if by == principal:
            return named is None
        told = vault.delegates.get(named or "")
        return (
            principal in self.heads
            and told is not None
            and told.who == by
            and self._role(principal, by) in ("admin", "owner")
        )

    def _role(self, principal: str, by: str) -> str:
        """Of a delegate whose connection stands; else nothing."""
        vault = self.vaults.get(principal, Vault())
        found = [each for each in vault.delegates.values() if each.who == by]
        return found[0].role if found and self.connections[found[0].connection].stands else ""
