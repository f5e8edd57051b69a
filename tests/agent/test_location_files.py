"""The fold of a location: any order leaves the same versions, nothing that nobody saw is lost, names are checked."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.agent.location_files import (
    MAX_ENTRIES,
    Body,
    Change,
    Entry,
    Folder,
    Put,
    Removed,
    Whole,
    check_name,
    fold,
    read_body,
    read_version,
    shown_name,
    write_body,
)
from privity.agent.location_line import Line
from privity.agent.location_writing import check_stands
from privity.encoding import b64, sha256
from privity.errors import ForgedRecord, ForkedLog, Malformed

HASH = b64(sha256(b"hello"))
WHOLE = Whole(b"k" * 32, 5, HASH)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = ("a", "b/c")


def put(name: str, *replaces: tuple[int, int], object: str = "o" * 26) -> Put:
    return Put(name, replaces, 5, HASH, object, 0, AT)


def change(n: int, *entries: Entry, by: str = "ann", objects: Sequence[str] = ("o" * 26,)) -> Change:
    return Change(n, by, 1, entries, dict.fromkeys(objects, WHOLE))


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """Writers who each saw some beginning of the line, not always all of it, and replace what stood there."""
    line: list[Change] = []
    for n in range(1, draw(st.integers(1, 12)) + 1):
        saw = fold(line[: draw(st.integers(0, n - 1))])
        entries: list[Entry] = []
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)):
            seen = tuple(each.version for each in saw.standing(name))
            entries.append(Removed(name, seen, AT) if draw(st.booleans()) and seen else put(name, *seen))
        line.append(change(n, *entries, by=draw(st.sampled_from(("ann", "bob")))))
    return line


def names(folder: Folder) -> list[tuple[str, str]]:
    return [(each.name, each.id) for each in folder]


@given(histories(), st.randoms())
def test_any_interleaving_leaves_the_same_versions(line: list[Change], random: st.randoms) -> None:  # type: ignore[valid-type]
    shuffled = list(line)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert names(fold(shuffled)) == names(fold(line))
    assert fold(shuffled).objects == fold(line).objects


@given(histories())
def test_a_version_is_gone_exactly_when_somebody_who_had_seen_it_wrote_or_removed_that_name(line: list[Change]) -> None:
    written = {(e.name, (c.n, i)) for c in line for i, e in enumerate(c.entries) if isinstance(e, Put)}
    replaced = {(e.name, v) for c in line for e in c.entries for v in e.replaces}
    assert {(each.name, each.version) for each in fold(line)} == written - replaced


def test_b22_who_had_not_seen_a_version_replaces_nothing_and_both_are_shown() -> None:
    line = [change(1, put("a")), change(2, put("a", (1, 0))), change(3, put("a", (1, 0)), by="bob")]
    standing = fold(line).standing("a")
    assert [each.id for each in standing] == ["2.0", "3.0"]
    assert shown_name(standing[0], standing, "ann@x") == "a (conflict, ann@x, 2026-03-01 12:00:00, 2.0)"
    assert shown_name(standing[1], standing, "bob@x") == "a"
    settled = fold([*line, change(4, put("a", (2, 0), (3, 0)))]).standing("a")
    assert [each.id for each in settled] == ["4.0"]
    assert shown_name(settled[0], settled, "x") == "a"


def test_nothing_is_replaced_under_another_name_and_no_file_stands_in_an_object_of_another_change() -> None:
    folder = fold([change(1, put("a")), change(2, put("b/c", (1, 0))), change(3, put("d", object="p" * 26))])
    assert names(folder) == [("a", "1.0"), ("b/c", "2.0")]


def test_what_one_wrote_is_settled_only_when_the_line_has_that_very_change_and_all_of_it_counts() -> None:
    def line(*changes: Change) -> Line:
        return Line("l", len(changes), changes=list(changes), folder=fold(changes))

    entries = (put("a"), put("b/c"), Removed("d", (), AT))
    own = replace(change(1, *entries), digest="own")
    later = change(2, put("a", (1, 0)), Removed("b/c", ((1, 1),), AT), by="bob")
    check_stands(line(own), 1, "own", entries)
    check_stands(line(own, later), 1, "own", entries)  # replaced is as good
    with pytest.raises(ForgedRecord, match="leaves out change 2"):
        check_stands(line(own), 2, "own", entries)
    with pytest.raises(ForkedLog, match="another change 1"):
        check_stands(line(replace(own, digest="other")), 1, "own", entries)
    with pytest.raises(ForkedLog, match="was there before"):
        check_stands(line(replace(own, objects={})), 1, "own", entries)


def test_entries_read_back_as_they_were_written() -> None:
    entries = (put("a/ä b"), Removed("b", ((1, 0), (2, 12)), AT))
    body = Body(entries, {"o" * 26: WHOLE})
    assert read_body(write_body(body), 3) == body
    with pytest.raises(Malformed):
        read_body(write_body(body), 2)  # it would replace what came with it, or later
    with pytest.raises(Malformed):
        write_body(Body(tuple(put(f"{n}") for n in range(MAX_ENTRIES + 1))))


@pytest.mark.parametrize(
    "bent",
    [
        {"op": "move"},
        {"name": "../a"},
        {"replaces": ["x"]},
        {"replaces": ["0.0"] * 65},
        {"size": -1},
        {"size": "5"},
        {"sha256": "short"},
        {"offset": -1},
        {"offset": 1},
        {"object": "p" * 26},
        {"at": -1},
        {"at": None},
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_one_is_refused(bent: dict[str, object]) -> None:
    said = json.loads(write_body(Body((put("a"),), {"o" * 26: WHOLE})))
    read_body(json.dumps(said).encode(), 3)
    said["entries"][0] |= bent
    with pytest.raises(Malformed):
        read_body(json.dumps(said).encode(), 3)


@pytest.mark.parametrize("bent", [{"key": b64(b"short")}, {"size": -1}, {"sha256": "short"}, {"size": None}], ids=str)
def test_an_object_that_cannot_be_one_is_refused(bent: dict[str, object]) -> None:
    said = json.loads(write_body(Body((), {"o" * 26: WHOLE})))
    read_body(json.dumps(said).encode(), 1)
    said["objects"]["o" * 26] |= bent
    with pytest.raises(Malformed):
        read_body(json.dumps(said).encode(), 1)


def test_a_body_that_is_none_is_refused() -> None:
    for body in (b"", b"[]", b'{"v":2,"objects":{},"entries":[]}', b'{"v":1,"entries":[]}', b"[" * 100_000):
        with pytest.raises(Malformed):
            read_body(body, 1)


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", ".", "a/../b", "a\\b", "a\nb", "\ud800", "x" * 256, "a/" * 600]
)
def test_a_name_that_would_lead_out_of_the_folder_or_is_none_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        check_name(name)
    assert check_name("ä b/c.txt") == "ä b/c.txt"


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "-1.0", "1.x", "\uff11.0", "1.0.0"])
def test_a_version_is_two_numbers(text: str) -> None:
    with pytest.raises(Malformed):
        read_version(text)
    assert read_version("12.3") == (12, 3)
