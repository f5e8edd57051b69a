"""Passphrase and account secret together give the unlock key, within a floor and a ceiling of cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.kdf import KdfParams, argon2id, derive_recovery, derive_unlock
from privity.errors import Malformed

SECRET = b"s" * 16
UNLOCK = derive_unlock("correct horse", SECRET, "account", KdfParams())


def test_the_same_things_give_the_same_keys():
    again = derive_unlock("correct horse", SECRET, "account", KdfParams())
    assert (again.wrap, again.login.public) == (UNLOCK.wrap, UNLOCK.login.public)
    assert len(UNLOCK.wrap) == 32


@pytest.mark.parametrize(
    ("passphrase", "secret", "account", "params"),
    [
        ("correct horsf", SECRET, "account", KdfParams()),
        ("correct horse", b"t" * 16, "account", KdfParams()),
        ("correct horse", SECRET, "accounu", KdfParams()),
        ("correct horse", SECRET, "account", KdfParams(iterations=4)),
    ],
    ids=["passphrase", "secret", "account", "cost"],
)
def test_each_of_them_changes_both_keys(passphrase, secret, account, params):
    other = derive_unlock(passphrase, secret, account, params)
    assert other.wrap != UNLOCK.wrap
    assert other.login.public != UNLOCK.login.public


def test_two_keyboards_spell_one_passphrase():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    one, two = (derive_unlock(text, SECRET, "a", KdfParams()) for text in (composed, decomposed))
    assert one.wrap == two.wrap


def test_a_passphrase_that_is_no_unicode_is_malformed_and_not_repeated():
    with pytest.raises(Malformed) as caught:
        derive_unlock("hunter2\ud800", SECRET, "a", KdfParams())
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_secret_of_another_length_is_malformed(length):
    with pytest.raises(Malformed):
        derive_unlock("x", bytes(length), "a", KdfParams())


@pytest.mark.parametrize(
    "params",
    [
        KdfParams(memory_kib=65535),
        KdfParams(memory_kib=1024 * 1024 + 1),
        KdfParams(iterations=2),
        KdfParams(iterations=11),
        KdfParams(lanes=3),
        KdfParams(lanes=17),
    ],
    ids=str,
)
def test_a_cost_below_the_floor_or_above_the_ceiling_is_refused(params):
    with pytest.raises(Malformed):
        params.check()
    with pytest.raises(Malformed):
        derive_unlock("x", SECRET, "a", params)
    with pytest.raises(Malformed):
        KdfParams.from_json_dict(params.to_json_dict())


def test_floor_and_ceiling_are_allowed():
    KdfParams().check()
    KdfParams(1024 * 1024, 10, 16).check()


def test_parameters_come_back_from_json():
    params = KdfParams(131072, 4, 8)
    assert KdfParams.from_json_dict(params.to_json_dict()) == params


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"memory_kib": 65536, "iterations": 3},
        {"memory_kib": 65536, "iterations": 3, "lanes": 4, "more": 1},
        {"memory_kib": 65536, "iterations": 3, "lanes": "4"},
        {"memory_kib": 65536, "iterations": 3, "lanes": 4, "more": "x"},
        {"memory_kib": 65536, "iterations": 3.0, "lanes": 4},
        {"memory_kib": 65536, "iterations": True, "lanes": 4},
    ],
)
def test_other_json_is_malformed(data):
    with pytest.raises(Malformed):
        KdfParams.from_json_dict(data)


@given(st.binary(max_size=7))
def test_a_salt_that_argon2id_cannot_take_is_malformed(salt):
    with pytest.raises(Malformed):
        argon2id(b"x", salt, KdfParams())


def test_recovery_keys_belong_to_the_account_but_for_the_one_in_the_genesis():
    before, after = derive_recovery(b"r" * 32, ""), derive_recovery(b"r" * 32, "account")
    assert before.sign.public == after.sign.public
    assert before.wrap != after.wrap
    assert before.login.public != after.login.public


def test_the_recovery_keys_are_three():
    keys = derive_recovery(b"r" * 32, "account")
    assert len({keys.wrap, keys.login.seed, keys.sign.seed}) == 3


@pytest.mark.parametrize("length", [0, 16, 33])
def test_a_recovery_seed_of_another_length_is_malformed(length):
    with pytest.raises(Malformed):
        derive_recovery(bytes(length), "a")


def test_derived_keys_show_no_secret():
    keys = derive_recovery(b"r" * 32, "account")
    for shown, secret in ((repr(UNLOCK), UNLOCK.wrap), (repr(keys), keys.wrap)):
        assert repr(secret)[2:-1] not in shown
        assert "wrap" not in shown
