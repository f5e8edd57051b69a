"""Audits of keys: asking a connected person for a proof, checking it, and answering what others may ask.

An answer counts if the one who was asked signed it for just this question of this device. One that came while nobody
waited is taken by the next command that asks for the same, as long as it is fresh.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Literal

from privity.agent import connections, sharing_keys
from privity.agent.chains import signed_by
from privity.agent.connections import Connection
from privity.agent.feed import LOOK, Wakes
from privity.agent.identity import current
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_key
from privity.agent.pieces import must_sign
from privity.agent.session import Rows, Session
from privity.agent.sharing_keys import SharingKey
from privity.agent.tasks import Task
from privity.crypto.audits import (
    AuditPlace,
    Said,
    challenge_of,
    check_answer,
    identity_held,
    open_challenge,
    seal_answer,
    seal_challenge,
    sign_answer,
    sign_audit,
    verify_answer,
    verify_audit,
)
from privity.crypto.sharing_keys import KeyRecord, PrivatePart
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    AuditClosed,
    DoesNotOpen,
    ForgedRecord,
    NotFound,
    WrongAnswer,
)
from privity.messages.grants import AnswerAudit, AskAudit
from privity.messages.views import MAX_PAGE, AskKeyAudits, KeyAuditRow

KIND = "key-audit"
"""What is remembered: an audit that this device asked for (version 1), or whose answer it has told (version 2)."""
ASKED, TOLD = 1, 2
FRESH: Final = 7 * 24 * 3600
"""Seconds, by one's own clock, after which an answer says nothing any more."""
RECENT: Final = 5 * 60
"""Seconds after which a person who asks now is not told an answer to what was asked before."""
WAIT: Final = 3.0
"""Seconds that an answer is waited for, unless a person says otherwise."""
TIME_BYTES, RANDOM_BYTES = 8, 24
"""Of a nonce: when it was made (Unix time), and what nobody can guess."""

NOT_REGISTERED: Final = "not registered"
ANOTHER_PART: Final = "holds another public part"
NO_ANSWER: Final = "no answer yet: their agent is asked when it runs"

Kind = Literal["public", "private"]


@dataclass(frozen=True, slots=True)
class Audit:
    """How an audit went: `passed` is None while nobody has answered; `reason` says why it did not pass."""

    audit: str
    kind: Kind
    passed: bool | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be proven, by whom; without a `key` it is about the public part of their identity."""

    connection: Connection
    kind: Kind
    key: SharingKey | None = field(default=None, repr=False)

    @property
    def generation(self) -> int:
        """The key's newest."""
        return self.key.generation if self.key is not None else 1

    @property
    def named(self) -> str:
        """What audits of the same have in common."""
        return f"{self.connection.connection} {self.key.id if self.key else ''} {self.kind} {self.generation}"


async def audit(
    session: Session, keyring: Keyring, name: str, address: str, kind: Kind, *, wait: float = WAIT
) -> Audit:
    """Have a connected person prove that they hold a key's identical public part, or its private part.

    Args:
        name: of a sharing key that one made or holds; `master` for the public part of their identity.
        wait: seconds that the answer is waited for.

    Raises:
        NotConnected: there is no connection with that person.
        NotFound: there is no such key, or one has its public part alone.
        TooManyAudits: too many audits wait, or were asked for in this hour.
        ForgedRecord: the answer is not signed by the one who was asked.
    """
    connection = await connections.with_person(session, keyring, address)
    key = None if name == sharing_keys.MASTER else await sharing_keys.show(session, keyring, name)
    if key is None and kind == "private":
        raise NotFound("the private part of an identity is nobody else's: audit its public part")
    if key is not None and key.kind == "public":
        raise NotFound(f"you have the public part of {key.name} alone: who made or holds a key can audit it")
    return await prove(session, keyring, Question(connection, kind, key), wait=wait)


async def prove(
    session: Session, keyring: Keyring, question: Question, *, wait: float = WAIT, fresh: float = RECENT
) -> Audit:
    """Ask, or take up what this device asked in the last `fresh` seconds, and wait so long for the answer."""
    keyring, _ = await current(session, keyring)
    asked = await _asked_before(session, question, fresh)
    audit = asked.audit if asked is not None else await _ask(session, keyring, question)
    found = await _answered(session, audit, wait)
    row = found.one("audit", audit) if found.rows else None  # none: it was asked again elsewhere, and is forgotten
    if row is None or row.verdict is None:
        return Audit(audit, question.kind, None, NO_ANSWER)
    result = await _checked(session, keyring, question, row, found)
    session.memory.saw(KIND, audit, TOLD)
    return result


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """The audits that others wait for."""
    ask = AskKeyAudits(direction="incoming", open=True, limit=MAX_PAGE)
    rows = (await session.ask_all(ask, KeyAuditRow)).rows

    def step(row: KeyAuditRow) -> Task:
        async def run() -> None:
            await answer(session, keyring, row.asker, row.audit)

        return Task("audit", f"{row.asker}/{row.audit}", f"answer an audit of the {row.audited} part of a key", run)

    still = datetime.now(UTC) - timedelta(seconds=FRESH)
    return [step(row) for row in rows if row.at > still]


