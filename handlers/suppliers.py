"""Suppliers: saying that one is there, and taking a lost one's place."""

from collections.abc import Mapping

from domain import supplier
from handlers.registry import Desk, Load, handles
from privity.crypto.signing import check_public
from privity.crypto.supplying import supplier_device, supplier_id, verify_replacement
from privity.encoding import unb64
from privity.errors import BadSignature, ForgedRecord, UnknownDevice
from privity.messages.base import Event
from privity.messages.suppliers import AnnounceSupplier, ReplaceSupplier


def own_key(command: AnnounceSupplier, account_id: str, load: Load) -> Mapping[str, str]:
    """The key that hashes to the id of who sends it."""
    public = unb64(command.public)
    check_public(public)
    if supplier_id(public) != account_id:
        raise UnknownDevice
    return {supplier_device(account_id): command.public}


def announced_key(command: ReplaceSupplier, account_id: str, load: Load) -> Mapping[str, str]:
    """The key of a supplier that is known."""
    state = load(supplier.State, account_id)
    return {supplier_device(account_id): state.public} if state.public else {}


@handles(AnnounceSupplier, devices=own_key)
def announce(command: AnnounceSupplier, desk: Desk) -> list[Event]:
    """Whoever the bus lets in as a supplier: the operator gave it a credential. A name is one supplier's at a time."""
    holder = desk.load(supplier.NameState, command.name).supplier
    other = desk.load(supplier.State, holder) if holder else supplier.State()
    return supplier.decide(command, desk.load(supplier.State, desk.by.account), desk.by, other=other, holder=holder)


@handles(ReplaceSupplier, devices=announced_key)
def replace(command: ReplaceSupplier, desk: Desk) -> list[Event]:
    """By order of the operator alone, whose key is the log's."""
    try:
        verify_replacement(desk.home.log_public, command.lost, command.supplier, unb64(command.order))
    except ForgedRecord:
        raise BadSignature("the operator did not order this") from None
    other = desk.load(supplier.State, command.lost)
    return supplier.decide(command, desk.load(supplier.State, desk.by.account), desk.by, other=other)
