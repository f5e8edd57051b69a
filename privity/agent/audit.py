"""A person's audit: what was done with their data, the log's checkpoints, witnessing them, and the own export."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from privity.agent import connections, feed
from privity.agent.connections import Connection
from privity.agent.keyring import Keyring
from privity.agent.memory import Mark
from privity.agent.session import Session
from privity.audit.lines import Draft, EventLine, Header, Message, PersonLine, hashes
from privity.crypto import labels
from privity.crypto.kdf import hkdf
from privity.crypto.log import bare, cosign
from privity.crypto.signing import SEED_BYTES, SigningKey
from privity.encoding import b64, lp, unb64
from privity.errors import ForgedRecord, Malformed, Withheld
from privity.messages.fields import SignedRecord
from privity.messages.views import MAX_PAGE, AskEvidence, EvidenceRow

WITNESS_PREFIX: Final = "privity-witness/"
NOBODY_KNOWN: Final = "unknown"
"""The actor of what somebody tried without being able to."""

Progress = Callable[[int, int], None]
"""Hears how many events of how many are done."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened: the actor is an address where it is known, else an account."""

    position: int
    event: str
    actor: str
    at: datetime
    refs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Witness:
    """Who co-signs checkpoints, under which name and with which key."""

    name: str
    key: SigningKey

    @property
    def text(self) -> str:
        """Name and public key in one word, to be given to `audit verify --witness`."""
        return f"{self.name}+{b64(self.key.public)}"


async def past(session: Session, keyring: Keyring, after: int = 0) -> list[Line]:
    """All that was done with one's data behind the cursor, by oneself and by others, with who did it."""
    lines = await feed.past(session, after)
    addresses = {session.account: session.address}
    for each in await connections.all_own(session, keyring):
        if isinstance(each, Connection):
            addresses[each.peer] = each.address
    return [
        Line(
            line.position,
            line.event,
            NOBODY_KNOWN if line.event == "keyring-refused" else addresses.get(line.actor, line.actor),
            line.at,
            line.refs,
        )
        for line in lines
    ]


async def checkpoint(session: Session, against: str | None = None) -> Mark:
    """The log's newest checkpoint, held against what this device saw, and against another person's if it is given.

    Raises:
        ForkedLog, RolledBack: two histories, or one that lost its end.
        ForgedRecord: no checkpoint of this home's log.
    """
    await session.consistent(*([bare(against)] if against is not None else []))
    mark = session.memory.checkpoint
    if mark is None:
        raise ForgedRecord("The backend has a log without an end.")
    return mark


def witness(keyring: Keyring) -> Witness:
    """The witness that this person is: one key for all of their devices, from the KEK."""
    seed = hkdf(keyring.kek, SEED_BYTES, lp(labels.WITNESS_SIGN, keyring.account.encode()))
    return Witness(WITNESS_PREFIX + keyring.account, SigningKey.from_seed(seed))


def co_sign(mark: Mark, by: Witness) -> str:
    """The checkpoint with one's co-signature: one saw it, and no other history of the log."""
    return cosign(mark.note, by.name, by.key, datetime.now(UTC))


def read_witness(text: str) -> tuple[str, bytes]:
    """The name and public key in `NAME+KEY`.

    Raises:
        Malformed: it is none.
    """
    name, _, key = text.rpartition("+")
    public = unb64(key)
    if not name or len(public) != SEED_BYTES:
        raise Malformed("a witness is NAME+KEY, as `privity audit checkpoint --cosign --json` shows it")
    return name, public


async def export_own(
    session: Session,
    keyring: Keyring,
    device: str,
    path: Path,
    progress: Progress = lambda done, of: None,
) -> tuple[int, Mark]:
    """Write every event of one's own feed with its evidence to a file; how many, and the checkpoint above them.

    Raises:
        Withheld: the backend leaves something out.
    """
    mark = await checkpoint(session)
    session.folder.reached(mark.size)  # what the log holds, the views must know before they answer
    lines = [line for line in await feed.past(session) if line.position <= mark.size]
    server = session.server
    header = Header("own", server.home, server.log_public, mark.note, len(lines), session.account, device)
    met = {session.account}
    with Draft(path, header) as draft:
        done = 0
        async for row in _evidence(session, mark.size):
            if done == len(lines) or row.position != lines[done].position:
                break
            actor = lines[done].actor
            if actor not in met:
                met.add(actor)
                draft.person(PersonLine(actor, tuple(_json(each) for each in row.chain)))
            draft.event(_line(row, lines[done].seq))
            done += 1
            progress(done, len(lines))
        if done < len(lines):
            raise Withheld(f"The backend leaves out the evidence of position {lines[done].position}.")
        about = (server.home.encode(), session.account.encode())
        draft.finish(lambda hashed: keyring.device.sign(labels.EXPORT, *about, hashed))
    return len(lines), mark


async def _evidence(session: Session, size: int) -> AsyncIterator[EvidenceRow]:
    """Page by page, each let go of before the next."""
    after = 0
    while rows := (await session.ask(AskEvidence(after=after, size=size, limit=MAX_PAGE), EvidenceRow)).rows:
        for row in rows:
            if row.position <= after:
                raise Malformed("the backend's pages do not go on")
            after = row.position
            yield row


def _line(row: EvidenceRow, seq: int) -> EventLine:
    return EventLine(
        position=row.position,
        stream=row.stream,
        version=row.version,
        name=row.name,
        data=row.data.encode(),
        proof=hashes(row.proof),
        command=Message(row.subject, unb64(row.payload), unb64(row.signature)),
        seq=seq,
    )


def _json(record: SignedRecord) -> dict[str, object]:
    return {"record": record.record, "signatures": list(record.signatures)}
