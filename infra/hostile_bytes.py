"""What anybody may write on the bus and nats-py does not survive, made harmless before the client reads it.

At a subject or a header that is not UTF-8 its reading task ends for good, and nothing tells: the worker is alive and
deaf, and on JetStream the message comes again after each restart. And a stored message with a status line in its
headers looks to it like one of the server's own signals: it is swallowed, never acknowledged, and a thousand of them
fill the consumer. This replaces one method of the client class (nats-py 2.16), of FastStream's connections too.
"""

from typing import Any

from nats.aio.client import Client

HEADER_LINE = b"NATS/1.0"
DELIVERY = b"$JS.ACK."

_process_msg = Client._process_msg


def text(data: bytes) -> bytes:
    """The bytes as UTF-8, with a replacement character for each that is none."""
    return data.decode(errors="replace").encode()


def headers_of(reply: bytes, headers: bytes) -> bytes:
    """The headers as nats-py can read them; those of a stream's message without the status line of its sender."""
    if not headers or not headers.startswith(HEADER_LINE) or len(headers) == len(HEADER_LINE):
        return b""
    if reply.startswith(DELIVERY):
        _, _, rest = headers.partition(b"\r\n")
        headers = HEADER_LINE + b"\r\n" + rest
    return text(headers)


async def _read_harmless(
    self: Client, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
) -> None:
    await _process_msg(self, sid, text(subject), text(reply), data, headers_of(reply, headers or b""))


def survive() -> None:
    """From now on no client of this process is ended by what it reads; may be called again."""
    client: Any = Client
    client._process_msg = _read_harmless
