"""Enrolment decided on a real store: who gets a credential, who is refused one, and who loses it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from handlers.committer import Committer
from handlers.enrolment import ACCOUNTS, EACH, TOLD, Bucket, Enrolments
from infra.credentials import device_jwt
from infra.given import Given, write_given
from infra.store import EventStore
from privity.credential import USER, Nkey, jwt_claims
from privity.crypto.enrolment import ANSWER_SUITE, open_answer, sign_device_enrolment
from privity.crypto.kem import generate_keypair
from privity.encoding import b64, new_id, unb64
from privity.errors import RateLimited, Unreachable
from privity.messages.enrolment import EnrolDevice, Enrolled, enrol_device, enrolled
from privity.messages.fields import SignedRecord
from tests.handlers.people import HOME, Citizen, to_record
from tests.infra.buses import KEYS


@dataclass
class People:
    """The server, as far as it matters here: what it was told, and whether it is there."""

    store: EventStore
    away: bool = False
    revoked: list[set[str]] = field(default_factory=list)
    later: int = 0

    async def tell(self) -> None:
        """Take note of who is revoked."""
        if self.away:
            raise Unreachable
        self.revoked.append(set(self.store.revoked()))

    def tell_later(self) -> None:
        """Take note that it is to be told again."""
        self.later += 1


@dataclass
class Office:
    """The handler, and requests as they come over the bus."""

    enrolments: Enrolments
    people: People
    refused: list[bytes]

    async def ask(self, subject: str, data: bytes) -> Enrolled:
        """One request's answer."""
        return enrolled.validate_json(await self.enrolments.hear(SimpleNamespace(subject=subject, data=data)))  # type: ignore[arg-type]

    async def enrol(
        self,
        who: Citizen,
        nkey: Nkey,
        chain: tuple[SignedRecord, ...] = (),
        *,
        device: str = "",
        bend: Callable[[EnrolDevice], EnrolDevice] = lambda request: request,
    ) -> Enrolled:
        """As an agent does: first for the nonce, then for good; a JWT that comes is that device's."""
        answer, pair, nonce = None, generate_keypair(ANSWER_SUITE), None
        device = device or who.device_id
        for _ in range(2):
            signature = sign_device_enrolment(
                who.device, HOME.id, who.account, device, nkey.public, pair.public, unb64(nonce or "")
            )
            request = EnrolDevice(1, who.account, device, nkey.public, b64(pair.public), nonce, b64(signature), chain)
            answer = await self.ask(EnrolDevice.subject, enrol_device.dump_json(bend(request)))
            nonce = answer.nonce
        assert answer is not None
        if answer.sealed:
            claims = jwt_claims(open_answer(pair, unb64(answer.sealed), HOME.id, who.account, nkey.public))
            assert (claims["name"], claims["sub"]) == (who.account, nkey.public)
        return answer

    async def hears(self, who: Citizen, event: str = "identity-extended") -> list[str]:
        """An event of the account comes over the bus; what became of the message."""
        became: list[str] = []

        async def ack() -> None:
            became.append("acked")

        async def nak(delay: float) -> None:
            became.append("again")

        subject = f"privity.evt.accounts.{event}.account-{who.account}"
        await self.enrolments.happened(SimpleNamespace(subject=subject, ack=ack, nak=nak))  # type: ignore[arg-type]
        return became


@pytest.fixture
def office(store: EventStore) -> Office:
    people, refused = People(store), []

    async def note(request: bytes) -> None:
        refused.append(request)

    enrolments = Enrolments(store, HOME.id, b"n" * 32, partial(device_jwt, KEYS), people, note)
    return Office(enrolments, people, refused)


@pytest.fixture
def ann(committer: Committer) -> Citizen:
    """Somebody with an account."""
    citizen = Citizen("ann@localhost")
    committer.process([citizen.registers()])
    return citizen


@pytest.fixture
def nkey() -> Nkey:
    return Nkey.generate(USER)


async def test_a_device_of_the_chain_gets_one_and_a_longer_one_when_it_asks_again(
    office: Office, ann: Citizen, nkey: Nkey, store: EventStore
) -> None:
    assert [(await office.enrol(ann, nkey)).status for _ in range(2)] == ["ok", "ok"]
    (kept,) = store.issued_to(ann.account)
    assert (kept.nkey, kept.device, kept.revoked) == (nkey.public, ann.device_id, False)


