"""Where the data of a home lie, so that it can die at any moment, and begin with what the disk has."""

import shutil
from pathlib import Path
from typing import Protocol, Self

import psycopg
from psycopg.sql import SQL, Identifier

STORE, VIEWS = "store.db", "views.db"


class Ground(Protocol):
    """A store and views, by their URLs."""

    @property
    def store(self) -> str:
        """The store's."""

    @property
    def views(self) -> str:
        """The views'."""

    def copied(self, name: str) -> Self:
        """Another one with the same in it, while nobody writes to this one."""

    def stops_here(self) -> None:
        """What is on disk now is all that there is when the next life begins."""

    def next_life(self) -> None:
        """Nobody uses it any more; somebody will."""

    def lose_views(self) -> None:
        """The views are deleted under whoever uses them."""

    def kept(self, folder: Path) -> str:
        """The store's URL where this ground is gone."""

    def drop(self) -> None:
        """Nothing of it stays."""


class Files:
    """Two SQLite files. Each life has a folder of its own, which begins as a copy: so does a disk after `kill -9`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lives = 0
        self._folder.mkdir(parents=True, exist_ok=True)

    @property
    def _folder(self) -> Path:
        return self.root / f"life-{self._lives}"

    @property
    def _next(self) -> Path:
        return self.root / f"life-{self._lives + 1}"

    @property
    def store(self) -> str:
        """The store's."""
        return f"sqlite:///{self._folder / STORE}"

    @property
    def views(self) -> str:
        """The views'."""
        return f"sqlite:///{self._folder / VIEWS}"

    def copied(self, name: str) -> "Files":
        """Beside this one."""
        other = Files(self.root.with_name(name))
        self._copy(other._folder)
        return other

    def stops_here(self) -> None:
        """With what a transaction that has not ended has written; the first time counts."""
        if not self._next.exists():
            self._copy(self._next)

    def next_life(self) -> None:
        """In another folder."""
        shutil.rmtree(self._folder)
        self._lives += 1

    def lose_views(self) -> None:
        """File and journal."""
        for path in self._folder.glob(f"{VIEWS}*"):
            path.unlink()

    def kept(self, folder: Path) -> str:
        """In that folder."""
        self._copy(folder)
        return f"sqlite:///{folder / STORE}"

    def drop(self) -> None:
        """All lives."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _copy(self, to: Path) -> None:
        to.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("*.db*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, to)


class Databases:
    """Two databases of a PostgreSQL server, which ends the transactions of whoever dies by itself."""

    def __init__(self, server: str, name: str, *, of: "Databases | None" = None) -> None:
        """Both are made, from nothing or as copies.

        Args:
            server: the URL of the server's own database, named `postgres`.
        """
        self._server, self._name = server, name
        for kind in ("store", "views"):
            like = SQL(" TEMPLATE {}").format(Identifier(of._called(kind))) if of else SQL("")
            self._do(SQL("CREATE DATABASE {}").format(Identifier(self._called(kind))) + like)

    @property
    def store(self) -> str:
        """The store's."""
        return self._url("store")

    @property
    def views(self) -> str:
        """The views'."""
        return self._url("views").replace("postgresql://", "postgresql+psycopg://", 1)

    def copied(self, name: str) -> "Databases":
        """On the same server."""
        return Databases(self._server, name, of=self)

    def stops_here(self) -> None:
        """The server knows."""

    def next_life(self) -> None:
        """In the same databases."""

    def lose_views(self) -> None:
        """All tables; the connections stay."""
        with psycopg.connect(self._url("views"), autocommit=True) as db:
            db.execute("DROP SCHEMA public CASCADE")
            db.execute("CREATE SCHEMA public")

    def kept(self, folder: Path) -> str:
        """Where it is, while the server runs: a folder cannot hold it."""
        folder.mkdir(parents=True)
        return self.store

    def drop(self) -> None:
        """Both."""
        for kind in ("store", "views"):
            self._do(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(self._called(kind))))

    def _called(self, kind: str) -> str:
        return f"{self._name}_{kind}"

    def _url(self, kind: str) -> str:
        return self._server.replace("/postgres?", f"/{self._called(kind)}?")

    def _do(self, statement: "psycopg.sql.Composed") -> None:
        with psycopg.connect(self._server, autocommit=True) as db:
            db.execute(statement)
