"""Items: what a person keeps, opened and sealed on this device."""

import json
from dataclasses import dataclass, field

from privity.agent.keyring import Keyring
from privity.agent.session import Rows, Session
from privity.crypto.items import open_item, seal_item
from privity.crypto.keyring import new_dek
from privity.encoding import digest, new_id
from privity.errors import Malformed
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.views import AskItems, ItemRow


@dataclass(frozen=True, slots=True)
class Content:
    """What an item says: a label and named values."""

    label: str = field(repr=False)
    slots: dict[str, str] = field(repr=False)

    def to_bytes(self) -> bytes:
        """The plaintext that is sealed."""
        return json.dumps({"label": self.label, "slots": self.slots}, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Item:
    """One's own item, open."""

    item: str
    version: int
    content: Content


def read_content(plaintext: bytes) -> Content:
    """The content behind a plaintext.

    Raises:
        Malformed: whoever sealed it sealed something else.
    """
    try:
        found = json.loads(plaintext)
    except (ValueError, RecursionError):
        found = None
    match found:
        case {"label": str(label), "slots": dict(slots)} if all(isinstance(v, str) for v in slots.values()):
            return Content(label, slots)
    raise Malformed("the sealed content is no item")


async def add(session: Session, keyring: Keyring, label: str, slots: dict[str, str]) -> Item:
    """Keep a new item."""
    kept = Item(new_id(), 1, Content(label, slots))
    content, wrap = _seal(keyring, kept)
    await session.send(AddItem(kept.item, digest(content), digest(wrap)), content, wrap)
    return kept


async def edit(session: Session, keyring: Keyring, id: str, slots: dict[str, str], label: str | None = None) -> Item:
    """Keep the next version: the slots given are set, the others stay.

    Raises:
        NotFound: no own item begins like this.
    """
    before = await show(session, keyring, id)
    content = Content(label or before.content.label, {**before.content.slots, **slots})
    kept = Item(before.item, before.version + 1, content)
    sealed, wrap = _seal(keyring, kept)
    await session.send(EditItem(kept.item, kept.version, digest(sealed), digest(wrap)), sealed, wrap)
    return kept


async def remove(session: Session, id: str) -> str:
    """Give an item up; its full id."""
    row = (await session.ask(AskItems(id=id, limit=2), ItemRow)).one("item", id)
    await session.send(RemoveItem(row.item))
    return row.item


async def show(session: Session, keyring: Keyring, id: str) -> Item:
    """One's own item, by id or unique prefix."""
    found = await session.ask(AskItems(id=id, limit=2), ItemRow)
    return _open(keyring, found.one("item", id), found)


async def all_own(session: Session, keyring: Keyring, shared_with: str | None = None) -> list[Item]:
    """One's own items; those shared over one connection, if it is given."""
    found = await session.ask_all(AskItems(shared_with=shared_with), ItemRow)
    return [_open(keyring, row, found) for row in found.rows]


def _seal(keyring: Keyring, item: Item) -> tuple[bytes, bytes]:
    plaintext = item.content.to_bytes()
    return seal_item(keyring.kek, new_dek(), plaintext, account=keyring.account, item=item.item, version=item.version)


def _open(keyring: Keyring, row: ItemRow, found: Rows[ItemRow]) -> Item:
    content, wrap = found.blob(row.content), found.blob(row.wrap)
    plaintext = open_item(keyring.kek, content, wrap, account=keyring.account, item=row.item, version=row.version)
    return Item(row.item, row.version, read_content(plaintext))
