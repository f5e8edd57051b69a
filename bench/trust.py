"""What trust costs: the same load on a home that signs, checks, logs and gives receipts, and on one that does not.

`python -m bench.trust` measures both in turn, several times, and gives the medians and their ratio. The clock runs
while the commands are made, so that the sender's signatures are in it too.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import client
from bench.client import Sender
from bench.plan import Plan, plan_for
from privity.agent.profile import Waiting
from privity.agent.session import Signer
from privity.crypto.signing import SIGNATURE_BYTES, SigningKey
from privity.testing.home import PRIVITY, RunningHome

BARE = (sys.executable, "-m", "bench.bare")
ROUNDS = 5
MOST = 0.35
"""Of the bare home's commands a second: what trust may cost."""


class Zeros(SigningKey):
    """A key that signs nothing."""

    def sign(self, label: bytes, *parts: bytes) -> bytes:
        """As many zeros as a signature has bytes."""
        return bytes(SIGNATURE_BYTES)


def measure(plan: Plan, rounds: int = ROUNDS) -> dict[str, float]:
    """Commands a second of both homes, and which part of the bare one's throughput trust takes."""
    with tempfile.TemporaryDirectory(prefix="privity-trust-") as name:
        return asyncio.run(_measure(plan, rounds, Path(name)))


async def _measure(plan: Plan, rounds: int, folder: Path) -> dict[str, float]:
    homes = [RunningHome(folder / "whole"), RunningHome(folder / "bare")]
    signers: list[list[Signer]] = []
    for home in homes:  # accounts are made with everything on
        with home:
            signers.append([await client.register(home.data / "people", home.url) for _ in range(plan.accounts)])
    rates: list[list[float]] = [[], []]
    with RunningHome(folder / "whole", PRIVITY) as whole, RunningHome(folder / "bare", BARE) as bare:
        senders = [await client.open_sender(home.url, each) for home, each in zip((whole, bare), signers, strict=True)]
        signers[1] = [replace(signer, key=Zeros.generate()) for signer in signers[1]]
        for number in range(-1, rounds):  # the first round warms up
            for which, (sender, each) in enumerate(zip(senders, signers, strict=True)):
                rate = await _load(plan, sender, each)
                if number >= 0:
                    rates[which].append(rate)
        for sender in senders:
            await sender.close()
    found = [median(each) for each in rates]
    return {
        "whole_commands_per_s": round(found[0], 1),
        "bare_commands_per_s": round(found[1], 1),
        "cost_of_trust": round(1 - found[0] / found[1], 3),
        "cost_of_trust_at_most": MOST,
    }


async def _load(plan: Plan, sender: Sender, signers: list[Signer]) -> float:
    return await sender.load(_made(plan.load, signers), plan.in_flight, plan.seconds)


def _made(count: int, signers: list[Signer]) -> Iterator[Waiting]:
    for number in range(count):
        yield client.add_item(signers[number % len(signers)])[1]


if __name__ == "__main__":
    print(json.dumps(measure(plan_for(int(sys.argv[1]) if len(sys.argv) > 1 else 4))))
