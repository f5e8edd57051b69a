"""What a group's epochs and line say, as far as signatures, roots and this device's memory bear it out.

The epochs are a chain from the creator, whom the group's id names, each signed by an admin of the one before. The
line is a chain of all that was written, each number under the epoch that was the newest then. What this device has
checked before it knows again by its digest; what is new is checked in full.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

from privity.agent import connections
from privity.agent.chains import Bounds, logged_before, signed_by
from privity.agent.connections import Connection
from privity.agent.keyring import Keyring
from privity.agent.kinds import GROUP
from privity.agent.log import to_mark
from privity.agent.memory import Seen, check_not_older
from privity.agent.people import People
from privity.agent.session import Rows, Session
from privity.crypto.groups import (
    ADMIN,
    WRITING,
    Epoch,
    Member,
    Post,
    check_member,
    check_writing,
    open_claim,
    read_epoch,
    read_post,
    verify_epoch,
    verify_post,
)
from privity.crypto.identity import Identity
from privity.encoding import digest, unb64
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    ForkedLog,
    GroupMoved,
    IntegrityAlarm,
    KeyMismatch,
    NotInLog,
    RolledBack,
    Unverified,
    Withheld,
)
from privity.messages.views import (
    MAX_PAGE,
    AskGroupEpochs,
    AskGroupLine,
    AskGroupMembers,
    GroupEpochRow,
    GroupLineRow,
    GroupMemberRow,
)

LINE = "group-line"
"""The newest number of a group's line, and that manifest's digest."""
POST = "group-post"
"""A post and its newest version; the place is `group author`."""
VOID = "group-void"
"""A number of a group's line that counts for nothing: its checkpoint is none, or its key had been given up."""


VOIDED = "What stands in the group is signed by a key that had been given up as stolen before, or with no checkpoint."


class Members(People):
    """The identities of those who were ever in a group."""

    def __init__(self, session: Session, group: str) -> None:
        super().__init__(session)
        self._group = group

    async def _row(self, account: str) -> GroupMemberRow:
        ask = AskGroupMembers(group=self._group, account=account)
        rows = (await self._session.ask(ask, GroupMemberRow)).rows
        if not rows or rows[0].account != account:
            raise Withheld("The backend leaves out the identity of somebody who signed for the group.")
        return rows[0]


@dataclass(frozen=True, slots=True)
class History:
    """The epochs of a group, from the first on, each by its record."""

    group: str
    epochs: tuple[Epoch, ...]
    digests: tuple[str, ...]
    links: Mapping[str, bytes] = field(repr=False)

    @property
    def newest(self) -> Epoch:
        """The epoch that counts now."""
        return self.epochs[-1]

    @property
    def head(self) -> str:
        """The digest of the newest epoch's record."""
        return self.digests[-1]

    def at(self, epoch: int) -> Epoch:
        """An epoch by its number.

        Raises:
            GroupMoved: it is newer than these.
        """
        if not 1 <= epoch <= len(self.epochs):
            raise GroupMoved
        return self.epochs[epoch - 1]

    def after(self, epoch: int) -> Epoch | None:
        """The epoch behind one."""
        return self.epochs[epoch] if epoch < len(self.epochs) else None


@dataclass(slots=True)
class Standing:
    """A post as the line has it: the newest version, and the row that holds it; none where it was taken back.

    `alarm`: why the number, which keeps its place in the line, counts for nothing.
    """

    author: str
    version: int
    row: GroupLineRow | None
    manifest: Post
    alarm: IntegrityAlarm | None = None


@dataclass(slots=True)
class Line:
    """The line of a group as far as it was read: the newest number and its digest, and the posts on the way.

    `before` is what this device remembered of posts, and `void` of numbers, when it began to read.
    """

    n: int = 0
    head: str | None = None
    posts: dict[str, Standing] = field(default_factory=dict)
    sealed: Rows[GroupLineRow] | None = None
    before: Mapping[str, Seen] = field(default_factory=dict, repr=False)
    void: frozenset[int] = frozenset()


