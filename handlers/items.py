"""Items: adding, editing and giving up what a person keeps."""

from domain import file, item, share
from handlers.registry import Desk, handles
from privity.messages.base import Event
from privity.messages.items import AddItem, EditItem, RemoveItem


@handles(AddItem)
def add_item(command: AddItem, desk: Desk) -> list[Event]:
    """A new item at version 1."""
    taken = bool(desk.load(share.State, command.item).owner)
    return item.decide(command, desk.load(item.State, command.item), desk.by, taken=taken)


@handles(EditItem)
def edit_item(command: EditItem, desk: Desk) -> list[Event]:
    """The next version, and no other."""
    return item.decide(command, desk.load(item.State, command.item), desk.by)


@handles(RemoveItem)
def remove_item(command: RemoveItem, desk: Desk) -> list[Event]:
    """Gone, with its files; again is no change."""
    state, attached = desk.load(item.State, command.item), desk.load(file.State, command.item)
    return item.decide(command, state, desk.by, files=attached.sealed_of(state.owner))
