"""Who can read what: a home as people think of it; it knows no keys, no bytes and no events.

Each method is a command: it says what its result must be, and changes the facts where that is `accepted`.
"""

from collections.abc import Iterator

from tests.simulation.model.asking import Asking
from tests.simulation.model.auditing import Auditing
from tests.simulation.model.connecting import Connecting
from tests.simulation.model.delegating import Delegating
from tests.simulation.model.facts import Delegate, Grant, Item, Piece, Reading, Vault
from tests.simulation.model.grouping import Grouping
from tests.simulation.model.keeping import Keeping
from tests.simulation.model.sharing import Sharing
from tests.simulation.model.supplying import Supplying


class Model(Connecting, Sharing, Grouping, Asking, Keeping, Auditing, Supplying, Delegating):
    """Everybody and everything, and who can read it."""

    def readings(self) -> set[Reading]:
        """All that somebody can read now."""
        return {(who, secret) for who, secret in self._readings() if who in self.heads}

    def remember(self) -> None:
        """Keep what can be opened now: who went, or is connected no more, has the newest key until there is another."""
        self.ever |= self.readings()
        for post in self.posts.values():
            if post.secret is not None:
                self.ever |= {(who, post.secret) for who in self.groups[post.group].roles}
        for item in self.items.values():
            if item.stands and item.vault:
                self.ever |= {(who, item.secret) for who in self.vaults[item.owner].holders}

    def _readings(self) -> Iterator[Reading]:
        for id, item in self.items.items():
            for who in self._readers_of_item(item):
                yield from self._with_files(id, who, item.secret)
        for id, share in self.shares.items():
            if self.share_stands(share):
                yield from self._with_files(id, share.owner, share.now.secret)
                if self.readable(share):
                    yield from self._with_files(id, share.recipient, share.now.secret)
        for post in self.posts.values():
            group = self.groups[post.group]
            yield from ((who, post.secret) for who in group.roles if group.role(who) and post.secret)
        for piece in self.pieces.values():
            if piece.secret is not None:
                yield piece.owner, piece.secret
                yield from ((who, piece.secret) for who, grant in piece.readers.items() if self._reads(piece, grant))
        for id, key in self.keys.items():
            yield from ((who, f"{id} of generation {held.generation}") for who, held in key.held.items())
            if key.location is not None and key.location.stands:
                yield from ((who, secret) for who in key.held for secret in key.location.secrets)

        for principal, vault in self.vaults.items():
            serving = {each.who for each in vault.delegates.values() if self._serves(vault, each)}
            for wanted in vault.open.values():
                yield principal, wanted.secret
                yield from ((who, wanted.secret) for who in serving & {wanted.by})

    def _with_files(self, of: str, who: str, secret: str) -> Iterator[Reading]:
        yield who, secret
        attached = self.files.get(of)
        yield from ((who, each) for each in (attached.files.values() if attached else ()))

    def _readers_of_item(self, item: Item) -> Iterator[str]:
        if not item.stands:
            return
        yield item.owner
        if item.vault:
            vault = self.vaults[item.owner]
            yield from (each.who for each in vault.delegates.values() if self._serves(vault, each))

    def _serves(self, vault: Vault, delegate: Delegate) -> bool:
        return delegate.who in vault.holders and self.connections[delegate.connection].stands

    def _reads(self, piece: Piece, grant: Grant) -> bool:
        return grant.generation == piece.generation and self.connections[grant.connection].stands
