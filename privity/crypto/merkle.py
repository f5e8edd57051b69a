"""The log's Merkle tree (RFC 9162, section 2.1): hashes, growth, and proofs as lists of 32-byte hashes.

A complete node covers 2**level leaves and is named by (level, index), the leaves being level 0. Once it is
there it never changes, so whoever can look those up can prove anything about any size of the tree.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from privity.errors import ForkedLog, NotInLog

HASH_BYTES: Final = 32
LEAF_PREFIX: Final = b"\x00"
NODE_PREFIX: Final = b"\x01"
EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of no leaves."""

Node: TypeAlias = tuple[int, int]  # level, index
Lookup: TypeAlias = Callable[[int, int], bytes]  # the hash of a complete node, by level and index


def leaf_hash(entry: bytes) -> bytes:
    """The leaf of an entry, 32 bytes."""
    return sha256(LEAF_PREFIX + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The node over two others, 32 bytes."""
    return sha256(NODE_PREFIX + left + right).digest()


class Frontier:
    """The right edge of a tree: what it takes to append leaves and to know the root."""

    __slots__ = ("_roots", "_size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """A tree of `size` leaves; `roots` are those of its complete subtrees, from the left (see `edge`).

        Raises:
            ValueError: this size has another number of them.
        """
        if len(roots) != size.bit_count():
            raise ValueError("these are not the complete subtrees of that size")
        self._size = size
        self._roots = list(roots)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._size

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, from the left."""
        return tuple(self._roots)

    def copy(self) -> "Frontier":
        """One that grows by itself."""
        return Frontier(self._size, self._roots)

    def append(self, leaf: bytes) -> list[tuple[Node, bytes]]:
        """Add a leaf's hash; the complete nodes that this makes, upwards, the leaf itself being the first."""
        level, index = 0, self._size
        made = [((level, index), leaf)]
        while index & 1:
            leaf = node_hash(self._roots.pop(), leaf)
            level, index = level + 1, index >> 1
            made.append(((level, index), leaf))
        self._roots.append(leaf)
        self._size += 1
        return made

    def root(self) -> bytes:
        """The root of the whole tree."""
        return _fold(self._roots)


def edge(size: int) -> list[Node]:
    """The complete subtrees that a tree of this size consists of, from the left."""
    return _subtrees(0, size)


def inclusion_proof(index: int, size: int, node: Lookup) -> list[bytes]:
    """The path of leaf `index` in the tree of `size` leaves, from the leaf upwards (section 2.1.3.1).

    Raises:
        ValueError: this tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError("a tree has no such leaf")
    proof: list[bytes] = []
    first, end = 0, size
    while end - first > 1:
        split = _split(first, end)
        if index < split:
            proof.append(_span(split, end, node))
            end = split
        else:
            proof.append(_span(first, split, node))
            first = split
    proof.reverse()
    return proof


def newest_proofs(first: int, size: int, node: Lookup) -> list[tuple[bytes, ...]]:
    """The paths of all leaves from `first` on, as `inclusion_proof` gives them; what they share is made once.

    Raises:
        ValueError: this tree has no such leaf.
    """
    if not 0 <= first < size:
        raise ValueError("a tree has no such leaf")
    found: list[tuple[bytes, ...]] = []

    def descend(begin: int, end: int, above: tuple[bytes, ...]) -> None:
        if end - begin == 1:
            found.append(above)
            return
        split = _split(begin, end)
        if first < split:
            descend(begin, split, (_span(split, end, node), *above))
        descend(split, end, (_span(begin, split, node), *above))

    descend(0, size, ())
    return found


def consistency_proof(old: int, new: int, node: Lookup) -> list[bytes]:
    """The proof that the tree of `new` leaves begins with that of `old` leaves (section 2.1.4.1).

    Raises:
        ValueError: not 0 < old <= new.
    """
    if not 0 < old <= new:
        raise ValueError("a tree only grows, from one leaf on")
    proof: list[bytes] = []
    first, end = 0, new
    while end != old:
        split = _split(first, end)
        if old <= split:
            proof.append(_span(split, end, node))
            end = split
        else:
            proof.append(_span(first, split, node))
            first = split
    if first:  # else the old tree is a subtree as a whole, and the verifier has its root
        proof.append(_span(first, end, node))
    proof.reverse()
    return proof


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Returns if `leaf` is the hash of leaf `index` in the tree with that size and root (section 2.1.3.2).

    Raises:
        NotInLog: the proof does not show it.
    """
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        raise NotInLog
    turn, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise NotInLog
        if turn & 1 or turn == last:
            computed = node_hash(sibling, computed)
            turn, last = _past_right_edge(turn, last)
        else:
            computed = node_hash(computed, sibling)
        turn, last = turn >> 1, last >> 1
    if last != 0 or computed != root:
        raise NotInLog


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Returns if the tree with the new size and root begins with the old one (section 2.1.4.2).

    Nothing can be shown about a tree without leaves: an old size of 0 is refused.

    Raises:
        ForkedLog: the proof does not show it.
    """
    if old_size == new_size > 0 and old_root == new_root and not proof:
        return
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not 0 < old_size < new_size or not path or not _are_hashes(old_root, new_root, *path):
        raise ForkedLog
    if _replayed(old_size - 1, new_size - 1, path) != (old_root, new_root):
        raise ForkedLog


def _replayed(turn: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of the old and of the new tree as the path gives them, in one walk upwards."""
    while turn & 1:
        turn, last = turn >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ForkedLog
        if turn & 1 or turn == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            turn, last = _past_right_edge(turn, last)
        else:
            new = node_hash(new, sibling)
        turn, last = turn >> 1, last >> 1
    if last != 0:
        raise ForkedLog
    return old, new


def _past_right_edge(turn: int, last: int) -> tuple[int, int]:
    """Up to the level on which the node has a sibling on its left; on the right edge those below have none."""
    while turn and not turn & 1:
        turn, last = turn >> 1, last >> 1
    return turn, last


def _split(first: int, end: int) -> int:
    """Where two subtrees meet: the largest power of two below the number of leaves goes to the left."""
    return first + (1 << ((end - first - 1).bit_length() - 1))


def _subtrees(first: int, end: int) -> list[Node]:
    nodes: list[Node] = []
    while first < end:
        level = (end - first).bit_length() - 1
        nodes.append((level, first >> level))
        first += 1 << level
    return nodes


def _span(first: int, end: int, node: Lookup) -> bytes:
    """The root over the leaves from `first` up to `end`."""
    return _fold([node(level, index) for level, index in _subtrees(first, end)])


def _fold(roots: Sequence[bytes]) -> bytes:
    if not roots:
        return EMPTY_ROOT
    *others, computed = roots
    for left in reversed(others):
        computed = node_hash(left, computed)
    return computed


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
