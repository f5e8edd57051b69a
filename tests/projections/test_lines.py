"""The lines view: what was sent over a connection, numbered, also after it has ended; and the numbered feed."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest
import sqlalchemy as sa

from privity.crypto.feed import feed_link
from privity.crypto.sharing import read_manifest
from privity.encoding import digest, unb64
from privity.messages.connections import ConnectionRemoved
from privity.messages.delegations import ItemKept
from privity.messages.items import ItemAdded, ItemEdited
from privity.messages.pieces import PieceGranted, PieceRemoved, PieceSet, RulesSet
from privity.messages.recorded import Positioned
from privity.messages.views import AskFeed, AskLine
from projections import projector as projecting
from projections.changes import instant
from projections.desk import VIEWS, Desk, Page
from projections.feed import entry
from projections.projector import NAME, Projector, rows, snapshot
from projections.tables import metadata, progress
from tests.examples import NOW
from tests.handlers.people import Citizen
from tests.handlers.story import Story


def ask(engine: sa.Engine, ask: Any, by: Citizen) -> Page[Any]:
    """What a view answers somebody."""
    with engine.connect() as db:
        return VIEWS[type(ask)](ask, Desk(by.account, NOW, db, fresh=False, mail_token=str))


def all_rows(engine: sa.Engine) -> list[tuple[str, tuple[object, ...]]]:
    with snapshot(engine) as db:
        return list(rows(db))


def positions(recorded: Sequence[Positioned], name: str) -> list[int]:
    """Where events of that name stand."""
    return [each.position for each in recorded if each.event.name == name]


# Lines.


def test_a_line_has_what_ended_too_with_the_position_of_its_end(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    Projector(each_views).apply(recorded)
    over = story.invitation.connection
    sent = list(ask(each_views, AskLine(connection=over), story.ann).rows)

    assert [(row.n, row.sender, row.share == story.share.id) for row in sent] == [
        (1, story.ann.account, True),
        (2, story.ann.account, False),
        (3, story.ann.account, True),
    ]
    assert [row.ended for row in sent] == [None, positions(recorded, "share-removed")[0], None]
    revised = positions(recorded, "share-revised")[:1]
    assert [row.position for row in sent] == positions(recorded, "share-created")[:2] + revised
    first, second, third = (read_manifest(unb64(row.manifest)) for row in sent)
    assert (first.n, first.prev) == (1, None)
    assert (second.n, second.prev) == (2, digest(unb64(sent[0].manifest)))
    assert (third.n, third.prev, third.generation) == (3, digest(unb64(sent[1].manifest)), 2)
    assert list(ask(each_views, AskLine(connection=over), story.bob).rows) == sent
    assert ask(each_views, AskLine(connection=over), story.eve).rows == ()


def test_the_end_of_a_connection_ends_what_stood_over_it_and_both_ends_still_see_the_line(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    Projector(each_views).apply(recorded)
    removed = next(each for each in recorded if each.event.name == "connection-removed")
    assert isinstance(removed.event, ConnectionRemoved)
    over = removed.event.connection
    (row,) = ask(each_views, AskLine(connection=over), story.eve).rows
    assert (row.n, row.sender, row.ended) == (1, story.ann.account, removed.position)
    assert ask(each_views, AskLine(connection=over), story.ann).rows == (row,)
    assert ask(each_views, AskLine(connection=over), story.bob).rows == ()


def test_what_ended_before_its_connection_keeps_the_position_of_its_own_end(
    views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    Projector(views).apply(recorded)
    removed = next(each for each in recorded if each.event.name == "connection-removed")
    assert isinstance(removed.event, ConnectionRemoved)
    last, over = recorded[-1].position, story.invitation.connection
    Projector(views).apply([replace(removed, position=last + 1, event=replace(removed.event, connection=over))])
    ended = [row.ended for row in ask(views, AskLine(connection=over), story.bob).rows]
    assert ended == [last + 1, positions(recorded, "share-removed")[0], last + 1]


# The numbered feed.


def test_every_line_of_a_feed_is_numbered_and_hashed_onto_the_one_before(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    middle = len(recorded) // 2
    projector = Projector(each_views)
    projector.apply(recorded[:middle])
    projector.apply(recorded[middle:])
    for one in (story.ann, story.bob, story.eve):
        link = ""
        shown = ask(each_views, AskFeed(limit=200), one).rows
        assert len(shown) > 5
        for number, line in enumerate(shown, 1):
            at = instant(line.at)
            link = feed_link(one.account, number, link, line.position, line.event, at, line.actor, line.refs)
            assert (line.seq, line.link) == (number, link)


def test_a_batch_reads_the_heads_of_all_its_feeds_at_once(views: sa.Engine, recorded: Sequence[Positioned]) -> None:
    projector = Projector(views)
    asked: list[str] = []
    sa.event.listen(views, "before_cursor_execute", lambda _c, _r, statement, *_: asked.append(statement))
    projector.apply(recorded)
    assert [each.split()[0] for each in asked if "feed_heads" in each] == ["SELECT", "INSERT"]


def test_the_feed_says_which_version_of_an_item(recorded: Sequence[Positioned]) -> None:
    for happened in recorded:
        match happened.event:
            case ItemAdded():
                assert entry(happened).refs["version"] == "1"
            case ItemEdited(version=version):
                assert entry(happened).refs["version"] == str(version) == "2"
            case PieceSet(version=version) | PieceRemoved(version=version) | RulesSet(version=version):
                assert entry(happened).refs["version"] == str(version)
            case PieceGranted(reader=reader, generation=generation):
                refs = entry(happened).refs
                assert (refs["reader"], refs["generation"]) == (reader, str(generation))
            case ItemKept(version=version):
                assert entry(happened).refs["version"] == str(version)
            case _:
                assert "version" not in entry(happened).refs


def test_a_live_line_has_no_number(recorded: Sequence[Positioned]) -> None:
    assert {(entry(each).seq, entry(each).link) for each in recorded} == {(0, "")}


# Views of another shape.


def test_views_of_another_fold_are_dropped_and_folded_anew(
    each_views: sa.Engine, recorded: Sequence[Positioned], monkeypatch: pytest.MonkeyPatch
) -> None:
    Projector(each_views).apply(recorded)
    whole = all_rows(each_views)
    with monkeypatch.context() as older:
        older.setattr(projecting, "NAME", "views-1-older")
        Projector(each_views).apply(recorded[:10])
    with each_views.begin() as db:
        db.execute(sa.text("ALTER TABLE items ADD COLUMN colour TEXT"))

    projector = Projector(each_views)
    assert projector.position == 0
    assert {table for table, _ in all_rows(each_views)} == {"progress"}
    projector.catch_up(lambda position, limit: [each for each in recorded if each.position > position][:limit])
    assert all_rows(each_views) == whole


def test_views_of_privity_0_1_are_folded_anew(views: sa.Engine, recorded: Sequence[Positioned]) -> None:
    with views.begin() as db:
        db.execute(sa.text("CREATE TABLE progress (name TEXT PRIMARY KEY, position BIGINT NOT NULL)"))
        db.execute(sa.text("INSERT INTO progress VALUES ('views', 99)"))
        db.execute(sa.text("CREATE TABLE feed (account TEXT, position BIGINT, event TEXT, PRIMARY KEY (account))"))
        db.execute(sa.text("INSERT INTO feed VALUES ('somebody', 7, 'item-added')"))
    projector = Projector(views)
    projector.apply(recorded)
    assert [row[1] for row in all_rows(views) if row[0] == "progress"] == [(NAME, recorded[-1].position)]
    assert "somebody" not in {row[1][0] for row in all_rows(views) if row[0] == "feed"}


def test_what_a_start_that_died_left_half_dropped_is_dropped_by_the_next(
    views: sa.Engine, recorded: Sequence[Positioned]
) -> None:
    Projector(views).apply(recorded)
    whole = all_rows(views)
    with views.begin() as db:
        progress.drop(db)
        metadata.tables["items"].drop(db)
    projector = Projector(views)
    projector.apply(recorded)
    assert all_rows(views) == whole


def test_views_of_todays_shape_stay(each_views: sa.Engine, recorded: Sequence[Positioned]) -> None:
    Projector(each_views).apply(recorded)
    assert Projector(each_views).position == recorded[-1].position
    assert len(list(groupby(all_rows(each_views), key=lambda row: row[0]))) > 10
