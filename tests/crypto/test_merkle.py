"""The tree's hashes and proofs are those of RFC 9162: its own laws, others' vectors, another implementation."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from privity.crypto.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    edge,
    inclusion_proof,
    leaf_hash,
    newest_proofs,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from privity.errors import ForkedLog, NotInLog
from tests.crypto.examples import flip

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "merkle"
needs_vectors = pytest.mark.skipif(not VECTORS.exists(), reason="the vectors of transparency-dev/merkle are not here")

sizes = st.integers(1, 300)


class Tree:
    """A frontier and all the complete nodes that it ever made."""

    def __init__(self, size=0):
        self.frontier = Frontier()
        self.nodes = {}
        self.leaves = [leaf_hash(b"entry %d" % number) for number in range(size)]
        for leaf in self.leaves:
            self.nodes.update(self.frontier.append(leaf))

    def node(self, level, index):
        return self.nodes[level, index]

    def root(self, size):
        return Frontier(size, [self.nodes[each] for each in edge(size)]).root()


TREE = Tree(300)


def cases(kind):
    return sorted((VECTORS / "testdata" / kind).rglob("*.json"))


def named(path):
    return "/".join(path.parts[-2:])


def unbase64(text):
    return base64.b64decode(text or "")


@needs_vectors
@pytest.mark.parametrize("path", cases("inclusion"), ids=named)
def test_inclusion_vectors_of_others(path):
    case = json.loads(path.read_text())
    proof = [unbase64(text) for text in case["proof"] or ()]
    arguments = (unbase64(case["leafHash"]), case["leafIdx"], case["treeSize"], proof, unbase64(case["root"]))
    if case["wantErr"]:
        with pytest.raises(NotInLog):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@needs_vectors
@pytest.mark.parametrize("path", cases("consistency"), ids=named)
def test_consistency_vectors_of_others(path):
    case = json.loads(path.read_text())
    proof = [unbase64(text) for text in case["proof"] or ()]
    old, new = (case["size1"], unbase64(case["root1"])), (case["size2"], unbase64(case["root2"]))
    if case["wantErr"]:
        with pytest.raises(ForkedLog):
            verify_consistency(*old, *new, proof)
    else:
        verify_consistency(*old, *new, proof)


@needs_vectors
def test_the_vectors_are_read_at_all():
    assert len(cases("inclusion")) > 90
    assert len(cases("consistency")) > 90


@needs_vectors
def test_roots_of_others():
    known = json.loads((VECTORS / "rfc6962_roots.json").read_text())
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT == bytes.fromhex(known["empty_root"])
    for entry, root in zip(known["leaf_inputs"], known["root_hashes_size_1_to_8"], strict=True):
        frontier.append(leaf_hash(bytes.fromhex(entry)))
        assert frontier.root() == bytes.fromhex(root)


def test_another_implementation_has_the_same_roots_and_paths():
    other = InmemoryTree(algorithm="sha256")
    entries = [b"entry %d" % number for number in range(40)]
    for entry in entries:
        other.append_entry(entry)
    for size in range(1, 41):
        assert TREE.root(size) == other.get_root(size)
        for index in range(size):
            ours = inclusion_proof(index, size, TREE.node)
            theirs = other.prove_inclusion(index + 1, size).path
            assert sorted([leaf_hash(entries[index]), *ours]) == sorted(theirs)  # theirs are from the left
        for old in range(1, size + 1):
            roots = (TREE.root(old), TREE.root(size))
            verify_consistency(old, roots[0], size, roots[1], consistency_proof(old, size, TREE.node))


@given(st.data(), sizes)
def test_every_leaf_is_in_every_tree_that_has_it(data, size):
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, TREE.node)
    verify_inclusion(TREE.leaves[index], index, size, proof, TREE.root(size))
    assert len(proof) <= (size - 1).bit_length()


@given(st.data(), sizes)
def test_the_newest_leaves_have_their_paths_all_at_once(data, size):
    first = data.draw(st.integers(0, size - 1))
    each = [tuple(inclusion_proof(index, size, TREE.node)) for index in range(first, size)]
    assert newest_proofs(first, size, TREE.node) == each


@given(st.data(), sizes)
def test_a_proof_shows_no_other_leaf_place_size_or_root(data, size):
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    assume(index != other)
    proof, root = inclusion_proof(index, size, TREE.node), TREE.root(size)
    for attempt in (
        (leaf_hash(b"no entry"), index, size, proof, root),
        (TREE.leaves[index], other, size, proof, root),
        (TREE.leaves[index], -1, size, proof, root),
        (TREE.leaves[index], index, size, [*proof, root], root),
        (TREE.leaves[index], index, size, proof, flip(root, 7)),
        (TREE.leaves[index], index, 2 * size + 1, proof, root),
    ):
        with pytest.raises(NotInLog):
            verify_inclusion(*attempt)


@given(st.data(), sizes, st.binary(max_size=80))
def test_no_bit_of_a_path_can_be_turned(data, size, garbage):
    index = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(index, size, TREE.node), TREE.root(size)
    assume(proof)
    spot = data.draw(st.integers(0, len(proof) - 1))
    for bent in (flip(proof[spot], data.draw(st.integers(0, 255))), garbage):
        with pytest.raises(NotInLog):
            verify_inclusion(TREE.leaves[index], index, size, [*proof[:spot], bent, *proof[spot + 1 :]], root)
    with pytest.raises(NotInLog):
        verify_inclusion(TREE.leaves[index], index, size, proof[:-1], root)


@given(sizes, sizes)
def test_a_tree_that_grew_is_consistent_with_what_it_was(one, another):
    old, new = sorted((one, another))
    proof = consistency_proof(old, new, TREE.node)
    verify_consistency(old, TREE.root(old), new, TREE.root(new), proof)
    assert len(proof) <= (new - 1).bit_length() + 1


@given(st.data(), sizes, sizes)
def test_s12_a_rewritten_tree_is_a_fork(data, one, another):
    old, new = sorted((one, another))
    forged = Tree()
    changed = data.draw(st.integers(0, old - 1))
    for number, leaf in enumerate(TREE.leaves[:new]):
        forged.nodes.update(forged.frontier.append(leaf_hash(b"forged") if number == changed else leaf))
    proof = consistency_proof(old, new, forged.node)
    verify_consistency(old, forged.root(old), new, forged.root(new), proof)
    with pytest.raises(ForkedLog):
        verify_consistency(old, TREE.root(old), new, forged.root(new), proof)


@given(sizes, sizes, st.lists(st.binary(min_size=32, max_size=32), max_size=12))
def test_hashes_that_are_no_proof_show_nothing(old, new, proof):
    assume(old < new and proof != consistency_proof(old, new, TREE.node))
    with pytest.raises(ForkedLog):
        verify_consistency(old, TREE.root(old), new, TREE.root(new), proof)


@pytest.mark.parametrize(("old", "new"), [(0, 1), (0, 0), (2, 1), (-1, 3)])
def test_a_tree_of_no_leaves_and_one_that_shrank_prove_nothing(old, new):
    with pytest.raises(ForkedLog):
        verify_consistency(old, EMPTY_ROOT, new, EMPTY_ROOT, [])
    with pytest.raises(ValueError, match="grows"):
        consistency_proof(old, new, TREE.node)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 4)])
def test_there_is_no_path_to_a_leaf_that_is_not_there(index, size):
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(index, size, TREE.node)
    with pytest.raises(ValueError, match="no such leaf"):
        newest_proofs(index, size, TREE.node)


@given(sizes)
def test_a_frontier_goes_on_from_its_size_and_roots(size):
    half = Frontier(size, [TREE.nodes[each] for each in edge(size)])
    grown = half.copy()
    for leaf in TREE.leaves[size:]:
        made = grown.append(leaf)
        assert all(TREE.nodes[where] == hash for where, hash in made)
    assert grown.root() == TREE.frontier.root()
    assert half.size == size
    assert half.root() == TREE.root(size)
    assert half.roots == tuple(TREE.nodes[each] for each in edge(size))


def test_a_frontier_with_the_wrong_roots_is_not_made():
    with pytest.raises(ValueError, match="not the complete subtrees"):
        Frontier(3, [EMPTY_ROOT])


def test_a_leaf_is_no_node():
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


def test_proofs_ask_for_few_nodes():
    asked = []

    def node(level, index):
        asked.append((level, index))
        return EMPTY_ROOT

    inclusion_proof(777_777, 1_000_001, node)
    assert len(asked) < 30
    asked.clear()
    consistency_proof(777_777, 1_000_001, node)
    assert len(asked) < 40
