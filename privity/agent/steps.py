"""Steps: who became a delegate of somebody and who is one no more, as signed; an agent walks all of them.

It takes each by the principal, or a grant by who was an owner then, and remembers the newest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from privity.agent.chains import Heads, follow, logged_before, signed_by
from privity.agent.log import Evidence, evidence
from privity.agent.memory import check_not_older
from privity.agent.session import Session
from privity.crypto.delegations import (
    OWNER,
    WRITERS,
    Grant,
    Removal,
    read_step,
    verify_step,
)
from privity.crypto.identity import Identity
from privity.encoding import digest, unb64
from privity.errors import (
    ForgedRecord,
    ForkedLog,
    NotFound,
    NotInLog,
    RolledBack,
)
from privity.messages.fields import SignedRecord
from privity.messages.views import MAX_PAGE, AskDelegations, DelegationRow

T = TypeVar("T")

ABSENT = "The backend has no evidence of what was done where it says that it was."

VAULT = "vault"
"""What is remembered: a principal, the number of the newest step, and its digest."""
REMOVED = "removed-delegation"
"""What is remembered: an ended delegation, and, as its digest, the position of the step that ended it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A grant, and the step that ended it: nothing counts that is done under it from that position on."""

    grant: Grant
    step: DelegationRow = field(repr=False)


@dataclass(slots=True)
class Walk:
    """What a principal's steps say, one after another.

    `lines` are the identities of all who may have signed, `chains` those of the delegates as served.
    """

    principal: str
    lines: dict[str, tuple[Identity, ...]] = field(repr=False)
    chains: dict[str, Sequence[SignedRecord]] = field(default_factory=dict, repr=False)
    digests: list[str] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    removed: dict[str, Ended] = field(default_factory=dict)

    @property
    def head(self) -> str | None:
        """The digest of the newest step."""
        return self.digests[-1] if self.digests else None

    @property
    def generation(self) -> int:
        """The vault key's; 0 before the first step."""
        return max(self.hashes, default=0)

    def of(self, account: str) -> Grant | None:
        """The standing grant of somebody."""
        return next((grant for grant in self.grants.values() if grant.delegate == account), None)


async def walk_steps(session: Session, principal: str, line: tuple[Identity, ...]) -> Walk:
    """All steps of a principal, each checked, and none fewer than were seen before."""
    before = session.memory.seen(VAULT, principal)
    walk = Walk(principal, {principal: line})
    checkpoints = []
    for row in (await session.ask_all(AskDelegations(principal=principal, limit=MAX_PAGE), DelegationRow)).rows:
        step = await _signed_step(session, walk, row)
        _add(walk, step, row, session)
        if before is None or step.n > before.version:
            checkpoints.append(step.checkpoint)
    n = len(walk.digests)
    if before is not None:
        if n < before.version:
            raise RolledBack(f"The backend serves {n} steps of a delegation; step {before.version} was seen before.")
        if walk.digests[before.version - 1] != before.digest:
            raise ForkedLog(f"Step {before.version} of a delegation was another one when it was seen before.")
    if checkpoints:
        await session.consistent(*dict.fromkeys(checkpoints))
    if walk.head is not None:
        session.memory.saw(VAULT, principal, n, walk.head)
    return walk


def may_write(walk: Walk, delegation: object, by: str) -> Ended | None:
    """Whether somebody may write as this delegation; None, or the end before which alone.

    Raises:
        ForgedRecord: they may not.
    """
    if by == walk.principal and delegation is None:
        return None
    ended = walk.removed.get(str(delegation))
    grant = ended.grant if ended else walk.grants.get(str(delegation))
    if grant is None or grant.delegate != by or grant.role not in WRITERS:
        raise ForgedRecord("What is said to be done in the owner's name is by nobody who may.")
    return ended


