"""The document as somebody reads it who has nothing else: which channel a subject is, and whether a message is valid.

Nothing here knows the code of the messages; only the frame's bytes are read as the document describes them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any

from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from privity.encoding import b64

MAGIC = b"PVC1"
Object = dict[str, Any]
FORMATS = FormatChecker(formats=())
"""The formats that the document names, each checked here: a validator takes any text for one that it does not know."""


@FORMATS.checks("date-time", raises=ValueError)
def is_instant(value: object) -> bool:
    """Whether a text is a time with its offset."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


class Contract:
    """A document that messages are held against; objects have just the fields that it names."""

    def __init__(self, document: Object) -> None:
        self._document = document = closed(document)
        whole: Resource[Any] = Resource(contents=document, specification=DRAFT7)
        self._registry: Registry[Any] = Registry().with_resource("contract", whole)
        self._validators: dict[str, Draft7Validator] = {}
        self._channels = [(id, _pattern(channel["address"])) for id, channel in document["channels"].items()]
        self._replies = {
            _last(operation["channel"]): operation["reply"]
            for operation in document["operations"].values()
            if "reply" in operation
        }

    def channel(self, subject: str) -> str | None:
        """The channel that the subject is; None where the document has none."""
        found = [id for id, pattern in self._channels if pattern.fullmatch(subject)]
        assert len(found) < 2, f"{subject} is of several channels: {found}"
        return found[0] if found else None

    def messages(self, channel: str) -> list[str]:
        """What is sent there."""
        return [_last(ref) for ref in self._document["channels"][channel]["messages"].values()]

    def replies(self, channel: str) -> list[str]:
        """What may answer it."""
        reply = self._replies.get(channel)
        return [_last(ref) for ref in reply["messages"]] if reply else []

    def faults(self, message: str, headers: Mapping[str, str], data: bytes) -> list[str]:
        """What is wrong with a message, as the document has it."""
        about = self._document["components"]["messages"][message]
        try:
            payload = unpacked(about, data)
        except ValueError as error:
            return [f"cannot be read: {error}"]
        found = [f"payload{each}" for each in self.payload_faults(message, payload)]
        if "headers" in about:
            found += [f"headers{each}" for each in self._faults(message, "headers", dict(headers))]
        return found

    def payload_faults(self, message: str, payload: Any) -> Iterator[str]:
        """The same of a payload that has been read."""
        return self._faults(message, "payload", payload)

    def _faults(self, message: str, part: str, value: Any) -> Iterator[str]:
        place = f"contract#/components/messages/{message}/{part}"
        if place not in self._validators:
            whole = Draft7Validator({"$ref": place}, registry=self._registry, format_checker=FORMATS)
            self._validators[place] = whole
        for error in self._validators[place].iter_errors(value):
            yield f"{error.json_path[1:]}: {error.message[:200]}"


def unpacked(about: Object, data: bytes) -> Any:
    """The payload of a message that the document describes so.

    Raises:
        ValueError: it is not of that form.
    """
    match about["contentType"]:
        case "application/json":
            return json.loads(data)
        case "application/octet-stream":
            return b64(data)
    parts, payload = list(_parts(data)), dict[str, Any]()
    for each in about["x-privity-frame"]:
        taken, parts = (parts, []) if each.get("many") else (parts[:1], parts[1:])
        if not each.get("many") and not taken:
            raise ValueError(f"there is no {each['part']}")
        read = [json.loads(part) if each["as"] == "json" else b64(part) for part in taken]
        payload[each["part"]] = read if each.get("many") else read[0]
    if parts:
        raise ValueError(f"{len(parts)} parts too many")
    return payload


def closed(document: Object) -> Object:
    """The same document where each schema of a name has no other fields than those that it names."""
    document = deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return document


def _parts(data: bytes) -> Iterator[bytes]:
    if not data.startswith(MAGIC):
        raise ValueError("no frame")
    rest = data[len(MAGIC) :]
    while rest:
        length = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + length:
            raise ValueError("the frame is cut")
        yield rest[4 : 4 + length]
        rest = rest[4 + length :]


def _pattern(address: str) -> re.Pattern[str]:
    """A parameter is one token; a request's, which is last, may hold dots."""
    tokens = re.split(r"(\{\w+\})", address)
    many = {"{request}": r".+"}
    return re.compile("".join(many.get(each, r"[^.]+") if each.startswith("{") else re.escape(each) for each in tokens))


def _last(ref: Mapping[str, str]) -> str:
    return ref["$ref"].rpartition("/")[2]
