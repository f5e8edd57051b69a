"""Mail by SMTP: which failures pass, and which are final."""

import asyncio
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage

import aiosmtplib
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from infra.mail import Send, to_smtp
from privity.errors import Undeliverable

REFUSED = aiosmtplib.SMTPRecipientRefused


class Server:
    """A mail server that says what the test wants."""

    def __init__(self) -> None:
        self.to_recipient = self.to_data = self.to_sender = "250 OK"
        self.taken: list[bytes] = []

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """aiosmtpd calls these by their names."""
        envelope.mail_from = address
        return self.to_sender

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.taken.append(bytes(envelope.content or b""))
        return self.to_data


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, Send]]:
    made, loop = Server(), asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(made, loop=loop), "127.0.0.1", 0)
    async with listening:
        yield made, to_smtp(f"smtp://127.0.0.1:{listening.sockets[0].getsockname()[1]}")


def mail() -> EmailMessage:
    """A mail to Bob."""
    made = EmailMessage()
    made["From"], made["To"] = "home@example.org", "bob@example.org"
    made.set_content("hello")
    return made


async def test_a_mail_that_is_taken_is_sent(server: tuple[Server, Send]) -> None:
    made, send = server
    await send(mail())
    assert b"hello" in made.taken[0]


@pytest.mark.parametrize(
    ("where", "says", "raised"),
    [
        ("to_recipient", "550 no such user", Undeliverable),
        ("to_recipient", "451 not now", OSError),
        ("to_data", "554 we do not want it", Undeliverable),
        ("to_data", "452 full", OSError),
        ("to_sender", "550 who are you", OSError),
    ],
)
async def test_a_final_no_to_this_mail_is_told_apart_from_what_may_pass(
    server: tuple[Server, Send], where: str, says: str, raised: type[Exception]
) -> None:
    """A sender that is refused is the operator's to mend: no mail is lost for it."""
    made, send = server
    setattr(made, where, says)
    with pytest.raises(raised):
        await send(mail())


@pytest.mark.parametrize(
    "error",
    [
        aiosmtplib.SMTPAuthenticationError(535, "wrong password"),
        aiosmtplib.SMTPHeloError(550, "go away"),
        aiosmtplib.SMTPServerDisconnected("gone"),
        aiosmtplib.SMTPRecipientsRefused([REFUSED(550, "no", "a@x"), REFUSED(450, "later", "b@x")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_wrong_with_the_way_may_pass(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiosmtplib, "send", failing(error))
    with pytest.raises(OSError, match="SMTP"):
        await to_smtp("smtp://127.0.0.1:1")(mail())


def failing(error: Exception) -> Callable[..., object]:
    """Fails whatever it is given."""

    async def send(*arguments: object, **options: object) -> None:
        raise error

    return send
