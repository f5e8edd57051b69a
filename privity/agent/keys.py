"""Connection keypairs: made here, kept in the Keystore with the private part under the KEK."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from privity.agent.keyring import Keyring
from privity.agent.session import Rows, Session
from privity.crypto import labels
from privity.crypto.kem import KeyPair, Suite, generate_keypair, public_of
from privity.crypto.keyring import unwrap_key, wrap_key
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import KeyMismatch, KeyNotFound
from privity.messages.base import Command
from privity.messages.keys import PublishPublicKey, StoreKeypair
from privity.messages.views import MAX_PAGE, AskKeys, KeyRow

FEW = 3
"""Keypairs that are asked for one by one, rather than by all pages of the Keystore."""


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    """A keypair with its id in the Keystore, and the commands that put it there (none for one that is there)."""

    id: str
    pair: KeyPair
    storing: Sequence[tuple[Command, Sequence[bytes]]] = ()


def new_connection_key(keyring: Keyring, suite: Suite = Suite.X_WING) -> ConnectionKey:
    """A fresh keypair and the two commands that store and publish it. RSA-4096 takes some seconds."""
    pair, id = generate_keypair(suite), new_id()
    private = wrap_key(keyring.kek, pair.private, labels.PURPOSE_CONNECTION_KEY, *_place(keyring, id, suite))
    store = StoreKeypair(id, suite.value, b64(pair.public), digest(private))
    return ConnectionKey(id, pair, ((store, (private,)), (PublishPublicKey(id), ())))


async def stored_connection_key(session: Session, keyring: Keyring, id: str) -> ConnectionKey:
    """A keypair from the Keystore, by id or unique prefix.

    Raises:
        KeyNotFound: there is none.
        KeyMismatch: the public part that is served is not the private part's own.
    """
    found = await session.ask(AskKeys(id=id, limit=2), KeyRow, fresh=True)
    if not found.rows:
        raise KeyNotFound(f"there is no keypair {id}")
    return _opened(keyring, found.one("key", id), found)


async def stored_connection_keys(session: Session, keyring: Keyring, ids: Collection[str]) -> dict[str, ConnectionKey]:
    """Several keypairs from the Keystore by their whole ids: few questions for many.

    Raises:
        KeyNotFound, KeyMismatch: as `stored_connection_key`.
    """
    if len(ids) <= FEW:
        return {id: await stored_connection_key(session, keyring, id) for id in ids}
    found = await session.ask_all(AskKeys(limit=MAX_PAGE), KeyRow, fresh=True)
    rows = {row.key: row for row in found.rows}
    if missing := set(ids) - rows.keys():
        raise KeyNotFound(f"there is no keypair {min(missing)}")
    return {id: _opened(keyring, rows[id], found) for id in ids}


def _opened(keyring: Keyring, row: KeyRow, found: Rows[KeyRow]) -> ConnectionKey:
    suite = Suite(row.suite)
    place = _place(keyring, row.key, suite)
    private = unwrap_key(keyring.kek, found.blob(row.private), labels.PURPOSE_CONNECTION_KEY, *place)
    public = public_of(suite, private)
    if b64(public) != row.public:
        raise KeyMismatch(f"The public part of keypair {row.key} is not the one of its private part.")
    return ConnectionKey(row.key, KeyPair(suite, private, unb64(row.public)))


def _place(keyring: Keyring, id: str, suite: Suite) -> tuple[bytes, bytes, bytes]:
    return keyring.account.encode(), id.encode(), suite.value.encode()
