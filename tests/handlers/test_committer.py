"""The committer on a real store: a batch in, an outcome for each delivery, and everything on disk or nothing."""

import base64
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import fields, replace
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain import account
from domain import item as item_
from handlers import committer as committer_module
from handlers import opening
from handlers.committer import ATTEMPTS_ON_POISON, Committer, Outcome
from handlers.opening import Delivery
from handlers.registry import HANDLERS, Desk
from infra.log import Log
from infra.mapping import to_positioned
from infra.store import Batch, EventStore, Written, open_store
from privity.crypto import identity
from privity.crypto.command import frame, unframe
from privity.crypto.log import Checkpoint, entry, read_checkpoint
from privity.crypto.merkle import EMPTY_ROOT, Frontier, leaf_hash, verify_consistency, verify_inclusion
from privity.crypto.signing import SigningKey
from privity.encoding import digest, lp, new_id, unb64
from privity.errors import StoreConflict, StoreUnavailable
from privity.messages import envelope, reads
from privity.messages.accounts import AccountRegistered
from privity.messages.base import Event
from privity.messages.catalog import COMMANDS, EVENTS
from privity.messages.connections import RemoveConnection
from privity.messages.envelope import Result
from privity.messages.invitations import ConnectionInvited
from privity.messages.items import AddItem, ItemAdded, ItemEdited, RemoveItem
from privity.messages.keys import StoreKeypair
from tests.examples import LATER, NOW, example
from tests.handlers.conftest import Clock, MakeCommitter
from tests.handlers.people import HOME, LOG, Citizen
from tests.handlers.story import tell


def results(outcomes: Iterable[Outcome]) -> list[Result]:
    """The results of deliveries that all have one, without receipts: a repeat's is under a newer checkpoint."""
    return [replace(outcome.result, receipt=None) for outcome in outcomes if outcome.result is not None]


def statuses(outcomes: Iterable[Outcome]) -> list[str]:
    """Each outcome in a word: accepted, ignored, the code of a refusal, or `again` for one to be delivered again."""
    return ["again" if each.result is None else each.result.code or each.result.status for each in outcomes]


def parts(delivery: Delivery) -> list[bytes]:
    """Signature, payload, sealed objects."""
    return unframe(delivery.data, 100, 10**8)


def resigned(citizen: Citizen, delivery: Delivery, subject: str | None = None, **changes: object) -> Delivery:
    """The same envelope with some fields changed, rightly signed."""
    _, payload, *sealed = parts(delivery)
    bent = json.dumps(json.loads(payload) | changes).encode()
    return signed(citizen, subject or delivery.subject, bent, *sealed)


def signed(citizen: Citizen, subject: str, payload: bytes, *sealed: bytes) -> Delivery:
    """Any payload, rightly signed."""
    signature = citizen.device.sign(b"privity/v1/command", HOME.id.encode(), subject.encode(), payload)
    return Delivery(subject, frame(signature, payload, *sealed))


def command_id(delivery: Delivery) -> str:
    return str(json.loads(parts(delivery)[1])["id"])


def happened(store: EventStore) -> list[Event]:
    """All events, in the store's order."""
    return [to_positioned(stored).event for stored in store.after(0, 10_000)]


def added(store: EventStore) -> list[str]:
    return [event.item for event in happened(store) if isinstance(event, ItemAdded)]


def test_the_signature_that_these_tests_make_is_the_agents_own(ann: Citizen) -> None:
    delivery = ann.adds(new_id())
    assert resigned(ann, delivery) == replace(delivery, data=resigned(ann, delivery).data)
    _, payload, *sealed = parts(delivery)
    assert signed(ann, delivery.subject, payload, *sealed) == delivery


# A batch, in order.


def test_a_whole_story_in_one_batch_or_command_by_command_gives_the_same_events(
    workers: MakeCommitter, each_store_url: str, committer: Committer, store: EventStore
) -> None:
    story = tell()
    assert set(statuses(workers().process(story.deliveries))) == {"accepted"}
    for delivery in story.deliveries:
        assert statuses(committer.process([delivery])) == ["accepted"]
    with closing(open_store(each_store_url)) as other:
        together = [(stored.stream, stored.version, stored.name, stored.data) for stored in other.after(0, 1000)]
    assert [(stored.stream, stored.version, stored.name, stored.data) for stored in store.after(0, 1000)] == together
    assert {event.name for event in happened(store)} == set(EVENTS) - {event.name for event in reads.EVENTS}


def test_commands_are_decided_in_order_and_their_events_stand_in_that_order(
    committer: Committer, store: EventStore, ann: Citizen
) -> None:
    items = [new_id() for _ in range(20)]
    outcomes = committer.process([ann.adds(item) for item in items])
    assert added(store) == items
    positions = [result.position for result in results(outcomes)]
    assert positions == sorted(set(positions))
    assert [stored.position for stored in store.after(0, 100)][-20:] == positions


