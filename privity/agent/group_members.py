"""Who is in a group, as an admin sees and changes it: the signed roster, and the next epoch with a wrap for each."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from privity.agent import connections
from privity.agent.chains import Heads, follow, index_of, signed_chain
from privity.agent.connections import Connection
from privity.agent.group_history import Line, learn_line
from privity.agent.group_opening import ATTEMPTS, Group, signed_leave
from privity.agent.identity import newest_checkpoint
from privity.agent.keyring import Keyring
from privity.agent.kinds import GROUP
from privity.agent.log import check_signer, evidence
from privity.agent.session import Session
from privity.crypto.groups import (
    ADMIN,
    Epoch,
    Member,
    Roster,
    commit,
    link_key,
    seal_about,
    seal_space_key,
    sign_epoch,
    wraps_root,
)
from privity.crypto.kem import Suite
from privity.crypto.keyring import new_kek
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    Ambiguous,
    ForgedRecord,
    GroupMoved,
    KeyMismatch,
    Malformed,
    NotConnected,
    NotFound,
    RoleNotEnough,
    RolledBack,
    StaleSequence,
)
from privity.messages.base import Command
from privity.messages.catalog import check_address
from privity.messages.groups import (
    MAX_DROPPED,
    MAX_STAGED,
    AdvanceGroup,
    GroupMember,
    GroupRole,
    StageGroup,
)
from privity.messages.views import (
    MAX_PAGE,
    AskConnections,
    AskGroupMembers,
    AskGroups,
    ConnectionRow,
    GroupMemberRow,
    GroupRow,
)

AT_ONCE = 4
"""Commands with wraps that are sent before progress is told."""
Progress = Callable[[int, int], None]
"""Told how many members have a wrap of the next key, and of how many."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is, or is to be, in a group, with the identity that the key is sealed to.

    `address` is pinned where `known`, else the backend's word. `left`: they went.
    """

    account: str
    address: str
    known: bool
    role: GroupRole
    n: int
    head: str
    suite: Suite
    public: bytes = field(repr=False)
    left: bool = False
    signed: Member | None = None
    """As the epoch of now has them, if they are in it."""

    @property
    def member(self) -> Member:
        """As the epoch's tree has them."""
        return Member(self.account, self.role, self.head, digest(self.public))

    def to_message(self) -> GroupMember:
        """As commands carry them."""
        return GroupMember(self.role, self.n, self.head, digest(self.public))


@dataclass(frozen=True, slots=True)
class Change:
    """What the next epoch has other than the one before: `staged` get a wrap; `renew` makes a key that all get."""

    roster: Mapping[str, Person]
    staged: Mapping[str, Person]
    dropped: tuple[str, ...] = ()
    connections: Mapping[str, str] = field(default_factory=dict)
    renew: bool = False
    batch: str = field(default_factory=new_id)

    def next_members(self) -> list[Member]:
        """Who is in the next epoch: who is staged as they are now, the others as the epoch before has them."""
        return [
            self.staged[one].member if one in self.staged else each.signed or each.member
            for one, each in self.roster.items()
        ]


async def roster_of(session: Session, group: Group) -> dict[str, Person]:
    """Who is in the newest epoch, by its signed root; each with the newest identity that goes on from the one there."""
    heads = Heads(session.memory)
    ask = AskGroupMembers(group=group.group, limit=MAX_PAGE)
    rows = (await session.ask_all(ask, GroupMemberRow)).rows
    listed = [Member(row.account, row.role, row.head, row.seal) for row in rows]
    if (len(listed), Roster(listed).root) != (group.epoch.size, group.epoch.members):
        if await _went_on(session, group):
            raise GroupMoved
        raise ForgedRecord(f"The members of group {group.group} are not those that its admin signed.")
    people = {}
    for row in rows:
        if digest(unb64(row.public)) != row.seal:
            raise KeyMismatch(f"The backend served another key of {row.address} than the group's admin signed.")
        if row.left is not None:
            await _check_left(session, group, row)
        people[row.account] = await _renewed(session, heads, row)
    return people


async def _went_on(session: Session, group: Group) -> bool:
    """Whether the group went on since it was opened, as its row says; what that means is checked when it is opened."""
    row = (await session.ask(AskGroups(id=group.group, limit=2), GroupRow)).one("group", group.group)
    return row.epoch > group.epoch.epoch


