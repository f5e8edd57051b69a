"""Reads that matter: one event for reader, object and hour, on the evidence of the signed query and of nothing else."""

from datetime import timedelta

import pytest

from handlers.committer import Committer, Outcome
from handlers.intake import reply_of
from handlers.opening import Delivery
from infra.mapping import to_positioned
from infra.store import EventStore
from privity.agent.session import Signer, query_payload
from privity.crypto.command import frame, sign_login, unframe
from privity.crypto.enrolment import sign_login_enrolment
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, lp, new_id
from privity.messages import envelope
from privity.messages.base import Event
from privity.messages.enrolment import EnrolLogin, enrol_login
from privity.messages.reads import (
    RECORD_SUBJECT,
    KeyringFetched,
    KeyringRefused,
    ReadRequest,
    RecordKeyringFetched,
    RecordKeyringRefused,
    RecordShareFetched,
    ShareFetched,
    read_reply,
    read_request,
)
from privity.messages.views import Ask, AskFiles, AskItems, AskKeyring, AskShares
from tests.handlers.conftest import Clock, MakeCommitter
from tests.handlers.people import HOME, Citizen, Shared

NONCE = b64(b"a nonce of the backend")
NKEY, ANSWER = "U" + "A" * 55, b"a" * 32


class Told:
    """Ann's share for Bob, and what is recorded of reading it."""

    def __init__(self, committer: Committer) -> None:
        self.ann, self.bob = Citizen("ann@localhost"), Citizen("bob@localhost")
        self.login, self.recovery_login = SigningKey.generate(), SigningKey.generate()
        item = new_id()
        invitation = self.ann.invites(self.bob.address)
        told = [self.ann.registers(), self.bob.registers(login=b64(self.login.public))]
        told += [*self.ann.stores_key(), *self.bob.stores_key(), self.ann.adds(item)]
        told += [invitation.sent(), invitation.accepted(self.bob), invitation.confirmed()]
        self.share: Shared = invitation.shares(self.ann, self.bob, item)
        outcomes = committer.process([*told, self.share.created()])
        assert {outcome.result and outcome.result.status for outcome in outcomes} == {"accepted"}


@pytest.fixture
def told(committer: Committer) -> Told:
    return Told(committer)


def request(subject: str, data: bytes, **what: object) -> Delivery:
    """What the queries ask for, of a query on the wire."""
    signature, payload = unframe(data, 2, 10**6)
    said = read_request.dump_json(ReadRequest(subject, **what))  # type: ignore[arg-type]
    return Delivery(RECORD_SUBJECT, frame(signature, payload, said))


def fetched(by: Citizen | Signer, *shares: str, ask: Ask | None = None) -> Delivery:
    """A reader was given these shares."""
    signer = by if isinstance(by, Signer) else by.signer
    subject, data = signer.query(ask or AskShares(), None, 0)
    return request(subject, data, shares=shares)


def proof(account: str, key: SigningKey, became: str, purpose: str = "login", signed_for: str = "login") -> Delivery:
    """A keyring was given, or refused, for a proof by this key."""
    signature = sign_login(key, HOME.id, signed_for, b"a nonce of the backend")
    ask = AskKeyring(purpose=purpose, proof=b64(signature))  # type: ignore[arg-type]
    payload = query_payload(account, new_id(), ask, NONCE, 0)
    subject = envelope.query_subject(account, AskKeyring.view)
    return request(subject, frame(b"", payload), keyring=became)


def login(account: str, key: SigningKey, purpose: str = "login") -> Delivery:
    """A login was refused where credentials of the bus are issued."""
    about = (HOME.id, account, purpose, NKEY, ANSWER, b"a nonce")
    signature = sign_login_enrolment(key, *about)
    asked = EnrolLogin(1, account, purpose, NKEY, b64(ANSWER), b64(b"a nonce"), b64(signature))  # type: ignore[arg-type]
    said = read_request.dump_json(ReadRequest(EnrolLogin.subject, keyring="refused"))
    return Delivery(RECORD_SUBJECT, frame(b"", enrol_login.dump_json(asked), said))


def read_events(store: EventStore) -> list[Event]:
    """What is recorded of reads."""
    every = [to_positioned(stored).event for stored in store.after(0, 1000)]
    return [event for event in every if event.context == "reads"]


