"""Pieces: one's own values under well-known names, sealed here, and those that connected people grant.

A piece of somebody else is believed when its owner signed it, when it is no older than what was seen before, and when
the grant answers the very challenge that was sent, or stands under one's own KEK already.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

from privity.agent import connections
from privity.agent.chains import signed_by
from privity.agent.connections import Broken, Connection
from privity.agent.feed import learn
from privity.agent.identity import current, newest_checkpoint, own_line
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_key
from privity.agent.kinds import GRANTED, PIECE, RELEASED
from privity.agent.memory import Memory, Seen, check_not_older
from privity.agent.session import Rows, Session
from privity.agent.tasks import Task
from privity.crypto.identity import Identity
from privity.crypto.keyring import new_dek
from privity.crypto.pieces import (
    GrantPlace,
    PieceRecord,
    open_grant,
    open_piece,
    piece_id,
    read_piece,
    seal_grant,
    seal_piece,
    store_key,
    stored_key,
    unwrap_owner,
    verify_grant,
    verify_piece,
)
from privity.encoding import b64, digest, unb64
from privity.errors import (
    AlreadyExists,
    ForgedRecord,
    IntegrityAlarm,
    KeyMismatch,
    Malformed,
    NotFound,
    RolledBack,
    StaleVersion,
    TooLarge,
    Withheld,
)
from privity.messages.base import Command
from privity.messages.fields import PieceName
from privity.messages.pieces import (
    MAX_WRAPS,
    RegrantPiece,
    ReleaseReader,
    RemovePiece,
    SetPiece,
    StorePiece,
)
from privity.messages.views import MAX_PAGE, AskPieces, AskReaders, PieceRow, ReaderRow, RequestRow

KIND = PIECE
KEY = "piece-key"
"""The newest generation of a piece's key that was seen."""

MAX_VALUE = 16 * 1024
"""Bytes of a value."""
ATTEMPTS = 5
"""Times that a piece is sealed when another device of one's own keeps it meanwhile."""

