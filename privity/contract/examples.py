"""One example of anything that has a schema: the same at each run, named after its fields, and valid."""

from collections.abc import Callable, Mapping
from hashlib import sha512
from typing import Any, Final

from privity.contract.schemas import PREFIX, SEALED, Schema
from privity.encoding import b32, b64, sha256

AT: Final = "2026-03-01T12:00:00Z"
ID: Final = "019ca000-0000-7000-8000-000000000000"
VALUES: Final = {
    "position": 1,
    "id": ID,
    "checkpoint": "privity/pukfpwjq6foeah5iqygutgy7fn\n1\nxvSJPP0WVCe7RTd9k6+H+/jH6eFILNzsMg6ISKem9Zc=\n\n"
    "— privity/pukfpwjq6foeah5iqygutgy7fn On3i3iaLXOHEF+Hf+BY7FiWPAd5iYWjecmasXEohoR+n9e7IKCD1jNVsFjFt/9T40mrWNZJDzG"
    "z8yonxIGRXPoFpqAE=\n",
    "code": "NotFound",
    "message": "There is no such thing here.",
    "next": None,
    "name": "item-added.v1",
    "event": "item-added",
    "stream": f"item-{b32(sha256(b'item')[:16])}",
    "data": '{"event":{"item":"the item\'s id"},"meta":{}}',
    "subject": f"privity.cmd.{b32(sha256(b'account'))}.items.add",
}
"""Values whose form the schema does not tell, by the field's name."""


class Examples:
    """Makes examples; `sealed` are the objects that the digests in them name, by digest."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self._schemas = schemas
        self.sealed: dict[str, bytes] = {}

    def of(self, schema: Schema, name: str = "example") -> Any:
        """An example, as the value of a field of that name.

        Raises:
            ValueError: this kind of schema has none yet.
        """
        match schema:
            case {"$ref": str(ref)}:
                return self._named(ref.removeprefix(PREFIX), name)
            case {"default": default} if default != [] and name not in VALUES:
                return default
            case {"const": only}:
                return only
            case {"enum": [first, *_]}:
                return first
            case {"anyOf": [*_, {"type": "null"}]} if name in ("code", "message"):
                return None
            case {"anyOf": [first, *_]}:
                return self.of(first, name)
            case {"allOf": parts}:
                return self._all(parts, name)
            case {"type": "object"} | {"properties": _}:
                return self._object(schema, name)
            case {"type": "array"} | {"items": _}:
                return self._array(schema, name)
            case {"type": "integer"}:
                return VALUES.get(name) or max(schema.get("minimum", 1), 1)
            case {"type": "boolean"}:
                return True
            case {"type": "string", "pattern": str(pattern)}:
                return self._text(pattern, name)
            case {"type": "string"}:
                return VALUES.get(name, name)
            case {"type": "null"}:
                return None
        raise ValueError(f"no example for {name}: {schema}")

    def _named(self, kind: str, name: str) -> Any:
        match kind:
            case "Instant":
                return AT
            case "CommandId":
                return ID
            case "Address":
                return f"{name.replace('_', '-')}@example.org"
            case _ if kind == SEALED:
                object = f"the sealed {name}".encode()
                digest = b64(sha256(object))
                self.sealed[digest] = object
                return digest
        return self.of(self._schemas[kind], name)

    def _all(self, parts: list[Schema], name: str) -> Any:
        found = [self.of(part, name) for part in parts]
        if not isinstance(found[0], dict):
            return found[0]
        return {key: value for each in found for key, value in each.items()}

    def _object(self, schema: Schema, name: str) -> dict[str, Any]:
        found = {key: self.of(value, key) for key, value in schema.get("properties", {}).items()}
        for pattern, value in schema.get("patternProperties", {}).items():
            found[self._text(pattern, "account")] = self.of(value, name)
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            found |= {"item": self.of(more, name)} if more else {}
        return found

    def _array(self, schema: Schema, name: str) -> list[Any]:
        items = schema.get("items", {})
        if isinstance(items, list):
            return [self.of(each, name) for each in items]
        count = max(schema.get("minItems", 1), 1)
        return [self.of(items, name if count == 1 else f"{name} {n}") for n in range(1, count + 1)]

    def _text(self, pattern: str, name: str) -> str:
        text = TEXTS.get(pattern)
        if text is None:
            raise ValueError(f"no example for {name}: a text of the form {pattern}")
        return text(name)


def _short(name: str) -> str:
    return b32(sha256(name.encode())[:16])


def _long(name: str) -> str:
    return b32(sha256(name.encode()))


TEXTS: Final[Mapping[str, Callable[[str], str]]] = {
    "^[a-z2-7]{26}$": _short,
    "^[a-z2-7]{26}([a-z2-7]{26})?$": _short,
    "^[a-z2-7]{0,26}$": lambda _: "",
    "^[a-z2-7]{0,52}$": lambda _: "",
    "^[a-z2-7]{52}$": _long,
    "^[A-Za-z0-9_-]{43}$": lambda name: b64(sha256(name.encode())),
    "^[A-Za-z0-9_-]{86}$": lambda name: b64(sha512(name.encode()).digest()),
    "^[A-Za-z0-9_-]*$": lambda name: b64(f"the {name}".encode()),
    "^[a-z0-9][a-z0-9_-]{0,31}$": lambda _: "phone",
    "^[a-z0-9][a-z0-9-]{0,31}$": lambda _: "supplier-1",
    "^[A-Z][A-Za-z]{1,63}$": lambda _: "NotFound",
    "^[A-Za-z][A-Za-z0-9 _.,:'-]{0,199}$": lambda name: f"a {name}",
    "^U[A-Z2-7]{55}$": lambda name: f"U{_long(name).upper()}AAA",
    "^[0-9]+$": lambda _: "1",
}
"""By the form that they must have: a text of the field of a name."""
