"""Groups: one space key for many members, sealed to pinned or rostered identities; each item is sealed once for all.

Whoever adds somebody is connected with them. The others know a member by the roster that an admin of theirs signed.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from privity.agent import connections, feed, items
from privity.agent.connections import Broken, Connection
from privity.agent.group_history import POST, Line, Standing, learn_epochs, learn_line, read_line
from privity.agent.group_members import (
    Change,
    Person,
    Progress,
    account_of,
    advance,
    connected_with,
    one_of,
    roster_of,
    to_person,
    with_roster,
    without,
)
from privity.agent.group_opening import ATTEMPTS, OVER, Group, check_ended, is_over, opened, steady
from privity.agent.identity import current, newest_checkpoint
from privity.agent.items import Content, read_content
from privity.agent.keyring import Keyring
from privity.agent.kinds import GROUP
from privity.agent.memory import Seen
from privity.agent.session import Rows, Session
from privity.agent.tasks import Task
from privity.crypto.groups import (
    ADMIN,
    NONCE_BYTES,
    READER,
    ROLES,
    Epoch,
    Post,
    group_id,
    open_link,
    open_post,
    seal_post,
    sign_post,
)
from privity.crypto.keyring import new_dek
from privity.encoding import b64, digest, new_id
from privity.errors import (
    AlreadyExists,
    Ambiguous,
    DoesNotOpen,
    GroupMoved,
    IntegrityAlarm,
    Malformed,
    NotFound,
    RoleNotEnough,
    StaleSequence,
    StaleVersion,
    Unverified,
)
from privity.messages.groups import (
    GroupRole,
    LeaveGroup,
    PostToGroup,
    WithdrawPost,
)
from privity.messages.views import (
    AskGroups,
    GroupRow,
)

MAX_NAME = 200
"""Characters of a group's name."""


@dataclass(frozen=True, slots=True)
class GroupPost:
    """A post, open. `author` is a pinned address, or the account id of somebody whom one is not connected with."""

    group: str
    post: str
    version: int
    author: str
    own: bool
    epoch: int
    key: int
    content: Content = field(repr=False)


async def create(session: Session, keyring: Keyring, name: str) -> Group:
    """Make a group with oneself alone, as its admin.

    Raises:
        Malformed: no name, or more than 200 characters.
    """
    if not 0 < len(name) <= MAX_NAME:
        raise Malformed(f"a group's name has 1 to {MAX_NAME} characters")
    keyring, identity = await current(session, keyring)
    nonce = secrets.token_bytes(NONCE_BYTES)
    id = group_id(session.account, nonce)
    me = Person(
        session.account,
        session.address,
        True,
        "admin",
        identity.n,
        b64(identity.head),
        identity.seal_suite,
        identity.seal,
    )
    alone = {me.account: me}
    await advance(session, keyring, id, None, Change(alone, alone, renew=True), name=name, nonce=nonce)
    return await show(session, keyring, id)


async def add(
    session: Session,
    keyring: Keyring,
    id: str,
    addresses: Sequence[str],
    role: GroupRole = READER,
    *,
    unverified: bool = False,
    progress: Progress | None = None,
) -> Group:
    """Take connected people in; they can read what was written before, too.

    Raises:
        NotConnected: one is not connected with oneself.
        Unverified: a connection is not verified, and the person did not consent (`unverified`).
        AlreadyExists: one is in the group.
        RoleNotEnough: one is no admin.
    """
    _check_role(role)
    found = await connected_with(session, keyring, addresses)
    for each in found:
        if not each.verified and not unverified:
            raise Unverified(
                f"the connection with {each.address} is not verified: compare the safety number, or consent"
            )

    def plan(roster: Mapping[str, Person]) -> Change:
        new = {each.peer: to_person(each, role) for each in found}
        if not new.keys().isdisjoint(roster):
            raise AlreadyExists("somebody of these is in the group already")
        return Change({**roster, **new}, new, (), {each.peer: each.connection for each in found})

    return await _changed(session, keyring, id, plan, progress)


