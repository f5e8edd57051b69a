"""Instructions: what one's delegates want done with one's shares, and one's own agent does, once all of it holds.

A delegate has neither the identity that signs a share nor the key that opens it. So they say what they want, sealed
under the vault key and signed, and the principal's agent does it: in the order in which each delegate said it, over
verified connections alone, and answers each. What was answered is remembered, and never done again.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from privity.agent import connections, lines, resharing, shares, vaults
from privity.agent.chains import notices
from privity.agent.feed import learn
from privity.agent.keyring import Keyring
from privity.agent.kinds import INSTRUCTION, SHARE
from privity.agent.memory import Seen
from privity.agent.session import Rows, Session
from privity.agent.steps import VAULT, verified
from privity.agent.tasks import Task
from privity.agent.vaults import Vault
from privity.agent.wanted import End, NewGeneration, NewShare, Wanted, read_wanted
from privity.crypto.delegations import WRITERS, Grant
from privity.crypto.instructions import Instruction, open_instruction, read_instruction, verify_instruction
from privity.encoding import digest, unb64
from privity.errors import (
    AlreadyExists,
    Ambiguous,
    Busy,
    DelegationExpired,
    DoesNotOpen,
    ForgedRecord,
    InstructionExpired,
    InstructionNotOpen,
    IntegrityAlarm,
    Malformed,
    NotConnected,
    NotDelegated,
    NotFound,
    PastDate,
    PrivityError,
    RateLimited,
    Refusal,
    ReshareNotPermitted,
    RolledBack,
    ShareExpired,
    StaleVersion,
    TermsNotAccepted,
    TooLarge,
    Unreachable,
    Unverified,
)
from privity.messages.instructions import MAX_DAYS, AnswerInstruction
from privity.messages.views import AskInstructions, AskShares, InstructionRow, ShareRow

log = logging.getLogger(__name__)

LONGEST: Final = timedelta(days=MAX_DAYS)
SKEW: Final = timedelta(minutes=5)
"""By which a delegate's clock may be ahead."""
LATER: Final = (Busy, RateLimited)
"""Refusals that say nothing of the instruction: it goes on waiting."""
DEFINITE: Final = (
    NotConnected,
    Unverified,
    NotFound,
    PastDate,
    Ambiguous,
    Malformed,
    TooLarge,
    AlreadyExists,
    ReshareNotPermitted,
    ShareExpired,
    TermsNotAccepted,
    StaleVersion,
)
"""What it is refused for, when it is tried; after any other error it goes on waiting, an alarm `ALARMS` times."""
ALARMS: Final = 3
"""Tries of one after which an alarm about the item or share is its answer: what is wanted behind it waits no longer."""
STUCK: Final = "stuck-instruction"
"""What is remembered: a delegation, and `ALARMS` times the newest number that raised an alarm, plus how often."""
TRIED: Final = "tried-instruction"
"""What is remembered: a delegation, the newest number that this device tried, and what came of it."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an instruction: done where there is no `code`. `share` is what it was about, if that is known."""

    delegation: str
    n: int
    by: str
    share: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class Read:
    """A signed one, what it wants, if that can be read, and why it is refused, if it is."""

    said: Instruction
    grant: Grant
    wanted: Wanted | None = None
    refusal: PrivityError | None = None


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """What waits: one step for all of a delegation, as their order counts."""
    found = await session.ask_all(AskInstructions(open=True), InstructionRow)
    newest: dict[str, int] = {}
    for row in found.rows:
        newest[row.delegation] = max(row.n, newest.get(row.delegation, 0))

    def task(delegation: str, n: int) -> Task:
        async def run() -> None:
            await carry_out(session, keyring, delegation)

        return Task("instruction", f"{delegation}/{n}", "do with your shares what a delegate of yours wants", run)

    return [task(delegation, n) for delegation, n in newest.items()]


async def fire(session: Session, keyring: Keyring) -> None:
    """Do at once what waits, as a command of the person's own does on its way; what does not hold stays."""
    if session.offline or session.memory.seen(VAULT, session.account) is None:
        return
    try:
        await carry_out(session, keyring)
    except Unreachable as error:  # what the command itself asks for, this device may have kept
        log.info("what delegates want is not looked for: %s", error.message)
    except PrivityError as error:
        log.error("what a delegate wants is not done: %s: %s", error.code, error.message)


