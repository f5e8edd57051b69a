"""Finding shares: what the lines say is known before the backend is asked, so that nothing it leaves out is missed."""

from collections.abc import Collection, Sequence

from privity.agent import connections, feed, lines, reading
from privity.agent.connections import Broken, Connection
from privity.agent.keyring import Keyring
from privity.agent.memory import Seen
from privity.agent.reading import Share
from privity.agent.session import Rows, Session
from privity.errors import IntegrityAlarm, Malformed, NotFound
from privity.messages.views import AskShares, ShareRow


async def served(session: Session, keyring: Keyring, id: str) -> tuple[Share, Rows[ShareRow]]:
    """A share by id or unique prefix, open or not, and the answer that it came with."""
    ask = AskShares(id=id, limit=2)
    await feed.learn(session)
    before = lines.known(session, await _read_on(session, keyring, lines.connections_of(session, id)), id)
    found = await session.ask(ask, ShareRow, fresh=True)
    if id and len(found.rows) < 2:  # with two, the id is ambiguous anyway
        await _check_left_out(session, keyring, before, before.missing(row.share for row in found.rows))
    row = found.one("share", id)
    if row.connection not in before.connections:  # what its line says must be known before it is asked for
        before = lines.known(session, await _read_on(session, keyring, [row.connection]), id)
        found = await session.ask(ask, ShareRow, fresh=True)
    return await reading.open_one(session, keyring, found.one("share", id), found, before), found


async def _read_on(session: Session, keyring: Keyring, ids: Sequence[str]) -> list[Connection]:
    """The connection of that id, its lines read; none where there are several, or it is not there any more."""
    if len(ids) != 1:
        return []
    try:
        connection = await connections.show(session, keyring, ids[0])
    except NotFound:
        return []
    await lines.learn(session, connection)
    return [connection]


async def found_by(
    session: Session, keyring: Keyring, ask: AskShares, of_item: Collection[str] | None = None
) -> list[Share | Broken]:
    """What is asked for, each opened, and what is left out of it.

    Args:
        of_item: the remembered shares that alone can be left out; None for all in this direction.
    """
    good, broken = await learned(session, keyring)
    before = lines.known(session, good)
    found = await session.ask_all(ask, ShareRow, fresh=ask.direction != "outgoing")
    if of_item is not None:  # of the others nothing is asked
        over = {row.connection for row in found.rows}
        broken = {connection: each for connection, each in broken.items() if connection in over}
    shares = await reading.opened(session, keyring, found, before, broken)
    missing = before.missing((row.share for row in found.rows), of_item)
    own_too = {"incoming": (False,), "outgoing": (True,), "all": (False, True)}[ask.direction]
    expected = [seen for seen in missing if lines.is_own(session, seen) in own_too]
    return [*shares, *await lines.left_out(session, before, expected)]


async def learned(session: Session, keyring: Keyring) -> tuple[list[Connection], dict[str, Broken]]:
    """The connections whose lines were read and hold; and by their ids those that do not."""
    await feed.learn(session)
    good: list[Connection] = []
    broken: dict[str, Broken] = {}
    for each in await connections.all_own(session, keyring):
        if isinstance(each, Broken):
            broken[each.id] = each
            continue
        try:
            await lines.learn(session, each)
            good.append(each)
        except (IntegrityAlarm, Malformed) as alarm:
            broken[each.connection] = Broken(each.connection, each.address, session.meant(alarm))
    return good, broken


async def _check_left_out(session: Session, keyring: Keyring, before: lines.Known, missing: list[Seen]) -> None:
    if missing and not before.connections:  # for the names
        good = [each for each in await connections.all_own(session, keyring) if isinstance(each, Connection)]
        before.connections.update({each.connection: each for each in good})
    for left_out in await lines.left_out(session, before, missing):
        raise left_out.alarm
