"""The document as text: JSON or YAML, the same bytes each time."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final


def to_json(document: Any) -> str:
    """Indented JSON, with a line end."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def to_yaml(document: Any) -> str:
    """YAML in blocks. Every text stands in quotes, as in JSON, whose texts are YAML's too."""
    return "\n".join(_block(document)) + "\n"


def _block(value: Any, indent: str = "") -> Iterator[str]:
    pairs: list[tuple[str, Any]]
    if isinstance(value, dict):
        pairs = [(f"{json.dumps(key, ensure_ascii=False)}:", each) for key, each in value.items()]
    else:
        pairs = [("-", each) for each in value]
    for head, each in pairs:
        if isinstance(each, dict | list) and each:
            yield f"{indent}{head}"
            yield from _block(each, f"{indent}  ")
        else:
            yield f"{indent}{head} {json.dumps(each, ensure_ascii=False)}"


FORMATS: Final[dict[str, Callable[[Any], str]]] = {"json": to_json, "yaml": to_yaml}
"""By name."""
