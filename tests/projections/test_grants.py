"""The grants view: who was dropped since, or gave the key up, is in no grant any more."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from privity.messages.base import Event
from privity.messages.grants import GrantBegun, GrantStepTaken
from privity.messages.recorded import Positioned
from privity.messages.sharing_keys import SharingKeyErased, SharingKeyRotated
from privity.messages.views import AskGrants, GrantStepRow
from projections.projector import Projector
from tests.examples import example
from tests.handlers.story import Story
from tests.projections.test_delegations import at
from tests.projections.test_views import ask


@pytest.mark.parametrize("way", ["dropped", "gave it up"])
def test_b16_a_grant_is_over_when_the_receiver_is_dropped_or_gives_the_key_up(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned], way: str
) -> None:
    ann, bob, eve = (each.account for each in (story.ann, story.bob, story.eve))
    begun = at(1001, example(GrantBegun, by=ann, to=bob))
    Projector(each_views).apply([*recorded, begun, at(1002, example(GrantStepTaken, by=ann, to=bob))])
    id = begun.event.grant  # type: ignore[attr-defined]

    def served() -> dict[str, tuple[int, tuple[GrantStepRow, ...]]]:
        return {row.grant: (row.position, row.steps) for row in ask(each_views, AskGrants(id=id), story.ann).rows}

    stands = {id: (1001, (GrantStepRow("reach", "done", None),))}
    assert served() == stands
    others: list[Event] = [
        example(SharingKeyRotated, by=ann, dropped=(eve,)),
        example(SharingKeyErased, by=bob, whole=False, accounts=(bob,)),  # the public part alone
    ]
    Projector(each_views).apply([at(1003 + n, each) for n, each in enumerate(others)])
    assert served() == stands
    over: Event = example(SharingKeyErased, by=bob, whole=False, accounts=(bob, ann))
    if way == "dropped":
        over = example(SharingKeyRotated, by=ann, dropped=(bob,), n=4, generation=3)
    Projector(each_views).apply([at(1005, over)])
    assert served() == {}
    Projector(each_views).apply([at(1006, example(GrantBegun, by=ann, to=bob, n=3))])
    assert served() == {id: (1006, ())}