async def carry_out(session: Session, keyring: Keyring, delegation: str | None = None) -> list[Done]:
    """Do what waits, of all delegates or of one delegation, and answer each.

    Raises:
        RolledBack: the home serves one again that was answered; those behind it are done all the same.
        ForgedRecord: one is not signed by a delegate who may; what they want behind it waits.
        Busy: something changed meanwhile; it goes on waiting.
    """
    await learn(session)
    before = {each.id: each for each in session.memory.all_in(INSTRUCTION, session.account)}
    found = await session.ask_all(AskInstructions(open=True), InstructionRow)
    rows = [row for row in found.rows if delegation in (None, row.delegation)]
    if not rows:
        return []
    vault = await vaults.find(session, keyring, session.account)
    done: list[Done] = []
    errors: list[PrivityError] = []
    for each in dict.fromkeys(row.delegation for row in rows):
        mine = sorted((row for row in rows if row.delegation == each), key=lambda row: row.n)
        errors += await _one_delegation(session, keyring, vault, before.get(each), mine, found, done)
    if errors:
        raise errors[0]
    return done


async def _one_delegation(
    session: Session,
    keyring: Keyring,
    vault: Vault,
    before: Seen | None,
    rows: Sequence[InstructionRow],
    found: Rows[InstructionRow],
    done: list[Done],
) -> list[PrivityError]:
    """In order, up to the first that goes on waiting; but a share's end waits for nothing that is about others."""
    errors: list[PrivityError] = []
    if len(rows) > 1:
        await _end_first(session, keyring, vault, before.version if before is not None else 0, rows, found)
    for row in rows:
        if before is not None and row.n <= before.version:
            errors.append(RolledBack(f"The backend serves instruction {row.n} of a delegate again: it was answered."))
            continue
        try:
            done.append(await _one(session, keyring, vault, row, found))
        except Unreachable:
            raise
        except PrivityError as error:
            return [*errors, error]
    return errors


async def _end_first(
    session: Session,
    keyring: Keyring,
    vault: Vault,
    answered: int,
    rows: Sequence[InstructionRow],
    found: Rows[InstructionRow],
) -> None:
    """End the shares that are to end and that nothing before is about. Each is answered in its turn, as done."""
    named: set[str] = set()
    for row in rows:
        if row.n <= answered:
            continue
        try:
            told = await read(session, keyring, vault, row, found)
            if told.wanted is None or told.refusal is not None:
                continue
            if isinstance(told.wanted, End) and told.wanted.share not in named:
                await _end(session, keyring, told.wanted.share)
            named.add(told.wanted.share)
        except Unreachable:
            raise
        except PrivityError as error:  # its turn comes
            log.info("instruction %d of a delegate is not done first: %s", row.n, error.code)


async def _one(
    session: Session, keyring: Keyring, vault: Vault, row: InstructionRow, found: Rows[InstructionRow]
) -> Done:
    """Do and answer one.

    What this device did and could not answer is answered alone: it is not done again.
    """
    tried = session.memory.seen(TRIED, row.delegation)
    told = await read(session, keyring, vault, row, found)
    if tried is not None and tried.version >= row.n:
        if tried.version > row.n:
            raise RolledBack(f"The backend serves instruction {row.n} of a delegate behind one that was done before.")
        share, code = (each or None for each in tried.digest.split(" "))
    else:
        share, code = await _try(session, keyring, told, row)
        session.memory.saw(TRIED, row.delegation, row.n, f"{share or ''} {code or ''}")
    by = told.grant.delegate_address
    with suppress(InstructionNotOpen):  # another device of one's own was faster, and gave the same answer
        await session.send(AnswerInstruction(row.delegation, row.n, code, share))
        _tell(by, share, code)
    session.memory.saw(INSTRUCTION, row.delegation, row.n, place=session.account)
    return Done(row.delegation, row.n, by, share, code)


async def _try(session: Session, keyring: Keyring, told: Read, row: InstructionRow) -> tuple[str | None, str | None]:
    """What it is about, and the error's code where it is refused."""
    share = told.wanted.share if told.wanted is not None else None
    if told.wanted is None or told.refusal is not None:
        return share, (told.refusal or Malformed()).code
    try:
        await _do(session, keyring, told.wanted)
    except DEFINITE as refusal:
        return share, refusal.code
    except IntegrityAlarm as alarm:
        stuck = session.memory.seen(STUCK, row.delegation)
        now = max(row.n * ALARMS, stuck.version if stuck is not None else 0) + 1
        if now < (row.n + 1) * ALARMS:
            session.memory.saw(STUCK, row.delegation, now)
            raise
        return share, alarm.code
    return share, None


def _tell(by: str, share: str | None, code: str | None) -> None:
    if code is None:
        notices.warning("notice: as %s wanted, in your name, was done with share %s", by, share)
    else:
        notices.warning("notice: what %s wanted in your name was not done: %s", by, code)


