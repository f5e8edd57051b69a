"""An object goes to five suppliers and comes back, through real processes on a real bus."""

import errno
import os
import random
import time
from pathlib import Path

import pytest

from privity.agent import downloads, supplying
from privity.agent.downloads import get_bytes, get_object
from privity.agent.upload_journal import MAX_AGE, UPLOADS
from privity.agent.uploads import MAX_BYTES, enough, put_object, settle
from privity.crypto.coding import Coding
from privity.encoding import digest
from privity.errors import AlreadyExists, ForgedRecord, Malformed, NotFound, TooLarge
from privity.messages.locations import StoredObject
from privity.testing.home import RunningHome
from tests.storing import SLOTS, storing

MIB = 2**20
CAPACITY = Coding(3, SLOTS).capacity


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


async def test_bytes_of_any_size_come_back_as_they_were(suppliers: RunningHome, tmp_path: Path) -> None:
    async with storing(suppliers, tmp_path) as sam:
        for size in (0, 1, 4096, CAPACITY, CAPACITY + 1):
            data = content(size)
            stored = await put_object(sam.session, sam.keyring, sam.place, data)
            assert (stored.size, stored.sha256, stored.missing) == (size, digest(data), ())
            back = await get_bytes(sam.session, sam.place, stored.stored, stored.key, size=size, sha256=stored.sha256)
            assert back == data
        with pytest.raises(TooLarge):
            await put_object(sam.session, sam.keyring, sam.place, bytes(MAX_BYTES + 1))
        with pytest.raises(NotFound):
            await put_object(sam.session, sam.keyring, sam.place, tmp_path / "missing")


async def test_a_file_comes_back_whole_or_not_at_all(suppliers: RunningHome, tmp_path: Path) -> None:
    source, sink = tmp_path / "source", tmp_path / "sink"
    source.write_bytes(content(4 * MIB))
    async with storing(suppliers, tmp_path) as sam:
        told: list[int] = []
        stored = await put_object(sam.session, sam.keyring, sam.place, source, told.append)
        assert told == sorted(told)
        assert told[-1] == 4 * MIB
        said = {"size": stored.size, "sha256": stored.sha256}
        wrong = {"size": stored.size, "sha256": digest(b"another")}
        with pytest.raises(ForgedRecord):
            await get_object(sam.session, sam.place, stored.stored, stored.key, sink, **wrong)
        with pytest.raises(ForgedRecord):
            await get_object(
                sam.session, sam.place, stored.stored, stored.key, sink, size=9 * MIB, sha256=stored.sha256
            )
        assert not [name for name in os.listdir(tmp_path) if "sink" in name]
        got = await get_object(sam.session, sam.place, stored.stored, stored.key, sink, **said, progress=told.append)
        assert sink.read_bytes() == source.read_bytes()
        assert (got.size, got.troubles, told[-1]) == (4 * MIB, (), 4 * MIB)
        with pytest.raises(AlreadyExists):
            await get_object(sam.session, sam.place, stored.stored, stored.key, sink, **said)


