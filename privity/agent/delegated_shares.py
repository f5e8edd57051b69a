"""What a delegate sees of the principal's shares, and the instructions by which they change them.

The rows are bare: a share's key is for its two ends. Each is held against the principal's signature. Whom it is for is
named by address as oneself knows them, else as the home says.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Unpack

from privity.agent import connections, delegated
from privity.agent.chains import signed_chain, signed_manifest
from privity.agent.connections import Broken
from privity.agent.contents import Wish, chosen, conditions_of
from privity.agent.feed import Wakes
from privity.agent.identity import current
from privity.agent.items import Item
from privity.agent.keyring import Keyring
from privity.agent.log import check_signer, evidence
from privity.agent.memory import Seen, check_not_older
from privity.agent.session import Rows, Session
from privity.agent.vaults import Vault
from privity.agent.versions import seen_checkpoint
from privity.agent.wanted import Condition, End, NewGeneration, NewShare, Wanted, read_wanted, to_bytes
from privity.crypto.instructions import (
    Instruction,
    open_instruction,
    read_instruction,
    seal_instruction,
    sign_instruction,
    verify_instruction,
)
from privity.crypto.sharing import FIRST_GENERATION, Manifest, Terms, read_manifest
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    Ambiguous,
    ForgedRecord,
    IntegrityAlarm,
    Malformed,
    NotDelegated,
    NotFound,
    NotInLog,
    PastDate,
    StaleSequence,
)
from privity.messages.catalog import check_address
from privity.messages.envelope import command_subject
from privity.messages.instructions import MAX_DAYS, AnswerInstruction, GiveInstruction
from privity.messages.views import AskInstructions, AskShares, InstructionRow, ShareRow

SHARE: Final = "delegated-share"
"""What is remembered of the shares of others: the generation, and the manifest's digest; the place is the principal."""
ANSWER: Final = "answered-instruction"
"""What is remembered of one's own instructions: a delegation and number, and the answer that was checked."""
STANDS: Final = timedelta(days=MAX_DAYS) - timedelta(hours=1)
"""For which an instruction is given: clocks differ."""
TRIES: Final = 5
"""Times that one is signed where another device of one's own gives others meanwhile."""
LOOK: Final = 5.0
"""Seconds between two looks for an answer, whatever the feed's live line says."""
WAITING: Final = "waiting"
BOUND: Final = ("share", "space", "connection", "item", "version", "generation", "owner", "recipient", "content")
CONDITIONS: Final = ("expires", "terms", "terms_hash", "reshare", "keep", "source")


@dataclass(frozen=True, slots=True)
class DelegatedShare:
    """A share of the principal's: one that there is, or that is to be.

    `status` is as the home says for one that there is; `waiting` while it is to be made, `refused: CODE` where it was
    not. `waits`: an instruction about it is not answered yet. `manifest` is None until there is one.
    """

    share: str
    item: str | None
    label: str | None
    sender: str
    recipient: str | None
    status: str
    expires: datetime | None
    waits: bool = False
    manifest: Manifest | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Given:
    """An instruction of one's own. `wanted` is None once it is answered; `code` is the error's where it was refused."""

    n: int
    share: str | None
    wanted: Wanted | None
    answered: bool
    code: str | None = None


async def all_of(session: Session, keyring: Keyring, vault: Vault) -> list[DelegatedShare | Broken]:
    """What the principal shares, and what is to be shared as oneself wants; one that does not hold hides no other."""
    before = {each.id: each for each in session.memory.all_in(SHARE, vault.principal)}
    found = await session.ask_all(AskShares(principal=vault.principal, direction="outgoing", bare=True), ShareRow)
    labels = await _labels(session, keyring, vault)
    told = await _given(session, vault)
    given = [each for each in told if isinstance(each, Given)]
    known = await connections.addresses(session, keyring)
    waiting = {each.share for each in given if not each.answered}
    shown = [await _try(session, vault, row, before, labels, known, waiting) for row in found.rows]
    good = [each for each in shown if isinstance(each, DelegatedShare) and each.manifest is not None]
    await _remember(session, vault, found, [each.share for each in good])
    there = {row.share for row in found.rows}
    to_be = _to_be(vault, [each for each in given if each.share not in there], labels)
    return [*shown, *to_be, *(each for each in told if isinstance(each, Broken))]


