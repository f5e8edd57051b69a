"""Sending mail: into a folder in embedded mode, or by SMTP."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib

from privity.errors import Malformed

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

    A failure that may pass raises OSError, so that the caller tries again; a final one another error.

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
        except aiosmtplib.SMTPResponseException as error:
            if error.code >= PERMANENT:
                raise
            raise OSError(f"SMTP: {error.code}") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(each.code >= PERMANENT for each in error.recipients):
                raise
            raise OSError("SMTP: not now") from error
        except aiosmtplib.SMTPException as error:
            raise OSError(f"SMTP: {type(error).__name__}") from error

    return send
