"""Rebuilding what suppliers lost: each missing or damaged fragment is made of the others', without any key.

It rests on the roots that the writers signed and the home recorded. Whoever stops it leaves nothing half visible, and
the next run goes on; what is whole is left alone.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from privity.crypto.coding import fragment_leaf, slot_root
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import sign_replacement
from privity.encoding import b64, unb64
from privity.errors import CorruptFragment, Malformed, NotFound, PrivityError, Unreachable
from privity.gathering import Gatherer, trouble_of
from privity.messages.locations import StoredObject
from privity.messages.suppliers import Listed, Register
from privity.supplying import Asker, Known, Lease, Operator, Supplier, by_slot

log = logging.getLogger("privity.repair")

SAMPLES: Final = 2
"""Fragments of each object that are read where not all are."""
MAX_REPLACED: Final = 16


class Placed(Protocol):
    """The objects of one key and the suppliers of its slots, by id; `register` makes the key known to a new one."""

    @property
    def key(self) -> str:
        """The sharing key's id."""

    @property
    def suppliers(self) -> tuple[str, ...]:
        """By slot."""

    @property
    def objects(self) -> tuple[StoredObject, ...]:
        """Those in use."""

    @property
    def register(self) -> Register:
        """The key's newest record."""


@dataclass(slots=True)
class Seen:
    """What was found at one supplier: objects that it should have, fragments that were rebuilt there, and what failed.

    `nowhere` counts the objects of which no supplier has anything: most likely somebody named what they never put.
    `status` is `whole`, `repaired`, `away`, `lacking` where some was not rebuilt, or `vacant` for a lost one's
    slots where who took its place has one already.
    """

    name: str
    objects: int = 0
    fragments: int = 0
    away: bool = False
    vacant: bool = False
    nowhere: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """In a word."""
        if self.vacant:
            return "vacant"
        if self.away:
            return "away"
        if self.failed:
            return "lacking"
        return "repaired" if self.fragments else "whole"


class Repair:
    """One run. `known` are all suppliers by id, `replaced` who stands where another did."""

    def __init__(
        self, log_key: SigningKey, ask: Asker, known: Mapping[str, Known], replaced: Mapping[str, str], *, deep: bool
    ) -> None:
        self._log = log_key
        self._ask = ask
        self._known = known
        self._replaced = dict(replaced)
        self._deep = deep
        self.seen: dict[str, Seen] = {}
        self._listed: dict[tuple[str, str], dict[str, Listed]] = {}

    async def replace(self, lost: str, new: str) -> None:
        """Have a supplier take a lost one's place, both by name or id; it tells the home.

        Where the new one has a slot of its own, the lost one's stays vacant.

        Raises:
            NotFound: there is no such supplier.
            SupplierAway, SupplierSlow: the new one does not answer.
        """
        old, by = self._named(lost), self._named(new)
        if old == by:
            raise Malformed("a supplier cannot take its own place")
        order = b64(sign_replacement(self._log, old, by))
        await Supplier(self._known[by], self._ask).replace(old, order)
        self._replaced[old] = by

    async def run(self, placed: Iterable[Placed], progress: Callable[[int], None]) -> list[Seen]:
        """Look at every object of every slot, and rebuild what is not there; `progress` is told how many are done."""
        done = 0
        for each in placed:
            for stored in each.objects:
                await self._object(each, stored)
                done += 1
                progress(done)
            self._listed.clear()
        return sorted(self.seen.values(), key=lambda seen: seen.name)

    async def _object(self, placed: Placed, stored: StoredObject) -> None:
        prover = Operator(self._log, placed.register)
        known = by_slot(placed.suppliers, lambda id: self._known.get(self._stands(id)))
        suppliers = [None if each is None else Supplier(each, self._ask) for each in known]
        if len(suppliers) != len(stored.roots):
            log.error("object %s has another number of slots than its location", stored.object)
            return
        for id in self._vacant(placed.suppliers, known):
            seen = self.seen.setdefault(id, Seen(self._known[id].name, vacant=True))
            seen.objects += 1
        if await self._is_nowhere(suppliers, prover, placed.key, stored):
            log.warning("object %s of %s is at no supplier: never put, or all is lost", stored.object, placed.key)
            return
        gatherer = Gatherer(suppliers, prover, placed.key, stored)
        for slot, supplier in enumerate(suppliers):
            if supplier is not None:
                await self._slot(gatherer, slot, supplier, prover, placed.key)

    async def _slot(self, gatherer: Gatherer, slot: int, supplier: Supplier, prover: Operator, key: str) -> None:
        name = supplier.known.name
        seen = self.seen.setdefault(supplier.known.id, Seen(name))
        seen.objects += 1
        if seen.away:
            return
        stored = gatherer.stored
        try:
            deep = self._deep or await self._is_short(supplier, prover, key, stored)
            lacking = await _lacking(gatherer, slot, deep=deep)
            if lacking:
                root = unb64(stored.roots[slot])
                lease = await supplier.open(prover, "put", key, stored.object, stored.segments, root)
                seen.fragments += await _rebuild(gatherer, slot, lease, lacking)
        except Unreachable as error:
            log.info("%s: %s", name, error.message)
            seen.away = True
        except PrivityError as error:
            log.error("%s: object %s: %s", name, stored.object, error)
            seen.failed.append(stored.object)

    async def _is_nowhere(
        self, suppliers: Sequence[Supplier | None], prover: Operator, key: str, stored: StoredObject
    ) -> bool:
        """Whether each supplier says that it has nothing of the object; each counts it then."""
        seen = [self.seen.setdefault(each.known.id, Seen(each.known.name)) for each in suppliers if each is not None]
        if not seen or any(each.away for each in seen):
            return False
        for supplier in suppliers:
            try:
                listed = supplier is None or stored.object in await self._list(supplier, prover, key)
            except PrivityError:
                return False
            if listed:
                return False
        for each in seen:
            each.nowhere += 1
        return True

    async def _list(self, supplier: Supplier, prover: Operator, key: str) -> dict[str, Listed]:
        """What a supplier lists under a key; asked once."""
        of = (supplier.known.id, key)
        if of not in self._listed:
            found = await (await supplier.open(prover, "list", key)).objects()
            self._listed[of] = {each.object: each for each in found}
        return self._listed[of]

    async def _is_short(self, supplier: Supplier, prover: Operator, key: str, stored: StoredObject) -> bool:
        """Whether the supplier itself lists fewer fragments of the object than it should have."""
        listed = (await self._list(supplier, prover, key)).get(stored.object)
        return listed is None or not listed.whole or listed.fragments < stored.segments

    def _named(self, name: str) -> str:
        found = [each.id for each in self._known.values() if name in (each.name, each.id)]
        if len(found) != 1:
            raise NotFound(f"there is no supplier {name}")
        return found[0]

    def _vacant(self, named: Sequence[str], known: Sequence[Known | None]) -> list[str]:
        """Whose slots nobody has, as who took their place has one already."""
        lacking = [id for id, each in zip(named, known, strict=True) if each is None]
        return [id for id in lacking if id in self._known and self._stands(id) in self._known]

    def _stands(self, id: str) -> str:
        for _ in range(MAX_REPLACED):
            if id not in self._replaced:
                break
            id = self._replaced[id]
        return id