async def show(session: Session, keyring: Keyring, vault: Vault, id: str) -> DelegatedShare:
    """One of them, by id or unique prefix.

    Raises:
        NotFound, Ambiguous: none begins like this, or more than one.
        ForgedRecord, RolledBack: what is served is not what the principal signed last.
    """
    matching = [each for each in await all_of(session, keyring, vault) if id and _id_of(each).startswith(id)]
    if not matching:
        raise NotFound(f"there is no share {id} of {vault.address}")
    if len(matching) > 1:
        raise Ambiguous(f"more than one share begins with {id!r}; give more of the id")
    if isinstance(matching[0], Broken):
        raise matching[0].alarm
    return matching[0]


async def create(
    session: Session,
    keyring: Keyring,
    vault: Vault,
    item_id: str,
    address: str,
    **wish: Unpack[Wish],
) -> Given:
    """Have an item of the principal's shared with a person whom the principal is connected with.

    Raises:
        RoleNotEnough: one may only read.
        NotFound: there is no such item, or it has no such slot or file.
        PastDate: `expires` is past already.
    """
    item = await delegated.item_of(session, keyring, vault, item_id)
    slots, files = wish.get("slots"), wish.get("files")
    chosen(item.content, slots, files)
    conditions = conditions_of(wish)
    _check_future(conditions.expires)
    wanted = NewShare(
        share=new_id(),
        item=item.item,
        address=check_address(address),
        slots=None if slots is None else tuple(slots),
        files=None if files is None else tuple(files),
        expires=conditions.expires,
        terms=conditions.terms.text if conditions.terms is not None else None,
        reshare=conditions.reshare,
        keep=conditions.keep,
    )
    return await _give(session, keyring, vault, wanted)


async def update(
    session: Session, keyring: Keyring, vault: Vault, id: str, changes: Mapping[Condition, object]
) -> Given:
    """Have the other be given the item as it is then, and other conditions, where some are named.

    It follows what one sees, and what one wanted before: if the principal changes the share first, that stands.

    Raises:
        RoleNotEnough: one may only read.
        NotFound, Ambiguous: as `show`.
        PastDate: it would expire in the past.
    """
    share = await show(session, keyring, vault, id)
    said: dict[str, object] = {str(name): value for name, value in changes.items()}
    terms = said.get("terms")
    if isinstance(terms, Terms):
        said["terms"] = terms.to_bytes().decode()
    there = share.manifest.generation if share.manifest is not None else FIRST_GENERATION
    waiting = [each for each in await _given(session, vault) if isinstance(each, Given) and not each.answered]
    before = [each for each in waiting if each.share == share.share and isinstance(each.wanted, NewGeneration)]
    wanted = NewGeneration(
        share=share.share,
        generation=there + len(before),
        changed=tuple(changes),
        **said,  # type: ignore[arg-type]  # by their names
    )
    _check_future(wanted.expires)
    return await _give(session, keyring, vault, wanted)


async def remove(session: Session, keyring: Keyring, vault: Vault, id: str) -> Given:
    """Have a share of the principal's ended, also one that does not hold.

    Raises:
        RoleNotEnough: one may only read.
        NotFound, Ambiguous: none begins like this, or more than one.
    """
    found = await session.ask(AskShares(principal=vault.principal, id=id, bare=True, limit=2), ShareRow)
    share = found.one("share", id).share if found.rows else (await show(session, keyring, vault, id)).share
    return await _give(session, keyring, vault, End(share=share))


async def answer_to(session: Session, vault: Vault, given: Given, seconds: float) -> Given:
    """The instruction as it is answered; as it was, where it is not within so many seconds.

    Raises:
        Unreachable: nobody is there.
        ForgedRecord, NotInLog: the home says that it is answered, and the principal did not.
    """
    end, wakes = datetime.now(UTC) + timedelta(seconds=seconds), Wakes(session)
    await wakes.listen()
    while True:
        found = await _rows(session, vault)
        row = next((row for row in found.rows if row.n == given.n), None)
        now = given if row is None else await _one(session, vault, row, found)
        left = (end - datetime.now(UTC)).total_seconds()
        if now.answered or left <= 0:
            return now
        await wakes.wait(min(left, LOOK))