async def set_role(session: Session, keyring: Keyring, id: str, whom: str, role: GroupRole) -> Group:
    """Give a member another role; the same one seals the key anew, to the identity that they have now.

    Raises:
        NotFound: there is no such member.
        RoleNotEnough: one is no admin.
        LastAdmin: the group would have no admin.
    """
    _check_role(role)

    def plan(roster: Mapping[str, Person]) -> Change:
        person = replace(one_of(roster, account), role=role)
        return Change({**roster, person.account: person}, {person.account: person})

    account = await account_of(session, keyring, whom)
    return await _changed(session, keyring, id, plan)


async def drop(
    session: Session, keyring: Keyring, id: str, whom: Sequence[str], *, progress: Progress | None = None
) -> Group:
    """Drop members, and give the next key to all who stay: nothing that is new opens for who was dropped.

    Raises:
        NotFound: there is no such member.
        RoleNotEnough: one is no admin.
        Malformed: it is oneself: leave.
    """

    def plan(roster: Mapping[str, Person]) -> Change:
        gone = {one_of(roster, each).account for each in accounts}
        if session.account in gone:
            raise Malformed("this is you: privity group leave")
        return without(roster, gone)

    accounts = [await account_of(session, keyring, each) for each in whom]
    return await _changed(session, keyring, id, plan, progress)


async def rekey(
    session: Session, keyring: Keyring, id: str, *, progress: Progress | None = None, alone: bool = False
) -> Group:
    """Drop those who went, and give the next key to all who stay.

    `alone`: nobody looks on, and somebody has to have gone: the backend's word is no reason for a new key.

    Raises:
        NotFound: nobody did.
        RoleNotEnough: one is no admin.
    """

    def plan(roster: Mapping[str, Person]) -> Change:
        if alone and not any(each.left for each in roster.values()):
            raise NotFound("nobody went")
        return without(roster, set())

    return await _changed(session, keyring, id, plan, progress, alone=alone)


async def leave(session: Session, keyring: Keyring, id: str, *, closing: bool = False) -> str:
    """Go: nothing more is served, and the next key is for the others alone. The group's full id.

    `closing`: the account ends, so even the last admin goes.

    Raises:
        LastAdmin: somebody else must be an admin first.
    """
    for left in reversed(range(ATTEMPTS)):
        found = await session.ask(AskGroups(id=id, limit=2), GroupRow)
        row = found.one("group", id)
        epoch = await _last_epoch(session, keyring, row, found)
        number = row.epoch if epoch is None else epoch.epoch
        if epoch is not None and epoch.size - row.went == 1:
            with suppress(IntegrityAlarm, Malformed):
                await _take_all_back(session, keyring, row.group)
        try:
            await session.send(LeaveGroup(row.group, number, closing))
        except StaleVersion:
            if not left:
                raise
            continue
        session.memory.saw(OVER, row.group, number)
        return row.group
    raise AssertionError


async def _take_all_back(session: Session, keyring: Keyring, id: str) -> None:
    """Who is left alone takes back what stands: nobody else could, afterwards."""
    roster = await steady(session, keyring, id, partial(roster_of, session))
    if all(each.left or each.account == session.account for each in roster.values()):
        for post in await posts(session, keyring, id):
            await withdraw(session, keyring, id, post.id if isinstance(post, Broken) else post.post)


async def _last_epoch(session: Session, keyring: Keyring, row: GroupRow, found: Rows[GroupRow]) -> Epoch | None:
    """The epoch that one goes in; none where what the backend says of it does not hold: one may go all the same."""
    claimed = found.sealed.get(row.wrap or "") if row.claimed else None
    try:
        return (await learn_epochs(session, keyring, row.group, claimed)).newest
    except (IntegrityAlarm, Malformed):
        return None


