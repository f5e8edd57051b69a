"""A device's memory: only what is newer takes the place of what was seen, and all of it outlives the process."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from privity.agent.memory import KNOWN_CHECKPOINTS, FeedMark, Mark, Memory, Seen, check_not_older
from privity.errors import ForgedRecord, Malformed, RolledBack


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    kept = Memory(tmp_path / "profile" / "memory.db")
    yield kept
    kept.close()


def test_it_begins_empty(memory: Memory) -> None:
    assert memory.checkpoint is None
    assert memory.feed == FeedMark()
    assert memory.seen("item", "a") is None
    assert memory.pending() == []


def test_the_newest_checkpoint_is_the_largest(memory: Memory) -> None:
    memory.keep_checkpoints(Mark(7, b"seven", "note 7"), Mark(3, b"three", "note 3"))
    assert memory.checkpoint == Mark(7, b"seven", "note 7")
    assert (memory.root(3), memory.root(4)) == (b"three", None)


def test_a_checkpoint_keeps_the_root_that_was_checked_first(memory: Memory) -> None:
    memory.keep_checkpoints(Mark(7, b"seven", "note"))
    memory.keep_checkpoints(Mark(7, b"other", "note"))
    assert memory.root(7) == b"seven"


def test_old_checkpoints_are_forgotten_beyond_the_bound(memory: Memory) -> None:
    memory.keep_checkpoints(*(Mark(size, b"root", "note") for size in range(1, KNOWN_CHECKPOINTS + 11)))
    assert memory.root(10) is None
    assert memory.root(11) == b"root"


def test_what_waits_to_be_checked_waits_until_it_is_settled(memory: Memory) -> None:
    memory.pend("one")
    memory.pend("two")
    memory.pend("one")
    memory.settle(["one"])
    assert memory.pending() == ["two"]


def test_the_feed_is_not_read_backwards(memory: Memory) -> None:
    memory.keep_feed([FeedMark(9, 4, "link")])
    memory.keep_feed([FeedMark(5, 2, "older")])
    assert memory.feed == FeedMark(9, 4, "link")


def test_the_feed_can_be_read_again_from_a_place_nearby(memory: Memory) -> None:
    memory.keep_feed([FeedMark(10 * seq, seq, f"link {seq}") for seq in range(1, 201)])
    assert memory.feed_until(5) == FeedMark()
    assert memory.feed_until(1500) == FeedMark(1280, 128, "link 128")
    assert memory.feed == FeedMark(2000, 200, "link 200")
    memory.keep_feed([])
    assert memory.feed == FeedMark(2000, 200, "link 200")


def test_a_newer_version_takes_the_place_of_an_older_and_never_the_other_way(memory: Memory) -> None:
    memory.saw("item", "a", 2, "two")
    memory.saw("item", "a", 1, "one")
    assert memory.seen("item", "a") == Seen("item", "a", "", 2, "two")
    memory.saw_all("item", [("a", 3, "three"), ("b", 1, "b")])
    assert [each.digest for each in memory.all_in("item", "")] == ["b", "three"]


def test_a_digest_fills_in_where_only_the_number_was_known(memory: Memory) -> None:
    memory.saw("item", "a", 2)
    memory.saw("item", "a", 2, "two")
    memory.saw("item", "a", 2, "another")
    seen = memory.seen("item", "a")
    assert seen is not None
    assert seen.digest == "two"


def test_an_end_that_is_only_said_can_be_said_again_and_a_proven_one_stays(memory: Memory) -> None:
    memory.saw("item", "a", 1, "one")
    memory.said_to_end("item", "a", 5)
    memory.ended("item", "a", 6)
    memory.said_to_end("item", "a", 7)
    assert memory.seen("item", "a") == Seen("item", "a", "", 1, "one", 6, True)


def test_things_are_found_by_the_beginning_of_their_id_and_by_their_place(memory: Memory) -> None:
    memory.saw("share", "abc", 1, place="here")
    memory.saw("share", "abd", 2, place="there")
    assert [each.id for each in memory.begins("share", "ab")] == ["abc", "abd"]
    assert [each.id for each in memory.begins("share", "abd")] == ["abd"]
    assert [each.id for each in memory.all_in("share", "there")] == ["abd"]


def test_what_is_served_may_not_be_older_nor_other_nor_over() -> None:
    before = Seen("item", "a", "", 2, "two")
    check_not_older(None, 1, "any")
    check_not_older(before, 2, "two")
    check_not_older(before, 3, "three")
    check_not_older(Seen("item", "a", "", 2, ""), 2, "two")
    with pytest.raises(RolledBack, match="version 1 of item a; version 2"):
        check_not_older(before, 1, "one")
    with pytest.raises(ForgedRecord):
        check_not_older(before, 2, "another")
    with pytest.raises(RolledBack, match="had ended"):
        check_not_older(Seen("item", "a", "", 2, "two", 5, True), 3, "three")


def test_only_its_owner_reads_it_and_another_process_finds_it(memory: Memory, tmp_path: Path) -> None:
    memory.saw("item", "a", 2, "two")
    path = tmp_path / "profile" / "memory.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    look = (
        "from pathlib import Path; from privity.agent.memory import Memory; "
        f"kept = Memory(Path({str(path)!r})); print(kept.seen('item', 'a').version); kept.close()"
    )
    shown = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "2"


def test_forgotten_it_begins_anew(memory: Memory, tmp_path: Path) -> None:
    memory.saw("item", "a", 2, "two")
    memory.forget()
    assert list((tmp_path / "profile").iterdir()) == []
    assert memory.seen("item", "a") is None


def test_a_damaged_file_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(Malformed, match="memory"):
        Memory(path).seen("item", "a")
