"""A piece opens for its owner and its readers, in its place; an answer is right for one request and one grant."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto import kem, labels
from privity.crypto.kem import KeyPair, Suite, generate_keypair
from privity.crypto.keyring import new_dek
from privity.crypto.pieces import (
    Granted,
    GrantPlace,
    PieceRecord,
    RequestPlace,
    check_answer,
    kept_challenge,
    make_answer,
    open_challenge,
    open_grant,
    open_piece,
    open_rules,
    piece_id,
    read_piece,
    request_id,
    seal_grant,
    seal_piece,
    seal_request,
    seal_rules,
    store_key,
    stored_key,
    unwrap_owner,
    verify_grant,
    verify_piece,
    verify_request,
)
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import digest
from privity.errors import DoesNotOpen, ForgedRecord, Malformed, WrongAnswer
from tests.crypto.examples import DEK, KEK, OWNER, flip

BOB_KEK = b"B" * 32
BOB, ANNS = generate_keypair(Suite.X25519), generate_keypair(Suite.X25519)
EVE = SigningKey.from_seed(b"e" * 32)
VALUE = b"+1 555 0100"
PLACE = PieceRecord(owner="ann", piece="p", name="phone", version=1, generation=1, content="", checkpoint="note")
PIECE = seal_piece(DEK, KEK, VALUE, PLACE, OWNER)
RECORD = read_piece(PIECE.record)
GRANT = GrantPlace(owner="ann", piece="p", name="phone", generation=1, reader="bob", connection="c", key="k")
WRAP, SIGNED = seal_grant(GRANT, Suite.X25519, BOB.public, DEK, OWNER)
ASKED = RequestPlace(request="r", n=1, owner="ann", asker="bob", name="phone", connection="c")
REQUEST = seal_request(ASKED, BOB_KEK, Suite.X25519, ANNS.public, EVE)
CHALLENGE = kept_challenge(BOB_KEK, REQUEST.kept, ASKED)
GRANTED = Granted(version=1, generation=1, content=digest(PIECE.content), wrap=digest(WRAP))


def moved(place: Any) -> list[Any]:
    """The same with each of its parts changed, one at a time."""
    found = []
    for field in fields(place):
        value = getattr(place, field.name)
        found.append(replace(place, **{field.name: value + 1 if isinstance(value, int) else f"{value}2"}))
    return found


def test_a_piece_opens_for_its_owner_as_it_was_signed() -> None:
    record = verify_piece(PIECE.record, PIECE.signature, OWNER.public)
    assert replace(record, content="") == PLACE
    assert unwrap_owner(KEK, PIECE.owner_wrap, record) == DEK
    assert open_piece(record, DEK, PIECE.content) == VALUE


@pytest.mark.parametrize("suite", Suite)
def test_c13_a_reader_opens_by_the_grant_and_later_by_their_own_kek(
    suite: Suite, keypairs: dict[Suite, KeyPair]
) -> None:
    pair = keypairs[suite]
    wrap, signature = seal_grant(GRANT, suite, pair.public, DEK, OWNER)
    verify_grant(GRANT, digest(wrap), signature, OWNER.public)
    key = open_grant(GRANT, suite, wrap, pair.private)
    assert stored_key(BOB_KEK, store_key(BOB_KEK, key, GRANT), GRANT) == key == DEK
    request = seal_request(ASKED, BOB_KEK, suite, pair.public, EVE)
    assert open_challenge(ASKED, suite, request.challenge, pair.private) == kept_challenge(BOB_KEK, request.kept, ASKED)


@pytest.mark.parametrize("record", moved(RECORD)[:-1], ids=[field.name for field in fields(RECORD)][:-1])
def test_content_opens_in_no_other_place(record: PieceRecord) -> None:
    with pytest.raises(DoesNotOpen):
        open_piece(record, DEK, PIECE.content)


def test_the_owners_wrap_is_of_one_key_for_whatever_version() -> None:
    assert unwrap_owner(KEK, PIECE.owner_wrap, replace(RECORD, version=7, content="", checkpoint="")) == DEK
    for name in ("owner", "piece", "name", "generation"):
        other = replace(RECORD, **{name: 2 if name == "generation" else "other"})
        with pytest.raises(DoesNotOpen):
            unwrap_owner(KEK, PIECE.owner_wrap, other)


@pytest.mark.parametrize("place", moved(GRANT), ids=[field.name for field in fields(GRANT)])
def test_a_grant_is_for_one_place(place: GrantPlace) -> None:
    with pytest.raises(ForgedRecord):
        verify_grant(place, digest(WRAP), SIGNED, OWNER.public)
    with pytest.raises(DoesNotOpen):
        open_grant(place, Suite.X25519, WRAP, BOB.private)
    with pytest.raises(DoesNotOpen):
        stored_key(BOB_KEK, store_key(BOB_KEK, DEK, GRANT), place)


@pytest.mark.parametrize("place", moved(ASKED), ids=[field.name for field in fields(ASKED)])
def test_c10_a_request_and_its_answer_are_for_one_place(place: RequestPlace) -> None:
    with pytest.raises(ForgedRecord):
        verify_request(place, digest(REQUEST.challenge), REQUEST.signature, EVE.public)
    with pytest.raises(DoesNotOpen):
        open_challenge(place, Suite.X25519, REQUEST.challenge, ANNS.private)
    with pytest.raises(DoesNotOpen):
        kept_challenge(BOB_KEK, REQUEST.kept, place)
    with pytest.raises(WrongAnswer):
        check_answer(CHALLENGE, place, GRANTED, make_answer(CHALLENGE, ASKED, GRANTED))


@pytest.mark.parametrize("granted", moved(GRANTED), ids=[field.name for field in fields(GRANTED)])
def test_c10_an_answer_is_for_one_grant(granted: Granted) -> None:
    answer = make_answer(CHALLENGE, ASKED, GRANTED)
    check_answer(CHALLENGE, ASKED, GRANTED, answer)
    with pytest.raises(WrongAnswer):
        check_answer(CHALLENGE, ASKED, granted, answer)


def test_c10_an_answer_needs_the_challenge_and_does_not_tell_it() -> None:
    assert open_challenge(ASKED, Suite.X25519, REQUEST.challenge, ANNS.private) == CHALLENGE
    answer = make_answer(CHALLENGE, ASKED, GRANTED)
    assert CHALLENGE not in answer
    with pytest.raises(WrongAnswer):
        check_answer(flip(CHALLENGE, 0), ASKED, GRANTED, answer)
    with pytest.raises(WrongAnswer):
        check_answer(CHALLENGE, ASKED, GRANTED, answer[:-1])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_u8_what_is_no_challenge_is_not_answered(length: int) -> None:
    sealed = kem.seal_to(Suite.X25519, ANNS.public, bytes(length), labels.PIECE_CHALLENGE, *ASKED.context)
    with pytest.raises(DoesNotOpen):
        open_challenge(ASKED, Suite.X25519, sealed, ANNS.private)


def test_u8_a_key_sealed_for_something_else_is_not_opened_as_a_challenge() -> None:
    with pytest.raises(DoesNotOpen):
        open_challenge(ASKED, Suite.X25519, WRAP, BOB.private)
    with pytest.raises(DoesNotOpen):
        open_grant(GRANT, Suite.X25519, REQUEST.challenge, ANNS.private)


def test_c11_nobody_else_signs_for_the_owner() -> None:
    forged = seal_piece(new_dek(), KEK, b"forged", PLACE, EVE)
    with pytest.raises(ForgedRecord):
        verify_piece(forged.record, forged.signature, OWNER.public)
    with pytest.raises(ForgedRecord):
        verify_piece(PIECE.record, forged.signature, OWNER.public)
    with pytest.raises(ForgedRecord):
        verify_grant(GRANT, digest(WRAP), seal_grant(GRANT, Suite.X25519, BOB.public, DEK, EVE)[1], OWNER.public)
    with pytest.raises(DoesNotOpen):
        open_piece(RECORD, DEK, forged.content)


@pytest.mark.parametrize("changes", [{"version": 0}, {"generation": 0}, {"v": 2}, {"content": "x"}, {"more": "x"}])
def test_a_record_that_no_owner_makes_is_malformed(changes: dict[str, object]) -> None:
    facts = {"v": 1} | {field.name: getattr(RECORD, field.name) for field in fields(RECORD)}
    assert read_piece(encode_record(facts)) == RECORD
    with pytest.raises(Malformed):
        read_piece(encode_record(facts | changes))


def test_rules_are_bound_to_account_and_number() -> None:
    sealed = seal_rules(KEK, b"[]", "ann", 1)
    assert open_rules(KEK, sealed, "ann", 1) == b"[]"
    for account, version, kek in (("eve", 1, KEK), ("ann", 2, KEK), ("ann", 1, BOB_KEK)):
        with pytest.raises(DoesNotOpen):
            open_rules(kek, sealed, account, version)


@given(st.text(max_size=10), st.text(max_size=10), st.text(max_size=10), st.text(max_size=10))
def test_ids_tell_people_and_names_apart(one: str, other: str, name: str, asker: str) -> None:
    assert (piece_id(one, name) == piece_id(other, name)) is (one == other)
    assert (request_id(one, asker, name) == request_id(asker, one, name)) is (one == asker)
    assert len(piece_id(one, name)) == len(request_id(one, other, name)) == 26
    assert piece_id(one, name) != request_id(one, asker, name)
