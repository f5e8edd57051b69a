"""What people can read: by the rows that the home serves them, and by their own keys, as an agent would open them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

from privity.crypto import delegations, groups, instructions, items, locations, pieces, sharing, sharing_keys
from privity.crypto.attachments import open_item_file, open_share_file
from privity.crypto.groups import Member
from privity.crypto.pieces import GrantPlace
from privity.crypto.sharing_keys import PartPlace, PrivatePart
from privity.encoding import b64, digest, unb64
from privity.errors import DoesNotOpen, ForgedRecord
from privity.messages.views import (
    MAX_PAGE,
    Ask,
    AskDelegations,
    AskFiles,
    AskGroupEpochs,
    AskGroupLine,
    AskGroups,
    AskInstructions,
    AskItems,
    AskKeyRecords,
    AskLocationLine,
    AskLocations,
    AskPieces,
    AskShares,
    AskSharingKeys,
    AskVaults,
    GroupRow,
    PieceRow,
    ShareRow,
    SharingKeyRow,
    VaultRow,
)
from tests.simulation.model.facts import Reading
from tests.simulation.people import Somebody, read
from tests.simulation.system import System

T = TypeVar("T")

SAID = (
    *("share", "space", "connection", "item", "version", "generation", "owner", "recipient", "content", "source"),
    *("expires", "terms", "terms_hash", "reshare", "keep"),
)
"""What a share's row and its manifest both say."""


@dataclass
class Knowledge:
    """Keys that somebody has had in hand at any time: whoever was removed keeps them."""

    spaces: set[bytes] = field(default_factory=set)
    vaults: set[bytes] = field(default_factory=set)

    def opens_post(self, post: groups.Post, content: bytes, wrap: bytes) -> bool:
        """Whether one of them opens a post, whoever serves it."""
        return any(_opens(partial(groups.open_post, key, post, wrap, content)) for key in self.spaces)

    def opens_version(self, version: delegations.ItemVersion, content: bytes, wrap: bytes) -> bool:
        """Whether one of them opens a version of an item, whoever serves it."""
        return any(_opens(partial(delegations.open_version, key, version, content, wrap)) for key in self.vaults)


def _opens(attempt: Callable[[], bytes]) -> bool:
    try:
        attempt()
    except DoesNotOpen:
        return False
    return True