async def test_an_account_that_is_not_there_yet_shows_its_chain(office: Office, nkey: Nkey) -> None:
    new, other = Citizen("new@localhost"), Citizen("other@localhost")
    chain = tuple(to_record(each) for each in new.chain)
    assert (await office.enrol(new, nkey)).code == "UnknownDevice"
    assert (await office.enrol(new, nkey, tuple(to_record(each) for each in other.chain))).code == "UnknownDevice"
    assert (await office.enrol(new, nkey, chain[:1])).code == "UnknownDevice"
    assert (await office.enrol(new, nkey, (chain[0], to_record(other.chain[1])))).code == "ForgedRecord"
    assert (await office.enrol(new, nkey, chain)).status == "ok"


async def test_a_registered_account_counts_as_it_is_recorded_whatever_chain_is_shown(
    office: Office, ann: Citizen, nkey: Nkey, committer: Committer
) -> None:
    early = tuple(to_record(each) for each in ann.chain)
    committer.process([ann.extends({})])
    assert (await office.enrol(ann, nkey, early)).code == "UnknownDevice"


async def test_what_is_bent_is_refused(office: Office, ann: Citizen, nkey: Nkey) -> None:
    other = Nkey.generate(USER).public
    for bend in (
        lambda request: replace(request, nkey=other),
        lambda request: replace(request, answer=b64(generate_keypair(ANSWER_SUITE).public)),
        lambda request: replace(request, signature=b64(bytes(64))),
    ):
        assert (await office.enrol(ann, nkey, bend=bend)).code == "BadSignature"
    assert (await office.enrol(ann, nkey, device=new_id())).code == "UnknownDevice"
    for data in (b"", b"{}", b"[" * 10_000, b'{"v":1,"account":"' + ann.account.encode() + b'"}'):
        assert (await office.ask(EnrolDevice.subject, data)).code == "Malformed"
    assert (await office.ask("privity.enrol.anything", b"{}")).code == "Malformed"
    assert (await office.ask(EnrolDevice.subject, b"x" * 61 * 1024)).code == "TooLarge"
    assert (await office.enrol(ann, nkey)).status == "ok"


