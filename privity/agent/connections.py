"""Connections: the other's key is pinned in a sealed note, and whatever the backend serves is held against it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from privity.agent.chains import ADDRESS, Heads, follow, index_of, notices, signed_chain
from privity.agent.closing import end_connection
from privity.agent.keyring import Keyring
from privity.agent.memory import Memory, check_not_older
from privity.agent.session import Rows, Session
from privity.crypto.identity import COMPROMISE, Identity
from privity.crypto.invitation import (
    check_acceptance,
    check_confirmation,
    confirmation,
    connection_id,
    read_acceptance,
    read_invitation,
    safety_number,
)
from privity.crypto.items import open_note, seal_note
from privity.crypto.kem import Suite
from privity.encoding import b64, digest, unb64
from privity.errors import (
    Ambiguous,
    ForgedRecord,
    IntegrityAlarm,
    KeyMismatch,
    Malformed,
    NotConnected,
    NotFound,
    PrivityError,
    StaleVersion,
)
from privity.messages.catalog import check_address
from privity.messages.connections import ConfirmConnection, NoteConnection
from privity.messages.views import AskConnections, ConnectionRow

NOTE = "note"
Kept = tuple[ConnectionRow, "Note"]
"""A connection's row and note as they are once the note is kept anew."""


@dataclass(frozen=True, slots=True)
class Note:
    """What one side keeps about a connection, sealed under the KEK: the name for the other, and the pins.

    `connection` is the hash of both records, and so pins keys, accounts and safety number; before the inviter has
    checked an acceptance there is none, but `offer`, the digest of the inviter's own record. `address` is the one
    that the inviter wrote to, or the one that the accepted invitation is signed with: never what the backend says.
    `secret` is the invitation's secret S as long as it is needed. `since` is the other's head when the two compared the
    safety number for the last time; without one, the head in their record counts. `intents` are the inviter's items
    that are to be shared once the connection is verified. `n` counts how often it was kept anew.
    """

    name: str = field(default="", repr=False)
    secret: str | None = field(default=None, repr=False)
    offer: str | None = None
    connection: str | None = None
    peer: str | None = None
    address: str | None = None
    head: str | None = None
    public: str | None = None
    verified: bool = False
    confirmed: bool = False
    since: str | None = None
    n: int = 1
    intents: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection whose other side was checked against the pin.

    `line` are the other's identities from the one that the connection names up to the newest, and `own_head` is one's
    own head that it names. `compromised`: the other has given up keys as stolen since the connection was verified.
    """

    connection: str
    peer: str
    address: str
    name: str = field(repr=False)
    status: str
    verified: bool
    safety_number: str
    key: str
    peer_key: str
    public: bytes
    suite: Suite
    line: tuple[Identity, ...] = field(repr=False)
    own_head: str
    own_public: str
    compromised: bool
    note: Note = field(repr=False)
    row: ConnectionRow = field(repr=False, compare=False)

    @property
    def identity(self) -> Identity:
        """The other's newest identity."""
        return self.line[-1]


@dataclass(frozen=True, slots=True)
class Broken:
    """A thing that the backend serves and that does not hold, with what is wrong."""

    id: str
    peer: str
    alarm: PrivityError


class Before(Heads):
    """What this device had seen of identities and notes when a question was asked."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.notes = {each.id: each for each in memory.all_in(NOTE, "")}


def seal(keyring: Keyring, note: Note, invitation: str) -> bytes:
    """A note, sealed for one's own eyes and bound to the invitation that the connection comes from."""
    return seal_note(keyring.kek, json.dumps(asdict(note)).encode(), keyring.account, invitation)


def unseal(keyring: Keyring, blob: bytes, invitation: str) -> Note:
    """The inverse of `seal`."""
    return Note(**json.loads(open_note(keyring.kek, blob, keyring.account, invitation)))


async def all_own(session: Session, keyring: Keyring) -> list[Connection | Broken]:
    """Every connection; new acceptances are checked and confirmed on the way. One that lies does not hide the rest."""
    before = Before(session.memory)
    found = await session.ask_all(AskConnections(), ConnectionRow)
    return [await _try(session, keyring, before, row, found) for row in found.rows]


async def unverified(session: Session, keyring: Keyring) -> set[str]:
    """The connections that hold and are not verified: over these nothing is sent that nobody asks for just now."""
    own = await all_own(session, keyring)
    return {each.connection for each in own if isinstance(each, Connection) and not each.verified}