@dataclass
class Reader:
    """Somebody who asks for all that they may have, and opens it."""

    system: System
    who: Somebody
    people: Mapping[str, Somebody]
    """By account."""
    knowledge: Knowledge

    def reads(self) -> Iterator[Reading]:
        """All that they can read now."""
        kinds = (self._items, self._instructions, self._shares, self._groups, self._pieces, self._keys)
        yield from ((self.who.name, secret) for kind in kinds for secret in kind())

    def ask(self, ask: Ask) -> tuple[list[Any], dict[str, bytes]]:
        """Rows, and the sealed objects with them."""
        return self.system.ask(self.who.account, ask)

    def _signed(self, by: str, verify: Callable[..., T], record: str, signature: str) -> T:
        """What somebody signed, by any key that they had."""
        for public in self.people[by].publics:
            try:
                return verify(unb64(record), unb64(signature), public)
            except ForgedRecord:
                continue
        raise ForgedRecord(f"{verify.__name__} of {by}")

    # Items, also those of others whose delegate one is.

    def _items(self) -> Iterator[str]:
        for owner in {self.who.account, *self._vaults}:
            rows, blobs = self.ask(AskItems(principal=owner, limit=MAX_PAGE))
            for row in rows:
                content, wrap = blobs[row.content], blobs[row.wrap]
                if row.record is None:
                    named = {"account": owner, "item": row.item, "version": row.version}
                    plain = items.open_item(self.who.kek, content, wrap, **named)
                else:
                    author = delegations.read_version(unb64(row.record)).by
                    version = self._signed(author, delegations.verify_version, row.record, row.signature)
                    assert (version.principal, version.item, version.version) == (owner, row.item, row.version)
                    plain = delegations.open_version(self._vaults[owner][version.generation], version, content, wrap)
                yield from self._with_files(row.item, plain, {"owner": owner, "item": row.item}, open_item_file)

    def _with_files(
        self, of: str, plain: bytes, place: Mapping[str, str], opened: Callable[..., bytes]
    ) -> Iterator[str]:
        secret, key = read(plain)
        yield secret
        rows, blobs = self.ask(AskFiles(of=of, limit=MAX_PAGE))
        for row in rows:
            yield opened(key, blobs[row.content], **place, file=row.file).decode()

    @cached_property
    def _vaults(self) -> dict[str, dict[int, bytes]]:
        """The vault keys that one has, by principal and generation."""
        rows, blobs = self.ask(AskVaults(limit=MAX_PAGE))
        return {row.principal: self.vault_keys(row, blobs) for row in rows}

    def vault_keys(self, row: VaultRow, blobs: Mapping[str, bytes]) -> dict[int, bytes]:
        """The vault keys of somebody, by generation."""
        place = {"principal": row.principal, "generation": row.generation}
        wrap = blobs[row.wrap]
        if row.claimed:
            key = delegations.unwrap_vault_key(self.who.kek, wrap, holder=self.who.account, **place)  # type: ignore[arg-type]
        else:
            grant = self._grant_of(row.principal)
            named = {"delegation": grant.delegation, "holder": grant.delegate, "role": grant.role}
            pair = self.who.pair
            key = delegations.open_vault_key(wrap, pair.suite, pair.private, **place, **named)  # type: ignore[arg-type]
        found = {row.generation: key}
        for generation in range(row.generation, 1, -1):
            before = blobs[row.befores[generation - 2]]
            key = delegations.unwrap_before(key, before, principal=row.principal, generation=generation)
            found[generation - 1] = key
        self.knowledge.vaults.update(found.values())
        return found

    def _grant_of(self, principal: str) -> delegations.Grant:
        """The step that made one a delegate."""
        rows, _ = self.ask(AskDelegations(principal=principal, limit=MAX_PAGE))
        steps = [self._signed(principal, delegations.verify_step, row.record, row.signature) for row in rows]
        mine = [each for each in steps if isinstance(each, delegations.Grant) and each.delegate == self.who.account]
        return mine[-1]

    def _instructions(self) -> Iterator[str]:
        for principal in {self.who.account, *self._vaults}:
            rows, blobs = self.ask(AskInstructions(principal=principal, limit=MAX_PAGE))
            for row in rows:
                author = instructions.read_instruction(unb64(row.record)).by
                said = self._signed(author, instructions.verify_instruction, row.record, row.signature)
                assert (said.principal, said.delegation, said.n) == (row.principal, row.delegation, row.n)
                if row.content is not None:
                    key = self._vaults[principal][said.generation]
                    yield instructions.open_instruction(key, said, blobs[row.content]).decode()

    # Shares.

    def _shares(self) -> Iterator[str]:
        rows, blobs = self.ask(AskShares(limit=MAX_PAGE))
        for row in rows:
            manifest = self._signed(row.owner, sharing.verify_share, row.manifest, row.signature)
            assert all(getattr(manifest, name) == getattr(row, name) for name in SAID), "a row says something else"
            dek = self.dek(row, manifest, blobs)
            if dek is not None:
                plain = sharing.open_share(manifest, dek, blobs[row.content])
                place = {"owner": row.owner, "share": row.share}
                yield from self._with_files(row.share, plain, place, open_share_file)

    def dek(self, row: ShareRow, manifest: sharing.Manifest, blobs: Mapping[str, bytes]) -> bytes | None:
        """The DEK of a share, unless the home gives it not."""
        if row.wrap is None:
            assert row.content not in blobs, "the content is served, and its key is not"
            return None
        if row.owner == self.who.account:
            return sharing.unwrap_own(self.who.kek, blobs[row.wrap], manifest, "owner")
        if row.claimed:
            return sharing.unwrap_own(self.who.kek, blobs[row.wrap], manifest, "recipient")
        return sharing.unseal_dek(manifest, blobs[row.wrap], self.who.pair.private)

    # Groups.

    def _groups(self) -> Iterator[str]:
        rows, blobs = self.ask(AskGroups(limit=MAX_PAGE))
        for row in rows:
            assert row.wrap, "a group is shown, and not its key"
            keys = self.space_keys(row, blobs)
            lines, parts = self.ask(AskGroupLine(group=row.group, limit=MAX_PAGE))
            for line in lines:
                post = self._signed(line.author, groups.verify_post, line.manifest, line.signature)
                assert (post.group, post.post, post.n) == (row.group, line.post, line.n)
                if line.content is not None:
                    yield groups.open_post(keys[post.key], post, parts[line.wrap], parts[line.content]).decode()

    def space_keys(self, row: GroupRow, blobs: Mapping[str, bytes]) -> dict[int, bytes]:
        """The space keys of a group, from the first on, by the epoch that made each."""
        rows, links = self.ask(AskGroupEpochs(group=row.group, limit=MAX_PAGE))
        epochs = [self._signed(each.by, groups.verify_epoch, each.record, each.signature) for each in rows]
        assert [each.epoch for each in epochs] == list(range(1, row.epoch + 1))
        newest = epochs[epochs[-1].key - 1]
        wrap = blobs[row.wrap or ""]
        if row.claimed:
            key = groups.open_claim(self.who.kek, wrap, newest, self.who.account)
        else:
            pair, me = self.who.seals[row.seal], Member(self.who.account, row.role, row.head, row.seal)
            key = groups.open_space_key(pair.suite, pair.private, wrap, newest, me)
        found = {newest.key: key}
        while newest.link is not None:
            before = epochs[epochs[newest.key - 2].key - 1]
            key = groups.open_link(key, links[newest.link], newest, before)
            newest = before
            found[newest.key] = key
        self.knowledge.spaces.update(found.values())
        return found

    # Pieces.

    def _pieces(self) -> Iterator[str]:
        for owner in self.people.values():
            rows, blobs = self.ask(AskPieces(owner=owner.account, limit=MAX_PAGE))
            for row in rows:
                if row.content is not None and row.wrap is not None:
                    record = self._signed(row.owner, pieces.verify_piece, row.record or "", row.signature or "")
                    assert (record.piece, record.version, record.generation) == (row.piece, row.version, row.generation)
                    yield pieces.open_piece(record, self.piece_key(row, record, blobs), blobs[row.content]).decode()

    def piece_key(self, row: PieceRow, record: pieces.PieceRecord, blobs: Mapping[str, bytes]) -> bytes:
        """The key of a piece, one's own or somebody's."""
        wrap = blobs[row.wrap or ""]
        if row.owner == self.who.account:
            return pieces.unwrap_owner(self.who.kek, wrap, record)
        place = self.grant_place(row, record)
        if row.stored:
            return pieces.stored_key(self.who.kek, wrap, place)

        def verify(named: bytes, signature: bytes, public: bytes) -> None:
            pieces.verify_grant(place, b64(named), signature, public)

        self._signed(row.owner, verify, digest(wrap), row.grant or "")
        return pieces.open_grant(place, self.who.pair.suite, wrap, self.who.pair.private)

    def grant_place(self, row: PieceRow, record: pieces.PieceRecord) -> GrantPlace:
        """What the grant to oneself is bound to."""
        return GrantPlace(
            owner=row.owner,
            piece=row.piece,
            name=row.piece_name,
            generation=record.generation,
            reader=self.who.account,
            connection=row.connection or "",
            key=row.key or "",
        )

    # Sharing keys, and locations under them.

    def _keys(self) -> Iterator[str]:
        rows, blobs = self.ask(AskSharingKeys(limit=MAX_PAGE))
        for row in rows:
            if row.kind == "public":
                continue
            parts = self.parts(row, blobs)
            yield f"{row.key} of generation {max(parts)}"
            if self.ask(AskLocations(id=row.key))[0]:
                yield from self._location(row.key, parts)

    def _location(self, key: str, parts: Mapping[int, PrivatePart]) -> Iterator[str]:
        lines, bodies = self.ask(AskLocationLine(location=key, limit=MAX_PAGE))
        for line in lines:
            manifest = self._signed(line.by, locations.verify_manifest, line.manifest, line.signature)
            assert (manifest.location, manifest.n, manifest.body) == (key, line.n, line.body)
            pair = parts[manifest.generation].pair
            yield locations.open_body(pair.suite, pair.private, bodies[line.body], manifest).decode()

    def parts(self, row: SharingKeyRow, blobs: Mapping[str, bytes]) -> dict[int, PrivatePart]:
        """The private parts of a key, by generation."""
        rows, links = self.ask(AskKeyRecords(key=row.key, limit=MAX_PAGE))
        line = [self._signed(row.creator, sharing_keys.verify_record, each.record, each.signature) for each in rows]
        records = {record.generation: record for record in line}
        newest, wrap = line[-1], blobs[row.wrap or ""]
        if row.claimed:
            part = sharing_keys.unwrap_part(self.who.kek, wrap, newest, self.who.account)
        else:
            place = PartPlace(
                key=row.key,
                generation=newest.generation,
                by=row.given_by,
                to=self.who.account,
                connection=row.connection or "",
            )
            part, _ = sharing_keys.open_part(self.who.pair.suite, self.who.pair.private, wrap, place, newest)
        found = {newest.generation: part}
        by_generation = {record.generation: each.link for record, each in zip(line, rows, strict=True) if each.link}
        for generation in range(newest.generation, 1, -1):
            link = links[by_generation[generation]]
            part = sharing_keys.unlink_part(part, link, records[generation], records[generation - 1])
            found[generation - 1] = part
        return found
