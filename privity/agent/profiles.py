"""A connected person's profile: the pieces that they grant, open; those that one may ask for; and nothing else."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from privity.agent import connections
from privity.agent.connections import Broken, Connection
from privity.agent.keyring import Keyring
from privity.agent.pieces import Before, check_name, open_theirs, opened_since, theirs
from privity.agent.requests import Answers, answers
from privity.agent.session import Rows, Session
from privity.agent.tasks import Task
from privity.crypto.pieces import piece_id
from privity.errors import ForgedRecord, IntegrityAlarm, Malformed, NotFound, Withheld, WrongAnswer
from privity.messages.views import AskRequests, PieceRow, RequestRow

Status = Literal["granted", "requested", "requestable", "renewed"]
"""`renewed`: there is a new key, which the owner's agent has yet to give."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of somebody else's, open where it is granted."""

    piece: str
    name: str
    address: str
    status: Status
    verified: bool
    version: int | None = None
    value: str | None = field(default=None, repr=False)


async def show(session: Session, keyring: Keyring, address: str) -> list[Shown | Broken]:
    """What somebody keeps: granted pieces with their values, the others as requestable. One that lies hides no other.

    Raises:
        NotConnected: there is no connection with that person.
    """
    connection = await connections.with_person(session, keyring, address)
    return await _looked(session, keyring, connection)


async def piece(session: Session, keyring: Keyring, name: str, address: str) -> Shown:
    """One piece of somebody's.

    Raises:
        NotConnected: there is no connection with that person.
        NotFound: they have no such piece.
        IntegrityAlarm: what the backend serves does not hold.
    """
    name = check_name(name)
    connection = await connections.with_person(session, keyring, address)
    for each in await _looked(session, keyring, connection, name):
        if isinstance(each, Broken):
            raise each.alarm
        return each
    raise NotFound(f"{connection.address} has no piece {name}")


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """What is to be done about pieces that others granted: to check and store them, once for each answer."""
    found = await session.ask_all(AskRequests(direction="outgoing"), RequestRow)
    approved = [row for row in found.rows if row.approved is not None and not opened_since(session.memory, row)]
    if not approved:
        return []
    own = await connections.all_own(session, keyring)
    known = {each.connection: each for each in own if isinstance(each, Connection)}
    return [
        Task(
            "store",
            f"{row.request}/{row.approved}",
            f"{row.piece_name} of {known[row.connection].address}",
            _storing(session, keyring, row.piece_name, known[row.connection].address),
        )
        for row in approved
        if row.connection in known
    ]


async def _looked(
    session: Session, keyring: Keyring, connection: Connection, name: str | None = None
) -> list[Shown | Broken]:
    """What was asked for is looked up first, so that all that was approved by then must be granted in what follows."""
    asked = await answers(session, keyring, connection)
    before = Before(session.memory)
    found = await theirs(session, connection, name)
    shown: list[Shown | Broken] = []
    for row in found.rows:
        try:
            shown.append(await _opened(session, keyring, connection, row, found, asked, before))
        except (IntegrityAlarm, Malformed) as alarm:
            shown.append(Broken(row.piece, connection.address, session.meant(alarm)))
    served = {row.piece_name for row in found.rows}
    for each, request in asked.rows.items():
        if request.approved is not None and each not in served and name in (None, each):
            left_out = await _left_out(session, keyring, connection, each)
            shown += [Broken(request.request, connection.address, session.meant(left_out))] if left_out else []
    return shown


async def _opened(
    session: Session,
    keyring: Keyring,
    connection: Connection,
    row: PieceRow,
    found: Rows[PieceRow],
    asked: Answers,
    before: Before,
) -> Shown:
    if (row.owner, row.piece) != (connection.peer, piece_id(connection.peer, row.piece_name)):
        raise ForgedRecord("The backend answered with a piece of somebody else.")
    request = asked.rows.get(row.piece_name)
    shown = Shown(row.piece, row.piece_name, connection.address, "requestable", connection.verified)
    waits = request is not None and request.status == "open"
    if row.content is not None:
        try:
            value = await open_theirs(session, keyring, connection, row, found, asked.check, before)
        except WrongAnswer:
            if not waits:
                raise
            return replace(shown, status="requested")  # it may be answered just now; what is granted is believed then
        return replace(shown, status="granted", version=row.version, value=value)
    if row.due:
        return replace(shown, status="renewed")
    if request is not None and request.approved is not None:
        left_out = await _left_out(session, keyring, connection, row.piece_name)
        if left_out is not None:
            raise left_out
    return replace(shown, status="requested" if waits else "requestable")


async def _left_out(session: Session, keyring: Keyring, connection: Connection, name: str) -> Withheld | None:
    """The alarm, if a request is approved still, after the piece was served without its grant."""
    again = (await answers(session, keyring, connection)).rows.get(name)
    if again is None or again.approved is None:
        return None
    return Withheld(f"The backend leaves out {name} of {connection.address}, which was granted.")


def _storing(session: Session, keyring: Keyring, name: str, address: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await piece(session, keyring, name, address)

    return run
