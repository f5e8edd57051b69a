"""Connections: the other's key is pinned in a sealed note, and whatever the backend serves is held against it."""

import json
from dataclasses import asdict, dataclass, field, replace

from privity.agent.accounts import signed_chain
from privity.agent.keyring import Keyring
from privity.agent.session import Rows, Session
from privity.crypto.identity import Identity, walk
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
)
from privity.messages.catalog import check_address
from privity.messages.connections import ConfirmConnection, NoteConnection, RemoveConnection
from privity.messages.views import AskConnections, ConnectionRow


@dataclass(frozen=True, slots=True)
class Note:
    """What one side keeps about a connection, sealed under the KEK: the name for the other, and the pins.

    `connection` is the hash of both records, and so pins keys, accounts and safety number; before the inviter has
    checked an acceptance there is none, but `offer`, the digest of the inviter's own record. `address` is the one
    that the inviter wrote to, or the one that the accepted invitation is signed with: never what the backend says.
    `secret` is the invitation's secret S as long as it is needed.
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


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection whose other side was checked against the pin."""

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
    identity: Identity
    own_public: str
    note: Note = field(repr=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """A thing that the backend serves and that does not hold, with what is wrong."""

    id: str
    peer: str
    alarm: PrivityError


def seal(keyring: Keyring, note: Note, invitation: str) -> bytes:
    """A note, sealed for one's own eyes and bound to the invitation that the connection comes from."""
    return seal_note(keyring.kek, json.dumps(asdict(note)).encode(), keyring.account, invitation)


def unseal(keyring: Keyring, blob: bytes, invitation: str) -> Note:
    """The inverse of `seal`."""
    return Note(**json.loads(open_note(keyring.kek, blob, keyring.account, invitation)))


async def all_own(session: Session, keyring: Keyring) -> list[Connection | Broken]:
    """Every connection; new acceptances are checked and confirmed on the way. One that lies does not hide the rest."""
    found = await session.ask_all(AskConnections(), ConnectionRow)
    return [await _try(session, keyring, row, found) for row in found.rows]


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
    found = await session.ask(AskConnections(id=id, limit=2), ConnectionRow)
    row = found.one("connection", id)
    return await _check(session, keyring, row, found.blob(row.note))


async def with_person(session: Session, keyring: Keyring, address: str) -> Connection:
    """The connection with a person, by the pinned address.

    Raises:
        NotConnected: there is none.
        Ambiguous: there is more than one; name it by its id.
    """
    address = check_address(address)
    found = await session.ask_all(AskConnections(), ConnectionRow)
    matching = [row for row in found.rows if _address(keyring, row, found) == address]
    if not matching:
        raise NotConnected(f"there is no connection with {address}")
    if len(matching) > 1:
        raise Ambiguous(f"there is more than one connection with {address}; give the connection's id")
    return await _check(session, keyring, matching[0], found.blob(matching[0].note))


async def verify(session: Session, keyring: Keyring, id: str, number: str | None = None) -> Connection:
    """Mark a connection as verified: the two people have compared the safety number.

    Raises:
        KeyMismatch: the number given is another one.
    """
    connection = await show(session, keyring, id)
    if number is not None and _digits(number) != _digits(connection.safety_number):
        raise KeyMismatch("The safety number is another one: somebody may stand between you.")
    note = replace(connection.note, verified=True)
    found = await session.ask(AskConnections(id=connection.connection), ConnectionRow)
    await _keep(session, keyring, found.one("connection", connection.connection), note)
    return replace(connection, verified=True, note=note)


async def remove(session: Session, keyring: Keyring, id: str) -> str:
    """End a connection and its shares, for both, whether or not the other side's part of it holds; its full id."""
    if "@" in id:
        connection = (await with_person(session, keyring, id)).connection
    else:
        connection = (await session.ask(AskConnections(id=id, limit=2), ConnectionRow)).one("connection", id).connection
    await session.send(RemoveConnection(connection))
    return connection


async def _try(
    session: Session, keyring: Keyring, row: ConnectionRow, found: Rows[ConnectionRow]
) -> Connection | Broken:
    try:
        return await _check(session, keyring, row, found.blob(row.note))
    except (IntegrityAlarm, Malformed) as alarm:
        return Broken(row.connection, row.peer_address, alarm)


def _address(keyring: Keyring, row: ConnectionRow, found: Rows[ConnectionRow]) -> str | None:
    return unseal(keyring, found.blob(row.note), row.invitation).address


async def _check(session: Session, keyring: Keyring, row: ConnectionRow, blob: bytes) -> Connection:
    """One row, believed only as far as note, records and chain agree."""
    note = unseal(keyring, blob, row.invitation)
    offer, acceptance = unb64(row.offer), unb64(row.acceptance)
    if connection_id(offer, acceptance) != row.connection:
        raise ForgedRecord("The backend served another connection's records.")
    if note.connection is None:
        note = await _confirm(session, keyring, row, note)
    elif note.connection != row.connection:
        raise KeyMismatch("The backend served another connection than the one that was pinned.")
    elif not row.inviter and row.confirmed and not note.confirmed:
        note = await _confirmed(session, keyring, row, note)
    identity = _pinned(row, note)
    heads = read_invitation(offer), read_acceptance(acceptance)
    own, theirs = heads if row.inviter else heads[::-1]
    if (own.account, theirs.account, b64(theirs.public)) != (keyring.account, note.peer, note.public):
        raise KeyMismatch("The connection's records are not between you and the person whom you pinned.")
    return Connection(
        connection=row.connection,
        peer=identity.account,
        address=note.address or "",
        name=note.name or (note.address or ""),
        status="connected",
        verified=note.verified,
        safety_number=safety_number(heads[0].account, heads[0].head, heads[1].account, heads[1].head),
        key=row.key,
        peer_key=row.peer_key,
        public=theirs.public,
        suite=theirs.suite,
        identity=identity,
        own_public=row.public,
        note=note,
    )


async def _confirm(session: Session, keyring: Keyring, row: ConnectionRow, note: Note) -> Note:
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
    )
    sealed = seal(keyring, pinned, row.invitation)
    answer = b64(confirmation(secret, offer, acceptance)) if checked.verified else None
    await session.send(ConfirmConnection(row.connection, digest(acceptance), answer, digest(sealed)), sealed)
    return pinned


