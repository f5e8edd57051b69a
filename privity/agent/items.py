"""Items: what a person keeps, opened and sealed on this device."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from privity.agent.accounts import own, signed_chain
from privity.agent.feed import learn
from privity.agent.keyring import Keyring
from privity.agent.log import check_signer, evidence
from privity.agent.memory import Seen, check_not_older
from privity.agent.session import Rows, Session
from privity.crypto.items import open_item, seal_item
from privity.crypto.keyring import new_dek
from privity.encoding import digest, new_id
from privity.errors import Malformed, NotFound, Withheld
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.views import AskItems, ItemRow

KIND = "item"


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
    session.memory.saw(KIND, kept.item, kept.version, digest(content))
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
    session.memory.saw(KIND, kept.item, kept.version, digest(sealed))
    return kept


async def remove(session: Session, id: str) -> str:
    """Give an item up; its full id."""
    row = (await session.ask(AskItems(id=id, limit=2), ItemRow)).one("item", id)
    result = await session.send(RemoveItem(row.item))
    if result.events:
        session.memory.ended(KIND, row.item, result.position)
    else:  # another device was faster, says the backend
        await _check_gone(session, [row.item])
    return row.item


async def show(session: Session, keyring: Keyring, id: str) -> Item:
    """One's own item, by id or unique prefix.

    Raises:
        RolledBack: an older version than one that this device saw.
        Withheld: the item stands, and the backend leaves it out.
    """
    await learn(session)
    before = _standing(session.memory.begins(KIND, id)) if id else {}
    found = await session.ask(AskItems(id=id, limit=2), ItemRow)
    if found.rows:
        row = found.one("item", id)
        await _check_left_out(session, before, found)
        return _opened(session, keyring, before, row, found)
    await _check_left_out(session, before, found)
    raise NotFound(f"there is no item {id}")


async def all_own(session: Session, keyring: Keyring, shared_with: str | None = None) -> list[Item]:
    """One's own items; those shared over one connection, if it is given.

    Raises:
        RolledBack, Withheld: as `show`.
    """
    await learn(session)
    before = _standing(session.memory.all_in(KIND, ""))
    found = await session.ask_all(AskItems(shared_with=shared_with), ItemRow)
    if shared_with is None:
        await _check_left_out(session, before, found)
    return [_opened(session, keyring, before, row, found) for row in found.rows]


def _standing(seen: list[Seen]) -> dict[str, Seen]:
    return {each.id: each for each in seen}


async def _check_left_out(session: Session, before: dict[str, Seen], found: Rows[ItemRow]) -> None:
    served = {row.item for row in found.rows}
    missing = [seen.id for seen in before.values() if seen.id not in served and not seen.proven]
    if missing:
        await _check_gone(session, missing)


async def _check_gone(session: Session, items: Sequence[str]) -> None:
    await learn(session)  # another device may have given it up just now
    for id in items:
        seen = session.memory.seen(KIND, id)
        if seen is not None and not seen.proven:
            await _check_removed(session, seen)


async def _check_removed(session: Session, seen: Seen) -> None:
    """Returns if a device of one's own signed that the item is given up.

    Raises:
        Withheld: there is no such command in the log.
    """
    left_out = Withheld(f"The backend leaves out item {seen.id}, of which version {seen.version} was seen.")
    if not seen.ended:
        raise left_out
    try:
        shown = await evidence(session, seen.ended)
    except NotFound:
        raise left_out from None
    row, _ = await own(session)
    check_signer(shown, {session.account: signed_chain(row.chain)}, session.server)
    if not shown.says("item-removed", item=seen.id) or shown.command.body != {"item": seen.id}:
        raise left_out
    session.memory.ended(KIND, seen.id, seen.ended)


def _seal(keyring: Keyring, item: Item) -> tuple[bytes, bytes]:
    plaintext = item.content.to_bytes()
    return seal_item(keyring.kek, new_dek(), plaintext, account=keyring.account, item=item.item, version=item.version)


def _opened(session: Session, keyring: Keyring, before: dict[str, Seen], row: ItemRow, found: Rows[ItemRow]) -> Item:
    """A row that is no older than what was seen, open; from now on nothing older is taken."""
    check_not_older(before.get(row.item), row.version, row.content)
    content, wrap = found.blob(row.content), found.blob(row.wrap)
    plaintext = open_item(keyring.kek, content, wrap, account=keyring.account, item=row.item, version=row.version)
    item = Item(row.item, row.version, read_content(plaintext))
    session.memory.saw(KIND, row.item, row.version, row.content)
    return item
