"""The cache: rows found again by other questions, sealed as they came, bounded, and rid of what ended."""

import json
import stat
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from privity.agent import cache as caches
from privity.agent.cache import Cache, Erased, Parted, Served
from privity.agent.shelves import Done, Row
from privity.encoding import digest
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.pieces import RemovePiece
from privity.messages.shares import ClaimShare, ReviseShare
from privity.messages.views import (
    Ask,
    AskCheckpoint,
    AskFeed,
    AskFiles,
    AskItems,
    AskKeys,
    AskOffer,
    AskPieces,
    AskShares,
    AskVaults,
)
from tests.examples import ANN, BOB

ME, OTHER = ANN.account, BOB.account
FIRST, SECOND = "a" * 26, "b" * 26


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty one."""
    return Cache(tmp_path / "profile" / "cache.db")


def blobs(*texts: str) -> dict[str, bytes]:
    return {digest(text.encode()): text.encode() for text in texts}


def item(id: str, text: str, version: int = 1) -> Row:
    content, wrap = blobs(text, f"{text} wrap")
    more = {"record": None, "signature": None, "kept": None}
    return {"item": id, "version": version, "content": content, "wrap": wrap, **more}


def share(id: str, text: str, **other: Any) -> Row:
    row = {"share": id, "connection": "c", "item": FIRST, "owner": OTHER, "claimed": True, "expires": None}
    content, wrap = blobs(text, f"{text} wrap")
    return {**row, "content": content, "wrap": wrap, "terms": None, "accepted": None, "keep": False, **other}


def served(ask: Ask, *rows: Row, texts: tuple[str, ...] = (), **other: Any) -> Served:
    sealed = blobs(*texts, *(f"{text} wrap" for text in texts))
    return Served(**{"ask": ask, "rows": rows, "sealed": sealed, "whole": True, "fresh": False, "at": 1000.0} | other)


def found(cache: Cache, ask: Ask, **how: Any) -> list[Row] | None:
    kept = cache.answer(ask, ME, **how)
    return None if kept is None else list(kept.rows)


def everything(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.iterdir())


def test_a_list_serves_what_is_asked_by_the_beginning_of_an_id_and_says_as_of_when(cache: Cache) -> None:
    rows = item(FIRST, "first"), item(SECOND, "second")
    cache.keep([served(AskItems(), *rows, texts=("first", "second"))], ME)

    kept = cache.answer(AskItems(id="b", limit=2), ME)
    assert kept is not None
    assert (list(kept.rows), kept.sealed, kept.at) == ([rows[1]], blobs("second", "second wrap"), 1000.0)
    assert found(cache, AskItems()) == list(rows)
    assert found(cache, AskItems(id="c")) == []


def test_what_was_never_asked_for_is_not_there_and_one_row_is_no_list(cache: Cache) -> None:
    assert found(cache, AskItems()) is None
    cache.keep([served(AskItems(id="a", limit=2), item(FIRST, "first"), texts=("first",))], ME)
    assert found(cache, AskItems(id=FIRST)) == [item(FIRST, "first")]
    assert found(cache, AskItems(id="c")) is None
    assert found(cache, AskItems()) is None


def test_a_newer_answer_takes_the_place_of_the_older_one_and_what_it_leaves_out_is_gone(cache: Cache) -> None:
    cache.keep([served(AskItems(), item(FIRST, "first"), item(SECOND, "second"), texts=("first", "second"))], ME)
    cache.keep([served(AskItems(id="a"), item(FIRST, "newer", 2), texts=("newer",), at=2000.0)], ME)
    assert found(cache, AskItems()) == [item(FIRST, "newer", 2), item(SECOND, "second")]
    cache.keep([served(AskItems(id="b"))], ME)
    assert found(cache, AskItems()) == [item(FIRST, "newer", 2)]
    cache.keep([served(AskItems())], ME)
    assert found(cache, AskItems()) == []
    assert b"newer" not in everything(cache._path)


def test_commands_that_took_effect_or_wait_show_in_the_rows(cache: Cache) -> None:
    cache.keep([served(AskItems(), item(FIRST, "first"), texts=("first",))], ME)
    edited, added = item(FIRST, "edited", 2), item(SECOND, "added")
    steps = [
        Done(EditItem(FIRST, 2, edited["content"], edited["wrap"]), [b"edited", b"edited wrap"]),
        Done(AddItem(SECOND, added["content"], added["wrap"]), [b"added", b"added wrap"]),
    ]

    kept = cache.answer(AskItems(), ME, waiting=steps)
    assert kept is not None
    assert (list(kept.rows), kept.sealed) == (
        [edited, added],
        blobs("edited", "edited wrap", "added", "added wrap", "first", "first wrap"),
    )
    assert found(cache, AskItems(id="b"), waiting=[*steps, Done(RemoveItem(SECOND), [])]) == []
    assert found(cache, AskItems()) == [item(FIRST, "first")], "what waits is not kept as done"

    cache.keep(steps, ME)
    kept = cache.answer(AskItems(), ME)
    assert kept is not None
    assert (list(kept.rows), kept.sealed) == ([edited, added], blobs("edited", "edited wrap", "added", "added wrap"))
    cache.keep([Done(RemoveItem(FIRST), [])], ME)
    assert found(cache, AskItems()) == [added]


def test_a_share_is_kept_when_it_is_claimed_and_its_sealed_key_never(cache: Cache) -> None:
    new, claimed = share(FIRST, "new", claimed=False), share(SECOND, "old")
    cache.keep([served(AskShares(), new, claimed, texts=("new", "old"), fresh=True)], ME)
    assert found(cache, AskShares(), fresh=True) == [claimed]
    cache.keep([served(AskShares(bare=True), new, claimed, texts=())], ME)  # without what is sealed it is not kept
    assert found(cache, AskShares(), fresh=True) == [claimed]
    assert cache.answer(AskShares(bare=True), ME) is None
    assert b"new wrap" not in everything(cache._path)

    rewrapped = digest(b"rewrapped")
    steps = [
        served(AskShares(), new, claimed, texts=("new", "old"), fresh=True),
        Done(ClaimShare(FIRST, rewrapped), []),
    ]
    cache.keep(steps, ME)
    assert found(cache, AskShares(direction="incoming"), fresh=True) == [claimed]
    outgoing = share("c" * 26, "mine", owner=ME, claimed=False)
    cache.keep([served(AskShares(), claimed, outgoing, texts=("old", "mine"))], ME)
    assert found(cache, AskShares(direction="outgoing", item=FIRST)) == [outgoing]
    cache.keep([Done(_revise("c" * 26), [])], ME)
    assert found(cache, AskShares()) == [claimed], "what it is now, the next answer tells"


def test_a_share_that_expires_keeps_its_row_alone(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    row = share(FIRST, "CANARY", expires=soon.isoformat())
    kept_for_good = share(SECOND, "copy", expires=soon.isoformat(), keep=True)
    cache.keep([served(AskShares(), row, kept_for_good, texts=("CANARY", "copy"))], ME)
    assert b"CANARY" in everything(cache._path)

    now = time.time()
    monkeypatch.setattr(caches.time, "time", lambda: now + 3700)
    kept = cache.answer(AskShares(), ME)
    assert kept is not None
    assert (list(kept.rows), kept.sealed) == ([row, kept_for_good], blobs("copy", "copy wrap"))
    assert b"CANARY" not in everything(cache._path)


def test_what_is_erased_is_not_in_the_file_any_more(cache: Cache) -> None:
    cache.keep([served(AskItems(), item(FIRST, "CANARY" * 1000), item(SECOND, "b"), texts=("CANARY" * 1000, "b"))], ME)
    assert b"CANARY" in everything(cache._path)
    cache.erase([digest(b"CANARY" * 1000)])
    assert found(cache, AskItems()) == [item(SECOND, "b")]
    assert b"CANARY" not in everything(cache._path)
    late = served(AskItems(), item(FIRST, "x"), item(SECOND, "b"), texts=("x", "b"))
    cache.keep([late, Erased([digest(b"x")])], ME)
    assert found(cache, AskItems()) == [item(SECOND, "b")], "it was served before it was erased"


def test_a_list_that_lost_what_was_erased_is_whole_no_more_where_nobody_knows_what_is_lacking(cache: Cache) -> None:
    first, second = ({"of": FIRST, "file": id, "content": digest(id.encode())} for id in (FIRST, SECOND))
    cache.keep([served(AskFiles(of=FIRST), first, second, texts=(FIRST, SECOND))], ME)
    assert found(cache, AskFiles(of=FIRST)) == [first, second]
    cache.erase([digest(FIRST.encode())])
    assert found(cache, AskFiles(of=FIRST)) is None


def test_who_is_no_delegate_any_more_keeps_nothing_of_it(cache: Cache) -> None:
    mine, theirs = item(FIRST, "mine"), item(SECOND, "CANARY")
    vault = {"principal": OTHER, "wrap": digest(b"KEY-CANARY")}
    kept = [
        served(AskItems(), mine, texts=("mine",)),
        served(AskItems(principal=OTHER), theirs, texts=("CANARY",)),
        served(AskVaults(principal=OTHER), vault, texts=("KEY-CANARY",)),
    ]
    cache.keep(kept, ME)
    assert found(cache, AskItems(principal=OTHER)) == [theirs]
    cache.part()
    assert (found(cache, AskItems(principal=OTHER)), found(cache, AskVaults(principal=OTHER))) == (None, None)
    assert found(cache, AskItems()) == [mine]
    assert b"CANARY" not in everything(cache._path)
    cache.keep([*kept, Parted()], ME)
    assert found(cache, AskItems(principal=OTHER)) is None, "it was served before"


def test_secrets_of_the_moment_and_what_only_a_fresh_question_releases_are_never_kept(cache: Cache) -> None:
    asked: Mapping[Ask, bool] = {
        AskOffer(id=FIRST, token="t" * 43): False,
        AskCheckpoint(): False,
        AskKeys(): False,
        AskFiles(of=FIRST): True,
    }
    for ask, fresh in asked.items():
        cache.keep([served(ask, {"content": digest(b"CANARY")}, texts=("CANARY",), fresh=fresh)], ME)
        assert found(cache, ask) is None
    assert b"CANARY" not in everything(cache._path)


def test_another_view_is_kept_answer_by_answer(cache: Cache) -> None:
    ask, row = AskFiles(of=FIRST, id=SECOND, limit=1), {"of": FIRST, "file": SECOND, "content": digest(b"file")}
    cache.keep([served(ask, row, texts=("file",)), served(AskFiles(of=SECOND), whole=False)], ME)
    kept = cache.answer(ask, ME)
    assert kept is not None
    assert (list(kept.rows), kept.sealed) == ([row], blobs("file"))
    assert found(cache, AskFiles(of=FIRST)) is None
    assert found(cache, AskFiles(of=SECOND)) is None, "there were more pages"


def test_pieces_are_asked_for_by_owner_and_a_command_that_changes_them_lets_go_of_them(cache: Cache) -> None:
    mine = {"piece": "p", "owner": ME, "piece_name": "phone", "wrap": "w", "stored": False}
    theirs = [{**mine, "piece": name, "owner": OTHER, "piece_name": name, "wrap": None} for name in ("mail", "phone")]
    cache.keep([served(AskPieces(), mine), served(AskPieces(owner=OTHER), *theirs, fresh=True)], ME)
    assert found(cache, AskPieces(piece_name="phone")) == [mine]
    assert found(cache, AskPieces(owner=OTHER, piece_name="phone"), fresh=True) == theirs[1:]
    assert found(cache, AskPieces(owner="c" * 52)) is None
    cache.keep([Done(RemovePiece("p", 2), [])], ME)
    assert found(cache, AskPieces()) is None


def test_the_feed_is_there_only_without_a_gap(cache: Cache) -> None:
    lines = [{"position": 10 * number, "seq": number, "event": "x"} for number in range(1, 6)]
    cache.keep([served(AskFeed(), *lines[:2]), served(AskFeed(after=20), *lines[2:3])], ME)
    assert cache.feed(0, 30) == lines[:3]
    assert cache.feed(20, 30) == lines[2:3]
    assert cache.feed(25, 30) == lines[2:3]
    assert cache.feed(0, 50) is None
    cache.keep([served(AskFeed(after=40), lines[4])], ME)
    assert cache.feed(0, 50) is None
    assert cache.feed(40, 50) is None


def test_the_oldest_goes_where_there_is_too_much(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "MAX_SEALED_BYTES", 250)
    for number, id in enumerate((FIRST, SECOND, "c" * 26)):
        text = id[0] * 100
        cache.keep([served(AskItems(id=id), item(id, text), texts=(text,), at=1000.0 + number)], ME)
    assert [found(cache, AskItems(id=id)) is not None for id in (FIRST, SECOND, "c" * 26)] == [False, False, True]
    monkeypatch.setattr(caches, "MAX_SEALED_BYTES", 10**6)
    monkeypatch.setattr(caches, "MAX_ROWS", 2)
    cache.keep([served(AskItems(), *(item(each * 26, each) for each in "abc"), texts=("a", "b", "c"))], ME)
    assert found(cache, AskItems()) is None, "a list that lost a row is not whole"
    monkeypatch.setattr(caches, "MAX_ANSWER", 10)
    cache.keep([served(AskItems(), item("d" * 26, "d" * 11), texts=("d" * 11,))], ME)
    assert found(cache, AskItems(id="d" * 26)) is None


def test_a_damaged_file_is_begun_anew_and_only_the_owner_may_read_it(cache: Cache) -> None:
    cache.keep([served(AskItems(), item(FIRST, "first"), texts=("first",))], ME)
    assert {stat.S_IMODE(each.stat().st_mode) for each in cache._path.parent.iterdir()} == {0o600}
    cache.close()
    cache._path.write_bytes(b"no database" * 1000)
    assert found(cache, AskItems()) is None
    cache.keep([served(AskItems(), item(FIRST, "first"), texts=("first",))], ME)
    assert found(cache, AskItems()) == [item(FIRST, "first")]
    with cache._open() as db:
        db.execute("UPDATE rows SET data = ?", (json.dumps([7]),))
    assert found(cache, AskItems(id="a")) is None
    cache.forget()
    assert not list(cache._path.parent.iterdir())


def _revise(share: str) -> ReviseShare:
    any_digest = digest(b"")
    return ReviseShare(
        share=share,
        version=2,
        generation=2,
        manifest="AAAA",
        signature="A" * 86,
        content=any_digest,
        owner_wrap=any_digest,
        recipient_wrap=any_digest,
        expires=None,
        terms=None,
        terms_hash=None,
        reshare=0,
        keep=False,
    )
