"""A command's signature holds for one home, one subject and one payload; a frame has one reading."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.command import (
    frame,
    sign_command,
    sign_login,
    sign_query,
    unframe,
    verify_command,
    verify_login,
    verify_query,
)
from privity.crypto.signing import SigningKey, verify
from privity.errors import BadLogin, BadSignature, Malformed, TooLarge

DEVICE = SigningKey.from_seed(b"d" * 32)
PLACE = ("home", "privity.cmd.ann.share.create", b"{}")
MEGABYTE = 1024 * 1024


def test_a_command_verifies():
    verify_command(DEVICE.public, sign_command(DEVICE, *PLACE), *PLACE)


def test_a_query_verifies():
    verify_query(DEVICE.public, sign_query(DEVICE, *PLACE), *PLACE)


def test_the_signed_bytes_are_label_home_subject_payload():
    verify(DEVICE.public, sign_command(DEVICE, *PLACE), b"privity/v1/command", b"home", PLACE[1].encode(), b"{}")


@pytest.mark.parametrize(
    "place",
    [("hope", *PLACE[1:]), (PLACE[0], "privity.cmd.eve.share.create", PLACE[2]), (*PLACE[:2], b"{ }")],
    ids=["home", "subject", "payload"],
)
def test_elsewhere_it_is_a_bad_signature(place):
    with pytest.raises(BadSignature):
        verify_command(DEVICE.public, sign_command(DEVICE, *PLACE), *place)
    with pytest.raises(BadSignature):
        verify_query(DEVICE.public, sign_query(DEVICE, *PLACE), *place)


def test_a_query_is_no_command():
    with pytest.raises(BadSignature):
        verify_command(DEVICE.public, sign_query(DEVICE, *PLACE), *PLACE)
    with pytest.raises(BadSignature):
        verify_query(DEVICE.public, sign_command(DEVICE, *PLACE), *PLACE)


def test_a_login_answers_one_nonce_for_one_home_and_one_purpose():
    proof = sign_login(DEVICE, "home", "keyring", b"nonce")
    verify_login(DEVICE.public, proof, "home", "keyring", b"nonce")
    for other in (("hope", "keyring", b"nonce"), ("home", "rotate", b"nonce"), ("home", "keyring", b"nonca")):
        with pytest.raises(BadLogin):
            verify_login(DEVICE.public, proof, *other)


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_a_frame_comes_apart_as_it_was_put_together(parts):
    assert unframe(frame(*parts), 8, MEGABYTE) == parts


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.data())
def test_a_frame_that_is_cut_is_malformed_or_has_fewer_parts(parts, data):
    whole = frame(*parts)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        assert frame(*unframe(cut, 8, MEGABYTE)) == cut
    except Malformed:
        return


@given(st.binary(max_size=60))
def test_foreign_bytes_are_no_frame_or_an_exact_one(data):
    for candidate in (data, b"PVC1" + data):
        try:
            assert frame(*unframe(candidate, 100, MEGABYTE)) == candidate
        except Malformed:
            continue


@pytest.mark.parametrize(
    "data", [b"", b"PVC", b"PVC2", b"PVC1\0", b"PVC1\0\0\0\1", b"PVC1\xff\xff\xff\xff", frame(b"x") + b"\0"]
)
def test_no_frame_is_malformed(data):
    with pytest.raises(Malformed):
        unframe(data, 8, MEGABYTE)


def test_a_frame_has_no_more_parts_and_bytes_than_allowed():
    assert unframe(frame(b"a", b"b"), 2, 14) == [b"a", b"b"]
    with pytest.raises(TooLarge):
        unframe(frame(b"a", b"b"), 1, 14)
    with pytest.raises(TooLarge):
        unframe(frame(b"a", b"b"), 2, 13)
