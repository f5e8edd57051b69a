"""Who may do what at a supplier: records that creators signed, identities that are remembered, proofs, and leases."""

import asyncio
import hashlib
import hmac
import json
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from infra.supplier.storage import Place, Shelf
from privity.crypto.identity import Identity, Signed, signers, walk
from privity.crypto.sharing_keys import KeyRecord, read_record, verify_record
from privity.crypto.supplying import NONCE_BYTES, Wish, verify_order, verify_proof
from privity.encoding import b64, digest, sha256, unb64
from privity.errors import (
    AlreadyExists,
    BadProof,
    Busy,
    ForgedRecord,
    LeaseEnded,
    Malformed,
    StaleChain,
    StaleNonce,
    StaleVersion,
    UnknownKey,
)
from privity.messages.fields import SignedRecord
from privity.messages.suppliers import Open, Register

NONCE_LIFE: Final = 60.0
"""Seconds."""
LEASE_LIFE: Final = 120.0
"""Seconds since a lease was used last."""
LEASE_LONGEST: Final = 900.0
"""Seconds since it was lent."""
MAX_USED: Final = 20_000
"""Nonces that proofs were made over within the last minute."""
MAX_LEASES: Final = 8192
MAX_OWN_LEASES: Final = 1024
"""Of one account, or of the operator."""
MAX_CHAINS: Final = 256
"""Identity chains that are not verified again while they are at hand."""
MAX_VERIFYING: Final = 2
"""Chains that are verified at the same time."""
MAX_AHEAD: Final = 1000
"""How far a record's number may be beyond the one that is known."""
TIME_BYTES, RANDOM_BYTES, TAG_BYTES = 8, 8, 16
OF_OPERATOR: Final = frozenset({"put", "get", "list"})
OF_CREATOR: Final = frozenset({"delete", "list"})


@dataclass(frozen=True, slots=True)
class Lease:
    """One operation that was proven: on `place`, or for `list` on all of the key. `account` is empty for an order.

    It serves who hears answers in `inbox`.
    """

    operation: str
    key: str
    object: str | None
    account: str
    segments: int
    inbox: str
    since: float

    @property
    def place(self) -> Place:
        """The object that it is for."""
        return Place(self.key, self.object or "")


@dataclass(frozen=True, slots=True)
class _Known:
    """A chain that verified: each identity's head, and the sign keys that nobody called stolen.

    `recovered` is the number of the last record that the recovery key signed, 0 for none.
    """

    account: str
    heads: tuple[bytes, ...]
    sign: bytes
    good: frozenset[bytes]
    recovered: int


@dataclass(frozen=True, slots=True)
class _Held:
    """What is kept of a key: its record, the creator's signature, and the head of their chain when it was brought."""

    data: bytes
    signature: bytes
    head: bytes
    record: KeyRecord


