"""Vaults: the keys under which delegates read a person's items too; none is taken but the one that the steps name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from privity.agent import connections
from privity.agent.chains import Heads, follow
from privity.agent.connections import Connection
from privity.agent.identity import own_line
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_key
from privity.agent.session import Rows, Session
from privity.agent.steps import VAULT, Walk, walk_steps
from privity.crypto.delegations import (
    Grant,
    check_key,
    open_vault_key,
    unwrap_before,
    unwrap_vault_key,
    wrap_vault_key,
)
from privity.encoding import b64, digest
from privity.errors import (
    DelegationExpired,
    ForgedRecord,
    IntegrityAlarm,
    KeyMismatch,
    NotDelegated,
    NotFound,
    RolledBack,
    Unreachable,
    Unverified,
    Withheld,
)
from privity.messages.delegations import ClaimDelegation
from privity.messages.fields import SignedRecord
from privity.messages.views import AskVaults, ItemRow, VaultRow

PRINCIPAL = "principal"
"""The field by which a vault is named."""


@dataclass(frozen=True, slots=True)
class Vault:
    """A principal's vault, open: its steps, its keys by generation, and how the person who opened it is in it."""

    walk: Walk
    mine: Grant | None
    address: str
    """The principal's, as who granted it knows it."""
    keys: Mapping[int, bytes] = field(repr=False)
    chain: Sequence[SignedRecord] = field(default=(), repr=False)
    """The principal's identity chain as served; none of one's own vault."""

    @property
    def principal(self) -> str:
        """Whose items are under it."""
        return self.walk.principal

    @property
    def key(self) -> bytes:
        """The newest key."""
        return self.keys[self.walk.generation]


async def own(session: Session, keyring: Keyring) -> Vault | None:
    """One's own vault, if this device knows of one, and the home can be reached."""
    if session.memory.seen(VAULT, session.account) is None:
        return None
    try:
        return await find(session, keyring, session.account)
    except Unreachable:
        return None


async def needed(session: Session, keyring: Keyring, rows: Iterable[ItemRow]) -> Vault | None:
    """One's own vault, if some of one's own items are under it."""
    if all(row.record is None for row in rows):
        return None
    return await find(session, keyring, session.account)


async def find(session: Session, keyring: Keyring, principal: str) -> Vault:
    """The vault of a person, by the account's id; a new key is claimed on the way.

    Raises:
        NotDelegated: one is no delegate of theirs.
        RolledBack, ForkedLog, ForgedRecord: the steps are not those that were seen, or not signed by who may.
        DoesNotOpen: the key is not the one that the steps name.
        Unverified: the connection with who made one a delegate is not verified.
    """
    found = await session.ask(AskVaults(principal=principal), VaultRow)
    if not found.rows:
        if principal == session.account:
            raise Withheld("The backend leaves out your vault key.")
        raise NotDelegated
    return await opened(session, keyring, found.one(PRINCIPAL, principal), found)


async def opened(session: Session, keyring: Keyring, row: VaultRow, found: Rows[VaultRow]) -> Vault:
    """A served vault, believed as far as steps, pins and keys agree; asked for once more where it may have gone on.

    Raises:
        As `find`.
    """
    try:
        return await _opened(session, keyring, row, found)
    except IntegrityAlarm:
        again = await session.ask(AskVaults(principal=row.principal), VaultRow)
        if not again.rows or again.one(PRINCIPAL, row.principal) == row:
            raise
    return await _opened(session, keyring, again.rows[0], again)


async def _opened(session: Session, keyring: Keyring, row: VaultRow, found: Rows[VaultRow]) -> Vault:
    own_vault = row.principal == session.account
    if own_vault:
        line = (await own_line(session))[1]
    else:
        line = follow(Heads(session.memory), row.chain, row.principal, row.principal)
    walk = await walk_steps(session, row.principal, line)
    mine = None if own_vault else walk.of(session.account)
    address, over = session.address, None
    if not own_vault:
        over, address = await _check_giver(session, keyring, mine, row.principal)
    if row.generation != walk.generation:
        raise RolledBack(f"The backend serves the vault key of generation {row.generation}, not {walk.generation}.")
    if row.claimed:
        key = unwrap_vault_key(
            keyring.kek,
            found.blob(row.wrap),
            principal=row.principal,
            holder=session.account,
            generation=walk.generation,
        )
        check_key(key, walk.hashes[walk.generation], row.principal, walk.generation)
    else:
        key = await _claim(session, keyring, walk, mine, over)
    return Vault(walk, mine, address, _all_keys(walk, key, row, found), () if own_vault else row.chain)


async def _check_giver(
    session: Session, keyring: Keyring, mine: Grant | None, principal: str
) -> tuple[Connection, str]:
    """The verified connection over which one was made a delegate by somebody whom one knows; the principal's address.

    Where one knows the principal oneself, that is by their pinned address, whatever an owner calls them.
    """
    if mine is None:
        raise NotDelegated
    if mine.expires is not None and datetime.fromisoformat(mine.expires) <= datetime.now(UTC):
        raise DelegationExpired
    try:
        connection = await connections.show(session, keyring, mine.connection)
    except NotFound:
        raise NotDelegated("the connection over which you were made a delegate has ended") from None
    if connection.peer != mine.by or b64(mine.public) != connection.own_public:
        raise KeyMismatch("Who made you a delegate is not the other end of the connection that they name.")
    if not connection.verified:
        raise Unverified(f"the connection with {connection.address}, who made you a delegate, is not verified")
    if mine.by == principal:
        return connection, connection.address
    known = await connections.addresses(session, keyring)
    if principal in known:
        return connection, known[principal]
    if mine.principal_address in known.values():
        raise KeyMismatch(f"Who {connection.address} says is {mine.principal_address} is another person.")
    return connection, mine.principal_address


async def _claim(session: Session, keyring: Keyring, walk: Walk, mine: Grant | None, over: Connection | None) -> bytes:
    """Open the newest key with a connection's private key, and keep it under the KEK from now on."""
    found = await session.ask(AskVaults(principal=walk.principal), VaultRow, fresh=True)
    row = found.one(PRINCIPAL, walk.principal)
    if mine is None or over is None:
        raise ForgedRecord("The backend says that your own vault key is to be claimed.")
    stored = await stored_connection_key(session, keyring, over.key)
    place = {"principal": walk.principal, "holder": session.account}
    key = open_vault_key(
        found.blob(row.wrap),
        stored.pair.suite,
        stored.pair.private,
        delegation=mine.delegation,
        role=mine.role,
        generation=walk.generation,
        **place,
    )
    check_key(key, walk.hashes[walk.generation], walk.principal, walk.generation)
    wrap = wrap_vault_key(keyring.kek, key, generation=walk.generation, **place)
    await session.send(ClaimDelegation(walk.principal, walk.generation, digest(wrap)), wrap)
    return key


def _all_keys(walk: Walk, key: bytes, row: VaultRow, found: Rows[VaultRow]) -> dict[int, bytes]:
    """The key of every generation: each is under the one that followed it, and must be the one that the steps name."""
    keys = {walk.generation: key}
    if len(row.befores) != walk.generation - 1:
        raise Withheld("The backend leaves out a vault key of before.")
    for generation in range(walk.generation, 1, -1):
        before = unwrap_before(
            keys[generation], found.blob(row.befores[generation - 2]), principal=walk.principal, generation=generation
        )
        keys[generation - 1] = check_key(before, walk.hashes[generation - 1], walk.principal, generation - 1)
        if before == keys[generation]:
            raise ForgedRecord("The vault key that followed a removal is the one that was known before.")
    return keys
