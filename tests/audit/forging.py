"""A home that lies with its own log key: lines changed, and the tree, proofs, checkpoint and footer made to fit."""

import json
from collections.abc import Callable
from typing import Any

from privity.audit.lines import encode
from privity.crypto.log import entry, make_checkpoint
from privity.crypto.merkle import Frontier, inclusion_proof, leaf_hash
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, lp, sha256, unb64
from tests.handlers.people import HOME, LOG

Lines = list[dict[str, Any]]


def read(export: bytes) -> tuple[dict[str, Any], Lines]:
    """The header and the events of a whole export."""
    header, *events, _ = [json.loads(line) for line in export.splitlines()]
    return header, events


def sealed(header: dict[str, Any], events: Lines, log: SigningKey = LOG) -> bytes:
    """The export of these events, everything around them made anew."""
    frontier, nodes = Frontier(), {}
    for event in events:
        place = (event["position"], event["stream"], event["version"], event["name"])
        nodes.update(frontier.append(leaf_hash(entry(*place, event["data"].encode()))))
    for index, event in enumerate(events):
        proof = inclusion_proof(index, len(events), lambda *node: nodes[node])
        event["proof"] = [b64(each) for each in proof]
    note = make_checkpoint(log, header["home"], len(events), frontier.root())
    lines = b"".join(encode(each) for each in (header | {"checkpoint": note, "count": len(events)}, *events))
    return lines + encode({"end": len(events), "digest": b64(sha256(lines))})


def forged(export: bytes, change: Callable[[Lines], None]) -> bytes:
    """The export with its events changed."""
    header, events = read(export)
    change(events)
    return sealed(header, events)


def numbered(events: Lines) -> None:
    """Positions anew, in this order."""
    for position, event in enumerate(events, 1):
        event["position"] = position


def recorded(event: dict[str, Any]) -> dict[str, Any]:
    """The stored event and meta of a line."""
    found: dict[str, Any] = json.loads(event["data"])
    return found


def rewritten(event: dict[str, Any], **fields: Any) -> None:
    """Other facts in the event itself."""
    data = recorded(event)
    data["event"] |= fields
    event["data"] = json.dumps(data, separators=(",", ":"))


def signed_anew(event: dict[str, Any], device: SigningKey, label: bytes, *, subject: str | None = None) -> None:
    """The command of a line signed by another key, perhaps under another subject; meta names it."""
    command = event["command"]
    command["subject"] = subject or command["subject"]
    payload = unb64(command["payload"])
    command["signature"] = b64(device.sign(label, HOME.id.encode(), command["subject"].encode(), payload))
    data = recorded(event)
    data["meta"]["digest"] = digest(lp(command["subject"].encode(), payload))
    event["data"] = json.dumps(data, separators=(",", ":"))
