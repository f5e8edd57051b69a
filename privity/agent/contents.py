"""What is sealed in a share: the slots that were chosen, and what an agent needs to read and to renew them."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from privity.agent.files import one
from privity.agent.items import Content, read_content
from privity.crypto.sharing import Conditions, Terms, new_terms, read_terms
from privity.errors import Malformed, NotFound


class Wish(TypedDict, total=False):
    """What is to be shared of an item, and on which conditions; what is left out is all, for ever, without any.

    `slots` and `files` are those that are shared; where neither is said, all, and those that the item gets later.
    `expires` is when reading ends, `terms` a text that is to be accepted before; `reshare` over how many hands it may
    go on from there, `keep` whether the person may keep a copy of their own.
    """

    slots: Collection[str] | None
    files: Collection[str] | None
    expires: datetime | None
    terms: str | None
    reshare: int
    keep: bool


def conditions_of(wish: Wish) -> Conditions:
    """The conditions that are wished for; terms get a fresh salt.

    Raises:
        Malformed: the terms are no text, or too long.
    """
    terms = wish.get("terms")
    return Conditions(
        expires=wish.get("expires"),
        terms=new_terms(terms) if terms is not None else None,
        reshare=wish.get("reshare", 0),
        keep=wish.get("keep", False),
    )


@dataclass(frozen=True, slots=True)
class SharedContent:
    """An item's content as far as it is shared.

    `whole`: all slots of the item, those too that it gets later; else just these. `terms` are those that are to be
    accepted first. `provenance` says how a thing came that is shared on (`privity.agent.provenance`).
    """

    content: Content = field(repr=False)
    whole: bool = True
    terms: Terms | None = None
    provenance: dict[str, Any] | None = field(default=None, repr=False)

    def to_bytes(self) -> bytes:
        """The plaintext that is sealed."""
        plain = json.loads(self.content.to_bytes())
        if not self.whole:
            plain["whole"] = False
        if self.terms is not None:
            plain["terms"] = json.loads(self.terms.to_bytes())
        if self.provenance is not None:
            plain["provenance"] = self.provenance
        return json.dumps(plain, ensure_ascii=False).encode()


def read_shared(plaintext: bytes) -> SharedContent:
    """The inverse of `SharedContent.to_bytes`; older shares have a label and slots alone, and share all slots.

    Raises:
        Malformed: whoever sealed it sealed something else.
    """
    content = read_content(plaintext)
    found = json.loads(plaintext)
    whole, terms, provenance = found.get("whole", True), found.get("terms"), found.get("provenance")
    if not isinstance(whole, bool) or not isinstance(provenance, dict | None):
        raise Malformed("the sealed content is no share")
    accepted_first = None if terms is None else read_terms(json.dumps(terms).encode())
    return SharedContent(content, whole, accepted_first, provenance)


def chosen(content: Content, slots: Collection[str] | None, files: Collection[str] | None = None) -> Content:
    """The content with these slots and files alone; all that there is, where neither is said.

    Raises:
        NotFound: there is no such slot or file.
    """
    if slots is None and files is None:
        return content
    slots, files = slots or (), files or ()
    unknown = [name for name in slots if name not in content.slots]
    if unknown:
        there = ", ".join(content.slots) or "none"
        raise NotFound(f"the item has no value {unknown[0]!r}; it has: {there}")
    listed = {name: one(content.files, name) for name in files}
    return Content(content.label, {name: value for name, value in content.slots.items() if name in slots}, listed)
