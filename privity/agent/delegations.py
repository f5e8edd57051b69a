"""Delegations: making and ending one's delegates, and finding those whose delegate one is."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from privity.agent import connections, vaults
from privity.agent.adopting import adopt, due
from privity.agent.identity import current, newest_checkpoint
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.agent.steps import REMOVED, VAULT
from privity.agent.tasks import Task
from privity.agent.vaults import PRINCIPAL, Vault
from privity.crypto.delegations import (
    FIRST_GENERATION,
    Grant,
    Removal,
    key_hash,
    new_vault_key,
    seal_vault_key,
    sign_step,
    wrap_before,
    wrap_vault_key,
)
from privity.encoding import b64, digest, new_id
from privity.errors import (
    Ambiguous,
    Busy,
    NotConnected,
    NotDelegated,
    NotFound,
    PrivityError,
    StaleSequence,
    StaleVersion,
    Unreachable,
    Unverified,
    Withheld,
)
from privity.messages.catalog import check_address
from privity.messages.delegations import GrantDelegation, RemoveDelegation, Role
from privity.messages.views import MAX_PAGE, AskItems, AskVaults, ItemRow, VaultRow

log = logging.getLogger(__name__)

TRIES = 5
"""Times that a removal is signed, where others are granted something meanwhile."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """Somebody's right to read or write in somebody's name.

    `by` is who granted it. `own` is whether oneself is the principal. `alarm` is what is wrong, where it does not hold.
    """

    delegation: str
    principal: str
    delegate: str
    role: str
    by: str
    status: str
    own: bool
    expires: datetime | None
    alarm: PrivityError | None = None


async def invite(
    session: Session,
    keyring: Keyring,
    address: str,
    role: Role,
    *,
    expires: datetime | None = None,
    principal: str | None = None,
) -> Delegation:
    """Make a connected, verified person a delegate: of oneself, or of the one at the address `principal`.

    With the first one all one's items come under the vault key.

    Raises:
        NotConnected, Unverified: there is no connection with that person, or it is not verified.
        RoleNotEnough: one is no owner, or no principal where an owner is made.
    """
    try:
        connection = await connections.with_person(session, keyring, address)
    except NotConnected as error:
        raise NotConnected(f"{error.message}; connect first: privity invite {check_address(address)}") from None
    if not connection.verified:
        raise Unverified(f"the connection with {connection.address} is not verified: compare the safety number first")
    vault = await as_principal(session, keyring, principal) if principal else await _own(session, keyring)
    keyring, _ = await current(session, keyring)
    owner = vault.principal if vault else session.account
    key, generation = (vault.key, vault.walk.generation) if vault else (new_vault_key(), FIRST_GENERATION)
    grant = Grant(
        principal=owner,
        n=len(vault.walk.digests) + 1 if vault else 1,
        prev=vault.walk.head if vault else None,
        by=session.account,
        delegation=new_id(),
        generation=generation,
        key=key_hash(key, owner, generation),
        checkpoint=await newest_checkpoint(session),
        delegate=connection.peer,
        role=role,
        connection=connection.connection,
        delegate_key=connection.peer_key,
        suite=connection.suite,
        public=connection.public,
        principal_address=vault.address if vault else session.address,
        delegate_address=connection.address,
        expires=expires.astimezone(UTC).isoformat() if expires else None,
    )
    record, signature = sign_step(grant, keyring.identity.sign)
    wrap = _seal(key, grant, generation)
    place = {"principal": owner, "holder": owner, "generation": generation}
    own_wrap = None if vault else wrap_vault_key(keyring.kek, key, **place)  # type: ignore[arg-type]
    command = GrantDelegation(
        principal=owner,
        delegation=grant.delegation,
        delegate=grant.delegate,
        role=role,
        connection=grant.connection,
        expires=expires,
        n=grant.n,
        generation=generation,
        record=b64(record),
        signature=b64(signature),
        wrap=digest(wrap),
        own_wrap=digest(own_wrap) if own_wrap else None,
    )
    await session.send(command, wrap, *([own_wrap] if own_wrap else []))
    session.memory.saw(VAULT, owner, grant.n, digest(record))
    own = owner == session.account
    if own:
        await adopt(session, keyring)
    return _to_delegation(grant, {session.account: session.address}, own=own)


async def remove(session: Session, keyring: Keyring, id: str, *, now: bool = False) -> Delegation:
    """End a delegation of one's own, by its id or unique prefix, or the delegate's address; a new vault key begins.

    Whose delegation is past its time, or whose connection has ended, does not get it.

    What the one who goes had written is signed anew. All else that they could read stays under the keys that they had
    until its next version; with `now` it comes under the new key at once. What was read cannot be unread.

    Raises:
        NotFound, Ambiguous: no delegation begins like this, or more than one.
    """
    book = await _book(session, keyring)
    for left in reversed(range(TRIES)):
        vault = await _own(session, keyring)
        if vault is None:
            raise NotFound(f"there is no delegation {id}")
        grant = _named(vault, id, book)
        try:
            await _remove(session, keyring, vault, grant, book)
            break
        except (StaleSequence, StaleVersion):  # an owner granted something just now
            if not left:
                raise
    await adopt(session, keyring, now=now)
    return replace(_to_delegation(grant, book, own=True), status="removed")


async def end_over(session: Session, keyring: Keyring, connection: str) -> None:
    """Remove whom one granted something over a connection that is about to end, so that they get no key any more.

    What does not hold keeps nobody from ending a connection.
    """
    try:
        vault = await _own(session, keyring)
        for grant in list(vault.walk.grants.values()) if vault else []:
            if grant.by == session.account and grant.connection == connection:
                await remove(session, keyring, grant.delegation)
    except (Unreachable, Busy):
        raise
    except PrivityError as error:
        log.error("the delegate over a connection that ends is not removed: %s", error.code)


async def _remove(session: Session, keyring: Keyring, vault: Vault, grant: Grant, book: Mapping[str, str]) -> None:
    keyring, _ = await current(session, keyring)
    key, generation = new_vault_key(), vault.walk.generation + 1
    removal = Removal(
        principal=vault.principal,
        n=len(vault.walk.digests) + 1,
        prev=vault.walk.head,
        by=session.account,
        delegation=grant.delegation,
        generation=generation,
        key=key_hash(key, vault.principal, generation),
        checkpoint=await newest_checkpoint(session),
    )
    record, signature = sign_step(removal, keyring.identity.sign)
    wraps = _wraps(session, keyring, vault, grant, key, book)
    before = wrap_before(key, vault.key, principal=vault.principal, generation=generation)
    command = RemoveDelegation(
        principal=vault.principal,
        delegation=grant.delegation,
        n=removal.n,
        generation=generation,
        record=b64(record),
        signature=b64(signature),
        wraps={holder: digest(wrap) for holder, wrap in wraps.items()},
        before=digest(before),
    )
    result = await session.send(command, *wraps.values(), before)
    session.memory.saw(VAULT, vault.principal, removal.n, digest(record))
    for event in result.events[:1]:
        session.memory.saw(REMOVED, grant.delegation, 1, str(event.position), vault.principal)


async def all_of(session: Session, keyring: Keyring) -> list[Delegation]:
    """One's delegates, and those whose delegate one is; one that does not hold hides no other.

    Own items that are not under the vault key yet are brought there.

    Raises:
        Withheld: the backend leaves out one's own.
    """
    found = await session.ask_all(AskVaults(limit=MAX_PAGE), VaultRow)
    delegations: list[Delegation] = []
    known = session.memory.seen(VAULT, session.account) is not None
    if known and all(row.principal != session.account for row in found.rows):
        raise Withheld("The backend leaves out your vault key.")
    book = await _book(session, keyring) if found.rows else {}
    for row in found.rows:
        own = row.principal == session.account
        try:
            vault = await vaults.opened(session, keyring, row, found)
            if own:
                await adopt(session, keyring)
        except (Unreachable, Busy):
            raise
        except PrivityError as alarm:
            broken = f"broken: {alarm.code}"
            delegations.append(Delegation("", row.principal, session.address, "", "", broken, own, None, alarm))
            continue
        grants = vault.walk.grants.values() if own else [vault.mine]
        delegations += [_to_delegation(grant, book, own=own, address=vault.address) for grant in grants if grant]
    return delegations


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """What an agent does by itself: it takes vault keys under its person's own key, and brings new items under one."""
    found = await session.ask_all(AskVaults(limit=MAX_PAGE), VaultRow)

    def claim(row: VaultRow) -> Task:
        async def run() -> None:
            await vaults.find(session, keyring, row.principal)

        return Task("vault", f"{row.principal}/{row.generation}", "take a vault key under your own key", run)

    async def bring() -> None:
        await adopt(session, keyring)

    tasks = [claim(row) for row in found.rows if not row.claimed]
    for row in found.rows:
        if row.principal == session.account:
            vault = await vaults.opened(session, keyring, row, found)
            left = due(vault, (await session.ask_all(AskItems(), ItemRow)).rows)
            named = digest("".join(sorted(f"{each.item}/{each.version} " for each in left)).encode())
            if left:
                tasks.append(Task("adopt", named, "bring items under the vault key", bring))
    return tasks


