"""Suppliers that corrupt, swap, forget, keep silent or collude: named, and never believed (P1 to P5)."""

import asyncio
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from privity import gathering, supplying
from privity.agent import storage_proofs
from privity.agent.downloads import get_bytes
from privity.agent.uploads import Stored, put_object
from privity.crypto.coding import Coding
from privity.errors import NotEnoughFragments, WrongFragments
from privity.supplying import Supplier
from privity.testing.home import RunningHome
from tests.storing import SLOTS, Storing, pause, resume, storing, supplier_folder

pytestmark = pytest.mark.trial

CAPACITY = Coding(3, SLOTS).capacity
DATA = os.urandom(2 * CAPACITY)


async def read(sam: Storing, stored: Stored) -> bytes:
    return await get_bytes(sam.session, sam.place, stored.stored, stored.key, size=stored.size, sha256=stored.sha256)


@contextmanager
def silent(home: RunningHome, *slots: int) -> Iterator[None]:
    """These suppliers keep silent meanwhile."""
    for slot in slots:
        pause(home, slot)
    try:
        yield
    finally:
        for slot in slots:
            resume(home, slot)


async def test_p1_a_corrupt_fragment_is_found_before_decoding_and_its_supplier_named(
    suppliers: RunningHome, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[set[int]] = []
    decode = Coding.decode

    def listening(self: Coding, fragments: dict[int, bytes]) -> bytes:
        decoded.append(set(fragments))
        return decode(self, fragments)

    monkeypatch.setattr(Coding, "decode", listening)
    async with storing(suppliers, tmp_path) as sam:
        stored = await put_object(sam.session, sam.keyring, sam.place, DATA)
        with caplog.at_level(logging.WARNING, logger="privity.notices"):
            assert await read(sam, stored) == DATA
            assert caplog.messages == []
            assert decoded == [{0, 1, 2}, {0, 1, 2}]
            decoded.clear()
            sam.rot(1, stored.stored.object, segment=1)
            assert await read(sam, stored) == DATA
        assert decoded == [{0, 1, 2}, {0, 2, 3}]
        assert "supplier-2 (corrupt: its part of segment 2 is another one)" in caplog.text


async def test_p2_another_objects_or_versions_fragment_is_refused(suppliers: RunningHome, tmp_path: Path) -> None:
    async with storing(suppliers, tmp_path) as sam:
        old = await put_object(sam.session, sam.keyring, sam.place, DATA)
        new = await put_object(sam.session, sam.keyring, sam.place, DATA)
        for slot in (0, 1):
            for before, now in zip(
                sam.fragments(slot, old.stored.object), sam.fragments(slot, new.stored.object), strict=True
            ):
                shutil.copy(before, now)
        assert await read(sam, new) == DATA
        shutil.copytree(
            sam.fragments(2, old.stored.object)[0].parent,
            sam.fragments(2, new.stored.object)[0].parent,
            dirs_exist_ok=True,
        )  # with the list of its hashes: a whole object, but another
        with pytest.raises(WrongFragments, match=r"supplier-1 \(corrupt.*supplier-2 \(corrupt.*supplier-3 \(corrupt"):
            await read(sam, new)
        assert await read(sam, old) == DATA


async def test_p2_a_list_of_other_hashes_is_held_against_the_signed_root(
    suppliers: RunningHome, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supplier answers for the new object with the old one, whole: list, root and fragments fit each other."""
    async with storing(suppliers, tmp_path) as sam:
        old = await put_object(sam.session, sam.keyring, sam.place, bytes(len(DATA)))
        new = await put_object(sam.session, sam.keyring, sam.place, DATA)
        opened = Supplier.open

        async def other(
            self: Supplier, prover: Any, operation: Any, key: str, object: Any = None, segments: int = 0
        ) -> Any:
            if self.known.name == "supplier-1" and object == new.stored.object:
                object = old.stored.object
            return await opened(self, prover, operation, key, object, segments)

        monkeypatch.setattr(Supplier, "open", other)
        with caplog.at_level(logging.WARNING, logger="privity.notices"):
            assert await read(sam, new) == DATA
        assert "supplier-1 (corrupt: its parts are others than were given to it)" in caplog.text


async def test_p3_a_supplier_that_kept_only_hashes_cannot_prove_that_it_has_the_fragments(
    suppliers: RunningHome, tmp_path: Path
) -> None:
    async with storing(suppliers, tmp_path) as sam:
        stored = (await put_object(sam.session, sam.keyring, sam.place, DATA)).stored
        proofs = await storage_proofs.prove(sam.place, stored, samples=2)
        assert [(each.supplier, each.proved) for each in proofs] == [(f"supplier-{n + 1}", True) for n in range(SLOTS)]
        for path in sam.fragments(3, stored.object):
            path.write_bytes(bytes(path.stat().st_size))
        sam.fragments(4, stored.object)[0].unlink()
        proofs = await storage_proofs.prove(sam.place, stored, samples=stored.segments)
        assert [each.proved for each in proofs] == [True, True, True, False, False]
        assert [each.reason for each in proofs[3:]] == [
            "corrupt: it does not prove that it has its part",
            "refused: NotFound",
        ]


async def test_p4_a_silent_supplier_is_an_outcome_and_the_read_goes_on_with_others(
    suppliers: RunningHome, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "HEDGE", 0.3)
    monkeypatch.setattr(supplying, "SHORT", 60.0)
    monkeypatch.setattr(supplying, "LONG", 60.0)
    async with storing(suppliers, tmp_path) as sam:
        stored = await put_object(sam.session, sam.keyring, sam.place, DATA)
        with silent(suppliers, 0, 2), caplog.at_level(logging.WARNING, logger="privity.notices"):
            assert await asyncio.wait_for(read(sam, stored), 30) == DATA  # and not when the silent ones are given up
        assert "supplier-1 (slow), supplier-3 (slow)" in caplog.text
        caplog.clear()
        monkeypatch.setattr(gathering, "HEDGE", 60.0)
        with caplog.at_level(logging.WARNING, logger="privity.notices"):
            assert await read(sam, stored) == DATA
        assert caplog.messages == []


async def test_p5_suppliers_that_collude_cause_an_alarm_and_never_wrong_plaintext(
    suppliers: RunningHome, tmp_path: Path
) -> None:
    async with storing(suppliers, tmp_path) as sam:
        stored = await put_object(sam.session, sam.keyring, sam.place, DATA)
        other = await put_object(sam.session, sam.keyring, sam.place, bytes(len(DATA)))
        for slot in (0, 2):
            shutil.copytree(
                sam.fragments(slot, other.stored.object)[0].parent,
                sam.fragments(slot, stored.stored.object)[0].parent,
                dirs_exist_ok=True,
            )
        assert await read(sam, stored) == DATA
        sam.rot(4, stored.stored.object)
        with pytest.raises(WrongFragments) as caught:
            await read(sam, stored)
        assert caught.value.exit_code == 3
        for name in ("supplier-1", "supplier-3", "supplier-5"):
            assert name in caught.value.message


async def test_what_is_gone_and_not_corrupt_is_a_refusal_that_names_what_is_missing(
    suppliers: RunningHome, tmp_path: Path
) -> None:
    async with storing(suppliers, tmp_path) as sam:
        stored = await put_object(sam.session, sam.keyring, sam.place, DATA)
        for slot in range(3):
            shutil.rmtree(supplier_folder(suppliers, slot) / "fragments" / sam.place.key / stored.stored.object)
        with pytest.raises(
            NotEnoughFragments, match=r"3 parts are needed, 2 are there; missing: supplier-1 \("
        ) as caught:
            await read(sam, stored)
        assert caught.value.exit_code == 1
