"""Adds an item to an account from the documented bytes alone: docs/sending-from-another-language.md."""

import asyncio
import base64
import json
import os
import secrets
import sys
import time
import uuid
from datetime import UTC, datetime
from hashlib import sha256

import nats
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NAMES = ("SERVER", "CREDENTIAL", "HOME_ID", "ACCOUNT", "DEVICE", "DEVICE_SEED", "KEK")
SERVER, CREDENTIAL, HOME, ACCOUNT, DEVICE, SEED, KEK = (os.environ[f"SEND_{name}"] for name in NAMES)
SUITE, SUBJECT = b"HKDF-SHA256+AES-256-GCM", f"privity.cmd.{ACCOUNT}.items.add"
B64 = base64.urlsafe_b64encode


def lp(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def seal(key: bytes, plaintext: bytes, label: bytes, *context: bytes) -> bytes:
    nonce = secrets.token_bytes(12)
    infos = (b"privity/v1/aead/key", b"privity/v1/aead/commitment")
    inner, commitment = (HKDF(SHA256(), 32, nonce, info).derive(key) for info in infos)
    sealed = AESGCM(inner).encrypt(nonce, plaintext, lp(label, SUITE, *context))
    return b"PVS1" + bytes([len(SUITE)]) + SUITE + commitment + nonce + sealed


async def main(label: str, slots: dict[str, str]) -> bool:
    item, dek = base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower(), secrets.token_bytes(32)
    place = (ACCOUNT.encode(), item.encode(), b"1")
    content = seal(dek, json.dumps({"label": label, "slots": slots}).encode(), b"privity/v1/item/content", *place)
    kek = base64.urlsafe_b64decode(KEK + "=")
    wrap = seal(kek, dek, b"privity/v1/key-wrap", b"privity/v1/purpose/item", *place)
    digests = [B64(sha256(blob).digest()).decode().rstrip("=") for blob in (content, wrap)]
    v7 = time.time_ns() // 10**6 << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    id = str(uuid.UUID(int=v7))
    envelope = {"v": 1, "id": id, "account": ACCOUNT, "device": DEVICE, "issued_at": datetime.now(UTC).isoformat()}
    payload = json.dumps(envelope | {"body": {"item": item, "content": digests[0], "wrap": digests[1]}}).encode()
    device = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(SEED + "="))
    signature = device.sign(lp(b"privity/v1/command", HOME.encode(), SUBJECT.encode(), payload))
    async with await nats.connect(SERVER, user_credentials=CREDENTIAL) as bus:
        results = await bus.subscribe(f"privity.result.{ACCOUNT}.{id}")
        await bus.publish(SUBJECT, b"PVC1" + lp(signature, payload, content, wrap))
        print(data := (await results.next_msg(timeout=10)).data.decode())
    return json.loads(data)["status"] == "accepted"


sys.exit(not asyncio.run(main(sys.argv[1], dict(each.split("=", 1) for each in sys.argv[2:]))))
