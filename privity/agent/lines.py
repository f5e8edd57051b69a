"""Lines: what each side sends over a connection is numbered and linked, so that nothing is left out unnoticed.

An agent reads a connection's lines on from where it last stopped, checks every manifest, and remembers it. From then on
each share must be served until one of the two ends has signed that it ended, and none is taken that stands in no line.

A share has a manifest in its sender's line for each generation. Memory keeps the newest, and none older is taken.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from privity.agent.chains import Heads, follow, index_of, linked_manifest, signed_chain
from privity.agent.connections import Broken, Connection
from privity.agent.identity import OWN, own_line
from privity.agent.kinds import SHARE
from privity.agent.log import Evidence, check_signer, evidence
from privity.agent.memory import Memory, Seen, check_not_older
from privity.agent.session import Session
from privity.crypto.identity import Identity
from privity.crypto.sharing import Manifest, read_manifest
from privity.encoding import digest, unb64
from privity.errors import ForgedRecord, ForkedLog, IntegrityAlarm, Malformed, NotFound, Unreachable, Withheld
from privity.messages import envelope
from privity.messages.base import Command
from privity.messages.connections import RemoveConnection
from privity.messages.shares import RemoveShare
from privity.messages.views import MAX_PAGE, AskLine, LineRow, ShareRow

SHARED_ITEM = "shared-item"
"""To find the shares of an item: `item/share`."""
READ = "line"
"""The position up to which a connection's lines were read."""

Told = dict[tuple[str, int], str]
"""The manifests that a line tells, and that hold: their digests by sender and number."""

ENDS: Mapping[type[Command], str] = {RemoveShare: "share-removed", RemoveConnection: "connection-removed"}
"""The commands that end a share, and the event that each makes."""


@dataclass(frozen=True, slots=True)
class Known:
    """What this device knew of shares before it asked for them: none may be missing, none may have changed."""

    seen: Mapping[str, Seen]
    connections: dict[str, Connection] = field(repr=False)

    def missing(self, served: Iterable[str], expected: Iterable[str] | None = None) -> list[Seen]:
        """The shares, all or those expected, that are not served although nobody has proven that they ended."""
        there = set(served)
        ids = self.seen if expected is None else expected
        return [self.seen[id] for id in ids if id in self.seen and id not in there and not self.seen[id].proven]

    def other(self, seen: Seen) -> str:
        """How the person calls the other end of a share."""
        connection, sender, _ = seen.place.split()
        over = self.connections.get(connection)
        return sender if over is None else over.address

    def sender(self, seen: Seen) -> str:
        """How the person calls who sent a share."""
        connection, sender, _ = seen.place.split()
        over = self.connections.get(connection)
        if over is None:
            return sender
        return over.address if over.peer == sender else OWN


def known(session: Session, connections: Iterable[Connection] = (), prefix: str = "") -> Known:
    """What this device knows now of shares, of all or of those whose ids begin like this."""
    seen = {each.id: each for each in session.memory.begins(SHARE, prefix)}
    return Known(seen, {each.connection: each for each in connections})


def is_own(session: Session, seen: Seen) -> bool:
    """Whether a remembered share was sent by oneself."""
    return seen.place.split()[1] == session.account


def connections_of(session: Session, prefix: str) -> list[str]:
    """The connections of the remembered shares, not known to have ended, whose ids begin like this."""
    if not prefix:
        return []
    standing = [seen for seen in session.memory.begins(SHARE, prefix) if not seen.proven]
    return list(dict.fromkeys(seen.place.split()[0] for seen in standing))


def is_newest(session: Session, manifest: Manifest, signed: str) -> bool:
    """Whether this is the newest manifest (base64url) of its share that was checked, and its share ended for sure."""
    seen = session.memory.seen(SHARE, manifest.share)
    return seen is not None and seen.proven and (seen.version, seen.digest) == (manifest.n, digest(unb64(signed)))


def shares_of_item(session: Session, prefix: str) -> list[str]:
    """The remembered shares of the items that begin like this."""
    return [seen.id.partition("/")[2] for seen in session.memory.begins(SHARED_ITEM, prefix)]


