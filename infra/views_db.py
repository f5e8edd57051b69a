"""The views' database: an engine on SQLite or PostgreSQL. It may be deleted: it is folded from the store again."""

from typing import Any

import sqlalchemy as sa

BUSY_TIMEOUT = 5_000
"""Milliseconds that a reader or writer of the SQLite file waits for another."""


def open_views(url: str) -> sa.Engine:
    """An engine for `sqlite:///path` or `postgresql+psycopg://…`.

    SQLite: WAL, and a sync at checkpoints only: a lost tail is folded again.
    """
    if not url.startswith("sqlite"):
        return sa.create_engine(
            url, hide_parameters=True, pool_pre_ping=True, pool_size=5, max_overflow=15, pool_timeout=5
        )
    engine = sa.create_engine(url, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_TIMEOUT}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
