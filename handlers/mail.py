"""The mail handler: each recorded invitation goes out by e-mail, with a token of its own and without the secret."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Protocol

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker
from faststream.nats.subscriber.usecases import ConcurrentPushStreamSubscriber
from nats.aio.msg import Msg
from nats.js.api import AckPolicy as JetStreamAck
from nats.js.api import ConsumerConfig

from handlers.intake import raw
from handlers.invitations import mail_token
from handlers.registry import Home
from infra.streams import EVENTS
from privity.crypto.invitation import mail_link
from privity.encoding import unb64
from privity.messages.envelope import EVENT_SUBJECT
from privity.messages.invitations import ConnectionInvited
from privity.messages.recorded import read_recorded

log = logging.getLogger(__name__)

DURABLE = "mail"
RETRY_DELAY = 10.0
ATTEMPTS = 100
IN_FLIGHT = 1000
AT_A_TIME = 4
"""Mails on their way at once; those that wait for another try hold up nobody."""

Send = Callable[[EmailMessage], Awaitable[None]]


class Sent(Protocol):
    """Remembers what was sent, for ever: what the bus has lost and brings again goes out once."""

    def is_done(self, key: str) -> bool:
        """Whether it was sent."""
        ...

    def mark_done(self, key: str) -> None:
        """It was sent."""
        ...


def subscribe(broker: NatsBroker, home: Home, sender: str, send: Send, sent: Sent) -> ConcurrentPushStreamSubscriber:
    """Hear of invitations; a mail that cannot be sent now is tried again, one that can never be sent is not."""
    subscriber = broker.subscriber(
        f"{EVENT_SUBJECT}.{ConnectionInvited.context}.{ConnectionInvited.name}.>",
        durable=DURABLE,
        stream=JStream(EVENTS, declare=False),
        config=ConsumerConfig(ack_policy=JetStreamAck.EXPLICIT, ack_wait=120, max_ack_pending=IN_FLIGHT),
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
        decoder=raw,
        include_in_schema=False,
        max_workers=AT_A_TIME,
    )

    async def invited(message: Msg) -> None:
        event = read_recorded(ConnectionInvited.name, message.data).event
        assert isinstance(event, ConnectionInvited)  # noqa: S101 - the subject says so
        key = f"mail-{event.invitation}"
        if event.expires <= datetime.now(UTC) or await asyncio.to_thread(sent.is_done, key):
            await message.ack()
            return
        try:
            await send(invitation_mail(event, home, sender))
        except OSError as error:  # the way is blocked: for now
            attempts = message.metadata.num_delivered or 1
            log.warning("mail for invitation %s, attempt %d: %s", event.invitation, attempts, error)
            if attempts < ATTEMPTS:
                await message.nak(delay=RETRY_DELAY)
                return
            log.error("gave up on the mail for invitation %s", event.invitation)
        except Exception as error:  # this mail will never go out: its address, or a server's final no
            log.error("no mail for invitation %s: %s", event.invitation, type(error).__name__)
        await asyncio.to_thread(sent.mark_done, key)
        await message.ack()

    subscriber(invited)
    return subscriber


def invitation_mail(event: ConnectionInvited, home: Home, sender: str) -> EmailMessage:
    """The e-mail: who invites, until when, and a link that opens the invitation but does not verify it."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = event.email
    mail["Subject"] = f"{event.address} invites you to connect on Privity"
    mail["Message-ID"] = f"<{event.invitation}@{home.id}.privity>"
    link = mail_link(home.id, event.invitation, unb64(mail_token(home, event.invitation)))
    text = (
        f"{event.address} invites you to share private data with them.\n\n"
        f"    privity accept '{link}'\n\n"
        f"The invitation is open until {event.expires.astimezone(UTC):%Y-%m-%d %H:%M} UTC.\n\n"
        "This mail came over the server, which proves nothing about who wrote it. If you have the longer\n"
        f"link from {event.address} directly, use that one: then both of you are verified at once. With this\n"
        "one, compare the safety number afterwards: privity connection verify.\n"
    )
    # Quoted-printable would break the link in two for whoever reads the file, or pipes the mail to a program.
    mail.set_content(text, cte="7bit" if text.isascii() else "quoted-printable")
    return mail
