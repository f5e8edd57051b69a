"""Keys: the Keystore's side of connection keypairs."""

from domain import key
from handlers.registry import Desk, handles
from privity.crypto.kem import Suite, check_public
from privity.encoding import unb64
from privity.messages.base import Event
from privity.messages.keys import PublishPublicKey, RemoveKeypair, StoreKeypair


@handles(StoreKeypair)
def store_keypair(command: StoreKeypair, desk: Desk) -> list[Event]:
    """The public part must be a key of its suite; the private part stays sealed."""
    check_public(Suite(command.suite), unb64(command.public))
    return key.decide(command, desk.load(key.State, command.key), desk.by)


@handles(PublishPublicKey)
def publish_public_key(command: PublishPublicKey, desk: Desk) -> list[Event]:
    """Only one's own stored keypair."""
    return key.decide(command, desk.load(key.State, command.key), desk.by)


@handles(RemoveKeypair)
def remove_keypair(command: RemoveKeypair, desk: Desk) -> list[Event]:
    """Gone; again is no change."""
    return key.decide(command, desk.load(key.State, command.key), desk.by)