async def show(session: Session, keyring: Keyring, id: str) -> Connection:
    """A connection by id, unique prefix, or the other's address.

    Raises:
        NotFound: there is none.
        ForgedRecord, KeyMismatch: what the backend serves is not what was pinned.
    """
    if "@" in id:
        try:
            return await with_person(session, keyring, id)
        except NotConnected as error:
            raise NotFound(error.message) from None
    before = Before(session.memory)
    found = await session.ask(AskConnections(id=id, limit=2), ConnectionRow)
    row = found.one("connection", id)
    return await _check(session, keyring, before, row, found.blob(row.note))


async def with_person(session: Session, keyring: Keyring, address: str) -> Connection:
    """The connection with a person, by the pinned address.

    Raises:
        NotConnected: there is none.
        Ambiguous: there is more than one; name it by its id.
    """
    address = check_address(address)
    before = Before(session.memory)
    found = await session.ask_all(AskConnections(), ConnectionRow)
    matching = [row for row in found.rows if _address(keyring, row, found) == address]
    if not matching:
        raise NotConnected(f"there is no connection with {address}")
    if len(matching) > 1:
        raise Ambiguous(f"there is more than one connection with {address}; give the connection's id")
    return await _check(session, keyring, before, matching[0], found.blob(matching[0].note))


async def addresses(session: Session, keyring: Keyring) -> dict[str, str]:
    """The pinned address of each person with whom one has a connection that holds, by account."""
    return {each.peer: each.address for each in await all_own(session, keyring) if isinstance(each, Connection)}


async def verify(session: Session, keyring: Keyring, id: str, number: str | None = None) -> Connection:
    """Mark a connection as verified: the two people have compared the safety number.

    It stays so until the other gives up keys as stolen.

    Raises:
        KeyMismatch: the number given is another one.
    """
    connection = await show(session, keyring, id)
    if number is not None and _digits(number) != _digits(connection.safety_number):
        raise KeyMismatch("The safety number is another one: somebody may stand between you.")
    note = replace(connection.note, verified=True, since=b64(connection.identity.head))
    row, kept = await _keep(session, keyring, connection.row, note)
    return replace(connection, verified=True, compromised=False, note=kept, row=row)


async def keep_note(session: Session, keyring: Keyring, connection: Connection, note: Note) -> Connection:
    """One's own note of a connection, sealed and kept anew; the connection with it.

    Raises:
        StaleVersion: another device of one's own kept it anew meanwhile.
    """
    row, kept = await _keep(session, keyring, connection.row, note)
    return replace(connection, note=kept, row=row)


async def remove(session: Session, keyring: Keyring, id: str) -> str:
    """End a connection and its shares, for both, whether or not the other side's part of it holds; its full id."""
    if "@" in id:
        connection = (await with_person(session, keyring, id)).connection
    else:
        connection = (await session.ask(AskConnections(id=id, limit=2), ConnectionRow)).one("connection", id).connection
    from privity.agent.delegations import end_over  # which is about connections

    await end_over(session, keyring, connection)
    await end_connection(session, connection)
    return connection


async def _try(
    session: Session, keyring: Keyring, before: Before, row: ConnectionRow, found: Rows[ConnectionRow]
) -> Connection | Broken:
    try:
        return await _check(session, keyring, before, row, found.blob(row.note))
    except (IntegrityAlarm, Malformed) as alarm:
        return Broken(row.connection, row.peer_address, session.meant(alarm))


def _address(keyring: Keyring, row: ConnectionRow, found: Rows[ConnectionRow]) -> str | None:
    return unseal(keyring, found.blob(row.note), row.invitation).address


async def _check(session: Session, keyring: Keyring, before: Before, row: ConnectionRow, blob: bytes) -> Connection:
    """One row, believed only as far as note, records and chain agree."""
    note = unseal(keyring, blob, row.invitation)
    check_not_older(before.notes.get(row.invitation), note.n)
    session.memory.saw(NOTE, row.invitation, note.n)
    offer, acceptance = unb64(row.offer), unb64(row.acceptance)
    if connection_id(offer, acceptance) != row.connection:
        raise ForgedRecord("The backend served another connection's records.")
    if note.connection is None:
        row, note = await _confirm(session, keyring, row, note)
    elif note.connection != row.connection:
        raise KeyMismatch("The backend served another connection than the one that was pinned.")
    elif not row.inviter and row.confirmed and not note.confirmed:
        row, note = await _confirmed(session, keyring, row, note)
    line = _pinned(before, row, note)
    records = read_invitation(offer), read_acceptance(acceptance)
    own, theirs = records if row.inviter else records[::-1]
    if (own.account, theirs.account, b64(theirs.public)) != (keyring.account, note.peer, note.public):
        raise KeyMismatch("The connection's records are not between you and the person whom you pinned.")
    line = line[index_of(line, b64(theirs.head), note.address or "") :]
    stolen = _stolen_since(line, note)
    _tell_address(session, row, note)
    return Connection(
        connection=row.connection,
        peer=theirs.account,
        address=note.address or "",
        name=note.name or (note.address or ""),
        status="connected",
        verified=note.verified and not stolen,
        safety_number=safety_number(own.account, own.head, theirs.account, theirs.head),
        key=row.key,
        peer_key=row.peer_key,
        public=theirs.public,
        suite=theirs.suite,
        line=line,
        own_head=b64(own.head),
        own_public=b64(own.public),
        compromised=stolen,
        note=note,
        row=row,
    )


