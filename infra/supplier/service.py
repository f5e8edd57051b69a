"""What a supplier answers: one request, one answer, by the verb at the end of the subject."""

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from infra.supplier.access import Access
from infra.supplier.journal import Journal
from infra.supplier.storage import Shelf
from privity.crypto.command import frame, unframe
from privity.crypto.supplying import storage_proof, verify_replacement
from privity.encoding import b64, unb64
from privity.errors import BadProof, ForgedRecord, IntegrityAlarm, Internal, Malformed, Refusal, UnknownCommand
from privity.messages.catalog import explain
from privity.messages.suppliers import (
    MAX_LEAVES,
    MAX_SUPPLIER_MESSAGE,
    REQUESTS,
    AskNonce,
    AskStatus,
    Complete,
    Delete,
    Get,
    Leaves,
    ListObjects,
    Open,
    Prove,
    Put,
    Register,
    Replace,
    Request,
    Supplied,
    supplied,
)

log = logging.getLogger("privity.supplier")

INBOX: Final = re.compile(r"_INBOX_([a-z2-7]{52})(\.[A-Za-z0-9_-]+)+")
"""Where answers go, and nowhere else: a supplier is nobody's deputy on the bus."""
MAX_REPLY: Final = 256
PARTS: Final = 2

_codecs: dict[str, TypeAdapter[Any]] = {verb: TypeAdapter(each) for verb, each in REQUESTS.items()}

Answer = tuple[Supplied, bytes]
OK: Final = "ok"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the bus delivered it."""

    subject: str
    reply: str
    data: bytes


class Service:
    """`replace` sends the command by which this supplier takes a lost one's place, and returns when it was accepted."""

    def __init__(
        self,
        name: str,
        shelf: Shelf,
        access: Access,
        journal: Journal,
        *,
        supplier: str,
        log_public: bytes,
        replace: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._name = name
        self._shelf = shelf
        self._access = access
        self._journal = journal
        self._supplier = supplier
        self._log_public = log_public
        self._replace = replace

    async def answer(self, asked: Asked) -> bytes | None:
        """The answer's frame; None for a request that gets none, since it points elsewhere than to a person's inbox."""
        inbox = INBOX.fullmatch(asked.reply) if len(asked.reply) <= MAX_REPLY else None
        verb = asked.subject.rpartition(".")[2]
        if inbox is None:
            self._journal.refused(verb[:16], "NoInbox", "", "", "")
            return None
        request: Request | None = None
        try:
            request, body = _read(verb, asked.data)
            said, behind = await self._do(request, body, inbox[1])
        except (Refusal, IntegrityAlarm) as refusal:
            return self._refused(refusal, verb, request, inbox[1])
        except Exception:
            log.exception("%s failed", verb)
            return self._refused(Internal(), verb, request, inbox[1])
        text = supplied.dump_json(said, exclude_none=True)
        return frame(text, behind) if behind else frame(text)

    def _refused(self, refusal: Refusal | IntegrityAlarm, verb: str, request: Request | None, who: str) -> bytes:
        known = verb if verb in REQUESTS else "?"
        who = getattr(request, "account", None) or who
        self._journal.refused(
            known, refusal.code, who, getattr(request, "key", ""), getattr(request, "object", None) or ""
        )
        return frame(supplied.dump_json(Supplied("refused", refusal.code, refusal.message[:500]), exclude_none=True))

    async def _do(self, request: Request, body: bytes, inbox: str) -> Answer:
        match request:
            case AskNonce():
                return Supplied(OK, nonce=b64(self._access.nonce(inbox))), b""
            case Register():
                await self._access.register(request, inbox)
            case Open():
                return Supplied(OK, lease=await self._access.open(request, inbox)), b""
            case AskStatus():
                shelf = self._shelf
                return (
                    Supplied(OK, called=self._name, fragments=shelf.fragments, used=shelf.used, quota=shelf.quota),
                    b"",
                )
            case Replace(lost=lost, order=order):
                try:
                    verify_replacement(self._log_public, lost, self._supplier, unb64(order))
                except ForgedRecord:
                    raise BadProof from None
                await self._replace(lost, order)
            case Put() | Complete() | Delete():
                await self._write(request, body, inbox)
            case Get() | Prove() | Leaves() | ListObjects():
                return await self._tell(request, inbox)
        return Supplied(OK), b""

    async def _write(self, request: Put | Complete | Delete, body: bytes, inbox: str) -> None:
        match request:
            case Put(lease=token, segment=segment):
                lease = self._access.lent(token, inbox, "put")
                if segment >= lease.segments:
                    raise Malformed("the object has fewer segments")
                await self._shelf.put(lease.place, segment, body)
            case Complete(lease=token, root=root):
                lease = self._access.lent(token, inbox, "put")
                await self._shelf.complete(lease.place, lease.segments, unb64(root))
            case Delete(lease=token):
                await self._shelf.delete(self._access.lent(token, inbox, "delete").place)

    async def _tell(self, request: Get | Prove | Leaves | ListObjects, inbox: str) -> Answer:
        match request:
            case Get(lease=token, segment=segment):
                return Supplied(OK), await self._shelf.get(self._access.lent(token, inbox, "get").place, segment)
            case Prove(lease=token, segment=segment, nonce=nonce):
                fragment = await self._shelf.get(self._access.lent(token, inbox, "get").place, segment)
                return Supplied(OK, proof=b64(storage_proof(unb64(nonce), fragment))), b""
            case Leaves(lease=token, start=start):
                return await self._leaves(token, start, inbox), b""
            case ListObjects(lease=token, after=after):
                found, more = await self._shelf.objects(self._access.lent(token, inbox, "list").key, after)
                return Supplied(OK, objects=found, more=more), b""

    async def _leaves(self, token: str, start: int, inbox: str) -> Supplied:
        """Of half an upload only to who may go on with it: a reader sees nothing before it is whole."""
        lease = self._access.lent(token, inbox, "put", "get")
        if lease.operation == "get":
            await self._shelf.root(lease.place)
        segments, found, more = await self._shelf.leaves(lease.place, start, MAX_LEAVES)
        root = None if segments is None else b64((await self._shelf.root(lease.place))[0])
        leaves = tuple((segment, b64(leaf)) for segment, leaf in found)
        return Supplied(OK, root=root, segments=segments, leaves=leaves, more=more)


def _read(verb: str, data: bytes) -> tuple[Request, bytes]:
    """The request and the bytes behind it; only `put` has any."""
    if verb not in _codecs:
        raise UnknownCommand("a supplier has no such verb")
    parts = unframe(data, PARTS, MAX_SUPPLIER_MESSAGE)
    if len(parts) != (PARTS if verb == Put.verb else 1):
        raise Malformed("a request is a frame of JSON, and of a fragment for put alone")
    try:
        request = cast(Request, _codecs[verb].validate_json(parts[0]))
    except ValidationError as error:
        raise Malformed(explain(error)) from None
    return request, parts[-1] if verb == Put.verb else b""
