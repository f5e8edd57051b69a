"""Rotation of a sharing key: the next generation for who remains; who is dropped gets nothing that comes later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from privity.agent import connections, registrations, sharing_keys
from privity.agent.chains import notices
from privity.agent.connections import Connection
from privity.agent.grants import ATTEMPTS, holders_of, own_key, sign_next
from privity.agent.key_records import OWN
from privity.agent.keyring import Keyring
from privity.agent.sending import check_consent
from privity.agent.session import Session
from privity.agent.sharing_keys import SharingKey
from privity.agent.tasks import Task
from privity.crypto.sharing_keys import PartPlace, PrivatePart, link_part, read_record, seal_part, wrap_part
from privity.encoding import b64, digest, unb64
from privity.errors import KeyMismatch, NotFound, StaleVersion
from privity.messages.sharing_keys import RotateSharingKey
from privity.messages.views import (
    MAX_PAGE,
    AskConnections,
    AskKeyHolders,
    AskSharingKeys,
    ConnectionRow,
    KeyHolderRow,
    SharingKeyRow,
)

LOST = "lost-holder"
"""What is remembered: a key and the ended connection over which somebody holds it, once the person was told."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """A key in its next generation: who was dropped, by address; who of them since their connection had ended.

    `waiting` are the suppliers that are told later who may read.
    """

    key: SharingKey = field(repr=False)
    dropped: tuple[str, ...]
    lost: tuple[str, ...]
    waiting: tuple[str, ...]


async def rotate(
    session: Session, keyring: Keyring, name: str, drop: Sequence[str] = (), *, unverified: bool = False
) -> Rotated:
    """Begin the next generation of a key of one's own, for all who hold it but those who are dropped.

    Who holds it over a connection that has ended is dropped too: there is no key that the new part could be sealed to.
    So is, and is named among them, who gave the key up themselves.

    Args:
        drop: addresses, or account ids.
        unverified: the consent to seal to who gave up keys as stolen.

    Raises:
        MasterKeyStays: it is the identity's.
        KeyInactive: one has switched the key off.
        NotFound: there is no such key of one's own, or somebody who is to be dropped does not hold it.
        Unverified: somebody who remains gave up keys as stolen, and the person did not consent.
    """
    for left in reversed(range(ATTEMPTS)):
        key = await own_key(session, keyring, name)
        holding = await holders_of(session, keyring, key)
        own = await connections.all_own(session, keyring)
        over = {each.connection: each for each in own if isinstance(each, Connection)}
        broken = {each.id: each.alarm for each in own if not isinstance(each, Connection)}
        wanted = _dropped(drop, holding, over)
        for row in holding.values():
            if row.account not in wanted and row.connection in broken:
                raise broken[row.connection]
        gone = set(key.record.holders) - holding.keys()
        lost = {one for one, row in holding.items() if one not in wanted and row.connection not in over}
        staying = {one: over[row.connection] for one, row in holding.items() if one not in wanted | lost}
        for connection in staying.values():
            check_consent(connection, consent=unverified, first=False)
        try:
            await _send(session, keyring, key, staying, tuple(sorted(wanted | lost)))
            break
        except StaleVersion:
            if not left:
                raise
    key = await own_key(session, keyring, key.id)
    troubles = await registrations.register_newest(session, keyring, key)
    called = {each.peer: each.address for each in over.values()}
    return Rotated(
        key,
        dropped=tuple(sorted([holding[one].address for one in wanted | lost] + [called.get(one, one) for one in gone])),
        lost=tuple(sorted(holding[one].address for one in lost)),
        waiting=tuple(sorted({each.supplier for each in troubles or ()})),
    )


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """Nothing by itself: who shall not read on, a person decides. They are told once who holds a key without one."""
    keys = (await session.ask_all(AskSharingKeys(limit=MAX_PAGE), SharingKeyRow)).rows
    granted = [row.key for row in keys if row.kind == OWN and read_record(unb64(row.record)).holders]
    if not granted:
        return []
    over = {row.connection for row in (await session.ask_all(AskConnections(), ConnectionRow)).rows}
    for key in granted:
        for row in (await session.ask_all(AskKeyHolders(key=key, limit=MAX_PAGE), KeyHolderRow)).rows:
            if row.connection not in over:
                await _tell_lost(session, keyring, row)
    return []


async def _tell_lost(session: Session, keyring: Keyring, row: KeyHolderRow) -> None:
    named = f"{row.key} {row.connection}"
    if session.memory.seen(LOST, named) is None:
        key = await sharing_keys.show(session, keyring, row.key)
        rotate = f"privity key rotate {key.alias}"
        notices.warning("notice: %s holds %s still, and your connection has ended: %s", row.address, key.name, rotate)
        session.memory.saw(LOST, named, 1)


def _dropped(drop: Sequence[str], holding: Mapping[str, KeyHolderRow], over: Mapping[str, Connection]) -> set[str]:
    """The accounts that are meant: by the pinned address, where there is a connection, else by the home's word."""
    called = {
        over[row.connection].address if row.connection in over else row.address: row.account for row in holding.values()
    }
    found = set()
    for each in drop:
        account = each if each in holding else called.get(each.strip().lower())
        if account is None:
            raise NotFound(f"{each} does not hold this key")
        found.add(account)
    return found


async def _send(
    session: Session, keyring: Keyring, key: SharingKey, staying: Mapping[str, Connection], dropped: tuple[str, ...]
) -> None:
    new, generation = PrivatePart.generate(), key.generation + 1
    signed = await sign_next(
        session,
        keyring,
        key,
        generation=generation,
        seal=new.pair.public,
        sign=new.sign.public,
        holders=tuple(sorted(staying)),
    )
    wraps = {key.creator: wrap_part(keyring.kek, new, key.id, generation, key.creator)}
    for account, connection in staying.items():
        if connection.peer != account:
            raise KeyMismatch("The backend shows a holder of the key over a connection with somebody else.")
        place = PartPlace(
            key=key.id, generation=generation, by=key.creator, to=account, connection=connection.connection
        )
        wraps[account] = seal_part(connection.suite, connection.public, new, key.full_alias, place)
    link = link_part(new, key.private(), key.id, generation)
    command = RotateSharingKey(
        key=key.id,
        n=signed.n,
        generation=generation,
        dropped=dropped,
        record=b64(signed.record),
        signature=b64(signed.signature),
        wraps={account: digest(wrap) for account, wrap in wraps.items()},
        link=digest(link),
    )
    await session.send(command, *wraps.values(), link)