def codes(*outcomes: Outcome) -> list[str]:
    """Each outcome as the queries hear it."""
    return [read_reply.validate_json(reply_of(each)).code or "recorded" for each in outcomes]


def test_a_fetched_share_is_recorded_with_the_signed_query_as_its_evidence(
    committer: Committer, store: EventStore, told: Told, clock: Clock
) -> None:
    delivery = fetched(told.bob, told.share.id)
    (outcome,) = committer.process([delivery])
    assert read_reply.validate_json(reply_of(outcome)).at_hour == clock.now.replace(minute=0)
    (event,) = read_events(store)
    assert isinstance(event, ShareFetched)
    assert (event.share, event.owner, event.reader) == (told.share.id, told.ann.account, told.bob.account)
    signature, payload, _ = unframe(delivery.data, 3, 10**6)
    query = envelope.query_envelope.validate_json(payload)
    row = store.commands([(told.bob.account, query.id)])[told.bob.account, query.id]
    assert (row.payload, row.signature) == (payload, signature)
    assert row.subject == envelope.query_subject(told.bob.account, "shares")
    meta = to_positioned(store.after(store.head() - 1, 1)[0]).meta
    assert meta.digest == row.digest == digest(lp(row.subject.encode(), payload))
    assert (meta.actor, meta.device, meta.command) == (told.bob.account, told.bob.device_id, query.id)


def test_a_fetched_file_is_a_read_of_the_share_that_it_was_asked_of(
    committer: Committer, store: EventStore, told: Told
) -> None:
    other = fetched(told.bob, told.share.id, ask=AskFiles(of=new_id()))
    assert codes(*committer.process([other])) == ["Malformed"]
    assert read_events(store) == []
    assert codes(*committer.process([fetched(told.bob, told.share.id, ask=AskFiles(of=told.share.id))])) == ["recorded"]
    assert len(read_events(store)) == 1


def test_it_is_one_event_for_reader_object_and_hour(
    committer: Committer, store: EventStore, told: Told, clock: Clock
) -> None:
    again = [fetched(told.bob, told.share.id, told.share.id) for _ in range(3)]
    assert codes(*committer.process(again)) == ["recorded"] * 3
    assert codes(*committer.process([fetched(told.bob, told.share.id)])) == ["recorded"]
    assert len(read_events(store)) == 1
    clock.now += timedelta(hours=1)
    assert codes(*committer.process([fetched(told.bob, told.share.id)])) == ["recorded"]
    assert len(read_events(store)) == 2


def test_a_query_that_was_recorded_is_no_evidence_for_a_later_hour(
    committer: Committer, store: EventStore, told: Told, clock: Clock
) -> None:
    """Else who signed once could read for ever under one event."""
    once = fetched(told.bob, told.share.id)
    assert codes(*committer.process([once])) == ["recorded"]
    assert codes(*committer.process([once])) == ["recorded"], "in the same hour it changes nothing"
    clock.now += timedelta(hours=1)
    assert codes(*committer.process([once])) == ["CommandIdReused"]
    assert len(read_events(store)) == 1


def test_each_of_several_workers_records_it_once(workers: MakeCommitter, clock: Clock) -> None:
    one, other = workers(), workers()
    told = Told(one)
    for each in (one, other, one, other):
        assert codes(*each.process([fetched(told.bob, told.share.id)])) == ["recorded"]
    assert len(read_events(one._store)) == 1


def test_only_the_recipients_own_signature_bears_a_fetched_share(
    committer: Committer, store: EventStore, told: Told
) -> None:
    stranger = Signer(told.bob.account, told.bob.device_id, SigningKey.generate(), HOME.id)
    other_device = Signer(told.bob.account, new_id(), told.bob.device, HOME.id)
    outcomes = committer.process(
        [
            fetched(told.ann, told.share.id),
            fetched(stranger, told.share.id),
            fetched(other_device, told.share.id),
            fetched(told.bob, new_id()),
            fetched(told.bob, told.share.id, ask=AskItems()),
        ]
    )
    assert codes(*outcomes) == ["NotFound", "BadSignature", "UnknownDevice", "NotFound", "Malformed"]
    assert read_events(store) == []
    assert codes(*committer.process([fetched(told.bob, told.share.id)])) == ["recorded"]
    assert len(read_events(store)) == 1