_name: TypeAdapter[str] = TypeAdapter(PieceName)
Sending = tuple[Command, Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Piece:
    """One's own piece, open."""

    piece: str
    name: str
    version: int
    generation: int
    value: str = field(repr=False)
    key: bytes = field(repr=False, compare=False)
    row: PieceRow = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who has a grant of a piece of one's own.

    There is no `connection` where it does not hold, or where a key signed the grant that was given up as stolen: then
    there is no new key for them, until they ask again. `ended`: the connection is not there any more.
    """

    reader: str
    address: str
    generation: int
    connection: Connection | None = field(repr=False)
    ended: bool = False

    @property
    def able(self) -> bool:
        """Whether a new key goes there by itself: not to where keys were given up as stolen since it was verified."""
        return self.connection is not None and not self.connection.compromised


def check_name(text: str) -> str:
    """The name of a piece, in lower case.

    Raises:
        Malformed: it is none.
    """
    try:
        return _name.validate_python(text.strip().lower())
    except ValidationError:
        raise Malformed("a piece's name has up to 32 of a-z, 0-9, _ and -, as in phone or currentcity") from None


async def put(session: Session, keyring: Keyring, name: str, value: str) -> Piece:
    """Keep a value under a name. The key stays while its readers stay; after a reader has gone it is a new one.

    Raises:
        Malformed: there is no value; `remove` takes a piece away.
        TooLarge: more than 16 KiB.
    """
    name, data = check_name(name), value.encode()
    if not data:
        raise Malformed("a piece has a value; privity piece rm takes it away")
    if len(data) > MAX_VALUE:
        raise TooLarge(f"a piece may have {MAX_VALUE} bytes")
    keyring, _ = await current(session, keyring)
    await learn(session)  # of readers who left, too
    for left in reversed(range(ATTEMPTS)):
        row, found, before = await _own_row(session, name)
        stay = await _who_stay(session, keyring, name) if row is not None and row.content is not None else []
        try:
            _, line = await own_line(session)
            if row is None or row.content is None or _must_renew(session.memory, row) or not _signed(line, row):
                return await _renew(session, keyring, row, name, data, stay)
            stands = await _opened(session, keyring, line, row, found, before)
            return await _keep(session, keyring, row, name, data, stands.generation, stands.key)
        except (StaleVersion, NotFound, AlreadyExists):  # another device, or a reader, was faster
            if not left:
                raise
    raise StaleVersion


async def all_own(session: Session, keyring: Keyring) -> list[Piece | Broken]:
    """One's own pieces; one that lies, or that the backend leaves out, hides no other."""
    await learn(session)
    _, line = await own_line(session)
    before = Before(session.memory)
    found = await session.ask_all(AskPieces(), PieceRow)
    served = {row.piece for row in found.rows}
    own: list[Piece | Broken] = []
    for row in found.rows:
        try:
            if _stands(row, before):
                own.append(await _opened(session, keyring, line, row, found, before))
        except (IntegrityAlarm, Malformed) as alarm:
            own.append(Broken(row.piece, session.address, session.meant(alarm)))
    left_out = [seen for seen in before.of(session.account) if seen.id not in served]
    return [*own, *(Broken(seen.id, session.address, session.meant(_left_out(seen))) for seen in left_out)]


async def show(session: Session, keyring: Keyring, name: str) -> Piece:
    """One's own piece.

    Raises:
        NotFound: there is none under that name.
        ForgedRecord: this account did not sign it, or by a key that it gave up as stolen.
        RolledBack: an older version than this device saw.
        Withheld: it stands, and the backend leaves it out.
    """
    name = check_name(name)
    await learn(session)
    _, line = await own_line(session)
    row, found, before = await _own_row(session, name)
    if row is None or row.content is None:
        raise NotFound(f"there is no piece {name}")
    return await _opened(session, keyring, line, row, found, before)


async def readers(session: Session, keyring: Keyring, name: str) -> list[Reader]:
    """Who may read a piece of one's own: each grant is one that this account signed.

    Raises:
        ForgedRecord: the backend names a reader whom nobody granted anything.
        RolledBack: it names one who was released.
    """
    return await _readers(session, check_name(name), await _known(session, keyring))


async def to_grant(session: Session, keyring: Keyring, name: str) -> Piece:
    """One's own piece, with a key that may be given to one more reader: nobody has it who was released.

    Raises:
        NotFound, RolledBack, Withheld: as `show`.
    """
    piece = await show(session, keyring, name)
    if not _must_renew(session.memory, piece.row):
        return piece
    return await put(session, keyring, name, piece.value)


async def drop(session: Session, keyring: Keyring, name: str, address: str) -> Piece:
    """Take a reader away, and give the rest a new key, under which the value is sealed anew.

    Raises:
        NotFound: that person does not read it.
    """
    keyring, _ = await current(session, keyring)
    piece = await show(session, keyring, name)
    dropped = [each for each in await readers(session, keyring, name) if each.address == address.strip().lower()]
    if not dropped:
        raise NotFound(f"{address} does not read {piece.name}")
    await release(session, piece.piece, {each.reader: each.generation for each in dropped})
    return await put(session, keyring, name, piece.value)


async def remove(session: Session, keyring: Keyring, name: str) -> Piece:
    """Keep nothing under a name any more, for anybody."""
    piece = await show(session, keyring, name)
    for left in reversed(range(ATTEMPTS)):
        found = await session.ask_all(AskReaders(piece=piece.piece, limit=MAX_PAGE), ReaderRow)
        await release(session, piece.piece, {row.reader: row.generation for row in found.rows})
        try:
            await session.send(RemovePiece(piece.piece, piece.version + 1))
            break
        except StaleVersion:  # somebody was granted it, or it has a new version, meanwhile
            if not left:
                raise
            piece = await show(session, keyring, name)
    session.memory.saw(KIND, piece.piece, piece.version + 1, place=session.account)
    return piece


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """What is to be done about one's own pieces: readers who were left without the newest key get it.

    And those whose connection has ended are released, so that what was sealed to them is erased.
    """
    found = await session.ask_all(AskPieces(), PieceRow)
    names = {row.piece: row for row in found.rows if row.content is not None}
    grants = (await session.ask_all(AskReaders(limit=MAX_PAGE), ReaderRow)).rows
    known = await _known(session, keyring) if grants else {}
    tasks: dict[str, Task] = {}
    for grant in grants:
        row = names.get(grant.piece)
        over = known.get(grant.connection)
        if row is None:
            continue
        if grant.connection not in known:
            about = f"nobody reads {row.piece_name} over connections that ended"
            id, run = f"{row.piece}/ended", _who_stay
            tasks[id] = Task("release", id, about, _later(session, keyring, row.piece_name, run))
        elif over is not None and not over.compromised and grant.generation != row.generation:
            about = f"a new key of {row.piece_name} for those who read it"
            id = f"{row.piece}/{row.generation}"
            tasks[id] = Task("regrant", id, about, _later(session, keyring, row.piece_name, regrant))
    return list(tasks.values())


async def regrant(session: Session, keyring: Keyring, name: str) -> int:
    """Give the newest key of a piece to those readers who have an older one; to how many."""
    keyring, _ = await current(session, keyring)
    piece = await show(session, keyring, name)
    behind = [each for each in await readers(session, keyring, name) if each.generation < piece.generation]
    commands = _regrants(keyring, piece.piece, piece.name, piece.generation, piece.key, behind)
    _remember_given(session.memory, piece.piece, piece.generation, behind)
    await session.send_all(commands)
    return sum(len(wraps) for _, wraps in commands)


async def theirs(
    session: Session, connection: Connection, name: str | None = None, *, fresh: bool = True
) -> Rows[PieceRow]:
    """What a connected person keeps, as the backend serves it: not believed yet."""
    ask = AskPieces(owner=connection.peer, piece_name=name)
    return await session.ask_all(ask, PieceRow, fresh=fresh)


async def open_theirs(
    session: Session,
    keyring: Keyring,
    connection: Connection,
    row: PieceRow,
    found: Rows[PieceRow],
    answered: Callable[[PieceRow, PieceRecord], None],
    before: "Before",
) -> str:
    """The value of a granted piece; the key is kept under one's own KEK on the way.

    Args:
        answered: raises, if the grant does not answer the challenge that was sent.
        before: what this device had seen when the question was asked.

    Raises:
        ForgedRecord: the owner did not sign this, or gave up the key that did.
        RolledBack: an older version, or an older key, than was seen before.
    """
    record = signed_record(connection, row)
    before.check(record)
    await _check_checkpoint(session, record, before)
    place = GrantPlace(
        owner=record.owner,
        piece=record.piece,
        name=record.name,
        generation=record.generation,
        reader=session.account,
        connection=connection.connection,
        key=connection.key,
    )
    if (row.connection, row.key) != (place.connection, place.key):
        raise KeyMismatch(f"Piece {row.piece_name} is not granted over the connection with {connection.address}.")
    wrap = found.blob(row.wrap or "")
    if row.stored:
        key = stored_key(keyring.kek, wrap, place)
        value = _value(open_piece(record, key, found.blob(record.content)))
    else:
        must_sign(connection.line, lambda public: verify_grant(place, digest(wrap), unb64(row.grant or ""), public))
        answered(row, record)
        own = await stored_connection_key(session, keyring, connection.key)
        key = open_grant(place, own.pair.suite, wrap, own.pair.private)
        value = _value(open_piece(record, key, found.blob(record.content)))
        kept = store_key(keyring.kek, key, place)
        with suppress(StaleVersion, NotFound):  # it was renewed or taken back meanwhile
            await session.send(StorePiece(record.piece, record.generation, digest(kept)), kept)
    _saw(session.memory, record)
    return value


def signed_record(connection: Connection, row: PieceRow) -> PieceRecord:
    """What the other side signed about a piece, if that is what the row says.

    Raises:
        ForgedRecord: it is not.
    """
    data, signature = unb64(row.record or ""), unb64(row.signature or "")
    must_sign(connection.line, lambda public: verify_piece(data, signature, public))
    record = read_piece(data)
    said = (row.owner, row.piece, row.piece_name, row.version, row.generation, row.content)
    signed = (record.owner, record.piece, record.name, record.version, record.generation, record.content)
    if said != signed or record.owner != connection.peer or record.piece != piece_id(record.owner, record.name):
        raise ForgedRecord(f"What the backend says of piece {row.piece_name} is not what {connection.address} signed.")
    return record


def must_sign(line: Sequence[Identity], check: Callable[[bytes], object]) -> None:
    """Returns if one of the sign keys of a line signed, and it was not given up as stolen.

    What a stolen key signed before is set, asked or granted anew by its owner, instead of being looked up in the log.

    Raises:
        ForgedRecord: none of these did.
    """
    if not _counts(line, check):
        raise ForgedRecord("This is signed by a key that its owner had given up as stolen.")


def _counts(line: Sequence[Identity], check: Callable[[bytes], object]) -> bool:
    """Whether the key that signed was not given up as stolen; a ForgedRecord if none of the line's did."""
    return not signed_by(line, check, "This is not signed by the one whom it is said to come from.")[1]


class Before:
    """What this device had seen of pieces when a question was asked."""

    def __init__(self, memory: Memory) -> None:
        self._versions = {each.id: each for each in memory.begins(KIND, "")}
        self._keys = {each.id: each for each in memory.begins(KEY, "")}

    def seen(self, piece: str) -> Seen | None:
        """What was seen of one piece."""
        return self._versions.get(piece)

    def of(self, owner: str) -> list[Seen]:
        """The pieces of one person that were seen."""
        return [each for each in self._versions.values() if each.place == owner]

    def check(self, record: PieceRecord) -> None:
        """Returns if a version may follow what was seen.

        Raises:
            RolledBack, ForgedRecord: as `check_not_older`.
        """
        check_not_older(self._versions.get(record.piece), record.version, record.content)
        check_not_older(self._keys.get(record.piece), record.generation)


def opened_since(memory: Memory, row: RequestRow) -> bool:
    """Whether this device has opened what was answered to a request, or something newer."""
    piece = piece_id(row.owner, row.piece_name)
    version, key = memory.seen(KIND, piece), memory.seen(KEY, piece)
    if version is None or key is None:
        return False
    return version.version >= (row.version or 0) and key.version >= (row.generation or 0)


async def _own_row(session: Session, name: str) -> tuple[PieceRow | None, Rows[PieceRow], "Before"]:
    before, piece = Before(session.memory), piece_id(session.account, name)
    found = await session.ask(AskPieces(piece_name=name, limit=2), PieceRow)
    row = next(iter(found.rows), None)
    seen = before.seen(piece)
    if row is None and seen is not None:
        raise _left_out(seen)
    if row is not None and (row.piece, row.piece_name) != (piece, name):
        raise ForgedRecord("The backend answered with another piece than the one asked for.")
    if row is not None:
        _stands(row, before)
    return row, found, before


def _left_out(seen: Seen) -> Withheld:
    return Withheld(f"The backend leaves out piece {seen.id}, of which version {seen.version} was seen.")


def _stands(row: PieceRow, before: Before) -> bool:
    """Whether there is a value; that there is none any more must be as new as what was seen."""
    if row.content is None:
        check_not_older(before.seen(row.piece), row.version or 0)
    return row.content is not None


async def _opened(
    session: Session,
    keyring: Keyring,
    line: Sequence[Identity],
    row: PieceRow,
    found: Rows[PieceRow],
    before: Before,
) -> Piece:
    """One's own piece. That it opens proves nothing: all readers have its key.

    What a stolen key signed is believed where this device had seen it before.
    """
    record = read_piece(unb64(row.record or ""))
    if not _signed(line, row) and not _known_before(before, record):
        raise ForgedRecord(f"Piece {row.piece_name} is signed by a key that was given up as stolen: set it anew.")
    said = (session.account, row.piece, row.piece_name, row.version, row.generation, row.content)
    if said != (record.owner, record.piece, record.name, record.version, record.generation, record.content):
        raise ForgedRecord(f"What the backend says of piece {row.piece_name} is not what was signed.")
    if record.piece != piece_id(record.owner, record.name):
        raise ForgedRecord("The backend answered with another piece than the one asked for.")
    before.check(record)
    await _check_checkpoint(session, record, before)
    key = unwrap_owner(keyring.kek, found.blob(row.wrap or ""), record)
    value = _value(open_piece(record, key, found.blob(record.content)))
    _saw(session.memory, record)
    return Piece(record.piece, record.name, record.version, record.generation, value, key, row)


def _signed(line: Sequence[Identity], row: PieceRow) -> bool:
    """Whether the key that signed one's own piece was not given up as stolen; a ForgedRecord if it is no own key."""
    data, signature = unb64(row.record or ""), unb64(row.signature or "")
    return _counts(line, lambda public: verify_piece(data, signature, public))


def _known_before(before: Before, record: PieceRecord) -> bool:
    """Whether this device had seen just this version."""
    seen = before.seen(record.piece)
    return seen is not None and (seen.version, seen.digest) == (record.version, record.content)


def _must_renew(memory: Memory, row: PieceRow) -> bool:
    """Whether somebody who is no reader any more has the newest key, as the backend says or as this device knows."""
    gone = [each.version for each in memory.begins(RELEASED, f"{row.piece} ")]
    return row.due or max(gone, default=0) >= (row.generation or 0)


async def _renew(
    session: Session, keyring: Keyring, row: PieceRow | None, name: str, data: bytes, stay: Sequence[Reader]
) -> Piece:
    """The next version under a new key, and that key for every reader who stays."""
    seen = session.memory.seen(KEY, piece_id(session.account, name))
    generation = max((row.generation or 0) if row is not None else 0, seen.version if seen is not None else 0) + 1
    return await _keep(session, keyring, row, name, data, generation, new_dek(), stay)


async def _keep(
    session: Session,
    keyring: Keyring,
    row: PieceRow | None,
    name: str,
    data: bytes,
    generation: int,
    key: bytes,
    stay: Sequence[Reader] = (),
) -> Piece:
    piece, version = piece_id(session.account, name), (row.version or 0) + 1 if row is not None else 1
    place = PieceRecord(
        owner=session.account,
        piece=piece,
        name=name,
        version=version,
        generation=generation,
        content="",
        checkpoint=await newest_checkpoint(session),
    )
    sealed = seal_piece(key, keyring.kek, data, place, keyring.identity.sign)
    rest = _regrants(keyring, piece, name, generation, key, stay)
    first, wraps = rest[0] if rest else (RegrantPiece(piece, generation, {}, {}), ())
    command = SetPiece(
        piece=piece,
        piece_name=name,
        version=version,
        generation=generation,
        record=b64(sealed.record),
        signature=b64(sealed.signature),
        content=digest(sealed.content),
        owner_wrap=digest(sealed.owner_wrap),
        wraps=first.wraps,
        grants=first.grants,
    )
    _remember_given(session.memory, piece, generation, stay)
    await session.send_all([(command, (sealed.content, sealed.owner_wrap, *wraps)), *rest[1:]])
    record = replace(place, content=digest(sealed.content))
    _saw(session.memory, record)
    kept = _kept_row(command, session.account)
    return Piece(piece, name, version, generation, data.decode(), key, kept)


def _kept_row(command: SetPiece, owner: str) -> PieceRow:
    """The row as the backend will serve it."""
    return PieceRow(
        piece=command.piece,
        owner=owner,
        piece_name=command.piece_name,
        version=command.version,
        generation=command.generation,
        record=command.record,
        signature=command.signature,
        content=command.content,
        wrap=command.owner_wrap,
        stored=False,
        connection=None,
        key=None,
        grant=None,
        due=False,
    )


def _regrants(
    keyring: Keyring, piece: str, name: str, generation: int, key: bytes, stay: Sequence[Reader]
) -> list[tuple[RegrantPiece, Sequence[bytes]]]:
    """The key for every reader whose connection holds, in as many commands as it takes."""
    able = [(each.reader, each.connection) for each in stay if each.able and each.connection is not None]
    commands: list[tuple[RegrantPiece, Sequence[bytes]]] = []
    for start in range(0, len(able), MAX_WRAPS):
        wraps: dict[str, str] = {}
        grants: dict[str, str] = {}
        blobs: list[bytes] = []
        for reader, over in able[start : start + MAX_WRAPS]:
            place = grant_place(keyring.account, name, generation, over)
            wrap, signature = seal_grant(place, over.suite, over.public, key, keyring.identity.sign)
            wraps[reader], grants[reader] = digest(wrap), b64(signature)
            blobs.append(wrap)
        commands.append((RegrantPiece(piece, generation, wraps, grants), blobs))
    return commands


def grant_place(owner: str, name: str, generation: int, over: Connection) -> GrantPlace:
    """Where a grant of one's own to the other side of a connection is bound to."""
    return GrantPlace(
        owner=owner,
        piece=piece_id(owner, name),
        name=name,
        generation=generation,
        reader=over.peer,
        connection=over.connection,
        key=over.peer_key,
    )


def _reader(
    session: Session, line: Sequence[Identity], name: str, row: ReaderRow, known: Mapping[str, Connection | None]
) -> Reader:
    """One row, if this account signed that grant, and did not end it since."""
    if row.piece != piece_id(session.account, name):
        raise ForgedRecord("The backend answered with the readers of another piece than the one asked for.")
    ended = row.connection not in known
    place = GrantPlace(
        owner=session.account,
        piece=row.piece,
        name=name,
        generation=row.generation,
        reader=row.reader,
        connection=row.connection,
        key=row.key,
    )
    counts = _counts(line, lambda public: verify_grant(place, row.wrap, unb64(row.grant), public))
    released = session.memory.seen(RELEASED, f"{row.piece} {row.reader}")
    if not ended and released is not None and row.generation <= released.version:
        raise RolledBack(f"The backend names {row.reader_address} as a reader of {name}, who was released.")
    over = known.get(row.connection)
    if over is not None and (over.peer, over.peer_key) != (row.reader, row.key):
        raise KeyMismatch(f"The grant of {name} is not for the other side of its connection.")
    address = over.address if over else row.reader_address
    return Reader(row.reader, address, row.generation, over if counts else None, ended)


async def _readers(session: Session, name: str, known: Mapping[str, Connection | None]) -> list[Reader]:
    _, line = await own_line(session)
    piece = piece_id(session.account, name)
    found = await session.ask_all(AskReaders(piece=piece, limit=MAX_PAGE), ReaderRow)
    return [_reader(session, line, name, row, known) for row in found.rows]


async def _known(session: Session, keyring: Keyring) -> dict[str, Connection | None]:
    """One's own connections by id, those that do not hold without more."""
    own = await connections.all_own(session, keyring)
    return {each.connection: each for each in own if isinstance(each, Connection)} | {
        each.id: None for each in own if isinstance(each, Broken)
    }


async def _who_stay(session: Session, keyring: Keyring, name: str) -> list[Reader]:
    """The readers whose connection is there still; the others are released, and nobody has a later key who had one."""
    known, piece = await _known(session, keyring), piece_id(session.account, name)
    found = await _readers(session, name, known)
    await release(session, piece, {each.reader: each.generation for each in found if each.ended})
    for given in session.memory.all_in(GRANTED, piece):  # whatever the backend says of who reads
        connection, _, reader = given.id.partition(" ")
        if connection not in known:
            session.memory.saw(RELEASED, reader, given.version)
    return [each for each in found if not each.ended]


def _remember_given(memory: Memory, piece: str, generation: int, given: Sequence[Reader]) -> None:
    for each in given:
        if each.able and each.connection is not None:
            gave(memory, piece, generation, each.connection)


def gave(memory: Memory, piece: str, generation: int, over: Connection) -> None:
    """Remember that the other side has a key, which it is to lose the use of when the connection ends."""
    memory.saw(GRANTED, f"{over.connection} {piece} {over.peer}", generation, place=piece)


async def _check_checkpoint(session: Session, record: PieceRecord, before: Before) -> None:
    """Hold the checkpoint of a version that is new to this device against what it saw of the log."""
    if not _known_before(before, record):
        await session.consistent(record.checkpoint)


async def release(session: Session, piece: str, gone: Mapping[str, int]) -> None:
    """End the grants of these readers, each with the generation of the key that they had; a new key is to follow."""
    await session.send_all([(ReleaseReader(piece, reader), ()) for reader in gone])
    for reader, generation in gone.items():
        session.memory.saw(RELEASED, f"{piece} {reader}", generation)


def _later(
    session: Session, keyring: Keyring, name: str, act: Callable[[Session, Keyring, str], Awaitable[object]]
) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await act(session, keyring, name)

    return run


def _saw(memory: Memory, record: PieceRecord) -> None:
    memory.saw(KIND, record.piece, record.version, record.content, record.owner)
    memory.saw(KEY, record.piece, record.generation)


def _value(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Malformed("the sealed value is no text") from None
