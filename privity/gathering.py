"""Reading an object's fragments back from its slots: any `needed` good ones of each segment, whatever the others do.

A slot is first asked for the hashes of all its fragments, which must hash to the slot's root; then each fragment must
have its hash, before anything is decoded. A slot that is wrong, slow or away is named, and another one asked instead.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from privity.crypto.coding import Coding, fragment_leaf, slot_root
from privity.encoding import unb64
from privity.errors import (
    CorruptFragment,
    Malformed,
    NotEnoughFragments,
    PrivityError,
    Refusal,
    SupplierAway,
    SupplierSlow,
    Unreachable,
    WrongFragments,
)
from privity.messages.locations import StoredObject
from privity.supplying import Lease, Prover, Supplier

log = logging.getLogger(__name__)

HEDGE: Final = 1.5
"""Seconds without a fragment after which another slot is asked beside the one that keeps silent."""

PATIENCE: Final = 2.0
"""Seconds that the last suppliers have at least, when enough others are done."""

Kind = Literal["corrupt", "slow", "away", "refused"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What was wrong with one slot of an object: `supplier` is its name, `reason` a code or a few words."""

    slot: int
    supplier: str
    kind: Kind
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.supplier} ({self.kind}{f': {self.reason}' if self.reason else ''})"


def trouble_of(slot: int, supplier: str, error: Exception) -> Trouble:
    """Which trouble an error is.

    Raises:
        BaseException: the error itself, where it is not the supplier's fault.
    """
    match error:
        case CorruptFragment():
            return Trouble(slot, supplier, "corrupt", error.message)
        case SupplierSlow():
            return Trouble(slot, supplier, "slow")
        case SupplierAway():
            return Trouble(slot, supplier, "away")
        case Malformed():
            return Trouble(slot, supplier, "corrupt", "its answer cannot be read")
        case Refusal():
            return Trouble(slot, supplier, "refused", error.code)
    raise error


