"""Requests: asking a connected person for a piece, and granting what others ask for.

A request is believed when its asker signed it. An approval grants the piece's key, and answers the sealed challenge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from privity.agent import connections, pieces
from privity.agent.connections import Broken, Connection
from privity.agent.identity import current
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_keys
from privity.agent.memory import Seen, check_not_older
from privity.agent.pieces import check_name, grant_place, must_sign
from privity.agent.session import Rows, Session
from privity.crypto.kem import KeyPair
from privity.crypto.pieces import (
    Granted,
    PieceRecord,
    RequestPlace,
    check_answer,
    kept_challenge,
    make_answer,
    open_challenge,
    request_id,
    seal_grant,
    seal_request,
    verify_request,
)
from privity.encoding import b64, digest, unb64
from privity.errors import (
    DoesNotOpen,
    ForgedRecord,
    IntegrityAlarm,
    Malformed,
    NotFound,
    RequestNotOpen,
    StaleVersion,
    Unverified,
    WrongAnswer,
)
from privity.messages.base import Command
from privity.messages.pieces import ApproveRequest, DeclineRequest, RequestPiece, WithdrawRequest
from privity.messages.views import MAX_PAGE, AskRequests, PieceRow, RequestRow

KIND = "request"
"""What is remembered: the newest round of a request that was seen."""
APPROVED = "request-approved"
"""The newest round of one's own request whose answer was checked."""
ATTEMPTS = 5
"""Times that something is tried again when the other side, or another device, was faster."""