def test_a_result_holds_the_exact_stored_bytes(committer: Committer, store: EventStore, ann: Citizen) -> None:
    delivery = ann.adds(new_id())
    (result,) = results(committer.process([delivery]))
    (stored,) = store.after(result.position - 1, 1)
    (event,) = result.events
    assert (event.position, event.stream, event.version, event.name) == (
        stored.position, stored.stream, stored.version, "item-added.v1",
    )  # fmt: skip
    assert event.data.encode() == stored.data
    _, payload, *_ = parts(delivery)
    assert to_positioned(stored).meta.digest == digest(lp(delivery.subject.encode(), payload))


def test_neighbours_in_a_batch_see_each_other(committer: Committer, store: EventStore, ann: Citizen) -> None:
    item = new_id()
    batch = [ann.adds(item), ann.adds(item, 2), ann.adds(item, 4), ann.adds(item, 3), ann.adds(item)]
    removal, again = ann.says(RemoveItem(item)), ann.says(RemoveItem(item))
    outcomes = committer.process([*batch, removal, again, ann.adds(item, 4)])
    assert statuses(outcomes) == [
        "accepted", "accepted", "StaleVersion", "accepted", "AlreadyExists", "accepted", "ignored", "NotFound",
    ]  # fmt: skip
    assert [stored.version for stored in store.read(f"item-{item}")] == [1, 2, 3, 4]


def test_a_new_account_acts_in_the_batch_that_made_it(committer: Committer) -> None:
    bob = Citizen("bob@localhost")
    assert statuses(committer.process([bob.registers(), bob.adds(new_id())])) == ["accepted", "accepted"]


def test_the_backends_clock_counts_and_not_the_senders(
    committer: Committer, store: EventStore, clock: Clock, ann: Citizen
) -> None:
    ann_invites = ann.invites("bob@localhost")
    clock.now = LATER
    late = resigned(ann, ann_invites.sent(), issued_at=NOW.isoformat())
    assert statuses(committer.process([*ann.stores_key(), late])) == ["accepted", "accepted", "InvitationExpired"]
    clock.now = LATER - timedelta(seconds=1)
    assert statuses(committer.process([ann_invites.sent()])) == ["accepted"]
    last = to_positioned(store.after(store.head() - 1, 1)[0])
    assert isinstance(last.event, ConnectionInvited)
    assert last.meta.at == clock.now


# Once, for ever.


def test_f8_a_duplicate_in_one_batch_and_later_and_after_a_restart_has_the_same_result(
    committer: Committer, store: EventStore, clock: Clock, ann: Citizen
) -> None:
    delivery = ann.adds(new_id())
    first, second = results(committer.process([delivery, delivery]))
    (third,) = results(committer.process([delivery]))
    clock.now = LATER
    (fourth,), (fifth,) = (results(Committer(store, HOME, clock).process([delivery])) for _ in range(2))
    assert first.status == "accepted"
    assert first == second == third == fourth == fifth
    assert len(added(store)) == 1


def test_f8_refused_and_ignored_commands_repeat_as_they_were_recorded(
    committer: Committer, store: EventStore, ann: Citizen
) -> None:
    item = new_id()
    removal, early = ann.says(RemoveItem(item)), ann.adds(item, 2)
    outcomes = committer.process([early, ann.adds(item), ann.says(RemoveItem(item)), removal])
    assert statuses(outcomes) == ["NotFound", "accepted", "accepted", "ignored"]
    again = committer.process([removal, early])
    assert results(again) == [results(outcomes)[3], results(outcomes)[0]]
    row = store.commands([(ann.account, command_id(early))])[ann.account, command_id(early)]
    assert (row.status, row.code, row.message) == ("refused", "NotFound", "there is no such item")
    assert row.events == ()


def test_the_sealed_objects_of_a_refused_command_are_not_kept(
    committer: Committer, store: EventStore, ann: Citizen
) -> None:
    early, right = ann.adds(new_id(), 2), ann.adds(new_id())
    committer.process([early, right])
    for delivery, kept in ((early, False), (right, True)):
        names = [digest(blob) for blob in parts(delivery)[2:]]
        assert (set(store.sealed(names)) == set(names)) is kept


def test_f8_an_id_is_not_used_for_another_command(committer: Committer, store: EventStore, ann: Citizen) -> None:
    first, other = ann.adds(new_id()), ann.adds(new_id())
    reused = resigned(ann, other, id=command_id(first))
    assert statuses(committer.process([first, reused])) == ["accepted", "CommandIdReused"]
    assert statuses(committer.process([reused, first])) == ["CommandIdReused", "accepted"]
    assert len(added(store)) == 1


def test_two_people_may_use_the_same_id(committer: Committer, store: EventStore, ann: Citizen, eve: Citizen) -> None:
    first = ann.adds(new_id())
    same_id = resigned(eve, eve.adds(new_id()), id=command_id(first))
    assert statuses(committer.process([first, same_id])) == ["accepted", "accepted"]
    assert len(added(store)) == 2


