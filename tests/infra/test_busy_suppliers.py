"""A supplier that is busy is asked again by its clients, a bounded number of times; it is not lost by that."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.supplier import access
from infra.supplier.access import LEASE_LIFE
from privity import supplying
from privity.crypto.coding import fragment_leaf, slot_root
from privity.encoding import new_id
from privity.errors import BadProof, Busy
from privity.gathering import PATIENCE
from privity.messages.suppliers import FRAGMENT_BYTES
from privity.supplying import Holder, Known, Lease, Supplier
from tests.handlers.people import Citizen, to_record
from tests.infra.supplying import OWN, SUPPLIER, Keeper, SharedKey

FRAGMENT = secrets.token_bytes(FRAGMENT_BYTES)


class Line:
    """To a real supplier without a bus; what it was asked, by verb."""

    def __init__(self, keeper: Keeper, account: str) -> None:
        self.keeper, self.account, self.asked = keeper, account, list[str]()

    async def __call__(self, subject: str, data: bytes, patience: float) -> bytes:
        self.asked.append(verb := subject.rpartition(".")[2])
        answer = await self.keeper.raw(verb, data, f"_INBOX_{self.account}.nuid.token")
        assert answer is not None
        return answer


DELAYS = supplying.BUSY_DELAYS


def test_an_upload_does_not_give_up_who_is_asked_again() -> None:
    assert sum(DELAYS) * 1.5 < PATIENCE


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as ever, and sooner."""
    monkeypatch.setattr(supplying, "BUSY_DELAYS", (0.01,) * len(supplying.BUSY_DELAYS))


@pytest.fixture
def ann() -> Citizen:
    return Citizen("ann")


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    yield Keeper(tmp_path / "supplier", str(tmp_path / "disk"))
    for each in Keeper.made:
        each.journal.close()
    Keeper.made.clear()


@pytest.fixture
def line(keeper: Keeper, ann: Citizen) -> Line:
    return Line(keeper, ann.account)


@pytest.fixture
def key(ann: Citizen) -> SharedKey:
    return SharedKey(ann)


def holder(key: SharedKey) -> Holder:
    """Its creator, who makes it known."""
    ann = key.ann
    return Holder(ann.account, key.part.sign, ann.keys.sign, tuple(map(to_record, ann.chain)), key.register())


async def put(line: Line, key: SharedKey, segments: int = 1) -> Lease:
    """A lease to put an object."""
    supplier = Supplier(Known(SUPPLIER, "supplier-1", OWN.public), line)
    return await supplier.open(holder(key), "put", key.id, new_id(), segments)


async def test_what_is_just_being_written_is_put_again_until_it_stands(line: Line, key: SharedKey) -> None:
    lease = await put(line, key)
    await asyncio.gather(
        lease.put(0, FRAGMENT), lease.put(0, FRAGMENT), lease.complete(slot_root([fragment_leaf(FRAGMENT)]))
    )
    assert line.keeper.refusals.count("Busy") >= 1
    assert line.asked.count("put") + line.asked.count("complete") > 3


async def test_who_finds_all_leases_taken_waits_for_one_and_proves_anew(
    line: Line, key: SharedKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MAX_OWN_LEASES", 1)
    await put(line, key)
    with pytest.raises(Busy):  # for good: after a bounded number of tries
        await put(line, key)
    tries = len(supplying.BUSY_DELAYS) + 1
    assert line.keeper.refusals.count("Busy") == tries
    assert line.keeper.refusals.count("StaleNonce") == 0  # each with a nonce of its own

    async def others_end() -> None:
        while line.keeper.refusals.count("Busy") <= tries:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        line.keeper.clock.seconds += LEASE_LIFE + 1

    async with asyncio.timeout(5):
        _, lease = await asyncio.gather(others_end(), put(line, key))
    await lease.put(0, FRAGMENT)


async def test_what_is_refused_for_another_reason_is_not_asked_again(line: Line, key: SharedKey) -> None:
    await put(line, key)
    line.asked.clear()
    supplier = Supplier(Known(SUPPLIER, "supplier-1", OWN.public), line)
    with pytest.raises(BadProof):
        await supplier.open(Holder(key.ann.account, OWN, OWN, ()), "list", key.id)
    assert line.asked == ["nonce", "open"]