async def answer(session: Session, keyring: Keyring, asker: str, id: str) -> None:
    """Answer what somebody asked, if they may know: of a key who made or holds it. Else it is not registered here.

    Raises:
        AuditClosed: nobody waits for this answer any more.
        ForgedRecord: it is not the other side of the connection who asked.
    """
    ask = AskKeyAudits(id=id, direction="incoming", open=True, limit=MAX_PAGE)
    found = await session.ask_all(ask, KeyAuditRow)
    row = next((each for each in found.rows if (each.asker, each.audit) == (asker, id)), None)
    if row is None:
        raise AuditClosed
    connection = await connections.show(session, keyring, row.connection)
    if (row.asker, row.of) != (connection.peer, session.account):
        raise ForgedRecord("The backend shows an audit that is not between you and the other side.")
    place = place_of(row)
    must_sign(connection.line, lambda public: verify_audit(place, row.challenge, unb64(row.signature), public))
    keyring, identity = await current(session, keyring)
    if row.key is None:
        said, sealed = Said(verdict="holds", held=identity_held(session.account, identity.sign, identity.seal)), b""
    else:
        key = await _known(session, keyring, row.key)
        part = await _part(session, keyring, key, place.generation) if key is not None else None
        said, sealed = _said(place, key, part, connection, found.sealed.get(row.challenge or "", b""))
    signature = b64(sign_answer(keyring.identity.sign, place, said))
    verdict: Literal["holds", "not-registered"] = "holds" if said.verdict == "holds" else "not-registered"
    command = AnswerAudit(row.audit, row.asker, verdict, said.held, said.answer, signature)
    await session.send(command, *([sealed] if sealed else []))


def place_of(row: KeyAuditRow) -> AuditPlace:
    """What an audit is bound to."""
    return AuditPlace(
        audit=row.audit,
        asker=row.asker,
        of=row.of,
        connection=row.connection,
        key=row.key or "",
        kind=row.audited,
        generation=row.generation,
        nonce=row.nonce,
    )


async def _ask(session: Session, keyring: Keyring, question: Question) -> str:
    key, connection = question.key, question.connection
    place = AuditPlace(
        audit=new_id(),
        asker=session.account,
        of=connection.peer,
        connection=connection.connection,
        key=key.id if key is not None else "",
        kind=question.kind,
        generation=question.generation,
        nonce=b64(int(time.time()).to_bytes(TIME_BYTES) + secrets.token_bytes(RANDOM_BYTES)),
    )
    sealed = b""
    if key is not None and question.kind == "private":
        sealed = seal_challenge(place, challenge_of(keyring.kek, place), key.record.seal)
    challenge = digest(sealed) if sealed else None
    command = AskAudit(
        audit=place.audit,
        key=place.key or None,
        of=place.of,
        connection=place.connection,
        kind=place.kind,
        generation=place.generation,
        nonce=place.nonce,
        challenge=challenge,
        signature=b64(sign_audit(keyring.identity.sign, place, challenge)),
    )
    await session.send(command, *([sealed] if sealed else []))
    session.memory.saw(KIND, place.audit, ASKED, place.nonce, place=question.named)
    return place.audit


async def _asked_before(session: Session, question: Question, fresh: float) -> KeyAuditRow | None:
    """What this device asked and nobody was told of yet."""
    untold = {each.id for each in session.memory.all_in(KIND, question.named) if each.version == ASKED}
    if not untold:
        return None
    ask = AskKeyAudits(direction="outgoing", limit=MAX_PAGE)
    rows = [row for row in (await session.ask_all(ask, KeyAuditRow)).rows if row.audit in untold]
    return next((row for row in reversed(rows) if abs(time.time() - _made(session, row)) < fresh), None)


def _made(session: Session, row: KeyAuditRow) -> int:
    """When this device asked, by its own clock, as it remembers."""
    asked = session.memory.seen(KIND, row.audit)
    return int.from_bytes(unb64(asked.digest if asked else row.nonce)[:TIME_BYTES])


async def _answered(session: Session, audit: str, wait: float) -> Rows[KeyAuditRow]:
    """The audit, as soon as it is answered, or after so many seconds."""
    ask, wakes, end = AskKeyAudits(id=audit, direction="outgoing", limit=2), Wakes(session), time.monotonic() + wait
    await wakes.listen()
    while True:
        found = await session.ask(ask, KeyAuditRow)
        left = end - time.monotonic()
        if left <= 0 or not found.rows or found.one("audit", audit).verdict is not None:
            return found
        await wakes.wait(min(left, LOOK))


