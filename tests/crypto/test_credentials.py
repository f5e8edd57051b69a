"""The texts that a person keeps come back whole, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.credentials import (
    decode_recovery,
    decode_secret,
    encode_recovery,
    encode_secret,
    home_id,
    log_hash,
)
from privity.encoding import b32, lp, sha256
from privity.errors import BadLogin, Malformed

ACCOUNT = b32(b"a" * 32)
LOG = b"l" * 16
SECRET = encode_secret(ACCOUNT, LOG, b"s" * 16)
RECOVERY = encode_recovery(ACCOUNT, LOG, b"r" * 32)


def raw(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


@given(raw(32), raw(16), raw(16))
def test_a_secret_comes_back_with_its_anchor(account, log, secret):
    text = encode_secret(b32(account), log, secret)
    assert text.startswith("privity-secret-1-")
    assert decode_secret(text) == (b32(account), log, secret)


@given(raw(32), raw(16), raw(32))
def test_a_recovery_seed_comes_back_with_its_anchor(account, log, seed):
    text = encode_recovery(b32(account), log, seed)
    assert text.startswith("privity-recovery-1-")
    assert decode_recovery(text) == (b32(account), log, seed)


def test_case_and_space_do_not_matter():
    assert decode_secret(f"  {SECRET.upper()}\n") == (ACCOUNT, LOG, b"s" * 16)


@pytest.mark.parametrize("text", [SECRET, RECOVERY], ids=["secret", "recovery"])
def test_any_one_wrong_letter_is_noticed(text):
    decode = decode_secret if text == SECRET else decode_recovery
    for at in range(len(text)):
        for letter in "a7-0é":
            if letter != text[at]:
                with pytest.raises(BadLogin):
                    decode(text[:at] + letter + text[at + 1 :])


@pytest.mark.parametrize(
    "text",
    ["", "privity-secret-1-", SECRET[:-1], SECRET + "a", SECRET[17:], RECOVERY, SECRET + "=", "\ud800", "ß"],
)
def test_any_other_text_is_a_bad_login_in_one_sentence(text):
    with pytest.raises(BadLogin) as caught:
        decode_secret(text)
    assert caught.value.message == "The secret or recovery text is mistyped or not complete."


@given(st.text())
def test_foreign_text_is_a_bad_login_and_nothing_else(text):
    with pytest.raises(BadLogin):
        decode_recovery(text)
    with pytest.raises(BadLogin):
        decode_recovery("privity-recovery-1-" + text)


@pytest.mark.parametrize(
    ("account", "log", "secret"),
    [("aa", LOG, b"s" * 16), (ACCOUNT, b"l", b"s" * 16), (ACCOUNT, LOG, b"s" * 32), ("!", LOG, b"s" * 16)],
)
def test_parts_of_another_length_are_malformed(account, log, secret):
    with pytest.raises(Malformed):
        encode_secret(account, log, secret)


def test_home_and_log_hash_name_the_same_key():
    hashed = sha256(lp(b"privity/v1/home", b"log key"))
    assert home_id(b"log key") == b32(hashed)[:26]
    assert log_hash(b"log key") == hashed[:16]
