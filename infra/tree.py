"""The log's tree as the store keeps it: tiles of 256 hashes, and the right edge from which it grows.

A tile holds up to 256 nodes of every eighth level (C2SP tlog-tiles); the nodes between are hashed from it when they
are asked for. Whoever appends reads the edge inside the transaction, so that nothing in memory can be out of step.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from eventsourcing.persistence import StoredEvent

from infra.lookup import Cell, Select, find
from privity.crypto.log import entry
from privity.crypto.merkle import HASH_BYTES, Frontier, Node, edge, leaf_hash, node_hash

LEVELS: Final = 8
"""Levels of the tree for each level of tiles."""
WIDTH: Final = 1 << LEVELS
"""Hashes of a full tile."""

CREATE_TILES: Final = (
    "CREATE TABLE IF NOT EXISTS log_tiles (level bigint NOT NULL, number bigint NOT NULL, hashes {bytes} NOT NULL, "
    "PRIMARY KEY (level, number)){inline}"
)
CREATE_EDGE: Final = (
    "CREATE TABLE IF NOT EXISTS log_edge (one bigint PRIMARY KEY NOT NULL CHECK (one = 1), size bigint NOT NULL, "
    "roots {bytes} NOT NULL){inline}"
)
INSERT_TILES: Final = "INSERT INTO log_tiles (level, number, hashes) "
NEW_HASHES: Final = " ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes"
INSERT_EDGE: Final = "INSERT INTO log_edge (one, size, roots) "
NEW_EDGE: Final = " ON CONFLICT (one) DO UPDATE SET size = excluded.size, roots = excluded.roots"
TILE_KEY: Final = ("level", "number")

Tile: TypeAlias = tuple[int, int]  # level of tiles, number


@dataclass(frozen=True, slots=True)
class Growth:
    """What an append adds to the tree: from which edge to which, and the complete nodes that it makes."""

    before: Frontier
    after: Frontier
    nodes: dict[Node, bytes] = field(repr=False)
    tiles: dict[Tile, bytes] = field(repr=False)

    def known(self) -> dict[Node, bytes]:
        """All the nodes that it takes to prove anything about the leaves that came."""
        return dict(zip(edge(self.before.size), self.before.roots, strict=True)) | self.nodes

    def tile_rows(self) -> list[tuple[Cell, ...]]:
        """The tiles that change, as rows."""
        return [(level, number, hashes) for (level, number), hashes in self.tiles.items()]

    def edge_rows(self) -> list[tuple[Cell, ...]]:
        """The new edge, as the only row of its table."""
        return [(1, self.after.size, b"".join(self.after.roots))]


def read_frontier(select: Select) -> Frontier:
    """The tree's right edge."""
    rows = select("SELECT size, roots FROM log_edge", ())
    if not rows:
        return Frontier()
    roots = rows[0]["roots"]
    return Frontier(rows[0]["size"], [roots[at : at + HASH_BYTES] for at in range(0, len(roots), HASH_BYTES)])


def grow(select: Select, events: Iterable[StoredEvent]) -> Growth:
    """What these events add; they get the positions behind the tree's size, in order."""
    before = read_frontier(select)
    after, nodes = before.copy(), dict[Node, bytes]()
    for event in events:
        nodes.update(after.append(_leaf(after.size + 1, event)))
    return Growth(before, after, nodes, _filled(_read_tiles(select, _open_tiles(before.size)), nodes))


def read_nodes(select: Select, nodes: Collection[Node]) -> dict[Node, bytes]:
    """The hashes of complete nodes.

    Raises:
        KeyError: the tree has no such node, or it is not complete yet.
    """
    tiles = _read_tiles(select, {_tile_of(node) for node in nodes})
    return {node: _node_in(tiles[_tile_of(node)], node) for node in nodes}


def _leaf(position: int, event: StoredEvent) -> bytes:
    return leaf_hash(entry(position, str(event.originator_id), event.originator_version, event.topic, event.state))


def _read_tiles(select: Select, tiles: Collection[Tile]) -> dict[Tile, bytes]:
    rows = find(select, "level, number, hashes", "log_tiles", TILE_KEY, sorted(tiles))
    return {(row["level"], row["number"]): row["hashes"] for row in rows}


def _open_tiles(size: int) -> list[Tile]:
    """The tiles of a tree of this size that have room left; those that are not begun yet are left out."""
    tiles: list[Tile] = []
    level = 0
    while size:
        if size % WIDTH:
            tiles.append((level, size // WIDTH))
        level, size = level + 1, size // WIDTH
    return tiles


def _filled(tiles: dict[Tile, bytes], nodes: dict[Node, bytes]) -> dict[Tile, bytes]:
    """The tiles that change, with the nodes that belong there at their ends; within a level they come in order."""
    added: dict[Tile, list[bytes]] = {}
    for (level, index), hash in nodes.items():
        if level % LEVELS == 0:
            added.setdefault((level // LEVELS, index // WIDTH), []).append(hash)
    return {tile: b"".join((tiles.get(tile, b""), *hashes)) for tile, hashes in added.items()}


def _tile_of(node: Node) -> Tile:
    level, index = node
    return level // LEVELS, (index << level % LEVELS) // WIDTH


def _node_in(hashes: bytes, node: Node) -> bytes:
    level, index = node
    count = 1 << level % LEVELS
    start = index * count % WIDTH
    if len(hashes) < (start + count) * HASH_BYTES:
        raise KeyError(node)
    return _over([hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in range(start, start + count)])


def _over(row: Sequence[bytes]) -> bytes:
    """The root over a complete row of nodes."""
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]
