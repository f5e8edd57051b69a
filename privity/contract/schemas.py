"""JSON Schemas of the messages, as AsyncAPI 3.0 takes them: those of draft 7, each named once.

Pydantic writes them; here they get names for the kinds of text that occur everywhere, and lose what says nothing.
"""

import json
from typing import Any, Final

from pydantic import TypeAdapter

from privity import errors
from privity.errors import PrivityError
from privity.messages import fields
from privity.messages.catalog import sealed_fields

Schema = dict[str, Any]

PREFIX: Final = "#/components/schemas/"
ANYTHING: Final = f"{PREFIX}JsonValue"
"""What Pydantic says where any JSON may stand."""
CLOSED: Final[Schema] = {"additionalProperties": False}
NULL: Final[Schema] = {"type": "null"}

KINDS: Final[dict[str, tuple[Any, str]]] = {
    "Id": (fields.Id, "16 random bytes in lower-case base32, chosen by the agent."),
    "HashId": (fields.AccountId, "Base32 of a SHA-256: an account, a connection, a key, a group, a line."),
    "CommandId": (fields.CommandId, "A UUID, version 7 (RFC 9562)."),
    "Address": (fields.Address, "An e-mail address in lower case."),
    "Digest": (fields.Digest, "Base64url of 32 bytes: a SHA-256, a public key of Ed25519, or a MAC."),
    "Bytes": (fields.Bytes, "Base64url without padding."),
    "Signature": (fields.Signature, "Base64url of a signature by Ed25519."),
    "Nonce": (fields.Nonce, "Base64url; what it says is the backend's own affair."),
    "CheckpointNote": (fields.CheckpointNote, "A checkpoint of the home's log, without co-signatures."),
    "Position": (fields.Position, "The place of an event in the one order of all events."),
    "Version": (fields.Version, "A number that counts from 1."),
    "PieceName": (fields.PieceName, "What a piece of a profile is called."),
    "Suite": (fields.SuiteName, "How something is sealed to a public key."),
    "Instant": (fields.Instant, "A time with its offset (RFC 3339)."),
}
"""Kinds of texts and numbers that have a name of their own in the document."""

SEALED: Final = "SealedDigest"
RAW: Final = "RawBytes"
ERROR_CODE: Final = "ErrorCode"
CODES: Final = {
    each.__name__: " ".join((each.__doc__ or "").split())
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, PrivityError) and each is not PrivityError
}
"""Every stable code with its sentence."""


class Schemas:
    """The schemas that the document needs, by name: what is added gets a name, and is referred to by that."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._types: dict[str, Any] = {}
        self.named: dict[str, Schema] = {}
        for name, (type_, description) in KINDS.items():
            schema = TypeAdapter(type_).json_schema()
            self._kinds[_key(schema)] = name
            self.named[name] = {**schema, "description": description}
        sealed = (
            "The digest of a sealed object, which rides behind in the same message; of an event, the home keeps it."
        )
        self.named[SEALED] = {**self.named["Digest"], "description": sealed}
        raw = "Raw bytes on the bus; base64url without padding where they are shown in JSON."
        self.named[RAW] = {"type": "string", "contentEncoding": "base64url", "description": raw}
        meanings = "A stable code; one that is not in this list may come from a newer home."
        self.named[ERROR_CODE] = {"type": "string", "enum": list(CODES), "description": meanings, "x-meanings": CODES}

    def sent(self, type_: Any, name: str | None = None) -> Schema:
        """What a client writes: fields with a default may be left out. A reference to it."""
        return self._add(type_, name)

    def told(self, type_: Any, *, sparse: bool = False) -> Schema:
        """What the backend writes: every field is there; with `sparse` those alone that say something."""
        ref = self._add(type_, None)
        schema = self.at(ref)
        if not sparse:
            schema["required"] = list(schema["properties"])
        if "code" in schema["properties"]:
            schema["properties"]["code"] = {"anyOf": [_ref(ERROR_CODE), NULL]}
        return ref

    def at(self, ref: Schema) -> Schema:
        """What a reference refers to."""
        return self.named[ref["$ref"].removeprefix(PREFIX)]

    def _add(self, type_: Any, name: str | None) -> Schema:
        name = name or type_.__name__
        if self._types.setdefault(name, type_) is not type_:
            raise ValueError(f"two messages are called {name}")
        if name in self.named:
            return _ref(name)
        whole = TypeAdapter(type_).json_schema(ref_template=f"{PREFIX}{{model}}")
        parts = {part: self._tidy(schema) for part, schema in whole.pop("$defs", {}).items() if schema}
        schema = self._tidy(whole)
        for field in sealed_fields(type_):
            schema["properties"][field] = _marked(schema["properties"][field])
        for part, found in {**parts, name: schema}.items():
            known = self.named.setdefault(part, found)
            if _key(known | CLOSED) != _key(found | CLOSED):
                raise ValueError(f"two things are called {part}")
            known |= found  # whoever is strict about a whole message is so about its parts
        return _ref(name)

    def _tidy(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self._tidy(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if schema.get("$ref") == ANYTHING:
            return {}
        kind = self._kinds.get(_key({key: schema[key] for key in schema if key not in ("title", "default")}))
        if kind is not None:
            ref = _ref(kind)
            return ref if schema.get("default") is None else {"allOf": [ref], "default": schema["default"]}
        tidy: Schema = {}
        for key, value in schema.items():
            match key:
                case "title" | "default" if key == "title" or value is None:
                    continue
                case "description":
                    tidy[key] = unwrapped(value)
                case "properties" | "patternProperties":
                    tidy[key] = {name: self._tidy(each) for name, each in value.items()}
                case "const" | "enum" | "default" | "required":
                    tidy[key] = value
                case "prefixItems":  # of draft 2020-12
                    tidy |= {"items": self._tidy(value), "additionalItems": False}
                case _:
                    tidy[key] = self._tidy(value)
        if "patternProperties" in tidy:
            tidy.setdefault("additionalProperties", False)
        return tidy


def _ref(name: str) -> Schema:
    return {"$ref": f"{PREFIX}{name}"}


def _key(schema: Schema) -> str:
    return json.dumps(schema, sort_keys=True)


def _marked(schema: Any) -> Any:
    """The same, where each digest names a sealed object."""
    if isinstance(schema, list):
        return [_marked(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return _ref(SEALED) if schema == _ref("Digest") else {key: _marked(each) for key, each in schema.items()}


def unwrapped(text: str) -> str:
    """A docstring's paragraphs, each in one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
