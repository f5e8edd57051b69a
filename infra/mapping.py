"""The stored names of events: versioned, kept for ever, and read through upcasters as the events of today."""

import json
from collections.abc import Callable

from pydantic import JsonValue

from infra.store import Event as Row
from infra.store import Stored
from privity.errors import Malformed
from privity.messages.base import Event
from privity.messages.catalog import EVENTS
from privity.messages.recorded import Meta, Positioned, read_recorded, write_recorded

Upcaster = Callable[[dict[str, JsonValue]], dict[str, JsonValue]]

VERSIONS: dict[str, int] = dict.fromkeys(EVENTS, 1) | {"share-created": 2}
"""The version that is written today, for each event name."""

UNCONDITIONAL: dict[str, JsonValue] = {
    "expires": None,
    "terms": None,
    "terms_hash": None,
    "reshare": 0,
    "keep": False,
    "source": None,
}
"""What shares were before they had conditions."""

UPCASTERS: dict[str, Upcaster] = {"share-created.v1": lambda fields: fields | UNCONDITIONAL}
"""From a stored name, e.g. `share-created.v1`, to the fields of the next version."""


def stored_name(event: Event) -> str:
    """The versioned name under which the event is stored today."""
    return f"{event.name}.v{VERSIONS[event.name]}"


def to_row(event: Event, version: int, meta: Meta) -> Row:
    """The event as the store keeps it, `version` being its place in its stream (from 1).

    Raises:
        Malformed: it could be written but not be read again, and would stop every reader for ever.
    """
    data = write_recorded(event, meta)
    read_recorded(event.name, data)
    return Row(event.stream, version, stored_name(event), data)


def as_of_today(name: str, data: bytes) -> tuple[str, bytes]:
    """A stored event's name without its version, and its bytes as they would be written today.

    Raises:
        Malformed: a name or version that this code does not know.
    """
    base, _, number = name.rpartition(".v")
    version = int(number) if number.isdigit() else 0
    today = VERSIONS.get(base)
    if today is None or not 1 <= version <= today:
        raise Malformed(f"there is no stored event {name}")
    if version == today:
        return base, data
    recorded = json.loads(data)
    for older in range(version, today):
        recorded["event"] = UPCASTERS[f"{base}.v{older}"](recorded["event"])
    return base, json.dumps(recorded, separators=(",", ":")).encode()


def to_positioned(stored: Stored) -> Positioned:
    """A stored event as the event of today, at its place."""
    recorded = read_recorded(*as_of_today(stored.name, stored.data))
    return Positioned(stored.position, stored.stream, stored.version, recorded.event, recorded.meta)
