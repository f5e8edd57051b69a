"""Shows the AsyncAPI document in the pages: `{contract} commands` and its like, from docs/asyncapi.json alone."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Object = dict[str, Any]
DOCUMENT = Path(__file__).parent / "asyncapi.json"
SCHEMAS = "#/components/schemas/"
TYPES = "types.md"


@cache
def document() -> Object:
    """The document as it stands beside the pages."""
    found: Object = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return found


def about() -> Iterator[str]:
    """What the document says of itself."""
    info = document()["info"]
    yield f"Version {info['version']} of the contract, AsyncAPI {document()['asyncapi']}."
    yield info["description"]
    server = document()["servers"]["home"]
    yield f"**Server**: `{server['protocol']}://{server['host']}`. {server['description']}"
    yield f"**Access**: {document()['components']['securitySchemes']['device']['description']}"


def operations(beginning: str) -> Iterator[str]:
    """The operations whose channel begins so, each with its messages and what answers them."""
    for id, operation in document()["operations"].items():
        name = last(operation["channel"])
        if not f"{name}.".startswith(beginning):
            continue
        channel = document()["channels"][name]
        verb = "Send on" if operation["action"] == "send" else "Comes on"
        yield f"## {id.removeprefix('send.').removeprefix('receive.')}"
        yield f"{verb} `{channel['address']}`"
        for ref in operation["messages"]:
            yield from message(last(ref))
        reply = operation.get("reply")
        if reply and last(reply["channel"]) != "result":
            address = document()["channels"][last(reply["channel"])]["address"]
            yield f"**Answer**, on the request's reply subject `{address}`"
            for ref in reply["messages"]:
                yield from message(last(ref))


def message(name: str) -> Iterator[str]:
    """What a message says: its fields, and the example."""
    found = document()["components"]["messages"][name]
    yield found["summary"]
    if "description" in found:
        yield found["description"]
    if "x-privity-frame" in found:
        parts = ", ".join(f"{each['part']}{', …' if each.get('many') else ''}" for each in found["x-privity-frame"])
        yield f"A frame of {parts}."
    yield table(fields(inner(found["payload"])))
    yield example(found["examples"][0]["payload"])


def types() -> Iterator[str]:
    """Every schema that has a name."""
    for name, schema in document()["components"]["schemas"].items():
        if name in messages():
            continue
        yield f"## {name}"
        if "description" in schema:
            yield schema["description"]
        if "x-meanings" in schema:
            rows = [f"| `{code}` | {meaning} |" for code, meaning in schema["x-meanings"].items()]
            yield "\n".join(["| code | what it says |", "|---|---|", *rows])
        elif "properties" in schema:
            yield table(fields(schema))
        else:
            yield shown(schema, resolve=True)


@cache
def messages() -> frozenset[str]:
    """The schemas that are shown with their messages."""
    payloads = (inner(each["payload"]) for each in document()["components"]["messages"].values())
    return frozenset(schema["named"] for schema in payloads if "named" in schema)


def inner(payload: Object) -> Object:
    """What is particular to a message: body or parameters, rows of an answer, the event; else all of it."""
    match payload:
        case {"properties": {"envelope": {"allOf": [_, {"properties": dict(narrowed)}]}}}:
            return named(next(iter(narrowed.values())))
        case {"properties": {"answer": {"allOf": [_, {"properties": {"rows": {"items": row}}}]}}}:
            return named(row)
        case {"properties": {"event": event, "meta": _}}:
            return named(event)
        case {"properties": {"request": request}}:
            return named(request)
        case {"properties": {"answer": answer}}:
            return named(answer)
    return named(payload)


def named(schema: Object) -> Object:
    """The schema behind a reference; `named` is its name."""
    name = schema.get("$ref", "").removeprefix(SCHEMAS)
    return {**document()["components"]["schemas"][name], "named": name} if name else schema


def fields(schema: Object) -> Iterator[tuple[str, str, str]]:
    """Name, form and whether it is needed, of each field."""
    needed = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        default = f"else `{json.dumps(each['default'])}`" if "default" in each else "may be left out"
        yield name, shown(each), "yes" if name in needed else default


def shown(schema: Object, *, resolve: bool = False) -> str:
    """A schema in a few words."""
    match schema:
        case {"$ref": str(ref)}:
            name = ref.removeprefix(SCHEMAS)
            return f"`{name}`" if name in messages() else f"[{name}]({TYPES}#{name.lower()})"
        case {"anyOf": options}:
            return " or ".join(shown(each) for each in options)
        case {"allOf": [first, *_]}:
            return shown(first)
        case {"const": only}:
            return f"`{json.dumps(only)}`"
        case {"enum": values}:
            return ", ".join(f"`{each}`" for each in values)
        case {"type": "array", "items": list(items)}:
            return f"[{', '.join(map(shown, items))}]"
        case {"type": "array"}:
            return f"list of {shown(schema.get('items', {}))}{bounds(schema, 'Items')}"
        case {"type": "object", "patternProperties": patterns}:
            return f"object of {shown(next(iter(patterns.values())))}{bounds(schema, 'Properties')}"
        case {"type": "object"}:
            return "object"
        case {"type": "string", "pattern": str(pattern)}:
            escaped = pattern.replace("|", "\\|")
            return f"text `{escaped}`{bounds(schema, 'Length')}" if resolve else f"text{bounds(schema, 'Length')}"
        case {"type": "string"}:
            return f"text{bounds(schema, 'Length')}"
        case {"type": "integer"}:
            return f"number{bounds(schema, 'imum')}"
        case {"type": str(kind)}:
            return kind
    return "anything"


def bounds(schema: Object, what: str) -> str:
    """From how many to how many, where that is said."""
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if low is None and high is None:
        return ""
    return f", {low or 0} to {high}" if high is not None else f", from {low}"


def table(rows: Iterator[tuple[str, str, str]]) -> str:
    """A table of fields."""
    lines = [f"| `{name}` | {form} | {needed} |" for name, form, needed in rows]
    return "\n".join(["| field | what it is | needed |", "|---|---|---|", *lines]) if lines else "No fields."


def example(value: object) -> str:
    """An example, to be opened."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def last(ref: Object) -> str:
    """The name at a reference's end."""
    found: str = ref["$ref"].rpartition("/")[2]
    return found


SHOWN: dict[str, Callable[[], Iterator[str]]] = {
    "about": about,
    "commands": lambda: operations("cmd."),
    "results": lambda: operations("result."),
    "queries": lambda: operations("qry."),
    "feed": lambda: operations("feed."),
    "events": lambda: operations("evt."),
    "past": lambda: operations("past."),
    "enrolment": lambda: operations("enrol."),
    "suppliers": lambda: operations("supplier."),
    "reads": lambda: operations("read."),
    "parked": lambda: operations("dead."),
    "types": types,
}
"""What the directive shows, by its argument."""


class Contract(SphinxDirective):
    """A part of the contract."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """The nodes that stand in its place."""
        self.env.note_dependency(str(DOCUMENT))
        text = "\n\n".join(SHOWN[self.arguments[0]]())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's hook."""
    app.add_directive("contract", Contract)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
