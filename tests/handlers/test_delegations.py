"""What the backend refuses of signed steps and versions, so that no agent meets a record that it cannot take."""

from typing import Any

import pytest

from handlers.committer import Committer
from handlers.opening import Delivery
from privity.crypto.log import make_checkpoint
from privity.crypto.merkle import EMPTY_ROOT
from privity.crypto.signing import SigningKey
from privity.encoding import new_id
from tests.examples import NOW
from tests.handlers.delegates import Delegates
from tests.handlers.people import HOME, Citizen

OTHERS = make_checkpoint(SigningKey.generate(), HOME.id, 0, EMPTY_ROOT)
"""Of another log."""


@pytest.fixture
def joined(committer: Committer) -> tuple[Citizen, Citizen, str]:
    """Ann and Bob, and their connection."""
    ann, bob = Citizen("ann@localhost"), Citizen("bob@localhost")
    made = ann.invites(bob.address)
    told = [ann.registers(), *ann.stores_key(), bob.registers(), *bob.stores_key()]
    told += [made.sent(), made.accepted(bob), made.confirmed()]
    assert set(codes(committer, *told)) == {None}
    return ann, bob, made.connection


def codes(committer: Committer, *deliveries: Delivery) -> list[str | None]:
    """What each was refused for."""
    results = [outcome.result for outcome in committer.process(deliveries)]
    return [result.code if result else "nothing" for result in results]


def test_m34_a_grant_names_the_delegates_own_key_two_addresses_and_a_checkpoint_of_this_log(
    committer: Committer, joined: tuple[Citizen, Citizen, str]
) -> None:
    """Every word of it is what agents rely on: one that is wrong would lock the principal out for good."""
    ann, bob, connection = joined
    refused: list[tuple[dict[str, Any], str]] = [
        ({"delegate_key": ann.key_id}, "Malformed"),
        ({"delegate_key": new_id()}, "Malformed"),
        ({"public": ann.pair.public}, "Malformed"),
        ({"principal_address": "nobody"}, "Malformed"),
        ({"delegate_address": "Bob@localhost"}, "Malformed"),
        ({"checkpoint": "no checkpoint"}, "ForgedRecord"),
        ({"checkpoint": OTHERS}, "ForgedRecord"),
    ]
    for said, code in refused:
        assert codes(committer, Delegates(ann).granted(bob, "admin", connection, said)) == [code], said
    assert codes(committer, Delegates(ann).granted(bob, "admin", connection)) == [None]


def test_m34_a_version_and_a_removal_name_a_checkpoint_of_this_log(
    committer: Committer, joined: tuple[Citizen, Citizen, str]
) -> None:
    ann, bob, connection = joined
    delegates, item = Delegates(ann), new_id()
    assert codes(committer, delegates.granted(bob, "admin", connection)) == [None]
    assert codes(committer, delegates.kept(bob, item, checkpoint=OTHERS)) == ["ForgedRecord"]
    assert codes(committer, delegates.kept(bob, item), delegates.removed(bob)) == [None, None]


def test_m34_who_closed_the_account_has_no_delegates(
    committer: Committer, joined: tuple[Citizen, Citizen, str]
) -> None:
    ann, bob, connection = joined
    delegates = Delegates(ann)
    assert codes(committer, delegates.granted(bob, "owner", connection), ann.closes()) == [None, None]
    late = [delegates.kept(bob, new_id()), delegates.dropped(bob, new_id()), delegates.claimed(bob)]
    assert codes(committer, *late) == ["NotFound"] * 3


def test_m34_an_instruction_says_what_its_command_says_and_names_a_checkpoint_of_this_log(
    committer: Committer, joined: tuple[Citizen, Citizen, str]
) -> None:
    ann, bob, connection = joined
    delegates = Delegates(ann)
    assert codes(committer, delegates.granted(bob, "admin", connection)) == [None]
    wrong: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"by": ann.account}, {}, "Malformed"),
        ({}, {"n": 2}, "Malformed"),
        ({}, {"generation": 2}, "Malformed"),
        ({}, {"expires": NOW}, "Malformed"),
        ({"principal": bob.account}, {"principal": ann.account}, "Malformed"),
        ({"checkpoint": OTHERS}, {}, "ForgedRecord"),
    ]
    for said, changes, code in wrong:
        delegates.instructions = 0
        assert codes(committer, delegates.instructed(bob, said, **changes)) == [code], (said, changes)
    delegates.instructions = 0
    told = [delegates.instructed(bob), delegates.answered(1, None, "NotConnected"), delegates.answered(1, None)]
    assert codes(committer, *told) == [None, None, "InstructionNotOpen"]
    assert codes(committer, ann.closes(), delegates.instructed(bob)) == [None, "NotFound"]
