"""The table of handlers: one registered function a command, and what such a function is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from domain import account
from domain.facts import Actor
from privity.crypto.log import read_checkpoint
from privity.errors import ForgedRecord, Malformed, UnknownDevice
from privity.messages.base import Command, Event

C = TypeVar("C", bound=Command)
S = TypeVar("S")


class Load(Protocol):
    """Reads an aggregate as it is, earlier commands of the same batch included."""

    def __call__(self, state: type[S], id: str) -> S:
        """The state of `<kind>-<id>`; an unwritten stream gives the initial state."""
        ...


@dataclass(frozen=True, slots=True)
class Home:
    """What this backend is: the name that everything signed is bound to, and its own secrets."""

    id: str
    log_public: bytes
    mail_key: bytes = field(repr=False)

    def check_checkpoint(self, note: str) -> None:
        """Returns if it is a checkpoint of this home's log; another one would be an alarm for everybody who reads it.

        Raises:
            ForgedRecord: it is not.
        """
        read_checkpoint(note, self.log_public, self.id)

    def check_named(self, checkpoint: str) -> None:
        """Returns if a record may name it, which many readers hold against their log.

        Raises:
            Malformed: it is no checkpoint of this home's log.
        """
        try:
            self.check_checkpoint(checkpoint)
        except ForgedRecord as error:
            raise Malformed(error.message) from None


@dataclass(frozen=True, slots=True)
class Desk:
    """What a handler works with: who asks and when, the home, the aggregates, and how large the sealed objects are."""

    by: Actor
    home: Home
    load: Load
    sizes: Mapping[str, int] = field(default_factory=dict)


Handler = Callable[[Any, Desk], list[Event]]
Devices = Callable[[Any, str, Load], Mapping[str, str]]


def registered_devices(command: Command, account_id: str, load: Load) -> Mapping[str, str]:
    """The devices in the account's identity chain: device id to public key (base64url)."""
    head = load(account.State, account_id).head
    if head is None:
        raise UnknownDevice
    return head.devices


@dataclass(frozen=True, slots=True)
class Registration:
    """A handler, and where the device keys are found that may sign its command."""

    handler: Handler
    devices: Devices


HANDLERS: dict[type[Command], Registration] = {}


def handles(
    command: type[C], devices: Devices = registered_devices
) -> Callable[[Callable[[C, Desk], list[Event]]], Callable[[C, Desk], list[Event]]]:
    """Register the decorated function for `command`."""

    def register(handler: Callable[[C, Desk], list[Event]]) -> Callable[[C, Desk], list[Event]]:
        HANDLERS[command] = Registration(cast(Handler, handler), devices)
        return handler

    return register