async def _renewed(session: Session, heads: Heads, row: GroupMemberRow) -> Person:
    """A member with the identity of now, if its chain goes on from the one that the epoch has.

    Raises:
        RolledBack: it is older than the one that this device saw: its key may be in somebody else's hands.
        KeyMismatch: it is another one.
    """
    person = Person(
        row.account,
        row.address,
        False,
        row.role,
        row.n,
        row.head,
        Suite(row.suite),
        unb64(row.public),
        row.left is not None,
        Member(row.account, row.role, row.head, row.seal),
    )
    chain, seen = row.chain, heads.seen(row.account)
    if not chain:
        if seen is None or (row.n, row.head) == seen:
            return person
        if row.n < seen[0]:
            raise RolledBack(
                f"The backend serves an older identity of {row.address}: record {seen[0]} was seen before."
            )
        if row.n == seen[0]:
            raise KeyMismatch(
                f"Two histories of the identity of {row.address}: another record {row.n} was seen before."
            )
        chain = (await _whole(session, row)).chain
    line = follow(heads, chain, row.account, row.address)
    index_of(line, row.head, row.address)
    now = line[-1]
    return replace(person, n=now.n, head=b64(now.head), suite=now.seal_suite, public=now.seal)


async def _whole(session: Session, row: GroupMemberRow) -> GroupMemberRow:
    """A member's row with the whole chain of their identity."""
    ask = AskGroupMembers(group=row.group, account=row.account)
    return (await session.ask(ask, GroupMemberRow)).one("account", row.account)


async def _check_left(session: Session, group: Group, row: GroupMemberRow) -> None:
    """Nobody goes because the backend says so: they signed for it, in the epoch that counts now."""
    shown, id = await evidence(session, row.left or 0), group.group
    whole = await _whole(session, row)
    check_signer(shown, {row.account: signed_chain(whole.chain)}, session.server)
    left = shown.says("group-left", group=id, account=row.account)
    if not left or not signed_leave(shown, id, group.epoch.epoch):
        raise ForgedRecord(f"{row.address} did not sign that they left group {id}.")


async def with_roster(session: Session, group: Group) -> tuple[Group, dict[str, Person]]:
    """A group with its roster, for an admin.

    Raises:
        RoleNotEnough: one is none.
        GroupMoved, IntegrityAlarm: as `roster_of`.
    """
    if group.role != ADMIN:
        raise RoleNotEnough("only admins change who is in the group")
    return group, await roster_of(session, group)


async def advance(
    session: Session,
    keyring: Keyring,
    id: str,
    group: Group | None,
    change: Change,
    *,
    name: str = "",
    nonce: bytes | None = None,
    progress: Progress | None = None,
) -> None:
    """Stage the wraps in chunks, and begin the epoch with one signed record; without a group it is the first."""
    before = group.epoch if group else None
    number = before.epoch + 1 if before else 1
    key, space_key = (number, new_kek()) if group is None or change.renew else (group.epoch.key, group.key)
    wraps = await _wrapped(session, id, number, key, space_key, change, progress)
    parts: tuple[bytes, ...] = ()
    if key == number:
        about = (group.name if group else name).encode()
        parts = (seal_about(space_key, about, id, key),)
        parts += (link_key(space_key, group.key, id, key),) if group else ()
    named = [digest(part) for part in parts]
    epoch = Epoch(
        group=id,
        epoch=number,
        prev=group.history.head if group else None,
        by=session.account,
        size=len(change.roster),
        members=Roster(change.next_members()).root,
        key=key,
        commitment=commit(id, key, space_key),
        wraps=wraps_root(wraps),
        about=named[0] if named or before is None else before.about,
        link=(named[1] if named[1:] else None) if named or before is None else before.link,
        n=0,
        last=None,
        checkpoint=await newest_checkpoint(session),
        dropped=change.dropped,
        nonce=b64(nonce) if nonce else None,
    )
    await _begin(session, keyring, group, epoch, change.batch, parts)