async def learn(session: Session, connection: Connection) -> Told:
    """Read the lines of a connection on from where this device last stopped, and remember them; what was read now.

    Raises:
        Withheld: a number is left out.
        ForkedLog: two manifests have one number, one does not follow the one before, or has a checkpoint of another
            history.
        ForgedRecord: one is not its sender's, or says something else.
    """
    cursor = session.memory.seen(READ, connection.connection)
    if cursor is not None:
        try:
            return await _learn_behind(session, connection, cursor.version)
        except Withheld:  # where this device stopped is a position, and positions are the backend's word
            pass
    return await _learn_all(session, connection)


async def next_place(session: Session, connection: Connection) -> tuple[int, str | None]:
    """The number and the link that one's own next manifest over a connection must have.

    Raises:
        IntegrityAlarm: as `learn`.
    """
    await learn(session, connection)
    n, head = _head(session.memory, connection.connection, session.account, connection.peer)
    return n + 1, head


def sent(session: Session, signed: bytes) -> None:
    """Remember a manifest that this device has just sent: from now on the share must be there."""
    _remember(session.memory, [(read_manifest(signed), digest(signed))])


async def check_served(session: Session, before: Known, manifest: Manifest, signed: bytes) -> None:
    """Returns if a share that is served stands in its sender's line with this manifest, and was not an older one.

    Raises:
        RolledBack: it had ended, or a newer generation of it was seen.
        ForgedRecord: its number has another manifest.
        Withheld: its line leaves it out.
    """
    seen = before.seen.get(manifest.share)
    if seen is None and not manifest.n:  # made by Privity 0.1, before there were lines
        return
    if seen is None or (seen.version < manifest.n and not seen.proven):
        came = await _come_meanwhile(session, before.connections[manifest.connection], manifest)
        seen = replace(came, proven=False)  # it may have ended since it was served
    check_not_older(seen, manifest.n, digest(signed))


async def left_out(session: Session, before: Known, missing: Sequence[Seen]) -> list[Broken]:
    """Of shares that stood and are not served: those of which nobody signed that they ended, each with its alarm."""
    if session.offline:
        lacking = session.lacking([seen.id for seen in missing])
        why = {id: Unreachable(f"share {id} is known, and not kept on this device") for id in lacking}
        return [Broken(seen.id, before.sender(seen), why[seen.id]) for seen in missing if seen.id in why]
    ends: dict[str, int] = {}
    for connection in dict.fromkeys(seen.place.split()[0] for seen in missing):
        rows = (await session.ask_all(AskLine(connection=connection, limit=MAX_PAGE), LineRow)).rows
        ends.update({row.share: row.ended for row in rows if row.ended is not None})
    found: list[Broken] = []
    for seen in missing:
        sender = before.sender(seen)
        alarm: IntegrityAlarm = Withheld(f"Share {seen.id} is left out, number {seen.version} of what {sender} sent.")
        try:
            if await _has_ended(session, seen, ends.get(seen.id), before.other(seen)):
                continue
        except IntegrityAlarm as other:
            alarm = other
        except Malformed:
            pass
        found.append(Broken(seen.id, sender, alarm))
    return found


async def check_ended(session: Session, row: ShareRow) -> None:
    """Returns if one of the two ends signed that a share ended which the home says had ended.

    Raises:
        Withheld: the home shows no such thing.
    """
    place = _place(row.connection, row.owner, row.recipient)
    seen = session.memory.seen(SHARE, row.share) or Seen(SHARE, row.share, place, 1, "")
    if not seen.proven and await left_out(session, Known({}, {}), [seen]):
        raise Withheld(f"The backend says that share {row.share} had ended, and nobody has signed that.")


async def _learn_all(session: Session, connection: Connection) -> Told:
    return await _learn_behind(session, connection, 0)


