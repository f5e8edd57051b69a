"""An item: whose it is, and its version."""

from dataclasses import dataclass

from domain.facts import Actor
from privity.errors import AlreadyExists, NotFound, StaleVersion
from privity.messages.base import Command, Event
from privity.messages.items import AddItem, EditItem, ItemAdded, ItemEdited, ItemRemoved, RemoveItem


@dataclass(slots=True)
class State:
    """What the next decision about an item needs."""

    owner: str = ""
    version: int = 0
    removed: bool = False

    def kept_by(self, account: str) -> bool:
        """Whether `account` owns it and has not given it up."""
        return self.owner == account and not self.removed


def decide(command: Command, state: State, by: Actor) -> list[Event]:
    """What follows from a command about an item."""
    match command:
        case AddItem() if state.owner:
            raise AlreadyExists("there is an item with this id already")
        case AddItem(item=item, content=content, wrap=wrap):
            return [ItemAdded(item, by.account, content, wrap)]
        case RemoveItem() if state.owner == by.account and state.removed:
            return []
        case EditItem() | RemoveItem() if not state.kept_by(by.account):
            raise NotFound("there is no such item")
        case EditItem(version=version) if version != state.version + 1:
            raise StaleVersion(f"the item is at version {state.version}")
        case EditItem(item=item, version=version, content=content, wrap=wrap):
            return [ItemEdited(item, by.account, version, content, wrap)]
        case RemoveItem(item=item):
            return [ItemRemoved(item, by.account)]
    raise NotImplementedError(type(command).__name__)


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case ItemAdded(owner=owner):
            state.owner, state.version = owner, 1
        case ItemEdited(version=version):
            state.version = version
        case ItemRemoved():
            state.removed = True
        case _:
            raise NotImplementedError(event.name)
