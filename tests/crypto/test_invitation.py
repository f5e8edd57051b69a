"""Two people connect by one secret in a link, and nobody between them can pass for either."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.invitation import (
    AcceptanceMessage,
    InvitationMessage,
    check_acceptance,
    check_confirmation,
    check_invitation,
    confirmation,
    connection_id,
    hash_token,
    invitation_link,
    invite_keys,
    mail_link,
    parse_link,
    read_acceptance,
    read_invitation,
    safety_number,
)
from privity.crypto.kdf import hkdf
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import b32, b64, lp, sha256
from privity.errors import (
    ForgedRecord,
    InvitationExpired,
    KeyMismatch,
    Malformed,
    OwnInvitation,
)
from tests.crypto.examples import HOME, INV, LOG_KEY, NOW, Person, S, acceptance, flip, invitation, person

OTHER_S = b"O" * 32


@pytest.fixture(scope="module")
def ann() -> Person:
    return person("ann")


@pytest.fixture(scope="module")
def bob() -> Person:
    return person("bob")


@pytest.fixture(scope="module")
def eve() -> Person:
    return person("eve")


@pytest.fixture(scope="module")
def invited(ann) -> InvitationMessage:
    return invitation(ann)


@pytest.fixture(scope="module")
def accepted(bob, invited) -> AcceptanceMessage:
    return acceptance(bob, invited.record)


def check(message: InvitationMessage, inviter: Person, **changes: object):
    facts: dict[str, object] = {"mac": message.mac, "S": S, "now": NOW, "log_key": LOG_KEY}
    facts |= changes
    mac = facts.pop("mac")
    return check_invitation(message.record, mac, inviter.chain, **facts)  # type: ignore[arg-type]


def bent(record: bytes, **changes: object) -> bytes:
    return encode_record(json.loads(record) | changes)


# the three messages


def test_by_the_link_both_ends_are_verified(ann, bob, invited, accepted):
    for_bob = check(invited, ann)
    for_ann = check_acceptance(S, invited.record, accepted.record, accepted.mac, bob.chain)
    check_confirmation(S, invited.record, accepted.record, confirmation(S, invited.record, accepted.record))
    assert for_bob.verified
    assert for_ann.verified
    assert (for_bob.identity, for_ann.identity) == (ann.identity, bob.identity)
    assert for_bob.invitation.public == ann.connection.public
    assert for_ann.acceptance.public == bob.connection.public


def test_by_mail_neither_end_is_verified(ann, bob, invited):
    by_mail = acceptance(bob, invited.record, None)
    assert (by_mail.token, by_mail.mac) == (None, None)
    assert not check(invited, ann, S=None).verified
    assert not check_acceptance(S, invited.record, by_mail.record, None, bob.chain).verified


def test_the_backend_checks_without_the_secret(bob, invited, accepted):
    assert not check_acceptance(None, invited.record, accepted.record, accepted.mac, bob.chain).verified


def test_the_backend_knows_the_token_by_its_hash_alone(invited, accepted):
    assert accepted.token is not None
    assert hash_token(accepted.token) == invited.token_hash
    assert accepted.token not in (invited.record, invited.mac, invited.token_hash)


def test_the_four_keys_are_hkdf_of_the_secret_by_their_labels():
    keys = invite_keys(S, INV)
    for name in ("token", "inviter", "acceptor", "confirm"):
        expected = hkdf(S, 32, f"privity/v1/invite/{name}".encode(), salt=INV.encode())
        assert getattr(keys, name) == expected
    assert len({keys.token, keys.inviter, keys.acceptor, keys.confirm}) == 4


def test_the_records_hold_what_the_design_says(invited, accepted):
    assert set(json.loads(invited.record)) == {
        *(
            "v",
            "inv",
            "expires",
            "home",
            "log_key",
            "account",
            "address",
            "head",
            "public",
            "suite",
            "gen",
            "cert",
        )
    }
    assert set(json.loads(accepted.record)) == {
        *("v", "inv", "invitation", "account", "address", "head", "public", "suite", "gen", "cert")
    }
    assert read_acceptance(accepted.record).invitation == sha256(invited.record)
    assert read_invitation(invited.record).cert == invited.cert


@pytest.mark.parametrize("suite", Suite)
def test_every_suite_of_connection_key_can_be_certified(ann, keypairs, suite):
    message = invitation(ann, public=keypairs[suite].public, suite=suite)
    assert check(message, ann).invitation.suite is suite


# the invitation, checked by the acceptor


def test_a_chain_may_have_grown_since(bob):
    ann = person("ann")
    message = invitation(ann)
    ann.rotate()
    assert check(message, ann).identity == ann.identity
    answer = acceptance(bob, message.record)
    grown = person("bob")
    grown.chain = list(bob.chain)
    grown.rotate()
    assert check_acceptance(S, message.record, answer.record, answer.mac, grown.chain).verified


def test_a_chain_that_ends_before_the_head_is_forged():
    ann = person("ann")
    ann.rotate()
    message = invitation(ann)
    ann.chain.pop()
    with pytest.raises(ForgedRecord):
        check(message, ann)


def test_another_persons_chain_is_forged(invited, eve):
    with pytest.raises(ForgedRecord):
        check(invited, eve)
    with pytest.raises(ForgedRecord):
        check(invited, eve, S=None)


def test_a_key_swapped_by_the_server_is_noticed_by_link_and_by_mail(ann, invited):
    swapped = replace(invited, record=bent(invited.record, public=b64(generate_keypair().public)))
    for secret in (S, None):
        with pytest.raises(ForgedRecord):
            check(swapped, ann, S=secret)


def test_an_account_swapped_by_the_server_is_noticed_by_link(eve, invited):
    """Eve's own, sound invitation under the same id: only the MAC tells."""
    swapped = invitation(eve)
    assert not check(swapped, eve, S=None).verified
    with pytest.raises(ForgedRecord):
        check(swapped, eve, mac=invited.mac)