async def all_own(session: Session, keyring: Keyring) -> list[Group | Broken]:
    """The groups that one is in; one that lies hides no other, and one that is left out is `Withheld`."""
    await feed.learn(session)
    before = {seen.id: seen for seen in session.memory.all_in(GROUP, "")}
    found = await session.ask_all(AskGroups(), GroupRow, fresh=True)
    groups: list[Group | Broken] = []
    served = {row.group for row in found.rows}
    for row in found.rows:
        try:
            groups.append(await _opened(session, keyring, row, found))
        except NotFound:  # one went, or was dropped, meanwhile
            served.discard(row.group)
        except (IntegrityAlarm, Malformed, StaleVersion) as alarm:
            groups.append(Broken(row.group, row.group, session.meant(alarm)))
    for id, seen in before.items():
        if id not in served and not is_over(session, seen):
            try:
                await check_ended(session, keyring, seen)
            except (IntegrityAlarm, Malformed) as alarm:
                groups.append(Broken(id, id, session.meant(alarm)))
    return groups


async def _opened(session: Session, keyring: Keyring, row: GroupRow, found: Rows[GroupRow]) -> Group:
    try:
        return await opened(session, keyring, row, found)
    except GroupMoved:
        return await show(session, keyring, row.group)


async def show(session: Session, keyring: Keyring, id: str, *, alone: bool = False) -> Group:
    """A group by id or unique prefix; `alone`: nobody looks on, as `learn_epochs` has it.

    Raises:
        NotFound: one is in no such group.
        Withheld: one is, as far as anybody signed, and it is not served.
        RolledBack, ForkedLog, ForgedRecord, KeyMismatch: as `learn_epochs`.
    """

    async def itself(group: Group) -> Group:
        return group

    return await steady(session, keyring, id, itself, alone=alone)


async def members(session: Session, keyring: Keyring, id: str) -> list[Person]:
    """Who is in a group, as its newest epoch's root has them; addresses are pinned where one is connected."""
    roster = await steady(session, keyring, id, partial(roster_of, session))
    names = await _names(session, keyring)
    return [
        replace(each, address=names.get(each.account, each.address), known=each.account in names)
        for each in roster.values()
    ]


async def post(session: Session, keyring: Keyring, id: str, item_id: str, *, replaces: str | None = None) -> GroupPost:
    """Post one's own item, sealed once for all members; or as the next version of a post of one's own.

    Raises:
        NotFound: there is no such item, or no such post of one's own.
        RoleNotEnough: one may only read.
    """
    item = await items.show(session, keyring, item_id)
    return await write(session, keyring, id, item.content, replaces=replaces)


async def write(
    session: Session, keyring: Keyring, id: str, content: Content, *, replaces: str | None = None
) -> GroupPost:
    """As `post`, with any content."""
    for left in reversed(range(ATTEMPTS)):
        group = await show(session, keyring, id)
        if group.role == READER:
            raise RoleNotEnough("readers do not write: ask an admin of the group")
        try:
            return await _write(session, keyring, group, content, replaces)
        except (StaleSequence, StaleVersion):
            if not left:
                raise
    raise AssertionError


async def withdraw(session: Session, keyring: Keyring, id: str, post_id: str) -> str:
    """Take a post back: one's own, or as an admin anybody's; its full id.

    Raises:
        NotFound: there is no such post.
        RoleNotEnough: it is somebody else's, and one is no admin.
    """
    for left in reversed(range(ATTEMPTS)):
        group = await show(session, keyring, id)
        try:
            return await _withdraw(session, keyring, group, post_id)
        except (StaleSequence, StaleVersion):
            if not left:
                raise
    raise AssertionError


async def posts(session: Session, keyring: Keyring, id: str) -> list[GroupPost | Broken]:
    """All that stands in a group, in the order in which it was written; one that does not open hides no other.

    Raises:
        RolledBack, Withheld, ForkedLog, ForgedRecord: as `read_line`.
    """
    group, line, keys = await _read(session, keyring, id)
    names = await _names(session, keyring)
    found: list[GroupPost | Broken] = []
    for standing in sorted(line.posts.values(), key=lambda each: each.manifest.n):
        if standing.row is not None or standing.alarm is not None:
            try:
                found.append(_open(session, group, line, keys, names, standing))
            except (IntegrityAlarm, Malformed) as alarm:
                author = names.get(standing.author, standing.author)
                found.append(Broken(standing.manifest.post, author, alarm))
    return found