async def learn_epochs(
    session: Session, keyring: Keyring, group: str, claimed: bytes | None = None, *, alone: bool = False
) -> History:
    """The epochs of a group, checked from its creator on, and remembered.

    `claimed`: the space key as this person kept it, if they did; `alone`: nobody looks on, so who signed for a group
    that is met for the first time must be verified.

    Raises:
        RolledBack: fewer epochs than this device saw.
        ForgedRecord: another epoch under a number than it saw, or one that no admin of the epoch before signed.
        Withheld, ForkedLog: one is left out, or does not follow.
        KeyMismatch: nobody who signed one is connected with this person, who sees the group for the first time.
        Unverified: nobody of them is verified, and it is `alone`.
    """
    before = session.memory.seen(GROUP, group)
    found = await session.ask_all(AskGroupEpochs(group=group, limit=MAX_PAGE), GroupEpochRow)
    history = _chained(group, found)
    known = before.version if before else 0
    if known > len(history.epochs):
        raise RolledBack(f"The backend serves epoch {len(history.epochs)} of group {group}; {known} was seen before.")
    if before is not None:
        check_not_older(before, known, history.digests[known - 1])
    await _check_epochs(session, found.rows, history, known)
    if before is None:
        await _check_known(session, keyring, history, claimed, alone=alone)
    await session.consistent(*dict.fromkeys(epoch.checkpoint for epoch in history.epochs[known:]))
    session.memory.saw(GROUP, group, len(history.epochs), history.head)
    return history


async def learn_line(session: Session, history: History) -> Line:
    """Read the line on from where this device stopped, and remember it: its newest number and digest.

    Raises:
        Withheld, ForkedLog, ForgedRecord: as `read_line`.
    """
    seen, line = _recalled(session, history.group)
    if seen is not None:
        line.n, line.head = seen.version, seen.digest
    ask = AskGroupLine(group=history.group, after=line.n, limit=MAX_PAGE, bare=True)
    rows = (await session.ask_all(ask, GroupLineRow)).rows
    return await _read(session, history, line, rows, line.n)


async def read_line(session: Session, history: History) -> Line:
    """All that was written to a group, with what it holds.

    Raises:
        RolledBack: it is shorter than what this device saw.
        Withheld: a number is left out.
        ForkedLog: a number is another one than before, or does not follow.
        ForgedRecord: its author did not sign it, might not write, or wrote under an epoch that had ended.
    """
    seen, line = _recalled(session, history.group)
    found = await session.ask_all(AskGroupLine(group=history.group, limit=MAX_PAGE), GroupLineRow)
    known = seen.version if seen else 0
    if known > len(found.rows):
        raise RolledBack(f"The line of group {history.group} ends before number {known}, which was seen before.")
    line = await _read(session, history, line, found.rows, known, seen)
    line.sealed = found
    return line


def _recalled(session: Session, group: str) -> tuple[Seen | None, Line]:
    """How far the line was read, and what is remembered on the way, as of one moment before it is asked for."""
    memory = session.memory
    with memory.at_once():
        before = {each.id: each for each in memory.under(POST, group)}
        void = frozenset(each.version for each in memory.all_in(VOID, group))
        return memory.seen(LINE, group), Line(before=before, void=void)


def _chained(group: str, found: Rows[GroupEpochRow]) -> History:
    """The rows as epochs that follow one another; whose signatures they have is not yet looked at."""
    epochs, digests = list[Epoch](), list[str]()
    for number, row in enumerate(found.rows, 1):
        if row.group != group or row.epoch != number:
            raise Withheld(f"The backend leaves out epoch {number} of group {group}.")
        record = unb64(row.record)
        epoch = read_epoch(record)
        if (epoch.group, epoch.epoch, epoch.by) != (group, number, row.by):
            raise ForgedRecord(f"What the backend says of epoch {number} is not what its admin signed.")
        if epoch.prev != (digests[-1] if digests else None):
            raise ForkedLog(f"Epoch {number} of group {group} does not follow epoch {number - 1}.")
        epochs.append(epoch)
        digests.append(digest(record))
    if not epochs:
        raise Withheld(f"The backend leaves out the epochs of group {group}.")
    for before, after in pairwise(epochs):
        _check_follows(before, after)
    return History(group, tuple(epochs), tuple(digests), found.sealed)


def _check_follows(before: Epoch, after: Epoch) -> None:
    same = ("key", "commitment", "about", "link")
    kept = all(getattr(before, name) == getattr(after, name) for name in same)
    if after.n < before.n or not (after.key == after.epoch or (kept and not after.dropped)):
        raise ForgedRecord(f"Epoch {after.epoch} of group {after.group} has a key that it must not have.")