async def check_ended(
    session: Session, ended: Ended, position: int | None, name: str, named: Mapping[str, object]
) -> None:
    """The log must have what somebody did before the step that ended their delegation, and that step where it was seen.

    Raises:
        ForgedRecord: it has not.
        NotInLog: the backend does not show it.
    """
    if position is None or position >= ended.step.position:
        raise ForgedRecord("What is done in the owner's name is done by somebody who was no delegate any more.")
    step: dict[str, object] = {"record": ended.step.record, "signature": ended.step.signature}
    for at, what, fields in ((position, name, named), (ended.step.position, "delegation-removed", step)):
        if not (await _shown(session, at)).says(what, **fields):
            raise ForgedRecord("What is done in the owner's name is not in the log where the backend says that it is.")
    check_not_older(session.memory.seen(REMOVED, ended.grant.delegation), 1, str(ended.step.position))
    session.memory.saw(REMOVED, ended.grant.delegation, 1, str(ended.step.position), ended.grant.principal)


async def verified(
    session: Session,
    line: Sequence[Identity],
    check: Callable[[bytes], T],
    position: int | None,
    name: str,
    named: Mapping[str, object],
) -> T:
    """What some sign key of the line signed while its signatures counted.

    Raises:
        ForgedRecord: none did, or one that had been given up as stolen before.
    """
    unsigned = "What is done in the owner's name is not signed by the one whom it is said to come from."
    found, bounds = signed_by(line, check, unsigned)
    for bound in bounds:
        shown = await logged_before(session, bound, position, ABSENT)
        if shown is None or not shown.says(name, **named):
            raise ForgedRecord("What is done in the owner's name is signed by somebody who could not any more.")
    return found


async def _shown(session: Session, position: int) -> Evidence:
    try:
        return await evidence(session, position)
    except NotFound:
        raise NotInLog(ABSENT) from None


async def _signed_step(session: Session, walk: Walk, row: DelegationRow) -> Grant | Removal:
    """The next step, signed by the principal; a grant, perhaps by an owner of that time."""
    record, signature = unb64(row.record), unb64(row.signature)
    step = read_step(record)
    if (step.principal, step.n, step.prev) != (walk.principal, len(walk.digests) + 1, walk.head):
        raise ForgedRecord(f"Step {row.n} of a delegation does not follow the one before.")
    by = walk.of(step.by)
    if step.by != walk.principal and (by is None or by.role != OWNER or isinstance(step, Removal)):
        raise ForgedRecord(f"Step {step.n} of a delegation is by somebody who may make none.")
    name = "delegation-granted" if isinstance(step, Grant) else "delegation-removed"
    named: dict[str, object] = {"record": row.record, "signature": row.signature}
    return await verified(
        session,
        walk.lines[step.by],
        lambda public: verify_step(record, signature, public),
        row.position,
        name,
        named,
    )


def _add(walk: Walk, step: Grant | Removal, row: DelegationRow, session: Session) -> None:
    """Fold a signed step in, if it is one that its signer may make."""
    by_owner = step.by != walk.principal
    if isinstance(step, Grant):
        fits = (
            step.delegation not in walk.grants
            and step.delegation not in walk.removed
            and step.delegate != walk.principal
            and walk.of(step.delegate) is None
            and not (by_owner and step.role == OWNER)
            and step.generation == max(1, walk.generation)
            and walk.hashes.setdefault(step.generation, step.key) == step.key
        )
        if not fits:
            raise ForgedRecord(f"Step {step.n} of a delegation grants what it may not.")
        name = session.account if step.delegate == session.account else step.delegate
        walk.lines[step.delegate] = follow(Heads(session.memory), row.chain, step.delegate, name)
        walk.chains[step.delegate] = row.chain
        walk.grants[step.delegation] = step
    else:
        grant = walk.grants.pop(step.delegation, None)
        if grant is None or step.generation != walk.generation + 1:
            raise ForgedRecord(f"Step {step.n} of a delegation removes what it may not.")
        walk.removed[step.delegation] = Ended(grant, row)
        walk.hashes[step.generation] = step.key
    walk.digests.append(digest(unb64(row.record)))
