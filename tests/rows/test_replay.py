"""`privity replay`: views rebuilt while the backend runs, and the past shown."""

import asyncio
import json

import pytest

from privity.testing.home import RunningHome
from privity.testing.people import Person


@pytest.mark.trial
async def test_views_are_rebuilt_while_the_backend_runs_and_the_past_can_be_read(
    backend: RunningHome, ann: Person
) -> None:
    """All views, one, none of that name; then a position, a time, and the rows of a view as they were."""
    home = ("--data", str(backend.data))

    async def replay(*arguments: str) -> tuple[int, str, str]:
        ran = await asyncio.to_thread(ann.run, "--json", "replay", *home, *arguments)
        return ran.code, ran.out, ran.err

    code, out, err = await replay()
    done = json.loads(out)
    assert (code, done["ok"], err) == (0, True, "")
    code, out, _ = await replay("--view", "items")
    assert (code, json.loads(out)["position"] >= done["position"]) == (0, True)
    code, _, err = await replay("--view", "nothing")
    assert (code, "NotFound" in err) == (1, True)
    assert (await replay("--verify"))[0] == 0

    code, out, _ = await replay("--until", str(done["position"]))
    then = json.loads(out)
    assert (code, then["position"], then["rows"]["accounts"] > 0) == (0, done["position"], True)
    code, out, _ = await replay("--until", then["at"], "--rows", "addresses")
    found = {row["address"] for row in json.loads(out)}
    assert (code, ann.address in found) == (0, True)
    code, out, _ = await replay("--until", "2020-01-01", "--rows", "addresses")
    assert (code, json.loads(out)) == (0, [])
    code, _, err = await replay("--until", str(10**9))
    assert (code, "NotFound" in err) == (1, True)
    assert (await replay("--rows", "items"))[0] == 2