async def test_what_the_disk_did_not_keep_takes_no_name_and_is_not_gone_on_with(
    suppliers: RunningHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, sink = content(4 * CAPACITY), tmp_path / "sink"

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with storing(suppliers, tmp_path) as sam:
        stored = await put_object(sam.session, sam.keyring, sam.place, data)
        said = {"size": stored.size, "sha256": stored.sha256}
        monkeypatch.setattr(downloads, "FLUSH_EACH", CAPACITY)
        really = downloads.to_disk
        monkeypatch.setattr(downloads, "to_disk", fails)
        with pytest.raises(Malformed, match="Input/output error"):
            await get_object(sam.session, sam.place, stored.stored, stored.key, sink, **said)
        assert not [name for name in os.listdir(tmp_path) if "sink" in name]
        monkeypatch.setattr(downloads, "to_disk", really)
        await get_object(sam.session, sam.place, stored.stored, stored.key, sink, **said)
        assert sink.read_bytes() == data


async def test_a_reading_that_stopped_goes_on_and_what_was_changed_meanwhile_is_read_anew(
    suppliers: RunningHome, tmp_path: Path
) -> None:
    data = content(3 * CAPACITY)
    async with storing(suppliers, tmp_path) as sam:
        stored = await put_object(sam.session, sam.keyring, sam.place, data)
        said = {"size": stored.size, "sha256": stored.sha256}
        draft = tmp_path / f".sink.{stored.stored.object}.part"
        told: list[int] = []

        async def get() -> bytes:
            told.clear()
            sink = tmp_path / "sink"
            await get_object(sam.session, sam.place, stored.stored, stored.key, sink, **said, progress=told.append)
            back = sink.read_bytes()
            sink.unlink()
            return back

        draft.write_bytes(data[: 2 * CAPACITY + 100])
        draft.chmod(0o600)
        assert await get() == data
        assert told == [3 * CAPACITY]
        draft.write_bytes(bytes(CAPACITY) + data[CAPACITY : 2 * CAPACITY])
        draft.chmod(0o600)
        assert await get() == data
        assert told == [3 * CAPACITY, CAPACITY, 2 * CAPACITY, 3 * CAPACITY]


async def test_the_same_file_is_the_same_object_until_it_is_settled_or_changed(
    suppliers: RunningHome, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(content(2 * MIB))
    async with storing(suppliers, tmp_path) as sam:

        async def put(*used: str) -> StoredObject:
            nonlocal last
            last = await put_object(sam.session, sam.keyring, sam.place, source, used=used)
            return last.stored

        last = None
        first = await put()
        assert await put() == first
        again = await put(first.object)  # a change named it, though nobody settled it
        assert again.object != first.object
        assert await put() == again
        source.write_bytes(content(2 * MIB, seed=2))
        second = await put()
        assert second.object != first.object
        settle(sam.session, last)
        third = await put()
        assert third.object != second.object
        for journal in (sam.person.home / UPLOADS).iterdir():  # what there is of it may be collected any time
            os.utime(journal, (time.time() - MAX_AGE - 60,) * 2)
        assert (await put()).object != third.object


async def test_objects_are_listed_and_deleted_at_all_suppliers(suppliers: RunningHome, tmp_path: Path) -> None:
    async with storing(suppliers, tmp_path) as sam:
        stored = await put_object(sam.session, sam.keyring, sam.place, b"some")
        object = stored.stored.object
        found, troubles = await supplying.list_objects(sam.place)
        assert troubles == []
        assert {id: [(each.object, each.whole) for each in listed] for id, listed in found.items()} == {
            each.id: [(object, True)] for each in sam.place.suppliers if each
        }
        assert all(sam.fragments(slot, object) for slot in range(SLOTS))
        assert await supplying.delete_objects(sam.place, supplying.ids(found)) == []
        assert not any(sam.fragments(slot, object) for slot in range(SLOTS))


async def test_p6_a_supplier_has_uniform_fragments_without_names_and_sizes_of_classes(
    suppliers: RunningHome, tmp_path: Path
) -> None:
    """Zeros are put, in files of several sizes: what lies there has every byte about as often, and one length."""
    async with storing(suppliers, tmp_path) as sam:
        lengths = set()
        for size in (0, 1, 1000, 4096):
            stored = await put_object(sam.session, sam.keyring, sam.place, bytes(size))
            lengths |= {path.stat().st_size for path in sam.fragments(0, stored.stored.object)}
        assert len(lengths) == 1
        source = tmp_path / "a-telling-name"
        source.write_bytes(bytes(2 * MIB))
        stored = await put_object(sam.session, sam.keyring, sam.place, source)
        for slot in range(SLOTS):
            held = b"".join(path.read_bytes() for path in sam.fragments(slot, stored.stored.object))
            counts = [held.count(bytes([value])) for value in range(256)]
            expected = len(held) / 256
            assert sum((count - expected) ** 2 for count in counts) / expected < 256 + 10 * 512**0.5  # chi-squared
            names = [path.name for path in sam.folder(slot).rglob("*")]
            assert not any("telling" in name for name in names)


@pytest.mark.parametrize(("needed", "slots", "least"), [(3, 5, 4), (1, 1, 1), (2, 3, 2), (5, 5, 5), (1, 3, 2)])
def test_an_upload_needs_half_of_the_slots_that_may_be_lost(needed: int, slots: int, least: int) -> None:
    assert enough(Coding(needed, slots)) == least
