"""U4: one ciphertext that opens to two texts under two keys, made for real, and why nobody takes it."""

import secrets

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privity.agent import items, sending, shares
from privity.agent.connections import Broken
from privity.crypto import aead, labels, sharing
from privity.crypto.files import decrypt_segment, encrypt_segment
from privity.crypto.kdf import hkdf
from privity.encoding import lp
from privity.errors import DoesNotOpen, Malformed
from privity.testing.people import Person

REDUCTION = 0xE1 << 120
ONE = 1 << 127  # the field's one, in GCM's order of bits


def times(x: int, y: int) -> int:
    """The product in GCM's field of 2^128 elements (SP 800-38D, section 6.3)."""
    z = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            z ^= y
        y = y >> 1 ^ (REDUCTION if y & 1 else 0)
    return z


def power(x: int, exponent: int) -> int:
    found = ONE
    while exponent:
        if exponent & 1:
            found = times(found, x)
        x, exponent = times(x, x), exponent >> 1
    return found


def inverse(x: int) -> int:
    return power(x, 2**128 - 2)


def block(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES256(key), modes.ECB()).encryptor().update(data)


def padded(data: bytes) -> list[int]:
    whole = data + bytes(-len(data) % 16)
    return [int.from_bytes(whole[at : at + 16], "big") for at in range(0, len(whole), 16)]


def opens_twice(keys: tuple[bytes, bytes], nonce: bytes, aad: bytes, texts: tuple[bytes, bytes]) -> bytes:
    """Ciphertext and tag that AES-256-GCM takes under both keys: the first block is the first key's text, the second
    block the second's, and a third is solved for, so that both tags are one (the tag is linear in each block)."""
    streams = []
    for key in keys:
        counters = [block(key, nonce + number.to_bytes(4, "big")) for number in (2, 3)]
        streams.append(counters)
    body = bytes(a ^ b for a, b in zip(texts[0], streams[0][0], strict=True))
    body += bytes(a ^ b for a, b in zip(texts[1], streams[1][1], strict=True))
    lengths = (len(aad) * 8) << 64 | 48 * 8
    fixed, weight = [], []
    for key in keys:
        h = int.from_bytes(block(key, bytes(16)), "big")
        hashed = 0
        for each in [*padded(aad), *padded(body), 0, lengths]:
            hashed = times(hashed ^ each, h)
        fixed.append(hashed ^ int.from_bytes(block(key, nonce + b"\0\0\0\1"), "big"))
        weight.append(times(h, h))
    third = times(fixed[0] ^ fixed[1], inverse(weight[0] ^ weight[1]))
    tag = fixed[0] ^ times(third, weight[0])
    return body + third.to_bytes(16, "big") + tag.to_bytes(16, "big")


def two_key_blob(one: bytes, other: bytes, label: bytes, *context: bytes) -> bytes:
    """As good an `aead` blob as two keys can have: the commitment is the first one's."""
    nonce = secrets.token_bytes(12)
    inner = tuple(hkdf(key, 32, labels.AEAD_KEY, nonce) for key in (one, other))
    aad = lp(label, aead.SUITE, *context)
    ciphertext = opens_twice((inner[0], inner[1]), nonce, aad, (b'{"label":"a ","s', b'{"label":"b ","s'))
    for key, at, text in ((inner[0], 0, b"a"), (inner[1], 16, b"b")):
        opened = AESGCM(key).decrypt(nonce, ciphertext, aad)
        assert opened[at : at + 16] == b'{"label":"' + text + b' ","s', "the attack itself does not work"
    header = b"PVS1" + bytes([len(aead.SUITE)]) + aead.SUITE
    return header + hkdf(one, 32, labels.AEAD_COMMITMENT, nonce) + nonce + ciphertext


def test_u4_a_ciphertext_of_two_keys_opens_under_the_one_that_it_is_committed_to() -> None:
    one, other = secrets.token_bytes(32), secrets.token_bytes(32)
    blob = two_key_blob(one, other, labels.SHARE_CONTENT, b"place")
    assert aead.open_sealed(one, blob, labels.SHARE_CONTENT, b"place")[:12] == b'{"label":"a '
    with pytest.raises(DoesNotOpen):
        aead.open_sealed(other, blob, labels.SHARE_CONTENT, b"place")


def test_u4_a_segment_of_a_file_is_committed_to_its_key_too() -> None:
    sealed = encrypt_segment(b"a" * 32, b"data", b"file")
    assert decrypt_segment(b"a" * 32, sealed, b"file") == b"data"
    swapped = sealed[:24] + encrypt_segment(b"b" * 32, b"data", b"file")[24:]
    for key in (b"a" * 32, b"b" * 32):
        with pytest.raises(DoesNotOpen):
            decrypt_segment(key, swapped, b"file")


def test_u4_plain_gcm_would_have_taken_it() -> None:
    nonce, keys = secrets.token_bytes(12), (secrets.token_bytes(32), secrets.token_bytes(32))
    made = opens_twice(keys, nonce, b"aad", (b"a" * 16, b"b" * 16))
    assert AESGCM(keys[0]).decrypt(nonce, made, b"aad")[:16] == b"a" * 16
    assert AESGCM(keys[1]).decrypt(nonce, made, b"aad")[16:32] == b"b" * 16
    with pytest.raises(InvalidTag):
        AESGCM(secrets.token_bytes(32)).decrypt(nonce, made, b"aad")


async def test_u4_who_shares_two_texts_in_one_ciphertext_is_found_out(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ann's own wrap has one key, the recipient's the other: Bob would read another text than the one she shows."""
    ann, bob = connected
    hers, his = secrets.token_bytes(32), secrets.token_bytes(32)
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X123"})
        with monkeypatch.context() as patch:
            seal_to = sharing.kem.seal_to
            patch.setattr(
                sharing.aead, "seal", lambda key, _, label, *place: honest(key, _, label, *place, hers=hers, his=his)
            )
            patch.setattr(sending, "new_dek", lambda: hers)
            patch.setattr(sharing.kem, "seal_to", lambda suite, public, _, *rest: seal_to(suite, public, his, *rest))
            with pytest.raises(Malformed):  # her own agent shows her what she made: it is no item
                await shares.create(session, keyring, item.item, bob.address)
        good = await shares.create(session, keyring, item.item, bob.address)
    async with bob.session() as (session, keyring):
        bad, sound = sorted(await shares.all_of(session, keyring), key=lambda each: not isinstance(each, Broken))
        assert isinstance(bad, Broken)
        assert isinstance(bad.alarm, DoesNotOpen)
        assert not isinstance(sound, Broken)
        assert (sound.share, sound.content.slots) == (good.share, {"number": "X123"})


HONEST = aead.seal


def honest(key: bytes, plaintext: bytes, label: bytes, *context: bytes, hers: bytes, his: bytes) -> bytes:
    """The agent's own sealing, but for the content of a share."""
    if label == labels.SHARE_CONTENT:
        return two_key_blob(hers, his, label, *context)
    return HONEST(key, plaintext, label, *context)


def test_u4_the_field_is_gcms() -> None:
    """The test case 2 of the GCM specification: H, a block, and their product."""
    h = int("66e94bd4ef8a2c3b884cfa59ca342b2e", 16)
    assert times(int("0388dace60b6a392f328c2b971b2fe78", 16), h) == int("5e2ec746917062882c85b0685353deb7", 16)
    assert times(inverse(h), h) == ONE