async def read(session: Session, keyring: Keyring, id: str, post_id: str) -> GroupPost:
    """A post by id or unique prefix.

    Raises:
        NotFound: there is none, or it was taken back.
        DoesNotOpen: it is not what its author signed.
    """
    group, line, keys = await _read(session, keyring, id)
    rows = tuple(each.row for each in line.posts.values() if each.row is not None and each.row.post.startswith(post_id))
    row = Rows(rows, {}).one("post", post_id)
    return _open(session, group, line, keys, await _names(session, keyring), line.posts[row.post])


async def reseal(session: Session, keyring: Keyring, id: str) -> list[GroupPost]:
    """Post all that stands of one's own and is under an older key anew, under the key of now."""
    group = await show(session, keyring, id)
    older = [each for each in await posts(session, keyring, id) if isinstance(each, GroupPost) and each.own]
    return [
        await write(session, keyring, group.group, each.content, replaces=each.post)
        for each in older
        if each.key < group.epoch.key
    ]


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """What waits for this person's agent: keys to claim, and keys to renew where somebody went."""
    tasks: list[Task] = []
    for row in (await session.ask_all(AskGroups(), GroupRow)).rows:
        if not row.claimed:
            act = partial(show, session, keyring, row.group, alone=True)
            tasks.append(Task("group-claim", f"{row.group}/{row.epoch}", "keep a group's key", _done(act)))
        elif row.went and row.role == ADMIN:
            act = partial(rekey, session, keyring, row.group, alone=True)
            about = f"{row.went} went: a new key for who stays"
            tasks.append(Task("group-rekey", f"{row.group}/{row.epoch}", about, _done(act)))
    return tasks


