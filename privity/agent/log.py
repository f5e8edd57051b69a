"""What an agent checks of the home's log: receipts, that it only grows, and evidence of what happened."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from privity.agent.memory import Mark, Memory
from privity.crypto.command import verify_command
from privity.crypto.identity import COMPROMISE, Identity, Signed, walk
from privity.crypto.log import MAX_SIZE, entry, read_checkpoint
from privity.crypto.merkle import leaf_hash, verify_consistency, verify_inclusion
from privity.encoding import digest, lp, unb64
from privity.errors import BadSignature, ForgedRecord, ForkedLog, NotFound, NotInLog, RolledBack
from privity.messages import envelope
from privity.messages.envelope import CommandEnvelope, Result
from privity.messages.fields import SignedRecord
from privity.messages.views import AskCheckpoint, AskEvidence, CheckpointRow, EvidenceRow

if TYPE_CHECKING:
    from privity.agent.session import Session
    from privity.connection_string import ConnectionString

AT_ONCE = 15
"""Checkpoints that are proven with one question, beside the newest that is remembered."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An event that the log holds, and the command that it names; whose signature that has, `check_signer` says."""

    position: int
    stream: str
    name: str
    event: Mapping[str, object]
    subject: str
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    command: CommandEnvelope
    chain: Sequence[SignedRecord] = field(default=(), repr=False)

    def says(self, name: str, **fields: object) -> bool:
        """Whether it is an event of this name (without a version) with these fields."""
        named = self.name.rpartition(".v")[0] == name
        return named and all(self.event.get(each) == value for each, value in fields.items())


def to_mark(note: str, server: ConnectionString) -> Mark:
    """A checkpoint of this home's log.

    Raises:
        ForgedRecord: it is none.
    """
    checkpoint = read_checkpoint(note, server.log_public, server.home)
    return Mark(checkpoint.size, checkpoint.root, checkpoint.note)


def check_receipt(result: Result, server: ConnectionString) -> str:
    """The checkpoint, signed by the home's log, under which every event of the result stands.

    Raises:
        NotInLog: an event is not proven to be in the log.
        ForgedRecord: the checkpoint is not this log's.
    """
    receipt = result.receipt
    if receipt is None or len(receipt.proofs) != len(result.events):
        raise NotInLog("The backend gave no receipt for what it says that it recorded.")
    mark = to_mark(receipt.checkpoint, server)
    for event, proof in zip(result.events, receipt.proofs, strict=True):
        leaf = leaf_hash(entry(event.position, event.stream, event.version, event.name, event.data.encode()))
        verify_inclusion(leaf, event.position - 1, mark.size, _hashes(proof), mark.root)
    return receipt.checkpoint


async def check_consistent(session: Session, notes: Sequence[str]) -> None:
    """Hold checkpoints, and the newest that the backend has, against the one that this device remembers.

    Raises:
        ForkedLog: two histories: one of them does not go on from another.
        RolledBack: the log is shorter than it was.
        ForgedRecord: one is no checkpoint of this home's log.
    """
    memory = session.memory
    marks = [mark for note in notes if not _known(mark := to_mark(note, session.server), memory)]
    if session.offline and not marks:
        return
    for start in range(0, max(len(marks), 1), AT_ONCE):
        await _prove(session, marks[start : start + AT_ONCE])


async def evidence(session: Session, position: int) -> Evidence:
    """The event at a position of one's own feed, proven to be in the log, and the command behind it.

    Raises:
        NotFound: the backend shows none.
        NotInLog, ForgedRecord: what it shows does not hold.
    """
    row = (await session.ask(AskEvidence(position=position), EvidenceRow)).one("position", str(position))
    if row.position != position:
        raise ForgedRecord("The backend answered with the evidence of another event.")
    return await checked_evidence(session, row)


async def checked_evidence(session: Session, row: EvidenceRow) -> Evidence:
    """One row of evidence, believed as far as log and digests agree."""
    mark = to_mark(row.checkpoint, session.server)
    await check_consistent(session, [row.checkpoint])
    leaf = leaf_hash(entry(row.position, row.stream, row.version, row.name, row.data.encode()))
    verify_inclusion(leaf, row.position - 1, mark.size, _hashes(row.proof), mark.root)
    payload = unb64(row.payload)
    try:
        recorded = json.loads(row.data)
        event, named = dict(recorded["event"]), recorded["meta"]["digest"]
        command = envelope.command_envelope.validate_json(payload)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        raise ForgedRecord(f"The event at position {row.position} cannot be read.") from None
    if named != digest(lp(row.subject.encode(), payload)):
        raise ForgedRecord(f"The backend shows another command than the one behind position {row.position}.")
    signature = unb64(row.signature)
    return Evidence(row.position, row.stream, row.name, event, row.subject, payload, signature, command, row.chain)


def check_signer(shown: Evidence, chains: Mapping[str, Sequence[Signed]], server: ConnectionString) -> str:
    """The account, one of `chains`, whose device signed the command: its chain named that device once.

    What a device signed that was given up as stolen counts only where the log had it when it was given up.

    Raises:
        ForgedRecord: nobody of these did.
    """
    chain = chains.get(shown.command.account)
    line = list(walk(chain)) if chain else []
    for place, identity in enumerate(line):
        public = identity.devices.get(shown.command.device)
        if public is None or shown.position > _stolen_at(line[place:], shown.command.device, server):
            continue
        try:
            verify_command(public, shown.signature, server.home, shown.subject, shown.payload)
        except BadSignature:
            continue
        return shown.command.account
    raise ForgedRecord(f"The event at position {shown.position} was not signed by anybody who could.")


def _stolen_at(line: Sequence[Identity], device: str, server: ConnectionString) -> int:
    """The size of the log when the device was given up as stolen, by the first such record; without one, no bound."""
    for identity in line:
        if identity.reason == COMPROMISE and device not in identity.devices:
            return to_mark(identity.checkpoint, server).size if identity.checkpoint else 0
    return MAX_SIZE


async def _prove(session: Session, marks: list[Mark]) -> None:
    newest = session.memory.checkpoint
    olds = ([newest] if newest else []) + [mark for mark in marks if mark.size]
    sizes = tuple(mark.size for mark in olds)
    try:
        row = (await session.ask(AskCheckpoint(since=sizes), CheckpointRow)).rows[0]
    except NotFound:
        raise RolledBack("The home's log is shorter than a checkpoint that it signed before.") from None
    except IndexError:
        raise ForgedRecord("The backend answered without a checkpoint.") from None
    now = to_mark(row.checkpoint, session.server)
    if len(row.proofs) != len(olds):
        raise ForkedLog("The backend gave no proof that its log only grew.")
    for old, proof in zip(olds, row.proofs, strict=True):
        verify_consistency(old.size, old.root, now.size, now.root, _hashes(proof))
    session.memory.keep_checkpoints(*marks, *([now] if now.size else []))


def _known(mark: Mark, memory: Memory) -> bool:
    root = memory.root(mark.size)
    if root is not None and root != mark.root:
        raise ForkedLog(f"The home's log signed two histories of {mark.size} events.")
    return root is not None


def _hashes(proof: Sequence[str]) -> list[bytes]:
    return [unb64(each) for each in proof]
