"""A projector that dies: for each event batch and each statement in turn, a process of its own ends at that statement.

Prints how many deaths there were; leaves with an error if rows and position ever came apart.
"""

import os
import sys

import sqlalchemy as sa

from infra.store import open_store
from infra.views_db import open_views
from privity.messages.recorded import Positioned
from projections.projector import NAME, Projector
from tests.trials.load import everything_in_views, story

DIED, DONE = 9, 0


def die_at(number: int, engine: sa.Engine) -> None:
    """End this process, as `kill -9` does, before its n-th statement; the commit counts as one."""
    left = [number]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os._exit(DIED)

    sa.event.listen(engine, "before_cursor_execute", count)
    sa.event.listen(engine, "commit", count)


def dies(url: str, batch: list[Positioned], number: int) -> bool:
    """Whether a process that applies the batch died at its n-th statement; false: it had fewer, and is done."""
    child = os.fork()
    if child == 0:
        engine = open_views(url)
        projector = Projector(engine)
        die_at(number, engine)
        projector.apply(batch)
        os._exit(DONE)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (DIED, DONE), f"it ended with {code}"
    return code == DIED


def main(store_url: str, views_url: str, size: int) -> int:
    """The deaths that a whole story took, a batch of so many events a time."""
    store = open_store(store_url)
    events = story(store)
    store.close()
    Projector(open_views(views_url))
    deaths = 0
    for start in range(0, len(events), size):
        batch = events[start : start + size]
        before = everything_in_views(views_url)
        number = 1
        while dies(views_url, batch, number):
            deaths, number = deaths + 1, number + 1
            assert everything_in_views(views_url) == before, f"a death at statement {number - 1} left something"
        after = everything_in_views(views_url)
        assert ("progress", (NAME, batch[-1].position)) in after
    return deaths


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
