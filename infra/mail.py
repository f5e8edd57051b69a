"""Sending mail: into a folder in embedded mode, or by SMTP."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib

from privity.errors import Malformed, Undeliverable

Send = Callable[[EmailMessage], Awaitable[None]]
TIMEOUT = 20.0
PERMANENT = 500
"""The first of the reply codes that are final (RFC 5321, section 4.2.1)."""


def to_folder(folder: Path) -> Send:
    """A sender that writes each mail as `<message id>.eml`; sending again overwrites."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(mail: EmailMessage) -> None:
        path = folder / (str(mail["Message-ID"]).strip("<>").replace("/", "_") + ".eml")
        draft = path.with_suffix(".part")
        draft.write_bytes(mail.as_bytes())
        os.replace(draft, path)

    async def send(mail: EmailMessage) -> None:
        await asyncio.to_thread(write, mail)

    return send


def to_smtp(url: str) -> Send:
    """A sender by SMTP: `smtp://[user:password@]host[:port]` (STARTTLS where offered) or `smtps://…`.

    A failure that may pass raises OSError, so that the caller tries again; a final no to this very mail Undeliverable.

    Raises:
        Malformed: no such URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise Malformed("not an SMTP URL: smtp://user:password@host:port")

    async def send(mail: EmailMessage) -> None:
        try:
            await aiosmtplib.send(
                mail,
                hostname=parts.hostname,
                port=parts.port,
                username=unquote(parts.username) if parts.username else None,
                password=unquote(parts.password) if parts.password else None,
                use_tls=parts.scheme == "smtps",
                timeout=TIMEOUT,
            )
        except aiosmtplib.SMTPException as error:
            if _final(error):
                raise Undeliverable from error
            raise OSError(f"SMTP: {type(error).__name__}") from error

    return send


def _final(error: aiosmtplib.SMTPException) -> bool:
    """Whether the server will never take this mail. A refused password or sender is the operator's to mend:
    then all mails wait, and none is lost."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=refused):
            return all(each.code >= PERMANENT for each in refused)
        case aiosmtplib.SMTPDataError(code=code):
            return code >= PERMANENT
    return False
