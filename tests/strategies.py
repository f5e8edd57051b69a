"""Every message that the language allows, for property tests: strategies read off the messages' own field types."""

from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta, timezone
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic import AwareDatetime, JsonValue, StringConstraints
from pydantic.fields import FieldInfo

from privity.messages.fields import Address, Bytes, Instant


def messages(type_: type[Any]) -> st.SearchStrategy[Any]:
    """Any message of that class."""
    hints = get_type_hints(type_, include_extras=True)
    return st.builds(type_, **{field.name: values(hints[field.name]) for field in fields(type_)})


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    if hint in (Instant, AwareDatetime):
        offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
        return st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=offsets)
    if hint == Bytes:
        return st.from_regex(r"[A-Za-z0-9_-]{0,20}", fullmatch=True)
    if hint == Address:
        return st.from_regex(
            r"[a-z0-9_+-]{1,10}(\.[a-z0-9_+-]{1,5})?@[a-z0-9-]{1,10}(\.[a-z0-9-]{1,5})?", fullmatch=True
        )
    if hint == JsonValue:
        return st.none() | st.booleans() | st.integers() | st.text(max_size=20)
    if is_dataclass(hint):
        return messages(cast(type[Any], hint))
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(hint)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, UnionType):
        return st.one_of(*(values(each) for each in inner))
    if origin is tuple:
        return st.lists(values(inner[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    return {bool: st.booleans(), int: st.integers(), str: st.text(max_size=20), NoneType: st.none()}[hint]


def _annotated(hint: Any) -> st.SearchStrategy[Any]:
    plain, *marks = get_args(hint)
    for mark in marks:
        if isinstance(mark, FieldInfo):
            bounds: dict[type, Any] = {type(bound): bound for bound in mark.metadata}
            if MaxLen in bounds:
                least = bounds[MinLen].min_length if MinLen in bounds else 0
                if get_origin(plain) is dict:
                    return st.dictionaries(*map(values, get_args(plain)), min_size=least, max_size=least + 3)
                inner, most = get_args(plain)[0], bounds[MaxLen].max_length
                return st.lists(values(inner), min_size=least, max_size=min(most, least + 3)).map(tuple)
            return st.integers(bounds[Ge].ge, bounds[Le].le)
        if isinstance(mark, StringConstraints) and mark.pattern:
            return st.from_regex(mark.pattern, fullmatch=True)
    return values(plain)