def test_who_did_not_sign_learns_nothing_of_a_recorded_id(committer: Committer, ann: Citizen, eve: Citizen) -> None:
    first, other = ann.adds(new_id()), ann.adds(new_id())
    committer.process([first])
    stolen = resigned(eve, other, id=command_id(first))
    assert statuses(committer.process([stolen])) == ["BadSignature"]


# In the log.


def believed(result: Result) -> Checkpoint:
    """The checkpoint of a receipt that proves each of the result's events, as a sender checks it."""
    assert result.receipt is not None
    checkpoint = read_checkpoint(result.receipt.checkpoint, LOG.public, HOME.id)
    assert len(result.events) == len(result.receipt.proofs) > 0
    for event, proof in zip(result.events, result.receipt.proofs, strict=True):
        leaf = leaf_hash(entry(event.position, event.stream, event.version, event.name, event.data.encode()))
        verify_inclusion(leaf, event.position - 1, checkpoint.size, [unb64(each) for each in proof], checkpoint.root)
    return checkpoint


def roots(store: EventStore) -> list[bytes]:
    """The root of every size that the log ever had, from the events alone."""
    frontier, found = Frontier(), [EMPTY_ROOT]
    for event in store.after(0, 10_000):
        frontier.append(leaf_hash(entry(event.position, event.stream, event.version, event.name, event.data)))
        found.append(frontier.root())
    return found


def test_every_accepted_result_carries_its_receipt_and_no_other_does(workers: MakeCommitter) -> None:
    committer, story = workers(), tell()
    whole = [outcome.result for outcome in committer.process(story.deliveries)]
    sizes = {believed(result).size for result in whole if result}
    assert sizes == {max(result.position for result in whole if result)}
    item = new_id()
    outcomes = committer.process(
        [story.ann.adds(item), story.ann.adds(item), story.ann.adds(new_id(), 2), story.ann.says(RemoveItem(item))]
    )
    first, twice, early, removed = (outcome.result for outcome in outcomes)
    assert first
    assert twice
    assert early
    assert removed
    assert (twice.receipt, early.receipt) == (None, None)
    assert believed(first) == believed(removed)
    assert believed(first).size == removed.position > first.position


def test_a_repeat_has_a_receipt_of_its_own_under_a_newer_checkpoint(committer: Committer, ann: Citizen) -> None:
    delivery, other = ann.adds(new_id()), ann.adds(new_id())
    (first,) = committer.process([delivery])
    again, _ = committer.process([delivery, other])
    (last,) = committer.process([delivery])
    assert first.result
    assert again.result
    assert last.result
    assert believed(first.result).size + 1 == believed(again.result).size == believed(last.result).size


def test_what_was_ignored_or_refused_before_has_no_receipt_when_it_is_repeated(
    committer: Committer, ann: Citizen
) -> None:
    item = new_id()
    deliveries = [ann.adds(item, 2), ann.adds(item), ann.says(RemoveItem(item)), ann.says(RemoveItem(item))]
    for outcomes in (committer.process(deliveries), committer.process(deliveries)):
        receipts = [outcome.result.receipt for outcome in outcomes if outcome.result]
        assert [receipt is None for receipt in receipts] == [True, False, False, True]


def test_without_a_log_there_are_no_receipts(store: EventStore, clock: Clock, ann: Citizen) -> None:
    (outcome,) = Committer(store, HOME, clock).process([ann.adds(new_id())])
    assert outcome.result
    assert (outcome.result.status, outcome.result.receipt) == ("accepted", None)


class Noting(SigningKey):
    """A log key that remembers what it signed."""

    notes: ClassVar[list[str]] = []

    def sign_note(self, text: bytes) -> bytes:
        self.notes.append(text.decode())
        return super().sign_note(text)


@pytest.fixture
def noting() -> Noting:
    Noting.notes.clear()
    return Noting.from_seed(LOG.seed)


@pytest.mark.parametrize("written", [False, True], ids=["nothing written", "reply lost"])
def test_f21_only_what_is_committed_is_signed_and_no_size_has_two_roots(
    store: EventStore, clock: Clock, ann: Citizen, noting: Noting, written: bool
) -> None:
    fails: list[tuple[type[Exception], bool]] = [(StoreUnavailable, written), (StoreConflict, False)]
    failing = Failing(store, fails)
    committer = Committer(failing, HOME, clock, Log(store, noting, HOME.id))  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        committer.process([ann.adds(new_id()), ann.adds(new_id())])
    assert noting.notes == []
    last = [outcome.result for outcome in committer.process([ann.adds(new_id()) for _ in range(5)])]
    assert len({believed(result).size for result in last if result}) == 5  # one by one, after the conflict
    committer.process([ann.adds(new_id()) for _ in range(5)])
    known = roots(store)
    assert len(noting.notes) == 6
    for note in noting.notes:
        _, size, root, _ = note.split("\n")
        assert base64.b64decode(root) == known[int(size)]


