"""Decisions about what delegates want done with the principal's shares."""

from datetime import timedelta
from typing import Any

import pytest

from privity.errors import (
    AlreadyExists,
    DelegationExpired,
    InstructionNotOpen,
    Malformed,
    NotDelegated,
    PastDate,
    RoleNotEnough,
    StaleSequence,
    StaleVersion,
    TooManyInstructions,
)
from privity.messages.connections import ConnectionRemoved
from privity.messages.delegations import DelegationRemoved, RemoveDelegation
from privity.messages.instructions import (
    MAX_OPEN,
    AnswerInstruction,
    GiveInstruction,
    InstructionAnswered,
    InstructionGiven,
)
from tests.domain.deciding import given
from tests.domain.test_delegation import made
from tests.examples import ANN, BOB, EVE, LATER, NOW, actor, erased, example, sealed, short_id

GIVE = example(GiveInstruction)
GIVEN = example(InstructionGiven)
ANSWERED = example(InstructionAnswered, delegate=BOB.account)
WEEK = timedelta(days=7)


def next_one(n: int = 2, **changes: Any) -> GiveInstruction:
    """Bob's next, with a content of its own."""
    return example(GiveInstruction, **{"n": n, "content": sealed(f"wanted {n}")} | changes)


@pytest.mark.parametrize("role", ["admin", "owner"])
def test_m34_a_delegate_who_may_write_gives_instructions_and_the_principal_answers(role: str) -> None:
    after = given(*made(role)).when(GIVE, by=BOB).then(GIVEN)
    done = after.when(example(AnswerInstruction), by=ANN)
    answered = done.then(ANSWERED, erased(ANN.account, sealed("wanted"), of=[ANN, BOB]))
    answered.when(example(AnswerInstruction), by=ANN).then(InstructionNotOpen)
    answered.when(GIVE, by=BOB).then(StaleSequence)
    second = answered.when(next_one(), by=BOB).then(example(InstructionGiven, n=2, content=sealed("wanted 2")))
    refused = second.when(example(AnswerInstruction, n=2, code="NotConnected", share=None), by=ANN)
    refused.then(
        example(InstructionAnswered, delegate=BOB.account, n=2, code="NotConnected", share=None),
        erased(ANN.account, sealed("wanted 2"), of=[ANN, BOB]),
    )


def test_m34_no_reader_nobody_else_and_no_removed_delegate_gives_one() -> None:
    given(*made("reader")).when(GIVE, by=BOB).then(RoleNotEnough)
    given(*made()).when(GIVE, by=EVE).then(NotDelegated)
    given(*made()).when(GIVE, by=ANN).then(NotDelegated)
    given(*made()).when(example(GiveInstruction, delegation=short_id("none")), by=BOB).then(NotDelegated)
    given(*made(), example(ConnectionRemoved)).when(GIVE, by=BOB).then(NotDelegated)
    given(*made(expires=LATER)).when(example(GiveInstruction, expires=LATER + WEEK), by=actor("bob", LATER)).then(
        DelegationExpired
    )
    given(*made(), example(DelegationRemoved)).when(example(GiveInstruction, generation=2), by=BOB).then(NotDelegated)


def test_m34_an_instruction_is_the_next_under_the_newest_key_and_stands_for_a_week() -> None:
    for wrong, error in (
        ({"n": 2}, StaleSequence),
        ({"generation": 2}, StaleVersion),
        ({"expires": NOW}, PastDate),
        ({"expires": NOW + WEEK + timedelta(seconds=1)}, Malformed),
    ):
        given(*made()).when(example(GiveInstruction, **wrong), by=BOB).then(error)
    given(*made(), GIVEN).when(next_one(content=sealed("wanted")), by=BOB).then(AlreadyExists)


def test_m34_few_wait_at_once_and_what_is_past_its_time_makes_room() -> None:
    many = [example(InstructionGiven, n=n, content=sealed(f"wanted {n}")) for n in range(1, MAX_OPEN + 1)]
    given(*made(), *many).when(next_one(MAX_OPEN + 1), by=BOB).then(TooManyInstructions)
    late, until = actor("bob", NOW + WEEK), NOW + 2 * WEEK
    lapsed = given(*made(), *many).when(next_one(MAX_OPEN + 1, expires=until), by=late)
    numbers = tuple(range(1, MAX_OPEN + 1))
    said = {"n": MAX_OPEN + 1, "content": sealed(f"wanted {MAX_OPEN + 1}"), "expires": until, "lapsed": numbers}
    gone = erased(ANN.account, *(sealed(f"wanted {n}") for n in numbers), of=[ANN, BOB])
    after = lapsed.then(example(InstructionGiven, **said), gone)
    after.when(example(AnswerInstruction, n=3), by=ANN).then(InstructionNotOpen)


def test_m34_what_waited_is_answered_after_the_removal_too_and_only_by_the_principal() -> None:
    """So that the principal's agent refuses it, and what was sealed goes."""
    removed = given(*made(), GIVEN).when(example(RemoveDelegation), by=ANN)
    assert not isinstance(removed.outcome, Exception)
    for who in (BOB, EVE):
        given(*made(), GIVEN).when(example(AnswerInstruction), by=who).then(InstructionNotOpen)
    late = given(*made(), GIVEN, example(DelegationRemoved))
    refused = late.when(example(AnswerInstruction, code="NotDelegated"), by=ANN)
    refused.then(
        example(InstructionAnswered, delegate=BOB.account, code="NotDelegated"),
        erased(ANN.account, sealed("wanted"), of=[ANN, BOB]),
    )
