"""Items: what a person keeps, opened and sealed on this device."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from privity.agent import vaults, versions
from privity.agent.accounts import own, signed_chain
from privity.agent.connections import Broken
from privity.agent.feed import learn
from privity.agent.files import Attachment, Attachments, Holder, Plain, attach, detach, fetch, one, read_attachments
from privity.agent.keyring import Keyring
from privity.agent.kinds import ITEM
from privity.agent.log import check_signer, evidence
from privity.agent.memory import Seen, check_not_older
from privity.agent.session import Rows, Session
from privity.crypto.items import open_item, seal_item
from privity.crypto.keyring import new_dek
from privity.encoding import digest, new_id
from privity.errors import IntegrityAlarm, Malformed, NotFound, Unreachable, Withheld
from privity.messages.delegations import KeepItem
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.views import AskItems, ItemRow

KIND = ITEM


@dataclass(frozen=True, slots=True)
class Content:
    """What an item says: a label, named values, and the files that are attached, by name."""

    label: str = field(repr=False)
    slots: dict[str, str] = field(repr=False)
    files: dict[str, Attachment] = field(default_factory=dict, repr=False)

    def to_bytes(self) -> bytes:
        """The plaintext that is sealed."""
        plain: dict[str, object] = {"label": self.label, "slots": self.slots}
        if self.files:
            plain["files"] = {name: each.to_json() for name, each in self.files.items()}
        return json.dumps(plain, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Item:
    """One's own item, open."""

    item: str
    version: int
    content: Content
    by: str | None = None
    """The address of the delegate who wrote this version; None where oneself did."""


def read_content(plaintext: bytes) -> Content:
    """The content behind a plaintext.

    Raises:
        Malformed: whoever sealed it sealed something else.
    """
    try:
        found = json.loads(plaintext)
        json.dumps(found, ensure_ascii=False).encode()  # JSON can hold lone surrogates, which are no text
    except (ValueError, RecursionError):
        found = None
    match found:
        case {"label": str(label), "slots": dict(slots), **more} if all(isinstance(v, str) for v in slots.values()):
            return Content(label, slots, read_attachments(more.get("files", {})))
    raise Malformed("the sealed content is no item")


async def add(
    session: Session, keyring: Keyring, label: str, slots: dict[str, str], attaching: Sequence[Plain] = ()
) -> Item:
    """Keep a new item, and what is attached to it."""
    id = new_id()
    files, bringing = attach(Holder(id, keyring.account, is_share=False), attaching, {})
    kept = Item(id, 1, Content(label, slots, files))
    command, sealed = await keeping(session, keyring, kept)
    await session.queue_all([(command, sealed), *bringing])
    return kept


async def edit(
    session: Session,
    keyring: Keyring,
    id: str,
    slots: dict[str, str],
    label: str | None = None,
    *,
    attaching: Sequence[Plain] = (),
    detaching: Sequence[str] = (),
) -> Item:
    """Keep the next version: the slots given are set, the others stay, and so do the files that are not taken off.

    Raises:
        NotFound: no own item begins like this, or it has no such file.
        AlreadyExists: it has a file of that name.
    """
    before = await show(session, keyring, id)
    holder = Holder(before.item, keyring.account, is_share=False)
    staying, letting_go = detach(holder, detaching, before.content.files)
    files, bringing = attach(holder, attaching, staying)
    content = Content(label or before.content.label, {**before.content.slots, **slots}, files)
    kept = Item(before.item, before.version + 1, content)
    command, sealed = await keeping(session, keyring, kept)
    await session.queue_all([(command, sealed), *letting_go, *bringing])
    return kept


async def read_file(session: Session, keyring: Keyring, item: Item, name: str) -> Plain:
    """A file of one's own item.

    Raises:
        NotFound: it has no such file.
        FileMissing, Withheld: the home does not have it.
    """

    async def reread() -> Attachments:
        return (await show(session, keyring, item.item)).content.files

    holder = Holder(item.item, keyring.account, is_share=False)
    return await fetch(session, holder, one(item.content.files, name), reread)


async def remove(session: Session, id: str) -> str:
    """Give an item up; its full id."""
    row = (await session.ask(AskItems(id=id, limit=2), ItemRow)).one("item", id)
    result = await session.queue(RemoveItem(row.item), version=row.version)
    if result is not None and not result.events:  # another device was faster, says the backend
        await _check_gone(session, [row.item])
    return row.item


async def to_remove(session: Session, keyring: Keyring, id: str) -> Item | Broken:
    """One's own item by its id, as `show`; or what does not hold of it: that keeps nobody from giving it up."""
    try:
        return await show(session, keyring, id)
    except (IntegrityAlarm, Malformed) as alarm:
        found = await session.ask(AskItems(id=id, limit=2), ItemRow)
        if not found.rows:
            raise
        return Broken(found.one("item", id).item, session.address, alarm)


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
        vault = await vaults.needed(session, keyring, found.rows)
        return await _opened(session, keyring, before, row, found, vault)
    await _check_left_out(session, before, found)
    raise NotFound(f"there is no item {id}")


