"""An instruction opens in its place alone, and is what its delegate signed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from privity.crypto import labels
from privity.crypto.instructions import (
    MAX_CONTENT,
    Instruction,
    open_instruction,
    read_instruction,
    seal_instruction,
    sign_instruction,
    verify_instruction,
)
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import digest
from privity.errors import DoesNotOpen, ForgedRecord, Malformed, TooLarge
from tests.crypto.examples import flip

BOB, EVE = SigningKey.from_seed(b"b" * 32), SigningKey.from_seed(b"e" * 32)
KEY = b"k" * 32
PLACE: dict[str, Any] = {"principal": "ann", "by": "bob", "delegation": "delegation", "n": 1, "generation": 1}
CONTENT = seal_instruction(KEY, b"wanted", **PLACE)
SAID = Instruction(**PLACE, expires=datetime(2027, 1, 1, tzinfo=UTC), content=digest(CONTENT), checkpoint="checkpoint")


def test_m34_an_instruction_is_what_its_delegate_signed() -> None:
    record, signature = sign_instruction(SAID, BOB)
    assert verify_instruction(record, signature, BOB.public) == SAID
    for wrong in (
        (record, signature, EVE.public),
        (record, flip(signature, 9), BOB.public),
        (flip(record, 9), signature, BOB.public),
        (record, BOB.sign(labels.ITEM_VERSION, record), BOB.public),
    ):
        with pytest.raises(ForgedRecord):
            verify_instruction(*wrong)


@pytest.mark.parametrize(
    "change", [{"principal": "eve"}, {"by": "eve"}, {"delegation": "other"}, {"n": 2}, {"generation": 2}], ids=str
)
def test_m34_what_is_wanted_opens_in_its_place_alone(change: dict[str, Any]) -> None:
    assert open_instruction(KEY, SAID, CONTENT) == b"wanted"
    with pytest.raises(DoesNotOpen):
        open_instruction(KEY, replace(SAID, **change), CONTENT)
    with pytest.raises(DoesNotOpen):
        open_instruction(b"e" * 32, SAID, CONTENT)
    with pytest.raises(DoesNotOpen):
        open_instruction(KEY, SAID, flip(CONTENT, 700))
    again = seal_instruction(KEY, b"wanted", **PLACE)
    with pytest.raises(DoesNotOpen):
        open_instruction(KEY, SAID, again)


@pytest.mark.parametrize(
    "change", [{"n": 0}, {"generation": 0}, {"expires": "soon"}, {"content": "short"}, {"by": ""}, {"more": 1}], ids=str
)
def test_m34_a_record_of_another_shape_is_none(change: dict[str, Any]) -> None:
    facts = {**PLACE, "v": 1, "expires": SAID.expires.isoformat(), "content": SAID.content, "checkpoint": "c"}
    assert read_instruction(encode_record(facts)).n == 1
    with pytest.raises(Malformed):
        read_instruction(encode_record(facts | change))


def test_m34_an_instruction_is_not_larger_than_it_may_be() -> None:
    with pytest.raises(TooLarge):
        seal_instruction(KEY, bytes(MAX_CONTENT + 1), **PLACE)
