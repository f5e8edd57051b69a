"""Decisions about grants of sharing keys."""

import pytest

from domain import grant
from privity.errors import AlreadyExists, NotConnected, NotFound, NotGranted, StaleVersion
from privity.messages.connections import ConnectionEstablished, ConnectionRemoved
from privity.messages.grants import BeginGrant, GrantBegun, GrantStepTaken, Outcome, Step, TakeGrantStep
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, example, short_id

CONNECTED, BEGUN = example(ConnectionEstablished), example(GrantBegun)
BEGIN = example(BeginGrant)
STEPS: tuple[Step, ...] = ("reach", "audit", "suppliers", "private", "files")


def take(step: Step, outcome: Outcome = "done", reason: str | None = None) -> TakeGrantStep:
    """The command that says how a step went."""
    return example(TakeGrantStep, step=step, outcome=outcome, reason=reason)


def taken(step: Step, outcome: Outcome = "done", reason: str | None = None) -> GrantStepTaken:
    """The event that follows."""
    return example(GrantStepTaken, step=step, outcome=outcome, reason=reason)


def test_a_grant_begins_once_and_goes_on_whoever_begins_it_again() -> None:
    after = given(CONNECTED).when(BEGIN, by=ANN).then(BEGUN)
    after.when(BEGIN, by=ANN).then_nothing()
    later = example(BeginGrant, n=2)
    given(CONNECTED, BEGUN, taken("private")).when(later, by=ANN, holds=True, n=2).then_nothing()


@pytest.mark.parametrize("steps", [STEPS, STEPS[:3]], ids=["whole", "without the step that the private part went out"])
def test_who_was_dropped_is_granted_anew(steps: tuple[Step, ...]) -> None:
    later = example(BeginGrant, n=3)
    after = given(CONNECTED, BEGUN, *map(taken, steps)).when(later, by=ANN, n=3).then(example(GrantBegun, n=3))
    assert after.load(grant.State, short_id("grant")).steps == {}


def test_a_grant_begins_from_the_newest_record() -> None:
    given(CONNECTED).when(BEGIN, by=ANN, n=2).then(StaleVersion("the key is at record 2"))
    given(CONNECTED).when(example(BeginGrant, n=2), by=ANN).then(StaleVersion("the key is at record 1"))


def test_only_the_creator_grants_and_only_to_somebody_connected() -> None:
    given(CONNECTED).when(BEGIN, by=BOB).then(NotFound("there is no such key of yours"))
    given().when(BEGIN, by=ANN).then(NotConnected)
    given(CONNECTED, example(ConnectionRemoved)).when(BEGIN, by=ANN).then(NotConnected)
    given(CONNECTED).when(example(BeginGrant, to=EVE.account), by=ANN).then(NotConnected)
    given(CONNECTED).when(example(BeginGrant, to=ANN.account), by=ANN).then(AlreadyExists)


@pytest.mark.parametrize("step", STEPS)
def test_b14_each_step_is_an_event_with_its_outcome_and_reason(step: Step) -> None:
    waiting = (
        given(CONNECTED, BEGUN).when(take(step, "waiting", "offline"), by=ANN).then(taken(step, "waiting", "offline"))
    )
    failed = waiting.when(take(step, "failed", "NotFound"), by=ANN).then(taken(step, "failed", "NotFound"))
    failed.when(take(step), by=ANN, holds=True).then(taken(step))


def test_a_step_that_went_the_same_way_is_no_event_and_what_is_done_stays_done() -> None:
    after = given(BEGUN, taken("suppliers", "waiting", "one is away"))
    after.when(take("suppliers", "waiting", "one is away"), by=ANN).then_nothing()
    after = given(BEGUN, taken("suppliers"))
    after.when(take("suppliers", "failed", "NotFound"), by=ANN).then_nothing()
    after.when(take("suppliers"), by=ANN).then_nothing()


def test_the_private_part_has_not_gone_out_before_the_key_says_so() -> None:
    given(BEGUN).when(take("private"), by=ANN, holds=False).then(NotGranted)
    given(BEGUN).when(take("private"), by=ANN, holds=True).then(taken("private"))
    given(BEGUN).when(take("private", "waiting", "offline"), by=ANN).then(taken("private", "waiting", "offline"))


def test_nobody_else_says_how_a_step_went() -> None:
    for who in (BOB, EVE):
        given(BEGUN).when(take("reach"), by=who).then(NotFound("there is no such grant"))
    given().when(take("reach"), by=ANN).then(NotFound("there is no such grant"))
