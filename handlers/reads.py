"""Reads that matter: a request opened, its query verified anew, and decided as commands are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from domain import account, read, share
from domain.read import hour_of
from handlers.opening import Delivery, Unopened
from handlers.registry import Desk
from privity.crypto import labels
from privity.crypto.command import unframe, verify_login, verify_query
from privity.crypto.enrolment import login_ids, verify_login_enrolment
from privity.encoding import b32, digest, lp, sha256, unb64
from privity.errors import BadLogin, Busy, Malformed, Refusal, TooLarge, UnknownDevice
from privity.messages import envelope
from privity.messages.base import Command, Event
from privity.messages.catalog import explain
from privity.messages.enrolment import EnrolLogin, enrol_login
from privity.messages.envelope import QueryEnvelope
from privity.messages.reads import (
    KeyringFetched,
    KeyringRefused,
    Purpose,
    ReadRequest,
    RecordKeyringFetched,
    RecordKeyringRefused,
    RecordShareFetched,
    ShareFetched,
    read_request,
)
from privity.messages.views import AskFiles, AskKeyring, AskShares, AskSpaces

ID_BYTES = 16
PARTS = 3
MAX_EVIDENCE = 8 * 1024
"""Bytes of a query or login that is kept for ever: who asks could pad it."""
SHARE_VIEWS = (AskShares.view, AskSpaces.view, AskFiles.view)

Verify = Callable[[bytes], None]
"""Raises BadLogin where the proof is not that of a public key."""

_ask_keyring = TypeAdapter(AskKeyring)


@dataclass(frozen=True, slots=True)
class Asker:
    """Under which id something was asked, and by which device, as the asker says."""

    id: str
    device: str


@dataclass(frozen=True, slots=True)
class OpenedRead:
    """A well-formed request, with what it rests on: a query, or a login that asks for a credential of the bus.

    That is kept as its row in the store.
    """

    account: str
    subject: str
    envelope: Asker
    asked: QueryEnvelope | EnrolLogin
    request: ReadRequest
    payload: bytes
    signature: bytes
    digest: str
    sealed: dict[str, bytes] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Its place among the commands."""
        return self.account, self.envelope.id

    @property
    def view(self) -> str:
        """The view that was asked."""
        return self.subject.rpartition(".")[2]


def open_read(delivery: Delivery) -> OpenedRead:
    """Read one request; what it rests on is well-formed, but not yet believed.

    Raises:
        Unopened: with the refusal that says what is wrong.
    """
    try:
        parts = unframe(delivery.data, PARTS, envelope.MAX_MESSAGE)
        if len(parts) != PARTS:
            raise Malformed("a request is a signature, a query's envelope and what is to be recorded")
        signature, payload, said = parts
        if len(payload) > MAX_EVIDENCE:
            raise TooLarge(f"what is kept as evidence of a read may have {MAX_EVIDENCE} bytes")
        request = read_request.validate_json(said)
        asked, asker = _asked(request, payload)
    except ValidationError as error:
        raise Unopened(Malformed(explain(error)), "", "unreadable") from None
    except Refusal as refusal:
        raise Unopened(refusal, "", "unreadable") from None
    named = digest(lp(request.subject.encode(), payload))
    return OpenedRead(asked.account, request.subject, asker, asked, request, payload, signature, named)


def _asked(request: ReadRequest, payload: bytes) -> tuple[QueryEnvelope | EnrolLogin, Asker]:
    if request.subject == EnrolLogin.subject:
        return enrol_login.validate_json(payload), Asker(*login_ids(payload))
    query = envelope.query_envelope.validate_json(payload)
    expected = envelope.query_subject(query.account, AskKeyring.view if request.keyring else "")
    if not request.subject.startswith(expected) or request.subject.count(".") != expected.count("."):
        raise Malformed("the subject names another account or view than the query")
    return query, Asker(query.id, query.device)


