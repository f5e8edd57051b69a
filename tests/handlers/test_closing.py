"""Closing accounts and erasing, decided by a real committer on a real store of each kind."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from handlers.committer import Committer
from handlers.opening import Delivery
from infra.log import Log
from infra.store import EventStore, open_store
from privity.crypto.command import sign_closing
from privity.encoding import b64, digest, sha256
from privity.messages.accounts import ChangePassphrase, CloseAccount, ExtendIdentity, Kdf
from privity.messages.envelope import Result
from privity.messages.invitations import DeclineInvitation
from privity.messages.items import RemoveItem
from privity.messages.keys import RemoveKeypair
from privity.messages.shares import RemoveShare
from tests.examples import key32
from tests.handlers.people import HOME, LOG, Citizen, to_record

ITEM = "i" * 26


@pytest.fixture
def store(each_store_url: str) -> Iterator[EventStore]:
    """SQLite and PostgreSQL."""
    with closing(open_store(each_store_url)) as opened:
        yield opened


@pytest.fixture
def committer(store: EventStore, clock: Any) -> Committer:
    return Committer(store, HOME, clock, Log(store, LOG, HOME.id))


@pytest.fixture
def bob(committer: Committer) -> Citizen:
    """Somebody with an account and a key."""
    citizen = Citizen("bob@localhost")
    committer.process([citizen.registers(), *citizen.stores_key()])
    return citizen


def results(committer: Committer, *deliveries: Delivery) -> list[Result]:
    """The results of one batch."""
    found = [outcome.result for outcome in committer.process(deliveries)]
    assert None not in found
    return [result for result in found if result is not None]


def codes(committer: Committer, *deliveries: Delivery) -> list[str | None]:
    """What each was refused for."""
    return [result.code for result in results(committer, *deliveries)]


def wraps_of(citizen: Citizen) -> list[str]:
    """The digests of an account's wrapped keys."""
    return [digest(f"{citizen.account} {name}".encode()) for name in ("kek", "kek for recovery", "identity")]


def test_after_closing_nothing_is_heard_of_the_account(committer: Committer, store: EventStore, ann: Citizen) -> None:
    assert codes(committer, *ann.stores_key(), ann.adds(ITEM)) == [None] * 3
    assert set(store.sealed(wraps_of(ann))) == set(wraps_of(ann))

    closes = ann.closes()
    (closed,) = results(committer, closes)

    assert [event.name for event in closed.events] == ["account-closed.v1", "sealed-erased.v1"]
    assert store.sealed(wraps_of(ann)) == {}
    record = ann.next_record({ann.device_id: ann.device.public})
    rewrap = ChangePassphrase(key32("new"), Kdf(64 * 1024, 3, 4), digest(b"wrap"))
    refused = [
        ann.adds("j" * 26),
        ann.says(RemoveItem(ITEM)),
        ann.says(ExtendIdentity(to_record(record))),
        ann.says(rewrap, b"wrap"),
        ann.closes(),
    ]
    assert codes(committer, *refused) == ["UnknownDevice"] * len(refused)
    assert codes(committer, ann.registers()) == ["ClosedAccount"]
    assert codes(committer, Citizen(ann.address).registers()) == ["AddressTaken"]
    assert results(committer, closes) == [closed], "the same command again gets what was recorded"


def test_in_the_very_batch_that_closes_the_account_the_rest_is_refused(
    committer: Committer, store: EventStore, ann: Citizen
) -> None:
    both = results(committer, ann.adds(ITEM), ann.closes(), ann.adds("j" * 26))
    assert [result.code for result in both] == [None, None, "UnknownDevice"]
    assert store.sealed([digest(f"{'j' * 26} 1 content".encode())]) == {}
    assert store.sealed([digest(f"{ITEM} 1 content".encode())]) != {}, "it was not removed before"


def test_a_device_alone_does_not_close_the_account(committer: Committer, store: EventStore, ann: Citizen) -> None:
    """Whoever stole its key could put the account beyond the recovery text."""
    head, bob = b64(ann.identity.head), Citizen("bob@localhost")
    signed = {
        "by the device": sign_closing(ann.device, HOME.id, ann.account, ann.identity.head),
        "for another account": sign_closing(ann.keys.sign, HOME.id, bob.account, ann.identity.head),
        "for another home": sign_closing(ann.keys.sign, "x" * 52, ann.account, ann.identity.head),
        "at another record": sign_closing(ann.keys.sign, HOME.id, ann.account, sha256(ann.chain[0].record)),
        "not at all": bytes(64),
    }
    tried = [ann.says(CloseAccount(head, b64(signature))) for signature in signed.values()]
    assert codes(committer, *tried) == ["BadSignature"] * len(signed)
    assert set(store.sealed(wraps_of(ann))) == set(wraps_of(ann))
    assert codes(committer, ann.closes()) == [None]


def test_what_was_signed_before_the_identity_went_on_closes_nothing(committer: Committer, ann: Citizen) -> None:
    earlier = ann.closes()
    assert codes(committer, ann.rotates(), earlier, ann.closes()) == [None, "StaleChain", None]


def test_the_open_invitations_of_a_closed_account_are_closed(committer: Committer, ann: Citizen, bob: Citizen) -> None:
    open_still, refused = ann.invites(bob.address), ann.invites(bob.address)
    assert codes(committer, *ann.stores_key(), open_still.sent(), refused.sent()) == [None] * 4
    assert codes(committer, ann.closes()) == [None]
    decline = bob.says(DeclineInvitation(refused.id, refused.token))
    wrong = bob.says(DeclineInvitation(refused.id, open_still.token))
    assert codes(committer, open_still.accepted(bob), decline, wrong) == ["InvitationClosed"] * 2 + ["BadToken"]


def test_erasing_a_share_and_a_key_takes_exactly_their_objects(
    committer: Committer, store: EventStore, ann: Citizen, bob: Citizen
) -> None:
    invitation = ann.invites(bob.address)
    told = [*ann.stores_key(), ann.adds(ITEM), invitation.sent(), invitation.accepted(bob), invitation.confirmed()]
    share = invitation.shares(ann, bob, ITEM)
    results(committer, *told, share.created(), share.claimed())
    before = objects(store)

    (ended,) = results(committer, bob.says(RemoveShare(share.id)))
    (removed,) = results(committer, ann.says(RemoveKeypair(ann.key_id)))

    erased = [digest_ for each in (ended, removed) for digest_ in digests_of(each)]
    assert len(erased) == 4 + 1
    assert objects(store) == before - set(erased)
    assert digest(f"{share.id} claimed, generation 1".encode()) in erased
    assert digest(f"{ann.account} private".encode()) in erased


def objects(store: EventStore) -> set[str]:
    """The digests that the commands of all people brought and that the store still holds."""
    named = set()
    for stored in store.after(0, 1000):
        named.update(word for word in stored.data.decode().split('"') if len(word) == 43)
    return set(store.sealed(sorted(named)))


def digests_of(result: Result) -> list[str]:
    """What a result says was erased."""
    return [
        each
        for event in result.events
        if event.name == "sealed-erased.v1"
        for each in json.loads(event.data)["event"]["digests"]
    ]
