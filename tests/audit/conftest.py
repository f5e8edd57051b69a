"""A small history that a committer recorded, exported once."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from handlers.committer import Committer
from handlers.opening import Delivery
from infra.export import export_whole
from infra.log import Log
from infra.store import open_store
from privity.agent.keyring import new_identity
from privity.crypto.identity import make_next
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id
from privity.messages.accounts import RenameAccount, RotateIdentity
from tests.examples import NOW
from tests.handlers.holders import Held
from tests.handlers.people import HOME, LOG, Citizen, to_record
from tests.handlers.story import tell
from tests.handlers.test_reads import fetched, proof
from tests.handlers.test_reads import login as login_of

Export = Callable[[Sequence[Delivery]], Path]


def history() -> list[Delivery]:
    """Every kind of event, those of reads too."""
    story, login = tell(), SigningKey.generate()
    dave, frank, key = Citizen("dave@localhost"), Citizen("frank@localhost"), Held(story.ann)
    return [
        *story.deliveries,
        fetched(story.bob, story.share.id),
        key.created(),
        key.granted(story.bob, story.invitation.connection),
        frank.registers(),
        rotated(frank),
        frank.says(RenameAccount("francis@localhost")),
        frank.adds(new_id()),
        dave.registers(login=b64(login.public)),
        proof(dave.account, login, "fetched"),
        proof(dave.account, SigningKey.generate(), "refused"),
        login_of(frank.account, SigningKey.generate()),
    ]


def rotated(citizen: Citizen) -> Delivery:
    """New identity keys."""
    fresh, wrap = new_identity(), b"the private parts, wrapped"
    record = make_next(
        citizen.identity,
        citizen.keys.sign,
        sign=fresh.sign,
        seal_public=fresh.seal.public,
        seal_suite=fresh.seal.suite,
        devices=citizen.identity.devices,
        reason="rotated",
    )
    citizen.chain.append(record)
    return citizen.says(RotateIdentity(to_record(record), digest(wrap)), wrap)


def export_of(folder: Path, deliveries: Sequence[Delivery]) -> Path:
    """The whole log that these make."""
    with closing(open_store(f"sqlite:///{folder}/store.db")) as store:
        outcomes = Committer(store, HOME, lambda: NOW).process(deliveries)
        refused = [each.result for each in outcomes if each.result and each.result.status != "accepted"]
        assert refused == []
        export_whole(store, Log(store, LOG, HOME.id), HOME.id, HOME.log_public, folder / "log.jsonl")
    return folder / "log.jsonl"


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The export of the history."""
    return export_of(tmp_path_factory.mktemp("whole"), history()).read_bytes()
