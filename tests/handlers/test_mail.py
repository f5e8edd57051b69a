"""The mail handler: each invitation goes out once, and one that cannot go out holds up nobody."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any

import pytest

from handlers import mail
from privity.encoding import new_id
from privity.errors import Undeliverable
from privity.messages.invitations import ConnectionInvited
from privity.messages.recorded import write_recorded
from tests.examples import example, meta
from tests.handlers.people import HOME

SOON = datetime.now(UTC) + timedelta(days=1)


@dataclass
class Message:
    """An event as the bus delivers it, and what became of it."""

    event: ConnectionInvited
    attempts: int = 1
    became: list[str] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        """What is recorded."""
        return write_recorded(self.event, meta())

    @property
    def metadata(self) -> SimpleNamespace:
        """How often it came."""
        return SimpleNamespace(num_delivered=self.attempts)

    async def ack(self) -> None:
        """Done with."""
        self.became.append("acked")

    async def nak(self, delay: float) -> None:
        """Again, later."""
        assert delay == mail.RETRY_DELAY
        self.became.append("again")


@dataclass
class Mailer:
    """The handler with a mail server that fails as told; as a broker it catches the handler."""

    fails: Exception | None = None
    sent: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    options: dict[str, Any] = field(default_factory=dict)
    tries: int = 0

    def __post_init__(self) -> None:
        mail.subscribe(self, HOME, "home@example.org", self.send, self)  # type: ignore[arg-type]

    def subscriber(self, subject: str, **options: Any) -> Callable[[Any], None]:
        """As FastStream's broker has it."""
        self.options = options
        return lambda handler: setattr(self, "handler", handler)

    async def send(self, message: EmailMessage) -> None:
        """To the mail server."""
        self.tries += 1
        if self.fails is not None:
            raise self.fails
        self.sent.append(str(message["To"]))

    def is_done(self, key: str) -> bool:
        """As the store remembers it."""
        return key in self.done

    def mark_done(self, key: str) -> None:
        """As the store remembers it."""
        self.done.add(key)

    async def hears(self, event: ConnectionInvited, attempts: int = 1) -> str:
        """What became of the message."""
        message = Message(event, attempts)
        await self.handler(message)  # type: ignore[attr-defined]
        (became,) = message.became
        return became


def invited(**changes: Any) -> ConnectionInvited:
    """An open invitation."""
    return example(ConnectionInvited, **({"invitation": new_id(), "expires": SOON} | changes))


async def test_an_invitation_that_comes_again_is_sent_once() -> None:
    """Whatever the bus has lost is published again."""
    mailer, event = Mailer(), invited()
    assert [await mailer.hears(event) for _ in range(3)] == ["acked"] * 3
    assert mailer.sent == ["bob@localhost"]
    await mailer.hears(invited())
    assert len(mailer.sent) == 2


async def test_an_invitation_that_is_past_its_time_is_not_sent() -> None:
    mailer = Mailer()
    assert await mailer.hears(invited(expires=datetime.now(UTC) - timedelta(seconds=1))) == "acked"
    assert mailer.sent == []


async def test_what_may_pass_is_tried_again_until_it_does() -> None:
    mailer, event = Mailer(OSError("SMTP: 451")), invited()
    assert [await mailer.hears(event, attempt) for attempt in (1, 2, mail.ATTEMPTS - 1)] == ["again"] * 3
    assert not mailer.done
    mailer.fails = None
    assert await mailer.hears(event, 50) == "acked"
    assert mailer.sent == ["bob@localhost"]


async def test_it_is_given_up_in_the_end() -> None:
    mailer, event = Mailer(OSError("SMTP: 451")), invited()
    assert await mailer.hears(event, mail.ATTEMPTS) == "acked"
    assert await mailer.hears(event) == "acked"
    assert mailer.tries == 1


@pytest.mark.parametrize(
    "error", [Undeliverable(), ValueError("CANARY"), UnicodeEncodeError("ascii", "é", 0, 1, "CANARY")]
)
async def test_what_will_never_go_out_is_tried_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    mailer, event = Mailer(error), invited()
    assert [await mailer.hears(event) for _ in range(2)] == ["acked"] * 2
    assert mailer.tries == 1
    assert f"no mail for invitation {event.invitation}: {type(error).__name__}" in caplog.text
    assert "CANARY" not in caplog.text


async def test_a_mail_that_cannot_be_made_is_no_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    mailer = Mailer()

    def broken(*arguments: object) -> EmailMessage:
        raise ValueError

    monkeypatch.setattr(mail, "invitation_mail", broken)
    assert await mailer.hears(invited()) == "acked"
    assert mailer.tries == 0


async def test_mails_that_wait_for_another_try_hold_up_nobody() -> None:
    """Several at a time, and room for many that wait."""
    options = Mailer().options
    assert options["max_workers"] > 1
    assert options["config"].max_ack_pending == 1000
