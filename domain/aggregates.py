"""Every aggregate: the State of a stream, the prefix of its name, and how it folds."""

from collections.abc import Callable
from typing import Any

from domain import (
    account,
    connection,
    delegation,
    erasure,
    file,
    group,
    invitation,
    item,
    key,
    piece,
    read,
    request,
    share,
)
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
    file.State: "files",
    delegation.State: "vault",
    group.State: "group",
    group.LineState: "groupline",
    group.PostState: "post",
    erasure.State: "erasure",
    read.State: "read",
    piece.State: "piece",
    request.State: "request",
    request.RulesState: "rules",
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
    file.State: file.evolve,
    delegation.State: delegation.evolve,
    group.State: group.evolve,
    group.LineState: group.evolve_line,
    group.PostState: group.evolve_post,
    erasure.State: erasure.evolve,
    read.State: read.evolve,
    piece.State: piece.evolve,
    request.State: request.evolve,
    request.RulesState: request.evolve_rules,
}

STATES: dict[str, type[Any]] = {kind: state for state, kind in KINDS.items()}
