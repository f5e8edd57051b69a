"""A command as it comes off the bus, opened: read, bounded and addressed, but not yet believed."""

from dataclasses import dataclass, field

from pydantic import ValidationError

from privity.crypto.command import unframe
from privity.encoding import digest, lp
from privity.errors import Malformed, Refusal, SealedMissing, TooLarge
from privity.messages import envelope
from privity.messages.base import Command
from privity.messages.catalog import explain, read_command, sealed_of


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as the bus delivered it; `attempts` counts this one."""

    subject: str
    data: bytes
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Opened:
    """A well-formed command, the bytes that were signed, and the sealed objects behind it."""

    account: str
    subject: str
    envelope: envelope.CommandEnvelope
    command: Command
    payload: bytes
    signature: bytes
    digest: str
    sealed: dict[str, bytes] = field(repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """What makes a command the same command, for ever."""
        return self.account, self.envelope.id


class Unopened(Exception):
    """A message that is no command; `command_id` is as good a guess as the message allows."""

    def __init__(self, refusal: Refusal, account: str, command_id: str) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.account = account
        self.command_id = command_id


def open_delivery(delivery: Delivery) -> Opened:
    """Read one message; sizes, frame, envelope, body, and that exactly the named sealed objects came along.

    Raises:
        Unopened: with the refusal that says what is wrong.
    """
    account, command_id = "", "unreadable"
    try:
        account, name = split_subject(delivery.subject)
        if len(delivery.data) > envelope.MAX_MESSAGE:
            raise TooLarge(f"a message may have {envelope.MAX_MESSAGE} bytes")
        signature, payload, *blobs = _parts(delivery.data)
        read = _envelope(payload)
        command_id = read.id
        if read.account != account:
            raise Malformed("the subject names another account than the envelope")
        command = read_command(name, read.body)
        sealed = {digest(blob): blob for blob in blobs}
        if set(sealed) != set(sealed_of(command)):
            raise SealedMissing
    except Refusal as refusal:
        raise Unopened(refusal, account, command_id) from None
    return Opened(
        account,
        delivery.subject,
        read,
        command,
        payload,
        signature,
        digest(lp(delivery.subject.encode(), payload)),
        sealed,
    )


def split_subject(subject: str) -> tuple[str, str]:
    """`privity.cmd.<account>.<context>.<verb>` as the account and `<context>.<verb>`."""
    tokens = subject.split(".")
    if len(tokens) != 5:
        raise Malformed("a command's subject is privity.cmd.<account>.<context>.<verb>")
    return tokens[2], ".".join(tokens[3:])


def _parts(data: bytes) -> list[bytes]:
    parts = unframe(data, envelope.MAX_SEALED + 2, envelope.MAX_MESSAGE)
    if len(parts) < 2:
        raise Malformed("a command is a signature, an envelope and sealed objects")
    if len(parts[1]) > envelope.MAX_PAYLOAD:
        raise TooLarge(f"an envelope may have {envelope.MAX_PAYLOAD} bytes")
    return parts


def _envelope(payload: bytes) -> envelope.CommandEnvelope:
    try:
        return envelope.command_envelope.validate_json(payload)
    except ValidationError as error:
        raise Malformed(explain(error)) from None
