"""A home in this process, of the real parts: store and views on disk, committer, projector, queries. It may die."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

import app
from handlers.committer import Committer, Outcome
from handlers.invitations import mail_token
from handlers.opening import Delivery
from infra.log import Log
from infra.mapping import to_positioned
from infra.store import Batch, EventStore, Written, open_store
from infra.views_db import open_views
from privity.crypto.command import unframe
from privity.errors import NotDelegated, NotFound
from privity.messages.erasing import SealedErased
from privity.messages.recorded import Positioned
from privity.messages.views import Ask
from privity.testing.seeded import Clock
from projections.desk import VIEWS, Desk
from projections.projector import Projector
from projections.rebuild import differences, rebuild
from tests.handlers.people import HOME, LOG
from tests.simulation.ground import Ground

CONTEXTS = app.CONTEXTS
"""Imported, all handlers and views are registered."""
ALL = 10_000
"""More events than a run has."""


class Died(BaseException):
    """The process ends here."""


class Mortal:
    """A cursor that takes so many statements; at the next one the process ends."""

    def __init__(self, cursor: Any, statements: int, ground: Ground) -> None:
        self._cursor, self._left, self._ground = cursor, statements, ground

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, *arguments: Any) -> Any:
        """One statement."""
        self._take()
        return self._cursor.execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        """One statement for several rows."""
        self._take()
        return self._cursor.executemany(*arguments)

    def _take(self) -> None:
        if self._left == 0:
            self._ground.stops_here()
            raise Died
        self._left -= 1


class System:
    """One home, of which each life begins with what was on disk when the one before ended."""

    def __init__(self, ground: Ground, clock: Clock) -> None:
        self.ground, self.clock = ground, clock
        self._open()

    def _open(self) -> None:
        self.store: EventStore = open_store(self.ground.store)
        self.committer = Committer(self.store, HOME, self.clock, Log(self.store, LOG, HOME.id))
        self.engine = open_views(self.ground.views)
        self.projector = Projector(self.engine)

    def close(self) -> None:
        """Let go of what is on disk."""
        self.store.close()
        self.engine.dispose()

    # What it does.

    def process(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Decide and append."""
        return self.committer.process(batch)

    def dies_deciding(self, batch: Sequence[Delivery]) -> None:
        """It ends when all is decided, and before anything is written."""

        def write(_: Batch) -> Written:
            raise Died

        self.store.write = write  # type: ignore[method-assign, assignment]
        self._dies(batch)

    def dies_writing(self, batch: Sequence[Delivery], statement: int) -> None:
        """It ends at the n-th statement that writes, or when all is written and nothing committed."""
        recorder: Any = self.store._recorder
        really = recorder._insert_events

        def insert(cursor: Any, *arguments: Any, **named: Any) -> None:
            really(Mortal(cursor, statement, self.ground), *arguments, **named)
            self.ground.stops_here()
            raise Died

        recorder._insert_events = insert
        self._dies(batch)

    def dies_answering(self, batch: Sequence[Delivery]) -> None:
        """It ends when all is committed, and before anybody hears of it."""
        really = self.store.write

        def write(written: Batch) -> Written:
            really(written)
            raise Died

        self.store.write = write  # type: ignore[method-assign, assignment]
        self._dies(batch)

    def _dies(self, batch: Sequence[Delivery]) -> None:
        with suppress(Died):
            self.committer.process(batch)  # which lives, where nothing is to be written
        self.begins_anew()

    def begins_anew(self) -> None:
        """As after `kill -9`: nothing is closed in order, and what was in memory is gone."""
        self.ground.stops_here()
        self.close()
        self.ground.next_life()
        self._open()

    # What it shows.

    def after(self, position: int, limit: int) -> Sequence[Positioned]:
        """Events of the store, as the projector reads them."""
        return [to_positioned(stored) for stored in self.store.after(position, limit)]

    def follow(self, page: int = ALL, again: int = 0) -> None:
        """Fold in at most `page` events; `again` come a second time before them."""
        behind = max(0, self.projector.position - again)
        self.projector.apply(list(self.after(behind, page + again)))

    def dies_folding(self, statement: int) -> None:
        """It ends at the n-th statement of the projector's transaction, if there are so many."""

        def count(*_: object) -> None:
            nonlocal statement
            statement -= 1
            if statement < 0:
                raise Died

        sa.event.listen(self.engine, "before_cursor_execute", count)
        try:
            self.follow()
        except Died:
            self.begins_anew()
        finally:
            if sa.event.contains(self.engine, "before_cursor_execute", count):
                sa.event.remove(self.engine, "before_cursor_execute", count)

    def loses_views(self) -> None:
        """Somebody deletes the views; the projector notices, as it does by its watchdog."""
        self.ground.lose_views()
        assert not self.projector.stands(), "it is not noticed that the views are gone"
        self.projector.make_again()

    def rebuilds(self) -> None:
        """The views are folded anew beside themselves."""
        rebuild(self.engine, self.after, workers=0)

    def ask(self, account: str, ask: Ask) -> tuple[list[Any], dict[str, bytes]]:
        """Rows of a view and the sealed objects with them, as somebody is answered now; nothing of what is not theirs.

        Raises:
            AssertionError: the store has lost an object that the views name.
        """
        with self.engine.connect() as db:
            desk = Desk(account, self.clock(), db, True, lambda invitation: mail_token(HOME, invitation))
            try:
                page = VIEWS[type(ask)](ask, desk)
            except (NotFound, NotDelegated):
                return [], {}
        assert not page.more, "a page is too small for this run"
        named = list(dict.fromkeys(each for sealed in page.sealed for each in sealed))
        found = dict(self.store.sealed(named))
        assert found.keys() == set(named), f"{type(ask).__name__} names sealed objects that are not there"
        return list(page.rows), found

    # What must hold.

    def check(self, brought: Counter[str]) -> None:
        """The views are those of a rebuild, the log has every event, and the store just what was not erased.

        Args:
            brought: how many accepted commands brought each sealed object.

        Raises:
            AssertionError: one of these does not hold.
        """
        assert differences(self.engine, self.after, workers=0) == (self.projector.position, [])
        stored = self.store.after(0, ALL)
        assert [each.position for each in stored] == list(range(1, self.store.head() + 1))
        assert self.store.frontier().size == len(stored)
        left = brought.copy()
        for each in stored:
            event = to_positioned(each).event
            if isinstance(event, SealedErased):
                left.subtract(event.digests)
        found = self.store.sealed(list(left))
        assert set(found) == {digest for digest, count in left.items() if count > 0}, "what was erased, or was not"


def sealed_behind(delivery: Delivery) -> list[bytes]:
    """The sealed objects that came with a command."""
    _, _, *blobs = unframe(delivery.data, 100, 10**8)
    return blobs