def test_f21_a_process_that_dies_between_append_and_checkpoint_leaves_one_history(
    store: EventStore, store_url: str, clock: Clock, committer: Committer, ann: Citizen
) -> None:
    class Dying(SigningKey):
        def sign_note(self, text: bytes) -> bytes:
            raise SystemExit(9)

    before = committer.process([ann.adds(new_id())])[0].result
    delivery = ann.adds(new_id())
    with closing(open_store(store_url)) as other, pytest.raises(SystemExit):
        Committer(other, HOME, clock, Log(other, Dying.from_seed(LOG.seed), HOME.id)).process([delivery])
    (outcome,) = committer.process([delivery])
    assert before
    assert outcome.result
    assert outcome.result.position == before.position + 1 == store.head()
    old, new = believed(before), believed(outcome.result)
    assert (new.size, new.root) == (store.head(), roots(store)[-1])
    proof = Log(store, LOG, HOME.id).consistency(old.size, new.size)
    verify_consistency(old.size, old.root, new.size, new.root, proof)


# Erased.


def test_what_an_event_erases_leaves_the_store_with_it(committer: Committer, store: EventStore, ann: Citizen) -> None:
    item = new_id()
    old, new = ann.adds(item), ann.adds(item, 2)
    first, second = ([digest(blob) for blob in parts(each)[2:]] for each in (old, new))
    committer.process([old])
    assert set(store.sealed(first + second)) == set(first)
    assert statuses(committer.process([new])) == ["accepted"]
    assert set(store.sealed(first + second)) == set(second)
    assert statuses(committer.process([ann.says(RemoveItem(item)), new, old])) == ["accepted"] * 3
    assert store.sealed(first + second) == {}


def test_s20_whoever_brings_a_copy_and_lets_go_of_it_erases_nobody_elses(
    committer: Committer, store: EventStore, ann: Citizen, eve: Citizen
) -> None:
    item, copied = new_id(), new_id()
    original = ann.adds(item)
    _, _, content, wrap = parts(original)
    names = [digest(content), digest(wrap)]
    copy = eve.says(AddItem(copied, *names), content, wrap)
    assert statuses(committer.process([original, copy])) == ["accepted", "accepted"]
    assert statuses(committer.process([eve.says(RemoveItem(copied))])) == ["accepted"]
    assert set(store.sealed(names)) == set(names)
    assert statuses(committer.process([ann.says(RemoveItem(item))])) == ["accepted"]
    assert store.sealed(names) == {}


# Who may.


def test_a_signature_fits_one_payload_one_subject_and_one_sender(
    committer: Committer, store: EventStore, ann: Citizen, eve: Citizen
) -> None:
    right = ann.adds(new_id())
    signature, payload, *sealed = parts(right)
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    other = parts(ann.adds(new_id()))[0]
    by_eve = signed(eve, right.subject, payload, *sealed)
    wrong = [frame(each, payload, *sealed) for each in (flipped, other, b"", b"s" * 64)]
    outcomes = committer.process([*(Delivery(right.subject, data) for data in wrong), by_eve])
    assert statuses(outcomes) == ["BadSignature"] * 5
    for outcome in outcomes:
        assert outcome.dead is None
    assert store.commands([(ann.account, command_id(right))]) == {}
    assert statuses(committer.process([right])) == ["accepted"]


def test_a_signature_under_another_subject_does_not_count(committer: Committer, ann: Citizen) -> None:
    item = new_id()
    committer.process([ann.adds(item)])
    publish = example(COMMANDS["keys.publish"])
    signature, payload, *_ = parts(ann.says(publish))
    moved = Delivery(envelope.command_subject(ann.account, "shares.remove"), frame(signature, payload))
    assert statuses(committer.process([moved])) == ["Malformed"]
    claim = resigned(ann, ann.says(RemoveItem(item)))
    signature, payload, *_ = parts(claim)
    same_body = json.loads(payload)["body"]
    assert same_body == {"item": item}
    elsewhere = Delivery(envelope.command_subject(ann.account, "items.remove"), frame(signature, payload + b" "))
    assert statuses(committer.process([elsewhere])) == ["BadSignature"]


def test_an_unknown_device_or_account_is_refused_and_not_recorded(
    committer: Committer, store: EventStore, ann: Citizen
) -> None:
    stranger = Citizen("stranger@localhost")
    lost = Citizen("ann@localhost", device=SigningKey.generate())
    lost.account = ann.account
    deliveries = [stranger.adds(new_id()), lost.adds(new_id()), stranger.extends({})]
    assert statuses(committer.process(deliveries)) == ["UnknownDevice"] * 3
    assert not store.commands([(each.subject.split(".")[2], command_id(each)) for each in deliveries])


