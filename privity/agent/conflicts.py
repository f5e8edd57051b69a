"""Conflicts: an edit that waited, and that another device was faster than, becomes an item of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC

from privity.agent import items, vaults, versions
from privity.agent.chains import notices
from privity.agent.files import Attachment, Holder
from privity.agent.items import Content, Item
from privity.agent.keyring import Keyring
from privity.agent.offline import Written, read_waiting
from privity.agent.profile import Waiting
from privity.agent.session import Session
from privity.crypto import labels
from privity.crypto.delegations import open_version, read_version
from privity.crypto.items import open_item
from privity.crypto.kdf import hkdf
from privity.encoding import ID_BYTES, b32, digest, lp, unb64
from privity.errors import DoesNotOpen, NotFound, StaleVersion
from privity.messages.base import Command
from privity.messages.delegations import DropItem, KeepItem
from privity.messages.files import AttachFile, DetachFile
from privity.messages.items import EditItem, RemoveItem

ELSEWHERE = {StaleVersion.__name__: "changed", NotFound.__name__: "removed"}
"""The refusals of an edit that say what another device did meanwhile."""
DEVICE_LETTERS = 8

Bringing = tuple[Command, Sequence[bytes]]
"""A command, and the sealed objects that go with it."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What takes the place of edits that another device was faster than: a new item, or nothing where it was removed.

    `ids` are the commands that it stands for, the refused one first; `left` are files that stay with the item alone.
    """

    ids: Sequence[str]
    item: str
    copy: str
    bringing: Sequence[Bringing] = field(default=(), repr=False)
    left: int = 0


@dataclass(frozen=True, slots=True)
class Anew:
    """What waited for an item under a vault key that was replaced meanwhile, sealed anew under the newest one."""

    chain: Sequence[Waiting]
    bringing: Sequence[Bringing] = field(repr=False)

    def instead(self, sign: Callable[[Command, Sequence[bytes], int], Waiting]) -> list[Waiting]:
        """The commands in the place of those, in their order."""
        return [
            sign(command, sealed, before.version)
            for before, (command, sealed) in zip(self.chain, self.bringing, strict=True)
        ]


async def sealed_anew(session: Session, keyring: Keyring, refused: Waiting, behind: Sequence[Waiting]) -> Anew | None:
    """What waits for an item of one's own under a vault key of before; None where that is not why it was refused.

    Raises:
        As `copy_of`.
    """
    first = read_waiting(refused)
    if first is None or not isinstance(first.command, KeepItem) or first.command.principal != keyring.account:
        return None
    vault = await vaults.find(session, keyring, keyring.account)
    if vault.walk.generation <= first.command.generation:
        return None
    bringing: list[Bringing] = []
    chain = _chain(first, first.command.item, keyring.account, behind)
    for each in chain:
        match each.command:
            case KeepItem(item=item, version=version) | EditItem(item=item, version=version):
                plaintext = await _plaintext(session, keyring, each)
                bringing.append(await versions.keeping(session, keyring, vault, item, version, plaintext))
            case other:
                bringing.append((other, each.done.sealed))
    return Anew([each.waiting for each in chain], bringing)


async def copy_of(session: Session, keyring: Keyring, refused: Waiting, behind: Sequence[Waiting]) -> Copy | None:
    """What an edit that was refused becomes, together with what waits behind it for the same item.

    None where it is no edit of one's own. The copy's id follows from the refused command, so that it is made once.

    Raises:
        IntegrityAlarm, Malformed: it does not open.
        Unreachable: what it takes to open or to seal it cannot be asked for.
    """
    first = read_waiting(refused)
    item = _edited(first.command, keyring.account) if first is not None else None
    if first is None or item is None:
        return None
    chain = _chain(first, item, keyring.account, behind)
    named = hkdf(keyring.kek, ID_BYTES, lp(labels.CONFLICT_COPY, keyring.account.encode(), refused.id.encode()))
    copy = Copy([each.waiting.id for each in chain], item, b32(named))
    if any(isinstance(each.command, RemoveItem | DropItem) for each in chain):
        return copy
    return await _with_content(session, keyring, chain, copy)


def tell_copy(copy: Copy, code: str) -> None:
    """Say which two items there are now."""
    what = f"notice: conflict: item {copy.item} was {ELSEWHERE[code]} on another device meanwhile, and that stands"
    if not copy.bringing:
        notices.warning("%s; you had edited and then removed it here: no copy is kept", what)
        return
    files = f", but for {copy.left} files that are with the item alone" if copy.left else ""
    notices.warning("%s; your version is kept as item %s%s", what, copy.copy, files)


def _edited(command: Command, account: str) -> str | None:
    """The item of one's own of which the command keeps the next version."""
    match command:
        case EditItem(item=item):
            return item
        case KeepItem(principal=principal, item=item, version=version) if principal == account and version > 1:
            return item
    return None


def _chain(first: Written, item: str, account: str, behind: Sequence[Waiting]) -> list[Written]:
    """A command, and what waits behind it for the same item."""
    read = [each for each in map(read_waiting, behind) if each is not None]
    return [first, *(each for each in read if _is_about(each.command, item, account))]


def _is_about(command: Command, item: str, account: str) -> bool:
    match command:
        case RemoveItem(item=about) | DropItem(item=about) | AttachFile(of=about) | DetachFile(of=about):
            return about == item
    return _edited(command, account) == item


async def _with_content(session: Session, keyring: Keyring, chain: Sequence[Written], copy: Copy) -> Copy:
    """The newest content under the copy's id, with a label that says what it is, and the files that wait with it."""
    last = max((each for each in chain if _edited(each.command, keyring.account) is not None), key=_version)
    content = items.read_content(await _plaintext(session, keyring, last))
    waiting = {each.command.file: each.done.sealed[0] for each in chain if isinstance(each.command, AttachFile)}
    moved = {name: each for name, each in content.files.items() if each.file in waiting}
    attaching = [_moved(keyring.account, copy, each, waiting[each.file]) for each in moved.values()]
    when = last.envelope.issued_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    label = f"{content.label} (conflicting copy, device {last.envelope.device[:DEVICE_LETTERS]}, {when} UTC)"
    keeping = await items.keeping(session, keyring, Item(copy.copy, 1, Content(label, content.slots, moved)))
    return replace(copy, bringing=[keeping, *attaching], left=len(content.files) - len(moved))


def _version(written: Written) -> int:
    return written.command.version if isinstance(written.command, EditItem | KeepItem) else 0


async def _plaintext(session: Session, keyring: Keyring, written: Written) -> bytes:
    """What is sealed in an edit that waits."""
    content, wrap = written.done.sealed
    match written.command:
        case EditItem(item=item, version=version):
            return open_item(keyring.kek, content, wrap, account=keyring.account, item=item, version=version)
        case KeepItem(record=record):
            vault, read = await vaults.own(session, keyring), read_version(unb64(record))
            if vault is not None and read.generation in vault.keys:
                return open_version(vault.keys[read.generation], read, content, wrap)
    raise DoesNotOpen


def _moved(owner: str, copy: Copy, file: Attachment, sealed: bytes) -> Bringing:
    """A file that waits for the item, for the copy."""
    before, after = (Holder(of, owner, is_share=False) for of in (copy.item, copy.copy))
    anew = after.seal(file.key, before.open(file.key, sealed, file.file), file.file)
    return AttachFile(copy.copy, file.file, digest(anew)), (anew,)
