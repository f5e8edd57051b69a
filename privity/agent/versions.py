"""Versions: items under a vault key, each signed by its author; none is taken but by whose role permitted it."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from privity.agent.chains import signed_chain
from privity.agent.identity import current, newest_checkpoint, own_line
from privity.agent.keyring import Keyring
from privity.agent.log import Evidence, check_signer
from privity.agent.session import Rows, Session
from privity.agent.steps import Walk, check_ended, may_write, verified, walk_steps
from privity.agent.vaults import Vault
from privity.crypto.delegations import (
    ItemVersion,
    open_version,
    read_version,
    seal_version,
    verify_version,
)
from privity.crypto.log import bare
from privity.encoding import b64, digest, unb64
from privity.errors import ForgedRecord, Malformed
from privity.messages.delegations import DropItem, KeepItem
from privity.messages.envelope import command_subject
from privity.messages.views import ItemRow


@dataclass(frozen=True, slots=True)
class Opened:
    """An item's plaintext, and the address of the delegate who wrote it; None where the principal did."""

    plaintext: bytes = field(repr=False)
    version: ItemVersion
    by: str | None


async def keeping(
    session: Session, keyring: Keyring, vault: Vault, item: str, version: int, plaintext: bytes
) -> tuple[KeepItem, tuple[bytes, bytes]]:
    """The command that keeps a version of an item under the vault key, signed, and its sealed parts.

    Whether one may, and whether version and vault key are the next and the newest, the home says.
    """
    keyring, _ = await current(session, keyring)
    delegation = vault.mine.delegation if vault.mine else None
    sealed = seal_version(
        vault.key,
        plaintext,
        principal=vault.principal,
        item=item,
        version=version,
        generation=vault.walk.generation,
        by=session.account,
        delegation=delegation,
        checkpoint=await seen_checkpoint(session),
        identity=keyring.identity.sign,
    )
    command = KeepItem(
        principal=vault.principal,
        delegation=delegation,
        item=item,
        version=version,
        generation=vault.walk.generation,
        record=b64(sealed.record),
        signature=b64(sealed.signature),
        content=digest(sealed.content),
        wrap=digest(sealed.wrap),
    )
    return command, (sealed.content, sealed.wrap)


async def open_row(session: Session, vault: Vault, row: ItemRow, found: Rows[ItemRow]) -> Opened:
    """An item under the vault key, signed by somebody who might write it.

    Raises:
        ForgedRecord: it is not, or not what the row says.
        DoesNotOpen: it does not open.
    """
    version = await check_author(session, vault, row)
    return Opened(open_checked(vault, version, found), version, _author(vault.walk, version))


def is_behind(vault: Vault, rows: Iterable[ItemRow]) -> bool:
    """Whether some of the rows are under a newer key, or by a newer delegate, than a vault that was opened before."""
    known = vault.walk.grants.keys() | vault.walk.removed.keys() | {None}
    for row in rows:
        with suppress(Malformed):
            version = read_version(unb64(row.record or ""))
            if version.generation > vault.walk.generation or version.delegation not in known:
                return True
    return False


def open_checked(vault: Vault, version: ItemVersion, found: Rows[ItemRow]) -> bytes:
    """The plaintext of a version whose author was checked.

    Raises:
        ForgedRecord, DoesNotOpen: as `open_row`.
    """
    key = vault.keys.get(version.generation)
    if key is None:
        raise ForgedRecord(f"Item {version.item} is said to be under a vault key that there is not.")
    return open_version(key, version, found.blob(version.content), found.blob(version.wrap))


async def check_author(session: Session, vault: Vault, row: ItemRow) -> ItemVersion:
    """The signed record of a row, by the principal or a delegate whose role permits it, or did when it was kept.

    Raises:
        ForgedRecord: it is by nobody of these, or the row says something else.
    """
    if row.record is None or row.signature is None:
        raise ForgedRecord(f"The backend shows item {row.item} without its author's signature.")
    record, signature = unb64(row.record), unb64(row.signature)
    version = read_version(record)
    said = (vault.principal, row.item, row.version, row.content, row.wrap)
    if said != (version.principal, version.item, version.version, version.content, version.wrap):
        raise ForgedRecord(f"What the backend says of item {row.item} is not what its author signed.")
    ended = may_write(vault.walk, version.delegation, version.by)
    named: dict[str, object] = {"record": row.record, "signature": row.signature}
    await verified(
        session,
        vault.walk.lines[version.by],
        lambda public: verify_version(record, signature, public),
        row.kept,
        "item-kept",
        named,
    )
    if ended is not None:
        await check_ended(session, ended, row.kept, "item-kept", named)
    return version


async def check_dropped(session: Session, shown: Evidence, item: str) -> None:
    """Returns if a delegate whose role permits it signed that an item of one's own is given up.

    Raises:
        ForgedRecord: nobody did.
    """
    walk = await walk_steps(session, session.account, (await own_line(session))[1])
    by, said = shown.command.account, shown.command.body
    subject = command_subject(by, DropItem.subject)
    named = {"principal": session.account, "delegation": said.get("delegation"), "item": item}
    if (shown.subject, said) != (subject, named) or not shown.says("item-dropped", by=by, **named):
        raise ForgedRecord(f"What the backend shows for the end of item {item} does not say so.")
    ended = may_write(walk, said.get("delegation"), by)
    check_signer(shown, {by: signed_chain(walk.chains.get(by, ()))}, session.server)
    if ended is not None:
        await check_ended(session, ended, shown.position, "item-dropped", named)


def _author(walk: Walk, version: ItemVersion) -> str | None:
    id = version.delegation or ""
    ended = walk.removed.get(id)
    grant = ended.grant if ended else walk.grants.get(id)
    return grant.delegate_address if grant else None


async def seen_checkpoint(session: Session) -> str:
    """The newest checkpoint that this device has checked; asked for where it has none."""
    mark = session.memory.checkpoint
    return bare(mark.note) if mark else await newest_checkpoint(session)
