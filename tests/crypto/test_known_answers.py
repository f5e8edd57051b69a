"""The published known answers, through our own functions."""

import json
from collections.abc import Iterator

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from privity.crypto.kdf import KdfParams, argon2id, hkdf
from privity.crypto.kem import Suite, hpke_open, open_with, public_of
from privity.encoding import lp

KEMS = {0x0020: Suite.X25519, 0x647A: Suite.X_WING}
AEADS = {
    1: (AEAD.AES_128_GCM, AESGCM),
    2: (AEAD.AES_256_GCM, AESGCM),
    3: (AEAD.CHACHA20_POLY1305, ChaCha20Poly1305),
}
Vector = dict[str, str]


def read_json(name: str) -> object:
    with cryptography_vectors.open_vector_file(name, "r") as file:
        return json.load(file)


def read_fields(name: str) -> list[Vector]:
    """The blocks of "name = value" lines of a vector file, a new one at each COUNT."""
    vectors: list[Vector] = []
    with cryptography_vectors.open_vector_file(name, "r") as file:
        for line in file:
            key, equals, value = line.partition("=")
            if key.strip() == "COUNT":
                vectors.append({})
            elif equals and not line.startswith("#"):
                vectors[-1][key.strip()] = value.strip()
    return vectors


def hpke_vectors() -> Iterator[dict[str, object]]:
    """Base mode with HKDF-SHA256 and one of our KEMs."""
    for name in ("HPKE/test-vectors.json", "HPKE/hpke-pq-test-vectors.json"):
        vectors = read_json(name)
        assert isinstance(vectors, list)
        for vector in vectors:
            if vector["mode"] == 0 and vector["kem_id"] in KEMS and vector["kdf_id"] == 1 and vector["key"]:
                yield vector


HPKE = list(hpke_vectors())
HPKE_NAMES = [f"{vector['kem_id']}-{vector['aead_id']}" for vector in HPKE]


def raw(vector: dict[str, object], name: str) -> bytes:
    return bytes.fromhex(str(vector[name]))


def labeled_extract(suite: bytes, label: bytes, ikm: bytes, salt: bytes = b"") -> bytes:
    return HKDF.extract(SHA256(), salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return HKDFExpand(SHA256(), length, labeled).derive(secret)


def key_schedule(kem_id: int, aead_id: int, shared_secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce by RFC 9180, section 5.1, for base mode and HKDF-SHA256, from the text."""
    suite = b"HPKE" + kem_id.to_bytes(2, "big") + b"\x00\x01" + aead_id.to_bytes(2, "big")
    context = b"\x00" + labeled_extract(suite, b"psk_id_hash", b"") + labeled_extract(suite, b"info_hash", info)
    secret = labeled_extract(suite, b"secret", b"", shared_secret)
    key = labeled_expand(suite, secret, b"key", context, 16 if aead_id == 1 else 32)
    return key, labeled_expand(suite, secret, b"base_nonce", context, 12)


def test_the_vectors_hold_x_wing_and_our_exact_x25519_suite():
    assert {"25722-3", "32-2"} <= set(HPKE_NAMES)


@pytest.mark.parametrize("vector", HPKE, ids=HPKE_NAMES)
def test_a_private_key_gives_the_published_public_key(vector):
    assert public_of(KEMS[vector["kem_id"]], raw(vector, "skRm")) == raw(vector, "pkRm")


@pytest.mark.parametrize("vector", HPKE, ids=HPKE_NAMES)
def test_a_message_under_the_published_key_and_nonce_opens(vector):
    """The vectors use associated data, we do not: sealed anew under their key, enc as published."""
    aead, cipher = AEADS[vector["aead_id"]]
    sealed = cipher(raw(vector, "key")).encrypt(raw(vector, "base_nonce"), b"Beauty is truth", b"")
    opened = hpke_open(
        KEMS[vector["kem_id"]],
        raw(vector, "skRm"),
        raw(vector, "enc") + sealed,
        raw(vector, "info"),
        aead,
    )
    assert opened == b"Beauty is truth"


@pytest.mark.parametrize("vector", HPKE, ids=HPKE_NAMES)
def test_the_key_schedule_of_this_test_is_the_published_one(vector):
    made = key_schedule(vector["kem_id"], vector["aead_id"], raw(vector, "shared_secret"), raw(vector, "info"))
    assert made == (raw(vector, "key"), raw(vector, "base_nonce"))


@pytest.mark.parametrize("vector", HPKE, ids=HPKE_NAMES)
def test_a_blob_written_out_from_the_published_shared_secret_opens(vector):
    """Our format, suite name and info for AES-256-GCM, from RFC 9180 and the published encapsulation."""
    suite = KEMS[vector["kem_id"]]
    name = f"HPKE-{suite}-HKDF-SHA256-AES-256-GCM".encode()
    key, nonce = key_schedule(vector["kem_id"], 2, raw(vector, "shared_secret"), lp(b"a label", name, b"an id"))
    blob = b"PVH1" + bytes([len(name)]) + name + raw(vector, "enc") + AESGCM(key).encrypt(nonce, b"hi", b"")
    assert open_with(suite, raw(vector, "skRm"), blob, b"a label", b"an id") == b"hi"


@pytest.mark.parametrize("vector", read_fields("KDF/argon2id.txt"))
def test_argon2id_gives_the_published_bytes(vector):
    params = KdfParams(int(vector["memcost"]), int(vector["iter"]), int(vector["lanes"]))
    made = argon2id(
        bytes.fromhex(vector["pass"]),
        bytes.fromhex(vector["salt"]),
        params,
        secret=bytes.fromhex(vector["secret"]) if "secret" in vector else None,
        ad=bytes.fromhex(vector["ad"]) if "ad" in vector else None,
        length=int(vector["length"]),
    )
    assert made == bytes.fromhex(vector["output"])


@pytest.mark.parametrize("vector", read_fields("KDF/rfc-5869-HKDF-SHA256.txt"))
def test_hkdf_gives_the_bytes_of_rfc_5869(vector):
    made = hkdf(
        bytes.fromhex(vector["IKM"]),
        int(vector["L"]),
        bytes.fromhex(vector["info"]),
        bytes.fromhex(vector["salt"]),
    )
    assert made == bytes.fromhex(vector["OKM"])
