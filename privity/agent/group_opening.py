"""A group, open: its epochs checked, one's own place in the newest one, and the space key at hand."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from privity.agent import feed
from privity.agent.chains import signed_chain
from privity.agent.group_history import History, learn_epochs
from privity.agent.identity import current, own_line
from privity.agent.keyring import Keyring
from privity.agent.kinds import GROUP
from privity.agent.log import Evidence, check_signer, evidence
from privity.agent.memory import Seen
from privity.agent.session import Rows, Session
from privity.crypto.groups import (
    Epoch,
    Member,
    check_member,
    claim_space_key,
    open_about,
    open_claim,
    open_space_key,
)
from privity.encoding import digest
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    GroupMoved,
    NotFound,
    StaleVersion,
    Withheld,
)
from privity.messages.groups import (
    ClaimGroup,
    GroupRole,
)
from privity.messages.views import (
    AskGroups,
    GroupRow,
)

T = TypeVar("T")

ATTEMPTS = 5
"""Times that something is tried while others change the group, or write to it."""
OVER = "group-over"
"""A group that one was dropped from, or left, and the epoch that was."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group that one is in, its epochs checked and its key at hand."""

    group: str
    name: str = field(repr=False)
    role: GroupRole
    history: History = field(repr=False)
    row: GroupRow = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def epoch(self) -> Epoch:
        """The epoch that counts now."""
        return self.history.newest

    @property
    def size(self) -> int:
        """How many members there are, oneself included."""
        return self.epoch.size


async def steady(
    session: Session, keyring: Keyring, id: str, act: Callable[[Group], Awaitable[T]], *, alone: bool = False
) -> T:
    """Do something with a group by id or unique prefix; again where it went on meanwhile.

    `alone`: as `learn_epochs` has it.

    Raises:
        Withheld: the backend's answers never fit together.
    """
    before = session.memory.begins(GROUP, id) if id else []
    for _ in range(ATTEMPTS):
        found = await session.ask(AskGroups(id=id, limit=2), GroupRow, fresh=True)
        hidden = [seen for seen in before if seen.id not in {row.group for row in found.rows}]
        if len(found.rows) < 2 and hidden:  # or a prefix would name another group than it did
            await feed.learn(session)
            for seen in hidden:
                if not is_over(session, seen):
                    await check_ended(session, keyring, seen)
        try:
            return await act(await opened(session, keyring, found.one("group", id), found, alone=alone))
        except GroupMoved:
            continue
    raise Withheld(f"What the backend says of group {id} does not fit together.")


async def opened(
    session: Session, keyring: Keyring, row: GroupRow, found: Rows[GroupRow], *, alone: bool = False
) -> Group:
    """A served row as the group, if one is in its newest epoch and has the key that its admin signed.

    Raises:
        GroupMoved: row and epochs are of two times.
        DoesNotOpen: another key, or one sealed to an older identity.
        ForgedRecord, RolledBack, Withheld, KeyMismatch: as `learn_epochs`.
    """
    claimed = found.sealed.get(row.wrap or "") if row.claimed else None
    history = await learn_epochs(session, keyring, row.group, claimed, alone=alone)
    newest = history.newest
    if row.epoch != newest.epoch:
        raise GroupMoved
    if row.about != newest.about:
        raise ForgedRecord(f"What the backend says of group {row.group} is not what its admin signed.")
    me = Member(session.account, row.role, row.head, row.seal)
    check_member(newest, me, row.index, row.proof)
    wrap = found.blob(row.wrap or "")
    if row.claimed:
        key = open_claim(keyring.kek, wrap, newest, session.account)
    else:
        key = await claim(session, keyring, newest, me, wrap)
    name = open_about(key, found.blob(row.about), newest).decode("utf-8", "replace")
    return Group(row.group, name, row.role, history, row, key)


async def claim(session: Session, keyring: Keyring, epoch: Epoch, me: Member, wrap: bytes) -> bytes:
    """Unseal the space key with the identity's private key, and keep it under the KEK from now on."""
    keyring, identity = await current(session, keyring)
    if digest(identity.seal) != me.seal:
        raise DoesNotOpen(
            "The group's key is sealed to an older identity of yours: ask an admin to set your role again."
        )
    key = open_space_key(identity.seal_suite, keyring.identity.seal.private, wrap, epoch, me)
    claimed = claim_space_key(keyring.kek, key, epoch, session.account)
    with suppress(StaleVersion):  # the next epoch has begun; its key comes with it
        await session.send(ClaimGroup(epoch.group, epoch.key, digest(claimed)), claimed)
    return key


async def check_ended(session: Session, keyring: Keyring, seen: Seen) -> None:
    """Returns if one was dropped by an admin, or left; that is remembered for good.

    Raises:
        Withheld: neither is shown.
    """
    left_out = Withheld(f"The backend leaves out group {seen.id}, of which epoch {seen.version} was seen.")
    try:
        history = await learn_epochs(session, keyring, seen.id)
    except NotFound:
        raise left_out from None
    if session.account in history.newest.dropped:
        session.memory.saw(OVER, seen.id, history.newest.epoch)
        return
    now = session.memory.seen(GROUP, seen.id)
    if now is None or not now.ended:
        raise left_out
    shown = await evidence(session, now.ended)
    row, _ = await own_line(session)
    check_signer(shown, {session.account: signed_chain(row.chain)}, session.server)
    epoch = history.newest.epoch
    if not shown.says("group-left", group=seen.id, account=session.account) or not signed_leave(shown, seen.id, epoch):
        raise left_out
    session.memory.saw(OVER, seen.id, history.newest.epoch)


def signed_leave(shown: Evidence, group: str, epoch: int) -> bool:
    """Whether a signed command is that somebody goes in this epoch: who came again had gone in another one."""
    return shown.command.body in [{"group": group, "epoch": epoch, "closing": closing} for closing in (False, True)]


def is_over(session: Session, seen: Seen) -> bool:
    """Whether it was proven that one is not in it any more; one may be taken in again, by a later epoch."""
    over = session.memory.seen(OVER, seen.id)
    return over is not None and over.version >= seen.version
