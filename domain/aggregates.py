"""Every aggregate: the State of a stream, the prefix of its name, and how it folds."""

from collections.abc import Callable
from typing import Any

from domain import account, connection, erasure, invitation, item, key, read, share
from privity.messages.base import Event

KINDS: dict[type[Any], str] = {
    account.State: "account",
    account.AddressState: "address",
    key.State: "key",
    item.State: "item",
    invitation.State: "invitation",
    connection.State: "connection",
    connection.PairState: "pair",
    share.State: "share",
    share.SpaceState: "space",
    share.LineState: "line",
    erasure.State: "erasure",
    read.State: "read",
}

EVOLVE: dict[type[Any], Callable[[Any, Event], None]] = {
    account.State: account.evolve,
    account.AddressState: account.evolve_address,
    key.State: key.evolve,
    item.State: item.evolve,
    invitation.State: invitation.evolve,
    connection.State: connection.evolve,
    connection.PairState: connection.evolve_pair,
    share.State: share.evolve,
    share.SpaceState: share.evolve_space,
    share.LineState: share.evolve_line,
    erasure.State: erasure.evolve,
    read.State: read.evolve,
}

STATES: dict[str, type[Any]] = {kind: state for state, kind in KINDS.items()}