class Access:
    """Opened by nobody: all that lasts lies on the shelf. `seconds` is a clock that only goes forward."""

    def __init__(self, shelf: Shelf, public: bytes, log_public: bytes, seconds: Callable[[], float]) -> None:
        self._shelf = shelf
        self._public = public
        self._log_public = log_public
        self._seconds = seconds
        self._secret = secrets.token_bytes(NONCE_BYTES)
        self._used: OrderedDict[bytes, float] = OrderedDict()
        self._leases: OrderedDict[str, tuple[Lease, float]] = OrderedDict()
        self._chains: OrderedDict[bytes, _Known] = OrderedDict()
        self._changing = asyncio.Lock()
        self._verifying = asyncio.Semaphore(MAX_VERIFYING)

    def nonce(self, inbox: str) -> bytes:
        """A fresh one for the account that hears in an inbox; nothing of it has to be kept until it was used."""
        body = int(self._seconds() * 1000).to_bytes(TIME_BYTES, "big") + secrets.token_bytes(RANDOM_BYTES)
        return body + self._tag(body, inbox)

    async def register(self, ask: Register, inbox: str) -> None:
        """Keep a key's record: from now on its newest one says who may do what, and leases of others have ended.

        Raises:
            Malformed: it is not a record of this key.
            BadProof: its creator did not sign it, or who brings it is not in it.
            StaleNonce: the nonce was used, or is another one's.
            StaleVersion: a newer one is known, or another of the same number.
            StaleChain: a longer chain of the creator is known.
            QuotaExceeded, Busy: it cannot be kept.
        """
        data, signature = unb64(ask.record), unb64(ask.signature)
        record = read_record(data)
        if record.key != ask.key:
            raise Malformed("the record is another key's")
        nonce = unb64(ask.nonce or "")
        self._check_fresh(nonce, inbox)
        if ask.order is not None:
            verify_order(self._log_public, Wish(self._public, ask.verb, ask.key, None, nonce, None), unb64(ask.order))
        elif not record.holds(inbox):
            raise BadProof("who makes a key known is among its holders")
        _check_brings(await self._held(ask.key), ask, data, record.n)
        creator = await self._known(record.by, ask.chain)
        if not any(_signed(data, signature, public) for public in creator.good):
            raise BadProof("the key's creator did not sign this record")
        self._use(nonce)
        async with self._changing:
            held = await self._held(ask.key)
            if held is not None and not _follows(held, data, record.n, creator):
                return
            await self._pin(creator)
            kept = {"record": b64(data), "signature": b64(signature), "head": b64(creator.heads[-1])}
            ordered = ask.order is not None
            by = record.by if ordered else inbox
            await self._shelf.keep_record(ask.key, json.dumps(kept).encode(), by, ordered=ordered)
            self._end(lambda lease: lease.key == ask.key and lease.account != "" and not record.holds(lease.account))

    async def open(self, ask: Open, inbox: str) -> str:
        """A lease for what was proven, or ordered by the operator.

        Raises:
            Malformed: an operation that makes no sense.
            StaleNonce: the nonce was used, or is older than a minute, or another supplier's.
            UnknownKey: the key is not known here.
            BadProof: not by somebody who may do this, or from another one's inbox.
            AlreadyExists: to put, but the object is whole; an order may put, and heal what is damaged.
            StaleChain: a longer chain of theirs is known.
            Busy: too much is going on.
        """
        nonce = unb64(ask.nonce)
        self._check_wish(ask)
        self._check_fresh(nonce, inbox)
        record, root = await self._record(ask.key), unb64(ask.root or "")
        wish = Wish(self._public, ask.operation, ask.key, ask.object, nonce, ask.account, ask.segments, root)
        known = None
        if ask.order is not None:
            if ask.operation not in OF_OPERATOR or ask.account is not None:
                raise BadProof
            verify_order(self._log_public, wish, unb64(ask.order))
            self._use(nonce)
            if ask.object and root:
                await self._shelf.clear(Place(ask.key, ask.object), ask.segments, root)
        else:
            known = await self._check_person(ask, record, wish, inbox)
            if ask.operation == "put" and ask.object and await self._shelf.is_whole(Place(ask.key, ask.object)):
                raise AlreadyExists("the object is whole already")
        lease = Lease(ask.operation, ask.key, ask.object, ask.account or "", ask.segments, inbox, self._seconds())
        async with self._changing:  # what is lent from here on ends when another record comes
            if known is not None:
                await self._pin(known)
            if await self._record(ask.key) != record:
                raise Busy("the key's record was just replaced; try again")
            return self._lend(lease)

    def lent(self, token: str, inbox: str, *operations: str) -> Lease:
        """The lease with this token, for one of these operations, asked from the inbox that it was lent to.

        It lasts two minutes from now, and a quarter of an hour in all.

        Raises:
            LeaseEnded: there is no such lease, or not any more.
            BadProof: it is for something else.
        """
        lease, last = self._leases.get(token, (None, 0.0))
        now = self._seconds()
        if lease is None or last < now - LEASE_LIFE or lease.since < now - LEASE_LONGEST:
            self._leases.pop(token, None)
            raise LeaseEnded
        if lease.inbox != inbox:
            raise LeaseEnded
        if lease.operation not in operations:
            raise BadProof("the lease is for something else")
        self._leases[token] = lease, now
        self._leases.move_to_end(token)
        return lease

    # ---- inside ----

    def _check_wish(self, ask: Open) -> None:
        if (ask.object is None) != (ask.operation == "list") or (ask.segments > 0) != (ask.operation == "put"):
            raise Malformed("list is about a key, all else about an object; segments are for put")
        if ask.root is not None and (ask.operation != "put" or ask.order is None):
            raise Malformed("a root is for orders to put")

    async def _check_person(self, ask: Open, record: KeyRecord, wish: Wish, inbox: str) -> _Known:
        if ask.account is None or ask.by_key is None or ask.by_identity is None:
            raise BadProof
        if ask.account != inbox:
            raise BadProof("a person asks from an inbox of their own")
        if not record.holds(ask.account):
            raise BadProof("this person does not hold the key")
        if ask.operation in OF_CREATOR and ask.account != record.by:
            raise BadProof("only the key's creator may do this")
        known = await self._known(ask.account, ask.chain)
        verify_proof(record.sign, known.sign, wish, unb64(ask.by_key), unb64(ask.by_identity))
        self._use(wish.nonce)
        return known

    async def _record(self, key: str) -> KeyRecord:
        held = await self._held(key)
        if held is None:
            raise UnknownKey(f"the supplier does not know the sharing key {key}")
        return held.record

    async def _held(self, key: str) -> _Held | None:
        kept = await self._shelf.record(key)
        if kept is None:
            return None
        facts = json.loads(kept)
        data, signature, head = (unb64(facts[each]) for each in ("record", "signature", "head"))
        return _Held(data, signature, head, read_record(data))

    async def _known(self, account: str, chain: Sequence[SignedRecord]) -> _Known:
        """What a chain says, if it verifies, is this account's, and goes on from where it was seen last."""
        known = await self._verified(chain)
        if known.account != account:
            raise BadProof("the identity chain is another account's")
        _check_goes_on(known, await self._shelf.person(account))
        return known

    async def _verified(self, chain: Sequence[SignedRecord]) -> _Known:
        signed = [Signed(unb64(each.record), tuple(map(unb64, each.signatures))) for each in chain]
        name = sha256(b"".join(sha256(each.record + b"".join(each.signatures)) for each in signed))
        known = self._chains.get(name)
        if known is None:
            async with self._verifying:
                known = self._chains.get(name) or await _walked(signed)
            self._chains[name] = known
            if len(self._chains) > MAX_CHAINS:
                self._chains.popitem(last=False)
        return known

    async def _pin(self, known: _Known) -> None:
        """Remember up to where the identity is known: a shorter or another chain is not taken again.

        What was lent on a chain that ended before has ended: a device of it may have been lost.
        """
        pinned = await self._shelf.person(known.account)
        _check_goes_on(known, pinned)
        last, recovered = known.heads[-1], known.heads[known.recovered]
        facts = {"n": len(known.heads) - 1, "head": b64(last), "recovered": known.recovered, "base": b64(recovered)}
        data = json.dumps(facts).encode()
        if pinned != data:
            await self._shelf.keep_person(known.account, data)
            self._end(lambda lease: lease.account == known.account)

    def _tag(self, body: bytes, inbox: str) -> bytes:
        return hmac.digest(self._secret, body + inbox.encode(), hashlib.sha256)[:TAG_BYTES]

    def _check_fresh(self, nonce: bytes, inbox: str) -> None:
        body = nonce[: TIME_BYTES + RANDOM_BYTES]
        if not hmac.compare_digest(self._tag(body, inbox), nonce[len(body) :]):
            raise StaleNonce("the nonce is not one of this supplier")
        age = self._seconds() - int.from_bytes(body[:TIME_BYTES], "big") / 1000
        if age > NONCE_LIFE or nonce in self._used:
            raise StaleNonce("the nonce was used before, or is older than a minute")

    def _use(self, nonce: bytes) -> None:
        """Only a proof that holds uses a nonce up: who has none cannot fill the table."""
        now = self._seconds()
        while self._used and next(iter(self._used.values())) < now - 2 * NONCE_LIFE:
            self._used.popitem(last=False)
        if nonce in self._used:
            raise StaleNonce("the nonce was used before")
        if len(self._used) >= MAX_USED:
            raise Busy("too many operations were begun within a minute")
        self._used[nonce] = now

    def _lend(self, lease: Lease) -> str:
        oldest = self._seconds() - LEASE_LIFE
        while self._leases and next(iter(self._leases.values()))[1] < oldest:
            self._leases.popitem(last=False)
        own = Counter(each.account for each, _ in self._leases.values())[lease.account]
        if len(self._leases) >= MAX_LEASES or own >= MAX_OWN_LEASES:
            raise Busy("too many operations are going on")
        token = b64(secrets.token_bytes(NONCE_BYTES))
        self._leases[token] = lease, self._seconds()
        return token

    def _end(self, ended: Callable[[Lease], bool]) -> None:
        for token in [token for token, (lease, _) in self._leases.items() if ended(lease)]:
            del self._leases[token]


