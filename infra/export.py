"""The export of a whole log: every event in order, each with the command behind it and its proof, in bounded memory."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from infra.log import Log
from infra.store import CommandRow, EventStore, Stored
from privity.audit.lines import Draft, EventLine, Header, Message
from privity.crypto.log import Checkpoint, read_checkpoint

PAGE = 500

Progress = Callable[[int, int], None]
"""Hears how many events of how many are done."""


def export_whole(
    store: EventStore,
    log: Log,
    home: str,
    log_public: bytes,
    path: Path,
    progress: Progress = lambda done, of: None,
) -> Checkpoint:
    """Write the log as it is now to `path`, while it may grow on; the checkpoint above all of it."""
    note, size = log.newest()
    header = Header("whole", home, log_public, note, size)
    with Draft(path, header) as draft:
        for page in _pages(store, size):
            for line in _lines(store, log, page, size):
                draft.event(line)
            progress(page[-1].position, size)
        draft.finish()
    return read_checkpoint(note, log_public, home)


def _pages(store: EventStore, size: int) -> Iterator[Sequence[Stored]]:
    position = 0
    while position < size:
        page = store.after(position, PAGE, stop=size)
        yield page
        position = page[-1].position


def _lines(store: EventStore, log: Log, page: Sequence[Stored], size: int) -> Iterator[EventLine]:
    metas = [json.loads(event.data)["meta"] for event in page]
    keys = [(meta["actor"], meta["command"]) for meta in metas]
    commands = store.commands(list(dict.fromkeys(keys)))
    proofs = log.inclusions([event.position for event in page], size)
    for event, key, proof in zip(page, keys, proofs, strict=True):
        yield EventLine(
            position=event.position,
            stream=event.stream,
            version=event.version,
            name=event.name,
            data=event.data,
            proof=tuple(proof),
            command=_message(commands[key]),
        )


def _message(row: CommandRow) -> Message:
    return Message(row.subject, row.payload, row.signature)
