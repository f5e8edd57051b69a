"""The files view: who is given what is attached to an item or a share, and what goes with what ended."""

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from privity.messages.base import Event
from privity.messages.connections import ConnectionRemoved
from privity.messages.delegations import ItemDropped
from privity.messages.files import FileAttached
from privity.messages.items import ItemRemoved
from privity.messages.recorded import Positioned
from privity.messages.shares import ShareRemoved
from privity.messages.views import AskFiles
from projections.projector import Projector
from projections.reads import released
from projections.tables import files
from tests.examples import example, long_id, meta, short_id
from tests.handlers.story import Story
from tests.projections.test_views import ask, folded

__all__ = ["folded"]  # a fixture


def test_files_are_for_the_owner_and_a_shares_files_for_its_recipient_too(folded: sa.Engine, story: Story) -> None:
    for of, readers in (
        (story.items[0], {"ann"}),
        (story.share.id, {"ann", "bob"}),
        (story.items[1], set()),
    ):
        for name in ("ann", "bob", "eve"):
            page = ask(folded, AskFiles(of=of), getattr(story, name))
            assert len(page.rows) == (name in readers), (of, name)
            assert page.sealed == tuple((row.content,) for row in page.rows)


def test_what_goes_to_the_recipient_of_a_share_is_a_read_of_it(folded: sa.Engine, story: Story) -> None:
    ask_it = AskFiles(of=story.share.id)
    for by, read in ((story.bob, [story.share.id]), (story.ann, [])):
        page = ask(folded, ask_it, by)
        with folded.connect() as db:
            assert len(page.rows) == 1
            assert released(by.account, page, 1, db) == read
            bare = ask(folded, AskFiles(of=story.share.id, bare=True), by)
            assert (bare.rows, bare.sealed, released(by.account, bare, 1, db)) == (page.rows, ((),), [])


def test_what_goes_to_the_recipient_is_a_read_also_when_the_share_ends_meanwhile(
    folded: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    """Both were asked side by side: the files went into the answer before, and the share ends before it is recorded."""
    page = ask(folded, AskFiles(of=story.share.id), story.bob)
    gone = example(ShareRemoved, share=story.share.id, owner=story.ann.account, recipient=story.bob.account)
    happens(folded, recorded, gone)
    with folded.connect() as db:
        assert len(page.rows) == 1
        assert released(story.bob.account, page, 1, db) == [story.share.id]
    assert ask(folded, AskFiles(of=story.share.id), story.bob).rows == ()


def test_files_go_with_what_their_owner_ends_and_with_nothing_of_the_same_id(
    folded: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    """No home takes such an id any more; this one did."""
    item, share, ann = story.items[0], story.share.id, story.ann.account
    for gone in (
        example(ShareRemoved, share=item, owner=story.bob.account, recipient=ann),
        example(ShareRemoved, share=item, owner=ann),
        example(ShareRemoved, share=share, owner=story.bob.account, recipient=ann),
        example(ItemRemoved, item=item, owner=story.bob.account),
        example(ItemRemoved, item=share, owner=story.bob.account),
        example(ItemRemoved, item=share, owner=ann),
        example(ItemDropped, item=share, principal=ann),
    ):
        happens(folded, recorded, gone)
        assert attached_to(folded) == {item, share}
    happens(folded, recorded, example(ItemDropped, item=item, principal=ann))
    assert attached_to(folded) == {share}


def test_no_delegate_reads_a_shares_files_by_an_item_of_the_same_id(
    folded: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    attached = example(FileAttached, of=story.items[3], owner=story.ann.account, connection=None, recipient=None)
    happens(folded, recorded, attached)
    assert len(ask(folded, AskFiles(of=story.items[3]), story.bob).rows) == 1
    happens(folded, recorded, replace(attached, file=short_id("other"), connection=long_id("connection")))
    (row,) = ask(folded, AskFiles(of=story.items[3]), story.bob).rows
    assert row.file == attached.file


def test_files_of_a_share_go_with_its_connection(
    folded: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    happens(folded, recorded, example(ConnectionRemoved, connection=story.invitation.connection))
    assert attached_to(folded) == {story.items[0]}


def happens(engine: sa.Engine, recorded: Sequence[Positioned], event: Event) -> None:
    """One more event behind the story."""
    projector = Projector(engine)
    position = max(recorded[-1].position, projector.position) + 1
    projector.apply([Positioned(position, event.stream, 9, event, meta())])


def attached_to(engine: sa.Engine) -> set[str]:
    """What has files."""
    with engine.connect() as db:
        return set(db.execute(sa.select(files.c.of)).scalars())