async def _confirm(session: Session, keyring: Keyring, row: ConnectionRow, note: Note) -> Kept:
    """The inviter's third step: check the acceptance with S, pin it, forget S, tell the other."""
    offer, acceptance = unb64(row.offer), unb64(row.acceptance)
    if not row.inviter or digest(offer) != note.offer:
        raise ForgedRecord("The backend served another invitation than the one that was made.")
    secret = unb64(note.secret or "")
    mac = unb64(row.acceptance_mac) if row.acceptance_mac is not None else None
    checked = check_acceptance(secret, offer, acceptance, mac, signed_chain(row.peer_chain))
    pinned = Note(
        name=note.name,
        connection=row.connection,
        peer=checked.acceptance.account,
        address=note.address,
        head=b64(checked.identity.head),
        public=b64(checked.acceptance.public),
        verified=checked.verified,
        confirmed=True,
        n=note.n + 1,
        intents=note.intents,
    )
    sealed = seal(keyring, pinned, row.invitation)
    answer = b64(confirmation(secret, offer, acceptance)) if checked.verified else None
    await session.send(ConfirmConnection(row.connection, digest(acceptance), answer, digest(sealed)), sealed)
    session.memory.saw(NOTE, row.invitation, pinned.n)
    return replace(row, note=digest(sealed)), pinned


async def _confirmed(session: Session, keyring: Keyring, row: ConnectionRow, note: Note) -> Kept:
    """The acceptor's last step: the inviter's answer must prove S wherever S was used."""
    if note.secret is not None:
        mac = unb64(row.confirmation_mac or "")
        check_confirmation(unb64(note.secret), unb64(row.offer), unb64(row.acceptance), mac)
    known = replace(note, secret=None, confirmed=True)
    try:
        return await _keep(session, keyring, row, known)
    except StaleVersion:  # another device of one's own keeps it just now
        return row, known


async def _keep(session: Session, keyring: Keyring, row: ConnectionRow, note: Note) -> Kept:
    kept = replace(note, n=note.n + 1)
    sealed = seal(keyring, kept, row.invitation)
    await session.send(NoteConnection(row.connection, row.note, digest(sealed)), sealed)
    session.memory.saw(NOTE, row.invitation, kept.n)
    return replace(row, note=digest(sealed)), kept


def _pinned(heads: Heads, row: ConnectionRow, note: Note) -> tuple[Identity, ...]:
    """The other's identities, if the chain goes on from the pinned head and from what was seen, and the key stays."""
    if row.peer != note.peer:
        raise KeyMismatch("The backend served another person's identity for this connection.")
    if row.peer_public != note.public:
        raise KeyMismatch("The backend served another key than the one that was pinned for this connection.")
    line = follow(heads, row.peer_chain, row.peer, note.address or "", pinned=note.head or "")
    index_of(line, note.head or "", note.address or "")
    return line


def _stolen_since(line: tuple[Identity, ...], note: Note) -> bool:
    """Whether the other gave up keys as stolen after the head that the two people last compared numbers at."""
    verified = index_of(line, note.since, note.address or "") if note.since is not None else 0
    return any(identity.reason == COMPROMISE for identity in line[verified + 1 :])


def _tell_address(session: Session, row: ConnectionRow, note: Note) -> None:
    """A notice, once for each address: the pinned one goes on to be used, whatever the backend says of a new one."""
    if row.peer_address == note.address:
        return
    named = f"{row.peer} {row.peer_address}"
    if session.memory.seen(ADDRESS, named) is None:
        notices.warning("notice: %s goes by %s now, as the backend says", note.address, row.peer_address)
        session.memory.saw(ADDRESS, named, 1)


def _digits(number: str) -> str:
    return "".join(letter for letter in number if letter.isdigit())
