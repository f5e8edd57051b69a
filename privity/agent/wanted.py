"""What a delegate wants done with a share of the principal's, as it is sealed in an instruction."""

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from privity.agent.contents import Wish
from privity.crypto.sharing import Conditions, Terms, read_terms
from privity.errors import Malformed
from privity.messages.fields import STRICT, Address, Hops, Id, Instant, Version

MAX_NAMES: Final = 1024
Text = Annotated[str, Field(max_length=32 * 1024)]
Names = Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=MAX_NAMES)]
Condition = Literal["expires", "terms", "reshare", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShare:
    """A share of an item, with the person at that address; `share` is the id that it is to have.

    `slots` and `files` are those that are shared; where neither is said, all.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    share: Id
    item: Id
    address: Address = field(repr=False)
    slots: Names | None = field(default=None, repr=False)
    files: Names | None = field(default=None, repr=False)
    expires: Instant | None = None
    terms: Text | None = field(default=None, repr=False)
    reshare: Hops = 0
    keep: bool = False
    do: Literal["create"] = "create"

    @property
    def wish(self) -> Wish:
        """What of the item, and on which conditions."""
        return Wish(
            slots=self.slots,
            files=self.files,
            expires=self.expires,
            terms=self.terms,
            reshare=self.reshare,
            keep=self.keep,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGeneration:
    """The item as it is then, and other conditions: those that are named in `changed`. Terms come with their salt.

    It follows `generation`, what the delegate saw: what the principal did since stands.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    share: Id
    generation: Version
    changed: Annotated[tuple[Condition, ...], Field(max_length=4)] = ()
    expires: Instant | None = None
    terms: Text | None = field(default=None, repr=False)
    reshare: Hops = 0
    keep: bool = False
    do: Literal["update"] = "update"

    def applied(self, before: Conditions) -> Conditions:
        """The conditions that follow.

        Raises:
            Malformed: its terms are none.
        """
        terms: Terms | None = None if self.terms is None else read_terms(self.terms.encode())
        now = {"expires": self.expires, "terms": terms, "reshare": self.reshare, "keep": self.keep}
        return replace(before, **{name: now[name] for name in self.changed})  # type: ignore[arg-type]  # by their names


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A share's end."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    share: Id
    do: Literal["end"] = "end"


Wanted = NewShare | NewGeneration | End
_codec: Final[TypeAdapter[Wanted]] = TypeAdapter(Annotated[Wanted, Field(discriminator="do")])


def to_bytes(wanted: Wanted) -> bytes:
    """The plaintext that is sealed."""
    return _codec.dump_json(wanted)


def read_wanted(plaintext: bytes) -> Wanted:
    """The inverse of `to_bytes`.

    Raises:
        Malformed: whoever sealed it sealed something else.
    """
    try:
        return _codec.validate_json(plaintext)
    except (ValidationError, RecursionError):
        raise Malformed("what is wanted cannot be read") from None
