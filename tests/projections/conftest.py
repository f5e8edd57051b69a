"""A story that a committer recorded once, and views folded from it in a database of each kind."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from handlers.committer import Committer
from infra.mapping import to_positioned
from infra.store import open_store
from infra.views_db import open_views
from privity.messages.recorded import Positioned
from tests.examples import NOW
from tests.handlers.people import HOME
from tests.handlers.story import Story, tell

MakeViews = Callable[[], sa.Engine]


@pytest.fixture(scope="session")
def story() -> Story:
    return tell()


@pytest.fixture(scope="session")
def recorded(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Positioned]:
    """All events of the story, as the store has them."""
    with closing(open_store(f"sqlite:///{tmp_path_factory.mktemp('story')}/store.db")) as store:
        outcomes = Committer(store, HOME, lambda: NOW).process(story.deliveries)
        assert all(outcome.result and outcome.result.status == "accepted" for outcome in outcomes)
        return [to_positioned(stored) for stored in store.after(0, 1000)]


@pytest.fixture
def views(tmp_path: Path) -> Iterator[sa.Engine]:
    """Empty views on SQLite."""
    engine = open_views(f"sqlite:///{tmp_path}/views.db")
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_views(postgres_url: str) -> Iterator[sa.Engine]:
    """Empty views on PostgreSQL."""
    engine = open_views(postgres_url.replace("postgresql://", "postgresql+psycopg://", 1))
    yield engine
    engine.dispose()


@pytest.fixture(params=["views", "postgres_views"], ids=["sqlite", "postgresql"])
def each_views(request: pytest.FixtureRequest) -> sa.Engine:
    """Empty views of each kind."""
    engine: sa.Engine = request.getfixturevalue(request.param)
    return engine