async def as_principal(session: Session, keyring: Keyring, address: str) -> Vault:
    """The vault of the person at that address, whose delegate one is.

    Raises:
        NotDelegated: one is none of theirs.
        Ambiguous: two are said to be that person.
        IntegrityAlarm: there is none that holds.
    """
    address = check_address(address)
    found = await session.ask_all(AskVaults(limit=MAX_PAGE), VaultRow)
    alarms: list[PrivityError] = []
    matching: list[Vault] = []
    for row in found.rows:
        if row.principal == session.account:
            continue
        try:
            vault = await vaults.opened(session, keyring, row, found)
        except (Unreachable, Busy):
            raise
        except PrivityError as alarm:
            alarms.append(alarm)
            continue
        if vault.address == address:
            matching.append(vault)
    if len(matching) > 1:
        raise Ambiguous(f"two people are said to be {address}: see privity delegate list")
    if matching:
        return matching[0]
    raise alarms[0] if alarms else NotDelegated(f"you are no delegate of {address}")


async def _own(session: Session, keyring: Keyring) -> Vault | None:
    """One's own vault, whether or not this device knew of one."""
    found = await session.ask(AskVaults(principal=session.account), VaultRow)
    if found.rows:
        return await vaults.opened(session, keyring, found.one(PRINCIPAL, session.account), found)
    if session.memory.seen(VAULT, session.account) is not None:
        raise Withheld("The backend leaves out your vault key.")
    return None