def test_a_device_acts_from_the_record_that_names_it_to_the_one_that_does_not(
    committer: Committer, ann: Citizen
) -> None:
    phone, phone_id = SigningKey.generate(), new_id()
    first = ann.device, ann.device_id
    came = ann.extends({ann.device_id: ann.device.public, phone_id: phone.public})
    ann.device, ann.device_id = phone, phone_id
    before, after = ann.adds(new_id()), ann.adds(new_id())
    assert statuses(committer.process([before, came, after])) == ["UnknownDevice", "accepted", "accepted"]
    went = ann.extends({first[1]: first[0].public})
    assert statuses(committer.process([went, ann.adds(new_id())])) == ["accepted", "UnknownDevice"]


def test_the_envelope_names_the_account_of_its_subject(committer: Committer, ann: Citizen, eve: Citizen) -> None:
    delivery = ann.adds(new_id())
    foreign = resigned(eve, delivery, account=eve.account)
    (outcome,) = committer.process([foreign])
    assert statuses([outcome]) == ["Malformed"]
    assert outcome.account == ann.account
    assert outcome.dead is not None


def test_an_account_is_the_hash_of_its_chain(committer: Committer, ann: Citizen) -> None:
    thief = Citizen("thief@localhost")
    thief.account = ann.account
    other = Citizen("other@localhost")
    other.account = Citizen("x@localhost").account
    assert statuses(committer.process([thief.registers(), other.registers()])) == ["BadSignature", "BadSignature"]


# What is no command.


def test_exactly_the_named_sealed_objects_come_along(committer: Committer, store: EventStore, ann: Citizen) -> None:
    right = ann.adds(new_id())
    signature, payload, content, wrap = parts(right)
    for sealed in ((content,), (), (content, wrap, b"more"), (content, content), (content, wrap + b"x")):
        (outcome,) = committer.process([Delivery(right.subject, frame(signature, payload, *sealed))])
        assert statuses([outcome]) == ["SealedMissing"]
        assert outcome.result is not None
        assert outcome.result.id == command_id(right)
    turned_round = Delivery(right.subject, frame(signature, payload, wrap, content))
    assert statuses(committer.process([turned_round])) == ["accepted"]
    assert store.sealed([digest(content), digest(wrap)]) == {digest(content): content, digest(wrap): wrap}


def test_what_is_too_large_is_refused_by_its_size_alone(committer: Committer, ann: Citizen) -> None:
    right = ann.adds(new_id())
    signature, payload, *sealed = parts(right)
    huge = [
        frame(signature, payload, b"x" * envelope.MAX_MESSAGE),
        frame(signature, payload + b" " * envelope.MAX_PAYLOAD, *sealed),
        frame(signature, payload, *[bytes([n]) for n in range(envelope.MAX_SEALED + 1)]),
    ]
    outcomes = committer.process([Delivery(right.subject, data) for data in huge] + [right])
    assert statuses(outcomes) == ["TooLarge", "TooLarge", "TooLarge", "accepted"]
    assert all(outcome.dead and outcome.dead.startswith("TooLarge: ") for outcome in outcomes[:3])


@pytest.mark.parametrize("name", ["items.lose", "items", "items.add.more", "*.>"])
def test_an_unknown_command_is_answered_and_parked(committer: Committer, ann: Citizen, name: str) -> None:
    delivery = ann.adds(new_id())
    _, payload, *sealed = parts(delivery)
    (outcome,) = committer.process([signed(ann, f"privity.cmd.{ann.account}.{name}", payload, *sealed)])
    assert statuses([outcome])[0] in ("UnknownCommand", "Malformed")
    assert outcome.dead is not None
    assert outcome.dead.startswith(statuses([outcome])[0])


