"""Shelves: how the rows of views are kept one by one, which are not kept, and what a command does to them."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import combinations
from typing import Any, Final

from privity.messages.base import Command
from privity.messages.catalog import command_codec
from privity.messages.connections import ConfirmConnection, NoteConnection, RemoveConnection
from privity.messages.delegations import DropItem, KeepItem
from privity.messages.files import AttachFile, DetachFile
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.keys import PublishPublicKey, StoreKeypair
from privity.messages.shares import AcceptTerms, ClaimShare, CreateShare, RemoveShare, ReviseShare
from privity.messages.views import (
    Ask,
    AskAccount,
    AskCheckpoint,
    AskConnections,
    AskEvidence,
    AskFiles,
    AskGroups,
    AskInstructions,
    AskInvitations,
    AskItems,
    AskKeyring,
    AskKeys,
    AskLine,
    AskPieces,
    AskResult,
    AskShares,
    ItemRow,
)

Row = dict[str, Any]
"""A row as it was served: JSON."""
Test = Callable[[Row, Any, str], bool]
"""Whether a row is among those that a question's field asks for; the last argument is one's own account."""

EVERY: Final = ""
ANSWERS: Final = " "
"""Instead of an id: every row of a view, and every answer; or the answers alone that are kept whole."""
RELATED: Final[Mapping[str, tuple[str, ...]]] = {
    "accounts": ("account",),
    "invitations": ("invitations",),
    "keys": (),
    "delegations": ("vaults", "delegations"),
    "groups": ("groups", "group-epochs", "group-members", "group-line"),
    "pieces": ("pieces", "readers", "requests"),
    "requests": ("pieces", "readers", "requests"),
    "rules": ("rules",),
}
"""The views that a command of a context may change in a way that the command alone does not say: they are let go of."""
ALL: Final = "{}"
"""The question that asks for every row of a view."""
ONE: Final = frozenset({"id", "piece_name"})
"""Fields that ask for one thing."""
NEVER: Final = frozenset(
    each.view for each in (AskCheckpoint, AskInstructions, AskKeyring, AskKeys, AskLine, AskResult)
)
"""Views whose answers are of no use later, or are released for a fresh question alone."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A view whose rows are kept one by one, by the field `id`, and found again by the fields of its question."""

    id: str
    asked: Mapping[str, Test] = field(default_factory=dict)
    scope: frozenset[str] = frozenset()
    """Fields that do not leave rows out, but ask for others."""
    among: Callable[[Ask, Row, str], bool] = lambda ask, row, account: True
    """Whether a row may be among the answer's even if the question leaves none out."""
    keeps: Callable[[Row, str], bool] = lambda row, account: True
    ends: Callable[[Row, str], float | None] = lambda row, account: None
    sealed: bool = True
    fresh: bool = False
    """Whether a question that must be fresh is answered too: then `keeps` leaves out what only such a one releases."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that took effect, or that waits to be sent, with its sealed objects."""

    command: Command
    sealed: Sequence[bytes] = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of its sealed objects."""
        return sum(map(len, self.sealed))


@dataclass(frozen=True, slots=True)
class Change:
    """What a command does to a row; without `fields` the row goes. `whole`: the fields are a row."""

    view: str
    id: str
    fields: Row | None = None
    whole: bool = False
    half: bool = False
    """The home knows more of the row, once the command has taken effect."""


def changes(done: Done, account: str) -> list[Change]:
    """What a command of this account does to rows that are kept. Of what it does not say, the next answer tells."""
    match done.command:
        case AddItem(item=item) as command:
            return [Change("items", item, _fields_of(command, ItemRow) | {"version": 1}, whole=True)]
        case EditItem(item=item) as command:
            return [Change("items", item, _fields_of(command, ItemRow), whole=True)]
        case RemoveItem(item=item):
            return [Change("items", item)]
        case ClaimShare(share=share, wrap=wrap):
            return [Change("shares", share, {"claimed": True, "wrap": wrap})]
        case RemoveShare(share=share):
            return [Change("shares", share)]
        case NoteConnection(connection=connection, note=note) | ConfirmConnection(connection=connection, note=note):
            return [Change("connections", connection, {"note": note})]
        case RemoveConnection(connection=connection):
            return [Change("connections", connection)]
        case CreateShare() | StoreKeypair() | PublishPublicKey() | AttachFile() | DetachFile():
            return []  # nothing that is kept is other than it was
        case ReviseShare(share=share) | AcceptTerms(share=share):
            return [Change("shares", share)]
        case KeepItem(principal=principal) | DropItem(principal=principal) if principal != account:
            return [Change("items", ANSWERS)]
        case KeepItem(item=item) as command:
            return [Change("items", item, _fields_of(command, ItemRow), whole=True, half=True)]
        case DropItem(item=item):
            return [Change("items", item)]
    return [Change(view, EVERY) for view in RELATED.get(done.command.subject.partition(".")[0], ())]


def _fields_of(command: Command, row: type) -> Row:
    told = command_codec(type(command)).dump_python(command, mode="json")
    return {each.name: told.get(each.name) for each in fields(row)}


def _begins(name: str) -> Test:
    return lambda row, prefix, account: str(row[name]).startswith(prefix)


def _equals(name: str) -> Test:
    return lambda row, value, account: bool(row[name] == value)


def _goes(row: Row, direction: str, account: str) -> bool:
    return direction == ("outgoing" if row["owner"] == account else "incoming")


def _is_open(row: Row, account: str) -> bool:
    """Whether a share's wrap needs no private key: one's own, or claimed; or it is closed by terms or time anyway."""
    return row["owner"] == account or row["claimed"] or not _may_be_read(row)


def _may_be_read(row: Row) -> bool:
    ends = _share_ends(row, "")
    return (row.get("terms") is None or row.get("accepted") is not None) and (ends is None or ends > time.time())


def _is_whose(ask: Ask, row: Row, account: str) -> bool:
    return bool(row["owner"] == (getattr(ask, "owner", None) or account))


def _is_stored(row: Row, account: str) -> bool:
    """Whether a piece's key, if one has it, is under one's own KEK."""
    return bool(row["owner"] == account or row["stored"] or row["wrap"] is None)


def _is_claimed(row: Row, account: str) -> bool:
    return bool(row["claimed"] or row["wrap"] is None)


def _share_ends(row: Row, account: str) -> float | None:
    if row["owner"] == account or row.get("expires") is None or row.get("keep"):
        return None
    return datetime.fromisoformat(row["expires"]).timestamp()


SHELVES: Final[Mapping[str, Shelf]] = {
    AskAccount.view: Shelf("account", sealed=False),
    AskItems.view: Shelf("item", {"id": _begins("item")}),
    AskConnections.view: Shelf("connection", {"id": _begins("connection")}),
    AskInvitations.view: Shelf("invitation", {"id": _begins("invitation")}),
    AskShares.view: Shelf(
        "share",
        {
            "id": _begins("share"),
            "item": _begins("item"),
            "connection": _equals("connection"),
            "direction": _goes,
        },
        keeps=_is_open,
        ends=_share_ends,
        fresh=True,
    ),
    AskPieces.view: Shelf(
        "piece",
        {"owner": _equals("owner"), "piece_name": _equals("piece_name")},
        scope=frozenset({"owner"}),
        among=_is_whose,
        keeps=_is_stored,
        fresh=True,
    ),
    AskGroups.view: Shelf("group", {"id": _begins("group")}, keeps=_is_claimed, fresh=True),
}


def shelf_of(ask: Ask) -> Shelf | None:
    """The shelf that can answer it: one that knows every field by which it asks."""
    shelf = SHELVES.get(ask.view)
    return shelf if shelf is not None and asked_by(ask).keys() <= shelf.asked.keys() else None


def asked_by(ask: Ask) -> Row:
    """The fields by which a question leaves rows out."""
    given = ((each, getattr(ask, each.name)) for each in fields(ask) if each.name not in ("after", "limit"))
    return {each.name: value for each, value in given if value != each.default}


def key_of(ask: Ask) -> str:
    """What a question leaves out, as one text for all that leave out the same."""
    return _text_of(asked_by(ask))


def _text_of(asked: Row) -> str:
    return json.dumps(asked, sort_keys=True, default=str)


def covering(shelf: Shelf, ask: Ask) -> list[str]:
    """The questions whose answers have all that this one asks for: those that leave out less."""
    asked = asked_by(ask)
    some = (each for length in range(len(asked) + 1) for each in combinations(asked, length))
    return [_text_of({name: asked[name] for name in each}) for each in some if shelf.scope & asked.keys() <= set(each)]


def is_kept(ask: Ask) -> bool:
    """Whether answers to this question are kept: not where it holds a secret, nor all that there is of evidence.

    Nor shares without what is sealed: they would take the place of those with it.
    """
    has_secrets = any(not each.repr for each in fields(ask))
    in_part = isinstance(ask, AskEvidence) and ask.position is None
    bare = isinstance(ask, AskShares | AskFiles) and ask.bare
    return ask.view not in NEVER and not has_secrets and not in_part and not bare


def matches(shelf: Shelf, ask: Ask, row: Row, account: str) -> bool:
    """Whether a row is among those that are asked for."""
    asked = all(shelf.asked[name](row, value, account) for name, value in asked_by(ask).items())
    return asked and shelf.among(ask, row, account)


def name_of(ask: Ask) -> str:
    """What an answer that is kept whole is called."""
    return f"{ask.view} {key_of(ask)}"
