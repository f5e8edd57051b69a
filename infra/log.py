"""The home's log: checkpoints that its key signs, receipts, and proofs out of the store's tree."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra.mapping import to_positioned
from infra.store import CommandRow, EventStore, Stored
from infra.tree import Growth
from privity.crypto.log import make_checkpoint
from privity.crypto.merkle import (
    EMPTY_ROOT,
    Frontier,
    Lookup,
    Node,
    consistency_proof,
    edge,
    inclusion_proof,
    newest_proofs,
)
from privity.crypto.signing import SigningKey
from privity.encoding import b64
from privity.errors import NotFound
from privity.messages.envelope import Receipt
from privity.messages.views import CheckpointRow, EvidenceRow

Proof = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Receipts:
    """One checkpoint, and the paths to it of the events at some positions."""

    checkpoint: str
    proofs: Mapping[int, Proof]

    def of(self, positions: Iterable[int]) -> Receipt:
        """The receipt for some of these events, in this order.

        Raises:
            KeyError: there is no path for one of them here.
        """
        return Receipt(self.checkpoint, tuple(self.proofs[position] for position in positions))


class Log:
    """Signs what is committed and nothing else, so that no size ever has two roots. For any number of threads.

    Every method raises StoreUnavailable as the store's do, and NotFound for a position or size beyond the log.
    """

    def __init__(self, store: EventStore, key: SigningKey, home: str) -> None:
        self._store = store
        self._key = key
        self._home = home
        self._signed: tuple[int, str] | None = None

    def size(self) -> int:
        """How many leaves the log has: as many as there are events."""
        return self._store.frontier().size

    def checkpoint(self) -> str:
        """The newest checkpoint, as a signed note."""
        return self._note(self._store.frontier())

    def newest(self) -> tuple[str, int]:
        """The newest checkpoint, and its size."""
        frontier = self._store.frontier()
        return self._note(frontier), frontier.size

    def root(self, size: int) -> bytes:
        """The root that the log had at that size, 32 bytes."""
        if size == 0:
            return EMPTY_ROOT
        found = self._nodes(edge(size))
        return Frontier(size, [found[node] for node in edge(size)]).root()

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """The path of the event at a position to the root of that size."""
        self._check(size)
        return self._prove([_inclusion_of(position, size)])[0]

    def inclusions(self, positions: Sequence[int], size: int) -> list[list[bytes]]:
        """As `inclusion`, for many events at once."""
        return self._prove([_inclusion_of(position, size) for position in positions])

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the log of the new size begins with that of the old one."""
        self._check(new)
        return self._prove([_consistency_of(old, new)])[0]

    def receipt(self, positions: Sequence[int]) -> Receipt:
        """The receipt for the events at these positions, under the newest checkpoint."""
        return self.receipts(positions).of(positions)

    def receipts(self, positions: Sequence[int]) -> Receipts:
        """The paths of these events to the newest checkpoint."""
        newest = self._store.frontier()
        proofs = self._prove([_inclusion_of(position, newest.size) for position in positions])
        return Receipts(self._note(newest), dict(zip(positions, map(_texts, proofs), strict=True)))

    def receipts_of(self, growth: Growth) -> Receipts:
        """The paths of the events that one append brought, when it is committed: out of memory, without the store."""
        known, first, size = growth.known(), growth.before.size, growth.after.size
        texts: dict[bytes, str] = {}
        proofs = {
            position: tuple(texts.get(hash) or texts.setdefault(hash, b64(hash)) for hash in path)
            for position, path in enumerate(newest_proofs(first, size, lambda *node: known[node]), first + 1)
        }
        return Receipts(self._note(growth.after), proofs)

    def since(self, sizes: Sequence[int]) -> CheckpointRow:
        """The newest checkpoint, and the proof from each of these sizes to it."""
        newest = self._store.frontier()
        proofs = self._prove([_consistency_of(size, newest.size) for size in sizes])
        return CheckpointRow(checkpoint=self._note(newest), proofs=tuple(map(_texts, proofs)))

    def evidence(self, position: int) -> EvidenceRow:
        """The event at a position, the signed command behind it, and its path to the newest checkpoint."""
        return self.evidences([position])[0]

    def evidences(self, positions: Sequence[int], size: int | None = None) -> list[EvidenceRow]:
        """As `evidence`, for many; with the paths to the root of `size` if it is given, and then no checkpoint."""
        found = {event.position: event for event in self._store.at(positions)}
        if not found.keys() >= set(positions):
            raise NotFound("there is no event at this position")
        events = [found[position] for position in positions]
        metas = [to_positioned(event).meta for event in events]
        keys = [(meta.actor, meta.command) for meta in metas]
        commands = self._store.commands(list(dict.fromkeys(keys)))
        note, end = self.newest() if size is None else ("", size)
        proofs = map(_texts, self.inclusions(positions, end))
        return [
            _evidence(event, commands[key], note, proof) for event, key, proof in zip(events, keys, proofs, strict=True)
        ]

    def _note(self, frontier: Frontier) -> str:
        """Made once for each size in a row; what was signed before is the same text, as Ed25519 draws no lots."""
        signed = self._signed
        if signed is None or signed[0] != frontier.size:
            signed = (frontier.size, make_checkpoint(self._key, self._home, frontier.size, frontier.root()))
            self._signed = signed
        return signed[1]

    def _check(self, size: int) -> None:
        if size > self.size():
            raise NotFound("the log is not that long")

    def _prove(self, proofs: Sequence[Callable[[Lookup], list[bytes]]]) -> list[list[bytes]]:
        """Run the proofs twice: to learn which nodes they want, and with all of these, found at once."""
        wanted: set[Node] = set()

        def note(level: int, index: int) -> bytes:
            wanted.add((level, index))
            return EMPTY_ROOT

        for proof in proofs:
            proof(note)
        found = self._nodes(wanted)
        return [proof(lambda *node: found[node]) for proof in proofs]

    def _nodes(self, nodes: Iterable[Node]) -> dict[Node, bytes]:
        try:
            return self._store.nodes(set(nodes))
        except KeyError:
            raise NotFound("the log is not that long") from None


def _evidence(event: Stored, command: CommandRow, note: str, proof: Proof) -> EvidenceRow:
    return EvidenceRow(
        position=event.position,
        stream=event.stream,
        version=event.version,
        name=event.name,
        data=event.data.decode(),
        subject=command.subject,
        payload=b64(command.payload),
        signature=b64(command.signature),
        checkpoint=note,
        proof=proof,
    )


def _inclusion(position: int, size: int, node: Lookup) -> list[bytes]:
    if not 0 < position <= size:
        raise NotFound("the log is not that long")
    return inclusion_proof(position - 1, size, node)


def _consistency(old: int, new: int, node: Lookup) -> list[bytes]:
    if not 0 < old <= new:
        raise NotFound("the log is not that long")
    return consistency_proof(old, new, node)


def _inclusion_of(position: int, size: int) -> Callable[[Lookup], list[bytes]]:
    return lambda node: _inclusion(position, size, node)


def _consistency_of(old: int, new: int) -> Callable[[Lookup], list[bytes]]:
    return lambda node: _consistency(old, new, node)


def _texts(hashes: Iterable[bytes]) -> Proof:
    return tuple(map(b64, hashes))
