"""The book of tasks: what a source names, how each step went, when it is tried again, and what a crash leaves."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from privity.agent.daemon import alone
from privity.agent.feed import FIRST_PAUSE as FIRST_RECONNECT
from privity.agent.feed import LONGEST_PAUSE as LONGEST_RECONNECT
from privity.agent.feed import backoff
from privity.agent.profile import TASKS
from privity.agent.tasks import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MAX_DONE,
    MAX_FAILED,
    MAX_OPEN,
    MAX_TRIES,
    Task,
    TaskBook,
    pause,
)
from privity.errors import AlreadyRunning, Busy, ForgedRecord, Malformed, NotFound, RateLimited

NAMED = ("revise", "share/2")


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> Iterator[TaskBook]:
    """An empty book."""
    made = TaskBook(tmp_path, clock)
    yield made
    made.close()


async def nothing() -> None:
    """What a step of these tests does."""


def step(kind: str = NAMED[0], id: str = NAMED[1]) -> Task:
    """A step that a source names."""
    return Task(kind, id, f"{kind} {id}", nothing)


def named(book: TaskBook, *tasks: Task, source: str = "revisions") -> None:
    """The source is asked, and names these."""
    book.found(source, tasks, book.change)


def statuses(book: TaskBook) -> list[tuple[str, str, str, str | None, int]]:
    """Each step, how it is, its last error, and how often it was tried."""
    return [(each.kind, each.id, each.status, each.code, each.tries) for each in book.all()]


def test_a_step_that_is_named_is_to_be_done_then_is_being_done_and_is_done(book: TaskBook) -> None:
    named(book, step())
    assert statuses(book) == [(*NAMED, "todo", None, 0)]
    assert book.due() == {NAMED}
    book.begin(NAMED)
    assert statuses(book) == [(*NAMED, "doing", None, 1)]
    assert book.due() == set()
    book.done(NAMED)
    assert statuses(book) == [(*NAMED, "done", None, 1)]
    named(book)
    assert statuses(book) == [(*NAMED, "done", None, 1)]
    assert book.next_due() is None


def test_a_step_that_failed_is_tried_again_after_pauses_that_double_and_then_waits_for_the_person(
    book: TaskBook, clock: Clock
) -> None:
    named(book, step())
    waited = []
    for number in range(1, MAX_TRIES + 1):
        assert book.due() == {NAMED}
        book.begin(NAMED)
        book.failed(NAMED, Busy())
        named(book, step())  # it is still named, and that changes nothing
        assert statuses(book) == [(*NAMED, "failed", "Busy", number)]
        assert book.due() == set()
        if (seconds := book.next_due()) is not None:
            waited.append(seconds)
            clock.now += seconds
    assert waited == [FIRST_PAUSE * 2**number for number in range(MAX_TRIES - 1)]
    clock.now += 100 * LONGEST_PAUSE
    assert book.due() == set()

    assert book.retry() == 1
    assert statuses(book) == [(*NAMED, "todo", None, 0)]
    assert book.due() == {NAMED}
    assert pause(1000) == LONGEST_PAUSE


def test_an_alarm_is_not_tried_again_by_itself_and_holds_up_no_other(book: TaskBook, clock: Clock) -> None:
    named(book, step(), step(id="other/1"))
    book.begin(NAMED)
    book.failed(NAMED, ForgedRecord())
    clock.now += 100 * LONGEST_PAUSE

    assert statuses(book) == [(*NAMED, "failed", "ForgedRecord", 1), ("revise", "other/1", "todo", None, 0)]
    assert book.due() == {("revise", "other/1")}
    assert book.retry() == 1
    assert book.due() == {NAMED, ("revise", "other/1")}


def test_what_an_agent_was_doing_when_it_was_killed_is_to_be_done_again(book: TaskBook, tmp_path: Path) -> None:
    named(book, step())
    book.begin(NAMED)
    book.close()

    after = TaskBook(tmp_path, Clock())
    assert after.due() == set()
    after.recover()
    assert statuses(after) == [(*NAMED, "todo", None, 1)]
    assert after.due() == {NAMED}
    after.close()


def test_a_step_that_met_nobody_is_put_back_and_that_counts_as_no_try(book: TaskBook) -> None:
    named(book, step())
    book.begin(NAMED)
    book.put_back(NAMED)

    assert statuses(book) == [(*NAMED, "todo", None, 0)]
    assert book.due() == {NAMED}


def test_what_waits_and_is_not_named_any_more_was_done_elsewhere_for_its_own_source_alone(book: TaskBook) -> None:
    named(book, step(), step(id="failing/1"))
    named(book, step("claim", "share/1"), source="claims")
    book.begin(("revise", "failing/1"))
    book.failed(("revise", "failing/1"), RateLimited())

    named(book)

    assert statuses(book) == [
        (*NAMED, "done", None, 0),
        ("revise", "failing/1", "done", None, 1),
        ("claim", "share/1", "todo", None, 0),
    ]


def test_what_was_done_and_is_named_again_is_done_again_but_not_at_once(book: TaskBook, clock: Clock) -> None:
    named(book, step())
    book.begin(NAMED)
    book.done(NAMED)

    named(book, step())

    assert statuses(book) == [(*NAMED, "todo", None, 1)]
    assert (book.due(), book.next_due()) == (set(), FIRST_PAUSE)
    clock.now += FIRST_PAUSE
    assert book.due() == {NAMED}


def test_what_was_set_after_the_source_was_asked_stays(book: TaskBook) -> None:
    named(book, step())
    asked = book.change
    book.begin(NAMED)
    book.done(NAMED)

    book.found("revisions", [step()], asked)  # an answer from before it was done

    assert statuses(book) == [(*NAMED, "done", None, 1)]
    book.found("revisions", [step()], book.change)
    assert statuses(book) == [(*NAMED, "todo", None, 1)]


def test_a_source_that_cannot_be_asked_stands_there_until_it_can(book: TaskBook) -> None:
    book.looked("claims", ForgedRecord())
    book.looked("claims", ForgedRecord())
    assert statuses(book) == [("look", "claims", "failed", "ForgedRecord", 2)]
    assert (book.due(), book.retry()) == (set(), 0)

    book.looked("claims", None)

    assert statuses(book) == []


def test_the_book_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (MAX_OPEN, MAX_DONE) == (10_000, 1_000)
    monkeypatch.setattr("privity.agent.tasks.MAX_OPEN", 5)
    monkeypatch.setattr("privity.agent.tasks.MAX_DONE", 3)
    book = TaskBook(tmp_path)
    tasks = [step(id=f"share/{number}") for number in range(20)]

    named(book, *tasks)
    assert [each.id for each in book.all()] == [f"share/{number}" for number in range(5)]
    named(book, *tasks[5:])  # the first five were done

    assert [each.id for each in book.all() if each.status == "done"] == [f"share/{number}" for number in (2, 3, 4)]
    assert [each.id for each in book.all() if each.status == "todo"] == [f"share/{number}" for number in range(5, 10)]
    named(book, Task("claim", "x", "a" * 1000, nothing), source="claims")
    assert len(book.all()) == 9, "one source takes no room from another"
    book.close()


def test_what_is_given_up_takes_no_room_from_what_can_be_done_and_is_bounded_too(
    book: TaskBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_FAILED == 10_000
    monkeypatch.setattr("privity.agent.tasks.MAX_OPEN", 2)
    monkeypatch.setattr("privity.agent.tasks.MAX_FAILED", 3)
    garbage = [step(id=f"garbage/{number}") for number in range(5)]
    for each in garbage:
        named(book, *garbage[: garbage.index(each) + 1])
        book.begin((each.kind, each.id))
        book.failed((each.kind, each.id), ForgedRecord())
    named(book, *garbage, step())

    assert statuses(book) == [
        *[("revise", f"garbage/{number}", "failed", "ForgedRecord", 1) for number in (2, 3, 4)],
        ("revise", "garbage/0", "todo", None, 0),  # it was forgotten first
        (*NAMED, "todo", None, 0),
    ]
    assert NAMED in book.due()


def test_a_step_that_another_device_seems_to_have_done_is_done_when_it_is_named_no_more_and_else_is_tried_again(
    book: TaskBook, clock: Clock
) -> None:
    named(book, step(), step(id="other/1"))
    for tries in range(1, MAX_TRIES):
        assert NAMED in book.due()
        book.begin(NAMED)
        book.put_off(NAMED, NotFound())
        named(book, step(), step(id="other/1"))
        assert statuses(book)[0] == (*NAMED, "todo", None, tries)
        assert NAMED not in book.due()
        clock.now += pause(tries)
    book.begin(NAMED)
    book.put_off(NAMED, NotFound())
    book.put_off(("revise", "other/1"), NotFound())
    named(book, step())

    assert statuses(book) == [
        (*NAMED, "failed", "NotFound", MAX_TRIES),
        ("revise", "other/1", "done", None, 0),
    ]
    clock.now += 100 * LONGEST_PAUSE
    assert book.due() == set()


def test_the_book_is_for_the_owners_eyes_and_shows_no_codes_of_the_terminal(book: TaskBook, tmp_path: Path) -> None:
    named(book, Task(*NAMED, "a share of \x1b[2Jeve\n" + "a" * 1000, nothing))

    (entry,) = book.all()
    assert entry.about.startswith("a share of \ufffd[2Jeve\ufffdaaa")
    assert len(entry.about) == 200
    assert stat.S_IMODE((tmp_path / TASKS).stat().st_mode) == 0o600


def test_a_damaged_book_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / TASKS).write_bytes(b"no database" * 1000)

    with pytest.raises(Malformed, match="the profile's tasks"):
        TaskBook(tmp_path).all()


def test_one_agent_holds_a_profile_at_a_time(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(AlreadyRunning, match="an agent runs on"), alone(tmp_path):
        pytest.fail("two hold it")
    with alone(tmp_path):
        assert (tmp_path / "agent.lock").exists()


def test_a_home_that_is_away_is_tried_ever_more_slowly_within_bounds() -> None:
    pauses = backoff()
    waited = [next(pauses) for _ in range(50)]

    assert waited[0] <= FIRST_RECONNECT
    assert all(LONGEST_RECONNECT / 2 <= each <= LONGEST_RECONNECT for each in waited[10:])
