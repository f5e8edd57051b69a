"""Suppliers who sign real commands without a bus."""

from dataclasses import dataclass, field

from uuid6 import uuid7

from handlers import suppliers
from handlers.opening import Delivery
from privity.crypto.command import frame, sign_command
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import sign_replacement, supplier_device, supplier_id
from privity.encoding import b64
from privity.messages import envelope
from privity.messages.base import Command
from privity.messages.catalog import command_codec
from privity.messages.envelope import CommandEnvelope
from privity.messages.suppliers import AnnounceSupplier, ReplaceSupplier
from tests.examples import NOW
from tests.handlers.people import HOME, LOG

HANDLERS = (suppliers,)
"""Imported, they are registered."""


@dataclass
class Keeper:
    """A supplier with a key of its own."""

    name: str
    key: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def id(self) -> str:
        """Its id: the hash of its key."""
        return supplier_id(self.key.public)

    def says(self, command: Command) -> Delivery:
        """A command, signed, as the bus delivers it."""
        subject = envelope.command_subject(self.id, command.subject)
        body = command_codec(type(command)).dump_python(command, mode="json")
        said = CommandEnvelope(1, str(uuid7()), self.id, supplier_device(self.id), NOW, body)
        payload = envelope.command_envelope.dump_json(said)
        return Delivery(subject, frame(sign_command(self.key, HOME.id, subject, payload), payload))

    def announces(self, quota: int = 0, name: str = "") -> Delivery:
        """That it is there, by its own name or by another."""
        return self.says(AnnounceSupplier(self.id, name or self.name, b64(self.key.public), quota))

    def replaces(self, lost: "Keeper", by: SigningKey = LOG) -> Delivery:
        """That it takes another's place, by order of the operator."""
        return self.says(ReplaceSupplier(self.id, lost.id, b64(sign_replacement(by, lost.id, self.id))))


def told() -> list[Delivery]:
    """Two suppliers, of which one takes the other's place."""
    one, other = Keeper("supplier-1"), Keeper("supplier-2")
    return [one.announces(), one.announces(quota=7), other.announces(), other.replaces(one)]
