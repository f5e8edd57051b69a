"""Decisions about accounts and addresses."""

from dataclasses import replace

import pytest

from domain import account
from privity.errors import (
    AddressTaken,
    AlreadyExists,
    BadSignature,
    ChainFull,
    ClosedAccount,
    Malformed,
    NotFound,
    StaleChain,
    TooManyAddresses,
)
from privity.messages.accounts import (
    AccountClosed,
    AccountRegistered,
    AccountRenamed,
    AddressClaimed,
    ChangePassphrase,
    CloseAccount,
    ExtendIdentity,
    IdentityExtended,
    IdentityHead,
    IdentityRotated,
    Kdf,
    PassphraseChanged,
    RegisterAccount,
    RenameAccount,
    RotateIdentity,
)
from privity.messages.base import Command
from privity.messages.fields import SignedRecord
from tests.domain.deciding import given
from tests.examples import ANN, BOB, erased, example, identity, key32, raw, sealed, short_id, signature

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


def renewed(n: int) -> IdentityHead:
    """Ann's identity with new keys."""
    return replace(identity("ann", n), sign=key32(f"ann's sign {n}"), seal=raw(f"ann's seal {n}"))


def test_b28_new_keys_come_with_their_wrap_and_the_older_wrap_is_erased() -> None:
    rotated = example(IdentityRotated, head=renewed(2))
    after = given(*REGISTERED).when(example(RotateIdentity), by=ANN, head=renewed(2))
    after = after.then(rotated, erased(ANN.account, sealed("identity")))
    newest = {"identity": sealed("newest identity")}
    again = after.when(example(RotateIdentity, **newest), by=ANN, head=renewed(3))
    again.then(example(IdentityRotated, head=renewed(3), **newest), erased(ANN.account, sealed("newer identity")))


def test_new_keys_without_their_wrap_are_refused() -> None:
    """Else no other device of the account, and no login, would have them."""
    given(*REGISTERED).when(example(ExtendIdentity), by=ANN, head=renewed(2)).then(Malformed)
    given(*REGISTERED).when(example(ExtendIdentity), by=ANN, head=identity("ann", 2)).then(
        example(IdentityExtended, head=identity("ann", 2))
    )


@pytest.mark.parametrize("head", [None, renewed(1), renewed(3)], ids=["no chain", "the same place", "a gap"])
def test_new_keys_follow_the_newest_record(head: IdentityHead | None) -> None:
    given(*REGISTERED).when(example(RotateIdentity), by=ANN, head=head).then(StaleChain)


def test_b28_another_address_is_claimed_and_the_one_before_stays_reserved() -> None:
    claimed = example(AddressClaimed, token=sealed("anna@localhost"), address="anna@localhost")
    after = given(*REGISTERED).when(example(RenameAccount), by=ANN).then(claimed, example(AccountRenamed))
    assert after.load(account.State, ANN.account).address == "anna@localhost"
    for address in ("ann@localhost", "anna@localhost"):
        bob = after.when(example(RegisterAccount, address=address), by=BOB, head=identity("bob"))
        bob.then(AddressTaken(f"{address} belongs to another account"))


def test_b28_an_account_takes_an_address_back_that_it_had() -> None:
    claimed = example(AddressClaimed, token=sealed("anna@localhost"), address="anna@localhost")
    renamed = given(*REGISTERED, claimed, example(AccountRenamed))
    back = {"address": "ann@localhost"}
    renamed.when(example(RenameAccount, **back), by=ANN).then(example(AccountRenamed, **back))


def test_the_address_that_an_account_has_is_no_news() -> None:
    given(*REGISTERED).when(example(RenameAccount, address="ann@localhost"), by=ANN).then()


def test_b28_nobody_goes_by_an_address_of_somebody_else() -> None:
    bobs = example(AddressClaimed, token=sealed("anna@localhost"), address="anna@localhost", account=BOB.account)
    refused = given(*REGISTERED, bobs).when(example(RenameAccount), by=ANN)
    refused.then(AddressTaken("anna@localhost belongs to another account"))


