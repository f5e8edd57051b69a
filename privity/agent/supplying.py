"""Where objects stand: a location's suppliers by slot, and who asks them; what is done at all of them at once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from privity.agent import identity
from privity.agent.chains import notices
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.crypto.coding import Coding
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import supplier_id, verify_replacement
from privity.encoding import unb64
from privity.errors import ForgedRecord, PrivityError
from privity.gathering import Trouble, all_of, trouble_of
from privity.messages.suppliers import Listed, Register
from privity.messages.views import AskSuppliers, SupplierRow
from privity.supplying import Asker, Holder, Known, Supplier, by_slot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

MAX_REPLACED: Final = 16
"""Suppliers of which each took the place of the one before."""


@dataclass(frozen=True, slots=True)
class Place:
    """A sharing key's place at suppliers: its id, who asks, and the suppliers in the order of the slots."""

    key: str
    holder: Holder
    suppliers: tuple[Known | None, ...]
    needed: int
    ask: Asker = field(repr=False)

    @property
    def coding(self) -> Coding:
        """How objects that are written now are coded."""
        return Coding(self.needed, len(self.suppliers))

    @property
    def slots(self) -> list[Supplier | None]:
        """The suppliers, ready to be asked."""
        return [None if known is None else Supplier(known, self.ask) for known in self.suppliers]

    @property
    def names(self) -> list[str]:
        """What the slots' suppliers are called."""
        return [f"slot {number + 1}" if each is None else each.name for number, each in enumerate(self.suppliers)]


def asker(session: Session) -> Asker:
    """Asks suppliers over the session's line to the home."""

    async def ask(subject: str, data: bytes, patience: float) -> bytes:
        return await (await session.connected()).ask_supplier(subject, data, patience)

    return ask


async def directory(session: Session) -> dict[str, Known]:
    """The suppliers of the home by id; one that was replaced stands for who took its place.

    Raises:
        ForgedRecord: a row's key is not the one of its id, or nobody ordered the replacement.
    """
    rows = {row.supplier: row for row in (await session.ask_all(AskSuppliers(), SupplierRow)).rows}
    for row in rows.values():
        check_row(session, row)
    return {each: _stands_for(session, rows, each) for each in rows}


def check_row(session: Session, row: SupplierRow) -> None:
    """Returns if a row of the directory can be believed: the id is its key's, and the operator ordered who replaces it.

    Raises:
        ForgedRecord: it cannot.
    """
    if supplier_id(unb64(row.public)) != row.supplier:
        raise ForgedRecord("The backend shows a supplier with a key that is not its own.")
    if row.replaced_by is not None:
        verify_replacement(session.server.log_public, row.supplier, row.replaced_by, unb64(row.order or ""))


def _stands_for(session: Session, rows: Mapping[str, SupplierRow], id: str) -> Known:
    row = rows[id]
    for _ in range(MAX_REPLACED):
        if row.replaced_by is None or row.order is None or row.replaced_by not in rows:
            break
        verify_replacement(session.server.log_public, row.supplier, row.replaced_by, unb64(row.order))
        row = rows[row.replaced_by]
    return Known(row.supplier, row.called, unb64(row.public))


async def place(
    session: Session,
    keyring: Keyring,
    *,
    key: str,
    part: SigningKey,
    suppliers: Sequence[str],
    needed: int,
    register: Register | None = None,
) -> Place:
    """Where the objects of a sharing key stand.

    Args:
        session: whose.
        keyring: of the same person.
        key: the sharing key's id.
        part: the sign key of its newest generation.
        suppliers: their ids in the order of the slots.
        needed: how many fragments of a segment give it back.
        register: the newest record; a supplier that does not know it is told.
    """
    keyring, _ = await identity.current(session, keyring)
    row, _ = await identity.own(session)
    holder = Holder(session.account, part, keyring.identity.sign, row.chain, register)
    known = await directory(session)
    return Place(key, holder, tuple(by_slot(suppliers, known.get)), needed, asker(session))


async def register(place: Place, record: Register) -> list[Trouble]:
    """Make a record of the key known at all its suppliers; those where it could not be done."""
    return await _at_all(place, lambda supplier: supplier.register(record))


async def delete_objects(place: Place, objects: Mapping[str, Sequence[str]]) -> list[Trouble]:
    """Delete objects of a key of one's own, at each supplier (by id) its own; those where it could not be done."""

    async def delete(supplier: Supplier) -> None:
        for each in objects.get(supplier.known.id, ()):
            await (await supplier.open(place.holder, "delete", place.key, each)).delete()

    return await _at_all(place, delete)


async def list_objects(place: Place, pages: int | None = None) -> tuple[dict[str, list[Listed]], list[Trouble]]:
    """What the suppliers have under a key of one's own, by the supplier's id; and those that did not say.

    `pages`: of each list no more than these.
    """
    found: dict[str, list[Listed]] = {}

    async def listed(supplier: Supplier) -> None:
        found[supplier.known.id] = await (await supplier.open(place.holder, "list", place.key)).objects(pages)

    return found, await _at_all(place, listed)


def ids(there: Mapping[str, Sequence[Listed]]) -> dict[str, list[str]]:
    """The ids of what each supplier has."""
    return {supplier: sorted({each.object for each in listed}) for supplier, listed in there.items()}


def tell(what: str, troubles: Sequence[Trouble]) -> None:
    """A notice of the suppliers that were not as they should be."""
    if troubles:
        notices.warning("%s: %s", what, ", ".join(map(str, troubles)))


async def _at_all(place: Place, work: "Callable[[Supplier], Awaitable[None]]") -> list[Trouble]:
    async def done(supplier: Supplier | None) -> None:
        if supplier is not None:
            await work(supplier)

    errors = await all_of([done(each) for each in place.slots])
    failed = [(slot, error) for slot, error in enumerate(errors) if isinstance(error, PrivityError)]
    for error in errors:
        if error is not None and not isinstance(error, PrivityError):
            raise error
    missing = [Trouble(slot, place.names[slot], "away") for slot, each in enumerate(place.suppliers) if each is None]
    return missing + [trouble_of(slot, place.names[slot], error) for slot, error in failed]
