"""One supplier of fragments as its clients see it: requests on the bus, and the leases that proofs open.

People's agents and the operator's repair both use it; how they prove that they may is the `Prover`'s affair. Nothing
that a supplier says is believed here: fragments are held against their hashes by who reads them.
"""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import TypeAdapter, ValidationError

from privity.crypto.command import frame, unframe
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import Wish, sign_order, sign_proof
from privity.encoding import b64, unb64
from privity.errors import (
    BadProof,
    Busy,
    LeaseEnded,
    Malformed,
    RateLimited,
    StaleVersion,
    SupplierAway,
    SupplierSlow,
    UnknownKey,
    Unreachable,
    error_for,
)
from privity.messages.fields import SignedRecord
from privity.messages.suppliers import (
    MAX_LISTED,
    AskNonce,
    AskStatus,
    Complete,
    Delete,
    Get,
    Leaves,
    Listed,
    ListObjects,
    Open,
    Operation,
    Prove,
    Put,
    Register,
    Replace,
    Request,
    Supplied,
    supplied,
    supplier_subject,
)

Asker = Callable[[str, bytes, float], Awaitable[bytes]]
"""Sends a request on a subject and waits so many seconds for its answer; raises as `ask_supplier`."""

T = TypeVar("T")

SHORT: Final = 5.0
"""Seconds that a supplier has for what takes it no time."""
LONG: Final = 15.0
"""Seconds for a fragment, or for what makes an upload whole."""
MAX_ANSWER: Final = 1024 * 1024
MAX_PAGES: Final = 1000
MAX_OBJECTS: Final = 50_000
"""That are listed under one key: a supplier has no more."""
NONCE_BYTES: Final = 32
BUSY_DELAYS: Final = (0.1, 0.2, 0.4, 0.6)
"""Seconds after which a supplier that is busy is asked again, each up to half as many more; then it is believed."""


@dataclass(frozen=True, slots=True)
class Known:
    """A supplier of the directory: its id, what it is called, and its public key."""

    id: str
    name: str
    public: bytes


def by_slot(named: Sequence[str], stands: Callable[[str], Known | None]) -> list[Known | None]:
    """Who stands in each slot of a location; `named` are the ids that it names, `stands` knows who took whose place.

    Nobody has two slots, else one loss would be two: who took another's place beside a slot of their own has only that,
    and of two others' places the first. The other one is vacant.
    """
    found = [stands(id) for id in named]
    taken = {id for id, each in zip(named, found, strict=True) if each is not None and each.id == id}
    slots: list[Known | None] = []
    for id, each in zip(named, found, strict=True):
        vacant = each is None or (each.id != id and each.id in taken)
        slots.append(None if vacant else each)
        if each is not None:
            taken.add(each.id)
    return slots