Status = Literal["open", "approved", "declined", "closed"]
Direction = Literal["incoming", "outgoing", "all"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as one of its two ends sees it; the other end's side of it was checked."""

    request: str
    name: str
    sender: str
    recipient: str
    incoming: bool
    status: Status
    n: int
    connection: Connection = field(repr=False, compare=False)
    challenge: bytes = field(repr=False, compare=False)
    row: RequestRow = field(repr=False, compare=False)


async def create(session: Session, keyring: Keyring, address: str, name: str) -> Request:
    """Ask a connected person for a piece. Once more takes the place of what was asked before.

    Raises:
        NotConnected: there is no connection with that person.
        NotFound: they have no such piece.
    """
    name, connection = check_name(name), await connections.with_person(session, keyring, address)
    keyring, _ = await current(session, keyring)
    id = request_id(connection.peer, session.account, name)
    for left in reversed(range(ATTEMPTS)):
        row = next(iter((await session.ask(AskRequests(id=id, direction="outgoing"), RequestRow)).rows), None)
        seen = session.memory.seen(KIND, id)
        n = max(row.n if row is not None else 0, seen.version if seen is not None else 0) + 1
        place = RequestPlace(
            request=id,
            n=n,
            owner=connection.peer,
            asker=session.account,
            name=name,
            connection=connection.connection,
        )
        sealed = seal_request(place, keyring.kek, connection.suite, connection.public, keyring.identity.sign)
        command = RequestPiece(
            request=id,
            owner=connection.peer,
            piece_name=name,
            connection=connection.connection,
            n=n,
            challenge=digest(sealed.challenge),
            kept=digest(sealed.kept),
            signature=b64(sealed.signature),
        )
        try:
            await session.send(command, sealed.challenge, sealed.kept)
        except StaleVersion:
            if not left:
                raise
            continue
        session.memory.saw(KIND, id, n, digest(sealed.challenge))
        return await show(session, keyring, id)
    raise StaleVersion


async def all_of(
    session: Session, keyring: Keyring, direction: Direction = "all", *, open_only: bool = False
) -> list[Request | Broken]:
    """Requests to me, from me, or both, the oldest first. One that lies hides no other."""
    own = await connections.all_own(session, keyring)
    known = {each.connection: each for each in own if isinstance(each, Connection)}
    ask = AskRequests(direction=direction, open=open_only, limit=MAX_PAGE)
    before = _seen(session)
    found = await session.ask_all(ask, RequestRow)
    requests: list[Request | Broken] = []
    for row in found.rows:
        if row.status == "closed" and row.connection not in known:
            continue  # the connection has ended, and the request with it
        try:
            requests.append(_believed(session, before, row, found, known.get(row.connection)))
        except (IntegrityAlarm, Malformed) as alarm:
            peer = row.asker_address if row.owner == session.account else row.owner_address
            requests.append(Broken(row.request, peer, session.meant(alarm)))
    return requests


async def show(session: Session, keyring: Keyring, id: str) -> Request:
    """A request by id or unique prefix."""
    before = _seen(session)
    found = await session.ask(AskRequests(id=id, limit=2), RequestRow)
    row = found.one("request", id)
    return _believed(session, before, row, found, await connections.show(session, keyring, row.connection))


async def approve(session: Session, keyring: Keyring, id: str, *, unverified: bool = False) -> Request:
    """Grant what is asked for.

    Raises:
        Unverified: the connection is not verified, and the person did not consent (`unverified`).
        RequestNotOpen: it was answered, or withdrawn, before.
    """
    request = await show(session, keyring, id)
    if not request.incoming:
        raise NotFound(f"there is no request {id} to you")
    if not request.connection.verified and not unverified:
        raise Unverified(
            f"the connection with {request.sender} is not verified: compare the safety number, or approve with consent"
        )
    if await approve_all(session, keyring, [request]):
        raise DoesNotOpen
    return await show(session, keyring, request.request)


async def approve_all(session: Session, keyring: Keyring, requests: Sequence[Request]) -> list[Request]:
    """Grant what these ask for, each over a connection that the person trusts; few questions for many requests.

    Returns:
        Those that were left out, as their challenge does not open.

    Raises:
        RequestNotOpen: one of them is not open any more; those before it were approved.
    """
    keyring, _ = await current(session, keyring)
    left_out: list[Request] = []
    for name in dict.fromkeys(each.name for each in requests):
        waiting = [each for each in requests if each.name == name]
        for left in reversed(range(ATTEMPTS)):
            piece = await pieces.to_grant(session, keyring, name)
            try:
                commands, closed = await _approvals(session, keyring, piece, waiting)
                for each in waiting:
                    pieces.gave(session.memory, piece.piece, piece.generation, each.connection)
                await session.send_all(commands)
                left_out += closed
                break
            except StaleVersion:  # the piece has a new version meanwhile
                if not left:
                    raise
                still = await still_open(session)
                waiting = [each for each in waiting if (each.request, each.n) in still]
    return left_out


async def decline(session: Session, keyring: Keyring, id: str) -> Request:
    """Grant nothing; what was granted before stays granted.

    Raises:
        RequestNotOpen: it was answered, or withdrawn, before.
    """
    request = await show(session, keyring, id)
    if not request.incoming:
        raise NotFound(f"there is no request {id} to you")
    await session.send(DeclineRequest(request.request, request.n))
    return await show(session, keyring, request.request)


async def withdraw(session: Session, keyring: Keyring, id: str) -> Request:
    """Ask no more."""
    request = await show(session, keyring, id)
    if request.incoming:
        raise NotFound(f"there is no request {id} of yours")
    await session.send(WithdrawRequest(request.request))
    return await show(session, keyring, request.request)


class Answers:
    """What one's own requests to a person brought: by it a new grant is held against the challenge that was sent."""

    def __init__(
        self,
        session: Session,
        keyring: Keyring,
        connection: Connection,
        found: Rows[RequestRow],
        before: Mapping[str, Seen],
    ) -> None:
        self._session = session
        self._keyring = keyring
        self._connection = connection
        self._found = found
        self._before = before
        self.rows = {row.piece_name: row for row in found.rows if self._is_own(row)}

    def _is_own(self, row: RequestRow) -> bool:
        """Whether it is between the two; what is not answers nothing."""
        ends = (self._connection.peer, self._session.account)
        return (row.owner, row.asker) == ends and row.request == request_id(*ends, row.piece_name)

    def check(self, row: PieceRow, record: PieceRecord) -> None:
        """Returns if the grant in this row answers the challenge that was answered last, or came after such an answer.

        Raises:
            WrongAnswer: there is no answer, or it was made with another challenge, or for another grant.
        """
        asked = self.rows.get(record.name)
        if asked is None or asked.approved is None or asked.kept is None or asked.answer is None:
            raise WrongAnswer(f"The backend serves {record.name}, and no answer to the challenge that was sent for it.")
        place = replace(place_of(asked), n=asked.approved)
        check_not_older(self._before.get(asked.request), asked.n)
        check_not_older(self._session.memory.seen(APPROVED, asked.request), asked.approved)
        granted = granted_of(asked)
        challenge = kept_challenge(self._keyring.kek, self._found.blob(asked.kept), place)
        check_answer(challenge, place, granted, unb64(asked.answer))
        same_key, same_version = record.generation == granted.generation, record.version == granted.version
        if record.version < granted.version or record.generation < granted.generation:
            raise WrongAnswer(f"The backend serves an older {record.name} than the one that was granted.")
        if (same_key and row.wrap != granted.wrap) or (same_version and record.content != granted.content):
            raise WrongAnswer(f"The backend serves another {record.name} than the one that was granted.")
        self._session.memory.saw(APPROVED, asked.request, asked.approved)


async def answers(session: Session, keyring: Keyring, connection: Connection) -> Answers:
    """One's own requests over a connection."""
    ask = AskRequests(direction="outgoing", connection=connection.connection, limit=MAX_PAGE)
    before = _seen(session)
    return Answers(session, keyring, connection, await session.ask_all(ask, RequestRow), before)


def place_of(row: RequestRow) -> RequestPlace:
    """What a request is bound to."""
    return RequestPlace(
        request=row.request,
        n=row.n,
        owner=row.owner,
        asker=row.asker,
        name=row.piece_name,
        connection=row.connection,
    )


def granted_of(row: RequestRow) -> Granted:
    """What an answer is over.

    Raises:
        ForgedRecord: a part of it is left out.
    """
    if row.version is None or row.generation is None or row.content is None or row.wrap is None:
        raise ForgedRecord("The backend left out what was answered.")
    return Granted(version=row.version, generation=row.generation, content=row.content, wrap=row.wrap)


def _seen(session: Session) -> dict[str, Seen]:
    """What this device had seen of requests when a question was asked."""
    return {each.id: each for each in session.memory.begins(KIND, "")}


def _believed(
    session: Session,
    before: Mapping[str, Seen],
    row: RequestRow,
    found: Rows[RequestRow],
    connection: Connection | None,
) -> Request:
    """A row, as far as its asker signed it; what oneself asks is bound to one's own kept challenge instead."""
    if connection is None:
        raise ForgedRecord("The backend shows a request over a connection that is not there.")
    incoming = row.owner == session.account
    ends = (session.account, connection.peer) if incoming else (connection.peer, session.account)
    if (row.owner, row.asker) != ends or row.request != request_id(*ends, row.piece_name):
        raise ForgedRecord("The backend shows a request that is not between you and the other side.")
    check_not_older(before.get(row.request), row.n)
    waits = incoming and row.status == "open"
    if waits:
        signature = unb64(row.signature)
        must_sign(connection.line, lambda public: verify_request(place_of(row), row.challenge or "", signature, public))
    session.memory.saw(KIND, row.request, row.n)
    return Request(
        request=row.request,
        name=row.piece_name,
        sender=connection.address if incoming else session.address,
        recipient=session.address if incoming else connection.address,
        incoming=incoming,
        status=row.status,
        n=row.n,
        connection=connection,
        challenge=found.blob(row.challenge or "") if waits else b"",
        row=row,
    )


async def still_open(session: Session) -> set[tuple[str, int]]:
    """Id and number of each request to me that waits."""
    ask = AskRequests(direction="incoming", open=True, limit=MAX_PAGE)
    return {(row.request, row.n) for row in (await session.ask_all(ask, RequestRow)).rows}


async def _approvals(
    session: Session, keyring: Keyring, piece: pieces.Piece, requests: Sequence[Request]
) -> tuple[list[tuple[Command, Sequence[bytes]]], list[Request]]:
    """A command for each request: the challenge is opened, the key sealed to the asker, the grant signed.

    And the requests whose challenge does not open: whoever sends such a one must not keep the others waiting.
    """
    if any(request.status != "open" for request in requests):
        raise RequestNotOpen
    pairs = await stored_connection_keys(session, keyring, {request.connection.key for request in requests})
    commands: list[tuple[Command, Sequence[bytes]]] = []
    closed: list[Request] = []
    for request in requests:
        try:
            commands.append(_approval(keyring, piece, request, pairs[request.connection.key].pair))
        except DoesNotOpen:
            closed.append(request)
    return commands, closed


def _approval(
    keyring: Keyring, piece: pieces.Piece, request: Request, pair: KeyPair
) -> tuple[Command, Sequence[bytes]]:
    over, place = request.connection, place_of(request.row)
    challenge = open_challenge(place, pair.suite, request.challenge, pair.private)
    to = grant_place(keyring.account, piece.name, piece.generation, over)
    wrap, signature = seal_grant(to, over.suite, over.public, piece.key, keyring.identity.sign)
    content = piece.row.content or ""
    granted = Granted(version=piece.version, generation=piece.generation, content=content, wrap=digest(wrap))
    command = ApproveRequest(
        request=request.request,
        n=request.n,
        version=piece.version,
        generation=piece.generation,
        content=content,
        wrap=digest(wrap),
        grant=b64(signature),
        answer=b64(make_answer(challenge, place, granted)),
    )
    return command, (wrap,)
