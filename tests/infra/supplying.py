"""A supplier without a bus, people with identity chains, and a sharing key that one of them made."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from infra.supplier.access import Access
from infra.supplier.journal import Journal
from infra.supplier.service import Asked, Service
from infra.supplier.storage import Shelf, Store, open_store, root_of
from privity.crypto.command import frame, unframe
from privity.crypto.kem import Suite
from privity.crypto.merkle import leaf_hash
from privity.crypto.sharing_keys import KeyRecord, PrivatePart, read_record, sharing_key_id, sign_record
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import Wish, sign_order, sign_proof, supplier_id
from privity.encoding import b64, digest, new_id, unb64
from privity.messages.suppliers import (
    AskNonce,
    Complete,
    Get,
    Open,
    Put,
    Register,
    Request,
    Supplied,
    supplied,
    supplier_subject,
)
from tests.examples import long_id
from tests.handlers.people import CHECKPOINT, LOG, Citizen, to_record

INBOX = f"_INBOX_{long_id('ann')}.nuid.token"
OPERATOR = long_id("operator")
OWN = SigningKey.generate()
SUPPLIER = supplier_id(OWN.public)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class SharedKey:
    """A sharing key of Ann's, with its newest private part."""

    ann: Citizen
    part: PrivatePart = field(default_factory=PrivatePart.generate)
    nonce: bytes = b"n" * 16
    n: int = 1
    holders: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return sharing_key_id(self.ann.account, self.nonce)

    def record(self, by: SigningKey | None = None, **changes: Any) -> tuple[bytes, bytes]:
        """The record as it is now, signed."""
        said = KeyRecord(
            key=self.id,
            n=self.n,
            prev=None if self.n == 1 else digest(b"the record before"),
            by=self.ann.account,
            generation=1,
            suite=Suite.X_WING,
            seal=self.part.pair.public,
            sign=self.part.sign.public,
            holders=tuple(sorted(self.holders)),
            alias=digest(b"alias"),
            checkpoint=CHECKPOINT,
            nonce=b64(self.nonce),
        )
        return sign_record(by or self.ann.keys.sign, replace(said, **changes))

    def register(self, by: SigningKey | None = None, **changes: Any) -> Register:
        """What makes it known to a supplier."""
        record, signature = self.record(by, **changes)
        chain = tuple(to_record(each) for each in self.ann.chain)
        return Register(self.id, b64(record), b64(signature), chain)


class Keeper:
    """A supplier's service over a store, asked directly; `made` are all that there are, to be closed."""

    made: ClassVar[list["Keeper"]] = []

    def __init__(
        self,
        folder: Path,
        url: str = "memory://",
        quota: int = 0,
        store: Store | None = None,
        shelf: type[Shelf] = Shelf,
    ) -> None:
        self.made.append(self)
        self.clock, self.folder = Clock(), folder
        self.replaced: list[tuple[str, str]] = []
        self.inboxes: dict[str, str] = {}
        self.shelf = shelf(store or open_store(url), quota, lambda: datetime.now(UTC))
        self.journal = Journal(folder, lambda: datetime.now(UTC))
        access = Access(self.shelf, OWN.public, LOG.public, self.clock)

        async def replaces(lost: str, order: str) -> None:
            self.replaced.append((lost, order))

        self.service = Service(
            "supplier-1",
            self.shelf,
            access,
            self.journal,
            supplier=SUPPLIER,
            log_public=LOG.public,
            replace=replaces,
        )

    async def raw(self, verb: str, data: bytes, reply: str = INBOX) -> bytes | None:
        """Bytes in, bytes out."""
        return await self.service.answer(Asked(supplier_subject(SUPPLIER, verb), reply, data))

    async def ask(self, request: Request, body: bytes | None = None, inbox: str = "") -> tuple[Supplied, bytes]:
        """A request's answer, and the bytes behind it: from the inbox of who it is of, unless from another one's."""
        if isinstance(request, Register):
            inbox = inbox or read_record(unb64(request.record)).by
            request = replace(request, nonce=request.nonce or await self.fresh(inbox))
        if isinstance(request, Open):
            inbox = inbox or request.account or OPERATOR
        inbox = inbox or self.inboxes.get(getattr(request, "lease", ""), OPERATOR)
        text = TypeAdapter(type(request)).dump_json(request)
        reply = f"_INBOX_{inbox}.nuid.token"
        answer = await self.raw(request.verb, frame(text) if body is None else frame(text, body), reply)
        assert answer is not None
        said, *behind = unframe(answer, 2, 2**20)
        answered = supplied.validate_json(said)
        if answered.lease is not None:
            self.inboxes[answered.lease] = inbox
        return answered, behind[0] if behind else b""

    async def code(self, request: Request, body: bytes | None = None, inbox: str = "") -> str:
        """The code of the refusal; `ok` if there is none."""
        said, _ = await self.ask(request, body, inbox)
        return said.code or said.status

    async def fresh(self, inbox: str) -> str:
        """A nonce of its own."""
        nonce = (await self.ask(AskNonce(), inbox=inbox))[0].nonce
        assert nonce is not None
        return nonce

    async def proof(self, key: SharedKey, by: Citizen, operation: Any, object: str | None, **changes: Any) -> Open:
        """A request to open, proven as it should be; `changes` are made after signing."""
        nonce, segments = await self.fresh(changes.pop("inbox", by.account)), changes.pop("segments", 0)
        wish = Wish(OWN.public, operation, key.id, object, unb64(nonce), by.account, segments)
        by_key, by_identity = map(b64, sign_proof(key.part.sign, by.keys.sign, wish))
        chain = tuple(to_record(each) for each in by.chain)
        made = Open(operation, key.id, object, nonce, by.account, by_key, by_identity, None, chain, segments)
        return replace(made, **changes)

    async def order(
        self, key: str, operation: Any, object: str | None, segments: int = 0, log: SigningKey = LOG, root: bytes = b""
    ) -> Open:
        """The same by the operator's order."""
        nonce = await self.fresh(OPERATOR)
        signed = sign_order(log, Wish(OWN.public, operation, key, object, unb64(nonce), None, segments, root))
        said = b64(root) if root else None
        return Open(operation, key, object, nonce, None, None, None, b64(signed), (), segments, said)

    async def lease(self, request: Open) -> str:
        """The lease that a request opens."""
        said, _ = await self.ask(request)
        assert said.lease is not None, said
        return said.lease

    async def opened(self, key: SharedKey, by: Citizen, operation: Any, object: str | None, segments: int = 0) -> str:
        """A lease, proven as it should be."""
        return await self.lease(await self.proof(key, by, operation, object, segments=segments))

    async def stored(self, key: SharedKey, by: Citizen, *fragments: bytes, object: str = "") -> str:
        """An object that is whole; its id."""
        object = object or new_id()
        lease = await self.opened(key, by, "put", object, len(fragments))
        for segment, fragment in enumerate(fragments):
            assert await self.code(Put(lease, segment), fragment) == "ok"
        assert await self.code(Complete(lease, b64(root(fragments)))) == "ok"
        return object

    async def got(self, lease: str, segment: int) -> bytes | str:
        """A fragment, or the code of the refusal."""
        said, body = await self.ask(Get(lease, segment))
        return said.code or body

    @property
    def refusals(self) -> str:
        """What it wrote down."""
        return (self.folder / "refused.log").read_text()


def root(fragments: Sequence[bytes]) -> bytes:
    """The root over fragments, in their order."""
    return root_of(b"".join(map(leaf_hash, fragments)))
