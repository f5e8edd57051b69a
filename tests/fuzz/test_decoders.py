"""Whatever bytes come, every reader takes them or refuses them with an error of ours, in bounded time."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import ONCE_TRIPPED, TARGETS, Target

SLOW = {"profile file": 12, "sealed to RSA-4096-OAEP": 15, "public key of RSA-4096-OAEP": 60}
"""Readers of which one run costs milliseconds: how many examples they get."""
EXAMPLES = 150
LONG = 5.0
"""Seconds; far above what any input costs, so that only work without bound is found."""


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_valid_ones_are_read(target: Target) -> None:
    for seed in target.seeds:
        target.read(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_a_changed_one_is_read_or_refused_with_an_error_of_ours(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=SLOW.get(name, EXAMPLES), database=None)
    @given(st.integers(0, 2**64 - 1), st.sampled_from(target.seeds))
    def run(number: int, seed: bytes) -> None:
        check(target, mutated(seed, target.seeds, random.Random(number)))

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_read_or_refused_with_an_error_of_ours(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=SLOW.get(name, EXAMPLES) // 3, database=None)
    @given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
    def run(data: bytes) -> None:
        check(target, data)

    run()


@pytest.mark.parametrize(("name", "data"), ONCE_TRIPPED)
def test_what_once_tripped_a_reader_is_refused(name: str, data: bytes) -> None:
    target = TARGETS[name]
    if name != "outbox file":
        with pytest.raises(target.refuses):
            target.read(data)
        check(target, data)
    else:
        assert target.read(data) == []  # set aside, so that it does not hold up the others


def check(target: Target, data: bytes) -> None:
    """One input; what is not refused rightly fails the test by itself."""
    began = time.monotonic()
    refusal = "none"
    try:
        target.read(data)
    except target.refuses as error:
        refusal = str(error)
    assert 0 < len(refusal) < 1_000
    assert time.monotonic() - began < LONG
