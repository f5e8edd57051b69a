"""The `privity` command with a handler that trips over the items named in a file: a fault that comes and goes."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import app
from handlers.registry import HANDLERS, Desk
from privity.cli.main import run
from privity.messages.base import Event
from privity.messages.items import AddItem

FAULT = "TRIAL_FAULT"
"""The variable that names the file; an item whose id stands in it cannot be added."""

sound = HANDLERS[AddItem].handler


def trips(command: AddItem, desk: Desk) -> list[Event]:
    """Adds an item, but for those in the file."""
    if command.item in Path(os.environ[FAULT]).read_text():
        raise ZeroDivisionError("a canary of the fault's own words")
    return sound(command, desk)


if __name__ == "__main__":
    HANDLERS[AddItem] = replace(HANDLERS[AddItem], handler=trips)
    assert app.HANDLERS is HANDLERS
    sys.exit(run(sys.argv[1:]))
