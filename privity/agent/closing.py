"""Ending things with all that hangs on them, so that their sealed objects are erased: a connection, an account."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from privity.agent.identity import current
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.crypto.command import sign_closing
from privity.encoding import b64
from privity.errors import (
    Busy,
    ClosedAccount,
    InstructionNotOpen,
    InvitationClosed,
    NotFound,
    NotInLog,
    RequestNotOpen,
    RolledBack,
    StaleVersion,
    UnknownDevice,
)
from privity.messages.accounts import CloseAccount
from privity.messages.base import Command
from privity.messages.connections import RemoveConnection
from privity.messages.instructions import AnswerInstruction
from privity.messages.invitations import CancelInvitation
from privity.messages.items import RemoveItem
from privity.messages.keys import RemoveKeypair
from privity.messages.pieces import DeclineRequest, ReleaseReader, RemovePiece, SetRules, WithdrawRequest
from privity.messages.shares import RemoveShare
from privity.messages.sharing_keys import EraseSharingKey
from privity.messages.views import (
    Ask,
    AskConnections,
    AskGroups,
    AskInstructions,
    AskInvitations,
    AskItems,
    AskKeys,
    AskLocations,
    AskPieces,
    AskReaders,
    AskRequests,
    AskRules,
    AskShares,
    AskSharingKeys,
    ConnectionRow,
    GroupRow,
    InstructionRow,
    InvitationRow,
    ItemRow,
    KeyRow,
    LocationRow,
    PieceRow,
    ReaderRow,
    RequestRow,
    RulesRow,
    ShareRow,
    SharingKeyRow,
)

R = TypeVar("R")

AT_A_TIME = 50
NOT_KNOWN = (
    "the backend does not know this device any more: this account was closed, or the device taken out of it; "
    "if you did that, take the account off this device: privity account logout"
)
MAX_IDLE = 100
"""Rounds in which nothing new ends: somebody else was faster, and the views have yet to hear of it."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What went with an account."""

    account: str
    address: str
    shares: int = 0
    connections: int = 0
    items: int = 0
    invitations: int = 0
    keys: int = 0


async def end_shares(session: Session, connection: str | None = None) -> int:
    """End every share, to and from oneself, or those over one connection; how many there were."""
    return await _sweep(session, AskShares(connection=connection, bare=True), ShareRow, "share", RemoveShare)


async def end_pieces(session: Session, connection: str | None = None) -> None:
    """End all grants of pieces and all that is asked, both ways, over all connections or over one."""
    gone: dict[tuple[str, str], ReleaseReader] = {}
    for held in (False, True):
        grants = await session.ask_all(AskReaders(connection=connection, held=held), ReaderRow)
        gone |= {(row.piece, row.reader): ReleaseReader(row.piece, row.reader) for row in grants.rows}
    await session.send_all([(command, ()) for command in gone.values()])
    asked = await session.ask_all(AskRequests(connection=connection, open=True), RequestRow)
    for row in asked.rows:
        mine = row.asker == session.account
        with suppress(RequestNotOpen):  # the other side may be faster
            await session.send(WithdrawRequest(row.request) if mine else DeclineRequest(row.request, row.n))


async def _remove_pieces(session: Session) -> None:
    """One's own pieces, and the rules."""
    await end_pieces(session)
    found = await session.ask_all(AskPieces(), PieceRow)
    standing = [row for row in found.rows if row.content is not None]
    await session.send_all([(RemovePiece(row.piece, (row.version or 0) + 1), ()) for row in standing])
    for rules in (await session.ask(AskRules(), RulesRow)).rows:
        if rules.rules is not None:
            await session.send(SetRules(rules.version + 1, None))


async def _refuse_instructions(session: Session) -> None:
    """What one's delegates want done still: what is sealed in it goes."""
    for row in (await session.ask_all(AskInstructions(open=True), InstructionRow)).rows:
        with suppress(InstructionNotOpen):
            await session.send(AnswerInstruction(row.delegation, row.n, ClosedAccount.__name__, None))


async def _leave_groups(session: Session, keyring: Keyring) -> None:
    """Go from every group, but from those from which many went just now."""
    from privity.agent import groups  # not above: it needs connections, and they end by this module

    for row in (await session.ask_all(AskGroups(), GroupRow)).rows:
        with suppress(Busy, NotFound, StaleVersion):
            await groups.leave(session, keyring, row.group, closing=True)


