"""Enrolment: who proves a device or a login gets a credential for the bus, and who is no device any more loses it."""

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker
from faststream.nats.subscriber.usecases import ConcurrentPushStreamSubscriber
from nats.aio.msg import Msg
from nats.js.api import AckPolicy as JetStreamAck
from nats.js.api import ConsumerConfig
from pydantic import TypeAdapter, ValidationError

from domain import account
from handlers.accounts import to_signed
from handlers.intake import raw
from infra.credentials import DEVICE_LIFE
from infra.given import REVOKE_SUBJECT, Given, read_given
from infra.mapping import to_positioned
from infra.store import EventStore, Issued
from infra.streams import EVENTS
from privity.crypto.enrolment import seal_answer, verify_device_enrolment, verify_login_enrolment
from privity.crypto.identity import verify_chain
from privity.crypto.signing import SigningKey
from privity.encoding import b64, lp, unb64
from privity.errors import (
    AlreadyExists,
    BadLogin,
    BadSignature,
    ForgedRecord,
    Internal,
    Malformed,
    PrivityError,
    RateLimited,
    StaleNonce,
    StoreUnavailable,
    TooLarge,
    UnknownDevice,
    Unreachable,
)
from privity.messages.accounts import AccountClosed, AccountRegistered, IdentityExtended, IdentityRotated
from privity.messages.base import stream_of
from privity.messages.catalog import explain
from privity.messages.enrolment import (
    ENROL_SUBJECT,
    MAX_REQUEST,
    EnrolDevice,
    Enrolled,
    EnrolLogin,
    enrol_device,
    enrol_login,
    enrolled,
)
from privity.messages.envelope import EVENT_SUBJECT

log = logging.getLogger(__name__)

DURABLE: Final = "revocations"
LOGIN_LIFE: Final = 600
"""Seconds for fetching the keyring and putting the new device into the chain, or for registering the account."""
NONCE_LIFE: Final = 120
AT_A_TIME: Final = 16
RETRY_DELAY: Final = 2.0
TRIES: Final = (50.0, 500)
"""Attempts that prove nothing, of all together: so many a second, and so many at once."""
EACH: Final = (0.5, 20)
"""What one account gets: so many a second, and so many at once. Only who has proven something counts, so that nobody
uses up another's."""
ACCOUNTS: Final = 10_000
TOLD: Final = b"told"
NOBODY: Final = SigningKey.generate().public
"""A login key whose private part is gone: unknown accounts are checked against it, and take as long as known ones."""
GOING: Final = frozenset(event.name for event in (IdentityExtended, IdentityRotated, AccountClosed))