async def _check_epochs(session: Session, rows: Sequence[GroupEpochRow], history: History, known: int) -> None:
    """Those that are new. One whose key had been given up counts where an admin signs another epoch over it.

    That is its own admin, with a key that counts, or somebody who had signed an epoch before it.
    """
    people, doubted = Members(session, history.group), list[tuple[Epoch, IntegrityAlarm]]()
    since = dict[str, int]()
    for epoch in history.epochs[:known]:
        since.setdefault(epoch.by, epoch.epoch)
    for row, epoch in zip(rows[known:], history.epochs[known:], strict=True):
        alarm = await _check_epoch(session, people, row, epoch, history)
        if alarm is not None:
            doubted.append((epoch, alarm))
            continue
        first = since.setdefault(epoch.by, epoch.epoch)
        doubted = [(each, why) for each, why in doubted if each.by != epoch.by and each.epoch <= first]
    for _, alarm in doubted:
        raise alarm


async def _check_epoch(
    session: Session, people: Members, row: GroupEpochRow, epoch: Epoch, history: History
) -> IntegrityAlarm | None:
    """By a key of the admin, and an admin by the root of the epoch before; else why that key did not count then."""
    record, signature = unb64(row.record), unb64(row.signature)
    bounds = _signed_by(await people.line(epoch.by), lambda key: verify_epoch(record, signature, key))
    if epoch.epoch > 1:  # the first is its creator's, whom the group's id names
        if row.role != ADMIN:
            raise ForgedRecord(f"Epoch {epoch.epoch} of group {epoch.group} is signed by a {row.role}.")
        member = Member(epoch.by, row.role, row.head, row.seal)
        check_member(history.at(epoch.epoch - 1), member, row.index, row.proof)
    said = {"record": row.record, "signature": row.signature}
    try:
        await _check_before(session, bounds, row.position, "group-advanced", said)
    except (ForgedRecord, NotInLog) as alarm:
        return alarm
    return None


async def _check_known(
    session: Session, keyring: Keyring, history: History, claimed: bytes | None, *, alone: bool
) -> None:
    """Anybody could make a group and say who is in it: somebody connected must have signed for this one.

    Or this person knew it before, on another device, and kept its key.
    """
    signed = {epoch.by for epoch in history.epochs}
    if session.account in signed:
        return
    if claimed is not None:
        with suppress(DoesNotOpen):
            open_claim(keyring.kek, claimed, history.newest, session.account)
            return
    known = [each for each in await connections.all_own(session, keyring) if isinstance(each, Connection)]
    found = [each for each in known if each.peer in signed]
    if not found:
        raise KeyMismatch(f"Nobody whom you are connected with has signed for group {history.group}.")
    if alone and not any(each.verified and not each.compromised for each in found):
        raise Unverified(f"who signed for group {history.group} is not verified: look at it, privity group show")


async def _read(
    session: Session,
    history: History,
    line: Line,
    rows: Sequence[GroupLineRow],
    known: int,
    seen: Seen | None = None,
) -> Line:
    people, fresh = Members(session, history.group), list[tuple[Post, IntegrityAlarm | None]]()
    starts = {epoch.n: epoch.last for epoch in history.epochs}
    _check_start(history, starts, line)
    for row in rows:
        if row.group != history.group or row.n != line.n + 1:
            raise Withheld(f"The backend leaves out number {line.n + 1} of group {history.group}.")
        signed = unb64(row.manifest)
        post = read_post(signed)
        _check_place(row, post, line, history)
        alarm: IntegrityAlarm | None = ForgedRecord(VOIDED) if row.n in line.void else None
        if row.n > known:
            alarm = await _check_written(session, people, row, post, history)
            _check_version(line, row, post)
            fresh.append((post, alarm))
        line.n, line.head = row.n, digest(signed)
        _check_start(history, starts, line)
        if seen is not None and row.n == known and line.head != seen.digest:
            raise ForkedLog(f"Number {row.n} of group {history.group} was another one before.")
        author = _known_post(line, post.post)[0] or post.author
        line.posts[post.post] = Standing(author, post.version, row if post.content else None, post, alarm)
    if line.n < history.newest.n:
        raise Withheld(f"The line of group {history.group} ends before number {history.newest.n}.")
    await session.consistent(*dict.fromkeys(post.checkpoint for post, alarm in fresh if alarm is None))
    _remember(session, history.group, line, fresh)
    return line


