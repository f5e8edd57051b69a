"""What anybody may write on the bus and nats-py does not survive, made harmless before the client reads it.

At a subject, or a status line of the headers, that is not UTF-8 its reading task ends for good, and nothing tells: the
worker is alive and deaf, and on JetStream the message comes again after each restart. This replaces one method of the
client class (nats-py 2.16), and so serves FastStream's connections too.
"""

from typing import Any

from nats.aio.client import Client

HEADER_LINE = b"NATS/1.0"

_process_msg = Client._process_msg


def text(data: bytes) -> bytes:
    """The bytes as UTF-8, with a replacement character for each that is none."""
    return data.decode(errors="replace").encode()


def headers_of(headers: bytes | None) -> bytes:
    """The headers as nats-py can read them; none where they are cut off in their first line."""
    return text(headers) if headers and len(headers) > len(HEADER_LINE) else b""


async def _read_harmless(
    self: Client, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
) -> None:
    await _process_msg(self, sid, text(subject), text(reply), data, headers_of(headers))


def survive() -> None:
    """From now on no client of this process is ended by what it reads; may be called again."""
    client: Any = Client
    client._process_msg = _read_harmless
