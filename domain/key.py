"""A keypair in the Keystore: whose it is, and whether its public part may be used."""

from dataclasses import dataclass

from domain.erasure import erase
from domain.facts import Actor
from privity.errors import AlreadyExists, KeyNotFound
from privity.messages.base import Command, Event
from privity.messages.keys import (
    KeypairRemoved,
    KeypairStored,
    PublicKeyPublished,
    PublishPublicKey,
    RemoveKeypair,
    StoreKeypair,
)


@dataclass(slots=True)
class State:
    """What the next decision about a keypair needs."""

    account: str = ""
    suite: str = ""
    public: str = ""
    private: str = ""
    published: bool = False
    removed: bool = False

    def usable_by(self, account: str) -> bool:
        """Whether `account` may invite or accept with it."""
        return self.published and not self.removed and self.account == account


def decide(command: Command, state: State, by: Actor) -> list[Event]:
    """What follows from a command about a keypair."""
    match command:
        case StoreKeypair() if state.account:
            raise AlreadyExists("there is a keypair with this id already")
        case StoreKeypair(key=key, suite=suite, public=public, private=private):
            return [KeypairStored(key, by.account, suite, public, private)]
        case RemoveKeypair() if state.account == by.account and state.removed:
            return []
        case PublishPublicKey(key=key) | RemoveKeypair(key=key) if state.account != by.account or state.removed:
            raise KeyNotFound(f"there is no keypair {key}")
        case PublishPublicKey() if state.published:
            return []
        case PublishPublicKey(key=key):
            return [PublicKeyPublished(key, by.account)]
        case RemoveKeypair(key=key):
            return [KeypairRemoved(key, by.account), *erase(key, [state.private], [by.account])]
    raise NotImplementedError(type(command).__name__)


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case KeypairStored(account=account, suite=suite, public=public, private=private):
            state.account, state.suite, state.public, state.private = account, suite, public, private
        case PublicKeyPublished():
            state.published = True
        case KeypairRemoved():
            state.removed, state.public, state.private = True, "", ""
        case _:
            raise NotImplementedError(event.name)
