"""Decisions about accounts and addresses."""

import pytest

from domain import account
from privity.errors import AddressTaken, AlreadyExists, BadSignature, ChainFull, NotFound, StaleChain
from privity.messages.accounts import (
    AccountRegistered,
    AddressClaimed,
    ChangePassphrase,
    ExtendIdentity,
    IdentityExtended,
    Kdf,
    PassphraseChanged,
    RegisterAccount,
)
from privity.messages.base import Command
from privity.messages.fields import SignedRecord
from tests.domain.deciding import given
from tests.examples import ANN, BOB, example, identity, key32, sealed, short_id, signature

REGISTERED = (example(AddressClaimed), example(AccountRegistered))


def test_registering_claims_the_address_and_makes_the_account() -> None:
    given().when(example(RegisterAccount), by=ANN, head=identity("ann")).then(*REGISTERED)


def test_an_account_is_registered_once() -> None:
    given(*REGISTERED).when(example(RegisterAccount), by=ANN, head=identity("ann")).then(AlreadyExists)
    other = example(RegisterAccount, address="ann2@localhost")
    given(*REGISTERED).when(other, by=ANN, head=identity("ann")).then(AlreadyExists)


def test_an_address_belongs_to_one_account() -> None:
    bob = given(*REGISTERED).when(example(RegisterAccount), by=BOB, head=identity("bob"))
    bob.then(AddressTaken("ann@localhost belongs to another account"))


@pytest.mark.parametrize("head", [None, identity("ann", 1, short_id("another device"))], ids=["no chain", "without it"])
def test_the_chain_has_to_name_the_device_that_registers(head: object) -> None:
    given().when(example(RegisterAccount), by=ANN, head=head).then(BadSignature)


def test_the_identity_is_extended_record_by_record() -> None:
    second, third = identity("ann", 2), identity("ann", 3, short_id("ann's device"), short_id("ann's phone"))
    after = given(*REGISTERED).when(example(ExtendIdentity), by=ANN, head=second)
    after = after.then(example(IdentityExtended, head=second)).when(example(ExtendIdentity), by=ANN, head=third)
    after.then(example(IdentityExtended, head=third))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_record_that_does_not_follow_the_newest_is_stale(n: int) -> None:
    given(*REGISTERED).when(example(ExtendIdentity), by=ANN, head=identity("ann", n)).then(StaleChain)


def grown(records: int) -> SignedRecord:
    """A record as large as they come; so many of them fill a chain."""
    return SignedRecord("A" * (account.MAX_CHAIN // records), (signature("first"), signature("second")))


def test_a_chain_grows_up_to_a_bound_and_a_little_more_for_the_recovery_key() -> None:
    """Else a thief of the sign key could use it up, and lock the owner out."""
    history = [*REGISTERED, example(IdentityExtended, head=identity("ann", 2), record=grown(2))]
    last = example(ExtendIdentity, record=grown(2))
    given(*history).when(last, by=ANN, head=identity("ann", 3)).then(ChainFull)
    given(*history).when(example(ExtendIdentity), by=ANN, head=identity("ann", 3)).then(
        example(IdentityExtended, head=identity("ann", 3))
    )
    recovered = given(*history).when(last, by=ANN, head=identity("ann", 3), recovered=True)
    recovered.then(example(IdentityExtended, head=identity("ann", 3), record=grown(2)))
    history += [example(IdentityExtended, head=identity("ann", 3), record=grown(2))]
    too_much = given(*history).when(last, by=ANN, head=identity("ann", 4), recovered=True)
    too_much.then(ChainFull)


def test_a_chain_of_any_account_fits_an_answer() -> None:
    """With its signatures, and as JSON."""
    assert account.MAX_CHAIN + account.RESERVED < 600 * 1024


def test_without_a_verified_record_the_chain_stays() -> None:
    given(*REGISTERED).when(example(ExtendIdentity), by=ANN, head=None).then(StaleChain)


def test_a_new_passphrase_changes_login_cost_and_wrap() -> None:
    changed = {"login": key32("new login"), "kdf": Kdf(128 * 1024, 4, 4), "kek": sealed("new wrap")}
    decided = given(*REGISTERED).when(example(ChangePassphrase, **changed), by=ANN)
    decided.then(example(PassphraseChanged, **changed))


@pytest.mark.parametrize("command", [example(ExtendIdentity), example(ChangePassphrase)], ids=lambda c: c.subject)
def test_there_is_nothing_to_change_before_the_account_exists(command: Command) -> None:
    given().when(command, by=ANN, head=identity("ann", 2)).then(NotFound)
    given(*REGISTERED).when(command, by=BOB, head=identity("bob", 2)).then(NotFound)
