"""Config files: a connection between two profiles of this machine, and a share, written down as JSON to be made.

They name people, profiles, items and conditions. No passphrase and no key stands in them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from privity.agent.contents import Wish
from privity.agent.expiry import read_expiry
from privity.agent.files import write
from privity.crypto.sharing import MAX_HOPS
from privity.errors import Malformed, NotFound
from privity.messages.catalog import explain
from privity.messages.fields import STRICT, Address

T = TypeVar("T")

MAX_CONFIG: Final = 256 * 1024
"""Bytes of a config file."""
Text = Annotated[str, Field(max_length=16 * 1024)]
Names = Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=1024)]


@dataclass(frozen=True, slots=True)
class PersonConfig:
    """One side of a connection: the profile's folder, whose it is, and what the other is to call them."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    home: Text
    address: Address
    name: Annotated[str, Field(max_length=1024)] = ""


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """Who is to be connected with whom: `inviter` is `from` in the file, `acceptor` is `to`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    inviter: Annotated[PersonConfig, Field(alias="from")]
    acceptor: Annotated[PersonConfig, Field(alias="to")]
    v: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class ShareConfig:
    """What is to be shared: `address` is `with` in the file, the others as the options of `share create`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    item: Annotated[str, Field(min_length=1, max_length=64)]
    address: Annotated[Address, Field(alias="with")]
    slots: Names | None = None
    files: Names | None = None
    expires: Annotated[str, Field(max_length=64)] | None = None
    terms: Text | None = None
    reshare: Annotated[int, Field(ge=0, le=MAX_HOPS)] = 0
    keep: bool = False
    v: Literal[1] = 1

    def wish(self) -> Wish:
        """What is to be shared, and on which conditions.

        Raises:
            Malformed: `expires` is neither a day nor a time.
        """
        return Wish(
            slots=self.slots,
            files=self.files,
            expires=read_expiry(self.expires) if self.expires is not None else None,
            terms=self.terms,
            reshare=self.reshare,
            keep=self.keep,
        )


def read_config(path: Path, type_: type[T]) -> T:
    """What a config file says.

    Raises:
        NotFound: there is no such file.
        Malformed: it says something else; names the first mistake.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG + 1)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_CONFIG:
        raise Malformed(f"{path} is too large for a config file")
    try:
        return TypeAdapter(type_).validate_json(data)
    except ValidationError as error:
        raise Malformed(f"{path}: {explain(error)}") from None


def to_json(config: ConnectionConfig | ShareConfig) -> dict[str, object]:
    """As it stands in the file."""
    found: dict[str, object] = TypeAdapter(type(config)).dump_python(config, mode="json", by_alias=True)
    return found


def write_config(path: Path, config: ConnectionConfig | ShareConfig) -> None:
    """A new config file, to be read and edited.

    Raises:
        AlreadyExists: there is one of that name.
    """
    write(path, TypeAdapter(type(config)).dump_json(config, by_alias=True, indent=2) + b"\n")
