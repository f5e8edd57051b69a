"""The profile's folder: whole files or none, for the owner's eyes alone, and an outbox in order."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from uuid import RFC_4122, UUID

import pytest
from uuid6 import uuid7

from privity.agent.profile import OUTBOX, PROFILE, STATE, Profile, ProfileFolder, Waiting, secret_of
from privity.agent.session import new_command_id
from privity.encoding import b64
from privity.errors import Malformed, NoProfile, ProfileExists
from tests.examples import ANN

KEPT = Profile(
    account=ANN.account,
    address="ann@localhost",
    device=ANN.device,
    server="privity://person:CANARY-credential@localhost:4222?log=AAAA",
    secret=b64(b"CANARY-secret-16"),
    kdf={"memory_kib": 65536, "iterations": 3, "lanes": 4},
    kek=b64(b"CANARY-kek"),
    device_key=b64(b"CANARY-device"),
    identity=b64(b"CANARY-identity"),
)


@pytest.fixture
def folder(tmp_path: Path) -> ProfileFolder:
    """A profile's place, in a folder that is not there yet."""
    return ProfileFolder(tmp_path / "people" / "ann")


def waiting(data: bytes = b"data") -> Waiting:
    return Waiting(str(uuid7()), "privity.cmd.ann.items.add", data)


def modes(path: Path) -> dict[str, int]:
    """The permissions of a folder and of all in it."""
    return {str(each.relative_to(path)): stat.S_IMODE(each.stat().st_mode) for each in [path, *path.rglob("*")]}


def test_a_profile_comes_back_as_it_was_kept(folder: ProfileFolder) -> None:
    assert not folder.exists()
    folder.create(KEPT)
    assert folder.exists()
    assert folder.load() == KEPT
    folder.save(replace(KEPT, kek="new"))
    assert ProfileFolder(folder.path).load() == replace(KEPT, kek="new")
    assert secret_of(KEPT) == b"CANARY-secret-16"


def test_without_a_profile_there_is_none(folder: ProfileFolder) -> None:
    with pytest.raises(NoProfile):
        folder.load()
    assert folder.waiting() == []
    assert folder.position == 0


def test_a_profile_is_not_overwritten_by_another(folder: ProfileFolder) -> None:
    folder.create(KEPT)
    with pytest.raises(ProfileExists):
        folder.create(replace(KEPT, address="eve@localhost"))
    assert folder.load() == KEPT


def test_only_the_owner_may_read_whatever_was_written_first(folder: ProfileFolder) -> None:
    mask = os.umask(0)
    try:
        folder.keep(waiting())
        folder.reached(7)
        folder.save(KEPT)
    finally:
        os.umask(mask)
    found = modes(folder.path)
    assert {found.pop("."), found.pop(OUTBOX)} == {0o700}
    assert set(found.values()) == {0o600}
    assert len(found) == 3


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", "{}", json.dumps({"account": "x"}), "\udcff"], ids=lambda text: ascii(text)
)
def test_a_damaged_file_is_told_as_one(folder: ProfileFolder, text: str) -> None:
    folder.create(KEPT)
    folder.reached(7)
    for name in (PROFILE, STATE):
        (folder.path / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Malformed, match="damaged"):
        folder.load()
    with pytest.raises(Malformed, match="damaged"):
        assert folder.position


def test_a_write_that_dies_leaves_the_file_as_it_was(folder: ProfileFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.create(KEPT)
    folder.keep(waiting())
    with monkeypatch.context() as dying:
        dying.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no power")))
        with pytest.raises(OSError, match="no power"):
            folder.save(replace(KEPT, kek="new"))
        with pytest.raises(OSError, match="no power"):
            folder.keep(waiting())
    assert folder.load() == KEPT
    assert len(folder.waiting()) == 1


def test_commands_wait_in_the_order_in_which_they_were_made(folder: ProfileFolder) -> None:
    made = [waiting(f"{number}\n\0\xff".encode()) for number in range(20)]
    for each in reversed(made):
        folder.keep(each)
    assert folder.waiting() == made
    assert ProfileFolder(folder.path).waiting() == made


def test_what_a_command_gives_up_waits_with_it_also_in_the_place_of_another(folder: ProfileFolder) -> None:
    first, second = waiting(), replace(waiting(b"\n7"), version=7)
    folder.keep(first)
    folder.swap([first.id], [second])
    assert folder.waiting() == [second]
    (folder.path / OUTBOX / second.id).write_bytes(b"privity.cmd.ann.items.remove seven\n")
    assert folder.waiting() == []
    assert (folder.path / OUTBOX / f"{second.id}.aside").exists()


def test_a_command_comes_behind_those_that_wait_also_where_the_clock_was_set_back() -> None:
    last = "ffff0000-0000-7fff-bfff-ffffffffffff"
    made = []
    for _ in range(3):
        made.append(last := new_command_id(last))
    assert made == sorted(made)
    assert made[0] > "ffff0000-0000-7fff-bfff-ffffffffffff"
    assert {(UUID(each).version, UUID(each).variant) for each in made} == {(7, RFC_4122)}
    assert new_command_id() < made[0]
    assert UUID(new_command_id("no id")).version == 7


def test_a_file_that_is_there_is_on_the_disk_with_its_name(
    folder: ProfileFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: synced.append(stat.S_ISDIR(os.fstat(file).st_mode)))
        folder.keep(waiting())
    assert synced == [False, True]


def test_a_command_waits_until_it_is_answered(folder: ProfileFolder) -> None:
    first, second = waiting(), waiting()
    folder.keep(first)
    folder.keep(second)
    folder.keep(first)
    assert folder.waiting() == [first, second]
    folder.answered(first.id)
    folder.answered(first.id)
    assert folder.waiting() == [second]


def test_what_waited_for_an_account_that_was_never_made_is_not_sent_by_the_next_one(folder: ProfileFolder) -> None:
    folder.keep(waiting())
    folder.create(KEPT)
    assert folder.waiting() == []


def test_a_command_that_cannot_be_sent_is_kept_out_of_the_way_of_the_others(folder: ProfileFolder) -> None:
    stuck, next_one = waiting(), waiting()
    folder.keep(stuck)
    folder.keep(next_one)
    folder.set_aside(stuck.id)
    assert folder.waiting() == [next_one]
    assert (folder.path / OUTBOX / f"{stuck.id}.aside").read_bytes().endswith(stuck.data)


def test_the_newest_position_is_remembered(folder: ProfileFolder) -> None:
    for position in (5, 3, 0, 9, 8):
        folder.reached(position)
    assert folder.position == ProfileFolder(folder.path).position == 9


def test_a_forgotten_account_leaves_nothing(folder: ProfileFolder) -> None:
    folder.create(KEPT)
    folder.keep(waiting())
    folder.reached(7)
    folder.forget()
    assert [path for path in folder.path.rglob("*") if path.is_file()] == []
    folder.create(KEPT)
    assert folder.position == 0


def test_no_secret_shows_in_a_repr(folder: ProfileFolder) -> None:
    for text in (repr(KEPT), str(KEPT), repr(waiting(b"CANARY")), repr(folder)):
        assert "CANARY" not in text
        for secret in (KEPT.secret, KEPT.kek, KEPT.device_key, KEPT.identity):
            assert secret not in text
