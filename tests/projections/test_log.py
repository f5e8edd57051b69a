"""The log's views: checkpoints that only grow, and evidence of one's own feed and of nobody else's."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from handlers.committer import Committer
from handlers.opening import Delivery
from infra.log import Log
from infra.mapping import to_positioned
from infra.store import EventStore, open_store
from privity.agent import items
from privity.agent.log import check_receipt
from privity.crypto.command import verify_command
from privity.crypto.log import entry, read_checkpoint
from privity.crypto.merkle import leaf_hash, verify_consistency, verify_inclusion
from privity.crypto.signing import SigningKey
from privity.encoding import digest, lp, new_id, unb64
from privity.errors import NotFound, NotInLog
from privity.messages.connections import RemoveConnection
from privity.messages.envelope import FeedEntry, Result
from privity.messages.fields import SignedRecord
from privity.messages.invitations import DeclineInvitation
from privity.messages.recorded import Positioned
from privity.messages.views import (
    Ask,
    AskCheckpoint,
    AskEvidence,
    AskFeed,
    AskResult,
    AskSharingKeys,
    CheckpointRow,
    EvidenceRow,
)
from privity.testing.home import RunningHome
from privity.testing.people import Person
from projections import feed, log
from projections.desk import VIEWS, Desk
from projections.projector import Projector
from tests.examples import NOW
from tests.handlers.people import HOME, LOG, Citizen, to_record
from tests.handlers.story import Story, tell

ASKED = (feed, log)
"""Imported, their views are registered."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    """With a whole story in it."""
    with closing(open_store(f"sqlite:///{tmp_path}/store.db")) as opened:
        yield opened


@pytest.fixture
def told(store: EventStore, views: sa.Engine) -> Story:
    """The story, recorded and followed."""
    story = tell()
    record(store, views, story.deliveries)
    return story


def record(store: EventStore, views: sa.Engine, deliveries: Sequence[Delivery]) -> None:
    """Commit commands, all of which are taken, and let the views follow."""
    for start in range(0, len(deliveries), 5):
        outcomes = Committer(store, HOME, lambda: NOW).process(deliveries[start : start + 5])
        assert {outcome.result.code for outcome in outcomes if outcome.result} == {None}

    def after(position: int, limit: int) -> list[Positioned]:
        return [to_positioned(stored) for stored in store.after(position, limit)]

    Projector(views).catch_up(after)


@pytest.fixture
def asks(store: EventStore, views: sa.Engine):
    """Asks a view as somebody; the rows."""

    def ask(by: Citizen, ask: Ask):
        with views.connect() as db:
            desk = Desk(by.account, NOW, db, fresh=False, mail_token=str, log=Log(store, LOG, HOME.id))
            return VIEWS[type(ask)](ask, desk).rows

    return ask


def proven(row: EvidenceRow, log_public: bytes = LOG.public, home: str = HOME.id) -> None:
    """The evidence as somebody checks it who has nothing but the log key."""
    checkpoint = read_checkpoint(row.checkpoint, log_public, home)
    leaf = leaf_hash(entry(row.position, row.stream, row.version, row.name, row.data.encode()))
    path = [unb64(each) for each in row.proof]
    verify_inclusion(leaf, row.position - 1, checkpoint.size, path, checkpoint.root)


def test_each_line_of_a_feed_has_evidence(told: Story, asks, store: EventStore) -> None:
    """The log holds the event, the event names the command, and somebody's device signed that."""
    people = {each.account: each for each in (told.ann, told.bob, told.eve)}
    seen = 0
    for by in people.values():
        for line in asks(by, AskFeed(limit=200)):
            (row,) = asks(by, AskEvidence(position=line.position))
            proven(row)
            recorded = json.loads(row.data)
            assert row.name.startswith(line.event)
            assert recorded["meta"]["digest"] == digest(lp(row.subject.encode(), unb64(row.payload)))
            actor = people[recorded["meta"]["actor"]]
            if recorded["meta"]["device"] == actor.device_id:
                signature, payload = unb64(row.signature), unb64(row.payload)
                verify_command(actor.device.public, signature, HOME.id, row.subject, payload)
                seen += 1
    assert seen > 20


def test_s17_evidence_with_anything_changed_proves_nothing(told: Story, asks) -> None:
    line = asks(told.ann, AskFeed(limit=200))[-1]
    (row,) = asks(told.ann, AskEvidence(position=line.position))
    changes = {
        "data": row.data.replace("}", " }", 1),
        "name": row.name.replace(".v1", ".v2"),
        "version": row.version + 1,
        "stream": row.stream + "x",
        "position": row.position - 1,
        "proof": row.proof[:-1],
    }
    for name, value in changes.items():
        fields = {each: getattr(row, each) for each in EvidenceRow.__slots__}
        with pytest.raises(NotInLog):
            proven(EvidenceRow(**(fields | {name: value})))
    proven(row)


