"""What a device knows to be erased: just that object of just that thing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from privity.agent.erasing import erased_among, remember
from privity.agent.memory import Memory
from privity.messages.envelope import FeedEntry
from privity.messages.views import ItemRow
from tests.examples import ANN, NOW, sealed, short_id

MINE, OTHER = short_id("item"), short_id("other item")
CONTENT, WRAP, NEWER = sealed("content"), sealed("wrap"), sealed("newer content")
SERVED = {CONTENT: b"content", WRAP: b"wrap", NEWER: b"newer content"}


def row(item: str, content: str) -> ItemRow:
    """An item as it is served."""
    return ItemRow(item=item, version=1, content=content, wrap=WRAP)


def line(event: str, position: int, **refs: str) -> FeedEntry:
    """A line of the feed."""
    return FeedEntry(position, event, NOW, ANN.account, refs)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """That of a device whose feed told, at position 7, that an item's first content was erased."""
    made = Memory(tmp_path / "memory.db")
    remember(made, line("sealed-erased", 7, id=MINE, digests=f"{CONTENT} {sealed('older')}"))
    remember(made, line("item-edited", 8, item=OTHER, digests=NEWER))
    yield made
    made.close()


def test_the_object_that_was_erased_is_known_and_the_one_that_stands_is_not(memory: Memory) -> None:
    assert erased_among(memory, [row(MINE, CONTENT)], SERVED, 7) == {CONTENT}
    assert erased_among(memory, [row(MINE, NEWER)], SERVED, 9) == frozenset()
    assert erased_among(memory, [row(MINE, CONTENT)], {WRAP: b"wrap"}, 9) == frozenset()


def test_an_equal_object_of_another_thing_is_not_accused(memory: Memory) -> None:
    """Who was given a copy could bring it, erase it, and so take the word of the one who stands."""
    assert erased_among(memory, [row(OTHER, CONTENT)], SERVED, 9) == frozenset()
    assert erased_among(memory, [row(OTHER, CONTENT), row(MINE, NEWER)], SERVED, 9) == frozenset()


def test_what_was_erased_after_the_question_was_asked_may_be_in_the_answer(memory: Memory) -> None:
    """Another process of this profile has read on."""
    assert erased_among(memory, [row(MINE, CONTENT)], SERVED, 6) == frozenset()
