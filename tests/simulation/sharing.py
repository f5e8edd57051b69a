"""Rules: items, shares on conditions, and the files of both."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from privity.crypto.attachments import seal_item_file, seal_share_file
from privity.crypto.items import seal_item
from privity.crypto.keyring import new_dek
from privity.crypto.sharing import Conditions, Terms, read_manifest, rewrap_dek
from privity.encoding import digest, new_id, unb64
from privity.messages.files import AttachFile, DetachFile
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.shares import ClaimShare, RemoveShare
from privity.messages.views import AskShares
from tests.handlers.people import Shared
from tests.simulation.model.facts import Brought
from tests.simulation.people import read, written
from tests.simulation.talking import Talking, odd, people, pick, some

TERMS = (None, Terms("for your eyes only", b"1" * 32), Terms("not on Sundays", b"2" * 32))

conditions = st.builds(
    lambda days, terms, reshare: (days, TERMS[terms], reshare),
    st.sampled_from([0, 0, 0, 2, 10]),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([0, 0, 1, 2]),
)
"""Days until it ends, or 0; terms; and over how many hands it may go on."""


class Sharing(Talking):
    """Items for oneself and for one reader."""

    @rule(who=people)
    def adds(self, who: str) -> None:
        """A new item."""
        if who not in self.model.heads:
            return
        id, person = new_id(), self.person(who)
        secret = self.world.secret("an item")
        content, wrap = self._sealed(who, id, 1, secret)
        said = person.says(AddItem(id, digest(content), digest(wrap)), content, wrap)
        self.world.say(who, said, lambda model: model.add(id, who, secret))

    @precondition(lambda self: self.model.items)
    @rule(who=people, n=some)
    def edits(self, who: str, n: int) -> None:
        """One's own, or somebody else's."""
        id = pick(self._items_of(who), n)
        if id is None:
            return
        person, version = self.person(who), self.model.items[id].version + 1
        secret = self.world.secret("an item")
        content, wrap = self._sealed(who, id, version, secret)
        said = person.says(EditItem(id, version, digest(content), digest(wrap)), content, wrap)
        self.world.say(who, said, lambda model: model.edit(id, who, version, secret))

    def _sealed(self, who: str, id: str, version: int, secret: str) -> tuple[bytes, bytes]:
        person = self.person(who)
        place = {"account": person.account, "item": id}
        return seal_item(person.kek, new_dek(), written(id, secret), **place, version=version)

    def _items_of(self, who: str) -> list[str]:
        """Own ones first: those of others are attacks."""
        return sorted(self.model.items, key=lambda id: self.model.items[id].owner != who)

    @precondition(lambda self: self.model.items)
    @rule(who=people, n=some, sure=odd)
    def removes(self, who: str, n: int, sure: bool) -> None:
        """One's own, or somebody else's."""
        id = pick(list(self.model.items), n)
        if id is not None and (sure or who != self.model.items[id].owner):
            said = self.person(who).says(RemoveItem(id))
            self.world.say(who, said, lambda model: model.remove(id, who))

    @precondition(lambda self: self.model.items)
    @rule(who=people, n=some, to=some, on=conditions)
    def shares(self, who: str, n: int, to: int, on: tuple[int, Terms | None, int]) -> None:
        """An item with a friend; or with whom one was connected, or what is not one's own."""
        item, over = pick(self._items_of(who), n), pick(self.connections_of(who), to)
        if item is None or over is None:
            return
        ends, terms, reshare = on
        expires = self.model.now + timedelta(days=ends) if ends else None
        said = Conditions(expires=expires, terms=terms, reshare=reshare)
        self._share(who, over, item, self.model.items[item].version, said)

    @precondition(lambda self: self.model.shares)
    @rule(who=people, n=some, to=some)
    def shares_on(self, who: str, n: int, to: int) -> None:
        """What one was given, whether or not it may go on."""
        given = [id for id, share in self.model.shares.items() if share.recipient == who]
        source, over = pick(given, n), pick(self.connections_of(who), to)
        if source is None or over is None:
            return
        share = self.model.shares[source]
        before = self.world.known.shares[source].conditions
        said = replace(before, reshare=max(0, share.now.reshare - 1), source=source)
        self._share(who, over, share.item, share.now.version, said)

    def _share(self, who: str, over: str, item: str, version: int, said: Conditions) -> None:
        joined = self.model.connections[over]
        owner, recipient = self.person(who), self.person(joined.peer_of(who))
        secret = self.world.secret("a share")
        draft = Shared(over, owner, recipient, item, version, conditions=said)
        draft.content = written(draft.id, secret)
        lines = dict(owner.lines)
        delivery = draft.created()
        line, owner.lines = owner.lines[over], lines
        brought = _brought(secret, draft)

        def then() -> None:
            self.world.known.shares[draft.id] = draft
            owner.lines[over] = line

        self.world.say(
            who,
            delivery,
            lambda model: model.share(draft.id, who, over, item, said.source, brought, line[0]),
            then,
            signed=True,
        )

    @precondition(lambda self: self.model.shares)
    @rule(n=some, on=conditions, same=st.booleans())
    def revises(self, n: int, on: tuple[int, Terms | None, int], same: bool) -> None:
        """The item as it is now, on the same conditions or on others."""
        id = pick(list(self.world.known.shares), n)
        if id is None:
            return
        known = self.world.known.shares[id]
        owner, item = known.owner, self.model.items[known.item]
        who = self.name(owner)
        draft = self.world.draft(known)
        before = known.conditions
        ends, terms, reshare = on
        if not same and before.source is None:
            expires = self.model.now + timedelta(days=ends) if ends else None
            draft.conditions = replace(before, expires=expires, terms=terms, reshare=reshare)
        source = self.model.shares[before.source] if before.source else None
        version = source.now.version if source else item.version if item.stands else known.version
        secret = self.world.secret("a share")
        draft.content = written(id, secret)
        lines = dict(owner.lines)
        delivery = draft.revised(draft.conditions, version)
        line, owner.lines = owner.lines[known.connection], lines
        brought, generation = _brought(secret, draft), draft.generation

        def then() -> None:
            self.world.known.shares[id] = draft
            owner.lines[known.connection] = line

        self.world.say(
            who, delivery, lambda model: model.revise(id, who, generation, brought, line[0]), then, signed=True
        )

    @precondition(lambda self: any(share.now.terms for share in self.model.shares.values()))
    @rule(n=some)
    def accepts_terms(self, n: int) -> None:
        """The recipient, those of now."""
        id = pick([id for id, share in self.model.shares.items() if share.now.terms], n)
        if id is None:
            return
        who, terms = self.model.shares[id].recipient, self.model.shares[id].now.terms or ""
        said = self.world.known.shares[id].accepted()
        self.world.say(who, said, lambda model: model.accept_terms(id, who, terms), signed=True)

    @precondition(lambda self: self.model.shares)
    @rule(n=some)
    def claims(self, n: int) -> None:
        """The recipient keeps the DEK that they are served; who is served none tries with another one."""
        id = pick(list(self.world.known.shares), n)
        if id is None or self.model.shares[id].recipient not in self.model.heads:
            return
        who, manifest = self.model.shares[id].recipient, read_manifest(self.world.known.shares[id].manifest)
        self.world.system.follow()
        reader = self.world.reader(who)
        rows, blobs = reader.ask(AskShares(id=id))
        if rows:
            manifest = read_manifest(unb64(rows[0].manifest))
        dek = reader.dek(rows[0], manifest, blobs) if rows else None
        if dek is None and self.world.holding:
            return  # it might come when it may be read, and would keep a DEK that is none
        wrap = rewrap_dek(reader.who.kek, dek or new_dek(), manifest)
        said = reader.who.says(ClaimShare(id, digest(wrap), manifest.generation), wrap)
        self.world.say(who, said, lambda model: model.claim(id, who, manifest.generation))

    @precondition(lambda self: self.model.shares)
    @rule(who=people, n=some, sure=odd)
    def ends(self, who: str, n: int, sure: bool) -> None:
        """Either side; or a stranger."""
        id = pick(list(self.world.known.shares), n)
        if id is not None and (sure or who not in (self.model.shares[id].owner, self.model.shares[id].recipient)):
            said = self.person(who).says(RemoveShare(id))
            self.world.say(who, said, lambda model: model.end(id, who))

    @precondition(lambda self: self.model.items)
    @rule(who=people, n=some, strange=odd)
    def attaches(self, who: str, n: int, strange: bool) -> None:
        """To an item or a share, one's own or not."""
        of = pick([*self.model.shares, *self.model.items], n)
        if of is None:
            return
        who = who if strange else (self.model.shares.get(of) or self.model.items[of]).owner
        person, file = self.person(who), new_id()
        secret, (_, key) = self.world.secret("a file"), read(written(of, ""))
        if of in self.model.shares:
            sealed = seal_share_file(key, secret.encode(), owner=person.account, share=of, file=file)
        else:
            sealed = seal_item_file(key, secret.encode(), owner=person.account, item=of, file=file)
        said = person.says(AttachFile(of, file, digest(sealed)), sealed)
        self.world.say(who, said, lambda model: model.attach(of, who, file, secret))

    @precondition(lambda self: self.model.files)
    @rule(who=people, n=some, strange=odd)
    def detaches(self, who: str, n: int, strange: bool) -> None:
        """A file that is there, or was."""
        found = [(of, file) for of, each in self.model.files.items() for file in (*each.files, *each.gone)]
        if (chosen := pick(found, n)) is not None:
            of, file = chosen
            who = who if strange else self.model.files[of].owner
            said = self.person(who).says(DetachFile(of, file))
            self.world.say(who, said, lambda model: model.detach(of, who, file))


def _brought(secret: str, draft: Shared) -> Brought:
    said = draft.conditions
    terms = said.terms.hash if said.terms else None
    return Brought(secret, draft.version, said.expires, terms, said.reshare)