async def _give(session: Session, keyring: Keyring, vault: Vault, wanted: Wanted) -> Given:
    if vault.mine is None:
        raise NotDelegated
    keyring, _ = await current(session, keyring)
    for left in reversed(range(TRIES)):
        n = 1 + max((row.n for row in (await _rows(session, vault)).rows), default=0)
        command, content = await _signed(session, keyring, vault, n, wanted)
        try:
            await session.send(command, content)
            break
        except StaleSequence:
            if not left:
                raise
    return Given(n, wanted.share, wanted, answered=False)


async def _signed(
    session: Session, keyring: Keyring, vault: Vault, n: int, wanted: Wanted
) -> tuple[GiveInstruction, bytes]:
    if vault.mine is None:
        raise NotDelegated
    place: dict[str, object] = {
        "principal": vault.principal,
        "by": session.account,
        "delegation": vault.mine.delegation,
        "n": n,
        "generation": vault.walk.generation,
    }
    content = seal_instruction(vault.key, to_bytes(wanted), **place)  # type: ignore[arg-type]
    said = Instruction(
        **place,  # type: ignore[arg-type]
        expires=datetime.now(UTC) + STANDS,
        content=digest(content),
        checkpoint=await seen_checkpoint(session),
    )
    record, signature = sign_instruction(said, keyring.identity.sign)
    command = GiveInstruction(
        principal=said.principal,
        delegation=said.delegation,
        n=n,
        generation=said.generation,
        expires=said.expires,
        record=b64(record),
        signature=b64(signature),
        content=said.content,
    )
    return command, content


async def _rows(session: Session, vault: Vault) -> Rows[InstructionRow]:
    """One's own, of the delegation that one has now."""
    found = await session.ask_all(AskInstructions(principal=vault.principal), InstructionRow)
    mine = vault.mine.delegation if vault.mine else ""
    return Rows(tuple(row for row in found.rows if row.delegation == mine), found.sealed, found.erased)


async def _given(session: Session, vault: Vault) -> list[Given | Broken]:
    found = await _rows(session, vault)
    given: list[Given | Broken] = []
    for row in found.rows:
        try:
            given.append(await _one(session, vault, row, found))
        except (IntegrityAlarm, Malformed) as alarm:
            given.append(Broken(f"{row.delegation}/{row.n}", vault.address, alarm))
    return given


async def _one(session: Session, vault: Vault, row: InstructionRow, found: Rows[InstructionRow]) -> Given:
    """One's own instruction, as oneself signed it, and its answer, as the principal's device signed that.

    Raises:
        ForgedRecord: oneself did not give it; or nobody answered it so.
    """
    said = read_instruction(unb64(row.record))
    mine = (said.principal, said.by, said.delegation, said.n)
    if mine != (vault.principal, session.account, row.delegation, row.n):
        raise ForgedRecord(f"What the backend says of instruction {row.n} is not what you signed.")
    line = vault.walk.lines[session.account]
    if not any(_is_by(row, each.sign) for each in line):
        raise ForgedRecord(f"Instruction {row.n} is not signed by you.")
    if row.answered is None:
        key = vault.keys.get(said.generation, b"")
        wanted = read_wanted(open_instruction(key, said, found.blob(said.content)))
        return Given(row.n, wanted.share, wanted, answered=False)
    await _check_answer(session, vault, row)
    return Given(row.n, row.share, None, answered=True, code=row.code)


def _is_by(row: InstructionRow, public: bytes) -> bool:
    try:
        verify_instruction(unb64(row.record), unb64(row.signature), public)
    except ForgedRecord:
        return False
    return True


async def _check_answer(session: Session, vault: Vault, row: InstructionRow) -> None:
    """Returns if a device of the principal's signed this very answer; what was checked once is remembered.

    Raises:
        NotInLog, ForgedRecord: none did, or another answer.
    """
    named, said = f"{row.delegation} {row.n}", f"{row.answered} {row.code or ''} {row.share or ''}"
    before = session.memory.seen(ANSWER, named)
    if before is not None and before.digest == said:
        return
    try:
        shown = await evidence(session, row.answered or 0)
    except NotFound:
        raise NotInLog("The backend has no evidence of an answer where it says that it is.") from None
    answer = {"delegation": row.delegation, "n": row.n, "code": row.code, "share": row.share}
    event = {"principal": vault.principal, "digest": digest(unb64(row.record)), **answer}
    subject = command_subject(vault.principal, AnswerInstruction.subject)
    signed = (shown.subject, dict(shown.command.body)) == (subject, answer)
    if not signed or not shown.says("instruction-answered", **event):
        raise ForgedRecord(f"What the backend shows for the answer to instruction {row.n} does not say so.")
    check_signer(shown, {vault.principal: signed_chain(vault.chain)}, session.server)
    session.memory.saw(ANSWER, named, 1, said, vault.principal)


