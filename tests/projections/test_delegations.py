"""The delegations views: who sees a principal's steps, keys and items, and until when."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from privity.errors import NotDelegated
from privity.messages.base import Event
from privity.messages.delegations import DelegationGranted, DelegationRemoved
from privity.messages.recorded import Positioned
from privity.messages.views import AskDelegations, AskItems, AskVaults
from projections import delegations
from projections.desk import Desk
from projections.projector import Projector
from projections.tables import delegates
from tests.examples import ANN, BOB, EVE, LATER, NOW, example, long_id, meta
from tests.handlers.story import Story
from tests.projections.test_views import ask


def at(position: int, event: Event) -> Positioned:
    """An event as the store has it."""
    return Positioned(position, event.stream, 1, event, meta())


def test_m34_a_delegate_sees_the_principals_steps_keys_and_what_is_under_them_and_nobody_else_does(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    Projector(each_views).apply(recorded)
    ann, bob = story.ann.account, story.bob
    kept = ask(each_views, AskItems(principal=ann), bob)
    assert [(row.item, row.version) for row in kept.rows] == [(story.items[3], 3)], "what is not under the key is hers"
    assert kept.sealed == ((kept.rows[0].content, kept.rows[0].wrap),)
    own = {row.item: row for row in ask(each_views, AskItems(), story.ann).rows}
    assert own[story.items[3]] == kept.rows[0]
    assert {id for id, row in own.items() if row.record is None} == set(story.items[:3])
    assert [row.n for row in ask(each_views, AskDelegations(principal=ann), bob).rows] == [1, 2, 3]

    for asked in (AskItems(principal=ann), AskDelegations(principal=ann)):
        with pytest.raises(NotDelegated):
            ask(each_views, asked, story.eve)
    assert ask(each_views, AskVaults(), story.eve, fresh=True).rows == ()
    assert ask(each_views, AskVaults(principal=bob.account), bob, fresh=True).rows == ()
    steps = AskDelegations(principal=ann, limit=1)
    found = []
    while (page := ask(each_views, steps, story.ann)).rows:
        found += page.rows
        steps = replace(steps, after=page.cursors[-1])
    assert tuple(found) == ask(each_views, AskDelegations(principal=ann), bob).rows


def test_m34_an_unclaimed_vault_key_is_released_for_a_fresh_request_alone(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    projector = Projector(each_views)
    claimed = [each.position for each in recorded if each.event.name == "delegation-claimed"]
    for position in claimed:
        projector.apply([each for each in recorded if each.position < position])
        for fresh in (False, True):
            page = ask(each_views, AskVaults(), story.bob, fresh=fresh)
            [row] = page.rows
            assert not row.claimed
            assert page.sealed == ((row.wrap, *row.befores) if fresh else row.befores,)
    projector.apply(recorded)
    page = ask(each_views, AskVaults(), story.bob)
    assert [(row.claimed, row.generation, len(row.befores)) for row in page.rows] == [(True, 2, 1)]
    assert page.sealed == ((page.rows[0].wrap, *page.rows[0].befores),)


def test_m34_two_principals_may_choose_the_same_id_for_a_delegation(each_views: sa.Engine) -> None:
    """Else whoever knows one could stop all views for everybody."""
    granted = example(DelegationGranted)
    evens = replace(granted, principal=EVE.account, by=EVE.account)
    removed = replace(example(DelegationRemoved), principal=EVE.account, by=EVE.account, wraps={}, n=2)
    told = [at(position, event) for position, event in enumerate((granted, evens, removed), 1)]
    Projector(each_views).apply(told)
    with each_views.connect() as db:
        standing = sa.select(delegates.c.principal).where(delegates.c.delegation == granted.delegation)
        assert list(db.execute(standing).scalars()) == [granted.principal]


def test_m34_all_keys_that_one_holds_are_on_one_page_or_the_next(each_views: sa.Engine) -> None:
    """So that nobody is pushed off it by those who made them a delegate."""
    granted = example(DelegationGranted)
    principals = [ANN.account, EVE.account, long_id("carol"), long_id("dan")]
    told = [at(n, replace(granted, principal=each, by=each)) for n, each in enumerate(principals, 1)]
    Projector(each_views).apply(told)
    asked, found = AskVaults(limit=2), []
    while (page := ask(each_views, asked, BOB, fresh=True)).rows:
        found += [row.principal for row in page.rows]
        assert page.more == (len(found) < len(principals))
        asked = replace(asked, after=page.cursors[-1])
    assert found == principals


def test_m34_a_delegate_is_shown_the_evidence_of_steps_and_of_items_as_they_stand(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    """They are proven by it once a key that signed them is given up as stolen; they are in nobody's feed but few."""
    Projector(each_views).apply(recorded)
    by = {"delegation-granted": story.ann, "delegation-removed": story.ann}
    steps = {each.position: by[each.event.name].account for each in recorded if each.event.name in by}
    [kept] = ask(each_views, AskItems(principal=story.ann.account), story.bob).rows
    with each_views.connect() as db:
        for who, sees in ((story.bob, True), (story.eve, False)):
            desk = Desk(who.account, NOW, db, fresh=False, mail_token=str)
            for position, actor in steps.items():
                assert delegations.shown(position, desk) == (actor if sees else None)
            assert delegations.shown(kept.kept or 0, desk) == (story.bob.account if sees else None)
            assert delegations.shown(1, desk) is None


def test_m34_after_its_end_nothing_of_the_principals_is_shown(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    ends = [
        replace(each, event=replace(each.event, expires=LATER)) if isinstance(each.event, DelegationGranted) else each
        for each in recorded
    ]
    Projector(each_views).apply(ends)
    ann = story.ann.account
    for at, shown in ((NOW, 1), (LATER - timedelta(seconds=1), 1), (LATER, 0), (LATER + timedelta(days=1), 0)):
        assert len(ask(each_views, AskVaults(), story.bob, at=at, fresh=True).rows) == shown
        if shown:
            assert len(ask(each_views, AskItems(principal=ann), story.bob, at=at).rows) == 1
        else:
            for asked in (AskItems(principal=ann), AskDelegations(principal=ann)):
                with pytest.raises(NotDelegated):
                    ask(each_views, asked, story.bob, at=at)
        assert len(ask(each_views, AskVaults(), story.ann, at=at).rows) == 1
