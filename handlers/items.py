"""Items: adding, editing and giving up what a person keeps."""

from domain import item
from handlers.registry import Desk, handles
from privity.messages.base import Event
from privity.messages.items import AddItem, EditItem, RemoveItem


@handles(AddItem)
def add_item(command: AddItem, desk: Desk) -> list[Event]:
    """A new item at version 1."""
    return item.decide(command, desk.load(item.State, command.item), desk.by)


@handles(EditItem)
def edit_item(command: EditItem, desk: Desk) -> list[Event]:
    """The next version, and no other."""
    return item.decide(command, desk.load(item.State, command.item), desk.by)


@handles(RemoveItem)
def remove_item(command: RemoveItem, desk: Desk) -> list[Event]:
    """Gone; again is no change."""
    return item.decide(command, desk.load(item.State, command.item), desk.by)