async def _labels(session: Session, keyring: Keyring, vault: Vault) -> dict[str, str]:
    found = await delegated.all_of(session, keyring, vault)
    return {each.item: each.content.label for each in found if isinstance(each, Item)}


async def _try(
    session: Session,
    vault: Vault,
    row: ShareRow,
    before: Mapping[str, Seen],
    labels: Mapping[str, str],
    known: Mapping[str, str],
    waiting: Collection[str | None],
) -> DelegatedShare | Broken:
    try:
        manifest = await _checked(session, vault, row, before.get(row.share))
    except (IntegrityAlarm, Malformed) as alarm:
        return Broken(row.share, row.recipient_address, alarm)
    return DelegatedShare(
        share=row.share,
        item=row.item,
        label=labels.get(row.item),
        sender=vault.address,
        recipient=known.get(manifest.recipient, row.recipient_address),
        status=_status(row, manifest),
        expires=manifest.expires,
        waits=row.share in waiting,
        manifest=manifest,
    )


async def _checked(session: Session, vault: Vault, row: ShareRow, before: Seen | None) -> Manifest:
    """What the principal signed, and the row says; nothing older than what was seen."""
    line = vault.walk.lines[vault.principal]
    manifest = await signed_manifest(session, line, row.manifest, row.signature, row.position)
    if manifest.owner != vault.principal:
        raise ForgedRecord(f"Share {row.share} is not of {vault.address}.")
    if any(getattr(row, name) != getattr(manifest, name) for name in (*BOUND, *CONDITIONS)):
        raise ForgedRecord(f"What the backend says of share {row.share} is not what its sender signed.")
    check_not_older(before, manifest.generation, digest(unb64(row.manifest)))
    return manifest


async def _remember(session: Session, vault: Vault, found: Rows[ShareRow], good: Collection[str]) -> None:
    """What holds is not taken older from now on, and the log goes on from where the principal saw it."""
    rows = [row for row in found.rows if row.share in good]
    checkpoints = [read_manifest(unb64(row.manifest)).checkpoint for row in rows]
    if checkpoints:
        await session.consistent(*dict.fromkeys(each for each in checkpoints if each))
    seen = [(row.share, row.generation, digest(unb64(row.manifest))) for row in rows]
    session.memory.saw_all(SHARE, seen, vault.principal)


def _status(row: ShareRow, manifest: Manifest) -> str:
    """As the two ends see it; whether it is accepted and claimed, the home says."""
    if manifest.expires is not None and manifest.expires <= datetime.now(UTC):
        return "expired"
    if manifest.terms_hash is not None and row.accepted is None:
        return "terms"
    return "claimed" if row.claimed else "new"


def _to_be(vault: Vault, given: Sequence[Given], labels: Mapping[str, str]) -> list[DelegatedShare]:
    """What is to be shared, or was refused; a share that was made and has ended is neither."""
    shown = []
    for each in given:
        wanted = each.wanted
        if isinstance(wanted, NewShare):
            label = labels.get(wanted.item)
            about = (wanted.share, wanted.item, label, vault.address, wanted.address)
            shown.append(DelegatedShare(*about, WAITING, wanted.expires, waits=True))
        elif each.code is not None and each.share is not None:
            shown.append(DelegatedShare(each.share, None, None, vault.address, None, f"refused: {each.code}", None))
    return shown


def _id_of(share: DelegatedShare | Broken) -> str:
    return share.id if isinstance(share, Broken) else share.share


def _check_future(expires: datetime | None) -> None:
    if expires is not None and expires <= datetime.now(UTC):
        raise PastDate("that time has passed already: a share ends in the future")