async def _end_sharing_keys(session: Session, keyring: Keyring) -> None:
    """End the locations and sharing keys that one made, give up those of others, and delete the backup of them."""
    from privity.agent import key_backup, location_writing  # not above: they need connections

    rows = (await session.ask_all(AskLocations(), LocationRow)).rows
    for location in (row.location for row in rows if row.by == session.account):
        with suppress(NotFound):
            await location_writing.remove(session, keyring, location)
    await key_backup.forget(session, keyring)
    await _sweep(session, AskSharingKeys(), SharingKeyRow, "key", EraseSharingKey)


async def end_connection(session: Session, connection: str) -> None:
    """End a connection, and before it its shares and grants: their sealed objects go with them alone."""
    await end_shares(session, connection)
    await end_pieces(session, connection)
    await session.send(RemoveConnection(connection))


async def close_account(session: Session, keyring: Keyring, profile: Profile) -> Closed:
    """End everything that is one's own, then the account, and take it off this device; other devices know nothing more.

    It can be done again after it was interrupted, and goes on.

    Raises:
        RolledBack: the backend serves what it said is gone.
        NotInLog: it says that the account ended, and does not prove it; the profile stays.
        UnknownDevice: the account has ended before, or this device was taken out of it; the profile stays.
        StaleChain: another device has changed the identity meanwhile.
    """
    try:
        keyring, identity = await current(session, keyring)  # before anything is ended
        await _remove_pieces(session)
        await _refuse_instructions(session)
        await _leave_groups(session, keyring)
        await _end_sharing_keys(session, keyring)
        gone = Closed(
            profile.account,
            profile.address,
            shares=await end_shares(session),
            connections=await _sweep(session, AskConnections(), ConnectionRow, "connection", RemoveConnection),
            items=await _sweep(session, AskItems(), ItemRow, "item", RemoveItem),
            invitations=await _cancel_invitations(session),
            keys=await _sweep(session, AskKeys(), KeyRow, "key", RemoveKeypair),
        )
        signature = sign_closing(keyring.identity.sign, session.server.home, session.account, identity.head)
        result = await session.send(CloseAccount(b64(identity.head), b64(signature)))
    except UnknownDevice:  # the result of an earlier try may be lost, but a backend can say this of any account
        raise UnknownDevice(NOT_KNOWN) from None
    if result.status != "accepted":  # what is accepted has come with its receipt
        raise NotInLog("The backend says that the account had ended, and shows no record of it.")
    session.folder.forget()
    return gone


async def _cancel_invitations(session: Session) -> int:
    """Those of one's own that are open still; somebody may answer one meanwhile."""
    rows = (await session.ask_all(AskInvitations(), InvitationRow)).rows
    own = [row.invitation for row in rows if not row.incoming and row.status in ("new", "expired")]
    for invitation in own:
        with suppress(InvitationClosed):
            await session.send(CancelInvitation(invitation))
    return len(own)


async def _sweep(session: Session, ask: Ask, row: type[R], kind: str, command: Callable[[str], Command]) -> int:
    """Send a command for each row of a view, until the view has none; how many there were.

    `kind` is the field that holds a row's id.

    Raises:
        RolledBack: the backend serves again what it recorded as gone.
        Busy: it goes on serving what, it says, was gone before.
    """
    seen: set[str] = set()
    ended: set[str] = set()
    idle = 0
    while idle < MAX_IDLE:
        found = await session.ask(replace(ask, limit=AT_A_TIME), row)
        ids = [str(getattr(each, kind)) for each in found.rows]
        if not ids:
            return len(seen)
        for id in ids:
            if id in ended:
                raise RolledBack(f"The backend serves {kind} {id}, which had ended.")
        results = await session.send_all([(command(id), ()) for id in ids])
        now = {id: result.position for id, result in zip(ids, results, strict=True) if result.status == "accepted"}
        for id, position in now.items():
            session.memory.ended(kind, id, position)
        seen.update(ids)
        ended.update(now)
        idle = 0 if now else idle + 1
    raise Busy(f"each {kind} was ended by somebody else, and is served still")