class Prover(Protocol):
    """Whoever may ask something of a supplier."""

    @property
    def account(self) -> str | None:
        """Whose name the proof bears; None for the operator."""

    @property
    def register(self) -> Register | None:
        """What makes the key known to a supplier that does not know it."""

    @property
    def log(self) -> SigningKey | None:
        """The operator's log key, for orders."""

    def opening(self, wish: Wish) -> Open:
        """The request that opens it, proved."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A holder of a sharing key: its newest sign key, their identity's, and the chain that shows the latter."""

    account: str
    part: SigningKey = field(repr=False)
    identity: SigningKey = field(repr=False)
    chain: tuple[SignedRecord, ...] = field(repr=False)
    register: Register | None = field(default=None, repr=False)
    log: None = None

    def opening(self, wish: Wish) -> Open:
        """Signed by both keys."""
        by_key, by_identity = sign_proof(self.part, self.identity, wish)
        return _open(wish, by_key=b64(by_key), by_identity=b64(by_identity), chain=self.chain)


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator of a home, by its log key: to rebuild what was lost, without any key that opens it."""

    log: SigningKey = field(repr=False)
    register: Register | None = field(default=None, repr=False)
    account: None = None

    def opening(self, wish: Wish) -> Open:
        """Ordered."""
        return _open(wish, order=b64(sign_order(self.log, wish)))


class Supplier:
    """One supplier, asked over one line."""

    def __init__(self, known: Known, ask: Asker) -> None:
        self.known = known
        self._ask = ask

    async def ask(self, request: Request, blob: bytes | memoryview | None = None) -> tuple[Supplied, bytes]:
        """What it answers, and the bytes behind the answer.

        Raises:
            SupplierAway, SupplierSlow: it is not there, or does not answer in time.
            Refusal: it refuses, with its own code.
            Malformed: its answer cannot be read.
        """
        head = _codec(type(request)).dump_json(request)
        data = frame(head) if blob is None else frame(head, blob)  # type: ignore[arg-type]  # copied by the frame
        patience = LONG if isinstance(request, Put | Get | Complete | Leaves | Prove | Replace | Register) else SHORT
        answer = await self._ask(supplier_subject(self.known.id, request.verb), data, patience)
        said, behind = _read(answer)
        if said.status == "refused":
            raise error_for(said.code, f"{self.known.name}: {said.message or ''}")
        return said, behind

    async def status(self) -> Supplied:
        """How full it is."""
        return (await self.ask(AskStatus()))[0]

    async def nonce(self) -> str:
        """A fresh one, for one proof."""
        nonce = (await self.ask(AskNonce()))[0].nonce
        if nonce is None:
            raise Malformed(f"{self.known.name} gave no nonce")
        return nonce

    async def register(self, register: Register, log: SigningKey | None = None) -> None:
        """Make a key, or a newer record of it, known there; by order of the operator with the home's log key."""

        async def once() -> None:
            nonce = await self.nonce()
            wish = Wish(self.known.public, register.verb, register.key, None, unb64(nonce), None)
            order = None if log is None else b64(sign_order(log, wish))
            await self.ask(replace(register, nonce=nonce, order=order))

        await patiently(once)

    async def replace(self, lost: str, order: str) -> None:
        """Have it take a lost supplier's place, by the operator's order; it tells the home."""
        await self.ask(Replace(lost, order))

    async def open(
        self,
        prover: Prover,
        operation: Operation,
        key: str,
        object: str | None = None,
        segments: int = 0,
        root: bytes = b"",
    ) -> "Lease":
        """A lease for one operation on an object, or on all under a key; made known to it first where it must be.

        `root` is what an order to put says that the fragments hash to: another object that is there gives way.

        Raises:
            Refusal: it does not believe the proof, or does not know the key.
        """
        wish = Wish(self.known.public, operation, key, object, b"", prover.account, segments, root)
        lease = Lease(self, prover, wish)
        await lease.renew()
        return lease