async def _confirmed(session: Session, keyring: Keyring, row: ConnectionRow, note: Note) -> Note:
    """The acceptor's last step: the inviter's answer must prove S wherever S was used."""
    if note.secret is not None:
        mac = unb64(row.confirmation_mac or "")
        check_confirmation(unb64(note.secret), unb64(row.offer), unb64(row.acceptance), mac)
    known = replace(note, secret=None, confirmed=True)
    await _keep(session, keyring, row, known)
    return known


async def _keep(session: Session, keyring: Keyring, row: ConnectionRow, note: Note) -> None:
    sealed = seal(keyring, note, row.invitation)
    await session.send(NoteConnection(row.connection, digest(sealed)), sealed)


def _pinned(row: ConnectionRow, note: Note) -> Identity:
    """The other's newest identity, if the chain goes on from the pinned head and the key is the pinned one."""
    line = list(walk(signed_chain(row.peer_chain)))
    newest = line[-1]
    if newest.account != note.peer or row.peer != note.peer:
        raise KeyMismatch("The backend served another person's identity for this connection.")
    if note.head not in [b64(identity.head) for identity in line]:
        raise KeyMismatch("The other's identity chain does not go on from the one that was pinned.")
    if row.peer_public != note.public:
        raise KeyMismatch("The backend served another key than the one that was pinned for this connection.")
    return newest


def _digits(number: str) -> str:
    return "".join(letter for letter in number if letter.isdigit())
