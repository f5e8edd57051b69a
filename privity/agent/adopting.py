"""Adopting: one's own items that come under the newest vault key, in one's own name."""

import logging
from collections.abc import Sequence
from contextlib import suppress

from privity.agent import vaults, versions
from privity.agent.items import KIND, read_content
from privity.agent.keyring import Keyring
from privity.agent.memory import check_not_older
from privity.agent.session import Rows, Session
from privity.agent.vaults import Vault
from privity.crypto.delegations import read_version
from privity.crypto.items import open_item
from privity.encoding import unb64
from privity.errors import (
    ForgedRecord,
    IntegrityAlarm,
    Malformed,
    NotFound,
    StaleVersion,
)
from privity.messages.views import AskItems, ItemRow

log = logging.getLogger(__name__)


async def adopt(session: Session, keyring: Keyring, *, now: bool = False) -> int:
    """Bring items under the newest vault key, in one's own name; how many.

    Those that are not under one yet, those by somebody who is no delegate any more, and with `now` all the others. One
    that does not hold stays, and keeps no other from it: whoever reads it gets the alarm.
    """
    vault = await vaults.find(session, keyring, session.account)
    before = {each.id: each for each in session.memory.all_in(KIND, "")}
    found = await session.ask_all(AskItems(), ItemRow)
    adopted = 0
    for row in due(vault, found.rows, now=now):
        try:
            check_not_older(before.get(row.item), row.version, row.content)
            plaintext = await _opened(session, keyring, vault, row, found)
            read_content(plaintext)
        except (IntegrityAlarm, Malformed) as alarm:
            log.error("item %s does not come under the vault key: %s", row.item, alarm.code)
            continue
        command, sealed = await versions.keeping(session, keyring, vault, row.item, row.version + 1, plaintext)
        with suppress(StaleVersion, NotFound):  # somebody else kept it anew or gave it up just now
            await session.send(command, *sealed)
            session.memory.saw(KIND, row.item, row.version + 1, command.content)
            adopted += 1
    return adopted


def due(vault: Vault, rows: Sequence[ItemRow], *, now: bool = False) -> list[ItemRow]:
    """The items that are to be kept anew; what cannot be read is none of them."""
    found = []
    for row in rows:
        with suppress(Malformed):
            version = read_version(unb64(row.record)) if row.record is not None else None
            if (
                version is None
                or version.delegation in vault.walk.removed
                or (now and version.generation < vault.walk.generation)
            ):
                found.append(row)
    return found


async def _opened(session: Session, keyring: Keyring, vault: Vault, row: ItemRow, found: Rows[ItemRow]) -> bytes:
    if row.record is not None:
        return (await versions.open_row(session, vault, row, found)).plaintext
    if vault.principal != keyring.account:  # else a home could have one's own items brought under another's key
        raise ForgedRecord("What is not under the vault key is nobody's but its owner's.")
    place = {"account": keyring.account, "item": row.item}
    return open_item(keyring.kek, found.blob(row.content), found.blob(row.wrap), **place, version=row.version)
