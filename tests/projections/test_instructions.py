"""The instructions view, and the shares that delegates see: who is shown what, and for how long."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from privity.errors import NotDelegated
from privity.messages.delegations import DelegationGranted
from privity.messages.instructions import InstructionAnswered, InstructionGiven
from privity.messages.recorded import Positioned
from privity.messages.views import AskInstructions, AskShares
from projections import delegations
from projections.desk import Desk
from projections.instructions import KEPT
from projections.projector import Projector
from tests.examples import ANN, BOB, NOW, example, sealed
from tests.handlers.story import Story
from tests.projections.test_delegations import at
from tests.projections.test_views import ask


def test_m34_the_principal_sees_all_instructions_their_delegate_his_own_and_nobody_else_any(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    Projector(each_views).apply(recorded)
    own = ask(each_views, AskInstructions(), story.ann)
    done, waiting = own.rows
    assert (done.n, done.content, done.code, done.share) == (1, None, None, story.share.id)
    assert (waiting.n, waiting.answered, waiting.code) == (2, None, None)
    assert own.sealed == ((), (waiting.content,))
    assert ask(each_views, AskInstructions(principal=story.ann.account), story.bob).rows == own.rows
    assert ask(each_views, AskInstructions(open=True), story.ann).rows == (waiting,)
    assert ask(each_views, AskInstructions(), story.bob).rows == ()
    with pytest.raises(NotDelegated):
        ask(each_views, AskInstructions(principal=story.ann.account), story.eve)


def test_m34_a_delegate_sees_the_principals_shares_bare_with_the_proof_that_they_were_signed(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    """Also with a fresh nonce, by which a recipient gets the sealed key."""
    Projector(each_views).apply(recorded)
    ann = story.ann.account
    own = {row.share: row for row in ask(each_views, AskShares(direction="outgoing"), story.ann).rows}
    page = ask(each_views, AskShares(principal=ann), story.bob, fresh=True)
    assert {row.share: row.manifest for row in page.rows} == {share: row.manifest for share, row in own.items()}
    assert page.sealed == ((),) * len(page.rows)
    for asked in (AskShares(principal=ann), AskShares(principal=ann, direction="outgoing", bare=True)):
        with pytest.raises(NotDelegated):
            ask(each_views, asked, story.eve, fresh=True)
    with each_views.connect() as db:
        for who, actor in ((story.bob, ann), (story.eve, None)):
            desk = Desk(who.account, NOW, db, fresh=False, mail_token=str)
            assert {delegations.shown(row.position, desk) for row in page.rows} == {actor}


def test_m34_of_what_was_answered_the_newest_are_kept(each_views: sa.Engine) -> None:
    told = [at(1, example(DelegationGranted))]
    for n in range(1, KEPT + 6):
        told.append(at(2 * n, example(InstructionGiven, n=n, content=sealed(f"wanted {n}"))))
        if n != 2:
            told.append(at(2 * n + 1, example(InstructionAnswered, n=n, delegate=BOB.account)))
    Projector(each_views).apply(told)
    rows = ask(each_views, AskInstructions(limit=200), ANN).rows
    assert [row.n for row in rows] == [2, *range(6, KEPT + 6)]
    lapsed = example(InstructionGiven, n=KEPT + 6, lapsed=(2,))
    Projector(each_views).apply([at(1000, lapsed)])
    assert 2 not in [row.n for row in ask(each_views, AskInstructions(limit=200), ANN).rows]
