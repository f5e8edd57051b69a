"""What is done at all suppliers at once does not wait for one that keeps silent."""

import asyncio
import json
import time

import pytest

from privity import gathering
from privity.crypto.command import frame
from privity.crypto.supplying import Wish
from privity.encoding import b64
from privity.errors import Malformed, SupplierAway, SupplierSlow
from privity.gathering import all_of, most_of
from privity.supplying import Known, Lease, Operator, Supplier, by_slot
from tests.handlers.people import LOG


async def after(seconds: float, error: Exception | None = None) -> None:
    await asyncio.sleep(seconds)
    if error is not None:
        raise error


async def test_the_last_ones_are_lost_when_they_keep_enough_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "PATIENCE", 0.2)
    away = SupplierAway()
    started = time.monotonic()
    errors = await most_of([after(0), after(60), after(0.01, away), after(0), after(0.1)], 3)
    assert time.monotonic() - started < 30
    assert [type(each) for each in errors] == [type(None), SupplierSlow, SupplierAway, type(None), type(None)]
    assert await all_of([after(0), after(0.01, away)]) == [None, away]


async def test_nobody_is_lost_before_enough_are_done_nor_who_is_hardly_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "PATIENCE", 0.0)
    assert await most_of([after(0), after(0.3), after(0.3)], 3) == [None] * 3
    assert await most_of([after(0.2), after(0.2), after(0.3)], 2) == [None] * 3
    assert await most_of([], 0) == []
    with pytest.raises(asyncio.CancelledError):
        await most_of([after(0), _cancelled()], 2)


async def _cancelled() -> None:
    raise asyncio.CancelledError


def lists(*pages: list[tuple[int, bool]]) -> Lease:
    """Half an upload at a supplier that lists these segments, a page at a time."""
    left = iter(pages)

    async def answer(subject: str, data: bytes, patience: float) -> bytes:
        page = next(left)
        said = {"status": "ok", "leaves": [[index, b64(bytes(32))] for index, _ in page], "more": page[-1][1]}
        return frame(json.dumps(said).encode())

    supplier = Supplier(Known("s" * 52, "supplier", LOG.public), answer)
    return Lease(supplier, Operator(LOG), Wish(LOG.public, "get", "k" * 52, "o" * 26, b"", None))


@pytest.mark.parametrize(
    ("replaced", "slots"),
    [
        ({}, "abc"),
        ({"a": "d"}, "dbc"),
        ({"a": "b"}, "-bc"),
        ({"c": "b"}, "ab-"),
        ({"a": "d", "b": "d"}, "d-c"),
        ({"a": "b", "b": "d"}, "d-c"),
        ({"a": "x"}, "-bc"),
    ],
    ids=str,
)
def test_nobody_stands_in_two_slots_of_a_location(replaced: dict[str, str], slots: str) -> None:
    def stands(id: str) -> Known | None:
        while id in replaced:
            id = replaced[id]
        return None if id == "x" else Known(id, id, b"")

    assert "".join(each.id if each else "-" for each in by_slot("abc", stands)) == slots


async def test_a_supplier_that_lists_what_an_object_does_not_have_is_not_listened_to_for_ever() -> None:
    assert (await lists([(0, True)], [(1, True)], [(2, False)]).leaves(3)).keys() == {0, 1, 2}
    for pages in ([(3, False)],), ([(0, True)], [(1, True)], [(2, True)], [(3, True)]):
        with pytest.raises(Malformed, match="does not have"):
            await lists(*pages).leaves(3)
