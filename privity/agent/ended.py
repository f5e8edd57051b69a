"""What one gave once and has ended: up to which version the other could have read it stays in the line."""

from dataclasses import dataclass

from privity.agent import connections, feed, lines
from privity.agent.connections import Broken, Connection
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.crypto.sharing import Manifest, read_manifest
from privity.encoding import unb64
from privity.errors import IntegrityAlarm, Malformed
from privity.messages.views import MAX_PAGE, AskLine, LineRow


@dataclass(frozen=True, slots=True)
class Ended:
    """A share that ended. `version` is the newest that its recipient could have read; `generation` as well."""

    share: str
    item: str
    sender: str
    recipient: str
    version: int
    generation: int


async def all_given(session: Session, keyring: Keyring) -> list[Ended | Broken]:
    """One's own shares that ended, over the connections that one has; only what was checked in a line is told.

    A connection whose lines do not hold is broken, and hides no other.
    """
    await feed.learn(session)
    found: list[Ended | Broken] = []
    for each in await connections.all_own(session, keyring):
        if isinstance(each, Broken):
            found.append(each)
            continue
        try:
            await lines.learn(session, each)
            found += await _given_over(session, each)
        except (IntegrityAlarm, Malformed) as alarm:
            found.append(Broken(each.connection, each.address, session.meant(alarm)))
    return found


async def _given_over(session: Session, connection: Connection) -> list[Ended]:
    rows = (await session.ask_all(AskLine(connection=connection.connection, limit=MAX_PAGE), LineRow)).rows
    return [
        Ended(said.share, said.item, session.address, connection.address, said.version, said.generation)
        for row in rows
        if row.sender == session.account
        and row.ended is not None
        and lines.is_newest(session, said := _manifest(row), row.manifest)
    ]


def _manifest(row: LineRow) -> Manifest:
    return read_manifest(unb64(row.manifest))
