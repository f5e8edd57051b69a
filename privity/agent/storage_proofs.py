"""Proofs of storage: whether a supplier has its fragments now, by an HMAC under a nonce that nobody knew before.

Whoever kept only the hashes cannot answer. What the answer must be comes of the fragment rebuilt from other slots.
"""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from privity.agent import locations
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.supplying import Place
from privity.crypto.coding import fragment_leaf
from privity.crypto.supplying import storage_proof
from privity.errors import CorruptFragment
from privity.gathering import Gatherer, trouble_of
from privity.messages.locations import StoredObject

SAMPLES: Final = 4
"""Segments of an object that are asked for."""
MAX_OBJECTS: Final = 100
"""Objects of a location that are asked for."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether a supplier proved that it has its part of an object; where not, why."""

    slot: int
    supplier: str
    proved: bool
    reason: str = ""


@dataclass(slots=True)
class Kept:
    """Of how many objects a supplier was asked to prove that it has its part, and of how many it did; else why not."""

    asked: int = 0
    proved: int = 0
    reasons: set[str] = field(default_factory=set)


async def prove_location(session: Session, keyring: Keyring, name: str) -> dict[str, Kept]:
    """What the suppliers of a location prove, by their names: of at most 100 of its objects, chosen at random.

    Raises:
        NotFound: there is no such location.
        NotEnoughFragments, WrongFragments: too few have their parts of an object.
    """
    location, line = await locations.read(session, keyring, name)
    place = await locations.place_of(session, keyring, location)
    objects = [stored for object, stored in line.objects.items() if object not in line.released]
    found: dict[str, Kept] = {each: Kept() for each in place.names}
    for stored in secrets.SystemRandom().sample(objects, min(MAX_OBJECTS, len(objects))):
        for proof in await prove(place, stored):
            kept = found[proof.supplier]
            kept.asked += 1
            kept.proved += proof.proved
            kept.reasons |= {proof.reason} - {""}
    return found


async def prove(place: Place, stored: StoredObject, samples: int = SAMPLES) -> list[Proof]:
    """Ask each supplier of an object to prove that it has its fragments of some segments, chosen at random.

    Raises:
        NotEnoughFragments, WrongFragments: too few have theirs, so that nothing can be compared.
    """
    gatherer = Gatherer(place.slots, place.holder, place.key, stored)
    indices = secrets.SystemRandom().sample(range(stored.segments), min(samples, stored.segments))
    segments = {index: await gatherer.segment(index) for index in sorted(indices)}
    return [await _proof(gatherer, slot, place.names[slot], segments) for slot in range(len(stored.roots))]


async def _proof(gatherer: Gatherer, slot: int, name: str, segments: Mapping[int, dict[int, bytes]]) -> Proof:
    try:
        for index, fragments in segments.items():
            await _check(gatherer, slot, index, fragments)
    except Exception as error:
        trouble = trouble_of(slot, name, error)
        return Proof(slot, name, False, f"{trouble.kind}: {trouble.reason}" if trouble.reason else trouble.kind)
    return Proof(slot, name, True)


async def _check(gatherer: Gatherer, slot: int, index: int, fragments: dict[int, bytes]) -> None:
    """Returns if the slot's supplier has its fragment of a segment now.

    Raises:
        CorruptFragment: it has something else.
        PrivityError: it is away, slow or refuses.
    """
    lease, leaf = await gatherer.lease(slot), await gatherer.leaf(slot, index)
    fragment = bytes(await asyncio.to_thread(gatherer.coding.rebuild, fragments, slot))
    if fragment_leaf(fragment) != leaf:
        raise CorruptFragment("it lists another part than the others give")
    nonce, answer = await lease.prove(index)
    if not secrets.compare_digest(storage_proof(nonce, fragment), answer):
        raise CorruptFragment("it does not prove that it has its part")
