"""What a delegate does with the principal's items: read as their authors signed them, written in the own name."""

from collections.abc import Mapping
from dataclasses import replace

from privity.agent.connections import Broken
from privity.agent.files import Attachments, Holder, Plain, fetch, one
from privity.agent.items import Content, Item, holding, read_content
from privity.agent.keyring import Keyring
from privity.agent.kinds import DELEGATED
from privity.agent.memory import Seen, check_not_older
from privity.agent.session import Rows, Session
from privity.agent.vaults import Vault, find
from privity.agent.versions import is_behind, keeping, open_row
from privity.encoding import new_id
from privity.errors import IntegrityAlarm, Malformed, NotDelegated
from privity.messages.delegations import DropItem
from privity.messages.views import AskItems, ItemRow


async def all_of(session: Session, keyring: Keyring, vault: Vault) -> list[Item | Broken]:
    """The principal's items, each signed by somebody who might write it; one that does not hold hides no other."""
    before = _seen(session, vault)
    found = await session.ask_all(AskItems(principal=vault.principal), ItemRow)
    return await _opened(session, keyring, vault, before, found)


async def items_of(session: Session, keyring: Keyring, vault: Vault) -> list[Item]:
    """As `all_of`, where all of them hold.

    Raises:
        RolledBack: an older version than one that this device saw.
        ForgedRecord: one is signed by nobody who might.
    """
    return holding(await all_of(session, keyring, vault))


async def item_of(session: Session, keyring: Keyring, vault: Vault, id: str) -> Item:
    """One of the principal's items, by id or unique prefix.

    Raises:
        NotFound, Ambiguous: none begins like this, or more than one.
        RolledBack, ForgedRecord: as `items_of`.
    """
    before = _seen(session, vault)
    found = await session.ask(AskItems(id=id, limit=2, principal=vault.principal), ItemRow)
    found.one("item", id)
    return holding(await _opened(session, keyring, vault, before, found))[0]


async def read_file(session: Session, keyring: Keyring, vault: Vault, item: Item, name: str) -> Plain:
    """A file of one of the principal's items.

    Raises:
        NotFound: it has no such file.
        FileMissing, Withheld: the home does not have it.
    """

    async def reread() -> Attachments:
        return (await item_of(session, keyring, vault, item.item)).content.files

    holder = Holder(item.item, vault.principal, is_share=False)
    return await fetch(session, holder, one(item.content.files, name), reread)


async def add_item(session: Session, keyring: Keyring, vault: Vault, label: str, slots: dict[str, str]) -> Item:
    """Keep a new item in the principal's name.

    Raises:
        RoleNotEnough: one may only read.
    """
    return await _keep(session, keyring, vault, Item(new_id(), 1, Content(label, slots)))


async def edit_item(session: Session, keyring: Keyring, vault: Vault, id: str, slots: dict[str, str]) -> Item:
    """Keep the next version of one of the principal's items: the slots given are set, all else stays.

    Raises:
        RoleNotEnough: one may only read.
        NotFound, Ambiguous, RolledBack, ForgedRecord: as `item_of`.
    """
    before = await item_of(session, keyring, vault, id)
    content = replace(before.content, slots={**before.content.slots, **slots})
    return await _keep(session, keyring, vault, Item(before.item, before.version + 1, content))


async def remove_item(session: Session, keyring: Keyring, vault: Vault, id: str) -> Item | Broken:
    """Give one of the principal's items up, also one that does not hold; what it was.

    Raises:
        RoleNotEnough: one may only read.
        NotFound, Ambiguous: none begins like this, or more than one.
    """
    before = _seen(session, vault)
    found = await session.ask(AskItems(id=id, limit=2, principal=vault.principal), ItemRow)
    row = found.one("item", id)
    [was] = await _opened(session, keyring, vault, before, found)
    if vault.mine is None:
        raise NotDelegated
    result = await session.send(DropItem(vault.principal, vault.mine.delegation, row.item))
    if result.status == "accepted":
        session.memory.ended(DELEGATED, row.item, result.position)
    return was


def _seen(session: Session, vault: Vault) -> dict[str, Seen]:
    return {each.id: each for each in session.memory.all_in(DELEGATED, vault.principal)}


async def _opened(
    session: Session, keyring: Keyring, vault: Vault, before: Mapping[str, Seen], found: Rows[ItemRow]
) -> list[Item | Broken]:
    """Rows that are no older than what was seen, open; from now on nothing older is taken."""
    if is_behind(vault, found.rows):  # it went on after it was opened
        vault = await find(session, keyring, vault.principal)
    items: list[Item | Broken] = []
    checkpoints: dict[str, None] = {}
    for row in found.rows:
        try:
            check_not_older(before.get(row.item), row.version, row.content)
            opened = await open_row(session, vault, row, found)
            items.append(Item(row.item, row.version, read_content(opened.plaintext), opened.by))
        except (IntegrityAlarm, Malformed) as alarm:
            items.append(Broken(row.item, vault.address, alarm))
            continue
        checkpoints[opened.version.checkpoint] = None
    if checkpoints:
        await session.consistent(*checkpoints)
    good = {each.item for each in items if isinstance(each, Item)}
    rows = [(row.item, row.version, row.content) for row in found.rows if row.item in good]
    session.memory.saw_all(DELEGATED, rows, vault.principal)
    return items


async def _keep(session: Session, keyring: Keyring, vault: Vault, item: Item) -> Item:
    plaintext = item.content.to_bytes()
    command, sealed = await keeping(session, keyring, vault, item.item, item.version, plaintext)
    await session.send(command, *sealed)
    session.memory.saw(DELEGATED, item.item, item.version, command.content, vault.principal)
    return item