async def read(
    session: Session, keyring: Keyring, vault: Vault, row: InstructionRow, found: Rows[InstructionRow]
) -> Read:
    """One that a delegate signed who may write, or might; refused where they may not any more, or it says nothing.

    Raises:
        ForgedRecord: nobody did who may, or the row says something else.
        DoesNotOpen: the home leaves out what is sealed.
    """
    said, grant = await _signed(session, vault, row)
    sealed = found.blob(said.content)
    if digest(sealed) != said.content:
        raise DoesNotOpen
    try:
        wanted = read_wanted(open_instruction(vault.keys.get(said.generation, b""), said, sealed))
    except (DoesNotOpen, Malformed) as error:  # it is what they signed
        return Read(said, grant, refusal=error)
    try:
        await _check_standing(session, keyring, vault, said, grant)
    except LATER:
        raise
    except Refusal as refusal:
        return Read(said, grant, wanted, refusal)
    return Read(said, grant, wanted)


async def _signed(session: Session, vault: Vault, row: InstructionRow) -> tuple[Instruction, Grant]:
    record, signature = unb64(row.record), unb64(row.signature)
    said = read_instruction(record)
    place = (row.principal, row.delegation, row.n, row.content)
    if place != (said.principal, said.delegation, said.n, said.content) or said.principal != session.account:
        raise ForgedRecord(f"What the backend says of instruction {row.n} is not what a delegate signed.")
    ended = vault.walk.removed.get(said.delegation)
    grant = ended.grant if ended else vault.walk.grants.get(said.delegation)
    if grant is None or grant.delegate != said.by or grant.role not in WRITERS:
        raise ForgedRecord("What is wanted in your name is wanted by nobody who may.")
    await verified(
        session,
        vault.walk.lines[said.by],
        lambda public: verify_instruction(record, signature, public),
        row.position,
        "instruction-given",
        {"record": row.record, "signature": row.signature},
    )
    await session.consistent(said.checkpoint)
    return said, grant


async def _check_standing(session: Session, keyring: Keyring, vault: Vault, said: Instruction, grant: Grant) -> None:
    """Returns if the delegate may still, under the newest vault key, and in time.

    Raises:
        NotDelegated, DelegationExpired: they may not any more.
        Unverified: the connection over which oneself made them a delegate is not verified (any more).
        StaleVersion: it is under an older vault key: somebody was removed since.
        InstructionExpired: it is past its time.
        Malformed: it is for longer than it may be.
    """
    now = datetime.now(UTC)
    if said.delegation in vault.walk.removed:
        raise NotDelegated
    if grant.expires is not None and datetime.fromisoformat(grant.expires) <= now:
        raise DelegationExpired
    if grant.by == session.account:
        try:
            over = await connections.show(session, keyring, grant.connection)
        except NotFound:
            raise NotDelegated from None
        if not over.verified:
            raise Unverified
    if said.generation != vault.walk.generation:
        raise StaleVersion
    if said.expires <= now:
        raise InstructionExpired
    if said.expires > now + LONGEST + SKEW:
        raise Malformed("an instruction is for longer than it may be")


async def _do(session: Session, keyring: Keyring, wanted: Wanted) -> None:
    """Once: again, here or on another device of one's own, changes nothing.

    Raises:
        Unverified: the connection that it is about is not verified.
        NotFound, NotConnected, PastDate, AlreadyExists, ReshareNotPermitted: it cannot be done.
        StaleVersion: the principal has changed the share since.
    """
    match wanted:
        case NewShare():
            await _create(session, keyring, wanted)
        case NewGeneration():
            await _update(session, keyring, wanted)
        case End():
            await _end(session, keyring, wanted.share)


async def _create(session: Session, keyring: Keyring, wanted: NewShare) -> None:
    try:
        await shares.create(session, keyring, wanted.item, wanted.address, share=wanted.share, **wanted.wish)
    except AlreadyExists as error:
        try:
            there = await shares.own(session, keyring, wanted.share)
        except (NotFound, IntegrityAlarm):
            raise error from None
        if (there.item, there.recipient) != (wanted.item, wanted.address):
            raise


async def _update(session: Session, keyring: Keyring, wanted: NewGeneration) -> None:
    try:
        await resharing.update(session, keyring, wanted.share, wanted.applied, by_itself=True, base=wanted.generation)
    except StaleVersion:
        now = await shares.own(session, keyring, wanted.share)
        if now.generation == wanted.generation:
            raise Busy("others are faster with the share's item") from None
        if now.generation != wanted.generation + 1 or wanted.applied(now.conditions) != now.conditions:
            raise


async def _end(session: Session, keyring: Keyring, share: str) -> None:
    """End a share that one gives; what one is given, no delegate ends."""
    found = await session.ask(AskShares(id=share, direction="outgoing", bare=True, limit=2), ShareRow)
    if found.rows and found.one("share", share).owner == session.account:
        await shares.remove(session, share)
        return
    seen = session.memory.seen(SHARE, share)
    if seen is None or not seen.proven or not lines.is_own(session, seen):
        raise NotFound(f"there is no share {share}")
