"""The log's entries, and its checkpoints as signed notes.

The forms are C2SP's: signed-note, tlog-checkpoint and tlog-cosignature (https://c2sp.org). A note is a text
of lines, an empty line, and one line for each signature; the log's own signature comes first.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from privity.crypto import labels
from privity.crypto.merkle import EMPTY_ROOT
from privity.crypto.signing import SIGNATURE_BYTES, SigningKey, verify_note
from privity.encoding import lp, sha256
from privity.errors import ForgedRecord

ORIGIN_PREFIX: Final = "privity/"
ED25519: Final = b"\x01"
COSIGNATURE: Final = b"\x04"
KEY_ID_BYTES: Final = 4
TIME_BYTES: Final = 8
MAX_BARE: Final = 512
"""Characters of a note with the log's own signature alone."""
MAX_NOTE: Final = 4096
"""Characters of a note with all its co-signatures."""
MAX_SIZE: Final = 2**62
LAST_SECOND: Final = 253_402_300_799  # of the year 9999

_TEXT: Final = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")
_NAME: Final = re.compile(r"[^\s+\x00-\x1f\x7f\ud800-\udfff]{1,128}")
_SIGNATURE: Final = re.compile(rf"— ({_NAME.pattern}) ([A-Za-z0-9+/]+={{0,2}})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: `size` leaves have the root `root` (32 bytes); `note` is the text that says it."""

    origin: str
    size: int
    root: bytes
    note: str


def entry(position: int, stream: str, version: int, name: str, data: bytes) -> bytes:
    """What the log holds of a stored event; `name` is the stored one, e.g. `share-created.v1`, `data` its bytes.

    Its leaf has the index position - 1.
    """
    place = (str(position).encode(), stream.encode(), str(version).encode(), name.encode())
    return lp(labels.LOG_ENTRY, *place, data)


def origin_of(home: str) -> str:
    """The name under which a home's log signs."""
    return ORIGIN_PREFIX + home


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """The four bytes by which a signature line names its key; `kind` is ED25519 or COSIGNATURE."""
    return sha256(name.encode() + b"\n" + kind + public)[:KEY_ID_BYTES]


def make_checkpoint(log_key: SigningKey, home: str, size: int, root: bytes) -> str:
    """The signed note that says: the log of this home has `size` leaves and the root `root` (32 bytes)."""
    origin = origin_of(home)
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    signature = key_id(origin, ED25519, log_key.public) + log_key.sign_note(text.encode())
    return f"{text}\n{_line(origin, signature)}"


def read_checkpoint(note: str, log_public: bytes, home: str) -> Checkpoint:
    """The checkpoint of this home's log in a note; co-signatures behind the log's own are left unread.

    Raises:
        ForgedRecord: another log's, another key's, not such a note, or a longer one than is allowed.
    """
    text, lines = _parts(note)
    name, signature = lines[0]
    origin, size, root = _facts(text)
    expected = origin_of(home)
    if origin != expected or name != expected or len(signature) != KEY_ID_BYTES + SIGNATURE_BYTES:
        raise ForgedRecord("this is no checkpoint of this home's log")
    if signature[:KEY_ID_BYTES] != key_id(expected, ED25519, log_public):
        raise ForgedRecord("the checkpoint is signed by another key")
    verify_note(log_public, signature[KEY_ID_BYTES:], text.encode())
    return Checkpoint(origin, size, root, note)


def cosign(note: str, name: str, key: SigningKey, at: datetime) -> str:
    """The note with one more signature: `name` saw this checkpoint, and no other history of the log, up to `at`.

    The caller has verified the checkpoint, and that it extends all that was co-signed before.

    Raises:
        ForgedRecord: not such a note, the name is the log's own or none, or the note becomes too long.
    """
    text, lines = _parts(note)
    if name == lines[0][0] or not _NAME.fullmatch(name):
        raise ForgedRecord("this is no name of a witness")
    seconds = int(at.timestamp())
    signature = key.sign_note(_cosigned_text(text, seconds))
    cosigned_note = note + _line(name, _cosignature(name, key.public, seconds) + signature)
    _parts(cosigned_note)
    return cosigned_note


def cosigned(note: str, name: str, public: bytes) -> datetime:
    """When `name`, with this key, co-signed the note for the last time.

    Raises:
        ForgedRecord: it did not, or one of its co-signatures does not verify.
    """
    text, lines = _parts(note)
    known = key_id(name, COSIGNATURE, public)
    mine = [signature for by, signature in lines[1:] if by == name and signature[:KEY_ID_BYTES] == known]
    if not mine:
        raise ForgedRecord(f"{name} has not co-signed this checkpoint")
    return max(_cosigned_at(text, signature, public) for signature in mine)


def bare(note: str) -> str:
    """The note without co-signatures, at most 512 characters.

    Raises:
        ForgedRecord: not such a note, or longer.
    """
    _parts(note)
    text, _, signatures = note.partition("\n\n")
    short = f"{text}\n\n{signatures.partition(chr(10))[0]}\n"
    if len(short) > MAX_BARE:
        raise ForgedRecord("the checkpoint is too long")
    return short


def _parts(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The signed text, and each signature line's name and bytes; there is at least one."""
    if len(note) > MAX_NOTE:
        raise ForgedRecord("the checkpoint is too long")
    text, gap, signatures = note.partition("\n\n")
    lines = signatures.split("\n")
    if not gap or lines.pop() != "" or not lines:
        raise ForgedRecord("this is no signed note")
    found = [_SIGNATURE.fullmatch(line) for line in lines]
    read = [(match[1], _unbase64(match[2])) for match in found if match]
    if len(read) != len(found):
        raise ForgedRecord("this is no signed note")
    _facts(text + "\n")
    return text + "\n", read


def _facts(text: str) -> tuple[str, int, bytes]:
    match = _TEXT.fullmatch(text)
    if match is None or not match[1].isprintable():
        raise ForgedRecord("this is no checkpoint")
    size, root = int(match[2]), _unbase64(match[3])
    if size > MAX_SIZE or (size == 0 and root != EMPTY_ROOT):
        raise ForgedRecord("this is no checkpoint")
    return match[1], size, root


def _cosigned_at(text: str, signature: bytes, public: bytes) -> datetime:
    body = signature[KEY_ID_BYTES:]
    seconds = int.from_bytes(body[:TIME_BYTES], "big")
    if len(body) != TIME_BYTES + SIGNATURE_BYTES or seconds > LAST_SECOND:
        raise ForgedRecord("this is no co-signature")
    verify_note(public, body[TIME_BYTES:], _cosigned_text(text, seconds))
    return datetime.fromtimestamp(seconds, UTC)


def _cosigned_text(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _cosignature(name: str, public: bytes, seconds: int) -> bytes:
    return key_id(name, COSIGNATURE, public) + seconds.to_bytes(TIME_BYTES, "big")


def _line(name: str, signature: bytes) -> str:
    return f"— {name} {base64.b64encode(signature).decode()}\n"


def _unbase64(text: str) -> bytes:
    """Only the canonical form, so that one note has one text."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        data = b""
    if base64.b64encode(data).decode() != text:
        raise ForgedRecord("this is no signed note")
    return data