def decide_read(opened: OpenedRead, desk: Desk) -> list[Event]:
    """What is new in a request: nothing, where all of it is recorded for this hour.

    Raises:
        BadSignature, UnknownDevice, BadLogin, Malformed: the query does not bear it out.
        Busy: what the views showed is behind what is recorded.
    """
    if opened.request.keyring is not None:
        return _keyring(opened, desk)
    if isinstance(opened.asked, EnrolLogin):
        raise Malformed("a login releases no share")
    _verify_device(opened, desk)
    if opened.view not in SHARE_VIEWS:
        raise Malformed("this view releases no share")
    events: list[Event] = []
    for id in dict.fromkeys(opened.request.shares):
        state = desk.load(share.State, id)
        _check_asked(opened, opened.asked, id, state)
        command = RecordShareFetched(id)
        events += _decide(command, ShareFetched, id, desk, owner=state.owner, recipient=state.recipient)
    return events


def _check_asked(opened: OpenedRead, query: QueryEnvelope, id: str, state: share.State) -> None:
    """Nobody is said to have read what they did not ask for."""
    asked = query.params
    if opened.view == AskFiles.view:
        if asked.get("of") != id:
            raise Malformed("the query does not ask for a file of this share")
        return
    named = id if opened.view == AskShares.view else state.space
    elsewhere = asked.get("connection") not in (None, state.connection)
    if not named.startswith(str(asked.get("id") or "")) or asked.get("direction") == "outgoing" or elsewhere:
        raise Malformed("the query does not ask for this share")


def read_id(event: type[Event], reader: str, object: str, hour: datetime) -> str:
    """The id of what is recorded once for reader, object and hour."""
    parts = (event.name, reader, object, hour.isoformat())
    return b32(sha256(lp(labels.READ, *(part.encode() for part in parts)))[:ID_BYTES])


def _verify_device(opened: OpenedRead, desk: Desk) -> None:
    head = desk.load(account.State, opened.account).head
    public = head.devices.get(opened.envelope.device) if head else None
    if public is None:
        raise UnknownDevice
    verify_query(unb64(public), opened.signature, desk.home.id, opened.subject, opened.payload)


def _keyring(opened: OpenedRead, desk: Desk) -> list[Event]:
    """Who gives a wrong proof is nobody known: all of them together are one event for the account and hour."""
    asked, became = opened.asked, opened.request.keyring
    purpose, verify = _enrolling(asked, desk) if isinstance(asked, EnrolLogin) else _asking(asked, desk)
    public = desk.load(account.State, opened.account).logins.get(purpose)
    if public is None or (became == "fetched" and isinstance(asked, EnrolLogin)):
        raise BadLogin
    try:
        verify(unb64(public))
    except BadLogin:
        if became == "fetched":
            raise
        return _decide(RecordKeyringRefused(purpose), KeyringRefused, "", desk)
    if became == "refused":
        raise Busy("the proof is good by now; try again")
    return _decide(RecordKeyringFetched(purpose), KeyringFetched, purpose, desk)


def _asking(query: QueryEnvelope, desk: Desk) -> tuple[Purpose, Verify]:
    try:
        ask = _ask_keyring.validate_python(query.params)
    except ValidationError as error:
        raise Malformed(explain(error)) from None
    proof, nonce = unb64(ask.proof), unb64(query.nonce or "")
    return ask.purpose, lambda public: verify_login(public, proof, desk.home.id, ask.purpose, nonce)


def _enrolling(asked: EnrolLogin, desk: Desk) -> tuple[Purpose, Verify]:
    about = (desk.home.id, asked.account, asked.purpose, asked.nkey, unb64(asked.answer), unb64(asked.nonce or ""))
    proof = unb64(asked.proof or "")
    return asked.purpose, lambda public: verify_login_enrolment(public, proof, *about)


def _decide(command: Command, event: type[Event], object: str, desk: Desk, **facts: str) -> list[Event]:
    id = read_id(event, desk.by.account, object, hour_of(desk.by.at))
    return read.decide(command, desk.load(read.State, id), desk.by, read=id, **facts)