async def _wrapped(
    session: Session, id: str, number: int, key: int, space_key: bytes, change: Change, progress: Progress | None
) -> dict[str, str]:
    """Bring a wrap of the space key for everybody who is staged; the digests by account."""
    wraps: dict[str, str] = {}
    waiting: list[tuple[Command, Sequence[bytes]]] = []
    staged = list(change.staged.values())
    for start in range(0, len(staged), MAX_STAGED):
        chunk = staged[start : start + MAX_STAGED]
        sealed = [seal_space_key(each.suite, each.public, space_key, id, key, each.member) for each in chunk]
        named = {each.account: digest(wrap) for each, wrap in zip(chunk, sealed, strict=True)}
        command = StageGroup(
            group=id,
            epoch=number,
            batch=change.batch,
            members={each.account: each.to_message() for each in chunk},
            wraps=named,
            connections={each: change.connections[each] for each in named if each in change.connections},
        )
        waiting.append((command, sealed))
        wraps |= named
        if len(waiting) == AT_ONCE or len(wraps) == len(staged):
            await session.send_all(waiting)
            waiting.clear()
            if progress is not None:
                progress(len(wraps), len(staged))
    return wraps


async def _begin(
    session: Session, keyring: Keyring, group: Group | None, epoch: Epoch, batch: str, parts: Sequence[bytes]
) -> None:
    """Sign the record as of the newest number of the line, and send it; again if somebody has just written."""
    index, proof = (group.row.index, group.row.proof) if group else (0, ())
    for left in reversed(range(ATTEMPTS)):
        line = await learn_line(session, group.history) if group else Line()
        epoch = replace(epoch, n=line.n, last=line.head)
        record, signature = sign_epoch(keyring.identity.sign, epoch)
        named = [digest(part) for part in parts]
        command = AdvanceGroup(
            group=epoch.group,
            epoch=epoch.epoch,
            batch=batch,
            dropped=epoch.dropped,
            record=b64(record),
            signature=b64(signature),
            index=index,
            proof=proof,
            about=named[0] if named else None,
            link=named[1] if named[1:] else None,
        )
        try:
            await session.send(command, *parts)
            break
        except StaleSequence:
            if not left:
                raise
    session.memory.saw(GROUP, epoch.group, epoch.epoch, digest(record))


def without(roster: Mapping[str, Person], gone: Collection[str], change: Change | None = None) -> Change:
    """Without these, and without whom `change` drops: a new key for all who stay."""
    dropped = {*gone, *(change.dropped if change else ())}
    if len(dropped) > MAX_DROPPED:
        raise Malformed(f"at most {MAX_DROPPED} members are dropped at a time")
    staying = {one: each for one, each in roster.items() if one not in dropped}
    joined = change.connections if change else {}
    return Change(staying, staying, tuple(sorted(dropped)), joined, renew=True)


async def connected_with(session: Session, keyring: Keyring, addresses: Sequence[str]) -> list[Connection]:
    """The connections with these people, by their pinned addresses."""
    if len(addresses) == 1:
        return [await connections.with_person(session, keyring, addresses[0])]
    found: dict[str, Connection] = {}
    for each in await connections.all_own(session, keyring):
        if isinstance(each, Connection) and found.setdefault(each.address, each) is not each:
            raise Ambiguous(f"there is more than one connection with {each.address}; add them by themself")
    for address in addresses:
        if address not in found:
            raise NotConnected(f"there is no connection with {address}")
    return [found[address] for address in dict.fromkeys(addresses)]


async def account_of(session: Session, keyring: Keyring, whom: str) -> str:
    """The account of somebody whom one is connected with, as it is pinned; or an account id as it was given.

    Raises:
        NotConnected: an address that is not pinned: what the backend says of whose it is, nobody signed.
    """
    if "@" not in whom:
        return whom
    address = check_address(whom)
    found = await session.ask_all(AskConnections(peer=address), ConnectionRow)
    for row in found.rows:  # quick, where the backend knows them by that address as well
        note = connections.unseal(keyring, found.blob(row.note), row.invitation)
        if note.address == address and note.peer is not None:
            return note.peer
    try:
        return (await connections.with_person(session, keyring, whom)).peer
    except NotConnected:
        raise NotConnected(
            f"you are not connected with {address}: give the account id, privity group members has it"
        ) from None


def one_of(roster: Mapping[str, Person], account: str) -> Person:
    """A member by account id."""
    if account not in roster:
        raise NotFound(f"{account} is not in the group")
    return roster[account]


def to_person(connection: Connection, role: GroupRole) -> Person:
    """Somebody whom one is connected with, by their newest identity."""
    now = connection.identity
    return Person(connection.peer, connection.address, True, role, now.n, b64(now.head), now.seal_suite, now.seal)