class Gatherer:
    """Gathers the segments of one object; `suppliers` are its slots in order, None where nobody is known."""

    def __init__(self, suppliers: Sequence[Supplier | None], prover: Prover, key: str, stored: StoredObject) -> None:
        """`key` is the sharing key's id.

        Raises:
            Malformed: the object has another number of slots than there are suppliers.
        """
        if len(suppliers) != len(stored.roots):
            raise Malformed("the object has another number of slots than the location")
        self.coding = Coding(stored.needed, len(stored.roots))
        self.stored = stored
        self.troubles: dict[int, Trouble] = {}
        """By slot: the worst that was seen of it."""
        self._slots = [
            _Slot(number, supplier, prover, key, stored, unb64(root))
            for number, (supplier, root) in enumerate(zip(suppliers, stored.roots, strict=True))
        ]
        self._last: list[int] = []
        """The slots to ask only when no others are left, in that order."""

    async def segment(self, index: int, without: frozenset[int] = frozenset()) -> dict[int, bytes]:
        """Good fragments of one segment by slot: exactly as many as are needed.

        Args:
            index: of the segment.
            without: slots that are not asked.

        Raises:
            NotEnoughFragments: too few suppliers have theirs; says which, and what is wrong.
            WrongFragments: too few are left because others serve something else.
        """
        found: dict[int, bytes] = {}
        asked: dict[asyncio.Task[bytes], int] = {}
        left = [number for number in self._order() if number not in without]
        try:
            while len(found) < self.coding.needed:
                while left and len(asked) + len(found) < self.coding.needed:
                    self._ask(left.pop(0), index, asked)
                if not asked:
                    raise self._too_few(index, found)
                patience = HEDGE if left else None
                done, silent = await asyncio.wait(asked, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._taken(asked.pop(task), task, found)
                if not done and left:
                    for task in silent:
                        self._note(Trouble(asked[task], self._slots[asked[task]].name, "slow"))
                    for number in left[: len(silent)]:
                        self._ask(number, index, asked)
                    del left[: len(silent)]
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return {slot: found[slot] for slot in sorted(found)[: self.coding.needed]}

    async def leaf(self, slot: int, index: int) -> bytes:
        """The hash that the slot's fragment of a segment must have, by the slot's own list.

        Raises:
            CorruptFragment, PrivityError: it has no such list.
        """
        return (await self._slots[slot].ready())[1][index]

    async def lease(self, slot: int) -> Lease:
        """The lease under which the slot is read."""
        return (await self._slots[slot].ready())[0]

    def _order(self) -> list[int]:
        first = [each.number for each in self._slots if each.number not in self._last]
        return first + self._last

    def _ask(self, number: int, index: int, asked: dict[asyncio.Task[bytes], int]) -> None:
        asked[asyncio.create_task(self._slots[number].fragment(index))] = number

    def _taken(self, number: int, task: asyncio.Task[bytes], found: dict[int, bytes]) -> None:
        error = task.exception()
        if error is None:
            found[number] = task.result()
        elif isinstance(error, Exception):
            self._note(trouble_of(number, self._slots[number].name, error))
        else:
            raise error

    def _note(self, trouble: Trouble) -> None:
        before = self.troubles.get(trouble.slot)
        if before is None or (before.kind != "corrupt" and before != trouble):
            log.info("%s", trouble)
            self.troubles[trouble.slot] = trouble
        if trouble.slot not in self._last:
            self._last.append(trouble.slot)

    def _too_few(self, index: int, found: dict[int, bytes]) -> PrivityError:
        missing = [each for slot, each in sorted(self.troubles.items()) if slot not in found]
        corrupt = [each for each in missing if each.kind == "corrupt"]
        said = (
            f"segment {index + 1} of {self.stored.segments}: {self.coding.needed} parts are needed, {len(found)} are "
            f"there; missing: {', '.join(map(str, missing)) or 'nobody was asked'}"
        )
        return WrongFragments(said) if corrupt else NotEnoughFragments(said)


class _Slot:
    """One slot of one object: opened, and its list of hashes fetched and checked, when it is first needed."""

    def __init__(
        self, number: int, supplier: Supplier | None, prover: Prover, key: str, stored: StoredObject, root: bytes
    ) -> None:
        self.number = number
        self.name = supplier.known.name if supplier is not None else f"slot {number + 1}"
        self._supplier = supplier
        self._prover = prover
        self._key = key
        self._stored = stored
        self._root = root
        self._ready: asyncio.Task[tuple[Lease, list[bytes]]] | None = None

    async def ready(self) -> tuple[Lease, list[bytes]]:
        """The lease, and the hashes of all fragments.

        Raises:
            CorruptFragment: they do not hash to the slot's root.
            PrivityError: the supplier is away, slow, or refuses.
        """
        if self._ready is None or (self._ready.done() and _may_be_better(self._ready)):
            self._ready = asyncio.create_task(self._open())
            self._ready.add_done_callback(_heard)
        return await asyncio.shield(self._ready)  # others wait for it too

    async def fragment(self, index: int) -> bytes:
        """A fragment that has its hash.

        Raises:
            CorruptFragment: it has another one.
            PrivityError: as `ready`.
        """
        lease, leaves = await self.ready()
        fragment = await lease.get(index)
        if fragment_leaf(fragment) != leaves[index]:  # a thread would take longer to wake than this takes
            raise CorruptFragment(f"its part of segment {index + 1} is another one")
        return fragment

    async def _open(self) -> tuple[Lease, list[bytes]]:
        if self._supplier is None:
            raise SupplierAway
        lease = await self._supplier.open(self._prover, "get", self._key, self._stored.object)
        listed = await lease.leaves(self._stored.segments)
        if listed.keys() != set(range(self._stored.segments)):
            raise CorruptFragment("it lists other parts than were given to it")
        leaves = [listed[index] for index in range(self._stored.segments)]
        if slot_root(leaves) != self._root:
            raise CorruptFragment("its parts are others than were given to it")
        return lease, leaves


def _may_be_better(task: asyncio.Task[Any]) -> bool:
    """Whether it failed by something that passes."""
    return task.cancelled() or isinstance(task.exception(), Unreachable)


def _heard(task: asyncio.Task[Any]) -> None:
    """Its error may come when nobody waits for it any more."""
    if not task.cancelled():
        task.exception()


async def all_of(work: Sequence[Coroutine[Any, Any, None]]) -> list[Exception | None]:
    """Do all at once; the error of each, or None."""
    return _errors(await asyncio.gather(*work, return_exceptions=True))


async def most_of(work: Sequence[Coroutine[Any, Any, None]], least: int) -> list[Exception | None]:
    """As `all_of`, but when so many are done, the others do not keep them waiting: what is late then is `SupplierSlow`.

    Late is three times as long as half of those that are done took, and never before `PATIENCE`.
    """
    loop = asyncio.get_running_loop()
    tasks = [asyncio.ensure_future(each) for each in work]
    running, times, started = set(tasks), list[float](), loop.time()
    try:
        while running:
            usual = times[len(times) // 2] if times else 0.0
            late = started + max(PATIENCE, 3 * usual)
            left = max(0.0, late - loop.time()) if len(times) >= least else None
            done, running = await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            times += [loop.time() - started for each in done if not each.cancelled() and each.exception() is None]
    finally:
        for task in running:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    return _errors([SupplierSlow() if task in running else each for task, each in zip(tasks, results, strict=True)])


def _errors(results: Sequence[object]) -> list[Exception | None]:
    for each in results:
        if isinstance(each, BaseException) and not isinstance(each, Exception):
            raise each
    return [each if isinstance(each, Exception) else None for each in results]