def _done(act: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await act()

    return run


async def _changed(
    session: Session,
    keyring: Keyring,
    id: str,
    plan: Callable[[Mapping[str, Person]], Change],
    progress: Progress | None = None,
    *,
    alone: bool = False,
) -> Group:
    """The group after a change; it is made anew when another admin was faster."""
    for left in reversed(range(ATTEMPTS)):
        group, roster = await steady(session, keyring, id, partial(with_roster, session), alone=alone)
        change = plan(roster)
        gone = {each.account for each in roster.values() if each.left}
        if gone:  # every epoch drops who went, and so has a new key
            change = without({**change.roster, **change.staged}, gone, change)
        keyring, _ = await current(session, keyring)
        try:
            await advance(session, keyring, group.group, group, change, progress=progress)
            break
        except StaleVersion:
            if not left:
                raise
    return await show(session, keyring, group.group)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Malformed(f"a role is one of {', '.join(ROLES)}")


async def _names(session: Session, keyring: Keyring) -> dict[str, str]:
    """The pinned address of everybody whom one is connected with, and one's own, by account."""
    known = [each for each in await connections.all_own(session, keyring) if isinstance(each, Connection)]
    return {each.peer: each.address for each in known} | {session.account: session.address}


async def _write(session: Session, keyring: Keyring, group: Group, content: Content, replaces: str | None) -> GroupPost:
    """Seal and sign it as the next number of the line, under the epoch of now."""
    line = await learn_line(session, group.history)
    post_id, version = _next_version(session, group, replaces)
    keyring, _ = await current(session, keyring)
    epoch = group.epoch
    sealed = seal_post(
        group.key,
        new_dek(),
        content.to_bytes(),
        epoch=epoch,
        post=post_id,
        version=version,
        author=session.account,
        identity=keyring.identity.sign,
        n=line.n + 1,
        prev=line.head,
        checkpoint=await newest_checkpoint(session),
    )
    command = PostToGroup(
        group=group.group,
        post=post_id,
        version=version,
        manifest=b64(sealed.manifest),
        signature=b64(sealed.signature),
        content=digest(sealed.content),
        wrap=digest(sealed.wrap),
        index=group.row.index,
        proof=group.row.proof,
    )
    await session.send(command, sealed.content, sealed.wrap)
    return GroupPost(group.group, post_id, version, session.address, True, epoch.epoch, epoch.key, content)


async def _withdraw(session: Session, keyring: Keyring, group: Group, id: str) -> str:
    line = await learn_line(session, group.history)
    seen = _standing_post(session, group, id)
    keyring, _ = await current(session, keyring)
    place = Post(
        group=group.group,
        epoch=group.epoch.epoch,
        key=group.epoch.key,
        post=seen.id,
        version=seen.version,
        author=session.account,
        n=line.n + 1,
        prev=line.head,
        content=None,
        wrap=None,
        checkpoint=await newest_checkpoint(session),
    )
    manifest, signature = sign_post(keyring.identity.sign, place)
    row = group.row
    await session.send(WithdrawPost(group.group, seen.id, b64(manifest), b64(signature), row.index, row.proof))
    return seen.id


def _next_version(session: Session, group: Group, replaces: str | None) -> tuple[str, int]:
    """The id and version of what is written next."""
    if replaces is None:
        return new_id(), 1
    seen = _standing_post(session, group, replaces)
    if seen.place != f"{group.group} {session.account}":
        raise NotFound(f"post {seen.id} is somebody else's")
    return seen.id, seen.version + 1


def _standing_post(session: Session, group: Group, id: str) -> Seen:
    """A post that the line has, by id or unique prefix."""
    found = session.memory.begins(POST, id) if id else []
    standing = [each for each in found if each.place.split()[0] == group.group and not each.proven]
    if not standing:
        raise NotFound(f"there is no post {id}")
    if len(standing) > 1:
        raise Ambiguous(f"more than one post begins with {id!r}; give more of the id")
    return standing[0]


async def _read(session: Session, keyring: Keyring, id: str) -> tuple[Group, Line, dict[int, bytes]]:
    """A group with its line, and the space key of every epoch that made one."""

    async def lined(group: Group) -> tuple[Group, Line, dict[int, bytes]]:
        return group, await read_line(session, group.history), _keys(group)

    return await steady(session, keyring, id, lined)


def _keys(group: Group) -> dict[int, bytes]:
    """The space keys by the epochs that made them, each found under the one behind it."""
    epoch, key = group.history.at(group.epoch.key), group.key
    keys = {epoch.key: key}
    while epoch.key > 1:
        before = group.history.at(epoch.key - 1)
        link = group.history.links.get(epoch.link or "")
        if link is None:
            raise DoesNotOpen("The backend left out a key that it should have served.")
        key = open_link(key, link, epoch, before)
        keys[before.key] = key
        epoch = group.history.at(before.key)
    return keys


def _open(
    session: Session, group: Group, line: Line, keys: Mapping[int, bytes], names: Mapping[str, str], standing: Standing
) -> GroupPost:
    row, manifest = standing.row, standing.manifest
    if standing.alarm is not None:
        raise standing.alarm
    assert row is not None  # noqa: S101 - a post that stands has one
    assert line.sealed is not None  # noqa: S101 - it was read with what it holds
    if (row.content, row.wrap) != (manifest.content, manifest.wrap):
        raise DoesNotOpen("The backend left out a post, or serves another than its author signed.")
    wrap, content = line.sealed.blob(manifest.wrap or ""), line.sealed.blob(manifest.content or "")
    opened = open_post(keys[manifest.key], manifest, wrap, content)
    return GroupPost(
        group=group.group,
        post=manifest.post,
        version=manifest.version,
        author=names.get(manifest.author, manifest.author),
        own=manifest.author == session.account,
        epoch=manifest.epoch,
        key=manifest.key,
        content=read_content(opened),
    )