async def _learn_behind(session: Session, connection: Connection, position: int) -> Told:
    ask = AskLine(connection=connection.connection, after=position, limit=MAX_PAGE)
    rows = (await session.ask_all(ask, LineRow)).rows
    ends = {session.account: connection.peer, connection.peer: session.account}
    sides = {
        one: _Side(_place(connection.connection, one, other), *_head(session.memory, connection.connection, one, other))
        for one, other in ends.items()
    }
    fresh: list[tuple[Manifest, str]] = []
    for row in rows:
        if row.connection != connection.connection or row.sender not in sides:
            raise ForgedRecord("The backend answered with another line than the one asked for.")
        side, named = sides[row.sender], digest(unb64(row.manifest))
        if row.n <= side.known:
            _check_again(session.memory, row, side, named)
        elif not _is_known(session.memory, row, side.place, named):
            fresh.append((await _checked(session, connection, row, side.n, side.head), named))
        side.goes_on(row.n, named)
    if fresh:
        await session.consistent(*dict.fromkeys(manifest.checkpoint for manifest, _ in fresh))
    _remember(session.memory, fresh)
    await _remember_ends(session, connection, rows)
    if rows:
        session.memory.saw(READ, connection.connection, rows[-1].position)
    return {(one, n): named for one, side in sides.items() for n, named in side.holding().items()}


@dataclass(slots=True)
class _Side:
    """What one side sent, while it is read: the newest number and digest that hold.

    What is told up to the number that was known before is told again: each must follow the one before, and the last
    must be the one that is remembered. Then all are what they were, for each names the digest of the one before.
    """

    place: str
    n: int
    head: str | None
    known: int = field(init=False)
    again: tuple[int, str] | None = None
    told: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = self.n

    def goes_on(self, n: int, named: str) -> None:
        """One more manifest holds."""
        self.told[n] = named
        if n <= self.known:
            self.again = n, named
        if n > self.n:  # another process of this profile may read the same line, and be further
            self.n, self.head = n, named

    def holding(self) -> dict[int, str]:
        """The digests by number; of what was told again only if the last one that was known is among it."""
        least = 0 if self.known in self.told else self.known
        return {n: named for n, named in self.told.items() if n > least}


def _check_again(memory: Memory, row: LineRow, side: _Side, named: str) -> None:
    """Returns if a manifest that is told again is, as far as it goes, what it was.

    Raises:
        Withheld: the number before it is left out.
        ForkedLog: it is another one, or does not follow the one before.
        ForgedRecord: the backend says something else of it than its sender.
    """
    if side.again is not None and row.n > side.again[0] + 1:
        raise Withheld(f"The backend leaves out number {side.again[0] + 1} of a line, which was seen before.")
    manifest = read_manifest(unb64(row.manifest))
    said = (row.connection, row.sender, row.n, row.share)
    if said != (manifest.connection, manifest.owner, manifest.n, manifest.share):
        raise ForgedRecord(f"What the backend says of number {row.n} is not what was sent.")
    follows = side.again is None or (row.n, manifest.prev) == (side.again[0] + 1, side.again[1])
    is_head = row.n < side.known or named == side.head
    if not (follows and is_head and _is_known(memory, row, side.place, named, older=True)):
        raise ForkedLog(f"Number {row.n}, share {row.share}, was another one when it was seen before.")


async def _come_meanwhile(session: Session, connection: Connection, manifest: Manifest) -> Seen:
    """The manifest that a share's line has at the number of the one that is served."""
    for read in (learn, _learn_all):
        told = await read(session, connection)
        seen = session.memory.seen(SHARE, manifest.share)
        named = told.get((manifest.owner, manifest.n))
        if seen is not None and named is not None:
            return replace(seen, version=manifest.n, digest=named)
        if seen is not None and seen.version == manifest.n:
            return seen
    raise Withheld(f"Share {manifest.share} is served, but the line leaves out its number {manifest.n}.")


def _is_known(memory: Memory, row: LineRow, place: str, named: str, *, older: bool = False) -> bool:
    """Whether the manifest is remembered; with `older`, whether an older one of a share that is remembered may be."""
    seen = memory.seen(SHARE, row.share)
    if seen is None:
        return False
    if seen.place != place or (seen.version == row.n and seen.digest != named):
        raise ForkedLog(f"Number {seen.version}, share {seen.id}, was another one when it was seen before.")
    return row.n == seen.version or (older and row.n < seen.version)


