"""A file's segment opens whole or not at all, and is what C2SP chunked encryption says.

The vectors that the wheel ships are of the SHA-256 instantiation; Cobblestone-256 is the same with SHA-512.
So a reference, written here from the specification, has to agree with all the vectors, and with ours under
SHA-512.
"""

import base64
import hashlib
import json
import zlib

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto import labels
from privity.crypto.files import decrypt_segment, encrypt_segment, open_chunked
from privity.encoding import lp
from privity.errors import DoesNotOpen, Malformed
from tests.crypto.examples import flip

KEY = b"F" * 32
CONTEXT = (b"file-1", b"1", b"0")
CHUNK, TAG, HEADER = 16 * 1024, 16, 56


def derive(hashed: HashAlgorithm, key: bytes, salt: bytes, context: bytes) -> tuple[AESGCM, int, bytes]:
    """AEAD, base nonce and commitment."""
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + context
    out = HKDFExpand(hashed, 32 + 12 + 32, info).derive(key)
    return AESGCM(out[:32]), int.from_bytes(out[32:44], "big"), out[44:]


def reference_seal(hashed: HashAlgorithm, key: bytes, salt: bytes, context: bytes, data: bytes) -> bytes:
    box, base, commitment = derive(hashed, key, salt, context)
    chunks = [data[at : at + CHUNK] for at in range(0, len(data) + 1, CHUNK)]
    sealed = [box.encrypt((base ^ n).to_bytes(12, "big"), chunk, None) for n, chunk in enumerate(chunks)]
    return salt + commitment + b"".join(sealed)


def reference_open(hashed: HashAlgorithm, key: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """The message, or None where it does not verify."""
    box, base, commitment = derive(hashed, key, sealed[:24], context)
    body, size = sealed[HEADER:], CHUNK + TAG
    chunks = [body[at : at + size] for at in range(0, len(body) + 1, size)]
    if len(key) != 32 or sealed[24:HEADER] != commitment or len(chunks[-1]) < TAG:
        return None
    try:
        return b"".join(box.decrypt((base ^ n).to_bytes(12, "big"), chunk, None) for n, chunk in enumerate(chunks))
    except InvalidTag:
        return None


def read_vectors() -> list[dict[str, str]]:
    with cryptography_vectors.open_vector_file("chunked-encryption/vectors.json", "r") as file:
        vectors = json.load(file)["vectors"]
    return [vector for vector in vectors if vector["aead"] == "AEAD_AES_256_GCM"]


def ciphertext(vector: dict[str, str]) -> bytes:
    data = base64.b64decode(vector["ciphertext"] or "")
    return zlib.decompress(data) if vector.get("compressed") else data


VECTORS = read_vectors()
GOOD = [vector for vector in VECTORS if vector["expect"] == "success"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_reference_opens_or_refuses_as_published(vector):
    key, context = bytes.fromhex(vector["key"]), vector["context"].encode()
    opened = reference_open(SHA256(), key, ciphertext(vector), context)
    if vector["expect"] == "success":
        assert opened is not None
        assert hashlib.sha256(opened).hexdigest() == vector["payload_sha256"]
    else:
        assert opened is None


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector["name"])
def test_the_reference_seals_as_published_and_under_sha_512_ours_opens_it(vector):
    key, context, sealed = bytes.fromhex(vector["key"]), vector["context"].encode(), ciphertext(vector)
    data = reference_open(SHA256(), key, sealed, context)
    assert data is not None
    assert reference_seal(SHA256(), key, sealed[:24], context, data) == sealed
    assert open_chunked(key, reference_seal(SHA512(), key, sealed[:24], context, data), context) == data


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_ours_refuses_the_other_instantiation(vector):
    with pytest.raises(DoesNotOpen):
        open_chunked(bytes.fromhex(vector["key"]), ciphertext(vector), vector["context"].encode())


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_the_reference_opens_what_we_seal(size):
    data = bytes(size)
    sealed = encrypt_segment(KEY, data, *CONTEXT)
    assert reference_open(SHA512(), KEY, sealed, lp(labels.FILE_SEGMENT, *CONTEXT)) == data


@given(st.binary(max_size=100), st.lists(st.binary(max_size=8), max_size=4))
def test_a_segment_opens_in_its_place(data, context):
    assert decrypt_segment(KEY, encrypt_segment(KEY, data, *context), *context) == data


@pytest.mark.parametrize("place", [(b"file-2", b"1", b"0"), (b"file-1", b"2", b"0"), (b"file-1", b"1", b"1")])
def test_a_segment_of_another_file_version_or_index_does_not_open(place):
    with pytest.raises(DoesNotOpen):
        decrypt_segment(KEY, encrypt_segment(KEY, b"data", *CONTEXT), *place)


def test_no_bit_of_a_segment_can_be_turned():
    sealed = encrypt_segment(KEY, b"data", *CONTEXT)
    for bit in range(len(sealed) * 8):
        with pytest.raises(DoesNotOpen):
            decrypt_segment(KEY, flip(sealed, bit), *CONTEXT)


ONE = slice(HEADER, HEADER + CHUNK + TAG)
TWO = slice(ONE.stop, ONE.stop + CHUNK + TAG)
BENDS = {
    "cut at a chunk": lambda sealed: sealed[: ONE.stop],
    "cut in a chunk": lambda sealed: sealed[:-1],
    "a byte more": lambda sealed: sealed + b"\0",
    "a chunk more after the last": lambda sealed: sealed + sealed[TWO],
    "header only": lambda sealed: sealed[:HEADER],
    "nothing": lambda sealed: b"",
    "chunks swapped": lambda sealed: sealed[:HEADER] + sealed[TWO] + sealed[ONE] + sealed[TWO.stop :],
    "chunk doubled": lambda sealed: sealed[: ONE.stop] + sealed[ONE] + sealed[ONE.stop :],
}


@pytest.mark.parametrize("bend", BENDS.values(), ids=BENDS)
def test_a_segment_that_is_cut_or_rearranged_gives_nothing(bend):
    sealed = encrypt_segment(KEY, bytes(2 * CHUNK + 5), *CONTEXT)
    with pytest.raises(DoesNotOpen):
        decrypt_segment(KEY, bend(sealed), *CONTEXT)


def test_a_key_of_another_length_is_refused():
    with pytest.raises(Malformed):
        encrypt_segment(b"short", b"")
    with pytest.raises(DoesNotOpen):
        decrypt_segment(b"short", encrypt_segment(KEY, b""))
