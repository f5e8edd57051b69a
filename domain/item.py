"""An item: whose it is, and its version."""

from dataclasses import dataclass

from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import AlreadyExists, NotFound, StaleVersion
from privity.messages.base import Command, Event
from privity.messages.items import AddItem, EditItem, ItemAdded, ItemEdited, ItemRemoved, RemoveItem


@dataclass(slots=True)
class State:
    """What the next decision about an item needs; `sealed` are its objects as they stand."""

    owner: str = ""
    version: int = 0
    removed: bool = False
    sealed: tuple[str, ...] = ()

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
            check_new((content, wrap), state.sealed)
            edited = ItemEdited(item, by.account, version, content, wrap)
            return [edited, *erase(item, state.sealed, [by.account])]
        case RemoveItem(item=item):
            return [ItemRemoved(item, by.account), *erase(item, state.sealed, [by.account])]
    raise NotImplementedError(type(command).__name__)


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case ItemAdded(owner=owner, content=content, wrap=wrap):
            state.owner, state.version, state.sealed = owner, 1, (content, wrap)
        case ItemEdited(version=version, content=content, wrap=wrap):
            state.version, state.sealed = version, (content, wrap)
        case ItemRemoved():
            state.removed, state.sealed = True, ()
        case _:
            raise NotImplementedError(event.name)