class Lease:
    """One operation that a supplier has permitted; it is opened again by itself where the supplier let it end."""

    def __init__(self, supplier: Supplier, prover: Prover, wish: Wish) -> None:
        """`wish`: without a nonce."""
        self.supplier = supplier
        self._prover = prover
        self._wish = wish
        self._lease = ""
        self.whole = False
        """Whether the supplier said that the object is whole, when its hashes were asked for."""

    async def renew(self) -> None:
        """Prove anew, over a fresh nonce. A supplier that was away may know an older record of the key, or none."""
        try:
            await patiently(self._open)
        except (UnknownKey, BadProof) as error:
            if self._prover.register is None:
                raise
            try:
                await self.supplier.register(self._prover.register, self._prover.log)
            except StaleVersion:
                raise error from None
            await patiently(self._open)

    async def _open(self) -> None:
        wish = replace(self._wish, nonce=unb64(await self.supplier.nonce()))
        lease = (await self.supplier.ask(self._prover.opening(wish)))[0].lease
        if lease is None:
            raise Malformed(f"{self.supplier.known.name} gave no lease")
        self._lease = lease

    async def put(self, segment: int, fragment: bytes | memoryview) -> None:
        """Give it one fragment."""
        await self._asked(lambda: Put(self._lease, segment), fragment)

    async def complete(self, root: bytes) -> None:
        """All fragments are there: they can be read from now on.

        Raises:
            NotComplete, RootDiffers: some are missing, or they are others.
        """
        await self._asked(lambda: Complete(self._lease, b64(root)))

    async def leaves(self, segments: int) -> dict[int, bytes]:
        """The hashes of the fragments that it says are there, by segment, of which there are so many.

        Raises:
            NotFound: it has nothing of the object.
            Malformed: it lists other segments, or without end.
        """
        found: dict[int, bytes] = {}
        for _ in range(MAX_PAGES):
            start = max(found, default=-1) + 1
            said, _ = await self._asked(lambda start=start: Leaves(self._lease, start))  # type: ignore[misc]
            self.whole = said.root is not None
            page = {segment: unb64(leaf) for segment, leaf in said.leaves or () if segment >= start}
            if max(page, default=0) >= segments:
                raise Malformed(f"{self.supplier.known.name} lists segments that the object does not have")
            found |= page
            if not said.more or not page:
                return found
        raise Malformed(f"{self.supplier.known.name} lists without end")

    async def get(self, segment: int) -> bytes:
        """One fragment, as it says."""
        return (await self._asked(lambda: Get(self._lease, segment)))[1]

    async def prove(self, segment: int) -> tuple[bytes, bytes]:
        """A fresh nonce, and what it says is the fragment's HMAC under that."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        said, _ = await self._asked(lambda: Prove(self._lease, segment, b64(nonce)))
        return nonce, unb64(said.proof or "")

    async def delete(self) -> None:
        """The object goes, whole or half."""
        await self._asked(lambda: Delete(self._lease))

    async def objects(self, pages: int | None = None) -> list[Listed]:
        """All objects under the key, half ones too; those of the first `pages` alone, where that is said.

        Raises:
            Malformed: there is no end of them, or more than 50,000.
        """
        found: list[Listed] = []
        for _ in range(MAX_PAGES if pages is None else pages):
            after = found[-1].object if found else ""
            said, _ = await self._asked(lambda after=after: ListObjects(self._lease, after))  # type: ignore[misc]
            page = [each for each in said.objects or () if each.object > after][:MAX_LISTED]
            found += page
            if len(found) > MAX_OBJECTS:
                break
            if not said.more or not page:
                return found
        if pages is not None:
            return found
        raise Malformed(f"{self.supplier.known.name} lists without end")

    async def _asked(
        self, request: Callable[[], Request], blob: bytes | memoryview | None = None
    ) -> tuple[Supplied, bytes]:
        async def once() -> tuple[Supplied, bytes]:
            return await self.supplier.ask(request(), blob)

        before = self._lease
        try:
            return await patiently(once)
        except LeaseEnded:
            if self._lease == before:  # else another request has renewed it meanwhile
                await self.renew()
            return await patiently(once)


async def patiently(once: Callable[[], Awaitable[T]]) -> T:
    """Try until a supplier is not busy any more, up to 2 seconds long: an upload waits as long.

    Each try begins from the start: a nonce is used up also by what was refused then.

    Raises:
        Busy, RateLimited: it still is.
    """
    for delay in BUSY_DELAYS:
        try:
            return await once()
        except (Busy, RateLimited):
            await asyncio.sleep(delay * random.uniform(1, 1.5))  # noqa: S311 - it spreads load and guards nothing
    return await once()


async def ask_supplier(client: Client, subject: str, data: bytes, patience: float) -> bytes:
    """An `Asker` over this client, which waits for `patience` seconds.

    Raises:
        SupplierAway: nobody hears on that subject.
        SupplierSlow: no answer in time.
        Unreachable: the bus is lost.
    """
    try:
        return (await client.request(subject, data, timeout=patience)).data
    except NoRespondersError:
        raise SupplierAway from None
    except TimeoutError:
        raise SupplierSlow from None
    except (NatsError, OSError) as error:
        raise Unreachable("the bus was lost while a supplier was asked") from error


def _open(
    wish: Wish,
    by_key: str | None = None,
    by_identity: str | None = None,
    order: str | None = None,
    chain: tuple[SignedRecord, ...] = (),
) -> Open:
    return Open(
        wish.operation,  # type: ignore[arg-type]
        wish.key,
        wish.object,
        b64(wish.nonce),
        wish.account,
        by_key,
        by_identity,
        order,
        chain,
        wish.segments,
        b64(wish.root) if wish.root else None,
    )


def _read(answer: bytes) -> tuple[Supplied, bytes]:
    parts = unframe(answer, 2, MAX_ANSWER)
    try:
        return supplied.validate_json(parts[0] if parts else b""), parts[1] if len(parts) > 1 else b""
    except ValidationError as error:
        raise Malformed("the supplier's answer cannot be read") from error


_codecs: dict[type[Request], TypeAdapter[Request]] = {}


def _codec(type_: type[Request]) -> TypeAdapter[Request]:
    if type_ not in _codecs:
        _codecs[type_] = TypeAdapter(type_)
    return _codecs[type_]