def test_without_the_mac_a_link_is_not_followed(ann, invited):
    with pytest.raises(ForgedRecord):
        check(invited, ann, mac=None)


def test_another_secret_is_not_this_invitations(ann, invited):
    with pytest.raises(ForgedRecord):
        check(invited, ann, S=OTHER_S)


CHANGES: dict[str, object] = {
    "inv": "j" * 26,
    "expires": "2031-01-01T00:00:00Z",
    "home": "g" * 26,
    "log_key": b64(SigningKey.generate().public),
    "account": "a" * 52,
    "address": "eve@example.org",
    "head": b64(bytes(32)),
    "public": b64(generate_keypair().public),
    "suite": "X25519",
    "gen": 2,
    "cert": b64(bytes(64)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_fact_of_the_invitation_is_bound_to_the_secret(ann, invited, name):
    with pytest.raises((ForgedRecord, Malformed)):
        check(replace(invited, record=bent(invited.record, **{name: CHANGES[name]})), ann)


@pytest.mark.parametrize("name", ["inv", "account", "head", "public", "gen", "cert"])
def test_the_certificate_binds_the_key_without_the_secret(ann, invited, name):
    with pytest.raises(ForgedRecord):
        check(replace(invited, record=bent(invited.record, **{name: CHANGES[name]})), ann, S=None)


def test_the_suite_is_certified_with_the_key(ann, keypairs):
    """A key that two suites could read: the name of the other one is not what was signed."""
    x25519 = keypairs[Suite.X25519]
    message = invitation(ann, public=x25519.public, suite=Suite.X25519)
    assert b"X25519" in message.record
    with pytest.raises(Malformed):
        check(replace(message, record=bent(message.record, suite="MLKEM768_X25519")), ann, S=None)


def test_a_certificate_of_the_other_role_does_not_serve(ann, invited, bob, accepted):
    taken = read_acceptance(accepted.record)
    facts = {
        "account": bob.identity.account,
        "head": b64(bob.identity.head),
        "public": b64(taken.public),
        "cert": b64(taken.cert),
    }
    with pytest.raises(ForgedRecord):
        check(replace(invited, record=bent(invited.record, **facts)), bob, S=None)


def test_another_log_key_is_a_mismatch(ann, invited):
    with pytest.raises(KeyMismatch):
        check(invited, ann, log_key=SigningKey.generate().public)


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=1)])
def test_an_invitation_ends_at_its_time(ann, invited, late):
    expires = datetime(2030, 1, 8, tzinfo=UTC)
    check(invited, ann, now=expires - timedelta(seconds=1))
    with pytest.raises(InvitationExpired):
        check(invited, ann, now=expires + late)