def test_an_account_has_so_many_addresses_and_no_more_and_goes_back_to_each() -> None:
    """Else one person could take every address that there is."""
    names = [f"ann{number}@localhost" for number in range(account.MAX_ADDRESSES)]
    after = given(*REGISTERED)
    for name in names[1:]:
        claimed = example(AddressClaimed, token=sealed(name), address=name)
        after = after.when(example(RenameAccount, address=name), by=ANN)
        after = after.then(claimed, example(AccountRenamed, address=name))
    after.when(example(RenameAccount, address=names[0]), by=ANN).then(TooManyAddresses)
    for name in ("ann@localhost", names[1]):
        after.when(example(RenameAccount, address=name), by=ANN).then(example(AccountRenamed, address=name))


def test_closing_is_asked_for_at_the_newest_record() -> None:
    extended = given(*REGISTERED, example(IdentityExtended, head=identity("ann", 2)))
    extended.when(example(CloseAccount), by=ANN).then(StaleChain)
    now = example(CloseAccount, head=identity("ann", 2).head)
    wraps = erased(ANN.account, sealed("kek"), sealed("kek for recovery"), sealed("identity"))
    extended.when(now, by=ANN).then(example(AccountClosed), wraps)


def test_a_new_passphrase_changes_login_cost_and_wrap() -> None:
    changed = {"login": key32("new login"), "kdf": Kdf(128 * 1024, 4, 4), "kek": sealed("new wrap")}
    decided = given(*REGISTERED).when(example(ChangePassphrase, **changed), by=ANN)
    after = decided.then(example(PassphraseChanged, **changed), erased(ANN.account, sealed("kek")))
    newest = {"kek": sealed("newest wrap")}
    again = example(PassphraseChanged, **newest), erased(ANN.account, sealed("new wrap"))
    after.when(example(ChangePassphrase, **newest), by=ANN).then(*again)


@pytest.mark.parametrize("kept", ["kek", "kek for recovery", "identity"])
def test_a_new_passphrase_wraps_anew(kept: str) -> None:
    given(*REGISTERED).when(example(ChangePassphrase, kek=sealed(kept)), by=ANN).then(AlreadyExists)


def test_a_wrap_that_the_account_still_uses_is_not_erased() -> None:
    alike = example(AccountRegistered, kek_recovery=sealed("kek"))
    after = given(alike).when(example(ChangePassphrase), by=ANN).then(example(PassphraseChanged))
    rest = erased(ANN.account, sealed("newer kek"), sealed("kek"), sealed("identity"))
    after.when(example(CloseAccount), by=ANN).then(example(AccountClosed), rest)


def test_closing_erases_the_wrapped_keys_and_keeps_the_address() -> None:
    wraps = erased(ANN.account, sealed("kek"), sealed("kek for recovery"), sealed("identity"))
    after = given(*REGISTERED).when(example(CloseAccount), by=ANN).then(example(AccountClosed), wraps)
    assert after.load(account.State, ANN.account) == account.State(
        "ann@localhost", chain_size=after.load(account.State, ANN.account).chain_size, closed=True
    )
    after.when(example(RegisterAccount), by=BOB, head=identity("bob")).then(AddressTaken)


def test_a_closed_account_does_nothing_more() -> None:
    closed = given(*REGISTERED, example(AccountClosed))
    for command in (example(ExtendIdentity), example(ChangePassphrase), example(CloseAccount)):
        closed.when(command, by=ANN, head=identity("ann", 2)).then(NotFound)
    closed.when(example(RegisterAccount), by=ANN, head=identity("ann")).then(ClosedAccount)


@pytest.mark.parametrize(
    "command", [example(ExtendIdentity), example(ChangePassphrase), example(CloseAccount)], ids=lambda c: c.subject
)
def test_there_is_nothing_to_change_before_the_account_exists(command: Command) -> None:
    given().when(command, by=ANN, head=identity("ann", 2)).then(NotFound)
    given(*REGISTERED).when(command, by=BOB, head=identity("bob", 2)).then(NotFound)