def test_who_has_parted_is_not_told_of_the_others_devices_any_more(told: Story, asks, store, views) -> None:
    """Eve ended what was between her and Ann; until then she was shown Ann's chain as of each moment."""
    ann, bob, eve = told.ann, told.bob, told.eve

    def chain(by: Citizen, of: Citizen) -> tuple[SignedRecord, ...]:
        """The one chain of somebody that all evidence of theirs has; it is there once a page."""
        places = {line.position for line in asks(by, AskFeed(limit=200)) if line.actor == of.account}
        alone = {asks(by, AskEvidence(position=position))[0].chain for position in places}
        (shown,) = {row.chain for row in asks(by, AskEvidence(limit=200)) if row.chain and row.position in places}
        assert alone == {shown}
        return shown

    whole = tuple(to_record(each) for each in ann.chain)
    assert chain(eve, ann) == chain(bob, ann) == chain(ann, ann) == whole
    again = ann.invites(eve.address)
    record(store, views, [again.sent(), again.accepted(eve), again.confirmed(), ann.rotates()])
    connected = tuple(to_record(each) for each in ann.chain)
    assert len(connected) == len(whole) + 1
    assert chain(eve, ann) == connected, "it is newer than all that Ann did to Eve"
    record(store, views, [eve.says(RemoveConnection(again.connection)), ann.rotates()])
    assert chain(eve, ann) == connected
    assert chain(bob, ann) == chain(ann, ann) == tuple(to_record(each) for each in ann.chain)
    assert len(ann.chain) == len(connected) + 1


def test_whom_one_was_never_connected_with_shows_as_much_as_they_did(told: Story, asks, store, views) -> None:
    """Fay declines two invitations of Ann's, the second one from a newer device."""
    ann, fay = told.ann, Citizen("fay@localhost")
    first, second = ann.invites(fay.address), ann.invites(fay.address)
    newer = {fay.device_id: fay.device.public, new_id(): SigningKey.generate().public}
    record(store, views, [fay.registers(), first.sent(), second.sent()])
    record(store, views, [fay.says(DeclineInvitation(first.id, first.token)), fay.extends(newer)])
    record(store, views, [fay.says(DeclineInvitation(second.id, second.token)), fay.extends(newer)])
    lines = [line.position for line in asks(ann, AskFeed(limit=200)) if line.actor == fay.account]
    assert lines
    for position in lines:
        (row,) = asks(ann, AskEvidence(position=position))
        assert row.chain == tuple(to_record(each) for each in fay.chain[:3])


def test_of_what_is_not_in_ones_feed_there_is_no_evidence(told: Story, asks, store: EventStore) -> None:
    own = {line.position for line in asks(told.eve, AskFeed(limit=200))}
    assert asks(told.eve, AskSharingKeys()), "and the records of a key whose public part she was sent"
    shown = ("sharing-key-granted", "sharing-key-rotated")
    own |= {each.position for each in store.after(0, store.head()) if each.name.startswith(shown)}
    others = set(range(1, store.head() + 2)) - own
    assert own
    assert others
    for position in others:
        with pytest.raises(NotFound) as refused:
            asks(told.eve, AskEvidence(position=position))
        assert refused.value.message == "your feed has nothing at this position"


def test_s12_a_checkpoint_comes_with_proof_that_the_log_only_grew(told: Story, asks, store: EventStore) -> None:
    whole = Log(store, LOG, HOME.id)
    sizes = (1, 7, store.head())
    (row,) = asks(told.ann, AskCheckpoint(since=sizes))
    assert isinstance(row, CheckpointRow)
    newest = read_checkpoint(row.checkpoint, LOG.public, HOME.id)
    assert newest.size == store.head()
    for size, proof in zip(sizes, row.proofs, strict=True):
        path = [unb64(each) for each in proof]
        verify_consistency(size, whole.root(size), newest.size, newest.root, path)


def test_a_size_that_the_log_never_had_is_not_found(told: Story, asks, store: EventStore) -> None:
    assert asks(told.ann, AskCheckpoint(since=(store.head(),)))
    with pytest.raises(NotFound):
        asks(told.ann, AskCheckpoint(since=(1, store.head() + 1)))


def test_where_there_is_no_log_there_is_nothing_to_show(told: Story, views: sa.Engine) -> None:
    with views.connect() as db:
        desk = Desk(told.ann.account, NOW, db, fresh=False, mail_token=str)
        with pytest.raises(NotFound, match="not kept here"):
            VIEWS[AskCheckpoint](AskCheckpoint(), desk)


async def test_a_running_home_shows_receipts_again_and_says_where_its_log_is(ann: Person, backend: RunningHome) -> None:
    async with ann.session() as (session, keyring):
        server = session.server
        item = (await items.add(session, keyring, "a label", {"slot": "value"})).item
        position = (await session.ask(AskFeed(limit=200), FeedEntry)).rows[-1].position
        (row,) = (await session.ask(AskEvidence(position=position), EvidenceRow)).rows
        proven(row, server.log_public, server.home)
        assert json.loads(row.data)["event"]["item"] == item
        named = json.loads(row.data)["meta"]["command"]
        (result,) = (await session.ask(AskResult(command=named), Result)).rows
        seen = read_checkpoint(check_receipt(result, server), server.log_public, server.home)
        status = ann.run("--json", "status", "--data", str(backend.data)).json
    assert status["log"]["size"] == status["position"] >= seen.size >= position
