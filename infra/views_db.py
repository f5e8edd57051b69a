"""The views' database: an engine on SQLite or PostgreSQL. It may be deleted: it is folded from the store again."""

from typing import Any

import sqlalchemy as sa

BUSY_TIMEOUT = 5_000
"""Milliseconds that a reader or writer of the SQLite file waits for another."""
CHECKPOINT = 4_000
"""Pages of 4 KiB in SQLite's log, before they are brought into its file: random keys meet the same pages again."""
PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "NORMAL",
    "busy_timeout": BUSY_TIMEOUT,
    "wal_autocheckpoint": CHECKPOINT,
}


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
        for pragma, value in PRAGMAS.items():
            cursor.execute(f"PRAGMA {pragma}={value}")
        cursor.close()

    return engine