async def _lacking(gatherer: Gatherer, slot: int, *, deep: bool) -> set[int]:
    """The segments whose fragment is to be rebuilt; all where the supplier has no list that is right.

    Without `deep` a few are read, and all where one of these is bad.
    """
    segments = range(gatherer.stored.segments)
    try:
        lease = await gatherer.lease(slot)
    except Exception as error:
        if trouble_of(slot, "", error).kind in ("away", "slow"):
            raise
        return set(segments)
    chosen = segments if deep else secrets.SystemRandom().sample(segments, min(SAMPLES, len(segments)))
    bad = {index for index in chosen if not await _is_good(gatherer, slot, lease, index)}
    if bad:
        bad |= {index for index in segments if index not in chosen and not await _is_good(gatherer, slot, lease, index)}
    return bad


async def _is_good(gatherer: Gatherer, slot: int, lease: Lease, index: int) -> bool:
    try:
        fragment = await lease.get(index)
    except NotFound:
        return False
    return await asyncio.to_thread(fragment_leaf, fragment) == await gatherer.leaf(slot, index)


async def _rebuild(gatherer: Gatherer, slot: int, lease: Lease, lacking: set[int]) -> int:
    """Put what is lacking, and make it whole; how many fragments were put.

    Raises:
        CorruptFragment: what comes of the others' fragments is not what the writer signed.
    """
    stored, root = gatherer.stored, unb64(gatherer.stored.roots[slot])
    half = await _there(lease, stored.segments) if len(lacking) == stored.segments else {}
    put = 0
    for again in (half, dict[int, bytes]()):
        leaves: dict[int, bytes] = {}
        for index in sorted(lacking):
            if index in again:
                leaves[index] = again[index]
                continue
            leaves[index] = await _put(gatherer, slot, lease, index)
            put += 1
        if len(lacking) < stored.segments or slot_root(leaves[index] for index in sorted(leaves)) == root:
            await lease.complete(root)
            return put
        if not again:
            break
    raise CorruptFragment("its part cannot be rebuilt of the others' parts")


async def _put(gatherer: Gatherer, slot: int, lease: Lease, index: int) -> bytes:
    others = await gatherer.segment(index, without=frozenset({slot}))
    fragment = await asyncio.to_thread(gatherer.coding.rebuild, others, slot)
    leaf = await asyncio.to_thread(fragment_leaf, fragment)
    await lease.put(index, fragment)
    return leaf


async def _there(lease: Lease, segments: int) -> dict[int, bytes]:
    """What is there of an upload that was stopped."""
    try:
        found = await lease.leaves(segments)
    except NotFound:
        return {}
    return {} if lease.whole else found
