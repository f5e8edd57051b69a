"""All views there are: importing them registers what folds events into their rows, and what answers queries on them."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from privity.messages.recorded import Positioned
from privity.messages.views import Ask
from projections import (
    accounts,
    connections,
    delegations,
    feed,
    files,
    grants,
    groups,
    instructions,
    invitations,
    items,
    keys,
    locations,
    log,
    pieces,
    shares,
    sharing_keys,
    suppliers,
)
from projections.changes import FOLDS, Change
from projections.desk import VIEWS, Desk, Page

ALL = (
    accounts,
    keys,
    invitations,
    connections,
    delegations,
    instructions,
    items,
    files,
    shares,
    pieces,
    groups,
    sharing_keys,
    grants,
    locations,
    suppliers,
    feed,
    log,
)
"""The modules of the views."""


def folded(happened: Iterable[Positioned]) -> Iterator[Change]:
    """What events change in all views but the feed."""
    return chain.from_iterable(apply(each) for each in happened for apply in FOLDS.get(type(each.event), ()))


def look(ask: Ask, desk: Desk) -> Page[Any]:
    """What a query on one of them finds.

    Raises:
        Refusal: as the view says.
    """
    return VIEWS[type(ask)](ask, desk)