async def test_a_nonce_is_for_one_account_and_a_while(
    office: Office, ann: Citizen, nkey: Nkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = office.enrolments._nonce("another-account")
    for nonce in (foreign, "", "AAAA", b64(bytes(22))):
        answer = await office.enrol(ann, nkey, bend=lambda request, nonce=nonce: replace(request, nonce=nonce))  # type: ignore[misc]
        assert answer.code == "StaleNonce"
    late = office.enrolments._nonce(ann.account, (1).to_bytes(6, "big"))
    assert (await office.enrol(ann, nkey, bend=lambda request: replace(request, nonce=late))).code == "StaleNonce"


async def test_nobody_takes_anothers_nkey(office: Office, ann: Citizen, nkey: Nkey, committer: Committer) -> None:
    """Else one could have another's connection cut, by revoking a device of one's own."""
    eve = Citizen("eve@localhost")
    committer.process([eve.registers()])
    assert (await office.enrol(ann, nkey)).status == "ok"
    assert (await office.enrol(eve, nkey)).code == "AlreadyExists"
    assert (await office.enrol(eve, Nkey.generate(USER))).status == "ok"


async def test_n8_who_left_the_chain_is_revoked_and_enrols_no_more(
    office: Office, ann: Citizen, nkey: Nkey, committer: Committer
) -> None:
    await office.enrol(ann, nkey)
    assert await office.hears(ann) == ["acked"]
    assert office.people.revoked == []
    committer.process([ann.extends({})])
    assert await office.hears(ann) == ["acked"]
    assert office.people.revoked == [{nkey.public}]
    assert (await office.enrol(ann, nkey)).code == "UnknownDevice"


async def test_n8_a_revocation_is_tried_until_the_server_has_it(
    office: Office, ann: Citizen, nkey: Nkey, committer: Committer
) -> None:
    await office.enrol(ann, nkey)
    committer.process([ann.extends({})])
    office.people.away = True
    assert await office.hears(ann) == ["again"]
    office.people.away = False
    assert await office.hears(ann) == ["acked"]
    assert office.people.revoked == [{nkey.public}]


async def test_n8_what_the_operator_took_back_is_told_again_when_the_server_did_not_take_it(
    office: Office, nkey: Nkey
) -> None:
    given = Given("supplier", "a" * 52, "attic", nkey.public, int(time.time()) + 1000, revoked=True)
    message: Any = SimpleNamespace(data=write_given([given]))
    office.people.away = True
    assert (await office.enrolments.taken_back(message), office.people.later) == (b"", 1)
    office.people.away = False
    assert (await office.enrolments.taken_back(message), office.people.later) == (TOLD, 1)
    assert office.people.revoked == [{nkey.public}]
    assert await office.enrolments.taken_back(SimpleNamespace(data=b"?")) == b""  # type: ignore[arg-type]
    assert office.people.later == 1


async def test_n8_a_device_that_leaves_while_it_enrols_gets_nothing(
    office: Office, ann: Citizen, nkey: Nkey, committer: Committer, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its revocation came too early to see what was issued; the issuing sees that the device has left."""
    keep = store.keep_issued

    def meanwhile(issued: object) -> None:
        monkeypatch.undo()
        committer.process([ann.extends({})])
        keep(issued)  # type: ignore[arg-type]

    monkeypatch.setattr(EventStore, "keep_issued", lambda _store, issued: meanwhile(issued))
    assert (await office.enrol(ann, nkey)).code == "UnknownDevice"
    assert set(store.revoked()) == {nkey.public}


async def test_a_closed_account_has_no_credential_left(
    office: Office, ann: Citizen, nkey: Nkey, committer: Committer
) -> None:
    await office.enrol(ann, nkey)
    committer.process([ann.closes()])
    assert await office.hears(ann, "account-closed") == ["acked"]
    assert office.people.revoked == [{nkey.public}]
    chain = tuple(to_record(each) for each in ann.chain)
    assert (await office.enrol(ann, nkey, chain)).code == "UnknownDevice"


async def test_u8_one_account_gets_so_many_and_takes_nothing_from_others(
    office: Office, ann: Citizen, nkey: Nkey, committer: Committer
) -> None:
    bob = Citizen("bob@localhost")
    committer.process([bob.registers()])
    codes = [(await office.enrol(ann, nkey)).code for _ in range(EACH[1] + 2)]
    assert codes[: EACH[1]] == [None] * EACH[1]
    assert codes[-1] == "RateLimited"
    assert (await office.enrol(bob, Nkey.generate(USER))).status == "ok"


async def test_u8_strangers_use_up_their_own_tries_alone(office: Office, ann: Citizen, nkey: Nkey) -> None:
    office.enrolments._strangers = Bucket(0, 1)
    stranger = Citizen("eve@localhost")
    codes = [(await office.enrol(stranger, nkey)).code for _ in range(3)]
    assert codes == ["UnknownDevice", "RateLimited", "RateLimited"]
    assert (await office.enrol(ann, nkey)).status == "ok"


def test_a_bucket_fills_again_with_time_and_never_beyond_its_brim() -> None:
    now = [0.0]
    bucket = Bucket(2, 3, lambda: now[0])
    for seconds, tokens in ((0.0, 3), (1.0, 2), (1000.0, 3)):
        now[0] += seconds
        for _ in range(tokens):
            bucket.take()
        with pytest.raises(RateLimited):
            bucket.take()


def test_the_buckets_of_the_least_active_are_forgotten(office: Office) -> None:
    for number in range(ACCOUNTS + 10):
        office.enrolments._bucket(str(number))
    assert len(office.enrolments._each) == ACCOUNTS


async def test_events_that_take_no_device_out_are_passed_over(
    office: Office, ann: Citizen, nkey: Nkey, committer: Committer
) -> None:
    await office.enrol(ann, nkey)
    committer.process([ann.extends({})])
    assert await office.hears(ann, "passphrase-changed") == ["acked"]
    assert office.people.revoked == []