def test_a_command_is_no_query_and_another_subject_is_another_query(committer: Committer, told: Told) -> None:
    subject, data = told.bob.signer.query(AskShares(), None, 0)
    other = envelope.query_subject(told.ann.account, "shares")
    swapped = subject.replace("shares", "spaces")
    command = told.bob.adds(new_id())
    signature, payload, *_ = unframe(command.data, 10, 10**6)
    outcomes = committer.process(
        [
            request(other, data, shares=(told.share.id,)),
            request(swapped, data, shares=(told.share.id,)),
            request(command.subject, frame(signature, payload), shares=(told.share.id,)),
            Delivery(RECORD_SUBJECT, b"no frame"),
            Delivery(RECORD_SUBJECT, frame(b"", b"{}", b"{}")),
        ]
    )
    assert codes(*outcomes) == ["Malformed", "BadSignature", "Malformed", "Malformed", "Malformed"]


def test_a_keyring_that_went_out_is_recorded_on_the_login_proof(
    committer: Committer, store: EventStore, told: Told, clock: Clock
) -> None:
    good = [proof(told.bob.account, told.login, "fetched") for _ in range(2)]
    assert codes(*committer.process(good)) == ["recorded"] * 2
    (event,) = read_events(store)
    assert isinstance(event, KeyringFetched)
    assert (event.account, event.purpose) == (told.bob.account, "login")
    wrong = [
        proof(told.bob.account, SigningKey.generate(), "fetched"),
        proof(told.bob.account, told.login, "fetched", purpose="recover"),
        proof(told.bob.account, told.login, "fetched", signed_for="recover"),
        proof(Citizen("nobody@localhost").account, told.login, "fetched"),
    ]
    assert codes(*committer.process(wrong)) == ["BadLogin"] * 4
    assert len(read_events(store)) == 1


def test_refused_logins_are_one_event_for_account_and_hour_however_many(
    committer: Committer, store: EventStore, told: Told, clock: Clock
) -> None:
    wrong = [proof(told.bob.account, SigningKey.generate(), "refused", purpose) for purpose in ["login", "recover"] * 5]
    assert codes(*committer.process(wrong)) == ["recorded"] * 10
    (event,) = read_events(store)
    assert isinstance(event, KeyringRefused)
    right = proof(told.bob.account, told.login, "refused")
    assert codes(*committer.process([right])) == ["Busy"], "the proof is good: the views are behind"
    nobody = proof(Citizen("nobody@localhost").account, told.login, "refused")
    assert codes(*committer.process([nobody])) == ["BadLogin"]
    assert len(read_events(store)) == 1


def test_a_login_that_was_refused_a_credential_is_the_same_event(
    committer: Committer, store: EventStore, told: Told, clock: Clock
) -> None:
    wrong = [login(told.bob.account, SigningKey.generate(), purpose) for purpose in ["login", "recover"] * 2]
    assert codes(*committer.process(wrong)) == ["recorded"] * 4
    assert codes(*committer.process([proof(told.bob.account, SigningKey.generate(), "refused")])) == ["recorded"]
    (event,) = read_events(store)
    assert isinstance(event, KeyringRefused)
    row = store.after(store.head() - 1, 1)[0]
    meta = to_positioned(row).meta
    assert store.commands([(meta.actor, meta.command)])[meta.actor, meta.command].subject == EnrolLogin.subject
    assert codes(*committer.process([login(told.bob.account, told.login)])) == ["Busy"]
    assert codes(*committer.process([login(Citizen("nobody@localhost").account, told.login)])) == ["BadLogin"]
    clock.now += timedelta(hours=1)
    assert codes(*committer.process([login(told.bob.account, SigningKey.generate())])) == ["recorded"]
    assert len(read_events(store)) == 2


def test_no_person_can_send_what_records_a_read(committer: Committer, store: EventStore, told: Told) -> None:
    for command in (
        RecordShareFetched(told.share.id),
        RecordKeyringFetched("login"),
        RecordKeyringRefused("login"),
    ):
        (outcome,) = committer.process([told.bob.says(command)])
        assert outcome.result is not None
        assert outcome.result.code == "UnknownCommand"
    assert read_events(store) == []