@pytest.mark.parametrize("expires", ["soon", "2030-01-08T00:00:00", ""])
def test_an_invitation_ends_at_a_clear_time(ann, expires):
    with pytest.raises(Malformed):
        invitation(ann, expires=expires)


@pytest.mark.parametrize("field", ["public", "log_key", "head"])
def test_an_invitation_that_nobody_could_read_is_not_made(ann, field):
    with pytest.raises(Malformed):
        invitation(ann, **{field: b"short"})


# the acceptance, checked by the inviter


@pytest.mark.parametrize("name", sorted(set(CHANGES) - {"expires", "home", "log_key"}))
def test_every_fact_of_the_acceptance_is_bound_to_the_secret(bob, invited, accepted, name):
    record = bent(accepted.record, **{name: CHANGES[name]})
    with pytest.raises((ForgedRecord, Malformed)):
        check_acceptance(S, invited.record, record, accepted.mac, bob.chain)


@pytest.mark.parametrize("name", ["inv", "account", "head", "public", "gen", "cert"])
def test_the_acceptors_certificate_binds_his_key_without_the_secret(bob, invited, accepted, name):
    record = bent(accepted.record, **{name: CHANGES[name]})
    with pytest.raises(ForgedRecord):
        check_acceptance(None, invited.record, record, None, bob.chain)


def test_an_acceptance_answers_one_invitation(ann, bob, invited, accepted):
    other = invitation(ann, gen=2)
    with pytest.raises(ForgedRecord):
        check_acceptance(S, other.record, accepted.record, accepted.mac, bob.chain)
    with pytest.raises(ForgedRecord):
        check_acceptance(None, other.record, accepted.record, None, bob.chain)


def test_the_certificate_names_the_invitation(ann, bob, invited, accepted):
    """The server pairs Bob's certificate with another invitation of Ann's of the same id."""
    other = invitation(ann, gen=2)
    record = bent(accepted.record, invitation=b64(sha256(other.record)))
    with pytest.raises(ForgedRecord):
        check_acceptance(None, other.record, record, None, bob.chain)


def test_who_has_no_secret_cannot_accept_as_verified(eve, invited):
    forged = acceptance(eve, invited.record, OTHER_S)
    with pytest.raises(ForgedRecord):
        check_acceptance(S, invited.record, forged.record, forged.mac, eve.chain)


def test_a_message_cannot_be_sent_back_to_its_sender(bob, invited, accepted):
    """Each direction has a key of its own."""
    for mac in (invited.mac, confirmation(S, invited.record, accepted.record)):
        with pytest.raises(ForgedRecord):
            check_acceptance(S, invited.record, accepted.record, mac, bob.chain)
    with pytest.raises(ForgedRecord):
        check_confirmation(S, invited.record, accepted.record, accepted.mac or b"")


def test_nobody_accepts_their_own_invitation(ann, invited):
    own = acceptance(ann, invited.record)
    with pytest.raises(OwnInvitation):
        check_acceptance(S, invited.record, own.record, own.mac, ann.chain)


def test_an_acceptance_of_another_id_is_not_made(bob, invited):
    with pytest.raises(Malformed):
        acceptance(bob, invited.record, inv="j" * 26)


def test_a_confirmation_is_for_exactly_this_pair(ann, eve, invited, accepted):
    mac = confirmation(S, invited.record, accepted.record)
    other = acceptance(eve, invited.record)
    for secret, first, second, given_mac in (
        (OTHER_S, invited.record, accepted.record, mac),
        (S, invitation(ann, gen=2).record, accepted.record, mac),
        (S, invited.record, other.record, mac),
        (S, invited.record, accepted.record, mac[:-1]),
        (S, invited.record, accepted.record, b""),
    ):
        with pytest.raises(ForgedRecord):
            check_confirmation(secret, first, second, given_mac)


@pytest.mark.parametrize("which", ["invitation", "acceptance"])
def test_no_byte_of_a_record_can_be_bent(ann, bob, invited, accepted, which):
    record, checked = {
        "invitation": (invited.record, lambda bent: check(replace(invited, record=bent), ann)),
        "acceptance": (
            accepted.record,
            lambda bent: check_acceptance(S, invited.record, bent, accepted.mac, bob.chain),
        ),
    }[which]
    for position in range(0, len(record), 11):
        forged = flip(record, position * 8)
        with pytest.raises((ForgedRecord, Malformed)):
            checked(forged)