def _wraps(
    session: Session, keyring: Keyring, vault: Vault, gone: Grant, key: bytes, book: Mapping[str, str]
) -> dict[str, bytes]:
    """A new vault key for each who is left: one's own under the KEK, the others' sealed to the keys of their grants.

    None for those past their time, nor for those whom one is not connected with any more.
    """
    generation = vault.walk.generation + 1
    left = [
        grant
        for grant in vault.walk.grants.values()
        if grant.delegation != gone.delegation
        and not _is_over(grant)
        and (grant.by != session.account or grant.delegate in book)
    ]
    wraps = {grant.delegate: _seal(key, grant, generation) for grant in left}
    wraps[session.account] = wrap_vault_key(
        keyring.kek, key, principal=vault.principal, holder=session.account, generation=generation
    )
    return wraps


def _seal(key: bytes, grant: Grant, generation: int) -> bytes:
    return seal_vault_key(
        key,
        grant.suite,
        grant.public,
        principal=grant.principal,
        delegation=grant.delegation,
        holder=grant.delegate,
        role=grant.role,
        generation=generation,
    )


def _named(vault: Vault, id: str, book: Mapping[str, str]) -> Grant:
    grants = vault.walk.grants.values()
    if "@" in id:
        found = [grant for grant in grants if known_as(grant, book) == check_address(id)]
    else:
        found = [grant for grant in grants if id and grant.delegation.startswith(id)]
    if not found:
        raise NotFound(f"there is no delegation {id}")
    if len(found) > 1:
        raise Ambiguous(f"more than one delegation begins with {id!r}; give more of the id")
    return found[0]


async def _book(session: Session, keyring: Keyring) -> dict[str, str]:
    """By which address one knows oneself, and whom one is connected with, by account."""
    return {session.account: session.address, **await connections.addresses(session, keyring)}


def known_as(grant: Grant, book: Mapping[str, str]) -> str:
    """How oneself knows the delegate; by the account's id where an owner says that they are somebody whom one knows."""
    if grant.delegate in book:
        return book[grant.delegate]
    return grant.delegate if grant.delegate_address in book.values() else grant.delegate_address


def _is_over(grant: Grant) -> bool:
    return grant.expires is not None and datetime.fromisoformat(grant.expires) <= datetime.now(UTC)


def _to_delegation(grant: Grant, book: Mapping[str, str], *, own: bool, address: str = "") -> Delegation:
    """As one sees it oneself, who knows those in the book; `address` is the principal's."""
    principal = address or grant.principal_address
    expires = datetime.fromisoformat(grant.expires) if grant.expires else None
    return Delegation(
        delegation=grant.delegation,
        principal=principal,
        delegate=known_as(grant, book),
        role=grant.role,
        by=principal if grant.by == grant.principal else book.get(grant.by, grant.by),
        status="expired" if _is_over(grant) else "active",
        own=own,
        expires=expires,
    )
