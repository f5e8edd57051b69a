"""Intents: items that are named at an invitation, and shared once it is accepted and the connection is verified.

They stand in the inviter's own sealed note of the invitation, so that only the inviter's devices know of them. Over a
connection that is not verified they wait until it is. Each becomes one share, whichever device does it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from privity.agent import connections, items, shares
from privity.agent.connections import Broken, Connection
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.tasks import Task
from privity.crypto.intents import intended_share
from privity.errors import (
    AlreadyExists,
    NotFound,
    PrivityError,
    StaleVersion,
    TooLarge,
    Unverified,
)

MAX_INTENTS: Final = 16
"""Items of one invitation."""
ATTEMPTS: Final = 5
"""Times that a note is written anew when other devices of one's own write it meanwhile."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an intent: shared, or refused for now."""

    item: str
    address: str
    refusal: PrivityError | None = None


async def checked(session: Session, keyring: Keyring, wanted: Sequence[str]) -> tuple[str, ...]:
    """The full ids of own items that are to be named at an invitation.

    Raises:
        NotFound, Ambiguous: one is not there.
        TooLarge: more than 16.
    """
    if len(wanted) > MAX_INTENTS:
        raise TooLarge(f"an invitation can name {MAX_INTENTS} items")
    found = [(await items.show(session, keyring, each)).item for each in wanted]
    return tuple(dict.fromkeys(found))


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """What is to be shared now: over verified connections alone."""
    ready = _ready(await connections.all_own(session, keyring))
    return [_task(session, keyring, each, item) for each in ready for item in _of(each)]


async def fire(session: Session, keyring: Keyring, known: Sequence[Connection | Broken]) -> list[Done]:
    """Share at once what was meant to be shared over such of these connections as are verified.

    One that cannot be shared, or whose connection's lines do not hold, stays an intent, and holds up no other.
    """
    done = []
    for each in _ready(known):
        for item in _of(each):
            try:
                await fulfil(session, keyring, each.connection, item)
                done.append(Done(item, each.address))
            except PrivityError as error:
                done.append(Done(item, each.address, error))
    return done


async def fulfil(session: Session, keyring: Keyring, connection_id: str, item: str) -> None:
    """Share one item as was intended, if no device of one's own has done so.

    Raises:
        Unverified: the connection is not verified (any more).
    """
    connection = await connections.show(session, keyring, connection_id)
    if item not in _of(connection):
        return
    if not connection.verified:
        raise Unverified("an intent waits until the connection is verified")
    if await _stands(session, keyring, item):
        share = intended_share(keyring.kek, connection.row.invitation, item)
        with suppress(AlreadyExists):  # another device of one's own was faster
            await shares.create(session, keyring, item, connection.address, share=share)
    await _forget(session, keyring, connection_id, item)


def _task(session: Session, keyring: Keyring, connection: Connection, item: str) -> Task:
    async def run() -> None:
        await fulfil(session, keyring, connection.connection, item)

    about = f"share an item with {connection.address}, as you intended when you invited them"
    return Task("intent", f"{connection.row.invitation}/{item}", about, run)


def _ready(known: Sequence[Connection | Broken]) -> list[Connection]:
    return [each for each in known if isinstance(each, Connection) and each.verified]


def _of(connection: Connection) -> Sequence[str]:
    return connection.note.intents if connection.row.inviter else ()


async def _stands(session: Session, keyring: Keyring, item: str) -> bool:
    """Whether there is still something to share."""
    try:
        await items.show(session, keyring, item)
    except NotFound:
        return False
    return True


async def _forget(session: Session, keyring: Keyring, connection_id: str, item: str) -> None:
    for left in reversed(range(ATTEMPTS)):
        connection = await connections.show(session, keyring, connection_id)
        rest = [each for each in connection.note.intents if each != item]
        if len(rest) == len(connection.note.intents):
            return
        try:
            await connections.keep_note(session, keyring, connection, replace(connection.note, intents=rest))
            return
        except StaleVersion:
            if not left:
                raise