async def all_own(session: Session, keyring: Keyring, shared_with: str | None = None) -> list[Item]:
    """As `all_of`, where all of them hold.

    Raises:
        RolledBack, Withheld: as `show`.
    """
    return holding(await all_of(session, keyring, shared_with))


def holding(found: Sequence[Item | Broken]) -> list[Item]:
    """The items, if all of them hold.

    Raises:
        IntegrityAlarm, Malformed: what is wrong with the first that does not.
    """
    for each in found:
        if isinstance(each, Broken):
            raise each.alarm
    return [each for each in found if isinstance(each, Item)]


async def all_of(session: Session, keyring: Keyring, shared_with: str | None = None) -> list[Item | Broken]:
    """One's own items; those shared over one connection, if it is given. One that does not hold hides no other.

    Raises:
        Withheld: as `show`.
    """
    await learn(session)
    before = _standing(session.memory.all_in(KIND, ""))
    found = await session.ask_all(AskItems(shared_with=shared_with), ItemRow)
    if shared_with is None:
        await _check_left_out(session, before, found)
    vault = await vaults.needed(session, keyring, found.rows)
    return [await _try(session, keyring, before, row, found, vault) for row in found.rows]


async def _try(
    session: Session,
    keyring: Keyring,
    before: dict[str, Seen],
    row: ItemRow,
    found: Rows[ItemRow],
    vault: vaults.Vault | None,
) -> Item | Broken:
    try:
        return await _opened(session, keyring, before, row, found, vault)
    except (IntegrityAlarm, Malformed) as alarm:
        return Broken(row.item, session.address, alarm)


def _standing(seen: list[Seen]) -> dict[str, Seen]:
    return {each.id: each for each in seen}


async def _check_left_out(session: Session, before: dict[str, Seen], found: Rows[ItemRow]) -> None:
    served = {row.item for row in found.rows}
    missing = [seen.id for seen in before.values() if seen.id not in served and not seen.proven]
    if session.offline:
        lacking = session.lacking([id for id in missing if not before[id].ended])
        if lacking and not found.rows:
            raise Unreachable(f"item {lacking[0]} is known, and not kept on this device")
    elif missing:
        await _check_gone(session, missing)


async def _check_gone(session: Session, items: Sequence[str]) -> None:
    await learn(session)  # another device may have given it up just now
    for id in items:
        seen = session.memory.seen(KIND, id)
        if seen is not None and not seen.proven:
            await _check_removed(session, seen)


async def _check_removed(session: Session, seen: Seen) -> None:
    """Returns if a device of one's own, or of a delegate, signed that the item is given up.

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
    if shown.says("item-dropped", item=seen.id):
        await versions.check_dropped(session, shown, seen.id)
        session.memory.ended(KIND, seen.id, seen.ended)
        return
    row, _ = await own(session)
    check_signer(shown, {session.account: signed_chain(row.chain)}, session.server)
    if not shown.says("item-removed", item=seen.id) or shown.command.body != {"item": seen.id}:
        raise left_out
    session.memory.ended(KIND, seen.id, seen.ended)


async def keeping(
    session: Session, keyring: Keyring, item: Item
) -> tuple[AddItem | EditItem | KeepItem, tuple[bytes, bytes]]:
    """The command that keeps a version, and its sealed parts: under the vault key, where there are delegates."""
    plaintext = item.content.to_bytes()
    vault = await vaults.own(session, keyring)
    if vault is not None and not session.offline:  # what is queued may meet a newer vault key: it is adopted later
        return await versions.keeping(session, keyring, vault, item.item, item.version, plaintext)
    place = {"account": keyring.account, "item": item.item}
    content, wrap = seal_item(keyring.kek, new_dek(), plaintext, **place, version=item.version)
    if item.version == 1:
        return AddItem(item.item, digest(content), digest(wrap)), (content, wrap)
    return EditItem(item.item, item.version, digest(content), digest(wrap)), (content, wrap)


async def _opened(
    session: Session,
    keyring: Keyring,
    before: dict[str, Seen],
    row: ItemRow,
    found: Rows[ItemRow],
    vault: vaults.Vault | None,
) -> Item:
    """A row that is no older than what was seen, open; from now on nothing older is taken."""
    check_not_older(before.get(row.item), row.version, row.content)
    if row.record is not None and vault is not None:
        opened = await versions.open_row(session, vault, row, found)
        if opened.version.by != session.account:
            await session.consistent(opened.version.checkpoint)
        plaintext, by = opened.plaintext, opened.by
    else:
        by = None
        place = {"account": keyring.account, "item": row.item}
        plaintext = open_item(keyring.kek, found.blob(row.content), found.blob(row.wrap), **place, version=row.version)
    item = Item(row.item, row.version, read_content(plaintext), by)
    if not session.offline:  # else it may be one that waits to be sent
        session.memory.saw(KIND, row.item, row.version, row.content)
    return item
