"""Coverage-guided fuzzing of the readers, for who has the time: `python -m tests.fuzz.guided NAME [RUNS]`.

Needs atheris, which is not among the development dependencies: it has wheels for Linux and Python 3.11 to 3.13 alone.
Bounded by RUNS (20,000 if left out); it ends with an error at the first input that is not refused with one of ours.
"""

import random
import sys

import atheris

with atheris.instrument_imports(include=["privity", "handlers"]):
    from tests.fuzz.mutations import mutated
    from tests.fuzz.targets import TARGETS

RUNS = 20_000


def main(name: str, runs: int = RUNS) -> None:
    """Fuzz one target. Does not return: libFuzzer ends the process."""
    target = TARGETS[name]

    def once(data: bytes) -> None:
        try:
            target.read(data)
        except target.refuses:
            return

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return mutated(data or target.seeds[0], target.seeds, random.Random(seed))[:most]

    for seed in target.seeds:
        once(seed)
    options = [sys.argv[0], f"-runs={runs}", "-max_len=65536", "-timeout=10", "-print_final_stats=0"]
    atheris.Setup(options, once, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
