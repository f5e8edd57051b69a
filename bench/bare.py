"""A home that believes everybody: signatures are not checked, and there is no tree and no receipt.

It exists to be measured beside a real one (`bench.trust`). `python -m bench.bare up …` runs it as `privity up …`
would. Its commands come with signatures of zeros.
"""

import sys
from collections.abc import Iterable

from eventsourcing.persistence import StoredEvent

from handlers import committer
from infra import recorders
from infra.lookup import Select
from infra.tree import Growth, read_frontier
from privity.cli import main
from privity.crypto.merkle import EMPTY_ROOT, Frontier


def disarm() -> None:
    """Take signatures, tree and receipts out of this process."""
    committer.verify_command = lambda *_: None
    committer.Committer._receipts = lambda *_: None  # type: ignore[method-assign]
    recorders.grow = counted


def counted(select: Select, events: Iterable[StoredEvent]) -> Growth:
    """What stands for the tree: how many leaves there would be."""
    before = read_frontier(select)
    size = before.size + len(list(events))
    return Growth(before, Frontier(size, [EMPTY_ROOT] * size.bit_count()), {}, {})


if __name__ == "__main__":
    disarm()
    sys.exit(main.run(sys.argv[1:]))
