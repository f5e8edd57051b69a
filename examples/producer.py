"""An app that acts for an account: it keeps a reading of this machine, and one person is given every new one.

    privity --home meter account create meter@example.org        # once; then invite the reader, who accepts
    PRIVITY_PASSPHRASE=... python examples/producer.py meter reader@example.org [SECONDS] [READINGS]

Each reading is sealed here, and sent as a command that this account's device signs. Kill it whenever you like: at the
next start it goes on with the same item and the same share. While the home is away, readings wait in the profile, as
many as may wait there; they go out with the first reading for which the home is back.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from privity.client import Client, Item
from privity.errors import TooManyWaiting

LABEL = "Load of a machine"


def reading() -> dict[str, str]:
    """What is measured: how many processes wanted to run in the last minute."""
    return {"load": f"{os.getloadavg()[0]:.2f}", "at": datetime.now(UTC).isoformat(timespec="seconds")}


async def opened(app: Client, reader: str) -> Item:
    """The item that holds the reading, shared with the reader: made at the first start, found at the others."""
    found = [each for each in await app.items() if each.content.label == LABEL]
    item = found[0] if found else await app.add(LABEL, reading())
    given = [each for each in await app.shares("outgoing") if (each.item, each.recipient) == (item.item, reader)]
    if not given:
        await app.share(item.item, reader)
    return item


async def main(profile: str, reader: str, seconds: str = "60", readings: str = "") -> None:
    async with Client(Path(profile), os.environ["PRIVITY_PASSPHRASE"]) as app:
        item = await opened(app, reader)
        for number in range(int(readings)) if readings else count():
            await asyncio.sleep(float(seconds) if number else 0)
            try:
                item = await app.edit(item.item, reading())
            except TooManyWaiting:
                print("the home is away for too long: this reading is dropped", flush=True)
                continue
            waits = f"; {app.waiting} wait for the home" if app.waiting else ""
            print(f"version {item.version}: {item.content.slots['load']}{waits}", flush=True)


asyncio.run(main(*sys.argv[1:]))