@pytest.mark.parametrize(
    "data",
    [b"", b"7", b"{}", b"PVC1", b"PVC1\0\0\0", b"PVC2" + lp(b"", b""), frame(b"only a signature"), frame(b"", b""),
     frame(b"", b"[]"), frame(b"", b"[" * 100_000), frame(b"", b'{"v":1e999}'), frame(b"", b'"\\ud800"')],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_f10_what_cannot_be_read_is_answered_and_parked_and_the_next_ones_flow(
    committer: Committer, ann: Citizen, data: bytes
) -> None:
    subject = envelope.command_subject(ann.account, "items.add")
    bad, good = committer.process([Delivery(subject, data), ann.adds(new_id())])
    assert statuses([bad, good]) == ["Malformed", "accepted"]
    assert bad.dead is not None
    assert bad.dead.startswith("Malformed: ")
    assert bad.account == ann.account


@pytest.mark.parametrize(
    "changes",
    [{"v": 2}, {"id": "1"}, {"id": "x" * 5000}, {"more": 1}, {"body": None}, {"body": {}}, {"issued_at": "yesterday"},
     {"issued_at": "2026-01-01T00:00:00"}, {"device": "a\0b"}, {"checkpoint": 7}, {"account": None}],
    ids=str,
)  # fmt: skip
def test_a_bent_envelope_is_malformed_even_if_rightly_signed(
    committer: Committer, ann: Citizen, changes: dict[str, object]
) -> None:
    (outcome,) = committer.process([resigned(ann, ann.adds(new_id()), **changes)])
    assert statuses([outcome]) == ["Malformed"]
    assert outcome.dead is not None
    assert outcome.dead.isprintable()


FUZZ = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@FUZZ
@given(data=st.data())
def test_f10_whatever_bytes_come_there_is_one_of_our_outcomes(
    committer: Committer, store: EventStore, ann: Citizen, data: st.DataObject
) -> None:
    right = ann.adds(new_id())
    raw = bytearray(right.data)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    tokens = st.text(st.characters(codec="utf-8", exclude_characters=" \t\r\n"), min_size=1, max_size=8)
    subject = ".".join(data.draw(st.lists(tokens, min_size=1, max_size=6)))
    junk = [Delivery(right.subject, bytes(raw)), Delivery(right.subject, data.draw(st.binary(max_size=80)))]
    junk += [replace(right, data=right.data[: data.draw(st.integers(0, len(right.data) - 1))])]
    junk += [Delivery(subject, right.data)]
    head = store.head()
    for outcome in committer.process(junk):
        assert outcome.result is not None
        assert outcome.result.status == "refused" or outcome.result.id == command_id(right)
    assert store.head() in (head, head + 1)


@FUZZ
@given(data=st.data())
def test_whatever_fields_a_rightly_signed_command_has_there_is_one_of_our_outcomes(
    committer: Committer, store: EventStore, ann: Citizen, data: st.DataObject
) -> None:
    """Nothing that somebody signs may trip a handler, or make events that nobody can read."""
    type_ = data.draw(st.sampled_from([each for each in COMMANDS.values() if fields(each)]))
    body = json.loads(parts(ann.says(example(type_)))[1])["body"]
    known = [value for value in body.values() if isinstance(value, str)]
    for name in data.draw(st.lists(st.sampled_from(list(body)), max_size=2)):
        body[name] = data.draw(JUNK | st.sampled_from(known or [""]))
    sealed = [name.encode() for name in ("content", "wrap", "kek", "kek for recovery", "identity", "private", "note")]
    sealed += [b"owner's wrap", b"recipient's wrap", b"ann's note", b"bob's note"]
    names = {digest(blob): blob for blob in sealed}
    brought = (
        [names[value] for value in dict.fromkeys(body.values()) if isinstance(value, str) and value in names]
        if all(isinstance(value, (str, int, type(None))) for value in body.values())
        else []
    )
    envelope_ = json.loads(parts(ann.says(example(type_)))[1]) | {"body": body}
    subject = envelope.command_subject(ann.account, type_.subject)
    (outcome,) = committer.process([signed(ann, subject, json.dumps(envelope_).encode(), *brought)])
    assert outcome.result is not None
    assert len(happened(store)) == store.head()


# When something is wrong here.


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of an item over which the handler trips."""
    item, registered = new_id(), HANDLERS[AddItem]

    def trip(command: AddItem, desk: Desk) -> list[Event]:
        if command.item == item:
            raise KeyError("CANARY")
        return registered.handler(command, desk)

    monkeypatch.setitem(HANDLERS, AddItem, replace(registered, handler=trip))
    return item


def test_f10_who_trips_a_handler_holds_up_nobody_and_is_parked_in_the_end(
    committer: Committer, store: EventStore, ann: Citizen, eve: Citizen, poison: str
) -> None:
    bad = ann.adds(poison)
    others = [ann.adds(new_id()), eve.adds(new_id()), eve.adds(new_id())]
    assert statuses(committer.process([others[0], bad, *others[1:]])) == ["accepted", "again", "accepted", "accepted"]
    assert len(added(store)) == 3
    for attempt in range(2, ATTEMPTS_ON_POISON):
        assert statuses(committer.process([replace(bad, attempts=attempt)])) == ["again"]
    (last,) = committer.process([replace(bad, attempts=ATTEMPTS_ON_POISON)])
    assert statuses([last]) == ["Internal"]
    assert last.dead == f"Internal: KeyError after {ATTEMPTS_ON_POISON} attempts"
    assert "CANARY" not in str(last)
    assert not store.commands([(ann.account, command_id(bad))])


def test_f10_what_was_parked_is_accepted_when_the_fault_is_gone(
    committer: Committer, ann: Citizen, poison: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = ann.adds(poison)
    committer.process([replace(bad, attempts=ATTEMPTS_ON_POISON)])
    monkeypatch.undo()
    assert statuses(committer.process([bad])) == ["accepted"]


def test_f10_a_message_that_trips_even_its_reading_is_parked_in_the_end(
    committer: Committer, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = ann.adds(new_id()), ann.adds(new_id())

    def trip(delivery: Delivery) -> opening.Opened:
        if delivery.data == bad.data:
            raise RecursionError
        return opening.open_delivery(delivery)

    monkeypatch.setattr(committer_module, "open_delivery", trip)
    assert statuses(committer.process([bad, good])) == ["again", "accepted"]
    (last,) = committer.process([replace(bad, attempts=ATTEMPTS_ON_POISON)])
    assert last.dead == f"Internal: RecursionError after {ATTEMPTS_ON_POISON} attempts"


class Failing:
    """A store whose next appends fail as told: before anything was written, or with the reply lost."""

    def __init__(self, store: EventStore, failures: Sequence[tuple[type[Exception], bool]]) -> None:
        self._store = store
        self.failures = list(failures)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def write(self, batch: Batch) -> Written:
        """Write, or fail."""
        if not self.failures:
            return self._store.write(batch)
        error, written = self.failures.pop(0)
        if written:
            self._store.write(batch)
        raise error


@pytest.mark.parametrize("written", [False, True], ids=["nothing written", "reply lost"])
def test_when_the_store_fails_nothing_is_acknowledged_and_later_the_same_deliveries_work(
    store: EventStore, clock: Clock, ann: Citizen, written: bool
) -> None:
    failing = Failing(store, [(StoreUnavailable, written)])
    committer = Committer(failing, HOME, clock)  # type: ignore[arg-type]
    item = new_id()
    deliveries = [ann.adds(item), ann.adds(item, 2), ann.adds(item, 2)]
    with pytest.raises(StoreUnavailable):
        committer.process(deliveries)
    assert len(added(store)) == int(written)
    assert statuses(committer.process(deliveries)) == ["accepted", "accepted", "StaleVersion"]
    assert [stored.version for stored in store.read(f"item-{item}")] == [1, 2]


def test_when_the_store_fails_between_single_tries_what_was_done_is_found_again(
    store: EventStore, clock: Clock, ann: Citizen
) -> None:
    class Second(Failing):
        calls = 0

        def write(self, batch: Batch) -> Written:
            self.calls += 1
            if self.calls in (1, 3):
                raise StoreConflict if self.calls == 1 else StoreUnavailable
            return self._store.write(batch)

    committer = Committer(Second(store, []), HOME, clock)  # type: ignore[arg-type]
    deliveries = [ann.adds(new_id()) for _ in range(3)]
    with pytest.raises(StoreUnavailable):
        committer.process(deliveries)
    assert len(added(store)) == 1
    assert statuses(committer.process(deliveries)) == ["accepted"] * 3
    assert len(added(store)) == 3


def test_a_conflict_that_stays_leaves_the_command_to_be_delivered_again(
    store: EventStore, clock: Clock, ann: Citizen
) -> None:
    failing = Failing(store, [(StoreConflict, False)] * 4)
    committer = Committer(failing, HOME, clock)  # type: ignore[arg-type]
    delivery = ann.adds(new_id())
    assert statuses(committer.process([delivery])) == ["again"]
    assert failing.failures == []
    assert statuses(committer.process([delivery])) == ["accepted"]


# Many workers on one store.


def test_the_slower_of_two_workers_decides_again_on_what_the_faster_wrote(workers: MakeCommitter) -> None:
    one, other = workers(), workers()
    ann, item = Citizen("ann@localhost"), new_id()
    first = one.process([ann.registers(), ann.adds(item)])
    assert statuses(other.process([ann.adds(new_id()), ann.says(RemoveItem(item))])) == ["accepted", "accepted"]
    outcomes = one.process([ann.adds(new_id()), ann.adds(item, 2), ann.adds(new_id())])
    assert statuses(first) == ["accepted", "accepted"]
    assert statuses(outcomes) == ["accepted", "NotFound", "accepted"]


def test_a_refusal_rests_on_what_is_and_not_on_what_a_worker_remembers(workers: MakeCommitter) -> None:
    one, other = workers(), workers()
    ann, item = Citizen("ann@localhost"), new_id()
    assert statuses(one.process([ann.registers(), ann.adds(item, 2)])) == ["accepted", "NotFound"]
    assert statuses(other.process([ann.adds(item)])) == ["accepted"]
    assert statuses(one.process([ann.adds(item, 2)])) == ["accepted"]
    removal = ann.says(RemoveItem(item))
    assert statuses(other.process([removal])) == ["accepted"]
    assert statuses(one.process([ann.says(RemoveItem(item)), removal])) == ["ignored", "accepted"]


def test_of_two_workers_with_the_same_command_both_give_the_same_result(workers: MakeCommitter) -> None:
    one, other = workers(), workers()
    ann = Citizen("ann@localhost")
    one.process([ann.registers()])
    delivery = ann.adds(new_id())
    assert results(one.process([delivery])) == results(other.process([delivery]))


def test_an_address_that_two_claim_at_two_workers_is_one_persons(workers: MakeCommitter) -> None:
    one, other = workers(), workers()
    registered = [each.process([Citizen("same@localhost").registers()])[0] for each in (one, other, one)]
    assert statuses(registered) == ["accepted", "AddressTaken", "AddressTaken"]


# What is recorded can be read.


@pytest.mark.parametrize("crypto", [True, False], ids=["by the chain", "by the event"])
@pytest.mark.parametrize("device", ["A-b_9", "x", "a" * 64])
def test_a_device_of_another_form_is_refused_before_it_makes_events_that_nobody_can_read(
    committer: Committer,
    store: EventStore,
    ann: Citizen,
    device: str,
    crypto: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newcomer = Citizen("bob@localhost")
    with monkeypatch.context() as hostile:
        hostile.setattr(identity, "_DEVICE_ID", re.compile("(?s).*"))
        extended = ann.extends({ann.device_id: ann.device.public, device: SigningKey.generate().public})
        newcomer.chain.append(newcomer.next_record({newcomer.device_id: newcomer.device.public, device: b"\x09" * 32}))
        registered = newcomer.registers()
        if not crypto:  # as if the first guard were not there
            outcomes = committer.process([extended, registered])
    if crypto:
        outcomes = committer.process([extended, registered])
    assert statuses(outcomes) == (["ForgedRecord"] * 2 if crypto else ["Malformed"] * 2)
    assert len([event for event in happened(store) if isinstance(event, AccountRegistered)]) == 1


def test_what_could_not_be_read_again_is_refused_and_leaves_nothing_behind(
    committer: Committer, store: EventStore, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a handler lets pass: one such event would stop every reader behind it for ever."""
    registered, item = HANDLERS[AddItem], new_id()

    def careless(command: AddItem, desk: Desk) -> list[Event]:
        return [*registered.handler(command, desk), ItemEdited(command.item, desk.by.account, 0, "x", "y")]

    with monkeypatch.context() as hostile:
        hostile.setitem(HANDLERS, AddItem, replace(registered, handler=careless))
        assert statuses(committer.process([ann.adds(item), *ann.stores_key()])) == ["Malformed", "accepted", "accepted"]
    assert added(store) == []
    assert committer._states.load(item_.State, item).owner == ""
    assert statuses(committer.process([ann.adds(item), ann.adds(item, 2)])) == ["accepted", "accepted"]
    assert [stored.version for stored in store.read(f"item-{item}")] == [1, 2]


def test_several_events_of_one_stream_are_numbered_on(
    committer: Committer, store: EventStore, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered, item = HANDLERS[AddItem], new_id()

    def twice(command: AddItem, desk: Desk) -> list[Event]:
        edited = ItemEdited(command.item, desk.by.account, 2, command.content, command.wrap)
        return [*registered.handler(command, desk), edited]

    monkeypatch.setitem(HANDLERS, AddItem, replace(registered, handler=twice))
    assert statuses(committer.process([ann.adds(item), ann.adds(item, 3)])) == ["accepted", "accepted"]
    assert [stored.version for stored in store.read(f"item-{item}")] == [1, 2, 3]


def test_an_account_begins_with_four_records_at_most(committer: Committer) -> None:
    bob = Citizen("bob@localhost")
    for _ in range(2):
        bob.chain.append(bob.next_record({bob.device_id: bob.device.public}))
    assert len(bob.chain) == 4
    longer = Citizen("longer@localhost")
    for _ in range(3):
        longer.chain.append(longer.next_record({longer.device_id: longer.device.public}))
    assert statuses(committer.process([bob.registers(), longer.registers()])) == ["accepted", "Malformed"]


def test_a_chain_does_not_grow_without_end_but_the_recovery_key_still_gets_in(
    committer: Committer, ann: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thief of the sign key must not be able to use up the owner's way back."""
    devices = {ann.device_id: ann.device.public}
    assert statuses(committer.process([ann.extends(devices)])) == ["accepted"]
    monkeypatch.setattr(account, "MAX_CHAIN", 10_000)
    assert statuses(committer.process([ann.extends(devices)])) == ["ChainFull"]
    ann.chain.pop()
    recovered = ann.recovers()
    assert statuses(committer.process([recovered])) == ["accepted"]
    assert statuses(committer.process([ann.extends(devices)])) == ["ChainFull"]


def test_every_command_of_the_language_has_a_handler() -> None:
    assert set(HANDLERS) == set(COMMANDS.values())


def test_a_public_part_that_is_no_key_of_its_suite_is_refused(committer: Committer, ann: Citizen) -> None:
    ann.pair = replace(ann.pair, public=b"short")
    private = b"private"
    command = StoreKeypair(new_id(), "X25519", "AAAA", digest(private))
    assert statuses(committer.process([ann.stores_key()[0], ann.says(command, private)])) == ["Malformed"] * 2


def test_an_unknown_connection_is_not_found(committer: Committer, ann: Citizen) -> None:
    assert statuses(committer.process([ann.says(example(RemoveConnection))])) == ["NotFound"]
