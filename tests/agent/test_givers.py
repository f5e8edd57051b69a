"""Those before the sender: who has a stolen key of theirs makes up no history that stands for good."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from privity.agent.chains import Heads, follow
from privity.agent.givers import keys_of
from privity.agent.identity import to_record
from privity.agent.memory import Memory
from privity.crypto.identity import Identity, Signed, make_genesis, make_next, walk
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.signing import SigningKey
from privity.errors import KeyMismatch
from privity.messages.fields import SignedRecord


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    kept = Memory(tmp_path / "memory.db")
    yield kept
    kept.close()


def going_on(head: Identity, signer: SigningKey) -> Signed:
    """A next record, of whoever has the key; another one each time."""
    seal = generate_keypair().public
    return make_next(
        head, signer, sign=signer, seal_public=seal, seal_suite=head.seal_suite, devices={}, reason="another"
    )


def test_a_history_that_somebody_made_up_gives_way_to_what_a_connection_shows(memory: Memory) -> None:
    key = SigningKey.generate()
    genesis = make_genesis(key, generate_keypair().public, Suite.X_WING, SigningKey.generate().public, bytes(16))
    [first] = walk([genesis])

    def history(length: int) -> tuple[SignedRecord, ...]:
        made = [genesis]
        while len(made) < length:
            made.append(going_on([*walk(made)][-1], key))
        return tuple(map(to_record, made))

    true, false = history(4), history(3)

    def read(came: tuple[SignedRecord, ...], served: tuple[SignedRecord, ...] | None = None) -> list[bytes]:
        return keys_of(memory, first.account, {}, "eve@localhost", came, served)

    assert key.public in read(false)
    with pytest.raises(KeyMismatch, match="Two histories"):
        read(true)
    follow(Heads(memory), true, first.account, "ann@localhost")
    assert key.public in read(true, served=true)
    with pytest.raises(KeyMismatch, match="Two histories"):
        read(history(5))