async def _checked(
    session: Session, keyring: Keyring, question: Question, row: KeyAuditRow, found: Rows[KeyAuditRow]
) -> Audit:
    """What an answer proves. The answer must be to what this device asked, and signed by whom it asked."""
    connection = await connections.show(session, keyring, question.connection.connection)
    place, asked = place_of(row), session.memory.seen(KIND, row.audit)
    expected = (session.account, connection.peer, connection.connection, question.kind, question.generation)
    said_place = (place.asker, place.of, place.connection, place.kind, place.generation)
    if said_place != expected or place.key != (question.key.id if question.key else ""):
        raise ForgedRecord("The backend shows another audit than the one that was asked for.")
    if asked is None or asked.digest != row.nonce:
        raise ForgedRecord("The backend shows an answer to a question that this device did not ask.")
    said = Said(verdict=row.verdict or "", held=row.held, answer=row.answer)
    signature = unb64(row.answered or "")
    must_sign(connection.line, lambda public: verify_answer(place, said, signature, public))
    if said.verdict != "holds":
        return Audit(row.audit, question.kind, False, NOT_REGISTERED)
    if question.kind == "public":
        signed = partial(_signed_answer, place, said, signature)
        same = said.held in _expected(question, connection, signed_by(connection.line, signed, NOT_REGISTERED)[0])
        return Audit(row.audit, question.kind, same, None if same else ANOTHER_PART)
    pair = (await stored_connection_key(session, keyring, connection.key)).pair
    try:
        check_answer(place, challenge_of(keyring.kek, place), pair.suite, found.blob(said.answer or ""), pair.private)
    except (WrongAnswer, DoesNotOpen) as error:  # they signed it: it is their answer that is wrong
        return Audit(row.audit, question.kind, False, error.code)
    return Audit(row.audit, question.kind, True)


def _signed_answer(place: AuditPlace, said: Said, signature: bytes, public: bytes) -> bytes:
    """The key that signed an answer, if it is this one."""
    verify_answer(place, said, signature, public)
    return public


def _expected(question: Question, connection: Connection, signer: bytes) -> set[str]:
    """What they must hold: of the key, its public part; of the identity, that of when they answered."""
    if question.key is not None:
        return {question.key.record.public_digest}
    return {identity_held(connection.peer, each.sign, each.seal) for each in connection.line if each.sign == signer}


async def _known(session: Session, keyring: Keyring, id: str) -> SharingKey | None:
    """A key that one uses; None where there is none, or it is switched off.

    Raises:
        IntegrityAlarm: what is served of it does not hold; else a backend could have its holder deny it.
    """
    try:
        key = await sharing_keys.show(session, keyring, id)
    except NotFound:
        return None
    return key if key.active else None


def _said(
    place: AuditPlace, key: SharingKey | None, part: PrivatePart | None, connection: Connection, sealed: bytes
) -> tuple[Said, bytes]:
    """What one says of a key; nothing but that it is not registered to whom it does not concern.

    `part` is one's private part of the generation that is asked about, `sealed` the challenge to it.
    """
    nothing = Said(verdict="not-registered"), b""
    if key is None or not key.record.holds(place.asker):
        return nothing
    if place.kind == "public":
        return Said(verdict="holds", held=_record_of(key.record, place.generation, part).public_digest), b""
    if part is None:
        return nothing
    try:
        challenge = open_challenge(place, sealed, part.pair.private)
    except DoesNotOpen:  # sealed to another key, or for another use: no more is said of it
        return nothing
    proof = seal_answer(place, challenge, connection.suite, connection.public)
    return Said(verdict="holds", answer=digest(proof)), proof


async def _part(session: Session, keyring: Keyring, key: SharingKey, generation: int) -> PrivatePart | None:
    """One's private part of a generation; None where one has none."""
    if key.part is None or generation == key.generation:
        return key.part
    return (await sharing_keys.all_parts(session, keyring, key)).get(generation)


def _record_of(record: KeyRecord, generation: int, part: PrivatePart | None) -> KeyRecord:
    """The record with the public parts of that generation, as far as one knows them: else of the newest known."""
    if generation == record.generation or part is None:
        return record
    return replace(record, generation=generation, seal=part.pair.public, sign=part.sign.public)


def heard_of(session: Session, rows: Sequence[KeyAuditRow], of: str) -> bool:
    """Whether somebody has answered an audit of their identity that this device asked for, and that nobody was told."""
    news = {row.audit for row in rows if row.of == of and row.key is None and row.verdict is not None}
    return any(each.version == ASKED for each in session.memory.among(KIND, news))