def _check_start(history: History, starts: Mapping[int, str | None], line: Line) -> None:
    if starts.get(line.n, line.head) != line.head:
        raise ForkedLog(f"Number {line.n} of group {history.group} is another one than an admin signed for.")


def _check_place(row: GroupLineRow, post: Post, line: Line, history: History) -> None:
    said = (row.group, row.n, row.post, row.author)
    if said != (post.group, post.n, post.post, post.author):
        raise ForgedRecord(f"What the backend says of number {row.n} is not what its author signed.")
    if post.prev != line.head:
        raise ForkedLog(f"Number {row.n} of group {history.group} does not follow number {line.n}.")


async def _check_written(
    session: Session, people: Members, row: GroupLineRow, post: Post, history: History
) -> IntegrityAlarm | None:
    """Signed by the author, who might write, while the epoch was the newest; else why the number counts for nothing.

    That, and not an error, is what its author alone can bring about: or anybody could end the line for all others.
    """
    epoch = history.at(post.epoch)
    check_writing(post, epoch, history.after(post.epoch))
    check_member(epoch, Member(post.author, row.role, row.head, row.seal), row.index, row.proof)
    if post.content is not None and row.role not in WRITING:
        raise ForgedRecord(f"Number {post.n} of group {post.group} was written by a {row.role}.")
    manifest, signature = unb64(row.manifest), unb64(row.signature)
    bounds = _signed_by(await people.line(post.author), lambda key: verify_post(manifest, signature, key))
    name = "group-withdrawn" if post.content is None else "group-posted"
    said = {"manifest": row.manifest, "signature": row.signature}
    try:
        to_mark(post.checkpoint, session.server)
        await _check_before(session, bounds, row.position, name, said)
    except (ForgedRecord, NotInLog) as alarm:
        return alarm
    return None


def _check_version(line: Line, row: GroupLineRow, post: Post) -> None:
    """The next version is its author's; only they and admins take it back, and then it stays so."""
    author, version, gone = _known_post(line, post.post)
    if post.content is None:
        good = post.version == version and not gone and (post.author == author or row.role == ADMIN)
    else:
        good = post.version == version + 1 and not gone and author in ("", post.author)
    if not good:
        raise ForgedRecord(f"Number {post.n} of group {post.group} is not its author's to write.")


def _known_post(line: Line, id: str) -> tuple[str, int, bool]:
    """Author, newest version, and whether it was taken back."""
    if id in line.posts:
        standing = line.posts[id]
        return standing.author, standing.version, standing.row is None
    seen = line.before.get(id)
    if seen is None:
        return "", 0, False
    return seen.place.split()[1], seen.version, seen.proven


def _remember(session: Session, group: str, line: Line, fresh: Iterable[tuple[Post, IntegrityAlarm | None]]) -> None:
    memory = session.memory
    with memory.at_once():  # posts without the line, or the line without posts, would be an alarm for ever
        for post, alarm in fresh:
            author = line.posts[post.post].author
            memory.saw(POST, post.post, post.version, place=f"{group} {author}")
            if post.content is None:
                memory.ended(POST, post.post, post.n)
            if alarm is not None:
                memory.saw(VOID, f"{group}/{post.n}", post.n, place=group)
        if line.head is not None:
            memory.saw(LINE, group, line.n, line.head)


def _signed_by(line: Sequence[Identity], check: Callable[[bytes], object]) -> Bounds:
    """The checkpoints before which the signature must have been made: none for a key that nobody called stolen."""
    return signed_by(line, check, "What stands in the group is not signed by the one whom it is said to come from.")[1]


async def _check_before(session: Session, bounds: Bounds, position: int, name: str, said: Mapping[str, str]) -> None:
    """The log must have had the signature when its owner said that the key was stolen."""
    for bound in bounds:
        absent = "The backend has no evidence of what stands in the group where it says that it is."
        shown = await logged_before(session, bound, position, absent)
        if shown is None:
            raise ForgedRecord(VOIDED)
        if not shown.says(name, **said):
            raise ForgedRecord("The log has something else where the backend says that the group has it.")