class Bucket:
    """A token bucket: `rate` tokens a second, `most` at once."""

    def __init__(self, rate: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._most, self._clock = rate, most, clock
        self._tokens, self._at = float(most), clock()

    def take(self) -> None:
        """Take one.

        Raises:
            RateLimited: there is none.
        """
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            raise RateLimited
        self._tokens -= 1


class People(Protocol):
    """Tells the server who is revoked."""

    async def tell(self) -> None:
        """On return nobody who is revoked is connected."""
        ...

    def tell_later(self) -> None:
        """Go on trying, and wait for nothing."""
        ...


Refused = Callable[[bytes], Awaitable[None]]
"""Told of each login that was refused, which is recorded once for an account and an hour; waits for nothing."""
Issue = Callable[[str, str, int], str]
"""account, public nkey, end in Unix time → user JWT"""


class Enrolments:
    """Issues credentials, and revokes them. `people` is told after each revocation."""

    def __init__(
        self, store: EventStore, home: str, nonce_key: bytes, issue: Issue, people: People, refused: Refused
    ) -> None:
        self._store = store
        self._home = home
        self._nonce_key = nonce_key
        self._issue = issue
        self._people = people
        self._refused = refused
        self._strangers = Bucket(*TRIES)
        self._each: OrderedDict[str, Bucket] = OrderedDict()

    def subscribe(self, broker: NatsBroker) -> ConcurrentPushStreamSubscriber:
        """Hear requests, and hear of devices that left; the subscriber of the latter, which is durable."""
        asking = broker.subscriber(
            f"{ENROL_SUBJECT}.*",
            queue="enrolment",
            max_workers=AT_A_TIME,
            ack_policy=AckPolicy.MANUAL,
            decoder=raw,
            include_in_schema=False,
        )
        asking(self.hear)
        broker.subscriber(
            REVOKE_SUBJECT,
            queue="enrolment",
            ack_policy=AckPolicy.MANUAL,
            decoder=raw,
            include_in_schema=False,
        )(self.taken_back)
        leaving = broker.subscriber(
            f"{EVENT_SUBJECT}.{AccountRegistered.context}.>",
            durable=DURABLE,
            stream=JStream(EVENTS, declare=False),
            config=ConsumerConfig(ack_policy=JetStreamAck.EXPLICIT, ack_wait=30, max_ack_pending=1000),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            decoder=raw,
            include_in_schema=False,
            max_workers=AT_A_TIME,
        )
        leaving(self.happened)
        return leaving

    async def hear(self, message: Msg) -> bytes:
        """The answer to one request."""
        asker = ""
        try:
            request = read_request(message.subject, message.data)
            asker = request.account
            self._check_fresh(request)
            jwt = await self._admitted(request)
            sealed = seal_answer(unb64(request.answer), jwt, self._home, request.account, request.nkey)
            answer = Enrolled("ok", self._nonce(asker), b64(sealed))
        except PrivityError as error:
            answer = Enrolled("refused", self._nonce(asker), code=error.code, message=error.message)
            if isinstance(error, BadLogin):
                await self._refused(message.data)
        except Exception:
            log.exception("an enrolment failed")
            answer = Enrolled("refused", self._nonce(asker), code=Internal.__name__, message=Internal().message)
        return enrolled.dump_json(answer)

    async def happened(self, message: Msg) -> None:
        """Revoke what was issued to devices that an event has taken out of an account's chain."""
        name, stream = message.subject.split(".")[3:5]
        if name in GOING:
            try:
                if await asyncio.to_thread(self._revoke_gone, stream.partition("-")[2]):
                    await self._people.tell()
            except Unreachable as error:
                log.error("%s; next try in %s s", error.message, RETRY_DELAY)
                await message.nak(delay=RETRY_DELAY)
                return
        await message.ack()

    async def taken_back(self, message: Msg) -> bytes:
        """Revoke what the operator took back; the answer is `TOLD` once nobody is connected by it.

        What the store has taken, and the server has not, is told again until it has.
        """
        try:
            await asyncio.to_thread(self.take_back, read_given(message.data))
        except (Malformed, StoreUnavailable) as error:
            log.error("%s", error.message)
            return b""
        try:
            await self._people.tell()
        except (StoreUnavailable, Unreachable) as error:
            log.error("%s; it is told again", error.message)
            self._people.tell_later()
            return b""
        return TOLD

    def take_back(self, given: Iterable[Given]) -> None:
        """Note as revoked what of it the operator took back."""
        gone = [Issued(each.nkey, each.id, each.kind, each.until, revoked=True) for each in given if each.revoked]
        if gone:
            self._store.keep_issued(gone)

    async def _admitted(self, request: EnrolDevice | EnrolLogin) -> str:
        """Who proves nothing takes from what all such have together; who does, from what is their own."""
        try:
            return await asyncio.to_thread(self._admit, request)
        except (UnknownDevice, BadLogin, BadSignature, ForgedRecord, Malformed):
            self._strangers.take()
            raise

    def _admit(self, request: EnrolDevice | EnrolLogin) -> str:
        """The user JWT for who has proven what the request claims."""
        now, state = int(time.time()), account_of(self._store, request.account)
        match request:
            case EnrolDevice(account=account, device=device):
                self._check_device(request, state)
                life = DEVICE_LIFE if state.head is not None else LOGIN_LIFE
                issued = Issued(request.nkey, account, device, now + life)
            case EnrolLogin(account=account):
                self._check_login(request, state)
                issued = Issued(request.nkey, account, "", now + LOGIN_LIFE)
        self._bucket(issued.account).take()
        holder = self._store.holder_of(issued.nkey)
        if holder is not None and (holder.account, holder.device) != (issued.account, issued.device):
            raise AlreadyExists("this nkey is another device's")
        if holder is not None and holder.revoked:
            raise UnknownDevice
        if issued.device and any(self._others(issued)):
            raise AlreadyExists("this device has another nkey")
        self._store.keep_issued([issued])
        # It may have left in between: then its revocation did not see this one, but this sees that it has left.
        if isinstance(request, EnrolDevice) and issued.device not in _devices(
            request, account_of(self._store, request.account)
        ):
            self._store.keep_issued([_revoked(issued)])
            raise UnknownDevice
        return self._issue(issued.account, issued.nkey, issued.until)

    def _others(self, issued: Issued) -> Iterator[Issued]:
        """What the same device has under other nkeys: one each is all that revoking it should ever have to name."""
        for each in self._store.issued_to(issued.account):
            if each.device == issued.device and each.nkey != issued.nkey and each.until > time.time():
                yield each

    def _check_device(self, request: EnrolDevice, state: account.State) -> None:
        public = _devices(request, state).get(request.device)
        if public is None:
            raise UnknownDevice
        verify_device_enrolment(
            unb64(public),
            unb64(request.signature or ""),
            self._home,
            request.account,
            request.device,
            request.nkey,
            unb64(request.answer),
            unb64(request.nonce or ""),
        )

    def _check_login(self, request: EnrolLogin, state: account.State) -> None:
        public = state.logins.get(request.purpose)
        try:
            verify_login_enrolment(
                unb64(public) if public else NOBODY,
                unb64(request.proof or ""),
                self._home,
                request.account,
                request.purpose,
                request.nkey,
                unb64(request.answer),
                unb64(request.nonce or ""),
            )
        except Malformed:
            raise BadLogin from None

    def _revoke_gone(self, account_id: str) -> bool:
        """Note as revoked what was issued to devices that are not in the chain; whether there was any."""
        state = account_of(self._store, account_id)
        devices = state.head.devices if state.head and not state.closed else {}
        gone = [
            issued
            for issued in self._store.issued_to(account_id)
            if issued.device and issued.device not in devices  # those of a login end by themselves, and soon
        ]
        if gone:
            self._store.keep_issued([_revoked(issued) for issued in gone])
        return bool(gone)

    def _bucket(self, account_id: str) -> Bucket:
        bucket = self._each.pop(account_id, None) or Bucket(*EACH)
        self._each[account_id] = bucket
        while len(self._each) > ACCOUNTS:
            self._each.popitem(last=False)
        return bucket

    def _check_fresh(self, request: EnrolDevice | EnrolLogin) -> None:
        nonce = request.nonce or ""
        expires = unb64(nonce)[:6]
        ours = hmac.compare_digest(nonce, self._nonce(request.account, expires))
        if not ours or int.from_bytes(expires, "big") < time.time():
            raise StaleNonce

    def _nonce(self, account_id: str, expires: bytes = b"") -> str:
        """Good for one account and a while, and more often than once: what comes of a repeat is sealed as before."""
        expires = expires or (int(time.time()) + NONCE_LIFE).to_bytes(6, "big")
        stem = lp(b"privity/v1/enrol/nonce", account_id.encode(), expires)
        return b64(expires + hmac.digest(self._nonce_key, stem, "sha256")[:16])


def read_request(subject: str, data: bytes) -> EnrolDevice | EnrolLogin:
    """The request that came on a subject.

    Raises:
        TooLarge, Malformed: it is none.
    """
    if len(data) > MAX_REQUEST:
        raise TooLarge
    codecs: dict[str, TypeAdapter[EnrolDevice] | TypeAdapter[EnrolLogin]] = {
        EnrolDevice.subject: enrol_device,
        EnrolLogin.subject: enrol_login,
    }
    if subject not in codecs:
        raise Malformed("one enrols as a device or by login")
    try:
        return codecs[subject].validate_json(data)
    except ValidationError as error:
        raise Malformed(explain(error)) from None


def account_of(store: EventStore, id: str) -> account.State:
    """The account as the store has it now: what is cached for decisions may be older."""
    state = account.State()
    for stored in store.read(stream_of("account", id)):
        account.evolve(state, to_positioned(stored).event)
    return state


def _devices(request: EnrolDevice, state: account.State) -> Mapping[str, str]:
    """The devices of the account's newest record; of one that is not registered yet, those of the chain shown."""
    if state.head is not None:
        return state.head.devices
    if state.closed or not request.chain:
        return {}
    identity = verify_chain([to_signed(each) for each in request.chain])
    if identity.account != request.account:
        raise UnknownDevice
    return {device: b64(public) for device, public in identity.devices.items()}


def _revoked(issued: Issued) -> Issued:
    return Issued(issued.nkey, issued.account, issued.device, issued.until, revoked=True)
