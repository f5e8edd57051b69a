"""A folder of histories only grows: what is damaged is told, and what folds otherwise is named."""

from collections.abc import Iterable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from privity.testing.histories import SUMS, Fold, Happened, Histories

HAPPENED = [
    Happened(1, "book-1", 1, "book-lent.v1", b'{"to":"ann"}'),
    Happened(2, "book-2", 1, "book-lent.v1", '{"to":"Zo\u00eb"}'.encode()),
    Happened(3, "book-1", 2, "book-returned.v1", b"{}"),
]


class Shelf(Enum):
    TOP = "top"


@dataclass
class Book:
    """With everything that a state may hold."""

    events: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    at: datetime = datetime(2026, 3, 1, tzinfo=UTC)
    cover: bytes = b"\0"
    shelf: Shelf = Shelf.TOP
    notes: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"long": tuple(range(50))})


def fold(happened: Iterable[Happened], book: type[Any] = Book, **row: Any) -> Fold:
    """States, one view with a row for each event, and one without any."""
    states: dict[str, Any] = {}
    rows = []
    for each in happened:
        state = states.setdefault(each.stream, book())
        state.events.append(each.name)
        state.names.add(each.data.decode())
        rows.append({"position": each.position, "text": each.data.decode() * 20, "at": [1, 2]} | row)
    return Fold(states, {"events": reversed(rows), "lost": []})


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    """One with three events."""
    made = Histories(tmp_path / "histories")
    assert made.add("books", HAPPENED, fold, readable=True) == 3
    return made


def test_events_come_back_byte_for_byte_and_fold_to_the_same(histories: Histories) -> None:
    assert list(histories.events("books")) == HAPPENED
    assert histories.names() == ["books"]
    assert histories.differences("books", fold) == []
    assert histories.damage() == []
    shown = histories.folds("books")
    assert shown.states["book-1"]["events"] == ["book-lent.v1", "book-returned.v1"]  # type: ignore[index,call-overload]
    assert all(len(str(row)) < 150 for row in shown.rows["events"])


def test_a_field_or_a_column_more_changes_nothing_and_one_less_does(histories: Histories) -> None:
    more = make_dataclass("Book", [("colour", str, "red")], bases=(Book,), namespace={"__module__": Book.__module__})
    assert histories.differences("books", lambda happened: fold(happened, more, colour="red")) == []
    less = make_dataclass(
        "Book", [("events", list, field(default_factory=list)), ("names", set, field(default_factory=set))]
    )
    less.__module__ = Book.__module__
    found = histories.differences("books", lambda happened: fold(happened, less))
    assert all("shelf is '(no such field any more)', and was 'top'" in each for each in found)
    assert len(found) == 2


def test_what_folds_otherwise_is_named(histories: Histories) -> None:
    found = histories.differences("books", lambda happened: fold(list(happened)[:2]))
    assert any("book-1: events is ['book-lent.v1'], and was" in each for each in found)
    assert any('events: there is no row any more like {"at":[1,2],"position":3' in each for each in found)
    assert _with_a_row(histories) == ["lost: there was no row like {}"]
    gone = histories.differences("books", lambda happened: fold([each for each in happened if each.position != 2]))
    assert "book-2: it has no state now" in gone


def _with_a_row(histories: Histories) -> list[str]:
    """A view that had no rows has one, and there is a new view, which is nobody's business."""

    def found(happened: Iterable[Happened]) -> Fold:
        folded = fold(happened)
        return Fold(folded.states, {**folded.views, "lost": [{"it": 1}], "new": [{"it": 1}]})

    return histories.differences("books", found)


def test_a_large_history_has_digests_alone_and_still_tells(histories: Histories) -> None:
    histories.add("large", HAPPENED, fold)
    assert histories.folds("large").states == histories.folds("large").rows == {}
    found = histories.differences("large", lambda happened: fold(list(happened)[:2]))
    assert any(each.startswith("book-1: it is") for each in found)
    assert "events: its 2 rows are others" in found


def test_what_is_edited_removed_or_slipped_in_is_told(histories: Histories) -> None:
    events = histories.folder / "books.events.jsonl.xz"
    was = events.read_bytes()
    events.write_bytes(was + b"\0\0\0\0")
    assert histories.damage() == ["books.events.jsonl.xz was changed"]
    events.rename(histories.folder / "other.events.jsonl.xz")
    assert histories.damage() == [
        "books.events.jsonl.xz is not there any more",
        f"other.events.jsonl.xz is not in {SUMS}",
    ]


def test_a_history_is_added_once_and_whole(histories: Histories) -> None:
    before = sorted(path.name for path in histories.folder.iterdir())
    with pytest.raises(FileExistsError):
        histories.add("books", HAPPENED[:1], fold)
    with pytest.raises(ValueError, match="letters"):
        histories.add("../books", HAPPENED, fold)
    for wrong in (HAPPENED[1:], [HAPPENED[0], HAPPENED[2]], [HAPPENED[2]]):
        with pytest.raises(ValueError, match="out of line"):
            histories.add("more", wrong, fold)
    with pytest.raises(ZeroDivisionError):
        histories.add("more", HAPPENED, lambda happened: 1 // 0)  # type: ignore[arg-type, return-value]
    assert sorted(path.name for path in histories.folder.iterdir()) == before
    assert histories.differences("books", fold) == []
    assert histories.damage() == []


def test_a_fold_that_changes_on_purpose_is_added_with_its_reason(histories: Histories) -> None:
    def anew(happened: Iterable[Happened]) -> Fold:
        return fold(happened, at=[3])

    assert histories.differences("books", anew) != []
    histories.fold_anew("books", anew, "rows say three", readable=True)
    assert histories.differences("books", anew) == []
    assert histories.differences("books", fold) != []
    assert histories.folds("books").why == "rows say three"
    assert histories.damage() == []
    assert (histories.folder / "books.1.folds.jsonl.xz").exists()
    (histories.folder / "books.1.folds.jsonl.xz").unlink()
    assert histories.damage() == ["books.1.folds.jsonl.xz is not there any more"]
    with pytest.raises(FileNotFoundError):
        histories.fold_anew("none", anew, "there is none")