async def _checked(session: Session, connection: Connection, row: LineRow, n: int, head: str | None) -> Manifest:
    """The manifest of a row, which must be the next behind number `n`, whose digest is `head`."""
    sender = OWN if row.sender == session.account else connection.address
    if row.n > n + 1:
        raise Withheld(f"The backend leaves out number {n + 1} of what {sender} sent over {connection.connection}.")
    if row.n <= n:
        raise ForkedLog(f"Two things are number {row.n} of what {sender} sent over {connection.connection}.")
    line = await _identities(session, connection, row.sender)
    manifest, _ = linked_manifest(line, row.manifest, row.signature)  # one by a key that was given up keeps its place
    if manifest.prev != head:
        raise ForkedLog(f"Number {row.n} of what {sender} sent does not follow number {n} that was seen.")
    ends = (session.account, connection.peer)
    recipient = ends[ends[0] == row.sender]
    said = (row.connection, row.sender, recipient, row.n, row.share)
    if said != (manifest.connection, manifest.owner, manifest.recipient, manifest.n, manifest.share):
        raise ForgedRecord(f"What the backend says of number {row.n} is not what {sender} signed.")
    return manifest


async def _identities(session: Session, connection: Connection, sender: str) -> Sequence[Identity]:
    if sender == connection.peer:
        return connection.line
    _, mine = await own_line(session)
    return mine[index_of(mine, connection.own_head, OWN) :]


def _head(memory: Memory, connection: str, sender: str, recipient: str) -> tuple[int, str | None]:
    seen = memory.all_in(SHARE, _place(connection, sender, recipient))
    return (seen[-1].version, seen[-1].digest) if seen else (0, None)


def _place(connection: str, sender: str, recipient: str) -> str:
    return f"{connection} {sender} {recipient}"


def _remember(memory: Memory, manifests: Iterable[tuple[Manifest, str]]) -> None:
    for manifest, named in manifests:
        place = _place(manifest.connection, manifest.owner, manifest.recipient)
        memory.saw(SHARE, manifest.share, manifest.n, named, place)
        memory.saw(SHARED_ITEM, f"{manifest.item}/{manifest.share}", manifest.n)


async def _remember_ends(session: Session, connection: Connection, rows: Iterable[LineRow]) -> None:
    for row in rows:
        seen = session.memory.seen(SHARE, row.share)
        if row.ended is not None and seen is not None and not seen.proven:
            with suppress(
                IntegrityAlarm, Malformed
            ):  # what is not proven still stands, and is an alarm where it is missing
                await _has_ended(session, seen, row.ended, connection.address)


async def _has_ended(session: Session, seen: Seen, position: int | None, name: str) -> bool:
    """Whether one of the two ends signed that a share, or its connection, ended; that is remembered for good.

    Args:
        position: of the event that ended it, as the backend says.
        name: how the person calls the other end.

    Raises:
        IntegrityAlarm: what the backend shows for it does not hold.
    """
    connection, *ends = seen.place.split()
    if position is None:
        return False
    try:
        shown = await evidence(session, position)
    except NotFound:
        return False
    by = shown.command.account
    if by not in ends or not (
        _says(shown, by, RemoveShare, share=seen.id) or _says(shown, by, RemoveConnection, connection=connection)
    ):
        return False
    follow(Heads(session.memory), shown.chain, by, OWN if by == session.account else name)
    check_signer(shown, {by: signed_chain(shown.chain)}, session.server)
    session.memory.ended(SHARE, seen.id, position)
    return True


def _says(shown: Evidence, by: str, command: type[Command], **named: str) -> bool:
    """Whether this is the command, and its event, with which somebody ended just this."""
    subject = envelope.command_subject(by, command.subject)
    return shown.says(ENDS[command], by=by, **named) and (shown.subject, shown.command.body) == (subject, named)
