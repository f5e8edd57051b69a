"""What a run has found: the shrunk steps are printed, and what happened by them is kept as a history."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from privity.testing.histories import Histories
from tests.histories.folding import fold
from tests.histories.record import stored
from tests.simulation.talking import Worlds
from tests.simulation.world import World

FOLDER = "PRIVITY_SIMULATIONS_KEPT"
"""The environment variable that names the folder; without it there is a new one for each finding."""
NAME = "found"
COMMANDS = "commands.jsonl"


@contextmanager
def kept(worlds: Worlds) -> Iterator[None]:
    """Keep the newest world if something fails in this block: at that time it is the one that was shrunk to."""
    try:
        yield
    except Exception as failure:
        store = keep(worlds.newest)
        failure.add_note(f"kept: python -m tests.histories.record NAME --store {store}")
        raise


def keep(world: World) -> str:
    """Its store, who said what with which result, and a history, if it folds; the URL of that store."""
    if named := os.environ.get(FOLDER):
        Path(named).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="found-", dir=named or None)) / "run"
    store = world.system.ground.kept(folder)
    with (folder / COMMANDS).open("w") as lines:
        for said in world.said:
            told = {"by": said.by, "command": type(said.command).__name__, "model": said.verdict}
            lines.write(json.dumps(told | {"code": said.result.code if said.result else None}) + "\n")
    try:
        Histories(folder).add(NAME, stored(store), fold, readable=True)
    except Exception as failure:  # what was found may be that it does not fold
        (folder / "no-history.txt").write_text(f"{type(failure).__name__}: {failure}\n")
    return store