def _to_known(line: Sequence[Identity]) -> _Known:
    good = frozenset(public for public, bounds in signers(line) if not bounds)
    recovered = max(each.n for each in line if each.by_recovery or each.n == 0)
    return _Known(line[-1].account, tuple(each.head for each in line), line[-1].sign, good, recovered)


async def _walked(chain: Sequence[Signed]) -> _Known:
    try:
        return _to_known(await asyncio.to_thread(lambda: list(walk(chain))))
    except ForgedRecord as error:
        raise BadProof(error.message) from None


def _check_goes_on(known: _Known, pinned: bytes | None) -> None:
    """Whether a chain goes on from what is known of it; or from before that, by a later word of the recovery key.

    Who stole a sign key could otherwise bring records of their own, and keep the owner out for ever.
    """
    if pinned is None:
        return
    facts = json.loads(pinned)
    n, base = facts["n"], facts["recovered"]
    if known.recovered > base and known.heads[base] == unb64(facts["base"]):
        return
    if len(known.heads) <= n:
        raise StaleChain("a longer identity chain of this account is known here")
    if known.heads[n] != unb64(facts["head"]):
        raise BadProof("another identity chain of this account is known here")


def _check_brings(held: _Held | None, ask: Register, data: bytes, n: int) -> None:
    """Refuse an old record under a chain that is known, before anything is verified."""
    if held is None or digest(held.data) == digest(data) or n > held.record.n:
        return
    if sha256(unb64(ask.chain[-1].record)) == held.head:
        raise StaleVersion("a newer record of this key is known here")


def _follows(held: _Held, record: bytes, n: int, creator: _Known) -> bool:
    """Whether a record takes the place of the one that is held; False if it is the same.

    Any does where a key signed that which its creator gave up as stolen since: a thief may have given it any number.
    """
    if digest(held.data) == digest(record):
        return False
    if not any(_signed(held.data, held.signature, public) for public in creator.good):
        return True
    if held.record.n >= n:
        raise StaleVersion("a newer record of this key is known here")
    if n > held.record.n + MAX_AHEAD:
        raise Malformed(f"a record's number is at most {MAX_AHEAD} above the one before")
    return True


def _signed(record: bytes, signature: bytes, public: bytes) -> bool:
    try:
        verify_record(record, signature, public)
    except ForgedRecord:
        return False
    return True