@given(st.binary(max_size=100))
def test_foreign_bytes_are_malformed_and_nothing_else(record):
    with pytest.raises(Malformed):
        read_invitation(record)
    with pytest.raises(Malformed):
        read_acceptance(record)


@pytest.mark.parametrize("length", [0, 16, 33])
def test_a_secret_of_another_length_is_malformed(length):
    with pytest.raises(Malformed):
        invite_keys(bytes(length), INV)


# names and links


def test_the_connection_id_is_the_hash_of_both_records():
    expected = b32(sha256(lp(b"privity/v1/connection", sha256(b"I"), sha256(b"R"))))
    assert connection_id(b"I", b"R") == expected
    assert len(expected) == 52
    assert connection_id(b"R", b"I") != expected


@given(st.text("ab", max_size=3), st.binary(max_size=3), st.text("ab", max_size=3), st.binary(max_size=3))
def test_both_ends_see_the_same_safety_number(account_a, head_a, account_b, head_b):
    number = safety_number(account_a, head_a, account_b, head_b)
    assert number == safety_number(account_b, head_b, account_a, head_a)
    groups = number.split(" ")
    assert len(groups) == 12
    assert all(len(group) == 5 and group.isdecimal() for group in groups)


def test_the_safety_number_changes_with_every_account_and_head():
    numbers = {
        safety_number(*ends)
        for ends in (
            ("a", b"1", "b", b"2"),
            ("c", b"1", "b", b"2"),
            ("a", b"3", "b", b"2"),
            ("a", b"1", "c", b"2"),
            ("a", b"1", "b", b"3"),
            ("a", b"2", "b", b"1"),
        )
    }
    assert len(numbers) == 6


def test_the_safety_number_stays_as_it_is():
    """Two versions of the program have to show the same digits."""
    assert safety_number("ann", b"1" * 32, "bob", b"2" * 32) == (
        "51935 82603 56779 92794 31887 75488 60118 16559 99956 10930 79460 65185"
    )


def test_the_link_carries_the_secret_in_its_fragment():
    link = invitation_link(HOME, INV, S)
    assert link == f"privity://{HOME}/{INV}#{b64(S)}"
    parsed = parse_link(f" {link}\n")
    assert (parsed.home, parsed.inv, parsed.secret, parsed.token) == (HOME, INV, S, None)


def test_the_mail_link_carries_a_token_and_no_secret():
    link = mail_link(HOME, INV, b"t" * 16)
    assert link == f"privity://{HOME}/{INV}?token={b64(b't' * 16)}"
    parsed = parse_link(link)
    assert (parsed.secret, parsed.token) == (None, b"t" * 16)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"privity://{HOME}/{INV}",
        f"privity://{HOME}/{INV}#",
        f"privity://{HOME}/{INV}#{b64(S)}x",
        f"privity://{HOME}/{INV}#{b64(S)[:-1]}",
        f"privity://{HOME}/{INV}#{b64(S)[:-1]}_",
        f"privity://{HOME}/{INV}?token=abcd",
        f"privity://{HOME}/{INV}?token={b64(bytes(16))}#{b64(S)}",
        f"https://{HOME}/{INV}#{b64(S)}",
        f"privity://{HOME}#{b64(S)}",
        f"privity:///{INV}#{b64(S)}",
        f"privity://{HOME}/a/b#{b64(S)}",
        f"privity://{HOME}/{INV}#{b64(S)}\nx",
    ],
)
def test_another_text_is_no_link_and_is_not_repeated(text):
    with pytest.raises(Malformed) as caught:
        parse_link(text)
    assert b64(S)[:-1] not in str(caught.value)


@given(st.text(max_size=100))
def test_foreign_text_gives_our_errors_only(text):
    for candidate in (text, f"privity://{HOME}/{INV}#{text}", f"privity://{HOME}/{INV}?token={text}"):
        try:
            parse_link(candidate)
        except Malformed:
            continue


def test_nothing_shows_the_secret(accepted):
    link = parse_link(invitation_link(HOME, INV, S))
    for shown, secret in (
        (repr(link), repr(S)[2:-1]),
        (repr(invite_keys(S, INV)), repr(invite_keys(S, INV).confirm)[2:-1]),
        (repr(accepted), repr(accepted.token)[2:-1]),
    ):
        assert secret not in shown
